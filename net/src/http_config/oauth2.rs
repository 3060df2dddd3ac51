//! The `oauth2` section: a token that is fetched with credentials of its own.
//!
//! Source: Prometheus configuration documentation, `<oauth2>`.

use std::collections::BTreeMap;

use model::de::or_default;
use serde::{Deserialize, Serialize};

use super::validate::{at_most_one, check_proxy};
use super::{InvalidHttpConfig, ProxyHeaders, Secret, TlsConfig, UrlText};

/// The grant that needs nothing but the client's secret; what counts when none is given.
const CLIENT_CREDENTIALS: &str = "client_credentials";
/// The grant that needs a signature.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Where a token comes from and with which credentials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OAuth2 {
    /// Who we are.
    #[serde(deserialize_with = "or_default")]
    pub client_id: String,
    /// The grant; `client_credentials`, if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_type: Option<String>,
    /// The client's secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    /// A file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<String>,
    /// The key that signs, for the grant with a signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate_key: Option<Secret>,
    /// A file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate_key_file: Option<String>,
    /// The key's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate_key_id: Option<String>,
    /// How it signs; `RS256`, if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature_algorithm: Option<String>,
    /// Who signs; the client, if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Whom the signature is for; the token's URL, if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// What is signed besides.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub claims: BTreeMap<String, serde_json::Value>,
    /// What the token shall be good for.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Where the token is fetched.
    #[serde(deserialize_with = "or_default")]
    pub token_url: UrlText,
    /// Further parameters of that request.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub endpoint_params: BTreeMap<String, String>,
    /// Whom to trust there, and who we are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_config: Option<TlsConfig>,
    /// The proxy to get there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<UrlText>,
    /// Hosts that are asked without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_proxy: Option<String>,
    /// Whether the environment says which proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_from_environment: Option<bool>,
    /// Headers for the proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_connect_header: Option<ProxyHeaders>,
}

impl OAuth2 {
    /// Returns whether the grant is the one with a signature.
    pub(crate) fn is_signed(&self) -> bool {
        self.grant_type() == JWT_BEARER
    }

    /// Returns the grant.
    pub fn grant_type(&self) -> &str {
        let given = self.grant_type.as_deref().filter(|grant| !grant.is_empty());
        given.unwrap_or(CLIENT_CREDENTIALS)
    }

    /// Checks that the fields go together.
    pub(super) fn validate(&self) -> Result<(), InvalidHttpConfig> {
        let error = |text: &str| Err(InvalidHttpConfig(text.to_owned()));
        if self.client_id.is_empty() {
            return error("oauth2 client_id must be configured");
        }
        if self.token_url.is_empty() {
            return error("oauth2 token_url must be configured");
        }
        at_most_one(
            self.client_secret.is_some(),
            self.client_secret_file.is_some(),
            "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be configured using grant-type=client_credentials",
        )?;
        at_most_one(
            self.client_certificate_key.is_some(),
            self.client_certificate_key_file.is_some(),
            "at most one of oauth2 client_certificate_key, client_certificate_key_file & client_certificate_key_ref must be configured using grant-type=urn:ietf:params:oauth:grant-type:jwt-bearer",
        )?;
        match self.grant_type() {
            CLIENT_CREDENTIALS | JWT_BEARER => (),
            other => {
                return Err(InvalidHttpConfig(format!(
                    "oauth2 grant_type {other:?} is unknown, use client_credentials or {JWT_BEARER}"
                )));
            }
        }
        if let Some(algorithm) = &self.signature_algorithm
            && !["", "RS256", "RS384", "RS512"].contains(&algorithm.as_str())
        {
            return error("valid signature algorithms are RS256, RS384 and RS512");
        }
        if let Some(tls) = &self.tls_config {
            tls.validate()?;
        }
        check_proxy(
            self.proxy_url.as_ref(),
            self.no_proxy.as_deref(),
            self.proxy_from_environment,
            self.proxy_connect_header.as_ref(),
        )
    }
}
