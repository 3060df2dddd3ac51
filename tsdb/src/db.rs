//! The database: one data directory, its lock, its blocks and its head, and the threads that keep house.
//!
//! ```text
//! append ──► head ──(2 h)──► block ──► larger block ──► deleted
//!              │                │
//! query  ◄─────┴────────────────┘
//! ```
//!
//! One thread makes what was written durable every few seconds; another turns the head into blocks, compacts blocks and
//! deletes old ones ([`keeper`]). The blocks in force are one immutable set ([`blocks`]); a query opens its view of the
//! head first and takes the set then, so that samples on their way from the head to a block are in one of them.

mod admin;
pub mod blocks;
mod compact;
#[cfg(test)]
mod crash_tests;
mod keeper;
mod lock;
mod querier;
mod retention;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics::Registry;
use model::storage::{Appendable, Appender, Querier, Queryable, ReadError};
use model::{Labels, Matcher};
use parking_lot::Mutex;

use crate::block::OpenBlockError;
use crate::block::meta::BlockMeta;
use crate::exemplars::StoredExemplar;
use crate::files::{Disk, Files};
use crate::head::replay::{ReplayError, ReplayProgress, ReplayReport};
use crate::head::status::{Cardinality, HeadStats};
use crate::head::{Head, HeadOptions};
use crate::metrics::TsdbMetrics;
use crate::wal::segment::Position;
use blocks::Blocks;
use keeper::Keeper;
use lock::DirLock;
use querier::MergedQuerier;

pub use admin::{AdminError, SnapshotName};
pub(crate) use compact::new_ulid;
pub use retention::Retention;

/// How often the head snapshot is written at most, while running …
const SNAPSHOT_EVERY: std::time::Duration = std::time::Duration::from_secs(300);
/// … and how much must have been logged since: less is read again in no time.
const SNAPSHOT_LOG_BYTES: u64 = 16 << 20;

/// How a database is opened.
#[derive(Clone, Debug)]
pub struct DbOptions {
    /// What is kept.
    pub retention: Retention,
    /// How the head is kept.
    pub head: HeadOptions,
    /// The span of the largest block that compaction makes, in milliseconds. The same as the head's chunk range turns
    /// the compaction of blocks off, for those that upload them.
    pub block_range_max_ms: i64,
    /// Largest chunk file of a block, in bytes.
    pub chunk_segment_bytes: u64,
    /// Whether blocks that overlap are merged.
    pub merges_overlapping: bool,
    /// While this file of Thanos' uploader exists, blocks that it does not name as uploaded are not compacted.
    pub uploaded_blocks_file: Option<PathBuf>,
    /// Samples that are up to this older than the newest are taken; zero takes none that is late.
    pub late_window: model::Duration,
    /// The share of series that have ended (0 to 1) from which on they leave the head before their time; zero: never.
    pub stale_share_min: f64,
    /// How often the directory is looked at for blocks that others put there.
    pub reload_interval: std::time::Duration,
    /// Whether a lock file keeps other processes out.
    pub lock: bool,
}

impl Default for DbOptions {
    fn default() -> Self {
        DbOptions {
            retention: Retention::default(),
            head: HeadOptions::default(),
            block_range_max_ms: 31 * 86_400_000,
            chunk_segment_bytes: crate::block::chunks::SEGMENT_BYTES,
            merges_overlapping: true,
            uploaded_blocks_file: None,
            late_window: model::Duration::from_secs(0),
            stale_share_min: 0.0,
            reload_interval: std::time::Duration::from_secs(60),
            lock: true,
        }
    }
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenDbError {
    /// Another process has it.
    #[error("data directory {} is in use by another process (it holds the lock on {}/lock)", .0.display(), .0.display())]
    InUse(PathBuf),
    /// The directory cannot be made or written to.
    #[error("data directory {} cannot be used", .path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What is in it could not be read.
    #[error("open data directory")]
    Replay(#[from] ReplayError),
}

/// What opening a database found.
#[derive(Debug, Default)]
pub struct OpenReport {
    /// What the replay of the log found.
    pub replay: ReplayReport,
    /// Blocks that could not be opened, and why. They stay on disk; their samples are not served.
    pub failed_blocks: Vec<(PathBuf, OpenBlockError)>,
    /// One sentence for each thing that is wrong with a block that was opened all the same.
    pub block_damages: Vec<String>,
}

/// A time series database in one directory.
///
/// Shared as `Arc<Db>`; appending and querying may go on from any number of threads. [`close`](Db::close) stops the
/// housekeeping and makes everything durable; dropping it without is what a crash does, and loses nothing that was
/// committed.
pub struct Db {
    inner: Arc<Inner>,
    keeper: Mutex<Option<Keeper>>,
    /// While this process has the directory.
    lock: Mutex<Option<DirLock>>,
}

/// What the housekeeping threads share with the others.
struct Inner {
    files: Arc<dyn Files>,
    dir: PathBuf,
    options: DbOptions,
    head: Head,
    blocks: Blocks,
    retention: Mutex<Retention>,
    /// As in the options.
    stale_share_min: Mutex<f64>,
    /// Held by whoever turns samples into blocks or changes which blocks there are.
    changing_blocks: Mutex<()>,
    last_snapshot: Mutex<LastSnapshot>,
    is_stopping: AtomicBool,
    metrics: TsdbMetrics,
}

/// When the head snapshot was written last.
struct LastSnapshot {
    at: std::time::Instant,
    position: Position,
}

impl LastSnapshot {
    fn now(position: Position) -> Self {
        LastSnapshot {
            at: std::time::Instant::now(),
            position,
        }
    }
}

/// Returns the milliseconds since `start`, for a log line.
fn millis(start: std::time::Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Inner {
    /// Writes the head snapshot when the one before is old and much was logged since.
    fn write_head_snapshot_if_due(&self) -> io::Result<()> {
        let (age, before) = {
            let last = self.last_snapshot.lock();
            (last.at.elapsed(), last.position)
        };
        let now = self.head.log_position();
        let is_much =
            before.segment != now.segment || before.offset + SNAPSHOT_LOG_BYTES < now.offset;
        let is_due = SNAPSHOT_EVERY <= age && is_much;
        if !is_due && !self.head.has_bad_chunk() {
            return Ok(());
        }
        self.write_head_snapshot()
    }

    fn write_head_snapshot(&self) -> io::Result<()> {
        let start = std::time::Instant::now();
        self.head.write_snapshot(&self.dir)?;
        *self.last_snapshot.lock() = LastSnapshot::now(self.head.log_position());
        tracing::debug!(elapsed_ms = millis(start), "wrote the head snapshot");
        Ok(())
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }
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
    ) -> Result<(Arc<Db>, OpenReport), OpenDbError> {
        let lock = DirLock::take(dir, options.lock)?;
        let (db, report) = Self::open_in(Arc::new(Disk), dir, options, registry, progress)?;
        let clean_start = lock
            .was_clean()
            .map_or(-1.0, |clean| f64::from(u8::from(clean)));
        db.inner.metrics.clean_start.set(clean_start);
        *db.lock.lock() = Some(lock);
        let keeper = Keeper::start(&db.inner).map_err(|source| OpenDbError::Unusable {
            path: dir.to_owned(),
            source,
        })?;
        *db.keeper.lock() = Some(keeper);
        Ok((Arc::new(db), report))
    }

    /// Opens the database in a directory of `files`, without lock and housekeeping: what a test drives step by step.
    ///
    /// # Errors
    ///
    /// As [`open`](Db::open).
    pub fn open_in(
        files: Arc<dyn Files>,
        dir: &Path,
        options: &DbOptions,
        registry: &Registry,
        progress: &ReplayProgress,
    ) -> Result<(Db, OpenReport), OpenDbError> {
        let unusable = |source| OpenDbError::Unusable {
            path: dir.to_owned(),
            source,
        };
        let start = std::time::Instant::now();
        files.create_dir_all(dir).map_err(unusable)?;
        let metrics = TsdbMetrics::new(registry);
        let (blocks, found) = Blocks::open(Arc::clone(&files), dir).map_err(unusable)?;
        let valid_from = blocks.set().head_from;
        let (head, replay) = Head::open(
            Arc::clone(&files),
            dir,
            options.head,
            valid_from,
            metrics.clone(),
            progress,
        )?;
        head.set_late_window(options.late_window.as_ms());
        metrics.replay_seconds.set(start.elapsed().as_secs_f64());
        head.update_gauges();
        let inner = Inner {
            files,
            dir: dir.to_owned(),
            options: options.clone(),
            head,
            blocks,
            retention: Mutex::new(options.retention),
            stale_share_min: Mutex::new(options.stale_share_min),
            changing_blocks: Mutex::new(()),
            last_snapshot: Mutex::new(LastSnapshot::now(Position::default())),
            is_stopping: AtomicBool::new(false),
            metrics,
        };
        inner.update_block_gauges();
        inner.update_retention_gauges();
        let db = Db {
            inner: Arc::new(inner),
            keeper: Mutex::new(None),
            lock: Mutex::new(None),
        };
        let report = OpenReport {
            replay,
            failed_blocks: found.failed,
            block_damages: found.damages,
        };
        Ok((db, report))
    }

    /// Keeps what `retention` says from now on; less takes effect at the next round of housekeeping.
    pub fn set_retention(&self, retention: Retention) {
        *self.inner.retention.lock() = retention;
        self.inner.update_retention_gauges();
    }

    /// Takes samples that are up to `window` older than the newest from now on; zero takes none that is late.
    pub fn set_late_window(&self, window: model::Duration) {
        self.inner.head.set_late_window(window.as_ms());
    }

    /// Lets series that have ended leave the head when at least this share has (0 to 1); zero: never before their time.
    pub fn set_stale_share_min(&self, share: f64) {
        *self.inner.stale_share_min.lock() = share;
    }

    /// Keeps up to `capacity` exemplars from now on; 0 keeps none.
    pub fn set_exemplars_max(&self, capacity: usize) {
        self.inner.head.set_exemplars_max(capacity);
    }

    /// Returns the exemplars in `mint..=maxt` of the series that pass all matchers of one of `selectors`: a list for each
    /// series that has some, ascending by labels.
    pub fn exemplars(
        &self,
        selectors: &[Vec<Matcher>],
        mint: i64,
        maxt: i64,
    ) -> Vec<(Labels, Vec<StoredExemplar>)> {
        self.inner.head.exemplars(selectors, mint, maxt)
    }

    /// Returns the counts of the head.
    pub fn stats(&self) -> HeadStats {
        self.inner.head.stats()
    }

    /// Returns where the series come from, the `limit` largest of each kind.
    pub fn cardinality(&self, limit: usize) -> Cardinality {
        self.inner.head.cardinality(limit)
    }

    /// Returns the head.
    pub fn head(&self) -> &Head {
        &self.inner.head
    }

    /// Returns what the blocks are, ascending by time.
    pub fn block_metas(&self) -> Vec<Arc<BlockMeta>> {
        self.inner.blocks.set().metas()
    }

    /// Does one round of housekeeping now, in this thread: blocks are written, compacted and deleted as is due.
    pub fn keep_house(&self) {
        self.inner.upkeep();
    }

    /// Makes everything appended so far survive a power cut.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn sync(&self) -> io::Result<()> {
        self.inner.head.sync()
    }

    /// Stops the housekeeping and makes everything durable. A second call does nothing more than that.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn close(&self) -> io::Result<()> {
        self.stop_keeper();
        self.inner.head.sync()?;
        if let Err(error) = self.inner.write_head_snapshot() {
            tracing::warn!(%error, "writing the head snapshot failed; the next start reads the log instead");
        }
        // The lock file says to the next start whether this stop was clean; it goes while the lock is still held.
        match self.lock.lock().take() {
            Some(lock) => lock.release(),
            None => Ok(()),
        }
    }

    fn stop_keeper(&self) {
        self.inner.is_stopping.store(true, Ordering::Relaxed);
        if let Some(keeper) = self.keeper.lock().take() {
            keeper.stop();
        }
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        self.stop_keeper();
    }
}

impl Appendable for Db {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(self.inner.head.appender())
    }
}

impl Queryable for Db {
    fn querier(&self, mint: i64, maxt: i64) -> Result<Box<dyn Querier + '_>, ReadError> {
        let head = &self.inner.head;
        // The view comes first: whatever moves to a block from here on waits for it, or is in the set already.
        let view = head.querier(mint, maxt);
        let set = self.inner.blocks.set();
        let view = view.with_in_order_from(set.head_from);
        let late = head.late_range();
        let is_late_in_range = late.is_some_and(|(from, to)| from <= maxt && mint <= to);
        let uses_head = set.head_from <= maxt || is_late_in_range;
        let mut sources: Vec<Box<dyn Querier>> = Vec::new();
        for block in &set.blocks {
            if block.meta().overlaps(mint, maxt) {
                sources.push(Box::new(block.querier(mint, maxt)));
            }
        }
        if sources.is_empty() {
            return Ok(Box::new(view));
        }
        if uses_head {
            sources.push(Box::new(view));
        }
        let is_sequential = set.is_sequential
            && set.end().is_none_or(|end| end <= set.head_from)
            && late.is_none_or(|(from, _)| set.head_from <= from);
        Ok(Box::new(MergedQuerier::new(sources, is_sequential)))
    }
}
