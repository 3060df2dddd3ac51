//! Why text is no PromQL.

use std::ops::Range;

use crate::position::Position;

/// Why text could not be parsed, with the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}parse error: {message}", self.place())]
pub struct ParseError {
    /// Line of the place, from 1; 0 when there is no place.
    pub line: u32,
    /// Column of the place in its line, in bytes, from 1.
    pub column: u32,
    /// Bytes of the text that are meant.
    pub range: Range<usize>,
    /// What is wrong.
    pub message: String,
}

impl ParseError {
    pub(crate) fn new(position: Position, message: impl Into<String>) -> Self {
        ParseError {
            line: position.line,
            column: position.column,
            range: position.start as usize..position.end as usize,
            message: message.into(),
        }
    }

    pub(crate) fn without_position(message: &str) -> Self {
        ParseError {
            line: 0,
            column: 0,
            range: 0..0,
            message: message.to_owned(),
        }
    }

    fn place(&self) -> String {
        match self.line {
            0 => "unknown position: ".to_owned(),
            line => format!("{line}:{}: ", self.column),
        }
    }
}

/// The error type of the parsers: what is wrong at which place.
#[derive(Debug)]
pub(super) struct Wrong {
    position: Position,
    message: String,
    /// Whether it is a token of which nothing says what it is in.
    is_bare: bool,
}

impl Wrong {
    pub(super) fn new(position: Position, message: impl Into<String>) -> Self {
        Wrong {
            position,
            message: message.into(),
            is_bare: false,
        }
    }

    /// An unexpected token that is in nothing with a name.
    pub(super) fn bare(position: Position, message: String) -> Self {
        Wrong {
            is_bare: true,
            ..Wrong::new(position, message)
        }
    }

    /// Names what a bare token is in.
    pub(super) fn within(mut self, context: &str) -> Self {
        if self.is_bare {
            self.message += &format!(" in {context}");
        }
        self.is_bare = false;
        self
    }

    /// Returns the error that ends parsing.
    pub(super) fn fail<T>(
        position: Position,
        message: impl Into<String>,
    ) -> Result<T, nom::Err<Wrong>> {
        Err(nom::Err::Failure(Wrong::new(position, message)))
    }
}

impl From<Wrong> for ParseError {
    fn from(wrong: Wrong) -> Self {
        ParseError::new(wrong.position, wrong.message)
    }
}
