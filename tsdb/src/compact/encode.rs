//! Chunks decoded and encoded again: for what is deleted, what overlaps, and what is too small.

use std::iter::Peekable;

use model::storage::SampleColumns;

use super::source::SourceChunk;
use crate::chunk::xor::{self, XorWriter};
use crate::chunk::{ChunkError, Encoding};

/// A chunk that did not exist before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedChunk {
    /// Time of the first sample, milliseconds since the epoch.
    pub mint: i64,
    /// Time of the last sample.
    pub maxt: i64,
    /// How to decode it.
    pub encoding: Encoding,
    /// The encoded samples.
    pub bytes: Vec<u8>,
}

impl EncodedChunk {
    /// Returns the chunk as a source gives it.
    pub fn as_source(&self) -> SourceChunk<'_> {
        SourceChunk {
            mint: self.mint,
            maxt: self.maxt,
            encoding: self.encoding,
            bytes: &self.bytes,
        }
    }
}

/// How large chunks may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkLimits {
    /// Samples at most.
    pub samples: u16,
    /// A chunk of so many bytes takes no more samples.
    pub bytes: usize,
}

impl ChunkLimits {
    /// What Prometheus writes.
    pub const SMALL: ChunkLimits = ChunkLimits {
        samples: 120,
        bytes: 1024,
    };
    /// What is read in long runs: fewer chunk headers, and timestamps that cost a bit each. Prometheus reads it as well.
    pub const LARGE: ChunkLimits = ChunkLimits {
        samples: 960,
        bytes: 1024,
    };
}

/// Returns the samples of a chunk whose times `keep` says yes to, encoded again; no chunk when there is none.
///
/// # Errors
///
/// When the chunk cannot be decoded.
pub fn retain(
    chunk: SourceChunk<'_>,
    keep: impl Fn(i64) -> bool,
) -> Result<Vec<EncodedChunk>, ChunkError> {
    let limits = ChunkLimits {
        samples: u16::MAX,
        bytes: usize::MAX,
    };
    let samples = decode(chunk)?;
    Ok(encode(samples.filter(|&(t, _)| keep(t)), limits))
}

/// Returns all samples of chunks that may overlap, in order of time; of several at one time, that of the chunk that comes
/// first in the list.
///
/// # Errors
///
/// When a chunk cannot be decoded.
pub fn merge(
    chunks: &[SourceChunk<'_>],
    limits: ChunkLimits,
) -> Result<Vec<EncodedChunk>, ChunkError> {
    let streams = chunks
        .iter()
        .map(|&chunk| decode(chunk).map(Iterator::peekable))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(encode(Merged { streams }, limits))
}

/// Returns all samples of chunks that follow each other as one chunk.
///
/// # Errors
///
/// When a chunk cannot be decoded.
pub fn concatenate(chunks: &[SourceChunk<'_>]) -> Result<Vec<EncodedChunk>, ChunkError> {
    let mut columns = SampleColumns::default();
    for chunk in chunks {
        check_float(chunk)?;
        crate::chunk::decode(
            chunk.encoding,
            chunk.bytes,
            i64::MIN,
            i64::MAX,
            &mut columns,
        )?;
    }
    let limits = ChunkLimits {
        samples: u16::MAX,
        bytes: usize::MAX,
    };
    Ok(encode(
        columns.timestamps.into_iter().zip(columns.floats),
        limits,
    ))
}

/// Returns how many samples a chunk says it has.
///
/// # Errors
///
/// [`ChunkError::Truncated`] when there is no room for the count.
pub fn count(chunk: SourceChunk<'_>) -> Result<u16, ChunkError> {
    // The count comes first in every encoding.
    xor::count(chunk.bytes)
}

fn check_float(chunk: &SourceChunk<'_>) -> Result<(), ChunkError> {
    // Histograms wait for a codec that gives back what was ingested.
    if chunk.encoding.is_float() {
        Ok(())
    } else {
        Err(ChunkError::Invalid)
    }
}

fn decode(chunk: SourceChunk<'_>) -> Result<impl Iterator<Item = (i64, f64)>, ChunkError> {
    check_float(&chunk)?;
    let mut columns = SampleColumns::default();
    crate::chunk::decode(
        chunk.encoding,
        chunk.bytes,
        i64::MIN,
        i64::MAX,
        &mut columns,
    )?;
    Ok(columns.timestamps.into_iter().zip(columns.floats))
}

fn encode(samples: impl Iterator<Item = (i64, f64)>, limits: ChunkLimits) -> Vec<EncodedChunk> {
    let mut chunks: Vec<EncodedChunk> = Vec::new();
    let mut writer = XorWriter::new();
    let mut mint = 0;
    let finish = |writer: &mut XorWriter, mint| {
        let chunk = EncodedChunk {
            mint,
            maxt: writer.last_t(),
            encoding: Encoding::Xor,
            bytes: writer.bytes().to_vec(),
        };
        writer.clear();
        chunk
    };
    for (t, value) in samples {
        if limits.samples <= writer.count() || limits.bytes <= writer.bytes().len() {
            chunks.push(finish(&mut writer, mint));
        }
        if writer.count() == 0 {
            mint = t;
        }
        writer.append(t, value);
    }
    if 0 < writer.count() {
        chunks.push(finish(&mut writer, mint));
    }
    chunks
}

/// Several streams of ascending samples as one.
struct Merged<I: Iterator<Item = (i64, f64)>> {
    streams: Vec<Peekable<I>>,
}

impl<I: Iterator<Item = (i64, f64)>> Iterator for Merged<I> {
    type Item = (i64, f64);

    fn next(&mut self) -> Option<(i64, f64)> {
        let t = self
            .streams
            .iter_mut()
            .filter_map(|s| s.peek())
            .map(|s| s.0)
            .min()?;
        let mut found = None;
        for stream in &mut self.streams {
            let sample = stream.next_if(|sample| sample.0 == t);
            found = found.or(sample);
        }
        found
    }
}

/// Where a histogram chunk says whether its counters were reset before it.
const FLAGS_AT: usize = 2;
const FLAGS: u8 = 0b1100_0000;
const FLAGS_GAUGE: u8 = 0b1100_0000;

/// Returns the chunk with the note taken out that says whether counters were reset before it; `None` when there is no
/// such note.
pub fn with_unknown_reset(chunk: SourceChunk<'_>) -> Option<EncodedChunk> {
    let flags = chunk.bytes.get(FLAGS_AT)? & FLAGS;
    if chunk.encoding.is_float() || flags == FLAGS_GAUGE || flags == 0 {
        return None;
    }
    let mut bytes = chunk.bytes.to_vec();
    bytes[FLAGS_AT] &= !FLAGS;
    Some(EncodedChunk {
        mint: chunk.mint,
        maxt: chunk.maxt,
        encoding: chunk.encoding,
        bytes,
    })
}
