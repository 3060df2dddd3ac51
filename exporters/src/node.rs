//! The node exporter: what Linux says of the machine, under the names that node_exporter 1.11 gives it.
//!
//! ```text
//! NodeExporter::gather ──► for each enabled collector: Files (bounded reads) ─► parse_x(&str) ─► [MetricFamily]
//!                      └─► node_scrape_collector_{duration_seconds,success}{collector}
//! ```
//!
//! # Invariants
//!
//! 1. A collector that fails costs only its own families: its success is 0, and the scrape goes on.
//! 2. A file is read up to a bound and no further; text that is not UTF-8 becomes U+FFFD.
//! 3. A mount that hangs delays one scrape by at most the mount timeout, and none after it (see `filesystem/statfs.rs`).
//!
//! Names, help, types, labels and the arithmetic behind the values follow node_exporter, so that its dashboards and
//! alerts work unchanged. Collectors remember nothing between scrapes, but for the CPU times (which the kernel lets go
//! back a little) and the mounts that hang.
//!
//! # Not here
//!
//! HTTP, the `process_*` families (see [`metrics::process_collector`]), and the collectors of rarer hardware.

mod arp;
mod collectors;
mod conntrack;
mod cpu;
mod cpufreq;
mod diskstats;
mod dmi;
mod entropy;
mod error;
mod family;
mod filefd;
mod files;
mod filesystem;
mod filter;
mod kernel_hung;
mod loadavg;
mod meminfo;
mod netclass;
mod netdev;
mod netlink;
mod netstat;
mod options;
mod os;
mod pressure;
mod schedstat;
mod selinux;
mod sockstat;
mod softnet;
mod stat;
mod time;
mod udp_queues;
mod uname;
mod vmstat;

use std::time::Instant;

use metrics::{MetricFamily, MetricKind};

pub use self::collectors::collector_names;
pub use self::error::{NodeError, SelectError};
pub use self::filter::Filter;
pub use self::options::NodeOptions;

use self::error::CollectError;
use self::files::{Files, Paths};

/// Collects the families of one machine at each scrape.
pub struct NodeExporter {
    paths: Paths,
    /// By name, ascending.
    collectors: Vec<collectors::Named>,
}

impl NodeExporter {
    /// Builds the enabled collectors.
    ///
    /// # Errors
    ///
    /// If an enabled collector does not exist, a pattern is no regular expression, or a filter both includes and
    /// excludes.
    pub fn new(options: NodeOptions) -> Result<Self, NodeError> {
        let collectors = collectors::build(&options)?;
        Ok(Self {
            paths: Paths::new(&options),
            collectors,
        })
    }

    /// Runs all enabled collectors, one after the other on this thread, and returns their families in the order of
    /// exposition.
    ///
    /// Blocks on files, and on hanging mounts for up to the mount timeout: call it from a thread that may block.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.run(|_| true)
    }

    /// Like [`Self::gather`], but runs only the collectors in `collect`, or all but those in `exclude`. Empty means not
    /// asked for.
    ///
    /// # Errors
    ///
    /// If both are given, or `collect` names a collector that does not exist or is off. The message is the body that
    /// node_exporter answers with, with status 400.
    pub fn gather_selected(
        &self,
        collect: &[String],
        exclude: &[String],
    ) -> Result<Vec<MetricFamily>, SelectError> {
        if !collect.is_empty() && !exclude.is_empty() {
            return Err(SelectError::Combined);
        }
        for name in collect {
            if !self.collectors.iter().any(|(enabled, _)| enabled == name) {
                let exists = collector_names().any(|(existing, _)| existing == name);
                let name = name.clone();
                return Err(if exists {
                    SelectError::Disabled { name }
                } else {
                    SelectError::Missing { name }
                });
            }
        }
        let listed = |list: &[String], name: &str| list.iter().any(|listed| listed == name);
        Ok(
            self.run(|name| {
                (collect.is_empty() || listed(collect, name)) && !listed(exclude, name)
            }),
        )
    }

    fn run(&self, wanted: impl Fn(&str) -> bool) -> Vec<MetricFamily> {
        let mut families = vec![build_info()];
        let mut durations = family::gauges(
            "node_scrape_collector_duration_seconds",
            "node_exporter: Duration of a collector scrape.",
        );
        let mut successes = family::gauges(
            "node_scrape_collector_success",
            "node_exporter: Whether a collector succeeded.",
        );
        let mut files = Files::new(&self.paths);
        for (name, collector) in self.collectors.iter().filter(|(name, _)| wanted(name)) {
            let start = Instant::now();
            let outcome = collector.collect(&mut files, &mut families);
            durations.push(&[("collector", name)], start.elapsed().as_secs_f64());
            successes.push(
                &[("collector", name)],
                if outcome.is_ok() { 1.0 } else { 0.0 },
            );
            outcome.unwrap_or_else(|why| log(name, &why));
        }
        families.extend([durations, successes]);
        metrics::normalize(&mut families);
        families
    }
}

impl metrics::Collector for NodeExporter {
    fn collect(&self, out: &mut Vec<MetricFamily>) {
        out.append(&mut self.gather());
    }
}

/// Most machines lack some hardware or kernel module, at every scrape; only what is there and fails is worth a warning.
fn log(collector: &str, why: &CollectError) {
    if why.is_no_data() {
        tracing::debug!(collector, reason = %why, "collector has no data");
    } else {
        tracing::warn!(collector, error = %why, "collector failed");
    }
}

fn build_info() -> MetricFamily {
    let help = "A metric with a constant '1' value labeled by version, revision, branch, goversion from which \
                node_exporter was built, and the goos and goarch for the build.";
    let mut family = MetricFamily::new("node_exporter_build_info", help, MetricKind::Gauge);
    let labels = [
        ("branch", ""),
        ("goarch", go_architecture()),
        ("goos", std::env::consts::OS),
        ("goversion", ""),
        ("revision", ""),
        ("tags", "hearth"),
        ("version", env!("CARGO_PKG_VERSION")),
    ];
    family.push(&labels, 1.0);
    family
}

fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(names: &[&str]) -> NodeExporter {
        let mut options = NodeOptions::linux_defaults();
        options.procfs = "/nonexistent".into();
        options.collectors = names.iter().map(|&name| name.to_owned()).collect();
        NodeExporter::new(options).unwrap()
    }

    fn selected(collect: &[&str], exclude: &[&str]) -> Result<Vec<String>, String> {
        let owned = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        let exporter = only(&["loadavg", "uname"]);
        let families = exporter
            .gather_selected(&owned(collect), &owned(exclude))
            .map_err(|why| why.to_string())?;
        let success = families
            .iter()
            .find(|family| family.name == "node_scrape_collector_success");
        let series = success
            .map(|family| family.series.as_slice())
            .unwrap_or_default();
        Ok(series
            .iter()
            .map(|series| series.labels[0].1.clone())
            .collect())
    }

    #[test]
    fn a_failing_collector_costs_only_itself() {
        let families = only(&["loadavg", "uname"]).gather();
        let success = families
            .iter()
            .find(|family| family.name == "node_scrape_collector_success")
            .unwrap();
        let values: Vec<_> = success
            .series
            .iter()
            .map(|series| series.value.clone())
            .collect();
        assert_eq!(
            values,
            [
                metrics::MetricValue::Number(0.0),
                metrics::MetricValue::Number(1.0)
            ]
        );
        assert!(
            families
                .iter()
                .any(|family| family.name == "node_uname_info")
        );
    }

    #[test]
    fn selection() {
        assert_eq!(selected(&[], &[]).unwrap(), ["loadavg", "uname"]);
        assert_eq!(selected(&["uname"], &[]).unwrap(), ["uname"]);
        assert_eq!(selected(&[], &["uname", "nonsense"]).unwrap(), ["loadavg"]);
    }

    #[test]
    fn selection_refuses_as_node_exporter_does() {
        let refused = |collect: &[&str], exclude: &[&str]| selected(collect, exclude).unwrap_err();
        let prefix = "Couldn't create filtered metrics handler: couldn't create collector: ";
        assert_eq!(
            refused(&["uname"], &["x"]),
            "Combined collect and exclude queries are not allowed."
        );
        assert_eq!(
            refused(&["nonsense"], &[]),
            format!("{prefix}missing collector: nonsense")
        );
        assert_eq!(
            refused(&["cpu"], &[]),
            format!("{prefix}disabled collector: cpu")
        );
    }

    #[test]
    fn unknown_collectors_are_refused() {
        let mut options = NodeOptions::linux_defaults();
        options.collectors.insert("nonsense".to_owned());
        assert!(matches!(
            NodeExporter::new(options),
            Err(NodeError::UnknownCollector { .. })
        ));
    }
}
