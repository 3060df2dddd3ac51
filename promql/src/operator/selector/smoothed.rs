//! `v smoothed`: values at the step, interpolated between the samples before and after it.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::ResetHint;
use model::name::Quoted;
use model::storage::{SampleColumns, SelectHints, SeriesSet};

use super::{Read, start_seconds};
use crate::ast::VectorSelector;
use crate::engine::context::{Context, Look};
use crate::engine::selection::Selected;
use crate::error::QueryError;
use crate::histogram::arithmetic::compacted;
use crate::histogram::interpolate::interpolated;
use crate::histogram::reset::{decide_hints, is_reset};
use crate::operator::range::remove_stale;
use crate::row::{BoxRows, Meta, Row, Rows, Steps};
use crate::window::extended::Point;

/// Evaluates a smoothed instant vector selector.
///
/// Samples count within the lookback before a step and within as much after it; where there is none after it, the one
/// before it is carried on. Staleness markers are as good as absent.
pub(super) fn rows<'q>(
    context: &'q Context<'q>,
    node: &'q VectorSelector,
    look: Look,
    steps: Steps,
    read: Read,
) -> Result<BoxRows<'q>, QueryError> {
    let lookback = context.times.lookback;
    let first = look.from(steps.start).saturating_sub(lookback);
    let (mint, maxt) = (
        first.saturating_add(1),
        look.from(steps.end()).saturating_add(lookback),
    );
    let hints = SelectHints::range(mint, maxt);
    let set = Selected::new(context, &node.matchers, hints)?;
    let series = context.series(&set, node)?;
    Ok(Box::new(SmoothedRows {
        context,
        node,
        set,
        series,
        look,
        steps,
        read,
        span: (mint, maxt),
        next: 0,
        columns: SampleColumns::default(),
    }))
}

struct SmoothedRows<'q> {
    context: &'q Context<'q>,
    node: &'q VectorSelector,
    set: Selected<'q>,
    series: Vec<Meta>,
    look: Look,
    steps: Steps,
    read: Read,
    /// The first and the last millisecond that is looked at.
    span: (i64, i64),
    next: usize,
    columns: SampleColumns,
}

impl Rows for SmoothedRows<'_> {
    fn series(&self) -> &[Meta] {
        &self.series
    }

    fn next(&mut self, row: &mut Row) -> Result<(), QueryError> {
        let budget = &self.context.budget;
        budget.check()?;
        budget.check_work(self.steps.count)?;
        row.reset(self.steps.count);
        self.columns.clear();
        let (mint, maxt) = self.span;
        self.set.read(self.next, mint, maxt, &mut self.columns)?;
        remove_stale(&mut self.columns);
        if self.context.counts_only.contains(self.node) {
            decide_hints(&mut self.columns);
        }
        let lookback = self.context.times.lookback;
        let timestamps = &self.columns.timestamps;
        // Of the samples around the step: the first, the first after the step, one past the last.
        let (mut from, mut after, mut to) = (0, 0, 0);
        for step in 0..self.steps.count {
            let at = self.look.from(self.steps.time(step));
            let advance = |index: &mut usize, last: i64| {
                while timestamps.get(*index).is_some_and(|&t| t <= last) {
                    *index += 1;
                }
            };
            advance(&mut from, at.saturating_sub(lookback));
            advance(&mut after, at);
            advance(&mut to, at.saturating_add(lookback));
            if from == after {
                continue;
            }
            let before = after - 1;
            let point = if timestamps[before] == at || after == to {
                Point::At(before)
            } else {
                Point::between(timestamps, before, at)
            };
            self.set_step(step, (from, to), point, row);
        }
        self.next += 1;
        self.context.budget.see_row(self.steps, row)
    }
}

impl SmoothedRows<'_> {
    fn name(&self) -> Quoted<'_> {
        Quoted(self.series[self.next].labels.metric_name())
    }

    /// Sets what the series is at `point`; `from..to` are the samples around the step.
    fn set_step(&self, step: usize, (from, to): (usize, usize), point: Point, row: &mut Row) {
        let columns = &self.columns;
        let indices = columns.histograms.as_slice();
        let histograms = indices.partition_point(|(at, _)| *at < to)
            - indices.partition_point(|(at, _)| *at < from);
        if histograms == 0 {
            row.set(step, self.float(step, point));
        } else if histograms < to - from {
            let message = format!(
                "encountered a mix of histograms and floats for metric name {}",
                self.name()
            );
            self.context.warn(&message, self.node.position);
        } else if self.read != Read::Value {
            row.set(step, self.float(step, point));
        } else if let Some(histogram) = self.histogram(point) {
            row.set_histogram(step, histogram);
        }
    }

    fn float(&self, step: usize, point: Point) -> f64 {
        let (Point::At(before) | Point::Between(before, _)) = point;
        match self.read {
            Read::Value => (),
            Read::Timestamp => return self.look.from(self.steps.time(step)) as f64 / 1e3,
            Read::Start => return start_seconds(self.context, &self.columns, before),
        }
        let values = &self.columns.floats;
        match point {
            Point::At(index) => values[index],
            Point::Between(before, fraction) => {
                values[before] + (values[before + 1] - values[before]) * fraction
            }
        }
    }

    fn histogram(&self, point: Point) -> Option<Arc<FloatHistogram>> {
        let (before, fraction) = match point {
            Point::At(index) => return self.columns.histogram(index).cloned(),
            Point::Between(before, fraction) => (before, fraction),
        };
        let (before, after) = (
            self.columns.histogram(before)?,
            self.columns.histogram(before + 1)?,
        );
        let is_counter = [before, after]
            .iter()
            .all(|histogram| histogram.reset_hint != ResetHint::Gauge);
        let is_reset = is_counter && is_reset(after, before);
        match interpolated(before, after, fraction, is_reset) {
            Ok((histogram, added)) => {
                if added.bounds_reconciled {
                    let message = "mismatched custom buckets were reconciled during subtraction";
                    self.context.info(message, self.node.position);
                }
                Some(Arc::new(compacted(histogram)))
            }
            Err(_) => {
                let message = format!(
                    "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
                    self.name()
                );
                self.context.warn(&message, self.node.position);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Labels, SampleValue};
    use proptest::prelude::*;

    use crate::engine::QueryOptions;
    use crate::script::{self, MemoryStorage};
    use crate::value::Value;

    const LOOKBACK: i64 = 300_000;

    /// The obvious way: look for the neighbours of `at` among all samples.
    fn plain(samples: &[(i64, f64)], at: i64) -> Option<f64> {
        let before = samples
            .iter()
            .rfind(|(t, _)| at - LOOKBACK < *t && *t <= at)?;
        let after = samples
            .iter()
            .find(|(t, _)| at < *t && *t <= at + LOOKBACK)
            .filter(|_| before.0 < at);
        let Some(after) = after else {
            return Some(before.1);
        };
        let share = (at - before.0) as f64 / (after.0 - before.0) as f64;
        Some(before.1 + (after.1 - before.1) * share)
    }

    proptest! {
        #[test]
        fn agrees_with_looking_at_each_step(
            samples in proptest::collection::btree_map(0i64..120, -100i8..100, 0..30),
            start in -20i64..60, step in 1i64..20, offset in -10i64..10,
        ) {
            let samples: Vec<(i64, f64)> = samples
                .into_iter()
                .map(|(t, value)| (t * 60_000, f64::from(value)))
                .collect();
            let mut storage = MemoryStorage::default();
            for &(t, value) in &samples {
                storage.push(&Labels::from_pairs([("__name__", "a")]), t, SampleValue::Float(value));
            }
            let (start, step) = (start * 60_000, step * 15_000);
            let query = format!("a offset {offset}m smoothed");
            let result = script::engine()
                .range(&storage, &query, start, start + 40 * step, step, &QueryOptions::default());
            let Ok(Value::Matrix(series)) = result.map(|result| result.value) else {
                return Err(TestCaseError::fail("a range vector was expected"));
            };
            let found: Vec<(i64, f64)> = series.into_iter().flat_map(|series| series.floats).collect();
            let expected: Vec<(i64, f64)> = (0..=40)
                .map(|index| start + index * step)
                .filter_map(|t| Some((t, plain(&samples, t - offset * 60_000)?)))
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
