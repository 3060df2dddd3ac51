//! Chunk codecs: compressed runs of one series' samples, bit for bit as Prometheus writes them.

pub mod bits;
pub mod xor;

/// How a chunk's bytes are to be read: the encoding byte beside it on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Floats, Gorilla style: [`xor`].
    Xor,
}

impl Encoding {
    /// Returns the byte that stands for this encoding on disk.
    pub const fn as_byte(self) -> u8 {
        match self {
            Encoding::Xor => 1,
        }
    }

    /// Returns the encoding of a byte, if this build reads it.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Encoding::Xor),
            _ => None,
        }
    }
}

/// Why a chunk's bytes cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The samples go on past the last byte.
    #[error("chunk ends before its last sample")]
    Truncated,
    /// A variable-length integer has more than ten bytes, or times do not ascend.
    #[error("chunk holds an impossible value")]
    Invalid,
}
