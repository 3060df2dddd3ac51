//! A chunk that is being written, whatever its encoding.

use model::histogram::ResetHint;

use super::histogram::{Appended, FloatHistogramWriter, HistogramWriter};
use super::xor::XorWriter;
use super::xor2::Xor2Writer;
use super::{ChunkSample, Encoding};

/// A chunk that takes [`ChunkSample`]s until it has to be cut.
///
/// ```
/// # use tsdb::chunk::{ChunkSample, Encoding, OpenChunk, histogram::Appended};
/// # let samples = [ChunkSample::Float(0, 1.0), ChunkSample::Float(1, 2.0)];
/// let mut chunk = OpenChunk::new(samples[0].encoding(Encoding::Xor));
/// for sample in &samples {
///     if let Appended::Cut(header) = chunk.append(sample) {
///         // Put chunk.bytes() away, of chunk.encoding().
///         chunk.restart(sample.encoding(Encoding::Xor), header);
///         chunk.append(sample);
///     }
/// }
/// assert_eq!(chunk.count(), 2);
/// ```
#[derive(Debug)]
pub enum OpenChunk {
    /// Of floats.
    Xor(XorWriter),
    /// Of floats, Prometheus' second XOR encoding.
    Xor2(Box<Xor2Writer>),
    /// Of native histograms with integer counts.
    Histogram(Box<HistogramWriter>),
    /// Of native histograms with float counts.
    FloatHistogram(Box<FloatHistogramWriter>),
}

impl OpenChunk {
    /// Returns an empty chunk, of which nothing is known about a counter reset.
    pub fn new(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Xor => OpenChunk::Xor(XorWriter::new()),
            Encoding::Xor2 => OpenChunk::Xor2(Box::default()),
            Encoding::Histogram => OpenChunk::Histogram(Box::default()),
            Encoding::FloatHistogram => OpenChunk::FloatHistogram(Box::default()),
            Encoding::HistogramSt => OpenChunk::Histogram(Box::new(HistogramWriter::with_starts())),
            Encoding::FloatHistogramSt => {
                OpenChunk::FloatHistogram(Box::new(FloatHistogramWriter::with_starts()))
            }
        }
    }

    /// Returns the encoding.
    pub fn encoding(&self) -> Encoding {
        match self {
            OpenChunk::Xor(_) => Encoding::Xor,
            OpenChunk::Xor2(_) => Encoding::Xor2,
            OpenChunk::Histogram(chunk) if chunk.has_starts() => Encoding::HistogramSt,
            OpenChunk::Histogram(_) => Encoding::Histogram,
            OpenChunk::FloatHistogram(chunk) if chunk.has_starts() => Encoding::FloatHistogramSt,
            OpenChunk::FloatHistogram(_) => Encoding::FloatHistogram,
        }
    }

    /// Returns the encoded chunk; empty before the first sample, complete after every one.
    pub fn bytes(&self) -> &[u8] {
        match self {
            OpenChunk::Xor(writer) => writer.bytes(),
            OpenChunk::Xor2(writer) => writer.bytes(),
            OpenChunk::Histogram(writer) => writer.bytes(),
            OpenChunk::FloatHistogram(writer) => writer.bytes(),
        }
    }

    /// Returns how many samples there are.
    pub fn count(&self) -> u16 {
        match self {
            OpenChunk::Xor(writer) => writer.count(),
            OpenChunk::Xor2(writer) => writer.count(),
            OpenChunk::Histogram(writer) => writer.count(),
            OpenChunk::FloatHistogram(writer) => writer.count(),
        }
    }

    /// Returns the last sample's time; meaningless before the first.
    pub fn last_t(&self) -> i64 {
        match self {
            OpenChunk::Xor(writer) => writer.last_t(),
            OpenChunk::Xor2(writer) => writer.last_t(),
            OpenChunk::Histogram(writer) => writer.last_t(),
            OpenChunk::FloatHistogram(writer) => writer.last_t(),
        }
    }

    /// Returns the bytes reserved on the heap.
    pub fn heap_bytes(&self) -> usize {
        match self {
            OpenChunk::Xor(writer) => writer.heap_bytes(),
            OpenChunk::Xor2(writer) => writer.heap_bytes(),
            OpenChunk::Histogram(writer) => size_of_val(&**writer) + writer.heap_bytes(),
            OpenChunk::FloatHistogram(writer) => size_of_val(&**writer) + writer.heap_bytes(),
        }
    }

    /// Returns whether the last sample's value is this one's, bit for bit; of histograms, besides the hint and empty
    /// buckets.
    pub fn last_equals(&self, sample: &ChunkSample) -> bool {
        let same_float = |last: f64, value: f64| last.to_bits() == value.to_bits();
        match (self, sample) {
            (OpenChunk::Xor(writer), ChunkSample::Float(_, value)) => {
                writer.count() != 0 && same_float(writer.last_value(), *value)
            }
            (OpenChunk::Xor2(writer), ChunkSample::Float(_, value)) => {
                writer.count() != 0 && same_float(writer.last_value(), *value)
            }
            (OpenChunk::Histogram(writer), ChunkSample::Histogram(_, h)) => writer.last_equals(h),
            (OpenChunk::FloatHistogram(writer), ChunkSample::FloatHistogram(_, h)) => {
                writer.last_equals(h)
            }
            _ => false,
        }
    }

    /// Appends a sample of which nobody knows since when it counts: [`append_since`](OpenChunk::append_since) 0.
    pub fn append(&mut self, sample: &ChunkSample) -> Appended {
        self.append_since(0, sample)
    }

    /// Appends a sample, which must be newer than the last one.
    ///
    /// [`Appended::Cut`] also if the sample is of another kind, the chunk has as many as it can count (65,535, or 16,383
    /// of histograms with start timestamps), or has no room for the start timestamp. Nothing else about the size is
    /// decided here. An empty chunk takes every sample of its kind.
    ///
    /// * `start`: since when the sample's counter counts, milliseconds since the epoch, 0 if that is unknown; an encoding
    ///   without start timestamps forgets it.
    pub fn append_since(&mut self, start: i64, sample: &ChunkSample) -> Appended {
        match (self, sample) {
            (OpenChunk::Xor(writer), ChunkSample::Float(t, value)) if writer.count() < u16::MAX => {
                writer.append(*t, *value);
                Appended::AsIs
            }
            (OpenChunk::Xor2(writer), ChunkSample::Float(t, value))
                if writer.count() < u16::MAX && writer.takes_start(start) =>
            {
                writer.append_since(start, *t, *value);
                Appended::AsIs
            }
            (OpenChunk::Histogram(writer), ChunkSample::Histogram(t, h)) => {
                writer.append_since(start, *t, h)
            }
            (OpenChunk::FloatHistogram(writer), ChunkSample::FloatHistogram(t, h)) => {
                writer.append_since(start, *t, h)
            }
            _ => Appended::Cut(ResetHint::Unknown),
        }
    }

    /// Returns the header of the next chunk if this one is cut for its size and `sample` is the first of the next.
    pub fn header_after(&self, sample: &ChunkSample) -> ResetHint {
        match (self, sample) {
            (OpenChunk::Histogram(writer), ChunkSample::Histogram(_, h)) => writer.header_after(h),
            (OpenChunk::FloatHistogram(writer), ChunkSample::FloatHistogram(_, h)) => {
                writer.header_after(h)
            }
            _ => ResetHint::Unknown,
        }
    }

    /// Starts again with an empty chunk; keeps the buffers if the encoding stays.
    ///
    /// * `header`: what [`Appended::Cut`] or [`header_after`](OpenChunk::header_after) said; floats have none.
    pub fn restart(&mut self, encoding: Encoding, header: ResetHint) {
        if self.encoding() != encoding {
            *self = OpenChunk::new(encoding);
        }
        match self {
            OpenChunk::Xor(writer) => writer.clear(),
            OpenChunk::Xor2(writer) => writer.clear(),
            OpenChunk::Histogram(writer) => writer.restart(header),
            OpenChunk::FloatHistogram(writer) => writer.restart(header),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{self, samples};
    use model::histogram::Histogram;
    use model::storage::SampleColumns;

    fn histogram(count: u64) -> Histogram {
        Histogram {
            zero_count: count,
            count,
            ..Histogram::default()
        }
    }

    /// A series that changes its kind is in several chunks, and comes back as it was.
    #[test]
    fn samples_of_all_kinds_read_back() {
        let written = [
            ChunkSample::Float(1, 1.5),
            ChunkSample::Float(2, model::stale_nan()),
            ChunkSample::Histogram(3, histogram(2)),
            ChunkSample::Histogram(4, histogram(1)),
            ChunkSample::FloatHistogram(5, histogram(7).to_float()),
            ChunkSample::Float(6, 0.0),
        ];
        for floats in [Encoding::Xor, Encoding::Xor2] {
            let mut open = OpenChunk::new(written[0].encoding(floats));
            let mut chunks = Vec::new();
            for sample in &written {
                assert!(!open.last_equals(sample));
                if let Appended::Cut(header) = open.append(sample) {
                    chunks.push((open.encoding(), open.bytes().to_vec()));
                    open.restart(sample.encoding(floats), header);
                    assert_eq!(open.append(sample), Appended::AsIs);
                }
                assert!(open.last_equals(sample) && open.last_t() == sample.t());
            }
            chunks.push((open.encoding(), open.bytes().to_vec()));
            let headers: Vec<_> = chunks
                .iter()
                .map(|(_, bytes)| (chunk::count(bytes).unwrap(), bytes[2] >> 6))
                .collect();
            assert_eq!(headers[1..4], [(1, 0b00), (1, 0b10), (1, 0b00)]);
            let read: Vec<_> = chunks
                .iter()
                .flat_map(|(encoding, bytes)| samples(*encoding, bytes))
                .map(Result::unwrap)
                .collect();
            // The staleness marker is not equal to itself, so compare what is printed.
            assert_eq!(format!("{read:?}"), format!("{written:?}"));

            let mut columns = SampleColumns::default();
            for (encoding, bytes) in &chunks {
                chunk::decode(*encoding, bytes, 2, 5, &mut columns).unwrap();
            }
            assert_eq!(columns.timestamps, [2, 3, 4, 5]);
            let counts: Vec<_> = columns
                .histograms
                .iter()
                .map(|(i, h)| (*i, h.count))
                .collect();
            assert_eq!(counts, [(1, 2.0), (2, 1.0), (3, 7.0)]);
        }
    }

    #[test]
    fn a_full_chunk_of_floats_is_cut() {
        let mut open = OpenChunk::new(Encoding::Xor);
        for t in 0..65_535 {
            assert_eq!(open.append(&ChunkSample::Float(t, 1.0)), Appended::AsIs);
        }
        let cut = open.append(&ChunkSample::Float(70_000, 1.0));
        assert_eq!(cut, Appended::Cut(ResetHint::Unknown));
    }
}
