//! Template text cut into tokens.
//!
//! The whole text is cut at once; an error is the last token, so that the parser reports whatever is wrong before it
//! first, as Go does.

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    LeftDelim,
    RightDelim,
    Assign,
    Declare,
    Bool,
    Char,
    CharConstant,
    Dot,
    Nil,
    Field,
    Identifier,
    Keyword(Keyword),
    LeftParen,
    RightParen,
    Number,
    Pipe,
    RawString,
    String,
    Space,
    Variable,
    Eof,
    Error(String),
}

/// The words with a meaning of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

/// One token: what it is, where it begins (bytes) and its text.
#[derive(Clone, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) pos: usize,
    pub(super) text: &'a str,
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";

/// Returns the tokens of `text`; the last is [`Kind::Eof`] or [`Kind::Error`].
pub(super) fn lex(text: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer {
        text,
        pos: 0,
        tokens: Vec::new(),
        paren_depth: 0,
    };
    match lexer.run() {
        Ok(()) => lexer.push(Kind::Eof, lexer.pos),
        Err(message) => lexer.push(Kind::Error(message), lexer.pos),
    }
    lexer.tokens
}

struct Lexer<'a> {
    text: &'a str,
    pos: usize,
    tokens: Vec<Token<'a>>,
    paren_depth: usize,
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Returns Go's `%#U` of a character.
fn unicode(c: char) -> String {
    format!("U+{:04X} '{c}'", u32::from(c))
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.pos..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn push(&mut self, kind: Kind, start: usize) {
        self.tokens.push(Token {
            kind,
            pos: start,
            text: &self.text[start..self.pos],
        });
    }

    fn run(&mut self) -> Result<(), String> {
        loop {
            let start = self.pos;
            let Some(offset) = self.rest().find(LEFT) else {
                self.pos = self.text.len();
                if start < self.pos {
                    self.push(Kind::Text, start);
                }
                return Ok(());
            };
            self.text_until(start, start + offset);
            self.left_delim()?;
        }
    }

    /// Emits the text before a left delimiter, trimmed if that has a trim marker.
    fn text_until(&mut self, start: usize, end: usize) {
        let after = &self.text[end + LEFT.len()..];
        let trims = after.starts_with('-') && after[1..].chars().next().is_some_and(is_space);
        let mut text = &self.text[start..end];
        if trims {
            text = text.trim_end_matches(is_space);
        }
        if !text.is_empty() {
            self.tokens.push(Token {
                kind: Kind::Text,
                pos: start,
                text,
            });
        }
        self.pos = end;
    }

    fn left_delim(&mut self) -> Result<(), String> {
        let start = self.pos;
        self.pos += LEFT.len();
        let rest = self.rest();
        let marker = if rest.starts_with('-') && rest[1..].chars().next().is_some_and(is_space) {
            2
        } else {
            0
        };
        if rest[marker..].starts_with("/*") {
            self.pos += marker;
            return self.comment();
        }
        self.push(Kind::LeftDelim, start);
        self.pos += marker;
        self.paren_depth = 0;
        self.action()
    }

    fn comment(&mut self) -> Result<(), String> {
        let end = self.rest().find("*/").ok_or("unclosed comment")?;
        self.pos += end + 2;
        match self.right_delim_bytes() {
            Some(_) => {
                self.skip_right_delim();
                Ok(())
            }
            None => Err("comment ends before closing delimiter".to_owned()),
        }
    }

    /// Returns whether the text goes on with a right delimiter, and if so whether it has a trim marker.
    fn right_delim_bytes(&self) -> Option<bool> {
        let rest = self.rest();
        if rest.starts_with(RIGHT) {
            return Some(false);
        }
        let bytes = rest.as_bytes();
        let marked = 2 <= bytes.len() && is_space(char::from(bytes[0])) && bytes[1] == b'-';
        (marked && rest[2..].starts_with(RIGHT)).then_some(true)
    }

    /// Moves behind a right delimiter and what it trims.
    fn skip_right_delim(&mut self) {
        let trims = self.right_delim_bytes() == Some(true);
        self.pos += RIGHT.len() + if trims { 2 } else { 0 };
        if trims {
            self.pos = self.text.len() - self.rest().trim_start_matches(is_space).len();
        }
    }

    fn action(&mut self) -> Result<(), String> {
        loop {
            if self.right_delim_bytes().is_some() {
                if 0 < self.paren_depth {
                    return Err("unclosed left paren".to_owned());
                }
                let start = self.pos;
                self.tokens.push(Token {
                    kind: Kind::RightDelim,
                    pos: start,
                    text: RIGHT,
                });
                self.skip_right_delim();
                return Ok(());
            }
            let Some(c) = self.peek() else {
                return Err("unclosed action".to_owned());
            };
            self.action_token(c)?;
        }
    }

    fn action_token(&mut self, c: char) -> Result<(), String> {
        let start = self.pos;
        match c {
            c if is_space(c) => {
                // A space that belongs to a trim marker is not part of the run.
                while self.peek().is_some_and(is_space) && self.right_delim_bytes().is_none() {
                    self.pos += 1;
                }
                self.push(Kind::Space, start);
            }
            '"' => return self.quoted(),
            '`' => {
                let end = self.rest()[1..]
                    .find('`')
                    .ok_or("unterminated raw quoted string")?;
                self.pos += end + 2;
                self.push(Kind::RawString, start);
            }
            '\'' => return self.char_constant(),
            '$' => return self.field_or_variable(Kind::Variable),
            '.' if !self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                return self.field_or_variable(Kind::Field);
            }
            '.' | '+' | '-' | '0'..='9' => return self.number(),
            c if is_word(c) => return self.identifier(),
            _ => return self.symbol(c),
        }
        Ok(())
    }

    fn symbol(&mut self, c: char) -> Result<(), String> {
        let start = self.pos;
        self.pos += c.len_utf8();
        let kind = match c {
            '=' => Kind::Assign,
            ':' if self.peek() == Some('=') => {
                self.pos += 1;
                Kind::Declare
            }
            ':' => return Err("expected :=".to_owned()),
            '|' => Kind::Pipe,
            '(' => {
                self.paren_depth += 1;
                Kind::LeftParen
            }
            ')' if self.paren_depth == 0 => return Err("unexpected right paren".to_owned()),
            ')' => {
                self.paren_depth -= 1;
                Kind::RightParen
            }
            c if c.is_ascii_graphic() => Kind::Char,
            c => return Err(format!("unrecognized character in action: {}", unicode(c))),
        };
        self.push(kind, start);
        Ok(())
    }

    fn quoted(&mut self) -> Result<(), String> {
        let start = self.pos;
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => {
                    if matches!(chars.next(), None | Some((_, '\n'))) {
                        break;
                    }
                }
                '\n' => break,
                '"' => {
                    self.pos = start + at + 1;
                    self.push(Kind::String, start);
                    return Ok(());
                }
                _ => {}
            }
        }
        Err("unterminated quoted string".to_owned())
    }

    fn char_constant(&mut self) -> Result<(), String> {
        let start = self.pos;
        let mut escaped = false;
        for (at, c) in self.rest().char_indices().skip(1) {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '\'' => {
                    self.pos = start + at + 1;
                    self.push(Kind::CharConstant, start);
                    return Ok(());
                }
                _ => {}
            }
        }
        Err("unterminated character constant".to_owned())
    }

    /// Checks that a word ends where one may end.
    fn check_terminator(&self) -> Result<(), String> {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => Ok(()),
            Some(c) if is_space(c) || self.rest().starts_with(RIGHT) => Ok(()),
            Some(c) => Err(format!("bad character {}", unicode(c))),
        }
    }

    fn field_or_variable(&mut self, kind: Kind) -> Result<(), String> {
        let start = self.pos;
        self.pos += 1;
        if self.check_terminator().is_ok() {
            let alone = if kind == Kind::Variable {
                Kind::Variable
            } else {
                Kind::Dot
            };
            self.push(alone, start);
            return Ok(());
        }
        self.skip_word();
        self.check_terminator()?;
        self.push(kind, start);
        Ok(())
    }

    fn skip_word(&mut self) {
        let rest = self.rest();
        self.pos += rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    }

    fn identifier(&mut self) -> Result<(), String> {
        let start = self.pos;
        self.skip_word();
        self.check_terminator()?;
        let kind = match &self.text[start..self.pos] {
            "block" => Kind::Keyword(Keyword::Block),
            "break" => Kind::Keyword(Keyword::Break),
            "continue" => Kind::Keyword(Keyword::Continue),
            "define" => Kind::Keyword(Keyword::Define),
            "else" => Kind::Keyword(Keyword::Else),
            "end" => Kind::Keyword(Keyword::End),
            "if" => Kind::Keyword(Keyword::If),
            "range" => Kind::Keyword(Keyword::Range),
            "template" => Kind::Keyword(Keyword::Template),
            "with" => Kind::Keyword(Keyword::With),
            "nil" => Kind::Nil,
            "true" | "false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.push(kind, start);
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        let start = self.pos;
        self.skip_number();
        if self.peek().is_some_and(is_word) {
            self.skip_word();
            return Err(format!(
                "bad number syntax: \"{}\"",
                &self.text[start..self.pos]
            ));
        }
        self.push(Kind::Number, start);
        Ok(())
    }

    fn skip_number(&mut self) {
        let bytes = self.text.as_bytes();
        let mut at = self.pos;
        let skip = |at: &mut usize, set: &dyn Fn(u8) -> bool| {
            while bytes.get(*at).is_some_and(|&b| set(b) || b == b'_') {
                *at += 1;
            }
        };
        if matches!(bytes.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        let hex = bytes.get(at) == Some(&b'0') && matches!(bytes.get(at + 1), Some(b'x' | b'X'));
        let prefixed = hex
            || bytes.get(at) == Some(&b'0')
                && matches!(bytes.get(at + 1), Some(b'o' | b'O' | b'b' | b'B'));
        if prefixed {
            at += 2;
        }
        let digit = |b: u8| {
            if hex {
                b.is_ascii_hexdigit()
            } else {
                b.is_ascii_digit()
            }
        };
        skip(&mut at, &digit);
        if bytes.get(at) == Some(&b'.') {
            at += 1;
            skip(&mut at, &digit);
        }
        if !prefixed && matches!(bytes.get(at), Some(b'e' | b'E')) {
            at += 1;
            if matches!(bytes.get(at), Some(b'+' | b'-')) {
                at += 1;
            }
            skip(&mut at, &|b| b.is_ascii_digit());
        }
        self.pos = at;
    }
}
