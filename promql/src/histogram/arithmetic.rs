//! Sums, differences and multiples of native histograms.

use std::collections::BTreeMap;

use model::FloatHistogram;
use model::histogram::{ResetHint, Span, indexed};

use super::total::{Added, Incompatible, Sum};

/// Adds `other` to `sum`.
pub(crate) fn add(sum: &mut FloatHistogram, other: &FloatHistogram) -> Result<Added, Incompatible> {
    combine(sum, other, 1.0)
}

/// Subtracts `other` from `sum`.
pub(crate) fn subtract(
    sum: &mut FloatHistogram,
    other: &FloatHistogram,
) -> Result<Added, Incompatible> {
    combine(sum, other, -1.0)
}

fn combine(
    sum: &mut FloatHistogram,
    other: &FloatHistogram,
    sign: f64,
) -> Result<Added, Incompatible> {
    let mut total = Sum::of(sum);
    let added = total.add(other, sign)?;
    *sum = total.finish();
    Ok(added)
}

/// Turns populations by bucket index into spans; `value` says what a population is as a number.
pub(super) fn spans<T>(
    buckets: &BTreeMap<i32, T>,
    value: impl Fn(&T) -> f64,
) -> (Vec<Span>, Vec<f64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut next = 0;
    for &index in buckets.keys() {
        match spans.last_mut() {
            Some(span) if index == next => span.length += 1,
            _ => spans.push(Span {
                offset: index - next,
                length: 1,
            }),
        }
        next = index + 1;
    }
    (spans, buckets.values().map(value).collect())
}

/// Returns `histogram` with everything multiplied by `factor`; a negative factor makes it a gauge.
pub(crate) fn scaled(mut histogram: FloatHistogram, factor: f64) -> FloatHistogram {
    each(&mut histogram, |value| value * factor);
    if factor < 0.0 {
        histogram.reset_hint = ResetHint::Gauge;
    }
    histogram
}

/// Returns `histogram` with everything divided by `divisor`; without buckets if that is zero.
pub(crate) fn divided(mut histogram: FloatHistogram, divisor: f64) -> FloatHistogram {
    each(&mut histogram, |value| value / divisor);
    if divisor == 0.0 {
        histogram.positive_spans.clear();
        histogram.positive_buckets.clear();
        histogram.negative_spans.clear();
        histogram.negative_buckets.clear();
    }
    if divisor < 0.0 {
        histogram.reset_hint = ResetHint::Gauge;
    }
    histogram
}

fn each(histogram: &mut FloatHistogram, f: impl Fn(f64) -> f64) {
    histogram.zero_count = f(histogram.zero_count);
    histogram.count = f(histogram.count);
    histogram.sum = f(histogram.sum);
    let positive = histogram.positive_buckets.iter_mut();
    for bucket in positive.chain(&mut histogram.negative_buckets) {
        *bucket = f(*bucket);
    }
}

/// Returns `histogram` without empty buckets and with as few spans as possible.
pub(crate) fn compacted(mut histogram: FloatHistogram) -> FloatHistogram {
    let populated = |spans: &[Span], buckets: &[f64]| {
        let buckets = indexed(spans, buckets).filter(|(_, count)| *count != 0.0);
        self::spans(&buckets.collect(), |count| *count)
    };
    (histogram.positive_spans, histogram.positive_buckets) =
        populated(&histogram.positive_spans, &histogram.positive_buckets);
    (histogram.negative_spans, histogram.negative_buckets) =
        populated(&histogram.negative_spans, &histogram.negative_buckets);
    histogram
}

/// Whether both have the same observations, however their spans are cut; the reset hint does not matter.
///
/// Numbers are compared by their bits, as Prometheus does: a sum that is NaN is the same as itself, and `-0` is not `0`.
pub(crate) fn same(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    same_by(a, b, |a, b| a.to_bits() == b.to_bits())
}

/// The same with numbers that are equal by `equal`; the layout of the buckets is compared as it is.
pub(crate) fn same_by(
    a: &FloatHistogram,
    b: &FloatHistogram,
    equal: impl Fn(f64, f64) -> bool,
) -> bool {
    let (a, b) = (compacted(a.clone()), compacted(b.clone()));
    let numbers =
        |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| equal(a, b));
    a.schema == b.schema
        && a.zero_threshold == b.zero_threshold
        && a.custom_bounds == b.custom_bounds
        && numbers(
            &[a.count, a.sum, a.zero_count],
            &[b.count, b.sum, b.zero_count],
        )
        && a.positive_spans == b.positive_spans
        && numbers(&a.positive_buckets, &b.positive_buckets)
        && a.negative_spans == b.negative_spans
        && numbers(&a.negative_buckets, &b.negative_buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(schema: i32, zero: (f64, f64), offset: i32, buckets: &[f64]) -> FloatHistogram {
        let length = u32::try_from(buckets.len()).unwrap();
        FloatHistogram {
            schema,
            zero_threshold: zero.0,
            zero_count: zero.1,
            count: zero.1 + buckets.iter().sum::<f64>(),
            positive_spans: vec![Span { offset, length }],
            positive_buckets: buckets.to_vec(),
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn coarser_schema_wins() {
        let mut sum = histogram(1, (0.0, 0.0), 1, &[1.0, 2.0, 3.0]);
        add(&mut sum, &histogram(0, (0.0, 0.0), 1, &[10.0])).unwrap();
        assert_eq!(sum.to_string(), "{count:16, sum:0, (1,2]:13, (2,4]:3}");
    }

    #[test]
    fn zero_bucket_swallows_whole_buckets() {
        let mut sum = histogram(0, (0.0, 1.0), 0, &[4.0, 5.0]);
        add(&mut sum, &histogram(0, (0.75, 2.0), 5, &[1.0])).unwrap();
        assert_eq!(
            sum.to_string(),
            "{count:13, sum:0, [-1,1]:7, (1,2]:5, (16,32]:1}"
        );
    }

    #[test]
    fn difference_and_multiple() {
        let mut sum = histogram(0, (0.0, 0.0), 0, &[4.0, 5.0]);
        subtract(&mut sum, &histogram(0, (0.0, 0.0), 0, &[4.0, 2.0])).unwrap();
        assert_eq!(
            compacted(scaled(sum, 2.0)).to_string(),
            "{count:6, sum:0, (1,2]:6}"
        );
    }

    #[test]
    fn sums_are_compared_by_their_bits() {
        let with_sum = |sum| FloatHistogram {
            sum,
            ..histogram(0, (0.0, 0.0), 0, &[4.0, 5.0])
        };
        assert!(same(&with_sum(f64::NAN), &with_sum(f64::NAN)));
        assert!(!same(&with_sum(f64::NAN), &with_sum(1.0)));
        assert!(!same(&with_sum(0.0), &with_sum(-0.0)));
    }
}
