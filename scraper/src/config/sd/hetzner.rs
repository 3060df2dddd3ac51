//! `hetzner_sd_configs`: servers of Hetzner.

use model::Duration;

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// Servers of Hetzner's cloud or its robot.
    pub struct HetznerSdConfig: "hetzner_sd_configs", "hetzner.plain";
    defaults {
        /// The port that targets are scraped on.
        port: u16 = 80,
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
    }
    fields {
        /// Where servers are looked for.
        role: Option<HetznerRole>,
        /// Which servers; all, if empty.
        label_selector: String,
    }
    http
}

words! {
    /// Where servers are looked for.
    pub enum HetznerRole: "unknown role {:?}" {
        Robot = "robot",
        Hcloud = "hcloud",
    }
}

impl HetznerSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(self.role.is_some(), "role missing (one of: robot, hcloud)")
    }
}
