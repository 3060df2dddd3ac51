//! The XOR2 chunk: float samples whose time and value share a prefix, with optional start timestamps.
//!
//! ```text
//! u16 count │ u8 start header │ varint t0 │ f64 v0 │ uvarint t1-t0 │ value v1 │ (joint)*    bit-packed after v0
//! joint: 0 = same delta, same value │ 10 + window = same delta
//!        110 + 13-bit dod + value │ 1110 + 20-bit dod + value │ 11110 + 64-bit dod + value
//!        11111 = same delta, staleness marker
//! value:  0 = same value │ 10 + bits in the last window │ 110 + new window │ 111 = staleness marker
//! window: 0 + bits in the last window │ 1 + new window
//! new window: 5 bits leading + 6 bits width (0 is 64) + bits
//! ```
//!
//! A staleness marker is not what the next value is XORed with: that is the last value which was none. Dods are plain
//! two's complement here. After a sample may be its start timestamp ([`starts`](super::starts)).
//!
//! Bit-compatible with Prometheus' `XOR2` encoding (4).

use model::storage::SampleColumns;
use model::{STALE_NAN_BITS, is_stale};

use super::ChunkError;
use super::bits::{BitReader, BitSink, BitWriter};
use super::starts::{FROM_MAX, Starts, StartsWriter};
use super::window::Window;

/// Bytes of the sample count and the start header.
const HEADER_BYTES: usize = 3;

/// A chunk that is being written, with what the next sample is a difference to.
///
/// Its bytes are a complete chunk after every append.
#[derive(Debug)]
pub struct Xor2Writer {
    bits: BitWriter,
    t: i64,
    t_delta: i64,
    /// The last value that was no staleness marker: what the next one is XORed with.
    baseline: u64,
    value: u64,
    count: u16,
    window: Window,
    /// From the first sample on that has a start timestamp.
    starts: Option<Box<StartsWriter>>,
}

impl Default for Xor2Writer {
    fn default() -> Self {
        Xor2Writer {
            bits: BitWriter::default(),
            t: 0,
            t_delta: 0,
            baseline: 0,
            value: 0,
            count: 0,
            window: Window::UNSET,
            starts: None,
        }
    }
}

impl Xor2Writer {
    /// Returns an empty chunk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the encoded chunk; empty before the first sample.
    pub fn bytes(&self) -> &[u8] {
        self.bits.bytes()
    }

    /// Returns how many samples there are.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Returns the last sample's time; meaningless before the first.
    pub fn last_t(&self) -> i64 {
        self.t
    }

    /// Returns the last sample's value; meaningless before the first.
    pub fn last_value(&self) -> f64 {
        f64::from_bits(self.value)
    }

    /// Returns the bytes reserved on the heap.
    pub fn heap_bytes(&self) -> usize {
        let starts = self.starts.as_deref().map_or(0, size_of_val);
        self.bits.heap_bytes() + starts
    }

    /// Starts again with an empty chunk and keeps the buffer.
    pub fn clear(&mut self) {
        self.bits.clear();
        self.count = 0;
        self.starts = None;
    }

    /// Gives the buffer back as well.
    pub fn release(&mut self) {
        *self = Self::default();
    }

    /// Returns whether the next sample may have this start timestamp: the first that is known must be among the first
    /// 128 samples.
    #[inline]
    pub fn takes_start(&self, start: i64) -> bool {
        start == 0 || self.count <= FROM_MAX || self.starts.is_some()
    }

    /// Appends a sample of which nobody knows since when it counts: [`append_since`](Xor2Writer::append_since) 0.
    ///
    /// # Panics
    ///
    /// When the chunk is full (65,535 samples); callers cut long before.
    pub fn append(&mut self, t: i64, value: f64) {
        self.append_since(0, t, value);
    }

    /// Appends a sample, which must be newer than the last one.
    ///
    /// * `start`: since when its counter counts, milliseconds since the epoch; 0 if that is unknown.
    ///
    /// # Panics
    ///
    /// When the chunk is full (65,535 samples), or [does not take](Xor2Writer::takes_start) the start timestamp; callers
    /// cut long before.
    pub fn append_since(&mut self, start: i64, t: i64, value: f64) {
        let (index, before) = (self.count, self.t);
        assert!(self.takes_start(start), "a start timestamp comes too late");
        self.append_sample(t, value);
        if start != 0 || self.starts.is_some() {
            let starts = self.starts.get_or_insert_default();
            starts.push(&mut self.bits, index, t, before, start);
        }
    }

    fn append_sample(&mut self, t: i64, value: f64) {
        assert!(
            self.count < u16::MAX,
            "a chunk holds at most 65,535 samples"
        );
        debug_assert!(self.count == 0 || self.t < t);
        self.bits
            .make_room(if self.starts.is_some() { 40 } else { 24 });
        let t_delta = t.wrapping_sub(self.t);
        match self.count {
            0 => {
                self.bits.push(0, 24);
                self.bits.push_varint(t);
                self.bits.push(value.to_bits(), 64);
                (self.window, self.baseline, self.t_delta) = (Window::UNSET, 0, 0);
            }
            1 => {
                self.bits.push_uvarint(t_delta.cast_unsigned());
                self.push_value(value);
                self.t_delta = t_delta;
            }
            _ => {
                self.push_joint(t_delta.wrapping_sub(self.t_delta), value);
                self.t_delta = t_delta;
            }
        }
        (self.t, self.value) = (t, value.to_bits());
        if !is_stale(value) {
            self.baseline = self.value;
        }
        self.count += 1;
        self.bits.bytes_mut()[..2].copy_from_slice(&self.count.to_be_bytes());
    }

    fn push_joint(&mut self, dod: i64, value: f64) {
        let bits = dod.cast_unsigned();
        match dod {
            0 if is_stale(value) => return self.bits.push(0b11111, 5),
            0 => return self.push_unless_same(value, [(0b100, 3), (0b101, 3)]),
            -0x1000..=0xfff => self.bits.push(0b110 << 13 | bits & 0x1fff, 16),
            -0x8_0000..=0x7_ffff => self.bits.push(0b1110 << 20 | bits & 0xf_ffff, 24),
            _ => {
                self.bits.push(0b11110, 5);
                self.bits.push(bits, 64);
            }
        }
        self.push_value(value);
    }

    fn push_value(&mut self, value: f64) {
        if is_stale(value) {
            self.bits.push(0b111, 3);
        } else {
            self.push_unless_same(value, [(0b10, 2), (0b110, 3)]);
        }
    }

    /// Writes a zero bit for the same value, else one of the prefixes (for the last window, for a new one) and the bits.
    fn push_unless_same(&mut self, value: f64, [last, new]: [(u64, u8); 2]) {
        let xor = value.to_bits() ^ self.baseline;
        if xor == 0 {
            return self.bits.push(0, 1);
        }
        let narrowest = Window::of(xor);
        if self.window.covers(narrowest) {
            self.bits.push(last.0, last.1);
        } else {
            self.window = narrowest;
            self.bits.push(new.0 << 11 | narrowest.header(), new.1 + 11);
        }
        self.bits
            .push(self.window.significant(xor), self.window.width());
    }
}

/// Appends the chunk's samples in `mint..=maxt` that are newer than the last one in `out`; stops decoding after `maxt`.
///
/// # Errors
///
/// When the bytes are no chunk; `out` then holds the samples before the damage.
pub fn decode(
    chunk: &[u8],
    mint: i64,
    maxt: i64,
    out: &mut SampleColumns,
) -> Result<(), ChunkError> {
    let mint = super::first_wanted(mint, out);
    let mut samples = Xor2Reader::new(chunk)?;
    while let Some((t, value)) = samples.next()? {
        if maxt < t {
            break;
        }
        if mint <= t {
            out.push_float(t, value);
            if samples.start() != 0 {
                out.set_last_start(samples.start());
            }
        }
    }
    Ok(())
}

/// Walks over the samples of a chunk.
pub struct Xor2Reader<'a> {
    bits: BitReader<'a>,
    total: u16,
    read: u16,
    starts: Starts,
    t: i64,
    t_delta: i64,
    baseline: u64,
    window: Window,
}

impl<'a> Xor2Reader<'a> {
    /// Returns a reader before the first sample.
    ///
    /// # Errors
    ///
    /// [`ChunkError::Truncated`] when there is no room for count and header.
    pub fn new(chunk: &'a [u8]) -> Result<Self, ChunkError> {
        let (header, rest) = chunk
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(ChunkError::Truncated)?;
        Ok(Xor2Reader {
            bits: BitReader::new(rest),
            total: super::count(chunk)?,
            read: 0,
            starts: Starts::from_header(header[2]),
            t: 0,
            t_delta: 0,
            baseline: 0,
            window: Window::FULL,
        })
    }

    /// Returns the start timestamp of the sample that was read last: milliseconds since the epoch, 0 if it is unknown.
    #[inline]
    pub fn start(&self) -> i64 {
        self.starts.start()
    }

    /// Reads the next sample; `None` after the last.
    ///
    /// # Errors
    ///
    /// When the bytes end early or times do not ascend.
    #[expect(
        clippy::should_implement_trait,
        reason = "an error ends the walk, which Iterator does not say"
    )]
    pub fn next(&mut self) -> Result<Option<(i64, f64)>, ChunkError> {
        if self.read == self.total {
            return Ok(None);
        }
        let value = match self.read {
            0 => self.read_first()?,
            1 => {
                self.t_delta = self.bits.uvarint()?.cast_signed();
                self.read_value()?
            }
            _ => self.read_joint()?,
        };
        let before = self.t;
        if self.read != 0 {
            let t = self.t.checked_add(self.t_delta);
            let t = t.filter(|&t| self.t < t).ok_or(ChunkError::Invalid)?;
            self.t = t;
        }
        self.starts
            .read(&mut self.bits, self.read, self.t, before)?;
        self.read += 1;
        Ok(Some((self.t, f64::from_bits(value))))
    }

    fn read_first(&mut self) -> Result<u64, ChunkError> {
        self.t = self.bits.varint()?;
        let value = self.bits.bits(64)?;
        if value != STALE_NAN_BITS {
            self.baseline = value;
        }
        Ok(value)
    }

    fn read_joint(&mut self) -> Result<u64, ChunkError> {
        let width = match self.bits.ones(5)? {
            0 => return Ok(self.baseline),
            1 => {
                if self.bits.bit()? {
                    self.window.read_header(&mut self.bits)?;
                }
                return self.read_significant();
            }
            2 => 13,
            3 => 20,
            4 => 64,
            _ => return Ok(STALE_NAN_BITS),
        };
        let unused = 64 - width;
        let dod = (self.bits.bits(width)? << unused).cast_signed() >> unused;
        self.t_delta = self.t_delta.wrapping_add(dod);
        self.read_value()
    }

    fn read_value(&mut self) -> Result<u64, ChunkError> {
        match self.bits.ones(3)? {
            0 => return Ok(self.baseline),
            1 => (),
            2 => self.window.read_header(&mut self.bits)?,
            _ => return Ok(STALE_NAN_BITS),
        }
        self.read_significant()
    }

    fn read_significant(&mut self) -> Result<u64, ChunkError> {
        self.baseline ^= self.window.read_significant(&mut self.bits)?;
        Ok(self.baseline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::starts::HEADER_AT;
    use crate::chunk::testing::float_samples;
    use crate::chunk::varbit::push_int;
    use crate::chunk::xor;
    use model::stale_nan;
    use proptest::prelude::*;

    fn encode(samples: &[(i64, f64)]) -> Vec<u8> {
        let mut writer = Xor2Writer::new();
        for &(t, value) in samples {
            writer.append(t, value);
        }
        writer.bytes().to_vec()
    }

    fn decode_all(chunk: &[u8]) -> Result<Vec<(i64, u64)>, ChunkError> {
        let mut out = SampleColumns::default();
        decode(chunk, i64::MIN, i64::MAX, &mut out)?;
        let values = out.floats.into_iter().map(f64::to_bits);
        Ok(out.timestamps.into_iter().zip(values).collect())
    }

    fn encode_since(samples: &[(i64, i64, f64)]) -> Vec<u8> {
        let mut writer = Xor2Writer::new();
        for &(start, t, value) in samples {
            writer.append_since(start, t, value);
        }
        writer.bytes().to_vec()
    }

    /// Start, time and bits of the value of each sample.
    fn decode_since(chunk: &[u8]) -> Vec<(i64, i64, u64)> {
        let mut out = SampleColumns::default();
        decode(chunk, i64::MIN, i64::MAX, &mut out).unwrap();
        let samples = out.timestamps.iter().zip(&out.floats).enumerate();
        samples
            .map(|(i, (&t, value))| (out.start(i), t, value.to_bits()))
            .collect()
    }

    fn binary(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:08b}")).collect()
    }

    #[track_caller]
    fn check(samples: &[(i64, f64)], expected: &str) {
        let chunk = encode(samples);
        let written = binary(&chunk[3 + 1 + 8..]);
        let expected = expected.replace(' ', "");
        assert_eq!(written[..expected.len()], expected);
        assert_eq!(written.len(), expected.len().next_multiple_of(8));
        let bits: Vec<_> = samples.iter().map(|&(t, v)| (t, v.to_bits())).collect();
        assert_eq!(decode_all(&chunk).unwrap(), bits);
    }

    /// The bits were worked out by hand from the format's description.
    #[test]
    fn prefixes_are_as_documented() {
        let t1 = "00000001";
        check(&[(0, 1.0), (1, 1.0), (2, 1.0)], &format!("{t1} 0 0"));
        // 1 ^ 2 is 7ff0…: leading 1, width 11.
        let window = "00001 001011 11111111111";
        check(
            &[(0, 1.0), (1, 2.0), (2, 1.0), (3, 2.0)],
            &format!("{t1} 110 {window} 10 0 11111111111 10 0 11111111111"),
        );
        check(
            &[(0, 1.0), (1, 1.0), (2, 2.0)],
            &format!("{t1} 0 10 1 {window}"),
        );
        check(
            &[(0, 1.0), (1, 1.0), (3, 1.0), (4, 1.0)],
            &format!("{t1} 0 110 0000000000001 0 110 1111111111111 0"),
        );
        check(
            &[(0, 1.0), (1, 1.0), (4_098, 1.0), (4_099, 1.0)],
            &format!("{t1} 0 1110 {:020b} 0 110 1000000000000 0", 4_096),
        );
        check(
            &[(0, 1.0), (1, 1.0), (1 << 21, 1.0)],
            &format!("{t1} 0 11110 {:064b} 0", (1 << 21) - 2),
        );
    }

    #[test]
    fn values_are_compared_across_staleness_markers() {
        let t1 = "00000001";
        let stale = stale_nan();
        check(
            &[
                (0, 1.0),
                (1, stale),
                (2, 1.0),
                (3, stale),
                (5, stale),
                (7, 1.0),
            ],
            &format!("{t1} 111 0 11111 110 0000000000001 111 0"),
        );
    }

    /// A chunk with start timestamps: after sample 0, and from sample 2 on.
    #[test]
    fn start_timestamps_are_as_documented() {
        let mut out = BitWriter::default();
        out.push(4, 16);
        out.push(0x80 | 2, 8);
        out.push_varint(1_000);
        out.push(1f64.to_bits(), 64);
        out.push_varint(500);
        out.push_uvarint(10);
        out.push(0, 1);
        out.push(0, 1);
        push_int(&mut out, 509);
        out.push(0b11111, 5);
        push_int(&mut out, -3);
        let stale = stale_nan();
        let samples = [
            (500, 1_000, 1.0),
            (500, 1_010, 1.0),
            (501, 1_020, 1.0),
            (514, 1_030, stale),
        ];
        let expected: Vec<_> = samples
            .iter()
            .map(|&(start, t, v)| (start, t, v.to_bits()))
            .collect();
        assert_eq!(decode_since(out.bytes()), expected);
        assert_eq!(encode_since(&samples), out.bytes());
    }

    #[test]
    fn each_sample_from_127_on_has_its_start_if_the_first_has() {
        let samples: Vec<_> = (0..200).map(|i| (5, 10 + i * 10, 0.0)).collect();
        let chunk = encode_since(&samples);
        assert_eq!(chunk[HEADER_AT], 0xff);
        let expected: Vec<_> = samples.iter().map(|&(s, t, _)| (s, t, 0)).collect();
        assert_eq!(decode_since(&chunk), expected);
    }

    #[test]
    fn the_first_start_is_among_the_first_128_samples() {
        let mut writer = Xor2Writer::new();
        for t in 0..128 {
            assert!(writer.takes_start(1));
            writer.append(t, 1.0);
        }
        assert!(!writer.takes_start(1) && writer.takes_start(0));
        assert_eq!(writer.bytes()[HEADER_AT], 0);
        writer.clear();
        assert!(writer.takes_start(1));
    }

    #[test]
    fn truncated_chunks_are_errors() {
        let chunk = encode(&[(10, 1.0), (20, 2.5), (31, 3.0)]);
        for len in 0..chunk.len() {
            assert!(decode_all(&chunk[..len]).is_err(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn the_two_xor_encodings_agree(samples in float_samples()) {
            let mut plain = xor::XorWriter::new();
            for &(t, value) in &samples {
                plain.append(t, value);
            }
            let mut expected = SampleColumns::default();
            xor::decode(plain.bytes(), i64::MIN, i64::MAX, &mut expected).unwrap();
            let expected: Vec<_> = expected.timestamps.into_iter()
                .zip(expected.floats.into_iter().map(f64::to_bits)).collect();
            prop_assert_eq!(decode_all(&encode(&samples)).unwrap(), expected);
        }

        #[test]
        fn start_timestamps_read_back(
            samples in float_samples(), first in 0u8..3,
            changes in prop::collection::vec(prop_oneof![Just(0i64), any::<i64>(), -300i64..300], 200),
            rarity in 1usize..60,
        ) {
            let mut start = match first { 0 => 0, 1 => samples[0].0 - 5_000, _ => changes[0] };
            let samples: Vec<_> = samples.into_iter().zip(changes).enumerate().map(|(i, ((t, value), change))| {
                if i % rarity == rarity - 1 && i <= usize::from(FROM_MAX) {
                    start = if change == 0 { 0 } else { t.wrapping_add(change) };
                }
                (start, t, value)
            }).collect();
            let expected: Vec<_> = samples.iter().map(|&(s, t, v)| (s, t, v.to_bits())).collect();
            let chunk = encode_since(&samples);
            prop_assert_eq!(decode_since(&chunk), expected);
            if samples.iter().all(|&(start, ..)| start == 0) {
                let plain: Vec<_> = samples.iter().map(|&(_, t, v)| (t, v)).collect();
                prop_assert_eq!(chunk, encode(&plain));
            }
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_all(&bytes);
        }
    }
}
