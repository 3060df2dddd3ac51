//! How a listener speaks TLS.

use std::path::Path;

use model::de::or_default;
use serde::{Deserialize, Serialize};

use super::{InvalidWebConfig, invalid, tls_version};
use crate::http_config::{Secret, TlsVersion};

/// The certificate of a listener, and what it asks of those who connect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsServerConfig {
    /// The certificate chain.
    #[serde(deserialize_with = "or_default")]
    pub cert: String,
    /// A file that holds it.
    #[serde(deserialize_with = "or_default")]
    pub cert_file: String,
    /// The private key.
    #[serde(deserialize_with = "or_default")]
    pub key: Secret,
    /// A file that holds it.
    #[serde(deserialize_with = "or_default")]
    pub key_file: String,
    /// Whether clients must show a certificate; `NoClientCert`, if empty.
    #[serde(deserialize_with = "or_default")]
    pub client_auth_type: String,
    /// Certificates of the authorities that clients' certificates are believed from.
    #[serde(deserialize_with = "or_default")]
    pub client_ca: String,
    /// A file that holds them.
    #[serde(deserialize_with = "or_default")]
    pub client_ca_file: String,
    /// Names of which a client's certificate must have one; any, if empty.
    #[serde(deserialize_with = "or_default")]
    pub client_allowed_sans: Vec<String>,
    /// The oldest version to speak.
    #[serde(deserialize_with = "tls_version")]
    pub min_version: Option<TlsVersion>,
    /// The newest version to speak.
    #[serde(deserialize_with = "tls_version")]
    pub max_version: Option<TlsVersion>,
    /// Which ciphers may be used up to TLS 1.2, by their names in Go.
    #[serde(deserialize_with = "or_default")]
    pub cipher_suites: Vec<String>,
    /// Accepted; has no effect, as in Go.
    pub prefer_server_cipher_suites: Option<bool>,
    /// Which curves may be used, most wanted first.
    #[serde(deserialize_with = "or_default")]
    pub curve_preferences: Vec<String>,
}

const CLIENT_AUTH_TYPES: [&str; 6] = [
    "RequestClientCert",
    "RequireAnyClientCert",
    "RequireClientCert",
    "VerifyClientCertIfGiven",
    "RequireAndVerifyClientCert",
    "NoClientCert",
];

const CURVES: [&str; 5] = [
    "CurveP256",
    "CurveP384",
    "CurveP521",
    "X25519",
    "X25519MLKEM768",
];

/// Go's names of the ciphers that it does not call insecure.
const CIPHERS: [&str; 13] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
];

impl TlsServerConfig {
    /// Checks that the fields go together, and that the files can be read.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn check(&self, dir: &Path) -> Result<(), InvalidWebConfig> {
        self.check_words()?;
        if self.is_off() {
            return Ok(());
        }
        let (cert, cert_file) = (!self.cert.is_empty(), !self.cert_file.is_empty());
        let (key, key_file) = (!self.key.is_empty(), !self.key_file.is_empty());
        match (cert, cert_file) {
            (false, false) => return invalid("missing one of cert or cert_file"),
            (true, true) => return invalid("at most one of cert & cert_file must be configured"),
            _ => (),
        }
        match (key, key_file) {
            (false, false) => return invalid("missing one of key or key_file"),
            (true, true) => return invalid("at most one of key & key_file must be configured"),
            _ => (),
        }
        check_file(dir, "cert_file", &self.cert_file)?;
        check_file(dir, "key_file", &self.key_file)?;
        check_file(dir, "client_ca_file", &self.client_ca_file)?;
        let has_authorities = !self.client_ca.is_empty() || !self.client_ca_file.is_empty();
        let asks_for_none = ["", "NoClientCert"].contains(&self.client_auth_type.as_str());
        if has_authorities && asks_for_none {
            return invalid("client CA's have been configured without a Client Auth Policy");
        }
        Ok(())
    }

    /// Returns whether TLS is not spoken: nothing is said about certificates and clients.
    pub fn is_off(&self) -> bool {
        let texts = [
            &self.cert,
            &self.cert_file,
            &self.key_file,
            &self.client_auth_type,
            &self.client_ca,
            &self.client_ca_file,
        ];
        texts.iter().all(|text| text.is_empty()) && self.key.is_empty()
    }

    fn check_words(&self) -> Result<(), InvalidWebConfig> {
        let kind = self.client_auth_type.as_str();
        if !kind.is_empty() && !CLIENT_AUTH_TYPES.contains(&kind) {
            return invalid(format!("invalid ClientAuth: {kind}"));
        }
        let is_unknown = |known: &[&str], name: &String| !known.contains(&name.as_str());
        if let Some(name) = self
            .cipher_suites
            .iter()
            .find(|name| is_unknown(&CIPHERS, name))
        {
            return invalid(format!("unknown cipher: {name}"));
        }
        if let Some(name) = self
            .curve_preferences
            .iter()
            .find(|name| is_unknown(&CURVES, name))
        {
            return invalid(format!("unknown curve: {name}"));
        }
        Ok(())
    }
}

fn check_file(dir: &Path, field: &str, file: &str) -> Result<(), InvalidWebConfig> {
    if file.is_empty() {
        return Ok(());
    }
    let path = dir.join(file);
    let shown = path.display();
    match std::fs::read_to_string(&path) {
        Ok(text) if text.contains("-----BEGIN ") => Ok(()),
        Ok(_) => invalid(format!(
            "failed to read {field} ({shown}): no PEM data in it"
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => invalid(format!(
            "failed to read {field} ({shown}): open {shown}: no such file or directory"
        )),
        Err(error) => invalid(format!("failed to read {field} ({shown}): {error}")),
    }
}
