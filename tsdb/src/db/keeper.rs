//! The threads that keep house: one makes what was written durable, the other makes blocks.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::Inner;

/// How often the log and the head chunks are fsynced: what a power cut may cost. A killed process loses nothing.
const SYNC_EVERY: Duration = Duration::from_secs(5);
/// How often blocks, retention and checkpoints are looked at …
const UPKEEP_EVERY: Duration = Duration::from_secs(60);
/// … and how often whether the head has a range to be turned into a block: under a backfill it grows fast.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The threads, while they run.
pub(super) struct Keeper {
    orders: Arc<Orders>,
    threads: Vec<JoinHandle<()>>,
}

/// Tells the threads to stop.
#[derive(Default)]
struct Orders {
    is_stopped: Mutex<bool>,
    changed: Condvar,
}

impl Orders {
    /// Waits for `time`; returns whether the threads are to go on.
    fn go_on_after(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let mut is_stopped = self.is_stopped.lock();
        while !*is_stopped {
            if self
                .changed
                .wait_until(&mut is_stopped, deadline)
                .timed_out()
            {
                return !*is_stopped;
            }
        }
        false
    }
}

impl Keeper {
    /// Starts the threads.
    pub(super) fn start(inner: &Arc<Inner>) -> io::Result<Self> {
        let orders = Arc::new(Orders::default());
        let mut keeper = Keeper {
            orders: Arc::clone(&orders),
            threads: Vec::new(),
        };
        let (for_syncing, syncing) = (Arc::clone(inner), Arc::clone(&orders));
        keeper.spawn("tsdb-sync", move || {
            while syncing.go_on_after(SYNC_EVERY) {
                if let Err(error) = for_syncing.head.sync() {
                    tracing::error!(%error, "making the write-ahead log durable failed");
                }
            }
        })?;
        let inner = Arc::clone(inner);
        let every = UPKEEP_EVERY.min(inner.options.reload_interval);
        keeper.spawn("tsdb-keeper", move || {
            let mut last = Instant::now();
            // A range that could not be turned into a block is tried again at the next regular round.
            let mut failed = None;
            while orders.go_on_after(LOOK_EVERY.min(every)) {
                let due = inner.range_due();
                if every <= last.elapsed() || (due.is_some() && due != failed) {
                    inner.upkeep();
                    failed = inner.range_due();
                    last = Instant::now();
                }
            }
        })?;
        Ok(keeper)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = std::thread::Builder::new().name(name.to_owned());
        self.threads.push(thread.spawn(work)?);
        Ok(())
    }

    /// Waits for the threads to end.
    pub(super) fn stop(self) {
        *self.orders.is_stopped.lock() = true;
        self.orders.changed.notify_all();
        for thread in self.threads {
            // One that panicked has said so on its own; what is on disk is whole all the same.
            let _ = thread.join();
        }
    }
}

impl Inner {
    /// One round of housekeeping. What fails is logged and tried again at the next.
    pub(super) fn upkeep(&self) {
        let _changing = self.changing_blocks.lock();
        self.reload_blocks();
        if let Err(error) = self.compact_head() {
            self.metrics.compactions_failed.inc();
            tracing::error!(%error, "turning the head into a block failed; its samples stay in the head");
        }
        if let Err(error) = self.compact_stale_series() {
            self.metrics.compactions_failed.inc();
            tracing::error!(%error, "turning series that have ended into a block failed; they stay in the head");
        }
        if let Err(error) = self.compact_blocks() {
            self.metrics.compactions_failed.inc();
            tracing::error!(%error, "compacting blocks failed; they stay as they are");
        }
        if let Err(error) = self.apply_retention() {
            tracing::error!(%error, "deleting blocks past the retention failed");
        }
        if let Err(error) = self.head.checkpoint_if_due() {
            tracing::error!(%error, "writing a checkpoint of the write-ahead log failed");
        }
        self.head.drop_empty_series();
        self.head.shrink();
        if let Err(error) = self.write_head_snapshot_if_due() {
            tracing::error!(%error, "writing the head snapshot failed; a start reads more of the log instead");
        }
        self.head.update_gauges();
        self.update_block_gauges();
    }

    fn reload_blocks(&self) {
        self.metrics.reloads.inc();
        match self.blocks.reload() {
            Ok(report) => {
                for (path, error) in &report.failed {
                    self.metrics.reloads_failed.inc();
                    let error: &dyn std::error::Error = error;
                    tracing::error!(block = %path.display(), error, "a block cannot be opened; its samples are not served");
                }
                for damage in &report.damages {
                    tracing::warn!(%damage, "a block is damaged");
                }
            }
            Err(error) => {
                self.metrics.reloads_failed.inc();
                tracing::error!(%error, "looking for blocks failed");
            }
        }
    }
}
