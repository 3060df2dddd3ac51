//! Bytes that all queries of an engine hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use metrics::{Gauge, Registry};
use model::FloatHistogram;

use crate::error::QueryError;

/// What a sample takes: a time and a value.
pub(super) const SAMPLE_BYTES: usize = 16;

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
#[derive(Debug)]
pub(super) struct Bytes {
    pool: Arc<Pool>,
    /// 0 is no limit.
    max: usize,
    held: AtomicUsize,
    peak: AtomicUsize,
    taken: AtomicUsize,
}

impl Bytes {
    pub(super) fn new(pool: Arc<Pool>, max: usize) -> Self {
        Bytes {
            pool,
            max,
            held: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
        }
    }

    pub(super) fn hold(&self, bytes: usize) -> Result<(), QueryError> {
        let held = self.held.fetch_add(bytes, Relaxed).saturating_add(bytes);
        self.peak.fetch_max(held, Relaxed);
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

    pub(super) fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Relaxed);
    }

    pub(super) fn peak(&self) -> usize {
        self.peak.load(Relaxed)
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
        let pool = Pool::new(3 * PIECE_BYTES, &Registry::new());
        let (a, b) = (
            Bytes::new(Arc::clone(&pool), 0),
            Bytes::new(Arc::clone(&pool), 0),
        );
        assert!(a.hold(PIECE_BYTES + 1).is_ok() && b.hold(1).is_ok());
        let limit = 3 * PIECE_BYTES;
        let refused = b.hold(PIECE_BYTES).unwrap_err();
        assert!(
            matches!(refused, QueryError::TooManyBytesTogether { limit: found } if found == limit)
        );
        drop(a);
        assert!(b.hold(PIECE_BYTES).is_ok());
        drop(b);
        assert_eq!(pool.taken.load(Relaxed), 0);
    }

    #[test]
    fn a_query_has_a_limit_of_its_own() {
        let bytes = Bytes::new(Pool::new(0, &Registry::new()), 100);
        assert!(bytes.hold(100).is_ok());
        bytes.release(50);
        assert!(bytes.hold(50).is_ok());
        assert!(matches!(
            bytes.hold(1),
            Err(QueryError::TooManyBytes { limit: 100 })
        ));
        assert_eq!(bytes.peak(), 101);
    }
}
