//! The web configuration file: how a listener speaks TLS, whom it lets in, and what it says besides.
//!
//! [`WebRules`] is what a listener obeys: the configuration in force, read again when a file changed.
//!
//! Source: Prometheus' documentation, "HTTPS and authentication".

use std::collections::BTreeMap;
use std::path::Path;

use model::de::or_default;
use serde::{Deserialize, Serialize};

use crate::http_config::{Secret, TlsVersion};

mod file;
mod tls;
mod tls_server;
mod users;

pub use file::{InForce, ParseWebConfig, WebRules};
pub use tls_server::TlsServerConfig;

/// A web configuration. All of it may be absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebConfig {
    /// How the listener speaks TLS; it does not, if nothing is given.
    #[serde(deserialize_with = "or_default")]
    pub tls_server_config: TlsServerConfig,
    /// What HTTP is spoken.
    #[serde(deserialize_with = "or_default")]
    pub http_server_config: HttpServerConfig,
    /// Who is let in: names and bcrypt hashes of passwords. Everyone, if empty.
    #[serde(deserialize_with = "or_default")]
    pub basic_auth_users: BTreeMap<String, Secret>,
}

/// What HTTP a listener speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpServerConfig {
    /// Whether HTTP/2 is spoken; only over TLS.
    pub http2: bool,
    /// Headers of every answer.
    #[serde(deserialize_with = "or_default")]
    pub headers: BTreeMap<String, String>,
}

impl Default for HttpServerConfig {
    fn default() -> Self {
        HttpServerConfig {
            http2: true,
            headers: BTreeMap::new(),
        }
    }
}

/// Why a web configuration makes no sense. The texts are Prometheus' where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidWebConfig(pub String);

impl WebConfig {
    /// Checks that the fields go together, and that the files that it names can be read. Relative file names are relative
    /// to `dir`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn check(&self, dir: &Path) -> Result<(), InvalidWebConfig> {
        self.basic_auth_users
            .values()
            .try_for_each(|hash| check_hash(hash.reveal()))?;
        self.tls_server_config.check(dir)?;
        self.http_server_config.check()
    }
}

/// Returns an error that says `text`.
fn invalid<T>(text: impl Into<String>) -> Result<T, InvalidWebConfig> {
    Err(InvalidWebConfig(text.into()))
}

/// Checks that a text is a bcrypt hash: `$2b$12$` and 53 characters.
///
/// Source: Go's bcrypt package, texts included.
fn check_hash(hash: &str) -> Result<(), InvalidWebConfig> {
    let bytes = hash.as_bytes();
    if bytes.len() < 59 {
        return invalid("crypto/bcrypt: hashedSecret too short to be a bcrypted password");
    }
    if bytes[0] != b'$' {
        return invalid(format!(
            "crypto/bcrypt: bcrypt hashes must start with '$', but hashedSecret started with '{}'",
            char::from(bytes[0])
        ));
    }
    if bytes[1] != b'2' {
        return invalid(format!(
            "crypto/bcrypt: bcrypt algorithm version '{}' requested is newer than current version '2'",
            char::from(bytes[1])
        ));
    }
    let mut parts = hash.split('$').skip(2);
    let cost = parts.next().and_then(|cost| cost.parse::<u32>().ok());
    match cost {
        Some(4..=31) => Ok(()),
        Some(cost) => invalid(format!(
            "crypto/bcrypt: cost {cost} is outside allowed inclusive range 4..31"
        )),
        None => invalid("crypto/bcrypt: the cost is not a number (hashes look like $2b$12$…)"),
    }
}

/// Headers that may be configured, with their values where not any value is allowed.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-XSS-Protection", &[]),
    ("Strict-Transport-Security", &[]),
];

impl HttpServerConfig {
    fn check(&self) -> Result<(), InvalidWebConfig> {
        for (name, value) in &self.headers {
            let known = HEADERS
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name));
            let Some((_, values)) = known else {
                return invalid(format!("HTTP header {name:?} can not be configured"));
            };
            if !value.is_empty()
                && !values.is_empty()
                && !values.contains(&value.to_ascii_lowercase().as_str())
            {
                return invalid(format!(
                    "invalid value for {name}. Expected one of: {values:?}, but got: {value:?}"
                ));
            }
        }
        Ok(())
    }
}

/// Reads a version of TLS.
fn tls_version<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<TlsVersion>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else {
        return Ok(None);
    };
    match text.as_str() {
        "" => Ok(None),
        "TLS10" => Ok(Some(TlsVersion::TLS10)),
        "TLS11" => Ok(Some(TlsVersion::TLS11)),
        "TLS12" => Ok(Some(TlsVersion::TLS12)),
        "TLS13" => Ok(Some(TlsVersion::TLS13)),
        other => Err(serde::de::Error::custom(format_args!(
            "unknown TLS version: {other}"
        ))),
    }
}

#[cfg(test)]
mod tests;
