//! quantile and count_values: all values of a group at a step.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use model::Labels;
use model::float::format_plain;

use super::Grouped;
use crate::engine::context::Context;
use crate::error::QueryError;
use crate::numeric;
use crate::operator::group::with_label;
use crate::operator::merge::{SAME_LABELS, unique};
use crate::position::Position;
use crate::row::{BoxRows, Meta, Row, Scalar};
use crate::table::Table;

/// Evaluates `quantile(q, …)`.
pub(super) fn quantile<'q>(
    context: &Context<'_>,
    mut grouped: Grouped<'_>,
    q: Scalar,
    position: Position,
) -> Result<BoxRows<'q>, QueryError> {
    let (groups, steps) = (grouped.series.len(), grouped.steps);
    context.budget.hold(groups.saturating_mul(steps))?;
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); groups * steps];
    let mut row = Row::default();
    for index in 0..grouped.ids.len() {
        grouped.input.next(&mut row)?;
        if !row.histograms.is_empty() {
            let message = "ignored histogram in quantile aggregation";
            context.info(message, grouped.node.expr.position());
        }
        context.budget.hold(row.len())?;
        for step in row.present.iter() {
            values[grouped.ids[index] * steps + step].push(row.values[step]);
        }
    }
    for step in 0..steps {
        check_quantile(context, q.at(step), position);
    }
    let mut table = Table::new(steps);
    for (group, meta) in grouped.series.into_iter().enumerate() {
        row.reset(steps);
        for step in 0..steps {
            let values = &mut values[group * steps + step];
            if !values.is_empty() {
                context.budget.check_work(values.len())?;
                row.set(step, numeric::quantile(q.at(step), values));
            }
        }
        if !row.is_empty() {
            table.push(meta, &row);
        }
    }
    Ok(table.into_rows())
}

/// Warns when `q` is no quantile.
pub(crate) fn check_quantile(context: &Context<'_>, q: f64, position: Position) {
    if !(0.0..=1.0).contains(&q) {
        let q = model::float::format_general(q);
        let message = format!("quantile value should be between 0 and 1, got {q}");
        context.warn(&message, position);
    }
}

/// Evaluates `count_values(label, …)`.
pub(super) fn count_values<'q>(
    context: &'q Context<'q>,
    mut grouped: Grouped<'q>,
    label: &str,
) -> Result<BoxRows<'q>, QueryError> {
    let steps = grouped.steps;
    // Samples are grouped by the new label too, and `without` may say not to.
    let leaves_out = grouped.node.without && grouped.node.grouping.iter().any(|name| name == label);
    let mut by_value: HashMap<(usize, String), usize> = HashMap::new();
    // The new label may hide the one that told groups apart, so their counts add up.
    let mut by_labels: HashMap<Labels, usize> = HashMap::new();
    let mut counted: Vec<(Meta, Row)> = Vec::new();
    let mut row = Row::default();
    for index in 0..grouped.ids.len() {
        grouped.input.next(&mut row)?;
        let group = grouped.ids[index];
        let mut count = |step: usize, value: String| {
            let at = match by_value.entry((group, value)) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    let meta = &grouped.series[group];
                    let labels = match leaves_out {
                        true => meta.labels.clone(),
                        false => with_label(&meta.labels, label, &new.key().1),
                    };
                    let at = match by_labels.entry(labels) {
                        Entry::Occupied(known) => *known.get(),
                        Entry::Vacant(new) => {
                            context.budget.hold(steps)?;
                            let labels = new.key().clone();
                            let mut empty = Row::default();
                            empty.reset(steps);
                            counted.push((meta.with_labels(labels), empty));
                            *new.insert(counted.len() - 1)
                        }
                    };
                    *new.insert(at)
                }
            };
            let counts = &mut counted[at].1;
            counts.values[step] += 1.0;
            counts.present.set(step);
            Ok::<(), QueryError>(())
        };
        for step in row.present.iter() {
            count(step, format_plain(row.values[step]))?;
        }
        for (step, histogram) in &row.histograms {
            count(*step, histogram.to_string())?;
        }
        context.budget.hold(row.len())?;
    }
    let mut table = Table::new(steps);
    for (meta, row) in counted {
        table.push(meta, &row);
    }
    unique(context, table.into_rows(), steps, SAME_LABELS)
}
