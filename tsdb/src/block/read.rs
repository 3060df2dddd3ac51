//! Reading a block through the traits that queries use.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use model::sample::Sample;
use model::storage::{Kept, Querier, ReadError, SampleColumns, SelectHints, SeriesSet};
use model::{Labels, Matcher};

use super::Block;
use super::index::SeriesRef;
use super::index::read::{RecentSymbols, SeriesEntry};
use super::index::write::ChunkMeta;
use super::select::{select, series_max};
use crate::chunk;
use crate::head::postings::intersect;
use crate::tombstones::{Intervals, Tombstones};

/// A view of a block over one time range.
pub struct BlockQuerier {
    block: Arc<Block>,
    tombstones: Arc<Tombstones>,
    mint: i64,
    maxt: i64,
}

impl Block {
    /// Returns a view of the samples in `mint..=maxt`, as the tombstones are now.
    pub fn querier(self: &Arc<Self>, mint: i64, maxt: i64) -> BlockQuerier {
        BlockQuerier {
            block: Arc::clone(self),
            tombstones: self.tombstones(),
            mint,
            maxt,
        }
    }
}

impl BlockQuerier {
    fn overlaps(&self) -> bool {
        self.block.meta().overlaps(self.mint, self.maxt)
    }

    /// Series with a chunk in the range; all that pass when the range takes in the whole block.
    fn select_series(
        &self,
        matchers: &[Matcher],
        mint: i64,
        maxt: i64,
    ) -> Result<Vec<SeriesRef>, ReadError> {
        let meta = self.block.meta();
        if !meta.overlaps(mint, maxt) {
            return Ok(Vec::new());
        }
        let mut series = select(&self.block.index, matchers)?;
        let is_whole = mint <= meta.min_time && meta.max_time - 1 <= maxt;
        if is_whole && self.tombstones.is_empty() {
            return Ok(series);
        }
        let mut entry = SeriesEntry::default();
        let mut failed = None;
        series.retain(|&series| {
            match self.block.index.series(series, &mut entry) {
                Ok(()) => {}
                Err(error) => failed = Some(error),
            }
            let deleted = self.tombstones.of(u64::from(series));
            let mut chunks = in_range(&entry.chunks, mint, maxt).iter();
            chunks.any(|chunk| deleted.is_none_or(|d| !d.cover(chunk.mint, chunk.maxt)))
        });
        failed.map_or(Ok(series), Err)
    }
}

impl Querier for BlockQuerier {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, ReadError> {
        let (mint, maxt) = (self.mint.max(hints.mint), self.maxt.min(hints.maxt));
        let mut series = self.select_series(matchers, mint, maxt)?;
        if 0 < hints.limit {
            series.truncate(hints.limit);
        }
        Ok(Box::new(BlockSeriesSet {
            querier: self,
            series,
        }))
    }

    fn series_max(&self, matchers: &[Matcher]) -> usize {
        series_max(&self.block.index, matchers)
    }

    /// As in Prometheus, a block that overlaps the range gives the names of all its series.
    fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        if !self.overlaps() {
            return Ok(Vec::new());
        }
        let index = &self.block.index;
        if matchers.is_empty() {
            return index
                .label_names()
                .map(|name| name.map(str::to_owned))
                .collect();
        }
        let mut symbols = BTreeSet::new();
        let mut entry = SeriesEntry::default();
        for series in select(index, matchers)? {
            index.series(series, &mut entry)?;
            symbols.extend(entry.labels.iter().map(|&(name, _)| name));
        }
        self.texts(symbols)
    }

    /// As in Prometheus, a block that overlaps the range gives the values of all its series.
    fn label_values(&self, name: &str, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        if !self.overlaps() {
            return Ok(Vec::new());
        }
        let index = &self.block.index;
        let values = index.values(name, "");
        if matchers.is_empty() {
            return values.map(|value| Ok(value?.0.to_owned())).collect();
        }
        let selected = select(index, matchers)?;
        if selected.len() < index.value_count(name) {
            return self.values_among(name, &selected);
        }
        let mut found = Vec::new();
        let mut list = Vec::new();
        for value in values {
            let (value, at) = value?;
            list.clear();
            index.postings(at, &mut list)?;
            if !intersect(&list, &selected).is_empty() {
                found.push(value.to_owned());
            }
        }
        Ok(found)
    }
}

impl BlockQuerier {
    fn values_among(&self, name: &str, selected: &[SeriesRef]) -> Result<Vec<String>, ReadError> {
        let index = &self.block.index;
        let Some(name) = index.find_symbol(name) else {
            return Ok(Vec::new());
        };
        let mut symbols = BTreeSet::new();
        let mut entry = SeriesEntry::default();
        for &series in selected {
            index.series(series, &mut entry)?;
            let pair = entry.labels.iter().find(|pair| pair.0 == name);
            symbols.extend(pair.map(|pair| pair.1));
        }
        self.texts(symbols)
    }

    fn texts(&self, symbols: BTreeSet<u32>) -> Result<Vec<String>, ReadError> {
        let mut texts = symbols
            .into_iter()
            .map(|symbol| self.block.index.symbol(symbol).map(str::to_owned))
            .collect::<Result<Vec<_>, _>>()?;
        // Symbols ascend as their texts do, but for the earliest indexes.
        texts.sort_unstable();
        Ok(texts)
    }
}

/// Selected series of a block, in order of their labels.
pub struct BlockSeriesSet<'a> {
    querier: &'a BlockQuerier,
    series: Vec<SeriesRef>,
}

/// Chunks that have samples in `mint..=maxt`.
fn in_range(chunks: &[ChunkMeta], mint: i64, maxt: i64) -> &[ChunkMeta] {
    let from = chunks.partition_point(|chunk| chunk.maxt < mint);
    let rest = &chunks[from..];
    &rest[..rest.partition_point(|chunk| chunk.mint <= maxt)]
}

impl BlockSeriesSet<'_> {
    fn entry(&self, index: usize) -> Result<(SeriesEntry, Option<&Intervals>), ReadError> {
        let mut entry = SeriesEntry::default();
        let series = self.series[index];
        self.querier.block.index.series(series, &mut entry)?;
        Ok((entry, self.querier.tombstones.of(u64::from(series))))
    }

    /// Appends a chunk's samples that are in the range and not deleted.
    fn decode(
        &self,
        chunk: &ChunkMeta,
        deleted: Option<&Intervals>,
        (mint, maxt): (i64, i64),
        out: &mut SampleColumns,
    ) -> Result<(), ReadError> {
        if deleted.is_some_and(|d| d.cover(chunk.mint, chunk.maxt)) {
            return Ok(());
        }
        let from = out.len();
        let chunks = &self.querier.block.chunks;
        let stored = chunks.read(chunk.chunk)?;
        chunk::decode(stored.encoding, stored.data, mint, maxt, out)
            .map_err(|error| chunks.corrupt(chunk.chunk, &error.to_string()))?;
        if let Some(deleted) = deleted {
            deleted.subtract(out, from);
        }
        Ok(())
    }
}

impl SeriesSet for BlockSeriesSet<'_> {
    fn len(&self) -> usize {
        self.series.len()
    }

    /// No labels when the index is damaged there: reading the series says so.
    fn labels(&self, index: usize) -> Labels {
        self.entry(index)
            .and_then(|(entry, _)| self.querier.block.index.labels(&entry))
            .unwrap_or_default()
    }

    fn label_sets(&self, positions: Range<usize>, kept: &Kept, out: &mut Vec<Labels>) {
        let index = &self.querier.block.index;
        let mut recent = RecentSymbols::default();
        let mut entry = SeriesEntry::default();
        for &series in &self.series[positions] {
            let labels = index
                .series(series, &mut entry)
                .and_then(|()| index.labels_among(&entry, &mut recent))
                .unwrap_or_default();
            out.push(labels.without(|name| !kept.has(name)));
        }
    }

    fn read(
        &self,
        index: usize,
        mint: i64,
        maxt: i64,
        out: &mut SampleColumns,
    ) -> Result<(), ReadError> {
        let (mint, maxt) = (mint.max(self.querier.mint), maxt.min(self.querier.maxt));
        let (entry, deleted) = self.entry(index)?;
        in_range(&entry.chunks, mint, maxt)
            .iter()
            .try_for_each(|chunk| self.decode(chunk, deleted, (mint, maxt), out))
    }

    /// Decodes from the last chunk on and stops at the first that has a sample.
    fn newest(
        &self,
        index: usize,
        mint: i64,
        maxt: i64,
        scratch: &mut SampleColumns,
    ) -> Result<Option<Sample>, ReadError> {
        let (mint, maxt) = (mint.max(self.querier.mint), maxt.min(self.querier.maxt));
        let (entry, deleted) = self.entry(index)?;
        for chunk in in_range(&entry.chunks, mint, maxt).iter().rev() {
            scratch.clear();
            self.decode(chunk, deleted, (mint, maxt), scratch)?;
            if let Some(last) = scratch.last() {
                return Ok(Some(last));
            }
        }
        Ok(None)
    }
}
