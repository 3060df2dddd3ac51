//! The gauge: a value that goes up and down.

use std::sync::Arc;

use crate::family::{Instrument, sealed};
use crate::number::AtomicF64;
use crate::snapshot::{MetricKind, MetricValue};

/// A value that goes up and down, zero at first.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicF64>);

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: f64) {
        self.0.store(value);
    }

    /// Adds `delta`.
    pub fn add(&self, delta: f64) {
        self.0.add(delta);
    }

    /// Subtracts `delta`.
    pub fn sub(&self, delta: f64) {
        self.0.add(-delta);
    }

    /// Adds one.
    pub fn inc(&self) {
        self.0.add(1.0);
    }

    /// Subtracts one.
    pub fn dec(&self) {
        self.0.add(-1.0);
    }

    /// Returns the value now.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.0.load()
    }
}

impl sealed::Sealed for Gauge {}

impl Instrument for Gauge {
    type Options = ();
    const KIND: MetricKind = MetricKind::Gauge;

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
    fn goes_up_and_down() {
        let gauge = Gauge::default();
        gauge.set(10.0);
        gauge.add(0.5);
        gauge.sub(4.0);
        gauge.inc();
        gauge.inc();
        gauge.dec();
        assert_eq!(gauge.value(), 7.5);
    }
}
