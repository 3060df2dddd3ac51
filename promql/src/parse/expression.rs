//! Operators, from the loosest to the tightest, and what they stand between.

use nom::Parser;

use super::Node;
use super::aggregate::{aggregate, arguments, is_aggregate_start, label_list};
use super::duration::{bracket, offset, signed_number};
use super::error::Wrong;
use super::selector::vector_selector;
use super::tokens::{Parsed, Tokens, symbol};
use crate::ast::{
    At, Binary, BinaryOp, Call, Cardinality, Expr, Extension, MatrixSelector, Modifiers,
    NumberLiteral, Paren, StringLiteral, Subquery, Unary, VectorMatching,
};
use crate::functions::Function;
use crate::lex::Kind;
use crate::position::Position;

/// Words that cannot be metric names.
pub(super) const RESERVED: [&str; 6] = [
    "atan2",
    "bool",
    "group_left",
    "group_right",
    "ignoring",
    "on",
];

/// expression = operand { operator modifiers operand }
pub(super) fn expression(input: Tokens<'_>) -> Parsed<'_, Node> {
    let (rest, node) = binary(input.deeper()?, 0)?;
    Ok((rest.at_level_of(input), node))
}

/// Operators that bind at least as tightly as `precedence_min`.
fn binary(input: Tokens<'_>, precedence_min: u8) -> Parsed<'_, Node> {
    let (mut rest, mut left) = unary(input)?;
    while let Some(op) = rest.operator() {
        let precedence = op.precedence();
        if precedence < precedence_min {
            break;
        }
        (rest, left) = right_side(rest, op, left)?;
    }
    Ok((rest, left))
}

/// The operator `op`, which is next, its modifiers and its right operand. Apart from [`binary`], to keep the stack
/// frames of what recurses small.
fn right_side(input: Tokens<'_>, op: BinaryOp, left: Node) -> Parsed<'_, Node> {
    let op_position = input.position();
    let (after, (returns_bool, matching)) = modifiers(input.next(), op)?;
    let precedence = op.precedence();
    let right_min = if op == BinaryOp::Pow {
        precedence
    } else {
        precedence + 1
    };
    let (after, right) = binary(after.deeper()?, right_min)?;
    let rest = after.at_level_of(input);
    Ok((
        rest,
        joined(left, right, (op, op_position), (returns_bool, matching))?,
    ))
}

fn joined(
    left: Node,
    right: Node,
    (op, op_position): (BinaryOp, Position),
    (returns_bool, matching): (bool, VectorMatching),
) -> Result<Node, nom::Err<Wrong>> {
    let position = left.expr.position().to(right.expr.position());
    let height = left.height.max(right.height);
    let binary = Binary {
        op,
        left: left.expr,
        right: right.expr,
        returns_bool,
        matching: Some(matching),
        op_position,
        position,
    };
    Node::above(height, Expr::Binary(Box::new(binary)))
}

/// [ bool ] [ on|ignoring (labels) [ group_left|group_right [ (labels) ] ] ] { fill(number) }
fn modifiers(input: Tokens<'_>, op: BinaryOp) -> Parsed<'_, (bool, VectorMatching)> {
    let mut rest = input;
    let mut matching = VectorMatching::default();
    if op.is_set() {
        matching.cardinality = Cardinality::ManyToMany;
    }
    let returns_bool = rest.is_word("bool");
    if returns_bool {
        rest = rest.next();
    }
    if rest.is_word("on") || rest.is_word("ignoring") {
        matching.on = rest.is_word("on");
        (rest, matching.labels) = label_list(rest.next())?;
        if rest.is_word("group_left") || rest.is_word("group_right") {
            matching.cardinality = if rest.is_word("group_left") {
                Cardinality::ManyToOne
            } else {
                Cardinality::OneToMany
            };
            rest = rest.next();
            if *rest.kind() == Kind::LeftParen {
                (rest, matching.include) = label_list(rest)?;
            }
        }
    }
    while let Some((fills_left, fills_right)) = fill_sides(rest) {
        let opened = rest.next().next();
        let (after, number) = signed_number(opened, "fill modifier", "number")?;
        if fills_left {
            matching.fill_left = Some(number);
        }
        if fills_right {
            matching.fill_right = Some(number);
        }
        (rest, _) = symbol(Kind::RightParen, "fill modifier", "\")\"").parse(after)?;
    }
    Ok((rest, (returns_bool, matching)))
}

/// Which sides the fill modifier that is next speaks of, if one is.
fn fill_sides(input: Tokens<'_>) -> Option<(bool, bool)> {
    if input.kind_after() != Some(&Kind::LeftParen) {
        return None;
    }
    let word = input.word()?.to_ascii_lowercase();
    match word.as_str() {
        "fill" => Some((true, true)),
        "fill_left" => Some((true, false)),
        "fill_right" => Some((false, true)),
        _ => None,
    }
}

/// [ + | - ] operand; only `^` binds tighter than a sign.
fn unary(input: Tokens<'_>) -> Parsed<'_, Node> {
    match input.kind() {
        Kind::Op(BinaryOp::Sub) => signed(input, true),
        Kind::Op(BinaryOp::Add) => signed(input, false),
        _ => postfix(input),
    }
}

fn signed(input: Tokens<'_>, negates: bool) -> Parsed<'_, Node> {
    let (rest, node) = binary(input.next().deeper()?, BinaryOp::Pow.precedence())?;
    let rest = rest.at_level_of(input);
    let position = input.position().to(node.expr.position());
    // A sign belongs to the number it stands before.
    if let Expr::Number(number) = node.expr {
        let value = if negates { -number.value } else { number.value };
        return Ok((
            rest,
            Node::leaf(Expr::Number(NumberLiteral {
                value,
                position,
                ..number
            })),
        ));
    }
    let unary = Unary {
        negates,
        expr: node.expr,
        position,
    };
    Ok((
        rest,
        Node::above(node.height, Expr::Unary(Box::new(unary)))?,
    ))
}

/// primary { [range] | [range:step] | offset d | @ t | anchored | smoothed }
fn postfix(input: Tokens<'_>) -> Parsed<'_, Node> {
    let (rest, node) = primary(input)?;
    match rest.kind() {
        Kind::LeftBracket | Kind::At | Kind::Ident => with_modifiers(rest, node),
        _ => Ok((rest, node)),
    }
}

fn with_modifiers(mut rest: Tokens<'_>, mut node: Node) -> Parsed<'_, Node> {
    loop {
        (rest, node) = match rest.kind() {
            Kind::LeftBracket => ranged(rest, node)?,
            Kind::At => at_modifier(rest, node)?,
            Kind::Ident if rest.is_word("offset") => offset_modifier(rest, node)?,
            Kind::Ident if rest.is_word("anchored") => extended(rest, node, Extension::Anchored)?,
            Kind::Ident if rest.is_word("smoothed") => extended(rest, node, Extension::Smoothed)?,
            _ => return Ok((rest, node)),
        };
    }
}

fn ranged(input: Tokens<'_>, node: Node) -> Parsed<'_, Node> {
    let opening = input.position();
    let (rest, bracket) = bracket(input)?;
    let position = node.expr.position().to(bracket.position);
    if let Some(step) = bracket.step {
        let subquery = Subquery {
            expr: node.expr,
            range: bracket.range,
            step,
            modifiers: Modifiers::default(),
            position,
        };
        return Ok((
            rest,
            Node::above(node.height, Expr::Subquery(Box::new(subquery)))?,
        ));
    }
    let Expr::Vector(selector) = node.expr else {
        return Wrong::fail(opening, "ranges only allowed for vector selectors");
    };
    if !selector.modifiers.offset.is_zero() {
        return Wrong::fail(opening, "no offset modifiers allowed before range");
    }
    if selector.modifiers.at.is_some() {
        return Wrong::fail(opening, "no @ modifiers allowed before range");
    }
    let matrix = MatrixSelector {
        selector: *selector,
        range: bracket.range,
        position,
    };
    Ok((rest, Node::leaf(Expr::Matrix(Box::new(matrix)))))
}

/// The modifiers of the node, if it can have some, and its position to be extended.
fn modifiable(node: &mut Node) -> Option<(&mut Modifiers, &mut Position)> {
    match &mut node.expr {
        Expr::Vector(selector) => Some((&mut selector.modifiers, &mut selector.position)),
        Expr::Matrix(matrix) => Some((&mut matrix.selector.modifiers, &mut matrix.position)),
        Expr::Subquery(subquery) => Some((&mut subquery.modifiers, &mut subquery.position)),
        _ => None,
    }
}

fn offset_modifier(input: Tokens<'_>, mut node: Node) -> Parsed<'_, Node> {
    let whole = node.expr.position();
    let (rest, (span, end)) = offset(input.next())?;
    let Some((modifiers, position)) = modifiable(&mut node) else {
        return Wrong::fail(
            whole,
            "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        );
    };
    if !modifiers.offset.is_zero() {
        return Wrong::fail(whole, "offset may not be set multiple times");
    }
    modifiers.offset = span;
    *position = position.to(end);
    Ok((rest, node))
}

fn at_modifier(input: Tokens<'_>, mut node: Node) -> Parsed<'_, Node> {
    let whole = node.expr.position();
    let (rest, (at, end)) = at_time(input.next(), whole)?;
    let Some((modifiers, position)) = modifiable(&mut node) else {
        return Wrong::fail(
            whole,
            "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        );
    };
    if modifiers.at.is_some() {
        return Wrong::fail(whole, "@ <timestamp> may not be set multiple times");
    }
    modifiers.at = Some(at);
    *position = position.to(end);
    Ok((rest, node))
}

/// number | start() | end()
fn at_time(input: Tokens<'_>, whole: Position) -> Parsed<'_, (At, Position)> {
    for (word, at) in [("start", At::Start), ("end", At::End)] {
        if input.is_word(word) && input.kind_after() == Some(&Kind::LeftParen) {
            let closing = input.next().next();
            let (rest, end) = symbol(Kind::RightParen, "@", "\")\"").parse(closing)?;
            return Ok((rest, (at, end)));
        }
    }
    let (rest, number) = signed_number(input, "@", "timestamp")?;
    let ms = number.value * 1000.0;
    if !ms.is_finite() || 9.2e18 < ms.abs() {
        let found = if number.value.is_finite() {
            format!("{:.6}", number.value)
        } else {
            model::float::format_plain(number.value)
        };
        return Wrong::fail(
            whole,
            format!("timestamp out of bounds for @ modifier: {found}"),
        );
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounds were checked above")]
    let at = At::Time(ms.round() as i64);
    Ok((rest, (at, number.position)))
}

fn extended(input: Tokens<'_>, mut node: Node, extension: Extension) -> Parsed<'_, Node> {
    let name = input.text().to_ascii_lowercase();
    let (found, position) = match &mut node.expr {
        Expr::Vector(selector) => (&mut selector.extension, &mut selector.position),
        Expr::Matrix(matrix) => (&mut matrix.selector.extension, &mut matrix.position),
        other => {
            let message = format!(
                "{name} modifier must be preceded by an instant vector selector or range vector selector"
            );
            return Wrong::fail(other.position(), message);
        }
    };
    if *found != Extension::None {
        let message =
            "anchored and smoothed modifiers cannot be used together or set multiple times";
        return Wrong::fail(input.position(), message);
    }
    *found = extension;
    *position = position.to(input.position());
    Ok((input.next(), node))
}

fn primary(input: Tokens<'_>) -> Parsed<'_, Node> {
    match input.kind() {
        Kind::LeftParen => parenthesized(input),
        Kind::Ident if is_aggregate_start(input) => aggregate(input),
        Kind::Ident if is_reserved(input) => Err(input.unexpected("", "")),
        Kind::Ident if is_call_start(input) => call(input),
        _ => leaf(input),
    }
}

fn is_reserved(input: Tokens<'_>) -> bool {
    RESERVED.iter().any(|word| input.is_word(word))
}

fn parenthesized(input: Tokens<'_>) -> Parsed<'_, Node> {
    let (rest, inner) = expression(input.next())?;
    let (rest, end) = symbol(Kind::RightParen, "", "").parse(rest)?;
    let paren = Paren {
        expr: inner.expr,
        position: input.position().to(end),
    };
    Ok((
        rest,
        Node::above(inner.height, Expr::Paren(Box::new(paren)))?,
    ))
}

fn leaf(input: Tokens<'_>) -> Parsed<'_, Node> {
    let position = input.position();
    match input.kind() {
        Kind::Number(value) => Ok((input.next(), number(*value, false, position))),
        Kind::Duration(seconds) => Ok((input.next(), number(*seconds, true, position))),
        Kind::Str(value) => {
            let literal = StringLiteral {
                value: value.clone(),
                not_utf8: None,
                position,
            };
            Ok((input.next(), Node::leaf(Expr::String(Box::new(literal)))))
        }
        Kind::Bytes(bytes) => {
            let literal = StringLiteral {
                value: String::from_utf8_lossy(bytes).into_owned(),
                not_utf8: Some(bytes.clone()),
                position,
            };
            Ok((input.next(), Node::leaf(Expr::String(Box::new(literal)))))
        }
        Kind::Ident | Kind::MetricIdent | Kind::LeftBrace => {
            let (rest, selector) = vector_selector(input)?;
            Ok((rest, Node::leaf(Expr::Vector(Box::new(selector)))))
        }
        _ => Err(input.unexpected("", "")),
    }
}

fn number(value: f64, is_duration: bool, position: Position) -> Node {
    Node::leaf(Expr::Number(NumberLiteral {
        value,
        is_duration,
        position,
    }))
}

fn is_call_start(input: Tokens<'_>) -> bool {
    let is_metric_only = ["and", "or", "unless", "offset", "by", "without"]
        .iter()
        .any(|word| input.is_word(word));
    !is_metric_only && input.kind_after() == Some(&Kind::LeftParen)
}

fn call(input: Tokens<'_>) -> Parsed<'_, Node> {
    let name = input.text();
    let (rest, (nodes, end)) = arguments(input.next())?;
    let position = input.position().to(end);
    let Some(function) = Function::find(name) else {
        return Wrong::fail(position, format!("unknown function with name \"{name}\""));
    };
    let height = nodes.iter().map(|node| node.height).max().unwrap_or(0);
    let call = Call {
        function,
        args: nodes.into_iter().map(|node| node.expr).collect(),
        position,
    };
    Ok((rest, Node::above(height, Expr::Call(Box::new(call)))?))
}
