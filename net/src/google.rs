//! Google's cloud: tokens for its APIs.
//!
//! Credentials are looked for where Google's libraries look: the file that `GOOGLE_APPLICATION_CREDENTIALS` names, the one that
//! `gcloud auth application-default login` leaves, the metadata server of the machine.
//!
//! ```text
//! service_account, authorized_user ──► token endpoint ─────────────┐
//! external_account ──► subject token ──► Security Token Service ───┼──► token
//! impersonated_service_account ──► one of the above ──► IAM ───────┘
//! ```
//!
//! Source: Google Cloud, "How Application Default Credentials works", "Using OAuth 2.0 for Server to Server Applications".

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::bearer::{BearerError, fetch};
use crate::environment::Environment;
use crate::http_config::{HttpConfig, Secret};
use crate::lease::{Lease, Leases};
use crate::outbound::HttpClient;
use model::Duration;

use self::file::File;

mod external;
mod file;
mod impersonation;
mod subject;

/// Where a machine asks.
const METADATA_HOST: &str = "metadata.google.internal";
/// How long an answer of the metadata server may take: elsewhere nobody answers at all.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a file may be, in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Gets tokens for one scope.
pub struct GoogleTokens {
    environment: Environment,
    scope: &'static str,
    leases: Leases<Secret>,
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
        let file = |path, text| File {
            client,
            environment: &self.environment,
            path,
            text,
        };
        let named = self.environment.get("GOOGLE_APPLICATION_CREDENTIALS");
        if let Some(path) = named.map(PathBuf::from) {
            let text = read(&path)?.ok_or_else(|| wrong(&path, "no such file"))?;
            return file(&path, &text).lease(self.scope).await;
        }
        let well_known = ".config/gcloud/application_default_credentials.json";
        let home = self.environment.get("HOME").map(PathBuf::from);
        if let Some(path) = home.map(|home| home.join(well_known))
            && let Some(text) = read(&path)?
        {
            return file(&path, &text).lease(self.scope).await;
        }
        self.lease_of_machine().await
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
mod tests;
