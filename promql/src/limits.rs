//! What a query may use: samples and bytes held at once, and time.

mod bytes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use model::FloatHistogram;

use crate::error::QueryError;
use crate::operator::parallel::{worker, workers};
use crate::row::{Bits, Counts, Row, Steps};
use crate::value::QueryStats;
use bytes::{Bytes, raise};
pub(crate) use bytes::{Pool, histogram_bytes};

/// Work between two looks at the clock, in samples or steps: a few milliseconds.
const WORK_PER_LOOK: u64 = 1 << 20;

/// The work that one more series is, whatever is in it.
const WORK_PER_SERIES: usize = 1 << 14;

/// Returns how many samples a histogram counts for: what it takes in Prometheus in memory, its time included, in pieces of
/// the size of a float sample.
///
/// Source: Prometheus `HPoint.size` and `FloatHistogram.Size`.
pub(crate) fn samples_of(histogram: &FloatHistogram) -> usize {
    /// The structure and the time, without what its slices hold.
    const FIXED_BYTES: usize = 168 + 8;
    /// Spans, buckets and bounds are all as large as a float.
    const ITEM_BYTES: usize = 8;
    const FLOAT_SAMPLE_BYTES: usize = 16;

    let spans = histogram.positive_spans.len() + histogram.negative_spans.len();
    let buckets = histogram.positive_buckets.len() + histogram.negative_buckets.len();
    let items = spans + buckets + histogram.custom_bounds.len();
    (FIXED_BYTES + items * ITEM_BYTES) / FLOAT_SAMPLE_BYTES
}

/// Returns how many samples `count` samples count for of which these are histograms.
pub(crate) fn weighed(count: usize, histograms: &[(usize, Arc<FloatHistogram>)]) -> usize {
    let more = histograms.iter().map(|(_, h)| samples_of(h) - 1);
    count + more.sum::<usize>()
}

/// What one query is given.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Samples held at once.
    pub(crate) samples_max: usize,
    /// Bytes held at once; 0 is no limit.
    pub(crate) bytes_max: usize,
    /// The bytes of all queries.
    pub(crate) pool: Arc<Pool>,
    /// From now on.
    pub(crate) timeout: Duration,
    /// Whether the caller gave up.
    pub(crate) cancel: Option<Arc<AtomicBool>>,
    /// How many steps the query has.
    pub(crate) steps: usize,
    /// Whether samples are counted per step.
    pub(crate) counts_steps: bool,
}

/// The account of one query.
///
/// At a limit the query fails with [`QueryError::TooManySamples`], [`QueryError::TooManyBytes`],
/// [`QueryError::TooManyBytesTogether`], [`QueryError::Timeout`] or [`QueryError::Canceled`]; nothing else is affected.
///
/// Bytes are those of samples, of the buckets of histograms and of the labels that selectors found. An estimate: buffers
/// are larger than what is in them, and histograms that several operators hold count for each.
#[derive(Debug)]
pub(crate) struct Budget {
    samples_max: usize,
    held: AtomicUsize,
    peak: AtomicUsize,
    bytes: Bytes,
    tallies: Box<[Tally]>,
    /// Of each step of the query, if that is wanted.
    seen_per_step: Option<Vec<AtomicU64>>,
    /// How many steps the query has.
    steps: usize,
    deadline: Option<Instant>,
    cancel: Option<Arc<AtomicBool>>,
}

/// What one thread of the pool counts, or all others together; in a place of its own in the cache, as each series is counted
/// several times.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Tally {
    seen: AtomicU64,
    worked: AtomicU64,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        let Limits {
            samples_max,
            bytes_max,
            pool,
            timeout,
            cancel,
            steps,
            counts_steps,
        } = limits;
        let seen_per_step = counts_steps.then(|| (0..steps).map(|_| AtomicU64::new(0)).collect());
        Budget {
            samples_max,
            seen_per_step,
            steps,
            held: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            bytes: Bytes::new(pool, bytes_max),
            tallies: (0..=workers()).map(|_| Tally::default()).collect(),
            deadline: Instant::now().checked_add(timeout),
            cancel,
        }
    }

    /// The same account with nothing counted yet; time goes on.
    pub(crate) fn cleared(self) -> Self {
        let zeros = |counts: Vec<AtomicU64>| counts.iter().map(|_| AtomicU64::new(0)).collect();
        Budget {
            held: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            bytes: self.bytes.cleared(),
            tallies: self.tallies.iter().map(|_| Tally::default()).collect(),
            seen_per_step: self.seen_per_step.map(zeros),
            ..self
        }
    }

    /// The account of a query of three steps, for tests.
    #[cfg(test)]
    pub(crate) fn of_samples(samples_max: usize, cancel: Option<Arc<AtomicBool>>) -> Self {
        Budget::new(Limits {
            samples_max,
            bytes_max: 0,
            pool: Pool::new(0, &metrics::Registry::new()),
            timeout: Duration::from_secs(3600),
            cancel,
            steps: 3,
            counts_steps: true,
        })
    }

    /// Counts `samples` more as held.
    pub(crate) fn hold(&self, samples: usize) -> Result<(), QueryError> {
        let held = self
            .held
            .fetch_add(samples, Relaxed)
            .saturating_add(samples);
        raise(&self.peak, held);
        if self.samples_max < held {
            return Err(QueryError::TooManySamples {
                limit: self.samples_max,
            });
        }
        self.bytes.check(held)
    }

    /// Counts `samples` as held in place of the `held` of before, mostly as many.
    pub(crate) fn hold_instead(&self, held: &mut usize, samples: usize) -> Result<(), QueryError> {
        let before = std::mem::replace(held, samples);
        if before < samples {
            return self.hold(samples - before);
        }
        if samples < before {
            self.release(before - samples);
        }
        Ok(())
    }

    /// Counts `bytes` more as held, beside those of samples.
    pub(crate) fn hold_bytes(&self, bytes: usize) -> Result<(), QueryError> {
        self.bytes.hold(bytes, self.held.load(Relaxed))
    }

    /// Counts `bytes` of [`hold_bytes`](Budget::hold_bytes) as given back.
    pub(crate) fn release_bytes(&self, bytes: usize) {
        if 0 < bytes {
            self.bytes.release(bytes);
        }
    }

    /// Counts the buckets of `histograms` as held; returns how many bytes these are.
    pub(crate) fn hold_histograms(
        &self,
        histograms: &[(usize, Arc<FloatHistogram>)],
    ) -> Result<usize, QueryError> {
        let bytes = histograms.iter().map(|(_, h)| histogram_bytes(h)).sum();
        if 0 < bytes {
            self.hold_bytes(bytes)?;
        }
        Ok(bytes)
    }

    /// Fails when a column of `samples` is more than a query may ever hold; counts nothing.
    pub(crate) fn fits(&self, samples: usize) -> Result<(), QueryError> {
        if self.samples_max < samples {
            return Err(QueryError::TooManySamples {
                limit: self.samples_max,
            });
        }
        Ok(())
    }

    /// Counts `samples` as given back.
    pub(crate) fn release(&self, samples: usize) {
        self.held.fetch_sub(samples, Relaxed);
    }

    /// Counts the samples of `row` as looked at; they are work.
    pub(crate) fn see_row(&self, steps: Steps, row: &Row) -> Result<(), QueryError> {
        self.see(steps, weighed(row.len(), &row.histograms), |per_step| {
            for step in row.present.iter() {
                per_step[step].fetch_add(1, Relaxed);
            }
            for (step, histogram) in &row.histograms {
                per_step[*step].fetch_add(samples_of(histogram) as u64, Relaxed);
            }
        })
    }

    /// Counts `samples` in the windows of all steps as looked at, in each its own; they are work.
    ///
    /// * `histograms`: those among the samples that the windows are in.
    pub(crate) fn see_windows(
        &self,
        steps: Steps,
        samples: usize,
        bounds: &[(usize, usize)],
        histograms: &[(usize, Arc<FloatHistogram>)],
    ) -> Result<(), QueryError> {
        let more = More::of(histograms);
        let all = match histograms.is_empty() {
            true => samples,
            false => {
                samples
                    + bounds
                        .iter()
                        .map(|&window| more.within(window))
                        .sum::<usize>()
            }
        };
        self.see(steps, all, |per_step| {
            for (count, &(from, to)) in per_step.iter().zip(bounds) {
                let seen = to.saturating_sub(from) + more.within((from, to));
                count.fetch_add(seen as u64, Relaxed);
            }
        })
    }

    /// Counts one sample at each of `at` as looked at; they are work.
    pub(crate) fn see_at(&self, steps: Steps, at: &Bits) -> Result<(), QueryError> {
        self.see(steps, at.count(), |per_step| {
            for step in at.iter() {
                per_step[step].fetch_add(1, Relaxed);
            }
        })
    }

    /// Counts `samples` as looked at; `add` adds those of each step, where that is wanted and steps are the query's.
    fn see(
        &self,
        steps: Steps,
        samples: usize,
        add: impl FnOnce(&[AtomicU64]),
    ) -> Result<(), QueryError> {
        let count = samples as u64;
        match steps.counts {
            Counts::Nothing => (),
            Counts::OwnStep => {
                self.tally().seen.fetch_add(count, Relaxed);
                if let Some(per_step) = &self.seen_per_step {
                    add(per_step);
                }
            }
            Counts::EveryStep => {
                let all = count.saturating_mul(self.steps as u64);
                self.tally().seen.fetch_add(all, Relaxed);
                for of_step in self.seen_per_step.iter().flatten() {
                    of_step.fetch_add(count, Relaxed);
                }
            }
        }
        self.check_work(samples)
    }

    /// Fails when time is up or the caller gave up. To be called per series.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        self.check_work(WORK_PER_SERIES)
    }

    fn tally(&self) -> &Tally {
        let place = worker().map_or(0, |number| number + 1);
        &self.tallies[place % self.tallies.len()]
    }

    /// Counts `amount` samples or steps of work, and fails when time is up or the caller gave up.
    ///
    /// The clock is looked at in a thread's first call, and then each time that it has done a certain amount of work:
    /// cheap enough to be called per window.
    pub(crate) fn check_work(&self, amount: usize) -> Result<(), QueryError> {
        let amount = (amount as u64).max(1);
        let before = self.tally().worked.fetch_add(amount, Relaxed);
        let after = before.wrapping_add(amount);
        if before != 0 && before / WORK_PER_LOOK == after / WORK_PER_LOOK {
            return Ok(());
        }
        if self
            .cancel
            .as_ref()
            .is_some_and(|cancel| cancel.load(Relaxed))
        {
            return Err(QueryError::Canceled);
        }
        if self
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            return Err(QueryError::Timeout);
        }
        Ok(())
    }

    /// Returns how many samples were looked at.
    fn seen(&self) -> u64 {
        let of_each = self.tallies.iter().map(|tally| tally.seen.load(Relaxed));
        of_each.fold(0, u64::saturating_add)
    }

    /// Returns how many bytes are held now.
    pub(crate) fn bytes_held(&self) -> usize {
        self.bytes.held(self.held.load(Relaxed))
    }

    pub(crate) fn stats(&self) -> QueryStats {
        QueryStats {
            samples_total: self.seen(),
            samples_peak: self.peak.load(Relaxed) as u64,
            bytes_peak: self.bytes.peak() as u64,
            samples_per_step: self.seen_per_step.as_ref().map(|counts| {
                let counts = counts.iter();
                counts.map(|count| count.load(Relaxed)).collect()
            }),
            ..QueryStats::default()
        }
    }
}

/// What histograms count for beyond one sample each: indices, and the sums up to each.
struct More<'h> {
    histograms: &'h [(usize, Arc<FloatHistogram>)],
    sums: Vec<usize>,
}

impl<'h> More<'h> {
    fn of(histograms: &'h [(usize, Arc<FloatHistogram>)]) -> Self {
        let mut sum = 0;
        let add = |(_, histogram): &(usize, Arc<FloatHistogram>)| {
            sum += samples_of(histogram) - 1;
            sum
        };
        More {
            sums: histograms.iter().map(add).collect(),
            histograms,
        }
    }

    /// Returns the sum within a window of indices, the second not included.
    fn within(&self, (from, to): (usize, usize)) -> usize {
        let sum_before = |index: usize| {
            let at = self.histograms.partition_point(|&(i, _)| i < index);
            at.checked_sub(1).map_or(0, |last| self.sums[last])
        };
        sum_before(to).saturating_sub(sum_before(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(buckets: usize) -> Arc<FloatHistogram> {
        Arc::new(FloatHistogram {
            positive_buckets: vec![1.0; buckets],
            ..FloatHistogram::default()
        })
    }

    #[test]
    fn histograms_count_for_what_they_take() {
        // 176 bytes, and 8 for each bucket.
        assert_eq!(
            [0, 1, 2, 3].map(|n| samples_of(&histogram(n))),
            [11, 11, 12, 12]
        );
        let budget = Budget::of_samples(10, None);
        let steps = Steps::between(0, 2, 1);
        // Samples 1 and 3 are histograms; the others are floats.
        let histograms = [(1, histogram(0)), (3, histogram(2))];
        let bounds = [(0, 1), (0, 3), (2, 4)];
        assert!(budget.see_windows(steps, 6, &bounds, &histograms).is_ok());
        let stats = budget.stats();
        assert_eq!(stats.samples_per_step, Some(vec![1, 13, 13]));
        assert_eq!(stats.samples_total, 27);
        assert_eq!(weighed(4, &histograms), 25);
    }

    #[test]
    fn samples_count_for_the_steps_that_look_at_them() {
        let budget = Budget::of_samples(10, None);
        let steps = Steps::between(0, 2, 1);
        let bounds = [(0, 1), (0, 3), (2, 4)];
        assert!(budget.see_windows(steps, 6, &bounds, &[]).is_ok());
        assert!(
            budget
                .see_windows(steps.uncounted(), 6, &bounds, &[])
                .is_ok()
        );
        let fixed = steps.first_for_all();
        assert!(budget.see_windows(fixed, 10, &[(0, 10)], &[]).is_ok());
        let stats = budget.stats();
        assert_eq!(stats.samples_total, 36);
        assert_eq!(stats.samples_per_step, Some(vec![11, 13, 12]));
    }

    #[test]
    fn looks_whenever_enough_work_was_done() {
        let cancel = Arc::new(AtomicBool::new(false));
        let budget = Budget::of_samples(10, Some(Arc::clone(&cancel)));
        assert!(budget.check_work(0).is_ok());
        cancel.store(true, Relaxed);
        assert!(budget.check_work(1000).is_ok());
        let work = usize::try_from(WORK_PER_LOOK).unwrap();
        assert!(matches!(budget.check_work(work), Err(QueryError::Canceled)));
        // Many small pieces add up as well.
        let looks = (0..work).filter(|_| budget.check_work(1).is_err());
        assert_eq!(looks.count(), 1);
    }

    #[test]
    fn what_is_held_instead_counts_once() {
        let budget = Budget::of_samples(10, None);
        let mut held = 0;
        for samples in [7, 7, 10, 3, 10] {
            assert!(budget.hold_instead(&mut held, samples).is_ok());
            assert_eq!(held, samples);
        }
        assert!(budget.hold_instead(&mut held, 11).is_err());
        assert!(budget.hold_instead(&mut held, 0).is_ok());
        assert!(budget.hold(10).is_ok());
        assert_eq!(budget.stats().samples_peak, 11);
    }

    /// Threads of the pool and others count apart, and all of it counts.
    #[test]
    fn all_threads_count() {
        let cancel = Arc::new(AtomicBool::new(false));
        let budget = Budget::of_samples(10, Some(Arc::clone(&cancel)));
        let steps = Steps::between(0, 2, 1);
        let see = || budget.see_windows(steps, 6, &[], &[]).is_ok();
        assert!(see());
        assert!(rayon::broadcast(|_| see()).into_iter().all(|seen| seen));
        let threads = 1 + workers() as u64;
        assert_eq!(budget.stats().samples_total, 6 * threads);
        // Each of them looks in its turn.
        cancel.store(true, Relaxed);
        let work = usize::try_from(WORK_PER_LOOK).unwrap();
        assert!(budget.check_work(work).is_err());
        let given_up = rayon::broadcast(|_| budget.check_work(work).is_err());
        assert!(given_up.into_iter().all(|given_up| given_up));
    }

    #[test]
    fn fits_counts_nothing() {
        let budget = Budget::of_samples(10, None);
        assert!(budget.fits(10).is_ok() && budget.fits(10).is_ok());
        assert!(budget.fits(11).is_err());
        assert!(budget.hold(10).is_ok());
        assert!(budget.hold(1).is_err());
    }
}
