//! The discoveries that run for somebody: the pool of a job, or whoever else looks for targets.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use metrics::{Gauge, Registry};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::provider::{Place, ProviderConfig};
use super::{TargetGroups, Updates};
use crate::config::sd::Sources;
use crate::metrics::DiscoveryMetrics;

/// Where discoveries run, and for what kind of user.
#[derive(Clone)]
pub struct DiscoveryHost {
    /// What it is called in metrics: `scrape` or `notify`.
    consumer: &'static str,
    /// What relative file names are relative to.
    base_dir: PathBuf,
    metrics: DiscoveryMetrics,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl DiscoveryHost {
    /// Returns a host for a user that metrics call `consumer`, `notify` for Alertmanagers. Relative file names start from
    /// `base_dir`.
    pub fn new(consumer: &'static str, base_dir: &Path, registry: &Registry) -> Self {
        let metrics = DiscoveryMetrics::new(registry);
        metrics.failed_configs.with(&[consumer]);
        DiscoveryHost {
            consumer,
            base_dir: base_dir.to_owned(),
            metrics,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Returns the host of the pools, whose tasks are counted in `tasks` and end with `stop`.
    pub(crate) fn of_pools(
        base_dir: &Path,
        metrics: &DiscoveryMetrics,
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) -> Self {
        DiscoveryHost {
            consumer: "scrape",
            base_dir: base_dir.to_owned(),
            metrics: metrics.clone(),
            stop: stop.clone(),
            tasks: tasks.clone(),
        }
    }

    /// Stops every discovery that runs here and waits for its end.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// The discoveries of one section of the configuration; they end when this is dropped.
pub struct Discoveries {
    host: DiscoveryHost,
    /// The section's name, as in logs and metrics.
    section: String,
    /// Told whenever one of them publishes.
    published: Arc<Notify>,
    running: Vec<Provider>,
}

/// A running discovery.
struct Provider {
    config: ProviderConfig,
    name: &'static str,
    groups: watch::Receiver<TargetGroups>,
    stop: CancellationToken,
    /// Counted while it could not be started and finds nothing.
    failure: Option<Failure>,
}

/// A discovery that could not be started, in the gauge of those.
struct Failure(Gauge);

impl Failure {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Failure(gauge)
    }
}

impl Drop for Failure {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Discoveries {
    /// Returns no discoveries yet, for a section that logs and metrics call `section`.
    pub fn new(host: DiscoveryHost, section: &str) -> Self {
        Discoveries {
            host,
            section: section.to_owned(),
            published: Arc::new(Notify::new()),
            running: Vec::new(),
        }
    }

    /// Starts the discoveries of `sources`, keeps those that run already, and stops the others; one that could not be started
    /// is tried again. Must be called in a Tokio runtime; returns at once, and what is known without the network is in
    /// [`Discoveries::groups`] then.
    pub fn apply(&mut self, sources: &Sources) {
        let mut before = std::mem::take(&mut self.running);
        for config in ProviderConfig::of(sources) {
            let same = before
                .iter()
                .position(|provider| provider.config == config && provider.failure.is_none());
            let provider = match same {
                Some(at) => before.swap_remove(at),
                None => self.start(config),
            };
            self.running.push(provider);
        }
        for provider in before {
            provider.stop.cancel();
        }
    }

    /// Starts a discovery; says why not if it cannot be, and it then finds nothing.
    fn start(&self, config: ProviderConfig) -> Provider {
        let host = &self.host;
        let place = Place {
            base_dir: &host.base_dir,
            job: &self.section,
            metrics: &host.metrics,
        };
        let (updates, groups) = Updates::channel(Arc::clone(&self.published));
        let stop = host.stop.child_token();
        let name = config.name();
        let failure = match config.start(place) {
            Ok(mut discovery) => {
                discovery.start(&updates);
                host.tasks.spawn(discovery.run(updates, stop.clone()));
                None
            }
            Err(error) => {
                tracing::error!(
                    error,
                    job = place.job,
                    mechanism = name,
                    "cannot start a service discovery; it finds no targets until the configuration is loaded again"
                );
                let failed = &host.metrics.failed_configs;
                Some(Failure::new(failed.with(&[host.consumer])))
            }
        };
        Provider {
            config,
            name,
            groups,
            stop,
            failure,
        }
    }

    /// Returns what is notified whenever one of them publishes; one waiter is enough for all of them.
    pub fn published(&self) -> Arc<Notify> {
        Arc::clone(&self.published)
    }

    /// Returns what each of them knows now, in the order of the configuration.
    pub fn groups(&mut self) -> Vec<TargetGroups> {
        let metrics = &self.host.metrics;
        let latest = self.running.iter_mut().map(|provider| {
            metrics.updates.with(&[provider.name]).inc();
            Arc::clone(&provider.groups.borrow_and_update())
        });
        latest.collect()
    }

    /// Notes how many targets were found, kept or not.
    pub fn note_found(&self, count: usize) {
        let found = &self.host.metrics.discovered_targets;
        found
            .with(&[self.host.consumer, &self.section])
            .set(count as f64);
    }

    /// Removes what was noted, as the section is gone.
    pub fn forget(&self) {
        let found = &self.host.metrics.discovered_targets;
        found.remove(&[self.host.consumer, &self.section]);
    }
}

impl Drop for Discoveries {
    fn drop(&mut self) {
        for provider in &self.running {
            provider.stop.cancel();
        }
    }
}
