//! WAL records: series and samples as bytes.
//!
//! ```text
//! series:  1 │ (u64 ref │ uvarint labels │ (uvarint len │ name │ uvarint len │ value)*)*
//! samples: 2 │ u64 first ref │ i64 first t │ (varint ref - first │ varint t - first │ f64)*
//! ```
//!
//! Fixed-width numbers are big-endian. Source: Prometheus WAL record documentation; where it says `uvarint` for the
//! sample deltas, the bytes that Prometheus writes are zigzagged.

use crate::varint::{decode_uvarint, decode_varint, encode_uvarint, encode_varint};

/// What a record holds, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// Labels of series.
    Series,
    /// Float samples.
    Samples,
    /// Chunks that hold what was logged before.
    MmapMarkers,
    /// A kind that Prometheus has and this build does not read.
    Other(u8),
}

/// Most labels that a series record may claim, against corrupt counts.
const LABELS_MAX: u64 = 100_000;

/// Why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} in a {kind} record")]
pub struct RecordError {
    /// Which kind of record.
    pub kind: &'static str,
    /// What is wrong.
    pub what: &'static str,
}

/// A float sample in a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecordSample {
    /// The series' id in the log.
    pub id: u64,
    /// Milliseconds since the epoch.
    pub t: i64,
    /// The value.
    pub value: f64,
}

/// Returns the kind of `record`; an empty record is `Other(0)`.
pub fn kind(record: &[u8]) -> RecordKind {
    match record.first() {
        Some(1) => RecordKind::Series,
        Some(2) => RecordKind::Samples,
        Some(5) => RecordKind::MmapMarkers,
        other => RecordKind::Other(other.copied().unwrap_or(0)),
    }
}

/// Starts a record of series.
pub fn begin_series(out: &mut Vec<u8>) {
    out.push(1);
}

/// Adds a series to a record begun with [`begin_series`].
pub fn encode_series<'a>(
    out: &mut Vec<u8>,
    id: u64,
    labels: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
) {
    out.extend_from_slice(&id.to_be_bytes());
    encode_uvarint(out, labels.len() as u64);
    for (name, value) in labels {
        for text in [name, value] {
            encode_uvarint(out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// Calls `visit` with the id and labels of each series of a record.
///
/// # Errors
///
/// When the bytes are no series record; series before the damage have been visited.
pub fn decode_series<'a>(
    record: &'a [u8],
    mut visit: impl FnMut(u64, &[(&'a str, &'a str)]),
) -> Result<(), RecordError> {
    let error = |what| RecordError {
        kind: "series",
        what,
    };
    let mut rest = record.get(1..).unwrap_or_default();
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let (id, after) = rest
            .split_first_chunk::<8>()
            .ok_or(error("cut-off reference"))?;
        let (count, mut after) = decode_uvarint(after).ok_or(error("bad label count"))?;
        if LABELS_MAX < count {
            return Err(error("impossible label count"));
        }
        labels.clear();
        for _ in 0..count {
            let (name, next) = decode_text(after).ok_or(error("bad label name"))?;
            let (value, next) = decode_text(next).ok_or(error("bad label value"))?;
            labels.push((name, value));
            after = next;
        }
        visit(u64::from_be_bytes(*id), &labels);
        rest = after;
    }
    Ok(())
}

fn decode_text(src: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = decode_uvarint(src)?;
    let (text, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// Appends a record of `samples`, which must not be empty.
pub fn encode_samples(out: &mut Vec<u8>, samples: impl IntoIterator<Item = RecordSample>) {
    let mut samples = samples.into_iter().peekable();
    let Some(first) = samples.peek().copied() else {
        return;
    };
    out.push(2);
    out.extend_from_slice(&first.id.to_be_bytes());
    out.extend_from_slice(&first.t.to_be_bytes());
    for sample in samples {
        encode_varint(out, sample.id.wrapping_sub(first.id).cast_signed());
        encode_varint(out, sample.t.wrapping_sub(first.t));
        out.extend_from_slice(&sample.value.to_bits().to_be_bytes());
    }
}

/// Appends a record of series with chunks that hold what was logged of them so far.
pub fn encode_mmap_markers(out: &mut Vec<u8>, markers: impl IntoIterator<Item = (u64, u64)>) {
    out.push(5);
    for (series, chunk) in markers {
        out.extend_from_slice(&series.to_be_bytes());
        out.extend_from_slice(&chunk.to_be_bytes());
    }
}

/// Calls `visit` with series and chunk of each marker of a record.
///
/// # Errors
///
/// When the bytes are no record of markers; those before the damage have been visited.
pub fn decode_mmap_markers(
    record: &[u8],
    mut visit: impl FnMut(u64, u64),
) -> Result<(), RecordError> {
    let rest = record.get(1..).unwrap_or_default();
    let (pairs, left) = rest.as_chunks::<16>();
    for pair in pairs {
        let number = u128::from_be_bytes(*pair);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        visit((number >> 64) as u64, number as u64);
    }
    if left.is_empty() {
        Ok(())
    } else {
        Err(RecordError {
            kind: "mmap markers",
            what: "cut-off marker",
        })
    }
}

/// Calls `visit` with each sample of a record.
///
/// # Errors
///
/// When the bytes are no samples record; samples before the damage have been visited.
pub fn decode_samples(
    record: &[u8],
    mut visit: impl FnMut(RecordSample),
) -> Result<(), RecordError> {
    let error = |what| RecordError {
        kind: "samples",
        what,
    };
    let rest = record.get(1..).unwrap_or_default();
    if rest.is_empty() {
        return Ok(());
    }
    let (first_id, rest) = rest
        .split_first_chunk::<8>()
        .ok_or(error("cut-off reference"))?;
    let (first_t, mut rest) = rest
        .split_first_chunk::<8>()
        .ok_or(error("cut-off timestamp"))?;
    let (first_id, first_t) = (u64::from_be_bytes(*first_id), i64::from_be_bytes(*first_t));
    while !rest.is_empty() {
        let (id_delta, after) = decode_varint(rest).ok_or(error("bad reference"))?;
        let (t_delta, after) = decode_varint(after).ok_or(error("bad timestamp"))?;
        let (value, after) = after
            .split_first_chunk::<8>()
            .ok_or(error("cut-off value"))?;
        visit(RecordSample {
            id: first_id.wrapping_add(id_delta.cast_unsigned()),
            t: first_t.wrapping_add(t_delta),
            value: f64::from_bits(u64::from_be_bytes(*value)),
        });
        rest = after;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn series_read_back() {
        let mut out = Vec::new();
        begin_series(&mut out);
        encode_series(&mut out, 7, [("__name__", "up"), ("job", "a")].into_iter());
        encode_series(&mut out, 8, [].into_iter());
        let mut seen = Vec::new();
        decode_series(&out, |id, labels| seen.push((id, labels.to_vec()))).unwrap();
        assert_eq!(
            seen,
            [(7, vec![("__name__", "up"), ("job", "a")]), (8, vec![])]
        );
        assert!(decode_series(&out[..out.len() - 1], |_, _| ()).is_err());
    }

    #[test]
    fn samples_layout() {
        let mut out = Vec::new();
        encode_samples(
            &mut out,
            [
                RecordSample {
                    id: 3,
                    t: 10,
                    value: 1.0,
                },
                RecordSample {
                    id: 2,
                    t: 11,
                    value: 1.0,
                },
            ],
        );
        let expected = [
            &[2][..],
            &[0, 0, 0, 0, 0, 0, 0, 3],
            &[0, 0, 0, 0, 0, 0, 0, 10],
            &[0, 0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0],
            &[1, 2, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(out, expected);
    }

    proptest! {
        #[test]
        fn samples_read_back(samples in prop::collection::vec((any::<u64>(), any::<i64>(), any::<u64>()), 0..50)) {
            let samples: Vec<_> = samples.into_iter()
                .map(|(id, t, bits)| RecordSample { id, t, value: f64::from_bits(bits) }).collect();
            let mut out = Vec::new();
            encode_samples(&mut out, samples.iter().copied());
            let mut seen = Vec::new();
            decode_samples(&out, |sample| seen.push((sample.id, sample.t, sample.value.to_bits()))).unwrap();
            prop_assert_eq!(seen, samples.iter().map(|s| (s.id, s.t, s.value.to_bits())).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode_samples(&bytes, |_| ());
            let _ = decode_series(&bytes, |_, _| ());
        }
    }
}
