//! One step repeated at all steps.

use crate::engine::context::Context;
use crate::error::QueryError;
use crate::row::{BoxRows, Meta, Row, Rows};

/// Repeats what `inner` has at its only step at each of `count` steps.
pub(crate) fn repeat<'q>(
    context: &'q Context<'q>,
    inner: BoxRows<'q>,
    count: usize,
) -> BoxRows<'q> {
    Box::new(Repeat {
        context,
        inner,
        count,
        once: Row::default(),
    })
}

struct Repeat<'q> {
    context: &'q Context<'q>,
    inner: BoxRows<'q>,
    count: usize,
    once: Row,
}

impl Rows for Repeat<'_> {
    fn series(&self) -> &[Meta] {
        self.inner.series()
    }

    fn next(&mut self, row: &mut Row) -> Result<(), QueryError> {
        self.context.budget.check_work(self.count)?;
        self.inner.next(&mut self.once)?;
        row.reset(self.count);
        for step in 0..self.count {
            if let Some(histogram) = self.once.histogram(0) {
                row.set_histogram(step, histogram.clone());
            } else if self.once.present.get(0) {
                row.set(step, self.once.values[0]);
            }
        }
        Ok(())
    }
}
