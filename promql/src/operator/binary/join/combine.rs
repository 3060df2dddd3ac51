//! The samples of two series that met.

use std::sync::Arc;

use model::FloatHistogram;

use super::super::{arithmetic, compare, incompatible, is_trim};
use super::Join;
use crate::ast::Cardinality;
use crate::histogram::binary::{Operand, combine, holds};
use crate::row::{Bits, Row};
use crate::table::Table;

/// The samples of one side.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    values: &'a [f64],
    present: &'a Bits,
    histograms: &'a [(usize, Arc<FloatHistogram>)],
}

impl<'a> Side<'a> {
    /// A row.
    pub(super) fn of(row: &'a Row) -> Self {
        Side {
            values: &row.values,
            present: &row.present,
            histograms: &row.histograms,
        }
    }

    /// A series of a table.
    pub(super) fn at(table: &'a Table, series: usize) -> Self {
        Side {
            values: table.values(series),
            present: table.present(series),
            histograms: table.histograms(series),
        }
    }

    fn operand(&self, step: usize) -> Option<Operand<'a>> {
        let at = self.histograms.binary_search_by_key(&step, |(at, _)| *at);
        match at {
            Ok(at) => Some(Operand::Histogram(&self.histograms[at].1)),
            Err(_) => self
                .present
                .get(step)
                .then(|| Operand::Float(self.values[step])),
        }
    }
}

impl Join<'_> {
    /// Adds what the operator gives where both sides have a sample; returns the steps at which it is not for such samples.
    pub(super) fn combine(&self, many: Side<'_>, one: Side<'_>, row: &mut Row) -> Vec<usize> {
        let swapped = self.matching.cardinality == Cardinality::OneToMany;
        let (left, right) = if swapped { (one, many) } else { (many, one) };
        let mut unfit = self.combine_floats(left, right, row);
        if !left.histograms.is_empty() || !right.histograms.is_empty() {
            unfit.extend(self.combine_histograms(left, right, row));
        }
        unfit
    }

    fn combine_floats(&self, left: Side<'_>, right: Side<'_>, row: &mut Row) -> Vec<usize> {
        let mut unfit = Vec::new();
        let mut both = left.present.clone();
        both.retain(right.present, true);
        let op = self.node.op;
        for step in both.iter() {
            let (left, right) = (left.values[step], right.values[step]);
            if op.is_comparison() {
                let holds = compare(op, left, right);
                if self.node.returns_bool {
                    row.set(step, f64::from(u8::from(holds)));
                } else if holds {
                    row.set(step, left);
                }
            } else if is_trim(op) {
                let message = incompatible("float", op, "float");
                self.context.info(&message, self.node.position);
                unfit.push(step);
            } else {
                row.set(step, arithmetic(op, left, right));
            }
        }
        unfit
    }

    fn combine_histograms(&self, left: Side<'_>, right: Side<'_>, row: &mut Row) -> Vec<usize> {
        let mut unfit = Vec::new();
        let steps = left.histograms.iter().chain(right.histograms);
        let mut steps: Vec<usize> = steps.map(|(step, _)| *step).collect();
        steps.sort_unstable();
        steps.dedup();
        for step in steps {
            let (Some(left), Some(right)) = (left.operand(step), right.operand(step)) else {
                continue;
            };
            if self.node.op.is_comparison() {
                match holds(self.context, self.node, left, right) {
                    Some(holds) if self.node.returns_bool => {
                        row.set(step, f64::from(u8::from(holds)));
                    }
                    Some(true) => {
                        if let Operand::Histogram(histogram) = left {
                            row.set_histogram(step, Arc::clone(histogram));
                        }
                    }
                    Some(false) => (),
                    None => unfit.push(step),
                }
                continue;
            }
            match combine(self.context, self.node, left, right) {
                Some(histogram) => row.set_histogram(step, histogram),
                None => unfit.push(step),
            }
        }
        unfit
    }
}
