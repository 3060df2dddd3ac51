//! Histograms of two intervals as one.

use model::histogram::{SCHEMA_MAX, SCHEMA_MIN, exponential_bound};

use super::{Buckets, Explicit, Exponential};

/// How many exponential buckets of one sign a sum has at most: it gets coarser before it has more.
///
/// Source: the size that OpenTelemetry's SDKs and its delta-to-cumulative processor have by default.
const BUCKETS_MAX: i64 = 160;

impl Explicit {
    /// Adds the observations of `delta`. Those of other bounds cannot be added: the sum starts again with them.
    pub(in crate::otlp) fn add(&mut self, delta: Explicit) {
        if self.bounds != delta.bounds || self.counts.len() != delta.counts.len() {
            *self = delta;
            return;
        }
        self.count = self.count.saturating_add(delta.count);
        self.sum = self.sum.zip(delta.sum).map(|(sum, more)| sum + more);
        for (count, more) in self.counts.iter_mut().zip(&delta.counts) {
            *count = count.saturating_add(*more);
        }
    }

    /// Returns about how many bytes it has beside its own size.
    pub(in crate::otlp) fn bytes(&self) -> usize {
        (self.counts.len() + self.bounds.len()) * size_of::<u64>()
    }
}

impl Exponential {
    /// Makes it as coarse as a sum may be.
    ///
    /// # Errors
    ///
    /// When the buckets are coarser than those of native histograms, or cannot be made so few.
    pub(in crate::otlp) fn fit(&mut self) -> Result<(), String> {
        self.positive.trim();
        self.negative.trim();
        let by = i64::from(self.scale) - i64::from(SCHEMA_MAX);
        self.coarsen(u32::try_from(by).unwrap_or(0))?;
        let is_wide = |buckets: &Buckets| buckets.range().is_some_and(|(a, b)| BUCKETS_MAX < b - a);
        while is_wide(&self.positive) || is_wide(&self.negative) {
            self.coarsen(1)?;
        }
        self.coarsen(0)
    }

    /// Adds the observations of `delta`. Both must fit.
    ///
    /// # Errors
    ///
    /// When the sum would have too many buckets; it is as it was.
    pub(in crate::otlp) fn add(&mut self, mut delta: Exponential) -> Result<(), String> {
        let mut sum = self.clone();
        let finer = |one: &Exponential, other: &Exponential| {
            u32::try_from(i64::from(one.scale) - i64::from(other.scale)).unwrap_or(0)
        };
        sum.coarsen(finer(&sum, &delta))?;
        delta.coarsen(finer(&delta, &sum))?;
        let threshold = sum.zero_threshold.max(delta.zero_threshold);
        let threshold = sum.reach(threshold).max(delta.reach(threshold));
        sum.widen_zero(threshold);
        delta.widen_zero(threshold);
        let is_wide = |one: &Buckets, other: &Buckets| {
            let ranges = one.range().zip(other.range());
            ranges.is_some_and(|((a, b), (c, d))| BUCKETS_MAX < b.max(d) - a.min(c))
        };
        while is_wide(&sum.positive, &delta.positive) || is_wide(&sum.negative, &delta.negative) {
            sum.coarsen(1)?;
            delta.coarsen(1)?;
        }
        sum.positive.add(&delta.positive);
        sum.negative.add(&delta.negative);
        sum.count = sum.count.saturating_add(delta.count);
        sum.zero_count = sum.zero_count.saturating_add(delta.zero_count);
        sum.sum += delta.sum;
        *self = sum;
        Ok(())
    }

    /// Returns about how many bytes it has beside its own size.
    pub(in crate::otlp) fn bytes(&self) -> usize {
        (self.positive.counts.len() + self.negative.counts.len()) * size_of::<u64>()
    }

    /// Halves the resolution `by` times.
    fn coarsen(&mut self, by: u32) -> Result<(), String> {
        let scale = i64::from(self.scale) - i64::from(by);
        self.scale = i32::try_from(scale).unwrap_or(i32::MIN);
        if self.scale < SCHEMA_MIN {
            return Err(format!(
                "the scale would have to be {scale}, below {SCHEMA_MIN}"
            ));
        }
        self.positive.coarsen(by);
        self.negative.coarsen(by);
        Ok(())
    }

    /// Returns the end of the bucket within which `threshold` is; the threshold itself where there is none.
    fn reach(&self, threshold: f64) -> f64 {
        let ends = [&self.positive, &self.negative]
            .into_iter()
            .flat_map(|buckets| {
                let populated = buckets.indexed().filter(|&(_, count)| 0 < count);
                let bounds = populated
                    .map(|(index, _)| (bound(index, self.scale), bound(index + 1, self.scale)));
                bounds.filter(|&(below, end)| below < threshold && threshold < end)
            });
        ends.fold(threshold, |reach, (_, end)| reach.max(end))
    }

    /// Puts what is in buckets below `threshold` into the zero bucket.
    fn widen_zero(&mut self, threshold: f64) {
        if threshold <= self.zero_threshold {
            return;
        }
        self.zero_threshold = threshold;
        for buckets in [&mut self.positive, &mut self.negative] {
            let first = i64::from(buckets.offset);
            for (index, count) in (first..).zip(&mut buckets.counts) {
                if threshold < bound(index + 1, self.scale) {
                    break;
                }
                self.zero_count = self.zero_count.saturating_add(std::mem::take(count));
            }
            buckets.trim();
        }
    }
}

/// Returns where the bucket that begins there begins.
fn bound(index: i64, scale: i32) -> f64 {
    let index = index.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
    exponential_bound(i32::try_from(index).unwrap_or(0), scale)
}

impl Buckets {
    fn indexed(&self) -> impl Iterator<Item = (i64, u64)> {
        (i64::from(self.offset)..).zip(self.counts.iter().copied())
    }

    /// Returns the index of the first bucket and of the one after the last.
    fn range(&self) -> Option<(i64, i64)> {
        let first = i64::from(self.offset);
        let length = i64::try_from(self.counts.len()).unwrap_or(i64::MAX);
        (0 < length).then(|| (first, first.saturating_add(length)))
    }

    /// Leaves out what is empty at either end.
    fn trim(&mut self) {
        let is_populated = |&count: &u64| 0 < count;
        let end = self.counts.iter().rposition(is_populated);
        self.counts.truncate(end.map_or(0, |last| last + 1));
        let first = self.counts.iter().position(is_populated).unwrap_or(0);
        self.counts.drain(..first);
        let offset = i64::from(self.offset) + i64::try_from(first).unwrap_or(0);
        self.offset = i32::try_from(offset).unwrap_or(i32::MAX);
    }

    fn coarsen(&mut self, by: u32) {
        if by == 0 {
            return;
        }
        let shift = by.min(63);
        let coarse = self.indexed().map(|(index, count)| (index >> shift, count));
        let first = i64::from(self.offset) >> shift;
        let mut counts: Vec<u64> = Vec::new();
        for (index, count) in coarse {
            // Neighbours stay neighbours, so at most one bucket is new.
            let slot = usize::try_from(index - first).unwrap_or(0);
            counts.resize(counts.len().max(slot + 1), 0);
            counts[slot] = counts[slot].saturating_add(count);
        }
        self.offset = i32::try_from(first).unwrap_or(0);
        self.counts = counts;
    }

    /// Adds buckets of the same scale; both together must not be wide.
    fn add(&mut self, other: &Buckets) {
        let Some((first, end)) = other.range() else {
            return;
        };
        let (first, end) = match self.range() {
            Some((a, b)) => (first.min(a), end.max(b)),
            None => (first, end),
        };
        let mut counts = vec![0u64; usize::try_from(end - first).unwrap_or(0)];
        for (index, count) in self.indexed().chain(other.indexed()) {
            let slot = usize::try_from(index - first).unwrap_or(0);
            counts[slot] = counts[slot].saturating_add(count);
        }
        self.offset = i32::try_from(first).unwrap_or(0);
        self.counts = counts;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn histogram(scale: i32, zero_threshold: f64, offset: i32, counts: &[u64]) -> Exponential {
        Exponential {
            scale,
            count: counts.iter().sum::<u64>() + 1,
            sum: 2.0,
            zero_count: 1,
            zero_threshold,
            positive: Buckets {
                offset,
                counts: counts.to_vec(),
            },
            negative: Buckets::default(),
        }
    }

    #[track_caller]
    fn check(mut sum: Exponential, delta: Exponential, expected: (i32, f64, u64, i32, &[u64])) {
        sum.fit().unwrap();
        let mut delta = delta;
        delta.fit().unwrap();
        sum.add(delta).unwrap();
        let positive = &sum.positive;
        let found = (
            sum.scale,
            sum.zero_threshold,
            sum.zero_count,
            positive.offset,
            &positive.counts[..],
        );
        assert_eq!(found, expected);
    }

    #[test]
    fn exponential_histograms() {
        // Side by side, with a gap.
        check(
            histogram(0, 0.0, 1, &[1, 2]),
            histogram(0, 0.0, 4, &[5]),
            (0, 0.0, 2, 1, &[1, 2, 0, 5]),
        );
        // One is finer: buckets 2 and 3 of scale 1 are bucket 1 of scale 0.
        check(
            histogram(1, 0.0, 2, &[1, 2, 4]),
            histogram(0, 0.0, 1, &[8]),
            (0, 0.0, 2, 1, &[11, 4]),
        );
        // A wider zero bucket ends within (2, 4], and takes that and what is below.
        check(
            histogram(0, 0.0, 0, &[1, 2, 4]),
            histogram(0, 3.0, 2, &[8]),
            (0, 4.0, 5, 2, &[12]),
        );
        // Empty ends do not count.
        check(
            histogram(3, 0.0, -5, &[0, 0, 1, 0]),
            histogram(3, 0.0, 0, &[0, 0]),
            (3, 0.0, 2, -3, &[1]),
        );
        // Finer than there are.
        check(
            histogram(10, 0.0, 4, &[1, 1, 1, 1]),
            histogram(8, 0.0, 1, &[1]),
            (8, 0.0, 2, 1, &[5]),
        );
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let mut sum = histogram(8, 0.0, 0, &[1]);
        sum.add(histogram(8, 0.0, 159, &[1])).unwrap();
        assert_eq!((sum.scale, sum.positive.counts.len()), (8, 160));
        sum.add(histogram(8, 0.0, 160, &[1])).unwrap();
        assert_eq!((sum.scale, sum.positive.counts.len()), (7, 81));
        let before = sum.clone();
        let why = sum.add(histogram(-4, 0.0, i32::MAX, &[1])).unwrap_err();
        assert_eq!(why, "the scale would have to be -5, below -4");
        assert_eq!((sum.scale, sum.count), (before.scale, before.count));
        let mut wide = histogram(20, 0.0, i32::MIN, &vec![1; 1_000]);
        wide.fit().unwrap();
        assert!(wide.positive.counts.len() <= 160);
        assert!(histogram(-5, 0.0, 0, &[1]).fit().is_err());
    }

    #[test]
    fn explicit_histograms() {
        let one = |bound: f64, sum: Option<f64>| Explicit {
            count: 3,
            sum,
            counts: vec![1, 2],
            bounds: vec![bound],
        };
        let mut sum = one(1.0, Some(2.0));
        sum.add(one(1.0, Some(3.0)));
        assert_eq!(
            (sum.count, sum.sum, &sum.counts[..]),
            (6, Some(5.0), &[2, 4][..])
        );
        sum.add(one(1.0, None));
        assert_eq!((sum.count, sum.sum), (9, None));
        sum.add(one(7.0, Some(1.0)));
        assert_eq!(
            (sum.count, sum.sum, &sum.counts[..]),
            (3, Some(1.0), &[1, 2][..])
        );
    }

    proptest! {
        /// Whatever is added to whatever, no observation is lost and nothing panics.
        #[test]
        fn observations_stay(
            parts in prop::collection::vec((-6i32..30, 0.0f64..3.0, any::<i32>(), prop::collection::vec(0u64..9, 0..300)), 1..6)
        ) {
            let mut sum = Exponential { scale: 8, ..Exponential::default() };
            let mut expected = 0;
            for (scale, threshold, offset, counts) in parts {
                let mut delta = histogram(scale, threshold, offset / 1_000_000, &counts);
                let all = delta.count;
                if delta.fit().is_ok() && sum.add(delta).is_ok() {
                    expected += all;
                }
            }
            let counted: u64 = sum.positive.counts.iter().sum::<u64>() + sum.zero_count;
            prop_assert_eq!((sum.count, counted), (expected, expected));
        }
    }
}
