//! `ovhcloud_sd_configs`: servers of OVHcloud.

use model::Duration;
use net::http_config::Secret;

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// Servers of one OVHcloud account.
    pub struct OvhCloudSdConfig: "ovhcloud_sd_configs", "ovhcloud.plain";
    defaults {
        /// The endpoint of the API.
        endpoint: String = "ovh-eu".to_owned(),
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
    }
    fields {
        /// The application's key.
        application_key: String,
        /// Its secret.
        application_secret: Secret,
        /// The consumer's key.
        consumer_key: Secret,
        /// Which kind of servers.
        service: Option<OvhCloudService>,
    }
}

words! {
    /// A kind of servers.
    pub enum OvhCloudService: "unknown service: {}" {
        DedicatedServer = "dedicated_server",
        Vps = "vps",
    }
}

impl OvhCloudSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(!self.endpoint.is_empty(), "endpoint can not be empty")?;
        ensure(
            !self.application_key.is_empty(),
            "application key can not be empty",
        )?;
        ensure(
            !self.application_secret.is_empty(),
            "application secret can not be empty",
        )?;
        ensure(
            !self.consumer_key.is_empty(),
            "consumer key can not be empty",
        )?;
        ensure(self.service.is_some(), "unknown service: ")
    }
}
