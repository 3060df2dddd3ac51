//! Signatures with RSA keys, as clouds and token endpoints ask for them: PKCS #1.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair,
};
use serde::Serialize;

mod encrypted;
mod generated;

/// Why a key cannot be used, or does not sign.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RsaError(String);

/// What is signed of a text: its digest by one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsaHash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl RsaHash {
    /// Returns what JSON Web Tokens call it.
    pub const fn name(self) -> &'static str {
        match self {
            RsaHash::Sha256 => "RS256",
            RsaHash::Sha384 => "RS384",
            RsaHash::Sha512 => "RS512",
        }
    }

    /// Returns the one that JSON Web Tokens call `name`.
    pub fn named(name: &str) -> Option<Self> {
        let all = [RsaHash::Sha256, RsaHash::Sha384, RsaHash::Sha512];
        all.into_iter().find(|hash| hash.name() == name)
    }

    fn encoding(self) -> &'static dyn RsaEncoding {
        match self {
            RsaHash::Sha256 => &RSA_PKCS1_SHA256,
            RsaHash::Sha384 => &RSA_PKCS1_SHA384,
            RsaHash::Sha512 => &RSA_PKCS1_SHA512,
        }
    }
}

/// A private key.
pub struct RsaKey(RsaKeyPair);

impl RsaKey {
    /// Reads a key of a PEM file, PKCS #8 (`BEGIN PRIVATE KEY`) or PKCS #1 (`BEGIN RSA PRIVATE KEY`).
    ///
    /// # Errors
    ///
    /// When it holds no such key, or one that is encrypted.
    pub fn of_pem(pem: &str) -> Result<Self, RsaError> {
        RsaKey::of_protected_pem(pem, "")
    }

    /// Reads the same, or such a key that is encrypted.
    ///
    /// * `passphrase`: of no effect on a key that is not encrypted.
    ///
    /// # Errors
    ///
    /// When it holds no such key, or the passphrase is not the right one.
    pub fn of_protected_pem(pem: &str, passphrase: &str) -> Result<Self, RsaError> {
        let wrong = |what: &str| RsaError(format!("the private key {what}"));
        let (label, body) = block(pem)
            .ok_or_else(|| wrong("is no PEM block (expected -----BEGIN PRIVATE KEY-----)"))?;
        let (headers, body) = match body.split_once("\n\n") {
            _ if !body.contains(':') => ("", body),
            Some(parts) => parts,
            None => body.split_once("\r\n\r\n").unwrap_or((body, "")),
        };
        let body: String = body.split_whitespace().collect();
        let mut der = STANDARD.decode(body).map_err(|_| wrong("is no base64"))?;
        let is_encrypted = label.starts_with("ENCRYPTED") || headers.contains("ENCRYPTED");
        if is_encrypted && passphrase.is_empty() {
            return Err(wrong("is encrypted, and there is no passphrase"));
        }
        if is_encrypted {
            let decrypted = match label {
                "RSA PRIVATE KEY" => encrypted::pkcs1(headers, &der, passphrase),
                _ => encrypted::pkcs8(&der, passphrase),
            };
            der = decrypted.map_err(|why| wrong(&format!("cannot be decrypted: {why}")))?;
        }
        let pair = match label {
            "PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" => RsaKeyPair::from_pkcs8(&der),
            "RSA PRIVATE KEY" => RsaKeyPair::from_der(&der),
            _ => return Err(wrong("is none of RSA")),
        };
        let pair = pair.map_err(|error| wrong(&format!("is not usable: {error}")))?;
        Ok(RsaKey(pair))
    }

    /// Returns the signature of `bytes` by SHA-256.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, RsaError> {
        self.sign_by(RsaHash::Sha256, bytes)
    }

    fn sign_by(&self, hash: RsaHash, bytes: &[u8]) -> Result<Vec<u8>, RsaError> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        let random = SystemRandom::new();
        self.0
            .sign(hash.encoding(), &random, bytes, &mut signature)
            .map_err(|_| RsaError("the private key could not sign".to_owned()))?;
        Ok(signature)
    }

    /// Returns a JSON Web Token, `RS256`.
    ///
    /// # Errors
    ///
    /// As [`RsaKey::sign`].
    pub fn jwt(&self, key_id: &str, claims: &impl Serialize) -> Result<String, RsaError> {
        self.jwt_by(RsaHash::Sha256, key_id, claims)
    }

    /// Returns a JSON Web Token that is signed by `hash`.
    ///
    /// # Errors
    ///
    /// As [`RsaKey::sign`].
    pub fn jwt_by(
        &self,
        hash: RsaHash,
        key_id: &str,
        claims: &impl Serialize,
    ) -> Result<String, RsaError> {
        #[derive(Serialize)]
        struct Header<'a> {
            alg: &'a str,
            typ: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            kid: &'a str,
        }
        let header = Header {
            alg: hash.name(),
            typ: "JWT",
            kid: key_id,
        };
        let signed = format!("{}.{}", encoded(&header)?, encoded(claims)?);
        let signature = URL_SAFE_NO_PAD.encode(self.sign_by(hash, signed.as_bytes())?);
        Ok(format!("{signed}.{signature}"))
    }
}

fn encoded(part: &impl Serialize) -> Result<String, RsaError> {
    let json = serde_json::to_vec(part).map_err(|error| RsaError(error.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// Returns the label of the first PEM block, and what is in it.
fn block(pem: &str) -> Option<(&str, &str)> {
    let (_, rest) = pem.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    Some((label, body))
}

#[cfg(test)]
pub(crate) mod tests {
    use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    /// A key that is used for nothing else, in both forms.
    pub(crate) const PKCS8: &str = include_str!("rsa/pkcs8.pem");
    const PKCS1: &str = include_str!("rsa/pkcs1.pem");

    #[test]
    fn signatures_of_both_forms_are_the_same_and_right() {
        let key = RsaKey::of_pem(PKCS8).unwrap();
        let token = key.jwt("k", &serde_json::json!({ "iss": "me" })).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        assert_eq!(
            signed,
            "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsifQ.eyJpc3MiOiJtZSJ9"
        );
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = key.0.public_key().as_ref();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)
            .verify(signed.as_bytes(), &signature)
            .unwrap();
        let same = RsaKey::of_pem(PKCS1).unwrap();
        assert_eq!(same.sign(signed.as_bytes()).unwrap(), signature);
    }

    #[test]
    fn longer_digests() {
        use ring::signature::{RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512};
        let key = RsaKey::of_pem(PKCS8).unwrap();
        for (name, how) in [
            ("RS384", &RSA_PKCS1_2048_8192_SHA384),
            ("RS512", &RSA_PKCS1_2048_8192_SHA512),
        ] {
            let hash = RsaHash::named(name).unwrap();
            let token = key.jwt_by(hash, "", &serde_json::json!({})).unwrap();
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let header = URL_SAFE_NO_PAD.decode(signed.split('.').next().unwrap());
            let expected = format!(r#"{{"alg":"{name}","typ":"JWT"}}"#);
            assert_eq!(header.unwrap(), expected.as_bytes());
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let public = key.0.public_key().as_ref();
            UnparsedPublicKey::new(how, public)
                .verify(signed.as_bytes(), &signature)
                .unwrap();
        }
        assert_eq!(RsaHash::named("HS256"), None);
    }

    #[test]
    fn what_is_no_key() {
        let check = |pem: &str, expected: &str| {
            let error = RsaKey::of_pem(pem).err().unwrap();
            assert_eq!(error.to_string(), format!("the private key {expected}"));
        };
        check(
            "x",
            "is no PEM block (expected -----BEGIN PRIVATE KEY-----)",
        );
        check(
            "-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----",
            "is no base64",
        );
        check(
            "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----",
            "is none of RSA",
        );
        check(
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----",
            "is encrypted, and there is no passphrase",
        );
    }
}
