//! The HTTP client side of notifications: credentials and clients made of `http_config`.
//!
//! # Not here
//!
//! OAuth2, proxies, client certificates and the other keys of `http_config` come with the HTTP rooms' own issue; a
//! configuration that has them loads with a warning.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use model::Duration;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// A password or token; it never prints.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// How a client connects and says who it is.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
pub struct HttpConfig {
    /// User and password.
    pub basic_auth: Option<BasicAuth>,
    /// Another `Authorization` header.
    pub authorization: Option<Authorization>,
    /// The old way to write a bearer token.
    pub bearer_token: Option<Secret>,
    /// Whether redirects are followed; they are unless this is false.
    pub follow_redirects: Option<bool>,
    /// How the server's certificate is checked.
    pub tls_config: Option<TlsConfig>,
    /// The keys that are not built yet.
    #[serde(flatten)]
    pub others: BTreeMap<String, IgnoredAny>,
}

/// User and password.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The user's name.
    #[serde(default)]
    pub username: String,
    /// A file with the name.
    pub username_file: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// A file with the password, read at each request.
    pub password_file: Option<String>,
}

/// An `Authorization` header.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorization {
    /// Its scheme; `Bearer` unless given.
    #[serde(rename = "type")]
    pub scheme: Option<String>,
    /// What follows the scheme.
    pub credentials: Option<Secret>,
    /// A file with that, read at each request.
    pub credentials_file: Option<String>,
}

/// How a server's certificate is checked.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
pub struct TlsConfig {
    /// A file with certificates to trust in place of the system's.
    pub ca_file: Option<String>,
    /// The same as text.
    pub ca: Option<String>,
    /// Whether any certificate is good enough.
    #[serde(default)]
    pub insecure_skip_verify: bool,
    /// The keys that are not built yet.
    #[serde(flatten)]
    pub others: BTreeMap<String, IgnoredAny>,
}

/// The keys of `http_config` that load with a warning.
const UNBUILT: &[&str] = &[
    "oauth2",
    "bearer_token_file",
    "enable_http2",
    "proxy_url",
    "no_proxy",
    "proxy_from_environment",
    "proxy_connect_header",
    "http_headers",
];
const UNBUILT_TLS: &[&str] = &[
    "cert",
    "key",
    "cert_file",
    "key_file",
    "server_name",
    "min_version",
    "max_version",
];

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A file could not be read.
    #[error("read {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// TLS or the client's options are wrong.
    #[error("make an HTTP client: {0}")]
    Build(#[from] reqwest::Error),
}

impl HttpConfig {
    /// Checks the keys; returns warnings about those that are not built yet.
    ///
    /// # Errors
    ///
    /// The name of a key that is not known at all.
    pub(crate) fn check(&self) -> Result<Vec<String>, String> {
        let mut warnings = Vec::new();
        for key in self.others.keys() {
            match key.as_str() {
                // It is what the client does anyway.
                "enable_http2" => {}
                key if UNBUILT.contains(&key) => {
                    warnings.push(format!("http_config key {key} is not built yet"))
                }
                key => return Err(format!("field {key} not found in http_config")),
            }
        }
        for key in self.tls_config.iter().flat_map(|tls| tls.others.keys()) {
            if !UNBUILT_TLS.contains(&key.as_str()) {
                return Err(format!("field {key} not found in tls_config"));
            }
            warnings.push(format!("tls_config key {key} is not built yet"));
        }
        Ok(warnings)
    }

    /// Returns a client that connects as this says.
    ///
    /// # Errors
    ///
    /// When certificates cannot be read.
    pub(crate) fn client(&self, timeout: Option<Duration>) -> Result<reqwest::Client, ClientError> {
        let mut builder =
            reqwest::Client::builder().user_agent(concat!("Hearth/", env!("CARGO_PKG_VERSION")));
        if let Some(timeout) = timeout {
            builder = builder.timeout(timeout.to_std());
        }
        if self.follow_redirects == Some(false) {
            builder = builder.redirect(reqwest::redirect::Policy::none());
        }
        if let Some(tls) = &self.tls_config {
            builder = builder.tls_danger_accept_invalid_certs(tls.insecure_skip_verify);
            let pem = match (&tls.ca, &tls.ca_file) {
                (Some(pem), _) => Some(pem.clone().into_bytes()),
                (None, Some(path)) => Some(read(path)?.into_bytes()),
                (None, None) => None,
            };
            if let Some(pem) = pem {
                builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem)?);
            }
        }
        Ok(builder.build()?)
    }

    /// Adds the credentials to a request.
    ///
    /// # Errors
    ///
    /// When a file with a secret cannot be read.
    pub(crate) fn authorize(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::RequestBuilder, ClientError> {
        if let Some(basic) = &self.basic_auth {
            let username = match &basic.username_file {
                Some(path) => read(path)?.trim().to_owned(),
                None => basic.username.clone(),
            };
            let password = secret(basic.password.as_ref(), basic.password_file.as_deref())?;
            return Ok(request.basic_auth(username, password));
        }
        if let Some(authorization) = &self.authorization {
            let scheme = authorization.scheme.as_deref().unwrap_or("Bearer");
            let credentials = secret(
                authorization.credentials.as_ref(),
                authorization.credentials_file.as_deref(),
            )?;
            return Ok(request.header(
                "Authorization",
                format!("{scheme} {}", credentials.unwrap_or_default()),
            ));
        }
        Ok(match &self.bearer_token {
            Some(token) => request.bearer_auth(&token.0),
            None => request,
        })
    }
}

/// Returns a secret that is given as text or as a file.
pub(crate) fn secret(
    text: Option<&Secret>,
    file: Option<&str>,
) -> Result<Option<String>, ClientError> {
    match (text, file) {
        (Some(text), _) => Ok(Some(text.0.clone())),
        (None, Some(path)) => Ok(Some(read(path)?.trim().to_owned())),
        (None, None) => Ok(None),
    }
}

fn read(path: &str) -> Result<String, ClientError> {
    std::fs::read_to_string(Path::new(path)).map_err(|source| ClientError::File {
        path: path.to_owned(),
        source,
    })
}

/// Returns an error with all its sources on one line; reqwest's own text leaves out what matters.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Escapes what Go's JSON escapes: `<`, `>`, `&` and the two separators. In JSON they occur in strings only.
pub(crate) fn escape_json_like_go(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)))
            }
            c => out.push(c),
        }
    }
    out
}
