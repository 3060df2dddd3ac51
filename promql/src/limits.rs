//! What a query may use: samples held at once, and time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::error::QueryError;
use crate::value::QueryStats;

/// Series between two looks at the clock.
const LOOK_EVERY: usize = 64;

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
    looks: AtomicUsize,
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
            looks: AtomicUsize::new(0),
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

    /// Counts `samples` as given back.
    pub(crate) fn release(&self, samples: usize) {
        self.held.fetch_sub(samples, Relaxed);
    }

    /// Counts samples that a step looked at.
    pub(crate) fn see(&self, samples: usize) {
        self.seen.fetch_add(samples as u64, Relaxed);
    }

    /// Fails when time is up or the caller gave up. Cheap enough to be called per series.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        if !self.looks.fetch_add(1, Relaxed).is_multiple_of(LOOK_EVERY) {
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
