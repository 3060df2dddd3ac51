//! Whether a histogram's buckets fit a chunk's, and which buckets either of them lacks.

use model::histogram::Span;

/// How the buckets of one sign fit together.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// The chunk lacks buckets that the histogram has.
    pub chunk_lacks: bool,
    /// The histogram lacks buckets that the chunk has.
    pub histogram_lacks: bool,
    /// The indices of all buckets, ascending; empty when neither lacks any.
    indices: Vec<i64>,
    /// For each bucket of the chunk, its place among all.
    chunk_places: Vec<usize>,
    /// For each bucket of the histogram, its place among all.
    histogram_places: Vec<usize>,
}

/// Buckets of one sign with absolute counts.
#[derive(Clone, Copy)]
pub struct Side<'a, I> {
    /// Where they are.
    pub spans: &'a [Span],
    /// Their counts, as many as the spans say.
    pub counts: I,
}

impl Fit {
    /// Fits `histogram` to `chunk`; `None` if `accept` refuses the counts of some bucket: in the chunk, in the
    /// histogram, `None` where it is lacking.
    ///
    /// Cost: linear, without allocation if the spans are equal.
    pub fn of<C: Copy>(
        chunk: Side<'_, impl Iterator<Item = C>>,
        histogram: Side<'_, impl Iterator<Item = C>>,
        accept: impl Fn(Option<C>, Option<C>) -> bool,
    ) -> Option<Self> {
        if chunk.spans == histogram.spans {
            let mut pairs = chunk.counts.zip(histogram.counts);
            return pairs
                .all(|(old, new)| accept(Some(old), Some(new)))
                .then(Fit::default);
        }
        let mut fit = Fit::default();
        let mut old = bucket_indices(chunk.spans).zip(chunk.counts).peekable();
        let mut new = bucket_indices(histogram.spans)
            .zip(histogram.counts)
            .peekable();
        loop {
            let index = match (old.peek(), new.peek()) {
                (Some(&(a, _)), Some(&(b, _))) => a.min(b),
                (Some(&(index, _)), None) | (None, Some(&(index, _))) => index,
                (None, None) => return Some(fit.or_nothing()),
            };
            let place = fit.indices.len();
            let in_chunk = old.next_if(|&(i, _)| i == index).map(|(_, count)| count);
            let in_histogram = new.next_if(|&(i, _)| i == index).map(|(_, count)| count);
            if !accept(in_chunk, in_histogram) {
                return None;
            }
            match in_chunk {
                Some(_) => fit.chunk_places.push(place),
                None => fit.chunk_lacks = true,
            }
            match in_histogram {
                Some(_) => fit.histogram_places.push(place),
                None => fit.histogram_lacks = true,
            }
            fit.indices.push(index);
        }
    }

    /// Forgets the places if they are the same on both sides.
    fn or_nothing(self) -> Self {
        if self.chunk_lacks || self.histogram_lacks {
            self
        } else {
            Fit::default()
        }
    }

    /// Returns spans of all buckets, as few as possible.
    pub fn spans(&self) -> Vec<Span> {
        spans_of(self.indices.iter().copied())
    }

    /// Puts the counts of the chunk's buckets among zeros for the lacking ones.
    pub fn widen_chunk<C: Copy + Default>(&self, counts: impl Iterator<Item = C>) -> Vec<C> {
        self.widen(&self.chunk_places, counts)
    }

    /// Puts the counts of the histogram's buckets among zeros for the lacking ones.
    pub fn widen_histogram<C: Copy + Default>(&self, counts: impl Iterator<Item = C>) -> Vec<C> {
        self.widen(&self.histogram_places, counts)
    }

    fn widen<C: Copy + Default>(
        &self,
        places: &[usize],
        counts: impl Iterator<Item = C>,
    ) -> Vec<C> {
        if !self.chunk_lacks && !self.histogram_lacks {
            return counts.collect();
        }
        let mut wide = vec![C::default(); self.indices.len()];
        for (&place, count) in places.iter().zip(counts) {
            wide[place] = count;
        }
        wide
    }
}

/// Returns as few spans as possible with the same buckets.
pub fn merged(spans: &[Span]) -> Vec<Span> {
    spans_of(bucket_indices(spans))
}

fn spans_of(indices: impl Iterator<Item = i64>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut end = 0;
    for index in indices {
        match spans.last_mut() {
            Some(span) if index == end => span.length += 1,
            _ => spans.push(Span {
                offset: i32::try_from(index - end).unwrap_or(i32::MAX),
                length: 1,
            }),
        }
        end = index + 1;
    }
    spans
}

/// Iterates over the indices of the buckets.
fn bucket_indices(spans: &[Span]) -> impl Iterator<Item = i64> {
    let mut next = 0i64;
    spans.iter().flat_map(move |span| {
        let first = next + i64::from(span.offset);
        next = first + i64::from(span.length);
        first..next
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(spans: &[(i32, u32)]) -> Vec<Span> {
        spans
            .iter()
            .map(|&(offset, length)| Span { offset, length })
            .collect()
    }

    fn no_reset(old: Option<i64>, new: Option<i64>) -> bool {
        old.unwrap_or(0) <= new.unwrap_or(0)
    }

    fn fit(old: (&[Span], &[i64]), new: (&[Span], &[i64])) -> Option<Fit> {
        let side = |(spans, counts)| (spans, counts);
        let ((old_spans, old), (new_spans, new)) = (side(old), side(new));
        Fit::of(
            Side {
                spans: old_spans,
                counts: old.iter().copied(),
            },
            Side {
                spans: new_spans,
                counts: new.iter().copied(),
            },
            no_reset,
        )
    }

    #[test]
    fn new_buckets_go_between_the_old_ones() {
        let (old, new) = (spans(&[(0, 2), (2, 1)]), spans(&[(0, 3), (1, 2)]));
        let fit = fit((&old, &[6, 3, 4]), (&new, &[6, 3, 1, 4, 9])).unwrap();
        assert_eq!((fit.chunk_lacks, fit.histogram_lacks), (true, false));
        assert_eq!(fit.widen_chunk([6, 3, 4].into_iter()), [6, 3, 0, 4, 0]);
        assert_eq!(fit.spans(), new);
    }

    #[test]
    fn empty_buckets_may_disappear_and_others_not() {
        let (old, new) = (spans(&[(0, 3)]), spans(&[(0, 1), (1, 2)]));
        let both = fit((&old, &[6, 0, 4]), (&new, &[6, 5, 7])).unwrap();
        assert_eq!((both.chunk_lacks, both.histogram_lacks), (true, true));
        assert_eq!(both.widen_histogram([6, 5, 7].into_iter()), [6, 0, 5, 7]);
        assert_eq!(both.spans(), spans(&[(0, 4)]));
        assert_eq!(fit((&old, &[6, 1, 4]), (&new, &[6, 5, 7])), None);
    }

    #[test]
    fn the_same_buckets_in_other_spans_fit_as_they_are() {
        let (old, new) = (spans(&[(-3, 2), (0, 2)]), spans(&[(-4, 0), (1, 4), (7, 0)]));
        let same = fit((&old, &[1, 1, 1, 1]), (&new, &[1, 1, 1, 2])).unwrap();
        assert_eq!(same, Fit::default());
    }

    #[test]
    fn gaps_are_offsets() {
        let (old, new) = (spans(&[(-9, 1)]), spans(&[(-1, 1), (5, 2)]));
        let fit = fit((&old, &[0]), (&new, &[1, 1, 1])).unwrap();
        assert_eq!(fit.spans(), spans(&[(-9, 1), (7, 1), (5, 2)]));
    }
}
