//! The series of each histogram, and what is computed of them.

use std::collections::BTreeMap;

use model::name::Quoted;
use model::{FloatHistogram, Labels};

use super::super::Calling;
use super::classic::Bucket;
use super::of_metric;
use crate::error::QueryError;
use crate::operator::group::with_label;
use crate::operator::merge::{SAME_LABELS, unique};
use crate::position::Position;
use crate::row::{Bits, BoxRows, Meta, Row, Scalar};
use crate::table::Table;

/// The series of one histogram.
struct Group {
    meta: Meta,
    /// Classic buckets: upper bound and series.
    buckets: Vec<(f64, usize)>,
    /// The series that may hold native histograms.
    native: Vec<usize>,
}

/// One of the numbers that are computed of a histogram, or a part of its steps.
pub(super) struct Variant {
    /// Which number.
    which: usize,
    /// At which steps.
    steps: Bits,
    /// What tells it from the others: a label and its value.
    label: Option<(String, String)>,
}

impl Variant {
    /// The only number, at all steps.
    pub(super) fn unlabelled(steps: usize) -> Self {
        Variant {
            which: 0,
            steps: all(steps),
            label: None,
        }
    }

    /// One number per quantile; where a quantile changes from step to step, so does the value of `label`.
    pub(super) fn of_quantiles(label: &str, quantiles: &[Scalar], steps: usize) -> Vec<Self> {
        let mut variants: Vec<Variant> = Vec::new();
        for (which, quantile) in quantiles.iter().enumerate() {
            let mut add = |value: f64, steps: Bits| {
                variants.push(Variant {
                    which,
                    steps,
                    label: Some((label.to_owned(), text(value))),
                });
            };
            match quantile {
                Scalar::Constant(value) => add(*value, all(steps)),
                Scalar::Column(values) => {
                    let mut by_value: BTreeMap<u64, Bits> = BTreeMap::new();
                    for (step, value) in values.iter().enumerate() {
                        let steps = by_value.entry(value.to_bits());
                        steps.or_insert_with(|| Bits::new(values.len())).set(step);
                    }
                    for (value, steps) in by_value {
                        add(f64::from_bits(value), steps);
                    }
                }
            }
        }
        variants
    }
}

fn all(steps: usize) -> Bits {
    let mut bits = Bits::new(steps);
    (0..steps).for_each(|step| bits.set(step));
    bits
}

/// A quantile as the value of a label: never without a point or an exponent.
fn text(quantile: f64) -> String {
    let mut out = Vec::new();
    metrics::encode::float::write_openmetrics(&mut out, quantile);
    String::from_utf8_lossy(&out).into_owned()
}

/// Computes the numbers that `variants` speak of, of each histogram at each step: of the classic ones by `classic`, of
/// the native ones by `native`. Both get which number is wanted, the step and the metric name.
///
/// `arg` is the argument that has the histograms.
pub(super) fn of_histograms<'q>(
    (call, arg): (Calling<'q>, usize),
    variants: &[Variant],
    mut classic: impl FnMut(usize, usize, &str, &mut Vec<Bucket>) -> f64,
    mut native: impl FnMut(usize, usize, &str, &FloatHistogram) -> f64,
) -> Result<BoxRows<'q>, QueryError> {
    let steps = call.steps.count;
    let position = call.arg(arg)?.unparenthesized().position();
    let input = Table::collect(call.vector(arg)?, steps, call.context)?;
    let groups = grouped(call, &input, position);
    let mut output = Table::new(steps);
    let mut buckets = Vec::new();
    let count = variants.iter().map(|variant| variant.which + 1).max();
    let mut rows = vec![Row::default(); count.unwrap_or(0)];
    for group in groups {
        let work = steps.saturating_mul(rows.len() + group.buckets.len());
        call.context.budget.check_work(work)?;
        rows.iter_mut().for_each(|row| row.reset(steps));
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
                    for (which, row) in rows.iter_mut().enumerate() {
                        row.set(step, native(which, step, &name, histogram));
                    }
                }
                None if buckets.is_empty() => (),
                None => {
                    for (which, row) in rows.iter_mut().enumerate() {
                        row.set(step, classic(which, step, &name, &mut buckets));
                    }
                }
            }
        }
        let meta = group.meta.dropping_name();
        for variant in variants {
            let mut row = rows[variant.which].clone();
            row.retain(&variant.steps, true);
            if row.is_empty() {
                continue;
            }
            let labels = match &variant.label {
                Some((name, value)) => with_label(&meta.labels, name, value),
                None => meta.labels.clone(),
            };
            call.context.budget.hold(steps)?;
            output.push(meta.with_labels(labels), &row);
        }
    }
    unique(call.context, output.into_rows(), steps, SAME_LABELS)
}

/// Which group has which labels.
type ByLabels = hashbrown::HashMap<Labels, usize, rapidhash::fast::RandomState>;

/// Puts the series of each histogram together: those that differ in `le` only.
fn grouped(call: Calling<'_>, input: &Table, position: Position) -> Vec<Group> {
    let delayed = call.context.delayed_name_removal;
    let mut by_labels: ByLabels = ByLabels::default();
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
    by_labels: &mut ByLabels,
    groups: &mut Vec<Group>,
) -> usize {
    *by_labels.entry(labels.clone()).or_insert_with(|| {
        groups.push(Group {
            meta: meta.with_labels(labels),
            buckets: Vec::new(),
            native: Vec::new(),
        });
        groups.len() - 1
    })
}
