//! `and`, `unless`, `or`: whether a sample has a counterpart.

use crate::ast::{Binary, BinaryOp};
use crate::engine::context::Context;
use crate::engine::evaluate;
use crate::error::QueryError;
use crate::operator::group::{Groups, Key};
use crate::operator::merge::{SAME_LABELS, unique};
use crate::row::{Bits, BoxRows, Meta, Row, Rows, Steps};

/// Evaluates a set operator.
pub(super) fn rows<'q>(
    context: &'q Context<'q>,
    node: &'q Binary,
    steps: Steps,
) -> Result<BoxRows<'q>, QueryError> {
    let left = evaluate::rows(context, &node.left, steps)?;
    let right = evaluate::rows(context, &node.right, steps)?;
    let (labels, counts) = match &node.matching {
        Some(matching) => (matching.labels.as_slice(), matching.on),
        None => (&[][..], false),
    };
    let mut groups = Groups::new(Key {
        labels,
        counts,
        delayed: context.delayed_name_removal,
    });
    let left_ids = groups.of(left.series());
    let right_ids = groups.of(right.series());
    // Bits per group and step.
    context
        .budget
        .hold(groups.len().saturating_mul(steps.count.div_ceil(64)))?;
    let occupied = vec![Bits::new(steps.count); groups.len()];
    if node.op == BinaryOp::Or {
        let series = left
            .series()
            .iter()
            .chain(right.series())
            .cloned()
            .collect();
        let either = Box::new(Either {
            left,
            right,
            ids: left_ids.into_iter().chain(right_ids).collect(),
            series,
            occupied,
            next: 0,
        });
        return unique(context, either, steps.count, SAME_LABELS);
    }
    let mut filtered = Filtered {
        left,
        right: Some(right),
        left_ids,
        right_ids,
        occupied,
        wanted: node.op == BinaryOp::And,
        next: 0,
    };
    if filtered.left.series().is_empty() {
        // Nobody will ask for a row, but errors and annotations of the right are the query's.
        filtered.read_right(&mut Row::default())?;
    }
    Ok(Box::new(filtered))
}

/// `and` and `unless`: the left rows, where the right has something or nothing.
struct Filtered<'q> {
    left: BoxRows<'q>,
    /// Until it was read.
    right: Option<BoxRows<'q>>,
    left_ids: Vec<usize>,
    right_ids: Vec<usize>,
    /// Per match group, where the right has samples.
    occupied: Vec<Bits>,
    wanted: bool,
    next: usize,
}

impl Filtered<'_> {
    fn read_right(&mut self, row: &mut Row) -> Result<(), QueryError> {
        if let Some(mut right) = self.right.take() {
            for &id in &self.right_ids {
                right.next(row)?;
                self.occupied[id].insert_all(&row.occupied());
            }
        }
        Ok(())
    }
}

impl Rows for Filtered<'_> {
    fn series(&self) -> &[Meta] {
        self.left.series()
    }

    fn next(&mut self, row: &mut Row) -> Result<(), QueryError> {
        self.read_right(row)?;
        self.left.next(row)?;
        row.retain(&self.occupied[self.left_ids[self.next]], self.wanted);
        self.next += 1;
        Ok(())
    }
}

/// `or`: the left rows, then the right ones where the left has nothing.
struct Either<'q> {
    left: BoxRows<'q>,
    right: BoxRows<'q>,
    ids: Vec<usize>,
    series: Vec<Meta>,
    /// Per match group, where the left has samples.
    occupied: Vec<Bits>,
    next: usize,
}

impl Rows for Either<'_> {
    fn series(&self) -> &[Meta] {
        &self.series
    }

    fn next(&mut self, row: &mut Row) -> Result<(), QueryError> {
        let occupied = &mut self.occupied[self.ids[self.next]];
        if self.next < self.left.series().len() {
            self.left.next(row)?;
            occupied.insert_all(&row.occupied());
        } else {
            self.right.next(row)?;
            row.retain(occupied, false);
        }
        self.next += 1;
        Ok(())
    }
}
