//! The XOR chunk: float samples with delta-of-delta timestamps and XORed values.
//!
//! ```text
//! u16 count │ varint t0 │ f64 v0 │ uvarint t1-t0 │ xor v1 │ (dod, xor)*      all big-endian, bit-packed after v0
//! dod: 0 = same delta │ 10 + 14 bits │ 110 + 17 bits │ 1110 + 20 bits │ 1111 + 64 bits
//! xor: 0 = same value │ 10 + bits in the last window │ 11 + 5 bits leading + 6 bits width + bits
//! ```
//!
//! Bit-compatible with Prometheus' `XOR` encoding (1).
//!
//! Source: T. Pelkonen et al., "Gorilla: A Fast, Scalable, In-Memory Time Series Database", VLDB 2015; Prometheus
//! chunk format documentation.

mod short;

use model::storage::SampleColumns;

use super::ChunkError;
use super::bits::{BitReader, BitSink, BitWriter};
pub use super::count;
use super::window::Window;
use short::{Batch, Place};

/// Bytes of the sample count at the start.
const COUNT_BYTES: usize = 2;

/// What the next sample of a chunk is a difference to.
#[derive(Clone, Copy, Debug)]
pub struct XorState {
    /// The last sample's time; meaningless before the first.
    pub t: i64,
    /// Difference of the last two timestamps.
    pub t_delta: i64,
    /// The last sample's value; meaningless before the first.
    pub value: f64,
    /// How many samples there are.
    pub count: u16,
    /// Which bits of a value were written last.
    pub window: Window,
}

impl XorState {
    /// No sample yet.
    pub const EMPTY: XorState = XorState {
        t: 0,
        t_delta: 0,
        value: 0.0,
        count: 0,
        window: Window::UNSET,
    };

    /// Returns the state after the last sample of a chunk, and how many low bits of its last byte are unused.
    ///
    /// # Errors
    ///
    /// When the bytes are no chunk.
    pub fn after(chunk: &[u8]) -> Result<(Self, u8), ChunkError> {
        let mut reader = XorReader::new(chunk)?;
        while reader.next()?.is_some() {}
        // What is left is the unused end of the last byte.
        let free = u8::try_from(reader.bits.remaining()).ok();
        let free = free.filter(|&free| free < 8).ok_or(ChunkError::Invalid)?;
        let state = XorState {
            t: reader.t,
            t_delta: reader.t_delta,
            value: f64::from_bits(reader.value),
            count: reader.total,
            // A reader cannot tell the full window from none; a writer may always begin a new one.
            window: match reader.window {
                Window::FULL => Window::UNSET,
                known => known,
            },
        };
        Ok((state, free))
    }

    /// Writes a sample, which must be newer than the last one; before the first comes the place of the count, with zeros.
    ///
    /// # Panics
    ///
    /// When the chunk is full (65,535 samples); callers cut long before.
    #[inline]
    pub fn append(&mut self, out: &mut impl BitSink, t: i64, value: f64) {
        assert!(
            self.count < u16::MAX,
            "a chunk holds at most 65,535 samples"
        );
        debug_assert!(self.count == 0 || self.t < t);
        match self.count {
            0 => {
                out.push(0, 16);
                out.push_varint(t);
                out.push(value.to_bits(), 64);
                self.window = Window::UNSET;
            }
            1 => {
                self.t_delta = t.wrapping_sub(self.t);
                out.push_uvarint(self.t_delta.cast_unsigned());
                self.append_value(out, value);
            }
            _ => {
                let t_delta = t.wrapping_sub(self.t);
                append_delta_of_delta(out, t_delta.wrapping_sub(self.t_delta));
                self.t_delta = t_delta;
                self.append_value(out, value);
            }
        }
        (self.t, self.value) = (t, value);
        self.count += 1;
    }

    #[inline]
    fn append_value(&mut self, out: &mut impl BitSink, value: f64) {
        let xor = value.to_bits() ^ self.value.to_bits();
        self.window.push(xor, |bits, count| out.push(bits, count));
    }
}

#[inline]
fn append_delta_of_delta(out: &mut impl BitSink, dod: i64) {
    let bits = dod.cast_unsigned();
    match dod {
        0 => out.push(0, 1),
        -8_191..=8_192 => out.push(0b10 << 14 | bits & 0x3fff, 16),
        -65_535..=65_536 => out.push(0b110 << 17 | bits & 0x1_ffff, 20),
        -524_287..=524_288 => out.push(0b1110 << 20 | bits & 0xf_ffff, 24),
        _ => {
            out.push(0b1111, 4);
            out.push(bits, 64);
        }
    }
}

/// Writes the count of samples into its place.
pub fn set_count(chunk: &mut [u8], count: u16) {
    chunk[..COUNT_BYTES].copy_from_slice(&count.to_be_bytes());
}

/// A chunk that is being written, whose bytes are a complete one after every append.
#[derive(Debug)]
pub struct XorWriter {
    bits: BitWriter,
    state: XorState,
}

impl Default for XorWriter {
    fn default() -> Self {
        XorWriter {
            bits: BitWriter::default(),
            state: XorState::EMPTY,
        }
    }
}

impl XorWriter {
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
        self.state.count
    }

    /// Returns the last sample's time; meaningless before the first.
    pub fn last_t(&self) -> i64 {
        self.state.t
    }

    /// Returns the last sample's value; meaningless before the first.
    pub fn last_value(&self) -> f64 {
        self.state.value
    }

    /// Returns the bytes reserved on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.bits.heap_bytes()
    }

    /// Starts again with an empty chunk and keeps the buffer.
    pub fn clear(&mut self) {
        self.bits.clear();
        self.state = XorState::EMPTY;
    }

    /// Appends a sample, which must be newer than the last one.
    ///
    /// # Panics
    ///
    /// As [`XorState::append`].
    pub fn append(&mut self, t: i64, value: f64) {
        const SAMPLE_BYTES_MAX: usize = 20;
        self.bits.make_room(SAMPLE_BYTES_MAX);
        self.state.append(&mut self.bits, t, value);
        set_count(self.bits.bytes_mut(), self.state.count);
    }
}

/// Appends the chunk's samples in `mint..=maxt` to `out`; stops decoding after `maxt`.
///
/// Samples that are not newer than the last one in `out` are left out, so that chunks that were recovered twice do not
/// double a sample.
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
    let mut sink = Sink {
        mint: super::first_wanted(mint, out),
        maxt,
        out,
    };
    let mut samples = XorReader::new(chunk)?;
    // The first two samples are written in another way.
    for _ in 0..2 {
        match samples.next()? {
            Some((t, _)) if maxt < t => return Ok(()),
            Some((t, value)) => sink.push(t, value),
            None => return Ok(()),
        }
    }
    sink.reserve(usize::from(samples.total - samples.read));
    while samples.read < samples.total && samples.t <= maxt {
        samples.read_short(&chunk[COUNT_BYTES..], &mut sink)?;
        if samples.t <= maxt {
            samples.next_plain(&mut sink)?;
        }
    }
    Ok(())
}

/// Where decoded samples go, and which of them are wanted.
struct Sink<'a> {
    mint: i64,
    maxt: i64,
    out: &'a mut SampleColumns,
}

impl Sink<'_> {
    fn reserve(&mut self, count: usize) {
        self.out.timestamps.reserve(count);
        self.out.floats.reserve(count);
    }

    #[inline]
    fn push(&mut self, t: i64, value: f64) {
        if self.mint <= t && t <= self.maxt {
            self.out.timestamps.push(t);
            self.out.floats.push(value);
        }
    }

    /// Adds samples, whose times ascend.
    fn extend(&mut self, times: &[i64], values: &[f64]) {
        let (Some(&first), Some(&last)) = (times.first(), times.last()) else {
            return;
        };
        let (mut from, mut until) = (0, times.len());
        if self.maxt < last {
            until = times.partition_point(|&t| t <= self.maxt);
        }
        // What is wanted may be none of them: it begins after a sample that is there already.
        if first < self.mint {
            from = times[..until].partition_point(|&t| t < self.mint);
        }
        self.out.timestamps.extend_from_slice(&times[from..until]);
        self.out.floats.extend_from_slice(&values[from..until]);
    }

    /// Adds `count` samples of one value, `t_delta` apart and after `t`; the times do not overflow.
    #[inline(never)]
    fn push_run(&mut self, t: i64, t_delta: i64, count: u16, value: f64) {
        let times = (1..=i64::from(count)).map(|n| t + n * t_delta);
        if self.mint <= t && t + i64::from(count) * t_delta <= self.maxt {
            self.out.timestamps.extend(times);
            let len = self.out.timestamps.len();
            self.out.floats.resize(len, value);
        } else {
            times.for_each(|t| self.push(t, value));
        }
    }
}

/// Walks over the samples of a chunk.
pub struct XorReader<'a> {
    bits: BitReader<'a>,
    total: u16,
    read: u16,
    t: i64,
    t_delta: i64,
    value: u64,
    window: Window,
}

impl<'a> XorReader<'a> {
    /// Returns a reader before the first sample.
    ///
    /// # Errors
    ///
    /// [`ChunkError::Truncated`] when there is no room for the count.
    pub fn new(chunk: &'a [u8]) -> Result<Self, ChunkError> {
        let total = count(chunk)?;
        let bits = BitReader::new(&chunk[COUNT_BYTES..]);
        Ok(XorReader {
            bits,
            total,
            read: 0,
            t: 0,
            t_delta: 0,
            value: 0,
            window: Window::FULL,
        })
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
    #[inline]
    pub fn next(&mut self) -> Result<Option<(i64, f64)>, ChunkError> {
        if self.read == self.total {
            return Ok(None);
        }
        match self.read {
            0 => {
                self.t = self.bits.varint()?;
                self.value = self.bits.bits(64)?;
            }
            1 => {
                self.t_delta = self.bits.uvarint()?.cast_signed();
                self.advance_time()?;
                self.read_value()?;
            }
            _ => {
                let dod = self.read_delta_of_delta()?;
                self.t_delta = self.t_delta.wrapping_add(dod);
                self.advance_time()?;
                self.read_value()?;
            }
        }
        self.read += 1;
        Ok(Some((self.t, f64::from_bits(self.value))))
    }

    /// Reads samples, not among the first two, as long as they are short.
    ///
    /// The same as [`next`](XorReader::next) in fewer steps, with the state in local variables.
    fn read_short(&mut self, bytes: &'a [u8], sink: &mut Sink<'_>) -> Result<(), ChunkError> {
        let mut place = Place {
            at: 8 * bytes.len() - self.bits.remaining(),
            t: self.t,
            t_delta: self.t_delta,
            value: self.value,
            window: self.window,
        };
        let mut left = self.total - self.read;
        let mut batch = Batch::default();
        while 0 < left && place.t <= sink.maxt {
            let count = place.read_equal(bytes, left, sink)?;
            left -= count;
            let read = place.read_differing(bytes, sink.maxt, left, &mut batch);
            sink.extend(&batch.times[..read], &batch.values[..read]);
            left -= u16::try_from(read).unwrap_or(left);
            if count == 0 && read == 0 {
                break;
            }
        }
        self.bits.seek(bytes, place.at);
        self.read = self.total - left;
        (self.t, self.t_delta) = (place.t, place.t_delta);
        (self.value, self.window) = (place.value, place.window);
        Ok(())
    }

    fn next_plain(&mut self, sink: &mut Sink<'_>) -> Result<(), ChunkError> {
        if let Some((t, value)) = self.next()? {
            sink.push(t, value);
        }
        Ok(())
    }

    #[inline]
    fn advance_time(&mut self) -> Result<(), ChunkError> {
        let t = self
            .t
            .checked_add(self.t_delta)
            .ok_or(ChunkError::Invalid)?;
        if t <= self.t {
            return Err(ChunkError::Invalid);
        }
        self.t = t;
        Ok(())
    }

    #[inline]
    fn read_delta_of_delta(&mut self) -> Result<i64, ChunkError> {
        let width = match self.bits.ones(4)? {
            0 => return Ok(0),
            1 => 14,
            2 => 17,
            3 => 20,
            _ => return self.bits.bits(64).map(u64::cast_signed),
        };
        Ok(middle_positive(self.bits.bits(width)?, width))
    }

    #[inline]
    fn read_value(&mut self) -> Result<(), ChunkError> {
        self.value ^= self.window.read(&mut self.bits)?;
        Ok(())
    }
}

/// Returns the signed number of `width` bits whose range is -(2^(n-1)-1)..=2^(n-1): the one value above the middle stays
/// positive.
#[inline]
fn middle_positive(value: u64, width: u32) -> i64 {
    let value = value.cast_signed();
    if 1 << (width - 1) < value {
        value - (1 << width)
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::chunk::testing::float_samples;
    use proptest::prelude::*;

    fn encode(samples: &[(i64, f64)]) -> Vec<u8> {
        let mut writer = XorWriter::new();
        for &(t, value) in samples {
            writer.append(t, value);
        }
        writer.bytes().to_vec()
    }

    fn decode_all(chunk: &[u8]) -> Result<Vec<(i64, u64)>, ChunkError> {
        let mut out = SampleColumns::default();
        decode(chunk, i64::MIN, i64::MAX, &mut out)?;
        Ok(out
            .timestamps
            .into_iter()
            .zip(out.floats.into_iter().map(f64::to_bits))
            .collect())
    }

    /// The bytes were worked out by hand from the format's description.
    #[test]
    fn layout_is_as_documented() {
        // t0 = 1, v0 = 1.0; t1 = 2 with the same value; t2 = 3 with the same delta and value.
        let chunk = encode(&[(1, 1.0), (2, 1.0), (3, 1.0)]);
        assert_eq!(
            chunk,
            [0, 3, 2, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 1, 0b0000_0000]
        );
        // A value that differs in the top bits: control 11, leading 1, width 10 (bits 62..=53).
        let chunk = encode(&[(0, 1.0), (1, 2.0)]);
        // 0x3ff0… ^ 0x4000… = 0x7ff0…: leading 1, trailing 52, width 11, all ones.
        assert_eq!(chunk[12..], [0b1100_0010, 0b0101_1111, 0b1111_1111]);
        assert_eq!(chunk.len(), 15);
    }

    #[test]
    fn range_is_inclusive_and_stops() {
        let chunk = encode(&[(10, 1.0), (20, 2.0), (30, 3.0), (40, 4.0)]);
        let mut out = SampleColumns::default();
        decode(&chunk, 20, 30, &mut out).unwrap();
        assert_eq!((out.timestamps, out.floats), (vec![20, 30], vec![2.0, 3.0]));
    }

    #[test]
    fn a_chunk_read_twice_gives_each_sample_once() {
        let chunk = encode(&[(10, 1.0), (20, 2.0)]);
        let mut out = SampleColumns::default();
        decode(&chunk, 0, 100, &mut out).unwrap();
        decode(&chunk, 0, 100, &mut out).unwrap();
        assert_eq!(out.timestamps, [10, 20]);
    }

    #[test]
    fn truncated_chunks_are_errors() {
        let chunk = encode(&[(10, 1.0), (20, 2.5), (31, 3.0)]);
        for len in 0..chunk.len() {
            assert!(decode_all(&chunk[..len]).is_err(), "{len}");
        }
    }

    /// What the reader that goes step by step gives.
    fn walk(chunk: &[u8], mint: i64, maxt: i64) -> (Vec<(i64, u64)>, Result<(), ChunkError>) {
        let mut seen = Vec::new();
        let mut walk = || -> Result<(), ChunkError> {
            let mut reader = XorReader::new(chunk)?;
            while let Some((t, value)) = reader.next()? {
                if maxt < t {
                    break;
                }
                if mint <= t {
                    seen.push((t, value.to_bits()));
                }
            }
            Ok(())
        };
        let result = walk();
        (seen, result)
    }

    #[track_caller]
    fn check_agreement(chunk: &[u8], mint: i64, maxt: i64) {
        let mut out = SampleColumns::default();
        let result = decode(chunk, mint, maxt, &mut out);
        let values = out.floats.into_iter().map(f64::to_bits);
        let decoded: Vec<_> = out.timestamps.into_iter().zip(values).collect();
        let (walked, walk_result) = walk(chunk, mint, maxt);
        // A batch may find damage behind a sample that ends the walk, or before the samples of its own run.
        match (result, walk_result) {
            (Ok(()), Ok(())) => assert_eq!(decoded, walked),
            (Err(_), _) => assert!(walked.starts_with(&decoded)),
            (Ok(()), Err(error)) => panic!("only the walk finds {error}"),
        }
    }

    proptest! {
        #[test]
        fn batches_agree_with_the_walk(samples in float_samples(), at: prop::sample::Index, bit in 0u8..8, range: (i16, i16)) {
            let mut chunk = encode(&samples);
            let start = samples[0].0;
            let (mint, maxt) = (start + 1_000 * i64::from(range.0), start + 1_000 * i64::from(range.1));
            check_agreement(&chunk, i64::MIN, i64::MAX);
            check_agreement(&chunk, mint, maxt);
            let at = at.index(chunk.len());
            chunk[at] ^= 1 << bit;
            check_agreement(&chunk, i64::MIN, i64::MAX);
            check_agreement(&chunk, mint, maxt);
        }

        #[test]
        fn decoded_equals_encoded(samples in float_samples()) {
            let expected: Vec<_> = samples.iter().map(|&(t, value)| (t, value.to_bits())).collect();
            prop_assert_eq!(decode_all(&encode(&samples)).unwrap(), expected);
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_all(&bytes);
        }
    }
}
