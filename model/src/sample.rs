//! Sample values and the staleness marker.

use std::sync::Arc;

use crate::histogram::FloatHistogram;

/// The bits of the staleness marker: the NaN that says "this series ended here".
///
/// Source: Prometheus `value.StaleNaN`; a signalling NaN, so it must be moved as bits or as `f64`, never computed with.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The bits of the NaN that stands for "not a number" in stored samples.
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// Returns the staleness marker.
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Returns whether `value` is the staleness marker, by its exact bits.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// The value of one sample: a float or a native histogram.
///
/// Queries see histograms as float histograms whatever was ingested, as in Prometheus.
#[derive(Clone, Debug, PartialEq)]
pub enum SampleValue {
    /// A plain number.
    Float(f64),
    /// A native histogram; its sum is the staleness marker where the series ended.
    Histogram(Arc<FloatHistogram>),
}

impl SampleValue {
    /// Returns whether this is the staleness marker of its kind.
    pub fn is_stale(&self) -> bool {
        match self {
            SampleValue::Float(value) => is_stale(*value),
            SampleValue::Histogram(histogram) => is_stale(histogram.sum),
        }
    }

    /// Returns the float, if it is one.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            SampleValue::Float(value) => Some(*value),
            SampleValue::Histogram(_) => None,
        }
    }
}

impl From<f64> for SampleValue {
    fn from(value: f64) -> Self {
        SampleValue::Float(value)
    }
}

/// One sample: a value and its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Milliseconds since the epoch.
    pub t: i64,
    /// The value.
    pub value: SampleValue,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marker_is_stale() {
        assert!(is_stale(stale_nan()));
        assert!(!is_stale(f64::NAN));
        assert!(!is_stale(f64::from_bits(NORMAL_NAN_BITS)));
        assert!(SampleValue::Float(stale_nan()).is_stale());
        assert!(!SampleValue::Float(1.0).is_stale());
    }
}
