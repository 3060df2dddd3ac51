//! Functions of one sample: each step on its own, each series on its own.

use std::sync::Arc;

use model::FloatHistogram;

use super::merge::{SAME_LABELS, differ_without_names, unique};
use crate::engine::context::Context;
use crate::error::QueryError;
use crate::row::{BoxRows, Meta, Row, Rows};

/// Applies `change` to each row of `inner`, after dropping the names.
pub(crate) fn map<'q>(
    context: &'q Context<'q>,
    inner: BoxRows<'q>,
    steps: usize,
    change: impl FnMut(&mut Row) -> Result<(), QueryError> + 'q,
) -> Result<BoxRows<'q>, QueryError> {
    let differ = differ_without_names(inner.series(), context.delayed_name_removal);
    let series = inner
        .series()
        .iter()
        .cloned()
        .map(Meta::dropping_name)
        .collect();
    let mapped = Box::new(Map {
        inner,
        series,
        change,
    });
    if differ {
        return Ok(mapped);
    }
    unique(context, mapped, steps, SAME_LABELS)
}

/// Applies `change` to each row of `inner`; its series are now `series`, one for one.
pub(crate) fn map_series<'q>(
    inner: BoxRows<'q>,
    series: Vec<Meta>,
    change: impl FnMut(&mut Row) -> Result<(), QueryError> + 'q,
) -> BoxRows<'q> {
    Box::new(Map {
        inner,
        series,
        change,
    })
}

/// Applies `f` to each float; drops histograms and names.
pub(crate) fn floats<'q>(
    context: &'q Context<'q>,
    inner: BoxRows<'q>,
    steps: usize,
    f: impl Fn(usize, f64) -> f64 + 'q,
) -> Result<BoxRows<'q>, QueryError> {
    map(context, inner, steps, move |row| {
        row.histograms.clear();
        for (step, value) in row.values.iter_mut().enumerate() {
            *value = f(step, *value);
        }
        Ok(())
    })
}

/// Unary minus.
pub(crate) fn negate<'q>(
    context: &'q Context<'q>,
    inner: BoxRows<'q>,
    steps: usize,
) -> Result<BoxRows<'q>, QueryError> {
    map(context, inner, steps, |row| {
        for value in &mut row.values {
            *value = -*value;
        }
        for (_, histogram) in &mut row.histograms {
            *histogram = Arc::new(crate::histogram::scaled(
                FloatHistogram::clone(histogram),
                -1.0,
            ));
        }
        Ok(())
    })
}

struct Map<'q, F> {
    inner: BoxRows<'q>,
    series: Vec<Meta>,
    change: F,
}

impl<F: FnMut(&mut Row) -> Result<(), QueryError>> Rows for Map<'_, F> {
    fn series(&self) -> &[Meta] {
        &self.series
    }

    fn next(&mut self, row: &mut Row) -> Result<(), QueryError> {
        self.inner.next(row)?;
        (self.change)(row)
    }
}
