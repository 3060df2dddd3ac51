//! Google's cloud: tokens for its APIs.
//!
//! Credentials are looked for where Google's libraries look: the file that `GOOGLE_APPLICATION_CREDENTIALS` names, the one that
//! `gcloud auth application-default login` leaves, the metadata server of the machine.
//!
//! # Not here
//!
//! Workload identity federation (`external_account`) and impersonation: an error names the kind of credentials.
//!
//! Source: Google Cloud, "How Application Default Credentials works", "Using OAuth 2.0 for Server to Server Applications".

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::bearer::{BearerError, fetch};
use crate::environment::Environment;
use crate::http_config::{HttpConfig, Secret};
use crate::lease::{Lease, Leases};
use crate::outbound::HttpClient;
use crate::rsa::RsaKey;
use model::Duration;

/// Who hands out tokens, if the file does not say.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// Where a machine asks.
const METADATA_HOST: &str = "metadata.google.internal";
/// How long an answer of the metadata server may take: elsewhere nobody answers at all.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a token of a service account is asked for, in seconds.
const TOKEN_SECONDS: i64 = 3_600;
/// How long a file may be, in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Gets tokens for one scope.
pub struct GoogleTokens {
    environment: Environment,
    scope: &'static str,
    leases: Leases<Secret>,
}

/// A file with credentials.
#[derive(Deserialize)]
struct Credentials {
    r#type: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key: Secret,
    #[serde(default)]
    private_key_id: String,
    #[serde(default)]
    token_uri: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    client_secret: Secret,
    #[serde(default)]
    refresh_token: Secret,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

impl GoogleTokens {
    /// Returns what gets tokens for `scope`.
    pub fn new(scope: &'static str, environment: Environment) -> Self {
        GoogleTokens {
            environment,
            scope,
            leases: Leases::default(),
        }
    }

    /// Returns a token that is valid now. `client` asks for it, if it is not the machine's.
    ///
    /// # Errors
    ///
    /// When there is none. The next call tries again.
    pub async fn token(&self, client: &HttpClient) -> Result<Secret, BearerError> {
        self.leases.get(self.lease(client)).await
    }

    /// Forgets the token, because it was refused.
    pub async fn forget(&self) {
        self.leases.forget().await;
    }

    async fn lease(&self, client: &HttpClient) -> Result<Lease<Secret>, BearerError> {
        let named = self.environment.get("GOOGLE_APPLICATION_CREDENTIALS");
        if let Some(path) = named.map(PathBuf::from) {
            let text = read(&path)?.ok_or_else(|| wrong(&path, "no such file"))?;
            return self.lease_of_file(client, &path, &text).await;
        }
        let well_known = ".config/gcloud/application_default_credentials.json";
        let home = self.environment.get("HOME").map(PathBuf::from);
        if let Some(path) = home.map(|home| home.join(well_known))
            && let Some(text) = read(&path)?
        {
            return self.lease_of_file(client, &path, &text).await;
        }
        self.lease_of_machine().await
    }

    async fn lease_of_file(
        &self,
        client: &HttpClient,
        path: &Path,
        text: &str,
    ) -> Result<Lease<Secret>, BearerError> {
        let file: Credentials = serde_json::from_str(text).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            wrong(path, &format!("no credentials of Google ({place})"))
        })?;
        let uri = match file.token_uri.as_str() {
            "" => TOKEN_URI,
            uri => uri,
        };
        let form = match file.r#type.as_str() {
            "service_account" => {
                let assertion = self.assertion(&file, uri);
                let assertion = assertion.map_err(|error| wrong(path, &error.to_string()))?;
                vec![
                    (
                        "grant_type",
                        "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned(),
                    ),
                    ("assertion", assertion),
                ]
            }
            "authorized_user" => vec![
                ("grant_type", "refresh_token".to_owned()),
                ("client_id", file.client_id.clone()),
                ("client_secret", file.client_secret.reveal().to_owned()),
                ("refresh_token", file.refresh_token.reveal().to_owned()),
            ],
            other => {
                let text = format!(
                    "credentials of the type {other:?} are not built, only service_account and authorized_user"
                );
                return Err(wrong(path, &text));
            }
        };
        let request = client.post(uri).await?.form(&form);
        fetch("Google", request).await
    }

    /// Returns what proves that we are a service account.
    fn assertion(&self, file: &Credentials, uri: &str) -> Result<String, crate::rsa::RsaError> {
        let now = Timestamp::now().as_second();
        let claims = Claims {
            iss: &file.client_email,
            scope: self.scope,
            aud: uri,
            iat: now,
            exp: now + TOKEN_SECONDS,
        };
        RsaKey::of_pem(file.private_key.reveal())?.jwt(&file.private_key_id, &claims)
    }

    async fn lease_of_machine(&self) -> Result<Lease<Secret>, BearerError> {
        let host = self.environment.get("GCE_METADATA_HOST");
        let host = host.unwrap_or_else(|| METADATA_HOST.to_owned());
        let url =
            format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
        let config = HttpConfig::default();
        let client = HttpClient::new(config, Path::new(""), Some(METADATA_TIMEOUT))?;
        let request = client.get(&url).await?.header("Metadata-Flavor", "Google");
        let lease = fetch(
            "the machine's metadata server",
            request.query(&[("scopes", self.scope)]),
        );
        lease.await.map_err(|error| {
            BearerError::NoIdentity(format!(
                "no credentials of Google: set GOOGLE_APPLICATION_CREDENTIALS to a file, or run on a machine with a service account ({error})"
            ))
        })
    }
}

fn wrong(path: &Path, reason: &str) -> BearerError {
    BearerError::File {
        path: path.display().to_string(),
        reason: reason.to_owned(),
    }
}

/// Returns what a file holds; `None` if it is not there.
fn read(path: &Path) -> Result<Option<String>, BearerError> {
    match std::fs::read(path) {
        Ok(bytes) if FILE_BYTES_MAX < bytes.len() => Err(wrong(path, "it is longer than 1 MiB")),
        Ok(bytes) => {
            let text = String::from_utf8(bytes);
            text.map(Some).map_err(|_| wrong(path, "it is no text"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(wrong(path, &error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Server, server};

    fn client() -> HttpClient {
        HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap()
    }

    async fn authority() -> Server {
        server(|request| match request.contains("refused") {
            true => (
                400,
                r#"{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}"#
                    .to_owned(),
            ),
            false => (
                200,
                r#"{"access_token": "ya29.x", "expires_in": 3599, "token_type": "Bearer"}"#
                    .to_owned(),
            ),
        })
        .await
    }

    async fn token_of(credentials: &serde_json::Value) -> Result<Secret, BearerError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), credentials.to_string()).unwrap();
        let path = file.path().to_str().unwrap();
        let environment = Environment::of(&[("GOOGLE_APPLICATION_CREDENTIALS", path)]);
        GoogleTokens::new("a-scope", environment)
            .token(&client())
            .await
    }

    #[tokio::test]
    async fn a_service_account_signs_what_it_asks_for() {
        let authority = authority().await;
        let file = serde_json::json!({
            "type": "service_account", "project_id": "p", "private_key_id": "kid", "client_id": "1",
            "private_key": crate::rsa::tests::PKCS8, "client_email": "me@p.iam.gserviceaccount.com",
            "token_uri": authority.url,
        });
        assert_eq!(token_of(&file).await.unwrap().reveal(), "ya29.x");
        let asked = authority.asked();
        let body = asked[0].split("\r\n\r\n").nth(1).unwrap();
        let assertion = body
            .strip_prefix(
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=",
            )
            .unwrap();
        let claims = assertion.split('.').nth(1).unwrap();
        let claims =
            base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, claims).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["iss"], "me@p.iam.gserviceaccount.com");
        assert_eq!(
            (&claims["scope"], &claims["aud"]),
            (&"a-scope".into(), &authority.url.clone().into())
        );
        let (iat, exp) = (
            claims["iat"].as_i64().unwrap(),
            claims["exp"].as_i64().unwrap(),
        );
        assert_eq!(exp - iat, 3_600);
    }

    #[tokio::test]
    async fn a_user_has_a_token_for_tokens() {
        let authority = authority().await;
        let mut file = serde_json::json!({
            "type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r",
            "token_uri": authority.url,
        });
        assert_eq!(token_of(&file).await.unwrap().reveal(), "ya29.x");
        assert!(authority.asked()[0].ends_with(
            "\r\n\r\ngrant_type=refresh_token&client_id=c&client_secret=s&refresh_token=r"
        ));
        file["refresh_token"] = "refused".into();
        assert_eq!(
            token_of(&file).await.unwrap_err().to_string(),
            "token of Google: HTTP status 400: invalid_grant: Invalid JWT Signature."
        );
        file["type"] = "external_account".into();
        let error = token_of(&file).await.unwrap_err().to_string();
        assert!(error.ends_with(
            "credentials of the type \"external_account\" are not built, only service_account and authorized_user"
        ));
    }

    #[tokio::test]
    async fn a_machine_asks_its_metadata_server_once() {
        let metadata = authority().await;
        let host = metadata.url.strip_prefix("http://").unwrap();
        let environment = Environment::of(&[("GCE_METADATA_HOST", host), ("HOME", "/nonexistent")]);
        let tokens = GoogleTokens::new("https://scope", environment);
        let client = client();
        for _ in 0..2 {
            assert_eq!(tokens.token(&client).await.unwrap().reveal(), "ya29.x");
        }
        let asked = metadata.asked();
        assert_eq!(asked.len(), 1);
        assert!(asked[0].starts_with(
            "GET /computeMetadata/v1/instance/service-accounts/default/token?scopes=https%3A%2F%2Fscope HTTP/1.1\r\n"
        ));
        assert!(asked[0].contains("metadata-flavor: Google\r\n"));
    }

    #[tokio::test]
    async fn a_key_that_is_none_is_not_shown() {
        let file = serde_json::json!({
            "type": "service_account", "private_key": "very-secret", "client_email": "me",
        });
        let error = token_of(&file).await.unwrap_err().to_string();
        assert!(
            error.ends_with("is no PEM block (expected -----BEGIN PRIVATE KEY-----)"),
            "{error}"
        );
        assert!(!error.contains("very-secret"));
    }
}
