//! Compensated sums and means of native histograms.
//!
//! A [`Sum`] is a histogram taken apart, each number of it with the part that rounding has taken away so far (see
//! [`kahan_add`]). Before a histogram is added both are brought to one layout: the coarser schema, the wider zero
//! bucket, the common custom bounds.
//!
//! Source: native histograms specification, and the behaviour of Prometheus where it is silent.

use std::collections::BTreeMap;

use model::FloatHistogram;
use model::histogram::{ResetHint, exponential_bound, indexed};

use super::arithmetic::spans;
use crate::numeric::kahan_add;

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

/// A number on its way: what was added up, and what that has lost.
#[derive(Clone, Copy, Debug, Default)]
struct Term {
    sum: f64,
    lost: f64,
}

impl Term {
    fn of(value: f64) -> Self {
        Term {
            sum: value,
            lost: 0.0,
        }
    }

    fn add(&mut self, value: f64) {
        (self.sum, self.lost) = kahan_add(value, self.sum, self.lost);
    }

    fn merge(&mut self, other: Term) {
        self.add(other.sum);
        self.lost += other.lost;
    }

    fn value(self) -> f64 {
        if self.sum.is_infinite() {
            self.sum
        } else {
            self.sum + self.lost
        }
    }
}

/// Populations by bucket index.
type Terms = BTreeMap<i32, Term>;

/// The sum of some histograms.
#[derive(Clone, Debug)]
pub(super) struct Sum {
    reset_hint: ResetHint,
    schema: i32,
    zero_threshold: f64,
    custom_bounds: Vec<f64>,
    has_custom_buckets: bool,
    count: Term,
    sum: Term,
    zero_count: Term,
    positive: Terms,
    negative: Terms,
}

impl Sum {
    pub(super) fn of(histogram: &FloatHistogram) -> Self {
        let terms = |spans, buckets| {
            let buckets = indexed(spans, buckets);
            buckets
                .map(|(index, count)| (index, Term::of(count)))
                .collect()
        };
        Sum {
            reset_hint: histogram.reset_hint,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            custom_bounds: histogram.custom_bounds.clone(),
            has_custom_buckets: histogram.has_custom_buckets(),
            count: Term::of(histogram.count),
            sum: Term::of(histogram.sum),
            zero_count: Term::of(histogram.zero_count),
            positive: terms(&histogram.positive_spans, &histogram.positive_buckets),
            negative: terms(&histogram.negative_spans, &histogram.negative_buckets),
        }
    }

    /// Adds `other`, multiplied by `sign`.
    pub(super) fn add(&mut self, other: &FloatHistogram, sign: f64) -> Result<Added, Incompatible> {
        if self.has_custom_buckets != other.has_custom_buckets() {
            return Err(Incompatible);
        }
        let mut added = Added {
            resets_collide: self.adjust_hint(other.reset_hint),
            bounds_reconciled: false,
        };
        let mut other = Sum::of(other);
        if self.has_custom_buckets {
            added.bounds_reconciled = self.reconcile_bounds(&mut other);
        } else {
            self.reconcile_zero(&mut other);
            let schema = self.schema.min(other.schema);
            self.reduce_to(schema);
            other.reduce_to(schema);
        }
        self.count.add(sign * other.count.value());
        self.sum.add(sign * other.sum.value());
        self.zero_count.add(sign * other.zero_count.value());
        for (ours, theirs) in [
            (&mut self.positive, &other.positive),
            (&mut self.negative, &other.negative),
        ] {
            for (&index, count) in theirs {
                ours.entry(index).or_default().add(sign * count.value());
            }
        }
        Ok(added)
    }

    /// Decides the reset hint of a sum; returns whether the hints contradict each other.
    fn adjust_hint(&mut self, other: ResetHint) -> bool {
        use ResetHint::{Gauge, Unknown};
        let (hint, collides) = match (self.reset_hint, other) {
            (ours, theirs) if ours == theirs => (ours, false),
            (Gauge, _) | (_, Gauge) => (Gauge, false),
            (Unknown, _) | (_, Unknown) => (Unknown, false),
            _ => (Unknown, true),
        };
        self.reset_hint = hint;
        collides
    }

    /// Returns the histogram; `value` says what becomes of each number.
    fn histogram(self, value: impl Fn(Term) -> f64) -> FloatHistogram {
        let (positive_spans, positive_buckets) = spans(&self.positive, |term| value(*term));
        let (negative_spans, negative_buckets) = spans(&self.negative, |term| value(*term));
        FloatHistogram {
            reset_hint: self.reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: value(self.zero_count),
            count: value(self.count),
            sum: value(self.sum),
            positive_spans,
            positive_buckets,
            negative_spans,
            negative_buckets,
            custom_bounds: self.custom_bounds,
        }
    }

    /// Returns the histogram.
    pub(super) fn finish(self) -> FloatHistogram {
        self.histogram(Term::value)
    }

    fn terms(&mut self) -> impl Iterator<Item = &mut Term> {
        let numbers = [&mut self.count, &mut self.sum, &mut self.zero_count];
        let buckets = self.positive.values_mut().chain(self.negative.values_mut());
        numbers.into_iter().chain(buckets)
    }

    fn scale(&mut self, factor: f64) {
        for term in self.terms() {
            term.sum *= factor;
            term.lost *= factor;
        }
    }

    fn overflows(&mut self) -> bool {
        self.terms().any(|term| term.sum.is_infinite())
    }

    fn bound(&self, index: i32) -> f64 {
        exponential_bound(index, self.schema)
    }

    fn reduce_to(&mut self, schema: i32) {
        if schema < self.schema {
            let by = self.schema - schema;
            let target = |index: i32| ((index - 1) >> by) + 1;
            self.positive = moved(&self.positive, target);
            self.negative = moved(&self.negative, target);
            self.schema = schema;
        }
    }

    /// Widens the zero buckets of both until they are equal.
    fn reconcile_zero(&mut self, other: &mut Sum) {
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
                .find(|&(&index, count)| {
                    let (lower, upper) = (self.bound(index - 1), self.bound(index));
                    count.value() != 0.0 && lower < threshold && threshold < upper
                });
            match cut {
                Some((&index, _)) => threshold = self.bound(index),
                None => break,
            }
        }
        let schema = self.schema;
        for buckets in [&mut self.positive, &mut self.negative] {
            buckets.retain(|&index, count| {
                let inside = exponential_bound(index - 1, schema) < threshold;
                if inside {
                    self.zero_count.merge(*count);
                }
                !inside
            });
        }
        self.zero_threshold = threshold;
    }

    /// Brings the custom bounds to those that both have; returns whether they differed.
    fn reconcile_bounds(&mut self, other: &mut Sum) -> bool {
        if self.custom_bounds == other.custom_bounds {
            return false;
        }
        let ours = self.custom_bounds.iter().copied();
        let common: Vec<f64> = ours
            .filter(|bound| other.custom_bounds.contains(bound))
            .collect();
        for side in [self, other] {
            let target = |index: i32| {
                let upper = usize::try_from(index)
                    .ok()
                    .and_then(|index| side.custom_bounds.get(index))
                    .copied()
                    .unwrap_or(f64::INFINITY);
                let target = common.partition_point(|&bound| bound < upper);
                i32::try_from(target).unwrap_or(i32::MAX)
            };
            side.positive = moved(&side.positive, target);
            side.custom_bounds.clone_from(&common);
        }
        true
    }
}

/// Returns the populations with each bucket in its `target`.
fn moved(buckets: &Terms, target: impl Fn(i32) -> i32) -> Terms {
    let mut out = Terms::new();
    for (&index, &count) in buckets {
        out.entry(target(index)).or_default().merge(count);
    }
    out
}

/// The sum or the mean of some histograms, at least one.
#[derive(Clone, Debug)]
pub(crate) struct Total {
    sum: Sum,
    /// How many; none if the sum is wanted, not the mean.
    count: Option<f64>,
    /// No number of the sum is greater than this.
    bound: f64,
    /// Whether `sum` is the mean already, because the sum would overflow.
    is_incremental: bool,
}

impl Total {
    pub(crate) fn sum(first: &FloatHistogram) -> Self {
        Total {
            sum: Sum::of(first),
            count: None,
            bound: 0.0,
            is_incremental: false,
        }
    }

    pub(crate) fn mean(first: &FloatHistogram) -> Self {
        Total {
            count: Some(1.0),
            bound: magnitude(first),
            ..Total::sum(first)
        }
    }

    /// Adds a histogram; after an error the total is of no use.
    pub(crate) fn add(&mut self, histogram: &FloatHistogram) -> Result<Added, Incompatible> {
        let Some(count) = &mut self.count else {
            return self.sum.add(histogram, 1.0);
        };
        *count += 1.0;
        let count = *count;
        if !self.is_incremental {
            self.bound += magnitude(histogram);
            if self.bound < f64::MAX / 2.0 {
                return self.sum.add(histogram, 1.0);
            }
            let mut sum = self.sum.clone();
            let added = sum.add(histogram, 1.0)?;
            if !sum.overflows() {
                self.sum = sum;
                return Ok(added);
            }
            self.is_incremental = true;
            self.sum.scale(1.0 / (count - 1.0));
        }
        self.sum.scale((count - 1.0) / count);
        let share = super::arithmetic::divided(histogram.clone(), count);
        self.sum.add(&share, 1.0)
    }

    /// Returns the sum or the mean.
    pub(crate) fn finish(self) -> FloatHistogram {
        match self.count {
            Some(count) if !self.is_incremental => self
                .sum
                .histogram(|term| term.sum / count + term.lost / count),
            _ => self.sum.finish(),
        }
    }
}

/// The sum of all numbers, none of them with its sign.
fn magnitude(histogram: &FloatHistogram) -> f64 {
    let numbers = [histogram.count, histogram.sum, histogram.zero_count];
    let buckets = histogram.positive_buckets.iter();
    let buckets = buckets.chain(&histogram.negative_buckets).copied();
    numbers.into_iter().chain(buckets).map(f64::abs).sum()
}

#[cfg(test)]
mod tests;
