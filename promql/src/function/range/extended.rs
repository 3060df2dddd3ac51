//! rate, increase and delta of `anchored` and `smoothed` ranges: the change between the ends, nothing extrapolated.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::ResetHint;
use model::name::Quoted;

use super::mixed::HISTOGRAM_WORK;
use super::mixed::change::{note_bounds, warn_schemas};
use super::rate::Resets;
use super::{RangeCall, RangeFunction};
use crate::error::QueryError;
use crate::histogram::arithmetic::{add, compacted, scaled, subtract};
use crate::histogram::interpolate::interpolated;
use crate::histogram::reset::is_reset;
use crate::position::Position;
use crate::row::Row;
use crate::window::extended::{Extent, Point, Reach};
use crate::window::{Known, Windows};

/// The change over each window; per second if `is_rate`.
pub(super) fn changes(
    windows: &Windows<'_>,
    reach: Reach,
    is_counter: bool,
    is_rate: bool,
    row: &mut Row,
) -> Result<(), QueryError> {
    let (timestamps, values) = (windows.timestamps, windows.values);
    let mut resets = if is_counter {
        Resets::of(values, windows.starts())
    } else {
        Resets::default()
    };
    let seconds = windows.spec.range as f64 / 1e3;
    for window in windows.filled(1) {
        let extent = Extent::of(&windows.spec, reach, timestamps, window);
        let mut change = value(values, extent.right, &resets) - value(values, extent.left, &resets);
        let resets = resets.between(extent.first_raw(), extent.last_raw());
        if !resets.is_empty() {
            windows.budget.check_work(resets.len())?;
        }
        for (_, before) in resets {
            change += before;
        }
        row.set(window.0, if is_rate { change / seconds } else { change });
    }
    Ok(())
}

/// The value at `point`. A counter that was reset on the way is taken to have started from zero.
fn value(values: &[f64], point: Point, resets: &Resets) -> f64 {
    match point {
        Point::At(index) => values[index],
        Point::Between(before, fraction) => {
            let (from, to) = (values[before], values[before + 1]);
            if resets.contains(before + 1) {
                to * fraction
            } else {
                from + (to - from) * fraction
            }
        }
    }
}

impl RangeCall<'_> {
    /// As [`changes`], of a series that has histograms.
    pub(super) fn mixed_changes(
        &self,
        reach: Reach,
        name: &str,
        position: Position,
        row: &mut Row,
    ) -> Result<(), QueryError> {
        let columns = &self.columns;
        let context = self.call.context;
        let is_histogram = |at: &usize| columns.histogram(*at).is_some();
        // Windows of floats keep their bounds, the others become empty.
        let mut of_floats = self.bounds.clone();
        for (step, &(from, to)) in self.bounds.iter().enumerate() {
            let histograms = (from..to).filter(is_histogram).count();
            if histograms == 0 {
                continue;
            }
            of_floats[step] = (from, from);
            context
                .budget
                .check_work((to - from).saturating_mul(HISTOGRAM_WORK))?;
            if histograms < to - from {
                let message = format!(
                    "encountered a mix of histograms and floats for metric name {}",
                    Quoted(name)
                );
                context.warn(&message, position);
                continue;
            }
            let window = (step, from, to);
            let extent = Extent::of(&self.spec, reach, &columns.timestamps, window);
            if let Some(change) = self.histogram_change((from, to), extent, name, position) {
                row.set_histogram(step, Arc::new(compacted(change)));
            }
        }
        let windows = Windows {
            budget: &context.budget,
            spec: self.spec,
            timestamps: &columns.timestamps,
            values: &columns.floats,
            starts: &columns.starts,
            bounds: &of_floats,
            known: &Known::default(),
        };
        self.floats(&windows, row)
    }

    fn histogram_change(
        &self,
        (from, to): (usize, usize),
        extent: Extent,
        name: &str,
        position: Position,
    ) -> Option<FloatHistogram> {
        let all: Vec<&Arc<FloatHistogram>> = (from..to)
            .filter_map(|at| self.columns.histogram(at))
            .collect();
        self.check_kind(
            all.iter().map(|histogram| histogram.reset_hint),
            name,
            position,
        );
        let is_custom = all[0].has_custom_buckets();
        if all.iter().any(|h| h.has_custom_buckets() != is_custom) {
            warn_schemas(self, name, position);
            return None;
        }
        let is_counter = self.function != RangeFunction::Delta;
        let at = |index: usize| all[index - from];
        let starts = self.starts();
        let resets = |index: usize| {
            is_counter && (starts.is_restart(index) || is_reset(at(index), at(index - 1)))
        };
        let of = |point| match point {
            Point::At(index) => Some(FloatHistogram::clone(at(index))),
            Point::Between(before, fraction) => {
                let is_reset = resets(before + 1);
                let (before, after) = (at(before), at(before + 1));
                let (between, added) = interpolated(before, after, fraction, is_reset).ok()?;
                note_bounds(self, added.bounds_reconciled, "subtraction", position);
                Some(between)
            }
        };
        let mut change = of(extent.right)?;
        let added = subtract(&mut change, &of(extent.left)?).ok()?;
        note_bounds(self, added.bounds_reconciled, "subtraction", position);
        for index in extent.first_raw() + 1..=extent.last_raw() {
            if resets(index) {
                let added = add(&mut change, at(index - 1)).ok()?;
                note_bounds(self, added.bounds_reconciled, "addition", position);
            }
        }
        change.reset_hint = ResetHint::Gauge;
        if self.function == RangeFunction::Rate {
            change = scaled(change, 1.0 / (self.spec.range as f64 / 1e3));
        }
        Some(change)
    }
}

#[cfg(test)]
mod tests;
