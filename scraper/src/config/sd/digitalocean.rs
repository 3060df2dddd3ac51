//! `digitalocean_sd_configs`: droplets and databases of DigitalOcean.

use model::Duration;

use crate::config::ConfigError;

sd_config! {
    /// Resources of one DigitalOcean account.
    pub struct DigitalOceanSdConfig: "digitalocean_sd_configs", "digitalocean.plain";
    defaults {
        /// The port that targets are scraped on.
        port: u16 = 80,
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
        /// Which kind of resources.
        role: DigitalOceanRole = DigitalOceanRole::Droplets,
    }
    fields {
    }
    http
}

words! {
    /// A kind of resources.
    pub enum DigitalOceanRole: "unknown role {:?}" {
        Droplets = "droplets",
        Databases = "databases",
    }
}

impl DigitalOceanSdConfig {
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "every mechanism has this method"
    )]
    fn check_own(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}
