//! Arithmetic and comparison between vectors.
//!
//! The match groups of both sides are numbered once. The "one" side is kept; the "many" side (the left, unless
//! `group_right`) streams past it, and each of its rows meets the rows of its group. That a group has one sample on the
//! one side is a matter of each step, so it is checked by bits, not by series. So is what a fill modifier is for: a group
//! with samples on one side only. The rows of groups without a "many" side come last, when all of that side was read.

mod combine;
mod labels;
mod plan;

use model::Labels;
use smallvec::SmallVec;

use super::drops_name;
use crate::ast::{Binary, Cardinality, VectorMatching};
use crate::engine::context::Context;
use crate::engine::evaluate;
use crate::error::QueryError;
use crate::operator::group::{Groups, Key};
use crate::operator::merge::{SAME_LABELS, differ, differ_without_names, unique};
use crate::row::{Bits, BoxRows, Meta, RESERVED, Row, Rows, Steps};
use crate::table::Table;
use combine::Side;
use plan::{Conflict, Output};

/// Evaluates an operator between two vectors.
pub(super) fn rows<'q>(
    context: &'q Context<'q>,
    node: &'q Binary,
    steps: Steps,
) -> Result<BoxRows<'q>, QueryError> {
    let Some(matching) = &node.matching else {
        return Err(QueryError::execution(
            "operator between vectors lacks its matching",
        ));
    };
    let left = evaluate::rows(context, &node.left, steps)?;
    let right = evaluate::rows(context, &node.right, steps)?;
    let swapped = matching.cardinality == Cardinality::OneToMany;
    let (many, one) = if swapped {
        (right, left)
    } else {
        (left, right)
    };
    let one = Table::collect(one, steps.count, context)?;
    let join = Join::new(context, node, matching, (many, one), steps.count)?;
    if join.results_differ {
        debug_assert!(differ(&join.series, context.delayed_name_removal));
        return Ok(Box::new(join));
    }
    let message = match matching.cardinality {
        Cardinality::OneToOne => SAME_LABELS,
        _ => "multiple matches for labels: grouping labels must ensure unique matches",
    };
    unique(context, Box::new(join), steps.count, message)
}

/// Series of the one side, mostly one.
type Partners = SmallVec<[usize; 2]>;

struct Join<'q> {
    context: &'q Context<'q>,
    node: &'q Binary,
    matching: &'q VectorMatching,
    many: BoxRows<'q>,
    one: Table,
    steps: usize,
    /// Per match group, the series of the one side.
    partners: Vec<Partners>,
    /// Per series of the many side, its match group.
    ids: Vec<usize>,
    /// What stands for a missing sample of the many side, and of the one side.
    fill: (Option<f64>, Option<f64>),
    /// Steps at which some group has two samples on the one side, and what to say then.
    conflicts: Vec<Conflict>,
    conflicting: Bits,
    /// Whether it is known that the results have different labels.
    results_differ: bool,
    /// The result's series, in the order of the outputs.
    series: Vec<Meta>,
    outputs: Vec<Output>,
    next: usize,
    /// The row of the many side that was read last, and how many were read.
    current: Row,
    read: usize,
    /// Per group, the steps that have a sample on the one side.
    one_has: Vec<Bits>,
    /// Per group, the steps that have a sample on the many side, of the rows read so far.
    many_has: Vec<Bits>,
    /// One-to-one: per group, the steps that have a result already.
    matched: Vec<Bits>,
}

impl<'q> Join<'q> {
    fn new(
        context: &'q Context<'q>,
        node: &'q Binary,
        matching: &'q VectorMatching,
        (many, one): (BoxRows<'q>, Table),
        steps: usize,
    ) -> Result<Self, QueryError> {
        let key = Key {
            labels: &matching.labels,
            counts: matching.on,
            delayed: context.delayed_name_removal,
        };
        let mut groups = Groups::new(key);
        let one_ids = groups.of(&one.series);
        let ids = groups.of(many.series());
        let mut partners = vec![Partners::new(); groups.len()];
        for (series, &id) in one_ids.iter().enumerate() {
            partners[id].push(series);
        }
        // Bits per group and step.
        context
            .budget
            .hold(groups.len().saturating_mul(3 * steps.div_ceil(64)))?;
        let no_steps = vec![Bits::new(steps); groups.len()];
        let mut join = Join {
            context,
            node,
            matching,
            many,
            one,
            steps,
            partners,
            ids,
            fill: fill_values(matching),
            conflicts: Vec::new(),
            conflicting: Bits::new(steps),
            results_differ: false,
            series: Vec::new(),
            outputs: Vec::new(),
            next: 0,
            current: Row::default(),
            read: 0,
            one_has: no_steps.clone(),
            many_has: no_steps.clone(),
            matched: no_steps,
        };
        join.results_differ = join.is_one_for_each_group() || join.is_one_for_each_of_many();
        join.find_conflicts(&groups.labels)?;
        join.plan_outputs(&groups.labels)?;
        Ok(join)
    }

    /// Whether each group has one result at most, so that the results differ as the groups do.
    fn is_one_for_each_group(&self) -> bool {
        if self.matching.cardinality != Cardinality::OneToOne || self.fill != (None, None) {
            return false;
        }
        if self.matching.on && self.matching.labels.iter().any(|name| name == RESERVED[0]) {
            // Groups may differ by the name alone, which results have lost.
            return false;
        }
        let mut groups = vec![false; self.partners.len()];
        let mut many = self.ids.iter().zip(self.many.series());
        many.all(|(&id, meta)| {
            // What goes with the name is part of the group.
            let has_others = meta.reserved().any(|(name, _)| name != RESERVED[0]);
            !has_others && !std::mem::replace(&mut groups[id], true)
        })
    }

    /// Whether the results differ as the series of the many side do, and those of one of these by what they take from the one
    /// side: series of one group have nothing else in place of that, or all the same.
    fn is_one_for_each_of_many(&self) -> bool {
        let include = &self.matching.include;
        if self.matching.cardinality == Cardinality::OneToOne
            || self.fill != (None, None)
            || include.iter().any(|name| RESERVED.contains(&name.as_str()))
        {
            return false;
        }
        let series = self.many.series();
        if !differ_without_names(series, self.context.delayed_name_removal) {
            return false;
        }
        let mut firsts: Vec<Option<&Labels>> = vec![None; self.partners.len()];
        include.is_empty()
            || self.ids.iter().zip(series).all(|(&id, meta)| {
                let first = *firsts[id].get_or_insert(&meta.labels);
                let is_same = |name: &String| first.value(name) == meta.labels.value(name);
                include.iter().all(is_same)
            })
    }

    /// Reads the many side up to the row before `end`; the last one read is the current row.
    fn read_before(&mut self, end: usize) -> Result<(), QueryError> {
        while self.read < end {
            self.many.next(&mut self.current)?;
            let occupied = self.current.occupied();
            self.many_has[self.ids[self.read]].insert_all(&occupied);
            self.read += 1;
            if let Some(step) = self.conflicting.first_common(&occupied) {
                let conflict = self
                    .conflicts
                    .iter()
                    .find(|conflict| conflict.steps.get(step));
                if let Some(conflict) = conflict {
                    return Err(self.error_of(conflict));
                }
            }
        }
        Ok(())
    }

    /// The rows of series `many` with those of `partners`.
    fn paired(
        &mut self,
        (many, partners): (usize, &[usize]),
        fills_one: bool,
        row: &mut Row,
    ) -> Result<(), QueryError> {
        self.read_before(many + 1)?;
        let group = self.ids[many];
        let mut met = Bits::new(self.steps);
        for &partner in partners {
            self.context.budget.check_work(self.steps)?;
            let mut both = self.current.occupied();
            both.retain(&self.one.occupied(partner), true);
            let (many, one) = (Side::of(&self.current), Side::at(&self.one, partner));
            for step in self.combine(many, one, row) {
                both.unset(step);
            }
            met.insert_all(&both);
        }
        if let (true, Some(value)) = (fills_one, self.fill.1) {
            self.context.budget.check_work(self.steps)?;
            let mut alone = self.current.occupied();
            alone.retain(&self.one_has[group], false);
            met.insert_all(&alone);
            let one = filled(alone, value, self.steps);
            self.combine(Side::of(&self.current), Side::of(&one), row);
        }
        if self.matching.cardinality == Cardinality::OneToOne {
            // Also where a comparison then leaves nothing.
            let matched = &mut self.matched[group];
            if matched.first_common(&met).is_some() {
                return Err(QueryError::execution(
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                ));
            }
            matched.insert_all(&met);
        }
        Ok(())
    }

    /// The rows of `partners` where their group has nothing on the many side.
    fn alone(
        &mut self,
        group: usize,
        partners: &[usize],
        value: f64,
        row: &mut Row,
    ) -> Result<(), QueryError> {
        self.read_before(self.ids.len())?;
        for &partner in partners {
            self.context.budget.check_work(self.steps)?;
            let mut alone = self.one.occupied(partner);
            alone.retain(&self.many_has[group], false);
            let many = filled(alone, value, self.steps);
            self.combine(Side::of(&many), Side::at(&self.one, partner), row);
        }
        Ok(())
    }
}

/// What stands for a missing sample of the many side, and of the one side.
fn fill_values(matching: &VectorMatching) -> (Option<f64>, Option<f64>) {
    let left = matching.fill_left.map(|number| number.value);
    let right = matching.fill_right.map(|number| number.value);
    match matching.cardinality {
        Cardinality::OneToMany => (right, left),
        _ => (left, right),
    }
}

/// A row of `value` at the steps `present`.
fn filled(present: Bits, value: f64, steps: usize) -> Row {
    Row {
        values: vec![value; steps],
        present,
        histograms: Vec::new(),
    }
}

impl Rows for Join<'_> {
    fn series(&self) -> &[Meta] {
        &self.series
    }

    fn next(&mut self, row: &mut Row) -> Result<(), QueryError> {
        let output = std::mem::take(&mut self.outputs[self.next]);
        self.next += 1;
        row.reset(self.steps);
        match (output.many, self.fill.0) {
            (Some(many), _) => {
                self.paired((many, &output.partners), output.fills_one, row)?;
            }
            (None, Some(value)) => self.alone(output.group, &output.partners, value, row)?,
            (None, None) => (),
        }
        // Several partners take turns.
        row.histograms.sort_by_key(|(step, _)| *step);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
