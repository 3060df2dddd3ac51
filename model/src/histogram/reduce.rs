//! Histograms at a coarser resolution: neighbouring buckets of an exponential schema become one.

use super::{FloatHistogram, Histogram, Span};

impl Histogram {
    /// Goes over to the coarser `schema` by merging buckets. Nothing changes when the schema is not finer than that, or
    /// when spans and buckets do not fit together.
    pub fn reduce_resolution(&mut self, schema: i32) {
        let Some(by) = coarser_by(self.schema, schema) else {
            return;
        };
        let positive = reduced_deltas(&self.positive_spans, &self.positive_deltas, by);
        let negative = reduced_deltas(&self.negative_spans, &self.negative_deltas, by);
        if let (Some(positive), Some(negative)) = (positive, negative) {
            self.schema = schema;
            (self.positive_spans, self.positive_deltas) = positive;
            (self.negative_spans, self.negative_deltas) = negative;
        }
    }
}

impl FloatHistogram {
    /// Goes over to the coarser `schema` by merging buckets; see [`Histogram::reduce_resolution`].
    pub fn reduce_resolution(&mut self, schema: i32) {
        let Some(by) = coarser_by(self.schema, schema) else {
            return;
        };
        let positive = reduced(&self.positive_spans, &self.positive_buckets, by);
        let negative = reduced(&self.negative_spans, &self.negative_buckets, by);
        if let (Some(positive), Some(negative)) = (positive, negative) {
            self.schema = schema;
            (self.positive_spans, self.positive_buckets) = positive;
            (self.negative_spans, self.negative_buckets) = negative;
        }
    }
}

/// Returns how often resolution halves from `from` to `to`; `None` when `to` is not coarser.
fn coarser_by(from: i32, to: i32) -> Option<u32> {
    let by = u32::try_from(from.checked_sub(to)?).ok()?;
    (0 < by).then_some(by.min(31))
}

fn reduced_deltas(spans: &[Span], deltas: &[i64], by: u32) -> Option<(Vec<Span>, Vec<i64>)> {
    let absolute: Vec<i64> = deltas
        .iter()
        .scan(0i64, |count, &delta| {
            *count = count.wrapping_add(delta);
            Some(*count)
        })
        .collect();
    let (spans, mut counts) = reduced(spans, &absolute, by)?;
    let mut before = 0i64;
    for count in &mut counts {
        let delta = count.wrapping_sub(before);
        before = std::mem::replace(count, delta);
    }
    Some((spans, counts))
}

/// Adds up the populations of buckets that fall together.
trait Population: Copy {
    fn plus(self, other: Self) -> Self;
}

impl Population for i64 {
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
}

impl Population for f64 {
    fn plus(self, other: Self) -> Self {
        self + other
    }
}

/// Returns spans and absolute populations at half the resolution, `by` times over; `None` when the spans promise another
/// number of buckets than there are.
///
/// Source: [native histograms, schema](https://prometheus.io/docs/specs/native_histograms/#schema): bucket `i` of a
/// schema lies in bucket `⌈i/2⌉` of the next coarser one.
fn reduced<T: Population>(spans: &[Span], buckets: &[T], by: u32) -> Option<(Vec<Span>, Vec<T>)> {
    let promised = spans.iter().map(|span| u64::from(span.length)).sum::<u64>();
    if promised != buckets.len() as u64 {
        return None;
    }
    let (mut out_spans, mut out): (Vec<Span>, Vec<T>) = (Vec::new(), Vec::new());
    // Where the run being written ends: one past its last bucket.
    let mut end = 0i32;
    let mut index = 0i32;
    let mut next = buckets.iter().copied();
    for span in spans {
        index = index.checked_add(span.offset)?;
        for population in next.by_ref().take(span.length as usize) {
            let target = (index.checked_sub(1)? >> by) + 1;
            match (out_spans.last_mut(), out.last_mut()) {
                (Some(_), Some(last)) if target + 1 == end => *last = last.plus(population),
                (Some(run), _) if target == end => {
                    run.length += 1;
                    end += 1;
                    out.push(population);
                }
                _ => {
                    out_spans.push(Span {
                        offset: target.checked_sub(end)?,
                        length: 1,
                    });
                    end = target.checked_add(1)?;
                    out.push(population);
                }
            }
            index = index.checked_add(1)?;
        }
    }
    Some((out_spans, out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    #[test]
    fn neighbours_become_one() {
        let mut histogram = Histogram {
            schema: 9,
            count: 21,
            positive_spans: vec![span(1, 3), span(1, 3)],
            positive_deltas: vec![1, 1, 1, 1, 1, 1],
            ..Histogram::default()
        };
        // Buckets 1 2 3 . 5 6 7 hold 1 2 3 4 5 6.
        histogram.reduce_resolution(8);
        assert_eq!(histogram.schema, 8);
        assert_eq!(histogram.positive_spans, [span(1, 4)]);
        assert_eq!(histogram.positive_deltas, [3, 0, 6, -3]);
        assert_eq!(histogram.validate(), Ok(()));
    }

    #[test]
    fn what_does_not_fit_together_stays() {
        let mut histogram = Histogram {
            schema: 9,
            positive_spans: vec![span(0, u32::MAX), span(0, u32::MAX)],
            positive_deltas: vec![1],
            ..Histogram::default()
        };
        let before = histogram.clone();
        histogram.reduce_resolution(8);
        assert_eq!(histogram, before);
        histogram.reduce_resolution(10);
        assert_eq!(histogram, before);
    }

    proptest! {
        /// Each population ends in the bucket that covers its own.
        #[test]
        fn agrees_with_a_map(
            spans in prop::collection::vec((0i32..5, 0u32..4), 0..6), first in -40i32..40, by in 1u32..6,
        ) {
            let mut spans: Vec<Span> = spans.into_iter().map(|(offset, length)| span(offset, length)).collect();
            spans.insert(0, span(first, 1));
            let total: u32 = spans.iter().map(|span| span.length).sum();
            let buckets: Vec<f64> = (1..=total).map(f64::from).collect();
            let mut expected = std::collections::BTreeMap::new();
            for (index, population) in super::super::indexed(&spans, &buckets) {
                *expected.entry((index - 1).div_euclid(1 << by) + 1).or_insert(0.0) += population;
            }
            let (spans, buckets) = reduced(&spans, &buckets, by).unwrap();
            let found: Vec<_> = super::super::indexed(&spans, &buckets).collect();
            prop_assert_eq!(found, Vec::from_iter(expected));
        }
    }
}
