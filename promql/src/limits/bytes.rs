//! Bytes that all queries of an engine hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use metrics::{Gauge, Registry};
use model::FloatHistogram;

use crate::error::QueryError;

/// What a sample takes: a time and a value.
const SAMPLE_BYTES: usize = 16;

/// What a query takes from the pool at once, so that queries seldom meet there.
const PIECE_BYTES: usize = 1 << 20;

/// What a histogram takes.
pub(crate) fn histogram_bytes(histogram: &FloatHistogram) -> usize {
    let spans = histogram.positive_spans.len() + histogram.negative_spans.len();
    let buckets = histogram.positive_buckets.len() + histogram.negative_buckets.len();
    size_of::<FloatHistogram>() + (spans + buckets + histogram.custom_bounds.len()) * 8
}

/// The bytes of all queries; shared by them.
#[derive(Debug)]
pub(crate) struct Pool {
    /// 0 is no limit.
    max: usize,
    taken: AtomicUsize,
    gauge: Gauge,
}

impl Pool {
    pub(crate) fn new(max: usize, registry: &Registry) -> Arc<Self> {
        Arc::new(Pool {
            max,
            taken: AtomicUsize::new(0),
            gauge: registry.gauge(
                "hearth_query_held_bytes",
                "Bytes that running queries have set aside, in pieces of 1 MiB.",
            ),
        })
    }

    fn take(&self, bytes: usize) -> Result<(), QueryError> {
        let taken = self.taken.fetch_add(bytes, Relaxed).saturating_add(bytes);
        if self.max != 0 && self.max < taken {
            self.taken.fetch_sub(bytes, Relaxed);
            return Err(QueryError::TooManyBytesTogether { limit: self.max });
        }
        self.show();
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Relaxed);
        self.show();
    }

    #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^53 bytes")]
    fn show(&self) {
        self.gauge.set(self.taken.load(Relaxed) as f64);
    }
}

/// The bytes of one query. What it has taken from the pool goes back when it ends.
///
/// Most of them are those of samples, which the query counts anyway: they come as an argument, so that counting them again
/// costs nothing.
#[derive(Debug)]
pub(super) struct Bytes {
    pool: Arc<Pool>,
    /// 0 is no limit.
    max: usize,
    /// Held beside samples.
    others: AtomicUsize,
    peak: AtomicUsize,
    taken: AtomicUsize,
}

impl Bytes {
    pub(super) fn new(pool: Arc<Pool>, max: usize) -> Self {
        Bytes {
            pool,
            max,
            others: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
        }
    }

    /// The same with nothing held.
    pub(super) fn cleared(self) -> Self {
        Bytes::new(Arc::clone(&self.pool), self.max)
    }

    /// Looks at the limits when `samples` are held, beside what else is.
    pub(super) fn check(&self, samples: usize) -> Result<(), QueryError> {
        let held = self.held(samples);
        raise(&self.peak, held);
        if self.max != 0 && self.max < held {
            return Err(QueryError::TooManyBytes { limit: self.max });
        }
        let taken = self.taken.load(Relaxed);
        if taken < held {
            let more = (held - taken).next_multiple_of(PIECE_BYTES);
            self.pool.take(more)?;
            self.taken.fetch_add(more, Relaxed);
        }
        Ok(())
    }

    /// Counts `bytes` more as held beside `samples`.
    pub(super) fn hold(&self, bytes: usize, samples: usize) -> Result<(), QueryError> {
        self.others.fetch_add(bytes, Relaxed);
        self.check(samples)
    }

    /// Counts `bytes` beside samples as given back.
    pub(super) fn release(&self, bytes: usize) {
        self.others.fetch_sub(bytes, Relaxed);
    }

    pub(super) fn held(&self, samples: usize) -> usize {
        let others = self.others.load(Relaxed);
        samples.saturating_mul(SAMPLE_BYTES).saturating_add(others)
    }

    pub(super) fn peak(&self) -> usize {
        self.peak.load(Relaxed)
    }
}

/// Makes `peak` at least `value`. Not one step, as that would cost more than all else here: of two threads at the same
/// time the lower value may stay.
pub(super) fn raise(peak: &AtomicUsize, value: usize) {
    if peak.load(Relaxed) < value {
        peak.store(value, Relaxed);
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.pool.give_back(*self.taken.get_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_share_the_pool_and_give_back_at_their_end() {
        let limit = 3 * PIECE_BYTES;
        let pool = Pool::new(limit, &Registry::new());
        let query = || Bytes::new(Arc::clone(&pool), 0);
        let (a, b) = (query(), query());
        assert!(a.hold(PIECE_BYTES + 1, 0).is_ok() && b.check(1).is_ok());
        let refused = b.hold(PIECE_BYTES, 1).unwrap_err();
        assert!(
            matches!(refused, QueryError::TooManyBytesTogether { limit: found } if found == limit)
        );
        drop(a);
        assert!(b.check(1).is_ok());
        drop(b);
        assert_eq!(pool.taken.load(Relaxed), 0);
    }

    #[test]
    fn a_query_has_a_limit_of_its_own() {
        let bytes = Bytes::new(Pool::new(0, &Registry::new()), 100);
        assert!(bytes.hold(100, 0).is_ok());
        bytes.release(50);
        assert!(bytes.check(3).is_ok());
        assert!(matches!(
            bytes.check(4),
            Err(QueryError::TooManyBytes { limit: 100 })
        ));
        assert_eq!(bytes.peak(), 50 + 4 * SAMPLE_BYTES);
    }
}
