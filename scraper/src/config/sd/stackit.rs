//! `stackit_sd_configs`: servers of STACKIT.

use model::Duration;
use net::http_config::Secret;

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// Servers of one STACKIT project.
    pub struct StackitSdConfig: "stackit_sd_configs", "stackit.plain";
    defaults {
        /// The region.
        region: String = "eu01".to_owned(),
        /// The port that targets are scraped on.
        port: u16 = 80,
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
    }
    fields {
        /// The project.
        project: String,
        /// The endpoint, where it is not the region's.
        endpoint: String,
        /// The key of a service account, as JSON.
        service_account_key: Secret,
        /// Its private key.
        private_key: Secret,
        /// A file that holds the key of a service account.
        service_account_key_path: String,
        /// A file that holds its private key.
        private_key_path: String,
        /// A file that holds credentials.
        credentials_file_path: String,
    }
    http
}

impl StackitSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(
            !self.endpoint.is_empty() || !self.region.is_empty(),
            "stackit_sd: endpoint and region missing",
        )
    }
}
