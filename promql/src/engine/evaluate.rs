//! Expressions to operators.
//!
//! One function per shape of value: [`rows`] for instant vectors, [`scalar`] and [`string`] for the others; range
//! vectors are [`RangeSource`](crate::operator::range::RangeSource)s, which only functions consume. The type check has
//! made sure that each is called for what it can do.

use super::bounds::is_step_invariant;
use super::context::Context;
use crate::ast::{Binary, Call, Expr, Unary, ValueType};
use crate::error::QueryError;
use crate::function;
use crate::numeric::{greatest, least};
use crate::operator::{aggregate, binary, invariant, map, selector};
use crate::print::string_literal;
use crate::row::{BoxRows, Scalar, Steps};

/// Evaluates an instant vector.
pub(crate) fn rows<'q>(
    context: &'q Context<'q>,
    expr: &'q Expr,
    steps: Steps,
) -> Result<BoxRows<'q>, QueryError> {
    if 1 < steps.count && is_step_invariant(expr) {
        let inner = operator(context, expr, steps.first_for_all())?;
        return Ok(invariant::repeat(context, inner, steps.count));
    }
    operator(context, expr, steps)
}

/// The operator of `expr`, measured if the plan is wanted.
fn operator<'q>(
    context: &'q Context<'q>,
    expr: &'q Expr,
    steps: Steps,
) -> Result<BoxRows<'q>, QueryError> {
    match &context.profile {
        Some(profile) if !matches!(expr, Expr::Paren(_)) => {
            profile.measured(expr, steps, &context.budget, || {
                dispatch(context, expr, steps)
            })
        }
        _ => dispatch(context, expr, steps),
    }
}

fn dispatch<'q>(
    context: &'q Context<'q>,
    expr: &'q Expr,
    steps: Steps,
) -> Result<BoxRows<'q>, QueryError> {
    match expr {
        Expr::Vector(node) => selector::rows(context, node, steps, selector::Read::Value),
        Expr::Paren(node) => rows(context, &node.expr, steps),
        Expr::Unary(node) => unary(context, node, steps),
        Expr::Aggregate(node) => aggregate::rows(context, node, steps),
        Expr::Binary(node) => binary::rows(context, node, steps),
        Expr::Call(node) => function::rows(context, node, steps),
        _ => Err(mistyped(expr)),
    }
}

fn unary<'q>(
    context: &'q Context<'q>,
    node: &'q Unary,
    steps: Steps,
) -> Result<BoxRows<'q>, QueryError> {
    let inner = rows(context, &node.expr, steps)?;
    if node.negates {
        map::negate(context, inner, steps.count)
    } else {
        Ok(inner)
    }
}

/// Evaluates a scalar at all steps.
pub(crate) fn scalar(
    context: &Context<'_>,
    expr: &Expr,
    steps: Steps,
) -> Result<Scalar, QueryError> {
    if expr.value_type() != ValueType::Scalar {
        return Err(mistyped(expr));
    }
    if 1 < steps.count && is_step_invariant(expr) {
        let value = scalar_operator(context, expr, steps.first_for_all())?.at(0);
        return Ok(Scalar::Constant(value));
    }
    scalar_operator(context, expr, steps)
}

/// As [`operator`]; numbers are no operators.
fn scalar_operator(context: &Context<'_>, expr: &Expr, steps: Steps) -> Result<Scalar, QueryError> {
    match &context.profile {
        Some(profile) if !matches!(expr, Expr::Paren(_) | Expr::Number(_)) => {
            let node = profile.add(expr, steps);
            let work = || scalar_at(context, expr, steps);
            let value = profile.work(node, &context.budget, work)?;
            profile.set_series(node, 1);
            profile.hand_on(node, steps.count);
            Ok(value)
        }
        _ => scalar_at(context, expr, steps),
    }
}

fn scalar_at(context: &Context<'_>, expr: &Expr, steps: Steps) -> Result<Scalar, QueryError> {
    match expr {
        Expr::Number(node) => Ok(Scalar::Constant(node.value)),
        Expr::Paren(node) => scalar(context, &node.expr, steps),
        Expr::Unary(node) => {
            let value = scalar(context, &node.expr, steps)?;
            Ok(if node.negates {
                value.map(|v| -v)
            } else {
                value
            })
        }
        Expr::Binary(node) => scalar_binary(context, node, steps),
        Expr::Call(node) => scalar_call(context, node, steps),
        _ => Err(mistyped(expr)),
    }
}

fn scalar_binary(context: &Context<'_>, node: &Binary, steps: Steps) -> Result<Scalar, QueryError> {
    let left = scalar(context, &node.left, steps)?;
    let right = scalar(context, &node.right, steps)?;
    let op = node.op;
    Ok(left.combine(&right, steps.count, |a, b| {
        if op.is_comparison() {
            f64::from(u8::from(binary::compare(op, a, b)))
        } else {
            binary::arithmetic(op, a, b)
        }
    }))
}

fn scalar_call(context: &Context<'_>, node: &Call, steps: Steps) -> Result<Scalar, QueryError> {
    let seconds = |ms: i64| ms as f64 / 1e3;
    let clock = &context.times;
    Ok(match node.function.name {
        "time" => {
            context.budget.hold(steps.count)?;
            Scalar::Column((0..steps.count).map(|i| seconds(steps.time(i))).collect())
        }
        "pi" => Scalar::Constant(std::f64::consts::PI),
        "start" => Scalar::Constant(seconds(clock.steps.start)),
        "end" => Scalar::Constant(seconds(clock.end)),
        "step" => Scalar::Constant(clock.step_seconds()),
        "range" => Scalar::Constant(clock.range_seconds()),
        "min_of" | "max_of" => {
            let left = scalar(context, &node.args[0], steps)?;
            let right = scalar(context, &node.args[1], steps)?;
            let is_min = node.function.name == "min_of";
            let choose = if is_min { least } else { greatest };
            left.combine(&right, steps.count, choose)
        }
        "scalar" => {
            context.budget.hold(steps.count)?;
            function::conversion::scalar(rows(context, &node.args[0], steps)?, steps)?
        }
        name => return Err(QueryError::unsupported(&format!("function {name}"))),
    })
}

/// Returns the text of a string expression, which must be UTF-8.
pub(crate) fn string(expr: &Expr) -> Result<&str, QueryError> {
    match expr.unparenthesized() {
        Expr::String(node) if node.not_utf8.is_some() => Err(QueryError::Execution(format!(
            "string {} is not valid UTF-8",
            string_literal(node)
        ))),
        Expr::String(node) => Ok(&node.value),
        other => Err(mistyped(other)),
    }
}

/// Returns the text of a string expression that is to name a label.
pub(crate) fn label_name(expr: &Expr) -> Result<&str, QueryError> {
    match expr.unparenthesized() {
        Expr::String(node) if node.not_utf8.is_some() || node.value.is_empty() => {
            let message = format!("invalid label name {}", string_literal(node));
            Err(QueryError::Execution(message))
        }
        other => string(other),
    }
}

fn mistyped(expr: &Expr) -> QueryError {
    QueryError::Execution(format!(
        "unexpected {} in evaluation",
        expr.value_type().describe()
    ))
}
