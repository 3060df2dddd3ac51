//! Arithmetic and comparison between vectors.
//!
//! The match groups of both sides are numbered once. The "one" side is kept; the "many" side (the left, unless
//! `group_right`) streams past it, and each of its rows meets the rows of its group. That a group has one sample on the
//! one side is a matter of each step, so it is checked by bits, not by series.

mod labels;

use model::Labels;

use super::{compare, drops_name};
use crate::ast::{Binary, Cardinality, VectorMatching};
use crate::engine::context::Context;
use crate::engine::evaluate;
use crate::error::QueryError;
use crate::histogram::binary::{Operand, combine};
use crate::operator::group::{Groups, Key};
use crate::operator::merge::{SAME_LABELS, unique};
use crate::row::{Bits, BoxRows, Meta, Row, Rows, Steps};
use crate::table::Table;
use labels::{Result as ResultLabels, describe};

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
    if matching.fill_left.is_some() || matching.fill_right.is_some() {
        return Err(QueryError::unsupported("the modifier fill"));
    }
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
    let message = match matching.cardinality {
        Cardinality::OneToOne => SAME_LABELS,
        _ => "multiple matches for labels: grouping labels must ensure unique matches",
    };
    unique(context, Box::new(join), steps.count, message)
}

struct Join<'q> {
    context: &'q Context<'q>,
    node: &'q Binary,
    matching: &'q VectorMatching,
    many: BoxRows<'q>,
    one: Table,
    steps: usize,
    /// Per match group, the series of the one side.
    partners: Vec<Vec<usize>>,
    /// Per series of the many side, its match group.
    ids: Vec<usize>,
    /// Steps at which some group has two samples on the one side, and what to say then.
    conflicts: Vec<Conflict>,
    conflicting: Bits,
    /// The result's series, in the order of the outputs.
    series: Vec<Meta>,
    /// Per result series: of the many side, and the partners that give it the same labels.
    outputs: Vec<(usize, Vec<usize>)>,
    next: usize,
    /// The row of the many side that was read last, and how many were read.
    current: Row,
    read: usize,
    /// One-to-one: per group, the steps that have a result already.
    matched: Vec<Bits>,
}

struct Conflict {
    steps: Bits,
    message: String,
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
        let one_ids: Vec<usize> = one.series.iter().map(|meta| groups.of(meta)).collect();
        let ids: Vec<usize> = many.series().iter().map(|meta| groups.of(meta)).collect();
        let mut partners = vec![Vec::new(); groups.len()];
        for (series, &id) in one_ids.iter().enumerate() {
            partners[id].push(series);
        }
        // Bits per group and step.
        context
            .budget
            .hold(groups.len().saturating_mul(steps.div_ceil(64)))?;
        let mut join = Join {
            context,
            node,
            matching,
            many,
            one,
            steps,
            partners,
            ids,
            conflicts: Vec::new(),
            conflicting: Bits::new(steps),
            series: Vec::new(),
            outputs: Vec::new(),
            next: 0,
            current: Row::default(),
            read: 0,
            matched: vec![Bits::new(steps); groups.len()],
        };
        join.find_conflicts(&groups.labels)?;
        join.plan_outputs()?;
        Ok(join)
    }

    /// Finds the steps at which two series of the one side are in the same group.
    ///
    /// A conflict is kept only if it adds steps: what is said of a step is what was found first.
    fn find_conflicts(&mut self, groups: &[Labels]) -> Result<(), QueryError> {
        for (group, partners) in self.partners.iter().enumerate() {
            let mut seen = Bits::new(self.steps);
            for (index, &second) in partners.iter().enumerate() {
                self.context.budget.check_work(self.steps)?;
                let occupied = self.one.occupied(second);
                let mut steps = occupied.clone();
                steps.retain(&seen, true);
                seen.insert_all(&occupied);
                let mut added = steps.clone();
                added.retain(&self.conflicting, false);
                let Some(step) = steps.first_common(&steps).filter(|_| added.any()) else {
                    continue;
                };
                self.context.budget.check_work(index)?;
                let first = partners[..index]
                    .iter()
                    .find(|&&first| self.one.has(first, step));
                let side = match self.matching.cardinality {
                    Cardinality::OneToMany => "left",
                    _ => "right",
                };
                let name = |series: usize| {
                    describe(
                        &self.one.series[series].visible_labels(self.context.delayed_name_removal),
                    )
                };
                let message = format!(
                    "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
                    describe(&groups[group]),
                    name(*first.unwrap_or(&second)),
                    name(second),
                );
                self.conflicting.insert_all(&steps);
                self.conflicts.push(Conflict { steps, message });
            }
        }
        Ok(())
    }

    /// Decides the labels of the result, once for all steps.
    fn plan_outputs(&mut self) -> Result<(), QueryError> {
        let labels = ResultLabels {
            matching: self.matching,
            drops_name: drops_name(self.node),
            delayed: self.context.delayed_name_removal,
        };
        for (many, meta) in self.many.series().iter().enumerate() {
            let partners = &self.partners[self.ids[many]];
            let mut planned: Vec<(Meta, Vec<usize>)> = Vec::new();
            for &partner in partners {
                self.context.budget.hold(1)?;
                self.context.budget.check_work(1 + planned.len())?;
                if self.matching.include.is_empty() && !planned.is_empty() {
                    planned[0].1.push(partner);
                    continue;
                }
                let result = labels.of(meta, &self.one.series[partner]);
                match planned
                    .iter_mut()
                    .find(|(known, _)| known.labels == result.labels)
                {
                    Some((_, partners)) => partners.push(partner),
                    None => planned.push((result, vec![partner])),
                }
            }
            // A series without partners still counts for the other side's conflicts.
            if planned.is_empty() {
                planned.push((meta.clone(), Vec::new()));
            }
            for (meta, partners) in planned {
                self.series.push(meta);
                self.outputs.push((many, partners));
            }
        }
        Ok(())
    }

    fn advance_to(&mut self, many: usize) -> Result<(), QueryError> {
        while self.read <= many {
            self.many.next(&mut self.current)?;
            self.read += 1;
            if let Some(step) = self.conflicting.first_common(&self.current.occupied()) {
                let conflict = self
                    .conflicts
                    .iter()
                    .find(|conflict| conflict.steps.get(step));
                let message = conflict.map_or("", |conflict| conflict.message.as_str());
                return Err(QueryError::execution(message));
            }
        }
        Ok(())
    }
}

impl Rows for Join<'_> {
    fn series(&self) -> &[Meta] {
        &self.series
    }

    fn next(&mut self, row: &mut Row) -> Result<(), QueryError> {
        let (many, partners) = std::mem::take(&mut self.outputs[self.next]);
        self.next += 1;
        self.advance_to(many)?;
        row.reset(self.steps);
        let swapped = self.matching.cardinality == Cardinality::OneToMany;
        let mut met = Bits::new(self.steps);
        for partner in partners {
            self.context.budget.check_work(self.steps)?;
            let mut both = self.current.occupied();
            both.retain(&self.one.occupied(partner), true);
            met.insert_all(&both);
            if self.current.histograms.is_empty() && self.one.histograms(partner).is_empty() {
                self.combine_floats(partner, swapped, row);
            } else {
                self.combine_mixed(partner, swapped, row);
            }
        }
        if self.matching.cardinality == Cardinality::OneToOne {
            // Also where a comparison then leaves nothing.
            let matched = &mut self.matched[self.ids[many]];
            if matched.first_common(&met).is_some() {
                return Err(QueryError::execution(
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                ));
            }
            matched.insert_all(&met);
        }
        Ok(())
    }
}

impl Join<'_> {
    /// The usual case: no histograms on either side.
    fn combine_floats(&self, partner: usize, swapped: bool, row: &mut Row) {
        let mut both = self.current.present.clone();
        both.retain(self.one.present(partner), true);
        let (many, one) = (&self.current.values, self.one.values(partner));
        let op = self.node.op;
        for step in both.iter() {
            let (left, right) = if swapped {
                (one[step], many[step])
            } else {
                (many[step], one[step])
            };
            if op.is_comparison() {
                let holds = compare(op, left, right);
                if self.node.returns_bool {
                    row.set(step, f64::from(u8::from(holds)));
                } else if holds {
                    row.set(step, left);
                }
            } else if super::is_trim(op) {
                let message = super::incompatible("float", op, "float");
                self.context.info(&message, self.node.position);
            } else {
                row.set(step, super::arithmetic(op, left, right));
            }
        }
    }

    fn combine_mixed(&self, partner: usize, swapped: bool, row: &mut Row) {
        self.combine_floats(partner, swapped, row);
        for step in self.current.occupied().iter() {
            let many = operand(self.current.histogram(step), || {
                self.current
                    .present
                    .get(step)
                    .then(|| self.current.values[step])
            });
            let one = operand(self.one.histogram(partner, step), || {
                self.one.float(partner, step)
            });
            let (Some(many), Some(one)) = (many, one) else {
                continue;
            };
            let (left, right) = if swapped { (one, many) } else { (many, one) };
            if matches!((left, right), (Operand::Float(_), Operand::Float(_))) {
                continue;
            }
            if self.node.op.is_comparison() && self.node.returns_bool {
                if let Some(holds) =
                    crate::histogram::binary::holds(self.context, self.node, left, right)
                {
                    row.set(step, f64::from(u8::from(holds)));
                }
            } else if let Some(histogram) = combine(self.context, self.node, left, right) {
                row.set_histogram(step, histogram);
            }
        }
        row.histograms.sort_by_key(|(step, _)| *step);
    }
}

fn operand<'a>(
    histogram: Option<&'a std::sync::Arc<model::FloatHistogram>>,
    float: impl FnOnce() -> Option<f64>,
) -> Option<Operand<'a>> {
    match histogram {
        Some(histogram) => Some(Operand::Histogram(histogram)),
        None => float().map(Operand::Float),
    }
}
