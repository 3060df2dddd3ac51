//! Credentials of clouds.

use alertmanager::notify::Signer;
use net::aws::{Access, Identity};
use net::environment::Environment;
use net::http_config::{Secret, Unbuilt};
use serde::{Deserialize, Serialize};

use crate::config::is_default;
use model::de::or_default;

/// What signatures are for, if that is not said: Amazon Managed Service for Prometheus.
const SERVICE: &str = "aps";

/// The `sigv4` section: signatures of Amazon's cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sigv4Config {
    /// The region; the machine's own, if empty.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub(crate) region: String,
    /// The access key; the environment's, if empty.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub(crate) access_key: String,
    /// The secret key.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub(crate) secret_key: Secret,
    /// The profile of the credentials file.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub(crate) profile: String,
    /// The role to take on.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub(crate) role_arn: String,
    /// The external id that the role asks for.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub(crate) external_id: String,
    /// Whether the endpoints are those that obey FIPS.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub(crate) use_fips_sts_endpoint: bool,
    /// The service that signatures are for.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub(crate) service_name: String,
}

impl Sigv4Config {
    /// Returns who signs.
    pub(crate) fn signer(&self) -> Signer {
        let access = Access {
            region: self.region.clone(),
            access_key: self.access_key.clone(),
            secret_key: self.secret_key.clone(),
            profile: self.profile.clone(),
            role_arn: self.role_arn.clone(),
            external_id: self.external_id.clone(),
            use_fips_sts_endpoint: self.use_fips_sts_endpoint,
        };
        let service = match self.service_name.as_str() {
            "" => SERVICE,
            name => name,
        };
        Signer {
            identity: Identity::new(access, Environment::of_process()),
            service: service.to_owned(),
        }
    }

    /// Checks that both keys are there or none.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.access_key.is_empty() != self.secret_key.is_empty() {
            return Err("must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config".to_owned());
        }
        Ok(())
    }
}

/// The `azuread` section: tokens of Azure. One of the ways to get them must be given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AzureAdConfig {
    /// `AzurePublic`, `AzureGovernment` or `AzureChina`; the first, if empty.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub(crate) cloud: String,
    /// The identity of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) managed_identity: Option<AzureIdentity>,
    /// The identity of the workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workload_identity: Option<AzureIdentity>,
    /// A client with a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) oauth: Option<AzureIdentity>,
    /// Whatever Azure's library finds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sdk: Option<AzureIdentity>,
    /// A client with a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<Unbuilt>,
    /// What the token shall be good for.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub(crate) scope: String,
}

/// An identity in Azure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AzureIdentity {
    /// The client.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub(crate) client_id: String,
    /// The client's secret.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub(crate) client_secret: Secret,
    /// The tenant.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub(crate) tenant_id: String,
    /// A file that holds the workload's token.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub(crate) token_file_path: String,
}

impl AzureAdConfig {
    /// Checks that there is one way to get tokens, and that it has what it needs.
    pub(crate) fn check(&self) -> Result<(), String> {
        let clouds = ["", "AzurePublic", "AzureGovernment", "AzureChina"];
        if !clouds.contains(&self.cloud.as_str()) {
            return Err(format!(
                "must provide a valid cloud in the Azure AD config, got {:?} (one of AzurePublic, AzureGovernment, AzureChina)",
                self.cloud
            ));
        }
        let ways = [
            self.managed_identity.is_some(),
            self.workload_identity.is_some(),
            self.oauth.is_some(),
            self.sdk.is_some(),
            self.certificate.is_some(),
        ];
        match ways.iter().filter(|given| **given).count() {
            0 => return Err("must provide an Azure Managed Identity, Azure Workload Identity, Azure OAuth or Azure SDK in the Azure AD config".to_owned()),
            1 => (),
            _ => return Err("cannot provide more than one of Azure Managed Identity, Azure Workload Identity, Azure OAuth and Azure SDK in the Azure AD config".to_owned()),
        }
        if let Some(oauth) = &self.oauth {
            let required = [
                ("client_id", oauth.client_id.is_empty()),
                ("client_secret", oauth.client_secret.is_empty()),
                ("tenant_id", oauth.tenant_id.is_empty()),
            ];
            if let Some((name, _)) = required.iter().find(|(_, is_missing)| *is_missing) {
                return Err(format!(
                    "must provide an Azure OAuth {name} in the Azure AD config"
                ));
            }
        }
        if let Some(workload) = &self.workload_identity {
            let required = [
                ("client_id", workload.client_id.is_empty()),
                ("tenant_id", workload.tenant_id.is_empty()),
            ];
            if let Some((name, _)) = required.iter().find(|(_, is_missing)| *is_missing) {
                return Err(format!(
                    "must provide an Azure Workload Identity {name} in the Azure AD config"
                ));
            }
        }
        Ok(())
    }
}

/// The `google_iam` section: tokens of Google's cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GoogleIamConfig {
    /// A file that holds credentials; the environment's, if empty.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub(crate) credentials_file: String,
}
