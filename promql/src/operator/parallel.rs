//! Work on many series at once, on a pool of as many threads as there are processors that all queries share.
//!
//! What is computed per series is put together in the order of the series, so that results are the same bits as on one
//! thread.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;

use crate::error::QueryError;
use crate::row::Row;

/// From this much work on, in units of some ten nanoseconds, more than one thread is worth waking.
const WORK_MIN: usize = 1 << 14;
/// The work that any series is, before its samples and steps.
pub(crate) const WORK_OF_SERIES: usize = 16;
/// How far apart samples are taken to be in an estimate, in milliseconds.
pub(crate) const SAMPLE_EVERY: i64 = 15_000;
/// How many series a batch has at most per thread …
const SHARE_MAX: usize = 1024;
/// … and how many steps their rows have at most: they are held until somebody takes them.
const STEPS_MAX: usize = 1 << 17;
/// How many pieces a batch is cut into per thread. Who is done with one takes the next, for one thread begins later than the
/// other or is slower.
const PIECES_PER_THREAD: usize = 8;

/// Rows that are there before anybody asks for them.
#[derive(Default)]
pub(crate) struct Ahead {
    done: VecDeque<Row>,
    /// Used up, to be filled again.
    spare: Vec<Row>,
}

impl Ahead {
    pub(crate) fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// Replaces `row` by the next row, if there is one.
    pub(crate) fn take(&mut self, row: &mut Row) -> bool {
        let Some(mut done) = self.done.pop_front() else {
            return false;
        };
        std::mem::swap(row, &mut done);
        self.spare.push(done);
        true
    }

    /// Has `work` make the rows of the next series, `items`, by one call per piece, with one of `workers` per thread; it is
    /// given rows to be filled.
    ///
    /// # Errors
    ///
    /// The first in order of the series, as one thread would give it.
    pub(crate) fn run<W: Send>(
        &mut self,
        workers: &mut [W],
        items: Range<usize>,
        work: impl Fn(&mut W, Range<usize>, &mut Vec<Row>) -> Result<Vec<Row>, QueryError> + Sync,
    ) -> Result<(), QueryError> {
        let length = items.len().div_ceil(workers.len() * PIECES_PER_THREAD);
        let begins = items.clone().step_by(length.max(1));
        let pieces = begins.map(|begin| {
            let range = begin..(begin + length).min(items.end);
            let kept = self.spare.len().saturating_sub(range.len());
            Mutex::new(Piece {
                spare: self.spare.split_off(kept),
                range,
                rows: Ok(Vec::new()),
            })
        });
        let pieces: Vec<Mutex<Piece>> = pieces.collect();
        let next = AtomicUsize::new(0);
        let work_off = |worker: &mut W| {
            while let Some(piece) = pieces.get(next.fetch_add(1, Relaxed)) {
                // Each is taken once.
                let piece = &mut *piece.lock();
                piece.rows = work(worker, piece.range.clone(), &mut piece.spare);
                if piece.rows.is_err() {
                    // Those before were taken before, so the first error is the same whoever does what.
                    next.store(pieces.len(), Relaxed);
                }
            }
        };
        run(workers, work_off);
        for piece in pieces {
            self.done.extend(piece.into_inner().rows?);
        }
        Ok(())
    }
}

/// Some of the series of a batch.
struct Piece {
    range: Range<usize>,
    /// Rows to be filled.
    spare: Vec<Row>,
    rows: Result<Vec<Row>, QueryError>,
}

/// Returns how many threads there are.
pub(crate) fn workers() -> usize {
    rayon::current_num_threads()
}

/// Returns the number of this thread, below [`workers`]; none of a thread that is not of the pool.
pub(crate) fn worker() -> Option<usize> {
    rayon::current_thread_index()
}

/// Returns how many of `series` are to be worked on now by all threads, whose rows have `steps` and whose samples lie within
/// `span` milliseconds; `None` when one thread does.
pub(crate) fn batch(series: usize, steps: usize, span: i64) -> Option<usize> {
    let samples = usize::try_from(span / SAMPLE_EVERY).unwrap_or(0);
    let each = WORK_OF_SERIES.saturating_add(steps).saturating_add(samples);
    if series < 2 || each.saturating_mul(series) < WORK_MIN || workers() < 2 {
        return None;
    }
    let fits = (STEPS_MAX / steps.max(1)).clamp(1, SHARE_MAX);
    Some(series.min(workers() * fits))
}

/// Does `work` with all workers at the same time, with the first on this thread.
fn run<W: Send>(workers: &mut [W], work: impl Fn(&mut W) + Sync) {
    let work = &work;
    // A task that panicked ends the scope with its panic.
    rayon::in_place_scope(|scope| {
        let Some((first, others)) = workers.split_first_mut() else {
            return;
        };
        for other in others {
            scope.spawn(move |_| work(other));
        }
        work(first);
    });
}
