//! topk, bottomk, limitk and limit_ratio: some series of each group, as they are.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::Grouped;
use crate::ast::AggregateOp;
use crate::engine::context::Context;
use crate::error::QueryError;
use crate::position::Position;
use crate::row::{BoxRows, Meta, Row, Scalar};
use crate::table::Table;

/// Evaluates an aggregation that selects by the scalar `k`.
pub(super) fn rows<'q>(
    context: &'q Context<'q>,
    grouped: Grouped<'q>,
    op: AggregateOp,
    k: Scalar,
    position: Position,
) -> Result<BoxRows<'q>, QueryError> {
    match op {
        AggregateOp::LimitRatio => limit_ratio(context, grouped, &k, position),
        AggregateOp::Limitk => limitk(context, grouped, &k),
        _ => ranked(context, grouped, op == AggregateOp::Topk, &k),
    }
}

/// How many series are wanted at `step`.
fn wanted(k: &Scalar, step: usize) -> Result<usize, QueryError> {
    let k = k.at(step);
    if k.is_nan() {
        return Err(QueryError::execution("Parameter value is NaN"));
    }
    if 9.223_372_036_854_775e18 <= k.abs() {
        let k = model::float::format_general(k);
        let edge = if k.starts_with('-') {
            "underflows"
        } else {
            "overflows"
        };
        return Err(QueryError::execution(format!(
            "Scalar value {k} {edge} int64"
        )));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "negative becomes 0, the upper bound is checked"
    )]
    Ok(k as usize)
}

/// One candidate: its value and which input series it is of.
type Candidate = (f64, usize);

fn ranked<'q>(
    context: &Context<'_>,
    mut grouped: Grouped<'_>,
    highest: bool,
    k: &Scalar,
) -> Result<BoxRows<'q>, QueryError> {
    let (groups, steps) = (grouped.series.len(), grouped.steps);
    let sizes: Vec<usize> = (0..steps)
        .map(|step| wanted(k, step))
        .collect::<Result<_, _>>()?;
    context.budget.hold(groups.saturating_mul(steps))?;
    let mut heaps: Vec<Vec<Candidate>> = vec![Vec::new(); groups * steps];
    let mut row = Row::default();
    for index in 0..grouped.ids.len() {
        grouped.input.next(&mut row)?;
        if row.histograms.iter().any(|(step, _)| 0 < sizes[*step]) {
            let message = format!(
                "ignored histogram in {} aggregation",
                grouped.node.op.as_str()
            );
            context.info(&message, grouped.node.position);
        }
        for step in row.present.iter() {
            let heap = &mut heaps[grouped.ids[index] * steps + step];
            if offer(heap, (row.values[step], index), sizes[step], highest) {
                context.budget.hold(1)?;
            }
        }
    }
    Ok(selected(context, heaps, grouped.input.series(), steps, highest)?.into_rows())
}

/// The kept entries as rows; of a single step in order of rank, group by group.
fn selected(
    context: &Context<'_>,
    heaps: Vec<Vec<Candidate>>,
    series: &[Meta],
    steps: usize,
    highest: bool,
) -> Result<Table, QueryError> {
    let mut order: Vec<usize> = Vec::new();
    let mut kept: BTreeMap<usize, Row> = BTreeMap::new();
    for (at, mut heap) in heaps.into_iter().enumerate() {
        context.budget.check_work(heap.len())?;
        heap.sort_by(|a, b| comes_first(*a, *b, highest));
        for (value, index) in heap {
            let row = match kept.entry(index) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    context.budget.hold(steps)?;
                    order.push(index);
                    let mut row = Row::default();
                    row.reset(steps);
                    new.insert(row)
                }
            };
            row.set(at % steps, value);
        }
    }
    let mut table = Table::new(steps);
    for index in order {
        if let Some(row) = kept.remove(&index) {
            table.push(series[index].clone(), &row);
        }
    }
    Ok(table)
}

/// The order of the result: best first, NaN last.
fn comes_first(a: Candidate, b: Candidate, highest: bool) -> std::cmp::Ordering {
    match (is_worse(a.0, b.0, highest), is_worse(b.0, a.0, highest)) {
        (true, _) => std::cmp::Ordering::Greater,
        (_, true) => std::cmp::Ordering::Less,
        _ => std::cmp::Ordering::Equal,
    }
}

/// Whether `a` goes out before `b`: NaN first, then the lower (topk) or the higher (bottomk).
fn is_worse(a: f64, b: f64, highest: bool) -> bool {
    if a.is_nan() {
        return !b.is_nan();
    }
    if highest { a < b } else { b < a }
}

/// Offers an entry to a heap of at most `size` with the worst at the root; returns whether the heap grew.
fn offer(heap: &mut Vec<Candidate>, entry: Candidate, size: usize, highest: bool) -> bool {
    if heap.len() < size {
        heap.push(entry);
        let mut child = heap.len() - 1;
        while 0 < child {
            let parent = (child - 1) / 2;
            if !is_above(heap[child].0, heap[parent].0, highest) {
                break;
            }
            heap.swap(child, parent);
            child = parent;
        }
        return true;
    }
    if heap
        .first()
        .is_some_and(|worst| is_worse(worst.0, entry.0, highest))
    {
        heap[0] = entry;
        sink(heap, highest);
    }
    false
}

/// Whether `a` belongs above `b` in the heap: as [`is_worse`], but one NaN above another. Which of several goes out is then
/// the same as in Prometheus.
fn is_above(a: f64, b: f64, highest: bool) -> bool {
    a.is_nan() || is_worse(a, b, highest)
}

fn sink(heap: &mut [Candidate], highest: bool) {
    let mut parent = 0;
    loop {
        let mut child = 2 * parent + 1;
        if heap.len() <= child {
            return;
        }
        if child + 1 < heap.len() && is_above(heap[child + 1].0, heap[child].0, highest) {
            child += 1;
        }
        if !is_above(heap[child].0, heap[parent].0, highest) {
            return;
        }
        heap.swap(child, parent);
        parent = child;
    }
}

/// The first `k` series of each group that have a sample.
fn limitk<'q>(
    context: &Context<'_>,
    mut grouped: Grouped<'_>,
    k: &Scalar,
) -> Result<BoxRows<'q>, QueryError> {
    let (groups, steps) = (grouped.series.len(), grouped.steps);
    let sizes: Vec<usize> = (0..steps)
        .map(|step| wanted(k, step))
        .collect::<Result<_, _>>()?;
    context.budget.hold(groups.saturating_mul(steps))?;
    let mut taken = vec![0usize; groups * steps];
    let mut table = Table::new(steps);
    let mut row = Row::default();
    for index in 0..grouped.ids.len() {
        grouped.input.next(&mut row)?;
        let mut keep = row.occupied();
        for step in row.occupied().iter() {
            let taken = &mut taken[grouped.ids[index] * steps + step];
            if *taken < sizes[step] {
                *taken += 1;
            } else {
                keep.unset(step);
            }
        }
        row.retain(&keep, true);
        if !row.is_empty() {
            table.push_held(grouped.input.series()[index].clone(), &row, context)?;
        }
    }
    Ok(table.into_rows())
}

/// A hash of the visible labels that does not change between versions, since it decides which series are shown: that
/// of Prometheus' default build (XXH64 of each name and value after its length).
fn label_hash(meta: &Meta, delayed: bool) -> u64 {
    let mut bytes = Vec::new();
    for (name, value) in meta.visible(delayed) {
        for text in [name, value] {
            match u8::try_from(text.len()) {
                Ok(len) if len < u8::MAX => bytes.push(len),
                _ => {
                    bytes.push(u8::MAX);
                    bytes.extend_from_slice(&text.len().to_le_bytes()[..3]);
                }
            }
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    xxhash_rust::xxh64::xxh64(&bytes, 0)
}

/// The series whose hash is in the first (positive) or the last (negative) part of all hashes.
fn limit_ratio<'q>(
    context: &Context<'_>,
    mut grouped: Grouped<'_>,
    ratios: &Scalar,
    position: Position,
) -> Result<BoxRows<'q>, QueryError> {
    let steps = grouped.steps;
    let mut limits = Vec::with_capacity(steps);
    for step in 0..steps {
        let ratio = ratios.at(step);
        if ratio.is_nan() {
            return Err(QueryError::execution("Ratio value is NaN"));
        }
        let capped = ratio.clamp(-1.0, 1.0);
        if capped.to_bits() != ratio.to_bits() {
            let (got, to) = (
                model::float::format_general(ratio),
                model::float::format_general(capped),
            );
            let message =
                format!("ratio value should be between -1 and 1, got {got}, capping to {to}");
            context.warn(&message, position);
        }
        limits.push(capped);
    }
    let mut table = Table::new(steps);
    let mut row = Row::default();
    for index in 0..grouped.ids.len() {
        grouped.input.next(&mut row)?;
        let meta = &grouped.input.series()[index];
        #[expect(clippy::cast_precision_loss, reason = "a hash needs no precision")]
        let share = label_hash(meta, context.delayed_name_removal) as f64 / u64::MAX as f64;
        let mut keep = row.occupied();
        for (step, &limit) in limits.iter().enumerate() {
            let inside = if 0.0 <= limit {
                share < limit
            } else {
                1.0 + limit <= share
            };
            if !inside {
                keep.unset(step);
            }
        }
        row.retain(&keep, true);
        if !row.is_empty() {
            table.push_held(meta.clone(), &row, context)?;
        }
    }
    Ok(table.into_rows())
}
