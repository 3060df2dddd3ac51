//! Windows that hold native histograms, perhaps beside floats.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::ResetHint;
use model::name::Quoted;

use super::rate::Ends;
use super::{RangeFunction, RangeRows};
use crate::error::QueryError;
use crate::histogram::arithmetic::{add, compacted, scaled, subtract};
use crate::histogram::reset::is_reset;
use crate::histogram::total::Total;
use crate::position::Position;
use crate::row::Row;
use crate::window::{self, Windows};

/// How many samples of work one histogram is.
pub(super) const HISTOGRAM_WORK: usize = 64;

/// The histogram samples of one series.
#[derive(Default)]
struct Histograms {
    timestamps: Vec<i64>,
    values: Vec<Arc<FloatHistogram>>,
}

impl RangeRows<'_> {
    /// Computes the function of a series that has histograms.
    pub(super) fn mixed(&mut self, name: &str, row: &mut Row) -> Result<(), QueryError> {
        let (mut timestamps, mut floats) = (Vec::new(), Vec::new());
        let mut histograms = Histograms::default();
        for (at, &t) in self.columns.timestamps.iter().enumerate() {
            match self.columns.histogram(at) {
                Some(histogram) => {
                    histograms.timestamps.push(t);
                    histograms.values.push(Arc::clone(histogram));
                }
                None => {
                    timestamps.push(t);
                    floats.push(self.columns.floats[at]);
                }
            }
        }
        let (mut float_bounds, mut histogram_bounds) = (Vec::new(), Vec::new());
        window::find(&self.spec, &timestamps, &mut float_bounds);
        window::find(&self.spec, &histograms.timestamps, &mut histogram_bounds);
        let float_windows = |bounds| Windows {
            budget: &self.call.context.budget,
            spec: self.spec,
            timestamps: &timestamps,
            values: &floats,
            bounds,
        };
        let position = self.position()?;
        match self.function {
            RangeFunction::Rate | RangeFunction::Increase | RangeFunction::Delta
                if let Some(reach) = self.source.reach =>
            {
                self.mixed_changes(reach, name, position, row)?;
            }
            RangeFunction::Count | RangeFunction::Present => {
                let all = Windows {
                    budget: &self.call.context.budget,
                    spec: self.spec,
                    timestamps: &self.columns.timestamps,
                    values: &self.columns.floats,
                    bounds: &self.bounds,
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
        match (columns.histogram(at - 1), columns.histogram(at)) {
            (Some(before), Some(now)) if wants_resets => is_reset(now, before),
            (Some(before), Some(now)) => {
                let plain = |histogram: &FloatHistogram| FloatHistogram {
                    reset_hint: ResetHint::Unknown,
                    ..compacted(histogram.clone())
                };
                plain(before) != plain(now)
            }
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
                    if !(is_rate && is_reset(last, before)) {
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
                        scaled(change, 1.0 / seconds)
                    } else {
                        change
                    };
                    row.set_histogram(step, Arc::new(compacted(change)));
                }
                (None, None) => {
                    let (before, last) = (self.columns.floats[to - 2], self.columns.floats[to - 1]);
                    let change = if is_rate && last < before {
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

    fn of_histograms(
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
            _ if values.len() < 2 => None,
            _ => self.change(values, name, position).map(|change| {
                let ends = Ends {
                    start: self.spec.start(step),
                    end: self.spec.end(step),
                    first: histograms.timestamps[from],
                    last: histograms.timestamps[to - 1],
                    gaps: (values.len() - 1) as f64,
                };
                let is_counter = self.function != RangeFunction::Delta;
                let zero = is_counter.then_some((values[0].count, change.count));
                let mut factor = ends.factor(zero);
                if self.function == RangeFunction::Rate {
                    factor /= self.spec.range as f64 / 1e3;
                }
                scaled(change, factor)
            }),
        };
        if let Some(histogram) = result {
            row.set_histogram(step, Arc::new(compacted(histogram)));
        }
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
        for value in &values[1..] {
            match total.add(value) {
                Ok(added) => note_bounds(self, added.bounds_reconciled, "aggregation", position),
                Err(_) => {
                    warn_schemas(self, name, position);
                    return None;
                }
            }
        }
        if saw(ResetHint::CounterReset) && saw(ResetHint::NotCounterReset) {
            let message = "conflicting counter resets during histogram aggregation";
            self.call.context.warn(message, position);
        }
        Some(total.finish())
    }

    /// The change from the first histogram to the last, counter resets made up for.
    fn change(
        &self,
        values: &[Arc<FloatHistogram>],
        name: &str,
        position: Position,
    ) -> Option<FloatHistogram> {
        let is_counter = self.function != RangeFunction::Delta;
        let (first, last) = (&values[0], &values[values.len() - 1]);
        self.check_kind(values.iter().map(|h| h.reset_hint), name, position);
        // After a reset between the first two, the first one says nothing.
        let starts_anew = is_counter && is_reset(&values[1], first);
        let looked_at = if starts_anew { &values[1..] } else { values };
        if looked_at
            .iter()
            .any(|h| h.has_custom_buckets() != last.has_custom_buckets())
        {
            warn_schemas(self, name, position);
            return None;
        }
        let mut change = FloatHistogram::clone(last);
        if !starts_anew {
            let added = subtract(&mut change, first).ok()?;
            note_bounds(self, added.bounds_reconciled, "subtraction", position);
        }
        if is_counter {
            for pair in looked_at.windows(2) {
                if is_reset(&pair[1], &pair[0]) {
                    let added = add(&mut change, &pair[0]).ok()?;
                    note_bounds(self, added.bounds_reconciled, "addition", position);
                }
            }
        }
        change.reset_hint = ResetHint::Gauge;
        Some(change)
    }

    /// Says so if histograms with these hints are not of the kind that the function is for.
    pub(super) fn check_kind(
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

pub(super) fn note_bounds(rows: &RangeRows<'_>, reconciled: bool, what: &str, position: Position) {
    if reconciled {
        let message = format!("mismatched custom buckets were reconciled during {what}");
        rows.call.context.info(&message, position);
    }
}

pub(super) fn warn_schemas(rows: &RangeRows<'_>, name: &str, position: Position) {
    let message = format!(
        "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
        Quoted(name)
    );
    rows.call.context.warn(&message, position);
}
