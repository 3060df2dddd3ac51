//! What a counter has counted since an earlier state of it.

use super::{FloatHistogram, Histogram, Span, indexed};
use crate::histogram::ResetHint;

impl FloatHistogram {
    /// Returns what was observed after `before`, in the layout of `self`; `None` if the counter started again in between.
    ///
    /// It did when the hint says so, when anything that only grows has shrunk, when the resolution became finer or the zero
    /// bucket narrower, when the zero bucket ends within a bucket that had observations, and when custom bounds are others.
    ///
    /// * `before`: an earlier state of the same counter.
    ///
    /// Cost: O(buckets of both).
    ///
    /// Source: [native histograms, counter resets](https://prometheus.io/docs/specs/native_histograms/#counter-resets). There
    /// bounds may become fewer, here that is a reset.
    pub fn since(&self, before: &FloatHistogram) -> Option<FloatHistogram> {
        let is_custom = self.has_custom_buckets();
        if self.reset_hint == ResetHint::CounterReset
            || self.count < before.count
            || is_custom != before.has_custom_buckets()
            || self.custom_bounds != before.custom_bounds
        {
            return None;
        }
        let reduced;
        let before = match is_custom || self.schema == before.schema {
            true => before,
            false if self.schema < before.schema => {
                let mut coarser = before.clone();
                coarser.reduce_resolution(self.schema);
                reduced = coarser;
                &reduced
            }
            false => return None,
        };
        let mut zero = Zero {
            count: before.zero_count,
            wider: match before.zero_threshold.total_cmp(&self.zero_threshold) {
                std::cmp::Ordering::Less => Some(self.zero_threshold),
                std::cmp::Ordering::Equal => None,
                std::cmp::Ordering::Greater => return None,
            },
        };
        let positive = zero.take(before, &before.positive_spans, &before.positive_buckets)?;
        let negative = zero.take(before, &before.negative_spans, &before.negative_buckets)?;
        if self.zero_count < zero.count {
            return None;
        }
        Some(FloatHistogram {
            zero_count: self.zero_count - zero.count,
            count: self.count - before.count,
            sum: self.sum - before.sum,
            positive_buckets: grown(&self.positive_spans, &self.positive_buckets, positive)?,
            negative_buckets: grown(&self.negative_spans, &self.negative_buckets, negative)?,
            ..self.clone()
        })
    }
}

impl Histogram {
    /// Returns what was observed after `before`; see [`FloatHistogram::since`]. Counts beyond 2^53 are rounded.
    pub fn since(&self, before: &Histogram) -> Option<Histogram> {
        let grown = self.to_float().since(&before.to_float())?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "differences of integers, none of them negative"
        )]
        let (zero_count, count) = (grown.zero_count as u64, grown.count as u64);
        Some(Histogram {
            zero_count,
            count,
            sum: grown.sum,
            positive_deltas: deltas(&grown.positive_buckets),
            negative_deltas: deltas(&grown.negative_buckets),
            ..self.clone()
        })
    }
}

/// The zero bucket of an older histogram, on its way to that of a newer one.
struct Zero {
    count: f64,
    /// The newer threshold, if it is larger: buckets below it are taken in.
    wider: Option<f64>,
}

impl Zero {
    /// Returns the buckets of one side by their index, those apart that are taken in; `None` if the threshold is within one.
    fn take(
        &mut self,
        histogram: &FloatHistogram,
        spans: &[Span],
        buckets: &[f64],
    ) -> Option<Vec<(i32, f64)>> {
        let mut kept = Vec::with_capacity(buckets.len());
        for (index, count) in indexed(spans, buckets).filter(|(_, count)| *count != 0.0) {
            match self.wider {
                Some(threshold) if histogram.bound(index) <= threshold => self.count += count,
                Some(threshold) if histogram.bound(index.saturating_sub(1)) < threshold => {
                    return None;
                }
                _ => kept.push((index, count)),
            }
        }
        Some(kept)
    }
}

/// Returns by how much each bucket grew; `None` if one shrank or is gone.
fn grown(spans: &[Span], buckets: &[f64], before: Vec<(i32, f64)>) -> Option<Vec<f64>> {
    let mut before = before.into_iter().peekable();
    let grown = indexed(spans, buckets).map(|(index, count)| {
        let was = before.next_if(|(older, _)| *older == index);
        let was = was.map_or(0.0, |(_, was)| was);
        (was <= count).then_some(count - was)
    });
    let grown = grown.collect::<Option<Vec<_>>>()?;
    before.next().is_none().then_some(grown)
}

fn deltas(buckets: &[f64]) -> Vec<i64> {
    let mut before = 0;
    let deltas = buckets.iter().map(|&count| {
        #[expect(clippy::cast_possible_truncation, reason = "a difference of integers")]
        let count = count as i64;
        let delta = count.wrapping_sub(before);
        before = count;
        delta
    });
    deltas.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    fn counter() -> FloatHistogram {
        FloatHistogram {
            schema: 1,
            zero_threshold: 0.5,
            zero_count: 1.0,
            count: 10.0,
            sum: 20.0,
            positive_spans: vec![span(1, 2), span(1, 1)],
            positive_buckets: vec![2.0, 0.0, 3.0],
            negative_spans: vec![span(1, 1)],
            negative_buckets: vec![4.0],
            ..FloatHistogram::default()
        }
    }

    #[track_caller]
    fn check_reset(change: impl Fn(&mut FloatHistogram)) {
        let mut now = counter();
        change(&mut now);
        assert_eq!(now.since(&counter()), None);
    }

    #[test]
    fn what_is_new_has_the_newer_layout() {
        // Another bucket at its start, and one that was empty is gone.
        let now = FloatHistogram {
            zero_count: 2.0,
            count: 16.0,
            sum: 25.0,
            positive_spans: vec![span(0, 2), span(2, 1)],
            positive_buckets: vec![1.0, 2.0, 5.0],
            negative_buckets: vec![6.0],
            ..counter()
        };
        let expected = FloatHistogram {
            zero_count: 1.0,
            count: 6.0,
            sum: 5.0,
            positive_buckets: vec![1.0, 0.0, 2.0],
            negative_buckets: vec![2.0],
            ..now.clone()
        };
        assert_eq!(now.since(&counter()), Some(expected));
    }

    #[test]
    fn resets() {
        check_reset(|now| now.count = 9.0);
        check_reset(|now| now.zero_count = 0.0);
        check_reset(|now| now.positive_buckets[2] = 2.0);
        check_reset(|now| now.negative_buckets[0] = f64::NAN);
        check_reset(|now| now.positive_spans[0].offset = 2);
        check_reset(|now| now.schema = 2);
        check_reset(|now| now.zero_threshold = 0.25);
        check_reset(|now| now.reset_hint = ResetHint::CounterReset);
        check_reset(|now| now.schema = crate::histogram::CUSTOM_BUCKETS_SCHEMA);
        // Within the first bucket, which ends at the root of two.
        check_reset(|now| now.zero_threshold = 1.2);
    }

    #[test]
    fn resolution_may_become_coarser_and_the_zero_bucket_wider() {
        // At schema 0 the buckets 1 and 4 are the buckets 1 and 2, the first of which ends at 2.
        let now = FloatHistogram {
            schema: 0,
            count: 11.0,
            positive_spans: vec![span(1, 2)],
            positive_buckets: vec![2.0, 4.0],
            ..counter()
        };
        let since = now.since(&counter()).unwrap();
        assert_eq!(since.positive_buckets, [0.0, 1.0]);
        let now = FloatHistogram {
            zero_threshold: 2.0,
            zero_count: 8.0,
            count: 11.0,
            positive_spans: vec![span(4, 1)],
            positive_buckets: vec![3.0],
            negative_spans: Vec::new(),
            negative_buckets: Vec::new(),
            ..counter()
        };
        let since = now.since(&counter()).unwrap();
        assert_eq!((since.zero_count, since.positive_buckets), (1.0, vec![0.0]));
    }

    proptest! {
        /// What was added to a state is what is new since then.
        #[test]
        fn agrees_with_what_was_added(
            before in prop::collection::vec(0u32..100, 6), added in prop::collection::vec(0u32..100, 6),
        ) {
            let of = |counts: &[u32]| Histogram {
                zero_count: counts[0].into(),
                count: counts.iter().map(|&count| u64::from(count)).sum(),
                sum: counts.iter().map(|&count| f64::from(count)).sum(),
                positive_spans: vec![span(-2, 2), span(3, 1)],
                positive_deltas: deltas(&Vec::from_iter(counts[1..4].iter().map(|&count| f64::from(count)))),
                negative_spans: vec![span(5, 2)],
                negative_deltas: deltas(&Vec::from_iter(counts[4..].iter().map(|&count| f64::from(count)))),
                ..Histogram::default()
            };
            let sum: Vec<u32> = before.iter().zip(&added).map(|(a, b)| a + b).collect();
            prop_assert_eq!(of(&sum).since(&of(&before)), Some(of(&added)));
            let is_same = added.iter().all(|&count| count == 0);
            prop_assert_eq!(of(&before).since(&of(&sum)).is_some(), is_same);
        }
    }
}
