//! The head on its way into a block: its series in order of their labels, with the chunks of one time range.

use model::Labels;
use model::storage::ReadError;

use super::late::{LateSample, LateValue, encode_late};
use super::stale::EndedSeries;
use super::{Head, PAGE_SERIES, place_in_page};
use crate::chunk::{self, Encoding};
use crate::compact::source::{SeriesSource, SourceChunk};
use crate::head_chunks::{ChunkBytes, ChunkMeta, ChunkRef};
use crate::tombstones::Intervals;

/// Which samples a [`HeadSource`] gives.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Those that came in order.
    InOrder,
    /// Those in chunks of late samples before this place.
    LateBefore(ChunkRef),
}

/// The series of the head that have samples in `mint..=maxt`.
pub struct HeadSource<'a> {
    head: &'a Head,
    kind: Kind,
    mint: i64,
    maxt: i64,
    symbols: SortedSymbols,
    /// Slots in order of labels.
    slots: std::vec::IntoIter<u32>,
    labels: Labels,
    chunks: Vec<HeldChunk>,
}

/// A chunk as it is in the head, or encoded again.
struct HeldChunk {
    mint: i64,
    maxt: i64,
    encoding: Encoding,
    bytes: ChunkBytes,
}

/// Distinct strings, ascending, end to end.
#[derive(Default)]
struct SortedSymbols {
    text: String,
    ends: Vec<usize>,
}

impl SortedSymbols {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, &end)| &self.text[start..end])
    }
}

impl Head {
    /// Returns the series with in-order samples in `mint..=maxt`. No such sample may be appended any more.
    pub fn in_order_source(&self, mint: i64, maxt: i64) -> HeadSource<'_> {
        self.source(
            Kind::InOrder,
            mint,
            maxt,
            self.slots_with_chunks(Kind::InOrder, mint, maxt),
        )
    }

    /// Returns the series among `ended` with samples in `mint..=maxt`; one that goes on meanwhile gives what it has.
    pub fn ended_source(&self, ended: &EndedSeries, mint: i64, maxt: i64) -> HeadSource<'_> {
        self.source(Kind::InOrder, mint, maxt, ended.slots().collect())
    }

    /// Returns the series with late samples in `mint..=maxt`, of the chunks before `end`.
    pub fn late_source(&self, end: ChunkRef, mint: i64, maxt: i64) -> HeadSource<'_> {
        let kind = Kind::LateBefore(end);
        self.source(kind, mint, maxt, self.slots_with_chunks(kind, mint, maxt))
    }

    fn source(&self, kind: Kind, mint: i64, maxt: i64, slots: Vec<u32>) -> HeadSource<'_> {
        let mut labels = self.index.read().copy_labels(slots);
        let mut sorted = SortedSymbols::default();
        let slots = labels.in_order(|text| sorted.push(text));
        HeadSource {
            head: self,
            kind,
            mint,
            maxt,
            symbols: sorted,
            slots: slots.into_iter(),
            labels: Labels::empty(),
            chunks: Vec::new(),
        }
    }

    fn slots_with_chunks(&self, kind: Kind, mint: i64, maxt: i64) -> Vec<u32> {
        let mut slots = Vec::new();
        let pages = self.pages.read().clone();
        for (page_number, page) in (0u32..).zip(pages.iter()) {
            let page = page.lock();
            for (place, series) in (0u32..).zip(&page.series) {
                let is_in = match kind {
                    Kind::InOrder => series.overlaps_in_order(mint, maxt),
                    Kind::LateBefore(end) => series
                        .late()
                        .into_iter()
                        .flat_map(|late| late.full())
                        .any(|c| c.chunk < end && c.mint <= maxt && mint <= c.maxt()),
                };
                if series.id != 0 && is_in {
                    slots.push(page_number * super::snapshot::SLOTS_PER_PAGE + place);
                }
            }
        }
        slots
    }

    fn read_chunk(&self, meta: &ChunkMeta) -> Result<ChunkBytes, ReadError> {
        self.chunks
            .read(meta.chunk)
            .map_err(|bad| self.bad_chunk(bad))
    }
}

impl HeadSource<'_> {
    /// Returns how many series there are still.
    pub fn series_left(&self) -> usize {
        self.slots.len()
    }

    fn read_in_order(&mut self, slot: u32) -> Result<(), ReadError> {
        let (id, full, open) = {
            let pages = self.head.pages.read();
            let page = pages[slot as usize / PAGE_SERIES].lock();
            let series = &page.series[place_in_page(slot)];
            let full = series.full().iter();
            let full = full.filter(|c| c.mint <= self.maxt && self.mint <= c.maxt());
            let mut bytes = Vec::new();
            let open = series.open_within(&page.lines, self.mint, self.maxt, &mut bytes);
            let open = open.map(|open| (open.mint, open.maxt, open.encoding));
            let open = open.map(|(mint, maxt, encoding)| HeldChunk {
                mint,
                maxt,
                encoding,
                bytes: ChunkBytes::Copied(bytes),
            });
            (series.id, full.copied().collect::<Vec<_>>(), open)
        };
        let deleted = self.head.deleted(id);
        for meta in full {
            let chunk = HeldChunk {
                mint: meta.mint,
                maxt: meta.maxt(),
                encoding: meta.encoding,
                bytes: self.head.read_chunk(&meta)?,
            };
            self.push(chunk, deleted.as_ref())?;
        }
        match open {
            Some(open) => self.push(open, deleted.as_ref()),
            None => Ok(()),
        }
    }

    /// Adds a chunk: as it is when all of its samples count, or what counts of it encoded again.
    fn push(&mut self, chunk: HeldChunk, deleted: Option<&Intervals>) -> Result<(), ReadError> {
        let last = self.chunks.last().map_or(i64::MIN, |last| last.maxt);
        let is_whole = self.mint <= chunk.mint
            && chunk.maxt <= self.maxt
            && last < chunk.mint
            && !deleted.is_some_and(|deleted| deleted.overlap(chunk.mint, chunk.maxt));
        if is_whole {
            self.chunks.push(chunk);
            return Ok(());
        }
        let mut samples = Vec::new();
        for sample in chunk::samples(chunk.encoding, &chunk.bytes).with_starts() {
            let (start, sample) = sample.map_err(damaged)?;
            let t = sample.t();
            let is_deleted = deleted.is_some_and(|deleted| deleted.contains(t));
            if last < t && self.mint <= t && t <= self.maxt && !is_deleted {
                samples.push(LateSample {
                    t,
                    start,
                    value: LateValue::from(sample),
                });
            }
        }
        self.push_samples(&samples);
        Ok(())
    }

    fn push_samples(&mut self, samples: &[LateSample]) {
        let samples = samples.iter().map(|s| (s.start, s.t, &s.value));
        // Where histograms have start timestamps their chunks had a place for them.
        let encoded = encode_late(samples, true).into_iter();
        self.chunks
            .extend(encoded.map(|(mint, maxt, encoding, bytes)| HeldChunk {
                mint,
                maxt,
                encoding,
                bytes: ChunkBytes::Copied(bytes),
            }));
    }

    /// Merges the late chunks, which may overlap; of samples of one time the one that came first counts.
    fn read_late(&mut self, slot: u32, end: ChunkRef) -> Result<(), ReadError> {
        let (id, chunks) = {
            let pages = self.head.pages.read();
            let page = pages[slot as usize / PAGE_SERIES].lock();
            let series = &page.series[place_in_page(slot)];
            let late = series.late().into_iter().flat_map(|late| late.full());
            let chunks = late.filter(|c| c.chunk < end).copied();
            (series.id, chunks.collect::<Vec<_>>())
        };
        let deleted = self.head.deleted(id);
        let mut samples: Vec<LateSample> = Vec::new();
        for meta in chunks {
            let bytes = self.head.read_chunk(&meta)?;
            for sample in chunk::samples(meta.encoding, &bytes).with_starts() {
                let (start, sample) = sample.map_err(damaged)?;
                let t = sample.t();
                let is_deleted = deleted.as_ref().is_some_and(|d| d.contains(t));
                if self.mint <= t && t <= self.maxt && !is_deleted {
                    samples.push(LateSample {
                        t,
                        start,
                        value: LateValue::from(sample),
                    });
                }
            }
        }
        // Stable, so that of one time the first stays the first.
        samples.sort_by_key(|sample| sample.t);
        samples.dedup_by_key(|sample| sample.t);
        self.push_samples(&samples);
        Ok(())
    }
}

fn damaged(error: chunk::ChunkError) -> ReadError {
    ReadError::Corrupt {
        path: "head chunk".into(),
        what: error.to_string(),
    }
}

impl SeriesSource for HeadSource<'_> {
    fn symbols(&self) -> Box<dyn Iterator<Item = Result<&str, ReadError>> + '_> {
        Box::new(self.symbols.iter().map(Ok))
    }

    fn advance(&mut self) -> Result<bool, ReadError> {
        while let Some(slot) = self.slots.next() {
            self.chunks.clear();
            match self.kind {
                Kind::InOrder => self.read_in_order(slot)?,
                Kind::LateBefore(end) => self.read_late(slot, end)?,
            }
            if !self.chunks.is_empty() {
                self.labels = self.head.index.read().labels(slot);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    fn chunk(&self, index: usize) -> SourceChunk<'_> {
        let chunk = &self.chunks[index];
        SourceChunk {
            mint: chunk.mint,
            maxt: chunk.maxt,
            encoding: chunk.encoding,
            bytes: &chunk.bytes,
        }
    }
}
