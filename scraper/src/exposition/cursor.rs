//! A place in a body, and the parts that both text formats share: names, strings, braces, values.

use super::{Expected, ParseError, Place, number};

/// A place in a text.
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// How strictly white space and commas are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Spacing {
    /// Spaces and tabs between any two tokens; commas between labels are optional.
    Free,
    /// Single spaces, only where the format puts them.
    Strict,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Cursor { text, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn move_to(&mut self, at: usize) {
        self.at = at;
    }

    pub(super) fn skip(&mut self, bytes: usize) {
        self.at += bytes;
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// Returns the text from `start` to here.
    pub(super) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// Moves behind `byte` if it is next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Moves behind spaces and tabs.
    pub(super) fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    fn skip_blanks_if(&mut self, spacing: Spacing) {
        if spacing == Spacing::Free {
            self.skip_blanks();
        }
    }

    /// Returns the rest of the line and moves behind its end.
    pub(super) fn take_line(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest.find('\n').unwrap_or(rest.len());
        self.at = (self.at + end + 1).min(self.text.len());
        &rest[..end]
    }

    /// Returns the text up to the next byte that `is_end` says yes to, which must be ASCII, and moves there.
    pub(super) fn take_until(&mut self, is_end: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        let bytes = self.text.as_bytes();
        while self.at < bytes.len() && !is_end(bytes[self.at]) {
            self.at += 1;
        }
        self.since(start)
    }

    /// Returns an error about this place.
    pub(super) fn error(&self, expected: &str) -> ParseError {
        let line = 1 + self.text.as_bytes()[..self.at]
            .iter()
            .filter(|&&b| b == b'\n')
            .count();
        let found: String = self.text[self.at..]
            .chars()
            .take_while(|&c| c != '\n')
            .take(40)
            .collect();
        let found = if found.is_empty() {
            "the end of the line".to_owned()
        } else {
            format!("{found:?}")
        };
        ParseError {
            place: Place::Line(line),
            what: format!("{expected}, got {found}"),
        }
    }

    /// Moves behind `expected` if that series is next and ends there.
    pub(super) fn eat_series(&mut self, expected: Expected) -> bool {
        let Some((series, rest)) = self.bytes().split_at_checked(expected.len()) else {
            return false;
        };
        // A closing brace ends a series; a bare name might go on, or have its braces after a space.
        let is_whole = match (series.last(), rest) {
            (None, _) => false,
            (Some(b'}'), _) => true,
            (_, [b' ', b'{' | b' ' | b'\t', ..]) => false,
            (_, [b' ', ..]) => true,
            _ => false,
        };
        if !is_whole || !expected.is_bytes(series) {
            return false;
        }
        self.at += expected.len();
        true
    }

    /// Moves behind a series: a name, labels in braces, or both.
    pub(super) fn series(&mut self, spacing: Spacing) -> Result<(), ParseError> {
        let name = self.take_until(|b| !is_name_byte(b));
        if name.as_bytes().first().is_some_and(u8::is_ascii_digit) {
            self.at -= name.len();
            return Err(self.error("expected a valid start token"));
        }
        let after_name = self.at;
        self.skip_blanks_if(spacing);
        if self.peek() == Some(b'{') {
            return self.braces(spacing, name.is_empty());
        }
        self.at = after_name;
        if name.is_empty() {
            Err(self.error("expected a valid start token"))
        } else {
            Ok(())
        }
    }

    /// Moves behind labels in braces; with `needs_name`, a metric name in quotes must be among them.
    pub(super) fn braces(&mut self, spacing: Spacing, needs_name: bool) -> Result<(), ParseError> {
        self.skip(1);
        let mut needs_name = needs_name;
        loop {
            self.skip_blanks_if(spacing);
            if self.eat(b'}') {
                break;
            }
            if self.label(spacing, &mut needs_name)? {
                continue;
            }
            self.skip_blanks_if(spacing);
            if !self.eat(b',') && self.peek() != Some(b'}') && spacing == Spacing::Strict {
                return Err(self.error("expected comma or brace close"));
            }
        }
        if needs_name {
            Err(self.error("metric name not set while parsing"))
        } else {
            Ok(())
        }
    }

    /// Moves behind one label, or a metric name in quotes with its comma; returns whether it was the latter.
    fn label(&mut self, spacing: Spacing, needs_name: &mut bool) -> Result<bool, ParseError> {
        let is_quoted = self.peek() == Some(b'"');
        if is_quoted {
            self.string(spacing)?;
        } else {
            let name = self.take_until(|b| !is_name_byte(b) || b == b':');
            if name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
                return Err(self.error("expected label name"));
            }
        }
        self.skip_blanks_if(spacing);
        if is_quoted && matches!(self.peek(), Some(b',' | b'}')) {
            if !*needs_name {
                return Err(self.error("metric name already set while parsing"));
            }
            *needs_name = false;
            self.eat(b',');
            return Ok(true);
        }
        if !self.eat(b'=') {
            return Err(self.error("expected equal"));
        }
        self.skip_blanks_if(spacing);
        if self.peek() != Some(b'"') {
            return Err(self.error("expected label value"));
        }
        self.string(spacing)?;
        Ok(false)
    }

    /// Moves behind a string in quotes.
    pub(super) fn string(&mut self, spacing: Spacing) -> Result<(), ParseError> {
        let start = self.at;
        self.skip(1);
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.skip(1);
                    return Ok(());
                }
                Some(b'\\') if self.at + 1 < bytes.len() => self.skip(2),
                Some(b'\n') if spacing == Spacing::Strict => break,
                Some(b'\\') | None => break,
                Some(_) => self.skip(1),
            }
        }
        self.at = start;
        Err(self.error("expected a closed string"))
    }

    /// Returns the value here, which ends before white space, and moves behind it.
    pub(super) fn value(&mut self) -> Result<f64, ParseError> {
        if let Some((value, length)) = number::parse_plain_prefix(self.bytes())
            && matches!(self.bytes().get(length), None | Some(b' ' | b'\t' | b'\n'))
        {
            self.at += length;
            return Ok(value);
        }
        let start = self.at;
        let token = self.take_until(|b| matches!(b, b' ' | b'\t' | b'\n' | b'{'));
        number::parse(token).ok_or_else(|| {
            self.at = start;
            self.error("expected value after metric")
        })
    }
}

/// Returns whether `byte` may stand in a bare metric name.
pub(super) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':'
}
