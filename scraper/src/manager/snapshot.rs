//! What the API asks the manager: targets, pools, metadata.

use std::sync::Arc;

use http::Uri;
use model::{Duration, Labels};

use super::ScrapeManager;
use crate::config::RelabelConfig;
use crate::metadata::FamilyMetadata;
use crate::scrape::Health;
use crate::target::Target;

/// How this server is reached from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalUrl {
    /// `http` or `https`.
    pub scheme: String,
    /// Host and, unless it is the scheme's own, port.
    pub host: String,
    /// The port that this server listens on.
    pub listen_port: u16,
}

/// The targets of all pools at one moment.
#[derive(Clone, Debug, Default)]
pub struct TargetsSnapshot {
    /// Targets that are scraped, by pool, then by labels.
    pub active: Vec<TargetState>,
    /// Targets that relabelling dropped, as many as are kept.
    pub dropped: Vec<DroppedTarget>,
    /// How many relabelling dropped, per pool; pools without any are there with 0.
    pub dropped_counts: Vec<(String, usize)>,
}

/// A target that is scraped, and how that goes.
#[derive(Clone, Debug)]
pub struct TargetState {
    /// The job's name.
    pub pool: String,
    /// What discovery said, with the job's defaults.
    pub discovered_labels: Labels,
    /// What is attached to its series.
    pub labels: Labels,
    /// Where it is scraped.
    pub scrape_url: String,
    /// The same, as it is reached from other machines.
    pub global_url: String,
    /// Why the last scrape failed; empty if it did not.
    pub last_error: String,
    /// When the last scrape began, milliseconds since the epoch; 0 before the first.
    pub last_scrape_ms: i64,
    /// How long it took, in seconds.
    pub last_duration_s: f64,
    /// How it went.
    pub health: Health,
    /// How often it is scraped.
    pub interval: Duration,
    /// How long a scrape may take.
    pub timeout: Duration,
}

/// A target that relabelling dropped.
#[derive(Clone, Debug)]
pub struct DroppedTarget {
    /// The job's name.
    pub pool: String,
    /// What discovery said, with the job's defaults.
    pub discovered_labels: Labels,
}

/// What one target says about its families.
#[derive(Clone, Debug)]
pub struct TargetMetadata {
    /// The job's name.
    pub pool: String,
    /// The target's labels.
    pub target: Labels,
    /// Its families, in the order of its body. Shared with every target that says the same.
    pub families: Arc<[Arc<FamilyMetadata>]>,
}

impl ScrapeManager {
    /// Returns every target and how its last scrape went.
    pub fn targets(&self) -> TargetsSnapshot {
        let mut all = TargetsSnapshot::default();
        for (name, pool) in self.pools.lock().iter() {
            let snapshot = pool.state.snapshot();
            all.active
                .extend(snapshot.active.iter().map(|(target, status)| {
                    let status = status.read();
                    TargetState {
                        pool: name.clone(),
                        discovered_labels: target.discovered_labels.clone(),
                        labels: target.labels.clone(),
                        scrape_url: target.url.to_string(),
                        global_url: self.global_url(target),
                        last_error: status.last_error,
                        last_scrape_ms: status.last_scrape_ms,
                        last_duration_s: status.last_duration_s,
                        health: status.health,
                        interval: target.interval,
                        timeout: target.timeout,
                    }
                }));
            let dropped = |labels: &Labels| DroppedTarget {
                pool: name.clone(),
                discovered_labels: labels.clone(),
            };
            all.dropped.extend(snapshot.dropped.iter().map(dropped));
            all.dropped_counts
                .push((name.clone(), snapshot.dropped_count));
        }
        all
    }

    /// Returns the names of the pools, sorted.
    pub fn scrape_pools(&self) -> Vec<String> {
        self.pools.lock().keys().cloned().collect()
    }

    /// Returns the relabelling of a pool's targets; `None` if there is no such pool.
    pub fn relabel_configs(&self, pool: &str) -> Option<Vec<RelabelConfig>> {
        let pools = self.pools.lock();
        let pool = pools.get(pool)?;
        Some(pool.job.config.relabel_configs.clone())
    }

    /// Returns what each target that was scraped says about its families.
    pub fn metadata(&self) -> Vec<TargetMetadata> {
        let mut all = Vec::new();
        for (name, pool) in self.pools.lock().iter() {
            for (target, status) in &pool.state.snapshot().active {
                if let Some(families) = status.read().metadata {
                    all.push(TargetMetadata {
                        pool: name.clone(),
                        target: target.labels.clone(),
                        families,
                    });
                }
            }
        }
        all
    }

    fn global_url(&self, target: &Target) -> String {
        match target.url.uri() {
            Ok(uri) => global_url(uri, &self.shared.options.global_url)
                .unwrap_or_else(|| target.url.to_string()),
            Err(_) => target.url.to_string(),
        }
    }
}

/// Returns `url` with the host by which other machines reach it, if it is on this machine, else nothing.
///
/// Source: Prometheus' `getGlobalURL`.
fn global_url(url: &Uri, global: &GlobalUrl) -> Option<String> {
    let (host, scheme) = (url.host()?, url.scheme_str()?);
    if !matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
        return None;
    }
    let path = url.path_and_query().map_or("", |path| path.as_str());
    Some(match url.port_u16() {
        Some(port) if port != global.listen_port => {
            let global_host = global.host.split(':').next().unwrap_or_default();
            format!("{scheme}://{global_host}:{port}{path}")
        }
        _ => format!("{}://{}{path}", global.scheme, global.host),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_targets_are_shown_as_others_reach_them() {
        let global = GlobalUrl {
            scheme: "https".to_owned(),
            host: "prom.example:8443".to_owned(),
            listen_port: 9090,
        };
        let of = |url: &str| global_url(&url.parse().unwrap(), &global);
        assert_eq!(
            of("http://localhost:9090/metrics").as_deref(),
            Some("https://prom.example:8443/metrics")
        );
        assert_eq!(
            of("http://127.0.0.1:9100/metrics").as_deref(),
            Some("http://prom.example:9100/metrics")
        );
        assert_eq!(of("http://node:9100/metrics?x=y"), None);
    }
}
