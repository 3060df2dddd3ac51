//! Operators between two values.

use std::sync::Arc;

use SampleValue::{Float, Histogram};
use model::histogram::ResetHint;
use model::{FloatHistogram, SampleValue};

use super::{
    Element, Failure, Names, Plain, Twin, bounds_differ, hints_collide, histogram, nameless, unique,
};
use crate::ast::{Binary, BinaryOp, Cardinality, VectorMatching};
use crate::histogram::arithmetic::{compacted, divided};
use crate::histogram::{add, scaled, subtract};

/// `-value`
pub(super) fn negated(value: Plain) -> Result<Plain, Failure> {
    Ok(match value {
        Plain::Scalar(value) => Plain::Scalar(-value),
        Plain::Vector(mut elements) => {
            for element in &mut elements {
                element.labels = nameless(&element.labels);
                element.value = match &element.value {
                    Float(value) => Float(-value),
                    Histogram(histogram) => {
                        Histogram(Arc::new(scaled(FloatHistogram::clone(histogram), -1.0)))
                    }
                };
            }
            Plain::Vector(unique(elements)?)
        }
        other => panic!("no minus for {other:?}"),
    })
}

impl Twin<'_> {
    /// `left op right`
    pub(super) fn between(
        &self,
        node: &Binary,
        left: Plain,
        right: Plain,
    ) -> Result<Plain, Failure> {
        Ok(match (left, right) {
            (Plain::Scalar(left), Plain::Scalar(right)) => {
                Plain::Scalar(match compare(node.op, left, right) {
                    Some(holds) => f64::from(u8::from(holds)),
                    None => arithmetic(node.op, left, right),
                })
            }
            (Plain::Vector(left), Plain::Scalar(right)) => {
                Plain::Vector(self.with_scalar(node, left, |value| (value, Float(right)))?)
            }
            (Plain::Scalar(left), Plain::Vector(right)) => {
                Plain::Vector(self.with_scalar(node, right, |value| (Float(left), value))?)
            }
            (Plain::Vector(left), Plain::Vector(right)) if node.op.is_set() => {
                Plain::Vector(set(node, left, right))
            }
            (Plain::Vector(left), Plain::Vector(right)) => {
                Plain::Vector(self.join(node, left, right)?)
            }
            (left, right) => panic!("no operator between {left:?} and {right:?}"),
        })
    }
}

fn compare(op: BinaryOp, left: f64, right: f64) -> Option<bool> {
    Some(match op {
        BinaryOp::Equal => left == right,
        BinaryOp::NotEqual => left != right,
        BinaryOp::Less => left < right,
        BinaryOp::LessEqual => left <= right,
        BinaryOp::Greater => left > right,
        BinaryOp::GreaterEqual => left >= right,
        _ => return None,
    })
}

fn arithmetic(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => left.powf(right),
        BinaryOp::Atan2 => left.atan2(right),
        other => panic!("{other:?} is no arithmetic"),
    }
}

/// What an operator makes of two samples.
enum Outcome {
    /// A new sample.
    Value(SampleValue),
    /// A comparison that holds or does not.
    Holds(bool),
    /// The operator does not fit the samples.
    Nothing,
}

impl Twin<'_> {
    fn combined(&self, node: &Binary, left: &SampleValue, right: &SampleValue) -> Outcome {
        let op = node.op;
        let new = |histogram| Outcome::Value(Histogram(Arc::new(compacted(histogram))));
        match (left, right) {
            (Histogram(histogram), Float(bound)) if op == BinaryOp::TrimUpper => {
                new(histogram::trimmed(histogram, f64::NEG_INFINITY, *bound))
            }
            (Histogram(histogram), Float(bound)) if op == BinaryOp::TrimLower => {
                new(histogram::trimmed(histogram, *bound, f64::INFINITY))
            }
            (Float(left), Float(right))
                if !matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower) =>
            {
                match compare(op, *left, *right) {
                    Some(holds) => Outcome::Holds(holds),
                    None => Outcome::Value(Float(arithmetic(op, *left, *right))),
                }
            }
            (Histogram(histogram), Float(factor)) | (Float(factor), Histogram(histogram))
                if op == BinaryOp::Mul =>
            {
                new(scaled(FloatHistogram::clone(histogram), *factor))
            }
            (Histogram(histogram), Float(divisor)) if op == BinaryOp::Div => {
                new(divided(FloatHistogram::clone(histogram), *divisor))
            }
            (Histogram(left), Histogram(right)) if op == BinaryOp::Add => {
                let mut sum = FloatHistogram::clone(left);
                match add(&mut sum, right) {
                    Ok(_) => self.note_added(node, left, right, "addition"),
                    Err(_) => return self.other_layout(node),
                }
                new(sum)
            }
            (Histogram(left), Histogram(right)) if op == BinaryOp::Sub => {
                let mut difference = FloatHistogram::clone(left);
                match subtract(&mut difference, right) {
                    Ok(_) => self.note_added(node, left, right, "subtraction"),
                    Err(_) => return self.other_layout(node),
                }
                // It may be less than nothing.
                difference.reset_hint = ResetHint::Gauge;
                new(difference)
            }
            (Histogram(left), Histogram(right)) if op == BinaryOp::Equal => {
                Outcome::Holds(same(left, right))
            }
            (Histogram(left), Histogram(right)) if op == BinaryOp::NotEqual => {
                Outcome::Holds(!same(left, right))
            }
            _ => {
                let kind = |value: &SampleValue| match value {
                    Float(_) => "float",
                    Histogram(_) => "histogram",
                };
                let (left, right, op) = (kind(left), kind(right), op.as_str());
                let message = format!(
                    "incompatible sample types encountered for binary operator \"{op}\": {left} {op} {right}"
                );
                self.info(&message, node.position);
                Outcome::Nothing
            }
        }
    }

    fn note_added(&self, node: &Binary, left: &FloatHistogram, right: &FloatHistogram, what: &str) {
        if bounds_differ(left, right) {
            let message = format!("mismatched custom buckets were reconciled during {what}");
            self.info(&message, node.position);
        }
        if hints_collide([left, right].into_iter()) {
            let message = format!("conflicting counter resets during histogram {what}");
            self.warn(&message, node.position);
        }
    }

    fn other_layout(&self, node: &Binary) -> Outcome {
        let op = node.op.as_str();
        let message = format!("incompatible bucket layout encountered for binary operator {op}");
        self.warn(&message, node.position);
        Outcome::Nothing
    }
}

/// Whether two histograms hold the same, bit by bit; what is known of resets does not matter.
pub(super) fn same(left: &FloatHistogram, right: &FloatHistogram) -> bool {
    let parts = |histogram: &FloatHistogram| {
        let mut numbers = vec![histogram.count, histogram.sum];
        numbers.extend([histogram.zero_count, histogram.zero_threshold]);
        for bucket in histogram.buckets() {
            if bucket.count != 0.0 {
                numbers.extend([bucket.lower, bucket.upper, bucket.count]);
            }
        }
        numbers.into_iter().map(f64::to_bits).collect::<Vec<u64>>()
    };
    left.schema == right.schema && parts(left) == parts(right)
}

impl Twin<'_> {
    /// The sample that an operator yields, if it yields one; a filter yields `kept`.
    fn yielded(
        &self,
        node: &Binary,
        left: &SampleValue,
        right: &SampleValue,
        kept: &SampleValue,
    ) -> Option<SampleValue> {
        match self.combined(node, left, right) {
            Outcome::Value(value) => Some(value),
            Outcome::Holds(holds) if node.returns_bool => Some(Float(f64::from(u8::from(holds)))),
            Outcome::Holds(true) => Some(kept.clone()),
            Outcome::Holds(false) | Outcome::Nothing => None,
        }
    }
}

/// What filters and trims is still the same metric.
fn drops_name(node: &Binary) -> bool {
    let keeps = matches!(node.op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
    node.returns_bool || !(keeps || node.op.is_comparison())
}

impl Twin<'_> {
    fn with_scalar(
        &self,
        node: &Binary,
        elements: Vec<Element>,
        sides: impl Fn(SampleValue) -> (SampleValue, SampleValue),
    ) -> Result<Vec<Element>, Failure> {
        let mut results = Vec::new();
        for Element { labels, value } in elements {
            let (left, right) = sides(value.clone());
            if let Some(value) = self.yielded(node, &left, &right, &value) {
                let labels = if drops_name(node) {
                    nameless(&labels)
                } else {
                    labels
                };
                results.push(Element { labels, value });
            }
        }
        unique(results)
    }
}

/// The labels by which two elements find each other.
fn group(matching: &VectorMatching, labels: &Names) -> Names {
    let mut labels = labels.clone();
    labels.retain(|name, _| {
        let is_listed = matching.labels.contains(name);
        if matching.on {
            is_listed
        } else {
            !is_listed && name != "__name__"
        }
    });
    labels
}

fn set(node: &Binary, left: Vec<Element>, right: Vec<Element>) -> Vec<Element> {
    let matching = node.matching.as_ref().unwrap();
    let has = |side: &[Element], element: &Element| {
        let wanted = group(matching, &element.labels);
        side.iter()
            .any(|other| group(matching, &other.labels) == wanted)
    };
    match node.op {
        BinaryOp::And => left
            .into_iter()
            .filter(|element| has(&right, element))
            .collect(),
        BinaryOp::Unless => left
            .into_iter()
            .filter(|element| !has(&right, element))
            .collect(),
        _ => {
            let more: Vec<Element> = right
                .into_iter()
                .filter(|element| !has(&left, element))
                .collect();
            left.into_iter().chain(more).collect()
        }
    }
}

impl Twin<'_> {
    fn join(
        &self,
        node: &Binary,
        left: Vec<Element>,
        right: Vec<Element>,
    ) -> Result<Vec<Element>, Failure> {
        let matching = node.matching.as_ref().unwrap();
        if left.is_empty() || right.is_empty() {
            return Ok(Vec::new());
        }
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped {
            (right, left)
        } else {
            (left, right)
        };
        for (index, element) in one.iter().enumerate() {
            let key = group(matching, &element.labels);
            if one[..index]
                .iter()
                .any(|other| group(matching, &other.labels) == key)
            {
                return Err("duplicate series on the one side");
            }
        }
        let mut results: Vec<(Names, Element)> = Vec::new();
        for element in &many {
            let key = group(matching, &element.labels);
            let Some(partner) = one
                .iter()
                .find(|other| group(matching, &other.labels) == key)
            else {
                continue;
            };
            let (left, right) = if swapped {
                (partner, element)
            } else {
                (element, partner)
            };
            let Some(value) = self.yielded(node, &left.value, &right.value, &left.value) else {
                continue;
            };
            let labels = result_labels(node, matching, element, partner);
            let clashes = results.iter().any(|(other, result)| {
                *other == key
                    && (matching.cardinality == Cardinality::OneToOne || result.labels == labels)
            });
            if clashes {
                return Err("multiple matches");
            }
            results.push((key, Element { labels, value }));
        }
        unique(results.into_iter().map(|(_, element)| element).collect())
    }
}

fn result_labels(node: &Binary, matching: &VectorMatching, many: &Element, one: &Element) -> Names {
    let mut labels = many.labels.clone();
    if drops_name(node) {
        labels.remove("__name__");
    }
    if matching.cardinality == Cardinality::OneToOne {
        labels.retain(|name, _| matching.labels.contains(name) == matching.on);
    }
    for name in &matching.include {
        match one.labels.get(name) {
            Some(value) => labels.insert(name.clone(), value.clone()),
            None => labels.remove(name),
        };
    }
    labels
}
