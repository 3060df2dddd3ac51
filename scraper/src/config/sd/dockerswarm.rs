//! `dockerswarm_sd_configs`: tasks, services and nodes of Docker Swarm.

use model::Duration;

use super::DockerFilter;
use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// What a Docker Swarm runs.
    pub struct DockerSwarmSdConfig: "dockerswarm_sd_configs", "moby.plain";
    defaults {
        /// The port that targets are scraped on.
        port: u16 = 80,
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
    }
    fields {
        /// The engine: a URL or the path of a socket.
        host: String,
        /// What are targets.
        role: Option<DockerSwarmRole>,
        /// Which of them.
        filters: Vec<DockerFilter>,
    }
    http
}

words! {
    /// What are targets.
    pub enum DockerSwarmRole: "invalid role {}, expected tasks, services, or nodes" {
        Tasks = "tasks",
        Services = "services",
        Nodes = "nodes",
    }
}

impl DockerSwarmSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(!self.host.is_empty(), "host missing")?;
        ensure(
            self.role.is_some(),
            "role missing (one of: tasks, services, nodes)",
        )
    }
}
