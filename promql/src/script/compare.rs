//! Results against expectations.

use model::{FloatHistogram, Labels, SampleValue};

use super::command::{Expected, Notes};
use super::describe::{labels, sample, times};
use super::series::{SeriesLine, SeriesValue};
use crate::annotations::Annotations;
use crate::histogram::arithmetic::same_by;
use crate::numeric::almost_equal;
use crate::value::{MatrixSeries, Value, VectorSample};

const EPSILON: f64 = 1e-6;

/// Compares annotations.
pub(super) fn annotations(found: &Annotations, expected: &Expected) -> Result<(), String> {
    notes("warning", &found.warnings, &expected.warnings)?;
    notes("info", &found.infos, &expected.infos)
}

fn notes(kind: &str, found: &[String], expected: &Notes) -> Result<(), String> {
    if expected.none && !found.is_empty() {
        return Err(format!("unexpected {kind}: {}", found.join(", ")));
    }
    if expected.some.is_empty() {
        return Ok(());
    }
    for text in &expected.some {
        if !found.iter().any(|note| text.accepts(note)) {
            return Err(format!("expected {kind} {text:?}, got {found:?}"));
        }
    }
    match found
        .iter()
        .find(|note| !expected.some.iter().any(|text| text.accepts(note)))
    {
        Some(note) => Err(format!("unexpected {kind}: {note}")),
        None => Ok(()),
    }
}

/// Compares a value with what is expected of an instant query.
pub(super) fn instant(value: &Value, expected: &Expected) -> Result<(), String> {
    match value {
        Value::String { value, .. } => match &expected.string {
            Some(string) if string == value => Ok(()),
            other => Err(format!("expected string {other:?}, got {value:?}")),
        },
        Value::Scalar { value, .. } => scalar(*value, expected),
        Value::Vector(samples) => vector(samples, expected),
        Value::Matrix(series) => match expected.range_vector {
            Some((start, step)) => matrix(series, &expected.series, start, step),
            None => Err("unexpected range vector".to_owned()),
        },
    }
}

fn scalar(found: f64, expected: &Expected) -> Result<(), String> {
    match expected.scalar {
        Some(scalar) if almost_equal(scalar, found, EPSILON) => Ok(()),
        other => Err(format!("expected scalar {other:?}, got {found}")),
    }
}

fn vector(found: &[VectorSample], expected: &Expected) -> Result<(), String> {
    if expected.scalar.is_some() || expected.string.is_some() {
        return Err("expected no vector".to_owned());
    }
    let mut missing: Vec<&SeriesLine> = expected.series.iter().collect();
    for (at, element) in found.iter().enumerate() {
        let position = expected
            .series
            .iter()
            .position(|line| line.labels == element.labels);
        let Some(position) = position else {
            return Err(format!(
                "unexpected {} {}",
                labels(&element.labels),
                sample(&element.value)
            ));
        };
        let line = &expected.series[position];
        missing.retain(|other| other.labels != line.labels);
        if expected.is_ordered && position != at {
            return Err(format!(
                "{} is at {at}, expected at {position}",
                labels(&line.labels)
            ));
        }
        let Some(Some(wanted)) = line.values.first() else {
            return Err(format!("unexpected {}", labels(&line.labels)));
        };
        equal(&element.value, wanted, &line.labels)?;
    }
    match missing.first() {
        Some(line) => Err(format!("missing {}", labels(&line.labels))),
        None => Ok(()),
    }
}

/// Compares a range query's result; item `i` of a line is at `start + i * step`.
pub(super) fn matrix(
    found: &[MatrixSeries],
    expected: &[SeriesLine],
    start: i64,
    step: i64,
) -> Result<(), String> {
    if !found.is_sorted_by(|a, b| a.labels <= b.labels) {
        return Err("series are not sorted".to_owned());
    }
    for line in expected {
        let wanted: Vec<(i64, &SeriesValue)> = line
            .values
            .iter()
            .enumerate()
            .filter_map(|(at, value)| {
                Some((start + step * i64::try_from(at).ok()?, value.as_ref()?))
            })
            .collect();
        let series = found.iter().find(|series| series.labels == line.labels);
        let Some(series) = series else {
            if wanted.is_empty() {
                continue;
            }
            return Err(format!("missing {}", labels(&line.labels)));
        };
        let samples = samples(series);
        let found_times: Vec<i64> = samples.iter().map(|(t, _)| *t).collect();
        let wanted_times: Vec<i64> = wanted.iter().map(|(t, _)| *t).collect();
        if found_times != wanted_times {
            return Err(format!(
                "{} has samples at {}, expected {}",
                labels(&line.labels),
                times(&found_times),
                times(&wanted_times)
            ));
        }
        for ((_, value), (_, wanted)) in samples.iter().zip(wanted) {
            equal(value, wanted, &line.labels)?;
        }
    }
    match found
        .iter()
        .find(|series| !expected.iter().any(|line| line.labels == series.labels))
    {
        Some(series) => Err(format!("unexpected {}", labels(&series.labels))),
        None => Ok(()),
    }
}

fn samples(series: &MatrixSeries) -> Vec<(i64, SampleValue)> {
    let floats = series
        .floats
        .iter()
        .map(|&(t, value)| (t, SampleValue::Float(value)));
    let histograms = series.histograms.iter();
    let histograms = histograms.map(|(t, value)| (*t, SampleValue::Histogram(value.clone())));
    let mut samples: Vec<_> = floats.chain(histograms).collect();
    samples.sort_by_key(|(t, _)| *t);
    samples
}

fn equal(found: &SampleValue, wanted: &SeriesValue, of: &Labels) -> Result<(), String> {
    let same = match (found, &wanted.value) {
        (SampleValue::Float(a), SampleValue::Float(b)) => almost_equal(*b, *a, EPSILON),
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => {
            same_histogram(a, b) && (!wanted.has_reset_hint || a.reset_hint == b.reset_hint)
        }
        _ => false,
    };
    if same {
        return Ok(());
    }
    Err(format!(
        "{}: expected {}, got {}",
        labels(of),
        sample(&wanted.value),
        sample(found)
    ))
}

fn same_histogram(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    same_by(a, b, |a, b| almost_equal(a, b, EPSILON))
}
