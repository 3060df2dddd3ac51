//! Blocks made of samples from elsewhere, without a log and a head.
//!
//! The samples of one block are collected in memory, each series in chunks as the head makes them, and then written in
//! order of labels.

use std::collections::BTreeSet;
use std::path::Path;

use hashbrown::HashMap;
use model::Labels;
use model::storage::ReadError;

use crate::block::meta::BlockMeta;
use crate::block::write::{WriteBlockError, WriteBlockOptions, write_block};
use crate::compact::encode::EncodedChunk;
use crate::compact::source::{SeriesSource, SourceChunk};
use crate::files::Files;
use crate::head::lines::Lines;
use crate::head::open::{ChunkView, Encodings, Times};
use crate::head::series::{ChunkShape, MemSeries, Placed};
use crate::head_chunks::ChunkRef;
use crate::ulid::Ulid;

/// A block that is being collected.
///
/// Memory: the labels of its series and its samples, encoded; about 1 to 4 bytes a sample.
#[derive(Default)]
pub struct BlockBuilder {
    series: Vec<Collected>,
    lines: Lines,
    by_labels: HashMap<Labels, usize>,
    /// Times of the oldest and the newest sample.
    range: Option<(i64, i64)>,
}

/// The samples of one series.
struct Collected {
    labels: Labels,
    full: Vec<EncodedChunk>,
    open: MemSeries,
}

impl BlockBuilder {
    /// Returns the number of the series with these labels, for [`append`](Self::append).
    pub fn series(&mut self, labels: Labels) -> usize {
        if let Some(&known) = self.by_labels.get(&labels) {
            return known;
        }
        let number = self.series.len();
        self.by_labels.insert(labels.clone(), number);
        self.series.push(Collected {
            labels,
            full: Vec::new(),
            open: MemSeries::default(),
        });
        number
    }

    /// Adds a sample; `false`, and nothing is added, when it is not newer than the newest of its series.
    ///
    /// * `range_ms`: chunks do not cross multiples of this.
    ///
    /// # Panics
    ///
    /// When `series` is no number that [`series`](Self::series) returned.
    pub fn append(&mut self, series: usize, t: i64, value: f64, range_ms: i64) -> bool {
        let Collected { full, open, .. } = &mut self.series[series];
        let shape = ChunkShape {
            range_ms,
            encodings: Encodings::PLAIN,
        };
        let placed = open.append_float(&mut self.lines, Times::at(t), value, shape, |chunk| {
            full.push(encoded(chunk.samples));
            ChunkRef::from_number(full.len() as u64)
        });
        if placed == Placed::Stale {
            return false;
        }
        let (mint, maxt) = self.range.unwrap_or((t, t));
        self.range = Some((mint.min(t), maxt.max(t)));
        true
    }

    /// Writes the block `ulid` into `data_dir`; its time range is that of its samples. `None` when there is none.
    ///
    /// # Errors
    ///
    /// When the block cannot be written.
    pub fn write(
        self,
        files: &dyn Files,
        data_dir: &Path,
        ulid: Ulid,
        options: WriteBlockOptions,
    ) -> Result<Option<BlockMeta>, WriteBlockError> {
        let Some((mint, maxt)) = self.range else {
            return Ok(None);
        };
        let meta = BlockMeta::new(ulid, mint, maxt.saturating_add(1));
        let mut source = CollectedSource::new(self.series, &self.lines);
        write_block(files, data_dir, &mut source, meta, options)
    }
}

fn encoded(samples: ChunkView<'_>) -> EncodedChunk {
    EncodedChunk {
        mint: samples.mint,
        maxt: samples.maxt,
        encoding: samples.encoding,
        bytes: samples.bytes.to_vec(),
    }
}

/// What was collected, in order of labels.
struct CollectedSource {
    series: Vec<Collected>,
    /// The series after the current one.
    next: usize,
}

impl CollectedSource {
    fn new(mut series: Vec<Collected>, lines: &Lines) -> Self {
        let mut bytes = Vec::new();
        series.retain_mut(|series| {
            let open = series.open.open(lines, &mut bytes);
            series.full.extend(open.map(encoded));
            !series.full.is_empty()
        });
        series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        CollectedSource { series, next: 0 }
    }

    fn current(&self) -> &Collected {
        &self.series[self.next - 1]
    }
}

impl SeriesSource for CollectedSource {
    fn symbols(&self) -> Box<dyn Iterator<Item = Result<&str, ReadError>> + '_> {
        let labels = self.series.iter().flat_map(|series| series.labels.iter());
        let symbols: BTreeSet<&str> = labels.flat_map(|(name, value)| [name, value]).collect();
        Box::new(symbols.into_iter().map(Ok))
    }

    fn advance(&mut self) -> Result<bool, ReadError> {
        let has_next = self.next < self.series.len();
        self.next += usize::from(has_next);
        Ok(has_next)
    }

    fn labels(&self) -> &Labels {
        &self.current().labels
    }

    fn chunk_count(&self) -> usize {
        self.current().full.len()
    }

    fn chunk(&self, index: usize) -> SourceChunk<'_> {
        self.current().full[index].as_source()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::block::Block;
    use crate::block::tests::{OPTIONS, Unsynced};
    use crate::verify::verify_block;

    #[test]
    fn what_was_collected_is_a_sound_block() {
        let dir = tempfile::tempdir().unwrap();
        let mut builder = BlockBuilder::default();
        let b = builder.series(Labels::from_pairs([("a", "b")]));
        let a = builder.series(Labels::from_pairs([("a", "a")]));
        let empty = builder.series(Labels::from_pairs([("a", "c")]));
        assert_eq!(builder.series(Labels::from_pairs([("a", "b")])), b);
        for t in 0..300 {
            assert!(builder.append(b, t, t as f64, 7_200_000));
        }
        assert!(builder.append(a, 500, 1.0, 7_200_000));
        assert!(!builder.append(a, 500, 2.0, 7_200_000));
        assert_eq!((a, empty), (1, 2));
        let ulid = Ulid::new(1, 1);
        let meta = builder.write(&Unsynced, dir.path(), ulid, OPTIONS);
        let meta = meta.unwrap().unwrap();
        assert_eq!((meta.min_time, meta.max_time), (0, 501));
        assert_eq!((meta.stats.num_series, meta.stats.num_samples), (2, 301));
        let files: Arc<dyn Files> = Arc::new(Unsynced);
        let block_dir = dir.path().join(ulid.to_string());
        assert_eq!(verify_block(&files, &block_dir).problems, []);
        assert!(Block::open(files, &block_dir).is_ok());
    }

    #[test]
    fn nothing_collected_is_no_block() {
        let dir = tempfile::tempdir().unwrap();
        let written =
            BlockBuilder::default().write(&Unsynced, dir.path(), Ulid::new(1, 1), OPTIONS);
        assert!(written.unwrap().is_none());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
