//! The `tracing` section: where spans are sent.

use std::collections::BTreeMap;
use std::path::Path;

use model::Duration;
use model::de::or_default;
use net::http_config::TlsConfig;
use net::trace::{Protocol, TIMEOUT_DEFAULT, TraceOptions};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::is_default;
use super::remote_section::is_reserved;

/// The `tracing` section.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct TracingConfig {
    /// The protocol.
    pub(crate) client_type: ClientType,
    /// Where to.
    pub(crate) endpoint: String,
    /// Which share of requests is traced, 0 to 1.
    pub(crate) sampling_fraction: f64,
    /// Whether TLS is left out.
    pub(crate) insecure: bool,
    /// Whom to trust, and who we are.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) tls_config: TlsConfig,
    /// Headers to send.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
    /// How bodies are compressed; not, if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) compression: String,
    /// How long sending may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<Duration>,
}

/// The protocol that spans are sent by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientType {
    /// Over HTTP/2.
    #[default]
    Grpc,
    /// Over HTTP.
    Http,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    #[serde(deserialize_with = "or_default")]
    client_type: ClientType,
    #[serde(deserialize_with = "or_default")]
    endpoint: String,
    #[serde(deserialize_with = "or_default")]
    sampling_fraction: f64,
    #[serde(deserialize_with = "or_default")]
    insecure: bool,
    #[serde(deserialize_with = "or_default")]
    tls_config: TlsConfig,
    #[serde(deserialize_with = "or_default")]
    headers: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    compression: String,
    timeout: Option<Duration>,
}

impl TracingConfig {
    /// Returns what is sent and how. Relative file names are relative to `base_dir`.
    pub(super) fn options(&self, base_dir: &Path) -> TraceOptions {
        TraceOptions {
            protocol: match self.client_type {
                ClientType::Grpc => Protocol::Grpc,
                ClientType::Http => Protocol::Http,
            },
            endpoint: self.endpoint.clone(),
            sampling_fraction: self.sampling_fraction,
            insecure: self.insecure,
            tls: self.tls_config.clone(),
            base_dir: base_dir.to_owned(),
            headers: self.headers.clone(),
            compresses: self.compression == "gzip",
            timeout: self
                .timeout
                .filter(|timeout| 0 < timeout.as_ms())
                .map_or(TIMEOUT_DEFAULT, |timeout| timeout.to_std()),
            service: "prometheus",
        }
    }
}

impl<'de> Deserialize<'de> for ClientType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "grpc" | "" => Ok(ClientType::Grpc),
            "http" => Ok(ClientType::Http),
            other => Err(D::Error::custom(format_args!(
                "expected tracing client type to be to be http or grpc, but got {other}"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for TracingConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        written.check().map_err(D::Error::custom)?;
        Ok(TracingConfig {
            client_type: written.client_type,
            endpoint: written.endpoint,
            sampling_fraction: written.sampling_fraction,
            insecure: written.insecure,
            tls_config: written.tls_config,
            headers: written.headers,
            compression: written.compression,
            timeout: written.timeout,
        })
    }
}

impl Written {
    fn check(&self) -> Result<(), String> {
        for name in self.headers.keys() {
            if name.eq_ignore_ascii_case("authorization") {
                return Err(
                    "custom authorization header configuration is not yet supported".to_owned(),
                );
            }
            if is_reserved(name) {
                return Err(format!(
                    "{name} is a reserved header. It must not be changed"
                ));
            }
        }
        if self.endpoint.is_empty() {
            return Err("tracing endpoint must be set".to_owned());
        }
        if !["", "gzip"].contains(&self.compression.as_str()) {
            return Err(format!(
                "invalid compression type {} provided, valid options: gzip",
                self.compression
            ));
        }
        self.tls_config
            .validate()
            .map_err(|error| error.to_string())
    }
}
