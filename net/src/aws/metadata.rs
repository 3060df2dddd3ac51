//! What a machine or a container of Amazon's cloud can ask about itself.
//!
//! Source: AWS, "Use the Instance Metadata Service", version 2; "Container credential provider".

use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;

use super::credentials::Issued;
use super::{AwsError, Credentials};
use crate::environment::Environment;
use crate::http_config::HttpConfig;
use crate::lease::Lease;
use crate::outbound::HttpClient;
use model::Duration;

/// Where a machine asks.
const MACHINE: &str = "http://169.254.169.254";
/// Where a container asks that is given a path only.
const CONTAINER: &str = "http://169.254.170.2";
/// Hosts besides the loopback ones that a container may be sent to without TLS.
const CONTAINER_HOSTS: &[&str] = &["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
/// How long an answer may take: elsewhere nobody answers at all.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer may be, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How long a token for the metadata is asked for, in seconds.
const TOKEN_SECONDS: &str = "21600";

/// Asks the metadata services.
pub(super) struct Metadata<'a> {
    environment: &'a Environment,
    client: HttpClient,
}

#[derive(Deserialize)]
struct Document {
    region: String,
}

impl<'a> Metadata<'a> {
    /// # Errors
    ///
    /// When no client can be made.
    pub(super) fn new(environment: &'a Environment) -> Result<Self, AwsError> {
        Ok(Metadata {
            environment,
            client: HttpClient::new(HttpConfig::default(), Path::new(""), Some(TIMEOUT))?,
        })
    }

    /// Returns the region of the machine.
    pub(super) async fn region(&self) -> Result<String, AwsError> {
        let token = self.token().await?;
        let path = "/latest/dynamic/instance-identity/document";
        let document = self.of_machine(path, &token).await?;
        let document: Document = parsed(path, &document)?;
        Ok(document.region)
    }

    /// Returns the credentials of the machine's role.
    pub(super) async fn machine(&self) -> Result<Lease<Credentials>, AwsError> {
        let token = self.token().await?;
        let path = "/latest/meta-data/iam/security-credentials/";
        let roles = self.of_machine(path, &token).await?;
        let role = String::from_utf8_lossy(&roles);
        let role = role.lines().next().unwrap_or_default().trim();
        if role.is_empty() {
            return Err(AwsError::request(path, "the machine has no role"));
        }
        let path = format!("{path}{}", crate::escape::component(role));
        let issued = self.of_machine(&path, &token).await?;
        parsed::<Issued>(&path, &issued).map(Lease::from)
    }

    /// Returns the credentials of the container's role; `None` if we are in no container that has one.
    pub(super) async fn container(&self) -> Option<Result<Lease<Credentials>, AwsError>> {
        let relative = self
            .environment
            .get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        let url = match relative {
            Some(path) => format!("{CONTAINER}{path}"),
            None => self.environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")?,
        };
        Some(self.of_container(&url).await)
    }

    async fn of_container(&self, url: &str) -> Result<Lease<Credentials>, AwsError> {
        const ASKED: &str = "credentials of the container";
        if !is_trusted(url) {
            return Err(AwsError::request(
                ASKED,
                "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor an address of this machine",
            ));
        }
        let mut request = self.client.get(url).await?;
        let file = self
            .environment
            .get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        let token = match file {
            Some(file) => Some(token_of_file(&file)?),
            None => self.environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        };
        if let Some(token) = token {
            request = request.header("Authorization", token);
        }
        let issued = answer(ASKED, request).await?;
        parsed::<Issued>(ASKED, &issued).map(Lease::from)
    }

    async fn token(&self) -> Result<String, AwsError> {
        let disabled = self.environment.get("AWS_EC2_METADATA_DISABLED");
        if disabled.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(AwsError::request(
                "metadata of the machine",
                "AWS_EC2_METADATA_DISABLED is set",
            ));
        }
        let path = "/latest/api/token";
        let url = self.machine_url(path);
        let request = self.client.request(reqwest::Method::PUT, &url).await?;
        let request = request.header("X-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS);
        let token = answer(path, request).await?;
        Ok(String::from_utf8_lossy(&token).trim().to_owned())
    }

    async fn of_machine(&self, path: &str, token: &str) -> Result<Vec<u8>, AwsError> {
        let request = self.client.get(&self.machine_url(path)).await?;
        answer(path, request.header("X-aws-ec2-metadata-token", token)).await
    }

    fn machine_url(&self, path: &str) -> String {
        let base = self.environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let base = base.unwrap_or_else(|| MACHINE.to_owned());
        format!("{}{path}", base.trim_end_matches('/'))
    }
}

/// Reads a token that a file holds.
pub(super) fn token_of_file(path: &str) -> Result<String, AwsError> {
    let text = std::fs::read_to_string(path).map_err(|error| AwsError::File {
        path: path.into(),
        reason: error.to_string(),
    })?;
    Ok(text.trim().to_owned())
}

/// Whether a URL may be sent a container's token: with TLS, or if it stays on the machine.
fn is_trusted(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    url.scheme() == "https"
        || host == "localhost"
        || CONTAINER_HOSTS.contains(&host)
        || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Sends a request and returns the body of its answer, which must have the status 200.
pub(super) async fn answer(
    asked: &str,
    request: reqwest::RequestBuilder,
) -> Result<Vec<u8>, AwsError> {
    let response = request
        .send()
        .await
        .map_err(|error| AwsError::request(asked, crate::outbound::chain(&error.without_url())))?;
    let status = response.status().as_u16();
    let body = crate::outbound::body(response, ANSWER_BYTES_MAX).await;
    let body = body.map_err(|error| AwsError::request(asked, error))?;
    match status {
        200 => Ok(body),
        _ => Err(AwsError::of_answer(asked, status, None, &body)),
    }
}

/// Reads JSON; what is wrong with it is told without showing it.
fn parsed<T: serde::de::DeserializeOwned>(asked: &str, body: &[u8]) -> Result<T, AwsError> {
    serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        AwsError::request(asked, format!("unexpected answer at {place}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_containers_stay_on_the_machine() {
        for url in [
            "https://example.com/x",
            "http://127.0.0.1:1/x",
            "http://[::1]/x",
            "http://localhost/x",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
        ] {
            assert!(is_trusted(url), "{url}");
        }
        for url in ["http://example.com/", "http://169.254.169.254/", "/x", ""] {
            assert!(!is_trusted(url), "{url}");
        }
    }
}
