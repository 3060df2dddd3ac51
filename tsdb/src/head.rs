//! The head: the newest samples of every series, in memory and in memory-mapped chunks.
//!
//! ```text
//! appender ── commit ──► WAL ──► series ──► open chunk ──► full chunks (mapped files)
//!                                  └──► index: symbols, labels, postings
//! ```
//!
//! # Invariants
//!
//! 1. A sample is visible to queries only after its record is in the WAL.
//! 2. A sample's record comes after the record with its series' labels.
//! 3. The chunks of one series ascend in time and do not overlap.
//! 4. A slot is not given to another series while the process lives; an id never.
//!
//! # Ownership and locks
//!
//! The head is shared as `Arc<Head>`. Series live in pages of [`PAGE_SERIES`]; appends to one page are serialized by its
//! mutex, and a batch takes one lock per run of neighbours, because the series of a target are neighbours. Lock order:
//! committing, isolation, index, pages, one page, head chunk tail; those of exemplars, metadata and the logs are taken with none but the first
//! held. No lock is held across file I/O but the logs', the ones that serialize fsyncs, and, once in 128 MiB, a page's
//! while a head chunk file begins.
//!
//! # Not here
//!
//! Turning the head into blocks, and what is deleted and kept: [`crate::db`].

mod append;
mod delete;
mod exemplars;
pub mod gc;
pub mod index;
pub mod isolation;
pub mod late;
pub mod lines;
pub(crate) mod marks;
pub mod open;
pub mod page;
pub mod postings;
mod read;
pub mod replay;
pub mod series;
pub mod snapshot;
pub mod source;
pub mod stale;
pub mod status;
pub mod symbols;
pub mod tail;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use hashbrown::HashMap;
use model::storage::{AppendError, SeriesRef};
use parking_lot::{Mutex, RwLock};

use crate::exemplars::Exemplars;
use crate::files::{Files, OpenFile};
use crate::head_chunks::HeadChunks;
use crate::metadata::MetadataStore;
use crate::metrics::TsdbMetrics;
use crate::tombstones::Tombstones;
use crate::wal::segment::{self, LogBatch, Position, SegmentOptions, SegmentWriter};
use index::Index;
use isolation::Isolation;
use marks::HeadMarks;
use open::Encodings;
use page::Page;
use series::{ChunkShape, MemSeries};

pub use append::HeadAppender;
pub use read::{HeadQuerier, HeadSeriesSet};

/// How many series share a lock.
pub const PAGE_SERIES: usize = 256;

/// How long head chunks may get, in milliseconds, unless configured otherwise: the span of a block.
pub const CHUNK_RANGE_MS: i64 = 2 * 3_600_000;

/// How a head is opened.
#[derive(Clone, Copy, Debug)]
pub struct HeadOptions {
    /// How chunks are made; a chunk range is the span of a block.
    pub chunks: ChunkShape,
    /// How WAL and WBL are written.
    pub segment: SegmentOptions,
    /// How many exemplars are kept; 0 keeps none.
    pub exemplars_max: usize,
    /// Whether metadata of series is logged, and so there after a start.
    pub logs_metadata: bool,
    /// Whether start timestamps are kept, as far as the encodings of `chunks` have a place for them.
    pub stores_starts: bool,
    /// Whether a sample with a start timestamp brings one of zero at that time, if that is newer than the series' newest.
    pub zeros_at_starts: bool,
}

impl Default for HeadOptions {
    fn default() -> Self {
        HeadOptions {
            chunks: ChunkShape {
                range_ms: CHUNK_RANGE_MS,
                encodings: Encodings::PLAIN,
            },
            segment: SegmentOptions::default(),
            exemplars_max: 0,
            logs_metadata: false,
            stores_starts: false,
            zeros_at_starts: false,
        }
    }
}

type LockedPage = Mutex<Page>;

/// All pages; shared with those who read or apply a batch, made anew when a page comes while it is.
type Pages = Arc<Vec<Arc<LockedPage>>>;

/// The newest samples of every series.
pub struct Head {
    files: Arc<dyn Files>,
    dir: PathBuf,
    marks: Mutex<HeadMarks>,
    options: HeadOptions,
    index: RwLock<Index>,
    pages: RwLock<Pages>,
    chunks: HeadChunks,
    /// Shared from before a batch is logged until it is applied; exclusive when a snapshot begins.
    committing: RwLock<()>,
    isolation: Isolation,
    wal: Mutex<SegmentWriter>,
    wal_dir: PathBuf,
    /// The log of late samples; begun when the first comes.
    wbl: Mutex<Option<SegmentWriter>>,
    wbl_dir: PathBuf,
    /// Full segments that are to be fsynced; held while that is done.
    unsynced: Mutex<Vec<Arc<dyn OpenFile>>>,
    /// Ids that the log uses for a series that has another id by now.
    aliases: Mutex<HashMap<u64, u32>>,
    next_id: AtomicU64,
    /// Oldest and newest in-order sample; `i64::MAX` and `i64::MIN` while there is none.
    mint: AtomicI64,
    maxt: AtomicI64,
    /// The oldest in-order sample that came since a truncation began.
    mint_since: AtomicI64,
    /// The same of the late ones.
    late_mint: AtomicI64,
    late_maxt: AtomicI64,
    /// How long before the newest sample late ones are taken, in milliseconds; 0 takes none.
    late_window_ms: AtomicI64,
    /// In-order samples before this are refused: they are in blocks, or about to be.
    valid_from: AtomicI64,
    /// In-order samples before this are in blocks.
    in_blocks_until: AtomicI64,
    /// What it was when the log was folded last.
    checkpointed_from: AtomicI64,
    /// Held while the log is folded: who comes second would take what the first has written for leftovers.
    checkpointing: Mutex<()>,
    /// Deleted intervals by series id.
    tombstones: RwLock<Tombstones>,
    /// Whether a full chunk could not be read: the next start is to make the chunks again from the log.
    has_bad_chunk: AtomicBool,
    has_tombstones: AtomicBool,
    exemplars: Mutex<Exemplars>,
    metadata: Mutex<MetadataStore>,
    appenders: OpenAppenders,
    buffers: Mutex<Vec<append::Buffers>>,
    metrics: TsdbMetrics,
}

/// How many batches are open, in two generations, so that one can wait for those of before to end.
#[derive(Default)]
struct OpenAppenders {
    /// The generation that new batches belong to, modulo two.
    generation: AtomicUsize,
    open: [AtomicUsize; 2],
    waiting: Mutex<()>,
}

impl OpenAppenders {
    /// Counts a batch; returns its generation, to be given to [`leave`](Self::leave).
    fn enter(&self) -> usize {
        let generation = self.generation.load(Ordering::SeqCst) % 2;
        self.open[generation].fetch_add(1, Ordering::SeqCst);
        generation
    }

    fn leave(&self, generation: usize) {
        self.open[generation].fetch_sub(1, Ordering::SeqCst);
    }

    /// Waits until every batch has ended that was counted before the call; gives up when `is_stopped` says so, and
    /// returns whether it waited to the end.
    fn wait_for_older(&self, is_stopped: &dyn Fn() -> bool) -> bool {
        let _one = self.waiting.lock();
        // Twice: a batch may have read the generation of before and be counted in it only now.
        for _ in 0..2 {
            let before = self.generation.fetch_add(1, Ordering::SeqCst) % 2;
            while self.open[before].load(Ordering::SeqCst) != 0 {
                if is_stopped() {
                    return false;
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        true
    }
}

/// A series as the head names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SlotId {
    slot: u32,
    id: u64,
}

impl SlotId {
    /// Returns the handle for others: slot below, the id's low half above, which tells a dropped series from another.
    fn handle(self) -> SeriesRef {
        SeriesRef(self.id << 32 | u64::from(self.slot))
    }

    /// Returns the slot that a handle names.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    fn slot_of(handle: SeriesRef) -> u32 {
        handle.0 as u32
    }

    /// Returns whether a handle is one of the series with this id, which is 0 for the place of a dropped one.
    fn names(handle: SeriesRef, id: u64) -> bool {
        id != 0 && handle.0 >> 32 == id & u64::from(u32::MAX)
    }
}

impl Head {
    /// Returns the times of the oldest and the newest in-order sample, if there is one.
    pub fn time_range(&self) -> Option<(i64, i64)> {
        let (mint, maxt) = (
            self.mint.load(Ordering::Relaxed),
            self.maxt.load(Ordering::Relaxed),
        );
        (mint <= maxt).then_some((mint, maxt))
    }

    /// Returns the times of the oldest and the newest late sample, if there is one.
    pub fn late_range(&self) -> Option<(i64, i64)> {
        let (mint, maxt) = (
            self.late_mint.load(Ordering::Relaxed),
            self.late_maxt.load(Ordering::Relaxed),
        );
        (mint <= maxt).then_some((mint, maxt))
    }

    /// Returns how many series there are.
    pub fn series_count(&self) -> usize {
        self.index.read().len()
    }

    /// Takes samples up to this long before the newest from now on, in milliseconds; 0 takes none that is late.
    pub fn set_late_window(&self, window_ms: i64) {
        self.late_window_ms.store(window_ms, Ordering::Relaxed);
    }

    /// Returns the oldest time at which an in-order sample is still taken: half a chunk range before the newest, because
    /// older chunks may be on their way to a block.
    fn oldest_valid(&self) -> i64 {
        let newest = self.maxt.load(Ordering::Relaxed);
        let by_newest = newest.saturating_sub(self.options.chunks.range_ms / 2);
        by_newest.max(self.valid_from.load(Ordering::Relaxed))
    }

    /// Returns the oldest time at which a late sample is taken; `None` when none is.
    fn oldest_late(&self) -> Option<i64> {
        let window = self.late_window_ms.load(Ordering::Relaxed);
        let newest = self.maxt.load(Ordering::Relaxed);
        (0 < window).then(|| newest.saturating_sub(window))
    }

    /// Ends the log's segment, as if it were full.
    #[cfg(test)]
    pub(crate) fn roll_log(&self) -> std::io::Result<()> {
        self.wal.lock().next_segment()
    }

    /// Returns where the log ends.
    pub fn log_position(&self) -> Position {
        self.wal.lock().position()
    }

    /// Takes no in-order sample before `t` any more, and waits for the batches that were begun before. Returns whether it
    /// is so: `false` when `is_stopped` said so meanwhile.
    pub fn close_before(&self, t: i64, is_stopped: &dyn Fn() -> bool) -> bool {
        self.valid_from.fetch_max(t, Ordering::SeqCst);
        self.appenders.wait_for_older(is_stopped)
    }

    /// Waits until no query is open that was open at the call and reads before `t`; `false` when `is_stopped` said so.
    pub fn wait_for_readers_before(&self, t: i64, is_stopped: &dyn Fn() -> bool) -> bool {
        self.isolation.wait_for_readers_before(t, is_stopped)
    }

    fn saw_time(&self, mint: i64, maxt: i64) {
        self.mint.fetch_min(mint, Ordering::Relaxed);
        self.mint_since.fetch_min(mint, Ordering::SeqCst);
        self.maxt.fetch_max(maxt, Ordering::Relaxed);
    }

    fn saw_late(&self, mint: i64, maxt: i64) {
        self.late_mint.fetch_min(mint, Ordering::Relaxed);
        self.late_maxt.fetch_max(maxt, Ordering::Relaxed);
    }

    /// Appends records to the log of late samples.
    fn log_late(&self, batch: &LogBatch) -> std::io::Result<()> {
        let mut wbl = self.wbl.lock();
        let writer = match &mut *wbl {
            Some(writer) => writer,
            None => {
                self.files.create_dir_all(&self.wbl_dir)?;
                let last = segment::list(&*self.files, &self.wbl_dir)?.pop();
                let next = last.map_or(0, |last| last + 1);
                let files = Arc::clone(&self.files);
                wbl.insert(SegmentWriter::create(
                    files,
                    &self.wbl_dir,
                    next,
                    self.options.segment,
                )?)
            }
        };
        writer.append_batch(batch)
    }

    fn count_rejected(&self, error: &AppendError) {
        match error {
            AppendError::OutOfOrder => self.metrics.out_of_order.inc(),
            AppendError::OutOfBounds => self.metrics.out_of_bounds.inc(),
            AppendError::TooOld => self.metrics.too_old.inc(),
            _ => {}
        }
    }

    fn count_new_chunks(&self, count: u32) {
        if 0 < count {
            self.metrics.chunks_created.add(f64::from(count));
            self.metrics.chunks.add(f64::from(count));
        }
    }

    /// Returns the series with these labels, made if need be. `labels` ascend by name.
    fn series_of(&self, labels: &[(&str, &str)]) -> Result<SlotId, index::IndexFull> {
        let known = self.index.read().find(labels);
        if let Some(series) = known.and_then(|slot| self.slot_id(slot)) {
            return Ok(series);
        }
        let mut index = self.index.write();
        if let Some(series) = index.find(labels).and_then(|slot| self.slot_id(slot)) {
            return Ok(series);
        }
        let slot = index.add(labels)?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut pages = self.pages.write();
        if slot as usize / PAGE_SERIES == pages.len() {
            let page = Mutex::new(Page::with_room());
            Arc::make_mut(&mut pages).push(Arc::new(page));
        }
        let mut page = pages[slot as usize / PAGE_SERIES].lock();
        debug_assert_eq!(page.series.len(), place_in_page(slot));
        page.series.push(MemSeries::new(id));
        self.metrics.series_created.inc();
        self.metrics.series.set(index.len() as f64);
        Ok(SlotId { slot, id })
    }

    /// Returns the pages as they are now.
    fn pages(&self) -> Pages {
        Arc::clone(&self.pages.read())
    }

    fn page_of(&self, slot: u32) -> Option<Arc<LockedPage>> {
        self.pages.read().get(slot as usize / PAGE_SERIES).cloned()
    }

    fn slot_id(&self, slot: u32) -> Option<SlotId> {
        let page = self.page_of(slot)?;
        let mut page = page.lock();
        let series = page.series.get_mut(place_in_page(slot))?;
        series.is_wanted = true;
        let id = series.id;
        (id != 0).then_some(SlotId { slot, id })
    }
}

/// Calls `visit` for each run of neighbouring `items` whose slots are in one page, with the page locked.
///
/// Items whose page does not exist are passed over.
fn for_each_page<T>(
    pages: &[Arc<LockedPage>],
    items: &[T],
    slot_of: impl Fn(&T) -> u32,
    mut visit: impl FnMut(&mut Page, usize, &[T]),
) {
    let page_of = |item: &T| slot_of(item) as usize / PAGE_SERIES;
    let mut from = 0;
    for run in items.chunk_by(|a, b| page_of(a) == page_of(b)) {
        if let Some(page) = pages.get(page_of(&run[0])) {
            visit(&mut page.lock(), from, run);
        }
        from += run.len();
    }
}

/// Returns where in its page the series of `slot` is.
fn place_in_page(slot: u32) -> usize {
    slot as usize % PAGE_SERIES
}
