//! rate, increase, delta, irate and idelta of floats.

use crate::error::QueryError;
use crate::row::Row;
use crate::window::Windows;
use crate::window::starts::Starts;

/// The change over the window, extrapolated to its ends; per second if `is_rate`.
///
/// Counter resets are found once per series; each window then adds only its own, in the order in which a scan would
/// meet them, so the result is that of the scan to the last bit.
///
/// Source: Prometheus documentation of `rate`, `increase` and `delta`, and the behaviour of its engine.
pub(super) fn extrapolated(
    windows: &Windows<'_>,
    is_counter: bool,
    is_rate: bool,
    row: &mut Row,
) -> Result<(), QueryError> {
    let (timestamps, values) = (windows.timestamps, windows.values);
    let starts = windows.starts();
    let mut resets = if is_counter {
        Resets::of(values, starts)
    } else {
        Resets::default()
    };
    let seconds = if is_rate {
        windows.spec.range as f64 / 1e3
    } else {
        1.0
    };
    let mut shape = Shape::default();
    for (step, from, to) in windows.filled(1) {
        let last = to - 1;
        let zero = if is_counter {
            starts.zero(from, windows.spec.start(step))
        } else {
            None
        };
        let mut change = match zero {
            Some(_) => values[last],
            None if last == from => continue,
            None => values[last] - values[from],
        };
        let inside = resets.between(from, last);
        if !inside.is_empty() {
            windows.budget.check_work(inside.len())?;
        }
        for (_, before) in inside {
            change += before;
        }
        let ends = Ends {
            start: windows.spec.start(step),
            end: windows.spec.end(step),
            first: timestamps[from],
            last: timestamps[last],
            gaps: (last - from) as f64,
        };
        let factor = match zero {
            Some(zero) => ends.factor_since(zero) / seconds,
            None => {
                if !shape.is_of(&ends) {
                    shape = Shape::of(&ends, seconds);
                }
                match is_counter.then_some((values[from], change)) {
                    Some((first, change)) if !shape.is_above_zero(first, change) => {
                        ends.factor(Some((first, change))) / seconds
                    }
                    _ => shape.factor,
                }
            }
        };
        row.set(step, change * factor);
    }
    Ok(())
}

/// What the windows have in common whose samples are at the same distances from their ends: as targets are scraped at
/// equal distances, nearly all do.
#[derive(Default)]
struct Shape {
    /// Milliseconds from the start to the first sample, from the first to the last, and from there to the end.
    distances: (i64, i64, i64),
    gaps: f64,
    /// What the change is multiplied by, unless the counter would have been below zero.
    factor: f64,
    /// How much of the change lies before the first sample, and a trifle more.
    share_before: f64,
}

impl Shape {
    fn of(ends: &Ends, seconds: f64) -> Self {
        /// Much more than all rounding together.
        const TRIFLE: f64 = 1e-9;

        let sampled = (ends.last - ends.first) as f64 / 1e3;
        Shape {
            distances: ends.distances(),
            gaps: ends.gaps,
            factor: ends.factor(None) / seconds,
            share_before: ends.to_start() / sampled * (1.0 + TRIFLE),
        }
    }

    fn is_of(&self, ends: &Ends) -> bool {
        self.distances == ends.distances() && self.gaps == ends.gaps
    }

    /// Returns `true` only if a counter that rises by `change` from `first` on is above zero where it is extrapolated to.
    fn is_above_zero(&self, first: f64, change: f64) -> bool {
        /// Below, products lose digits.
        const SMALL: f64 = 1e-200;

        SMALL < change && change * self.share_before < first
    }
}

/// Where a counter was reset: it fell, or its start timestamp says so.
#[derive(Default)]
pub(super) struct Resets {
    /// The index of the sample after a reset, and the value before it.
    all: Vec<(usize, f64)>,
    first: usize,
    end: usize,
}

impl Resets {
    pub(super) fn of(values: &[f64], starts: Starts<'_>) -> Self {
        let pairs = values.windows(2).enumerate();
        let all = pairs
            .filter(|(at, pair)| pair[1] < pair[0] || starts.is_restart(at + 1))
            .map(|(at, pair)| (at + 1, pair[0]))
            .collect();
        Resets {
            all,
            first: 0,
            end: 0,
        }
    }

    /// Returns whether there was a reset between the sample before `index` and the sample `index`.
    pub(super) fn contains(&self, index: usize) -> bool {
        self.all.binary_search_by_key(&index, |(at, _)| *at).is_ok()
    }

    /// Returns the resets after the sample `from` up to the sample `last`. Neither may be less than in the call before.
    pub(super) fn between(&mut self, from: usize, last: usize) -> &[(usize, f64)] {
        while self.all.get(self.first).is_some_and(|&(at, _)| at <= from) {
            self.first += 1;
        }
        self.end = self.end.max(self.first);
        while self.all.get(self.end).is_some_and(|&(at, _)| at <= last) {
            self.end += 1;
        }
        &self.all[self.first..self.end]
    }
}

/// A window and the samples in it.
pub(super) struct Ends {
    pub(super) start: i64,
    pub(super) end: i64,
    /// Times of the first and the last sample.
    pub(super) first: i64,
    pub(super) last: i64,
    /// Samples less one.
    pub(super) gaps: f64,
}

impl Ends {
    fn distances(&self) -> (i64, i64, i64) {
        (
            self.first - self.start,
            self.last - self.first,
            self.end - self.last,
        )
    }

    /// How long before the first sample there is extrapolated to, in seconds.
    fn to_start(&self) -> f64 {
        let to_start = (self.first - self.start) as f64 / 1e3;
        let gap = (self.last - self.first) as f64 / 1e3 / self.gaps;
        if gap * 1.1 <= to_start {
            gap / 2.0
        } else {
            to_start
        }
    }

    /// By what the change between the samples is multiplied to get the change over the window.
    ///
    /// A boundary that is nearer than 1.1 average gaps is taken to be reached, else half a gap is. With `zero`, the
    /// first value and the change, a counter is not extrapolated to below zero.
    pub(super) fn factor(&self, zero: Option<(f64, f64)>) -> f64 {
        let mut to_start = self.to_start();
        let mut to_end = (self.end - self.last) as f64 / 1e3;
        let sampled = (self.last - self.first) as f64 / 1e3;
        let gap = sampled / self.gaps;
        let near = gap * 1.1;
        if let Some((first, change)) = zero
            && 0.0 < change
            && 0.0 <= first
        {
            let to_zero = sampled * (first / change);
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
        if near <= to_end {
            to_end = gap / 2.0;
        }
        (sampled + to_start + to_end) / sampled
    }

    /// As [`factor`](Ends::factor), for the change since `zero`, when the counter is known to have been zero: nothing is
    /// extrapolated to the left. A single sample says nothing of gaps, so then nothing is extrapolated at all.
    pub(super) fn factor_since(&self, zero: i64) -> f64 {
        let mut to_end = (self.end - self.last) as f64 / 1e3;
        let gap = if self.gaps == 0.0 {
            0.0
        } else {
            (self.last - self.first) as f64 / 1e3 / self.gaps
        };
        if gap * 1.1 <= to_end {
            to_end = gap / 2.0;
        }
        let known = (self.last - zero) as f64 / 1e3;
        (known + to_end) / known
    }
}

/// The change between the last two samples; per second if `is_rate`.
pub(super) fn instant(windows: &Windows<'_>, is_rate: bool, row: &mut Row) {
    let starts = windows.starts();
    for (step, _, to) in windows.filled(2) {
        let (before, last) = (windows.values[to - 2], windows.values[to - 1]);
        let mut change = if is_rate && (last < before || starts.is_restart(to - 1)) {
            last
        } else {
            last - before
        };
        if is_rate {
            let ms = windows.timestamps[to - 1] - windows.timestamps[to - 2];
            change /= ms as f64 / 1e3;
        }
        row.set(step, change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::context::Look;
    use crate::limits::Budget;
    use crate::row::Steps;
    use crate::window::{WindowSpec, find};
    use proptest::prelude::*;

    /// The obvious way: scan each window.
    fn scanned(windows: &Windows<'_>, step: usize, from: usize, to: usize) -> Option<f64> {
        let values = &windows.values[from..to];
        let starts = windows.starts();
        let zero = starts.zero(from, windows.spec.start(step));
        let mut change = values[values.len() - 1];
        if zero.is_none() {
            change -= values[0];
        }
        for at in from + 1..to {
            if windows.values[at] < windows.values[at - 1] || starts.is_restart(at) {
                change += windows.values[at - 1];
            }
        }
        let ends = Ends {
            start: windows.spec.start(step),
            end: windows.spec.end(step),
            first: windows.timestamps[from],
            last: windows.timestamps[to - 1],
            gaps: (values.len() - 1) as f64,
        };
        let factor = match zero {
            Some(zero) => ends.factor_since(zero),
            None if values.len() < 2 => return None,
            None => ends.factor(Some((values[0], change))),
        };
        Some(change * (factor / (windows.spec.range as f64 / 1e3)))
    }

    proptest! {
        #[test]
        fn agrees_with_the_scan(
            // Value, and how long before the sample the counter started.
            samples in proptest::collection::btree_map(0i64..600, (0.0f64..100.0, -5i64..60), 0..80),
            rises: bool, has_starts: bool, step in 1i64..50, range in 1i64..200,
        ) {
            let timestamps: Vec<i64> = samples.keys().map(|t| t * 1000).collect();
            let mut total = 0.0;
            let values = samples.values().map(|(value, _)| {
                total += value;
                if rises { total } else { *value }
            });
            let values: Vec<f64> = values.collect();
            let starts: Vec<i64> = match has_starts {
                true => samples.iter().map(|(t, (_, age))| (t - age) * 1000).collect(),
                false => Vec::new(),
            };
            let steps = Steps::between(0, 700_000, step * 1000);
            let spec = WindowSpec { steps, look: Look::default(), range: range * 1000 };
            let mut bounds = Vec::new();
            find(&spec, &timestamps, &mut bounds);
            let budget = Budget::of_samples(1, None);
            let windows = Windows {
                budget: &budget,
                spec,
                timestamps: &timestamps,
                values: &values,
                starts: &starts,
                bounds: &bounds,
            };
            let mut row = Row::default();
            row.reset(steps.count);
            extrapolated(&windows, true, true, &mut row).unwrap();
            for (step, &(from, to)) in bounds.iter().enumerate() {
                let expected = if from < to { scanned(&windows, step, from, to) } else { None };
                let found = row.present.get(step).then(|| row.values[step].to_bits());
                prop_assert_eq!(found, expected.map(f64::to_bits));
            }
        }
    }
}
