//! `nerve_sd_configs`: the AirBnB Nerve layout of ZooKeeper.

use model::Duration;

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// Paths in ZooKeeper.
    pub struct NerveSdConfig: "nerve_sd_configs", "zookeeper.plain";
    defaults {
        /// How long a session may be silent.
        timeout: Duration = Duration::from_secs(10),
    }
    fields {
        /// ZooKeeper servers, `host:port`.
        servers: Vec<String>,
        /// Paths with endpoints below them.
        paths: Vec<String>,
    }
}

impl NerveSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(
            !self.servers.is_empty(),
            "nerve SD config must contain at least one Zookeeper server",
        )?;
        ensure(
            !self.paths.is_empty(),
            "nerve SD config must contain at least one path",
        )?;
        self.paths.iter().try_for_each(|path| {
            let text = format!("nerve SD config paths must begin with '/': {path}");
            ensure(path.starts_with('/'), &text)
        })
    }
}
