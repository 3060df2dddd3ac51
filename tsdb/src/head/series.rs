//! One series of the head: its open chunk, where its full chunks are, and samples that came late.

use super::late::LateSamples;
use crate::chunk::Encoding;
use crate::chunk::xor::XorWriter;
use crate::head_chunks::{ChunkMeta, ChunkRef};

/// A chunk is cut when it is predicted to have about this many samples at an even division of the chunk range.
pub const SAMPLES_PER_CHUNK: u16 = 120;
/// … and in any case when its bytes come near this, so that an XOR chunk stays within 1 KiB.
const CHUNK_BYTES_TARGET: usize = 1024 - 19;

/// The samples of one series in the head.
#[derive(Debug, Default)]
pub struct MemSeries {
    /// The series' id in the WAL and the head chunk files. Never given to another series of the same data directory.
    pub id: u64,
    /// Whether the WAL has the labels of this series.
    pub logged: bool,
    /// Whether housekeeping found it without samples the last time.
    pub seen_empty: bool,
    /// Samples that came late; most series have none.
    pub late: Option<Box<LateSamples>>,
    open: XorWriter,
    open_mint: i64,
    /// The open chunk takes no sample from this time on.
    next_at: i64,
    full: Vec<ChunkMeta>,
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
    /// Time of the first sample.
    pub mint: i64,
    /// Time of the last sample.
    pub maxt: i64,
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
            ..MemSeries::default()
        }
    }

    /// Returns a series without samples whose labels are in the WAL.
    pub fn logged(id: u64) -> Self {
        MemSeries {
            id,
            logged: true,
            ..MemSeries::default()
        }
    }

    /// Returns the time of the newest in-order sample.
    pub fn last_t(&self) -> Option<i64> {
        if 0 < self.open.count() {
            Some(self.open.last_t())
        } else {
            self.full_maxt()
        }
    }

    /// Returns the newest sample if it is in the open chunk.
    pub fn last_sample(&self) -> Option<(i64, f64)> {
        (0 < self.open.count()).then(|| (self.open.last_t(), self.open.last_value()))
    }

    /// Returns the time of the oldest sample, late ones included.
    pub fn first_t(&self) -> Option<i64> {
        let open = (0 < self.open.count()).then_some(self.open_mint);
        let in_order = self.full.first().map(|chunk| chunk.mint).or(open);
        let late = self.late.as_ref().and_then(|late| late.mint());
        match (in_order, late) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Returns whether there is a sample, late ones included, in `mint..=maxt`, as far as chunks tell.
    pub fn overlaps(&self, mint: i64, maxt: i64) -> bool {
        let in_order = self.last_t().is_some_and(|last| mint <= last)
            && (self.full.first().map_or(self.open_mint, |chunk| chunk.mint) <= maxt);
        in_order
            || self
                .late
                .as_ref()
                .is_some_and(|late| late.overlaps(mint, maxt))
    }

    /// Returns the time of the newest sample that is in a full chunk.
    pub fn full_maxt(&self) -> Option<i64> {
        self.full.last().map(ChunkMeta::maxt)
    }

    /// Returns the full chunks, ascending in time.
    pub fn full(&self) -> &[ChunkMeta] {
        &self.full
    }

    /// Returns the open chunk with the time of its first sample, if it has one.
    pub fn open(&self) -> Option<FullChunk<'_>> {
        (0 < self.open.count()).then(|| FullChunk {
            series_id: self.id,
            mint: self.open_mint,
            maxt: self.open.last_t(),
            encoding: Encoding::Xor,
            bytes: self.open.bytes(),
        })
    }

    /// Returns how many chunks there are, the open one included.
    pub fn chunk_count(&self) -> usize {
        self.full.len()
            + usize::from(0 < self.open.count())
            + self.late.as_ref().map_or(0, |late| late.chunk_count())
    }

    /// Adds chunks that were found on disk, in any order. An open chunk is handed over first, see
    /// [`append`](MemSeries::append).
    pub fn add_found(
        &mut self,
        chunks: Vec<ChunkMeta>,
        hand_over: impl FnOnce(FullChunk<'_>) -> Option<ChunkRef>,
    ) {
        if 0 < self.open.count() {
            self.cut(hand_over);
        }
        self.full.extend(chunks);
        self.full
            .sort_unstable_by_key(|chunk| (chunk.mint, chunk.chunk));
        self.full.shrink_to_fit();
    }

    /// Appends a sample, cutting the open chunk when it is full. `hand_over` takes the full chunk and says where it is
    /// now; when it cannot, the chunk stays open and the next sample tries again.
    ///
    /// * `range_ms`: chunks do not cross multiples of this.
    pub fn append(
        &mut self,
        t: i64,
        value: f64,
        range_ms: i64,
        hand_over: impl FnOnce(FullChunk<'_>) -> Option<ChunkRef>,
    ) -> Placed {
        if self.last_t().is_some_and(|last| t <= last) {
            return Placed::Stale;
        }
        let mut placed = Placed::Appended;
        let count = self.open.count();
        if 0 < count {
            if count == SAMPLES_PER_CHUNK / 4 {
                self.next_at = predicted_end(self.open_mint, self.open.last_t(), self.next_at);
            }
            let is_full = self.next_at <= t
                || 2 * SAMPLES_PER_CHUNK <= count
                || (CHUNK_BYTES_TARGET < self.open.bytes().len() && SAMPLES_PER_CHUNK / 4 < count);
            if is_full && self.cut(hand_over) {
                placed = Placed::Cut;
            }
        }
        if self.open.count() == 0 {
            self.open_mint = t;
            self.next_at = t
                .div_euclid(range_ms)
                .saturating_add(1)
                .saturating_mul(range_ms);
        }
        self.open.append(t, value);
        placed
    }

    fn cut(&mut self, hand_over: impl FnOnce(FullChunk<'_>) -> Option<ChunkRef>) -> bool {
        let chunk = FullChunk {
            series_id: self.id,
            mint: self.open_mint,
            maxt: self.open.last_t(),
            encoding: Encoding::Xor,
            bytes: self.open.bytes(),
        };
        let meta = |place| ChunkMeta::new(place, chunk.mint, chunk.maxt, chunk.encoding);
        match hand_over(chunk).map(meta) {
            Some(meta) => {
                // Every series has this list: it grows by half and not to the double.
                if self.full.len() == self.full.capacity() {
                    self.full.reserve_exact((self.full.len() / 2).max(2));
                }
                self.full.push(meta);
            }
            // The disk has been failing for 65,000 samples; the WAL holds them if anything does.
            None if self.open.count() == u16::MAX => {}
            None => return false,
        }
        self.open.clear();
        true
    }

    /// Forgets the chunks that end before `mint`; returns how many. An open chunk goes too when all of it is older.
    pub fn truncate(&mut self, mint: i64) -> usize {
        let old = self.full.partition_point(|chunk| chunk.maxt() < mint);
        self.full.drain(..old);
        let open_is_old = self.last_sample().is_some_and(|(t, _)| t < mint);
        if open_is_old {
            self.open.release();
        }
        if 0 < old {
            self.full.shrink_to_fit();
        }
        old + usize::from(open_is_old)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: i64 = 7_200_000;

    /// Appends `count` samples every `interval` ms from `start`; returns the ranges of the chunks handed over.
    fn chunks(start: i64, interval: i64, count: i64) -> Vec<(i64, i64)> {
        let mut series = MemSeries::new(1);
        let mut handed = Vec::new();
        for i in 0..count {
            series.append(start + i * interval, i as f64, RANGE, |chunk| {
                handed.push((chunk.mint, chunk.maxt));
                Some(ChunkRef::from_number(handed.len() as u64))
            });
        }
        assert_eq!(series.full().len(), handed.len());
        handed
    }

    #[test]
    fn chunks_end_at_the_range_and_have_about_120_samples() {
        let handed = chunks(0, 15_000, 481);
        assert_eq!(handed.len(), 4);
        assert_eq!(handed.last().unwrap().1, RANGE - 15_000);
        for (mint, maxt) in &handed {
            assert!(
                (100..=140).contains(&((maxt - mint) / 15_000 + 1)),
                "{handed:?}"
            );
        }
    }

    #[test]
    fn irregular_series_are_cut_by_count() {
        let mut series = MemSeries::new(1);
        let mut handed = 0;
        for i in 0..2_000i64 {
            // Slow at first, so that the prediction says "no cut before the end", then fast.
            let t = if i < 31 { i * 60_000 } else { 31 * 60_000 + i };
            series.append(t, 0.0, RANGE, |_| {
                handed += 1;
                Some(ChunkRef::from_number(handed))
            });
        }
        assert!(7 <= handed, "{handed}");
    }

    #[test]
    fn old_samples_are_refused_and_a_failing_disk_keeps_the_chunk_open() {
        let mut series = MemSeries::new(1);
        assert_eq!(series.append(10, 1.0, RANGE, |_| None), Placed::Appended);
        assert_eq!(series.append(10, 2.0, RANGE, |_| None), Placed::Stale);
        assert_eq!(series.append(RANGE, 3.0, RANGE, |_| None), Placed::Appended);
        assert_eq!(series.full().len(), 0);
        let placed = series.append(RANGE + 1, 4.0, RANGE, |_| Some(ChunkRef::from_number(1)));
        assert_eq!((placed, series.full()[0].maxt()), (Placed::Cut, RANGE));
    }

    #[test]
    fn truncation_drops_whole_chunks() {
        let mut series = MemSeries::new(1);
        for i in 0..300 {
            series.append(i * 15_000, 0.0, RANGE, |_| {
                Some(ChunkRef::from_number(i as u64))
            });
        }
        let before = series.full().len();
        assert_eq!(series.truncate(series.full()[1].mint), 1);
        assert_eq!(series.full().len(), before - 1);
        assert_eq!(series.truncate(i64::MAX), before);
        assert_eq!((series.first_t(), series.last_t()), (None, None));
    }
}
