//! Quantiles, fractions and variance of native histograms.

use model::FloatHistogram;
use model::histogram::Bucket;

/// Returns the `q`-quantile, and what NaN observations make of it, if there are some.
///
/// Within the zero bucket and custom buckets it is interpolated linearly, within exponential ones exponentially.
pub(super) fn quantile(q: f64, histogram: &FloatHistogram) -> (f64, Option<&'static str>) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if 1.0 < q {
        return (f64::INFINITY, None);
    }
    if histogram.count == 0.0 || q.is_nan() {
        return (f64::NAN, None);
    }
    // From the nearer end; NaN observations are beyond the upper one, so then only from below.
    let has_nan = histogram.sum.is_nan();
    let from_below = has_nan || q < 0.5;
    let share = if from_below { q } else { 1.0 - q };
    let rank = share * histogram.count;
    let mut buckets = histogram.all_buckets();
    if !from_below {
        buckets.reverse();
    }
    let mut count = 0.0;
    let mut found: Option<Bucket> = None;
    for bucket in buckets {
        let is_empty = bucket.count == 0.0;
        count += bucket.count;
        // An empty one is where negative counts end, which reach no rank.
        found = Some(bucket);
        if !is_empty && rank <= count {
            break;
        }
    }
    let Some(mut bucket) = found else {
        return (f64::NAN, has_nan.then_some("NaN"));
    };
    if histogram.has_custom_buckets() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, None);
        }
    } else {
        narrow_zero(histogram, &mut bucket);
    }
    let count = count.min(histogram.count);
    if count < rank {
        return if has_nan {
            (f64::NAN, Some("NaN"))
        } else {
            (bucket.upper, None)
        };
    }
    let rank = if from_below {
        rank - (count - bucket.count)
    } else {
        count - rank
    };
    let value = interpolate(histogram, &bucket, rank / bucket.count);
    (value, has_nan.then_some("skewed higher"))
}

/// With observations on one side of zero only, the zero bucket ends at zero on the other.
fn narrow_zero(histogram: &FloatHistogram, bucket: &mut Bucket) {
    if bucket.lower < 0.0 && 0.0 < bucket.upper {
        if histogram.negative_buckets.is_empty() && !histogram.positive_buckets.is_empty() {
            bucket.lower = 0.0;
        } else if histogram.positive_buckets.is_empty() && !histogram.negative_buckets.is_empty() {
            bucket.upper = 0.0;
        }
    }
}

fn interpolate(histogram: &FloatHistogram, bucket: &Bucket, fraction: f64) -> f64 {
    let (lower, upper) = (bucket.lower, bucket.upper);
    if histogram.has_custom_buckets() || lower <= 0.0 && 0.0 <= upper {
        return lower + (upper - lower) * fraction;
    }
    let (log_lower, log_upper) = (lower.abs().log2(), upper.abs().log2());
    if 0.0 < lower {
        (log_lower + (log_upper - log_lower) * fraction).exp2()
    } else {
        -(log_upper + (log_lower - log_upper) * (1.0 - fraction)).exp2()
    }
}

/// Returns the share of observations between `lower` and `upper`, and whether NaN ones were left out.
pub(super) fn fraction(lower: f64, upper: f64, histogram: &FloatHistogram) -> (f64, bool) {
    let has_nan = histogram.sum.is_nan();
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, false);
    }
    if upper <= lower {
        return (0.0, has_nan);
    }
    let buckets = histogram.buckets();
    let mut count = histogram.count;
    if has_nan {
        count = buckets.iter().map(|bucket| bucket.count).sum();
    }
    let rank = |value| {
        rank_of(value, histogram, &buckets)
            .unwrap_or(count)
            .min(count)
    };
    ((rank(upper) - rank(lower)) / histogram.count, has_nan)
}

/// Observations up to `value`; none if that is past the last bucket.
fn rank_of(value: f64, histogram: &FloatHistogram, buckets: &[Bucket]) -> Option<f64> {
    let mut rank = 0.0;
    for bucket in buckets {
        let mut bucket = *bucket;
        let is_zero = bucket.lower <= 0.0 && 0.0 <= bucket.upper;
        if is_zero && !histogram.has_custom_buckets() {
            narrow_zero(histogram, &mut bucket);
        }
        if histogram.has_custom_buckets() && bucket.lower == f64::NEG_INFINITY && 0.0 < bucket.upper
        {
            bucket.lower = 0.0;
        }
        if value <= bucket.lower {
            return Some(rank);
        }
        if value < bucket.upper {
            // An infinitely wide bucket cannot be divided: all of it is below any number.
            if bucket.lower.is_infinite() {
                return Some(rank + bucket.count);
            }
            let share = if histogram.has_custom_buckets() || is_zero {
                (value - bucket.lower) / (bucket.upper - bucket.lower)
            } else {
                let (lower, upper, value_log) = (
                    bucket.lower.abs().log2(),
                    bucket.upper.abs().log2(),
                    value.abs().log2(),
                );
                if 0.0 < value {
                    (value_log - lower) / (upper - lower)
                } else {
                    1.0 - (value_log - upper) / (lower - upper)
                }
            };
            return Some(rank + bucket.count * share);
        }
        rank += bucket.count;
    }
    None
}

/// Returns the estimated variance: each observation is taken to be at the middle of its bucket, the geometric one if
/// that exists.
pub(super) fn variance(histogram: &FloatHistogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let (mut sum, mut compensation) = (0.0, 0.0);
    for bucket in histogram.buckets() {
        let middle = if bucket.lower <= 0.0 && 0.0 <= bucket.upper {
            if histogram.has_custom_buckets() {
                (bucket.upper + bucket.lower) / 2.0
            } else {
                0.0
            }
        } else if histogram.has_custom_buckets() {
            (bucket.upper + bucket.lower) / 2.0
        } else {
            let middle = (bucket.upper * bucket.lower).sqrt();
            if bucket.upper < 0.0 { -middle } else { middle }
        };
        let delta = middle - mean;
        (sum, compensation) =
            crate::numeric::kahan_add(bucket.count * delta * delta, sum, compensation);
    }
    (sum + compensation) / histogram.count
}

#[cfg(test)]
mod tests {
    use model::histogram::Span;

    use super::*;

    /// No count reaches the rank, so it is the end: the last bucket that there is, empty or not.
    #[test]
    fn quantiles_of_negative_counts() {
        let counting = |count: f64| FloatHistogram {
            schema: 2,
            count: 3.0 * count,
            sum: 3.0,
            positive_spans: vec![Span {
                offset: 1,
                length: 4,
            }],
            positive_buckets: vec![0.0, count, 2.0 * count, 0.0],
            ..FloatHistogram::default()
        };
        let upper = |index| counting(1.0).bound(index);
        assert_eq!(quantile(0.001, &counting(-1.0)), (upper(4), None));
        assert_eq!(quantile(0.999, &counting(-1.0)), (upper(1), None));
        // Where counts are positive an empty one is never the one.
        assert_eq!(quantile(1.0, &counting(1.0)), (upper(3), None));
        assert_eq!(quantile(0.0, &counting(1.0)), (upper(1), None));
    }
}
