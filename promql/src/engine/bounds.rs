//! Which time an expression may look at, and what in it depends on the step.

use model::Matcher;

use super::context::{Clock, Look};
use crate::ast::{Expr, Extension, Subquery};
use crate::error::QueryError;
use crate::function::info;
use crate::row::Steps;

/// Returns the first and the last millisecond that `expr` may look at; (0, 0) when it looks at no series.
pub(crate) fn time_range(expr: &Expr, clock: &Clock) -> Result<(i64, i64), QueryError> {
    let mut range: Option<(i64, i64)> = None;
    selections(expr, clock.steps, clock, &mut |looking| {
        let (mint, maxt) = range.unwrap_or((looking.first, looking.last));
        range = Some((mint.min(looking.first), maxt.max(looking.last)));
    })?;
    Ok(range.unwrap_or((0, 0)))
}

/// Where and when a selector looks.
pub(super) struct Looking<'e> {
    /// What it matches, where it says that itself.
    pub(super) matchers: Option<&'e [Matcher]>,
    /// The first and the last millisecond of all steps.
    pub(super) first: i64,
    pub(super) last: i64,
    /// How long the window of each step is, in milliseconds; 0 for an instant selector.
    pub(super) window: i64,
}

/// Tells `visit` of each selector where and when it looks.
pub(super) fn selections<'e>(
    expr: &'e Expr,
    steps: Steps,
    clock: &Clock,
    visit: &mut dyn FnMut(Looking<'e>),
) -> Result<(), QueryError> {
    let mut matchers = None;
    let mut window = 0;
    let (look, back, ahead) = match expr {
        Expr::Vector(selector) => {
            matchers = Some(selector.matchers.as_slice());
            let ahead = if selector.extension == Extension::Smoothed {
                clock.lookback
            } else {
                0
            };
            (clock.look(&selector.modifiers)?, clock.lookback, ahead)
        }
        Expr::Matrix(matrix) => {
            matchers = Some(matrix.selector.matchers.as_slice());
            let length = clock.positive(&matrix.range)?;
            window = length;
            let look = clock.look(&matrix.selector.modifiers)?;
            match matrix.selector.extension {
                Extension::None => (look, length, 0),
                Extension::Anchored => (look, length.saturating_add(clock.lookback), 0),
                Extension::Smoothed => {
                    (look, length.saturating_add(clock.lookback), clock.lookback)
                }
            }
        }
        Expr::Subquery(subquery) => {
            let inner = Inner::of(subquery, steps, clock)?;
            return selections(&subquery.expr, inner.steps, clock, visit);
        }
        Expr::Call(call) if call.function.name == "info" => {
            // The second argument is no selector of its own: it looks where the first one does.
            selections(&call.args[0], steps, clock, visit)?;
            (info::look(&call.args[0], clock)?, clock.lookback, 0)
        }
        _ => {
            return expr
                .children()
                .into_iter()
                .try_for_each(|child| selections(child, steps, clock, visit));
        }
    };
    let first = look
        .from(steps.start)
        .saturating_sub(back)
        .saturating_add(1);
    let last = look.from(steps.end()).saturating_add(ahead);
    visit(Looking {
        matchers,
        first,
        last,
        window,
    });
    Ok(())
}

/// How a subquery is evaluated.
pub(crate) struct Inner {
    /// The steps of the inner expression: multiples of the subquery's step, the left end excluded.
    pub(crate) steps: Steps,
    pub(crate) look: Look,
    pub(crate) range: i64,
}

impl Inner {
    pub(crate) fn of(
        subquery: &Subquery,
        steps: Steps,
        clock: &Clock,
    ) -> Result<Inner, QueryError> {
        let range = clock.positive(&subquery.range)?;
        let step = match &subquery.step {
            Some(step) => clock.positive(step)?,
            None => clock.subquery_step.max(1),
        };
        let look = clock.look(&subquery.modifiers)?;
        let open = look.from(steps.start).saturating_sub(range);
        let start = open.div_euclid(step).saturating_add(1).saturating_mul(step);
        Ok(Inner {
            steps: Steps::between(start, look.from(steps.end()), step).uncounted(),
            look,
            range,
        })
    }
}

/// Functions whose value depends on the step even if their arguments do not.
const OF_THE_STEP: [&str; 15] = [
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "end",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
    "year",
];

/// Returns whether `expr` has the same value at every step.
pub(crate) fn is_step_invariant(expr: &Expr) -> bool {
    match expr {
        Expr::Number(_) | Expr::String(_) => true,
        Expr::Vector(selector) => selector.modifiers.at.is_some(),
        Expr::Matrix(matrix) => matrix.selector.modifiers.at.is_some(),
        Expr::Subquery(subquery) => subquery.modifiers.at.is_some(),
        Expr::Call(call) if OF_THE_STEP.contains(&call.function.name) => false,
        Expr::Call(call) if call.function.name == "info" => {
            info::is_fixed(&call.args[0]) && is_step_invariant(&call.args[0])
        }
        _ => expr.children().into_iter().all(is_step_invariant),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expected: (i64, i64)) {
        let clock = Clock {
            steps: Steps::between(100_000, 160_000, 10_000),
            end: 165_000,
            is_instant: false,
            lookback: 5_000,
            subquery_step: 60_000,
        };
        let expr = crate::parse(query).unwrap();
        assert_eq!(time_range(&expr, &clock).unwrap(), expected, "{query}");
    }

    #[test]
    fn covers_every_selector() {
        check("1 + 1", (0, 0));
        check("x", (95_001, 160_000));
        check("x offset 10s + rate(x[20s] offset 5s)", (75_001, 155_000));
        check("rate(x[20s]) + x offset -10s", (80_001, 170_000));
        check("x @ 20", (15_001, 20_000));
        check("x @ start() or x @ end() offset 1s", (95_001, 164_000));
        check("max_over_time(x[1m:7s])", (42_000 - 4_999, 154_000));
        check("info(vector(1))", (95_001, 160_000));
        check("info(x @ 20, {a=\"b\"})", (15_001, 20_000));
    }
}
