//! Range vectors: the samples of each series, and the window of each step in them.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::ResetHint;
use model::storage::{SampleColumns, SelectHints, SeriesSet};

use crate::ast::{Expr, MatrixSelector, Subquery};
use crate::engine::bounds::Inner;
use crate::engine::context::{Context, Look};
use crate::engine::evaluate::rows;
use crate::engine::selection::Selected;
use crate::error::QueryError;
use crate::histogram::reset::decide_hints;
use crate::limits::{Budget, weighed};
use crate::profile::NodeId;
use crate::row::{BoxRows, Meta, Row, Steps};
use crate::window::WindowSpec;
use crate::window::extended::{self, Reach};

/// A range selector or a subquery: per series all samples that any step's window may hold, staleness markers removed.
pub(crate) struct RangeSource<'q> {
    context: &'q Context<'q>,
    kind: Kind<'q>,
    series: Vec<Meta>,
    next: usize,
    /// What the windows end at.
    pub(crate) look: Look,
    /// Length of the windows, in milliseconds.
    pub(crate) range: i64,
    /// What besides the samples inside belongs to the windows; not for subqueries.
    pub(crate) reach: Option<Reach>,
    /// Of the query's profile.
    node: Option<NodeId>,
    held: Held,
}

enum Kind<'q> {
    Selector(SelectorReader<'q>),
    Subquery {
        inner: BoxRows<'q>,
        steps: Steps,
        row: Row,
    },
}

/// Reads the samples of any series of a range selector, from any thread.
pub(crate) struct SelectorReader<'q> {
    context: &'q Context<'q>,
    set: Selected<'q>,
    mint: i64,
    maxt: i64,
    counts_only: bool,
}

/// What is held of one series.
#[derive(Default)]
pub(crate) struct Held {
    samples: usize,
    /// Bytes of the histograms among them.
    histogram_bytes: usize,
}

impl Held {
    /// Counts `columns` as held in place of what was held before.
    fn replace(&mut self, budget: &Budget, columns: &SampleColumns) -> Result<(), QueryError> {
        budget.release_bytes(self.histogram_bytes);
        self.histogram_bytes = budget.hold_histograms(&columns.histograms)?;
        let samples = weighed(columns.len(), &columns.histograms);
        budget.hold_instead(&mut self.samples, samples)
    }
}

impl SelectorReader<'_> {
    /// Replaces `out` by the samples of series `index`, and holds them in place of those that `held` is of, until
    /// [`release`](SelectorReader::release).
    pub(crate) fn read(
        &self,
        index: usize,
        out: &mut SampleColumns,
        held: &mut Held,
    ) -> Result<(), QueryError> {
        let budget = &self.context.budget;
        budget.check()?;
        out.clear();
        self.read_samples(index, out)?;
        budget.check_work(out.len())?;
        held.replace(budget, out)
    }

    /// Gives back what was held of the last series.
    pub(crate) fn release(&self, held: Held) {
        self.context.budget.release_bytes(held.histogram_bytes);
        self.context.budget.release(held.samples);
    }

    fn read_samples(&self, index: usize, out: &mut SampleColumns) -> Result<(), QueryError> {
        self.set.read(index, self.mint, self.maxt, out)?;
        if !self.context.use_start_timestamps {
            out.starts.clear();
        }
        remove_stale(out);
        if self.counts_only {
            decide_hints(out);
        }
        Ok(())
    }
}

impl<'q> RangeSource<'q> {
    pub(crate) fn new(
        context: &'q Context<'q>,
        expr: &'q Expr,
        steps: Steps,
    ) -> Result<Self, QueryError> {
        let expr = expr.unparenthesized();
        let make = || match expr {
            Expr::Matrix(node) => Self::of_selector(context, node, steps),
            Expr::Subquery(node) => Self::of_subquery(context, node, steps),
            _ => Err(QueryError::execution("range vector expected")),
        };
        let Some(profile) = &context.profile else {
            return make();
        };
        let node = profile.add(expr, steps);
        let source = profile.work(node, &context.budget, make)?;
        profile.set_series(node, source.series.len());
        Ok(RangeSource {
            node: Some(node),
            ..source
        })
    }

    fn of_selector(
        context: &'q Context<'q>,
        node: &'q MatrixSelector,
        steps: Steps,
    ) -> Result<Self, QueryError> {
        let look = context.times.look(&node.selector.modifiers)?;
        let range = context.times.positive(&node.range)?;
        let reach = Reach::of(node.selector.extension, context.times.lookback);
        let (back, ahead) = reach.map_or((0, 0), |reach| (reach.back, reach.ahead.unwrap_or(0)));
        let mint = look
            .from(steps.start)
            .saturating_sub(range.saturating_add(back))
            .saturating_add(1);
        let maxt = look.from(steps.end()).saturating_add(ahead);
        let hints = SelectHints::range(mint, maxt);
        let set = Selected::new(context, &node.selector.matchers, hints)?;
        Ok(RangeSource {
            context,
            series: context.series(&set, &node.selector)?,
            kind: Kind::Selector(SelectorReader {
                context,
                set,
                mint,
                maxt,
                counts_only: context.counts_only.contains(&node.selector),
            }),
            next: 0,
            look,
            range,
            reach,
            node: None,
            held: Held::default(),
        })
    }

    fn of_subquery(
        context: &'q Context<'q>,
        node: &'q Subquery,
        steps: Steps,
    ) -> Result<Self, QueryError> {
        let inner = Inner::of(node, steps, &context.times)?;
        // The row below is dense: it takes room for every step, whether there are samples or not.
        context.budget.hold(inner.steps.count)?;
        let evaluated = rows(context, &node.expr, inner.steps)?;
        Ok(RangeSource {
            context,
            series: evaluated.series().to_vec(),
            kind: Kind::Subquery {
                inner: evaluated,
                steps: inner.steps,
                row: Row::default(),
            },
            next: 0,
            look: inner.look,
            range: inner.range,
            reach: None,
            node: None,
            held: Held::default(),
        })
    }

    /// The series, in order.
    pub(crate) fn series(&self) -> &[Meta] {
        &self.series
    }

    /// Returns which of the samples that [`next`](RangeSource::next) gave are in the window of the only step.
    pub(crate) fn window(&self, timestamps: &[i64], steps: Steps) -> std::ops::Range<usize> {
        let Some(reach) = self.reach else {
            return 0..timestamps.len();
        };
        let spec = WindowSpec::new(steps, self.look, self.range);
        let mut bounds = Vec::new();
        extended::find(&spec, reach, timestamps, &mut bounds);
        bounds.first().map_or(0..0, |&(from, to)| from..to)
    }

    /// Returns what reads any of the series, if they need not come one after the other.
    pub(crate) fn reader(&self) -> Option<&SelectorReader<'q>> {
        match &self.kind {
            Kind::Selector(reader) => Some(reader),
            Kind::Subquery { .. } => None,
        }
    }

    /// Passes over `count` series, which were read otherwise.
    pub(crate) fn skip(&mut self, count: usize) {
        self.next += count;
    }

    /// Replaces `out` by the samples of the next series.
    pub(crate) fn next(&mut self, out: &mut SampleColumns) -> Result<(), QueryError> {
        let context = self.context;
        let (Some(profile), Some(node)) = (&context.profile, self.node) else {
            return self.read(out);
        };
        profile.work(node, &context.budget, || self.read(out))?;
        profile.hand_on(node, out.len());
        Ok(())
    }

    fn read(&mut self, out: &mut SampleColumns) -> Result<(), QueryError> {
        self.context.budget.check()?;
        out.clear();
        match &mut self.kind {
            Kind::Selector(reader) => reader.read_samples(self.next, out)?,
            Kind::Subquery { inner, steps, row } => {
                self.context.budget.check_work(steps.count)?;
                inner.next(row)?;
                fill(out, row, *steps);
            }
        }
        self.next += 1;
        self.context.budget.check_work(out.len())?;
        self.held.replace(&self.context.budget, out)
    }
}

fn fill(out: &mut SampleColumns, row: &Row, steps: Steps) {
    if row.histograms.is_empty() {
        for step in row.present.iter() {
            out.push_float(steps.time(step), row.values[step]);
        }
        return;
    }
    for step in row.occupied().iter() {
        match row.histogram(step) {
            Some(histogram) => out.push_histogram(steps.time(step), without_hint(histogram)),
            None => out.push_float(steps.time(step), row.values[step]),
        }
    }
}

/// What a histogram says about resets is about the sample before it, which need not be the one before it here.
fn without_hint(histogram: &Arc<FloatHistogram>) -> Arc<FloatHistogram> {
    match histogram.reset_hint {
        ResetHint::Unknown | ResetHint::Gauge => Arc::clone(histogram),
        ResetHint::CounterReset | ResetHint::NotCounterReset => Arc::new(FloatHistogram {
            reset_hint: ResetHint::Unknown,
            ..FloatHistogram::clone(histogram)
        }),
    }
}

/// Removes staleness markers.
pub(super) fn remove_stale(columns: &mut SampleColumns) {
    let stale_histogram = columns
        .histograms
        .iter()
        .any(|(_, h)| model::is_stale(h.sum));
    if !stale_histogram && !columns.floats.iter().any(|&value| model::is_stale(value)) {
        return;
    }
    let mut kept = SampleColumns::default();
    for index in 0..columns.len() {
        let t = columns.timestamps[index];
        match columns.histogram(index) {
            Some(histogram) if model::is_stale(histogram.sum) => (),
            Some(histogram) => kept.push_histogram(t, histogram.clone()),
            None if model::is_stale(columns.floats[index]) => (),
            None => kept.push_float(t, columns.floats[index]),
        }
        if kept.timestamps.last() == Some(&t) && columns.start(index) != 0 {
            kept.set_last_start(columns.start(index));
        }
    }
    *columns = kept;
}
