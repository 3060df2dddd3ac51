//! Anchored and smoothed changes beside obvious ones.

use super::*;
use model::histogram::Span;
use model::{Labels, SampleValue};

use crate::engine::QueryOptions;
use crate::engine::context::Look;
use crate::limits::Budget;
use crate::numeric::almost_equal;
use crate::row::Steps;
use crate::script::{self, MemoryStorage};
use crate::value::Value;
use crate::window::{WindowSpec, extended};
use proptest::prelude::*;

/// The value at `t` between two samples.
fn between(before: (i64, f64), after: (i64, f64), t: i64, is_counter: bool) -> f64 {
    let share = (t - before.0) as f64 / (after.0 - before.0) as f64;
    if is_counter && after.1 < before.1 {
        return after.1 * share;
    }
    before.1 + (after.1 - before.1) * share
}

/// The obvious way: the change along all samples of a window, each end cut or anchored.
fn walked(
    samples: &[(i64, f64)],
    (start, end): (i64, i64),
    is_smoothed: bool,
    is_counter: bool,
) -> f64 {
    let mut total = 0.0;
    for pair in samples.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        let mut rise = |from: f64, to: f64| {
            total += if is_counter && to < from {
                to
            } else {
                to - from
            };
        };
        let (from, to) = (before.0.max(start), after.0.min(end));
        if !is_smoothed || (from, to) == (before.0, after.0) {
            rise(before.1, after.1);
        } else if is_counter && after.1 < before.1 && before.0 == from {
            // The counter went on from zero.
            rise(0.0, between(before, after, to, true));
        } else {
            let at = |t| match t {
                t if t == before.0 => before.1,
                t if t == after.0 => after.1,
                t => between(before, after, t, is_counter),
            };
            rise(at(from), at(to));
        }
    }
    total
}

proptest! {
    #[test]
    fn agrees_with_a_walk_along_the_samples(
        samples in proptest::collection::btree_map(0i64..600, 0.0f64..100.0, 0..60),
        step in 1i64..50, range in 1i64..200, lookback in 1i64..200,
        is_smoothed: bool, is_counter: bool, is_rate: bool,
    ) {
        let timestamps: Vec<i64> = samples.keys().map(|t| t * 1000).collect();
        let values: Vec<f64> = samples.values().copied().collect();
        let steps = Steps::between(0, 700_000, step * 1000);
        let spec = WindowSpec::new(steps, Look::default(), range * 1000);
        let back = lookback * 1000;
        let reach = Reach { back, ahead: is_smoothed.then_some(back) };
        let mut bounds = Vec::new();
        extended::find(&spec, reach, &timestamps, &mut bounds);
        let budget = Budget::of_samples(1, None);
        let windows = Windows { budget: &budget, spec, timestamps: &timestamps, values: &values, starts: &[], bounds: &bounds, known: &Known::default() };
        let mut row = Row::default();
        row.reset(steps.count);
        changes(&windows, reach, is_counter, is_rate, &mut row).unwrap();
        for (step, &(from, to)) in bounds.iter().enumerate() {
            prop_assert_eq!(row.present.get(step), from < to);
            let samples: Vec<(i64, f64)> =
                (from..to).map(|at| (timestamps[at], values[at])).collect();
            if from < to {
                let ends = (spec.start(step), spec.end(step));
                let mut expected = walked(&samples, ends, is_smoothed, is_counter);
                if is_rate {
                    expected /= range as f64;
                }
                let found = row.values[step];
                prop_assert!(
                    almost_equal(found, expected, 1e-9) || (found - expected).abs() < 1e-9,
                    "{} {}", found, expected
                );
            }
        }
    }

    /// A histogram of which each number is the float changes as the float does.
    #[test]
    fn histograms_change_as_floats_do(
        samples in proptest::collection::btree_map(0i64..60, 0u8..100, 0..20),
        range in 1i64..20, is_smoothed: bool, is_counter: bool,
    ) {
        let mut storage = MemoryStorage::default();
        for (&minute, &value) in &samples {
            let (t, value) = (minute * 60_000, f64::from(value));
            let histogram = FloatHistogram {
                count: value,
                sum: value,
                positive_spans: vec![Span { offset: 0, length: 1 }],
                positive_buckets: vec![value],
                ..FloatHistogram::default()
            };
            let labels = |name| Labels::from_pairs([("__name__", name)]);
            storage.push(&labels("floats"), t, SampleValue::Float(value));
            storage.push(&labels("histograms"), t, SampleValue::Histogram(Arc::new(histogram)));
        }
        storage.settle();
        let run = |vector: &str| {
            let function = if is_counter { "increase" } else { "delta" };
            let modifier = if is_smoothed { "smoothed" } else { "anchored" };
            let query = format!("histogram_sum({function}({vector}[{range}m] {modifier})) or {function}({vector}[{range}m] {modifier})");
            let result = script::engine()
                .range(&storage, &query, 0, 4_000_000, 45_000, &QueryOptions::default());
            match result.map(|result| result.value) {
                Ok(Value::Matrix(series)) => series.into_iter().flat_map(|series| series.floats).collect(),
                _ => Vec::new(),
            }
        };
        let (floats, histograms) = (run("floats"), run("histograms"));
        prop_assert_eq!(floats.len(), histograms.len());
        for (float, histogram) in floats.iter().zip(&histograms) {
            prop_assert_eq!(float.0, histogram.0);
            prop_assert!((float.1 - histogram.1).abs() < 1e-9, "{:?} {:?}", float, histogram);
        }
    }
}
