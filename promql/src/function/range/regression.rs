//! Lines through the samples of a window, and smoothing.

use super::over_time::{LANES, Window, in_lanes};
use crate::error::QueryError;
use crate::numeric::{kahan_add, kahan_add_finite};
use crate::row::{Bits, Row, Scalar};
use crate::window::{Spread, Windows};

/// Sets `result` for each window of at least two samples, of its step and of slope per second and value at the origin of the
/// least-squares line through the samples. `origin` is that of a step and of the time of its first sample.
fn lines(
    windows: &Windows<'_>,
    row: &mut Row,
    origin: impl Fn(usize, i64) -> i64,
    result: impl Fn(usize, (f64, f64)) -> f64,
) -> Result<(), QueryError> {
    windows.scanned(2, |step, from, to| {
        if let Some(line) = level(&windows.values[from..to]) {
            row.set(step, result(step, line));
        }
    })?;
    let are_level = row.present.clone();
    if windows.filled(2).all(|(step, ..)| are_level.get(step)) {
        return Ok(());
    }
    let origin = |(step, from, _): Window| origin(step, windows.timestamps[from]);
    if windows.filled(2).nth(1).is_none() && windows.known.spreads.get().is_none() {
        return single(windows, row, &are_level, origin, result);
    }
    let spreads = spreads(windows, origin)?;
    in_lanes(
        windows,
        2,
        |step| !are_level.get(step),
        |some| {
            each_sum(
                windows,
                some,
                origin,
                |x, y| [y, x * y],
                |(step, from, to), sums| {
                    row.set(step, result(step, spreads[step].line(to - from, sums)));
                },
            );
        },
    )
}

/// The same of one window, of whose times nothing is known yet: all is summed at once.
fn single(
    windows: &Windows<'_>,
    row: &mut Row,
    are_level: &Bits,
    origin: impl Fn(Window) -> i64,
    result: impl Fn(usize, (f64, f64)) -> f64,
) -> Result<(), QueryError> {
    let mut spreads = vec![Spread::default(); windows.bounds.len()];
    windows.scanned(2, |step, from, to| {
        each_sum(
            windows,
            &[(step, from, to)],
            &origin,
            |x, y| [x, x * x, y, x * y],
            |_, [sum, squares, sum_y, sum_xy]| {
                spreads[step] = Spread::of(to - from, [sum, squares]);
                if !are_level.get(step) {
                    let line = spreads[step].line(to - from, [sum_y, sum_xy]);
                    row.set(step, result(step, line));
                }
            },
        );
    })?;
    windows.known.spreads.get_or_init(|| spreads);
    Ok(())
}

impl Spread {
    /// Returns how `count` times are spread whose sum, and that of their squares, are these.
    fn of(count: usize, [sum, squares]: [f64; 2]) -> Self {
        let variance = squares - sum * sum / count as f64;
        Spread { sum, variance }
    }

    /// Returns slope and value at 0 of the line through `count` samples at these times; `sums` are those of y and of x·y.
    fn line(self, count: usize, [sum_y, sum_xy]: [f64; 2]) -> (f64, f64) {
        let count = count as f64;
        let covariance = sum_xy - self.sum * sum_y / count;
        let slope = covariance / self.variance;
        (slope, sum_y / count - slope * self.sum / count)
    }
}

/// The line through values that are all the same.
fn level(values: &[f64]) -> Option<(f64, f64)> {
    let first = values[0];
    if !values.iter().all(|&value| value == first) {
        return None;
    }
    Some(match first.is_infinite() {
        true => (f64::NAN, f64::NAN),
        false => (0.0, first),
    })
}

/// Returns how the times of each window are spread, which is found once for all series of these times.
fn spreads<'w>(
    windows: &Windows<'w>,
    origin: impl Fn(Window) -> i64 + Copy,
) -> Result<&'w [Spread], QueryError> {
    let known = &windows.known.spreads;
    if let Some(known) = known.get() {
        return Ok(known);
    }
    let mut spreads = vec![Spread::default(); windows.bounds.len()];
    in_lanes(
        windows,
        2,
        |_| true,
        |some| {
            each_sum(
                windows,
                some,
                origin,
                |x, _| [x, x * x],
                |(step, from, to), sums| spreads[step] = Spread::of(to - from, sums),
            );
        },
    )?;
    Ok(known.get_or_init(|| spreads))
}

/// Calls `f` with each of `some` windows, which are equally long, and the sums of the `terms` of x and y; x is seconds since
/// the window's `origin`.
fn each_sum<const T: usize>(
    windows: &Windows<'_>,
    some: &[Window],
    origin: impl Fn(Window) -> i64,
    terms: impl Fn(f64, f64) -> [f64; T] + Copy,
    mut f: impl FnMut(Window, [f64; T]),
) {
    let samples = |window: Window| Samples {
        timestamps: &windows.timestamps[window.1..window.2],
        values: &windows.values[window.1..window.2],
        origin: origin(window),
    };
    if let Ok(lanes) = <[Window; LANES]>::try_from(some) {
        let results = sums(lanes.map(samples), terms);
        for (window, result) in lanes.into_iter().zip(results) {
            f(window, result);
        }
        return;
    }
    for &window in some {
        let [result] = sums([samples(window)], terms);
        f(window, result);
    }
}

/// The samples of one window.
#[derive(Clone, Copy)]
struct Samples<'a> {
    timestamps: &'a [i64],
    values: &'a [f64],
    /// Where x is 0.
    origin: i64,
}

/// Returns the compensated sums of the terms of each window.
fn sums<const N: usize, const T: usize>(
    windows: [Samples<'_>; N],
    terms: impl Fn(f64, f64) -> [f64; T] + Copy,
) -> [[f64; T]; N] {
    let sums = added(windows, terms, kahan_add_finite);
    std::array::from_fn(|lane| {
        let is_finite = |(_, compensation): &(f64, f64)| compensation.is_finite();
        let of_lane = match sums[lane].iter().all(is_finite) {
            true => sums[lane],
            false => added([windows[lane]], terms, kahan_add)[0],
        };
        of_lane.map(|(sum, compensation)| sum + compensation)
    })
}

/// Returns the sums of the terms of each window, all of which are equally long, each with what was lost to rounding.
#[inline]
fn added<const N: usize, const T: usize>(
    windows: [Samples<'_>; N],
    terms: impl Fn(f64, f64) -> [f64; T],
    add: impl Fn(f64, f64, f64) -> (f64, f64),
) -> [[(f64, f64); T]; N] {
    let len = windows.iter().map(|window| window.values.len()).min();
    let len = len.unwrap_or(0);
    let timestamps = windows.map(|window| &window.timestamps[..len]);
    let values = windows.map(|window| &window.values[..len]);
    let mut sums = [[(0.0, 0.0); T]; N];
    for at in 0..len {
        for lane in 0..N {
            let x = (timestamps[lane][at] - windows[lane].origin) as f64 / 1e3;
            let terms = terms(x, values[lane][at]);
            for (sum, term) in sums[lane].iter_mut().zip(terms) {
                *sum = add(term, sum.0, sum.1);
            }
        }
    }
    sums
}

/// The slope of each window's line.
pub(super) fn deriv(windows: &Windows<'_>, row: &mut Row) -> Result<(), QueryError> {
    lines(windows, row, |_, first| first, |_, (slope, _)| slope)
}

/// Where each window's line is `seconds` after the step.
pub(super) fn predict(
    windows: &Windows<'_>,
    seconds: &Scalar,
    row: &mut Row,
) -> Result<(), QueryError> {
    let now = |step, _| windows.spec.steps.time(step);
    lines(windows, row, now, |step, (slope, value)| {
        slope * seconds.at(step) + value
    })
}

/// Checks the factors of double exponential smoothing at the steps whose windows have samples, of whatever kind.
pub(super) fn check_factors(
    parameters: &[Scalar],
    bounds: &[(usize, usize)],
) -> Result<(), QueryError> {
    let steps = bounds.iter().enumerate();
    for (step, _) in steps.filter(|(_, (from, to))| from < to) {
        for (parameter, what) in parameters.iter().zip(["smoothing", "trend"]) {
            let factor = parameter.at(step);
            if !(factor.is_nan() || (0.0..=1.0).contains(&factor)) {
                let message =
                    format!("invalid {what} factor. Expected: 0 <= factor <= 1, got: {factor:.6}");
                return Err(QueryError::Execution(message));
            }
        }
    }
    Ok(())
}

/// Double exponential smoothing: a level and a trend, each following the samples by its factor.
pub(super) fn smoothing(
    windows: &Windows<'_>,
    level: &Scalar,
    trend: &Scalar,
    row: &mut Row,
) -> Result<(), QueryError> {
    windows.scanned(2, |step, from, to| {
        let values = &windows.values[from..to];
        let (level, trend) = (level.at(step), trend.at(step));
        let (mut previous, mut current) = (0.0, values[0]);
        let mut slope = values[1] - values[0];
        for (index, value) in values.iter().enumerate().skip(1) {
            if index != 1 {
                slope = trend * (current - previous) + (1.0 - trend) * slope;
            }
            previous = current;
            current = level * value + (1.0 - level) * (current + slope);
        }
        row.set(step, current);
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::context::Look;
    use crate::limits::Budget;
    use crate::row::Steps;
    use crate::window::{Known, WindowSpec, find};

    /// Slope and value at `origin`, from four sums one after the other.
    fn line(samples: &[(i64, f64)], origin: i64) -> (f64, f64) {
        let first = samples[0].1;
        if samples.iter().all(|&(_, value)| value == first) {
            return match first.is_infinite() {
                true => (f64::NAN, f64::NAN),
                false => (0.0, first),
            };
        }
        let sum = |term: fn(f64, f64) -> f64| {
            let add = |(sum, c), &(t, y): &(i64, f64)| {
                kahan_add(term((t - origin) as f64 / 1e3, y), sum, c)
            };
            let (sum, compensation) = samples.iter().fold((0.0, 0.0), add);
            sum + compensation
        };
        let (sum_x, sum_y) = (sum(|x, _| x), sum(|_, y| y));
        let (sum_xy, sum_xx) = (sum(|x, y| x * y), sum(|x, _| x * x));
        let count = samples.len() as f64;
        let covariance = sum_xy - sum_x * sum_y / count;
        let variance = sum_xx - sum_x * sum_x / count;
        let slope = covariance / variance;
        (slope, sum_y / count - slope * sum_x / count)
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            8 => -1e3f64..1e3, 8 => (-1i8..2).prop_map(f64::from), 1 => Just(f64::NAN), 1 => Just(f64::INFINITY),
            1 => Just(f64::NEG_INFINITY), 1 => Just(-0.0), 1 => Just(f64::MAX), 1 => Just(1e-300),
        ]
    }

    proptest! {
        /// To the last bit, whatever the values are, and whichever series of these times came before.
        #[test]
        fn several_lines_are_as_each_alone(
            gaps in proptest::collection::vec(prop_oneof![4 => Just(15_000i64), 1 => 1i64..40_000], 0..50),
            all_values in proptest::collection::vec(proptest::collection::vec(value(), 50), 1..4),
            step in 1_000i64..40_000, range in 10_000i64..400_000, start in 1_600_000_000_000i64..1_600_000_100_000,
            seconds in -1e4f64..1e4,
        ) {
            let mut t = 1_600_000_000_000;
            let times = gaps.iter().map(|gap| {
                t += gap;
                t
            });
            let timestamps: Vec<i64> = times.collect();
            let spec = WindowSpec::new(Steps::between(start, start + 700_000, step), Look::default(), range);
            let mut bounds = Vec::new();
            find(&spec, &timestamps, &mut bounds);
            let budget = Budget::of_samples(1, None);
            let known = [Known::default(), Known::default()];
            for values in &all_values {
                let values = &values[..timestamps.len()];
                let run = |known, function: &dyn Fn(&Windows<'_>, &mut Row)| {
                    let windows = Windows {
                        budget: &budget, spec, timestamps: &timestamps, values, starts: &[], bounds: &bounds, known,
                    };
                    let mut row = Row::default();
                    row.reset(spec.steps.count);
                    function(&windows, &mut row);
                    row
                };
                let slopes = run(&known[0], &|windows, row| deriv(windows, row).unwrap());
                let scalar = Scalar::Constant(seconds);
                let predicted = run(&known[1], &|windows, row| predict(windows, &scalar, row).unwrap());
                for (step, &(from, to)) in bounds.iter().enumerate() {
                    let (slope, value) = (slopes.values[step], predicted.values[step]);
                    let is_there = from + 2 <= to;
                    prop_assert_eq!(slopes.present.get(step), is_there);
                    prop_assert_eq!(predicted.present.get(step), is_there);
                    if !is_there {
                        continue;
                    }
                    let samples: Vec<(i64, f64)> = (from..to).map(|at| (timestamps[at], values[at])).collect();
                    let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                    let expected = line(&samples, samples[0].0).0;
                    prop_assert!(same(slope, expected), "{} {}", slope, expected);
                    let line = line(&samples, spec.steps.time(step));
                    let expected = line.0 * seconds + line.1;
                    prop_assert!(same(value, expected), "{} {}", value, expected);
                }
            }
        }
    }
}
