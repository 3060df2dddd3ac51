//! `linode_sd_configs`: instances of Linode.

use model::Duration;

use crate::config::ConfigError;

sd_config! {
    /// Instances of one Linode account.
    pub struct LinodeSdConfig: "linode_sd_configs", "linode.plain";
    defaults {
        /// The port that targets are scraped on.
        port: u16 = 80,
        /// What stands between tags in a label.
        tag_separator: String = ",".to_owned(),
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
    }
    fields {
        /// The region; all, if empty.
        region: String,
    }
    http
}

impl LinodeSdConfig {
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "every mechanism has this method"
    )]
    fn check_own(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}
