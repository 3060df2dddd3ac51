//! Series on their way into a block, one after another in order of their labels.

use std::sync::Arc;

use model::Labels;
use model::storage::ReadError;

use super::encode::{self, EncodedChunk};
use crate::block::Block;
use crate::block::chunks::StoredChunk;
use crate::block::index::SeriesRef;
use crate::block::index::read::{SeriesEntry, SymbolOffsets, labels_of};
use crate::block::index::write::ChunkMeta;
use crate::chunk::Encoding;
use crate::tombstones::{Intervals, Tombstones};

/// One chunk of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceChunk<'a> {
    /// Time of the first sample, milliseconds since the epoch.
    pub mint: i64,
    /// Time of the last sample.
    pub maxt: i64,
    /// How to decode it.
    pub encoding: Encoding,
    /// The encoded samples, at least one.
    pub bytes: &'a [u8],
}

/// Series with their chunks, ascending by labels, each once and with at least one chunk.
///
/// After [`advance`](SeriesSource::advance) has said `true`, labels and chunks are those of one series, until it is
/// called again; before, and after `false` or an error, there is none, and the source is of no more use.
pub trait SeriesSource: Send {
    /// Iterates over all label names and values of the series, ascending, each once. There may be more than are needed.
    /// Called before the first series is asked for.
    fn symbols(&self) -> Box<dyn Iterator<Item = Result<&str, ReadError>> + '_>;

    /// Goes to the next series; `false` when there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    fn advance(&mut self) -> Result<bool, ReadError>;

    /// Returns the labels of the series.
    fn labels(&self) -> &Labels;

    /// Returns how many chunks the series has.
    fn chunk_count(&self) -> usize;

    /// Returns one of its chunks. They ascend in time and do not overlap.
    ///
    /// # Panics
    ///
    /// When `index` is not below [`chunk_count`](SeriesSource::chunk_count).
    fn chunk(&self, index: usize) -> SourceChunk<'_>;
}

/// The series of a block, without what is deleted.
pub struct BlockSource<'b> {
    block: &'b Block,
    tombstones: Arc<Tombstones>,
    symbols: SymbolOffsets<'b>,
    series: std::vec::IntoIter<SeriesRef>,
    labels: Labels,
    entry: SeriesEntry,
    chunks: Vec<Piece<'b>>,
}

/// A chunk as it is in the block, or what is left of one.
enum Piece<'b> {
    Stored(ChunkMeta, StoredChunk<'b>),
    Encoded(EncodedChunk),
}

impl<'b> BlockSource<'b> {
    /// Returns a source before the first series.
    ///
    /// # Errors
    ///
    /// When the index cannot be read.
    pub fn new(block: &'b Block) -> Result<Self, ReadError> {
        let index = block.index();
        Ok(BlockSource {
            block,
            tombstones: block.tombstones(),
            symbols: index.symbol_offsets(),
            series: index.all_series()?.into_iter(),
            labels: Labels::empty(),
            entry: SeriesEntry::default(),
            chunks: Vec::new(),
        })
    }

    fn read_labels(&self) -> Result<Labels, ReadError> {
        let mut pairs = Vec::with_capacity(self.entry.labels.len());
        for &(name, value) in &self.entry.labels {
            match (self.symbols.text(name), self.symbols.text(value)) {
                (Some(name), Some(value)) => pairs.push((name, value)),
                // Says what is wrong.
                _ => return self.block.index().labels(&self.entry),
            }
        }
        Ok(labels_of(&pairs))
    }

    fn read_chunks(&mut self, deleted: Option<&Intervals>) -> Result<(), ReadError> {
        let chunks = self.block.chunks();
        // What follows a gap of deleted samples says nothing of a reset since the sample before the gap.
        let mut follows_gap = false;
        for meta in &self.entry.chunks {
            let touched = deleted.filter(|d| d.overlap(meta.mint, meta.maxt));
            if touched.is_some_and(|d| d.cover(meta.mint, meta.maxt)) {
                follows_gap = true;
                continue;
            }
            let stored = chunks.read(meta.chunk)?;
            let source = SourceChunk {
                mint: meta.mint,
                maxt: meta.maxt,
                encoding: stored.encoding,
                bytes: stored.data,
            };
            let damaged =
                |error: crate::chunk::ChunkError| chunks.corrupt(meta.chunk, &error.to_string());
            if let Some(deleted) = touched {
                let mut left = encode::retain(source, |t| !deleted.contains(t)).map_err(damaged)?;
                if follows_gap && let Some(first) = left.first_mut() {
                    let changed = encode::with_unknown_reset(first.as_source());
                    *first = changed.unwrap_or_else(|| first.clone());
                }
                self.chunks.extend(left.into_iter().map(Piece::Encoded));
                follows_gap = true;
                continue;
            }
            let piece = match encode::with_unknown_reset(source) {
                Some(changed) if follows_gap => Piece::Encoded(changed),
                _ => Piece::Stored(*meta, stored),
            };
            self.chunks.push(piece);
            follows_gap = false;
        }
        Ok(())
    }
}

impl SeriesSource for BlockSource<'_> {
    fn symbols(&self) -> Box<dyn Iterator<Item = Result<&str, ReadError>> + '_> {
        self.block.index().iter_symbols_sorted()
    }

    fn advance(&mut self) -> Result<bool, ReadError> {
        let tombstones = Arc::clone(&self.tombstones);
        loop {
            self.chunks.clear();
            let Some(series) = self.series.next() else {
                return Ok(false);
            };
            self.block.index().series(series, &mut self.entry)?;
            self.read_chunks(tombstones.of(u64::from(series)))?;
            if !self.chunks.is_empty() {
                self.labels = self.read_labels()?;
                return Ok(true);
            }
        }
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    fn chunk(&self, index: usize) -> SourceChunk<'_> {
        match &self.chunks[index] {
            Piece::Stored(meta, stored) => SourceChunk {
                mint: meta.mint,
                maxt: meta.maxt,
                encoding: stored.encoding,
                bytes: stored.data,
            },
            Piece::Encoded(chunk) => chunk.as_source(),
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A source out of memory.

    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::chunk::xor::XorWriter;

    /// Series and their samples.
    pub(crate) type Model = BTreeMap<Labels, BTreeMap<i64, f64>>;

    /// The series of a model, in chunks of so many samples.
    pub(crate) struct VecSource {
        series: Vec<(Labels, Vec<EncodedChunk>)>,
        next: usize,
    }

    impl VecSource {
        pub(crate) fn new(model: &Model, chunk_samples: usize) -> Self {
            let series = model
                .iter()
                .filter(|(_, samples)| !samples.is_empty())
                .map(|(labels, samples)| {
                    let samples: Vec<(i64, f64)> = samples.iter().map(|(&t, &v)| (t, v)).collect();
                    let chunks = samples.chunks(chunk_samples).map(encode).collect();
                    (labels.clone(), chunks)
                })
                .collect();
            VecSource { series, next: 0 }
        }
    }

    pub(crate) fn encode(samples: &[(i64, f64)]) -> EncodedChunk {
        let mut writer = XorWriter::new();
        samples.iter().for_each(|&(t, v)| writer.append(t, v));
        EncodedChunk {
            mint: samples[0].0,
            maxt: samples[samples.len() - 1].0,
            encoding: Encoding::Xor,
            bytes: writer.bytes().to_vec(),
        }
    }

    impl SeriesSource for VecSource {
        fn symbols(&self) -> Box<dyn Iterator<Item = Result<&str, ReadError>> + '_> {
            let pairs = self.series.iter().flat_map(|(labels, _)| labels.iter());
            let symbols: BTreeSet<&str> = pairs.flat_map(|(name, value)| [name, value]).collect();
            Box::new(symbols.into_iter().map(Ok))
        }

        fn advance(&mut self) -> Result<bool, ReadError> {
            self.next += 1;
            Ok(self.next <= self.series.len())
        }

        fn labels(&self) -> &Labels {
            &self.series[self.next - 1].0
        }

        fn chunk_count(&self) -> usize {
            self.series[self.next - 1].1.len()
        }

        fn chunk(&self, index: usize) -> SourceChunk<'_> {
            self.series[self.next - 1].1[index].as_source()
        }
    }
}
