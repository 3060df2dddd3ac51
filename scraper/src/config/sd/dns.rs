//! `dns_sd_configs`: DNS records.

use model::Duration;
use serde::{Deserialize, Serialize};

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// Names whose records are targets.
    pub struct DnsSdConfig: "dns_sd_configs", "dns.plain";
    defaults {
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(30),
        /// Which records.
        r#type: DnsRecordType = DnsRecordType::Srv,
    }
    fields {
        /// The names to ask for.
        names: Vec<String>,
        /// The port of targets, for records that have none.
        port: u16,
    }
}

/// A type of DNS records, written in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DnsRecordType {
    /// Host and port.
    #[default]
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Mail servers.
    Mx,
    /// Name servers.
    Ns,
}

impl<'de> Deserialize<'de> for DnsRecordType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        match word.to_ascii_uppercase().as_str() {
            "SRV" => Ok(DnsRecordType::Srv),
            "A" => Ok(DnsRecordType::A),
            "AAAA" => Ok(DnsRecordType::Aaaa),
            "MX" => Ok(DnsRecordType::Mx),
            "NS" => Ok(DnsRecordType::Ns),
            _ => Err(serde::de::Error::custom(format_args!(
                "invalid DNS-SD records type {word}"
            ))),
        }
    }
}

impl DnsSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(
            !self.names.is_empty(),
            "DNS-SD config must contain at least one SRV record name",
        )?;
        ensure(
            self.r#type == DnsRecordType::Srv || self.port != 0,
            "a port is required in DNS-SD configs for all record types except SRV",
        )
    }
}
