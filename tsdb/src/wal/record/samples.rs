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

/// Appends a record of `samples`, each with its start timestamp (milliseconds since the epoch, 0 if it is unknown);
/// nothing if there is none. Without a start timestamp it is as [`encode_samples`] makes it.
pub fn encode_samples_since<I>(out: &mut Vec<u8>, samples: I)
where
    I: IntoIterator<Item = (i64, RecordSample)>,
    I::IntoIter: Clone,
{
    let samples = samples.into_iter();
    if samples.clone().all(|(start, _)| start == 0) {
        return encode_samples(out, samples.map(|(_, sample)| sample));
    }
    let mut items = ItemsV2::new(RecordKind::SamplesV2);
    for (start, sample) in samples {
        let (id, t) = (sample.id, sample.t);
        items.encode_item(out, Item { id, t, start });
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
    decode_samples_since(record, |_, sample| visit(sample))
}

/// Calls `visit` with each sample of a record, of either version, and its start timestamp before it: milliseconds since
/// the epoch, 0 if it is unknown.
///
/// # Errors
///
/// When the bytes are no samples record.
pub fn decode_samples_since(
    record: &[u8],
    mut visit: impl FnMut(i64, RecordSample),
) -> Result<(), RecordError> {
    decode_items(Fields::new("samples", record), record, |fields, item| {
        let value = fields.f64("cut-off value")?;
        let Item { id, t, start } = item;
        visit(start, RecordSample { id, t, value });
        Ok(())
    })
}

/// Whose an item of a record is, and when.
#[derive(Clone, Copy)]
pub(super) struct Item {
    /// The series' id in the log.
    pub(super) id: u64,
    /// Milliseconds since the epoch.
    pub(super) t: i64,
    /// Since when its counter counts: milliseconds since the epoch, 0 if that is unknown.
    pub(super) start: i64,
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
    decode: impl FnMut(&mut Fields<'a>, Item) -> Result<(), RecordError>,
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
    mut decode: impl FnMut(&mut Fields<'a>, Item) -> Result<(), RecordError>,
) -> Result<(), RecordError> {
    let first_id = fields.u64("cut-off reference")?;
    let first_t = fields.u64("cut-off timestamp")?.cast_signed();
    while !fields.is_empty() {
        let id_delta = fields.varint("bad reference")?;
        let t_delta = fields.varint("bad timestamp")?;
        let id = first_id.wrapping_add(id_delta.cast_unsigned());
        let t = first_t.wrapping_add(t_delta);
        decode(fields, Item { id, t, start: 0 })?;
    }
    Ok(())
}

/// There is no start timestamp.
const START_UNKNOWN: u8 = 0;
/// It is that of the item before.
const START_SAME: u8 = 1;
/// It follows, less that of the first item.
const START_FOLLOWS: u8 = 2;

/// The second version: `varint ref │ varint t │ varint start │ item`, then
/// `(varint ref - the one before │ varint t - first │ u8 marker │ varint start - first, after marker 2 │ item)*`.
fn decode_items_v2<'a>(
    fields: &mut Fields<'a>,
    mut decode: impl FnMut(&mut Fields<'a>, Item) -> Result<(), RecordError>,
) -> Result<(), RecordError> {
    let first = Item {
        id: fields.varint("bad reference")?.cast_unsigned(),
        t: fields.varint("bad timestamp")?,
        start: fields.varint("bad start timestamp")?,
    };
    decode(fields, first)?;
    let mut item = first;
    while !fields.is_empty() {
        let id_delta = fields.varint("bad reference")?;
        item.id = item.id.wrapping_add(id_delta.cast_unsigned());
        item.t = first.t.wrapping_add(fields.varint("bad timestamp")?);
        item.start = match fields.byte("cut-off start timestamp")? {
            START_UNKNOWN => 0,
            START_SAME => item.start,
            _ => first
                .start
                .wrapping_add(fields.varint("bad start timestamp")?),
        };
        decode(fields, item)?;
    }
    Ok(())
}

/// Writes what precedes the items of a record of the second version.
pub(super) struct ItemsV2 {
    kind: RecordKind,
    first: Option<Item>,
    last: Item,
}

impl ItemsV2 {
    /// Returns what writes items of a record of this kind; the record begins with the first.
    pub(super) fn new(kind: RecordKind) -> Self {
        ItemsV2 {
            kind,
            first: None,
            last: Item {
                id: 0,
                t: 0,
                start: 0,
            },
        }
    }

    /// Starts an item.
    pub(super) fn encode_item(&mut self, out: &mut Vec<u8>, item: Item) {
        match self.first {
            None => {
                out.push(self.kind.as_byte());
                encode_varint(out, item.id.cast_signed());
                encode_varint(out, item.t);
                encode_varint(out, item.start);
                self.first = Some(item);
            }
            Some(first) => {
                encode_varint(out, item.id.wrapping_sub(self.last.id).cast_signed());
                encode_varint(out, item.t.wrapping_sub(first.t));
                if item.start == 0 {
                    out.push(START_UNKNOWN);
                } else if item.start == self.last.start {
                    out.push(START_SAME);
                } else {
                    out.push(START_FOLLOWS);
                    encode_varint(out, item.start.wrapping_sub(first.start));
                }
            }
        }
        self.last = item;
    }
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
    fn the_second_version_is_as_documented() {
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
        decode_samples_since(&record, |start, s| seen.push((start, s))).unwrap();
        let sample = |start, id, t| {
            let value = 1.0;
            (start, RecordSample { id, t, value })
        };
        let expected = [
            sample(900, 5, 1_000),
            sample(0, 4, 990),
            sample(0, 9, 1_001),
            sample(901, 9, 1_001),
        ];
        assert_eq!(seen, expected);
        // A writer says that nothing is known rather than that it is the same.
        let mut out = Vec::new();
        encode_samples_since(&mut out, expected);
        let mut written = record.clone();
        written[27] = 0;
        assert_eq!(out, written);
        assert!(decode_samples(&record[..record.len() - 9], |_| ()).is_err());
    }

    #[test]
    fn without_start_timestamps_the_first_version_is_written() {
        let (mut plain, mut since) = (Vec::new(), Vec::new());
        let sample = RecordSample {
            id: 3,
            t: 10,
            value: 1.0,
        };
        encode_samples(&mut plain, [sample]);
        encode_samples_since(&mut since, [(0, sample)]);
        encode_samples_since(&mut since, []);
        assert_eq!(plain, since);
    }

    proptest! {
        #[test]
        fn start_timestamps_read_back(
            samples in prop::collection::vec((any::<u64>(), any::<i64>(), prop_oneof![any::<i64>(), 0..3i64]), 0..50),
        ) {
            let samples: Vec<_> = samples.into_iter()
                .map(|(id, t, start)| (start, RecordSample { id, t, value: 1.0 })).collect();
            let mut out = Vec::new();
            encode_samples_since(&mut out, samples.iter().copied());
            let mut seen = Vec::new();
            decode_samples_since(&out, |start, sample| seen.push((start, sample))).unwrap();
            prop_assert_eq!(seen, samples);
        }
    }
}
