//! One `eval`: the query itself, and the same query in other ways that must not make a difference.

use super::command::{Eval, When};
use super::compare;
use super::describe;
use super::storage::MemoryStorage;
use crate::ast::{At, Expr, Modifiers};
use crate::engine::{Engine, QueryOptions};
use crate::error::QueryError;
use crate::value::{QueryResult, Value, VectorSample};

/// Functions whose value depends on when they are evaluated even if every selector has its time.
const OF_THE_TIME: [&str; 15] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "hour",
    "minute",
    "month",
    "year",
    "start",
    "end",
    "step",
    "range",
    "predict_linear",
    "time",
    "timestamp",
];

/// How the result of an `eval` differs from what is expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Mismatch {
    /// The first difference.
    pub why: String,
    /// The whole result, a line each: series with their samples, annotations, or the error.
    pub got: Vec<String>,
}

/// Runs `eval`.
pub(super) fn evaluate(
    eval: &Eval,
    storage: &MemoryStorage,
    engine: &Engine,
) -> Result<(), Mismatch> {
    match eval.when {
        When::Instant(at) => {
            check_instant(eval, &run(engine, storage, &eval.query, at), "")?;
            variations(eval, storage, engine, at)
        }
        When::Range { start, end, step } => {
            let options = QueryOptions::default();
            let result = engine.range(storage, &eval.query, start, end, step, &options);
            let checked = outcome(eval, &result).and_then(|result| match result {
                Some(result) => check_range(eval, result, start, step),
                None => Ok(()),
            });
            checked.map_err(|why| mismatch(why, &result))
        }
    }
}

fn mismatch(why: String, result: &Result<QueryResult, QueryError>) -> Mismatch {
    let got = match result {
        Ok(result) => describe::result(result),
        Err(error) => vec![format!("error: {error}")],
    };
    Mismatch { why, got }
}

fn check_range(eval: &Eval, result: &QueryResult, start: i64, step: i64) -> Result<(), String> {
    compare::annotations(&result.annotations, &eval.expected)?;
    match &result.value {
        Value::Matrix(series) => compare::matrix(series, &eval.expected.series, start, step),
        _ => Err("expected a range vector".to_owned()),
    }
}

fn run(
    engine: &Engine,
    storage: &MemoryStorage,
    query: &str,
    at: i64,
) -> Result<QueryResult, QueryError> {
    engine.instant(storage, query, at, &QueryOptions::default())
}

/// Returns the result if there should be one; an error is compared with the expected one.
fn outcome<'r>(
    eval: &Eval,
    result: &'r Result<QueryResult, QueryError>,
) -> Result<Option<&'r QueryResult>, String> {
    match (result, &eval.expected.failure) {
        (Ok(result), None) => Ok(Some(result)),
        (Ok(_), Some(text)) => Err(format!("expected failure {text:?}")),
        (Err(error), None) => Err(format!("failed: {error}")),
        (Err(error), Some(text)) if text.accepts(&error.to_string()) => Ok(None),
        (Err(error), Some(text)) => Err(format!("expected failure {text:?}, got: {error}")),
    }
}

fn check_instant(
    eval: &Eval,
    result: &Result<QueryResult, QueryError>,
    how: &str,
) -> Result<(), Mismatch> {
    let checked = outcome(eval, result).and_then(|result| match result {
        Some(result) => {
            compare::annotations(&result.annotations, &eval.expected)?;
            compare::instant(&result.value, &eval.expected)
        }
        None => Ok(()),
    });
    checked.map_err(|why| mismatch(format!("{how}{why}"), result))
}

/// With every selector fixed to `at` the time of evaluation makes no difference; nor does being a step of a range query.
fn variations(
    eval: &Eval,
    storage: &MemoryStorage,
    engine: &Engine,
    at: i64,
) -> Result<(), Mismatch> {
    let expected = &eval.expected;
    let Ok(mut expr) = engine.parse(&eval.query) else {
        return Ok(());
    };
    let mut queries = vec![(eval.query.clone(), at, String::new())];
    if !calls(&expr, &OF_THE_TIME) && expected.range_vector.is_none() {
        fix(&mut expr, at);
        let times = match at {
            0 => vec![-1000, 0, 1000],
            at => vec![-10 * at, 0, at / 5, at, 10 * at],
        };
        for time in times {
            let how = format!("fixed by @, at {}ms: ", time);
            check_instant(eval, &run(engine, storage, &expr.to_string(), time), &how)?;
            queries.push((expr.to_string(), time, how));
        }
    }
    let is_special = expected.string.is_some()
        || expected.range_vector.is_some()
        || expected.is_ordered
        || expected.failure.is_some()
        || calls(&expr, &["start", "end", "range", "step"])
        || eval.query.contains("start()")
        || eval.query.contains("end()")
        || eval.query.contains("range()")
        || eval.query.contains("step()");
    if is_special {
        return Ok(());
    }
    for (query, time, how) in queries {
        let options = QueryOptions::default();
        let result = engine.range(
            storage,
            &query,
            time - 60_000,
            time + 60_000,
            60_000,
            &options,
        );
        let checked = match &result {
            Ok(found) => {
                let value = step_of(&found.value, time, expected.scalar.is_some());
                compare::instant(&value, expected)
            }
            Err(error) => Err(format!("failed: {error}")),
        };
        checked.map_err(|why| mismatch(format!("{how}as range query: {why}"), &result))?;
    }
    Ok(())
}

/// What a range query's result has at `time`.
fn step_of(value: &Value, time: i64, is_scalar: bool) -> Value {
    let Value::Matrix(series) = value else {
        return value.clone();
    };
    let mut samples = Vec::new();
    for series in series {
        let float = series.floats.iter().find(|(t, _)| *t == time);
        let histogram = series.histograms.iter().find(|(t, _)| *t == time);
        let value = match (float, histogram) {
            (Some((_, value)), _) if is_scalar => {
                return Value::Scalar {
                    t: time,
                    value: *value,
                };
            }
            (Some((_, value)), _) => (*value).into(),
            (None, Some((_, histogram))) => model::SampleValue::Histogram(histogram.clone()),
            (None, None) => continue,
        };
        samples.push(VectorSample {
            labels: series.labels.clone(),
            t: time,
            value,
        });
    }
    Value::Vector(samples)
}

fn calls(expr: &Expr, names: &[&str]) -> bool {
    let called = match expr {
        Expr::Call(call) => names.contains(&call.function.name),
        _ => false,
    };
    called || expr.children().into_iter().any(|child| calls(child, names))
}

/// Gives every selector and subquery without `@` the time `at`; what is inside of a subquery with `@` stays.
fn fix(expr: &mut Expr, at: i64) {
    let fix_modifiers = |modifiers: &mut Modifiers| {
        let was_free = modifiers.at.is_none();
        modifiers.at.get_or_insert(At::Time(at));
        was_free
    };
    match expr {
        Expr::Vector(node) => {
            fix_modifiers(&mut node.modifiers);
        }
        Expr::Matrix(node) => {
            fix_modifiers(&mut node.selector.modifiers);
        }
        Expr::Subquery(node) => {
            fix_modifiers(&mut node.modifiers);
        }
        Expr::Call(node) => node.args.iter_mut().for_each(|arg| fix(arg, at)),
        Expr::Unary(node) => fix(&mut node.expr, at),
        Expr::Paren(node) => fix(&mut node.expr, at),
        Expr::Binary(node) => {
            fix(&mut node.left, at);
            fix(&mut node.right, at);
        }
        Expr::Aggregate(node) => {
            fix(&mut node.expr, at);
            node.parameter
                .iter_mut()
                .for_each(|parameter| fix(parameter, at));
        }
        Expr::Number(_) | Expr::String(_) => (),
    }
}
