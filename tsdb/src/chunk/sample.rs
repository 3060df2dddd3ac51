//! The samples of a chunk as they were written, one by one, whatever the encoding.
//!
//! Queries read columns ([`decode`](super::decode)), where histograms have float counts; compaction moves samples from
//! chunk to chunk and must not lose what they were.

use model::histogram::{FloatHistogram, Histogram};
use model::is_stale;

use super::histogram::{FloatHistogramReader, HistogramReader};
use super::xor::XorReader;
use super::xor2::Xor2Reader;
use super::{ChunkError, Encoding};

/// A sample as it is stored: time in milliseconds since the epoch, and value.
#[derive(Clone, Debug, PartialEq)]
pub enum ChunkSample {
    /// A plain number.
    Float(i64, f64),
    /// A native histogram with integer counts.
    Histogram(i64, Histogram),
    /// A native histogram with float counts.
    FloatHistogram(i64, FloatHistogram),
}

impl ChunkSample {
    /// Returns the time.
    pub fn t(&self) -> i64 {
        match self {
            ChunkSample::Float(t, _)
            | ChunkSample::Histogram(t, _)
            | ChunkSample::FloatHistogram(t, _) => *t,
        }
    }

    /// Returns whether this is the staleness marker of its kind.
    pub fn is_stale(&self) -> bool {
        is_stale(match self {
            ChunkSample::Float(_, value) => *value,
            ChunkSample::Histogram(_, histogram) => histogram.sum,
            ChunkSample::FloatHistogram(_, histogram) => histogram.sum,
        })
    }

    /// Returns the encoding of a chunk that takes this sample, which is `floats` for a plain number; for a histogram it is
    /// one without start timestamps.
    pub fn encoding(&self, floats: Encoding) -> Encoding {
        match self {
            ChunkSample::Float(..) => floats,
            ChunkSample::Histogram(..) => Encoding::Histogram,
            ChunkSample::FloatHistogram(..) => Encoding::FloatHistogram,
        }
    }
}

/// Returns an iterator over the samples of a chunk, ascending in time; it ends after the first error.
pub fn samples(encoding: Encoding, chunk: &[u8]) -> Samples<'_> {
    let reader = match encoding {
        Encoding::Xor => XorReader::new(chunk).map(Reader::Xor),
        Encoding::Xor2 => Xor2Reader::new(chunk).map(Reader::Xor2),
        Encoding::Histogram => HistogramReader::new(chunk).map(Reader::histogram),
        Encoding::FloatHistogram => FloatHistogramReader::new(chunk).map(Reader::float_histogram),
        Encoding::HistogramSt => HistogramReader::with_starts(chunk).map(Reader::histogram),
        Encoding::FloatHistogramSt => {
            FloatHistogramReader::with_starts(chunk).map(Reader::float_histogram)
        }
    };
    Samples(reader.unwrap_or_else(Reader::Broken))
}

/// The samples of a chunk.
pub struct Samples<'a>(Reader<'a>);

enum Reader<'a> {
    Xor(XorReader<'a>),
    Xor2(Xor2Reader<'a>),
    Histogram(Box<HistogramReader<'a>>),
    FloatHistogram(Box<FloatHistogramReader<'a>>),
    /// The bytes are no chunk, which is yet to be said.
    Broken(ChunkError),
    Done,
}

impl<'a> Reader<'a> {
    fn histogram(reader: HistogramReader<'a>) -> Self {
        Reader::Histogram(Box::new(reader))
    }

    fn float_histogram(reader: FloatHistogramReader<'a>) -> Self {
        Reader::FloatHistogram(Box::new(reader))
    }

    fn start(&self) -> i64 {
        match self {
            Reader::Xor2(reader) => reader.start(),
            Reader::Histogram(reader) => reader.start(),
            Reader::FloatHistogram(reader) => reader.start(),
            Reader::Xor(_) | Reader::Broken(_) | Reader::Done => 0,
        }
    }

    fn read(&mut self) -> Result<Option<ChunkSample>, ChunkError> {
        Ok(match self {
            Reader::Xor(reader) => reader.next()?.map(|(t, v)| ChunkSample::Float(t, v)),
            Reader::Xor2(reader) => reader.next()?.map(|(t, v)| ChunkSample::Float(t, v)),
            Reader::Histogram(reader) => reader.next()?.map(|(t, h)| ChunkSample::Histogram(t, h)),
            Reader::FloatHistogram(reader) => {
                let sample = reader.next()?;
                sample.map(|(t, h)| ChunkSample::FloatHistogram(t, h))
            }
            Reader::Broken(error) => return Err(*error),
            Reader::Done => None,
        })
    }
}

impl<'a> Samples<'a> {
    /// Returns the same with the start timestamp of each sample before it: milliseconds since the epoch, 0 if it is
    /// unknown.
    pub fn with_starts(
        mut self,
    ) -> impl Iterator<Item = Result<(i64, ChunkSample), ChunkError>> + 'a {
        std::iter::from_fn(move || {
            let sample = self.next()?;
            Some(sample.map(|sample| (self.0.start(), sample)))
        })
    }
}

impl Iterator for Samples<'_> {
    type Item = Result<ChunkSample, ChunkError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.0.read();
        if read.is_err() {
            self.0 = Reader::Done;
        }
        read.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_said_once() {
        let all: Vec<_> = samples(Encoding::Histogram, &[0, 1]).collect();
        assert_eq!(all, [Err(ChunkError::Truncated)]);
        let all: Vec<_> = samples(Encoding::Xor, &[0, 1]).collect();
        assert_eq!(all, [Err(ChunkError::Truncated)]);
        assert_eq!(samples(Encoding::Xor2, &[0, 0, 0]).count(), 0);
    }
}
