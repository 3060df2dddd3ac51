//! `azure_sd_configs`: virtual machines of Azure.

use model::Duration;
use net::http_config::Secret;

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// Virtual machines of one Azure subscription.
    pub struct AzureSdConfig: "azure_sd_configs", "azure.plain";
    defaults {
        /// The cloud.
        environment: String = "AzurePublicCloud".to_owned(),
        /// The port that targets are scraped on.
        port: u16 = 80,
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(300),
        /// How to authenticate.
        authentication_method: AzureAuthentication = AzureAuthentication::OAuth,
    }
    fields {
        /// The subscription.
        subscription_id: String,
        /// The tenant, for OAuth.
        tenant_id: String,
        /// The client, for OAuth.
        client_id: String,
        /// The client's secret, for OAuth.
        client_secret: Secret,
        /// The resource group; all, if empty.
        resource_group: String,
    }
    http
}

words! {
    /// How to authenticate.
    pub enum AzureAuthentication: "unknown authentication_type {:?}. Supported types are \"OAuth\", \"ManagedIdentity\", \"SDK\" or \"WorkloadIdentity\"" {
        OAuth = "OAuth",
        ManagedIdentity = "ManagedIdentity",
        Sdk = "SDK",
        WorkloadIdentity = "WorkloadIdentity",
    }
}

impl AzureSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        let require = |value: &str, name: &str| {
            let text = format!("azure SD configuration requires a {name}");
            ensure(!value.is_empty(), &text)
        };
        require(&self.subscription_id, "subscription_id")?;
        if self.authentication_method == AzureAuthentication::OAuth {
            require(&self.tenant_id, "tenant_id")?;
            require(&self.client_id, "client_id")?;
            require(self.client_secret.reveal(), "client_secret")?;
        }
        Ok(())
    }
}
