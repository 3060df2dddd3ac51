//! The database: one data directory, its lock, its head, and the thread that keeps house.

mod querier;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use metrics::{Gauge, Registry};
use model::storage::{Appendable, Appender, Querier, Queryable, ReadError};
use model::time::{Clock as _, SystemClock};
use parking_lot::{Condvar, Mutex};

use crate::files::{Disk, Files};
use crate::head::replay::{ReplayError, ReplayProgress, ReplayReport};
use crate::head::status::{Cardinality, HeadStats};
use crate::head::{Head, HeadOptions};
use crate::metrics::TsdbMetrics;

/// How a database is opened.
#[derive(Clone, Debug)]
pub struct DbOptions {
    /// Samples older than this before the newest are dropped.
    pub retention: model::Duration,
    /// How the head is kept.
    pub head: HeadOptions,
    /// Whether a lock file keeps other processes out.
    pub lock: bool,
}

/// How often the log and the head chunks are fsynced: what a power cut may cost. A killed process loses nothing.
const SYNC_EVERY: Duration = Duration::from_secs(5);
/// How many rounds of [`SYNC_EVERY`] lie between two looks at retention and checkpoints.
const ROUNDS_PER_UPKEEP: u32 = 12;

/// Keeps other processes out of the directory.
const LOCK_FILE: &str = "lock";

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenDbError {
    /// Another process has it.
    #[error("data directory {} is in use by another process (it holds the lock on {}/lock)", .0.display(), .0.display())]
    InUse(PathBuf),
    /// The directory cannot be made or written to.
    #[error("data directory {} cannot be used: {source}", .path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What is in it could not be read.
    #[error("open data directory: {0}")]
    Replay(#[from] ReplayError),
}

/// A time series database in one directory.
///
/// Shared as `Arc<Db>`; appending and querying may go on from any number of threads. [`close`](Db::close) stops the
/// housekeeping and makes everything durable; dropping it without is what a crash does, and loses nothing that was
/// committed.
pub struct Db {
    head: Arc<Head>,
    keeper: Mutex<Option<JoinHandle<()>>>,
    orders: Arc<Orders>,
    retention_limit: Gauge,
    /// The lock file, and where it is, while this process has it.
    lock: Mutex<Option<(File, PathBuf)>>,
}

/// What the housekeeping is told.
struct Orders {
    stopped: Mutex<bool>,
    changed: Condvar,
    retention_ms: AtomicI64,
}

impl Db {
    /// Opens or creates the database in `dir`, replaying its log. `progress` can be watched meanwhile.
    ///
    /// # Errors
    ///
    /// When the directory cannot be used or another process uses it. Damaged data is no error; see the report.
    pub fn open(
        dir: &Path,
        options: &DbOptions,
        registry: &Registry,
        progress: &ReplayProgress,
    ) -> Result<(Arc<Db>, ReplayReport), OpenDbError> {
        let metrics = TsdbMetrics::new(registry);
        let start = std::time::Instant::now();
        let (lock, clean) = if options.lock {
            lock(dir)?
        } else {
            (prepare(dir).map(|()| None)?, None)
        };
        metrics
            .clean_start
            .set(clean.map_or(-1.0, |clean| f64::from(u8::from(clean))));
        let retention_limit = registry.gauge(
            "prometheus_tsdb_retention_limit_seconds",
            "How long to retain samples in storage.",
        );
        let replay_seconds = metrics.replay_seconds.clone();
        let files: Arc<dyn Files> = Arc::new(Disk);
        let (head, report) = Head::open(files, dir, options.head, i64::MIN, metrics, progress)?;
        replay_seconds.set(start.elapsed().as_secs_f64());
        let head = Arc::new(head);
        head.update_gauges();
        let orders = Arc::new(Orders {
            stopped: Mutex::new(false),
            changed: Condvar::new(),
            retention_ms: AtomicI64::new(0),
        });
        let keeper = {
            let (head, orders) = (Arc::clone(&head), Arc::clone(&orders));
            std::thread::Builder::new()
                .name("tsdb-keeper".to_owned())
                .spawn(move || keep_house(&head, &orders))
        };
        let keeper = keeper.map_err(|source| OpenDbError::Unusable {
            path: dir.to_owned(),
            source,
        })?;
        let db = Db {
            head,
            keeper: Mutex::new(Some(keeper)),
            orders,
            retention_limit,
            lock: Mutex::new(lock.map(|file| (file, dir.join(LOCK_FILE)))),
        };
        db.set_retention(options.retention);
        Ok((Arc::new(db), report))
    }

    /// Keeps samples for `retention` from now on; shorter takes effect at the next round of housekeeping.
    pub fn set_retention(&self, retention: model::Duration) {
        self.retention_limit.set(retention.as_secs_f64());
        self.orders
            .retention_ms
            .store(retention.as_ms(), Ordering::Relaxed);
    }

    /// Takes samples that are up to `window` older than the newest from now on; zero takes none that is late.
    pub fn set_late_window(&self, window: model::Duration) {
        self.head.set_late_window(window.as_ms());
    }

    /// Returns the counts of the head.
    pub fn stats(&self) -> HeadStats {
        self.head.stats()
    }

    /// Returns where the series come from, the `limit` largest of each kind.
    pub fn cardinality(&self, limit: usize) -> Cardinality {
        self.head.cardinality(limit)
    }

    /// Returns the head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Stops the housekeeping and makes everything durable. A second call does nothing more than that.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn close(&self) -> io::Result<()> {
        self.stop_keeper();
        self.head.sync()?;
        // The lock file says to the next start whether this stop was clean; it goes while the lock is still held.
        match self.lock.lock().take() {
            Some((_held, path)) => fs::remove_file(path),
            None => Ok(()),
        }
    }

    fn stop_keeper(&self) {
        if let Some(keeper) = self.keeper.lock().take() {
            *self.orders.stopped.lock() = true;
            self.orders.changed.notify_all();
            // A keeper that panicked has said so on its own; what is on disk is whole all the same.
            let _ = keeper.join();
        }
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        self.stop_keeper();
    }
}

fn keep_house(head: &Head, orders: &Orders) {
    let mut round = 0;
    loop {
        let mut stopped = orders.stopped.lock();
        if !*stopped {
            orders.changed.wait_for(&mut stopped, SYNC_EVERY);
        }
        if *stopped {
            return;
        }
        drop(stopped);
        if let Err(error) = head.sync() {
            tracing::error!(%error, "making the write-ahead log durable failed");
        }
        round = (round + 1) % ROUNDS_PER_UPKEEP;
        if round == 0 {
            upkeep(head, orders.retention_ms.load(Ordering::Relaxed));
        }
    }
}

fn upkeep(head: &Head, retention_ms: i64) {
    // A sample from the future must not take the present with it.
    let newest = |maxt: i64| maxt.min(SystemClock.now_ms());
    if let Some((_, maxt)) = head.time_range()
        && let Err(error) = head.truncate(newest(maxt).saturating_sub(retention_ms))
    {
        tracing::error!(%error, "dropping samples past the retention failed");
    }
    if let Err(error) = head.checkpoint_if_due() {
        tracing::error!(%error, "writing a checkpoint of the write-ahead log failed");
    }
    head.drop_empty_series();
    head.shrink();
    head.update_gauges();
}

fn prepare(dir: &Path) -> Result<(), OpenDbError> {
    fs::create_dir_all(dir).map_err(|source| OpenDbError::Unusable {
        path: dir.to_owned(),
        source,
    })
}

/// Takes the lock file; says whether there was none before, as after a clean stop.
fn lock(dir: &Path) -> Result<(Option<File>, Option<bool>), OpenDbError> {
    prepare(dir)?;
    let path = dir.join(LOCK_FILE);
    let clean = !path.exists();
    let unusable = |source| OpenDbError::Unusable {
        path: dir.to_owned(),
        source,
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok((Some(file), Some(clean))),
        Err(TryLockError::WouldBlock) => Err(OpenDbError::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

impl Appendable for Db {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(self.head.appender())
    }
}

impl Queryable for Db {
    fn querier(&self, mint: i64, maxt: i64) -> Result<Box<dyn Querier + '_>, ReadError> {
        Ok(Box::new(self.head.querier(mint, maxt)))
    }
}
