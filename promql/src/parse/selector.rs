//! Instant vector selectors.

use model::{MatchOp, Matcher};

use super::error::Wrong;
use super::tokens::{Parsed, Tokens};
use crate::ast::BinaryOp;
use crate::ast::{Extension, Modifiers, VectorSelector};
use crate::lex::Kind;
use crate::position::Position;

const METRIC_NAME: &str = "__name__";
const CONTEXT: &str = "label matching";

/// name [ {matchers} ] | {matchers}
pub(super) fn vector_selector(input: Tokens<'_>) -> Parsed<'_, VectorSelector> {
    let mut rest = input;
    let mut name = None;
    let mut end = input.position();
    if matches!(input.kind(), Kind::Ident | Kind::MetricIdent) {
        name = Some(input.text().to_owned());
        rest = input.next();
    }
    let mut matchers = Vec::new();
    if *rest.kind() == Kind::LeftBrace {
        (rest, end) = braces(rest.next(), &mut matchers)?;
    } else if name.is_none() {
        return Err(input.unexpected("", ""));
    }
    let position = input.position().to(end);
    set_name(&name, position, &mut matchers)?;
    let selector = VectorSelector {
        name,
        matchers,
        modifiers: Modifiers::default(),
        extension: Extension::None,
        position,
    };
    Ok((rest, selector))
}

/// Adds the matcher of the metric name that stands before the braces; there must be no other then.
fn set_name(
    name: &Option<String>,
    position: Position,
    matchers: &mut Vec<Matcher>,
) -> Result<(), nom::Err<Wrong>> {
    let mut equal = matchers
        .iter()
        .filter(|matcher| {
            let counts = name.is_some() || matcher.op() == MatchOp::Equal;
            counts && matcher.name() == METRIC_NAME
        })
        .map(Matcher::value);
    let first = name.as_deref().or_else(|| equal.next());
    if let (Some(first), Some(second)) = (first, equal.next()) {
        let (first, second) = (model::name::Quoted(first), model::name::Quoted(second));
        return Wrong::fail(
            position,
            format!("metric name must not be set twice: {first} or {second}"),
        );
    }
    if let Some(name) = name {
        matchers.push(Matcher::equal(METRIC_NAME, name));
    }
    Ok(())
}

/// [ matcher { , matcher } [ , ] ] }, and where the closing brace is.
fn braces<'t>(input: Tokens<'t>, matchers: &mut Vec<Matcher>) -> Parsed<'t, Position> {
    let mut rest = input;
    while *rest.kind() != Kind::RightBrace {
        let (after, matcher) = matcher(rest)?;
        matchers.push(matcher);
        rest = match after.kind() {
            Kind::Comma => after.next(),
            Kind::RightBrace => after,
            _ => return Err(after.unexpected(CONTEXT, "\",\" or \"}\"")),
        };
    }
    Ok((rest.next(), rest.position()))
}

/// name op "value" | "name" op "value" | "metric name"
fn matcher(input: Tokens<'_>) -> Parsed<'_, Matcher> {
    let rest = input.next();
    let name = match input.kind() {
        Kind::Ident => input.text(),
        Kind::Str(name) if matches!(rest.kind(), Kind::Comma | Kind::RightBrace) => {
            return Ok((rest, Matcher::equal(METRIC_NAME, name)));
        }
        Kind::Str(name) => name,
        _ => return Err(input.unexpected(CONTEXT, "identifier or \"}\"")),
    };
    let op = match rest.kind() {
        Kind::Assign => MatchOp::Equal,
        Kind::Op(BinaryOp::NotEqual) => MatchOp::NotEqual,
        Kind::Matches => MatchOp::Regex,
        Kind::MatchesNot => MatchOp::NotRegex,
        _ => return Err(rest.unexpected(CONTEXT, "label matching operator")),
    };
    let rest = rest.next();
    let Kind::Str(value) = rest.kind() else {
        return Err(rest.unexpected(CONTEXT, "string"));
    };
    match Matcher::new(name, op, value.as_str()) {
        Ok(matcher) => Ok((rest.next(), matcher)),
        Err(invalid) => Wrong::fail(input.position(), format!("error parsing regexp: {invalid}")),
    }
}
