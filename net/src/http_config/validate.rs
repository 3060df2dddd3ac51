//! Which fields of `http_config` exclude each other.

use super::{Authorization, BasicAuth, HttpConfig, ProxyHeaders, TlsConfig, UrlText};

/// Why an `http_config` makes no sense. The texts are Prometheus'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidHttpConfig(pub String);

/// Headers that a request sets itself, or that other fields set.
const RESERVED_HEADERS: [&str; 12] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "x-prometheus-scrape-timeout-seconds",
];

impl HttpConfig {
    /// Returns whether redirects are followed.
    pub fn follows_redirects(&self) -> bool {
        self.follow_redirects.unwrap_or(true)
    }

    /// Returns whether HTTP/2 may be spoken over TLS.
    pub fn speaks_http2(&self) -> bool {
        self.enable_http2.unwrap_or(true)
    }

    /// Returns whether requests have headers besides those that they are made with.
    pub fn sends_headers(&self) -> bool {
        let has_credentials = self.basic_auth.is_some()
            || self.authorization.is_some()
            || self.bearer_token.is_some()
            || self.bearer_token_file.is_some();
        has_credentials || self.http_headers.is_some()
    }

    /// Checks that the fields go together.
    ///
    /// # Errors
    ///
    /// The first contradiction, in Prometheus' words.
    pub fn validate(&self) -> Result<(), InvalidHttpConfig> {
        let (bearer, bearer_file) = (
            // As in Go, an empty one is none.
            self.bearer_token
                .as_ref()
                .is_some_and(|token| !token.is_empty()),
            self.bearer_token_file
                .as_ref()
                .is_some_and(|file| !file.is_empty()),
        );
        at_most_one(
            bearer,
            bearer_file,
            "at most one of bearer_token & bearer_token_file must be configured",
        )?;
        let bearer = bearer || bearer_file;
        let basic = self.basic_auth.is_some();
        let oauth2 = self.oauth2.is_some();
        at_most_one(
            (basic || oauth2) && bearer,
            bearer,
            "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
        )?;
        at_most_one(
            self.authorization.is_some(),
            bearer,
            "authorization is not compatible with bearer_token & bearer_token_file",
        )?;
        if let Some(basic_auth) = &self.basic_auth {
            basic_auth.validate()?;
        }
        if let Some(authorization) = &self.authorization {
            authorization.validate()?;
        }
        at_most_one(
            self.authorization.is_some(),
            basic || oauth2,
            "at most one of basic_auth, oauth2 & authorization must be configured",
        )?;
        at_most_one(
            basic,
            oauth2,
            "at most one of basic_auth, oauth2 & authorization must be configured",
        )?;
        if let Some(oauth2) = &self.oauth2 {
            oauth2.validate()?;
        }
        if let Some(tls) = &self.tls_config {
            tls.validate()?;
        }
        check_proxy(
            self.proxy_url.as_ref(),
            self.no_proxy.as_deref(),
            self.proxy_from_environment,
            self.proxy_connect_header.as_ref(),
        )?;
        self.validate_headers()
    }

    fn validate_headers(&self) -> Result<(), InvalidHttpConfig> {
        for name in self.http_headers.iter().flat_map(|headers| headers.keys()) {
            if RESERVED_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(InvalidHttpConfig(format!(
                    "setting header {name:?} is not allowed"
                )));
            }
            if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                return Err(InvalidHttpConfig(format!(
                    "{name:?} is not a valid header name"
                )));
            }
        }
        Ok(())
    }
}

impl BasicAuth {
    fn validate(&self) -> Result<(), InvalidHttpConfig> {
        at_most_one(
            self.username.is_some(),
            self.username_file.is_some(),
            "at most one of basic_auth username, username_file & username_ref must be configured",
        )?;
        at_most_one(
            self.password.is_some(),
            self.password_file.is_some(),
            "at most one of basic_auth password, password_file & password_ref must be configured",
        )
    }
}

impl Authorization {
    fn validate(&self) -> Result<(), InvalidHttpConfig> {
        at_most_one(
            self.credentials.is_some(),
            self.credentials_file.is_some(),
            "at most one of authorization credentials & credentials_file must be configured",
        )?;
        let is_basic = self
            .kind
            .as_ref()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("basic"));
        at_most_one(
            is_basic,
            true,
            "authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
        )
    }
}

impl TlsConfig {
    /// Checks that the fields go together.
    ///
    /// # Errors
    ///
    /// The first contradiction, in Prometheus' words.
    pub fn validate(&self) -> Result<(), InvalidHttpConfig> {
        let (ca, ca_file) = (self.ca.is_some(), self.ca_file.is_some());
        at_most_one(
            ca,
            ca_file,
            "at most one of ca, ca_file & ca_ref must be configured",
        )?;
        let (cert, cert_file) = (self.cert.is_some(), self.cert_file.is_some());
        at_most_one(
            cert,
            cert_file,
            "at most one of cert, cert_file & cert_ref must be configured",
        )?;
        let (key, key_file) = (self.key.is_some(), self.key_file.is_some());
        at_most_one(
            key,
            key_file,
            "at most one of key, key_file & key_ref must be configured",
        )?;
        let (has_cert, has_key) = (cert || cert_file, key || key_file);
        at_most_one(
            has_cert,
            !has_key,
            "exactly one of key or key_file must be configured when a client certificate is configured",
        )?;
        at_most_one(
            has_key,
            !has_cert,
            "exactly one of cert or cert_file must be configured when a client key is configured",
        )?;
        at_most_one(
            matches!((self.min_version, self.max_version), (Some(min), Some(max)) if max < min),
            true,
            "tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified",
        )
    }
}

/// Checks that the fields about proxies go together.
pub(super) fn check_proxy(
    url: Option<&UrlText>,
    excluded: Option<&str>,
    from_environment: Option<bool>,
    headers: Option<&ProxyHeaders>,
) -> Result<(), InvalidHttpConfig> {
    let has_url = url.is_some_and(|url| !url.is_empty());
    let has_excluded = excluded.is_some_and(|hosts| !hosts.is_empty());
    let by_environment = from_environment == Some(true);
    at_most_one(
        headers.is_some_and(|headers| !headers.is_empty()),
        !by_environment && !has_url,
        "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
    )?;
    at_most_one(
        by_environment,
        has_url,
        "if proxy_from_environment is configured, proxy_url must not be configured",
    )?;
    at_most_one(
        by_environment,
        has_excluded,
        "if proxy_from_environment is configured, no_proxy must not be configured",
    )?;
    at_most_one(
        has_excluded,
        !has_url,
        "if no_proxy is configured, proxy_url must also be configured",
    )
}

pub(super) fn at_most_one(a: bool, b: bool, otherwise: &str) -> Result<(), InvalidHttpConfig> {
    if a && b {
        Err(InvalidHttpConfig(otherwise.to_owned()))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Secret;
    use super::*;

    #[track_caller]
    fn check(config: HttpConfig, expected: &str) {
        assert_eq!(config.validate().unwrap_err().to_string(), expected);
    }

    #[test]
    fn contradictions() {
        let token = || Some(Secret::new("t"));
        check(
            HttpConfig {
                bearer_token: token(),
                bearer_token_file: Some("f".into()),
                ..Default::default()
            },
            "at most one of bearer_token & bearer_token_file must be configured",
        );
        check(
            HttpConfig {
                bearer_token: token(),
                basic_auth: Some(BasicAuth::default()),
                ..Default::default()
            },
            "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
        );
        let basic = Authorization {
            kind: Some("BASIC".into()),
            ..Default::default()
        };
        check(
            HttpConfig {
                authorization: Some(basic),
                ..Default::default()
            },
            "authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
        );
        let half = TlsConfig {
            cert_file: Some("c".into()),
            ..Default::default()
        };
        check(
            HttpConfig {
                tls_config: Some(half),
                ..Default::default()
            },
            "exactly one of key or key_file must be configured when a client certificate is configured",
        );
        assert_eq!(HttpConfig::default().validate(), Ok(()));
    }
}
