//! Query text to tokens.
//!
//! Works over bytes; positions are byte offsets. The text is lexed once, whole: the list ends with [`Kind::Eof`], or
//! with [`Kind::Error`] at the first place where the text is no PromQL, so that the parser reports whichever comes
//! first, a wrong token or a wrong character.
//!
//! What a character means depends on the brackets around it: inside braces are label matchers, inside square brackets
//! a colon separates range and step, elsewhere it belongs to names.

mod number;
mod quoted;

use crate::ast::BinaryOp;
use crate::position::Position;

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// The end of the text.
    Eof,
    /// The text goes wrong here; the message says how.
    Error(String),
    /// A name without colons, keywords included: what they mean depends on the place.
    Ident,
    /// A name with colons.
    MetricIdent,
    /// A number.
    Number(f64),
    /// A duration, in seconds.
    Duration(f64),
    /// A string, unquoted.
    Str(String),
    /// A string that escapes have made other than UTF-8.
    Bytes(Vec<u8>),
    /// An operator that is no word; in braces `!=` too.
    Op(BinaryOp),
    /// `=`
    Assign,
    /// `=~`
    Matches,
    /// `!~`
    MatchesNot,
    /// `@`
    At,
    /// `(`
    LeftParen,
    /// `)`
    RightParen,
    /// `{`
    LeftBrace,
    /// `}`
    RightBrace,
    /// `[`
    LeftBracket,
    /// `]`
    RightBracket,
    /// `,`
    Comma,
    /// `:` inside square brackets
    Colon,
}

/// A token and where it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: Kind,
    /// Where.
    pub(crate) position: Position,
}

/// The words that may stand in square brackets.
const DURATION_WORDS: [&str; 4] = ["step", "range", "min_of", "max_of"];

/// Returns the tokens of `text`; the last one is `Eof` or `Error`.
pub(crate) fn lex(text: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        text,
        at: 0,
        tokens: Vec::new(),
        parens: 0,
        in_braces: false,
        in_brackets: false,
        has_colon: false,
        line: 1,
        line_start: 0,
        counted: 0,
    };
    if let Err(message) = lexer.run() {
        lexer.push(Kind::Error(message), 0);
    }
    lexer.tokens
}

/// What is wrong with the character at the lexer's place.
type Wrong = String;

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
    parens: usize,
    in_braces: bool,
    in_brackets: bool,
    has_colon: bool,
    line: u32,
    line_start: usize,
    counted: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn wrong<T>(&self, message: impl Into<String>) -> Result<T, Wrong> {
        Err(message.into())
    }

    /// The character here, for a message.
    fn found(&self) -> String {
        let c = self.text[self.at..].chars().next().unwrap_or_default();
        format!("{c:?}")
    }

    /// The character after this one, which is ASCII, for a message; the end of the text is U+FFFD there, as in Go.
    fn found_next(&self) -> String {
        let c = self.text[self.at + 1..].chars().next();
        format!("{:?}", c.unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn push(&mut self, kind: Kind, len: usize) {
        let start = self.at;
        for at in self.counted..start {
            if self.text.as_bytes()[at] == b'\n' {
                (self.line, self.line_start) = (self.line + 1, at + 1);
            }
        }
        self.counted = start;
        self.at += len;
        let position = Position {
            start: offset(start),
            end: offset(self.at),
            line: self.line,
            column: offset(start - self.line_start + 1),
        };
        self.tokens.push(Token { kind, position });
    }

    fn run(&mut self) -> Result<(), Wrong> {
        loop {
            self.skip_blank();
            let Some(byte) = self.peek(0) else {
                return self.finish();
            };
            if self.in_braces {
                self.in_braces_token(byte)?;
            } else {
                self.token(byte)?;
            }
        }
    }

    fn skip_blank(&mut self) {
        while let Some(byte) = self.peek(0) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'#' => {
                    let line = self.text[self.at..].find(['\n', '\r']);
                    self.at = line.map_or(self.text.len(), |len| self.at + len);
                }
                _ => return,
            }
        }
    }

    fn finish(&mut self) -> Result<(), Wrong> {
        if self.in_braces {
            return self.wrong("unexpected end of input inside braces");
        }
        let just_opened = matches!(
            self.tokens.last(),
            Some(Token {
                kind: Kind::LeftBracket,
                ..
            })
        );
        if self.in_brackets && !just_opened {
            return self.wrong("unclosed left bracket");
        }
        if self.in_brackets {
            return self.wrong("unexpected end of input in duration expression");
        }
        if 0 < self.parens {
            return self.wrong("unclosed left parenthesis");
        }
        self.push(Kind::Eof, 0);
        Ok(())
    }

    fn in_braces_token(&mut self, byte: u8) -> Result<(), Wrong> {
        match (byte, self.peek(1)) {
            (b'}', _) => {
                self.in_braces = false;
                self.push(Kind::RightBrace, 1);
            }
            (b'{', _) => return self.wrong("unexpected left brace '{'"),
            (b',', _) => self.push(Kind::Comma, 1),
            (b'=', Some(b'~')) => self.push(Kind::Matches, 2),
            (b'=', _) => self.push(Kind::Assign, 1),
            (b'!', Some(b'=')) => self.push(Kind::Op(BinaryOp::NotEqual), 2),
            (b'!', Some(b'~')) => self.push(Kind::MatchesNot, 2),
            (b'!', _) => {
                let found = self.found_next();
                return self.wrong(format!(
                    "unexpected character after '!' inside braces: {found}"
                ));
            }
            (b'"' | b'\'' | b'`', _) => return self.string(),
            (byte, _) if is_name_start(byte) => {
                let len = self.name_len(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                self.push(Kind::Ident, len);
            }
            _ => {
                return self.wrong(format!(
                    "unexpected character inside braces: {}",
                    self.found()
                ));
            }
        }
        Ok(())
    }

    fn token(&mut self, byte: u8) -> Result<(), Wrong> {
        match byte {
            b',' => self.push(Kind::Comma, 1),
            b'@' => self.push(Kind::At, 1),
            b'(' => {
                self.parens += 1;
                self.push(Kind::LeftParen, 1);
            }
            b')' => {
                let Some(parens) = self.parens.checked_sub(1) else {
                    self.at += 1;
                    return self.wrong("unexpected right parenthesis ')'");
                };
                self.parens = parens;
                self.push(Kind::RightParen, 1);
            }
            b'{' => {
                self.in_braces = true;
                self.push(Kind::LeftBrace, 1);
            }
            b'[' if self.in_brackets => return self.wrong("unexpected left bracket '['"),
            b'[' => {
                (self.in_brackets, self.has_colon) = (true, false);
                self.push(Kind::LeftBracket, 1);
            }
            b']' if !self.in_brackets => return self.wrong("unexpected right bracket ']'"),
            b']' => {
                self.in_brackets = false;
                self.push(Kind::RightBracket, 1);
            }
            b':' if self.in_brackets && self.has_colon => {
                return self.wrong("unexpected colon ':'");
            }
            b':' if self.in_brackets => {
                self.has_colon = true;
                self.push(Kind::Colon, 1);
            }
            b'"' | b'\'' | b'`' => return self.string(),
            b'0'..=b'9' => return self.number(),
            b'.' if self.peek(1).is_some_and(|b| b.is_ascii_digit()) => return self.number(),
            _ if is_name_start(byte) || byte == b':' => return self.name(),
            _ => return self.operator(byte),
        }
        Ok(())
    }

    fn operator(&mut self, byte: u8) -> Result<(), Wrong> {
        let (op, len) = match (byte, self.peek(1)) {
            (b'+', _) => (BinaryOp::Add, 1),
            (b'-', _) => (BinaryOp::Sub, 1),
            (b'*', _) => (BinaryOp::Mul, 1),
            (b'/', _) => (BinaryOp::Div, 1),
            (b'%', _) => (BinaryOp::Mod, 1),
            (b'^', _) => (BinaryOp::Pow, 1),
            (b'=', Some(b'=')) => (BinaryOp::Equal, 2),
            (b'=', Some(b'~')) => return self.wrong("unexpected character after '=': '~'"),
            (b'=', _) => {
                self.push(Kind::Assign, 1);
                return Ok(());
            }
            (b'!', Some(b'=')) => (BinaryOp::NotEqual, 2),
            (b'!', _) => {
                let found = self.found_next();
                return self.wrong(format!("unexpected character after '!': {found}"));
            }
            (b'<', Some(b'=')) => (BinaryOp::LessEqual, 2),
            (b'<', Some(b'/')) => (BinaryOp::TrimUpper, 2),
            (b'<', _) => (BinaryOp::Less, 1),
            (b'>', Some(b'=')) => (BinaryOp::GreaterEqual, 2),
            (b'>', Some(b'/')) => (BinaryOp::TrimLower, 2),
            (b'>', _) => (BinaryOp::Greater, 1),
            _ => return self.wrong(format!("unexpected character: {}", self.found())),
        };
        self.push(Kind::Op(op), len);
        Ok(())
    }

    fn name_len(&self, belongs: impl Fn(u8) -> bool) -> usize {
        self.text.as_bytes()[self.at..]
            .iter()
            .take_while(|&&byte| belongs(byte))
            .count()
    }

    fn name(&mut self) -> Result<(), Wrong> {
        let colons = !self.in_brackets;
        let len = self.name_len(|byte| {
            byte.is_ascii_alphanumeric() || byte == b'_' || (colons && byte == b':')
        });
        let name = &self.text[self.at..self.at + len];
        let is_known = |word: &&str| name.eq_ignore_ascii_case(word);
        if self.in_brackets && !DURATION_WORDS.iter().any(is_known) {
            let found = self.found();
            return self.wrong(format!(
                "unexpected character in duration expression: {found}"
            ));
        }
        let kind = if name.contains(':') {
            Kind::MetricIdent
        } else if name.eq_ignore_ascii_case("inf") {
            Kind::Number(f64::INFINITY)
        } else if name.eq_ignore_ascii_case("nan") {
            Kind::Number(f64::NAN)
        } else {
            Kind::Ident
        };
        self.push(kind, len);
        Ok(())
    }

    fn number(&mut self) -> Result<(), Wrong> {
        let (kind, len) =
            number::scan(&self.text[self.at..]).or_else(|message| self.wrong(message))?;
        self.push(kind, len);
        Ok(())
    }

    fn string(&mut self) -> Result<(), Wrong> {
        let (value, len) =
            quoted::scan(&self.text[self.at..]).or_else(|message| self.wrong(message))?;
        let kind = match String::from_utf8(value) {
            Ok(value) => Kind::Str(value),
            Err(error) => Kind::Bytes(error.into_bytes()),
        };
        self.push(kind, len);
        Ok(())
    }
}

/// Texts are far below 4 GiB; positions of longer ones saturate.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = lex(text)
            .into_iter()
            .map(|token| format!("{:?} {:?}", token.position, token.kind))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn names_and_operators() {
        check(
            "a:b </ c",
            &[
                "0..3 MetricIdent",
                "4..6 Op(TrimUpper)",
                "7..8 Ident",
                "8..8 Eof",
            ],
        );
    }

    #[test]
    fn colon_depends_on_brackets() {
        check(
            "x[5m:1m]",
            &[
                "0..1 Ident",
                "1..2 LeftBracket",
                "2..4 Duration(300.0)",
                "4..5 Colon",
                "5..7 Duration(60.0)",
                "7..8 RightBracket",
                "8..8 Eof",
            ],
        );
    }

    #[test]
    fn comments_and_special_numbers() {
        check(
            "inF # x\n-nan",
            &[
                "0..3 Number(inf)",
                "8..9 Op(Sub)",
                "9..12 Number(NaN)",
                "12..12 Eof",
            ],
        );
    }

    #[test]
    fn stops_at_the_first_wrong_character() {
        check(
            "a $ b",
            &["0..1 Ident", "2..2 Error(\"unexpected character: '$'\")"],
        );
        check(
            "a{é",
            &[
                "0..1 Ident",
                "1..2 LeftBrace",
                "2..2 Error(\"unexpected character inside braces: 'é'\")",
            ],
        );
    }
}
