//! What a query may use: samples held at once, and time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::error::QueryError;
use crate::value::QueryStats;

/// Work between two looks at the clock, in samples or steps: a few milliseconds.
const WORK_PER_LOOK: u64 = 1 << 20;

/// The work that one more series is, whatever is in it.
const WORK_PER_SERIES: usize = 1 << 14;

/// The account of one query.
///
/// At a limit the query fails with [`QueryError::TooManySamples`], [`QueryError::Timeout`] or [`QueryError::Canceled`];
/// nothing else is affected.
#[derive(Debug)]
pub(crate) struct Budget {
    samples_max: usize,
    held: AtomicUsize,
    peak: AtomicUsize,
    seen: AtomicU64,
    worked: AtomicU64,
    deadline: Option<Instant>,
    cancel: Option<Arc<AtomicBool>>,
}

impl Budget {
    pub(crate) fn new(
        samples_max: usize,
        timeout: Duration,
        cancel: Option<Arc<AtomicBool>>,
    ) -> Self {
        Budget {
            samples_max,
            held: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            seen: AtomicU64::new(0),
            worked: AtomicU64::new(0),
            deadline: Instant::now().checked_add(timeout),
            cancel,
        }
    }

    /// Counts `samples` more as held.
    pub(crate) fn hold(&self, samples: usize) -> Result<(), QueryError> {
        let held = self
            .held
            .fetch_add(samples, Relaxed)
            .saturating_add(samples);
        self.peak.fetch_max(held, Relaxed);
        if self.samples_max < held {
            return Err(QueryError::TooManySamples {
                limit: self.samples_max,
            });
        }
        Ok(())
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

    /// Counts samples that a step looked at; they are work.
    pub(crate) fn see(&self, samples: usize) -> Result<(), QueryError> {
        self.seen.fetch_add(samples as u64, Relaxed);
        self.check_work(samples)
    }

    /// Fails when time is up or the caller gave up. To be called per series.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        self.check_work(WORK_PER_SERIES)
    }

    /// Counts `amount` samples or steps of work, and fails when time is up or the caller gave up.
    ///
    /// The clock is looked at in the first call, and then each time that a certain amount of work is done: cheap
    /// enough to be called per window.
    pub(crate) fn check_work(&self, amount: usize) -> Result<(), QueryError> {
        let amount = (amount as u64).max(1);
        let before = self.worked.fetch_add(amount, Relaxed);
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

    pub(crate) fn stats(&self) -> QueryStats {
        QueryStats {
            samples_total: self.seen.load(Relaxed),
            samples_peak: self.peak.load(Relaxed) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_whenever_enough_work_was_done() {
        let cancel = Arc::new(AtomicBool::new(false));
        let budget = Budget::new(10, Duration::from_secs(3600), Some(Arc::clone(&cancel)));
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
    fn fits_counts_nothing() {
        let budget = Budget::new(10, Duration::from_secs(3600), None);
        assert!(budget.fits(10).is_ok() && budget.fits(10).is_ok());
        assert!(budget.fits(11).is_err());
        assert!(budget.hold(10).is_ok());
        assert!(budget.hold(1).is_err());
    }
}
