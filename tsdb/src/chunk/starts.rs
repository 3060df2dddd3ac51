//! Start timestamps in a chunk: since when the counter counts that has the sample.
//!
//! ```text
//! header: 1 bit: sample 0 has one │ 7 bits: the sample from which on each has one, 0 for none
//! ```
//!
//! A start timestamp stands after its sample: after sample 0 as a varint of how long it is before that, after the first
//! of those that each have one as a varbit int of how long it is before the sample before, after the others as a varbit
//! int of how much that changed. The sample from which on each has one is the first whose start timestamp is not that of
//! the one before, or sample 127: the header has no room for a later one. Unknown is 0, and a difference like all.
//!
//! Source: Prometheus, the encodings `XOR2`, `histogramST` and `floathistogramST`.

use super::ChunkError;
use super::bits::{BitReader, BitSink, BitWriter};
use super::varbit::{push_int, read_int};

/// Where the header is in a chunk of any of the encodings.
pub const HEADER_AT: usize = 2;
/// The last sample from which on each can have one.
pub const FROM_MAX: u16 = 0x7f;

/// Start timestamps that are being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Starts {
    first: bool,
    /// 0 is none.
    from: u16,
    start: i64,
    /// How long `start` is before the sample before, once each sample has one.
    diff: i64,
}

impl Starts {
    /// No sample has one.
    pub const NONE: Starts = Starts {
        first: false,
        from: 0,
        start: 0,
        diff: 0,
    };

    /// Takes the header apart.
    pub fn from_header(header: u8) -> Self {
        Starts {
            first: header & 0x80 != 0,
            from: u16::from(header & 0x7f),
            ..Starts::NONE
        }
    }

    /// Returns that of the last sample that was read: milliseconds since the epoch, 0 if it is unknown.
    #[inline]
    pub fn start(self) -> i64 {
        self.start
    }

    /// Reads what stands after the sample `index`, which has just been read.
    ///
    /// * `t`, `before`: times of that sample and of the one before.
    ///
    /// # Errors
    ///
    /// When the bits end early.
    #[inline]
    pub fn read(
        &mut self,
        bits: &mut BitReader<'_>,
        index: u16,
        t: i64,
        before: i64,
    ) -> Result<(), ChunkError> {
        if index == 0 {
            if self.first {
                self.start = t.wrapping_sub(bits.varint()?);
            }
        } else if self.from != 0 && self.from <= index {
            self.diff = self.diff.wrapping_add(read_int(bits)?);
            self.start = before.wrapping_sub(self.diff);
        }
        Ok(())
    }
}

/// Start timestamps that are being written.
#[derive(Debug, Default)]
pub struct StartsWriter {
    header: u8,
    start: i64,
    diff: i64,
}

impl StartsWriter {
    /// Writes what stands after the sample `index`, which has just been written to `bits`, and the header. Samples must
    /// come in order, at least from the first that has a start timestamp on, which must be at most [`FROM_MAX`].
    ///
    /// * `t`, `before`: times of that sample and of the one before. `start`: 0 if it is unknown.
    pub fn push(&mut self, bits: &mut BitWriter, index: u16, t: i64, before: i64, start: i64) {
        let from = u16::from(self.header & 0x7f);
        if index == 0 {
            if start != 0 {
                self.header = 0x80;
                bits.push_varint(t.wrapping_sub(start));
            }
        } else if from != 0 {
            let diff = before.wrapping_sub(start);
            push_int(bits, diff.wrapping_sub(self.diff));
            self.diff = diff;
        } else if start != self.start || index == FROM_MAX {
            debug_assert!(index <= FROM_MAX);
            self.diff = before.wrapping_sub(start);
            #[expect(clippy::cast_possible_truncation, reason = "at most 127")]
            let from = index as u8;
            self.header |= from;
            push_int(bits, self.diff);
        }
        self.start = start;
        bits.bytes_mut()[HEADER_AT] = self.header;
    }
}
