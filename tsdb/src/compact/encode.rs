//! Chunks decoded and encoded again: for what is deleted, what overlaps, and what is too small.

use std::iter::Peekable;

use model::histogram::ResetHint;
use model::storage::SampleColumns;

use super::source::SourceChunk;
use crate::chunk::histogram::{self, Appended};
use crate::chunk::xor::{self, XorWriter};
use crate::chunk::{ChunkError, ChunkSample, Encoding, OpenChunk, samples};

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

/// What was one chunk stays one, whatever its size.
const UNLIMITED: ChunkLimits = ChunkLimits {
    samples: u16::MAX,
    bytes: usize::MAX,
};
/// So many histograms are in a chunk at least, however large they are.
const HISTOGRAMS_MIN: u16 = 10;

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

    fn reached_by(self, chunk: &OpenChunk) -> bool {
        let few = !chunk.encoding().is_float() && chunk.count() < HISTOGRAMS_MIN;
        self.samples <= chunk.count() || (self.bytes <= chunk.bytes().len() && !few)
    }
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
    let all = samples(chunk.encoding, chunk.bytes).with_starts();
    let kept = all.filter(|sample| sample.as_ref().map_or(true, |(_, s)| keep(s.t())));
    encode(kept, &[chunk], UNLIMITED)
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
    let streams = chunks.iter().map(|c| samples(c.encoding, c.bytes));
    let merged = Merged {
        streams: streams.map(|s| s.with_starts().peekable()).collect(),
        last: None,
    };
    encode(merged, chunks, limits)
}

/// Returns all samples of chunks in the XOR encoding that follow each other, as one chunk.
///
/// # Errors
///
/// When a chunk cannot be decoded.
pub fn concatenate(chunks: &[SourceChunk<'_>]) -> Result<Option<EncodedChunk>, ChunkError> {
    let mut columns = SampleColumns::default();
    for chunk in chunks {
        xor::decode(chunk.bytes, i64::MIN, i64::MAX, &mut columns)?;
    }
    let (Some(&mint), Some(&maxt)) = (columns.timestamps.first(), columns.timestamps.last()) else {
        return Ok(None);
    };
    let mut writer = XorWriter::new();
    for (&t, &value) in columns.timestamps.iter().zip(&columns.floats) {
        writer.append(t, value);
    }
    Ok(Some(EncodedChunk {
        mint,
        maxt,
        encoding: Encoding::Xor,
        bytes: writer.bytes().to_vec(),
    }))
}

/// Returns how many samples a chunk says it has.
///
/// # Errors
///
/// [`ChunkError::Truncated`] when there is no room for the count.
pub fn count(chunk: SourceChunk<'_>) -> Result<u16, ChunkError> {
    chunk.encoding.count(chunk.bytes)
}

/// Returns samples, each with its start timestamp, as chunks. Start timestamps have a place in them if they have one in a
/// chunk of `sources`, which the samples come from.
fn encode(
    samples: impl Iterator<Item = Result<(i64, ChunkSample), ChunkError>>,
    sources: &[SourceChunk<'_>],
    limits: ChunkLimits,
) -> Result<Vec<EncodedChunk>, ChunkError> {
    let mut chunks = Vec::new();
    let mut open: Option<(i64, OpenChunk)> = None;
    for sample in samples {
        let (start, sample) = sample?;
        let encoding = encoding_of(&sample, sources);
        let (mint, chunk) = open.get_or_insert_with(|| (sample.t(), OpenChunk::new(encoding)));
        let cut = if limits.reached_by(chunk) {
            Appended::Cut(chunk.header_after(&sample))
        } else {
            chunk.append_since(start, &sample)
        };
        if let Appended::Cut(header) = cut {
            chunks.push(finished(*mint, chunk));
            *mint = sample.t();
            chunk.restart(encoding, header);
            chunk.append_since(start, &sample);
        }
    }
    chunks.extend(open.map(|(mint, chunk)| finished(mint, &chunk)));
    Ok(chunks)
}

/// Returns the encoding for a sample: with a place for start timestamps if a chunk of its kind has one.
fn encoding_of(sample: &ChunkSample, sources: &[SourceChunk<'_>]) -> Encoding {
    let (plain, with_starts) = match sample {
        ChunkSample::Float(..) => (Encoding::Xor, Encoding::Xor2),
        ChunkSample::Histogram(..) => (Encoding::Histogram, Encoding::HistogramSt),
        ChunkSample::FloatHistogram(..) => (Encoding::FloatHistogram, Encoding::FloatHistogramSt),
    };
    match sources.iter().any(|chunk| chunk.encoding == with_starts) {
        true => with_starts,
        false => plain,
    }
}

fn finished(mint: i64, chunk: &OpenChunk) -> EncodedChunk {
    EncodedChunk {
        mint,
        maxt: chunk.last_t(),
        encoding: chunk.encoding(),
        bytes: chunk.bytes().to_vec(),
    }
}

/// Several streams of ascending samples as one.
struct Merged<S: Iterator> {
    streams: Vec<Peekable<S>>,
    /// Which stream the last sample came from.
    last: Option<usize>,
}

impl<S: Iterator<Item = Result<(i64, ChunkSample), ChunkError>>> Iterator for Merged<S> {
    type Item = Result<(i64, ChunkSample), ChunkError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut least = None;
        for stream in &mut self.streams {
            match stream.peek() {
                Some(Ok((_, sample))) => {
                    least = Some(least.map_or(sample.t(), |t: i64| t.min(sample.t())))
                }
                Some(Err(error)) => return Some(Err(*error)),
                None => {}
            }
        }
        let t = least?;
        let mut found = None;
        for (i, stream) in self.streams.iter_mut().enumerate() {
            let sample = stream.next_if(|sample| sample.as_ref().is_ok_and(|(_, s)| s.t() == t));
            found = found.or(sample.map(|sample| (i, sample)));
        }
        let (from, mut sample) = found?;
        if self.last != Some(from)
            && let Ok((_, sample)) = &mut sample
        {
            forget_reset(sample);
        }
        self.last = Some(from);
        Some(sample)
    }
}

/// A hint speaks of the sample before it in the same stream; after one of another it says nothing.
fn forget_reset(sample: &mut ChunkSample) {
    let hint = match sample {
        ChunkSample::Float(..) => return,
        ChunkSample::Histogram(_, histogram) => &mut histogram.reset_hint,
        ChunkSample::FloatHistogram(_, histogram) => &mut histogram.reset_hint,
    };
    if *hint != ResetHint::Gauge {
        *hint = ResetHint::Unknown;
    }
}

const RESET_BITS: u8 = 0b1100_0000;
const RESET_GAUGE: u8 = 0b1100_0000;

/// Returns the chunk with the note taken out that says whether counters were reset before it; `None` when there is no
/// such note.
pub fn with_unknown_reset(chunk: SourceChunk<'_>) -> Option<EncodedChunk> {
    let at = histogram::header_at(chunk.encoding)?;
    let bits = chunk.bytes.get(at)? & RESET_BITS;
    if bits == RESET_GAUGE || bits == 0 {
        return None;
    }
    let mut bytes = chunk.bytes.to_vec();
    bytes[at] &= !RESET_BITS;
    Some(EncodedChunk {
        mint: chunk.mint,
        maxt: chunk.maxt,
        encoding: chunk.encoding,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::histogram::Histogram;

    /// A counter in the zero bucket.
    fn histogram(count: u64, reset_hint: ResetHint) -> Histogram {
        Histogram {
            reset_hint,
            count,
            zero_count: count,
            sum: 1.0,
            ..Histogram::default()
        }
    }

    fn chunks(counts: &[(i64, u64)]) -> Vec<EncodedChunk> {
        let sample = |&(t, count): &(i64, u64)| {
            let histogram = histogram(count, ResetHint::Unknown);
            Ok((0, ChunkSample::Histogram(t, histogram)))
        };
        encode(counts.iter().map(sample), &[], UNLIMITED).unwrap()
    }

    fn counts(chunk: &EncodedChunk) -> (ResetHint, Vec<(i64, u64)>) {
        let header = crate::chunk::histogram::header(chunk.encoding, &chunk.bytes).unwrap();
        let samples = samples(chunk.encoding, &chunk.bytes).map(|sample| match sample.unwrap() {
            ChunkSample::Histogram(t, histogram) => (t, histogram.count),
            other => panic!("{other:?}"),
        });
        (header, samples.collect())
    }

    #[test]
    fn histograms_merge_and_resets_are_found_again() {
        let (a, b) = (
            chunks(&[(10, 5), (30, 7)]),
            chunks(&[(20, 6), (30, 100), (40, 3)]),
        );
        // A reset begins a chunk.
        assert_eq!((a.len(), b.len()), (1, 2));
        let all: Vec<SourceChunk<'_>> = a.iter().chain(&b).map(EncodedChunk::as_source).collect();
        let merged = merge(&all, ChunkLimits::SMALL).unwrap();
        let found: Vec<_> = merged.iter().map(counts).collect();
        let expected = [
            (ResetHint::Unknown, vec![(10, 5), (20, 6), (30, 7)]),
            (ResetHint::CounterReset, vec![(40, 3)]),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn floats_and_histograms_go_into_chunks_of_their_own() {
        let histograms = chunks(&[(10, 5), (30, 7)]);
        let float = ChunkSample::Float(20, 1.5);
        let floats = encode([Ok((0, float.clone()))].into_iter(), &[], UNLIMITED).unwrap();
        let all = [histograms[0].as_source(), floats[0].as_source()];
        let merged = merge(&all, ChunkLimits::SMALL).unwrap();
        let encodings: Vec<Encoding> = merged.iter().map(|chunk| chunk.encoding).collect();
        assert_eq!(
            encodings,
            [Encoding::Histogram, Encoding::Xor, Encoding::Histogram]
        );
        let times: Vec<(i64, i64)> = merged
            .iter()
            .map(|chunk| (chunk.mint, chunk.maxt))
            .collect();
        assert_eq!(times, [(10, 10), (20, 20), (30, 30)]);
    }

    #[test]
    fn start_timestamps_stay_with_their_samples() {
        let with_starts = |samples: &[(i64, i64)]| {
            let mut chunk = OpenChunk::new(Encoding::Xor2);
            for &(start, t) in samples {
                chunk.append_since(start, &ChunkSample::Float(t, 1.0));
            }
            finished(samples[0].1, &chunk)
        };
        let starts = |chunks: &[EncodedChunk]| {
            let all = chunks
                .iter()
                .flat_map(|c| samples(c.encoding, &c.bytes).with_starts());
            all.map(|sample| sample.map(|(start, s)| (start, s.t())).unwrap())
                .collect::<Vec<_>>()
        };
        let a = with_starts(&[(5, 10), (5, 20), (25, 30)]);
        let b = with_starts(&[(7, 15), (0, 25), (26, 30)]);
        let mut plain = OpenChunk::new(Encoding::Xor);
        plain.append(&ChunkSample::Float(28, 1.0));
        let plain = finished(28, &plain);
        let all = [a.as_source(), b.as_source(), plain.as_source()];
        let merged = merge(&all, ChunkLimits::LARGE).unwrap();
        let expected = [(5, 10), (7, 15), (5, 20), (0, 25), (0, 28), (25, 30)];
        assert_eq!(starts(&merged), expected);
        assert_eq!(merged.len(), 1);
        let left = retain(a.as_source(), |t| t != 10).unwrap();
        assert_eq!(starts(&left), [(5, 20), (25, 30)]);
    }

    /// A start timestamp that comes too late for its chunk begins another.
    #[test]
    fn late_start_timestamps_begin_a_chunk() {
        let samples_of = (0..200).map(|t| (if t < 150 { 0 } else { 9 }, t));
        let items = samples_of.map(|(start, t)| Ok((start, ChunkSample::Float(t, 1.0))));
        let mut source = OpenChunk::new(Encoding::Xor2);
        source.append(&ChunkSample::Float(0, 1.0));
        let source = finished(0, &source);
        let chunks = encode(items, &[source.as_source()], UNLIMITED).unwrap();
        let bounds: Vec<_> = chunks.iter().map(|c| (c.mint, c.maxt)).collect();
        assert_eq!(bounds, [(0, 149), (150, 199)]);
    }

    #[test]
    fn what_is_retained_is_as_it_was() {
        let whole = chunks(&[(10, 5), (20, 6), (30, 7)]);
        let left = retain(whole[0].as_source(), |t| t != 20).unwrap();
        assert_eq!(
            left.iter().map(counts).collect::<Vec<_>>(),
            [(ResetHint::Unknown, vec![(10, 5), (30, 7)])]
        );
        assert_eq!(retain(whole[0].as_source(), |_| false).unwrap(), []);
        let torn = SourceChunk {
            bytes: &whole[0].bytes[..5],
            ..whole[0].as_source()
        };
        assert!(
            retain(torn, |_| true).is_err() && merge(&[torn, torn], ChunkLimits::SMALL).is_err()
        );
    }

    #[test]
    fn chunks_are_cut_at_the_limits() {
        let counts: Vec<(i64, u64)> = (0..300u16).map(|t| (i64::from(t), u64::from(t))).collect();
        let all = chunks(&counts);
        let merged = merge(&[all[0].as_source()], ChunkLimits::SMALL).unwrap();
        let sizes: Vec<u16> = merged
            .iter()
            .map(|chunk| count(chunk.as_source()).unwrap())
            .collect();
        assert_eq!(sizes, [120, 120, 60]);
        let header = |chunk: &EncodedChunk| {
            crate::chunk::histogram::header(chunk.encoding, &chunk.bytes).unwrap()
        };
        assert_eq!(
            merged[1..].iter().map(header).collect::<Vec<_>>(),
            [ResetHint::NotCounterReset; 2]
        );
    }
}
