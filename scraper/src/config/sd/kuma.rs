//! `kuma_sd_configs`: the control plane of Kuma.

use model::Duration;
use net::http_config::UrlText;

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// A control plane that speaks Kuma's discovery protocol.
    pub struct KumaSdConfig: "kuma_sd_configs", "xds.plain";
    defaults {
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(15),
        /// How long an answer may take.
        fetch_timeout: Duration = Duration::from_secs(120),
    }
    fields {
        /// The URL of the control plane.
        server: UrlText,
        /// Who we are; the host name, if empty.
        client_id: String,
    }
    http
}

impl KumaSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(
            !self.server.is_empty(),
            "kuma SD server must not be empty: ",
        )?;
        ensure(
            self.server.absolute().is_some(),
            &format!(
                "kuma SD server must not be empty and have a scheme: {}",
                self.server
            ),
        )
    }
}
