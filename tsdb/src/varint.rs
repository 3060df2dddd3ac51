//! Variable-length integers as Go's `encoding/binary` writes them: LEB128, signed ones zigzagged.

/// Maps signed to unsigned so that small magnitudes stay small.
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Undoes [`zigzag`].
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Appends `value` in one to ten bytes.
pub fn encode_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while 0x80 <= value {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Appends `value` zigzagged.
pub fn encode_varint(out: &mut Vec<u8>, value: i64) {
    encode_uvarint(out, zigzag(value));
}

/// Reads an unsigned number; `None` when the bytes end early or go on too long.
pub fn decode_uvarint(src: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (i, &byte) in src.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return if i == 9 && 1 < byte {
                None
            } else {
                Some((value, &src[i + 1..]))
            };
        }
    }
    None
}

/// Reads a zigzagged number.
pub fn decode_varint(src: &[u8]) -> Option<(i64, &[u8])> {
    decode_uvarint(src).map(|(value, rest)| (unzigzag(value), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_back(value: u64, signed: i64) {
            let mut out = Vec::new();
            encode_uvarint(&mut out, value);
            encode_varint(&mut out, signed);
            let (first, rest) = decode_uvarint(&out).unwrap();
            let (second, rest) = decode_varint(rest).unwrap();
            prop_assert_eq!((first, second, rest.len()), (value, signed, 0));
        }
    }

    #[test]
    fn overlong_is_refused() {
        assert_eq!(decode_uvarint(&[0x80; 11]), None);
        assert_eq!(
            decode_uvarint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
            None
        );
        assert_eq!(decode_uvarint(&[]), None);
    }
}
