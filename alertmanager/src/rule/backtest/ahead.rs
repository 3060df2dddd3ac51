//! Queries answered for many steps at once, where no rule of the file can change what they see.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use promql::Expr;

use super::overlay::Outputs;
use crate::rule::query::{QueriedSample, QueriedSeries, QuerySteps, RuleExpr, RuleQuery};

/// Steps that are asked for at once.
const WINDOW_STEPS: i64 = 512;

/// Asks for many steps of an expression at once and answers the queries of single steps from that.
///
/// Only expressions that were [added](Ahead::add) are asked for so; all others go through, as does a step of a window that
/// failed as a whole.
pub(super) struct Ahead<'a> {
    query: &'a dyn RuleQuery,
    steps: QuerySteps,
    /// Samples of all windows that are held at once. A window that does not fit is not kept: its steps are asked for one
    /// by one.
    held_samples_max: usize,
    /// By the expression's text.
    windows: Mutex<HashMap<Arc<str>, Window>>,
}

/// Some steps of an expression.
struct Window {
    from_ms: i64,
    end_ms: i64,
    /// Each with the index of its next sample. `None`: the steps must be asked for one by one.
    series: Option<Vec<(QueriedSeries, usize)>>,
    samples: usize,
}

impl<'a> Ahead<'a> {
    /// Returns an answerer for rules that will ask at `steps`, in order; it holds `held_samples_max` samples at most.
    pub(super) fn new(
        query: &'a dyn RuleQuery,
        steps: QuerySteps,
        held_samples_max: usize,
    ) -> Self {
        Ahead {
            query,
            steps,
            held_samples_max,
            windows: Mutex::default(),
        }
    }

    /// Says that `expr` will be asked for, and that all it selects is in storage already.
    pub(super) fn add(&self, expr: &RuleExpr) {
        let window = Window {
            from_ms: i64::MAX,
            end_ms: i64::MIN,
            series: None,
            samples: 0,
        };
        self.windows.lock().insert(Arc::clone(expr.text()), window);
    }

    /// Returns the vector at `at_ms` if it can be had from a window.
    fn answer(&self, expr: &RuleExpr, at_ms: i64) -> Option<Vec<QueriedSample>> {
        if !self.steps.has(at_ms) {
            return None;
        }
        let mut windows = self.windows.lock();
        let held: usize = windows.values().map(|window| window.samples).sum();
        let window = windows.get_mut(&**expr.text())?;
        if !(window.from_ms <= at_ms && at_ms <= window.end_ms) {
            let room = self.held_samples_max.saturating_sub(held - window.samples);
            *window = Window::load(self.query, expr, at_ms, self.steps, room);
        }
        window.vector(at_ms)
    }
}

impl QuerySteps {
    fn has(self, at_ms: i64) -> bool {
        self.start_ms <= at_ms
            && at_ms <= self.end_ms
            && (at_ms - self.start_ms) % self.step_ms == 0
    }
}

impl Window {
    /// Asks for the steps of `all` from `at_ms` on; keeps them if they are `samples_max` at most.
    fn load(
        query: &dyn RuleQuery,
        expr: &RuleExpr,
        at_ms: i64,
        all: QuerySteps,
        samples_max: usize,
    ) -> Self {
        let span_ms = all.step_ms.saturating_mul(WINDOW_STEPS - 1);
        let steps = QuerySteps {
            start_ms: at_ms,
            end_ms: at_ms.saturating_add(span_ms).min(all.end_ms),
            step_ms: all.step_ms,
        };
        let mut window = Window {
            from_ms: at_ms,
            end_ms: steps.end_ms,
            series: None,
            samples: 0,
        };
        if let Some(Ok(series)) = query.range(expr, steps) {
            let samples = series.iter().map(|series| series.samples.len()).sum();
            if samples <= samples_max {
                window.series = Some(series.into_iter().map(|series| (series, 0)).collect());
                window.samples = samples;
            }
        }
        window
    }

    fn vector(&mut self, at_ms: i64) -> Option<Vec<QueriedSample>> {
        let mut found = Vec::new();
        for (series, next) in self.series.as_mut()? {
            // Steps come in order, and two rules may ask for the same one.
            while series.samples.get(*next).is_some_and(|&(t, _)| t < at_ms) {
                *next += 1;
            }
            if let Some((t, value)) = series.samples.get(*next)
                && *t == at_ms
            {
                found.push(QueriedSample {
                    labels: series.labels.clone(),
                    value: value.clone(),
                });
            }
        }
        Some(found)
    }
}

impl RuleQuery for Ahead<'_> {
    fn vector(&self, expr: &RuleExpr, at_ms: i64) -> Result<Vec<QueriedSample>, String> {
        match self.answer(expr, at_ms) {
            Some(found) => Ok(found),
            None => self.query.vector(expr, at_ms),
        }
    }

    fn vector_of_text(&self, query: &str, at_ms: i64) -> Result<Vec<QueriedSample>, String> {
        self.query.vector_of_text(query, at_ms)
    }
}

/// Returns whether `expr` gives the same at a step of many as at that step alone, and no rule of the file can change it.
pub(super) fn can_be_ahead(expr: &Expr, outputs: &Outputs) -> bool {
    use promql::ast::At;

    let mut pending = vec![expr];
    while let Some(expr) = pending.pop() {
        // `start()` and `end()` mean the ends of a query.
        if let Expr::Subquery(node) = expr
            && matches!(node.modifiers.at, Some(At::Start | At::End))
        {
            return false;
        }
        pending.extend(expr.children());
    }
    expr.selectors().iter().all(|selector| {
        !matches!(selector.modifiers.at, Some(At::Start | At::End))
            && !outputs.feed(&selector.matchers)
    })
}
