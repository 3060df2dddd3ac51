//! Windows that hold native histograms, perhaps beside floats.

pub(super) mod change;

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::ResetHint;
use model::name::Quoted;

use super::{RangeCall, RangeFunction};
use crate::error::QueryError;
use crate::histogram::arithmetic::{compacted, divided, same, subtract};
use crate::histogram::reset::is_reset;
use crate::position::Position;
use crate::row::Row;
use crate::window::starts::Starts;
use crate::window::{self, Known, Windows};
use change::{note_bounds, warn_schemas};

/// How many samples of work one histogram is.
pub(super) const HISTOGRAM_WORK: usize = 64;

/// The histogram samples of one series.
#[derive(Default)]
struct Histograms {
    timestamps: Vec<i64>,
    values: Vec<Arc<FloatHistogram>>,
    starts: Vec<i64>,
}

impl Histograms {
    fn starts(&self) -> Starts<'_> {
        Starts::new(&self.timestamps, &self.starts)
    }
}

impl RangeCall<'_> {
    /// Computes the function of a series that has histograms.
    pub(super) fn mixed(&mut self, name: &str, row: &mut Row) -> Result<(), QueryError> {
        let (mut timestamps, mut floats, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        let has_starts = !self.columns.starts.is_empty();
        let mut histograms = Histograms::default();
        for (at, &t) in self.columns.timestamps.iter().enumerate() {
            let starts = match self.columns.histogram(at) {
                Some(histogram) => {
                    histograms.timestamps.push(t);
                    histograms.values.push(Arc::clone(histogram));
                    &mut histograms.starts
                }
                None => {
                    timestamps.push(t);
                    floats.push(self.columns.floats[at]);
                    &mut starts
                }
            };
            if has_starts {
                starts.push(self.columns.start(at));
            }
        }
        let (mut float_bounds, mut histogram_bounds) = (Vec::new(), Vec::new());
        window::find(&self.spec, &timestamps, &mut float_bounds);
        window::find(&self.spec, &histograms.timestamps, &mut histogram_bounds);
        let known = Known::default();
        let float_windows = |bounds| Windows {
            budget: &self.call.context.budget,
            spec: self.spec,
            timestamps: &timestamps,
            values: &floats,
            starts: &starts,
            bounds,
            known: &known,
        };
        let position = self.position()?;
        match self.function {
            RangeFunction::Rate | RangeFunction::Increase | RangeFunction::Delta
                if let Some(reach) = self.reach =>
            {
                self.mixed_changes(reach, name, position, row)?;
            }
            RangeFunction::Count | RangeFunction::Present => {
                let all = Windows {
                    budget: &self.call.context.budget,
                    spec: self.spec,
                    timestamps: &self.columns.timestamps,
                    values: &self.columns.floats,
                    starts: &self.columns.starts,
                    bounds: &self.bounds,
                    known: &self.known,
                };
                self.floats(&all, row)?;
            }
            RangeFunction::Last
            | RangeFunction::First
            | RangeFunction::TimeOfLast
            | RangeFunction::TimeOfFirst => {
                self.one_sample(row);
            }
            RangeFunction::Changes | RangeFunction::Resets => self.neighbours(row)?,
            RangeFunction::Irate | RangeFunction::Idelta => self.last_two(name, position, row)?,
            RangeFunction::Rate
            | RangeFunction::Increase
            | RangeFunction::Delta
            | RangeFunction::Sum
            | RangeFunction::Avg => {
                // Floats only where there is no histogram; empty windows keep the bounds ascending.
                let mut alone = float_bounds.clone();
                for (step, (from, to)) in histogram_bounds.iter().enumerate() {
                    if from == to {
                        continue;
                    }
                    let (float_from, float_to) = &mut alone[step];
                    if *float_from < *float_to {
                        let message = format!(
                            "encountered a mix of histograms and floats for metric name {}",
                            Quoted(name)
                        );
                        self.call.context.warn(&message, position);
                    } else {
                        let work = (to - from).saturating_mul(HISTOGRAM_WORK);
                        self.call.context.budget.check_work(work)?;
                        self.of_histograms(step, &histograms, (*from, *to), name, position, row);
                    }
                    *float_from = *float_to;
                }
                self.floats(&float_windows(&alone), row)?;
                row.histograms.sort_by_key(|(step, _)| *step);
            }
            _ => {
                for (step, (from, to)) in histogram_bounds.iter().enumerate() {
                    if from < to && float_bounds[step].0 < float_bounds[step].1 {
                        let message = format!(
                            "ignored histograms in a range containing both floats and histograms for metric name {}",
                            Quoted(name)
                        );
                        self.call.context.info(&message, position);
                    }
                }
                self.floats(&float_windows(&float_bounds), row)?;
            }
        }
        Ok(())
    }

    pub(super) fn starts(&self) -> Starts<'_> {
        Starts::new(&self.columns.timestamps, &self.columns.starts)
    }

    fn position(&self) -> Result<Position, QueryError> {
        let arg = usize::from(self.function == RangeFunction::Quantile);
        Ok(self.call.arg(arg)?.position())
    }

    /// first_over_time, last_over_time and their times.
    fn one_sample(&self, row: &mut Row) {
        for (step, &(from, to)) in self.bounds.iter().enumerate() {
            if from == to {
                continue;
            }
            let is_first = matches!(
                self.function,
                RangeFunction::First | RangeFunction::TimeOfFirst
            );
            let at = if is_first { from } else { to - 1 };
            if matches!(
                self.function,
                RangeFunction::TimeOfFirst | RangeFunction::TimeOfLast
            ) {
                row.set(step, self.columns.timestamps[at] as f64 / 1e3);
                continue;
            }
            match self.columns.histogram(at) {
                Some(histogram) => row.set_histogram(step, Arc::clone(histogram)),
                None => row.set(step, self.columns.floats[at]),
            }
        }
    }

    /// changes and resets: a change of kind counts as both.
    fn neighbours(&self, row: &mut Row) -> Result<(), QueryError> {
        let wants_resets = self.function == RangeFunction::Resets;
        let mut totals = Vec::with_capacity(self.columns.len());
        let mut total = 0u32;
        for at in 0..self.columns.len() {
            self.call.context.budget.check_work(HISTOGRAM_WORK)?;
            if 0 < at && self.counts(at, wants_resets) {
                total += 1;
            }
            totals.push(total);
        }
        for (step, &(from, to)) in self.bounds.iter().enumerate() {
            if from < to {
                row.set(step, f64::from(totals[to - 1] - totals[from]));
            }
        }
        Ok(())
    }

    fn counts(&self, at: usize, wants_resets: bool) -> bool {
        let columns = &self.columns;
        if wants_resets && self.starts().is_restart(at) {
            return true;
        }
        match (columns.histogram(at - 1), columns.histogram(at)) {
            (Some(before), Some(now)) if wants_resets => is_reset(now, before),
            (Some(before), Some(now)) => !same(before, now),
            (None, None) => {
                let (before, now) = (columns.floats[at - 1], columns.floats[at]);
                if wants_resets {
                    now < before
                } else {
                    before != now && !(before.is_nan() && now.is_nan())
                }
            }
            _ => true,
        }
    }

    /// irate and idelta.
    fn last_two(&self, name: &str, position: Position, row: &mut Row) -> Result<(), QueryError> {
        let is_rate = self.function == RangeFunction::Irate;
        let context = self.call.context;
        for (step, &(from, to)) in self.bounds.iter().enumerate() {
            if to < from + 2 {
                continue;
            }
            context.budget.check_work(HISTOGRAM_WORK)?;
            let ms = self.columns.timestamps[to - 1] - self.columns.timestamps[to - 2];
            let seconds = ms as f64 / 1e3;
            match (
                self.columns.histogram(to - 2),
                self.columns.histogram(to - 1),
            ) {
                (Some(before), Some(last)) => {
                    let gauges = [before, last]
                        .iter()
                        .filter(|h| h.reset_hint == ResetHint::Gauge)
                        .count();
                    let (message, wrong) = if is_rate {
                        ("this native histogram metric is not a counter", gauges != 0)
                    } else {
                        ("this native histogram metric is not a gauge", gauges != 2)
                    };
                    if wrong {
                        context.warn(&format!("{message}: {}", Quoted(name)), position);
                    }
                    let mut change = FloatHistogram::clone(last);
                    let starts_anew = self.starts().is_restart(to - 1) || is_reset(last, before);
                    if !(is_rate && starts_anew) {
                        match subtract(&mut change, before) {
                            Ok(added) => {
                                note_bounds(self, added.bounds_reconciled, "subtraction", position)
                            }
                            Err(_) => {
                                warn_schemas(self, name, position);
                                continue;
                            }
                        }
                    }
                    change.reset_hint = ResetHint::Gauge;
                    let change = if is_rate {
                        divided(change, seconds)
                    } else {
                        change
                    };
                    row.set_histogram(step, Arc::new(compacted(change)));
                }
                (None, None) => {
                    let (before, last) = (self.columns.floats[to - 2], self.columns.floats[to - 1]);
                    let starts_anew = self.starts().is_restart(to - 1) || last < before;
                    let change = if is_rate && starts_anew {
                        last
                    } else {
                        last - before
                    };
                    row.set(step, if is_rate { change / seconds } else { change });
                }
                _ => {
                    let message = format!(
                        "encountered a mix of histograms and floats for metric name {}",
                        Quoted(name)
                    );
                    context.warn(&message, position);
                }
            }
        }
        Ok(())
    }
}
