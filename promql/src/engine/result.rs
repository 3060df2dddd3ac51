//! The last step: rows to the value that the caller gets.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use model::storage::SampleColumns;
use model::{Labels, SampleValue};

use super::context::Context;
use super::evaluate::{rows, scalar, string};
use crate::ast::{Expr, ValueType};
use crate::error::QueryError;
use crate::limits::{histogram_bytes, samples_of, weighed};
use crate::operator::merge::SAME_LABELS;
use crate::operator::range::RangeSource;
use crate::row::{Row, Scalar, Steps};
use crate::value::{MatrixSeries, Value, VectorSample};

/// Evaluates `expr` at `steps`; an instant query has one. `sorting` becomes the time that sorting the result took.
pub(super) fn evaluate(
    context: &Context<'_>,
    expr: &Expr,
    steps: Steps,
    is_instant: bool,
    sorting: &mut Duration,
) -> Result<Value, QueryError> {
    let t = steps.start;
    match (expr.value_type(), is_instant) {
        (ValueType::String, _) => Ok(Value::String {
            t,
            value: match expr.unparenthesized() {
                Expr::String(literal) => literal.value.clone(),
                other => string(other)?.to_owned(),
            },
        }),
        (ValueType::Scalar, true) => Ok(Value::Scalar {
            t,
            value: scalar(context, expr, steps)?.at(0),
        }),
        (ValueType::Scalar, false) => Ok(scalar_matrix(&scalar(context, expr, steps)?, steps)),
        (ValueType::Vector, true) => vector(context, expr, steps),
        (ValueType::Vector, false) => sorted(matrix(context, expr, steps)?, sorting),
        (ValueType::Matrix, _) => sorted(raw_matrix(context, expr, steps)?, sorting),
    }
}

fn scalar_matrix(scalar: &Scalar, steps: Steps) -> Value {
    let floats: Vec<(i64, f64)> = (0..steps.count)
        .map(|step| (steps.time(step), scalar.at(step)))
        .collect();
    if floats.is_empty() {
        return Value::Matrix(Vec::new());
    }
    Value::Matrix(vec![MatrixSeries {
        labels: Labels::empty(),
        floats,
        histograms: Vec::new(),
    }])
}

fn vector(context: &Context<'_>, expr: &Expr, steps: Steps) -> Result<Value, QueryError> {
    let mut rows = rows(context, expr, steps)?;
    let mut samples: Vec<VectorSample> = Vec::new();
    let mut row = Row::default();
    let mut dropped_names = false;
    for index in 0..rows.series().len() {
        rows.next(&mut row)?;
        let value = match row.histograms.pop() {
            Some((_, histogram)) => SampleValue::Histogram(histogram),
            None if row.present.get(0) => SampleValue::Float(row.values[0]),
            None => continue,
        };
        match &value {
            SampleValue::Float(_) => context.budget.hold(1)?,
            SampleValue::Histogram(histogram) => {
                context.budget.hold(samples_of(histogram))?;
                context.budget.hold_bytes(histogram_bytes(histogram))?;
            }
        }
        let meta = &rows.series()[index];
        dropped_names |= meta.drop_name;
        samples.push(VectorSample {
            labels: meta.final_labels(),
            t: steps.start,
            value,
        });
    }
    if dropped_names && context.delayed_name_removal {
        let mut seen = HashMap::new();
        for sample in &samples {
            if seen.insert(&sample.labels, ()).is_some() {
                return Err(QueryError::execution(SAME_LABELS));
            }
        }
    }
    Ok(Value::Vector(samples))
}

fn matrix(
    context: &Context<'_>,
    expr: &Expr,
    steps: Steps,
) -> Result<Vec<MatrixSeries>, QueryError> {
    if steps.count == 0 {
        return Ok(Vec::new());
    }
    let mut rows = rows(context, expr, steps)?;
    let mut all: Vec<MatrixSeries> = Vec::new();
    let mut row = Row::default();
    for index in 0..rows.series().len() {
        rows.next(&mut row)?;
        if row.is_empty() {
            continue;
        }
        context.budget.hold(weighed(row.len(), &row.histograms))?;
        context.budget.hold_histograms(&row.histograms)?;
        let mut floats = Vec::with_capacity(row.present.count());
        floats.extend(
            row.present
                .iter()
                .map(|step| (steps.time(step), row.values[step])),
        );
        let histograms = row.histograms.drain(..);
        all.push(MatrixSeries {
            labels: rows.series()[index].final_labels(),
            floats,
            histograms: histograms.map(|(step, h)| (steps.time(step), h)).collect(),
        });
    }
    Ok(all)
}

fn sorted(mut all: Vec<MatrixSeries>, took: &mut Duration) -> Result<Value, QueryError> {
    let started = Instant::now();
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    let merged = merged(all)?;
    *took = started.elapsed();
    Ok(Value::Matrix(merged))
}

/// Merges series that became equal when names were dropped at the end; they must not meet at any time.
fn merged(sorted: Vec<MatrixSeries>) -> Result<Vec<MatrixSeries>, QueryError> {
    let mut merged: Vec<MatrixSeries> = Vec::with_capacity(sorted.len());
    for series in sorted {
        match merged.last_mut() {
            Some(last) if last.labels == series.labels => {
                last.floats.extend(series.floats);
                last.histograms.extend(series.histograms);
                last.floats.sort_by_key(|(t, _)| *t);
                last.histograms.sort_by_key(|(t, _)| *t);
                let times = last.floats.iter().map(|(t, _)| *t);
                let mut times: Vec<i64> = times
                    .chain(last.histograms.iter().map(|(t, _)| *t))
                    .collect();
                times.sort_unstable();
                if times.windows(2).any(|pair| pair[0] == pair[1]) {
                    return Err(QueryError::execution(SAME_LABELS));
                }
            }
            _ => merged.push(series),
        }
    }
    Ok(merged)
}

/// An instant query for a range vector: the samples as they are.
fn raw_matrix(
    context: &Context<'_>,
    expr: &Expr,
    steps: Steps,
) -> Result<Vec<MatrixSeries>, QueryError> {
    let mut source = RangeSource::new(context, expr.unparenthesized(), steps)?;
    let mut all: Vec<MatrixSeries> = Vec::new();
    let mut columns = SampleColumns::default();
    for index in 0..source.series().len() {
        source.next(&mut columns)?;
        let window = source.window(&columns.timestamps, steps);
        if window.is_empty() {
            continue;
        }
        let histograms = &columns.histograms;
        let (seen, window_at) = (window.len(), (window.start, window.end));
        let in_window = histograms.iter().filter(|(at, _)| window.contains(at));
        let more = in_window.map(|(_, h)| samples_of(h) - 1);
        context.budget.hold(seen + more.sum::<usize>())?;
        context
            .budget
            .see_windows(steps, seen, &[window_at], histograms)?;
        let mut series = MatrixSeries {
            labels: source.series()[index].final_labels(),
            floats: Vec::new(),
            histograms: Vec::new(),
        };
        for at in window {
            let t = columns.timestamps[at];
            match columns.histogram(at) {
                Some(histogram) => series.histograms.push((t, histogram.clone())),
                None => series.floats.push((t, columns.floats[at])),
            }
        }
        all.push(series);
    }
    Ok(all)
}
