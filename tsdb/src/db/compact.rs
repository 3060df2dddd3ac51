//! Compaction: the head becomes blocks, blocks become larger blocks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hashbrown::HashSet;

use super::{Inner, millis};
use crate::block::meta::{BlockMeta, HINT_OUT_OF_ORDER, HINT_STALE_SERIES};
use crate::block::write::{WriteBlockError, WriteBlockOptions, write_block};
use crate::block::{Block, OpenBlockError};
use crate::compact::plan::{PlannedBlock, block_ranges, plan};
use crate::compact::run::{CompactOptions, compact};
use crate::compact::source::SeriesSource;
use crate::ulid::Ulid;

/// Why samples could not be turned into a block; they stay where they are.
#[derive(Debug, thiserror::Error)]
pub(super) enum CompactError {
    /// The block could not be written.
    #[error("write a block: {0}")]
    Write(#[from] WriteBlockError),
    /// The new block could not be opened.
    #[error("open the new block: {0}")]
    Open(#[from] OpenBlockError),
    /// The file system failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// How many merges of blocks one round of housekeeping does at most; the next round goes on.
const MERGES_PER_ROUND_MAX: usize = 64;

impl Inner {
    /// Turns the head's full ranges into blocks, and then the late samples.
    pub(super) fn compact_head(&self) -> Result<(), CompactError> {
        let mut has_compacted = false;
        while let Some((mint, maxt)) = self.range_due() {
            if self.is_stopping() || !self.compact_range(mint, maxt)? {
                return Ok(());
            }
            has_compacted = true;
        }
        if has_compacted && self.head.late_range().is_some() {
            self.compact_late()?;
        }
        Ok(())
    }

    /// Returns the next range of the head that is to become a block, both ends inclusive: when the head holds more than
    /// one and a half ranges, the one that its oldest sample is in.
    pub(super) fn range_due(&self) -> Option<(i64, i64)> {
        let range = self.options.head.chunks.range_ms;
        let (oldest, newest) = self.head.time_range()?;
        if newest.saturating_sub(oldest) <= range / 2 * 3 {
            return None;
        }
        let from = oldest.div_euclid(range).saturating_mul(range);
        Some((from, from.saturating_add(range - 1)))
    }

    /// Turns the in-order samples in `mint..=maxt` into a block and takes them out of the head. Returns whether that was
    /// done: `false` when the database is being closed meanwhile.
    fn compact_range(&self, mint: i64, maxt: i64) -> Result<bool, CompactError> {
        let (end, is_stopped) = (maxt.saturating_add(1), || self.is_stopping());
        if !self.head.close_before(end, &is_stopped) {
            return Ok(false);
        }
        // What is before is in a block already: something after writing it had failed.
        let mint = mint.max(self.blocks.set().head_from);
        if mint <= maxt {
            let mut source = self.head.in_order_source(mint, maxt);
            let meta = BlockMeta::new(new_ulid(), mint, end);
            match self.write(&mut source, meta)? {
                Some(block) => self.blocks.add(block, end),
                None => self.blocks.advance_head(end),
            }
        }
        self.head.mark_in_blocks(end)?;
        if !self.head.wait_for_readers_before(end, &is_stopped) {
            return Ok(false);
        }
        self.head.truncate(end)?;
        Ok(true)
    }

    /// Turns the late samples into a block for each range, and takes them out of the head.
    pub(super) fn compact_late(&self) -> Result<(), CompactError> {
        let mark = self.head.begin_late_compaction()?;
        let Some((oldest, newest)) = self.head.late_chunk_range(mark.end) else {
            return Ok(self.head.end_late_compaction(&mark)?);
        };
        for (from, to) in self.head_ranges(oldest, newest) {
            let mut source = self.head.late_source(mark.end, from, to);
            if 0 < source.series_left() {
                let mut meta = BlockMeta::new(new_ulid(), from, to.saturating_add(1));
                meta.compaction.add_hint(HINT_OUT_OF_ORDER);
                if let Some(block) = self.write(&mut source, meta)? {
                    self.blocks.add(block, i64::MIN);
                }
            }
        }
        let is_stopped = || self.is_stopping();
        if self.head.wait_for_readers_before(i64::MAX, &is_stopped) {
            self.head.end_late_compaction(&mark)?;
        }
        Ok(())
    }

    /// When the share of series that have ended is at least what the options say, turns their samples into a block for
    /// each range and takes them out of the head.
    pub(super) fn compact_stale_series(&self) -> Result<(), CompactError> {
        let share_min = *self.stale_share_min.lock();
        if share_min <= 0.0 {
            return Ok(());
        }
        let Some(ended) = self.head.ended_series(share_min) else {
            return Ok(());
        };
        let (mint, maxt) = (ended.mint.max(self.blocks.set().head_from), ended.maxt);
        for (from, to) in self.head_ranges(mint, maxt) {
            if self.is_stopping() {
                return Ok(());
            }
            let mut source = self.head.ended_source(&ended, mint.max(from), maxt.min(to));
            let mut meta = BlockMeta::new(new_ulid(), from, to.saturating_add(1));
            // Before 3.10, Prometheus knows the other hint only, and would take the rest of the head as being in here.
            meta.compaction.add_hint(HINT_OUT_OF_ORDER);
            meta.compaction.add_hint(HINT_STALE_SERIES);
            if let Some(block) = self.write(&mut source, meta)? {
                self.blocks.add(block, i64::MIN);
            }
        }
        if self
            .head
            .wait_for_readers_before(i64::MAX, &|| self.is_stopping())
        {
            let series = self.head.forget_ended(&ended)?;
            tracing::info!(series, "series that have ended left the head");
        }
        Ok(())
    }

    /// Returns the ranges of blocks cut off the head that have samples in `oldest..=newest`, both ends inclusive.
    fn head_ranges(&self, oldest: i64, newest: i64) -> impl Iterator<Item = (i64, i64)> {
        let range = self.options.head.chunks.range_ms;
        let first = oldest.div_euclid(range).saturating_mul(range);
        std::iter::successors(Some(first), move |from| from.checked_add(range))
            .take_while(move |&from| from <= newest)
            .map(move |from| (from, from.saturating_add(range - 1)))
    }

    /// Writes a source as a block of level 1 and opens it; `None` when there is no sample.
    pub(super) fn write(
        &self,
        source: &mut dyn SeriesSource,
        meta: BlockMeta,
    ) -> Result<Option<Block>, CompactError> {
        let start = Instant::now();
        let written = write_block(&*self.files, &self.dir, source, meta, self.write_options())?;
        let Some(meta) = written else { return Ok(None) };
        let dir = self.dir.join(meta.ulid.to_string());
        let block = Block::open(Arc::clone(&self.files), &dir)?;
        self.metrics.compactions.inc();
        self.metrics
            .compaction_seconds
            .observe(start.elapsed().as_secs_f64());
        tracing::info!(
            block = %meta.ulid,
            series = meta.stats.num_series,
            samples = meta.stats.num_samples,
            elapsed_ms = millis(start),
            "wrote a block"
        );
        Ok(Some(block))
    }

    pub(super) fn write_options(&self) -> WriteBlockOptions {
        WriteBlockOptions {
            segment_bytes: self.options.chunk_segment_bytes,
        }
    }

    /// Merges blocks as long as there is something to merge.
    pub(super) fn compact_blocks(&self) -> Result<(), CompactError> {
        let ranges = block_ranges(
            self.options.head.chunks.range_ms,
            self.options.block_range_max_ms,
        );
        for _ in 0..MERGES_PER_ROUND_MAX {
            let planned = plan(&self.plannable_blocks(), &ranges);
            if planned.is_empty() || self.is_stopping() {
                return Ok(());
            }
            self.merge(&planned)?;
        }
        Ok(())
    }

    /// Returns the blocks that may be compacted now.
    fn plannable_blocks(&self) -> Vec<PlannedBlock> {
        let uploaded = self.uploaded_blocks();
        let set = self.blocks.set();
        let metas = set.metas();
        let overlaps = |a: &BlockMeta| {
            let others = metas.iter().filter(|b| b.ulid != a.ulid);
            let mut others = others.map(|b| (b.min_time, b.max_time));
            others.any(|(mint, maxt)| mint < a.max_time && a.min_time < maxt)
        };
        set.blocks
            .iter()
            .filter(|block| {
                let meta = block.meta();
                let waits = uploaded.as_ref().is_some_and(|uploaded| {
                    meta.compaction.level == 1 && !uploaded.contains(&meta.ulid)
                });
                // Else its end would be taken for that of what was cut off the head.
                let is_ahead = set.head_from < meta.max_time;
                let stays_apart = is_ahead || !self.options.merges_overlapping && overlaps(&meta);
                !waits && !stays_apart
            })
            .map(|block| PlannedBlock {
                dir: block.dir().to_owned(),
                meta: BlockMeta::clone(&block.meta()),
            })
            .collect()
    }

    /// Returns the blocks that an uploader says it has; `None` when nothing is to wait for one.
    fn uploaded_blocks(&self) -> Option<HashSet<Ulid>> {
        #[derive(serde::Deserialize)]
        struct Uploads {
            #[serde(default)]
            uploaded: Vec<Ulid>,
        }
        let path = self.options.uploaded_blocks_file.as_ref()?;
        let bytes = self.files.map(path).ok()?;
        match serde_json::from_slice::<Uploads>(&bytes) {
            Ok(uploads) => Some(uploads.uploaded.into_iter().collect()),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "the uploader's file cannot be read; compaction does not wait for it");
                None
            }
        }
    }

    /// Merges the blocks in `dirs` into one, which takes their place.
    pub(super) fn merge(&self, dirs: &[PathBuf]) -> Result<(), CompactError> {
        let start = Instant::now();
        let set = self.blocks.set();
        let is_chosen = |block: &&Arc<Block>| dirs.iter().any(|dir| dir == block.dir());
        let chosen = set.blocks.iter().filter(is_chosen);
        let blocks: Vec<Arc<Block>> = chosen.cloned().collect();
        let options = CompactOptions {
            ulid: new_ulid(),
            merge: None,
            write: self.write_options(),
        };
        let written = compact(&*self.files, &self.dir, &blocks, options)?;
        self.metrics.compactions.inc();
        self.metrics
            .compaction_seconds
            .observe(start.elapsed().as_secs_f64());
        let parents: HashSet<Ulid> = blocks.iter().map(|block| block.meta().ulid).collect();
        if let Some(meta) = &written {
            let dir = self.dir.join(meta.ulid.to_string());
            self.blocks
                .add(Block::open(Arc::clone(&self.files), &dir)?, i64::MIN);
        }
        self.blocks.remove(|meta| parents.contains(&meta.ulid))?;
        tracing::info!(
            blocks = parents.len(),
            into = %written.map_or_else(|| "nothing".to_owned(), |meta| meta.ulid.to_string()),
            elapsed_ms = millis(start),
            "compacted blocks"
        );
        Ok(())
    }
}

/// Returns a name for a block that is made now.
pub(crate) fn new_ulid() -> Ulid {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = now.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0));
    Ulid::new(ms, randomness())
}

/// Returns bits that no other call returns: the standard library's hasher is seeded by the system.
pub(super) fn randomness() -> u128 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    let half = || RandomState::new().build_hasher().finish();
    u128::from(half()) << 64 | u128::from(half())
}
