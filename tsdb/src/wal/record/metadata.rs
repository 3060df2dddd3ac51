//! Records of metadata.

use model::metadata::MetricType;

use super::{Fields, RecordError, RecordKind, encode_text};
use crate::varint::encode_uvarint;

/// The name of the field that has the unit.
const UNIT: &str = "UNIT";
/// The name of the field that has the help text.
const HELP: &str = "HELP";

/// The metric types by the byte that stands for them.
const TYPES: [MetricType; 8] = [
    MetricType::Unknown,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Histogram,
    MetricType::GaugeHistogram,
    MetricType::Summary,
    MetricType::Info,
    MetricType::StateSet,
];

/// Type, unit and help of a series' metric in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMetadata<'a> {
    /// The series' id in the log.
    pub id: u64,
    /// The metric's type.
    pub kind: MetricType,
    /// The unit, empty when none was given.
    pub unit: &'a str,
    /// The help text.
    pub help: &'a str,
}

/// Appends a record of metadata.
pub fn encode_metadata<'a>(
    out: &mut Vec<u8>,
    metadata: impl IntoIterator<Item = RecordMetadata<'a>>,
) {
    out.push(RecordKind::Metadata.as_byte());
    for item in metadata {
        encode_uvarint(out, item.id);
        out.push(type_byte(item.kind));
        encode_uvarint(out, 2);
        for text in [UNIT, item.unit, HELP, item.help] {
            encode_text(out, text);
        }
    }
}

/// Calls `visit` with each item of a record. Types and fields that are not known here are nothing.
///
/// # Errors
///
/// When the bytes are no metadata record.
pub fn decode_metadata<'a>(
    record: &'a [u8],
    mut visit: impl FnMut(RecordMetadata<'a>),
) -> Result<(), RecordError> {
    let mut fields = Fields::new("metadata", record);
    while !fields.is_empty() {
        let id = fields.uvarint("bad reference")?;
        let byte = fields.byte("cut-off type")?;
        let mut item = RecordMetadata {
            id,
            kind: TYPES.get(usize::from(byte)).copied().unwrap_or_default(),
            unit: "",
            help: "",
        };
        for _ in 0..fields.count("bad field count", 2)? {
            let (name, value) = (
                fields.text("bad field name")?,
                fields.text("bad field value")?,
            );
            match name {
                UNIT => item.unit = value,
                HELP => item.help = value,
                _ => (),
            }
        }
        visit(item);
    }
    Ok(())
}

fn type_byte(kind: MetricType) -> u8 {
    (0..)
        .zip(TYPES)
        .find_map(|(byte, known)| (known == kind).then_some(byte))
        .expect("every type is in the list")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_reads_back() {
        let items: Vec<_> = (300..)
            .zip(TYPES)
            .map(|(id, kind)| RecordMetadata {
                id,
                kind,
                unit: "s",
                help: "what it is",
            })
            .collect();
        let mut out = Vec::new();
        encode_metadata(&mut out, items.iter().copied());
        assert_eq!(out[..11], *b"\x06\xac\x02\x00\x02\x04UNIT\x01");
        let mut seen = Vec::new();
        decode_metadata(&out, |item| seen.push(item)).unwrap();
        assert_eq!(seen, items);
        assert!(decode_metadata(&out[..out.len() - 1], |_| ()).is_err());
    }

    #[test]
    fn unknown_fields_are_passed_over() {
        let mut seen = Vec::new();
        let record = b"\x06\x07\x63\x02\x01x\x01y\x04HELP\x01h";
        decode_metadata(record, |item| seen.push(item)).unwrap();
        let expected = RecordMetadata {
            id: 7,
            kind: MetricType::Unknown,
            unit: "",
            help: "h",
        };
        assert_eq!(seen, [expected]);
    }
}
