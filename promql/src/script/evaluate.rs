//! One `eval`: the query itself, and the same query in other ways that must not make a difference.

use super::command::{Eval, When};
use super::compare;
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

/// Runs `eval`.
pub(super) fn evaluate(
    eval: &Eval,
    storage: &MemoryStorage,
    engine: &Engine,
) -> Result<(), String> {
    match eval.when {
        When::Instant(at) => {
            check_instant(eval, run(engine, storage, &eval.query, at), "")?;
            variations(eval, storage, engine, at)
        }
        When::Range { start, end, step } => {
            let result = engine.range(
                storage,
                &eval.query,
                start,
                end,
                step,
                &QueryOptions::default(),
            );
            let Some(result) = outcome(eval, result)? else {
                return Ok(());
            };
            compare::annotations(&result.annotations, &eval.expected)?;
            match &result.value {
                Value::Matrix(series) => {
                    compare::matrix(series, &eval.expected.series, start, step)
                }
                _ => Err("expected a range vector".to_owned()),
            }
        }
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
fn outcome(
    eval: &Eval,
    result: Result<QueryResult, QueryError>,
) -> Result<Option<QueryResult>, String> {
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
    result: Result<QueryResult, QueryError>,
    how: &str,
) -> Result<(), String> {
    let checked = outcome(eval, result).and_then(|result| match result {
        Some(result) => {
            compare::annotations(&result.annotations, &eval.expected)?;
            compare::instant(&result.value, &eval.expected)
        }
        None => Ok(()),
    });
    checked.map_err(|why| format!("{how}{why}"))
}

/// With every selector fixed to `at` the time of evaluation makes no difference; nor does being a step of a range query.
fn variations(
    eval: &Eval,
    storage: &MemoryStorage,
    engine: &Engine,
    at: i64,
) -> Result<(), String> {
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
            check_instant(eval, run(engine, storage, &expr.to_string(), time), &how)?;
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
        let result = result.map_err(|error| format!("{how}as range query: failed: {error}"))?;
        let value = step_of(&result.value, time, expected.scalar.is_some());
        compare::instant(&value, expected).map_err(|why| format!("{how}as range query: {why}"))?;
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
