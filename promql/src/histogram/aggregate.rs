//! Native histograms in aggregations: sum and avg add them, the others leave them out.

use std::sync::Arc;

use model::FloatHistogram;
use model::name::Quoted;

use super::arithmetic::compacted;
use super::total::Total;
use crate::ast::{Aggregate, AggregateOp};
use crate::engine::context::Context;
use crate::error::QueryError;
use crate::row::{Bits, Row};

/// The histograms of all groups and steps; takes room only once there are some.
pub(crate) struct Histograms {
    op: AggregateOp,
    groups: usize,
    steps: usize,
    /// On the heap, because a state is large and most steps have none.
    states: Vec<Option<Box<State>>>,
}

struct State {
    total: Total,
    is_broken: bool,
    saw_reset: bool,
    saw_no_reset: bool,
}

impl Histograms {
    pub(crate) fn new(op: AggregateOp, groups: usize, steps: usize) -> Self {
        Histograms {
            op,
            groups,
            steps,
            states: Vec::new(),
        }
    }

    /// Adds the histograms of the row of metric `name` to `group`, which has had `floats` so far.
    pub(crate) fn add(
        &mut self,
        context: &Context<'_>,
        group: usize,
        (name, row): (&str, &Row),
        floats: &Bits,
        node: &Aggregate,
    ) -> Result<(), QueryError> {
        if !matches!(self.op, AggregateOp::Sum | AggregateOp::Avg) {
            let message = format!("ignored histogram in {} aggregation", self.op.as_str());
            context.info(&message, node.expr.position());
            return Ok(());
        }
        if self.states.is_empty() {
            context.budget.hold(self.groups * self.steps)?;
            self.states.resize_with(self.groups * self.steps, || None);
        }
        for (step, histogram) in &row.histograms {
            let state = &mut self.states[group * self.steps + step];
            match state {
                Some(state) => state.add(context, histogram, (name, node)),
                None => {
                    let mut new = State::new(self.op, histogram);
                    // With a float nothing comes of it anyway, so no more is added.
                    new.is_broken = floats.get(*step);
                    *state = Some(Box::new(new));
                }
            }
        }
        Ok(())
    }

    /// Moves the results of `group` to `row`; where there are floats too, nothing is left but a warning.
    pub(crate) fn finish(
        &mut self,
        context: &Context<'_>,
        group: usize,
        row: &mut Row,
        node: &Aggregate,
    ) {
        if self.states.is_empty() {
            return;
        }
        for step in 0..self.steps {
            let Some(state) = self.states[group * self.steps + step].take() else {
                continue;
            };
            if row.present.get(step) {
                row.present.unset(step);
                let message = "encountered a mix of histograms and floats for aggregation";
                context.warn(message, node.expr.position());
                continue;
            }
            if state.is_broken {
                continue;
            }
            if state.saw_reset && state.saw_no_reset {
                let message = "conflicting counter resets during histogram aggregation";
                context.warn(message, node.expr.position());
            }
            row.set_histogram(step, Arc::new(compacted(state.total.finish())));
        }
    }
}

impl State {
    fn new(op: AggregateOp, histogram: &FloatHistogram) -> Self {
        let mut state = State {
            total: match op {
                AggregateOp::Avg => Total::mean(histogram),
                _ => Total::sum(histogram),
            },
            is_broken: false,
            saw_reset: false,
            saw_no_reset: false,
        };
        state.see(histogram);
        state
    }

    fn see(&mut self, histogram: &FloatHistogram) {
        use model::histogram::ResetHint;
        self.saw_reset |= histogram.reset_hint == ResetHint::CounterReset;
        self.saw_no_reset |= histogram.reset_hint == ResetHint::NotCounterReset;
    }

    fn add(
        &mut self,
        context: &Context<'_>,
        histogram: &FloatHistogram,
        (name, node): (&str, &Aggregate),
    ) {
        if self.is_broken {
            return;
        }
        self.see(histogram);
        match self.total.add(histogram) {
            Ok(added) if added.bounds_reconciled => {
                let message = "mismatched custom buckets were reconciled during aggregation";
                context.info(message, node.expr.position());
            }
            Ok(_) => (),
            Err(_) => {
                let mut message =
                    "vector contains a mix of histograms with exponential and custom buckets schemas"
                        .to_owned();
                if !name.is_empty() {
                    message += &format!(" for metric name {}", Quoted(name));
                }
                context.warn(&message, node.expr.position());
                self.is_broken = true;
            }
        }
    }
}
