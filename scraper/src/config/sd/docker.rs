//! `docker_sd_configs`: containers of a Docker engine.

use model::Duration;
use serde::{Deserialize, Serialize};

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// Containers of one Docker engine.
    pub struct DockerSdConfig: "docker_sd_configs", "moby.plain";
    defaults {
        /// The port that targets are scraped on.
        port: u16 = 80,
        /// The address of containers on the host's network.
        host_networking_host: String = "localhost".to_owned(),
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
        /// Whether a container in several networks is one target.
        match_first_network: bool = true,
    }
    fields {
        /// The engine: a URL or the path of a socket.
        host: String,
        /// Which containers.
        filters: Vec<DockerFilter>,
    }
    http
}

/// A filter of the Docker API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DockerFilter {
    /// What is looked at.
    pub name: String,
    /// What it may be.
    #[serde(deserialize_with = "model::de::or_default")]
    pub values: Vec<String>,
}

impl DockerSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(!self.host.is_empty(), "host missing")
    }
}
