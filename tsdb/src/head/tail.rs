//! The open chunk of a series of floats: what the next sample is a difference to, and where its bits are.

use super::lines::{Chain, Lines};
use crate::chunk::ChunkError;
use crate::chunk::window::Window;
use crate::chunk::xor::{self, XorState};

/// An XOR chunk that is being written, in the [`Lines`] of its page. There is one for each series, so it is small.
#[derive(Debug)]
pub struct XorTail {
    t: i64,
    value: f64,
    /// From the first sample to the last, in milliseconds.
    span_ms: u32,
    /// From the last sample but one to the last.
    delta_ms: u32,
    chain: Chain,
    count: u16,
    window: Window,
}

impl Default for XorTail {
    fn default() -> Self {
        XorTail {
            t: 0,
            value: 0.0,
            span_ms: 0,
            delta_ms: 0,
            chain: Chain::EMPTY,
            count: 0,
            window: Window::UNSET,
        }
    }
}

impl XorTail {
    /// Returns a chunk that goes on after the last sample of `bytes`.
    ///
    /// # Errors
    ///
    /// When the bytes are no chunk, or one that the head would have cut.
    pub fn resume(mint: i64, bytes: &[u8], lines: &mut Lines) -> Result<Self, ChunkError> {
        let (state, free) = XorState::after(bytes)?;
        let ms = |ms: i64| u32::try_from(ms).map_err(|_| ChunkError::Invalid);
        if Chain::BYTES_MAX < bytes.len() || state.count == 0 {
            return Err(ChunkError::Invalid);
        }
        Ok(XorTail {
            t: state.t,
            value: state.value,
            span_ms: ms(state.t.saturating_sub(mint))?,
            delta_ms: ms(state.t_delta)?,
            chain: Chain::of(bytes, free, lines),
            count: state.count,
            window: state.window,
        })
    }

    /// Returns how many samples there are.
    #[inline]
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Returns the time of the first sample; meaningless before it.
    #[inline]
    pub fn mint(&self) -> i64 {
        self.t - i64::from(self.span_ms)
    }

    /// Returns the last sample; meaningless before the first.
    #[inline]
    pub fn last(&self) -> (i64, f64) {
        (self.t, self.value)
    }

    /// Returns how many bytes there are.
    #[inline]
    pub fn byte_count(&self) -> usize {
        self.chain.byte_count()
    }

    /// Returns whether a sample of this time, which is newer than the last one, is near enough to the first: 49 days.
    #[inline]
    pub fn reaches(&self, t: i64) -> bool {
        self.count == 0 || t.saturating_sub(self.mint()) <= i64::from(u32::MAX)
    }

    /// Appends a sample, which must be newer than the last one and [near enough](XorTail::reaches).
    #[inline]
    pub fn append(&mut self, lines: &mut Lines, t: i64, value: f64) {
        let mut state = XorState {
            t: self.t,
            t_delta: i64::from(self.delta_ms),
            value: self.value,
            count: self.count,
            window: self.window,
        };
        // Of the first sample both are nothing.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive and within 49 days"
        )]
        if self.count != 0 {
            self.delta_ms = (t - self.t) as u32;
            self.span_ms += self.delta_ms;
        }
        state.append(&mut self.chain.pen(lines), t, value);
        (self.t, self.value) = (t, value);
        (self.count, self.window) = (state.count, state.window);
    }

    /// Replaces what is in `out` by the chunk's bytes.
    pub fn copy_to(&self, lines: &Lines, out: &mut Vec<u8>) {
        self.chain.copy_to(lines, out);
        if self.count != 0 {
            xor::set_count(out, self.count);
        }
    }

    /// Starts again with an empty chunk and gives the lines back.
    pub fn release(&mut self, lines: &mut Lines) {
        self.chain.release(lines);
        *self = XorTail::default();
    }

    /// Moves the bits from `old`, which is about to go, to `new`.
    pub fn move_to(&mut self, old: &Lines, new: &mut Lines) {
        self.chain.move_to(old, new);
    }

    /// Fetches what the next sample will be written to into the cache.
    #[inline]
    pub fn prefetch(&self, lines: &Lines) {
        lines.prefetch(&self.chain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::testing::float_samples;
    use crate::chunk::xor::XorWriter;
    use model::storage::SampleColumns;
    use proptest::prelude::*;

    proptest! {
        /// The bytes are those of a chunk in one piece, and what goes on after them reads back.
        #[test]
        fn bytes_are_those_of_one_piece(samples in float_samples(), stop: prop::sample::Index) {
            let mut lines = Lines::default();
            let mut copy = Vec::new();
            let (mut tail, mut plain) = (XorTail::default(), XorWriter::new());
            let far = samples.iter().position(|s| i64::from(u32::MAX) < s.0.saturating_sub(samples[0].0));
            let samples = &samples[..far.unwrap_or(samples.len())];
            let stop = stop.index(samples.len());
            for (index, &(t, value)) in samples.iter().enumerate() {
                prop_assert!(tail.reaches(t));
                tail.append(&mut lines, t, value);
                if index <= stop {
                    plain.append(t, value);
                    prop_assert_eq!(tail.byte_count(), plain.bytes().len());
                }
                prop_assert_eq!((tail.mint(), tail.last().0), (samples[0].0, t));
                if index == stop {
                    tail.copy_to(&lines, &mut copy);
                    prop_assert_eq!(&copy[..], plain.bytes());
                    tail.release(&mut lines);
                    tail = XorTail::resume(samples[0].0, plain.bytes(), &mut lines).unwrap();
                }
            }
            let mut out = SampleColumns::default();
            tail.copy_to(&lines, &mut copy);
            xor::decode(&copy, i64::MIN, i64::MAX, &mut out).unwrap();
            let values = out.floats.iter().map(|value| value.to_bits());
            let read: Vec<_> = out.timestamps.iter().copied().zip(values).collect();
            let expected: Vec<_> = samples.iter().map(|&(t, value)| (t, value.to_bits())).collect();
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let mut lines = Lines::default();
        for bytes in [&[][..], &[0, 0], &[0, 5, 1]] {
            assert!(XorTail::resume(0, bytes, &mut lines).is_err());
        }
    }
}
