//! `info(v, {matchers})`: labels of info series, added to the series that they are about.
//!
//! An info series is about the series with the same [`IDENTIFYING`] labels. Its samples only say when it holds; of
//! several info series of one name that hold at a step, the one with the newest sample counts. Which info series hold
//! for a match group is therefore a matter of the step: each [`Joined`] of a group is one set of them, and each series
//! of `v` gives one result per set.
//!
//! Source: Prometheus documentation of `info`, and the behaviour of its engine.

mod series;

use std::collections::HashMap;

use model::{LabelsBuilder, MatchOp, Matcher};

use super::Calling;
use crate::ast::{Expr, Modifiers};
use crate::engine::context::{Clock, Look};
use crate::error::QueryError;
use crate::operator::merge::{SAME_LABELS, unique};
use crate::row::{Bits, BoxRows, Meta, RESERVED, Row, Rows};
use series::{InfoSeries, Joined};

/// The labels that join an info series to others.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// The metric of info series unless the matchers name others.
const DEFAULT_NAME: &str = "target_info";

/// The values of the identifying labels; "" where there is none.
type Identity = [String; 2];

/// Which info series are wanted, and what of them.
struct Wanted {
    names: Vec<Matcher>,
    data: Vec<Matcher>,
}

impl Wanted {
    fn new(call: Calling<'_>) -> Result<Self, QueryError> {
        let all: &[Matcher] = match call.node.args.get(1) {
            Some(Expr::Vector(selector)) => &selector.matchers,
            _ => &[],
        };
        let (mut names, data): (Vec<Matcher>, Vec<Matcher>) = all
            .iter()
            .cloned()
            .partition(|matcher| matcher.name() == RESERVED[0]);
        if names.is_empty() {
            names.push(Matcher::equal(RESERVED[0], DEFAULT_NAME));
        }
        if names.iter().all(Matcher::is_negative) {
            let any = Matcher::new(RESERVED[0], MatchOp::Regex, ".+_info");
            names.push(any.map_err(|error| QueryError::execution(error.to_string()))?);
        }
        Ok(Wanted { names, data })
    }

    /// Whether `meta` is an info series itself, which is passed on as it is.
    fn is_info(&self, meta: &Meta, delayed: bool) -> bool {
        let name = meta.value(RESERVED[0], delayed);
        self.names.iter().all(|matcher| matcher.matches(name))
    }

    /// Whether series without info series stay.
    fn keeps_unmatched(&self) -> bool {
        self.data.iter().all(Matcher::matches_empty)
    }

    /// Whether the label `name` of an info series is to be added.
    fn adds(&self, name: &str) -> bool {
        let is_data = !RESERVED.contains(&name) && !IDENTIFYING.contains(&name);
        is_data && (self.data.is_empty() || self.data.iter().any(|m| m.name() == name))
    }
}

/// The modifiers on the way to the first selector of `expr`, outermost first; none if it has no selector.
fn path(expr: &Expr) -> Option<Vec<&Modifiers>> {
    match expr {
        Expr::Vector(selector) => Some(vec![&selector.modifiers]),
        Expr::Matrix(matrix) => Some(vec![&matrix.selector.modifiers]),
        Expr::Subquery(subquery) => {
            let mut modifiers = vec![&subquery.modifiers];
            modifiers.extend(path(&subquery.expr)?);
            Some(modifiers)
        }
        _ => expr.children().into_iter().find_map(path),
    }
}

/// Returns when info series are looked at for the series of `expr`: when its first selector looks at its own.
pub(crate) fn look(expr: &Expr, clock: &Clock) -> Result<Look, QueryError> {
    let mut look = Look::default();
    for modifiers in path(expr).unwrap_or_default() {
        let next = clock.look(modifiers)?;
        look = match next.at {
            Some(_) => next,
            None => Look {
                offset: look.offset.saturating_add(next.offset),
                ..look
            },
        };
    }
    Ok(look)
}

/// Returns whether info series for `expr` are looked at at the same time from all steps.
pub(crate) fn is_fixed(expr: &Expr) -> bool {
    path(expr).is_some_and(|path| path.iter().any(|modifiers| modifiers.at.is_some()))
}

/// Evaluates `info(…)`.
pub(super) fn rows(call: Calling<'_>) -> Result<BoxRows<'_>, QueryError> {
    let (context, steps) = (call.context, call.steps.count);
    let wanted = Wanted::new(call)?;
    let look = look(call.arg(0)?, &context.times)?;
    let base = call.vector(0)?;
    let delayed = context.delayed_name_removal;
    let mut groups: HashMap<Identity, usize> = HashMap::new();
    let ids: Vec<Option<usize>> = base
        .series()
        .iter()
        .map(|meta| {
            let identity = IDENTIFYING.map(|label| meta.value(label, delayed).to_owned());
            let nothing_to_join = identity.iter().all(String::is_empty);
            if nothing_to_join || wanted.is_info(meta, delayed) {
                return None;
            }
            let next = groups.len();
            Some(*groups.entry(identity).or_insert(next))
        })
        .collect();
    let found = InfoSeries::select(call, &wanted, look, &groups)?;
    let joined = found.join(context, groups.len(), steps)?;
    let mut info = Info {
        call,
        base,
        joined,
        series: Vec::new(),
        outputs: Vec::new(),
        next: 0,
        current: Row::default(),
        read: 0,
    };
    info.plan_outputs(&wanted, &ids, &found)?;
    unique(context, Box::new(info), steps, SAME_LABELS)
}

struct Info<'q> {
    call: Calling<'q>,
    base: BoxRows<'q>,
    /// Per match group, the sets of info series that hold together.
    joined: Vec<Vec<Joined>>,
    /// The result's series, in the order of the outputs.
    series: Vec<Meta>,
    outputs: Vec<Output>,
    next: usize,
    /// The row of the base that was read last, and how many were read.
    current: Row,
    read: usize,
}

/// Where a result series comes from.
struct Output {
    base: usize,
    kept: Kept,
    /// The label of which two info series say different things.
    conflict: Option<String>,
}

/// Which steps of the base series a result has.
enum Kept {
    All,
    /// Those at which the set `.1` of the group `.0` holds.
    Of(usize, usize),
    /// Those at which none of the group's sets holds.
    Unmatched(usize),
}

impl Info<'_> {
    /// Decides the labels of the result, once for all steps.
    fn plan_outputs(
        &mut self,
        wanted: &Wanted,
        ids: &[Option<usize>],
        found: &InfoSeries<'_>,
    ) -> Result<(), QueryError> {
        let delayed = self.call.context.delayed_name_removal;
        for (base, meta) in self.base.series().iter().enumerate() {
            let mut add = |meta: Meta, kept: Kept, conflict: Option<String>| {
                self.series.push(meta);
                self.outputs.push(Output {
                    base,
                    kept,
                    conflict,
                });
            };
            let Some(group) = ids[base] else {
                if wanted.keeps_unmatched() || wanted.is_info(meta, delayed) {
                    add(meta.clone(), Kept::All, None);
                }
                continue;
            };
            if wanted.keeps_unmatched() {
                add(meta.clone(), Kept::Unmatched(group), None);
            }
            for (set, joined) in self.joined[group].iter().enumerate() {
                self.call.context.budget.hold(1)?;
                let (meta, conflict) = enriched(meta, wanted, joined, found);
                add(meta, Kept::Of(group, set), conflict);
            }
        }
        Ok(())
    }
}

/// Returns `base` with the data labels of `joined` that it lacks, and the first label that has two values there.
fn enriched(
    base: &Meta,
    wanted: &Wanted,
    joined: &Joined,
    found: &InfoSeries<'_>,
) -> (Meta, Option<String>) {
    let mut builder: LabelsBuilder = base.labels.to_builder();
    let mut added: HashMap<&str, &str> = HashMap::new();
    for &series in &joined.series {
        for (name, value) in found.labels(series).iter() {
            if !wanted.adds(name) || !base.labels.value(name).is_empty() {
                continue;
            }
            if added.insert(name, value).is_some_and(|old| old != value) {
                return (base.clone(), Some(name.to_owned()));
            }
            builder.set(name, value);
        }
    }
    (base.with_labels(builder.build()), None)
}

impl Rows for Info<'_> {
    fn series(&self) -> &[Meta] {
        &self.series
    }

    fn next(&mut self, row: &mut Row) -> Result<(), QueryError> {
        let output = &self.outputs[self.next];
        self.next += 1;
        self.call.context.budget.check_work(self.call.steps.count)?;
        while self.read <= output.base {
            self.base.next(&mut self.current)?;
            self.read += 1;
        }
        row.clone_from(&self.current);
        match output.kept {
            Kept::All => (),
            Kept::Of(group, set) => row.retain(&self.joined[group][set].steps, true),
            Kept::Unmatched(group) => {
                let mut matched = Bits::new(self.call.steps.count);
                for joined in &self.joined[group] {
                    matched.insert_all(&joined.steps);
                }
                row.retain(&matched, false);
            }
        }
        match &output.conflict {
            Some(label) if !row.is_empty() => {
                Err(QueryError::execution(format!("conflicting label: {label}")))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
