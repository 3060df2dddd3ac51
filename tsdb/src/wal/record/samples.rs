//! Records of float samples, and how the items of other records say whose they are and when.

use super::{Fields, RecordError, RecordKind};
use crate::varint::encode_varint;

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

/// Appends a record of `samples`; nothing if there is none.
pub fn encode_samples(out: &mut Vec<u8>, samples: impl IntoIterator<Item = RecordSample>) {
    let mut base = None;
    for sample in samples {
        let base = *base.get_or_insert_with(|| {
            let base = Base::of(sample.id, sample.t);
            base.encode(out, RecordKind::Samples);
            base
        });
        base.encode_item(out, sample.id, sample.t);
        out.extend_from_slice(&sample.value.to_bits().to_be_bytes());
    }
}

/// Calls `visit` with each sample of a record, of either version; start timestamps are skipped.
///
/// # Errors
///
/// When the bytes are no samples record.
pub fn decode_samples(
    record: &[u8],
    mut visit: impl FnMut(RecordSample),
) -> Result<(), RecordError> {
    decode_items(Fields::new("samples", record), record, |fields, id, t| {
        let value = fields.f64("cut-off value")?;
        visit(RecordSample { id, t, value });
        Ok(())
    })
}

/// What ids and times of a record are differences to: those of its first item.
#[derive(Clone, Copy)]
pub(super) struct Base {
    id: u64,
    t: i64,
}

impl Base {
    pub(super) fn of(id: u64, t: i64) -> Self {
        Base { id, t }
    }

    /// Starts a record.
    pub(super) fn encode(self, out: &mut Vec<u8>, kind: RecordKind) {
        out.push(kind.as_byte());
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&self.t.to_be_bytes());
    }

    /// Starts an item.
    pub(super) fn encode_item(self, out: &mut Vec<u8>, id: u64, t: i64) {
        encode_varint(out, id.wrapping_sub(self.id).cast_signed());
        encode_varint(out, t.wrapping_sub(self.t));
    }
}

/// Calls `decode` with the id and time of each item, to take the rest of it.
pub(super) fn decode_items<'a>(
    mut fields: Fields<'a>,
    record: &[u8],
    decode: impl FnMut(&mut Fields<'a>, u64, i64) -> Result<(), RecordError>,
) -> Result<(), RecordError> {
    if fields.is_empty() {
        return Ok(());
    }
    match super::kind(record) {
        RecordKind::SamplesV2 | RecordKind::HistogramsV2 | RecordKind::FloatHistogramsV2 => {
            decode_items_v2(&mut fields, decode)
        }
        _ => decode_items_v1(&mut fields, decode),
    }
}

fn decode_items_v1<'a>(
    fields: &mut Fields<'a>,
    mut decode: impl FnMut(&mut Fields<'a>, u64, i64) -> Result<(), RecordError>,
) -> Result<(), RecordError> {
    let first_id = fields.u64("cut-off reference")?;
    let first_t = fields.u64("cut-off timestamp")?.cast_signed();
    while !fields.is_empty() {
        let id_delta = fields.varint("bad reference")?;
        let t_delta = fields.varint("bad timestamp")?;
        let id = first_id.wrapping_add(id_delta.cast_unsigned());
        decode(fields, id, first_t.wrapping_add(t_delta))?;
    }
    Ok(())
}

/// The second version: `varint ref │ varint t │ varint start │ item`, then
/// `(varint ref - the one before │ varint t - first │ u8 marker │ varint start, after marker 2 │ item)*`.
fn decode_items_v2<'a>(
    fields: &mut Fields<'a>,
    mut decode: impl FnMut(&mut Fields<'a>, u64, i64) -> Result<(), RecordError>,
) -> Result<(), RecordError> {
    /// No start timestamp, and the same as the item before.
    const SHORT_MARKERS: [u8; 2] = [0, 1];

    let mut id = fields.varint("bad reference")?.cast_unsigned();
    let first_t = fields.varint("bad timestamp")?;
    fields.varint("bad start timestamp")?;
    decode(fields, id, first_t)?;
    while !fields.is_empty() {
        let id_delta = fields.varint("bad reference")?;
        id = id.wrapping_add(id_delta.cast_unsigned());
        let t = first_t.wrapping_add(fields.varint("bad timestamp")?);
        if !SHORT_MARKERS.contains(&fields.byte("cut-off start timestamp")?) {
            fields.varint("bad start timestamp")?;
        }
        decode(fields, id, t)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
    }

    #[test]
    fn no_samples_are_no_record() {
        let mut out = Vec::new();
        encode_samples(&mut out, []);
        assert!(out.is_empty());
    }

    /// Refs 5, 4, 9 at 1,000, 990, 1,001; starts 900, none, the same, 901.
    #[test]
    fn start_timestamps_are_skipped() {
        let one = 1f64.to_bits().to_be_bytes();
        let record = [
            &[11, 10][..],
            &[0xd0, 0x0f, 0x88, 0x0e],
            &one,
            &[1, 19, 0],
            &one,
            &[10, 2, 1],
            &one,
            &[0, 2, 2, 2],
            &one,
        ]
        .concat();
        let mut seen = Vec::new();
        decode_samples(&record, |s| seen.push((s.id, s.t, s.value))).unwrap();
        assert_eq!(
            seen,
            [
                (5, 1_000, 1.0),
                (4, 990, 1.0),
                (9, 1_001, 1.0),
                (9, 1_001, 1.0)
            ]
        );
        assert!(decode_samples(&record[..record.len() - 9], |_| ()).is_err());
    }
}
