//! The classic histogram: observations counted per bucket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::family::{Instrument, sealed};
use crate::number::AtomicF64;
use crate::snapshot::{MetricKind, MetricValue};

/// Observations counted in buckets with fixed upper bounds, and their sum.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    /// Inclusive upper bounds, strictly ascending, without +Inf.
    bounds: Box<[f64]>,
    /// Observations per bucket, not cumulative; one more than `bounds`, the last for +Inf.
    counts: Box<[AtomicU64]>,
    sum: AtomicF64,
}

impl Histogram {
    /// Counts `value` in the first bucket whose upper bound is not below it; NaN goes to the last.
    pub fn observe(&self, value: f64) {
        let Buckets {
            bounds,
            counts,
            sum,
        } = &*self.0;
        let bucket = if value.is_nan() {
            bounds.len()
        } else {
            bounds.partition_point(|&bound| bound < value)
        };
        counts[bucket].fetch_add(1, Ordering::Relaxed);
        sum.add(value);
    }

    /// Counts the seconds since `start`.
    pub fn observe_since(&self, start: Instant) {
        self.observe(start.elapsed().as_secs_f64());
    }

    /// Returns the number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    /// Returns the sum of the observations.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.0.sum.load()
    }
}

impl sealed::Sealed for Histogram {}

impl Instrument for Histogram {
    type Options = Vec<f64>;
    const KIND: MetricKind = MetricKind::Histogram;

    fn create(bounds: &Vec<f64>) -> Self {
        let finite = bounds.strip_suffix(&[f64::INFINITY]).unwrap_or(bounds);
        assert!(
            finite.is_sorted_by(|a, b| a < b),
            "histogram buckets must ascend strictly: {bounds:?}"
        );
        let counts = (0..=finite.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Buckets {
            bounds: finite.into(),
            counts,
            sum: AtomicF64::default(),
        }))
    }

    fn read(&self) -> MetricValue {
        let Buckets {
            bounds,
            counts,
            sum,
        } = &*self.0;
        let mut cumulative = 0;
        let upper_bounds = bounds.iter().copied().chain([f64::INFINITY]);
        let buckets = upper_bounds.zip(counts).map(|(bound, count)| {
            cumulative += count.load(Ordering::Relaxed);
            (bound, cumulative)
        });
        let buckets: Vec<_> = buckets.collect();
        MetricValue::Histogram {
            buckets,
            sum: sum.load(),
            count: cumulative,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bounds: &[f64], observed: &[f64], expected: &[(f64, u64)]) {
        let histogram = Histogram::create(&bounds.to_vec());
        observed.iter().for_each(|&value| histogram.observe(value));
        let MetricValue::Histogram { buckets, count, .. } = histogram.read() else {
            panic!("not a histogram")
        };
        assert_eq!(buckets, expected);
        assert_eq!(count, observed.len() as u64);
        assert_eq!(count, histogram.count());
    }

    #[test]
    fn upper_bounds_are_inclusive() {
        check(
            &[1.0, 2.0],
            &[1.0, 1.5, 2.0, 2.1],
            &[(1.0, 1), (2.0, 3), (f64::INFINITY, 4)],
        );
    }

    #[test]
    fn extremes_find_a_bucket() {
        check(
            &[0.0],
            &[f64::NEG_INFINITY, f64::INFINITY, f64::NAN],
            &[(0.0, 1), (f64::INFINITY, 3)],
        );
    }

    #[test]
    fn a_given_infinity_is_not_doubled() {
        check(
            &[1.0, f64::INFINITY],
            &[3.0],
            &[(1.0, 0), (f64::INFINITY, 1)],
        );
        check(&[], &[3.0], &[(f64::INFINITY, 1)]);
    }

    #[test]
    fn sum_adds_up() {
        let histogram = Histogram::create(&vec![1.0]);
        histogram.observe(0.5);
        histogram.observe(4.0);
        assert_eq!(histogram.sum(), 4.5);
    }

    #[test]
    #[should_panic(expected = "ascend strictly")]
    fn unsorted_bounds_are_a_bug() {
        Histogram::create(&vec![2.0, 1.0]);
    }
}
