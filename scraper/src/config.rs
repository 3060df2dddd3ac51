//! The sections of the configuration that scraping obeys: `global`, `scrape_configs` and what is in them.
//!
//! Reading happens in two steps. Serde reads a section as it is written, refuses unknown fields, and knows lines and
//! columns. Then [`ScrapeConfig::finish`] fills in what `global` says and checks what only makes sense together.
//! What is printed back is the finished form, secrets hidden.
//!
//! Source: Prometheus configuration documentation.

#[macro_use]
pub mod sd;

mod global;
mod protocol;
mod relabel;
mod scrape;
mod static_config;
pub mod yaml;

pub use global::{EscapingScheme, GlobalConfig, ValidationScheme};
pub use protocol::ScrapeProtocol;
pub use relabel::{RelabelAction, RelabelConfig};
pub use scrape::ScrapeConfig;
pub use sd::{
    ConsulSdConfig, DnsRecordType, DnsSdConfig, FILE_SD_REFRESH_INTERVAL, FileSdConfig,
    HttpSdConfig, KubernetesAttachMetadata, KubernetesNamespaces, KubernetesRole,
    KubernetesSdConfig, KubernetesSelector,
};
pub use static_config::{StaticConfig, check_target_address};

/// Why a section makes no sense. The texts are Prometheus' where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

impl ConfigError {
    /// Returns this error with the job that it is about.
    fn of_job(self, job_name: &str) -> Self {
        ConfigError(format!(
            "{self} for scrape config with job name {job_name:?}"
        ))
    }
}

#[cfg(test)]
mod tests;
