//! One series of the head: its open chunk, where its full chunks are, and samples that came late.

use model::storage::HistogramSample;

use super::late::LateSamples;
use super::lines::Lines;
use super::open::{ChunkView, Encodings, Open, Times};
use crate::chunk::{ChunkError, Encoding};
use crate::head_chunks::{ChunkMeta, ChunkRef};

/// A chunk is cut when it is predicted to have about this many samples at an even division of the chunk range.
pub const SAMPLES_PER_CHUNK: u16 = 120;
/// … and in any case when its bytes come near this, so that an XOR chunk stays within 1 KiB.
const CHUNK_BYTES_TARGET: usize = 1024 - 19;
/// A chunk of histograms has this many samples at least, however long they are.
const HISTOGRAMS_PER_CHUNK_MIN: u16 = 10;

/// How many series ahead of the one that is appended to [`MemSeries::prefetch`] is called for.
pub const PREFETCH_AHEAD: u32 = 8;
/// How many series ahead of the one that a batch is checked against the series itself is fetched.
pub const SERIES_AHEAD: usize = 16;

/// The samples of one series in the head. There are very many, and each batch waits for the memory that its series are in, so it
/// is one cache line; the open chunk is in the [`Lines`] of its page, which all calls that touch its bytes are given.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct MemSeries {
    /// The series' id in the WAL and the head chunk files. Never given to another series of the same data directory.
    pub id: u64,
    /// Whether the WAL has the labels of this series.
    pub logged: bool,
    /// Whether housekeeping found it without samples the last time.
    pub seen_empty: bool,
    /// Whether somebody has asked for it since housekeeping looked: a batch may be about to bring a sample.
    pub is_wanted: bool,
    open: Open,
    /// The open chunk takes no sample that is so much later than its first, in milliseconds.
    room_ms: u32,
    /// Mostly there, and seldom looked at.
    rest: Option<Box<Rest>>,
}

/// What of a series is not in its open chunk.
#[derive(Debug, Default)]
struct Rest {
    /// Full chunks, ascending in time.
    full: Box<[ChunkMeta]>,
    /// Samples that came late; most series have none.
    late: Option<Box<LateSamples>>,
}

/// How chunks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkShape {
    /// Chunks do not cross multiples of this, in milliseconds.
    pub range_ms: i64,
    /// How what is in them is encoded.
    pub encodings: Encodings,
}

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// In the open chunk.
    Appended,
    /// In a new open chunk: the one before was handed over.
    Cut,
    /// Not newer than the newest.
    Stale,
}

/// A full chunk on its way to a head chunk file.
#[derive(Clone, Copy, Debug)]
pub struct FullChunk<'a> {
    /// The series' id.
    pub series_id: u64,
    /// The samples.
    pub samples: ChunkView<'a>,
}

impl ChunkView<'_> {
    /// Has `hand_over` take it as a full chunk of a series; returns where it is now.
    pub fn handed_to(
        self,
        series_id: u64,
        hand_over: impl FnOnce(FullChunk<'_>) -> ChunkRef,
    ) -> ChunkMeta {
        let place = hand_over(FullChunk {
            series_id,
            samples: self,
        });
        ChunkMeta::new(place, self.mint, self.maxt, self.encoding)
    }
}

/// An open chunk as a snapshot has it.
#[derive(Clone, Copy, Debug)]
pub struct SavedChunk<'a> {
    /// Time of the first sample.
    pub mint: i64,
    /// How its bytes are to be read.
    pub encoding: Encoding,
    /// The samples.
    pub bytes: &'a [u8],
}

impl MemSeries {
    /// Returns a series without samples.
    pub fn new(id: u64) -> Self {
        MemSeries {
            id,
            is_wanted: true,
            ..MemSeries::default()
        }
    }

    /// Returns a series as a snapshot has it, its labels in the WAL.
    ///
    /// * `full`: ascending in time.
    ///
    /// # Errors
    ///
    /// When the bytes of the open chunk are none.
    pub fn restored(
        id: u64,
        full: Vec<ChunkMeta>,
        late: Option<Box<LateSamples>>,
        open: Option<SavedChunk<'_>>,
        lines: &mut Lines,
        range_ms: i64,
    ) -> Result<Self, ChunkError> {
        let open = match open {
            Some(saved) => Open::resume(saved.mint, saved.encoding, saved.bytes, lines)?,
            None => Open::default(),
        };
        Ok(MemSeries {
            id,
            logged: true,
            seen_empty: false,
            is_wanted: false,
            room_ms: distance_ms(open.mint(), range_end(open.mint(), range_ms)),
            open,
            rest: (late.is_some() || !full.is_empty()).then(|| {
                let full = full.into();
                Box::new(Rest { full, late })
            }),
        })
    }

    /// Returns a series without samples whose labels are in the WAL.
    pub fn logged(id: u64) -> Self {
        MemSeries {
            id,
            logged: true,
            ..MemSeries::default()
        }
    }

    /// Returns the samples that came late, if there are any.
    pub fn late(&self) -> Option<&LateSamples> {
        self.rest.as_ref()?.late.as_deref()
    }

    /// Returns the same, to be changed.
    pub fn late_mut(&mut self) -> Option<&mut LateSamples> {
        self.rest.as_mut()?.late.as_deref_mut()
    }

    /// Returns the same; the series has late samples from now on.
    pub fn late_or_new(&mut self) -> &mut LateSamples {
        let rest = self.rest.get_or_insert_default();
        rest.late.get_or_insert_default()
    }

    /// Forgets that samples came late.
    pub fn drop_late(&mut self) {
        if let Some(rest) = &mut self.rest {
            rest.late = None;
        }
    }

    fn set_full(&mut self, full: Vec<ChunkMeta>) {
        if self.rest.is_some() || !full.is_empty() {
            self.rest.get_or_insert_default().full = full.into();
        }
    }

    /// Takes the full chunks out.
    fn take_full(&mut self) -> Vec<ChunkMeta> {
        let full = self
            .rest
            .as_mut()
            .map(|rest| std::mem::take(&mut rest.full));
        full.unwrap_or_default().into_vec()
    }

    /// Returns the time of the newest in-order sample.
    pub fn last_t(&self) -> Option<i64> {
        if !self.open.is_empty() {
            Some(self.open.last_t())
        } else {
            self.full_maxt()
        }
    }

    /// Returns the newest sample if it is a float in the open chunk.
    pub fn last_float(&self) -> Option<(i64, f64)> {
        self.open.last_float()
    }

    /// Returns whether the newest sample is this one, bit for bit, as far as the open chunk tells.
    pub fn is_last_float(&self, value: f64) -> bool {
        self.open.is_last_float(value)
    }

    /// The same of a histogram.
    pub fn is_last_histogram(&self, histogram: &HistogramSample) -> bool {
        self.open.is_last_histogram(histogram)
    }

    /// Returns whether the newest sample is a staleness marker, as far as the open chunk tells.
    pub fn is_stale(&self) -> bool {
        self.open.is_last_stale()
    }

    /// Fetches what the next sample will be written to into the cache: it is elsewhere for each series.
    #[inline]
    pub fn prefetch(&self, lines: &Lines) {
        self.open.prefetch(lines);
    }

    /// Returns the time of the oldest in-order sample.
    pub fn first_in_order_t(&self) -> Option<i64> {
        let open = (!self.open.is_empty()).then_some(self.open.mint());
        self.full().first().map(|chunk| chunk.mint).or(open)
    }

    /// Returns the time of the oldest sample, late ones included.
    pub fn first_t(&self) -> Option<i64> {
        let late = self.late().and_then(|late| late.mint());
        match (self.first_in_order_t(), late) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Returns whether there is a sample, late ones included, in `mint..=maxt`, as far as chunks tell.
    pub fn overlaps(&self, mint: i64, maxt: i64) -> bool {
        let late = || self.late().is_some_and(|l| l.overlaps(mint, maxt));
        self.overlaps_in_order(mint, maxt) || late()
    }

    /// Returns whether there is an in-order sample in `mint..=maxt`, as far as the first and the last tell.
    pub fn overlaps_in_order(&self, mint: i64, maxt: i64) -> bool {
        self.last_t().is_some_and(|last| {
            // Of what has begun before that: the list of full chunks is elsewhere in memory.
            let begins_by = |t| self.first_in_order_t().is_some_and(|first| first <= t);
            mint <= last && (last <= maxt || begins_by(maxt))
        })
    }

    /// Returns the time of the newest sample that is in a full chunk.
    pub fn full_maxt(&self) -> Option<i64> {
        self.full().last().map(ChunkMeta::maxt)
    }

    /// Returns the full chunks, ascending in time.
    pub fn full(&self) -> &[ChunkMeta] {
        self.rest.as_ref().map_or(&[], |rest| &rest.full)
    }

    /// Returns whether the open chunk has a sample.
    pub fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Replaces what is in `bytes` by a copy of the open chunk's; returns the chunk, if it has a sample.
    pub fn open<'a>(&self, lines: &Lines, bytes: &'a mut Vec<u8>) -> Option<ChunkView<'a>> {
        self.open_within(lines, i64::MIN, i64::MAX, bytes)
    }

    /// The same if it may have one in `mint..=maxt`.
    pub fn open_within<'a>(
        &self,
        lines: &Lines,
        mint: i64,
        maxt: i64,
        bytes: &'a mut Vec<u8>,
    ) -> Option<ChunkView<'a>> {
        let (first, last) = (self.open.mint(), self.open.last_t());
        (self.has_open() && first <= maxt && mint <= last).then(|| self.open.copy_to(lines, bytes))
    }

    /// Moves what is in `old`, which is about to go, to `new`.
    pub fn move_to(&mut self, old: &Lines, new: &mut Lines) {
        self.open.move_to(old, new);
    }

    /// Returns how many chunks there are, the open one included.
    pub fn chunk_count(&self) -> usize {
        self.full().len()
            + usize::from(!self.open.is_empty())
            + self.late().map_or(0, |late| late.chunk_count())
    }

    /// Adds chunks that were found on disk, in any order. An open chunk is handed over first, see
    /// [`append_float`](MemSeries::append_float).
    pub fn add_found(
        &mut self,
        lines: &mut Lines,
        chunks: Vec<ChunkMeta>,
        hand_over: impl FnOnce(FullChunk<'_>) -> ChunkRef,
    ) {
        let mut full = self.take_full();
        let mut bytes = Vec::new();
        if let Some(open) = self.open(lines, &mut bytes) {
            // A chunk that was found may be this one, in full.
            let mut found = chunks.iter();
            if !found.any(|c| c.mint <= open.mint && open.maxt <= c.maxt()) {
                full.push(open.handed_to(self.id, hand_over));
            }
            self.open.release(lines);
        }
        full.extend(chunks);
        full.sort_unstable_by_key(|chunk| (chunk.mint, chunk.chunk));
        full.dedup_by_key(|chunk| chunk.chunk);
        self.set_full(full);
    }

    /// Appends a float, cutting the open chunk when it is full or has histograms. `hand_over` takes the full chunk and
    /// says where it is now. A staleness marker after histograms becomes one of theirs.
    #[inline]
    pub fn append_float(
        &mut self,
        lines: &mut Lines,
        times: Times,
        value: f64,
        shape: ChunkShape,
        hand_over: impl FnOnce(FullChunk<'_>) -> ChunkRef,
    ) -> Placed {
        let (range_ms, encodings) = (shape.range_ms, shape.encodings);
        self.append(times.t, range_ms, hand_over, |open, is_full, cut| {
            open.append_float(lines, times, value, encodings, is_full, cut)
        })
    }

    /// Appends a histogram; as [`append_float`](MemSeries::append_float).
    pub fn append_histogram(
        &mut self,
        lines: &mut Lines,
        times: Times,
        histogram: &HistogramSample,
        shape: ChunkShape,
        hand_over: impl FnOnce(FullChunk<'_>) -> ChunkRef,
    ) -> Placed {
        let with_starts = shape.encodings.histogram_starts;
        self.append(times.t, shape.range_ms, hand_over, |open, is_full, cut| {
            open.append_histogram(lines, times, histogram, with_starts, is_full, cut)
        })
    }

    /// Cuts where it is due and has `push` append to the open chunk, which may cut as well, once.
    #[inline]
    fn append(
        &mut self,
        t: i64,
        range_ms: i64,
        hand_over: impl FnOnce(FullChunk<'_>) -> ChunkRef,
        push: impl FnOnce(&mut Open, bool, &mut dyn FnMut(ChunkView<'_>)),
    ) -> Placed {
        if self.last_t().is_some_and(|last| t <= last) {
            return Placed::Stale;
        }
        let is_full = self.is_full_at(t, range_ms);
        let was_empty = self.open.is_empty();
        let series_id = self.id;
        let (mut hand_over, mut cut) = (Some(hand_over), None);
        push(&mut self.open, is_full, &mut |chunk| {
            if let Some(hand_over) = hand_over.take() {
                cut = Some(chunk.handed_to(series_id, hand_over));
            }
        });
        if was_empty || cut.is_some() {
            self.room_ms = distance_ms(t, range_end(t, range_ms));
        }
        let Some(meta) = cut else {
            return Placed::Appended;
        };
        self.push_full(meta);
        Placed::Cut
    }

    #[cold]
    fn push_full(&mut self, meta: ChunkMeta) {
        let mut full = self.take_full();
        full.reserve_exact(1);
        full.push(meta);
        self.set_full(full);
    }

    /// Returns whether the open chunk is to be cut before a sample of time `t`.
    #[inline]
    fn is_full_at(&mut self, t: i64, range_ms: i64) -> bool {
        let count = self.open.count();
        if count == 0 {
            return false;
        }
        let begin = self.open.mint();
        if count == SAMPLES_PER_CHUNK / 4 {
            let range_end = range_end(begin, range_ms);
            let mut end = predicted_end(begin, self.open.last_t(), range_end);
            let starts_range = || {
                let start = range_end.saturating_sub(range_ms);
                self.full().last().is_none_or(|chunk| chunk.maxt() < start)
            };
            if end < range_end && starts_range() {
                end = staggered_end(self.id, begin, end);
            }
            self.room_ms = distance_ms(begin, end);
        }
        let count_min = match self.open.encoding().is_float() {
            true => SAMPLES_PER_CHUNK / 4 + 1,
            false => HISTOGRAMS_PER_CHUNK_MIN,
        };
        begin.saturating_add(i64::from(self.room_ms)) <= t
            || 2 * SAMPLES_PER_CHUNK <= count
            || (CHUNK_BYTES_TARGET < self.open.byte_count() && count_min <= count)
            || !self.open.reaches(t)
    }

    /// Forgets the chunks that end before `mint`; returns how many. An open chunk goes too when all of it is older.
    pub fn truncate(&mut self, lines: &mut Lines, mint: i64) -> usize {
        let old = self.full().partition_point(|chunk| chunk.maxt() < mint);
        if 0 < old {
            let left = self.full()[old..].to_vec();
            self.set_full(left);
        }
        let open_is_old = !self.open.is_empty() && self.open.last_t() < mint;
        if open_is_old {
            self.open.release(lines);
        }
        old + usize::from(open_is_old)
    }
}

/// Returns the milliseconds from `t` to `end`, 49 days at most.
fn distance_ms(t: i64, end: i64) -> u32 {
    let distance = end.saturating_sub(t).max(0);
    u32::try_from(distance).unwrap_or(u32::MAX)
}

/// Returns the next multiple of `range_ms` after `t`.
fn range_end(t: i64, range_ms: i64) -> i64 {
    t.div_euclid(range_ms)
        .saturating_add(1)
        .saturating_mul(range_ms)
}

/// Returns when to end a chunk that is a quarter full, so that the chunks up to `end` are about equally long.
///
/// * `start`, `now`: times of the first and the newest sample. `end`: when the chunk has to end.
///
/// Source: Prometheus `computeChunkEndTime`.
fn predicted_end(start: i64, now: i64, end: i64) -> i64 {
    let length = (end - start) as f64;
    let chunks = (length / ((now - start + 1) as f64 * 4.0)).floor();
    if chunks <= 1.0 {
        return end;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most `end - start`")]
    let share = (length / chunks) as i64;
    start + share
}

/// Returns when to end the first chunk of a range that others would end at `end`: series that began together are not to
/// be full together, so that at any time the open chunks are half full on average and not all nearly so.
fn staggered_end(id: u64, start: i64, end: i64) -> i64 {
    // Ids of a target follow each other: spread them evenly over 40 to 100 percent.
    let percent = 40 + id.wrapping_mul(37) % 61;
    let length = end.saturating_sub(start);
    start.saturating_add(length / 100 * percent.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: i64 = 7_200_000;
    const SHAPE: ChunkShape = ChunkShape {
        range_ms: RANGE,
        encodings: Encodings::PLAIN,
    };

    /// Appends `count` samples every `interval` ms from `start`; returns the ranges of the chunks handed over.
    fn chunks(start: i64, interval: i64, count: i64) -> Vec<(i64, i64)> {
        let (mut series, mut lines) = (MemSeries::new(1), Lines::default());
        let mut handed = Vec::new();
        for i in 0..count {
            let times = Times::at(start + i * interval);
            series.append_float(&mut lines, times, i as f64, SHAPE, |chunk| {
                handed.push((chunk.samples.mint, chunk.samples.maxt));
                ChunkRef::from_number(handed.len() as u64)
            });
        }
        assert_eq!(series.full().len(), handed.len());
        handed
    }

    #[test]
    fn a_series_is_small() {
        assert_eq!((size_of::<MemSeries>(), align_of::<MemSeries>()), (64, 64));
    }

    #[test]
    fn chunks_end_at_the_range_and_have_about_120_samples() {
        let handed = chunks(0, 15_000, 481);
        assert_eq!(handed.last().unwrap().1, RANGE - 15_000);
        let counts: Vec<i64> = handed
            .iter()
            .map(|(mint, maxt)| (maxt - mint) / 15_000 + 1)
            .collect();
        // The first is shorter, so that not all series are full at once.
        assert!((40..=120).contains(&counts[0]), "{counts:?}");
        let others = counts[1..].iter();
        assert!(
            others.clone().all(|count| (90..=140).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn irregular_series_are_cut_by_count() {
        let (mut series, mut lines) = (MemSeries::new(1), Lines::default());
        let mut handed = 0;
        for i in 0..2_000i64 {
            // Slow at first, so that the prediction says "no cut before the end", then fast.
            let t = if i < 31 { i * 60_000 } else { 31 * 60_000 + i };
            series.append_float(&mut lines, Times::at(t), 0.0, SHAPE, |_| {
                handed += 1;
                ChunkRef::from_number(handed)
            });
        }
        assert!(7 <= handed, "{handed}");
    }

    #[test]
    fn old_samples_are_refused() {
        let (mut series, mut lines) = (MemSeries::new(1), Lines::default());
        let never = |_: FullChunk<'_>| unreachable!("nothing is full");
        assert_eq!(
            series.append_float(&mut lines, Times::at(10), 1.0, SHAPE, never),
            Placed::Appended
        );
        assert_eq!(
            series.append_float(&mut lines, Times::at(10), 2.0, SHAPE, never),
            Placed::Stale
        );
        let placed = series.append_float(&mut lines, Times::at(RANGE), 3.0, SHAPE, |_| {
            ChunkRef::from_number(1)
        });
        assert_eq!((placed, series.full()[0].maxt()), (Placed::Cut, 10));
    }

    #[test]
    fn kinds_of_samples_do_not_share_a_chunk() {
        let (mut series, mut lines) = (MemSeries::new(1), Lines::default());
        let mut handed = Vec::new();
        let histogram = |count| {
            HistogramSample::Integer(std::sync::Arc::new(model::Histogram {
                count,
                zero_count: count,
                sum: 1.0,
                ..model::Histogram::default()
            }))
        };
        let mut hand_over = |chunk: FullChunk<'_>| {
            let samples = chunk.samples;
            handed.push((samples.encoding, samples.mint, samples.maxt));
            ChunkRef::from_number(1)
        };
        series.append_float(&mut lines, Times::at(1), 1.0, SHAPE, &mut hand_over);
        series.append_histogram(
            &mut lines,
            Times::at(2),
            &histogram(5),
            SHAPE,
            &mut hand_over,
        );
        series.append_histogram(
            &mut lines,
            Times::at(3),
            &histogram(6),
            SHAPE,
            &mut hand_over,
        );
        // A counter reset makes a new chunk, a staleness marker joins what it ends.
        series.append_histogram(
            &mut lines,
            Times::at(4),
            &histogram(2),
            SHAPE,
            &mut hand_over,
        );
        series.append_float(
            &mut lines,
            Times::at(5),
            model::stale_nan(),
            SHAPE,
            &mut hand_over,
        );
        assert!(series.is_stale() && series.is_last_float(model::stale_nan()));
        series.append_float(&mut lines, Times::at(6), 1.0, SHAPE, &mut hand_over);
        let expected = [
            (Encoding::Xor, 1, 1),
            (Encoding::Histogram, 2, 3),
            (Encoding::Histogram, 4, 5),
        ];
        assert_eq!(handed, expected);
        assert_eq!(series.last_float(), Some((6, 1.0)));
    }

    #[test]
    fn truncation_drops_whole_chunks() {
        let (mut series, mut lines) = (MemSeries::new(1), Lines::default());
        for i in 0..300 {
            series.append_float(&mut lines, Times::at(i * 15_000), 0.0, SHAPE, |_| {
                ChunkRef::from_number(i as u64)
            });
        }
        let before = series.full().len();
        assert_eq!(series.truncate(&mut lines, series.full()[1].mint), 1);
        assert_eq!(series.full().len(), before - 1);
        assert_eq!(series.truncate(&mut lines, i64::MAX), before);
        assert_eq!((series.first_t(), series.last_t()), (None, None));
    }
}
