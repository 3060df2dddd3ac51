//! The open chunk of a series: it says the newest sample, and takes samples of whatever kind, cutting as needed.
//!
//! Floats in the encoding that nearly all have are in the page's [`Lines`]; all else is an [`OpenChunk`] with a buffer of its
//! own, as late samples have while they are made chunks.

use std::sync::Arc;

use model::histogram::ResetHint;
use model::storage::HistogramSample;
use model::{FloatHistogram, Histogram, is_stale};

use super::lines::Lines;
use super::tail::XorTail;
use crate::chunk::histogram::fields::Fields;
use crate::chunk::histogram::{self, Appended, Writer};
use crate::chunk::{ChunkError, ChunkSample, Encoding, OpenChunk, samples};

/// When a sample is, in milliseconds since the epoch, and since when what it says has been counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The start timestamp, 0 if that is unknown.
    pub start: i64,
    /// The sample's own.
    pub t: i64,
}

impl Times {
    /// Returns the times of a sample without a start timestamp.
    pub const fn at(t: i64) -> Self {
        Times { start: 0, t }
    }
}

/// The encodings of new chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encodings {
    /// Of chunks of floats.
    pub floats: Encoding,
    /// Whether chunks of histograms have a place for start timestamps.
    pub histogram_starts: bool,
}

impl Encodings {
    /// XOR, and histograms without start timestamps: what every version of Prometheus reads.
    pub const PLAIN: Self = Encodings {
        floats: Encoding::Xor,
        histogram_starts: false,
    };
}

impl Default for OpenChunk {
    fn default() -> Self {
        OpenChunk::new(Encoding::Xor)
    }
}

/// The staleness marker as a histogram.
fn stale_histogram(sum: f64) -> Histogram {
    Histogram {
        sum,
        ..Histogram::default()
    }
}

/// The same with float counts.
fn stale_float_histogram(sum: f64) -> FloatHistogram {
    FloatHistogram {
        sum,
        ..FloatHistogram::default()
    }
}

impl OpenChunk {
    /// Returns a chunk that goes on after the last sample of `bytes`.
    ///
    /// # Errors
    ///
    /// When the bytes are no chunk of that encoding.
    pub fn resume(encoding: Encoding, bytes: &[u8]) -> Result<Self, ChunkError> {
        let mut chunk = OpenChunk::new(encoding);
        if !encoding.is_float()
            && let Some(header) = histogram::header(encoding, bytes)
        {
            chunk.restart(encoding, header);
        }
        for sample in samples(encoding, bytes).with_starts() {
            let (start, sample) = sample?;
            if let Appended::Cut(_) = chunk.append_since(start, &sample) {
                return Err(ChunkError::Invalid);
            }
        }
        Ok(chunk)
    }

    /// Returns whether there is no sample.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Returns the last sample if it is a float.
    #[inline]
    pub fn last_float(&self) -> Option<(i64, f64)> {
        match self {
            OpenChunk::Xor(chunk) if 0 < chunk.count() => {
                Some((chunk.last_t(), chunk.last_value()))
            }
            OpenChunk::Xor2(chunk) if 0 < chunk.count() => {
                Some((chunk.last_t(), chunk.last_value()))
            }
            _ => None,
        }
    }

    /// Returns whether the last sample is a staleness marker.
    pub fn is_last_stale(&self) -> bool {
        match self {
            OpenChunk::Xor(_) | OpenChunk::Xor2(_) => {
                self.last_float().is_some_and(|(_, value)| is_stale(value))
            }
            OpenChunk::Histogram(chunk) => chunk.is_last_stale(),
            OpenChunk::FloatHistogram(chunk) => chunk.is_last_stale(),
        }
    }

    /// Returns whether the last sample is this float, bit for bit; the staleness marker is the same for all kinds.
    pub fn is_last_float(&self, value: f64) -> bool {
        match self.last_float() {
            Some((_, last)) => last.to_bits() == value.to_bits(),
            None => is_stale(value) && self.is_last_stale(),
        }
    }

    /// Returns whether the last sample is this histogram, bit for bit.
    pub fn is_last_histogram(&self, histogram: &HistogramSample) -> bool {
        match (self, histogram) {
            (OpenChunk::Histogram(chunk), HistogramSample::Integer(h)) => chunk.last_equals(h),
            (OpenChunk::FloatHistogram(chunk), HistogramSample::Float(h)) => chunk.last_equals(h),
            _ => false,
        }
    }

    /// Appends a float. Where this chunk is full, has histograms or no place for the start timestamp, `cut` is called with
    /// it first, and a new one of encoding `floats` begins; but a staleness marker after histograms becomes one of theirs.
    ///
    /// A start timestamp is forgotten if the encoding has no place for it.
    #[inline]
    pub fn append_float(
        &mut self,
        times: Times,
        value: f64,
        encodings: Encodings,
        is_full: bool,
        cut: &mut dyn FnMut(&OpenChunk),
    ) {
        if let OpenChunk::Xor(chunk) = self
            && !is_full
            && times.start == 0
        {
            return chunk.append(times.t, value);
        }
        self.append_float_slow(times, value, encodings.floats, is_full, cut);
    }

    #[cold]
    fn append_float_slow(
        &mut self,
        times: Times,
        value: f64,
        floats: Encoding,
        is_full: bool,
        cut: &mut dyn FnMut(&OpenChunk),
    ) {
        let Times { start, t } = times;
        let has_starts = self.encoding().has_starts();
        match self {
            OpenChunk::Histogram(_) if is_stale(value) => {
                let marker = HistogramSample::Integer(Arc::new(stale_histogram(value)));
                self.append_histogram(times, &marker, has_starts, is_full, cut);
            }
            OpenChunk::FloatHistogram(_) if is_stale(value) => {
                let marker = HistogramSample::Float(Arc::new(stale_float_histogram(value)));
                self.append_histogram(times, &marker, has_starts, is_full, cut);
            }
            OpenChunk::Xor(chunk) if !is_full && !floats.has_starts() => chunk.append(t, value),
            OpenChunk::Xor2(chunk) if !is_full && chunk.takes_start(start) => {
                chunk.append_since(start, t, value);
            }
            _ => {
                if !self.is_empty() {
                    cut(self);
                }
                // A new buffer, which is short: the one before has grown to a whole chunk's length.
                *self = OpenChunk::new(floats);
                self.append_since(start, &ChunkSample::Float(t, value));
            }
        }
    }

    /// Appends a histogram. Where this chunk is full or the histogram does not fit into it, `cut` is called with it
    /// first, and a new one begins.
    ///
    /// * `with_starts`: whether chunks have a place for a start timestamp.
    pub fn append_histogram(
        &mut self,
        times: Times,
        histogram: &HistogramSample,
        with_starts: bool,
        is_full: bool,
        cut: &mut dyn FnMut(&OpenChunk),
    ) {
        let next = match histogram {
            HistogramSample::Integer(histogram) => {
                let open = match self {
                    OpenChunk::Histogram(chunk) => Some(&mut **chunk),
                    _ => None,
                };
                append_or_begin(open, times, histogram, with_starts, is_full)
                    .map(OpenChunk::Histogram)
            }
            HistogramSample::Float(histogram) => {
                let open = match self {
                    OpenChunk::FloatHistogram(chunk) => Some(&mut **chunk),
                    _ => None,
                };
                append_or_begin(open, times, histogram, with_starts, is_full)
                    .map(OpenChunk::FloatHistogram)
            }
        };
        if let Some(next) = next {
            if !self.is_empty() {
                cut(self);
            }
            *self = next;
        }
    }
}

/// The open chunk of a series in the head.
#[derive(Debug)]
pub enum Open {
    /// Of floats; also when there is no sample yet.
    Floats(XorTail),
    /// Of another encoding; never empty.
    Other(Box<OtherChunk>),
}

/// An open chunk with a buffer of its own.
#[derive(Debug)]
pub struct OtherChunk {
    mint: i64,
    chunk: OpenChunk,
}

/// The samples of a chunk, and what is known of them.
#[derive(Clone, Copy, Debug)]
pub struct ChunkView<'a> {
    /// Time of the first sample.
    pub mint: i64,
    /// Time of the last sample.
    pub maxt: i64,
    /// How its bytes are to be read.
    pub encoding: Encoding,
    /// The samples.
    pub bytes: &'a [u8],
}

impl Default for Open {
    fn default() -> Self {
        Open::Floats(XorTail::default())
    }
}

impl Open {
    /// Returns a chunk that goes on after the last sample of `bytes`, which begin at `mint`.
    ///
    /// # Errors
    ///
    /// When the bytes are no chunk of that encoding.
    pub fn resume(
        mint: i64,
        encoding: Encoding,
        bytes: &[u8],
        lines: &mut Lines,
    ) -> Result<Self, ChunkError> {
        if encoding == Encoding::Xor {
            return XorTail::resume(mint, bytes, lines).map(Open::Floats);
        }
        let chunk = OpenChunk::resume(encoding, bytes)?;
        match chunk.is_empty() {
            true => Err(ChunkError::Invalid),
            false => Ok(Open::Other(Box::new(OtherChunk { mint, chunk }))),
        }
    }

    /// Returns how many samples there are.
    #[inline]
    pub fn count(&self) -> u16 {
        match self {
            Open::Floats(tail) => tail.count(),
            Open::Other(other) => other.chunk.count(),
        }
    }

    /// Returns whether there is no sample.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Returns the time of the first sample; meaningless before it.
    #[inline]
    pub fn mint(&self) -> i64 {
        match self {
            Open::Floats(tail) => tail.mint(),
            Open::Other(other) => other.mint,
        }
    }

    /// Returns the time of the last sample; meaningless before the first.
    #[inline]
    pub fn last_t(&self) -> i64 {
        match self {
            Open::Floats(tail) => tail.last().0,
            Open::Other(other) => other.chunk.last_t(),
        }
    }

    /// Returns the last sample if it is a float.
    #[inline]
    pub fn last_float(&self) -> Option<(i64, f64)> {
        match self {
            Open::Floats(tail) => (0 < tail.count()).then(|| tail.last()),
            Open::Other(other) => other.chunk.last_float(),
        }
    }

    /// Returns whether the last sample is a staleness marker.
    pub fn is_last_stale(&self) -> bool {
        match self {
            Open::Floats(_) => self.last_float().is_some_and(|(_, value)| is_stale(value)),
            Open::Other(other) => other.chunk.is_last_stale(),
        }
    }

    /// Returns whether the last sample is this float, bit for bit; the staleness marker is the same for all kinds.
    #[inline]
    pub fn is_last_float(&self, value: f64) -> bool {
        match self.last_float() {
            Some((_, last)) => last.to_bits() == value.to_bits(),
            None => is_stale(value) && self.is_last_stale(),
        }
    }

    /// Returns whether the last sample is this histogram, bit for bit.
    pub fn is_last_histogram(&self, histogram: &HistogramSample) -> bool {
        match self {
            Open::Floats(_) => false,
            Open::Other(other) => other.chunk.is_last_histogram(histogram),
        }
    }

    /// Returns the encoding.
    #[inline]
    pub fn encoding(&self) -> Encoding {
        match self {
            Open::Floats(_) => Encoding::Xor,
            Open::Other(other) => other.chunk.encoding(),
        }
    }

    /// Returns how many bytes there are.
    #[inline]
    pub fn byte_count(&self) -> usize {
        match self {
            Open::Floats(tail) => tail.byte_count(),
            Open::Other(other) => other.chunk.bytes().len(),
        }
    }

    /// Returns whether a sample of this time, which is newer than the last one, is near enough to the first.
    #[inline]
    pub fn reaches(&self, t: i64) -> bool {
        match self {
            Open::Floats(tail) => tail.reaches(t),
            Open::Other(_) => true,
        }
    }

    /// Replaces what is in `bytes` by a copy of the chunk's; returns the chunk, which must not be empty.
    pub fn copy_to<'a>(&self, lines: &Lines, bytes: &'a mut Vec<u8>) -> ChunkView<'a> {
        match self {
            Open::Floats(tail) => tail.copy_to(lines, bytes),
            Open::Other(other) => {
                bytes.clear();
                bytes.extend_from_slice(other.chunk.bytes());
            }
        }
        ChunkView {
            mint: self.mint(),
            maxt: self.last_t(),
            encoding: self.encoding(),
            bytes,
        }
    }

    /// Starts again with an empty chunk and gives the room back.
    pub fn release(&mut self, lines: &mut Lines) {
        if let Open::Floats(tail) = self {
            tail.release(lines);
        }
        *self = Open::default();
    }

    /// Fetches what the next sample will be written to into the cache.
    #[inline]
    pub fn prefetch(&self, lines: &Lines) {
        if let Open::Floats(tail) = self {
            tail.prefetch(lines);
        }
    }

    /// Moves what is in `old`, which is about to go, to `new`.
    pub fn move_to(&mut self, old: &Lines, new: &mut Lines) {
        if let Open::Floats(tail) = self {
            tail.move_to(old, new);
        }
    }

    /// Appends a float; as [`OpenChunk::append_float`].
    #[inline]
    pub fn append_float(
        &mut self,
        lines: &mut Lines,
        times: Times,
        value: f64,
        encodings: Encodings,
        is_full: bool,
        cut: &mut dyn FnMut(ChunkView<'_>),
    ) {
        if let Open::Floats(tail) = self
            && !is_full
            && (times.start == 0 || !encodings.floats.has_starts())
        {
            return tail.append(lines, times.t, value);
        }
        self.append_float_slow(lines, times, value, encodings, is_full, cut);
    }

    #[cold]
    fn append_float_slow(
        &mut self,
        lines: &mut Lines,
        times: Times,
        value: f64,
        encodings: Encodings,
        is_full: bool,
        cut: &mut dyn FnMut(ChunkView<'_>),
    ) {
        self.hand_over_floats(lines, cut);
        if let Open::Floats(tail) = self
            && encodings.floats == Encoding::Xor
        {
            return tail.append(lines, times.t, value);
        }
        self.begin_other(times.t);
        self.append_other(times.t, cut, |chunk, cut| {
            chunk.append_float(times, value, encodings, is_full, cut);
        });
        // A chunk of floats that begins after another kind is in lines.
        if let Open::Other(other) = self
            && let OpenChunk::Xor(_) = &other.chunk
        {
            let mut tail = XorTail::default();
            tail.append(lines, times.t, value);
            *self = Open::Floats(tail);
        }
    }

    /// Appends a histogram; as [`OpenChunk::append_histogram`].
    pub fn append_histogram(
        &mut self,
        lines: &mut Lines,
        times: Times,
        histogram: &HistogramSample,
        with_starts: bool,
        is_full: bool,
        cut: &mut dyn FnMut(ChunkView<'_>),
    ) {
        self.hand_over_floats(lines, cut);
        self.begin_other(times.t);
        self.append_other(times.t, cut, |chunk, cut| {
            chunk.append_histogram(times, histogram, with_starts, is_full, cut);
        });
    }

    /// Hands over a chunk of floats; it is empty then.
    fn hand_over_floats(&mut self, lines: &mut Lines, cut: &mut dyn FnMut(ChunkView<'_>)) {
        if let Open::Other(_) = self {
            return;
        }
        if !self.is_empty() {
            cut(self.copy_to(lines, &mut Vec::new()));
        }
        self.release(lines);
    }

    /// Makes room for a chunk of something else that begins at `t`, unless there is one.
    fn begin_other(&mut self, t: i64) {
        if let Open::Floats(_) = self {
            let chunk = OpenChunk::default();
            *self = Open::Other(Box::new(OtherChunk { mint: t, chunk }));
        }
    }

    /// Has `append` append a sample of time `t`; it may call what it is given with the chunk before it begins another.
    fn append_other(
        &mut self,
        t: i64,
        cut: &mut dyn FnMut(ChunkView<'_>),
        append: impl FnOnce(&mut OpenChunk, &mut dyn FnMut(&OpenChunk)),
    ) {
        let Open::Other(other) = self else { return };
        let OtherChunk { mint, chunk } = &mut **other;
        let before = *mint;
        append(chunk, &mut |full| {
            *mint = t;
            cut(ChunkView {
                mint: before,
                maxt: full.last_t(),
                encoding: full.encoding(),
                bytes: full.bytes(),
            });
        });
    }
}

/// Appends a histogram to `open`. Returns a new chunk that begins with it where none is open, the open one is full or the
/// histogram does not fit into it.
fn append_or_begin<F: Fields>(
    open: Option<&mut Writer<F>>,
    times: Times,
    histogram: &F::Histogram,
    with_starts: bool,
    is_full: bool,
) -> Option<Box<Writer<F>>> {
    let Times { start, t } = times;
    let mut header = ResetHint::Unknown;
    if let Some(chunk) = open {
        let lacks_place = start != 0 && with_starts && !chunk.has_starts();
        if is_full || lacks_place {
            header = chunk.header_after(histogram);
        } else if let Appended::Cut(next) = chunk.append_since(start, t, histogram) {
            header = next;
        } else {
            return None;
        }
    }
    let mut chunk = Box::new(match with_starts {
        true => Writer::with_starts(),
        false => Writer::new(),
    });
    chunk.restart(header);
    chunk.append_since(start, t, histogram);
    Some(chunk)
}
