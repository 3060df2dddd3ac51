//! `marathon_sd_configs`: tasks of Marathon.

use model::Duration;
use net::http_config::Secret;

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// Marathon servers.
    pub struct MarathonSdConfig: "marathon_sd_configs", "marathon.plain";
    defaults {
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(30),
    }
    fields {
        /// The URLs of the servers.
        servers: Vec<String>,
        /// The token of DC/OS.
        auth_token: Secret,
        /// A file that holds it.
        auth_token_file: String,
    }
    http
}

impl MarathonSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(
            !self.servers.is_empty(),
            "marathon_sd: must contain at least one Marathon server",
        )?;
        let (token, file) = (
            !self.auth_token.is_empty(),
            !self.auth_token_file.is_empty(),
        );
        ensure(
            !(token && file),
            "marathon_sd: at most one of auth_token & auth_token_file must be configured",
        )?;
        if !token && !file {
            return Ok(());
        }
        ensure(
            self.basic_auth.is_none(),
            "marathon_sd: at most one of basic_auth, auth_token & auth_token_file must be configured",
        )?;
        ensure(
            self.bearer_token.is_none() && self.bearer_token_file.is_none(),
            "marathon_sd: at most one of bearer_token, bearer_token_file, auth_token & auth_token_file must be configured",
        )?;
        ensure(
            self.authorization.is_none(),
            "marathon_sd: at most one of auth_token, auth_token_file & authorization must be configured",
        )
    }
}
