//! Records of exemplars.

use super::samples::{Base, Item, decode_items};
use super::{Fields, RecordError, RecordKind, encode_labels};

/// An exemplar in a record, without its labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecordExemplar {
    /// The series' id in the log.
    pub id: u64,
    /// Milliseconds since the epoch.
    pub t: i64,
    /// The value.
    pub value: f64,
}

/// Appends a record of exemplars with their labels; nothing if there is none.
pub fn encode_exemplars<'a, L>(
    out: &mut Vec<u8>,
    exemplars: impl IntoIterator<Item = (RecordExemplar, L)>,
) where
    L: ExactSizeIterator<Item = (&'a str, &'a str)>,
{
    let mut base = None;
    for (exemplar, labels) in exemplars {
        let base = *base.get_or_insert_with(|| {
            let base = Base::of(exemplar.id, exemplar.t);
            base.encode(out, RecordKind::Exemplars);
            base
        });
        base.encode_item(out, exemplar.id, exemplar.t);
        out.extend_from_slice(&exemplar.value.to_bits().to_be_bytes());
        encode_labels(out, labels);
    }
}

/// Calls `visit` with each exemplar of a record and its labels.
///
/// # Errors
///
/// When the bytes are no exemplars record.
pub fn decode_exemplars<'a>(
    record: &'a [u8],
    mut visit: impl FnMut(RecordExemplar, &[(&'a str, &'a str)]),
) -> Result<(), RecordError> {
    let mut labels = Vec::new();
    decode_items(Fields::new("exemplars", record), record, |fields, item| {
        let value = fields.f64("cut-off value")?;
        fields.labels(&mut labels)?;
        let Item { id, t, .. } = item;
        visit(RecordExemplar { id, t, value }, &labels);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exemplars_read_back() {
        let of = |id, t, value| RecordExemplar { id, t, value };
        let exemplars = [
            (of(3, 10, 1.0), vec![("trace_id", "a1")]),
            (of(2, 8, 2.0), vec![]),
        ];
        let mut out = Vec::new();
        let items = exemplars
            .iter()
            .map(|(e, labels)| (*e, labels.iter().copied()));
        encode_exemplars(&mut out, items);
        assert_eq!((out[0], out[16], &out[17..19]), (4, 10, &[0, 0][..]));
        let mut seen = Vec::new();
        decode_exemplars(&out, |e, labels| seen.push((e, labels.to_vec()))).unwrap();
        assert_eq!(seen, exemplars);
        assert!(decode_exemplars(&out[..out.len() - 1], |_, _| ()).is_err());
    }
}
