//! `scaleway_sd_configs`: servers of Scaleway.

use model::Duration;
use net::http_config::Secret;

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// Servers of one zone of Scaleway.
    pub struct ScalewaySdConfig: "scaleway_sd_configs", "scaleway.plain";
    defaults {
        /// The port that targets are scraped on.
        port: u16 = 80,
        /// The URL of the API.
        api_url: String = "https://api.scaleway.com".to_owned(),
        /// The zone.
        zone: String = "fr-par-1".to_owned(),
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
    }
    fields {
        /// The project.
        project_id: String,
        /// The access key.
        access_key: String,
        /// The secret key.
        secret_key: Secret,
        /// A file that holds it.
        secret_key_file: String,
        /// Which kind of servers.
        role: Option<ScalewayRole>,
        /// Part of the name.
        name_filter: String,
        /// Tags that a server must have.
        tags_filter: Vec<String>,
    }
    http
}

words! {
    /// A kind of servers.
    pub enum ScalewayRole: "unknown role {:?}" {
        Instance = "instance",
        Baremetal = "baremetal",
    }
}

impl ScalewaySdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(
            self.role.is_some(),
            "role missing (one of: instance, baremetal)",
        )?;
        ensure(!self.project_id.is_empty(), "project_id is mandatory")?;
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
        )?;
        ensure(!self.access_key.is_empty(), "access_key is mandatory")
    }
}
