//! sum, avg, count, group, min, max, stddev and stdvar: a few numbers per group and step.

use super::Grouped;
use crate::ast::AggregateOp;
use crate::engine::context::Context;
use crate::error::QueryError;
use crate::histogram::aggregate::Histograms;
use crate::numeric::{Mean, kahan_add};
use crate::row::{Bits, BoxRows, Row};
use crate::table::Table;

/// Evaluates the aggregation `op`, which has no parameter.
pub(super) fn rows<'q>(
    context: &Context<'_>,
    mut grouped: Grouped<'_>,
    op: AggregateOp,
) -> Result<BoxRows<'q>, QueryError> {
    let (groups, steps) = (grouped.series.len(), grouped.steps);
    context.budget.hold(groups.saturating_mul(steps))?;
    let mut floats = Columns::new(op, groups * steps);
    let mut seen = vec![Bits::new(steps); groups];
    let mut histograms = Histograms::new(op, groups, steps);
    let mut row = Row::default();
    for index in 0..grouped.ids.len() {
        grouped.input.next(&mut row)?;
        let group = grouped.ids[index];
        let from = group * steps;
        if op.counts_histograms() {
            for (step, _) in std::mem::take(&mut row.histograms) {
                row.set(step, 0.0);
            }
        } else if !row.histograms.is_empty() {
            let meta = &grouped.input.series()[index];
            let name = meta.value("__name__", context.delayed_name_removal);
            histograms.add(context, group, (name, &row), &seen[group], grouped.node)?;
        }
        floats.add(from, &row);
        seen[group].insert_all(&row.present);
    }
    let mut table = Table::new(steps);
    for (group, meta) in grouped.series.into_iter().enumerate() {
        row.reset(steps);
        std::mem::swap(&mut row.present, &mut seen[group]);
        floats.finish(group * steps, &mut row);
        histograms.finish(context, group, &mut row, grouped.node);
        if !row.is_empty() {
            table.push(meta, &row);
        }
    }
    Ok(table.into_rows())
}

impl AggregateOp {
    /// Whether a histogram is as good as a float.
    fn counts_histograms(self) -> bool {
        matches!(self, AggregateOp::Count | AggregateOp::Group)
    }
}

/// One state per group and step.
enum Columns {
    /// The sums, and what each lost to rounding.
    Sum(Vec<f64>, Vec<f64>),
    Avg(Vec<Mean>),
    Count(Vec<u32>),
    Group,
    /// NaN until there is a better one, and anything is.
    Least(Vec<f64>),
    Greatest(Vec<f64>),
    Variance(Vec<Variance>, bool),
}

#[derive(Clone, Copy, Default)]
struct Variance {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Variance {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.mean = value;
            self.squares = if value.is_finite() { 0.0 } else { f64::NAN };
            return;
        }
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }
}

impl Columns {
    fn new(op: AggregateOp, len: usize) -> Self {
        match op {
            AggregateOp::Sum => Columns::Sum(vec![0.0; len], vec![0.0; len]),
            AggregateOp::Avg => Columns::Avg(vec![Mean::default(); len]),
            AggregateOp::Count => Columns::Count(vec![0; len]),
            AggregateOp::Min => Columns::Least(vec![f64::NAN; len]),
            AggregateOp::Max => Columns::Greatest(vec![f64::NAN; len]),
            AggregateOp::Stddev => Columns::Variance(vec![Variance::default(); len], true),
            AggregateOp::Stdvar => Columns::Variance(vec![Variance::default(); len], false),
            _ => Columns::Group,
        }
    }

    /// Adds the floats of `row` to the states from `from` on.
    fn add(&mut self, from: usize, row: &Row) {
        let states = from..from + row.values.len();
        match self {
            Columns::Sum(sums, compensations) => {
                let compensations = &mut compensations[states.clone()];
                let states = sums[states].iter_mut().zip(compensations);
                each(states, row, |(sum, compensation), value| {
                    (*sum, *compensation) = kahan_add(value, *sum, *compensation);
                });
            }
            Columns::Avg(means) => each(&mut means[states], row, |mean, value| mean.add(value)),
            Columns::Count(counts) => each(&mut counts[states], row, |count, _| *count += 1),
            Columns::Group => (),
            Columns::Least(kept) => each(&mut kept[states], row, |kept, value| {
                if value < *kept || kept.is_nan() {
                    *kept = value;
                }
            }),
            Columns::Greatest(kept) => each(&mut kept[states], row, |kept, value| {
                if *kept < value || kept.is_nan() {
                    *kept = value;
                }
            }),
            Columns::Variance(variances, _) => {
                each(&mut variances[states], row, |variance, value| {
                    variance.add(value)
                });
            }
        }
    }

    /// Writes the results to the steps that are present in `row`.
    fn finish(&self, from: usize, row: &mut Row) {
        let present = std::mem::take(&mut row.present);
        for step in present.iter() {
            let at = from + step;
            row.values[step] = match self {
                Columns::Sum(sums, compensations) => sums[at] + compensations[at],
                Columns::Avg(states) => states[at].value(),
                Columns::Count(states) => f64::from(states[at]),
                Columns::Group => 1.0,
                Columns::Least(kept) | Columns::Greatest(kept) => kept[at],
                Columns::Variance(states, is_deviation) => {
                    let variance = states[at].squares / states[at].count;
                    if *is_deviation {
                        variance.sqrt()
                    } else {
                        variance
                    }
                }
            };
        }
        row.present = present;
    }
}

/// Does `add` with each state whose step is present in `row`, and its value there.
fn each<S>(states: impl IntoIterator<Item = S>, row: &Row, mut add: impl FnMut(S, f64)) {
    let pairs = states.into_iter().zip(&row.values);
    // Without the question at each step, which most rows do not need, several steps are done at once.
    if row.present.all(row.values.len()) {
        pairs.for_each(|(state, &value)| add(state, value));
        return;
    }
    for (step, (state, &value)) in pairs.enumerate() {
        if row.present.get(step) {
            add(state, value);
        }
    }
}
