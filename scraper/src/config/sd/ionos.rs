//! `ionos_sd_configs`: servers of IONOS.

use model::Duration;

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// Servers of one IONOS data center.
    pub struct IonosSdConfig: "ionos_sd_configs", "ionos.plain";
    defaults {
        /// The port that targets are scraped on.
        port: u16 = 80,
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
    }
    fields {
        /// The data center.
        datacenter_id: String,
    }
    http
}

impl IonosSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(
            !self.datacenter_id.is_empty(),
            "datacenter id can't be empty",
        )
    }
}
