//! Bit streams: most significant bit first, the last byte padded with zeros.

use super::ChunkError;

/// Where bits are appended.
pub trait BitSink {
    /// Appends the low `count` bits of `value` (at most 64), most significant first.
    fn push(&mut self, value: u64, count: u8);

    /// Appends an unsigned LEB128 number.
    fn push_uvarint(&mut self, mut value: u64) {
        while 0x80 <= value {
            self.push(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.push(value, 8);
    }

    /// Appends a zigzagged number.
    fn push_varint(&mut self, value: i64) {
        self.push_uvarint(crate::varint::zigzag(value));
    }
}

/// Appends to `out`, whose last byte has `free` unused low bits, the low `count` bits of `value` (at most 64), most significant first.
#[inline]
fn push_bits(out: &mut Vec<u8>, free: &mut u8, value: u64, count: u8) {
    if count == 0 {
        return;
    }
    // Left-aligned, so that what is above the low `count` bits falls off.
    let mut bits = value << (64 - count);
    let mut left = count;
    if *free != 0 {
        let last = out
            .last_mut()
            .expect("unused bits mean that there is a byte");
        *last |= top_byte(bits) >> (8 - *free);
        if left <= *free {
            *free -= left;
            return;
        }
        bits <<= *free;
        left -= *free;
    }
    let bytes = left.div_ceil(8);
    out.extend_from_slice(&bits.to_be_bytes()[..usize::from(bytes)]);
    *free = 8 * bytes - left;
}

const fn top_byte(bits: u64) -> u8 {
    bits.to_be_bytes()[0]
}

/// Writes bits into a buffer of its own, whose bytes are complete after every call.
#[derive(Debug, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    /// Unused low bits of the last byte.
    free: u8,
}

impl BitWriter {
    /// Returns the bytes, the last one padded with zeros.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the whole bytes at the start, to be overwritten in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Returns the bytes reserved on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Removes all bits and keeps the buffer.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.free = 0;
    }

    /// Removes all bits and returns the buffer that held them.
    pub fn take(&mut self) -> Vec<u8> {
        self.free = 0;
        std::mem::take(&mut self.bytes)
    }

    /// Makes room for `more` bytes; grows the buffer by a quarter rather than doubling it: there is one per series.
    pub fn make_room(&mut self, more: usize) {
        let (len, capacity) = (self.bytes.len(), self.bytes.capacity());
        if capacity < len + more {
            let wanted = (capacity + capacity / 4)
                .max(len + more)
                .next_multiple_of(16);
            self.bytes.reserve_exact(wanted - len);
        }
    }
}

impl BitSink for BitWriter {
    #[inline]
    fn push(&mut self, value: u64, count: u8) {
        push_bits(&mut self.bytes, &mut self.free, value, count);
    }
}

/// Reads bits from a slice through a 64-bit window.
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits not yet read, left-aligned.
    window: u64,
    /// How many bits of `window` count.
    valid: u32,
}

impl<'a> BitReader<'a> {
    /// Returns a reader at the first bit of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        BitReader {
            bytes,
            window: 0,
            valid: 0,
        }
    }

    #[inline]
    fn refill(&mut self) {
        if let Some((word, _)) = self.bytes.split_first_chunk::<8>() {
            // Take as many whole bytes as fit; the rest of the word is read again later.
            self.window |= u64::from_be_bytes(*word) >> self.valid;
            let taken = (64 - self.valid) / 8;
            self.bytes = &self.bytes[taken as usize..];
            self.valid += 8 * taken;
            if self.valid < 64 {
                self.window &= !(u64::MAX >> self.valid);
            }
            return;
        }
        while self.valid <= 56 {
            let Some((&byte, rest)) = self.bytes.split_first() else {
                return;
            };
            self.window |= u64::from(byte) << (56 - self.valid);
            self.valid += 8;
            self.bytes = rest;
        }
    }

    /// Returns how many bits are left.
    pub fn remaining(&self) -> usize {
        self.valid as usize + 8 * self.bytes.len()
    }

    /// Goes to bit `at` of `bytes`, or to their end.
    pub fn seek(&mut self, bytes: &'a [u8], at: usize) {
        *self = BitReader::new(bytes.get(at / 8..).unwrap_or_default());
        // A byte is there unless this is the end.
        #[expect(clippy::cast_possible_truncation, reason = "below 8")]
        let _ = self.bits((at % 8) as u32);
    }

    /// Reads ones up to the first zero, which is read as well, or up to `max` of them (at most 56); returns how many.
    ///
    /// # Errors
    ///
    /// [`ChunkError::Truncated`] when the bits end before that.
    #[inline]
    pub fn ones(&mut self, max: u32) -> Result<u32, ChunkError> {
        if self.valid <= max {
            self.refill();
        }
        // What is past the valid bits is zero, so it is never counted.
        let ones = (!self.window).leading_zeros().min(max);
        let read = (ones + 1).min(max);
        if self.valid < read {
            return Err(ChunkError::Truncated);
        }
        self.window <<= read;
        self.valid -= read;
        Ok(ones)
    }

    /// Reads one bit.
    ///
    /// # Errors
    ///
    /// [`ChunkError::Truncated`] at the end.
    #[inline]
    pub fn bit(&mut self) -> Result<bool, ChunkError> {
        if self.valid == 0 {
            self.refill();
            if self.valid == 0 {
                return Err(ChunkError::Truncated);
            }
        }
        let bit = self.window >> 63 == 1;
        self.window <<= 1;
        self.valid -= 1;
        Ok(bit)
    }

    /// Reads `count` bits (at most 64) as an unsigned number.
    ///
    /// # Errors
    ///
    /// [`ChunkError::Truncated`] when there are fewer.
    #[inline]
    pub fn bits(&mut self, count: u32) -> Result<u64, ChunkError> {
        if count == 0 {
            return Ok(0);
        }
        if self.valid < count {
            self.refill();
        }
        if count <= self.valid {
            let value = self.window >> (64 - count);
            self.window = if count == 64 { 0 } else { self.window << count };
            self.valid -= count;
            return Ok(value);
        }
        // The window holds at least 57 bits after a refill unless the bytes are over: take it, then the rest.
        let high_count = self.valid;
        if count - high_count > 8 || high_count == 0 {
            return Err(ChunkError::Truncated);
        }
        let high = self.window >> (64 - high_count);
        (self.window, self.valid) = (0, 0);
        let low_count = count - high_count;
        self.refill();
        if self.valid < low_count {
            return Err(ChunkError::Truncated);
        }
        let low = self.window >> (64 - low_count);
        self.window <<= low_count;
        self.valid -= low_count;
        Ok((high << low_count) | low)
    }

    /// Reads an unsigned LEB128 number of at most ten bytes.
    ///
    /// # Errors
    ///
    /// When it ends early or is longer.
    pub fn uvarint(&mut self) -> Result<u64, ChunkError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.bits(8)?;
            value |= (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return if shift == 63 && 1 < byte {
                    Err(ChunkError::Invalid)
                } else {
                    Ok(value)
                };
            }
        }
        Err(ChunkError::Invalid)
    }

    /// Reads a zigzag-encoded signed number.
    ///
    /// # Errors
    ///
    /// As [`uvarint`](BitReader::uvarint).
    pub fn varint(&mut self) -> Result<i64, ChunkError> {
        self.uvarint().map(crate::varint::unzigzag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ones_stop_at_a_zero_or_the_limit() {
        let mut reader = BitReader::new(&[0b1101_1111, 0b1111_0111]);
        assert_eq!(reader.ones(5), Ok(2));
        assert_eq!(reader.ones(5), Ok(5));
        assert_eq!(reader.ones(8), Ok(4));
        assert_eq!(reader.remaining(), 3);
        assert_eq!(reader.ones(4), Err(ChunkError::Truncated));
        assert_eq!(reader.ones(3), Ok(3));
    }

    proptest! {
        #[test]
        fn written_bits_read_back(parts in prop::collection::vec((any::<u64>(), 0u8..=64), 0..200)) {
            let (mut out, mut free) = (Vec::new(), 0);
            for &(value, count) in &parts {
                push_bits(&mut out, &mut free, value, count);
            }
            let bits: usize = parts.iter().map(|part| usize::from(part.1)).sum();
            prop_assert_eq!(out.len(), bits.div_ceil(8));
            let mut reader = BitReader::new(&out);
            for &(value, count) in &parts {
                let expected = if count < 64 { value & ((1 << count) - 1) } else { value };
                prop_assert_eq!(reader.bits(u32::from(count)).unwrap(), expected);
            }
            prop_assert!(reader.bits(8).is_err());
        }

        #[test]
        fn any_bytes_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), counts in prop::collection::vec(0u32..=64, 0..20)) {
            let mut reader = BitReader::new(&bytes);
            prop_assert_eq!(reader.remaining(), 8 * bytes.len());
            let mut read = 0;
            for count in counts {
                match reader.bits(count) {
                    Ok(_) => read += count as usize,
                    Err(_) => { prop_assert!(8 * bytes.len() < read + count as usize); break }
                }
            }
        }
    }
}
