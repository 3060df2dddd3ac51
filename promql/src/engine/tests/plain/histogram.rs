//! Functions of histograms, native and classic.

use std::collections::BTreeMap;

use model::FloatHistogram;
use model::SampleValue::{Float, Histogram};
use model::histogram::indexed;

use super::{Element, Failure, Names, Twin, nameless, of_metric, unique};
use crate::ast::{Call, ValueType};
use crate::position::Position;

impl Twin<'_> {
    pub(super) fn of_histograms(&self, node: &Call, t: i64) -> Result<Vec<Element>, Failure> {
        let mut elements = Vec::new();
        let (mut numbers, mut label) = (Vec::new(), String::new());
        let wants_quantiles = node.function.name.starts_with("histogram_quantile");
        let mut position = node.position;
        for arg in &node.args {
            match arg.value_type() {
                ValueType::Scalar => {
                    let number = self.scalar(arg, t)?;
                    if wants_quantiles {
                        self.check_quantile(number, arg.unparenthesized().position());
                    }
                    numbers.push(number);
                }
                ValueType::String => label = self.text(arg, t)?,
                _ => {
                    elements = self.vector(arg, t)?;
                    position = arg.unparenthesized().position();
                }
            }
        }
        if wants_quantiles || node.function.name == "histogram_fraction" {
            self.note_bounds_missing(&elements, position);
        }
        if wants_quantiles {
            self.note_descents(&elements, position);
        }
        let each = |function: &dyn Fn(&FloatHistogram) -> f64| {
            let results = elements.iter().filter_map(|element| match &element.value {
                Histogram(histogram) => Some(Element {
                    labels: nameless(&element.labels),
                    value: Float(function(histogram)),
                }),
                Float(_) => None,
            });
            results.collect::<Vec<Element>>()
        };
        unique(match node.function.name {
            "histogram_count" => each(&|histogram| histogram.count),
            "histogram_sum" => each(&|histogram| histogram.sum),
            "histogram_avg" => each(&|histogram| histogram.sum / histogram.count),
            "histogram_stdvar" => each(&variance),
            "histogram_stddev" => each(&|histogram| variance(histogram).sqrt()),
            "histogram_quantile" => {
                let mut results = each(&|histogram| quantile(numbers[0], histogram));
                results.extend(classic(&elements, |buckets| {
                    classic_quantile(numbers[0], buckets)
                }));
                results
            }
            "histogram_quantiles" => {
                let mut results = Vec::new();
                for &q in &numbers {
                    let mut part = each(&|histogram| quantile(q, histogram));
                    part.extend(classic(&elements, |buckets| classic_quantile(q, buckets)));
                    for element in &mut part {
                        element.labels.insert(label.clone(), q.to_string());
                    }
                    results.extend(part);
                }
                results
            }
            "histogram_fraction" => {
                let (lower, upper) = (numbers[0], numbers[1]);
                let mut results = each(&|histogram| fraction(lower, upper, histogram));
                results.extend(classic(&elements, |buckets| {
                    classic_fraction(lower, upper, buckets)
                }));
                results
            }
            other => panic!("{other}() has no twin here"),
        })
    }

    /// Warns of floats that are no buckets.
    fn note_bounds_missing(&self, elements: &[Element], position: Position) {
        for element in elements.iter().filter(|e| e.value.as_float().is_some()) {
            let le = element.labels.get("le").map_or("", String::as_str);
            if le.replace("+Inf", "inf").parse::<f64>().is_err() {
                let message = format!(
                    "bucket label \"le\" is missing or has a malformed value of \"{le}\"{}",
                    of_metric(&element.labels)
                );
                self.warn(&message, position);
            }
        }
    }

    /// Says so if buckets hold less than those below them. A difference that is only of rounding is none.
    fn note_descents(&self, elements: &[Element], position: Position) {
        for (labels, mut buckets) in grouped(elements) {
            buckets.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap());
            let is_open = buckets.last().is_some_and(|last| last.0 == f64::INFINITY);
            if !is_open || buckets.len() < 2 {
                continue;
            }
            let mut most = buckets[0].1;
            for &(_, count) in &buckets[1..] {
                let is_near = (count - most).abs() < 1e-12 * (count.abs() + most.abs());
                if count < most && !is_near {
                    let message = format!("{DESCENTS}{}", of_metric(&labels));
                    self.info(&message, position);
                }
                if count > most {
                    most = count;
                }
            }
        }
    }
}

/// What is said of buckets that do not ascend, without the numbers.
pub(super) const DESCENTS: &str = "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";

/// Where an observation of a bucket is taken to be, `part` of the way from its lower to its upper bound.
fn inside(lower: f64, upper: f64, part: f64) -> f64 {
    if lower <= 0.0 && 0.0 <= upper {
        lower + (upper - lower) * part
    } else if lower > 0.0 {
        lower * (upper / lower).powf(part)
    } else {
        -inside(-upper, -lower, 1.0 - part)
    }
}

/// How much of a bucket lies below `value`: what [`inside`] turns around.
fn below(lower: f64, upper: f64, value: f64) -> f64 {
    if value <= lower {
        0.0
    } else if upper <= value {
        1.0
    } else if lower <= 0.0 && 0.0 <= upper {
        (value - lower) / (upper - lower)
    } else if lower > 0.0 {
        (value / lower).ln() / (upper / lower).ln()
    } else {
        1.0 - below(-upper, -lower, -value)
    }
}

/// The mean squared distance from the mean, each observation in the middle of its bucket (geometrically).
fn variance(histogram: &FloatHistogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let mut squares = 0.0;
    for bucket in histogram.buckets() {
        if bucket.count != 0.0 {
            let is_zero = bucket.lower <= 0.0 && 0.0 <= bucket.upper;
            let middle = if is_zero {
                0.0
            } else {
                inside(bucket.lower, bucket.upper, 0.5)
            };
            squares += bucket.count * (middle - mean) * (middle - mean);
        }
    }
    squares / histogram.count
}

/// What is above `lower` and up to `upper`; each bucket's part adds its middle to the sum. Not of custom buckets.
pub(super) fn trimmed(histogram: &FloatHistogram, lower: f64, upper: f64) -> FloatHistogram {
    let keeps = |from: f64, to: f64, count: f64| {
        let (kept_from, kept_to) = (from.max(lower), to.min(upper));
        if count == 0.0 || kept_to <= kept_from {
            return (0.0, 0.0);
        }
        let kept = count * (below(from, to, kept_to) - below(from, to, kept_from));
        let is_zero = from <= 0.0 && 0.0 <= to;
        let middle = if is_zero {
            f64::midpoint(kept_from, kept_to)
        } else {
            inside(kept_from, kept_to, 0.5)
        };
        (kept, kept * middle)
    };
    let mut result = histogram.clone();
    let mut sum = 0.0;
    let zero = histogram.zero_threshold;
    let (kept, part) = keeps(-zero, zero, histogram.zero_count);
    (result.zero_count, sum) = (kept, sum + part);
    for (sign, spans, buckets) in [
        (1.0, &histogram.positive_spans, &mut result.positive_buckets),
        (
            -1.0,
            &histogram.negative_spans,
            &mut result.negative_buckets,
        ),
    ] {
        let indices: Vec<i32> = indexed(spans, buckets).map(|(index, _)| index).collect();
        for (index, count) in indices.into_iter().zip(buckets) {
            let (a, b) = (
                sign * histogram.bound(index - 1),
                sign * histogram.bound(index),
            );
            let (kept, part) = keeps(a.min(b), a.max(b), *count);
            (*count, sum) = (kept, sum + part);
        }
    }
    let all = result
        .positive_buckets
        .iter()
        .chain(&result.negative_buckets);
    let count = result.zero_count + all.sum::<f64>();
    // What was not cut keeps its sum.
    if count != histogram.count {
        (result.count, result.sum) = (count, sum);
    }
    result
}

/// Counts from the end that is nearer.
fn quantile(q: f64, histogram: &FloatHistogram) -> f64 {
    if !q.is_nan() && !(0.0..=1.0).contains(&q) {
        return f64::INFINITY.copysign(q);
    }
    if q.is_nan() || histogram.count == 0.0 {
        return f64::NAN;
    }
    let buckets = histogram
        .buckets()
        .into_iter()
        .filter(|bucket| bucket.count != 0.0);
    let mut buckets: Vec<_> = buckets.collect();
    buckets.sort_by(|a, b| a.lower.partial_cmp(&b.lower).unwrap());
    let from_top = q >= 0.5;
    if from_top {
        buckets.reverse();
    }
    let rank = histogram.count * if from_top { 1.0 - q } else { q };
    let mut before = 0.0;
    for (index, bucket) in buckets.iter().enumerate() {
        if before + bucket.count < rank && index + 1 < buckets.len() {
            before += bucket.count;
            continue;
        }
        let part = (rank - before) / bucket.count;
        return inside(
            bucket.lower,
            bucket.upper,
            if from_top { 1.0 - part } else { part },
        );
    }
    f64::NAN
}

fn fraction(lower: f64, upper: f64, histogram: &FloatHistogram) -> f64 {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let mut within = 0.0;
    for bucket in histogram.buckets() {
        let part =
            below(bucket.lower, bucket.upper, upper) - below(bucket.lower, bucket.upper, lower);
        within += bucket.count * part;
    }
    within / histogram.count
}

/// The buckets of each classic histogram: upper bounds and running counts. The labels have the name still.
fn grouped(elements: &[Element]) -> BTreeMap<Names, Vec<(f64, f64)>> {
    let mut all: BTreeMap<Names, Vec<(f64, f64)>> = BTreeMap::new();
    for element in elements {
        let le = element.labels.get("le").map(|le| le.replace("+Inf", "inf"));
        if let (Float(count), Some(Ok(upper))) = (&element.value, le.map(|le| le.parse::<f64>())) {
            let mut labels = element.labels.clone();
            labels.remove("le");
            all.entry(labels).or_default().push((upper, *count));
        }
    }
    all
}

/// Applies `function` to the buckets of each classic histogram, ascending.
fn classic(elements: &[Element], function: impl Fn(&[(f64, f64)]) -> f64) -> Vec<Element> {
    let results = grouped(elements).into_iter().map(|(labels, mut buckets)| {
        buckets.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap());
        for index in 1..buckets.len() {
            let (before, now) = (buckets[index - 1].1, buckets[index].1);
            if now < before || now - before < 1e-12 * (now + before) {
                buckets[index].1 = before;
            }
        }
        Element {
            labels: nameless(&labels),
            value: Float(function(&buckets)),
        }
    });
    results.collect()
}

fn classic_quantile(q: f64, buckets: &[(f64, f64)]) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&q) {
        return f64::INFINITY.copysign(q);
    }
    let [.., (finite, _), (f64::INFINITY, all)] = *buckets else {
        return f64::NAN;
    };
    if all == 0.0 {
        return f64::NAN;
    }
    let (mut lower, mut before) = (0.0, 0.0);
    for &(upper, count) in buckets {
        if q * all <= count {
            let part = (q * all - before) / (count - before);
            return if upper.is_infinite() {
                finite
            } else {
                lower + (upper - lower) * part
            };
        }
        (lower, before) = (upper, count);
    }
    finite
}

/// Of bounds between zero and the last finite one.
fn classic_fraction(lower: f64, upper: f64, buckets: &[(f64, f64)]) -> f64 {
    let [.., (f64::INFINITY, all)] = *buckets else {
        return f64::NAN;
    };
    if all == 0.0 {
        return f64::NAN;
    }
    let (mut within, mut from, mut before) = (0.0, 0.0, 0.0);
    for &(to, count) in buckets {
        if to.is_finite() {
            let share = |value: f64| ((value - from) / (to - from)).clamp(0.0, 1.0);
            within += (count - before) * (share(upper) - share(lower));
        }
        (from, before) = (to, count);
    }
    within / all
}
