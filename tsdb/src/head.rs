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
//! index, pages, one page, head chunk tail; the WAL's lock is taken with none of them held. No lock is held across file
//! I/O but the WAL's, the ones that serialize fsyncs, and, once in 128 MiB, a page's while a head chunk file begins.
//!
//! # Not here
//!
//! Turning the head into blocks; late samples. Until blocks exist, retention cuts the head itself: see [`gc`].

mod append;
pub mod gc;
pub mod index;
pub mod postings;
mod read;
pub mod replay;
pub mod series;
pub mod status;
pub mod symbols;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use crate::head_chunks::HeadChunks;
use crate::metrics::TsdbMetrics;
use crate::wal::segment::SegmentWriter;
use index::Index;
use series::MemSeries;

pub use append::HeadAppender;
pub use read::{HeadQuerier, HeadSeriesSet};

/// How many series share a lock.
pub const PAGE_SERIES: usize = 256;

/// How long head chunks may get, in milliseconds: the span of a block.
pub const CHUNK_RANGE_MS: i64 = 2 * 3_600_000;

type Page = Mutex<Vec<MemSeries>>;

/// The newest samples of every series.
pub struct Head {
    index: RwLock<Index>,
    pages: RwLock<Vec<Arc<Page>>>,
    chunks: HeadChunks,
    wal: Mutex<SegmentWriter>,
    wal_dir: PathBuf,
    /// Full segments that are to be fsynced; held while that is done.
    unsynced: Mutex<Vec<File>>,
    /// Ids that the log uses for a series that has another id by now.
    aliases: Mutex<HashMap<u64, u32>>,
    next_id: AtomicU64,
    /// Oldest and newest sample; `i64::MAX` and `i64::MIN` while there is none.
    mint: AtomicI64,
    maxt: AtomicI64,
    /// Samples before this are refused: retention has passed over them.
    valid_from: AtomicI64,
    buffers: Mutex<Vec<append::Buffers>>,
    metrics: TsdbMetrics,
}

impl Head {
    /// Returns the times of the oldest and the newest sample, if there is one.
    pub fn time_range(&self) -> Option<(i64, i64)> {
        let (mint, maxt) = (
            self.mint.load(Ordering::Relaxed),
            self.maxt.load(Ordering::Relaxed),
        );
        (mint <= maxt).then_some((mint, maxt))
    }

    /// Returns how many series there are.
    pub fn series_count(&self) -> usize {
        self.index.read().len()
    }

    /// Returns the oldest time at which a sample is still taken: half a chunk range before the newest, because older
    /// chunks may be on their way to a block.
    fn oldest_valid(&self) -> i64 {
        let by_newest = self
            .maxt
            .load(Ordering::Relaxed)
            .saturating_sub(CHUNK_RANGE_MS / 2);
        by_newest.max(self.valid_from.load(Ordering::Relaxed))
    }

    fn saw_time(&self, mint: i64, maxt: i64) {
        self.mint.fetch_min(mint, Ordering::Relaxed);
        self.maxt.fetch_max(maxt, Ordering::Relaxed);
    }

    /// Returns the slot of the series with these labels, made if need be. `labels` ascend by name.
    fn slot_of(&self, labels: &[(&str, &str)]) -> Result<u32, index::IndexFull> {
        if let Some(slot) = self.index.read().find(labels) {
            return Ok(slot);
        }
        let mut index = self.index.write();
        if let Some(slot) = index.find(labels) {
            return Ok(slot);
        }
        let slot = index.add(labels)?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut pages = self.pages.write();
        if pages
            .last()
            .is_none_or(|page| page.lock().len() == PAGE_SERIES)
        {
            pages.push(Arc::new(Mutex::new(Vec::with_capacity(PAGE_SERIES))));
        }
        let page = pages.last().expect("just pushed if there was none");
        page.lock().push(MemSeries::new(id));
        debug_assert_eq!(
            (pages.len() - 1) * PAGE_SERIES + pages[pages.len() - 1].lock().len() - 1,
            slot as usize
        );
        self.metrics.series_created.inc();
        self.metrics.series.set(index.len() as f64);
        Ok(slot)
    }
}

/// Calls `visit` for each run of neighbouring `items` whose slots are in one page, with the page locked.
///
/// Items whose page does not exist are passed over.
fn for_each_page<T>(
    pages: &[Arc<Page>],
    items: &[T],
    slot_of: impl Fn(&T) -> u32,
    mut visit: impl FnMut(&mut Vec<MemSeries>, usize, &[T]),
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
