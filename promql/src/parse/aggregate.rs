//! Aggregations, argument lists and label lists.

use nom::Parser;

use super::Node;
use super::error::Wrong;
use super::expression::expression;
use super::tokens::{Parsed, Tokens, is_aggregate, symbol};
use crate::ast::{AGGREGATES, Aggregate, AggregateOp, Expr};
use crate::lex::Kind;
use crate::position::Position;

const GROUPING: &str = "grouping opts";

/// Whether an aggregation begins here, and not a metric of that name.
pub(super) fn is_aggregate_start(input: Tokens<'_>) -> bool {
    let follows = input.next();
    input.word().is_some_and(is_aggregate)
        && (*follows.kind() == Kind::LeftParen || is_modifier(follows))
}

fn is_modifier(input: Tokens<'_>) -> bool {
    input.is_word("by") || input.is_word("without")
}

/// op [ by|without (labels) ] (arguments) | op (arguments) by|without (labels)
pub(super) fn aggregate(input: Tokens<'_>) -> Parsed<'_, Node> {
    inner_aggregate(input).map_err(|wrong| wrong.map(|wrong| wrong.within("aggregation")))
}

fn inner_aggregate(input: Tokens<'_>) -> Parsed<'_, Node> {
    let op = AGGREGATES
        .iter()
        .find(|(name, _)| input.is_word(name))
        .map_or(AggregateOp::Sum, |(_, op)| *op);
    let mut rest = input.next();
    let mut grouping = None;
    if is_modifier(rest) {
        (rest, grouping) = modifier(rest).map(|(rest, found)| (rest, Some(found)))?;
    }
    let (mut rest, (mut nodes, mut end)) = arguments(rest)?;
    if grouping.is_none() && is_modifier(rest) {
        let (after, found) = modifier(rest)?;
        end = found.end;
        (rest, grouping) = (after, Some(found));
    }
    if let Kind::Error(_) = rest.kind() {
        // What comes next is looked at first.
        return Err(rest.unexpected("", ""));
    }
    let position = input.position().to(end);
    let wanted = if op.parameter().is_some() { 2 } else { 1 };
    if nodes.is_empty() {
        return Wrong::fail(position, "no arguments for aggregate expression provided");
    }
    if nodes.len() != wanted {
        let message = format!(
            "wrong number of arguments for aggregate expression provided, expected {wanted}, got {}",
            nodes.len()
        );
        return Wrong::fail(position, message);
    }
    let height = nodes.iter().map(|node| node.height).max().unwrap_or(0);
    let Some(expr) = nodes.pop() else {
        return Err(rest.unexpected("", ""));
    };
    let (without, labels) =
        grouping.map_or((false, Vec::new()), |found| (found.without, found.labels));
    let aggregate = Aggregate {
        op,
        expr: expr.expr,
        parameter: nodes.pop().map(|node| node.expr),
        grouping: labels,
        without,
        position,
    };
    Ok((
        rest,
        Node::above(height, Expr::Aggregate(Box::new(aggregate)))?,
    ))
}

struct Grouping {
    without: bool,
    labels: Vec<String>,
    end: Position,
}

fn modifier(input: Tokens<'_>) -> Parsed<'_, Grouping> {
    let without = input.is_word("without");
    let (rest, (labels, end)) = closed_label_list(input.next())?;
    let grouping = Grouping {
        without,
        labels,
        end,
    };
    Ok((rest, grouping))
}

/// ( [ label { , label } [ , ] ] )
pub(super) fn label_list(input: Tokens<'_>) -> Parsed<'_, Vec<String>> {
    let (rest, (labels, _)) = closed_label_list(input)?;
    Ok((rest, labels))
}

/// The labels and where the closing parenthesis is.
fn closed_label_list(input: Tokens<'_>) -> Parsed<'_, (Vec<String>, Position)> {
    let (mut rest, _) = symbol(Kind::LeftParen, GROUPING, "\"(\"").parse(input)?;
    let mut labels = Vec::new();
    while *rest.kind() != Kind::RightParen {
        labels.push(label(rest)?);
        rest = rest.next();
        match rest.kind() {
            Kind::Comma => rest = rest.next(),
            Kind::RightParen => (),
            _ => return Err(rest.unexpected(GROUPING, "\",\" or \")\"")),
        }
    }
    let end = rest.position();
    Ok((rest.next(), (labels, end)))
}

fn label(input: Tokens<'_>) -> Result<String, nom::Err<Wrong>> {
    match input.kind() {
        Kind::Ident | Kind::MetricIdent => Ok(input.text().to_owned()),
        // A number word is a fine label name.
        Kind::Number(value) if !value.is_finite() => Ok(input.text().to_owned()),
        Kind::Str(name) if !name.is_empty() => Ok(name.clone()),
        _ => Err(input.unexpected(GROUPING, "label")),
    }
}

/// ( [ expression { , expression } ] ), and where the closing parenthesis is. Costs two levels of depth, as its frames
/// are large.
pub(super) fn arguments(input: Tokens<'_>) -> Parsed<'_, (Vec<Node>, Position)> {
    let (rest, parsed) = inner_arguments(input.deeper()?)?;
    Ok((rest.at_level_of(input), parsed))
}

fn inner_arguments(input: Tokens<'_>) -> Parsed<'_, (Vec<Node>, Position)> {
    let (rest, _) = symbol(Kind::LeftParen, "aggregation", "").parse(input)?;
    if *rest.kind() == Kind::RightParen {
        return Ok((rest.next(), (Vec::new(), rest.position())));
    }
    // A plain loop: a combinator would put several frames more on the stack per level of nesting.
    let (mut rest, node) = expression(rest)?;
    let mut nodes = vec![node];
    while *rest.kind() == Kind::Comma {
        if rest.kind_after() == Some(&Kind::RightParen) {
            let message = "trailing commas not allowed in function call args";
            return Wrong::fail(rest.position(), message);
        }
        let (after, node) = expression(rest.next())?;
        nodes.push(node);
        rest = after;
    }
    let (rest, end) = symbol(Kind::RightParen, "", "").parse(rest)?;
    Ok((rest, (nodes, end)))
}
