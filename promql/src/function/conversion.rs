//! Between vectors and scalars, and between presence and absence.

use model::storage::SampleColumns;
use model::{Labels, LabelsBuilder, MatchOp, Matcher};

use super::Calling;
use crate::ast::Expr;
use crate::error::QueryError;
use crate::row::{Bits, BoxRows, Meta, Row, Scalar, Steps};
use crate::table::Table;
use crate::window::{self, WindowSpec};

/// `scalar(v)`: the only float of each step, or NaN.
pub(crate) fn scalar(mut rows: BoxRows<'_>, steps: Steps) -> Result<Scalar, QueryError> {
    let mut values = vec![f64::NAN; steps.count];
    let mut found = Bits::new(steps.count);
    let mut several = Bits::new(steps.count);
    let mut row = Row::default();
    for _ in 0..rows.series().len() {
        rows.next(&mut row)?;
        for step in row.present.iter() {
            values[step] = row.values[step];
            if found.get(step) {
                several.set(step);
            }
        }
        found.insert_all(&row.present);
    }
    for step in several.iter() {
        values[step] = f64::NAN;
    }
    Ok(Scalar::Column(values))
}

/// `vector(s)`: one series without labels.
pub(super) fn vector(call: Calling<'_>, scalar: Scalar) -> Result<BoxRows<'_>, QueryError> {
    let steps = call.steps;
    call.context.budget.hold(steps.count)?;
    let mut row = Row::default();
    row.reset(steps.count);
    for step in 0..steps.count {
        row.set(step, scalar.at(step));
    }
    Ok(one_row(Labels::empty(), &row, steps))
}

fn one_row<'q>(labels: Labels, row: &Row, steps: Steps) -> BoxRows<'q> {
    let mut table = Table::new(steps.count);
    table.push(Meta::new(labels), row);
    table.into_rows()
}

/// A series of ones at the steps that `bits` lacks.
fn where_missing<'q>(bits: &Bits, labels: Labels, steps: Steps) -> BoxRows<'q> {
    let mut row = Row::default();
    row.reset(steps.count);
    for step in 0..steps.count {
        if !bits.get(step) {
            row.set(step, 1.0);
        }
    }
    one_row(labels, &row, steps)
}

/// `absent(v)`
pub(super) fn absent(call: Calling<'_>) -> Result<BoxRows<'_>, QueryError> {
    let mut rows = call.vector(0)?;
    call.context.budget.hold(call.steps.count)?;
    let mut found = Bits::new(call.steps.count);
    let mut row = Row::default();
    for _ in 0..rows.series().len() {
        rows.next(&mut row)?;
        found.insert_all(&row.occupied());
    }
    Ok(where_missing(
        &found,
        implied_labels(call.arg(0)?),
        call.steps,
    ))
}

/// `absent_over_time(m)`
pub(super) fn absent_over_time(call: Calling<'_>) -> Result<BoxRows<'_>, QueryError> {
    let mut source = call.range(0)?;
    let spec = WindowSpec::new(call.steps, source.look, source.range);
    call.context.budget.hold(call.steps.count)?;
    let mut found = Bits::new(call.steps.count);
    let (mut columns, mut bounds) = (SampleColumns::default(), Vec::new());
    for _ in 0..source.series().len() {
        source.next(&mut columns)?;
        let seen = window::find(&spec, &columns.timestamps, &mut bounds);
        call.context.budget.check_work(call.steps.count)?;
        let histograms = &columns.histograms;
        let budget = &call.context.budget;
        budget.see_windows(call.steps, seen, &bounds, histograms)?;
        for (step, (from, to)) in bounds.iter().enumerate() {
            if from < to {
                found.set(step);
            }
        }
    }
    Ok(where_missing(
        &found,
        implied_labels(call.arg(0)?),
        call.steps,
    ))
}

/// The labels that a series would have if the selector found one: the first `=` matcher of a name sets its label, and
/// any matcher of that name after it takes it away again.
fn implied_labels(expr: &Expr) -> Labels {
    let matchers: &[Matcher] = match expr.unparenthesized() {
        Expr::Vector(selector) => &selector.matchers,
        Expr::Matrix(matrix) => &matrix.selector.matchers,
        _ => return Labels::empty(),
    };
    let mut builder = LabelsBuilder::new();
    let mut set: Vec<&str> = Vec::new();
    for matcher in matchers
        .iter()
        .filter(|matcher| matcher.name() != "__name__")
    {
        if matcher.op() == MatchOp::Equal && !set.contains(&matcher.name()) {
            builder.set(matcher.name(), matcher.value());
            set.push(matcher.name());
        } else {
            builder.set(matcher.name(), "");
        }
    }
    builder.build()
}
