//! What is decided once for all steps: which series meet, what comes of them, and where they must not.

use model::Labels;
use smallvec::SmallVec;

use super::labels::Result as ResultLabels;
use super::{Join, Partners, drops_name};
use crate::ast::Cardinality;
use crate::error::QueryError;
use crate::operator::group::describe;
use crate::row::{Bits, Meta};

/// Steps at which a group has two samples on the one side.
pub(super) struct Conflict {
    pub(super) steps: Bits,
    pub(super) message: String,
}

/// Where a series of the result comes from.
#[derive(Default)]
pub(super) struct Output {
    pub(super) group: usize,
    /// The series of the many side; none where that side is filled.
    pub(super) many: Option<usize>,
    /// The series of the one side that give the same labels.
    pub(super) partners: Partners,
    /// Whether a filled one side gives the same labels.
    pub(super) fills_one: bool,
}

/// The results of one series of the many side, mostly one.
type Planned = SmallVec<[(Meta, Output); 1]>;

impl Join<'_> {
    /// Finds the steps at which two series of the one side are in the same group.
    ///
    /// A conflict is kept only if it adds steps: what is said of a step is what was found first.
    pub(super) fn find_conflicts(&mut self, groups: &[Labels]) -> Result<(), QueryError> {
        for (group, partners) in self.partners.iter().enumerate() {
            let seen = &mut self.one_has[group];
            for (index, &second) in partners.iter().enumerate() {
                self.context.budget.check_work(self.steps)?;
                let occupied = self.one.occupied(second);
                let mut steps = occupied.clone();
                steps.retain(seen, true);
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
        // With a fill modifier the one side gives results by itself.
        match self.conflicts.first() {
            Some(conflict) if self.fill != (None, None) => Err(self.error_of(conflict)),
            _ => Ok(()),
        }
    }

    /// What to say of a conflict.
    pub(super) fn error_of(&self, conflict: &Conflict) -> QueryError {
        if self.one.series.iter().any(|meta| meta.is_pruned) {
            return self.context.misses_labels();
        }
        QueryError::execution(conflict.message.as_str())
    }

    /// Decides the labels of the result.
    pub(super) fn plan_outputs(&mut self, groups: &[Labels]) -> Result<(), QueryError> {
        for many in 0..self.ids.len() {
            let group = self.ids[many];
            if self.looks_like_before(many) {
                self.add_as_before(many)?;
                continue;
            }
            let meta = self.many.series()[many].clone();
            let mut planned = self.planned(group, Some(many), &meta)?;
            if self.fill.1.is_some() {
                let result = self
                    .result_labels()
                    .of(&meta, &Meta::new(groups[group].clone()));
                let known = planned
                    .iter_mut()
                    .find(|(known, _)| known.labels == result.labels);
                match known {
                    Some((_, output)) => output.fills_one = true,
                    None => planned.push((result, output(group, Some(many), true))),
                }
            }
            // A series without partners still counts for the other side's conflicts.
            if planned.is_empty() {
                let meta = match self.results_differ {
                    true => self.result_labels().alone(&meta),
                    false => meta,
                };
                planned.push((meta, output(group, Some(many), false)));
            }
            self.add(planned);
        }
        if self.fill.0.is_some() {
            for (group, labels) in groups.iter().enumerate() {
                let planned = self.planned(group, None, &Meta::new(labels.clone()))?;
                self.add(planned);
            }
        }
        Ok(())
    }

    /// Whether series `many` of the many side has the labels of the one before it, as pruned ones often have.
    fn looks_like_before(&self, many: usize) -> bool {
        let Some(before) = many.checked_sub(1) else {
            return false;
        };
        let series = self.many.series();
        let (before, meta) = (&series[before], &series[many]);
        before.drop_name == meta.drop_name && before.labels == meta.labels
    }

    /// Adds for `many` what the series before has.
    fn add_as_before(&mut self, many: usize) -> Result<(), QueryError> {
        let partners = self.partners[self.ids[many]].len();
        self.context.budget.hold(partners)?;
        self.context.budget.check_work(partners)?;
        let newest = self.outputs.iter().rev();
        let is_before = |output: &&Output| output.many == Some(many - 1);
        let (count, end) = (newest.take_while(is_before).count(), self.outputs.len());
        for at in end - count..end {
            let same = &self.outputs[at];
            let output = Output {
                many: Some(many),
                partners: same.partners.clone(),
                ..*same
            };
            self.series.push(self.series[at].clone());
            self.outputs.push(output);
        }
        Ok(())
    }

    /// What `meta` gives with the series of the one side.
    fn planned(
        &self,
        group: usize,
        many: Option<usize>,
        meta: &Meta,
    ) -> Result<Planned, QueryError> {
        let labels = self.result_labels();
        let mut planned = Planned::new();
        for &partner in &self.partners[group] {
            self.context.budget.hold(1)?;
            self.context.budget.check_work(1 + planned.len())?;
            if self.matching.include.is_empty() && !planned.is_empty() {
                planned[0].1.partners.push(partner);
                continue;
            }
            let result = labels.of(meta, &self.one.series[partner]);
            let known = planned
                .iter_mut()
                .find(|(known, _)| known.labels == result.labels);
            match known {
                Some((_, output)) => output.partners.push(partner),
                None => {
                    let mut output = output(group, many, false);
                    output.partners.push(partner);
                    planned.push((result, output));
                }
            }
        }
        Ok(planned)
    }

    fn add(&mut self, planned: Planned) {
        for (meta, output) in planned {
            self.series.push(meta);
            self.outputs.push(output);
        }
    }

    fn result_labels(&self) -> ResultLabels<'_> {
        ResultLabels {
            matching: self.matching,
            drops_name: drops_name(self.node),
            delayed: self.context.delayed_name_removal,
        }
    }
}

fn output(group: usize, many: Option<usize>, fills_one: bool) -> Output {
    Output {
        group,
        many,
        partners: Partners::new(),
        fills_one,
    }
}
