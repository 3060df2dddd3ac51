//! Query text to a checked syntax tree.
//!
//! ```text
//! text ── lex ──► tokens ── nom ──► tree ── check ──► typed tree
//! ```
//!
//! The grammar needs one token of look-ahead, so an error is always at the first token that fits nowhere: the first
//! failing parser says what it found and what it wanted, and nothing is tried again. Depth is bounded by
//! [`HEIGHT_MAX`] before anything recurses that far.

mod aggregate;
mod duration;
mod error;
mod expression;
mod selector;
mod tokens;

pub(crate) use duration::seconds_to_ms;

use model::{MatchOp, Matcher};

use crate::ast::{Expr, HEIGHT_MAX};
use crate::check;
use crate::lex::{Kind, lex};
use crate::position::Position;
pub use error::ParseError;
use error::Wrong;
use tokens::{Parsed, Tokens};

/// Which parts of the language that Prometheus keeps behind feature flags are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    /// Functions and aggregations that are marked experimental.
    pub experimental_functions: bool,
    /// `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left` and `fill_right`.
    pub fill_modifiers: bool,
}

impl ParseOptions {
    /// Everything is accepted.
    pub const ALL: ParseOptions = ParseOptions {
        experimental_functions: true,
        extended_range_selectors: true,
        fill_modifiers: true,
    };

    /// What Prometheus accepts without feature flags.
    pub const STABLE: ParseOptions = ParseOptions {
        experimental_functions: false,
        extended_range_selectors: false,
        fill_modifiers: false,
    };
}

/// Returns the tree of the expression `text`, well typed, at most [`HEIGHT_MAX`] high; all of the language is accepted.
///
/// # Errors
///
/// At the first place where `text` is no PromQL.
///
/// ```
/// let expr = promql::parse("sum(rate(requests_total[5m])) by (job) > 1").unwrap();
/// assert_eq!(expr.to_string(), "sum by (job) (rate(requests_total[5m])) > 1");
/// assert_eq!(promql::parse("1 +").unwrap_err().to_string(), "1:4: parse error: unexpected end of input");
/// ```
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    parse_with(text, &ParseOptions::ALL)
}

/// Returns the tree of the expression `text` as [`parse`] does, in the language that `options` describe.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_with(text: &str, options: &ParseOptions) -> Result<Expr, ParseError> {
    let tokens = lex(text);
    if let [only] = tokens.as_slice()
        && only.kind == Kind::Eof
    {
        let message = "no expression found in input";
        let start = Position {
            line: 1,
            column: 1,
            ..Position::default()
        };
        return Err(match text {
            "" => ParseError::without_position(message),
            _ => ParseError::new(start, message),
        });
    }
    let mut expr = whole(expression::expression, Tokens::new(text, &tokens))?.expr;
    check::check(&mut expr, options)?;
    Ok(expr)
}

/// Returns the matchers of the single instant vector selector `text`, as it stands in `match[]` parameters; the metric
/// name is one of them.
///
/// # Errors
///
/// When `text` is anything else, or when every matcher accepts the empty string.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let tokens = lex(text);
    let mut expr = Expr::Vector(Box::new(whole(
        selector::vector_selector,
        Tokens::new(text, &tokens),
    )?));
    check::check(&mut expr, &ParseOptions::ALL)?;
    match expr {
        Expr::Vector(selector) => Ok(selector.matchers),
        _ => Ok(Vec::new()),
    }
}

/// Returns the matchers of the metric `text`, which may be any label set, also an empty one.
pub(crate) fn parse_metric(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let tokens = lex(text);
    let selector = whole(selector::vector_selector, Tokens::new(text, &tokens))?;
    match selector
        .matchers
        .iter()
        .find(|matcher| matcher.op() != MatchOp::Equal)
    {
        Some(_) => Err(ParseError::new(
            selector.position,
            "metric has matchers other than =",
        )),
        None => Ok(selector.matchers),
    }
}

/// Runs `parser` over all of `tokens`.
fn whole<'t, T>(
    parser: impl Fn(Tokens<'t>) -> Parsed<'t, T>,
    tokens: Tokens<'t>,
) -> Result<T, ParseError> {
    let finished = parser(tokens).and_then(|(rest, value)| match rest.kind() {
        Kind::Eof => Ok(value),
        _ => Err(rest.unexpected("", "")),
    });
    finished.map_err(|wrong| match wrong {
        nom::Err::Error(wrong) | nom::Err::Failure(wrong) => wrong.into(),
        nom::Err::Incomplete(_) => ParseError::without_position("unexpected end of input"),
    })
}

/// An expression on its way, with the height of its tree.
struct Node {
    expr: Expr,
    height: usize,
}

impl Node {
    fn leaf(expr: Expr) -> Self {
        Node { expr, height: 1 }
    }

    /// Puts `expr` on top of sub-trees of at most `height`.
    fn above(height: usize, expr: Expr) -> Result<Self, nom::Err<Wrong>> {
        if HEIGHT_MAX <= height {
            let wrong = Wrong::new(expr.position(), too_deep());
            return Err(nom::Err::Failure(wrong));
        }
        Ok(Node {
            expr,
            height: height + 1,
        })
    }
}

fn too_deep() -> String {
    format!("expression is nested deeper than {HEIGHT_MAX} levels")
}

#[cfg(test)]
mod tests;
