//! Oracle's cloud: requests that prove who we are, by the key of a user.
//!
//! # Not here
//!
//! Instance principals: their sessions have keys of their own, and our library of cryptography makes no RSA keys.
//!
//! Source: Oracle Cloud Infrastructure, "Request Signatures".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, DATE};
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;

use crate::rsa::{RsaError, RsaKey};

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
}

/// The key of a user.
pub struct OracleKey {
    /// What the cloud calls it.
    id: String,
    key: RsaKey,
}

impl OracleKey {
    /// Returns the key that the PEM text holds.
    ///
    /// # Errors
    ///
    /// When it holds none, or one that is encrypted.
    pub fn new(
        tenancy: &str,
        user: &str,
        fingerprint: &str,
        pem: &str,
    ) -> Result<Self, OracleError> {
        Ok(OracleKey {
            id: format!("{tenancy}/{user}/{fingerprint}"),
            key: RsaKey::of_pem(pem)?,
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
        let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let signed = format!("date: {date}\n(request-target): get {target}\nhost: {host}");
        let signature = STANDARD.encode(self.key.sign(signed.as_bytes())?);
        let id = &self.id;
        let authorization = format!(
            "Signature version=\"1\",keyId=\"{id}\",algorithm=\"rsa-sha256\",headers=\"date (request-target) host\",signature=\"{signature}\""
        );
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| OracleError::Header);
        let mut authorization = value(&authorization)?;
        authorization.set_sensitive(true);
        Ok(HeaderMap::from_iter([
            (AUTHORIZATION, authorization),
            (DATE, value(&date)?),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_what_is_sent() {
        let pem = crate::rsa::tests::PKCS8;
        let key = OracleKey::new("t", "u", "aa:bb", pem).unwrap();
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
        let key = OracleKey::new("t", "u\n", "aa:bb", pem).unwrap();
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
        assert!(OracleKey::new("t", "u", "f", "x").is_err());
    }
}
