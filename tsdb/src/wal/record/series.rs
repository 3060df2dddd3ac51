//! Records of series.

use super::{Fields, RecordError, RecordKind, encode_labels};

/// Starts a record of series.
pub fn begin_series(out: &mut Vec<u8>) {
    out.push(RecordKind::Series.as_byte());
}

/// Adds a series to a record begun with [`begin_series`].
pub fn encode_series<'a>(
    out: &mut Vec<u8>,
    id: u64,
    labels: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
) {
    out.extend_from_slice(&id.to_be_bytes());
    encode_labels(out, labels);
}

/// Calls `visit` with the id and labels of each series of a record.
///
/// # Errors
///
/// When the bytes are no series record.
pub fn decode_series<'a>(
    record: &'a [u8],
    mut visit: impl FnMut(u64, &[(&'a str, &'a str)]),
) -> Result<(), RecordError> {
    let mut fields = Fields::new("series", record);
    let mut labels = Vec::new();
    while !fields.is_empty() {
        let id = fields.u64("cut-off reference")?;
        fields.labels(&mut labels)?;
        visit(id, &labels);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
