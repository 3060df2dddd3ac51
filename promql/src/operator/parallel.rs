//! Work on many series at once, on a pool of as many threads as there are processors that all queries share.
//!
//! What is computed per series is put together in the order of the series, so that results are the same bits as on one
//! thread.

use std::collections::VecDeque;

use crate::error::QueryError;
use crate::row::Row;

/// From this much work on, in units of some ten nanoseconds, more than one thread is worth waking.
const WORK_MIN: usize = 1 << 14;
/// The work that any series is, before its samples and steps.
pub(crate) const WORK_OF_SERIES: usize = 16;
/// How far apart samples are taken to be in an estimate, in milliseconds.
pub(crate) const SAMPLE_EVERY: i64 = 15_000;
/// How many series of one batch a thread gets at most …
const SHARE_MAX: usize = 1024;
/// … and how many steps their rows have at most: they are held until somebody takes them.
const STEPS_MAX: usize = 1 << 17;

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

    /// Returns up to `count` rows to be filled.
    pub(crate) fn spare(&mut self, count: usize) -> Vec<Row> {
        self.spare.split_off(self.spare.len().saturating_sub(count))
    }

    /// Runs the tasks at the same time and takes in their rows in order; returns how many there are.
    pub(crate) fn run(
        &mut self,
        tasks: Vec<impl FnOnce() -> Result<Vec<Row>, QueryError> + Send>,
    ) -> Result<usize, QueryError> {
        // In order, so that of several errors it is always the first.
        for rows in run(tasks) {
            self.done.extend(rows?);
        }
        Ok(self.done.len())
    }
}

/// Returns how many threads there are.
pub(crate) fn workers() -> usize {
    rayon::current_num_threads()
}

/// Returns the number of this thread, below [`workers`]; none of a thread that is not of the pool.
pub(crate) fn worker() -> Option<usize> {
    rayon::current_thread_index()
}

/// Returns how many of `series` each thread is to work on now, whose rows have `steps` and whose samples lie within
/// `span` milliseconds; `None` when one thread does.
pub(crate) fn share(series: usize, steps: usize, span: i64) -> Option<usize> {
    let samples = usize::try_from(span / SAMPLE_EVERY).unwrap_or(0);
    let each = WORK_OF_SERIES.saturating_add(steps).saturating_add(samples);
    if series < 2 || each.saturating_mul(series) < WORK_MIN || workers() < 2 {
        return None;
    }
    let fits = (STEPS_MAX / steps.max(1)).clamp(1, SHARE_MAX);
    Some(series.div_ceil(workers()).min(fits))
}

/// Runs the tasks at the same time, the first on this thread; returns what they return, in order.
fn run<T: Send>(tasks: Vec<impl FnOnce() -> T + Send>) -> Vec<T> {
    let mut done: Vec<Option<T>> = Vec::new();
    done.resize_with(tasks.len(), || None);
    rayon::in_place_scope(|scope| {
        let mut tasks = tasks.into_iter().zip(&mut done);
        let first = tasks.next();
        for (task, done) in tasks {
            scope.spawn(move |_| *done = Some(task()));
        }
        if let Some((task, done)) = first {
            *done = Some(task());
        }
    });
    // A task that panicked has ended the scope with its panic.
    done.into_iter().flatten().collect()
}
