//! Quantiles and fractions of classic histograms.

use model::float::format_general;

use crate::numeric::almost_equal;

/// One bucket of a classic histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    /// Its upper bound, inclusive.
    pub(super) upper: f64,
    /// Observations up to there.
    pub(super) count: f64,
}

/// Differences up to this, relative, are rounding errors and not worth a word.
const TOLERANCE: f64 = 1e-12;

/// What had to be changed so that the counts do not fall.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Repair {
    lowest: f64,
    highest: f64,
    difference: f64,
    samples: usize,
    first: i64,
    last: i64,
}

impl Repair {
    /// Adds what was repaired at time `t`.
    pub(super) fn merge(&mut self, other: &Repair, t: i64) {
        if self.samples == 0 {
            *self = Repair {
                samples: 1,
                first: t,
                last: t,
                ..*other
            };
            return;
        }
        self.lowest = self.lowest.min(other.lowest);
        self.highest = self.highest.max(other.highest);
        self.difference = self.difference.max(other.difference);
        self.samples += 1;
        self.first = self.first.min(t);
        self.last = self.last.max(t);
    }

    /// Returns the text of the info; `of_metric` names the metric.
    pub(super) fn describe(&self, of_metric: &str) -> String {
        format!(
            "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){of_metric}, from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
            format_general(self.lowest),
            format_general(self.highest),
            format_general(self.difference),
            self.samples,
            at(self.first),
            at(self.last),
        )
    }
}

/// A time as people read it.
fn at(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.to_string())
}

/// Sorts buckets, merges those with equal bounds; returns whether the last one is open, as it must be.
fn normalize(buckets: &mut Vec<Bucket>) -> bool {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    let is_open = buckets
        .last()
        .is_some_and(|last| last.upper == f64::INFINITY);
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
    is_open
}

/// Makes counts ascend.
fn repair(buckets: &mut [Bucket]) -> Option<Repair> {
    let mut repaired: Option<Repair> = None;
    let mut before = buckets[0].count;
    for bucket in &mut buckets[1..] {
        if bucket.count == before {
            continue;
        }
        if almost_equal(before, bucket.count, TOLERANCE) {
            bucket.count = before;
        } else if bucket.count < before {
            let difference = before - bucket.count;
            let found = repaired.get_or_insert(Repair {
                lowest: bucket.upper,
                ..Repair::default()
            });
            found.highest = bucket.upper;
            found.difference = found.difference.max(difference);
            bucket.count = before;
        } else {
            before = bucket.count;
        }
    }
    repaired
}

/// Returns the `q`-quantile, interpolated linearly within its bucket, and what had to be repaired.
pub(super) fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Repair>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if 1.0 < q {
        return (f64::INFINITY, None);
    }
    if !normalize(buckets) {
        return (f64::NAN, None);
    }
    let repaired = repair(buckets);
    if buckets.len() < 2 {
        return (f64::NAN, repaired);
    }
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if observations == 0.0 {
        return (f64::NAN, repaired);
    }
    let mut rank = q * observations;
    let at = buckets[..last]
        .iter()
        .position(|bucket| rank <= bucket.count)
        .unwrap_or(last);
    if at == last {
        return (buckets[last - 1].upper, repaired);
    }
    if at == 0 && buckets[0].upper <= 0.0 {
        return (buckets[0].upper, repaired);
    }
    let (mut start, mut count) = (0.0, buckets[at].count);
    if 0 < at {
        start = buckets[at - 1].upper;
        count -= buckets[at - 1].count;
        rank -= buckets[at - 1].count;
    }
    (
        start + (buckets[at].upper - start) * (rank / count),
        repaired,
    )
}

/// Returns the share of observations between `lower` and `upper`, interpolated linearly.
pub(super) fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if !normalize(buckets) {
        return f64::NAN;
    }
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if upper <= lower {
        return 0.0;
    }
    (rank_of(upper, buckets).min(count) - rank_of(lower, buckets).min(count)) / count
}

/// Observations up to `value`.
fn rank_of(value: f64, buckets: &[Bucket]) -> f64 {
    let mut rank = 0.0;
    let mut start = if 0.0 < buckets[0].upper {
        0.0
    } else {
        f64::NEG_INFINITY
    };
    for bucket in buckets {
        if value <= start {
            return rank;
        }
        if value < bucket.upper {
            // An infinitely wide bucket cannot be divided: all of it is below any number.
            if start.is_infinite() {
                return bucket.count;
            }
            return rank + (bucket.count - rank) * (value - start) / (bucket.upper - start);
        }
        rank = bucket.count;
        start = bucket.upper;
    }
    rank
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(q: f64, buckets: &[(f64, f64)], expected: f64) {
        let mut buckets = buckets
            .iter()
            .map(|&(upper, count)| Bucket { upper, count })
            .collect();
        let (found, _) = quantile(q, &mut buckets);
        assert!(almost_equal(found, expected, 1e-12), "{found}");
    }

    #[test]
    fn quantiles() {
        let buckets = [(1.0, 10.0), (2.0, 30.0), (f64::INFINITY, 40.0)];
        check(0.5, &buckets, 1.5);
        check(0.125, &buckets, 0.5);
        check(0.9, &buckets, 2.0);
        check(0.5, &buckets[..2], f64::NAN);
        check(0.5, &[(f64::INFINITY, 3.0)], f64::NAN);
        check(2.0, &buckets, f64::INFINITY);
    }

    #[test]
    fn falling_counts_are_repaired() {
        let mut buckets = vec![
            Bucket {
                upper: 1.0,
                count: 10.0,
            },
            Bucket {
                upper: 2.0,
                count: 5.0,
            },
            Bucket {
                upper: f64::INFINITY,
                count: 20.0,
            },
        ];
        let (value, repair) = quantile(0.5, &mut buckets);
        assert_eq!(value, 1.0);
        assert_eq!(repair.map(|repair| repair.difference), Some(5.0));
    }

    #[test]
    fn fractions() {
        let mut buckets = vec![
            Bucket {
                upper: 1.0,
                count: 10.0,
            },
            Bucket {
                upper: 2.0,
                count: 30.0,
            },
            Bucket {
                upper: f64::INFINITY,
                count: 40.0,
            },
        ];
        assert_eq!(fraction(0.5, 1.5, &mut buckets), 0.375);
        assert_eq!(
            fraction(f64::NEG_INFINITY, f64::INFINITY, &mut buckets),
            1.0
        );
    }
}
