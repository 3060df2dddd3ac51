//! Compacting open blocks into one.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::encode::ChunkLimits;
use super::merge::{MergeOptions, MergeSource};
use super::source::{BlockSource, SeriesSource};
use crate::block::Block;
use crate::block::meta::{
    BlockMeta, HINT_OUT_OF_ORDER, HINT_SELECTED_SERIES, HINT_STALE_SERIES, Parent,
};
use crate::block::write::{WriteBlockError, WriteBlockOptions, write_block};
use crate::files::Files;
use crate::ulid::Ulid;

/// Blocks that cover so much get large chunks: half a day, so that the third level of the usual ranges (18 h) has them.
const LARGE_RANGE_MS: i64 = 12 * 3_600_000;

/// How blocks are compacted.
#[derive(Clone, Copy, Debug)]
pub struct CompactOptions {
    /// The new block's name.
    pub ulid: Ulid,
    /// How chunks are made of chunks; `None` goes by the time that the block covers.
    pub merge: Option<MergeOptions>,
    /// How the block is written.
    pub write: WriteBlockOptions,
}

/// Writes the union of `blocks` as a new block into `data_dir` and returns its meta; `None` when all is deleted, and then
/// the blocks are marked as deletable.
///
/// The blocks stay: deleting them, now that they are parents of another, is up to the caller.
///
/// * `blocks`: at least one. Of samples at one time that of the earlier in the list counts.
///
/// # Errors
///
/// When a block cannot be read or the new one not be written. The blocks are then marked, so that they are not planned
/// again.
pub fn compact(
    files: &dyn Files,
    data_dir: &Path,
    blocks: &[Arc<Block>],
    options: CompactOptions,
) -> Result<Option<BlockMeta>, WriteBlockError> {
    let metas: Vec<Arc<BlockMeta>> = blocks.iter().map(|block| block.meta()).collect();
    let Some(meta) = merged_meta(options.ulid, &metas) else {
        return Ok(None);
    };
    let covered = meta.max_time.saturating_sub(meta.min_time);
    let merge = options.merge.unwrap_or_else(|| merge_options(covered));
    let written = write_merged(files, data_dir, blocks, meta, merge, options.write);
    for block in blocks {
        let marked = match written {
            Ok(Some(_)) => Ok(()),
            Ok(None) => block.change_compaction(|compaction| compaction.deletable = true),
            Err(_) => block.change_compaction(|compaction| compaction.failed = true),
        };
        if let Err(error) = marked {
            tracing::warn!(block = %block.dir().display(), %error, "the outcome of a compaction is not noted");
        }
    }
    written
}

fn merge_options(covered_ms: i64) -> MergeOptions {
    let is_large = LARGE_RANGE_MS <= covered_ms;
    MergeOptions {
        limits: if is_large {
            ChunkLimits::LARGE
        } else {
            ChunkLimits::SMALL
        },
        joins_neighbours: is_large,
    }
}

fn write_merged(
    files: &dyn Files,
    data_dir: &Path,
    blocks: &[Arc<Block>],
    meta: BlockMeta,
    merge: MergeOptions,
    options: WriteBlockOptions,
) -> Result<Option<BlockMeta>, WriteBlockError> {
    let mut sources: Vec<Box<dyn SeriesSource + '_>> = Vec::new();
    for block in blocks {
        sources.push(Box::new(BlockSource::new(block)?));
    }
    let mut source = MergeSource::new(sources, merge);
    write_block(files, data_dir, &mut source, meta, options)
}

/// Returns the meta of a block that is to be made of others; `None` of no block.
pub fn merged_meta(ulid: Ulid, metas: &[Arc<BlockMeta>]) -> Option<BlockMeta> {
    let min_time = metas.iter().map(|meta| meta.min_time).min()?;
    let max_time = metas.iter().map(|meta| meta.max_time).max()?;
    let level = metas.iter().map(|meta| meta.compaction.level).max()?;
    let sources: BTreeSet<Ulid> = metas
        .iter()
        .flat_map(|meta| meta.compaction.sources.iter().copied())
        .collect();
    let mut merged = BlockMeta::new(ulid, min_time, max_time);
    merged.compaction.level = level + 1;
    merged.compaction.sources = sources.into_iter().collect();
    merged.compaction.parents = metas
        .iter()
        .map(|meta| Parent {
            ulid: meta.ulid,
            min_time: meta.min_time,
            max_time: meta.max_time,
        })
        .collect();
    // These kinds are compacted among themselves only, so what holds for one holds for all.
    for hint in [HINT_STALE_SERIES, HINT_SELECTED_SERIES] {
        if metas.iter().any(|meta| meta.compaction.has_hint(hint)) {
            merged.compaction.add_hint(hint);
        }
    }
    // A block without this hint says that the head's samples of its time are in blocks, too; of late ones alone that is
    // not so, and at the next start the head's would be lost.
    let is_late = |meta: &Arc<BlockMeta>| meta.compaction.has_hint(HINT_OUT_OF_ORDER);
    if metas.iter().all(is_late) {
        merged.compaction.add_hint(HINT_OUT_OF_ORDER);
    }
    // Late samples among themselves say nothing of where the head's blocks end.
    if metas
        .iter()
        .all(|meta| meta.compaction.has_hint(HINT_OUT_OF_ORDER))
    {
        merged.compaction.add_hint(HINT_OUT_OF_ORDER);
    }
    Some(merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::tests::{OPTIONS, Unsynced, write};
    use crate::compact::source::testing::Model;
    use model::Labels;

    fn options() -> CompactOptions {
        CompactOptions {
            ulid: Ulid::new(1000, 0),
            merge: None,
            write: OPTIONS,
        }
    }

    fn block(dir: &Path) -> Arc<Block> {
        let samples = (0..9).map(|t| (t, 1.0)).collect();
        let model = Model::from([(Labels::from_pairs([("a", "b")]), samples)]);
        write(dir, &model, 4, 1).unwrap()
    }

    #[test]
    fn late_samples_alone_stay_late() {
        let meta = |hints: &[&str]| {
            let mut meta = BlockMeta::new(Ulid::new(1, 0), 0, 10);
            hints.iter().for_each(|hint| meta.compaction.add_hint(hint));
            Arc::new(meta)
        };
        let hints = |metas: &[Arc<BlockMeta>]| {
            let merged = merged_meta(Ulid::new(2, 0), metas).unwrap();
            merged.compaction.hints
        };
        let (late, other) = (meta(&[HINT_OUT_OF_ORDER]), meta(&[]));
        assert_eq!(hints(&[late.clone(), late.clone()]), [HINT_OUT_OF_ORDER]);
        assert!(hints(&[late, other]).is_empty());
    }

    #[test]
    fn all_deleted_marks_the_parents() {
        let dir = tempfile::tempdir().unwrap();
        let block = block(dir.path());
        block.delete(i64::MIN, i64::MAX, &[]).unwrap();
        assert_eq!(block.meta().stats.num_tombstones, 1);
        let written = compact(&Unsynced, dir.path(), &[Arc::clone(&block)], options()).unwrap();
        assert!(written.is_none());
        assert!(
            BlockMeta::read(&Unsynced, block.dir())
                .unwrap()
                .compaction
                .deletable
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_parent_is_marked_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let first = block(dir.path());
        let path = first.dir().join("chunks/000001");
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let damaged = Arc::new(Block::open(Arc::new(Unsynced), first.dir()).unwrap());
        let error = compact(&Unsynced, dir.path(), &[Arc::clone(&damaged)], options()).unwrap_err();
        assert!(error.to_string().contains("checksum"), "{error}");
        assert!(damaged.meta().compaction.failed);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn lineage_is_kept() {
        let mut a = BlockMeta::new(Ulid::new(1, 0), 0, 10);
        a.compaction.level = 3;
        a.compaction.add_hint(HINT_STALE_SERIES);
        let b = BlockMeta::new(Ulid::new(2, 0), 5, 30);
        let merged = merged_meta(Ulid::new(3, 0), &[Arc::new(b), Arc::new(a)]).unwrap();
        assert_eq!(
            (merged.min_time, merged.max_time, merged.compaction.level),
            (0, 30, 4)
        );
        assert_eq!(
            merged.compaction.sources,
            [Ulid::new(1, 0), Ulid::new(2, 0)]
        );
        assert_eq!(merged.compaction.hints, [HINT_STALE_SERIES]);
    }
}
