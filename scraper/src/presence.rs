//! Which jobs have a pool: the metrics of a job are removed when its last pool is gone.
//!
//! A pool runs on for a moment after its job was removed, and its loops for some intervals: what they still report would
//! bring metrics back that were removed earlier. A job that comes back meanwhile has two pools, and keeps its metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::manager::Shared;

/// How many pools each job has.
#[derive(Default)]
pub(crate) struct Presences(Mutex<BTreeMap<String, usize>>);

/// Says that a pool of a job runs, until it is dropped.
pub(crate) struct Presence {
    shared: Arc<Shared>,
    job: String,
}

impl Presence {
    pub(crate) fn new(shared: &Arc<Shared>, job: &str) -> Self {
        let mut pools = shared.presences.0.lock();
        *pools.entry(job.to_owned()).or_default() += 1;
        Presence {
            shared: Arc::clone(shared),
            job: job.to_owned(),
        }
    }

    /// Returns the job.
    pub(crate) fn job(&self) -> &str {
        &self.job
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut pools = self.shared.presences.0.lock();
        let count = pools.get(&self.job).map_or(0, |count| count - 1);
        if 0 < count {
            pools.insert(self.job.clone(), count);
            return;
        }
        pools.remove(&self.job);
        self.shared.metrics.forget_pool(&self.job);
        self.shared.metrics.forget_metadata_if_none(&self.job);
    }
}

impl Shared {
    /// Says that a target of `job` is gone, of which `count` families were known.
    pub(crate) fn forget_metadata(&self, job: &str, count: usize) {
        let pools = self.presences.0.lock();
        self.metrics.metadata_entries.with(&[job]).sub(count as f64);
        if !pools.contains_key(job) {
            self.metrics.forget_metadata_if_none(job);
        }
    }
}
