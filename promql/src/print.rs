//! Expressions as text that parses back to the same tree.

mod duration;
mod pretty;

use std::fmt::{self, Display, Formatter, Write as _};

use model::MatchOp;
use model::float::format_plain;
use model::name::{Quoted, is_legacy_label_name};

use crate::ast::{
    Aggregate, At, Binary, Cardinality, Expr, Extension, MatrixSelector, Modifiers, NumberLiteral,
    Span, StringLiteral, Subquery, VectorMatching, VectorSelector,
};
pub use pretty::pretty;

/// Prints on one line, as Prometheus prints expressions: canonical spacing, matchers sorted, comments gone.
impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Number(number) => number.fmt(f),
            Expr::String(string) => string_literal(string).fmt(f),
            Expr::Vector(selector) => selector.fmt(f),
            Expr::Matrix(matrix) => matrix.fmt(f),
            Expr::Subquery(subquery) => {
                subquery.expr.fmt(f)?;
                f.write_str(&suffix(subquery))
            }
            Expr::Call(call) => {
                f.write_str(call.function.name)?;
                f.write_char('(')?;
                for (index, arg) in call.args.iter().enumerate() {
                    if index != 0 {
                        f.write_str(", ")?;
                    }
                    arg.fmt(f)?;
                }
                f.write_char(')')
            }
            Expr::Unary(unary) => {
                f.write_char(if unary.negates { '-' } else { '+' })?;
                unary.expr.fmt(f)
            }
            Expr::Binary(binary) => {
                binary.left.fmt(f)?;
                write!(f, " {} ", operator(binary))?;
                binary.right.fmt(f)
            }
            Expr::Aggregate(aggregate) => {
                f.write_str(&head(aggregate))?;
                f.write_char('(')?;
                if let Some(parameter) = &aggregate.parameter {
                    write!(f, "{parameter}, ")?;
                }
                write!(f, "{})", aggregate.expr)
            }
            Expr::Paren(paren) => write!(f, "({})", paren.expr),
        }
    }
}

impl Display for NumberLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_duration
            && let Some(ms) = crate::parse::seconds_to_ms(self.value)
        {
            return model::Duration::from_ms(ms).fmt(f);
        }
        f.write_str(&format_plain(self.value))
    }
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_name_and_matchers(self, f)?;
        write_extension(self.extension, f)?;
        self.modifiers.fmt(f)
    }
}

impl Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_name_and_matchers(&self.selector, f)?;
        write!(f, "[{}]", self.range)?;
        write_extension(self.selector.extension, f)?;
        self.selector.modifiers.fmt(f)
    }
}

fn write_extension(extension: Extension, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str(match extension {
        Extension::None => "",
        Extension::Anchored => " anchored",
        Extension::Smoothed => " smoothed",
    })
}

fn write_name_and_matchers(selector: &VectorSelector, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str(selector.name.as_deref().unwrap_or_default())?;
    let mut matchers: Vec<String> = selector
        .matchers
        .iter()
        .filter(|matcher| {
            let is_name = matcher.name() == "__name__" && matcher.op() == MatchOp::Equal;
            !(is_name && selector.name.as_deref() == Some(matcher.value()))
        })
        .map(|matcher| {
            let (name, op) = (label(matcher.name()), matcher.op().as_str());
            format!("{name}{op}{}", Quoted(matcher.value()))
        })
        .collect();
    if matchers.is_empty() {
        return Ok(());
    }
    matchers.sort();
    write!(f, "{{{}}}", matchers.join(","))
}

/// Prints ` @ t offset d`, with the space before.
impl Display for Modifiers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(At::Time(ms)) => {
                let sign = if ms < 0 { "-" } else { "" };
                let ms = ms.unsigned_abs();
                write!(f, " @ {sign}{}.{:03}", ms / 1000, ms % 1000)?;
            }
            Some(At::Start) => f.write_str(" @ start()")?,
            Some(At::End) => f.write_str(" @ end()")?,
            None => (),
        }
        if !self.offset.is_zero() {
            write!(f, " offset {}", self.offset)?;
        }
        Ok(())
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Span::Ms(ms) => model::Duration::from_ms(*ms).fmt(f),
            Span::Expr(expr) => expr.fmt(f),
        }
    }
}

/// Prints a string; bytes that are not UTF-8 as escapes.
pub(crate) fn string_literal(string: &StringLiteral) -> String {
    let Some(bytes) = &string.not_utf8 else {
        return Quoted(&string.value).to_string();
    };
    let mut text = "\"".to_owned();
    for chunk in bytes.utf8_chunks() {
        let quoted = Quoted(chunk.valid()).to_string();
        text.push_str(&quoted[1..quoted.len() - 1]);
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text.push('"');
    text
}

/// Prints matchers and labels as they stand in lists: quoted where they must be.
pub(crate) fn label(name: &str) -> String {
    if is_legacy_label_name(name) {
        name.to_owned()
    } else {
        Quoted(name).to_string()
    }
}

fn labels(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| label(name)).collect();
    names.join(", ")
}

/// Returns what `expr` is without its operands.
pub(crate) fn operator_of(expr: &Expr) -> String {
    match expr {
        Expr::Subquery(subquery) => suffix(subquery),
        Expr::Call(call) => format!("{}()", call.function.name),
        Expr::Unary(unary) => if unary.negates { "-" } else { "+" }.to_owned(),
        Expr::Binary(binary) => operator(binary),
        Expr::Aggregate(aggregate) => head(aggregate).trim_end().to_owned(),
        Expr::Paren(paren) => operator_of(&paren.expr),
        Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => expr.to_string(),
    }
}

/// What follows the inner expression of a subquery.
fn suffix(subquery: &Subquery) -> String {
    let step = subquery
        .step
        .as_ref()
        .map(Span::to_string)
        .unwrap_or_default();
    format!("[{}:{step}]{}", subquery.range, subquery.modifiers)
}

/// An aggregation up to its opening parenthesis.
fn head(aggregate: &Aggregate) -> String {
    let op = aggregate.op.as_str();
    let names = labels(&aggregate.grouping);
    if aggregate.without {
        format!("{op} without ({names}) ")
    } else if names.is_empty() {
        op.to_owned()
    } else {
        format!("{op} by ({names}) ")
    }
}

/// A binary operator with its modifiers.
fn operator(binary: &Binary) -> String {
    let mut text = binary.op.as_str().to_owned();
    if binary.returns_bool {
        text.push_str(" bool");
    }
    if let Some(matching) = &binary.matching {
        write_matching(matching, &mut text);
    }
    text
}

fn write_matching(matching: &VectorMatching, text: &mut String) {
    let grouped = match matching.cardinality {
        Cardinality::ManyToOne => Some("group_left"),
        Cardinality::OneToMany => Some("group_right"),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    let names = labels(&matching.labels);
    if matching.on {
        let _ = write!(text, " on ({names})");
    } else if !names.is_empty() || grouped.is_some() {
        let _ = write!(text, " ignoring ({names})");
    }
    if let Some(grouped) = grouped {
        let _ = write!(text, " {grouped} ({})", labels(&matching.include));
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left == right => {
            let _ = write!(text, " fill ({left})");
        }
        (left, right) => {
            for (side, value) in [("left", left), ("right", right)] {
                if let Some(value) = value {
                    let _ = write!(text, " fill_{side} ({value})");
                }
            }
        }
    }
}
