//! Integers with a variable number of bits, small magnitudes in few: what the fields of histogram chunks are.
//!
//! ```text
//! 0 │ 10 + 3 │ 110 + 6 │ 1110 + 9 │ 11110 + 12 │ 111110 + 18 │ 1111110 + 25 │ 11111110 + 56 │ 11111111 + 64 bits
//! ```
//!
//! A single zero bit is the number 0. Of signed numbers, `n` bits hold `-(2^(n-1)-1)..=2^(n-1)`: the one value above the
//! middle stays positive.
//!
//! Source: Prometheus chunk format documentation, `varbit_int` and `varbit_uint`.

use super::ChunkError;
use super::bits::{BitReader, BitSink, BitWriter};

/// Payload bits after one, two, … eight ones.
const WIDTHS: [u8; 8] = [3, 6, 9, 12, 18, 25, 56, 64];
/// Ones of the longest prefix, which no zero ends.
const PREFIX_MAX: u32 = 8;

/// Appends a signed number.
#[inline]
pub fn push_int(out: &mut BitWriter, value: i64) {
    // 2^(n-1) is the one value whose sign bit would be the top payload bit and which still fits.
    push(out, value.cast_unsigned(), |width| {
        let half = 1i64 << (width - 1);
        -half < value && value <= half
    });
}

/// Appends an unsigned number.
#[inline]
pub fn push_uint(out: &mut BitWriter, value: u64) {
    push(out, value, |width| value >> width == 0);
}

/// Appends `bits` with the first width below 64 for which `fits`.
#[inline]
fn push(out: &mut BitWriter, bits: u64, fits: impl Fn(u8) -> bool) {
    if bits == 0 {
        return out.push(0, 1);
    }
    let narrow = WIDTHS[..7]
        .iter()
        .zip(1u8..)
        .find(|&(&width, _)| fits(width));
    match narrow {
        // Up to 33 bits go out at once.
        Some((&width, ones)) if width <= 25 => {
            let prefix = (1u64 << (ones + 1)) - 2;
            let payload = bits & ((1 << width) - 1);
            out.push(prefix << width | payload, ones + 1 + width);
        }
        Some((&width, _)) => {
            out.push(0b1111_1110, 8);
            out.push(bits, width);
        }
        None => {
            out.push(0b1111_1111, 8);
            out.push(bits, 64);
        }
    }
}

/// Reads a signed number.
///
/// # Errors
///
/// [`ChunkError::Truncated`].
#[inline]
pub fn read_int(bits: &mut BitReader<'_>) -> Result<i64, ChunkError> {
    let width = read_width(bits)?;
    if width == 0 {
        return Ok(0);
    }
    let value = bits.bits(width)?.cast_signed();
    Ok(if width < 64 && 1 << (width - 1) < value {
        value - (1 << width)
    } else {
        value
    })
}

/// Reads an unsigned number.
///
/// # Errors
///
/// [`ChunkError::Truncated`].
#[inline]
pub fn read_uint(bits: &mut BitReader<'_>) -> Result<u64, ChunkError> {
    let width = read_width(bits)?;
    bits.bits(width)
}

#[inline]
fn read_width(bits: &mut BitReader<'_>) -> Result<u32, ChunkError> {
    Ok(match bits.ones(PREFIX_MAX)? {
        0 => 0,
        ones => u32::from(WIDTHS[ones as usize - 1]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check_int(value: i64, bits: &str) {
        let mut out = BitWriter::default();
        push_int(&mut out, value);
        check(&out, bits);
        assert_eq!(read_int(&mut BitReader::new(out.bytes())), Ok(value));
    }

    #[track_caller]
    fn check_uint(value: u64, bits: &str) {
        let mut out = BitWriter::default();
        push_uint(&mut out, value);
        check(&out, bits);
        assert_eq!(read_uint(&mut BitReader::new(out.bytes())), Ok(value));
    }

    #[track_caller]
    fn check(out: &BitWriter, bits: &str) {
        let written: String = out
            .bytes()
            .iter()
            .map(|byte| format!("{byte:08b}"))
            .collect();
        let bits = bits.replace(' ', "");
        assert_eq!(written.len(), bits.len().next_multiple_of(8));
        assert_eq!(written[..bits.len()], bits);
        assert!(!written[bits.len()..].contains('1'));
    }

    #[test]
    fn ranges_of_signed_numbers_reach_one_further_above_zero() {
        check_int(0, "0");
        check_int(1, "10 001");
        check_int(-1, "10 111");
        check_int(4, "10 100");
        check_int(-3, "10 101");
        check_int(-4, "110 111100");
        check_int(32, "110 100000");
        check_int(-31, "110 100001");
        check_int(33, "1110 000100001");
        check_int(257, "11110 000100000001");
        check_int(2_049, "111110 000000100000000001");
        check_int(131_073, "1111110 0000000100000000000000001");
        check_int(16_777_217, &format!("11111110 {:056b}", 16_777_217));
        check_int(i64::MIN, &format!("11111111 {:b}", i64::MIN));
    }

    #[test]
    fn ranges_of_unsigned_numbers_are_full() {
        check_uint(0, "0");
        check_uint(7, "10 111");
        check_uint(8, "110 001000");
        check_uint(511, "1110 111111111");
        check_uint(4_095, "11110 111111111111");
        check_uint(262_143, &format!("111110 {}", "1".repeat(18)));
        check_uint(33_554_431, &format!("1111110 {}", "1".repeat(25)));
        check_uint(33_554_432, &format!("11111110 {:056b}", 33_554_432));
        check_uint(u64::MAX, &format!("11111111 {}", "1".repeat(64)));
    }

    proptest! {
        #[test]
        fn written_numbers_read_back(
            parts in prop::collection::vec((any::<i64>(), 0u32..64), 0..60),
        ) {
            let numbers: Vec<i64> = parts.iter().map(|&(value, shift)| value >> shift).collect();
            let mut out = BitWriter::default();
            for &number in &numbers {
                push_int(&mut out, number);
                push_uint(&mut out, number.cast_unsigned());
            }
            let mut bits = BitReader::new(out.bytes());
            for &number in &numbers {
                prop_assert_eq!(read_int(&mut bits), Ok(number));
                prop_assert_eq!(read_uint(&mut bits), Ok(number.cast_unsigned()));
            }
        }
    }
}
