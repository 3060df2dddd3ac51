//! The operators `</` and `>/`: the observations on one side of a number.
//!
//! A bucket that the number cuts is divided as quantiles would divide it. The sum cannot be known; each bucket
//! contributes as if its observations were at its middle, the geometric one if that exists.

use std::collections::BTreeMap;

use model::FloatHistogram;
use model::histogram::{ResetHint, exponential_bound, indexed};

use super::arithmetic::{compacted, spans};

/// Populations by bucket index.
type Buckets = BTreeMap<i32, f64>;

/// Returns what of `histogram` is above `lower` and up to `upper`, one of which is infinite.
pub(super) fn trimmed(histogram: &FloatHistogram, lower: f64, upper: f64) -> FloatHistogram {
    if lower == f64::NEG_INFINITY && upper == f64::INFINITY {
        return histogram.clone();
    }
    let mut trim = Trim {
        lower,
        upper,
        count: 0.0,
        sum: 0.0,
        is_changed: false,
    };
    let mut result = histogram.clone();
    let positive: Buckets =
        indexed(&histogram.positive_spans, &histogram.positive_buckets).collect();
    let negative: Buckets =
        indexed(&histogram.negative_spans, &histogram.negative_buckets).collect();
    if histogram.has_custom_buckets() {
        let keep = |(index, count): (i32, f64)| {
            let (from, to) = (
                histogram.bound(index.saturating_sub(1)),
                histogram.bound(index),
            );
            (index, trim.custom(from, to, count))
        };
        let kept: Buckets = positive.into_iter().map(keep).collect();
        (result.positive_spans, result.positive_buckets) = spans(&kept, |count| *count);
    } else {
        let bound = |index| exponential_bound(index, histogram.schema);
        let mut kept_negative = Buckets::new();
        for (index, count) in negative {
            kept_negative.insert(
                index,
                trim.exponential(-bound(index), -bound(index - 1), count),
            );
        }
        result.zero_count = trim.zero(histogram);
        let mut kept_positive = Buckets::new();
        for (index, count) in positive {
            kept_positive.insert(
                index,
                trim.exponential(bound(index - 1), bound(index), count),
            );
        }
        (result.negative_spans, result.negative_buckets) = spans(&kept_negative, |count| *count);
        (result.positive_spans, result.positive_buckets) = spans(&kept_positive, |count| *count);
    }
    if trim.is_changed {
        result.count = trim.count;
        result.sum = trim.sum;
    }
    result.reset_hint = match histogram.reset_hint {
        ResetHint::Gauge => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    };
    compacted(result)
}

/// The part that is kept, while it is collected.
struct Trim {
    lower: f64,
    upper: f64,
    count: f64,
    sum: f64,
    is_changed: bool,
}

impl Trim {
    /// Counts what is kept of a bucket.
    fn keep(&mut self, kept: f64, of: f64, middle: f64) -> f64 {
        self.is_changed |= kept != of;
        self.count += kept;
        if kept != 0.0 {
            self.sum += kept * middle;
        }
        kept
    }

    /// The part of `from..to` that is kept, if any.
    fn overlap(&self, from: f64, to: f64) -> Option<(f64, f64)> {
        let (from, to) = (from.max(self.lower), to.min(self.upper));
        (from < to).then_some((from, to))
    }

    fn exponential(&mut self, from: f64, to: f64, count: f64) -> f64 {
        let Some((kept_from, kept_to)) = self.overlap(from, to) else {
            return self.keep(0.0, count, 0.0);
        };
        let middle = |a: f64, b: f64| {
            let middle = (a * b).sqrt();
            if b <= 0.0 { -middle } else { middle }
        };
        if kept_from == from && kept_to == to {
            return self.keep(count, count, middle(from, to));
        }
        let log = |value: f64| value.abs().log2();
        let share = (log(kept_to) - log(kept_from)) / (log(to) - log(from));
        self.keep(count * share, count, middle(kept_from, kept_to))
    }

    fn zero(&mut self, histogram: &FloatHistogram) -> f64 {
        let (mut from, mut to) = (-histogram.zero_threshold, histogram.zero_threshold);
        let count = histogram.zero_count;
        if histogram.negative_buckets.is_empty() && !histogram.positive_buckets.is_empty() {
            from = 0.0;
        } else if histogram.positive_buckets.is_empty() && !histogram.negative_buckets.is_empty() {
            to = 0.0;
        }
        if count == 0.0 {
            return 0.0;
        }
        match self.overlap(from, to) {
            Some((kept_from, kept_to)) => {
                let share = (kept_to - kept_from) / (to - from);
                self.keep(count * share, count, (kept_from + kept_to) / 2.0)
            }
            None => self.keep(0.0, count, 0.0),
        }
    }

    /// Infinitely wide buckets are kept or dropped as a whole; what is kept is taken to be at the finite end.
    fn custom(&mut self, from: f64, to: f64, count: f64) -> f64 {
        let from = if from == f64::NEG_INFINITY && 0.0 < to && to.is_finite() {
            0.0
        } else {
            from
        };
        if from == f64::NEG_INFINITY && to == f64::INFINITY {
            return self.keep(0.0, count, 0.0);
        }
        if from == f64::NEG_INFINITY {
            let kept = if self.lower == f64::NEG_INFINITY {
                count
            } else {
                0.0
            };
            return self.keep(kept, count, to.min(self.upper));
        }
        if to == f64::INFINITY {
            let kept = if self.upper == f64::INFINITY && self.lower < f64::INFINITY {
                count
            } else {
                0.0
            };
            return self.keep(kept, count, from.max(self.lower));
        }
        match self.overlap(from, to) {
            Some((kept_from, kept_to)) => {
                let share = (kept_to - kept_from) / (to - from);
                self.keep(count * share, count, (kept_from + kept_to) / 2.0)
            }
            None => self.keep(0.0, count, 0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::histogram::Span;

    #[test]
    fn cut_buckets_are_divided() {
        let histogram = FloatHistogram {
            count: 12.0,
            sum: 20.0,
            positive_spans: vec![Span {
                offset: 1,
                length: 2,
            }],
            positive_buckets: vec![4.0, 8.0],
            ..FloatHistogram::default()
        };
        let upper = trimmed(&histogram, 2.0, f64::INFINITY);
        assert_eq!(
            upper.to_string(),
            "{count:8, sum:22.627416997969522, (2,4]:8}"
        );
        let half = trimmed(&histogram, f64::NEG_INFINITY, 2f64.sqrt());
        assert_eq!(half.count, 2.0000000000000004);
        let all = trimmed(&histogram, f64::NEG_INFINITY, 1e9);
        assert_eq!((all.count, all.sum), (12.0, 20.0));
    }
}
