//! Start timestamps in a chunk, as far as they have to be skipped.
//!
//! ```text
//! header: 1 bit: sample 0 has one │ 7 bits: the sample from which on each has one, 0 for none
//! ```
//!
//! A start timestamp stands after its sample: as a varint after sample 0, as a varbit int after others.
//!
//! Source: Prometheus, the encodings `XOR2`, `histogramST` and `floathistogramST`.

use super::ChunkError;
use super::bits::BitReader;
use super::varbit::read_int;

/// Which samples of a chunk have a start timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Starts {
    first: bool,
    /// 0 is none.
    from: u16,
}

impl Starts {
    /// No sample has one.
    pub const NONE: Starts = Starts {
        first: false,
        from: 0,
    };

    /// Takes the header apart.
    pub fn from_header(header: u8) -> Self {
        Starts {
            first: header & 0x80 != 0,
            from: u16::from(header & 0x7f),
        }
    }

    /// Skips the start timestamp of the sample `index`, which has just been read, if it has one.
    ///
    /// # Errors
    ///
    /// When the bits end early.
    #[inline]
    pub fn skip(self, bits: &mut BitReader<'_>, index: u16) -> Result<(), ChunkError> {
        if index == 0 {
            if self.first {
                bits.varint()?;
            }
        } else if self.from != 0 && self.from <= index {
            read_int(bits)?;
        }
        Ok(())
    }
}
