//! `vultr_sd_configs`: instances of Vultr.

use model::Duration;

use crate::config::ConfigError;

sd_config! {
    /// Instances of one Vultr account.
    pub struct VultrSdConfig: "vultr_sd_configs", "vultr.plain";
    defaults {
        /// The port that targets are scraped on.
        port: u16 = 80,
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
    }
    fields {
    }
    http
}

impl VultrSdConfig {
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "every mechanism has this method"
    )]
    fn check_own(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}
