//! `serverset_sd_configs`: the Twitter Serverset layout of ZooKeeper.

use model::Duration;

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// Paths in ZooKeeper.
    pub struct ServersetSdConfig: "serverset_sd_configs", "zookeeper.plain";
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

impl ServersetSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(
            !self.servers.is_empty(),
            "serverset SD config must contain at least one Zookeeper server",
        )?;
        ensure(
            !self.paths.is_empty(),
            "serverset SD config must contain at least one path",
        )?;
        self.paths.iter().try_for_each(|path| {
            let text = format!("serverset SD config paths must begin with '/': {path}");
            ensure(path.starts_with('/'), &text)
        })
    }
}
