//! The `http_config` section: how a client authenticates, and whom it trusts.
//!
//! Prometheus inlines these fields into scrape configs, Alertmanager configs, remote write and most service
//! discoveries. Serde's `flatten` would lose both the check for unknown fields and the positions in errors, so
//! [`crate::with_http_config`] writes the fields into a struct instead.
//!
//! Source: Prometheus configuration documentation, `<http_config>` and `<tls_config>`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod oauth2;
mod secret;
mod unbuilt;
mod url_text;
mod validate;

pub use oauth2::OAuth2;
pub use secret::Secret;
pub use unbuilt::Unbuilt;
pub use url_text::UrlText;
pub use validate::InvalidHttpConfig;

/// Declares a struct with the given fields and, inlined after them, those of `http_config`, and a method `http_config`
/// that returns the latter as one [`HttpConfig`].
///
/// The struct must have `#[serde(default)]`, so that fields may be absent.
#[macro_export]
macro_rules! with_http_config {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $ty,)*
            /// User name and password.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub basic_auth: Option<$crate::http_config::BasicAuth>,
            /// The `Authorization` header.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub authorization: Option<$crate::http_config::Authorization>,
            /// A token that is fetched with credentials of its own.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub oauth2: Option<$crate::http_config::OAuth2>,
            /// The older way to write `authorization.credentials`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub bearer_token: Option<$crate::http_config::Secret>,
            /// The older way to write `authorization.credentials_file`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub bearer_token_file: Option<String>,
            /// Whom to trust, and who we are.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub tls_config: Option<$crate::http_config::TlsConfig>,
            /// Whether redirects are followed; yes, if not given.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub follow_redirects: Option<bool>,
            /// Accepted; connections speak HTTP/1.1 whatever it says.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub enable_http2: Option<bool>,
            /// The proxy that requests go through.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub proxy_url: Option<$crate::http_config::UrlText>,
            /// Hosts that are asked without the proxy, separated by commas.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub no_proxy: Option<String>,
            /// Whether `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` of the environment say which proxy.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub proxy_from_environment: Option<bool>,
            /// Headers for the proxy when it is asked for a tunnel.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub proxy_connect_header: Option<$crate::http_config::ProxyHeaders>,
            /// Further headers, by name.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub http_headers: Option<std::collections::BTreeMap<String, $crate::http_config::HeaderValues>>,
        }

        impl $name {
            /// Returns the fields that say how to speak HTTP.
            pub fn http_config(&self) -> $crate::http_config::HttpConfig {
                $crate::http_config::HttpConfig {
                    basic_auth: self.basic_auth.clone(),
                    authorization: self.authorization.clone(),
                    oauth2: self.oauth2.clone(),
                    bearer_token: self.bearer_token.clone(),
                    bearer_token_file: self.bearer_token_file.clone(),
                    tls_config: self.tls_config.clone(),
                    follow_redirects: self.follow_redirects,
                    enable_http2: self.enable_http2,
                    proxy_url: self.proxy_url.clone(),
                    no_proxy: self.no_proxy.clone(),
                    proxy_from_environment: self.proxy_from_environment,
                    proxy_connect_header: self.proxy_connect_header.clone(),
                    http_headers: self.http_headers.clone(),
                }
            }
        }
    };
}

/// Implements `Default` for a struct of [`with_http_config`](crate::with_http_config): its own fields as given, those of
/// `http_config` absent.
#[macro_export]
macro_rules! default_with_http_config {
    ($name:ident { $($field:ident: $value:expr),* $(,)? }) => {
        impl Default for $name {
            fn default() -> Self {
                $name {
                    $($field: $value,)*
                    basic_auth: None,
                    authorization: None,
                    oauth2: None,
                    bearer_token: None,
                    bearer_token_file: None,
                    tls_config: None,
                    follow_redirects: None,
                    enable_http2: None,
                    proxy_url: None,
                    no_proxy: None,
                    proxy_from_environment: None,
                    proxy_connect_header: None,
                    http_headers: None,
                }
            }
        }
    };
}

with_http_config! {
    /// How to speak HTTP: credentials, TLS, redirects, headers. All of it may be absent.
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    pub struct HttpConfig {}
}

/// A user name and a password, each given or in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BasicAuth {
    /// The user name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// A file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username_file: Option<String>,
    /// The password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// A file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<String>,
}

/// An `Authorization` header: its type and its credentials, given or in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Authorization {
    /// The scheme; `Bearer`, if not given.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Secret>,
    /// A file that holds them, read again for each request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<String>,
}

/// Whom a client trusts, and the certificate that it shows. Each PEM text is given or in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificates of the authorities to trust instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// A file that holds them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// The client's certificate chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// A file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<String>,
    /// The client's private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
    /// A file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
    /// The name that the server's certificate must have, instead of the host in the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Whether any certificate is believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure_skip_verify: Option<bool>,
    /// The oldest version to speak; nothing below TLS 1.2 is ever spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_version: Option<TlsVersion>,
    /// The newest version to speak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_version: Option<TlsVersion>,
}

/// A version of TLS. The older two are understood and never spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.0
    TLS10,
    /// TLS 1.1
    TLS11,
    /// TLS 1.2
    TLS12,
    /// TLS 1.3
    TLS13,
}

/// The values of one configured header, in the order in which they are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderValues {
    /// Values that may be shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// Values that may not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
    /// Files that hold one value each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// The headers of `http_headers`, by name.
pub type Headers = BTreeMap<String, HeaderValues>;

/// The headers of `proxy_connect_header`, by name.
pub type ProxyHeaders = BTreeMap<String, Vec<Secret>>;
