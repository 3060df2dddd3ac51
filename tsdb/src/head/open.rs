//! What the head asks of an open chunk: the newest sample, and to take samples of whatever kind, cutting as needed.

use std::sync::Arc;

use model::histogram::ResetHint;
use model::storage::HistogramSample;
use model::{FloatHistogram, Histogram, is_stale};

use crate::chunk::histogram::fields::Fields;
use crate::chunk::histogram::{self, Appended, Writer};
use crate::chunk::xor::XorWriter;
use crate::chunk::{ChunkError, ChunkSample, Encoding, OpenChunk, samples};

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
        if encoding == Encoding::Xor {
            return XorWriter::resume(bytes.to_vec()).map(OpenChunk::Xor);
        }
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

    /// Starts again with an empty chunk and gives the buffers back.
    pub fn release(&mut self) {
        *self = OpenChunk::default();
    }

    /// Appends a float. Where this chunk is full, has histograms or no place for the start timestamp, `cut` is called with
    /// it first, and a new one of encoding `floats` begins; but a staleness marker after histograms becomes one of theirs.
    ///
    /// * `start`: since when its counter counts, 0 if that is unknown; forgotten if `floats` has no place for it.
    #[inline]
    pub fn append_float(
        &mut self,
        start: i64,
        t: i64,
        value: f64,
        floats: Encoding,
        is_full: bool,
        cut: &mut dyn FnMut(&OpenChunk),
    ) {
        if let OpenChunk::Xor(chunk) = self
            && !is_full
            && start == 0
        {
            return chunk.append(t, value);
        }
        self.append_float_slow(start, t, value, floats, is_full, cut);
    }

    #[cold]
    fn append_float_slow(
        &mut self,
        start: i64,
        t: i64,
        value: f64,
        floats: Encoding,
        is_full: bool,
        cut: &mut dyn FnMut(&OpenChunk),
    ) {
        let has_starts = self.encoding().has_starts();
        match self {
            OpenChunk::Histogram(_) if is_stale(value) => {
                let marker = HistogramSample::Integer(Arc::new(stale_histogram(value)));
                self.append_histogram(start, t, &marker, has_starts, is_full, cut);
            }
            OpenChunk::FloatHistogram(_) if is_stale(value) => {
                let marker = HistogramSample::Float(Arc::new(stale_float_histogram(value)));
                self.append_histogram(start, t, &marker, has_starts, is_full, cut);
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
    /// * `start`: since when it counts, 0 if that is unknown. `with_starts`: whether chunks have a place for that.
    pub fn append_histogram(
        &mut self,
        start: i64,
        t: i64,
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
                append_or_begin(open, start, t, histogram, with_starts, is_full)
                    .map(OpenChunk::Histogram)
            }
            HistogramSample::Float(histogram) => {
                let open = match self {
                    OpenChunk::FloatHistogram(chunk) => Some(&mut **chunk),
                    _ => None,
                };
                append_or_begin(open, start, t, histogram, with_starts, is_full)
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

/// Appends a histogram to `open`. Returns a new chunk that begins with it where none is open, the open one is full or the
/// histogram does not fit into it.
fn append_or_begin<F: Fields>(
    open: Option<&mut Writer<F>>,
    start: i64,
    t: i64,
    histogram: &F::Histogram,
    with_starts: bool,
    is_full: bool,
) -> Option<Box<Writer<F>>> {
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
