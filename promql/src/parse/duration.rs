//! Lengths of time: in square brackets and after `offset`.

use nom::Parser;

use super::error::Wrong;
use super::tokens::{Parsed, Tokens, symbol};
use crate::ast::{BinaryOp, DurationExpr, DurationOp, HEIGHT_MAX, NumberLiteral, Span};
use crate::lex::Kind;
use crate::position::Position;

const CONTEXT: &str = "duration expression";
const EXPECTED: &str = "number or duration";

/// What stands in square brackets.
pub(super) struct Bracket {
    pub(super) range: Span,
    /// None: there was no colon. None inside: there was nothing after it.
    pub(super) step: Option<Option<Span>>,
    /// Where the closing bracket is.
    pub(super) position: Position,
}

/// [ duration [ : [ duration ] ] ]
pub(super) fn bracket(input: Tokens<'_>) -> Parsed<'_, Bracket> {
    let (rest, range) = positive(input.next())?;
    let mut step = None;
    let mut rest = rest;
    if *rest.kind() == Kind::Colon {
        rest = rest.next();
        step = Some(None);
        if *rest.kind() != Kind::RightBracket {
            let (after, span) = positive(rest)?;
            (rest, step) = (after, Some(Some(span)));
        }
    }
    let (rest, position) =
        symbol(Kind::RightBracket, "subquery or range selector", "\"]\"").parse(rest)?;
    let bracket = Bracket {
        range,
        step,
        position,
    };
    Ok((rest, bracket))
}

/// A duration that must be above zero, where that is known already.
fn positive(input: Tokens<'_>) -> Parsed<'_, Span> {
    let (rest, expr) = sum(input.deeper()?, 0)?;
    let span = to_span(expr)?;
    match span {
        // What comes next is looked at first.
        Span::Ms(ms) if ms <= 0 && matches!(rest.kind(), Kind::Error(_)) => {
            Err(rest.unexpected("", ""))
        }
        Span::Ms(ms) if ms <= 0 => Wrong::fail(input.position(), "duration must be greater than 0"),
        span => Ok((rest.at_level_of(input), span)),
    }
}

/// After `offset`: one operand, perhaps with signs; and where it ends.
pub(super) fn offset(input: Tokens<'_>) -> Parsed<'_, (Span, Position)> {
    let (rest, expr) = signed(input.deeper()?, "offset")?;
    let position = expr.position();
    Ok((rest.at_level_of(input), (to_span(expr)?, position)))
}

/// Turns what is a plain number into milliseconds.
fn to_span(expr: DurationExpr) -> Result<Span, nom::Err<Wrong>> {
    let Some(seconds) = signed_seconds(&expr) else {
        return Ok(Span::Expr(Box::new(expr)));
    };
    match seconds_to_ms(seconds) {
        Some(ms) => Ok(Span::Ms(ms)),
        None => Wrong::fail(expr.position(), "duration out of range"),
    }
}

/// Returns the value of a number, with any signs.
fn signed_seconds(expr: &DurationExpr) -> Option<f64> {
    match expr {
        DurationExpr::Number(number) => Some(number.value),
        DurationExpr::Negate(inner, _) => signed_seconds(inner).map(|seconds| -seconds),
        DurationExpr::Plus(inner, _) => signed_seconds(inner),
        _ => None,
    }
}

/// Returns whole milliseconds, what is below cut off; none past about 292 years.
pub(crate) fn seconds_to_ms(seconds: f64) -> Option<i64> {
    // 0.3 s is not quite 300 ms: round in microseconds before cutting.
    let ms = (seconds * 1e6).round() / 1e3;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the bound is checked in the same line"
    )]
    let whole = (ms.is_finite() && ms.abs() < 9.2e12).then(|| ms.trunc() as i64);
    whole
}

/// Operators that bind at least as tightly as `precedence_min`, as in other expressions.
fn sum(input: Tokens<'_>, precedence_min: u8) -> Parsed<'_, DurationExpr> {
    let (mut rest, mut left) = factor(input)?;
    let mut terms = 0;
    while let Some((op, precedence)) = operator(rest) {
        if precedence < precedence_min {
            break;
        }
        terms += 1;
        if HEIGHT_MAX <= terms {
            return Wrong::fail(rest.position(), super::too_deep());
        }
        let right_min = if op == DurationOp::Pow {
            precedence
        } else {
            precedence + 1
        };
        let (after, right) = sum(rest.next().deeper()?, right_min)?;
        if matches!(right, DurationExpr::Number(number) if number.value == 0.0) {
            match op {
                DurationOp::Div => return Wrong::fail(rest.position(), "division by zero"),
                DurationOp::Mod => return Wrong::fail(rest.position(), "modulo by zero"),
                _ => (),
            }
        }
        rest = after.at_level_of(rest);
        let position = left.position().to(right.position());
        left = DurationExpr::Binary(op, Box::new(left), Box::new(right), position);
    }
    Ok((rest, left))
}

fn operator(input: Tokens<'_>) -> Option<(DurationOp, u8)> {
    let op = input.operator()?;
    let duration_op = match op {
        BinaryOp::Add => DurationOp::Add,
        BinaryOp::Sub => DurationOp::Sub,
        BinaryOp::Mul => DurationOp::Mul,
        BinaryOp::Div => DurationOp::Div,
        BinaryOp::Mod => DurationOp::Mod,
        BinaryOp::Pow => DurationOp::Pow,
        _ => return None,
    };
    Some((duration_op, op.precedence()))
}

/// [ + | - ] operand { ^ operand }
fn factor(input: Tokens<'_>) -> Parsed<'_, DurationExpr> {
    let wrap = match input.kind() {
        Kind::Op(BinaryOp::Sub) => DurationExpr::Negate,
        Kind::Op(BinaryOp::Add) => DurationExpr::Plus,
        _ => return operand(input, CONTEXT),
    };
    let (rest, inner) = sum(input.next().deeper()?, BinaryOp::Pow.precedence())?;
    let position = input.position().to(inner.position());
    Ok((rest.at_level_of(input), wrap(Box::new(inner), position)))
}

/// Goes deeper at the price of four levels: the frames are large here, and nobody nests durations.
fn nested(input: Tokens<'_>) -> Result<Tokens<'_>, nom::Err<Wrong>> {
    input.deeper()?.deeper()?.deeper()?.deeper()
}

/// { + | - } operand
fn signed<'t>(input: Tokens<'t>, context: &'static str) -> Parsed<'t, DurationExpr> {
    let wrap = match input.kind() {
        Kind::Op(BinaryOp::Sub) => DurationExpr::Negate,
        Kind::Op(BinaryOp::Add) => DurationExpr::Plus,
        _ => return operand(input, context),
    };
    let (rest, inner) = signed(input.next().deeper()?, context)?;
    let position = input.position().to(inner.position());
    Ok((rest.at_level_of(input), wrap(Box::new(inner), position)))
}

/// number | duration | step() | range() | min_of(a, b) | max_of(a, b) | (a)
fn operand<'t>(input: Tokens<'t>, context: &'static str) -> Parsed<'t, DurationExpr> {
    let position = input.position();
    if let Some(number) = literal(input) {
        return Ok((input.next(), DurationExpr::Number(number)));
    }
    if *input.kind() == Kind::LeftParen {
        let (rest, inner) = sum(nested(input.next())?, 0)?;
        let (rest, end) = symbol(Kind::RightParen, CONTEXT, "\")\"").parse(rest)?;
        let paren = DurationExpr::Paren(Box::new(inner), position.to(end));
        return Ok((rest.at_level_of(input), paren));
    }
    for (word, leaf) in [
        ("step", DurationExpr::Step as fn(Position) -> DurationExpr),
        ("range", DurationExpr::Range),
    ] {
        if input.is_word(word) && input.kind_after() == Some(&Kind::LeftParen) {
            let (rest, end) =
                symbol(Kind::RightParen, CONTEXT, "\")\"").parse(input.next().next())?;
            return Ok((rest, leaf(position.to(end))));
        }
    }
    for (word, op) in [("min_of", DurationOp::Min), ("max_of", DurationOp::Max)] {
        if input.is_word(word) && input.kind_after() == Some(&Kind::LeftParen) {
            let (rest, left) = sum(nested(input.next().next())?, 0)?;
            let (rest, _) = symbol(Kind::Comma, CONTEXT, "\",\"").parse(rest)?;
            let (rest, right) = sum(nested(rest)?, 0)?;
            let (rest, end) = symbol(Kind::RightParen, CONTEXT, "\")\"").parse(rest)?;
            let both = DurationExpr::Binary(op, Box::new(left), Box::new(right), position.to(end));
            return Ok((rest.at_level_of(input), both));
        }
    }
    Err(input.unexpected(context, EXPECTED))
}

fn literal(input: Tokens<'_>) -> Option<NumberLiteral> {
    let (value, is_duration) = match input.kind() {
        Kind::Number(value) => (*value, false),
        Kind::Duration(value) => (*value, true),
        _ => return None,
    };
    Some(NumberLiteral {
        value,
        is_duration,
        position: input.position(),
    })
}

/// A number or duration with an optional sign, outside of duration expressions.
pub(super) fn signed_number<'t>(
    input: Tokens<'t>,
    context: &'static str,
    expected: &'static str,
) -> Parsed<'t, NumberLiteral> {
    let (sign, rest) = match input.kind() {
        Kind::Op(BinaryOp::Sub) => (-1.0, input.next()),
        Kind::Op(BinaryOp::Add) => (1.0, input.next()),
        _ => (1.0, input),
    };
    let Some(number) = literal(rest) else {
        return Err(rest.unexpected(context, expected));
    };
    let number = NumberLiteral {
        value: sign * number.value,
        position: input.position().to(number.position),
        ..number
    };
    Ok((rest.next(), number))
}
