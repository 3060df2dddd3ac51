//! Tokens as input of nom's combinators.

use nom::error::ErrorKind;
use nom::{IResult, Input, Needed, Parser};

use super::error::Wrong;
use super::too_deep;
use crate::ast::{AGGREGATES, BinaryOp, HEIGHT_MAX};
use crate::lex::{Kind, Token};
use crate::position::Position;

/// What a parser returns.
pub(super) type Parsed<'t, T> = IResult<Tokens<'t>, T, Wrong>;

/// The tokens that are left, and how deep the parsers are nested.
///
/// The last token, `Eof` or `Error`, is never consumed, so there is always one.
#[derive(Clone, Copy)]
pub(super) struct Tokens<'t> {
    text: &'t str,
    rest: &'t [Token],
    depth: usize,
}

impl<'t> Tokens<'t> {
    pub(super) fn new(text: &'t str, tokens: &'t [Token]) -> Self {
        Tokens {
            text,
            rest: tokens,
            depth: 0,
        }
    }

    /// The kind of the next token.
    pub(super) fn kind(&self) -> &'t Kind {
        &self.rest[0].kind
    }

    /// The kind of the token after the next one.
    pub(super) fn kind_after(&self) -> Option<&'t Kind> {
        self.rest.get(1).map(|token| &token.kind)
    }

    /// Where the next token is.
    pub(super) fn position(&self) -> Position {
        self.rest[0].position
    }

    /// The text of the next token.
    pub(super) fn text(&self) -> &'t str {
        slice(self.text, self.rest[0].position)
    }

    /// Everything after the next token.
    pub(super) fn next(self) -> Self {
        match self.rest {
            [_, rest @ ..] if !rest.is_empty() => Tokens { rest, ..self },
            _ => self,
        }
    }

    /// The next token's text, if it is a name without colons.
    pub(super) fn word(&self) -> Option<&'t str> {
        matches!(self.kind(), Kind::Ident).then(|| self.text())
    }

    /// Whether the next token is the word `word`, in any case.
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.word()
            .is_some_and(|found| found.eq_ignore_ascii_case(word))
    }

    /// Returns the binary operator that is next, if one is.
    pub(super) fn operator(&self) -> Option<BinaryOp> {
        match self.kind() {
            Kind::Op(op) => Some(*op),
            Kind::Ident => word_operator(self.text()),
            _ => None,
        }
    }

    /// Goes one level deeper.
    pub(super) fn deeper(self) -> Result<Self, nom::Err<Wrong>> {
        if HEIGHT_MAX <= self.depth {
            return Wrong::fail(self.position(), too_deep());
        }
        Ok(Tokens {
            depth: self.depth + 1,
            ..self
        })
    }

    /// Returns to the level of `outer`.
    pub(super) fn at_level_of(self, outer: Tokens<'t>) -> Self {
        Tokens {
            depth: outer.depth,
            ..self
        }
    }

    /// Returns the error "unexpected X in `context`, expected `expected`".
    pub(super) fn unexpected(&self, context: &str, expected: &str) -> nom::Err<Wrong> {
        if let Kind::Error(message) = self.kind() {
            return nom::Err::Failure(Wrong::new(self.position(), message.clone()));
        }
        let mut message = format!("unexpected {}", self.describe());
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        nom::Err::Failure(match (context, expected) {
            ("", "") => Wrong::bare(self.position(), message),
            _ => Wrong::new(self.position(), message),
        })
    }

    fn describe(&self) -> String {
        let text = self.text();
        match self.kind() {
            Kind::Eof => "end of input".to_owned(),
            Kind::Number(_) => format!("number {}", shortened(text)),
            Kind::Duration(_) => format!("duration {}", shortened(text)),
            Kind::Bytes(_) => format!("string {}, which is not valid UTF-8", shortened(text)),
            Kind::Str(_) => format!("string {}", shortened(text)),
            Kind::MetricIdent => format!("metric identifier \"{text}\""),
            Kind::Ident if word_operator(text).is_some() => format!("<op:{text}>"),
            Kind::Ident if is_aggregate(text) => format!("<aggr:{text}>"),
            Kind::Ident if is_keyword(text) => format!("<{text}>"),
            Kind::Ident => format!("identifier \"{text}\""),
            Kind::Op(_) | Kind::Matches | Kind::MatchesNot | Kind::At => format!("<op:{text}>"),
            _ => format!("\"{text}\""),
        }
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= 10 {
        return format!("{}", model::name::Quoted(text));
    }
    let start: String = text.chars().take(10).collect();
    format!("{}...", model::name::Quoted(&start))
}

fn word_operator(word: &str) -> Option<BinaryOp> {
    [
        BinaryOp::And,
        BinaryOp::Or,
        BinaryOp::Unless,
        BinaryOp::Atan2,
    ]
    .into_iter()
    .find(|op| op.as_str().eq_ignore_ascii_case(word))
}

pub(super) fn is_aggregate(word: &str) -> bool {
    AGGREGATES
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(word))
}

fn is_keyword(word: &str) -> bool {
    const KEYWORDS: [&str; 9] = [
        "bool",
        "by",
        "group_left",
        "group_right",
        "ignoring",
        "offset",
        "on",
        "without",
        "start",
    ];
    KEYWORDS
        .iter()
        .any(|keyword| keyword.eq_ignore_ascii_case(word))
}

fn slice(text: &str, position: Position) -> &str {
    &text[position.start as usize..position.end as usize]
}

/// Returns a parser of one token of kind `kind`, which returns where it was. What is said to be expected and where goes
/// into the error.
pub(super) fn symbol<'t>(
    kind: Kind,
    context: &'static str,
    expected: &'static str,
) -> impl Parser<Tokens<'t>, Output = Position, Error = Wrong> {
    move |input: Tokens<'t>| {
        if *input.kind() == kind {
            Ok((input.next(), input.position()))
        } else {
            Err(input.unexpected(context, expected))
        }
    }
}

impl nom::error::ParseError<Tokens<'_>> for Wrong {
    fn from_error_kind(input: Tokens<'_>, _: ErrorKind) -> Self {
        Wrong::new(input.position(), "unexpected input")
    }

    fn append(_: Tokens<'_>, _: ErrorKind, other: Self) -> Self {
        other
    }
}

impl<'t> Input for Tokens<'t> {
    type Item = &'t Token;
    type Iter = std::slice::Iter<'t, Token>;
    type IterIndices = std::iter::Enumerate<std::slice::Iter<'t, Token>>;

    fn input_len(&self) -> usize {
        self.rest.len()
    }

    fn take(&self, index: usize) -> Self {
        Tokens {
            rest: &self.rest[..index],
            ..*self
        }
    }

    fn take_from(&self, index: usize) -> Self {
        Tokens {
            rest: &self.rest[index..],
            ..*self
        }
    }

    fn take_split(&self, index: usize) -> (Self, Self) {
        (self.take_from(index), self.take(index))
    }

    fn position<P: Fn(Self::Item) -> bool>(&self, predicate: P) -> Option<usize> {
        self.rest.iter().position(predicate)
    }

    fn iter_elements(&self) -> Self::Iter {
        self.rest.iter()
    }

    fn iter_indices(&self) -> Self::IterIndices {
        self.rest.iter().enumerate()
    }

    fn slice_index(&self, count: usize) -> Result<usize, Needed> {
        if count <= self.rest.len() {
            Ok(count)
        } else {
            Err(Needed::new(count - self.rest.len()))
        }
    }
}
