//! Samples of one series that came late: older than its newest, within the out-of-order window.
//!
//! They wait in a short sorted list; a full list becomes a chunk, marked as out of order in the head chunk files. Such
//! chunks may overlap each other and the in-order ones; reading merges them.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::ResetHint;
use model::storage::{HistogramSample, SampleColumns};

use super::open::{ChunkView, Encodings, Times};
use super::series::{FullChunk, SAMPLES_PER_CHUNK};
use crate::chunk::{ChunkSample, Encoding, OpenChunk};
use crate::head_chunks::{ChunkMeta, ChunkRef};

/// How many late samples wait before they become a chunk.
pub const LATE_SAMPLES_MAX: usize = 32;

/// The value of a late sample.
#[derive(Clone, Debug, PartialEq)]
pub enum LateValue {
    /// A plain number.
    Float(f64),
    /// A native histogram.
    Histogram(HistogramSample),
}

impl From<ChunkSample> for LateValue {
    fn from(sample: ChunkSample) -> Self {
        match sample {
            ChunkSample::Float(_, value) => LateValue::Float(value),
            ChunkSample::Histogram(_, histogram) => {
                LateValue::Histogram(HistogramSample::Integer(Arc::new(histogram)))
            }
            ChunkSample::FloatHistogram(_, histogram) => {
                LateValue::Histogram(HistogramSample::Float(Arc::new(histogram)))
            }
        }
    }
}

/// A late sample.
#[derive(Clone, Debug, PartialEq)]
pub struct LateSample {
    /// Milliseconds since the epoch.
    pub t: i64,
    /// Since when its counter counts: milliseconds since the epoch, 0 if that is unknown.
    pub start: i64,
    /// What it is.
    pub value: LateValue,
}

/// The late samples of one series.
#[derive(Debug, Default)]
pub struct LateSamples {
    /// Ascending in time.
    open: Vec<(i64, LateValue)>,
    /// Start timestamps of the waiting samples; what is not here is unknown, and mostly none is.
    starts: Vec<i64>,
    /// In order of writing.
    full: Vec<ChunkMeta>,
}

impl LateSamples {
    /// Returns late samples that are all in chunks.
    pub fn of_chunks(full: Vec<ChunkMeta>) -> Self {
        LateSamples {
            open: Vec::new(),
            starts: Vec::new(),
            full,
        }
    }

    /// Adds a sample; returns `false`, and changes nothing, when one of that time is waiting already.
    pub fn insert(&mut self, sample: LateSample) -> bool {
        let LateSample { t, start, value } = sample;
        match self.open.binary_search_by_key(&t, |&(t, _)| t) {
            Ok(_) => false,
            Err(at) => {
                if start != 0 || at < self.starts.len() {
                    self.starts.resize(at.max(self.starts.len()), 0);
                    self.starts.insert(at, start);
                }
                self.open.insert(at, (t, value));
                true
            }
        }
    }

    /// Returns whether the waiting samples should become a chunk.
    pub fn is_full(&self) -> bool {
        LATE_SAMPLES_MAX <= self.open.len()
    }

    /// Returns whether samples wait.
    pub fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Returns the waiting samples, ascending in time: start timestamp, time and value.
    pub fn open(&self) -> impl Iterator<Item = (i64, i64, &LateValue)> + Clone {
        let starts = self.starts.iter().copied().chain(std::iter::repeat(0));
        starts
            .zip(&self.open)
            .map(|(start, (t, value))| (start, *t, value))
    }

    /// Returns the waiting samples in `mint..=maxt` as queries see them.
    pub fn columns(&self, mint: i64, maxt: i64) -> SampleColumns {
        let mut columns = SampleColumns::default();
        for (start, t, value) in self.open().filter(|&(_, t, _)| mint <= t && t <= maxt) {
            match value {
                LateValue::Float(value) => columns.push_float(t, *value),
                LateValue::Histogram(HistogramSample::Float(histogram)) => {
                    columns.push_histogram(t, Arc::clone(histogram));
                }
                LateValue::Histogram(HistogramSample::Integer(histogram)) => {
                    columns.push_histogram(t, Arc::new(histogram.to_float()));
                }
            }
            if start != 0 {
                columns.set_last_start(start);
            }
        }
        columns
    }

    /// Returns the chunks, in order of writing.
    pub fn full(&self) -> &[ChunkMeta] {
        &self.full
    }

    /// Returns how many chunks there are, the waiting samples included.
    pub fn chunk_count(&self) -> usize {
        self.full.len() + usize::from(!self.open.is_empty())
    }

    /// Returns whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.chunk_count() == 0
    }

    /// Returns the time of the oldest sample.
    pub fn mint(&self) -> Option<i64> {
        let full = self.full.iter().map(|chunk| chunk.mint);
        full.chain(self.open.first().map(|&(t, _)| t)).min()
    }

    /// Returns the time of the newest sample.
    pub fn maxt(&self) -> Option<i64> {
        let full = self.full.iter().map(ChunkMeta::maxt);
        full.chain(self.open.last().map(|&(t, _)| t)).max()
    }

    /// Returns whether a chunk or a waiting sample is in `mint..=maxt`.
    pub fn overlaps(&self, mint: i64, maxt: i64) -> bool {
        let open = self
            .open
            .first()
            .zip(self.open.last())
            .is_some_and(|(first, last)| first.0 <= maxt && mint <= last.0);
        open || self
            .full
            .iter()
            .any(|chunk| chunk.mint <= maxt && mint <= chunk.maxt())
    }

    /// Adds a chunk that was found on disk.
    pub fn add_found(&mut self, chunk: ChunkMeta) {
        if !self.full.contains(&chunk) {
            self.full.push(chunk);
        }
    }

    /// Turns the waiting samples into chunks. `hand_over` takes each and says where it is now. Returns how many there
    /// are.
    ///
    /// * `histogram_starts`: whether histograms keep their start timestamps.
    pub fn cut(
        &mut self,
        series_id: u64,
        histogram_starts: bool,
        mut hand_over: impl FnMut(FullChunk<'_>) -> ChunkRef,
    ) -> usize {
        let encoded = encode_late(self.open(), histogram_starts);
        for (mint, maxt, encoding, bytes) in &encoded {
            let samples = ChunkView {
                mint: *mint,
                maxt: *maxt,
                encoding: *encoding,
                bytes,
            };
            self.full.push(samples.handed_to(series_id, &mut hand_over));
        }
        self.open.clear();
        self.starts.clear();
        encoded.len()
    }

    /// Forgets the waiting samples whose times are in `times` (ascending): they are in a chunk.
    pub fn forget_open(&mut self, times: &[i64]) {
        let mut open = self.open.iter();
        let is_waiting = |&(t, _): &(i64, LateValue)| times.binary_search(&t).is_err();
        self.starts.retain(|_| open.next().is_some_and(is_waiting));
        self.open.retain(is_waiting);
    }

    /// Forgets the chunks that `is_done` says are in a block.
    pub fn forget_full(&mut self, is_done: impl Fn(&ChunkMeta) -> bool) -> usize {
        let before = self.full.len();
        self.full.retain(|chunk| !is_done(chunk));
        before - self.full.len()
    }
}

/// Returns the samples (start timestamp, time, value; ascending in time) as chunks: mint, maxt, encoding, bytes. Each run
/// of one kind makes at least one chunk; a chunk has at most [`SAMPLES_PER_CHUNK`]. Where no start timestamp is known, the
/// encoding has no place for them.
///
/// * `histogram_starts`: whether histograms keep their start timestamps.
pub fn encode_late<'v>(
    samples: impl Iterator<Item = (i64, i64, &'v LateValue)> + Clone,
    histogram_starts: bool,
) -> Vec<(i64, i64, Encoding, Vec<u8>)> {
    let has_starts = samples.clone().any(|(start, ..)| start != 0);
    let encodings = Encodings {
        floats: match has_starts {
            true => Encoding::Xor2,
            false => Encoding::Xor,
        },
        histogram_starts: has_starts && histogram_starts,
    };
    let mut out = Vec::new();
    let mut open = OpenChunk::default();
    let mut mint = 0;
    for (start, t, value) in samples {
        if open.is_empty() {
            mint = t;
        }
        let is_full = SAMPLES_PER_CHUNK <= open.count();
        let mut cut = |chunk: &OpenChunk| {
            let bytes = chunk.bytes().to_vec();
            out.push((mint, chunk.last_t(), chunk.encoding(), bytes));
            mint = t;
        };
        let times = Times { start, t };
        match value {
            LateValue::Float(value) => {
                open.append_float(times, *value, encodings, is_full, &mut cut)
            }
            LateValue::Histogram(histogram) => {
                let with_starts = encodings.histogram_starts;
                open.append_histogram(times, histogram, with_starts, is_full, &mut cut)
            }
        };
    }
    if !open.is_empty() {
        out.push((mint, open.last_t(), open.encoding(), open.bytes().to_vec()));
    }
    out
}

/// Merges columns that ascend in time each, into `out`, which they extend. Of samples of the same time the one of the
/// first column wins.
pub fn merge_columns(columns: &[SampleColumns], out: &mut SampleColumns) {
    let mut at = vec![0; columns.len()];
    let mut last_winner = None;
    loop {
        let next = (0..columns.len())
            .filter_map(|i| Some((*columns[i].timestamps.get(at[i])?, i)))
            .min();
        let Some((t, winner)) = next else { return };
        if out.timestamps.last().is_none_or(|&last| last < t) {
            match columns[winner].histogram(at[winner]) {
                // What a chunk says of a counter reset is said of the sample before it in that chunk.
                Some(histogram) if last_winner != Some(winner) => {
                    out.push_histogram(t, without_reset_hint(histogram));
                }
                Some(histogram) => out.push_histogram(t, Arc::clone(histogram)),
                None => out.push_float(t, columns[winner].floats[at[winner]]),
            }
            match columns[winner].start(at[winner]) {
                0 => (),
                start => out.set_last_start(start),
            }
            last_winner = Some(winner);
        }
        for (i, column) in columns.iter().enumerate() {
            if column.timestamps.get(at[i]) == Some(&t) {
                at[i] += 1;
            }
        }
    }
}

/// Returns the histogram with nothing said of a counter reset before it, unless it is a gauge.
pub fn without_reset_hint(histogram: &Arc<FloatHistogram>) -> Arc<FloatHistogram> {
    match histogram.reset_hint {
        ResetHint::Gauge | ResetHint::Unknown => Arc::clone(histogram),
        ResetHint::CounterReset | ResetHint::NotCounterReset => {
            let mut changed = FloatHistogram::clone(histogram);
            changed.reset_hint = ResetHint::Unknown;
            Arc::new(changed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(start: i64, t: i64) -> LateSample {
        let value = LateValue::Float(t as f64);
        LateSample { t, start, value }
    }

    #[test]
    fn start_timestamps_stay_with_their_samples() {
        let mut late = LateSamples::default();
        for (start, t) in [(0, 30), (5, 20), (0, 10), (6, 40), (0, 50), (0, 5)] {
            assert!(late.insert(float(start, t)));
        }
        let expected = [(0, 5), (0, 10), (5, 20), (0, 30), (6, 40), (0, 50)];
        let starts = |columns: &SampleColumns| {
            let times = columns.timestamps.iter().enumerate();
            times
                .map(|(i, &t)| (columns.start(i), t))
                .collect::<Vec<_>>()
        };
        assert_eq!(starts(&late.columns(0, 100)), expected);
        late.forget_open(&[10, 30]);
        let expected = [(0, 5), (5, 20), (6, 40), (0, 50)];
        assert_eq!(starts(&late.columns(0, 100)), expected);
        let mut columns = SampleColumns::default();
        late.cut(5, true, |chunk| {
            let ChunkView {
                encoding, bytes, ..
            } = chunk.samples;
            crate::chunk::decode(encoding, bytes, 0, 100, &mut columns).unwrap();
            ChunkRef::from_number(1)
        });
        assert_eq!(starts(&columns), expected);
        assert!(late.insert(float(0, 60)));
        assert_eq!(starts(&late.columns(0, 100)), [(0, 60)]);
        let mut merged = SampleColumns::default();
        merge_columns(&[late.columns(0, 100), columns], &mut merged);
        assert_eq!(starts(&merged), [&expected[..], &[(0, 60)]].concat());
    }

    #[test]
    fn samples_are_sorted_and_become_a_chunk() {
        let mut late = LateSamples::default();
        for t in [30, 10, 20] {
            assert!(late.insert(float(0, t)));
        }
        assert!(!late.insert(float(7, 20)));
        assert_eq!((late.mint(), late.maxt()), (Some(10), Some(30)));
        assert!(late.overlaps(15, 15) && !late.overlaps(31, 40));
        let mut columns = SampleColumns::default();
        let cut = late.cut(5, true, |chunk| {
            let ChunkView {
                encoding, bytes, ..
            } = chunk.samples;
            crate::chunk::decode(encoding, bytes, 0, 100, &mut columns).unwrap();
            ChunkRef::from_number(1)
        });
        assert_eq!((cut, late.open().count(), late.full().len()), (1, 0, 1));
        assert_eq!(columns.timestamps, [10, 20, 30]);
        assert_eq!(late.forget_full(|chunk| chunk.maxt() < 31), 1);
        assert!(late.is_empty());
    }

    #[test]
    fn merging_keeps_each_time_once() {
        let column = |samples: &[(i64, f64)]| {
            let mut column = SampleColumns::default();
            samples.iter().for_each(|&(t, v)| column.push_float(t, v));
            column
        };
        let mut out = SampleColumns::default();
        let columns = [
            column(&[(1, 1.0), (3, 1.0), (5, 1.0)]),
            column(&[(2, 2.0), (3, 2.0)]),
            column(&[]),
        ];
        merge_columns(&columns, &mut out);
        assert_eq!(out, column(&[(1, 1.0), (2, 2.0), (3, 1.0), (5, 1.0)]));
    }

    #[test]
    fn merged_histograms_say_nothing_of_resets_in_another_column() {
        let column = |samples: &[(i64, ResetHint)]| {
            let mut column = SampleColumns::default();
            for &(t, reset_hint) in samples {
                let histogram = FloatHistogram {
                    reset_hint,
                    ..FloatHistogram::default()
                };
                column.push_histogram(t, Arc::new(histogram));
            }
            column
        };
        let (reset, none) = (ResetHint::CounterReset, ResetHint::NotCounterReset);
        let columns = [
            column(&[(1, none), (2, none), (5, reset)]),
            column(&[(3, none), (4, none)]),
        ];
        let mut out = SampleColumns::default();
        merge_columns(&columns, &mut out);
        let hints: Vec<_> = out.histograms.iter().map(|(_, h)| h.reset_hint).collect();
        let unknown = ResetHint::Unknown;
        assert_eq!(hints, [unknown, none, unknown, none, unknown]);
    }
}
