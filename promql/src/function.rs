//! PromQL's functions: which one does what.

pub(crate) mod conversion;
mod date;
mod histogram;
pub(crate) mod info;
mod label;
mod math;
mod range;
mod sort;

use crate::ast::{Call, Expr, Extension};
use crate::engine::context::Context;
use crate::engine::evaluate;
use crate::error::QueryError;
use crate::operator::range::RangeSource;
use crate::operator::{map, selector};
use crate::row::{BoxRows, Scalar, Steps};

/// Whether `function` makes one series of each series, and looks at none of its labels but those of its name.
pub(crate) fn keeps_series(function: &str) -> bool {
    range::RangeFunction::find(function).is_some()
        || math::of_one(function).is_some()
        || matches!(function, "round" | "clamp" | "clamp_min" | "clamp_max")
}

/// A call on its way: what functions need to evaluate their arguments.
#[derive(Clone, Copy)]
pub(crate) struct Calling<'q> {
    pub(crate) context: &'q Context<'q>,
    pub(crate) node: &'q Call,
    pub(crate) steps: Steps,
}

impl<'q> Calling<'q> {
    pub(crate) fn arg(&self, index: usize) -> Result<&'q Expr, QueryError> {
        self.node
            .args
            .get(index)
            .ok_or_else(|| QueryError::execution("missing argument in function call"))
    }

    pub(crate) fn vector(&self, index: usize) -> Result<BoxRows<'q>, QueryError> {
        evaluate::rows(self.context, self.arg(index)?, self.steps)
    }

    pub(crate) fn scalar(&self, index: usize) -> Result<Scalar, QueryError> {
        evaluate::scalar(self.context, self.arg(index)?, self.steps)
    }

    pub(crate) fn range(&self, index: usize) -> Result<RangeSource<'q>, QueryError> {
        let arg = self.arg(index)?;
        if let Expr::Matrix(matrix) = arg.unparenthesized() {
            check_extension(self.node.function.name, matrix.selector.extension)?;
        }
        RangeSource::new(self.context, arg, self.steps)
    }

    pub(crate) fn string(&self, index: usize) -> Result<&'q str, QueryError> {
        evaluate::string(self.arg(index)?)
    }
}

/// Fails if `function` is not for ranges with the modifier `extension`.
fn check_extension(function: &str, extension: Extension) -> Result<(), QueryError> {
    let (modifier, functions): (&str, &[&str]) = match extension {
        Extension::None => return Ok(()),
        Extension::Anchored => (
            "anchored",
            &["changes", "delta", "increase", "rate", "resets"],
        ),
        Extension::Smoothed => ("smoothed", &["delta", "increase", "rate"]),
    };
    if functions.contains(&function) {
        return Ok(());
    }
    let functions = functions.join(", ");
    Err(QueryError::Execution(format!(
        "{modifier} modifier can only be used with: {functions} - not with {function}"
    )))
}

/// Evaluates a function that returns an instant vector.
pub(crate) fn rows<'q>(
    context: &'q Context<'q>,
    node: &'q Call,
    steps: Steps,
) -> Result<BoxRows<'q>, QueryError> {
    let call = Calling {
        context,
        node,
        steps,
    };
    let name = node.function.name;
    if let Some(function) = range::RangeFunction::find(name) {
        return range::rows(call, function);
    }
    if let Some(f) = math::of_one(name) {
        return map::floats(context, call.vector(0)?, steps.count, move |_, value| {
            f(value)
        });
    }
    if let Some(part) = date::part(name) {
        return date::rows(call, part);
    }
    match name {
        "round" => math::round(call),
        "clamp" | "clamp_min" | "clamp_max" => math::clamp(call),
        "absent" => conversion::absent(call),
        "absent_over_time" => conversion::absent_over_time(call),
        "vector" => conversion::vector(call, call.scalar(0)?),
        "timestamp" => timestamp(call),
        "start_timestamp" => start_timestamp(call),
        "info" => info::rows(call),
        "label_replace" => label::replace(call),
        "label_join" => label::join(call),
        "sort" | "sort_desc" => sort::by_value(call),
        "sort_by_label" | "sort_by_label_desc" => sort::by_label(call),
        "histogram_quantile" => histogram::quantile(call),
        "histogram_quantiles" => histogram::quantiles(call),
        "histogram_fraction" => histogram::fraction(call),
        _ => match histogram::part(name) {
            Some(part) => histogram::parts(call, part),
            None => Err(QueryError::unsupported(&format!("function {name}"))),
        },
    }
}

/// `timestamp(v)`: of a selector when its samples are from, of anything else the step.
fn timestamp(call: Calling<'_>) -> Result<BoxRows<'_>, QueryError> {
    let steps = call.steps;
    if let Expr::Vector(selector) = call.arg(0)?.unparenthesized() {
        let read = selector::Read::Timestamp;
        let rows = selector::rows(call.context, selector, steps, read)?;
        return map::map(call.context, rows, steps.count, |_| Ok(()));
    }
    let rows = call.vector(0)?;
    map::map(call.context, rows, steps.count, move |row| {
        for (step, _) in std::mem::take(&mut row.histograms) {
            row.present.set(step);
        }
        for (step, value) in row.values.iter_mut().enumerate() {
            *value = steps.time(step) as f64 / 1e3;
        }
        Ok(())
    })
}

/// `start_timestamp(v)`: of a selector since when its samples count; anything else has lost that.
fn start_timestamp(call: Calling<'_>) -> Result<BoxRows<'_>, QueryError> {
    let steps = call.steps.count;
    if let Expr::Vector(selector) = call.arg(0)?.unparenthesized() {
        let rows = selector::rows(call.context, selector, call.steps, selector::Read::Start)?;
        return map::map(call.context, rows, steps, |_| Ok(()));
    }
    map::map(call.context, call.vector(0)?, steps, move |row| {
        row.reset(steps);
        Ok(())
    })
}
