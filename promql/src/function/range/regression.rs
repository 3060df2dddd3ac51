//! Lines through the samples of a window, and smoothing.

use crate::error::QueryError;
use crate::numeric::{kahan_add, kahan_add_finite};
use crate::row::{Row, Scalar};
use crate::window::Windows;

/// Returns slope per second and value at `origin` of the least-squares line through the samples.
fn line(timestamps: &[i64], values: &[f64], origin: i64) -> (f64, f64) {
    let first = values[0];
    if values.iter().all(|&value| value == first) {
        if first.is_infinite() {
            return (f64::NAN, f64::NAN);
        }
        return (0.0, first);
    }
    let mut sums = sums(timestamps, values, origin, kahan_add_finite);
    if sums
        .iter()
        .any(|(_, compensation)| !compensation.is_finite())
    {
        sums = self::sums(timestamps, values, origin, kahan_add);
    }
    let [sum_x, sum_y, sum_xy, sum_xx] = sums.map(|(sum, compensation)| sum + compensation);
    let count = values.len() as f64;
    let covariance = sum_xy - sum_x * sum_y / count;
    let variance = sum_xx - sum_x * sum_x / count;
    let slope = covariance / variance;
    (slope, sum_y / count - slope * sum_x / count)
}

/// Returns the sums of x, y, x·y and x², each with what was lost to rounding; x is seconds since `origin`.
#[inline]
fn sums(
    timestamps: &[i64],
    values: &[f64],
    origin: i64,
    add: impl Fn(f64, f64, f64) -> (f64, f64),
) -> [(f64, f64); 4] {
    let (mut sums, mut compensations) = ([0.0; 4], [0.0; 4]);
    for (&t, &y) in timestamps.iter().zip(values) {
        let x = (t - origin) as f64 / 1e3;
        let terms = [x, y, x * y, x * x];
        for at in 0..4 {
            (sums[at], compensations[at]) = add(terms[at], sums[at], compensations[at]);
        }
    }
    std::array::from_fn(|at| (sums[at], compensations[at]))
}

/// The slope of each window's line.
pub(super) fn deriv(windows: &Windows<'_>, row: &mut Row) -> Result<(), QueryError> {
    windows.scanned(2, |step, from, to| {
        let timestamps = &windows.timestamps[from..to];
        let (slope, _) = line(timestamps, &windows.values[from..to], timestamps[0]);
        row.set(step, slope);
    })
}

/// Where each window's line is `seconds` after the step.
pub(super) fn predict(
    windows: &Windows<'_>,
    seconds: &Scalar,
    row: &mut Row,
) -> Result<(), QueryError> {
    windows.scanned(2, |step, from, to| {
        let now = windows.spec.steps.time(step);
        let (slope, value) = line(
            &windows.timestamps[from..to],
            &windows.values[from..to],
            now,
        );
        row.set(step, slope * seconds.at(step) + value);
    })
}

/// Checks the factors of double exponential smoothing.
pub(super) fn check_factors(parameters: &[Scalar], steps: usize) -> Result<(), QueryError> {
    for (parameter, what) in parameters.iter().zip(["smoothing", "trend"]) {
        for step in 0..steps {
            let factor = parameter.at(step);
            if !(0.0..=1.0).contains(&factor) {
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
