//! rate, increase, delta, irate and idelta of floats.

use crate::error::QueryError;
use crate::row::Row;
use crate::window::Windows;
use crate::window::ends::{Ends, Factors};
use crate::window::starts::Starts;

/// The change over the window, extrapolated to its ends; per second if `is_rate`.
///
/// Counter resets are found once per series; each window then adds only its own, in the order in which a scan would
/// meet them, so the result is that of the scan to the last bit. What depends on times alone is computed once for all
/// series that have the same.
///
/// Source: Prometheus documentation of `rate`, `increase` and `delta`, and the behaviour of its engine.
pub(super) fn extrapolated(
    windows: &Windows<'_>,
    is_counter: bool,
    is_rate: bool,
    row: &mut Row,
) -> Result<(), QueryError> {
    let seconds = match is_rate {
        true => windows.spec.range as f64 / 1e3,
        false => 1.0,
    };
    let starts = windows.starts();
    let mut resets = match is_counter {
        true => Resets::of(windows.values, starts),
        false => Resets::default(),
    };
    if is_counter && !starts.is_empty() {
        return since_starts(windows, &mut resets, seconds, row);
    }
    let values = windows.values;
    let factors = windows
        .known
        .factors
        .get_or_init(|| Factors::of(windows, seconds));
    row.present.clone_from(&factors.present);
    for window in &factors.windows {
        let first = values[window.first];
        let mut change = values[window.last] - first;
        if !resets.all.is_empty() {
            change = resets.add(windows, window.first, window.last, change)?;
        }
        let factor = if !is_counter || window.is_above_zero(first, change) {
            window.factor
        } else {
            let ends = Ends::of(windows, window.step, window.first, window.last);
            ends.factor(Some((first, change))) / seconds
        };
        row.values[window.step] = change * factor;
    }
    Ok(())
}

/// The change of a counter of which start timestamps say when it was zero.
fn since_starts(
    windows: &Windows<'_>,
    resets: &mut Resets,
    seconds: f64,
    row: &mut Row,
) -> Result<(), QueryError> {
    let (values, starts) = (windows.values, windows.starts());
    for (step, from, to) in windows.filled(1) {
        let last = to - 1;
        let zero = starts.zero(from, windows.spec.start(step));
        let change = match zero {
            Some(_) => values[last],
            None if last == from => continue,
            None => values[last] - values[from],
        };
        let change = resets.add(windows, from, last, change)?;
        let ends = Ends::of(windows, step, from, last);
        let factor = match zero {
            Some(zero) => ends.factor_since(zero),
            None => ends.factor(Some((values[from], change))),
        };
        row.set(step, change * (factor / seconds));
    }
    Ok(())
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

    /// Adds to the change from the sample `from` to the sample `last` what was lost by the resets between them.
    fn add(
        &mut self,
        windows: &Windows<'_>,
        from: usize,
        last: usize,
        mut change: f64,
    ) -> Result<f64, QueryError> {
        let inside = self.between(from, last);
        if !inside.is_empty() {
            windows.budget.check_work(inside.len())?;
        }
        for (_, before) in inside {
            change += before;
        }
        Ok(change)
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
    use crate::window::{Known, WindowSpec, find};
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
            let spec = WindowSpec::new(steps, Look::default(), range * 1000);
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
                known: &Known::default(),
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
