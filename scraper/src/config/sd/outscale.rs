//! `outscale_sd_configs`: virtual machines of Outscale.

use model::Duration;
use net::http_config::Secret;

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// Virtual machines of one Outscale region.
    pub struct OutscaleSdConfig: "outscale_sd_configs", "outscale.plain";
    defaults {
        /// The port that targets are scraped on.
        port: u16 = 80,
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
    }
    fields {
        /// The region.
        region: String,
        /// The access key.
        access_key: String,
        /// The secret key.
        secret_key: Secret,
        /// A file that holds it.
        secret_key_file: String,
        /// The endpoint, where it is not the region's.
        endpoint: String,
    }
    http
}

impl OutscaleSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(
            !self.region.is_empty(),
            "outscale SD configuration requires a region",
        )?;
        ensure(
            !self.access_key.is_empty(),
            "outscale SD configuration requires an access_key",
        )?;
        let (secret, file) = (
            !self.secret_key.is_empty(),
            !self.secret_key_file.is_empty(),
        );
        ensure(
            secret || file,
            "one of secret_key & secret_key_file must be configured",
        )?;
        ensure(
            !(secret && file),
            "at most one of secret_key & secret_key_file must be configured",
        )
    }
}
