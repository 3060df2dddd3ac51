//! `tracing`: where Alertmanager's own traces go.

use std::collections::BTreeMap;
use std::path::Path;

use net::http_config::{Secret, TlsConfig};
use net::trace::{Protocol, TIMEOUT_DEFAULT, TraceOptions};
use serde::{Deserialize, Serialize, Serializer};

use super::duration::GoDuration;
use super::section::ensure;

section! {
    /// A collector of traces.
    pub struct Tracing {
        /// `grpc` or `http`.
        client_type: String = "grpc".to_owned(),
        /// The address.
        endpoint: String,
        /// The share of traces that are sent, from 0 to 1.
        sampling_fraction: Fraction,
        /// Whether the connection is plain.
        insecure: bool,
        /// Whom to trust.
        tls_config: Option<TlsConfig>,
        /// Further headers.
        headers: BTreeMap<String, Secret>,
        /// `gzip` or nothing.
        compression: String,
        /// How long sending may take.
        timeout: GoDuration,
    }
}

/// A share, printed without a point where it is whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Fraction(f64);

impl Serialize for Fraction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0.0 => serializer.serialize_u8(0),
            1.0 => serializer.serialize_u8(1),
            share => serializer.serialize_f64(share),
        }
    }
}

impl Tracing {
    /// Returns what is sent and how. Relative file names are relative to `base_dir`.
    pub(super) fn options(&self, base_dir: &Path) -> TraceOptions {
        let headers = self.headers.iter();
        TraceOptions {
            protocol: match self.client_type.as_str() {
                "http" => Protocol::Http,
                _ => Protocol::Grpc,
            },
            endpoint: self.endpoint.clone(),
            sampling_fraction: self.sampling_fraction.0,
            insecure: self.insecure,
            tls: self.tls_config.clone().unwrap_or_default(),
            base_dir: base_dir.to_owned(),
            headers: headers
                .map(|(name, value)| (name.clone(), value.reveal().to_owned()))
                .collect(),
            compresses: self.compression == "gzip",
            timeout: self
                .timeout
                .limit()
                .map_or(TIMEOUT_DEFAULT, |limit| limit.to_std()),
            service: "alertmanager",
        }
    }

    /// Checks that the fields go together.
    pub(super) fn check(&self) -> Result<(), String> {
        ensure(
            !self.endpoint.is_empty(),
            "tracing endpoint must be set (a host and a port)",
        )?;
        ensure(
            matches!(self.client_type.as_str(), "grpc" | "http"),
            &format!(
                "expected tracing client type to be grpc or http, but got {:?}",
                self.client_type
            ),
        )?;
        ensure(
            matches!(self.compression.as_str(), "" | "gzip"),
            &format!(
                "invalid compression type {:?} provided, valid options: gzip",
                self.compression
            ),
        )
    }
}
