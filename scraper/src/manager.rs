//! The scrape manager: every pool of the configuration, and what the API asks about them.
//!
//! Stopping is one signal ([`ScrapeManager::shutdown`]) and then waiting for every task. A shutdown writes no staleness
//! markers: the next start goes on with the same series.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metrics::Registry;
use model::storage::Appendable;
use model::time::Clock;
use model::trace::Tracer;
use net::http_config::InvalidHttpConfig;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use xxhash_rust::xxh64::xxh64;

use crate::config::{GlobalConfig, ScrapeConfig};
use crate::failure_log::FailureLogs;
use crate::job::{Job, StartOptions};
use crate::lanes::Lanes;
use crate::metadata::Interner;
use crate::metrics::ScrapeMetrics;
use crate::pool::{Pool, PoolOrder, PoolState};
use crate::presence::{Presence, Presences};
use crate::scrape::ScratchPool;

mod snapshot;

pub use snapshot::{DroppedTarget, GlobalUrl, TargetMetadata, TargetState, TargetsSnapshot};

/// What is fixed at start.
#[derive(Clone, Debug)]
pub struct ScrapeOptions {
    /// What relative file names in the configuration are relative to.
    pub base_dir: PathBuf,
    /// This machine's name: it moves the offsets of scrapes, so that twins do not scrape at the same moment.
    pub hostname: String,
    /// What targets are told about who scrapes them.
    pub user_agent: String,
    /// A scrape that is at most this late, and at most a hundredth of its interval, gets the time at which it was due; 2 ms
    /// in Prometheus, zero for the plain time.
    pub timestamp_tolerance: Duration,
    /// How long changes of discovered targets are collected before they are acted on.
    pub discovery_reload_interval: Duration,
    /// How this server is reached from outside, for links to targets on this machine.
    pub global_url: GlobalUrl,
    /// What becomes of start timestamps.
    pub starts: StartOptions,
    /// Makes spans of scrapes.
    pub tracer: Tracer,
}

/// What all pools and loops share.
pub(crate) struct Shared {
    pub(crate) storage: Arc<dyn Appendable>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: ScrapeMetrics,
    pub(crate) options: ScrapeOptions,
    pub(crate) presences: Presences,
    pub(crate) interner: Interner,
    pub(crate) scratches: ScratchPool,
    pub(crate) failure_logs: FailureLogs,
    /// One permit for each long body that may be worked on at once: as many as there are processors.
    pub(crate) long_work: Semaphore,
    /// Where loops run.
    pub(crate) lanes: Lanes,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// Runs the scrape pools of a configuration.
pub struct ScrapeManager {
    shared: Arc<Shared>,
    pools: Mutex<BTreeMap<String, PoolHandle>>,
}

struct PoolHandle {
    orders: watch::Sender<PoolOrder>,
    job: Arc<Job>,
    state: Arc<PoolState>,
}

/// Why a configuration was not applied; everything runs on as before.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Two jobs have one name.
    #[error("found multiple scrape configs with job name {0:?}")]
    DuplicateJob(String),
    /// A job's HTTP settings contradict each other.
    #[error("scrape config with job name {job:?}: {source}")]
    Http {
        /// The job.
        job: String,
        /// What is wrong.
        source: InvalidHttpConfig,
    },
    /// A file for failed scrapes cannot be opened.
    #[error("open scrape_failure_log_file {}: {source}", .path.display())]
    FailureLog {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl ScrapeManager {
    /// Returns a manager that scrapes nothing yet. Instruments are registered in `registry`.
    ///
    /// # Errors
    ///
    /// When the system gives no thread to scrape on.
    pub fn new(
        storage: Arc<dyn Appendable>,
        clock: Arc<dyn Clock>,
        registry: &Registry,
        options: ScrapeOptions,
    ) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let metrics = ScrapeMetrics::new(registry);
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        let lanes = Lanes::start(&shutdown, &tasks)?;
        let shared = Arc::new(Shared {
            storage,
            clock,
            failure_logs: FailureLogs::new(metrics.failure_log_dropped.clone()),
            metrics,
            options,
            presences: Presences::default(),
            interner: Interner::default(),
            scratches: ScratchPool::default(),
            long_work: Semaphore::new(cores),
            lanes,
            shutdown,
            tasks,
        });
        Ok(ScrapeManager {
            shared,
            pools: Mutex::default(),
        })
    }

    /// Scrapes the targets of `configs`, all finished, from now on, and nothing else.
    ///
    /// Pools whose configuration is the same are not touched; in the others, targets that stay are scraped on without a gap
    /// or an extra scrape. Must be called in a Tokio runtime; returns at once.
    ///
    /// # Errors
    ///
    /// When the configuration cannot run; then nothing changes.
    pub fn apply(
        &self,
        configs: Vec<ScrapeConfig>,
        global: &GlobalConfig,
    ) -> Result<(), ApplyError> {
        let seed = self.offset_seed(global);
        let mut jobs = BTreeMap::new();
        for config in configs {
            let name = config.job_name.clone();
            let job = Job::new(
                config,
                &self.shared.options.base_dir,
                &self.shared.options.user_agent,
                seed,
                self.shared.options.starts,
            )
            .map_err(|source| ApplyError::Http {
                job: name.clone(),
                source,
            })?;
            if jobs.insert(name.clone(), Arc::new(job)).is_some() {
                return Err(ApplyError::DuplicateJob(name));
            }
        }
        self.open_failure_logs(jobs.values())?;
        let mut pools = self.pools.lock();
        pools.retain(|name, pool| {
            let is_kept = jobs.contains_key(name);
            if !is_kept {
                pool.orders.send_replace(PoolOrder::End);
            }
            is_kept
        });
        for (name, job) in jobs {
            match pools.get_mut(&name) {
                Some(pool) => self.update_pool(pool, job),
                None => {
                    let pool = self.start_pool(job);
                    pools.insert(name, pool);
                }
            }
        }
        Ok(())
    }

    /// Stops everything and waits until nothing is stored any more. No staleness markers are written.
    pub async fn shutdown(&self) {
        self.stop();
        self.shared.tasks.wait().await;
    }

    fn stop(&self) {
        self.shared.shutdown.cancel();
        self.shared.tasks.close();
    }

    fn offset_seed(&self, global: &GlobalConfig) -> u64 {
        let mut text = self.shared.options.hostname.clone();
        for (name, value) in &global.external_labels {
            text.extend(["\u{1}", name, "\u{1}", value]);
        }
        xxh64(text.as_bytes(), 0)
    }

    fn start_pool(&self, job: Arc<Job>) -> PoolHandle {
        self.shared.metrics.pools.inc();
        let state = Arc::new(PoolState::default());
        let (orders, receiver) = watch::channel(PoolOrder::Run(Arc::clone(&job)));
        let presence = Presence::new(&self.shared, &job.config.job_name);
        let pool = Pool::new(
            Arc::clone(&self.shared),
            presence,
            receiver,
            Arc::clone(&state),
        );
        self.shared.tasks.spawn(pool.run());
        PoolHandle { orders, job, state }
    }

    /// Opens the files that `jobs` name anew, whether they are the ones of before or not.
    fn open_failure_logs<'a>(
        &self,
        jobs: impl Iterator<Item = &'a Arc<Job>>,
    ) -> Result<(), ApplyError> {
        let logs = &self.shared.failure_logs;
        let paths = jobs.filter_map(|job| job.failure_log.clone());
        let files = logs
            .open(paths)
            .map_err(|(path, source)| ApplyError::FailureLog { path, source })?;
        logs.replace(files);
        Ok(())
    }

    fn update_pool(&self, pool: &mut PoolHandle, job: Arc<Job>) {
        if pool.job.config == job.config && pool.job.offset_seed == job.offset_seed {
            return;
        }
        self.shared.metrics.pool_reloads.inc();
        pool.orders.send_replace(PoolOrder::Run(Arc::clone(&job)));
        pool.job = job;
    }
}

impl Drop for ScrapeManager {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests;
