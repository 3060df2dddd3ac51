//! How much work an expression is, guessed before it is evaluated.

use model::storage::{Querier, Queryable};

use super::bounds::{Inner, selections, time_range};
use super::context::Clock;
use super::{Engine, QueryOptions, Times};
use crate::ast::Expr;
use crate::operator::parallel::{SAMPLE_EVERY, WORK_OF_SERIES};
use crate::row::Steps;

impl Engine {
    /// Returns about how much work evaluating `expr` at `start_ms` and every `step_ms` (positive) up to `end_ms` is, in
    /// units of some ten nanoseconds. Too much rather than too little, but for native histograms, which are more work than
    /// floats. `usize::MAX` when nothing is known, and for what will not be evaluated.
    pub fn effort(
        &self,
        storage: &dyn Queryable,
        expr: &Expr,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: &QueryOptions,
    ) -> usize {
        let clock = Clock::new(Times::range(start_ms, end_ms, step_ms), options, self);
        let guess = || {
            let (mint, maxt) = time_range(expr, &clock).ok()?;
            let querier = storage.querier(mint, maxt).ok()?;
            of_tree(expr, clock.steps, &clock, &*querier)
        };
        guess().map_or(usize::MAX, |guess| guess.work)
    }
}

/// What is guessed of an expression.
#[derive(Default)]
struct Guess {
    /// Its series at most, roughly.
    series: usize,
    work: usize,
}

fn of_tree(expr: &Expr, steps: Steps, clock: &Clock, querier: &dyn Querier) -> Option<Guess> {
    match expr {
        Expr::Vector(_) | Expr::Matrix(_) => return of_selector(expr, steps, clock, querier),
        // It selects what no selector says.
        Expr::Call(call) if call.function.name == "info" => return None,
        Expr::Subquery(subquery) => {
            let inner = Inner::of(subquery, steps, clock).ok()?;
            let mut guess = of_tree(&subquery.expr, inner.steps, clock, querier)?;
            let window = usize::try_from(inner.range / inner.steps.step).unwrap_or(usize::MAX);
            let of_each = steps.count.saturating_mul(window);
            guess.work = guess
                .work
                .saturating_add(of_each.saturating_mul(guess.series));
            return Some(guess);
        }
        _ => (),
    }
    let mut all = Guess {
        series: 1,
        work: steps.count,
    };
    for child in expr.children() {
        let guess = of_tree(child, steps, clock, querier)?;
        all.series = all.series.max(guess.series);
        all.work = all.work.saturating_add(guess.work);
    }
    Some(all)
}

fn of_selector(expr: &Expr, steps: Steps, clock: &Clock, querier: &dyn Querier) -> Option<Guess> {
    let mut all = Guess::default();
    selections(expr, steps, clock, &mut |looking| {
        let series = looking
            .matchers
            .map_or(usize::MAX, |m| querier.series_max(m));
        let span = looking.last.saturating_sub(looking.first);
        let of_each = WORK_OF_SERIES
            .saturating_add(samples(span))
            .saturating_add(steps.count.saturating_mul(1 + samples(looking.window)));
        all.series = series.max(1);
        all.work = series.saturating_mul(of_each);
    })
    .ok()?;
    Some(all)
}

/// About how many samples a series has in `span` milliseconds.
fn samples(span: i64) -> usize {
    usize::try_from(span / SAMPLE_EVERY).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use model::Matcher;
    use model::storage::{ReadError, SelectHints, SeriesSet};

    use super::*;

    /// Says that each selector has a hundred series, or that it does not know.
    struct Hundred(bool);

    impl Queryable for Hundred {
        fn querier(&self, _: i64, _: i64) -> Result<Box<dyn Querier + '_>, ReadError> {
            Ok(Box::new(Hundred(self.0)))
        }
    }

    impl Querier for Hundred {
        fn select(
            &self,
            _: &[Matcher],
            _: &SelectHints,
        ) -> Result<Box<dyn SeriesSet + '_>, ReadError> {
            unreachable!("only counts are asked for")
        }

        fn series_max(&self, _: &[Matcher]) -> usize {
            if self.0 { 100 } else { usize::MAX }
        }

        fn label_names(&self, _: &[Matcher]) -> Result<Vec<String>, ReadError> {
            Ok(Vec::new())
        }

        fn label_values(&self, _: &str, _: &[Matcher]) -> Result<Vec<String>, ReadError> {
            Ok(Vec::new())
        }
    }

    /// Guesses at so many steps of a minute.
    fn effort(query: &str, steps: i64, knows: bool) -> usize {
        let engine = crate::engine::tests::engine();
        let expr = engine.parse(query).unwrap();
        let options = QueryOptions::default();
        let end_ms = (steps - 1) * 60_000;
        engine.effort(&Hundred(knows), &expr, 0, end_ms, 60_000, &options)
    }

    #[test]
    fn grows_with_series_steps_and_windows() {
        let of_one = effort("x", 1, true);
        assert!((2_000..6_000).contains(&of_one), "{of_one}");
        assert!(effort("x + x", 1, true) > 2 * of_one);
        assert!(effort("x", 1_000, true) > 200_000);
        // Each step's window is looked at.
        assert!(effort("quantile_over_time(0.5, x[1h])", 100, true) > 100 * 100 * 240);
        // The steps of a subquery count, whatever those of the query.
        assert!(effort("max_over_time(x[1h:1s])", 1, true) > 100 * 3_600);
        // … and so do its windows.
        assert!(
            effort(
                "quantile_over_time(0.5, vector(time())[1d:1s])",
                1_000,
                true
            ) > 80_000_000
        );
        assert!(effort("max_over_time(sum(x)[1h:1m])", 1, true) < 200_000);
        // Without series there are still steps.
        assert!(effort(&["1"; 100].join(" + "), 1_000, true) > 100_000);
    }

    #[test]
    fn what_is_not_known_is_endless() {
        assert_eq!(effort("x", 1, false), usize::MAX);
        assert_eq!(effort("info(x)", 1, true), usize::MAX);
        assert_eq!(effort("rate(x[1m - 2m])", 1, true), usize::MAX);
    }
}
