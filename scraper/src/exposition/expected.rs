//! A series that is expected next, known by its hash.
//!
//! A target's lines are the same each time. To keep their texts costs more than all else that is known of a series, and to
//! compare with them means to read as much again as the body has; a hash is kept instead. It is one of 64 bits with a key
//! that is drawn when the process starts, and the length counts too: that a line which came in another's place is taken for
//! it has a chance of one in 2^64, whoever writes the lines.

use std::sync::LazyLock;

use rapidhash::v3::{RapidSecrets, rapidhash_v3_inline};

static SECRETS: LazyLock<RapidSecrets> = LazyLock::new(RapidSecrets::random);

/// A series as written, or no idea of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Expected {
    hash: u64,
    /// In bytes; 0 is no idea.
    len: u32,
}

impl Expected {
    /// No idea.
    pub const NOTHING: Expected = Expected { hash: 0, len: 0 };

    /// Returns the series that is written as `series`, of less than 4 GiB.
    pub fn of(series: &str) -> Self {
        Expected {
            hash: hash(series.as_bytes()),
            len: u32::try_from(series.len()).unwrap_or(u32::MAX),
        }
    }

    pub(crate) fn from_parts(hash: u64, len: u32) -> Self {
        Expected { hash, len }
    }

    pub(crate) fn hash(self) -> u64 {
        self.hash
    }

    /// Returns how long it is, in bytes; 0 is no idea.
    #[inline]
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Returns whether there is no idea of one.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Returns whether `series` is it.
    #[inline]
    pub fn is(self, series: &str) -> bool {
        self.is_bytes(series.as_bytes())
    }

    #[inline]
    pub(super) fn is_bytes(self, series: &[u8]) -> bool {
        self.len != 0 && series.len() == self.len() && hash(series) == self.hash
    }
}

#[inline]
fn hash(series: &[u8]) -> u64 {
    rapidhash_v3_inline::<true, false, true>(series, &SECRETS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_it_was_made_of() {
        let up = Expected::of("up{a=\"b\"}");
        assert_eq!(up.len(), 9);
        assert!(up.is("up{a=\"b\"}"));
        for other in ["", "up", "up{a=\"c\"}", "up{a=\"b\"} "] {
            assert!(!up.is(other), "{other}");
            assert!(!Expected::NOTHING.is(other), "{other}");
        }
        assert!(Expected::NOTHING.is_empty() && Expected::of("").is_empty() && !up.is_empty());
        assert_eq!(Expected::from_parts(up.hash(), 9), up);
    }
}
