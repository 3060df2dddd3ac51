//! Info series: which there are, and which of them hold at a step.

use std::collections::HashMap;

use model::storage::{SampleColumns, SelectHints, SeriesSet};
use model::{Labels, Matcher};

use super::{Calling, IDENTIFYING, Identity, Wanted};
use crate::engine::context::{Context, Look};
use crate::error::QueryError;
use crate::operator::group::describe;
use crate::operator::selector::newest_per_step;
use crate::row::Bits;

/// The info series that are about some series of a query.
pub(super) struct InfoSeries<'q> {
    call: Calling<'q>,
    set: Box<dyn SeriesSet + 'q>,
    look: Look,
    /// Sorted by group and name, so that those of which one counts stand together.
    found: Vec<Found>,
}

struct Found {
    index: usize,
    labels: Labels,
    group: usize,
}

/// A set of info series, at most one of each name, that hold together.
pub(super) struct Joined {
    /// Indices for [`InfoSeries::labels`].
    pub(super) series: Vec<usize>,
    /// When: the sets of a group never share a step.
    pub(super) steps: Bits,
}

/// Which series counts at a step, and since when: its index and the time of its sample.
type Winner = Option<(usize, i64)>;

impl<'q> InfoSeries<'q> {
    /// Selects the series that are `wanted` and about one of `groups`.
    pub(super) fn select(
        call: Calling<'q>,
        wanted: &Wanted,
        look: Look,
        groups: &HashMap<Identity, usize>,
    ) -> Result<Self, QueryError> {
        let context = call.context;
        let matchers: Vec<Matcher> = wanted.names.iter().chain(&wanted.data).cloned().collect();
        let (first, last) = span(call, look);
        let set = context
            .querier
            .select(&matchers, &SelectHints::range(first, last))?;
        let mut found = Vec::new();
        for index in 0..set.len() {
            context.budget.check_work(1)?;
            let labels = set.labels(index);
            let identity = IDENTIFYING.map(|label| labels.value(label).to_owned());
            if let Some(&group) = groups.get(&identity) {
                found.push(Found {
                    index,
                    labels,
                    group,
                });
            }
        }
        let key = |found: &Found| (found.group, found.labels.metric_name().to_owned());
        found.sort_by_cached_key(key);
        Ok(InfoSeries {
            call,
            set,
            look,
            found,
        })
    }

    /// The labels of the series `at`.
    pub(super) fn labels(&self, at: usize) -> &Labels {
        &self.found[at].labels
    }

    /// Finds out which series hold when: per group, sets of them.
    pub(super) fn join(
        &self,
        context: &Context<'_>,
        groups: usize,
        steps: usize,
    ) -> Result<Vec<Vec<Joined>>, QueryError> {
        let mut joined: Vec<Vec<Joined>> = Vec::new();
        joined.resize_with(groups, Vec::new);
        let mut columns = SampleColumns::default();
        let same_group = |a: &Found, b: &Found| a.group == b.group;
        let same_name = |a: &Found, b: &Found| a.labels.metric_name() == b.labels.metric_name();
        let mut at = 0;
        for of_group in self.found.chunk_by(same_group) {
            // Per step, the series that count.
            context.budget.hold(steps.saturating_mul(2))?;
            let mut holding: Vec<Vec<usize>> = vec![Vec::new(); steps];
            for of_name in of_group.chunk_by(same_name) {
                let mut winners: Vec<Winner> = vec![None; steps];
                for series in at..at + of_name.len() {
                    self.contend(series, &mut winners, &mut columns)?;
                }
                at += of_name.len();
                for (winner, holding) in winners.iter().zip(&mut holding) {
                    holding.extend(winner.map(|(series, _)| series));
                }
            }
            context.budget.release(steps.saturating_mul(2));
            joined[of_group[0].group] = sets(context, holding, steps)?;
        }
        Ok(joined)
    }

    /// Makes `series` the winner at each step at which its sample is the newest.
    fn contend(
        &self,
        series: usize,
        winners: &mut [Winner],
        columns: &mut SampleColumns,
    ) -> Result<(), QueryError> {
        let context = self.call.context;
        context.budget.check()?;
        context.budget.check_work(winners.len())?;
        let (first, last) = span(self.call, self.look);
        columns.clear();
        self.set
            .read(self.found[series].index, first, last, columns)?;
        context.decoded(columns.len());
        let at = |step| self.look.from(self.call.steps.time(step));
        let lookback = context.times.lookback;
        let mut seen = Bits::new(winners.len());
        for (step, newest) in newest_per_step(&columns.timestamps, winners.len(), at, lookback) {
            let sample = columns.sample(newest);
            if sample.value.is_stale() {
                continue;
            }
            seen.set(step);
            if columns.histogram(newest).is_some() {
                return Err(QueryError::execution(format!(
                    "this should be an info metric, with float samples: {}",
                    describe(self.labels(series))
                )));
            }
            match winners[step] {
                Some((_, t)) if sample.t < t => (),
                Some((other, t)) if sample.t == t => {
                    return Err(QueryError::execution(format!(
                        "found duplicate series for info metric: existing {} @ {t}, new {} @ {t}",
                        describe(self.labels(other)),
                        describe(self.labels(series))
                    )));
                }
                _ => winners[step] = Some((series, sample.t)),
            }
        }
        context.budget.see_at(self.call.steps, &seen)
    }
}

/// The first and the last millisecond that is looked at.
fn span(call: Calling<'_>, look: Look) -> (i64, i64) {
    let first = look
        .from(call.steps.start)
        .saturating_sub(call.context.times.lookback);
    (first.saturating_add(1), look.from(call.steps.end()))
}

/// Puts the steps together at which the same series hold.
fn sets(
    context: &Context<'_>,
    holding: Vec<Vec<usize>>,
    steps: usize,
) -> Result<Vec<Joined>, QueryError> {
    let mut known: HashMap<Vec<usize>, usize> = HashMap::new();
    let mut sets: Vec<Joined> = Vec::new();
    for (step, series) in holding.into_iter().enumerate() {
        if series.is_empty() {
            continue;
        }
        let at = match known.get(&series) {
            Some(&at) => at,
            None => {
                context.budget.hold(1 + steps.div_ceil(64))?;
                known.insert(series.clone(), sets.len());
                sets.push(Joined {
                    series,
                    steps: Bits::new(steps),
                });
                sets.len() - 1
            }
        };
        sets[at].steps.set(step);
    }
    Ok(sets)
}
