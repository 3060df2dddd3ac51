//! What one query carries along: storage, times, limits, annotations.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use model::storage::{Kept, Querier, SeriesSet};
use parking_lot::Mutex;

use super::counts::CountsOnly;
use super::needed::Needed;
use super::selection::Repeated;
use super::{Engine, QueryOptions, Times};
use crate::annotations::Notes;
use crate::ast::{At, DurationExpr, DurationOp, Expr, Modifiers, Span, VectorSelector};
use crate::error::QueryError;
use crate::limits::Budget;
use crate::operator::merge::differ_without_names;
use crate::operator::parallel;
use crate::parse::seconds_to_ms;
use crate::position::Position;
use crate::profile::Profile;
use crate::row::{Meta, Steps};

/// The state of one query.
pub(crate) struct Context<'s> {
    pub(crate) querier: &'s dyn Querier,
    pub(crate) repeated: Repeated<'s>,
    pub(crate) times: Clock,
    pub(crate) delayed_name_removal: bool,
    pub(crate) use_start_timestamps: bool,
    pub(crate) counts_only: CountsOnly,
    needed: Needed,
    /// Whether labels were missed that were not among these.
    misses_labels: AtomicBool,
    pub(crate) budget: Budget,
    /// What each operator does, if the plan is wanted.
    pub(crate) profile: Option<Profile>,
    pub(crate) notes: Mutex<Notes>,
}

/// The times of a query that selectors depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// All steps of the query.
    pub(crate) steps: Steps,
    /// Where the query ends; the last step is there or before.
    pub(crate) end: i64,
    /// Whether it is an instant query.
    pub(crate) is_instant: bool,
    /// How far an instant selector looks back.
    pub(crate) lookback: i64,
    /// The step of subqueries that give none.
    pub(crate) subquery_step: i64,
}

/// The instant that a step looks at: the step itself or a fixed time, shifted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    pub(crate) at: Option<i64>,
    pub(crate) offset: i64,
}

impl Look {
    /// Returns what is looked at from step time `t`.
    pub(crate) fn from(&self, t: i64) -> i64 {
        self.at.unwrap_or(t).saturating_sub(self.offset)
    }
}

impl Clock {
    pub(super) fn new(times: Times, options: &QueryOptions, engine: &Engine) -> Self {
        let limits = &engine.options;
        Clock {
            steps: times.steps,
            end: times.end,
            is_instant: times.is_instant,
            lookback: options.lookback_ms.unwrap_or(limits.lookback_ms),
            subquery_step: limits.default_subquery_step_ms,
        }
    }

    /// Returns `span` in milliseconds.
    pub(crate) fn span(&self, span: &Span) -> Result<i64, QueryError> {
        match span {
            Span::Ms(ms) => Ok(*ms),
            Span::Expr(expr) => {
                let seconds = self.seconds(expr)?;
                seconds_to_ms(seconds).ok_or_else(|| wrong(expr, "duration is out of range"))
            }
        }
    }

    /// Returns `span` in milliseconds, which must be positive.
    pub(crate) fn positive(&self, span: &Span) -> Result<i64, QueryError> {
        match (self.span(span)?, span) {
            (ms, _) if 0 < ms => Ok(ms),
            (_, Span::Expr(expr)) => Err(wrong(expr, "duration must be greater than 0")),
            // The parser lets none through.
            (_, Span::Ms(_)) => Err(QueryError::execution("duration must be greater than 0")),
        }
    }

    pub(crate) fn look(&self, modifiers: &Modifiers) -> Result<Look, QueryError> {
        Ok(Look {
            at: modifiers.at.map(|at| match at {
                At::Time(ms) => ms,
                At::Start => self.steps.start,
                At::End => self.end,
            }),
            offset: self.span(&modifiers.offset)?,
        })
    }

    /// What `step()` says, in seconds.
    pub(crate) fn step_seconds(&self) -> f64 {
        if self.is_instant {
            0.0
        } else {
            self.steps.step as f64 / 1e3
        }
    }

    /// What `range()` says, in seconds.
    pub(crate) fn range_seconds(&self) -> f64 {
        (self.end - self.steps.start) as f64 / 1e3
    }

    fn seconds(&self, expr: &DurationExpr) -> Result<f64, QueryError> {
        Ok(match expr {
            DurationExpr::Number(number) => number.value,
            DurationExpr::Step(_) => self.step_seconds(),
            DurationExpr::Range(_) => self.range_seconds(),
            DurationExpr::Negate(inner, _) => -self.seconds(inner)?,
            DurationExpr::Plus(inner, _) | DurationExpr::Paren(inner, _) => self.seconds(inner)?,
            DurationExpr::Binary(op, left, right, _) => {
                let (left, right) = (self.seconds(left)?, self.seconds(right)?);
                match op {
                    DurationOp::Add => left + right,
                    DurationOp::Sub => left - right,
                    DurationOp::Mul => left * right,
                    DurationOp::Pow => left.powf(right),
                    DurationOp::Min => left.min(right),
                    DurationOp::Max => left.max(right),
                    DurationOp::Div if right == 0.0 => return Err(wrong(expr, "division by zero")),
                    DurationOp::Mod if right == 0.0 => return Err(wrong(expr, "modulo by zero")),
                    DurationOp::Div => left / right,
                    DurationOp::Mod => left % right,
                }
            }
        })
    }
}

/// Returns the error of a duration that cannot be: the query is at fault, and Prometheus says from which byte to which.
fn wrong(expr: &DurationExpr, what: &str) -> QueryError {
    let Position { start, end, .. } = expr.position();
    QueryError::Invalid(format!("{start}:{end}: {what}"))
}

impl<'s> Context<'s> {
    /// Returns the state of a query for `expr`, which reads from `querier`; `needed` is of `expr` too.
    pub(super) fn new(
        querier: &'s dyn Querier,
        expr: &Expr,
        clock: Clock,
        needed: Needed,
        budget: Budget,
        options: &QueryOptions,
        engine: &Engine,
    ) -> Result<Self, QueryError> {
        Ok(Context {
            querier,
            repeated: Repeated::of(expr, &clock, querier)?,
            times: clock,
            delayed_name_removal: engine.features.delayed_name_removal,
            counts_only: CountsOnly::of(expr),
            needed,
            misses_labels: AtomicBool::new(false),
            use_start_timestamps: engine.features.use_start_timestamps,
            budget,
            profile: options.explains.then(Profile::default),
            notes: Mutex::default(),
        })
    }

    /// Returns the series of `set`, which `selector` selects, with the labels that are needed of them. The labels count as
    /// held until the query ends.
    pub(crate) fn series(
        &self,
        set: &dyn SeriesSet,
        selector: &VectorSelector,
    ) -> Result<Vec<Meta>, QueryError> {
        let kept = self.needed.labels_of(selector);
        let mut series = self.with_labels(set, kept)?;
        if *kept == Kept::All {
            return Ok(series);
        }
        // Where names differ, other labels tell whether series are the same without them.
        if !differ_without_names(&series, false) {
            return self.with_labels(set, &Kept::All);
        }
        for meta in &mut series {
            meta.is_pruned = true;
        }
        Ok(series)
    }

    /// Says that labels matter that were not needed as far as one could tell: the query is to be evaluated once more, with
    /// all labels. The error is there to end it until then; nobody sees it.
    pub(crate) fn misses_labels(&self) -> QueryError {
        self.misses_labels.store(true, Relaxed);
        QueryError::execution("labels are missing")
    }

    /// Whether something [misses labels](Context::misses_labels).
    pub(super) fn has_missed_labels(&self) -> bool {
        self.misses_labels.load(Relaxed)
    }

    fn with_labels(&self, set: &dyn SeriesSet, kept: &Kept) -> Result<Vec<Meta>, QueryError> {
        /// Series between two looks at the limit.
        const SERIES_PER_LOOK: usize = 1024;

        let mut series: Vec<Meta> = Vec::with_capacity(set.len());
        let mut some = Vec::new();
        while series.len() < set.len() {
            let to = set.len().min(series.len() + SERIES_PER_LOOK);
            set.label_sets(series.len()..to, kept, &mut some);
            let bytes = some
                .iter()
                .map(|labels| size_of::<Meta>() + labels.heap_bytes());
            self.budget.hold_bytes(bytes.sum())?;
            series.extend(some.drain(..).map(Meta::new));
        }
        Ok(series)
    }

    /// Counts `samples` as read from storage by the operator at work.
    pub(crate) fn decoded(&self, samples: usize) {
        if let Some(profile) = &self.profile {
            profile.decoded(samples);
        }
    }

    /// Returns how many of `series` all threads are to work on now, whose rows have these steps and look at the samples of
    /// `range` milliseconds before each; `None` when one thread does, as it does when each operator is measured.
    pub(crate) fn batch(&self, series: usize, steps: Steps, range: i64) -> Option<usize> {
        match self.profile {
            Some(_) => None,
            None => parallel::batch(series, steps.count, steps.span().saturating_add(range)),
        }
    }

    pub(crate) fn warn(&self, message: &str, position: Position) {
        self.notes.lock().warn(message, position);
    }

    pub(crate) fn info(&self, message: &str, position: Position) {
        self.notes.lock().info(message, position);
    }
}
