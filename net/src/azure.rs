//! Azure: tokens for its APIs.
//!
//! # Not here
//!
//! Certificates of clients, and of the ways of Azure's libraries those that need a program (`az`, `azd`): a machine that runs as a
//! service has none.
//!
//! Source: Microsoft identity platform, "OAuth 2.0 client credentials flow"; Azure, "How to use managed identities to get an
//! access token"; "Workload Identity Federation".

use std::path::Path;

use crate::bearer::{BearerError, fetch};
use crate::environment::Environment;
use crate::http_config::{HttpConfig, Secret};
use crate::lease::{Lease, Leases};
use crate::outbound::HttpClient;
use model::Duration;

/// Where a machine asks.
const MACHINE: &str = "http://169.254.169.254";
const MACHINE_PATH: &str = "/metadata/identity/oauth2/token";
const MACHINE_VERSION: &str = "2018-02-01";
/// The version of the endpoint that App Service and the like give.
const APP_VERSION: &str = "2019-08-01";
/// How long a machine's answer may take.
const MACHINE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a file with a token may be, in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How tokens are got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// With a client's secret.
    Secret,
    /// With the identity of the machine.
    ManagedIdentity,
    /// With the token in a file that the platform writes.
    WorkloadIdentity,
    /// As Azure's libraries do: a secret in the environment, a workload's identity, the machine's.
    Sdk,
}

/// Who we are; what is empty may come from the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The tenant.
    pub tenant_id: String,
    /// The client.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: Secret,
}

/// Gets tokens for one resource.
pub struct AzureTokens {
    way: Way,
    account: Account,
    /// The URL of who hands them out.
    authority: String,
    /// What they are for, without a slash at the end.
    resource: String,
    environment: Environment,
    leases: Leases<Secret>,
}

impl AzureTokens {
    /// Returns what gets tokens for `resource` from `authority`, both URLs.
    pub fn new(
        way: Way,
        account: Account,
        authority: &str,
        resource: &str,
        environment: Environment,
    ) -> Self {
        let authority_host = environment.get("AZURE_AUTHORITY_HOST");
        AzureTokens {
            way,
            account,
            authority: authority_host.unwrap_or_else(|| authority.to_owned()),
            resource: resource.trim_end_matches('/').to_owned(),
            environment,
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
        match self.way {
            Way::Secret => {
                let secret = self.account.client_secret.reveal().to_owned();
                self.of_client(client, vec![("client_secret", secret)]).await
            }
            Way::ManagedIdentity => self.of_machine().await,
            Way::WorkloadIdentity => match self.environment.get("AZURE_FEDERATED_TOKEN_FILE") {
                Some(file) => self.of_workload(client, &file).await,
                None => Err(BearerError::NoIdentity(
                    "AZURE_FEDERATED_TOKEN_FILE is not set: give the pod a workload identity, or choose another authentication_method".to_owned(),
                )),
            },
            Way::Sdk => {
                if let Some(secret) = self.environment.get("AZURE_CLIENT_SECRET") {
                    return self.of_client(client, vec![("client_secret", secret)]).await;
                }
                match self.environment.get("AZURE_FEDERATED_TOKEN_FILE") {
                    Some(file) => self.of_workload(client, &file).await,
                    None => self.of_machine().await,
                }
            }
        }
    }

    async fn of_workload(
        &self,
        client: &HttpClient,
        file: &str,
    ) -> Result<Lease<Secret>, BearerError> {
        let wrong = |reason: &str| BearerError::File {
            path: file.to_owned(),
            reason: reason.to_owned(),
        };
        let bytes = std::fs::read(file).map_err(|error| wrong(&error.to_string()))?;
        if FILE_BYTES_MAX < bytes.len() {
            return Err(wrong("it is longer than 1 MiB"));
        }
        let token = String::from_utf8(bytes).map_err(|_| wrong("it is no text"))?;
        let pairs = vec![
            ("client_assertion_type", ASSERTION.to_owned()),
            ("client_assertion", token.trim().to_owned()),
        ];
        self.of_client(client, pairs).await
    }

    /// Asks the authority, with what proves who we are.
    async fn of_client(
        &self,
        client: &HttpClient,
        proof: Vec<(&'static str, String)>,
    ) -> Result<Lease<Secret>, BearerError> {
        let said = |text: &str, variable: &str| match text {
            "" => self.environment.get(variable).ok_or_else(|| {
                BearerError::NoIdentity(format!(
                    "neither the configuration nor {variable} says who we are"
                ))
            }),
            text => Ok(text.to_owned()),
        };
        let tenant = said(&self.account.tenant_id, "AZURE_TENANT_ID")?;
        let client_id = said(&self.account.client_id, "AZURE_CLIENT_ID")?;
        let mut form = vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", client_id),
            ("scope", format!("{}/.default", self.resource)),
        ];
        form.extend(proof);
        let authority = self.authority.trim_end_matches('/');
        let tenant = crate::escape::component(&tenant);
        let url = format!("{authority}/{tenant}/oauth2/v2.0/token");
        fetch("Azure", client.post(&url).await?.form(&form)).await
    }

    async fn of_machine(&self) -> Result<Lease<Secret>, BearerError> {
        let config = HttpConfig::default();
        let client = HttpClient::new(config, Path::new(""), Some(MACHINE_TIMEOUT))?;
        let mut query = vec![("resource", self.resource.clone())];
        if !self.account.client_id.is_empty() {
            query.push(("client_id", self.account.client_id.clone()));
        }
        let app = self.environment.get("IDENTITY_ENDPOINT");
        let app = app.zip(self.environment.get("IDENTITY_HEADER"));
        let request = if let Some((url, header)) = app {
            query.push(("api-version", APP_VERSION.to_owned()));
            client.get(&url).await?.header("X-IDENTITY-HEADER", header)
        } else {
            query.push(("api-version", MACHINE_VERSION.to_owned()));
            let host = self.environment.get("AZURE_POD_IDENTITY_AUTHORITY_HOST");
            let host = host.unwrap_or_else(|| MACHINE.to_owned());
            let url = format!("{}{MACHINE_PATH}", host.trim_end_matches('/'));
            client.get(&url).await?.header("Metadata", "true")
        };
        fetch("the machine's managed identity", request.query(&query)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Server, server};

    async fn authority() -> Server {
        server(|request| match request.contains("wrong") {
            true => (
                401,
                r#"{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided.\r\nTrace ID: x"}"#.to_owned(),
            ),
            false => (
                200,
                r#"{"token_type": "Bearer", "expires_in": "3599", "access_token": "eyJ0"}"#.to_owned(),
            ),
        })
        .await
    }

    fn tokens(way: Way, secret: &str, server: &Server, variables: &[(&str, &str)]) -> AzureTokens {
        let account = Account {
            tenant_id: "ten ant".to_owned(),
            client_id: "me".to_owned(),
            client_secret: Secret::new(secret),
        };
        let environment = Environment::of(variables);
        AzureTokens::new(way, account, &server.url, "https://arm/", environment)
    }

    async fn token(tokens: &AzureTokens) -> Result<String, String> {
        let client = HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap();
        let token = tokens.token(&client).await;
        token
            .map(|token| token.reveal().to_owned())
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_client_has_a_secret() {
        let server = authority().await;
        let right = tokens(Way::Secret, "s&s", &server, &[]);
        assert_eq!(token(&right).await.unwrap(), "eyJ0");
        assert_eq!(token(&right).await.unwrap(), "eyJ0");
        let asked = server.asked();
        assert_eq!(asked.len(), 1);
        assert!(asked[0].starts_with("POST /ten%20ant/oauth2/v2.0/token HTTP/1.1\r\n"));
        assert!(asked[0].ends_with(
            "\r\n\r\ngrant_type=client_credentials&client_id=me&scope=https%3A%2F%2Farm%2F.default&client_secret=s%26s"
        ));
        let wrong = tokens(Way::Secret, "wrong", &server, &[]);
        assert_eq!(
            token(&wrong).await.unwrap_err(),
            "token of Azure: HTTP status 401: invalid_client: AADSTS7000215: Invalid client secret provided."
        );
    }

    #[tokio::test]
    async fn a_machine_has_an_identity() {
        let server = authority().await;
        let host = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", server.url.as_str())];
        token(&tokens(Way::ManagedIdentity, "", &server, &host))
            .await
            .unwrap();
        let app = [
            ("IDENTITY_ENDPOINT", server.url.as_str()),
            ("IDENTITY_HEADER", "h"),
        ];
        token(&tokens(Way::Sdk, "", &server, &app)).await.unwrap();
        let asked = server.asked();
        assert!(asked[0].starts_with(
            "GET /metadata/identity/oauth2/token?resource=https%3A%2F%2Farm&client_id=me&api-version=2018-02-01 HTTP"
        ));
        assert!(asked[0].contains("\r\nmetadata: true\r\n"));
        assert!(asked[1].starts_with(
            "GET /?resource=https%3A%2F%2Farm&client_id=me&api-version=2019-08-01 HTTP"
        ));
        assert!(asked[1].contains("\r\nx-identity-header: h\r\n"));
    }

    #[tokio::test]
    async fn a_workload_has_a_token_in_a_file() {
        let server = authority().await;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a.b.c\n").unwrap();
        let variables = [("AZURE_FEDERATED_TOKEN_FILE", file.path().to_str().unwrap())];
        for way in [Way::WorkloadIdentity, Way::Sdk] {
            token(&tokens(way, "", &server, &variables)).await.unwrap();
        }
        for asked in server.asked() {
            assert!(asked.ends_with(
                "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=a.b.c"
            ));
        }
        let error = token(&tokens(Way::WorkloadIdentity, "", &server, &[])).await;
        assert!(
            error
                .unwrap_err()
                .starts_with("AZURE_FEDERATED_TOKEN_FILE is not set")
        );
    }
}
