//! Samples that take few bits, read several at a time: all but the first two of a chunk, and those after a gap or an odd scrape.

use super::{Sink, middle_positive};
use crate::chunk::ChunkError;
use crate::chunk::window::Window;

/// How many samples are decoded before they are handed on.
const BATCH: usize = 32;

/// Samples on their way.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) times: [i64; BATCH],
    pub(super) values: [f64; BATCH],
}

/// Where in a chunk a reader is, and what it has to know of the samples before.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// In bits.
    pub(super) at: usize,
    pub(super) t: i64,
    pub(super) t_delta: i64,
    pub(super) value: u64,
    pub(super) window: Window,
}

impl Place {
    /// Reads the next samples, at most `left`, as long as they differ in nothing, as each pair of zeros says; returns how many.
    #[inline]
    pub(super) fn read_equal(
        &mut self,
        bytes: &[u8],
        left: u16,
        sink: &mut Sink<'_>,
    ) -> Result<u16, ChunkError> {
        let mut all = 0;
        while all < left {
            let (bits, valid) = load(bytes, self.at);
            let pairs = u16::try_from(bits.leading_zeros().min(valid) / 2).unwrap_or(0);
            let run = pairs.min(left - all);
            if run == 0 || sink.maxt < self.t {
                break;
            }
            let length = self.t_delta.checked_mul(i64::from(run));
            let last = length.and_then(|length| self.t.checked_add(length));
            let last = last.filter(|&last| self.t < last);
            let last = last.ok_or(ChunkError::Invalid)?;
            sink.push_run(self.t, self.t_delta, run, f64::from_bits(self.value));
            (self.t, self.at) = (last, self.at + 2 * usize::from(run));
            all += run;
        }
        Ok(all)
    }

    /// Reads the next samples, at most `left`, to the front of `out` until that is full, as long as they differ, but not by too
    /// much, and none after the first that is newer than `maxt`; returns how many. Before what is not valid it stops too.
    ///
    /// What a sample needs is taken out of two loads. That a value has a window of its own is a branch on purpose: foretold
    /// mostly right, the processor need not wait for one sample to know where the next begins.
    #[inline]
    pub(super) fn read_differing(
        &mut self,
        bytes: &[u8],
        maxt: i64,
        left: u16,
        out: &mut Batch,
    ) -> usize {
        let mut place = *self;
        let room = usize::from(left).min(BATCH);
        let mut read = 0;
        while read < room && place.t <= maxt {
            let (bits, valid) = load(bytes, place.at);
            if bits >> 62 == 0 {
                break;
            }
            let Some((dod, used)) = short_dod(bits) else {
                break;
            };
            let control = bits << used;
            let (mut at, mut value, mut window) =
                (place.at + used as usize, place.value, place.window);
            if control >> 63 == 0 {
                at += 1;
                if valid <= used {
                    break;
                }
            } else {
                at += 2;
                if control >> 62 == 0b11 {
                    let Ok(own) = Window::from_header(control << 2 >> 53) else {
                        break;
                    };
                    window = own;
                    at += 11;
                }
                let (mut significant, valid) = load(bytes, at);
                let width = window.width();
                if valid < u32::from(width) {
                    // Of noisy gauges nearly all bits differ.
                    let Some(rest) = ninth_byte(bytes, at) else {
                        break;
                    };
                    significant |= rest;
                }
                at += usize::from(width);
                value ^= window.place(significant);
            }
            let t_delta = place.t_delta.wrapping_add(dod);
            let Some(t) = place.t.checked_add(t_delta).filter(|&t| place.t < t) else {
                break;
            };
            place = Place {
                at,
                t,
                t_delta,
                value,
                window,
            };
            out.times[read] = t;
            out.values[read] = f64::from_bits(value);
            read += 1;
        }
        *self = place;
        read
    }
}

/// Returns the bits from bit `at` on, left-aligned and followed by zeros, and how many they are: at least 57, but near the
/// end.
#[inline]
fn load(bytes: &[u8], at: usize) -> (u64, u32) {
    #[expect(clippy::cast_possible_truncation, reason = "below 8")]
    let skipped = (at % 8) as u32;
    match bytes.get(at / 8..).and_then(<[u8]>::first_chunk::<8>) {
        Some(word) => (u64::from_be_bytes(*word) << skipped, 64 - skipped),
        None => load_last(bytes, at),
    }
}

#[cold]
fn load_last(bytes: &[u8], at: usize) -> (u64, u32) {
    let rest = bytes.get(at / 8..).unwrap_or_default();
    let mut word = [0; 8];
    let count = rest.len().min(7);
    word[..count].copy_from_slice(&rest[..count]);
    #[expect(clippy::cast_possible_truncation, reason = "at most 56")]
    let valid = (8 * rest.len()).saturating_sub(at % 8) as u32;
    (u64::from_be_bytes(word) << (at % 8), valid)
}

/// Returns the bits after those of [`load`], at their place in its word; `None` near the end.
#[inline]
fn ninth_byte(bytes: &[u8], at: usize) -> Option<u64> {
    let byte = bytes.get(at / 8 + 8)?;
    Some(u64::from(*byte) >> (8 - at % 8))
}

/// Returns the delta of deltas at the front of `bits` and how many bits it has; `None` if it has more than 24.
#[inline]
fn short_dod(bits: u64) -> Option<(i64, u32)> {
    let (used, width) = match (!bits).leading_zeros() {
        0 => return Some((0, 1)),
        1 => (16, 14),
        2 => (20, 17),
        3 => (24, 20),
        _ => return None,
    };
    let value = bits << (used - width) >> (64 - width);
    Some((middle_positive(value, width), used))
}
