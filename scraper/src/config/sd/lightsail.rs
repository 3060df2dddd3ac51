//! `lightsail_sd_configs`: instances of Amazon Lightsail.

use model::Duration;
use net::http_config::Secret;

use crate::config::ConfigError;

sd_config! {
    /// Instances of one region of Amazon Lightsail.
    pub struct LightsailSdConfig: "lightsail_sd_configs", "aws.plain";
    defaults {
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
        /// The port that targets are scraped on.
        port: u16 = 80,
    }
    fields {
        /// The endpoint, where it is not the region's.
        endpoint: String,
        /// The region; the machine's own, if empty.
        region: String,
        /// The access key; the environment's, if empty.
        access_key: String,
        /// The secret key.
        secret_key: Secret,
        /// The profile of the credentials file.
        profile: String,
        /// The role to take on.
        role_arn: String,
        /// The external id that the role asks for.
        external_id: String,
    }
    http
}

impl LightsailSdConfig {
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "every mechanism has this method"
    )]
    fn check_own(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}
