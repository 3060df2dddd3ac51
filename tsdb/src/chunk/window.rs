//! Floats as the XOR with the float before: only the bits between the leading and the trailing zeros are written.
//!
//! ```text
//! 0 = same value │ 10 + bits in the last window │ 11 + 5 bits leading + 6 bits width (0 is 64) + bits
//! ```
//!
//! Source: Prometheus chunk format documentation, `varbit_xor`.

use super::ChunkError;
use super::bits::BitReader;

/// Most leading zeros that five bits can say.
const LEADING_MAX: u8 = 31;
/// No window of significant bits has been written yet.
const NONE: u8 = 0xff;

/// Which bits of the last XOR were significant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    leading: u8,
    trailing: u8,
}

impl Window {
    /// No window yet: the next XOR that is not zero brings its own.
    pub const UNSET: Window = Window {
        leading: NONE,
        trailing: 0,
    };

    /// All 64 bits.
    pub const FULL: Window = Window {
        leading: 0,
        trailing: 0,
    };

    /// Returns the narrowest window for `xor`, which must not be zero.
    #[inline]
    pub fn of(xor: u64) -> Self {
        debug_assert!(xor != 0);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "zero counts are at most 63 here"
        )]
        let (leading, trailing) = (xor.leading_zeros() as u8, xor.trailing_zeros() as u8);
        Window {
            leading: leading.min(LEADING_MAX),
            trailing,
        }
    }

    /// Returns whether all significant bits of `other` are in this window.
    #[inline]
    pub fn covers(self, other: Window) -> bool {
        self.leading != NONE && self.leading <= other.leading && self.trailing <= other.trailing
    }

    /// Returns how many bits there are in the window.
    #[inline]
    pub fn width(self) -> u8 {
        64 - self.leading - self.trailing
    }

    /// Returns the window's description in 11 bits: leading zeros, width.
    #[inline]
    pub fn header(self) -> u64 {
        // All 64 bits are written as 0: no bits at all cannot occur.
        u64::from(self.leading) << 6 | u64::from(self.width() & 63)
    }

    /// Returns the significant bits of `xor`, right-aligned.
    #[inline]
    pub fn significant(self, xor: u64) -> u64 {
        xor >> self.trailing
    }

    /// Writes `xor` through `push(bits, count)` and remembers its window.
    #[inline]
    pub fn push(&mut self, xor: u64, mut push: impl FnMut(u64, u8)) {
        if xor == 0 {
            return push(0, 1);
        }
        let narrowest = Window::of(xor);
        if self.covers(narrowest) {
            push(0b10, 2);
        } else {
            *self = narrowest;
            push(0b11 << 11 | self.header(), 13);
        }
        push(self.significant(xor), self.width());
    }

    /// Reads what [`push`](Window::push) wrote.
    ///
    /// # Errors
    ///
    /// When the bits end early or the window is wider than 64 bits.
    #[inline]
    pub fn read(&mut self, bits: &mut BitReader<'_>) -> Result<u64, ChunkError> {
        match bits.ones(2)? {
            0 => return Ok(0),
            1 => (),
            _ => self.read_header(bits)?,
        }
        self.read_significant(bits)
    }

    /// Reads a window's description.
    ///
    /// # Errors
    ///
    /// As [`read`](Window::read).
    #[inline]
    pub fn read_header(&mut self, bits: &mut BitReader<'_>) -> Result<(), ChunkError> {
        *self = Window::from_header(bits.bits(11)?)?;
        Ok(())
    }

    /// Returns the window of a description in 11 bits.
    ///
    /// # Errors
    ///
    /// When it is wider than 64 bits.
    #[inline]
    pub fn from_header(header: u64) -> Result<Self, ChunkError> {
        #[expect(clippy::cast_possible_truncation, reason = "of 5 and 6 bits")]
        let (leading, width) = ((header >> 6) as u8, (header & 63) as u8);
        let width = if width == 0 { 64 } else { width };
        if 64 < leading + width {
            return Err(ChunkError::Invalid);
        }
        Ok(Window {
            leading,
            trailing: 64 - leading - width,
        })
    }

    /// Reads the bits in the window and puts them where they belong.
    ///
    /// # Errors
    ///
    /// [`ChunkError::Truncated`].
    #[inline]
    pub fn read_significant(self, bits: &mut BitReader<'_>) -> Result<u64, ChunkError> {
        Ok(bits.bits(u32::from(self.width()))? << self.trailing)
    }

    /// Puts the bits in the window, which are the top ones of `bits`, where they belong.
    #[inline]
    pub fn place(self, bits: u64) -> u64 {
        bits >> (64 - self.width()) << self.trailing
    }
}
