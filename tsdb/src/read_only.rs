//! A data directory that is only looked at: its blocks and its head, while a server may be using it.
//!
//! ```text
//! disk ──► overlay ──┬─► blocks ──┐
//!                    └─► head ────┴─► merge ──► series in order of their labels
//! ```
//!
//! The log is replayed as at a start, over a file system that keeps what is written in memory
//! ([`Overlay`]): nothing in the directory changes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use metrics::Registry;
use model::storage::ReadError;

use crate::block::meta::BlockMeta;
use crate::block::{Block, OpenBlockError};
use crate::compact::encode::ChunkLimits;
use crate::compact::merge::{MergeOptions, MergeSource};
use crate::compact::plan::superseded;
use crate::compact::source::{BlockSource, SeriesSource};
use crate::db::{OpenDbError, OpenReport};
use crate::files::overlay::Overlay;
use crate::files::{Disk, Files};
use crate::head::gc::LateMark;
use crate::head::replay::ReplayProgress;
use crate::head::{Head, HeadOptions};
use crate::metrics::TsdbMetrics;
use crate::ulid::Ulid;

/// The blocks of a data directory, and those that could not be opened with the reason.
#[derive(Default)]
pub struct FoundBlocks {
    /// Ascending by their earliest time.
    pub blocks: Vec<Arc<Block>>,
    /// Where a block should be, and what is wrong with it.
    pub failed: Vec<(PathBuf, OpenBlockError)>,
}

/// Opens all blocks in `dir`, also those that another has replaced, without changing anything.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn open_blocks(dir: &Path) -> io::Result<FoundBlocks> {
    find_blocks(&overlay(), dir)
}

fn overlay() -> Arc<dyn Files> {
    Arc::new(Overlay::new(Arc::new(Disk)))
}

fn find_blocks(files: &Arc<dyn Files>, dir: &Path) -> io::Result<FoundBlocks> {
    let mut found = FoundBlocks::default();
    for entry in files.list(dir)? {
        if !entry.is_dir || entry.name.parse::<Ulid>().is_err() {
            continue;
        }
        let path = dir.join(&entry.name);
        match Block::open(Arc::clone(files), &path) {
            Ok(block) => found.blocks.push(Arc::new(block)),
            Err(error) => found.failed.push((path, error)),
        }
    }
    found.blocks.sort_by_key(|block| {
        let meta = block.meta();
        (meta.min_time, meta.max_time, meta.ulid)
    });
    Ok(found)
}

/// A data directory, opened to be read.
///
/// Memory: the head as a server has it, and the head chunks that the replay makes.
pub struct ReadOnlyDb {
    blocks: Vec<Arc<Block>>,
    head: Head,
    /// All late samples of the head are in chunks before this.
    late: LateMark,
    /// In-order samples of the head count from here on.
    head_from: i64,
}

impl ReadOnlyDb {
    /// Opens the data directory `dir`; what is missing in it (blocks, a log) is empty.
    ///
    /// # Errors
    ///
    /// When it is no directory or cannot be read. Damaged data is no error; see the report.
    pub fn open(dir: &Path) -> Result<(Self, OpenReport), OpenDbError> {
        let unusable = |source| OpenDbError::Unusable {
            path: dir.to_owned(),
            source,
        };
        let files = overlay();
        let found = find_blocks(&files, dir).map_err(unusable)?;
        let metas: Vec<BlockMeta> = found.blocks.iter().map(|b| meta_of(b)).collect();
        let replaced = superseded(&metas);
        let in_order = metas
            .iter()
            .filter(|meta| meta.compaction.is_cut_off_head());
        let head_from = in_order.map(|meta| meta.max_time).max();
        let head_from = head_from.unwrap_or(i64::MIN);
        let (head, replay) = Head::open(
            files,
            dir,
            HeadOptions::default(),
            head_from,
            TsdbMetrics::new(&Registry::new()),
            &ReplayProgress::default(),
        )?;
        let late = head.begin_late_compaction().map_err(unusable)?;
        let kept = |block: &Arc<Block>| !replaced.contains(&block.meta().ulid);
        let blocks = found.blocks.iter();
        let block_damages = blocks.flat_map(|block| block.lost_tombstones()).collect();
        let db = ReadOnlyDb {
            blocks: found.blocks.into_iter().filter(kept).collect(),
            head,
            late,
            head_from,
        };
        let report = OpenReport {
            replay,
            failed_blocks: found.failed,
            block_damages,
        };
        Ok((db, report))
    }

    /// Returns all series with samples in `mint..=maxt`, ascending by labels, without what is deleted. Of series that
    /// are in blocks there may be samples before and after that.
    ///
    /// # Errors
    ///
    /// When an index cannot be read.
    pub fn series(&self, mint: i64, maxt: i64) -> Result<MergeSource<'_>, ReadError> {
        let mut sources: Vec<Box<dyn SeriesSource + '_>> = Vec::new();
        for block in &self.blocks {
            if block.meta().overlaps(mint, maxt) {
                sources.push(Box::new(BlockSource::new(block)?));
            }
        }
        let from = mint.max(self.head_from);
        sources.push(Box::new(self.head.in_order_source(from, maxt)));
        sources.push(Box::new(self.head.late_source(self.late.end, mint, maxt)));
        // Nobody sees the chunks.
        let options = MergeOptions {
            limits: ChunkLimits::SMALL,
            joins_neighbours: false,
        };
        Ok(MergeSource::new(sources, options))
    }
}

fn meta_of(block: &Block) -> BlockMeta {
    BlockMeta::clone(&block.meta())
}
