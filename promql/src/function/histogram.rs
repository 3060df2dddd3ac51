//! Functions of histograms, classic ones (a series per bucket, with the label `le`) and native ones.

mod classic;
mod groups;
mod native;

use std::collections::HashMap;

use model::FloatHistogram;
use model::name::Quoted;

use super::Calling;
use crate::engine::evaluate;
use crate::error::QueryError;
use crate::operator::aggregate::check_quantile;
use crate::operator::map;
use crate::row::{BoxRows, Scalar};
use classic::Repair;
use groups::{Variant, of_histograms};

/// Returns the number that function `name` gives of a native histogram, if it is one of those.
pub(super) fn part(name: &str) -> Option<fn(&FloatHistogram) -> f64> {
    Some(match name {
        "histogram_count" => |histogram| histogram.count,
        "histogram_sum" => |histogram| histogram.sum,
        "histogram_avg" => |histogram| histogram.sum / histogram.count,
        "histogram_stddev" => |histogram| native::variance(histogram).sqrt(),
        "histogram_stdvar" => native::variance,
        _ => return None,
    })
}

/// `histogram_count(v)` and its like; floats are left out.
pub(super) fn parts(
    call: Calling<'_>,
    part: fn(&FloatHistogram) -> f64,
) -> Result<BoxRows<'_>, QueryError> {
    let steps = call.steps.count;
    map::map(call.context, call.vector(0)?, steps, move |row| {
        let histograms = std::mem::take(&mut row.histograms);
        row.present.reset(steps);
        for (step, histogram) in histograms {
            row.set(step, part(&histogram));
        }
        Ok(())
    })
}

/// `histogram_quantile(q, v)`
pub(super) fn quantile(call: Calling<'_>) -> Result<BoxRows<'_>, QueryError> {
    quantiles_of(call, 1, &[0], None)
}

/// `histogram_quantiles(v, label, q...)`
pub(super) fn quantiles(call: Calling<'_>) -> Result<BoxRows<'_>, QueryError> {
    let label = evaluate::label_name(call.arg(1)?)?;
    let args: Vec<usize> = (2..call.node.args.len()).collect();
    quantiles_of(call, 0, &args, Some(label))
}

/// The quantiles that the arguments `qs` say of the vector that is argument `arg`; `label` gets their values.
fn quantiles_of<'q>(
    call: Calling<'q>,
    arg: usize,
    qs: &[usize],
    label: Option<&str>,
) -> Result<BoxRows<'q>, QueryError> {
    let (context, position) = (call.context, call.arg(arg)?.unparenthesized().position());
    let mut scalars: Vec<Scalar> = Vec::with_capacity(qs.len());
    for &q in qs {
        let scalar = call.scalar(q)?;
        for step in 0..call.steps.count {
            check_quantile(
                context,
                scalar.at(step),
                call.arg(q)?.unparenthesized().position(),
            );
        }
        scalars.push(scalar);
    }
    let outputs = match label {
        None => vec![Variant::unlabelled(call.steps.count)],
        Some(label) => Variant::of_quantiles(label, &scalars, call.steps.count),
    };
    let mut repairs: HashMap<String, Repair> = HashMap::new();
    let result = of_histograms(
        (call, arg),
        &outputs,
        |which, step, name, buckets| {
            let (value, repair) = classic::quantile(scalars[which].at(step), buckets);
            if let Some(repair) = repair {
                repairs
                    .entry(name.to_owned())
                    .or_default()
                    .merge(&repair, call.steps.time(step));
            }
            value
        },
        |which, step, name, histogram| {
            let (value, unsure) = native::quantile(scalars[which].at(step), histogram);
            if let Some(how) = unsure {
                let message = format!(
                    "input to histogram_quantile has NaN observations, result is {how}{}",
                    of_metric(name)
                );
                context.info(&message, position);
            }
            value
        },
    )?;
    for (name, repair) in repairs {
        context.info(&repair.describe(&of_metric(&name)), position);
    }
    Ok(result)
}

/// `histogram_fraction(lower, upper, v)`
pub(super) fn fraction(call: Calling<'_>) -> Result<BoxRows<'_>, QueryError> {
    let (lower, upper): (Scalar, Scalar) = (call.scalar(0)?, call.scalar(1)?);
    let (context, position) = (call.context, call.arg(2)?.unparenthesized().position());
    of_histograms(
        (call, 2),
        &[Variant::unlabelled(call.steps.count)],
        |_, step, _, buckets| classic::fraction(lower.at(step), upper.at(step), buckets),
        |_, step, name, histogram| {
            let (value, has_nan) = native::fraction(lower.at(step), upper.at(step), histogram);
            if has_nan {
                let message = format!(
                    "input to histogram_fraction has NaN observations, which are excluded from all fractions{}",
                    of_metric(name)
                );
                context.info(&message, position);
            }
            value
        },
    )
}

fn of_metric(name: &str) -> String {
    if name.is_empty() {
        String::new()
    } else {
        format!(" for metric name {}", Quoted(name))
    }
}
