//! Sums, differences and multiples of native histograms.
//!
//! Before two histograms are added they are brought to one layout: the coarser schema, the wider zero bucket, the
//! common custom bounds.
//!
//! Source: native histograms specification, and the behaviour of Prometheus where it is silent.

use std::collections::BTreeMap;

use model::FloatHistogram;
use model::histogram::{ResetHint, Span, exponential_bound, indexed};

/// Populations by bucket index.
pub(super) type Buckets = BTreeMap<i32, f64>;

/// What came of adding two histograms, besides the sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Added {
    /// One was a counter reset and the other certainly not.
    pub(crate) resets_collide: bool,
    /// Custom bounds differed.
    pub(crate) bounds_reconciled: bool,
}

/// One histogram has exponential buckets, the other custom ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incompatible;

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
    if sum.has_custom_buckets() != other.has_custom_buckets() {
        return Err(Incompatible);
    }
    let mut added = Added {
        resets_collide: adjust_hint(sum, other.reset_hint),
        bounds_reconciled: false,
    };
    sum.sum += sign * other.sum;
    sum.count += sign * other.count;
    if sum.has_custom_buckets() {
        sum.zero_count += sign * other.zero_count;
        let other = reconcile_bounds(sum, other, &mut added);
        let positive = summed(positive(sum), &other, sign);
        (sum.positive_spans, sum.positive_buckets) = spans(&positive);
        return Ok(added);
    }
    let mut other = Exponential::of(other);
    let mut ours = Exponential::of(sum);
    ours.reconcile_zero(&mut other);
    let schema = ours.schema.min(other.schema);
    ours.reduce_to(schema);
    other.reduce_to(schema);
    sum.schema = schema;
    sum.zero_threshold = ours.zero_threshold;
    sum.zero_count = ours.zero_count + sign * other.zero_count;
    (sum.positive_spans, sum.positive_buckets) =
        spans(&summed(ours.positive, &other.positive, sign));
    (sum.negative_spans, sum.negative_buckets) =
        spans(&summed(ours.negative, &other.negative, sign));
    Ok(added)
}

/// Decides the reset hint of a sum; returns whether the hints contradict each other.
fn adjust_hint(sum: &mut FloatHistogram, other: ResetHint) -> bool {
    use ResetHint::{Gauge, Unknown};
    match (sum.reset_hint, other) {
        (ours, theirs) if ours == theirs => false,
        (Gauge, _) | (Unknown, ResetHint::CounterReset | ResetHint::NotCounterReset) => false,
        (_, Gauge) => {
            sum.reset_hint = Gauge;
            false
        }
        (_, Unknown) => {
            sum.reset_hint = Unknown;
            false
        }
        _ => {
            sum.reset_hint = Unknown;
            true
        }
    }
}

fn positive(histogram: &FloatHistogram) -> Buckets {
    indexed(&histogram.positive_spans, &histogram.positive_buckets).collect()
}

fn summed(mut ours: Buckets, theirs: &Buckets, sign: f64) -> Buckets {
    for (&index, &count) in theirs {
        *ours.entry(index).or_insert(0.0) += sign * count;
    }
    ours
}

/// Turns populations into spans.
pub(super) fn spans(buckets: &Buckets) -> (Vec<Span>, Vec<f64>) {
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
    (spans, buckets.values().copied().collect())
}

/// Brings custom bounds of `sum` to those that both have; returns the buckets of `other` in them.
fn reconcile_bounds(
    sum: &mut FloatHistogram,
    other: &FloatHistogram,
    added: &mut Added,
) -> Buckets {
    if sum.custom_bounds == other.custom_bounds {
        return positive(other);
    }
    added.bounds_reconciled = true;
    let common: Vec<f64> = sum
        .custom_bounds
        .iter()
        .copied()
        .filter(|bound| other.custom_bounds.contains(bound))
        .collect();
    let theirs = rebounded(positive(other), &other.custom_bounds, &common);
    let ours = rebounded(positive(sum), &sum.custom_bounds, &common);
    (sum.positive_spans, sum.positive_buckets) = spans(&ours);
    sum.custom_bounds = common;
    theirs
}

fn rebounded(buckets: Buckets, bounds: &[f64], common: &[f64]) -> Buckets {
    let mut out = Buckets::new();
    for (index, count) in buckets {
        let upper = usize::try_from(index)
            .ok()
            .and_then(|index| bounds.get(index))
            .copied()
            .unwrap_or(f64::INFINITY);
        let target = common.partition_point(|&bound| bound < upper);
        *out.entry(i32::try_from(target).unwrap_or(i32::MAX))
            .or_insert(0.0) += count;
    }
    out
}

/// A histogram with exponential buckets, taken apart.
struct Exponential {
    schema: i32,
    zero_threshold: f64,
    zero_count: f64,
    positive: Buckets,
    negative: Buckets,
}

impl Exponential {
    fn of(histogram: &FloatHistogram) -> Self {
        Exponential {
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            zero_count: histogram.zero_count,
            positive: positive(histogram),
            negative: indexed(&histogram.negative_spans, &histogram.negative_buckets).collect(),
        }
    }

    fn reduce_to(&mut self, schema: i32) {
        if schema < self.schema {
            let by = self.schema - schema;
            self.positive = reduced(&self.positive, by);
            self.negative = reduced(&self.negative, by);
            self.schema = schema;
        }
    }

    /// Widens the zero buckets of both until they are equal.
    fn reconcile_zero(&mut self, other: &mut Exponential) {
        while self.zero_threshold != other.zero_threshold {
            if other.zero_threshold < self.zero_threshold {
                other.widen_zero(self.zero_threshold);
            } else if self.zero_threshold < other.zero_threshold {
                self.widen_zero(other.zero_threshold);
            } else {
                return;
            }
        }
    }

    /// Makes the zero bucket reach to `threshold`, or further where that would cut a populated bucket.
    fn widen_zero(&mut self, threshold: f64) {
        let mut threshold = threshold;
        loop {
            let cut = self
                .positive
                .iter()
                .chain(&self.negative)
                .find(|&(&index, &count)| {
                    let (lower, upper) = (self.bound(index - 1), self.bound(index));
                    count != 0.0 && lower < threshold && threshold < upper
                });
            match cut {
                Some((&index, _)) => threshold = self.bound(index),
                None => break,
            }
        }
        let schema = self.schema;
        for buckets in [&mut self.positive, &mut self.negative] {
            buckets.retain(|&index, &mut count| {
                let inside = exponential_bound(index - 1, schema) < threshold;
                if inside {
                    self.zero_count += count;
                }
                !inside
            });
        }
        self.zero_threshold = threshold;
    }

    fn bound(&self, index: i32) -> f64 {
        exponential_bound(index, self.schema)
    }
}

fn reduced(buckets: &Buckets, by: i32) -> Buckets {
    let mut out = Buckets::new();
    for (&index, &count) in buckets {
        *out.entry(((index - 1) >> by) + 1).or_insert(0.0) += count;
    }
    out
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
    let mut populated = positive(&histogram);
    populated.retain(|_, count| *count != 0.0);
    (histogram.positive_spans, histogram.positive_buckets) = spans(&populated);
    let mut populated: Buckets =
        indexed(&histogram.negative_spans, &histogram.negative_buckets).collect();
    populated.retain(|_, count| *count != 0.0);
    (histogram.negative_spans, histogram.negative_buckets) = spans(&populated);
    histogram
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
}
