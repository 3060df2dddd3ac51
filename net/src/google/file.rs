//! Files with credentials.

use std::path::Path;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::external::External;
use super::impersonation::{Impersonation, PLATFORM_SCOPE};
use crate::bearer::{BearerError, fetch};
use crate::environment::Environment;
use crate::http_config::Secret;
use crate::lease::Lease;
use crate::outbound::HttpClient;
use crate::rsa::{RsaError, RsaKey};

/// Who hands out tokens, if the file does not say.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// How long a token of a service account is asked for, in seconds.
const TOKEN_SECONDS: i64 = 3_600;
/// What may be in a file.
const KINDS: &str =
    "service_account, authorized_user, external_account or impersonated_service_account";

/// A file with credentials, and what tokens are asked for with.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    pub(super) client: &'a HttpClient,
    pub(super) environment: &'a Environment,
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct ServiceAccount {
    client_email: String,
    private_key: Secret,
    private_key_id: String,
    token_uri: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct User {
    client_id: String,
    client_secret: Secret,
    refresh_token: Secret,
    token_uri: String,
}

#[derive(Deserialize)]
struct Impersonated {
    service_account_impersonation_url: String,
    #[serde(default)]
    delegates: Vec<String>,
    source_credentials: Value,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

impl File<'_> {
    /// Returns a token for `scope`.
    ///
    /// # Errors
    ///
    /// When the file has no credentials, or there is no token for them.
    pub(super) async fn lease(self, scope: &str) -> Result<Lease<Secret>, BearerError> {
        let credentials: Value = serde_json::from_str(self.text).map_err(|e| self.no_json(&e))?;
        if kind(&credentials) != "impersonated_service_account" {
            return self.lease_of(credentials, scope).await;
        }
        let file: Impersonated = self.parsed(credentials)?;
        let source = self
            .lease_of(file.source_credentials, PLATFORM_SCOPE)
            .await?;
        let impersonation = Impersonation {
            url: &file.service_account_impersonation_url,
            delegates: &file.delegates,
            seconds: None,
        };
        impersonation.lease(self.client, &source.value, scope).await
    }

    /// Returns a token for credentials that stand on no others.
    async fn lease_of(self, credentials: Value, scope: &str) -> Result<Lease<Secret>, BearerError> {
        let (uri, form) = match kind(&credentials) {
            "service_account" => {
                let account: ServiceAccount = self.parsed(credentials)?;
                let assertion = account.assertion(scope);
                let assertion = assertion.map_err(|error| self.wrong(&error.to_string()))?;
                let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
                let form = vec![("grant_type", grant.to_owned()), ("assertion", assertion)];
                (account.token_uri, form)
            }
            "authorized_user" => {
                let user: User = self.parsed(credentials)?;
                let form = vec![
                    ("grant_type", "refresh_token".to_owned()),
                    ("client_id", user.client_id),
                    ("client_secret", user.client_secret.reveal().to_owned()),
                    ("refresh_token", user.refresh_token.reveal().to_owned()),
                ];
                (user.token_uri, form)
            }
            "external_account" => {
                let external: External = self.parsed(credentials)?;
                return external.lease(self, scope).await;
            }
            other => {
                let text =
                    format!("credentials of the type {other:?} are unknown (expected {KINDS})");
                return Err(self.wrong(&text));
            }
        };
        let request = self.client.post(or_default(&uri)).await?.form(&form);
        fetch("Google", request).await
    }

    pub(super) fn wrong(self, reason: &str) -> BearerError {
        super::wrong(self.path, reason)
    }

    fn parsed<T: DeserializeOwned>(self, credentials: Value) -> Result<T, BearerError> {
        // What is wrong with it is told without showing it.
        serde_json::from_value(credentials).map_err(|_| {
            self.wrong("no credentials of Google: a field is missing, or is not what it should be")
        })
    }

    fn no_json(self, error: &serde_json::Error) -> BearerError {
        let place = format!("line {}, column {}", error.line(), error.column());
        self.wrong(&format!("no credentials of Google ({place})"))
    }
}

impl ServiceAccount {
    /// Returns what proves that we are this service account.
    fn assertion(&self, scope: &str) -> Result<String, RsaError> {
        let now = Timestamp::now().as_second();
        let claims = Claims {
            iss: &self.client_email,
            scope,
            aud: or_default(&self.token_uri),
            iat: now,
            exp: now + TOKEN_SECONDS,
        };
        RsaKey::of_pem(self.private_key.reveal())?.jwt(&self.private_key_id, &claims)
    }
}

fn or_default(token_uri: &str) -> &str {
    match token_uri {
        "" => TOKEN_URI,
        uri => uri,
    }
}

fn kind(credentials: &Value) -> &str {
    credentials["type"].as_str().unwrap_or_default()
}
