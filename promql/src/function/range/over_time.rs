//! `*_over_time` of floats, changes and resets.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::RangeFunction;
use crate::error::QueryError;
use crate::numeric::{self, Mean, kahan_add, kahan_add_finite};
use crate::row::{Row, Scalar};
use crate::window::Windows;

/// Computes one of the functions without parameters.
pub(super) fn simple(
    function: RangeFunction,
    windows: &Windows<'_>,
    row: &mut Row,
) -> Result<(), QueryError> {
    match function {
        RangeFunction::Avg => several(windows, row, means, mean)?,
        RangeFunction::Sum => several(windows, row, sums, sum)?,
        RangeFunction::Stddev => several(
            windows,
            row,
            |windows| variances(windows).map(f64::sqrt),
            |values| variance(values).sqrt(),
        )?,
        RangeFunction::Stdvar => several(windows, row, variances, variance)?,
        RangeFunction::Mad => each(windows, row, median_deviation)?,
        RangeFunction::Count => each(windows, row, |values| values.len() as f64)?,
        RangeFunction::Present => each(windows, row, |_| 1.0)?,
        RangeFunction::Last => each(windows, row, |values| values[values.len() - 1])?,
        RangeFunction::First => each(windows, row, |values| values[0])?,
        RangeFunction::Min => extreme(windows, row, |new, old| new < old, |at| windows.values[at]),
        RangeFunction::Max => extreme(windows, row, |new, old| old < new, |at| windows.values[at]),
        RangeFunction::TimeOfMin => {
            extreme(
                windows,
                row,
                |new, old| new <= old,
                |at| windows.timestamps[at] as f64 / 1e3,
            );
        }
        RangeFunction::TimeOfMax => {
            extreme(
                windows,
                row,
                |new, old| old <= new,
                |at| windows.timestamps[at] as f64 / 1e3,
            );
        }
        RangeFunction::TimeOfFirst => {
            for (step, from, _) in windows.filled(1) {
                row.set(step, windows.timestamps[from] as f64 / 1e3);
            }
        }
        RangeFunction::TimeOfLast => {
            for (step, _, to) in windows.filled(1) {
                row.set(step, windows.timestamps[to - 1] as f64 / 1e3);
            }
        }
        _ => (),
    }
    Ok(())
}

/// Computes `f` of the values of each window that has some.
fn each(windows: &Windows<'_>, row: &mut Row, f: impl Fn(&[f64]) -> f64) -> Result<(), QueryError> {
    windows.scanned(1, |step, from, to| {
        row.set(step, f(&windows.values[from..to]));
    })
}

/// How many windows are summed at once: each addition waits for the one before in its window, not for those in others.
pub(super) const LANES: usize = 4;

/// A window: its step, its first sample, and one past its last sample.
pub(super) type Window = (usize, usize, usize);

/// Calls `f` with the windows of at least `least` samples whose steps are `wanted`: up to [`LANES`] at once, all equally long.
pub(super) fn in_lanes(
    windows: &Windows<'_>,
    least: usize,
    wanted: impl Fn(usize) -> bool,
    mut f: impl FnMut(&[Window]),
) -> Result<(), QueryError> {
    let mut waiting: SmallVec<[Window; LANES]> = SmallVec::new();
    windows.scanned(least, |step, from, to| {
        if !wanted(step) {
            return;
        }
        let is_other = |&(_, first, end): &Window| end - first != to - from;
        if waiting.len() == LANES || waiting.first().is_some_and(is_other) {
            f(&waiting);
            waiting.clear();
        }
        waiting.push((step, from, to));
    })?;
    if !waiting.is_empty() {
        f(&waiting);
    }
    Ok(())
}

/// As [`each`], for several windows of the same length at once, by `f`, and for what is left by `one`.
fn several(
    windows: &Windows<'_>,
    row: &mut Row,
    f: impl Fn([&[f64]; LANES]) -> [f64; LANES],
    one: impl Fn(&[f64]) -> f64,
) -> Result<(), QueryError> {
    let values = |(_, from, to): Window| &windows.values[from..to];
    in_lanes(
        windows,
        1,
        |_| true,
        |some| match <[Window; LANES]>::try_from(some) {
            Ok(lanes) => {
                let results = f(lanes.map(values));
                for ((step, ..), result) in lanes.into_iter().zip(results) {
                    row.set(step, result);
                }
            }
            Err(_) => {
                for &window in some {
                    row.set(window.0, one(values(window)));
                }
            }
        },
    )
}

fn mean(values: &[f64]) -> f64 {
    let mut mean = Mean::default();
    for &value in values {
        mean.add(value);
    }
    mean.value()
}

fn means(windows: [&[f64]; LANES]) -> [f64; LANES] {
    // The first value is taken as it is: the sum with zero would lose the sign of another zero.
    let first = windows.map(|values| values[0]);
    let count = windows[0].len() as f64;
    let results = added(first, windows.map(|values| &values[1..]));
    std::array::from_fn(|at| match results[at] {
        // What overflows is another matter.
        (_, compensation) if !compensation.is_finite() => mean(windows[at]),
        (sum, compensation) => sum / count + compensation / count,
    })
}

fn sum(values: &[f64]) -> f64 {
    let add = |(sum, c), &value: &f64| kahan_add(value, sum, c);
    let (sum, compensation) = values.iter().fold((0.0, 0.0), add);
    if sum.is_infinite() {
        sum
    } else {
        sum + compensation
    }
}

fn sums(windows: [&[f64]; LANES]) -> [f64; LANES] {
    let results = added([0.0; LANES], windows);
    std::array::from_fn(|at| match results[at] {
        (_, compensation) if !compensation.is_finite() => sum(windows[at]),
        (sum, compensation) => sum + compensation,
    })
}

/// Adds to each of `sums` the values of its window, all of which are equally long, by [`kahan_add_finite`].
fn added(mut sums: [f64; LANES], windows: [&[f64]; LANES]) -> [(f64, f64); LANES] {
    let len = windows.iter().map(|values| values.len()).min().unwrap_or(0);
    let windows = windows.map(|values| &values[..len]);
    let mut compensations = [0.0; LANES];
    for at in 0..len {
        let values = windows.map(|values| values[at]);
        for ((sum, compensation), value) in sums.iter_mut().zip(&mut compensations).zip(values) {
            (*sum, *compensation) = kahan_add_finite(value, *sum, *compensation);
        }
    }
    std::array::from_fn(|lane| (sums[lane], compensations[lane]))
}

/// Population variance, updated value by value with compensated sums.
fn variance(values: &[f64]) -> f64 {
    let (mut mean, mut mean_c, mut squares, mut squares_c) = (0.0, 0.0, 0.0, 0.0);
    let mut count = 0.0;
    for &value in values {
        count += 1.0;
        let delta = value - (mean + mean_c);
        (mean, mean_c) = kahan_add(delta / count, mean, mean_c);
        (squares, squares_c) = kahan_add(delta * (value - (mean + mean_c)), squares, squares_c);
    }
    (squares + squares_c) / count
}

/// As [`variance`], of windows that are equally long.
fn variances(windows: [&[f64]; LANES]) -> [f64; LANES] {
    let len = windows.iter().map(|values| values.len()).min().unwrap_or(0);
    let equally_long = windows.map(|values| &values[..len]);
    let (mut means, mut squares) = ([(0.0, 0.0); LANES], [(0.0, 0.0); LANES]);
    let mut count = 0.0;
    for at in 0..len {
        count += 1.0;
        let values = equally_long.map(|values| values[at]);
        for ((mean, squares), value) in means.iter_mut().zip(&mut squares).zip(values) {
            let delta = value - (mean.0 + mean.1);
            *mean = kahan_add_finite(delta / count, mean.0, mean.1);
            let square = delta * (value - (mean.0 + mean.1));
            *squares = kahan_add_finite(square, squares.0, squares.1);
        }
    }
    std::array::from_fn(|lane| match (means[lane], squares[lane]) {
        ((_, mean_c), (squares, squares_c)) if mean_c.is_finite() && squares_c.is_finite() => {
            (squares + squares_c) / count
        }
        // What overflows is another matter.
        _ => variance(windows[lane]),
    })
}

fn median_deviation(values: &[f64]) -> f64 {
    if values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let mut values = values.to_vec();
    let median = numeric::quantile(0.5, &mut values);
    for value in &mut values {
        *value = (*value - median).abs();
    }
    numeric::quantile(0.5, &mut values)
}

/// The best value of each window, the last NaN if there is no other: a queue of candidates, each better than all after it.
///
/// `is_better(new, old)` decides whether `new` takes the place of `old`; `result` says what is wanted of the best.
fn extreme(
    windows: &Windows<'_>,
    row: &mut Row,
    is_better: impl Fn(f64, f64) -> bool,
    result: impl Fn(usize) -> f64,
) {
    let values = windows.values;
    let mut candidates: VecDeque<usize> = VecDeque::new();
    let mut taken = 0;
    for (step, from, to) in windows.filled(1) {
        for at in taken.max(from)..to {
            if values[at].is_nan() {
                continue;
            }
            while candidates
                .back()
                .is_some_and(|&last| is_better(values[at], values[last]))
            {
                candidates.pop_back();
            }
            candidates.push_back(at);
        }
        taken = to;
        while candidates.front().is_some_and(|&first| first < from) {
            candidates.pop_front();
        }
        row.set(step, result(candidates.front().copied().unwrap_or(to - 1)));
    }
}

/// How often the value changed.
pub(super) fn changes(windows: &Windows<'_>, row: &mut Row) {
    count_pairs(windows, row, |_, before, now| {
        before != now && !(before.is_nan() && now.is_nan())
    });
}

/// How often the value fell, or the counter began anew.
pub(super) fn resets(windows: &Windows<'_>, row: &mut Row) {
    let starts = windows.starts();
    count_pairs(windows, row, |at, before, now| {
        now < before || starts.is_restart(at)
    });
}

/// Counts neighbours for which `counts` holds (of the index of the second, and both values), by differences of running totals.
fn count_pairs(windows: &Windows<'_>, row: &mut Row, counts: impl Fn(usize, f64, f64) -> bool) {
    let mut totals = Vec::with_capacity(windows.values.len());
    let mut total = 0u32;
    for (at, &value) in windows.values.iter().enumerate() {
        if 0 < at && counts(at, windows.values[at - 1], value) {
            total += 1;
        }
        totals.push(total);
    }
    for (step, from, to) in windows.filled(1) {
        row.set(step, f64::from(totals[to - 1] - totals[from]));
    }
}

/// The `q`-quantile of each window.
pub(super) fn quantile(windows: &Windows<'_>, q: &Scalar, row: &mut Row) -> Result<(), QueryError> {
    let mut scratch = Vec::new();
    windows.scanned(1, |step, from, to| {
        scratch.clear();
        scratch.extend_from_slice(&windows.values[from..to]);
        row.set(step, numeric::quantile(q.at(step), &mut scratch));
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::context::Look;
    use crate::limits::Budget;
    use crate::row::Steps;
    use crate::window::{Known, WindowSpec, find};
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![(-5i8..5).prop_map(f64::from), Just(f64::NAN)]
    }

    proptest! {
        #[test]
        fn sliding_agrees_with_scanning(
            samples in proptest::collection::btree_map(0i64..300, value(), 0..60),
            step in 1i64..40, range in 1i64..120,
        ) {
            let timestamps: Vec<i64> = samples.keys().copied().collect();
            let values: Vec<f64> = samples.values().copied().collect();
            let spec = WindowSpec::new(Steps::between(0, 350, step), Look::default(), range);
            let mut bounds = Vec::new();
            find(&spec, &timestamps, &mut bounds);
            let budget = Budget::of_samples(1, None);
            let windows = Windows { budget: &budget, spec, timestamps: &timestamps, values: &values, starts: &[], bounds: &bounds, known: &Known::default() };
            let run = |compute: &dyn Fn(&mut Row)| {
                let mut row = Row::default();
                row.reset(spec.steps.count);
                compute(&mut row);
                row
            };
            let least = run(&|row| simple(RangeFunction::Min, &windows, row).unwrap());
            let greatest = run(&|row| simple(RangeFunction::Max, &windows, row).unwrap());
            let changed = run(&|row| changes(&windows, row));
            for (step, &(from, to)) in bounds.iter().enumerate() {
                if from == to {
                    prop_assert!(!least.present.get(step) && !greatest.present.get(step));
                    continue;
                }
                let values = &values[from..to];
                let min = values.iter().copied().fold(f64::NAN, f64::min);
                let max = values.iter().copied().fold(f64::NAN, f64::max);
                let pairs = values.windows(2).filter(|w| w[0] != w[1] && !(w[0].is_nan() && w[1].is_nan()));
                prop_assert!(numeric::almost_equal(least.values[step], min, 1e-12));
                prop_assert!(numeric::almost_equal(greatest.values[step], max, 1e-12));
                prop_assert_eq!(changed.values[step], pairs.count() as f64);
            }
        }

        /// To the last bit, whatever the values are.
        #[test]
        fn several_windows_at_once_are_as_each_alone(
            values in proptest::collection::vec(
                prop_oneof![
                    8 => -1e3f64..1e3, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY), 1 => Just(f64::NEG_INFINITY),
                    2 => Just(-0.0), 1 => Just(f64::MAX), 1 => Just(1e-300),
                ],
                1..60,
            ),
            length in 1usize..20, advance in 1usize..5,
        ) {
            let mut bounds = Vec::new();
            let mut to = 1;
            while to <= values.len() {
                bounds.push((to.saturating_sub(length), to));
                to += advance;
            }
            let timestamps: Vec<i64> = (0..).take(values.len()).collect();
            let budget = Budget::of_samples(1, None);
            let spec = WindowSpec::new(Steps::one(0), Look::default(), 1);
            let windows = Windows { budget: &budget, spec, timestamps: &timestamps, values: &values, starts: &[], bounds: &bounds, known: &Known::default() };
            for (function, one) in [
                (RangeFunction::Avg, mean as fn(&[f64]) -> f64), (RangeFunction::Sum, plain_sum),
                (RangeFunction::Stdvar, variance), (RangeFunction::Stddev, |values| variance(values).sqrt()),
            ] {
                let mut row = Row::default();
                row.reset(bounds.len());
                simple(function, &windows, &mut row).unwrap();
                for (step, &(from, to)) in bounds.iter().enumerate() {
                    let expected = one(&values[from..to]);
                    let found = row.values[step];
                    let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
                    prop_assert!(row.present.get(step) && same, "{} {} {}", step, found, expected);
                }
            }
        }
    }

    fn plain_sum(values: &[f64]) -> f64 {
        let add = |(sum, c), &value: &f64| kahan_add(value, sum, c);
        let (sum, compensation) = values.iter().fold((0.0, 0.0), add);
        if sum.is_infinite() {
            sum
        } else {
            sum + compensation
        }
    }
}
