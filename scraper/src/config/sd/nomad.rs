//! `nomad_sd_configs`: services of Nomad.

use model::Duration;

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// A Nomad server.
    pub struct NomadSdConfig: "nomad_sd_configs", "nomad.plain";
    defaults {
        /// Whether any server of the cluster may answer.
        allow_stale: bool = true,
        /// The namespace.
        namespace: String = "default".to_owned(),
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
        /// The region.
        region: String = "global".to_owned(),
        /// The URL of the API.
        server: String = "http://localhost:4646".to_owned(),
        /// What stands between tags in a label.
        tag_separator: String = ",".to_owned(),
    }
    fields {
    }
    http
}

impl NomadSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(
            !self.server.trim().is_empty(),
            "nomad SD configuration requires a server address",
        )
    }
}
