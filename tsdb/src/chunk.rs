//! Chunk codecs: compressed runs of one series' samples, bit for bit as Prometheus writes them.

pub mod bits;
pub mod histogram;
pub mod open;
pub mod sample;
pub mod starts;
pub mod varbit;
pub mod window;
pub mod xor;
pub mod xor2;

use model::storage::SampleColumns;

use histogram::{FloatHistogramReader, HistogramReader};
pub use open::OpenChunk;
pub use sample::{ChunkSample, samples};

/// How a chunk's bytes are to be read: the encoding byte beside it on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Encoding {
    /// Floats, Gorilla style: [`xor`].
    Xor,
    /// Native histograms with integer counts.
    Histogram,
    /// Native histograms with float counts.
    FloatHistogram,
    /// Floats, Prometheus' second XOR encoding, which may have start timestamps.
    Xor2,
    /// Native histograms with integer counts and start timestamps.
    HistogramSt,
    /// Native histograms with float counts and start timestamps.
    FloatHistogramSt,
}

impl Encoding {
    /// Returns the byte that stands for this encoding on disk.
    pub const fn as_byte(self) -> u8 {
        match self {
            Encoding::Xor => 1,
            Encoding::Histogram => 2,
            Encoding::FloatHistogram => 3,
            Encoding::Xor2 => 4,
            Encoding::HistogramSt => 5,
            Encoding::FloatHistogramSt => 6,
        }
    }

    /// Returns the encoding of a byte, if this build reads it.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Encoding::Xor),
            2 => Some(Encoding::Histogram),
            3 => Some(Encoding::FloatHistogram),
            4 => Some(Encoding::Xor2),
            5 => Some(Encoding::HistogramSt),
            6 => Some(Encoding::FloatHistogramSt),
            _ => None,
        }
    }

    /// Returns how many samples a chunk of this encoding says it has.
    ///
    /// # Errors
    ///
    /// [`ChunkError::Truncated`] when there is no room for the count.
    pub fn count(self, chunk: &[u8]) -> Result<u16, ChunkError> {
        let count = count(chunk)?;
        Ok(match self {
            // The counter reset header is in the top bits.
            Encoding::HistogramSt | Encoding::FloatHistogramSt => count & 0x3fff,
            _ => count,
        })
    }

    /// Returns whether start timestamps have a place in the chunk.
    pub const fn has_starts(self) -> bool {
        matches!(
            self,
            Encoding::Xor2 | Encoding::HistogramSt | Encoding::FloatHistogramSt
        )
    }

    /// Returns whether the samples are floats.
    pub const fn is_float(self) -> bool {
        matches!(self, Encoding::Xor | Encoding::Xor2)
    }
}

/// Why a chunk's bytes cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The samples go on past the last byte.
    #[error("chunk ends before its last sample")]
    Truncated,
    /// A variable-length integer has more than ten bytes, or times do not ascend.
    #[error("chunk holds an impossible value")]
    Invalid,
}

/// Returns how many samples the chunk says it has; with one of the encodings of histograms with start timestamps, ask
/// [`Encoding::count`].
///
/// # Errors
///
/// [`ChunkError::Truncated`] when there is no room for the count.
pub fn count(chunk: &[u8]) -> Result<u16, ChunkError> {
    chunk
        .first_chunk::<2>()
        .map(|bytes| u16::from_be_bytes(*bytes))
        .ok_or(ChunkError::Truncated)
}

/// Appends the chunk's samples in `mint..=maxt` that are newer than the last in `out`; histograms become float
/// histograms, as queries see them.
///
/// # Errors
///
/// When the bytes are no chunk of that encoding; `out` then holds the samples before the damage.
pub fn decode(
    encoding: Encoding,
    chunk: &[u8],
    mint: i64,
    maxt: i64,
    out: &mut SampleColumns,
) -> Result<(), ChunkError> {
    match encoding {
        Encoding::Xor => xor::decode(chunk, mint, maxt, out),
        Encoding::Xor2 => xor2::decode(chunk, mint, maxt, out),
        Encoding::Histogram => histogram::decode(HistogramReader::new(chunk)?, mint, maxt, out),
        Encoding::FloatHistogram => {
            histogram::decode(FloatHistogramReader::new(chunk)?, mint, maxt, out)
        }
        Encoding::HistogramSt => {
            histogram::decode(HistogramReader::with_starts(chunk)?, mint, maxt, out)
        }
        Encoding::FloatHistogramSt => {
            histogram::decode(FloatHistogramReader::with_starts(chunk)?, mint, maxt, out)
        }
    }
}

/// Returns the first time that is wanted if everything up to the last sample in `out` is there already.
fn first_wanted(mint: i64, out: &SampleColumns) -> i64 {
    out.timestamps
        .last()
        .map_or(mint, |&last| mint.max(last.saturating_add(1)))
}

/// What the tests of several codecs need.
#[cfg(test)]
pub(crate) mod testing {
    use proptest::prelude::*;

    /// Samples of one series, ascending, at least one.
    pub(crate) fn float_samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
        let delta = prop_oneof![
            Just(1_000i64),
            1i64..20_000,
            1i64..2_000_000,
            1i64..i64::MAX / 1_000
        ];
        let value = prop_oneof![
            any::<f64>(),
            Just(model::stale_nan()),
            Just(0.0),
            (0i32..100).prop_map(f64::from),
            any::<u64>().prop_map(f64::from_bits)
        ];
        (any::<i32>(), prop::collection::vec((delta, value), 1..200)).prop_map(|(start, steps)| {
            let mut t = i64::from(start);
            steps
                .into_iter()
                .map(|(delta, value)| {
                    t += delta;
                    (t, value)
                })
                .collect()
        })
    }
}
