//! `dns_sd_configs`: names whose records are targets.
//!
//! The system's `resolv.conf` is read again for each round, as in Prometheus. A name that cannot be looked up keeps the
//! targets that it had; one that does not exist has none.
//!
//! Source: Prometheus documentation, `<dns_sd_config>`.

use std::collections::BTreeMap;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::{RData, RecordType};

use super::TargetGroup;
use super::refresh::{RefreshError, Source};
use crate::config::{DnsRecordType, DnsSdConfig};
use crate::metrics::DiscoveryMetrics;
use crate::target::ADDRESS;

/// Makes a resolver for one round.
type MakeResolver = Box<dyn Fn() -> Result<TokioResolver, NetError> + Send + Sync>;

/// Looks names up.
pub(crate) struct DnsSource {
    config: DnsSdConfig,
    resolver: MakeResolver,
    metrics: DiscoveryMetrics,
    /// What each name had when it could last be looked up.
    known: BTreeMap<String, TargetGroup>,
}

impl DnsSource {
    /// Returns a source that asks the servers that the system is configured with.
    pub(crate) fn new(config: &DnsSdConfig, metrics: DiscoveryMetrics) -> Self {
        let of_system = || {
            let mut builder = TokioResolver::builder_tokio()?;
            let options = builder.options_mut();
            // Every round is to see what there is now.
            options.cache_size = 0;
            builder.build()
        };
        Self::with_resolver(config, metrics, Box::new(of_system))
    }

    fn with_resolver(
        config: &DnsSdConfig,
        metrics: DiscoveryMetrics,
        resolver: MakeResolver,
    ) -> Self {
        DnsSource {
            config: config.clone(),
            resolver,
            metrics,
            known: BTreeMap::new(),
        }
    }

    async fn look_up(&self, resolver: &TokioResolver, name: &str) -> Result<TargetGroup, NetError> {
        let wanted = match self.config.r#type {
            DnsRecordType::Srv => RecordType::SRV,
            DnsRecordType::A => RecordType::A,
            DnsRecordType::Aaaa => RecordType::AAAA,
            DnsRecordType::Mx => RecordType::MX,
            DnsRecordType::Ns => RecordType::NS,
        };
        let found = match resolver.lookup(name, wanted).await {
            Ok(lookup) => lookup.answers().to_vec(),
            Err(error) if error.is_no_records_found() => Vec::new(),
            Err(error) => return Err(error),
        };
        let targets = found
            .iter()
            .filter_map(|record| self.target(name, &record.data));
        Ok(TargetGroup {
            source: name.to_owned(),
            targets: targets.collect(),
            labels: BTreeMap::new(),
        })
    }

    /// Returns the target that a record means; aliases on the way mean none.
    fn target(&self, name: &str, record: &RData) -> Option<BTreeMap<String, String>> {
        let mut labels = BTreeMap::from([("__meta_dns_name".to_owned(), name.to_owned())]);
        let mut set = |name: &str, value: String| {
            labels.insert(format!("__meta_dns_{name}"), value);
        };
        let port = self.config.port;
        let (host, port) = match record {
            RData::SRV(record) => {
                set("srv_record_target", record.target.to_string());
                set("srv_record_port", record.port.to_string());
                (record.target.to_string(), record.port)
            }
            RData::MX(record) => {
                set("mx_record_target", record.exchange.to_string());
                (record.exchange.to_string(), port)
            }
            RData::NS(record) => {
                set("ns_record_target", record.0.to_string());
                (record.0.to_string(), port)
            }
            RData::A(address) => (address.0.to_string(), port),
            RData::AAAA(address) => (format!("[{}]", address.0), port),
            _ => return None,
        };
        let host = host.trim_end_matches('.');
        labels.insert(ADDRESS.to_owned(), format!("{host}:{port}"));
        Some(labels)
    }
}

impl Source for DnsSource {
    const NAME: &'static str = "dns";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let resolver = (self.resolver)().map_err(|error| RefreshError::of(&error))?;
        let asked = self
            .config
            .names
            .iter()
            .map(|name| self.look_up(&resolver, name));
        let answers = futures_util::future::join_all(asked).await;
        for (name, answer) in self.config.names.iter().zip(answers) {
            self.metrics.dns_lookups.inc();
            match answer {
                Ok(group) => {
                    self.known.insert(name.clone(), group);
                }
                Err(error) => {
                    self.metrics.dns_failures.inc();
                    tracing::warn!(%error, name, "DNS discovery keeps the last good targets of a name");
                }
            }
        }
        Ok(self.known.values().cloned().collect())
    }
}

#[cfg(test)]
mod tests;
