//! Instant vector selectors: the newest sample within the lookback, per step.

mod smoothed;

use model::SampleValue;
use model::histogram::ResetHint;
use model::storage::{SampleColumns, SelectHints, SeriesSet};

use crate::ast::{Extension, VectorSelector};
use crate::engine::context::{Context, Look};
use crate::engine::selection::Selected;
use crate::error::QueryError;
use crate::histogram::reset::decide_hints;
use crate::operator::parallel::{self, Ahead};
use crate::row::{BoxRows, Meta, Row, Rows, Steps};

/// What of a sample is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Its value.
    Value,
    /// Its time, in seconds.
    Timestamp,
    /// Its start timestamp, in seconds; 0 if it is unknown.
    Start,
}

/// Returns the steps that see a sample, each with the index of the newest in `(at(step) − lookback, at(step)]`.
///
/// `timestamps` ascend, and so does `at`. Whether a sample is a staleness marker is up to the caller.
pub(crate) fn newest_per_step(
    timestamps: &[i64],
    steps: usize,
    at: impl Fn(usize) -> i64,
    lookback: i64,
) -> impl Iterator<Item = (usize, usize)> {
    let mut passed = 0;
    (0..steps).filter_map(move |step| {
        let at = at(step);
        while timestamps.get(passed).is_some_and(|&t| t <= at) {
            passed += 1;
        }
        let newest = passed.checked_sub(1)?;
        (at.saturating_sub(lookback) < timestamps[newest]).then_some((step, newest))
    })
}

/// Evaluates an instant vector selector.
pub(crate) fn rows<'q>(
    context: &'q Context<'q>,
    node: &'q VectorSelector,
    steps: Steps,
    read: Read,
) -> Result<BoxRows<'q>, QueryError> {
    let look = context.times.look(&node.modifiers)?;
    if node.extension == Extension::Smoothed {
        return smoothed::rows(context, node, look, steps, read);
    }
    let first = look
        .from(steps.start)
        .saturating_sub(context.times.lookback);
    let hints = SelectHints::range(first.saturating_add(1), look.from(steps.end()));
    let set = Selected::new(context, &node.matchers, hints)?;
    let series = context.series(&set, node)?;
    let reader = Reader {
        context,
        set,
        look,
        steps,
        read,
        counts_only: context.counts_only.contains(node),
    };
    Ok(Box::new(InstantRows {
        reader,
        series,
        next: 0,
        columns: vec![SampleColumns::default()],
        ahead: Ahead::default(),
    }))
}

/// The start timestamp of a sample in seconds, 0 if it is unknown or not to be used.
fn start_seconds(context: &Context<'_>, columns: &SampleColumns, sample: usize) -> f64 {
    if context.use_start_timestamps {
        columns.start(sample) as f64 / 1e3
    } else {
        0.0
    }
}

struct InstantRows<'q> {
    reader: Reader<'q>,
    series: Vec<Meta>,
    next: usize,
    /// Of each thread; at least one.
    columns: Vec<SampleColumns>,
    /// The rows from `next` on that are there already.
    ahead: Ahead,
}

impl Rows for InstantRows<'_> {
    fn series(&self) -> &[Meta] {
        &self.series
    }

    fn next(&mut self, row: &mut Row) -> Result<(), QueryError> {
        if self.ahead.is_empty() {
            self.work_ahead()?;
        }
        let index = self.next;
        self.next += 1;
        if self.ahead.take(row) {
            return Ok(());
        }
        self.reader.row(index, row, &mut self.columns[0])
    }
}

impl InstantRows<'_> {
    /// Reads the next rows on all processors, if that is worth it: the newest sample alone is read in no time.
    fn work_ahead(&mut self) -> Result<(), QueryError> {
        let steps = self.reader.steps;
        let left = self.series.len() - self.next;
        let count = self.reader.context.batch(left, steps, 0);
        let Some(count) = count.filter(|_| 1 < steps.count) else {
            return Ok(());
        };
        self.columns
            .resize_with(parallel::workers(), SampleColumns::default);
        let (reader, items) = (&self.reader, self.next..self.next + count);
        self.ahead
            .run(&mut self.columns, items, |columns, indexes, spare| {
                let rows = indexes.map(|index| {
                    let mut row = spare.pop().unwrap_or_default();
                    reader.row(index, &mut row, columns)?;
                    Ok(row)
                });
                rows.collect()
            })
    }
}

/// Reads any of the selected series, from any thread.
struct Reader<'q> {
    context: &'q Context<'q>,
    set: Selected<'q>,
    look: Look,
    steps: Steps,
    read: Read,
    /// Whether nobody looks at the buckets of histograms.
    counts_only: bool,
}

impl Reader<'_> {
    fn row(
        &self,
        index: usize,
        row: &mut Row,
        columns: &mut SampleColumns,
    ) -> Result<(), QueryError> {
        self.context.budget.check()?;
        self.context.budget.check_work(self.steps.count)?;
        row.reset(self.steps.count);
        if self.steps.count == 1 && self.read != Read::Start {
            self.newest(index, row, columns)?;
        } else {
            self.all(index, row, columns)?;
        }
        self.context.budget.see_row(self.steps, row)
    }

    /// One step: storage knows the newest sample without decoding all.
    fn newest(
        &self,
        index: usize,
        row: &mut Row,
        columns: &mut SampleColumns,
    ) -> Result<(), QueryError> {
        let at = self.look.from(self.steps.start);
        let oldest = at
            .saturating_sub(self.context.times.lookback)
            .saturating_add(1);
        let Some(sample) = self.set.newest(index, oldest, at, columns)? else {
            return Ok(());
        };
        if sample.value.is_stale() {
            return Ok(());
        }
        if self.counts_only
            && matches!(&sample.value, SampleValue::Histogram(h) if h.reset_hint == ResetHint::Unknown)
        {
            return self.all(index, row, columns);
        }
        match (self.read, sample.value) {
            (Read::Timestamp, _) => row.set(0, sample.t as f64 / 1e3),
            (_, SampleValue::Float(value)) => row.set(0, value),
            (_, SampleValue::Histogram(histogram)) => row.set_histogram(0, histogram),
        }
        Ok(())
    }

    /// Many steps: decode once and walk steps and samples side by side.
    fn all(
        &self,
        index: usize,
        row: &mut Row,
        columns: &mut SampleColumns,
    ) -> Result<(), QueryError> {
        let lookback = self.context.times.lookback;
        let first = self.look.from(self.steps.start).saturating_sub(lookback);
        let last = self.look.from(self.steps.end());
        columns.clear();
        self.set
            .read(index, first.saturating_add(1), last, columns)?;
        if self.counts_only {
            decide_hints(columns);
        }
        let at = |step| self.look.from(self.steps.time(step));
        let newest = newest_per_step(&columns.timestamps, self.steps.count, at, lookback);
        for (step, newest) in newest {
            self.take(columns, newest, step, row);
        }
        Ok(())
    }

    fn take(&self, columns: &SampleColumns, sample: usize, step: usize, row: &mut Row) {
        let value = columns.floats[sample];
        let histogram = if value.is_nan() {
            columns.histogram(sample)
        } else {
            None
        };
        let is_stale = match histogram {
            Some(histogram) => model::is_stale(histogram.sum),
            None => model::is_stale(value),
        };
        match (self.read, histogram) {
            _ if is_stale => (),
            (Read::Timestamp, _) => row.set(step, columns.timestamps[sample] as f64 / 1e3),
            (Read::Start, _) => row.set(step, start_seconds(self.context, columns, sample)),
            (Read::Value, Some(histogram)) => row.set_histogram(step, histogram.clone()),
            (Read::Value, None) => row.set(step, value),
        }
    }
}
