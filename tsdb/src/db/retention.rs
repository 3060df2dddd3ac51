//! Retention: which blocks are deleted because they are old, or because there are too many.

use std::io;

use hashbrown::HashSet;

use super::Inner;
use crate::block::meta::BlockMeta;
use crate::files::tree_bytes;
use crate::ulid::Ulid;

/// What is kept. Blocks go as a whole: time counts from the newest block's end, and the oldest go first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retention {
    /// How long samples are kept; zero keeps them for ever.
    pub time: model::Duration,
    /// How many bytes blocks, logs and head chunks may have together; 0 is no limit.
    pub bytes: u64,
    /// How much of the disk they may have, in hundredths of it (0 to 100), in place of `bytes`; 0 is no limit.
    pub disk_percentage: f64,
}

impl Default for Retention {
    fn default() -> Self {
        Retention {
            time: model::Duration::from_secs(15 * 86_400),
            bytes: 0,
            disk_percentage: 0.0,
        }
    }
}

impl Retention {
    /// Returns how many bytes are kept of a disk that has `disk_bytes`; 0 is no limit.
    fn bytes_of(self, disk_bytes: u64) -> u64 {
        if self.disk_percentage <= 0.0 {
            return self.bytes;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of what a disk has"
        )]
        let bytes = (disk_bytes as f64 * (self.disk_percentage / 100.0)) as u64;
        // However small the share is, it is a limit.
        bytes.max(1)
    }
}

impl Inner {
    /// Deletes the blocks that [`Retention`] has passed over.
    pub(super) fn apply_retention(&self) -> io::Result<()> {
        let retention = *self.retention.lock();
        let set = self.blocks.set();
        let metas = set.metas();
        let by_time = beyond_time(&metas, retention.time.as_ms());
        if !by_time.is_empty() {
            let removed = self.blocks.remove(|meta| by_time.contains(&meta.ulid))?;
            self.metrics.time_retentions.add(removed as f64);
            tracing::info!(blocks = removed, "deleted blocks past the retention time");
        }
        let limit = match retention.disk_percentage {
            0.0 => retention.bytes,
            _ => retention.bytes_of(self.files.disk_bytes(&self.dir)?),
        };
        if limit == 0 {
            return Ok(());
        }
        let other = ["wal", "wbl", "chunks_head"]
            .iter()
            .map(|name| tree_bytes(&*self.files, &self.dir.join(name)))
            .sum();
        let set = self.blocks.set();
        let sizes = set.blocks.iter().map(|b| (b.meta().ulid, b.file_bytes()));
        let by_size = beyond_bytes(&sizes.collect::<Vec<_>>(), other, limit);
        if !by_size.is_empty() {
            let removed = self.blocks.remove(|meta| by_size.contains(&meta.ulid))?;
            self.metrics.size_retentions.add(removed as f64);
            tracing::info!(blocks = removed, "deleted blocks past the retention size");
        }
        Ok(())
    }

    pub(super) fn update_retention_gauges(&self) {
        let retention = *self.retention.lock();
        self.metrics
            .retention_limit
            .set(retention.time.as_secs_f64());
        self.metrics
            .retention_limit_bytes
            .set(retention.bytes as f64);
        self.metrics
            .retention_limit_percentage
            .set(retention.disk_percentage);
    }

    pub(super) fn update_block_gauges(&self) {
        let set = self.blocks.set();
        self.metrics.blocks_loaded.set(set.blocks.len() as f64);
        self.metrics.blocks_bytes.set(set.file_bytes() as f64);
        let oldest = set.blocks.iter().map(|block| block.meta().min_time).min();
        let oldest = oldest.or(self.head.time_range().map(|(mint, _)| mint));
        self.metrics
            .lowest_time
            .set(oldest.unwrap_or(i64::MAX) as f64);
    }
}

/// Returns the blocks that end `time_ms` or more before the newest block does. Ascending by time; 0 keeps all.
fn beyond_time<M: AsRef<BlockMeta>>(metas: &[M], time_ms: i64) -> HashSet<Ulid> {
    let newest = metas.iter().map(|meta| meta.as_ref().max_time).max();
    let Some(newest) = newest.filter(|_| 0 < time_ms) else {
        return HashSet::new();
    };
    let is_beyond = |meta: &BlockMeta| time_ms <= newest.saturating_sub(meta.max_time);
    metas
        .iter()
        .map(AsRef::as_ref)
        .filter(|meta| is_beyond(meta))
        .map(|meta| meta.ulid)
        .collect()
}

/// Returns the oldest blocks that go beyond `limit` bytes.
///
/// * `blocks`: with their bytes, ascending by time. `other`: bytes that cannot be deleted and count as well.
fn beyond_bytes(blocks: &[(Ulid, u64)], other: u64, limit: u64) -> HashSet<Ulid> {
    let mut held = other;
    let mut beyond = HashSet::new();
    for &(ulid, bytes) in blocks.iter().rev() {
        held = held.saturating_add(bytes);
        if limit < held {
            beyond.insert(ulid);
        }
    }
    beyond
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn meta(number: u128, mint: i64, maxt: i64) -> Arc<BlockMeta> {
        Arc::new(BlockMeta::new(Ulid::new(0, number), mint, maxt))
    }

    #[test]
    fn time_counts_from_the_newest_block() {
        let metas = [meta(1, 0, 10), meta(2, 10, 20), meta(3, 20, 30)];
        assert!(beyond_time(&metas, 0).is_empty());
        assert!(beyond_time(&metas, 21).is_empty());
        assert_eq!(
            beyond_time(&metas, 20),
            HashSet::from_iter([Ulid::new(0, 1)])
        );
        assert_eq!(beyond_time(&metas, 1).len(), 2);
    }

    #[test]
    fn a_share_of_the_disk_comes_before_bytes() {
        let keeps = |bytes, disk_percentage| Retention {
            bytes,
            disk_percentage,
            ..Retention::default()
        };
        assert_eq!(keeps(7, 0.0).bytes_of(1_000), 7);
        assert_eq!(keeps(7, 50.0).bytes_of(1_000), 500);
        assert_eq!(keeps(0, 12.5).bytes_of(1 << 40), 1 << 37);
        assert_eq!(keeps(0, 100.0).bytes_of(1_000), 1_000);
        assert_eq!(keeps(0, 1e-9).bytes_of(1_000), 1);
    }

    #[test]
    fn the_oldest_go_first_when_there_is_too_much() {
        let blocks = [
            (Ulid::new(0, 1), 50),
            (Ulid::new(0, 2), 10),
            (Ulid::new(0, 3), 10),
        ];
        assert!(beyond_bytes(&blocks, 5, 75).is_empty());
        assert_eq!(
            beyond_bytes(&blocks, 6, 75),
            HashSet::from_iter([Ulid::new(0, 1)])
        );
        assert_eq!(beyond_bytes(&blocks, 100, 75).len(), 3);
    }
}
