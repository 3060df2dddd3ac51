//! Sums, means and changes of the native histograms in a window.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::ResetHint;
use model::name::Quoted;

use super::super::{RangeCall, RangeFunction};
use super::Histograms;
use crate::histogram::arithmetic::{add, compacted, scaled, subtract};
use crate::histogram::reset::is_reset;
use crate::histogram::total::Total;
use crate::position::Position;
use crate::row::Row;
use crate::window::ends::Ends;

impl RangeCall<'_> {
    pub(super) fn of_histograms(
        &self,
        step: usize,
        histograms: &Histograms,
        (from, to): (usize, usize),
        name: &str,
        position: Position,
        row: &mut Row,
    ) {
        let values = &histograms.values[from..to];
        let result = match self.function {
            RangeFunction::Sum | RangeFunction::Avg => self.total(values, name, position),
            _ => self.extrapolated(step, histograms, (from, to), name, position),
        };
        if let Some(histogram) = result {
            row.set_histogram(step, Arc::new(compacted(histogram)));
        }
    }

    /// rate, increase and delta.
    fn extrapolated(
        &self,
        step: usize,
        histograms: &Histograms,
        (from, to): (usize, usize),
        name: &str,
        position: Position,
    ) -> Option<FloatHistogram> {
        let is_counter = self.function != RangeFunction::Delta;
        let starts = histograms.starts();
        let zero = starts
            .zero(from, self.spec.start(step))
            .filter(|_| is_counter);
        if zero.is_none() && to - from < 2 {
            return None;
        }
        let values = &histograms.values;
        let resets: Vec<bool> = (from + 1..to)
            .map(|at| {
                is_counter && (starts.is_restart(at) || is_reset(&values[at], &values[at - 1]))
            })
            .collect();
        let change = self.change(&values[from..to], &resets, zero.is_some(), name, position)?;
        let ends = Ends {
            start: self.spec.start(step),
            end: self.spec.end(step),
            first: histograms.timestamps[from],
            last: histograms.timestamps[to - 1],
            gaps: (to - from - 1) as f64,
        };
        let mut factor = match zero {
            Some(zero) => ends.factor_since(zero),
            None => ends.factor(is_counter.then_some((values[from].count, change.count))),
        };
        if self.function == RangeFunction::Rate {
            factor /= self.spec.range as f64 / 1e3;
        }
        Some(scaled(change, factor))
    }

    /// sum_over_time and avg_over_time.
    fn total(
        &self,
        values: &[Arc<FloatHistogram>],
        name: &str,
        position: Position,
    ) -> Option<FloatHistogram> {
        let mut total = match self.function {
            RangeFunction::Avg => Total::mean(&values[0]),
            _ => Total::sum(&values[0]),
        };
        let saw = |hint| values.iter().any(|value| value.reset_hint == hint);
        // Nothing is said of what comes to nothing, but why.
        let mut reconciled = false;
        for value in &values[1..] {
            match total.add(value) {
                Ok(added) => reconciled |= added.bounds_reconciled,
                Err(_) => {
                    warn_schemas(self, name, position);
                    return None;
                }
            }
        }
        note_bounds(self, reconciled, "aggregation", position);
        if saw(ResetHint::CounterReset) && saw(ResetHint::NotCounterReset) {
            let message = "conflicting counter resets during histogram aggregation";
            self.call.context.warn(message, position);
        }
        Some(total.finish())
    }

    /// The change from the first histogram, or from zero, to the last; counter resets are made up for.
    ///
    /// `resets[i]` says whether there was one between `values[i]` and `values[i + 1]`.
    fn change(
        &self,
        values: &[Arc<FloatHistogram>],
        resets: &[bool],
        from_zero: bool,
        name: &str,
        position: Position,
    ) -> Option<FloatHistogram> {
        let (first, last) = (&values[0], &values[values.len() - 1]);
        let hints = values.iter().map(|h| h.reset_hint);
        let is_delta = self.function == RangeFunction::Delta;
        // After a reset between the first two, the first one says nothing.
        let starts_anew = resets.first() == Some(&true);
        let skipped = usize::from(starts_anew && !from_zero);
        let (looked_at, resets) = (&values[skipped..], &resets[skipped..]);
        let is_other =
            |h: &Arc<FloatHistogram>| h.has_custom_buckets() != last.has_custom_buckets();
        if is_other(&looked_at[0]) {
            if !is_delta {
                let ends = [first.reset_hint, last.reset_hint];
                self.check_kind(ends.into_iter(), name, position);
            }
            warn_schemas(self, name, position);
            return None;
        }
        // What lies between the ends is nothing to a difference; and where it is of another kind, only that is said.
        if !is_delta {
            if looked_at.iter().any(is_other) {
                warn_schemas(self, name, position);
                return None;
            }
            self.check_kind(hints.clone(), name, position);
        }
        let mut change = FloatHistogram::clone(last);
        if !starts_anew && !from_zero {
            let added = subtract(&mut change, first).ok()?;
            note_bounds(self, added.bounds_reconciled, "subtraction", position);
        }
        for (value, _) in looked_at.iter().zip(resets).filter(|(_, reset)| **reset) {
            let added = add(&mut change, value).ok()?;
            note_bounds(self, added.bounds_reconciled, "addition", position);
        }
        change.reset_hint = ResetHint::Gauge;
        if is_delta {
            self.check_kind(hints, name, position);
        }
        Some(change)
    }

    /// Says so if histograms with these hints are not of the kind that the function is for.
    pub(in crate::function::range) fn check_kind(
        &self,
        hints: impl DoubleEndedIterator<Item = ResetHint> + Clone,
        name: &str,
        position: Position,
    ) {
        let is_gauge = |hint| hint == ResetHint::Gauge;
        let message = if self.function == RangeFunction::Delta {
            let mut ends = [hints.clone().next(), hints.clone().next_back()]
                .into_iter()
                .flatten();
            (!ends.all(is_gauge)).then_some("this native histogram metric is not a gauge")
        } else {
            let mut hints = hints;
            hints
                .any(is_gauge)
                .then_some("this native histogram metric is not a counter")
        };
        if let Some(message) = message {
            let message = format!("{message}: {}", Quoted(name));
            self.call.context.warn(&message, position);
        }
    }
}

pub(in crate::function::range) fn note_bounds(
    rows: &RangeCall<'_>,
    reconciled: bool,
    what: &str,
    position: Position,
) {
    if reconciled {
        let message = format!("mismatched custom buckets were reconciled during {what}");
        rows.call.context.info(&message, position);
    }
}

pub(in crate::function::range) fn warn_schemas(
    rows: &RangeCall<'_>,
    name: &str,
    position: Position,
) {
    let message = format!(
        "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
        Quoted(name)
    );
    rows.call.context.warn(&message, position);
}
