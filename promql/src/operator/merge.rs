//! Series that became equal: merged where they take turns, an error where they meet.

use model::labels::Rest;

use crate::engine::context::Context;
use crate::error::QueryError;
use crate::operator::group::ByHash;
use crate::row::{BoxRows, Meta, RESERVED, Row};
use crate::table::Table;

/// The error of two series with the same labels.
pub(crate) const SAME_LABELS: &str = "vector cannot contain metrics with the same labelset";

/// Returns `rows` with series of equal visible labels merged; to be called wherever labels were changed.
///
/// `steps` is the number of steps. `message` is the error when two of them have a sample at the same step.
pub(crate) fn unique<'q>(
    context: &'q Context<'q>,
    rows: BoxRows<'q>,
    steps: usize,
    message: &'static str,
) -> Result<BoxRows<'q>, QueryError> {
    let Some(targets) = duplicates(rows.series(), context.delayed_name_removal) else {
        return Ok(rows);
    };
    if rows.series().iter().any(|meta| meta.is_pruned) {
        // With all labels they may be different.
        return Err(context.misses_labels());
    }
    let table = Table::collect_all(rows, steps, context)?;
    let mut merged: Vec<Option<(Meta, Row)>> = Vec::new();
    for (index, &target) in targets.iter().enumerate() {
        context.budget.check_work(steps)?;
        let mut row = Row::default();
        table.read(index, &mut row);
        merged.resize_with(merged.len().max(target + 1), || None);
        match &mut merged[target] {
            Some((_, kept)) => join(kept, &row, message)?,
            empty => *empty = Some((table.series[index].clone(), row)),
        }
    }
    let mut joined = Table::new(steps);
    for (meta, row) in merged.into_iter().flatten() {
        joined.push(meta, &row);
    }
    Ok(joined.into_rows())
}

/// Whether the visible labels of all series differ, as far as they are there.
pub(crate) fn differ(series: &[Meta], delayed: bool) -> bool {
    series.iter().any(|meta| meta.is_pruned) || duplicates(series, delayed).is_none()
}

/// Whether series that differ, as those of an operator do, still do so without their names: they all have the same.
pub(crate) fn differ_without_names(series: &[Meta], delayed: bool) -> bool {
    let Some((first, others)) = series.split_first() else {
        return true;
    };
    if delayed {
        return true;
    }
    let is_same = same_reserved(first);
    others
        .iter()
        .all(|other| other.drop_name == first.drop_name && is_same(other))
}

/// Whether others have the reserved labels of `meta`.
fn same_reserved(meta: &Meta) -> impl Fn(&Meta) -> bool {
    let last = RESERVED[RESERVED.len() - 1];
    let count = meta.reserved().count();
    let first = meta.labels.first(count);
    // Names are sorted: mostly the reserved ones are the first, and one comparison does for all of them.
    let are_first = first.iter().eq(meta.reserved());
    move |other| {
        let after = other.labels.after(first).filter(|_| are_first);
        let has_no_more = |rest: Rest<'_>| rest.iter().next().is_none_or(|(name, _)| last < name);
        after.is_some_and(has_no_more) || other.reserved().eq(meta.reserved())
    }
}

fn join(kept: &mut Row, row: &Row, message: &str) -> Result<(), QueryError> {
    if kept.occupied().first_common(&row.occupied()).is_some() {
        return Err(QueryError::execution(message));
    }
    for step in row.present.iter() {
        kept.set(step, row.values[step]);
    }
    kept.histograms.extend_from_slice(&row.histograms);
    kept.histograms.sort_by_key(|(step, _)| *step);
    Ok(())
}

/// Returns which output series each series belongs to, in order of first appearance; none when all are different.
fn duplicates(series: &[Meta], delayed: bool) -> Option<Vec<usize>> {
    let mut by_hash = ByHash::with_capacity(series.len());
    let mut targets = Vec::with_capacity(series.len());
    let mut found = false;
    for (index, meta) in series.iter().enumerate() {
        let target = meta.with_rest(delayed, |rest| {
            by_hash.number_of(rest, index, |other| {
                series[other].with_rest(delayed, |other| other == rest)
            })
        });
        found |= target != index;
        targets.push(target);
    }
    found.then_some(targets)
}

#[cfg(test)]
mod tests {
    use model::Labels;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reserved_labels_are_the_same_if_each_is(
            sets in proptest::collection::vec(
                proptest::collection::btree_map("__name__|__type__|__unit__|__other__|A|a", "xx?", 0..5), 2,
            ),
        ) {
            let metas = sets.iter().map(|set| {
                let pairs = set.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                Meta::new(Labels::from_pairs(pairs))
            });
            let metas: Vec<Meta> = metas.collect();
            let expected = RESERVED.iter().all(|&name| sets[0].get(name) == sets[1].get(name));
            prop_assert_eq!(differ_without_names(&metas, false), expected);
        }
    }
}
