//! WAL records: what was appended, as bytes.
//!
//! ```text
//! series:     1 │ (u64 ref │ labels)*
//! samples:    2 │ u64 first ref │ i64 first t │ (varint ref - first │ varint t - first │ f64)*
//! tombstones: 3 │ (u64 ref │ varint mint │ varint maxt)*
//! exemplars:  4 │ as samples, each followed by labels
//! markers:    5 │ (u64 ref │ u64 chunk ref)*
//! metadata:   6 │ (uvarint ref │ u8 type │ uvarint fields │ (text name │ text value)*)*
//! histograms: 7, 8, 9, 10 │ as samples, with a histogram in place of the value
//! v2:         11, 12, 13 │ samples and histograms with start timestamps, see `samples`
//! labels: uvarint count │ (text name │ text value)*        text: uvarint len │ UTF-8
//! ```
//!
//! Fixed-width numbers are big-endian. Source: Prometheus WAL record documentation; where it says `uvarint` for the
//! sample deltas, the bytes that Prometheus writes are zigzagged.
//!
//! A decoder calls its visitor for each item, borrows text from the record, and takes no more memory than the record's
//! length allows. Items before damage have been visited when it returns an error.

mod exemplars;
mod histograms;
mod metadata;
mod samples;
mod series;
mod tombstones;

pub use exemplars::{RecordExemplar, decode_exemplars, encode_exemplars};
pub use histograms::{
    RecordBuckets, RecordHistogram, decode_float_histograms, decode_histograms,
    encode_float_histograms, encode_float_histograms_since, encode_histograms,
    encode_histograms_since,
};
pub use metadata::{RecordMetadata, decode_metadata, encode_metadata};
pub use samples::{
    RecordSample, decode_samples, decode_samples_since, encode_samples, encode_samples_since,
};
pub use series::{begin_series, decode_series, encode_series};
pub use tombstones::{
    MapMarker, RecordTombstone, decode_markers, decode_tombstones, encode_markers,
    encode_tombstones,
};

use crate::varint::{decode_uvarint, decode_varint, encode_uvarint};

/// What a record holds, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// Labels of series.
    Series,
    /// Float samples.
    Samples,
    /// Deleted intervals.
    Tombstones,
    /// Exemplars.
    Exemplars,
    /// In the log of late samples: what is before is in a chunk on disk.
    MapMarkers,
    /// Type, unit and help of metrics.
    Metadata,
    /// Native histograms with integer counts and exponential buckets.
    Histograms,
    /// Native histograms with float counts and exponential buckets.
    FloatHistograms,
    /// Native histograms with integer counts and custom buckets.
    CustomHistograms,
    /// Native histograms with float counts and custom buckets.
    CustomFloatHistograms,
    /// Float samples with start timestamps.
    SamplesV2,
    /// Native histograms with integer counts and start timestamps, and buckets of any kind.
    HistogramsV2,
    /// Native histograms with float counts and start timestamps, and buckets of any kind.
    FloatHistogramsV2,
    /// A kind that this build does not know.
    Other(u8),
}

impl RecordKind {
    const KNOWN: [RecordKind; 13] = [
        RecordKind::Series,
        RecordKind::Samples,
        RecordKind::Tombstones,
        RecordKind::Exemplars,
        RecordKind::MapMarkers,
        RecordKind::Metadata,
        RecordKind::Histograms,
        RecordKind::FloatHistograms,
        RecordKind::CustomHistograms,
        RecordKind::CustomFloatHistograms,
        RecordKind::SamplesV2,
        RecordKind::HistogramsV2,
        RecordKind::FloatHistogramsV2,
    ];

    /// Returns the first byte of a record of this kind.
    pub fn as_byte(self) -> u8 {
        match self {
            RecordKind::Other(byte) => byte,
            known => (1..)
                .zip(Self::KNOWN)
                .find_map(|(byte, kind)| (kind == known).then_some(byte))
                .expect("every kind but Other is in the list"),
        }
    }
}

/// Why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} in a {kind} record")]
pub struct RecordError {
    /// Which kind of record.
    pub kind: &'static str,
    /// What is wrong.
    pub what: &'static str,
}

/// Returns the kind of `record`; an empty record is `Other(0)`.
pub fn kind(record: &[u8]) -> RecordKind {
    let byte = record.first().copied().unwrap_or(0);
    let known = usize::from(byte).checked_sub(1);
    known
        .and_then(|index| RecordKind::KNOWN.get(index).copied())
        .unwrap_or(RecordKind::Other(byte))
}

/// Most labels that one item may claim, against corrupt counts.
const LABELS_MAX: u64 = 100_000;

/// Takes a record apart, field by field, from the byte after the kind.
#[derive(Clone, Copy)]
struct Fields<'a> {
    rest: &'a [u8],
    kind: &'static str,
}

impl<'a> Fields<'a> {
    fn new(kind: &'static str, record: &'a [u8]) -> Self {
        Fields {
            rest: record.get(1..).unwrap_or_default(),
            kind,
        }
    }

    fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn error(&self, what: &'static str) -> RecordError {
        RecordError {
            kind: self.kind,
            what,
        }
    }

    /// Takes what `decode` finds at the front; `what` is the error otherwise.
    fn take<T>(
        &mut self,
        what: &'static str,
        decode: impl FnOnce(&'a [u8]) -> Option<(T, &'a [u8])>,
    ) -> Result<T, RecordError> {
        let (value, rest) = decode(self.rest).ok_or(self.error(what))?;
        self.rest = rest;
        Ok(value)
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, RecordError> {
        self.take(what, |src| {
            src.split_first().map(|(&byte, rest)| (byte, rest))
        })
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, RecordError> {
        self.take(what, |src| {
            let (bytes, rest) = src.split_first_chunk::<8>()?;
            Some((u64::from_be_bytes(*bytes), rest))
        })
    }

    fn f64(&mut self, what: &'static str) -> Result<f64, RecordError> {
        self.u64(what).map(f64::from_bits)
    }

    fn uvarint(&mut self, what: &'static str) -> Result<u64, RecordError> {
        self.take(what, decode_uvarint)
    }

    fn varint(&mut self, what: &'static str) -> Result<i64, RecordError> {
        self.take(what, decode_varint)
    }

    fn text(&mut self, what: &'static str) -> Result<&'a str, RecordError> {
        self.take(what, decode_text)
    }

    /// Takes how many things follow, of at least `bytes_each` bytes.
    fn count(&mut self, what: &'static str, bytes_each: usize) -> Result<usize, RecordError> {
        let count = self.uvarint(what)?;
        usize::try_from(count)
            .ok()
            .filter(|&count| count <= self.rest.len() / bytes_each)
            .ok_or(self.error(what))
    }

    /// Takes labels into `labels`, which is cleared first.
    fn labels(&mut self, labels: &mut Vec<(&'a str, &'a str)>) -> Result<(), RecordError> {
        labels.clear();
        let count = self.uvarint("bad label count")?;
        if LABELS_MAX < count {
            return Err(self.error("impossible label count"));
        }
        for _ in 0..count {
            labels.push((self.text("bad label name")?, self.text("bad label value")?));
        }
        Ok(())
    }
}

fn decode_text(src: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = decode_uvarint(src)?;
    let (text, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

fn encode_text(out: &mut Vec<u8>, text: &str) {
    encode_uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn encode_labels<'a>(out: &mut Vec<u8>, labels: impl ExactSizeIterator<Item = (&'a str, &'a str)>) {
    encode_uvarint(out, labels.len() as u64);
    for (name, value) in labels {
        encode_text(out, name);
        encode_text(out, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kinds_are_numbered_from_one() {
        for byte in 0..=255 {
            assert_eq!(kind(&[byte]).as_byte(), byte);
        }
        assert_eq!(kind(&[]), RecordKind::Other(0));
        assert_eq!(kind(&[6, 1]), RecordKind::Metadata);
        assert_eq!(kind(&[13]), RecordKind::FloatHistogramsV2);
        assert_eq!(kind(&[14]), RecordKind::Other(14));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_without_panic(mut bytes in prop::collection::vec(any::<u8>(), 1..100)) {
            for kind in RecordKind::KNOWN {
                bytes[0] = kind.as_byte();
                let _ = decode_samples(&bytes, |_| ());
                let _ = decode_series(&bytes, |_, _| ());
                let _ = decode_tombstones(&bytes, |_| ());
                let _ = decode_markers(&bytes, |_| ());
                let _ = decode_exemplars(&bytes, |_, _| ());
                let _ = decode_metadata(&bytes, |_| ());
                let _ = decode_histograms(&bytes, |_| ());
                let _ = decode_float_histograms(&bytes, |_| ());
            }
        }
    }
}
