//! Where things are in query text.

use std::fmt;

/// A byte range of query text, and where it begins for people.
///
/// All positions are equal: a position says where a node was written, not what it is, so trees compare by meaning.
#[derive(Clone, Copy, Default)]
pub struct Position {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
    /// Line of the first byte, from 1.
    pub line: u32,
    /// Column of the first byte in its line, in bytes, from 1.
    pub column: u32,
}

impl Position {
    /// Returns the position that begins where `self` does and ends where `last` does.
    pub(crate) fn to(self, last: Position) -> Position {
        Position {
            end: last.end,
            ..self
        }
    }
}

impl PartialEq for Position {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Position {}

/// Prints `line:column`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}
