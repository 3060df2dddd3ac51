//! Whether a sample can be stored, and where.

use std::sync::Arc;

use model::histogram::{FloatHistogram, Histogram, ResetHint};
use model::storage::{AppendError, HistogramSample};

use crate::head::MemSeries;

/// Most labels that one series may have.
const LABELS_MAX: usize = 10_000;

/// From when on samples are taken.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// In-order samples.
    pub(super) oldest_valid: i64,
    /// Late ones; `None` when they are not taken.
    pub(super) oldest_late: Option<i64>,
}

/// Where a sample goes.
#[derive(Clone, Copy)]
pub(super) enum Place {
    InOrder,
    Late,
    /// It is the newest one again.
    Nowhere,
}

/// A sample that is new.
pub(super) enum New<'a> {
    Float(f64),
    Histogram(&'a HistogramSample),
}

/// Says where a sample goes.
///
/// Source: Prometheus `memSeries.appendable`.
#[inline]
pub(super) fn check(
    series: &MemSeries,
    t: i64,
    new: &New<'_>,
    bounds: Bounds,
) -> Result<Place, AppendError> {
    let last = series.last_t();
    if bounds.oldest_valid <= t {
        if last.is_none_or(|last| last < t) {
            return Ok(Place::InOrder);
        }
        if last == Some(t) {
            let is_same = match new {
                New::Float(value) => series.is_last_float(*value),
                New::Histogram(histogram) => series.is_last_histogram(histogram),
            };
            return match is_same {
                true => Ok(Place::Nowhere),
                false => Err(AppendError::Duplicate),
            };
        }
    }
    match bounds.oldest_late {
        Some(oldest) if oldest <= t => Ok(Place::Late),
        Some(_) => Err(AppendError::TooOld),
        None if t < bounds.oldest_valid => Err(AppendError::OutOfBounds),
        None => Err(AppendError::OutOfOrder),
    }
}

/// Returns whether a sample of zero can stand at `start`, before the sample at `t` whose counter counts since then: in order,
/// which it is once.
///
/// Source: Prometheus `bestEffortAppendSTZeroSample`.
#[cold]
pub(super) fn takes_zero(series: &MemSeries, start: i64, t: i64, bounds: Bounds) -> bool {
    let is_newer = series.last_t().is_none_or(|last| last < start);
    start != 0 && start < t && bounds.oldest_valid <= start && is_newer
}

/// Returns the empty histogram after a reset that shares a chunk with this one.
pub(super) fn zero_like(histogram: &HistogramSample) -> HistogramSample {
    match histogram {
        HistogramSample::Integer(h) => HistogramSample::Integer(Arc::new(Histogram {
            reset_hint: ResetHint::CounterReset,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            custom_bounds: h.custom_bounds.clone(),
            ..Histogram::default()
        })),
        HistogramSample::Float(h) => HistogramSample::Float(Arc::new(FloatHistogram {
            reset_hint: ResetHint::CounterReset,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            custom_bounds: h.custom_bounds.clone(),
            ..FloatHistogram::default()
        })),
    }
}

/// Says what is wrong with labels that are none of a series.
pub(super) fn check_labels(labels: &[(&str, &str)]) -> Result<(), AppendError> {
    let invalid = |what: String| Err(AppendError::InvalidLabels(what));
    if labels.is_empty() {
        return invalid("empty labelset".to_owned());
    }
    if LABELS_MAX < labels.len() {
        return invalid(format!(
            "{} labels, at most {LABELS_MAX} are taken",
            labels.len()
        ));
    }
    if let Some(pair) = labels.windows(2).find(|pair| pair[1].0 <= pair[0].0) {
        return invalid(format!(
            "label name {:?} is not unique or not sorted",
            pair[1].0
        ));
    }
    if let Some((name, _)) = labels
        .iter()
        .find(|(name, value)| name.is_empty() || value.is_empty())
    {
        return invalid(format!("label {name:?} has an empty name or value"));
    }
    Ok(())
}
