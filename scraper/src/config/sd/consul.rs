//! `consul_sd_configs`: services of a Consul catalog.

use std::collections::BTreeMap;

use model::Duration;
use net::http_config::Secret;

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// A Consul server, and which of its services are targets.
    pub struct ConsulSdConfig: "consul_sd_configs", "consul.plain";
    defaults {
        /// The address, `host:port`.
        server: String = "localhost:8500".to_owned(),
        /// What stands between tags in a label.
        tag_separator: String = ",".to_owned(),
        /// `http` or `https`.
        scheme: String = "http".to_owned(),
        /// Whether any server of the cluster may answer.
        allow_stale: bool = true,
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(30),
    }
    fields {
        /// What comes before the paths of the API.
        path_prefix: String,
        /// The access token.
        token: Secret,
        /// The data center; the server's own, if empty.
        datacenter: String,
        /// The namespace.
        namespace: String,
        /// The admin partition.
        partition: String,
        /// The older way to write `basic_auth.username`.
        username: String,
        /// The older way to write `basic_auth.password`.
        password: Secret,
        /// Which services; all, if empty.
        services: Vec<String>,
        /// Tags that a service must have, all of them.
        tags: Vec<String>,
        /// Metadata that a node must have.
        node_meta: BTreeMap<String, String>,
        /// A filter expression for the catalog.
        filter: String,
        /// A filter expression for health checks.
        health_filter: String,
    }
    http
}

impl ConsulSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(
            !self.server.trim().is_empty(),
            "consul SD configuration requires a server address",
        )?;
        let has_user = !self.username.is_empty() || !self.password.is_empty();
        ensure(
            !(has_user && self.basic_auth.is_some()),
            "at most one of consul SD configuration username and password and basic auth can be configured",
        )?;
        let has_other = self.authorization.is_some() || self.oauth2.is_some();
        ensure(
            self.token.is_empty() || !has_other,
            "at most one of consul SD token, authorization, or oauth2 can be configured",
        )
    }
}
