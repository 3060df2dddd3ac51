//! Identities of elsewhere, which Google's Security Token Service exchanges for tokens: workload identity federation.
//!
//! Source: Google Cloud, "Workload Identity Federation"; [AIP-4117](https://google.aip.dev/auth/4117);
//! [RFC 8693](https://www.rfc-editor.org/rfc/rfc8693).

use serde::Deserialize;
use serde_json::json;

use super::file::File;
use super::impersonation::{Impersonation, PLATFORM_SCOPE};
use super::subject::SubjectSource;
use crate::bearer::{BearerError, fetch};
use crate::http_config::Secret;
use crate::lease::Lease;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// The domain of Google's services, if the file does not say.
const UNIVERSE: &str = "googleapis.com";
const ASKED: &str = "Google's Security Token Service";

/// A file of the type `external_account`.
#[derive(Deserialize)]
pub(super) struct External {
    /// The provider that the identity is of.
    pub(super) audience: String,
    pub(super) subject_token_type: String,
    #[serde(default)]
    token_url: String,
    #[serde(default)]
    pub(super) service_account_impersonation_url: String,
    #[serde(default)]
    service_account_impersonation: Lifetime,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    client_secret: Secret,
    /// Who pays, where it is no workload but a person.
    #[serde(default)]
    workforce_pool_user_project: String,
    #[serde(default)]
    universe_domain: String,
    pub(super) credential_source: SubjectSource,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Lifetime {
    token_lifetime_seconds: Option<u32>,
}

impl External {
    /// Returns a token for `scope`: that of the exchange, or one of the service account that the file names.
    ///
    /// # Errors
    ///
    /// When the identity cannot be had, or there is no token for it.
    pub(super) async fn lease(
        &self,
        file: File<'_>,
        scope: &str,
    ) -> Result<Lease<Secret>, BearerError> {
        if self.service_account_impersonation_url.is_empty() {
            return self.exchanged(file, scope).await;
        }
        let federated = self.exchanged(file, PLATFORM_SCOPE).await?;
        let impersonation = Impersonation {
            url: &self.service_account_impersonation_url,
            delegates: &[],
            seconds: self.service_account_impersonation.token_lifetime_seconds,
        };
        let token = &federated.value;
        impersonation.lease(file.client, token, scope).await
    }

    async fn exchanged(&self, file: File<'_>, scope: &str) -> Result<Lease<Secret>, BearerError> {
        let subject = self.credential_source.token(self, file).await?;
        let mut form = vec![
            ("audience", self.audience.clone()),
            ("grant_type", GRANT.to_owned()),
            ("requested_token_type", ACCESS_TOKEN.to_owned()),
            ("subject_token_type", self.subject_token_type.clone()),
            ("subject_token", subject.reveal().to_owned()),
            ("scope", scope.to_owned()),
        ];
        let is_client = !self.client_id.is_empty();
        if !is_client && !self.workforce_pool_user_project.is_empty() {
            let options = json!({ "userProject": self.workforce_pool_user_project });
            form.push(("options", options.to_string()));
        }
        let mut request = file.client.post(&self.token_url()).await?.form(&form);
        if is_client {
            request = request.basic_auth(&self.client_id, Some(self.client_secret.reveal()));
        }
        let lease = fetch(ASKED, request).await?;
        if lease.ends.is_none() {
            return Err(BearerError::Answer {
                asked: ASKED.to_owned(),
                reason: "the answer does not say how long the token is valid (expires_in)"
                    .to_owned(),
            });
        }
        Ok(lease)
    }

    fn token_url(&self) -> String {
        match (self.token_url.as_str(), self.universe_domain.as_str()) {
            ("", "") => format!("https://sts.{UNIVERSE}/v1/token"),
            ("", domain) => format!("https://sts.{domain}/v1/token"),
            (url, _) => url.to_owned(),
        }
    }
}
