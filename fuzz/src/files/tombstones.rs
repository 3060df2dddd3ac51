//! The tombstones file of a block.

use tsdb::tombstones::{Interval, Tombstones};

/// What is accepted encodes to what means the same; as the bytes are, and as entries with the right checksum.
pub fn check(data: &[u8]) {
    decode_and_encode(data);
    let header = &Tombstones::default().encode()[..5];
    let crc = crc32c::crc32c(data).to_be_bytes();
    decode_and_encode(&[header, data, &crc].concat());
}

fn decode_and_encode(bytes: &[u8]) {
    if let Ok(tombstones) = Tombstones::decode(bytes) {
        assert!(tombstones.len() <= bytes.len());
        for (_, intervals) in tombstones.iter() {
            let apart = |a: &Interval, b: &Interval| a.maxt.saturating_add(1) < b.mint;
            assert!(intervals.as_slice().is_sorted_by(apart));
        }
        assert_eq!(Tombstones::decode(&tombstones.encode()), Ok(tombstones));
    }
}

/// None, and some that are next to each other and at the ends of time; also without header and checksum.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut some = Tombstones::default();
    for (series, mint, maxt) in [(1, 0, 5), (1, 7, 9), (2, i64::MIN, 3), (300, 4, i64::MAX)] {
        some.add(series, Interval { mint, maxt });
    }
    let whole = some.encode();
    let entries = whole[5..whole.len() - 4].to_vec();
    vec![Tombstones::default().encode(), whole, entries]
}
