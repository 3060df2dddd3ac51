//! Records of tombstones and of map markers: plain pairs and triples.

use super::{Fields, RecordError, RecordKind};
use crate::varint::encode_varint;

/// A deleted interval of one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordTombstone {
    /// The series' id in the log.
    pub id: u64,
    /// The first deleted time, milliseconds since the epoch.
    pub mint: i64,
    /// The last deleted time.
    pub maxt: i64,
}

/// Says that all late samples of a series that come before it in the log are in chunks on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapMarker {
    /// The series' id in the log.
    pub id: u64,
    /// The last of the chunks: file number in the upper half, offset in the lower.
    pub chunk: u64,
}

/// Appends a record of tombstones.
pub fn encode_tombstones(out: &mut Vec<u8>, tombstones: impl IntoIterator<Item = RecordTombstone>) {
    out.push(RecordKind::Tombstones.as_byte());
    for tombstone in tombstones {
        out.extend_from_slice(&tombstone.id.to_be_bytes());
        encode_varint(out, tombstone.mint);
        encode_varint(out, tombstone.maxt);
    }
}

/// Calls `visit` with each tombstone of a record.
///
/// # Errors
///
/// When the bytes are no tombstones record.
pub fn decode_tombstones(
    record: &[u8],
    mut visit: impl FnMut(RecordTombstone),
) -> Result<(), RecordError> {
    let mut fields = Fields::new("tombstones", record);
    while !fields.is_empty() {
        visit(RecordTombstone {
            id: fields.u64("cut-off reference")?,
            mint: fields.varint("bad timestamp")?,
            maxt: fields.varint("bad timestamp")?,
        });
    }
    Ok(())
}

/// Appends a record of map markers.
pub fn encode_markers(out: &mut Vec<u8>, markers: impl IntoIterator<Item = MapMarker>) {
    out.push(RecordKind::MapMarkers.as_byte());
    for marker in markers {
        out.extend_from_slice(&marker.id.to_be_bytes());
        out.extend_from_slice(&marker.chunk.to_be_bytes());
    }
}

/// Calls `visit` with each map marker of a record.
///
/// # Errors
///
/// When the bytes are no record of map markers.
pub fn decode_markers(record: &[u8], mut visit: impl FnMut(MapMarker)) -> Result<(), RecordError> {
    let mut fields = Fields::new("map markers", record);
    while !fields.is_empty() {
        visit(MapMarker {
            id: fields.u64("cut-off reference")?,
            chunk: fields.u64("cut-off chunk reference")?,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tombstones_read_back() {
        let tombstones = [(7, -1, 2), (u64::MAX, i64::MIN, i64::MAX)]
            .map(|(id, mint, maxt)| RecordTombstone { id, mint, maxt });
        let mut out = Vec::new();
        encode_tombstones(&mut out, tombstones);
        assert_eq!(out[..11], [3, 0, 0, 0, 0, 0, 0, 0, 7, 1, 4]);
        let mut seen = Vec::new();
        decode_tombstones(&out, |tombstone| seen.push(tombstone)).unwrap();
        assert_eq!(seen, tombstones);
        assert!(decode_tombstones(&out[..out.len() - 1], |_| ()).is_err());
    }

    #[test]
    fn markers_read_back() {
        let markers = [
            MapMarker { id: 1, chunk: 2 },
            MapMarker {
                id: 3,
                chunk: 1 << 32,
            },
        ];
        let mut out = Vec::new();
        encode_markers(&mut out, markers);
        assert_eq!((out[0], out.len()), (5, 33));
        let mut seen = Vec::new();
        decode_markers(&out, |marker| seen.push(marker)).unwrap();
        assert_eq!(seen, markers);
        assert!(decode_markers(&out[..32], |_| ()).is_err());
    }
}
