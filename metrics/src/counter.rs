//! The counter: a sum that only grows while the process lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::family::{Instrument, sealed};
use crate::number::AtomicF64;
use crate::snapshot::{MetricKind, MetricValue};

/// A sum that starts at zero and only grows.
///
/// Whole numbers are added to an integer, so that counting stays one atomic addition and exact beyond 2⁵³;
/// fractions go to a float beside it.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<Sum>);

#[derive(Debug, Default)]
struct Sum {
    whole: AtomicU64,
    fraction: AtomicF64,
}

/// Below this, `f64` still tells all whole numbers apart.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.0.whole.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds `delta`, which is not negative (a caller's bug, caught in debug builds and ignored otherwise).
    pub fn add(&self, delta: f64) {
        debug_assert!(0.0 <= delta, "a counter cannot go down: {delta}");
        if delta.fract() == 0.0 && (0.0..=WHOLE_MAX).contains(&delta) {
            #[expect(clippy::cast_possible_truncation, reason = "whole and at most 2^53")]
            self.0.whole.fetch_add(delta as u64, Ordering::Relaxed);
        } else if 0.0 < delta {
            self.0.fraction.add(delta);
        }
    }

    /// Returns the sum so far.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.0.whole.load(Ordering::Relaxed) as f64 + self.0.fraction.load()
    }
}

impl sealed::Sealed for Counter {}

impl Instrument for Counter {
    type Options = ();
    const KIND: MetricKind = MetricKind::Counter;

    fn create((): &()) -> Self {
        Self::default()
    }

    fn read(&self) -> MetricValue {
        MetricValue::Number(self.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_whole_numbers_and_fractions() {
        let counter = Counter::default();
        counter.inc();
        counter.add(2.0);
        counter.clone().add(0.25);
        counter.add(0.0);
        assert_eq!(counter.value(), 3.25);
    }

    #[test]
    fn huge_additions_go_to_the_float() {
        let counter = Counter::default();
        counter.add(1e300);
        counter.inc();
        assert_eq!(counter.value(), 1e300);
    }

    #[test]
    #[should_panic(expected = "cannot go down")]
    fn negative_is_a_bug() {
        Counter::default().add(-1.0);
    }
}
