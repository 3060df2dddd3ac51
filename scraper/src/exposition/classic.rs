//! Classic histograms as native ones with custom buckets: the bounds stay what they are, the series become one.
//!
//! Source: [native histograms, custom buckets](https://prometheus.io/docs/specs/native_histograms/#schema) and, for what
//! is missing or contradicts itself, what Prometheus makes of it.

use std::sync::Arc;

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, Span};
use model::storage::HistogramSample;

/// How many empty buckets in a row are written out rather than skipped by a span.
const EMPTY_MAX: usize = 2;

/// The series of one classic histogram, as they come in.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClassicHistogram {
    /// Upper bound and observations up to it.
    buckets: Vec<(f64, f64)>,
    sum: f64,
    count: Option<f64>,
}

impl ClassicHistogram {
    /// Forgets what came, and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.buckets.clear();
        self.sum = 0.0;
        self.count = None;
    }

    /// Adds a bucket; of two of one bound the first counts.
    pub(crate) fn bucket(&mut self, bound: f64, count: f64) {
        self.buckets.push((bound, count));
    }

    pub(crate) fn sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    pub(crate) fn count(&mut self, count: f64) {
        self.count = Some(count);
    }

    /// Returns the native histogram, with integer counts if all of them are; `None` when the counts contradict each
    /// other. What was added may be in another order then.
    pub(crate) fn convert(&mut self) -> Option<HistogramSample> {
        let buckets = &mut self.buckets;
        if !buckets.is_sorted_by(|a, b| a.0 < b.0) {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            buckets.dedup_by(|later, first| later.0 == first.0);
        }
        let highest = buckets.last().map_or(0.0, |&(_, count)| count);
        let has_infinite = buckets
            .last()
            .is_some_and(|&(bound, _)| bound == f64::INFINITY);
        let count = self.count.unwrap_or(highest);
        if !has_infinite {
            buckets.push((f64::INFINITY, count));
        }
        let mut below = 0.0;
        for &(bound, count) in buckets.iter() {
            // Of NaN none of this is true.
            let is_valid = -f64::INFINITY < bound && below <= count && count.is_finite();
            if !is_valid {
                return None;
            }
            below = count;
        }
        if below != count {
            return None;
        }
        let is_integer = buckets.iter().all(|&(_, count)| is_whole(count));
        Some(if is_integer {
            self.integer(count)
        } else {
            self.float(count)
        })
    }

    fn integer(&self, count: f64) -> HistogramSample {
        let (positive_spans, populations) = self.populated();
        let mut before = 0;
        let deltas = populations.into_iter().map(|population| {
            let population = whole(population);
            let delta = population - before;
            before = population;
            delta
        });
        HistogramSample::Integer(Arc::new(Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: whole(count).unsigned_abs(),
            sum: self.sum,
            positive_deltas: deltas.collect(),
            positive_spans,
            custom_bounds: self.bounds(),
            ..Histogram::default()
        }))
    }

    fn float(&self, count: f64) -> HistogramSample {
        let (positive_spans, positive_buckets) = self.populated();
        HistogramSample::Float(Arc::new(FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans,
            positive_buckets,
            custom_bounds: self.bounds(),
            ..FloatHistogram::default()
        }))
    }

    /// Returns the upper bounds but for the infinite one.
    fn bounds(&self) -> Vec<f64> {
        let finite = self.buckets.iter().map(|&(bound, _)| bound);
        finite.take(self.buckets.len() - 1).collect()
    }

    /// Returns spans and populations without the empty buckets that no others are near.
    fn populated(&self) -> (Vec<Span>, Vec<f64>) {
        let (mut spans, mut populations): (Vec<Span>, Vec<f64>) = Default::default();
        let mut below = 0.0;
        let mut empty = 0;
        for &(_, count) in &self.buckets {
            let population = count - below;
            below = count;
            if population == 0.0 {
                empty += 1;
                continue;
            }
            let skipped = u32::try_from(empty).unwrap_or(u32::MAX);
            match spans.last_mut() {
                Some(span) if empty <= EMPTY_MAX => {
                    populations.resize(populations.len() + empty, 0.0);
                    span.length += skipped + 1;
                }
                _ => spans.push(Span {
                    offset: i32::try_from(empty).unwrap_or(i32::MAX),
                    length: 1,
                }),
            }
            populations.push(population);
            empty = 0;
        }
        (spans, populations)
    }
}

/// Returns whether an integer histogram can have the count.
fn is_whole(count: f64) -> bool {
    count.fract() == 0.0 && count < 2f64.powi(53)
}

#[expect(clippy::cast_possible_truncation, reason = "see `is_whole`")]
fn whole(count: f64) -> i64 {
    count as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn histogram(buckets: &[(f64, f64)], sum: f64, count: Option<f64>) -> ClassicHistogram {
        let buckets = buckets.to_vec();
        ClassicHistogram {
            buckets,
            sum,
            count,
        }
    }

    #[track_caller]
    fn check(mut classic: ClassicHistogram, expected: Option<&str>) {
        let printed = classic.convert().map(|sample| match sample {
            HistogramSample::Integer(histogram) => {
                assert_eq!(histogram.validate(), Ok(()));
                histogram.to_float().to_string()
            }
            HistogramSample::Float(histogram) => {
                assert_eq!(histogram.validate(), Ok(()));
                format!("float {histogram}")
            }
        });
        assert_eq!(printed.as_deref(), expected);
    }

    const INF: f64 = f64::INFINITY;

    #[test]
    fn whole_histograms() {
        let buckets = [(1.0, 2.0), (5.0, 2.0), (INF, 7.0)];
        let expected = Some("{count:7, sum:9, [-Inf,1]:2, (5,+Inf]:5}");
        check(histogram(&buckets, 9.0, Some(7.0)), expected);
        let mut reversed = buckets;
        reversed.reverse();
        check(histogram(&reversed, 9.0, None), expected);
        let expected = Some("float {count:2.5, sum:0, [-Inf,1]:0.5, (1,+Inf]:2}");
        check(
            histogram(&[(1.0, 0.5), (INF, 2.5)], 0.0, Some(2.5)),
            expected,
        );
    }

    #[test]
    fn what_is_missing_follows_from_the_rest() {
        check(
            histogram(&[(1.0, 2.0)], 0.0, Some(3.0)),
            Some("{count:3, sum:0, [-Inf,1]:2, (1,+Inf]:1}"),
        );
        check(
            histogram(&[(1.0, 2.0)], 0.0, None),
            Some("{count:2, sum:0, [-Inf,1]:2}"),
        );
        check(
            histogram(&[], 1.0, Some(3.0)),
            Some("{count:3, sum:1, [-Inf,+Inf]:3}"),
        );
    }

    #[test]
    fn contradictions() {
        check(histogram(&[(1.0, 2.0), (INF, 1.0)], 0.0, None), None);
        check(histogram(&[(1.0, 2.0), (INF, 3.0)], 0.0, Some(4.0)), None);
        check(histogram(&[(1.0, -2.0), (INF, 3.0)], 0.0, None), None);
        check(histogram(&[(1.0, f64::NAN), (INF, 3.0)], 0.0, None), None);
        check(histogram(&[(f64::NAN, 3.0)], 0.0, None), None);
        check(histogram(&[(-INF, 3.0)], 0.0, None), None);
    }

    #[test]
    fn long_gaps_are_skipped() {
        let buckets: Vec<_> = (0..6)
            .map(|i| (f64::from(i), if i < 5 { 1.0 } else { 2.0 }))
            .collect();
        let mut classic = histogram(&buckets, 0.0, Some(2.0));
        let Some(HistogramSample::Integer(histogram)) = classic.convert() else {
            panic!()
        };
        let spans = [
            Span {
                offset: 0,
                length: 1,
            },
            Span {
                offset: 4,
                length: 1,
            },
        ];
        assert_eq!(histogram.positive_spans, spans);
        assert_eq!(histogram.custom_bounds.len(), 6);
    }

    proptest! {
        /// Every bucket's observations are found again under its bound.
        #[test]
        fn populations_stay(populations in prop::collection::vec(0u32..4, 1..20)) {
            let mut sum = 0.0;
            let cumulative = populations.iter().enumerate().map(|(i, &n)| { sum += f64::from(n); (i as f64, sum) });
            let mut classic = ClassicHistogram { buckets: cumulative.collect(), sum: 1.0, count: None };
            let Some(HistogramSample::Integer(found)) = classic.convert() else { panic!() };
            prop_assert_eq!(found.validate(), Ok(()));
            let found: Vec<_> = found.to_float().buckets().iter().map(|b| (b.upper, b.count)).collect();
            let expected: Vec<_> = populations.iter().enumerate()
                .filter(|&(_, &n)| n != 0).map(|(i, &n)| (i as f64, f64::from(n))).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
