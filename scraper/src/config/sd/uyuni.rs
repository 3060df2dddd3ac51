//! `uyuni_sd_configs`: systems of Uyuni.

use model::Duration;
use net::http_config::{Secret, UrlText};

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// Systems of one Uyuni server.
    pub struct UyuniSdConfig: "uyuni_sd_configs", "uyuni.plain";
    defaults {
        /// What a system must be entitled to.
        entitlement: String = "monitoring_entitled".to_owned(),
        /// What stands between groups in a label.
        separator: String = ",".to_owned(),
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
    }
    fields {
        /// The URL of the server.
        server: UrlText,
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    }
    http
}

impl UyuniSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(
            !self.server.is_empty(),
            "Uyuni SD configuration requires server host",
        )?;
        ensure(
            !self.username.is_empty(),
            "Uyuni SD configuration requires a username",
        )?;
        ensure(
            !self.password.is_empty(),
            "Uyuni SD configuration requires a password",
        )
    }
}
