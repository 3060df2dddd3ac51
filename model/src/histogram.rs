//! Native histograms: sparse buckets with exponential or custom bounds, with integer or float counts.
//!
//! A histogram has a *schema*. From -4 to 8 the bounds grow by `2^(2^-schema)` from bucket to bucket: bucket `i` covers
//! `(base^(i-1), base^i]`, the negative side mirrors it, and what is near zero is in the zero bucket. Schema -53 has
//! explicit upper bounds, as classic histograms do. Populated buckets are listed in *spans*.
//!
//! Source: [native histograms specification](https://prometheus.io/docs/specs/native_histograms/).

mod bounds;
mod reduce;
mod since;

use std::fmt;

/// The schema that means explicit bounds.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;
/// The coarsest exponential schema.
pub const SCHEMA_MIN: i32 = -4;
/// The finest exponential schema.
pub const SCHEMA_MAX: i32 = 8;

/// A run of consecutive buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// Buckets skipped since the end of the span before; of the first span, the index of its first bucket.
    pub offset: i32,
    /// How many buckets follow.
    pub length: u32,
}

/// What is known about whether a counter started again before this histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum ResetHint {
    /// Nothing: compare with the histogram before.
    #[default]
    Unknown,
    /// It did.
    CounterReset,
    /// It did not.
    NotCounterReset,
    /// It is a gauge, which goes up and down.
    Gauge,
}

/// A native histogram with integer counts, as exposed by a target. Buckets are deltas to the bucket before.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Histogram {
    /// What is known about a counter reset.
    pub reset_hint: ResetHint,
    /// Resolution: [`SCHEMA_MIN`]..=[`SCHEMA_MAX`], or [`CUSTOM_BUCKETS_SCHEMA`].
    pub schema: i32,
    /// Observations with an absolute value up to this are in the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// All observations, NaN included.
    pub count: u64,
    /// Their sum; the staleness marker says that the series ended.
    pub sum: f64,
    /// Where the positive buckets are.
    pub positive_spans: Vec<Span>,
    /// Positive buckets, each as the difference to the one before.
    pub positive_deltas: Vec<i64>,
    /// Where the negative buckets are.
    pub negative_spans: Vec<Span>,
    /// Negative buckets, each as the difference to the one before.
    pub negative_deltas: Vec<i64>,
    /// Ascending upper bounds without +Inf, for [`CUSTOM_BUCKETS_SCHEMA`] only.
    pub custom_bounds: Vec<f64>,
}

/// A native histogram with float counts, as PromQL computes with. Buckets are absolute.
#[derive(Clone, PartialEq, Default)]
pub struct FloatHistogram {
    /// What is known about a counter reset.
    pub reset_hint: ResetHint,
    /// Resolution: [`SCHEMA_MIN`]..=[`SCHEMA_MAX`], or [`CUSTOM_BUCKETS_SCHEMA`].
    pub schema: i32,
    /// Observations with an absolute value up to this are in the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations, NaN included.
    pub count: f64,
    /// Their sum; the staleness marker says that the series ended.
    pub sum: f64,
    /// Where the positive buckets are.
    pub positive_spans: Vec<Span>,
    /// Positive buckets.
    pub positive_buckets: Vec<f64>,
    /// Where the negative buckets are.
    pub negative_spans: Vec<Span>,
    /// Negative buckets.
    pub negative_buckets: Vec<f64>,
    /// Ascending upper bounds without +Inf, for [`CUSTOM_BUCKETS_SCHEMA`] only.
    pub custom_bounds: Vec<f64>,
}

/// One populated bucket with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Whether the lower bound belongs to it.
    pub lower_inclusive: bool,
    /// Whether the upper bound belongs to it.
    pub upper_inclusive: bool,
    /// Observations in it.
    pub count: f64,
}

/// Why a histogram contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHistogram {
    /// The schema is neither exponential nor custom.
    #[error("invalid schema {0}")]
    Schema(i32),
    /// Spans promise another number of buckets than there are.
    #[error("spans need {spans} buckets, have {buckets} buckets")]
    SpanCount {
        /// Buckets in the spans.
        spans: usize,
        /// Buckets in the list.
        buckets: usize,
    },
    /// A span other than the first goes backwards.
    #[error("span number {0} with offset {1} is negative")]
    SpanOffset(usize, i32),
    /// A bucket has a negative population.
    #[error("bucket number {0} has observation count below zero")]
    NegativeCount(usize),
    /// The buckets hold another number of observations than `count` says.
    #[error("{buckets} observations found in buckets, but the count field is {count}")]
    Count {
        /// In buckets.
        buckets: u64,
        /// In the count field.
        count: u64,
    },
    /// Custom bounds do not ascend, or more buckets than bounds.
    #[error("custom bounds are not ascending, not finite or too few")]
    CustomBounds,
}

impl Histogram {
    /// Checks that the histogram is consistent.
    ///
    /// # Errors
    ///
    /// The first contradiction.
    pub fn validate(&self) -> Result<(), InvalidHistogram> {
        check_layout(
            self.schema,
            &self.positive_spans,
            self.positive_deltas.len(),
            &self.custom_bounds,
        )?;
        check_layout(
            self.schema,
            &self.negative_spans,
            self.negative_deltas.len(),
            &self.custom_bounds,
        )?;
        let in_buckets = sum_deltas(&self.positive_deltas)?
            .saturating_add(sum_deltas(&self.negative_deltas)?)
            .saturating_add(self.zero_count);
        // Observed NaNs count in `count` only, and make the sum NaN.
        let consistent = if self.sum.is_nan() {
            in_buckets <= self.count
        } else {
            in_buckets == self.count
        };
        if consistent {
            Ok(())
        } else {
            Err(InvalidHistogram::Count {
                buckets: in_buckets,
                count: self.count,
            })
        }
    }

    /// Returns the same histogram with float counts.
    pub fn to_float(&self) -> FloatHistogram {
        FloatHistogram {
            reset_hint: self.reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count as f64,
            count: self.count as f64,
            sum: self.sum,
            positive_spans: self.positive_spans.clone(),
            positive_buckets: absolute(&self.positive_deltas),
            negative_spans: self.negative_spans.clone(),
            negative_buckets: absolute(&self.negative_deltas),
            custom_bounds: self.custom_bounds.clone(),
        }
    }
}

impl FloatHistogram {
    /// Checks that spans, buckets and bounds fit together and no bucket is negative.
    ///
    /// # Errors
    ///
    /// The first contradiction.
    pub fn validate(&self) -> Result<(), InvalidHistogram> {
        for (spans, buckets) in [
            (&self.positive_spans, &self.positive_buckets),
            (&self.negative_spans, &self.negative_buckets),
        ] {
            check_layout(self.schema, spans, buckets.len(), &self.custom_bounds)?;
            if let Some(index) = buckets.iter().position(|&count| count < 0.0) {
                return Err(InvalidHistogram::NegativeCount(index));
            }
        }
        Ok(())
    }

    /// Returns whether the bounds are explicit.
    pub fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// Returns the buckets with observations, ascending: negative, zero, positive.
    pub fn buckets(&self) -> Vec<Bucket> {
        let mut buckets = self.all_buckets();
        buckets.retain(|bucket| bucket.count != 0.0);
        buckets
    }

    /// Returns the buckets with observations, and those without that the spans have.
    pub fn all_buckets(&self) -> Vec<Bucket> {
        let mut buckets = Vec::new();
        for (index, count) in indexed(&self.negative_spans, &self.negative_buckets) {
            let (upper, lower) = (-self.bound(index.saturating_sub(1)), -self.bound(index));
            buckets.push(Bucket {
                lower,
                upper,
                lower_inclusive: true,
                upper_inclusive: false,
                count,
            });
        }
        buckets.reverse();
        // Of a negated histogram it is not shown, as in Prometheus.
        if 0.0 < self.zero_count {
            let (lower, upper) = (-self.zero_threshold, self.zero_threshold);
            buckets.push(Bucket {
                lower,
                upper,
                lower_inclusive: true,
                upper_inclusive: true,
                count: self.zero_count,
            });
        }
        for (index, count) in indexed(&self.positive_spans, &self.positive_buckets) {
            let (lower, upper) = (self.bound(index.saturating_sub(1)), self.bound(index));
            let lower_inclusive = self.has_custom_buckets() && lower == f64::NEG_INFINITY;
            buckets.push(Bucket {
                lower,
                upper,
                lower_inclusive,
                upper_inclusive: true,
                count,
            });
        }
        buckets
    }

    /// Returns the upper bound of the positive bucket `index`.
    pub fn bound(&self, index: i32) -> f64 {
        if self.has_custom_buckets() {
            return match usize::try_from(index) {
                Err(_) => f64::NEG_INFINITY,
                Ok(index) => self
                    .custom_bounds
                    .get(index)
                    .copied()
                    .unwrap_or(f64::INFINITY),
            };
        }
        exponential_bound(index, self.schema)
    }
}

/// Returns the upper bound of exponential bucket `index`: `2^(index · 2^-schema)`.
///
/// The bucket that would reach past the largest float ends at that float, and the one after at infinity, as the
/// specification says.
pub fn exponential_bound(index: i32, schema: i32) -> f64 {
    if schema <= 0 {
        let exponent = i64::from(index) << u32::try_from(-schema).unwrap_or(0).min(31);
        return match exponent {
            1024 => f64::MAX,
            e if 1024 < e => f64::INFINITY,
            e => 2f64.powi(i32::try_from(e.max(-1100)).unwrap_or(0)),
        };
    }
    let steps = 1i32 << schema.min(30);
    let (exponent, fraction) = (index.div_euclid(steps), index.rem_euclid(steps));
    if exponent == 1024 && fraction == 0 {
        return f64::MAX;
    }
    let fraction = bounds::fraction(
        usize::try_from(fraction).unwrap_or(0),
        schema.cast_unsigned(),
    );
    // In two steps, so that only the result is rounded when it is subnormal.
    let exponent = exponent.clamp(-1100, 1024);
    let half = exponent / 2;
    fraction * 2f64.powi(half) * 2f64.powi(exponent - half)
}

/// Iterates over (bucket index, population) of `spans`.
pub fn indexed<'a>(spans: &'a [Span], buckets: &'a [f64]) -> impl Iterator<Item = (i32, f64)> + 'a {
    let mut next = 0i32;
    let indices = spans.iter().flat_map(move |span| {
        let first = next.saturating_add(span.offset);
        next = first.saturating_add_unsigned(span.length);
        (0..span.length).map(move |i| first.saturating_add_unsigned(i))
    });
    indices.zip(buckets.iter().copied())
}

fn absolute(deltas: &[i64]) -> Vec<f64> {
    deltas
        .iter()
        .scan(0i64, |count, &delta| {
            *count = count.wrapping_add(delta);
            Some(*count as f64)
        })
        .collect()
}

fn sum_deltas(deltas: &[i64]) -> Result<u64, InvalidHistogram> {
    let (mut count, mut sum) = (0i64, 0u64);
    for (index, &delta) in deltas.iter().enumerate() {
        count = count.wrapping_add(delta);
        sum = sum.saturating_add(
            u64::try_from(count).map_err(|_| InvalidHistogram::NegativeCount(index))?,
        );
    }
    Ok(sum)
}

fn check_layout(
    schema: i32,
    spans: &[Span],
    buckets: usize,
    bounds: &[f64],
) -> Result<(), InvalidHistogram> {
    if schema != CUSTOM_BUCKETS_SCHEMA && !(SCHEMA_MIN..=SCHEMA_MAX).contains(&schema) {
        return Err(InvalidHistogram::Schema(schema));
    }
    if let Some((index, span)) = spans
        .iter()
        .enumerate()
        .skip(1)
        .find(|(_, span)| span.offset < 0)
    {
        return Err(InvalidHistogram::SpanOffset(index + 1, span.offset));
    }
    let spanned = spans
        .iter()
        .fold(0usize, |sum, span| sum.saturating_add(span.length as usize));
    if spanned != buckets {
        return Err(InvalidHistogram::SpanCount {
            spans: spanned,
            buckets,
        });
    }
    if schema == CUSTOM_BUCKETS_SCHEMA {
        let ascending =
            bounds.is_sorted_by(|a, b| a < b) && bounds.iter().all(|bound| bound.is_finite());
        if !ascending || bounds.len() + 1 < buckets {
            return Err(InvalidHistogram::CustomBounds);
        }
    }
    Ok(())
}

/// Prints as PromQL does: `{count:3, sum:2.5, (0.5,1]:3}`.
impl fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::float::format_general as number;
        write!(
            f,
            "{{count:{}, sum:{}",
            number(self.count),
            number(self.sum)
        )?;
        for bucket in self.buckets() {
            let open = if bucket.lower_inclusive { '[' } else { '(' };
            let close = if bucket.upper_inclusive { ']' } else { ')' };
            write!(
                f,
                ", {open}{},{}{close}:{}",
                number(bucket.lower),
                number(bucket.upper),
                number(bucket.count)
            )?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Histogram {
        Histogram {
            schema: 0,
            zero_threshold: 0.001,
            zero_count: 1,
            count: 8,
            sum: 3.5,
            positive_spans: vec![
                Span {
                    offset: 0,
                    length: 2,
                },
                Span {
                    offset: 1,
                    length: 1,
                },
            ],
            positive_deltas: vec![1, 1, -1],
            negative_spans: vec![Span {
                offset: 1,
                length: 1,
            }],
            negative_deltas: vec![3],
            ..Histogram::default()
        }
    }

    #[test]
    fn buckets_have_the_specified_bounds() {
        let histogram = sample();
        assert_eq!(histogram.validate(), Ok(()));
        assert_eq!(
            histogram.to_float().to_string(),
            "{count:8, sum:3.5, [-2,-1):3, [-0.001,0.001]:1, (0.5,1]:1, (1,2]:2, (4,8]:1}"
        );
    }

    #[test]
    fn bounds_of_schemas() {
        assert_eq!(exponential_bound(0, 3), 1.0);
        assert_eq!(exponential_bound(8, 3), 2.0);
        assert_eq!(exponential_bound(-1, 0), 0.5);
        assert_eq!(exponential_bound(1, -1), 4.0);
        assert_eq!(exponential_bound(1024, 0), f64::MAX);
        assert_eq!(exponential_bound(1025, 0), f64::INFINITY);
    }

    #[test]
    fn contradictions_are_found() {
        let mut histogram = sample();
        histogram.count = 9;
        assert_eq!(
            histogram.validate(),
            Err(InvalidHistogram::Count {
                buckets: 8,
                count: 9
            })
        );
        histogram.sum = f64::NAN;
        assert_eq!(histogram.validate(), Ok(()));
        histogram.positive_deltas.pop();
        assert_eq!(
            histogram.validate(),
            Err(InvalidHistogram::SpanCount {
                spans: 3,
                buckets: 2
            })
        );
        histogram.schema = 9;
        assert_eq!(histogram.validate(), Err(InvalidHistogram::Schema(9)));
    }

    #[test]
    fn custom_bounds() {
        let histogram = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: 3.0,
            positive_spans: vec![Span {
                offset: 0,
                length: 3,
            }],
            positive_buckets: vec![1.0, 0.0, 2.0],
            custom_bounds: vec![5.0, 10.0],
            ..FloatHistogram::default()
        };
        assert_eq!(histogram.validate(), Ok(()));
        assert_eq!(
            histogram.to_string(),
            "{count:3, sum:0, [-Inf,5]:1, (10,+Inf]:2}"
        );
    }
}
