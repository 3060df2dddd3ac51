//! Who the instance is that we run on, and sessions for it.
//!
//! ```text
//! metadata server ──► certificate and its key ──┐
//! a key pair made here ─────────────────────────┴──► federation endpoint ──► token: the id of the key pair, for a while
//! ```
//!
//! Source: Oracle Cloud Infrastructure, "Calling Services from an Instance"; the federation endpoint as Oracle's SDKs use it.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use model::Duration;
use serde::Deserialize;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::{Content, OracleError, OracleKey};
use crate::bearer;
use crate::http_config::HttpConfig;
use crate::lease::{Lease, Leases};
use crate::outbound::HttpClient;
use crate::rsa::RsaKey;

/// Where a machine asks.
const MACHINE: &str = "http://169.254.169.254/opc/v2";
/// How long its answer may take: elsewhere nobody answers at all.
const MACHINE_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of a refusal is shown, in characters.
const SHOWN_CHARS_MAX: usize = 256;

/// Gets sessions for the instance that we run on.
pub struct OraclePrincipal {
    /// The URL of its metadata.
    machine: String,
    /// The URL of who gives sessions; nothing: that of the instance's region.
    authority: Option<String>,
    leases: Leases<Arc<OracleSession>>,
}

/// A session of an instance.
pub struct OracleSession {
    /// What requests are signed with.
    pub key: OracleKey,
    /// The tenancy that the instance is in.
    pub tenancy: String,
}

/// Where the instance is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    region_identifier: String,
    realm_domain_component: String,
}

#[derive(Deserialize)]
struct Answer {
    token: String,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
    #[serde(default)]
    message: String,
}

/// What we look for in a token.
#[derive(Deserialize)]
struct Claims {
    exp: i64,
}

impl Default for OraclePrincipal {
    fn default() -> Self {
        OraclePrincipal::at(MACHINE, None)
    }
}

impl OraclePrincipal {
    /// Returns the principal of the instance whose metadata are at `machine`.
    ///
    /// * `authority`: who gives sessions, if not who does so in its region.
    pub fn at(machine: &str, authority: Option<String>) -> Self {
        OraclePrincipal {
            machine: machine.to_owned(),
            authority,
            leases: Leases::default(),
        }
    }

    /// Returns a session that is valid now. `client` asks for it; the instance itself is asked without proxies.
    ///
    /// # Errors
    ///
    /// When there is none. The next call tries again.
    pub async fn session(&self, client: &HttpClient) -> Result<Arc<OracleSession>, OracleError> {
        self.leases.get(self.lease(client)).await
    }

    /// Forgets the session, because it was refused.
    pub async fn forget(&self) {
        self.leases.forget().await;
    }

    async fn lease(&self, client: &HttpClient) -> Result<Lease<Arc<OracleSession>>, OracleError> {
        let machine = HttpClient::new(HttpConfig::default(), Path::new(""), Some(MACHINE_TIMEOUT))?;
        let url = match &self.authority {
            Some(url) => url.clone(),
            None => self.authority_of_region(&machine).await?,
        };
        let leaf = self.metadata(&machine, "identity/cert.pem").await?;
        let pem = self.metadata(&machine, "identity/key.pem").await?;
        let intermediate = self.metadata(&machine, "identity/intermediate.pem").await?;
        let asked = format!("{}/identity/cert.pem", self.machine);
        let leaf = bare(&leaf);
        let der = STANDARD.decode(&leaf).ok();
        let tenancy = der.as_deref().and_then(tenancy);
        let (Some(der), Some(tenancy)) = (der, tenancy) else {
            return Err(unusable(
                &asked,
                "it is no certificate that names a tenancy",
            ));
        };
        let instance = OracleKey {
            id: format!("{tenancy}/fed-x509/{}", fingerprint(&der)),
            key: RsaKey::of_pem(&pem)?,
        };
        let made = tokio::task::spawn_blocking(RsaKey::generate).await;
        let (key, public) =
            made.map_err(|error| unusable("a key for the session", &error.to_string()))??;
        let token = token(
            client,
            &url,
            &instance,
            &leaf,
            &bare(&intermediate),
            &public,
        )
        .await?;
        let ends =
            expiry(&token).ok_or_else(|| unusable(&url, "the token does not say when it ends"))?;
        let id = format!("ST${token}");
        let key = OracleKey { id, key };
        Ok(Lease {
            value: Arc::new(OracleSession { key, tenancy }),
            ends: Some(ends),
        })
    }

    async fn authority_of_region(&self, machine: &HttpClient) -> Result<String, OracleError> {
        let text = self.metadata(machine, "instance/regionInfo").await?;
        let region: Region = serde_json::from_str(&text).map_err(|error| {
            let asked = format!("{}/instance/regionInfo", self.machine);
            unusable(&asked, &format!("unexpected answer: {error}"))
        })?;
        Ok(format!(
            "https://auth.{}.{}/v1/x509",
            region.region_identifier, region.realm_domain_component
        ))
    }

    async fn metadata(&self, machine: &HttpClient, path: &str) -> Result<String, OracleError> {
        let url = format!("{}/{path}", self.machine);
        let request = machine.get(&url).await?;
        let body = answered(&url, request.header(AUTHORIZATION, "Bearer Oracle")).await?;
        String::from_utf8(body).map_err(|_| unusable(&url, "the answer is no text"))
    }
}

/// Asks for a token that says whose the key pair is that has this public half.
async fn token(
    client: &HttpClient,
    url: &str,
    instance: &OracleKey,
    leaf: &str,
    intermediate: &str,
    public: &str,
) -> Result<String, OracleError> {
    let body = serde_json::json!({
        "certificate": leaf,
        "publicKey": public,
        "intermediateCertificates": [intermediate],
    })
    .to_string();
    let content = Content {
        text: body.as_bytes(),
        kind: "application/json",
    };
    let headers = instance.sign("post", url, Some(content), Timestamp::now())?;
    let request = client.post(url).await?.headers(headers).body(body);
    let body = answered(url, request).await?;
    let answer: Answer =
        serde_json::from_slice(&body).map_err(|_| unusable(url, "the answer holds no token"))?;
    Ok(answer.token)
}

/// Sends a request and returns the body of the answer.
async fn answered(asked: &str, request: reqwest::RequestBuilder) -> Result<Vec<u8>, OracleError> {
    let wrong = |reason: &str| unusable(asked, reason);
    let (status, body) = bearer::answered(request)
        .await
        .map_err(|error| wrong(&error))?;
    if status == 200 {
        return Ok(body);
    }
    let said = serde_json::from_slice(&body);
    let said = said.map_or_else(
        |_| String::new(),
        |Refusal { code, message }| format!(": {code}: {message}"),
    );
    let said: String = said.chars().take(SHOWN_CHARS_MAX).collect();
    Err(wrong(&format!("HTTP status {status}{said}")))
}

fn unusable(asked: &str, reason: &str) -> OracleError {
    OracleError::Answer {
        asked: asked.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Returns the base64 of a PEM block.
fn bare(pem: &str) -> String {
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    lines.flat_map(str::split_whitespace).collect()
}

/// Returns the tenancy that a certificate says its subject is in.
fn tenancy(der: &[u8]) -> Option<String> {
    let certificate = Certificate::from_der(der).ok()?;
    let subject = certificate.tbs_certificate().subject();
    let names = subject.iter().map(|name| name.value.value());
    let mut tenancies = names.filter_map(|name| {
        let name = std::str::from_utf8(name).ok()?;
        let tenancy = name.strip_prefix("opc-tenant:");
        tenancy.or_else(|| name.strip_prefix("opc-identity:"))
    });
    tenancies.next().map(str::to_owned)
}

/// Returns what the cloud knows a certificate by.
fn fingerprint(der: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, der);
    let bytes = digest.as_ref().iter();
    bytes
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(":")
}

/// Returns when a token ends.
fn expiry(token: &str) -> Option<Timestamp> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Timestamp::from_second(claims.exp).ok()
}

#[cfg(test)]
mod tests;
