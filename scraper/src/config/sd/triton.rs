//! `triton_sd_configs`: containers and compute nodes of Triton.

use model::Duration;
use net::http_config::TlsConfig;

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// Targets that a Container Monitor of Triton knows.
    pub struct TritonSdConfig: "triton_sd_configs", "triton.plain";
    defaults {
        /// What are targets.
        role: TritonRole = TritonRole::Container,
        /// The port of the endpoint.
        port: u16 = 9163,
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
        /// The version of the protocol.
        version: u32 = 1,
    }
    fields {
        /// The account.
        account: String,
        /// What comes after the names of targets.
        dns_suffix: String,
        /// The host to ask.
        endpoint: String,
        /// Which groups of containers.
        groups: Vec<String>,
        /// Whom to trust, and who we are.
        tls_config: TlsConfig,
    }
}

words! {
    /// What are targets.
    pub enum TritonRole: "triton SD configuration requires role to be 'container' or 'cn', got {:?}" {
        Container = "container",
        ComputeNode = "cn",
    }
}

impl TritonSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(
            !self.account.is_empty(),
            "triton SD configuration requires an account",
        )?;
        ensure(
            !self.dns_suffix.is_empty(),
            "triton SD configuration requires a dns_suffix",
        )?;
        ensure(
            !self.endpoint.is_empty(),
            "triton SD configuration requires an endpoint",
        )?;
        ensure(
            !self.refresh_interval.is_zero(),
            "triton SD configuration requires RefreshInterval to be a positive integer",
        )?;
        let outcome = self.tls_config.validate();
        outcome.map_err(|error| ConfigError(error.to_string()))
    }
}
