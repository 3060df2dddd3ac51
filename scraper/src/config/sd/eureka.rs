//! `eureka_sd_configs`: applications of Eureka.

use model::Duration;
use net::http_config::UrlText;

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// A Eureka server.
    pub struct EurekaSdConfig: "eureka_sd_configs", "eureka.plain";
    defaults {
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(30),
    }
    fields {
        /// The URL of the server.
        server: UrlText,
    }
    http
}

impl EurekaSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(
            !self.server.is_empty(),
            "eureka_sd: empty or null eureka server",
        )?;
        ensure(
            self.server.absolute().is_some(),
            "invalid eureka server URL",
        )
    }
}
