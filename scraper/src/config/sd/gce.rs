//! `gce_sd_configs`: instances of Google Compute Engine.

use model::Duration;

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// Instances of one zone of Google Compute Engine.
    pub struct GceSdConfig: "gce_sd_configs", "gce.plain";
    defaults {
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
        /// The port that targets are scraped on.
        port: u16 = 80,
        /// What stands between tags in a label.
        tag_separator: String = ",".to_owned(),
    }
    fields {
        /// The project.
        project: String,
        /// The zone.
        zone: String,
        /// Which instances; all, if empty.
        filter: String,
    }
}

impl GceSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(
            !self.project.is_empty(),
            "GCE SD configuration requires a project",
        )?;
        ensure(
            !self.zone.is_empty(),
            "GCE SD configuration requires a zone",
        )
    }
}
