//! The newer language: names and values in any script, in double quotes with Go's escapes where they are not words.

use model::{MatchOp, Matcher};

use crate::template::go_regex_error;

/// Returns whether a character can only stand in quotes.
pub(super) fn is_reserved(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '{' | '}' | '!' | '=' | '~' | ',' | '\\' | '"' | '\'' | '`'
        )
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    OpenBrace,
    CloseBrace,
    Comma,
    Operator(MatchOp),
    Quoted,
    Word,
}

/// A token: what it is, its text, and its columns, counted in characters from 0, the end exclusive.
#[derive(Clone, Copy)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
    from: usize,
    to: usize,
}

impl Token<'_> {
    fn error(&self, what: &str) -> String {
        format!("{}:{}: {}: {what}", self.from, self.to, self.text)
    }
}

/// Parses a list of matchers: braces at both ends or at neither.
///
/// # Errors
///
/// What is wrong, after the columns of the part that it is about.
pub(super) fn parse(text: &str) -> Result<Vec<Matcher>, String> {
    let mut parser = Parser {
        text,
        rest: text,
        column: 0,
    };
    let matchers = parser.list()?;
    match parser.next() {
        Ok(None) => Ok(matchers),
        Ok(Some(token)) => Err(token.error("expected end of input")),
        Err(error) => Err(format!("{error}: expected end of input")),
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    column: usize,
}

impl<'a> Parser<'a> {
    fn list(&mut self) -> Result<Vec<Matcher>, String> {
        let mut matchers = Vec::new();
        let is_open = matches!(self.peek(), Ok(Some(token)) if token.kind == Kind::OpenBrace);
        if is_open {
            self.next()?;
        }
        while !self.is_at_end() {
            matchers.push(self.matcher()?);
            match self.peek() {
                Ok(Some(token)) if token.kind == Kind::Comma => {
                    self.next()?;
                    self.after_comma()?;
                }
                Ok(Some(token)) if token.kind != Kind::CloseBrace => {
                    return Err(unexpected(&token, "expected a comma or close brace"));
                }
                Ok(_) => break,
                Err(error) => return Err(format!("{error}: expected a comma or close brace")),
            }
        }
        self.close(is_open)?;
        Ok(matchers)
    }

    fn is_at_end(&self) -> bool {
        match self.peek() {
            Ok(None) => true,
            Ok(Some(token)) => token.kind == Kind::CloseBrace,
            Err(_) => false,
        }
    }

    /// Checks what follows a comma: a matcher, a brace, or the end.
    fn after_comma(&self) -> Result<(), String> {
        const EXPECTED: &str = "expected a matcher or close brace after comma";
        match self.peek() {
            Ok(Some(token)) => match token.kind {
                Kind::CloseBrace | Kind::Quoted | Kind::Word => Ok(()),
                _ => Err(unexpected(&token, EXPECTED)),
            },
            Ok(None) => Ok(()),
            Err(error) => Err(format!("{error}: {EXPECTED}")),
        }
    }

    /// Reads the closing brace, which must be there if and only if there was an opening one.
    fn close(&mut self, is_open: bool) -> Result<(), String> {
        let end = self.text.len();
        match (self.peek(), is_open) {
            (Ok(Some(token)), true) if token.kind == Kind::CloseBrace => {
                self.next()?;
                Ok(())
            }
            (Ok(Some(token)), false) if token.kind == Kind::CloseBrace => {
                Err(format!("0:{end}: }}: expected opening brace"))
            }
            (Ok(None), true) => Err(format!("0:{end}: end of input: expected close brace")),
            (Ok(Some(token)), true) => Err(format!(
                "0:{end}: {}",
                unexpected(&token, "expected close brace")
            )),
            (Err(error), true) => Err(format!("0:{end}: {error}: expected close brace")),
            (_, false) => Ok(()),
        }
    }

    fn matcher(&mut self) -> Result<Matcher, String> {
        const OPERATOR: &str = "expected an operator such as '=', '!=', '=~' or '!~'";
        let name = self.text("expected label name")?;
        let token = self.expect(OPERATOR)?;
        let Kind::Operator(op) = token.kind else {
            return Err(unexpected(&token, OPERATOR));
        };
        let value = self.text("expected label value")?;
        Matcher::new(name, op, value).map_err(|error| {
            let why = go_regex_error(&format!("^(?:{})$", error.pattern));
            format!("failed to create matcher: {why}")
        })
    }

    /// Reads a name or a value.
    fn text(&mut self, expected: &str) -> Result<String, String> {
        let token = self.expect(expected)?;
        match token.kind {
            Kind::Word => Ok(token.text.to_owned()),
            Kind::Quoted => unquote(token.text).ok_or_else(|| token.error("invalid input")),
            _ => Err(unexpected(&token, expected)),
        }
    }

    fn expect(&mut self, expected: &str) -> Result<Token<'a>, String> {
        match self.next() {
            Ok(Some(token)) => Ok(token),
            Ok(None) => Err(format!("end of input: {expected}")),
            Err(error) => Err(format!("{error}: {expected}")),
        }
    }

    fn peek(&self) -> Result<Option<Token<'a>>, String> {
        Parser {
            text: self.text,
            rest: self.rest,
            column: self.column,
        }
        .next()
    }

    fn next(&mut self) -> Result<Option<Token<'a>>, String> {
        let trimmed = self.rest.trim_start();
        let blank = &self.rest[..self.rest.len() - trimmed.len()];
        self.column += blank.chars().count();
        self.rest = trimmed;
        let Some(first) = trimmed.chars().next() else {
            return Ok(None);
        };
        let (kind, length) = match first {
            '{' => (Kind::OpenBrace, 1),
            '}' => (Kind::CloseBrace, 1),
            ',' => (Kind::Comma, 1),
            '=' | '!' => match super::classic::operator(trimmed) {
                Some((op, rest)) => (Kind::Operator(op), trimmed.len() - rest.len()),
                None => return Err(self.error("!", "expected one of '=~'")),
            },
            '"' => match closing_quote(trimmed) {
                Some(end) => (Kind::Quoted, end),
                None => return Err(self.error(trimmed, "missing end \"")),
            },
            c if is_reserved(c) => {
                return Err(self.error(&trimmed[..c.len_utf8()], "invalid input"));
            }
            _ => (
                Kind::Word,
                trimmed.find(is_reserved).unwrap_or(trimmed.len()),
            ),
        };
        let (text, rest) = trimmed.split_at(length);
        let from = self.column;
        self.column += text.chars().count();
        self.rest = rest;
        Ok(Some(Token {
            kind,
            text,
            from,
            to: self.column,
        }))
    }

    /// Says what is wrong with `text`, which begins here.
    fn error(&self, text: &str, what: &str) -> String {
        let to = self.column + text.chars().count();
        format!("{}:{to}: {text}: {what}", self.column)
    }
}

fn unexpected(token: &Token<'_>, expected: &str) -> String {
    format!(
        "{}:{}: unexpected {}: {expected}",
        token.from, token.to, token.text
    )
}

/// Returns where the quoted text that `text` begins with ends, quotes included.
fn closing_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Returns what a text in double quotes stands for, by the rules of Go's string literals; nothing if it breaks them or is
/// not UTF-8.
fn unquote(quoted: &str) -> Option<String> {
    let body = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c == '\n' {
            return None;
        }
        if c != '\\' {
            bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        let escape = rest.chars().next()?;
        rest = &rest[escape.len_utf8()..];
        let digits = |count: usize, radix: u32| {
            let digits = rest.get(..count)?;
            if !digits.chars().all(|c| c.is_digit(radix)) {
                return None;
            }
            u32::from_str_radix(digits, radix).ok()
        };
        let taken = match escape {
            'a' => push(&mut bytes, 7),
            'b' => push(&mut bytes, 8),
            'f' => push(&mut bytes, 12),
            'n' => push(&mut bytes, b'\n'),
            'r' => push(&mut bytes, b'\r'),
            't' => push(&mut bytes, b'\t'),
            'v' => push(&mut bytes, 11),
            '\\' | '"' => push(&mut bytes, u8::try_from(escape).ok()?),
            'x' => {
                bytes.push(u8::try_from(digits(2, 16)?).ok()?);
                2
            }
            'u' | 'U' => {
                let count = if escape == 'u' { 4 } else { 8 };
                let c = char::from_u32(digits(count, 16)?)?;
                bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
                count
            }
            '0'..='7' => {
                let low = digits(2, 8)?;
                bytes.push(u8::try_from(escape.to_digit(8)? * 64 + low).ok()?);
                2
            }
            _ => return None,
        };
        rest = &rest[taken..];
    }
    String::from_utf8(bytes).ok()
}

/// Appends what an escape of one letter stands for; no further characters belong to it.
fn push(bytes: &mut Vec<u8>, byte: u8) -> usize {
    bytes.push(byte);
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        let cases = [
            (r#""a\tb""#, Some("a\tb")),
            (r#""\xc3\xa9""#, Some("é")),
            (r#""\xc3""#, None),
            (r#""\u00e9\U0001f642\101""#, Some("é🙂A")),
            (r#""\ud800""#, None),
            (r#""\400""#, None),
            (r#""\d""#, None),
            (r#""\x+1""#, None),
            (r#""\'""#, None),
            ("\"a\nb\"", None),
        ];
        for (text, expected) in cases {
            assert_eq!(unquote(text).as_deref(), expected, "{text}");
        }
    }
}
