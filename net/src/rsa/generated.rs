//! Keys for a session, made here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use ring::signature::RsaKeyPair;
use rsa::PrivateKey;
use rsa::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};

use super::{RsaError, RsaKey};

/// How long a key is, in bits.
const BITS: usize = 2048;

impl RsaKey {
    /// Makes a key. Returns it with its public half: a `SubjectPublicKeyInfo` in base64. Takes some tenths of a second.
    ///
    /// # Errors
    ///
    /// When it comes out unusable, which it does not.
    ///
    /// # Panics
    ///
    /// When the system has no random numbers.
    pub(crate) fn generate() -> Result<(Self, String), RsaError> {
        let failed = |why: &dyn std::fmt::Display| RsaError(format!("no key could be made: {why}"));
        let mut random = UnwrapErr(SysRng);
        let private = PrivateKey::new(&mut random, BITS).map_err(|error| failed(&error))?;
        let public = private.to_public_key().to_public_key_der();
        let public = public.map_err(|error| failed(&error))?;
        let der = private.to_pkcs8_der().map_err(|error| failed(&error))?;
        let pair = RsaKeyPair::from_pkcs8(der.as_bytes()).map_err(|error| failed(&error))?;
        Ok((RsaKey(pair), STANDARD.encode(public.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    #[test]
    fn signatures_are_verified_by_the_public_half() {
        let (key, public) = RsaKey::generate().unwrap();
        let public = STANDARD.decode(public).unwrap();
        // What is before the key itself says that it is one of RSA.
        let own = key.0.public_key().as_ref();
        assert!(public.ends_with(own) && public.len() == own.len() + 24);
        let signature = key.sign(b"text").unwrap();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, own)
            .verify(b"text", &signature)
            .unwrap();
        assert_ne!(RsaKey::generate().unwrap().1, STANDARD.encode(&public));
    }
}
