//! Aggregations.

use std::collections::BTreeMap;
use std::sync::Arc;

use SampleValue::{Float, Histogram};
use model::{FloatHistogram, SampleValue};

use super::{Element, Failure, Names, Twin, bounds_differ, hints_collide, of_metric, unique};
use crate::ast::{Aggregate, AggregateOp};
use crate::histogram::add;
use crate::histogram::arithmetic::{compacted, divided};

impl Twin<'_> {
    pub(super) fn aggregate(&self, node: &Aggregate, t: i64) -> Result<Vec<Element>, Failure> {
        let mut groups: BTreeMap<Names, Vec<Element>> = BTreeMap::new();
        for element in self.vector(&node.expr, t)? {
            let mut key = element.labels.clone();
            key.retain(|name, _| {
                let is_listed = node.grouping.contains(name);
                if node.without {
                    !is_listed && name != "__name__"
                } else {
                    is_listed
                }
            });
            groups.entry(key).or_default().push(element);
        }
        let parameter = node.parameter.as_ref();
        let number = || self.scalar(parameter.unwrap(), t);
        if node.op == AggregateOp::Quantile {
            self.check_quantile(number()?, parameter.unwrap().position());
        }
        let mut results = Vec::new();
        for (labels, elements) in groups {
            let values = elements.iter().map(|element| &element.value);
            let floats: Vec<f64> = values.clone().filter_map(SampleValue::as_float).collect();
            let has_histogram = floats.len() < elements.len();
            let ignored = |position| {
                if has_histogram {
                    let message = format!("ignored histogram in {} aggregation", node.op.as_str());
                    self.info(&message, position);
                }
            };
            let value = match node.op {
                AggregateOp::Topk | AggregateOp::Bottomk => {
                    if 1.0 <= number()? {
                        ignored(node.position);
                    }
                    results.extend(best(elements, number()?, node.op == AggregateOp::Topk));
                    continue;
                }
                AggregateOp::Limitk => {
                    results.extend(elements.into_iter().take(whole(number()?)));
                    continue;
                }
                AggregateOp::CountValues => {
                    let name = self.text(parameter.unwrap(), t)?;
                    results.extend(counted(&labels, &name, &elements));
                    continue;
                }
                AggregateOp::LimitRatio => panic!("limit_ratio depends on a hash"),
                AggregateOp::Count => Some(Float(elements.len() as f64)),
                AggregateOp::Group => Some(Float(1.0)),
                AggregateOp::Sum | AggregateOp::Avg => {
                    self.note_total(&elements, node);
                    total(&elements, node.op == AggregateOp::Avg)
                }
                _ => {
                    ignored(node.expr.position());
                    self.of_floats(node, &floats, t)?
                }
            };
            results.extend(value.map(|value| Element { labels, value }));
        }
        unique(results)
    }

    /// Says what is odd about the histograms of a sum or mean. Those before the first float are added up all the same.
    fn note_total(&self, elements: &[Element], node: &Aggregate) {
        let position = node.expr.position();
        let histograms = elements.iter().filter_map(|element| match &element.value {
            Histogram(histogram) => Some((histogram, &element.labels)),
            Float(_) => None,
        });
        let count = histograms.clone().count();
        let begins_so = elements
            .first()
            .is_some_and(|first| first.value.as_float().is_none());
        let mut is_broken = false;
        if begins_so {
            let mut sum: Option<FloatHistogram> = None;
            for (histogram, labels) in histograms.clone() {
                let Some(sum) = &mut sum else {
                    sum = Some(FloatHistogram::clone(histogram));
                    continue;
                };
                if bounds_differ(sum, histogram) {
                    let message = "mismatched custom buckets were reconciled during aggregation";
                    self.info(message, position);
                }
                if add(sum, histogram).is_err() {
                    let message = format!(
                        "vector contains a mix of histograms with exponential and custom buckets schemas{}",
                        of_metric(labels)
                    );
                    self.warn(&message, position);
                    is_broken = true;
                    break;
                }
            }
        }
        if 0 < count && count < elements.len() {
            let message = "encountered a mix of histograms and floats for aggregation";
            self.warn(message, position);
        } else if !is_broken && hints_collide(histograms.map(|(histogram, _)| &**histogram)) {
            let message = "conflicting counter resets during histogram aggregation";
            self.warn(message, position);
        }
    }

    /// What is only of floats.
    fn of_floats(
        &self,
        node: &Aggregate,
        floats: &[f64],
        t: i64,
    ) -> Result<Option<SampleValue>, Failure> {
        if floats.is_empty() {
            return Ok(None);
        }
        Ok(Some(Float(match node.op {
            AggregateOp::Min => extreme(floats, |new, old| new < old),
            AggregateOp::Max => extreme(floats, |new, old| new > old),
            AggregateOp::Stddev => variance(floats).sqrt(),
            AggregateOp::Stdvar => variance(floats),
            AggregateOp::Quantile => {
                quantile(self.scalar(node.parameter.as_ref().unwrap(), t)?, floats)
            }
            other => panic!("{other:?} is not only of floats"),
        })))
    }
}

/// The sum or the mean of floats or of histograms; nothing of a mix.
pub(super) fn total(elements: &[Element], is_mean: bool) -> Option<SampleValue> {
    let floats: Vec<f64> = elements
        .iter()
        .filter_map(|element| element.value.as_float())
        .collect();
    if floats.len() == elements.len() {
        let sum = floats.iter().fold(0.0, |sum, value| sum + value);
        return Some(Float(if is_mean {
            sum / floats.len() as f64
        } else {
            sum
        }));
    }
    let mut sum: Option<FloatHistogram> = None;
    for element in elements {
        let Histogram(histogram) = &element.value else {
            return None;
        };
        match &mut sum {
            None => sum = Some(FloatHistogram::clone(histogram)),
            Some(sum) => {
                add(sum, histogram).ok()?;
            }
        }
    }
    let sum = sum?;
    let result = if is_mean {
        divided(sum, elements.len() as f64)
    } else {
        sum
    };
    Some(Histogram(Arc::new(compacted(result))))
}

/// The value that beats all others; NaN only if there is nothing else.
pub(super) fn extreme(values: &[f64], beats: impl Fn(f64, f64) -> bool) -> f64 {
    let mut best = f64::NAN;
    for &value in values {
        if best.is_nan() || beats(value, best) {
            best = value;
        }
    }
    best
}

/// The mean of the squared distances from the mean.
pub(super) fn variance(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    values
        .iter()
        .map(|value| (value - mean) * (value - mean))
        .sum::<f64>()
        / count
}

/// NaN first, then by number.
pub(super) fn ascending(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values
        .iter()
        .copied()
        .filter(|value| value.is_nan())
        .collect();
    let mut numbers: Vec<f64> = values
        .iter()
        .copied()
        .filter(|value| !value.is_nan())
        .collect();
    numbers.sort_by(|a, b| a.partial_cmp(b).unwrap());
    sorted.extend(numbers);
    sorted
}

/// The whole part, of what is not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests have small numbers"
)]
fn whole(value: f64) -> usize {
    value as usize
}

pub(super) fn quantile(q: f64, values: &[f64]) -> f64 {
    if q.is_nan() || values.is_empty() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&q) {
        return f64::INFINITY.copysign(q);
    }
    let sorted = ascending(values);
    let rank = q * (sorted.len() - 1) as f64;
    let below = sorted[whole(rank)];
    let above = sorted[(whole(rank) + 1).min(sorted.len() - 1)];
    let weight = rank - rank.floor();
    below * (1.0 - weight) + above * weight
}

/// The `k` greatest or least floats; which of several equal ones is not defined.
fn best(elements: Vec<Element>, k: f64, greatest: bool) -> Vec<Element> {
    let mut floats: Vec<(f64, Element)> = Vec::new();
    for element in elements {
        if let Some(value) = element.value.as_float() {
            floats.push((value, element));
        }
    }
    floats.sort_by(|(a, _), (b, _)| match (a.is_nan(), b.is_nan()) {
        (false, false) if greatest => b.partial_cmp(a).unwrap(),
        (false, false) => a.partial_cmp(b).unwrap(),
        (a, b) => a.cmp(&b),
    });
    floats
        .into_iter()
        .take(whole(k))
        .map(|(_, element)| element)
        .collect()
}

fn counted(group: &Names, label: &str, elements: &[Element]) -> Vec<Element> {
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    for element in elements {
        let text = match &element.value {
            Float(value) if *value == f64::INFINITY => "+Inf".to_owned(),
            Float(value) if *value == f64::NEG_INFINITY => "-Inf".to_owned(),
            Float(value) => value.to_string(),
            Histogram(histogram) => histogram.to_string(),
        };
        *counts.entry(text).or_default() += 1.0;
    }
    let counts = counts.into_iter().map(|(text, count)| {
        let mut labels = group.clone();
        labels.insert(label.to_owned(), text);
        Element {
            labels,
            value: Float(count),
        }
    });
    counts.collect()
}
