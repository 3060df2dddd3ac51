//! Functions of histograms, classic ones (a series per bucket, with the label `le`) and native ones.

mod classic;
mod native;

use std::collections::HashMap;

use model::name::Quoted;
use model::{FloatHistogram, Labels};

use super::Calling;
use crate::error::QueryError;
use crate::operator::aggregate::check_quantile;
use crate::operator::map;
use crate::operator::merge::{SAME_LABELS, unique};
use crate::row::{BoxRows, Meta, Row, Scalar};
use crate::table::Table;
use classic::{Bucket, Repair};

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

/// The series of one histogram.
struct Group {
    meta: Meta,
    /// Classic buckets: upper bound and series.
    buckets: Vec<(f64, usize)>,
    /// The series that may hold native histograms.
    native: Vec<usize>,
}

/// `histogram_quantile(q, v)`
pub(super) fn quantile(call: Calling<'_>) -> Result<BoxRows<'_>, QueryError> {
    let q = call.scalar(0)?;
    let (context, position) = (call.context, call.arg(1)?.position());
    let q_position = call.arg(0)?.position();
    for step in 0..call.steps.count {
        check_quantile(context, q.at(step), q_position);
    }
    let mut repairs: HashMap<String, Repair> = HashMap::new();
    let result = of_histograms(
        call,
        1,
        |step, name, buckets| {
            let (value, repair) = classic::quantile(q.at(step), buckets);
            if let Some(repair) = repair {
                repairs
                    .entry(name.to_owned())
                    .or_default()
                    .merge(&repair, call.steps.time(step));
            }
            value
        },
        |step, name, histogram| {
            let (value, unsure) = native::quantile(q.at(step), histogram);
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
    let (context, position) = (call.context, call.arg(2)?.position());
    of_histograms(
        call,
        2,
        |step, _, buckets| classic::fraction(lower.at(step), upper.at(step), buckets),
        |step, name, histogram| {
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

/// Computes a number of each histogram at each step: of the classic ones by `classic`, of the native ones by `native`.
/// Both get the step and the metric name.
fn of_histograms<'q>(
    call: Calling<'q>,
    arg: usize,
    mut classic: impl FnMut(usize, &str, &mut Vec<Bucket>) -> f64,
    mut native: impl FnMut(usize, &str, &FloatHistogram) -> f64,
) -> Result<BoxRows<'q>, QueryError> {
    let steps = call.steps.count;
    let position = call.arg(arg)?.position();
    let input = Table::collect(call.vector(arg)?, steps, call.context)?;
    let groups = grouped(call, &input, position);
    let mut output = Table::new(steps);
    let mut buckets = Vec::new();
    let mut row = Row::default();
    for group in groups {
        let work = steps.saturating_mul(1 + group.buckets.len());
        call.context.budget.check_work(work)?;
        row.reset(steps);
        let name = group.meta.labels.metric_name().to_owned();
        for step in 0..steps {
            buckets.clear();
            for &(upper, series) in &group.buckets {
                if let Some(count) = input.float(series, step) {
                    buckets.push(Bucket { upper, count });
                }
            }
            let histogram = group
                .native
                .iter()
                .find_map(|&series| input.histogram(series, step));
            match histogram {
                Some(_) if !buckets.is_empty() => {
                    let message = format!(
                        "vector contains a mix of classic and native histograms{}",
                        of_metric(&name)
                    );
                    call.context.warn(&message, position);
                }
                Some(histogram) => {
                    let value = native(step, &name, histogram);
                    row.set(step, value);
                }
                None if buckets.is_empty() => (),
                None => {
                    let value = classic(step, &name, &mut buckets);
                    row.set(step, value);
                }
            }
        }
        if !row.is_empty() {
            output.push(group.meta.dropping_name(), &row);
        }
    }
    unique(call.context, output.into_rows(), steps, SAME_LABELS)
}

/// Puts the series of each histogram together: those that differ in `le` only.
fn grouped(call: Calling<'_>, input: &Table, position: crate::position::Position) -> Vec<Group> {
    let delayed = call.context.delayed_name_removal;
    let mut by_labels: HashMap<Labels, usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    for (series, meta) in input.series.iter().enumerate() {
        let has_floats = input.present(series).any();
        let has_histograms = !input.histograms(series).is_empty();
        let le = meta.labels.value("le");
        let upper = le.parse::<f64>().ok();
        if has_floats && upper.is_none() {
            let message = format!(
                "bucket label \"le\" is missing or has a malformed value of {}{}",
                Quoted(le),
                of_metric(meta.value("__name__", delayed))
            );
            call.context.warn(&message, position);
        }
        if has_histograms {
            let group = group_of(
                meta,
                meta.visible_labels(delayed),
                &mut by_labels,
                &mut groups,
            );
            groups[group].native.push(series);
        }
        if let (true, Some(upper)) = (has_floats, upper) {
            let labels = meta.visible_labels(delayed).without(|name| name == "le");
            let group = group_of(meta, labels, &mut by_labels, &mut groups);
            groups[group].buckets.push((upper, series));
        }
    }
    groups
}

fn group_of(
    meta: &Meta,
    labels: Labels,
    by_labels: &mut HashMap<Labels, usize>,
    groups: &mut Vec<Group>,
) -> usize {
    *by_labels.entry(labels.clone()).or_insert_with(|| {
        groups.push(Group {
            meta: Meta {
                labels,
                drop_name: meta.drop_name,
            },
            buckets: Vec::new(),
            native: Vec::new(),
        });
        groups.len() - 1
    })
}
