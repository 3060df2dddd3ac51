//! Oracle's cloud: requests that prove who we are, by the key of a user or as the instance that we run on.
//!
//! Source: Oracle Cloud Infrastructure, "Request Signatures".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, DATE};
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;

use crate::outbound::ClientError;
use crate::rsa::{RsaError, RsaKey};

mod principal;

pub use principal::{OraclePrincipal, OracleSession};

/// Why a request cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum OracleError {
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] RsaError),
    /// The URL is none.
    #[error("{0:?} is not a URL with a host")]
    Url(String),
    /// Something cannot be in a header.
    #[error("tenancy, user or fingerprint have characters that no header may have")]
    Header,
    /// There is no way to send requests.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There was no answer, or none of use.
    #[error("{asked}: {reason}")]
    Answer {
        /// Who was asked, and what.
        asked: String,
        /// What went wrong.
        reason: String,
    },
}

/// A key that requests are signed with: that of a user, or of a session.
pub struct OracleKey {
    /// What the cloud calls it.
    id: String,
    key: RsaKey,
}

/// What a request is signed about besides its URL.
struct Content<'a> {
    text: &'a [u8],
    kind: &'static str,
}

impl OracleKey {
    /// Returns the key of a user that the PEM text holds.
    ///
    /// * `passphrase`: of no effect on a key that is not encrypted.
    ///
    /// # Errors
    ///
    /// When it holds none, or the passphrase is not the right one.
    pub fn new(
        tenancy: &str,
        user: &str,
        fingerprint: &str,
        pem: &str,
        passphrase: &str,
    ) -> Result<Self, OracleError> {
        Ok(OracleKey {
            id: format!("{tenancy}/{user}/{fingerprint}"),
            key: RsaKey::of_protected_pem(pem, passphrase)?,
        })
    }

    /// Returns the headers that sign a GET of `url`.
    ///
    /// * `url`: as it is sent, its query escaped.
    ///
    /// # Errors
    ///
    /// When the URL is none, or the key does not sign.
    pub fn sign_get(&self, url: &str, now: Timestamp) -> Result<HeaderMap, OracleError> {
        self.sign("get", url, None, now)
    }

    /// Returns the headers that sign a request, and say what it carries.
    ///
    /// * `method`: in small letters.
    fn sign(
        &self,
        method: &str,
        url: &str,
        content: Option<Content<'_>>,
        now: Timestamp,
    ) -> Result<HeaderMap, OracleError> {
        let wrong = || OracleError::Url(url.to_owned());
        let parsed = reqwest::Url::parse(url).map_err(|_| wrong())?;
        let host = match (parsed.host_str(), parsed.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.to_owned(),
            (None, _) => return Err(wrong()),
        };
        let path = parsed.path();
        let target = match parsed.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| OracleError::Header);
        let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let mut signed = format!("date: {date}\n(request-target): {method} {target}\nhost: {host}");
        let mut names = "date (request-target) host".to_owned();
        let mut headers = HeaderMap::from_iter([(DATE, value(&date)?)]);
        if let Some(Content { text, kind }) = content {
            let digest = STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, text));
            for (name, text) in [
                ("content-length", text.len().to_string()),
                ("content-type", kind.to_owned()),
                ("x-content-sha256", digest),
            ] {
                signed.push_str(&format!("\n{name}: {text}"));
                names.push_str(&format!(" {name}"));
                headers.insert(name, value(&text)?);
            }
        }
        let signature = STANDARD.encode(self.key.sign(signed.as_bytes())?);
        let id = &self.id;
        let authorization = format!(
            "Signature version=\"1\",keyId=\"{id}\",algorithm=\"rsa-sha256\",headers=\"{names}\",signature=\"{signature}\""
        );
        let mut authorization = value(&authorization)?;
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_what_is_sent() {
        let pem = crate::rsa::tests::PKCS8;
        let key = OracleKey::new("t", "u", "aa:bb", pem, "").unwrap();
        let now: Timestamp = "2014-01-05T21:31:40Z".parse().unwrap();
        let url = "https://iaas.us-phoenix-1.oraclecloud.com/20160918/instances?availabilityDomain=Pjwf%3A%20PHX-AD-1&limit=2";
        let headers = key.sign_get(url, now).unwrap();
        assert_eq!(headers[DATE], "Sun, 05 Jan 2014 21:31:40 GMT");
        let signed = "date: Sun, 05 Jan 2014 21:31:40 GMT\n\
            (request-target): get /20160918/instances?availabilityDomain=Pjwf%3A%20PHX-AD-1&limit=2\n\
            host: iaas.us-phoenix-1.oraclecloud.com";
        let signature = RsaKey::of_pem(pem).unwrap().sign(signed.as_bytes());
        let signature = STANDARD.encode(signature.unwrap());
        assert_eq!(
            headers[AUTHORIZATION],
            format!(
                "Signature version=\"1\",keyId=\"t/u/aa:bb\",algorithm=\"rsa-sha256\",\
                 headers=\"date (request-target) host\",signature=\"{signature}\""
            )
        );
        assert!(headers[AUTHORIZATION].is_sensitive());
    }

    #[test]
    fn what_cannot_be_signed() {
        let pem = crate::rsa::tests::PKCS8;
        let key = OracleKey::new("t", "u\n", "aa:bb", pem, "").unwrap();
        let error = |url| {
            key.sign_get(url, Timestamp::UNIX_EPOCH)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(error("/x"), "\"/x\" is not a URL with a host");
        assert_eq!(
            error("http://h/"),
            "tenancy, user or fingerprint have characters that no header may have"
        );
        assert!(OracleKey::new("t", "u", "f", "x", "").is_err());
    }
}
