//! How fine native histograms may be, and how many buckets they may have.

use std::sync::Arc;

use model::histogram::{
    CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, InvalidHistogram, SCHEMA_MAX, SCHEMA_MIN,
};
use model::storage::HistogramSample;

use super::ScrapeError;

/// What a job allows of native histograms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BucketLimits {
    /// How many buckets there may be.
    buckets_max: usize,
    /// The finest schema.
    schema_max: i32,
}

impl BucketLimits {
    /// Returns the limits of a configuration.
    ///
    /// * `buckets_max`: nothing or 0 is any number.
    /// * `factor_min`: by what factor the bounds must grow at least from bucket to bucket; nothing or up to 1 is any.
    pub(crate) fn new(buckets_max: Option<u64>, factor_min: Option<f64>) -> Self {
        let buckets_max = buckets_max.filter(|&max| max != 0);
        BucketLimits {
            buckets_max: buckets_max
                .map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX)),
            schema_max: schema_of(factor_min.unwrap_or(0.0)),
        }
    }

    /// Returns the histogram at a resolution that is allowed; nothing if it has too many buckets at any.
    ///
    /// # Errors
    ///
    /// When the histogram contradicts itself.
    pub(super) fn apply(
        self,
        sample: HistogramSample,
    ) -> Result<Option<HistogramSample>, ScrapeError> {
        let fitted = match sample {
            HistogramSample::Integer(histogram) => {
                self.fit(histogram)?.map(HistogramSample::Integer)
            }
            HistogramSample::Float(histogram) => self.fit(histogram)?.map(HistogramSample::Float),
        };
        Ok(fitted)
    }

    fn fit<H: Resolution>(self, mut histogram: Arc<H>) -> Result<Option<Arc<H>>, ScrapeError> {
        let invalid = |error: InvalidHistogram| ScrapeError::InvalidHistogram(error.to_string());
        histogram.check().map_err(invalid)?;
        let is_exponential = histogram.schema() != CUSTOM_BUCKETS_SCHEMA;
        if is_exponential && self.schema_max < histogram.schema() {
            Arc::make_mut(&mut histogram).reduce(self.schema_max);
        }
        while self.buckets_max < histogram.bucket_count() {
            let schema = histogram.schema();
            if !is_exponential || schema <= SCHEMA_MIN {
                return Ok(None);
            }
            Arc::make_mut(&mut histogram).reduce(schema - 1);
        }
        Ok(Some(histogram))
    }
}

/// Returns the finest schema whose bounds grow by `factor` at least.
///
/// Source: Prometheus' `pickSchema`.
fn schema_of(factor: f64) -> i32 {
    if factor.is_nan() || factor <= 1.0 {
        return SCHEMA_MAX;
    }
    let schema = (-factor.log2().log2()).floor();
    let schema = schema.clamp(f64::from(SCHEMA_MIN), f64::from(SCHEMA_MAX));
    #[expect(clippy::cast_possible_truncation, reason = "clamped just above")]
    let schema = schema as i32;
    schema
}

/// What both kinds of histograms can.
trait Resolution: Clone {
    fn check(&self) -> Result<(), InvalidHistogram>;
    fn schema(&self) -> i32;
    fn bucket_count(&self) -> usize;
    fn reduce(&mut self, schema: i32);
}

impl Resolution for Histogram {
    fn check(&self) -> Result<(), InvalidHistogram> {
        self.validate()
    }

    fn schema(&self) -> i32 {
        self.schema
    }

    fn bucket_count(&self) -> usize {
        self.positive_deltas.len() + self.negative_deltas.len()
    }

    fn reduce(&mut self, schema: i32) {
        self.reduce_resolution(schema);
        // What cannot be reduced must not hold anybody up.
        self.schema = self.schema.min(schema);
    }
}

impl Resolution for FloatHistogram {
    fn check(&self) -> Result<(), InvalidHistogram> {
        self.validate()
    }

    fn schema(&self) -> i32 {
        self.schema
    }

    fn bucket_count(&self) -> usize {
        self.positive_buckets.len() + self.negative_buckets.len()
    }

    fn reduce(&mut self, schema: i32) {
        self.reduce_resolution(schema);
        self.schema = self.schema.min(schema);
    }
}

#[cfg(test)]
mod tests {
    use model::histogram::Span;

    use super::*;

    fn histogram(schema: i32, buckets: u32) -> HistogramSample {
        HistogramSample::Integer(Arc::new(Histogram {
            schema,
            count: u64::from(buckets),
            positive_spans: vec![Span {
                offset: 1,
                length: buckets,
            }],
            positive_deltas: (0..buckets).map(|i| i64::from(i == 0)).collect(),
            ..Histogram::default()
        }))
    }

    #[track_caller]
    fn check(limits: BucketLimits, sample: HistogramSample, expected: Option<(i32, usize)>) {
        let fitted = limits.apply(sample).unwrap().map(|sample| match sample {
            HistogramSample::Integer(h) => (h.schema, h.positive_deltas.len()),
            HistogramSample::Float(h) => (h.schema, h.positive_buckets.len()),
        });
        assert_eq!(fitted, expected);
    }

    #[test]
    fn resolution_is_reduced_until_it_fits() {
        let limits = BucketLimits::new(Some(4), None);
        check(limits, histogram(3, 4), Some((3, 4)));
        check(limits, histogram(3, 5), Some((2, 3)));
        check(limits, histogram(3, 64), Some((-1, 4)));
        check(
            BucketLimits::new(Some(0), None),
            histogram(3, 64),
            Some((3, 64)),
        );
        check(BucketLimits::new(Some(1), None), histogram(0, 64), None);
    }

    #[test]
    fn bounds_grow_by_the_factor_at_least() {
        check(
            BucketLimits::new(None, Some(2.0)),
            histogram(3, 16),
            Some((0, 2)),
        );
        check(
            BucketLimits::new(None, Some(1.1)),
            histogram(8, 16),
            Some((2, 1)),
        );
        let schemas = [0.0, 1.0, 1.002, 1.1, 2.0, 3.0, 4.0, 65_536.0, 1e9, f64::NAN].map(schema_of);
        assert_eq!(schemas, [8, 8, 8, 2, 0, -1, -1, -4, -4, 8]);
    }

    #[test]
    fn custom_bounds_cannot_be_reduced() {
        let custom = || {
            HistogramSample::Float(Arc::new(FloatHistogram {
                schema: CUSTOM_BUCKETS_SCHEMA,
                count: 2.0,
                positive_spans: vec![Span {
                    offset: 0,
                    length: 2,
                }],
                positive_buckets: vec![1.0, 1.0],
                custom_bounds: vec![1.0],
                ..FloatHistogram::default()
            }))
        };
        let expected = Some((CUSTOM_BUCKETS_SCHEMA, 2));
        check(BucketLimits::new(Some(2), Some(4.0)), custom(), expected);
        check(BucketLimits::new(Some(1), None), custom(), None);
    }

    #[test]
    fn contradictions_fail() {
        let broken = HistogramSample::Integer(Arc::new(Histogram {
            positive_spans: vec![Span {
                offset: 0,
                length: u32::MAX,
            }],
            ..Histogram::default()
        }));
        assert!(BucketLimits::new(None, None).apply(broken).is_err());
    }
}
