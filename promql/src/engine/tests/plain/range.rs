//! Functions of range vectors.

use std::sync::Arc;

use SampleValue::{Float, Histogram};
use model::histogram::{ResetHint, indexed};
use model::name::Quoted;
use model::{FloatHistogram, SampleValue};

use super::aggregate::{extreme, quantile, total, variance};
use super::function::{missing, seconds};
use super::{
    Element, Failure, Twin, Window, binary, bounds_differ, hints_collide, metric, milliseconds,
    nameless, unique,
};
use crate::ast::{Call, Expr};
use crate::histogram::arithmetic::{compacted, divided};
use crate::histogram::{add, scaled, subtract};
use crate::position::Position;

impl Twin<'_> {
    pub(super) fn of_windows(&self, node: &Call, t: i64) -> Result<Vec<Element>, Failure> {
        let name = node.function.name;
        let mut parameters = Vec::new();
        let (mut windows, mut range) = (Vec::new(), 0);
        for arg in &node.args {
            let arg = arg.unparenthesized();
            match arg {
                Expr::Matrix(inner) => {
                    windows = self.range(inner, t);
                    range = milliseconds(&inner.range);
                }
                Expr::Subquery(inner) => {
                    windows = self.subquery(inner, t)?;
                    range = milliseconds(&inner.range);
                }
                _ => parameters.push(self.scalar(arg, t)?),
            }
        }
        if name == "absent_over_time" {
            return Ok(missing(windows.is_empty(), &node.args[0]));
        }
        let position = match name {
            "quantile_over_time" => node.args[1].position(),
            _ => node.args[0].position(),
        };
        let keeps_name = matches!(name, "last_over_time" | "first_over_time");
        let mut results = Vec::new();
        for window in windows {
            assert_eq!(window.end - window.start, range);
            self.note_window(name, &window, position);
            let has_floats = window
                .samples
                .iter()
                .any(|(_, value)| value.as_float().is_some());
            if name == "quantile_over_time" && has_floats {
                self.check_quantile(parameters[0], node.args[0].position());
            }
            if let Some(value) = of_window(name, &window, &parameters, t) {
                let labels = if keeps_name {
                    window.labels
                } else {
                    nameless(&window.labels)
                };
                results.push(Element { labels, value });
            }
        }
        unique(results)
    }

    /// Says what is odd about a window for this function.
    fn note_window(&self, name: &str, window: &Window, position: Position) {
        let of = Quoted(metric(&window.labels));
        let histograms: Vec<&FloatHistogram> = window
            .samples
            .iter()
            .filter_map(|(_, value)| match value {
                Histogram(histogram) => Some(&**histogram),
                Float(_) => None,
            })
            .collect();
        let has_floats = histograms.len() < window.samples.len();
        let is_mixed = has_floats && !histograms.is_empty();
        let is_named_so =
            ["_total", "_sum", "_count", "_bucket", ""]
                .iter()
                .any(|end| match *end {
                    "" => metric(&window.labels).is_empty(),
                    end => metric(&window.labels).ends_with(end),
                });
        if matches!(name, "rate" | "increase" | "irate" | "resets") && has_floats && !is_named_so {
            let message = format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {of}"
            );
            self.info(&message, position);
        }
        let mixed = format!("encountered a mix of histograms and floats for metric name {of}");
        match name {
            "rate" | "increase" | "delta" if is_mixed => self.warn(&mixed, position),
            "sum_over_time" | "avg_over_time" if is_mixed => self.warn(&mixed, position),
            "rate" | "increase" | "delta" => {
                self.note_change(name != "delta", &histograms, (&of, position))
            }
            "sum_over_time" | "avg_over_time" => self.note_sum(&histograms, (&of, position)),
            "irate" | "idelta" => {
                if let [.., (_, before), (_, now)] = &window.samples[..] {
                    match (before, now) {
                        (Histogram(before), Histogram(now)) => {
                            self.note_two(name == "irate", before, now, (&of, position));
                        }
                        (Float(_), Float(_)) => {}
                        _ => self.warn(&mixed, position),
                    }
                }
            }
            "min_over_time"
            | "max_over_time"
            | "stddev_over_time"
            | "stdvar_over_time"
            | "quantile_over_time"
            | "mad_over_time"
            | "ts_of_min_over_time"
            | "ts_of_max_over_time"
            | "deriv"
            | "predict_linear"
            | "double_exponential_smoothing"
                if is_mixed =>
            {
                let message = format!(
                    "ignored histograms in a range containing both floats and histograms for metric name {of}"
                );
                self.info(&message, position);
            }
            _ => {}
        }
    }

    fn note_kind(&self, is_counter: bool, gauges: [bool; 2], (of, position): Place<'_>) {
        if is_counter && gauges.contains(&true) {
            self.warn(
                &format!("this native histogram metric is not a counter: {of}"),
                position,
            );
        }
        if !is_counter && gauges.contains(&false) {
            self.warn(
                &format!("this native histogram metric is not a gauge: {of}"),
                position,
            );
        }
    }

    fn note_schemas(&self, (of, position): Place<'_>) {
        let message = format!(
            "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {of}"
        );
        self.warn(&message, position);
    }

    fn note_bounds(&self, what: &str, (_, position): Place<'_>) {
        let message = format!("mismatched custom buckets were reconciled during {what}");
        self.info(&message, position);
    }

    /// Of `rate`, `increase` and `delta`.
    fn note_change(&self, is_counter: bool, histograms: &[&FloatHistogram], place: Place<'_>) {
        let [first, second, ..] = histograms else {
            return;
        };
        let last = histograms[histograms.len() - 1];
        let gauges = [first, last].map(|h| h.reset_hint == ResetHint::Gauge);
        let from = usize::from(is_counter && shrank(first, second));
        let is_other = |h: &&FloatHistogram| h.has_custom_buckets() != last.has_custom_buckets();
        if is_other(&histograms[from]) {
            if is_counter {
                self.note_kind(true, gauges, place);
            }
            return self.note_schemas(place);
        }
        if is_counter {
            if histograms[from..].iter().any(is_other) {
                return self.note_schemas(place);
            }
            let any = histograms.iter().any(|h| h.reset_hint == ResetHint::Gauge);
            self.note_kind(true, [any; 2], place);
        } else {
            self.note_kind(false, gauges, place);
        }
        let mut change = FloatHistogram::clone(last);
        if from == 0 {
            if bounds_differ(&change, first) {
                self.note_bounds("subtraction", place);
            }
            subtract(&mut change, first).unwrap();
        }
        for pair in histograms[from..].windows(2) {
            if is_counter && shrank(pair[0], pair[1]) {
                if bounds_differ(&change, pair[0]) {
                    self.note_bounds("addition", place);
                }
                add(&mut change, pair[0]).unwrap();
            }
        }
    }

    /// Of `sum_over_time` and `avg_over_time`.
    fn note_sum(&self, histograms: &[&FloatHistogram], place: Place<'_>) {
        let Some((first, others)) = histograms.split_first() else {
            return;
        };
        let (mut sum, mut is_reconciled) = (FloatHistogram::clone(first), false);
        for histogram in others {
            is_reconciled |= bounds_differ(&sum, histogram);
            if add(&mut sum, histogram).is_err() {
                return self.note_schemas(place);
            }
        }
        if is_reconciled {
            self.note_bounds("aggregation", place);
        }
        if hints_collide(histograms.iter().copied()) {
            let message = "conflicting counter resets during histogram aggregation";
            self.warn(message, place.1);
        }
    }

    /// Of `irate` and `idelta`.
    fn note_two(
        &self,
        is_rate: bool,
        before: &FloatHistogram,
        now: &FloatHistogram,
        place: Place<'_>,
    ) {
        let gauges = [before, now].map(|h| h.reset_hint == ResetHint::Gauge);
        self.note_kind(is_rate, gauges, place);
        if is_rate && shrank(before, now) {
            return;
        }
        if before.has_custom_buckets() != now.has_custom_buckets() {
            self.note_schemas(place);
        } else if bounds_differ(before, now) {
            self.note_bounds("subtraction", place);
        }
    }
}

/// Of which metric something is said, and where.
type Place<'a> = (&'a Quoted<'a>, Position);

/// The function's value for one window, which is not empty.
fn of_window(name: &str, window: &Window, parameters: &[f64], t: i64) -> Option<SampleValue> {
    let samples = &window.samples;
    let floats: Vec<(i64, f64)> = samples
        .iter()
        .filter_map(|(t, value)| Some((*t, value.as_float()?)))
        .collect();
    let values: Vec<f64> = floats.iter().map(|(_, value)| *value).collect();
    let count = |pairs: fn(&SampleValue, &SampleValue) -> bool| {
        let found = samples
            .windows(2)
            .filter(|pair| pairs(&pair[0].1, &pair[1].1));
        Some(Float(found.count() as f64))
    };
    let elements = || -> Vec<Element> {
        let elements = samples.iter().map(|(_, value)| Element {
            labels: window.labels.clone(),
            value: value.clone(),
        });
        elements.collect()
    };
    Some(match name {
        "count_over_time" => Float(samples.len() as f64),
        "present_over_time" => Float(1.0),
        "first_over_time" => samples[0].1.clone(),
        "last_over_time" => samples[samples.len() - 1].1.clone(),
        "ts_of_first_over_time" => Float(seconds(samples[0].0)),
        "ts_of_last_over_time" => Float(seconds(samples[samples.len() - 1].0)),
        "sum_over_time" => return total(&elements(), false),
        "avg_over_time" => return total(&elements(), true),
        "changes" => return count(changed),
        "resets" => return count(reset),
        "irate" => return last_two(samples, true),
        "idelta" => return last_two(samples, false),
        "rate" => return extrapolated(window, true, true),
        "increase" => return extrapolated(window, true, false),
        "delta" => return extrapolated(window, false, false),
        // All others are of floats.
        _ if floats.is_empty() => return None,
        "min_over_time" => Float(extreme(&values, |new, old| new < old)),
        "max_over_time" => Float(extreme(&values, |new, old| new > old)),
        "ts_of_min_over_time" => Float(time_of(&floats, |new, old| new <= old)),
        "ts_of_max_over_time" => Float(time_of(&floats, |new, old| new >= old)),
        "stddev_over_time" => Float(variance(&values).sqrt()),
        "stdvar_over_time" => Float(variance(&values)),
        "quantile_over_time" => Float(quantile(parameters[0], &values)),
        "mad_over_time" => {
            // Prometheus 3.5 left NaN out; 3.14 does not.
            if values.iter().any(|value| value.is_nan()) {
                return Some(Float(f64::NAN));
            }
            let median = quantile(0.5, &values);
            let distances: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
            Float(quantile(0.5, &distances))
        }
        // And these of two of them.
        _ if floats.len() < 2 => return None,
        "deriv" => Float(line(&floats, floats[0].0).0),
        "predict_linear" => {
            let (slope, now) = line(&floats, t);
            Float(slope * parameters[0] + now)
        }
        "double_exponential_smoothing" => Float(smoothed(&values, parameters[0], parameters[1])),
        other => panic!("{other}() has no twin here"),
    })
}

fn changed(before: &SampleValue, now: &SampleValue) -> bool {
    match (before, now) {
        (Float(before), Float(now)) => before != now && !(before.is_nan() && now.is_nan()),
        (Histogram(before), Histogram(now)) => !binary::same(before, now),
        _ => true,
    }
}

fn reset(before: &SampleValue, now: &SampleValue) -> bool {
    match (before, now) {
        (Float(before), Float(now)) => now < before,
        (Histogram(before), Histogram(now)) => shrank(before, now),
        _ => true,
    }
}

/// Whether anything that only grows has become less, in the buckets that both can tell apart. A resolution that became
/// finer was not there before, nor was another kind of buckets.
pub(super) fn shrank(before: &FloatHistogram, now: &FloatHistogram) -> bool {
    // Whoever stored it knew.
    match now.reset_hint {
        ResetHint::CounterReset => return true,
        ResetHint::NotCounterReset => return false,
        ResetHint::Unknown | ResetHint::Gauge => {}
    }
    if now.count < before.count || before.has_custom_buckets() != now.has_custom_buckets() {
        return true;
    }
    if now.has_custom_buckets() {
        return custom_shrank(before, now);
    }
    if before.schema < now.schema || now.zero_threshold < before.zero_threshold {
        return true;
    }
    let mut before = before.clone();
    before.reduce_resolution(now.schema);
    // What the wider zero bucket has swallowed counts as zero; it ends where a bucket ends.
    let mut zero = before.zero_count;
    let mut left = |spans: &[_], buckets: &[f64]| -> Vec<(i32, f64)> {
        let mut left = Vec::new();
        for (index, count) in indexed(spans, buckets) {
            if before.bound(index) <= now.zero_threshold {
                zero += count;
            } else {
                left.push((index, count));
            }
        }
        left
    };
    let positive = left(&before.positive_spans, &before.positive_buckets);
    let negative = left(&before.negative_spans, &before.negative_buckets);
    let less = |before: Vec<(i32, f64)>, (spans, buckets): (&[_], &[f64])| {
        let now: Vec<(i32, f64)> = indexed(spans, buckets).collect();
        before.into_iter().any(|(index, count)| {
            match now.iter().find(|(other, _)| *other == index) {
                Some((_, now)) => *now < count,
                None => count != 0.0,
            }
        })
    };
    now.zero_count < zero
        || less(positive, (&now.positive_spans, &now.positive_buckets))
        || less(negative, (&now.negative_spans, &now.negative_buckets))
}

/// The same of custom buckets: up to each bound that both have, and without bound.
fn custom_shrank(before: &FloatHistogram, now: &FloatHistogram) -> bool {
    let up_to = |histogram: &FloatHistogram, bound: f64| -> f64 {
        indexed(&histogram.positive_spans, &histogram.positive_buckets)
            .filter(|(index, _)| histogram.bound(*index) <= bound)
            .map(|(_, count)| count)
            .sum()
    };
    let both = before
        .custom_bounds
        .iter()
        .filter(|b| now.custom_bounds.contains(b));
    let mut below = (0.0, 0.0);
    both.copied().chain([f64::INFINITY]).any(|bound| {
        let total = (up_to(before, bound), up_to(now, bound));
        let inside = (total.0 - below.0, total.1 - below.1);
        below = total;
        inside.1 < inside.0
    })
}

/// The time of the last value that beats all others; of the last NaN if there is nothing else.
fn time_of(floats: &[(i64, f64)], beats: impl Fn(f64, f64) -> bool) -> f64 {
    let mut best = floats[0];
    for &(t, value) in floats {
        if best.1.is_nan() || beats(value, best.1) {
            best = (t, value);
        }
    }
    seconds(best.0)
}

fn last_two(samples: &[(i64, SampleValue)], is_rate: bool) -> Option<SampleValue> {
    let [.., (before_t, before), (now_t, now)] = samples else {
        return None;
    };
    let length = seconds(now_t - before_t);
    match (before, now) {
        (Float(before), Float(now)) => {
            let change = if is_rate && now < before {
                *now
            } else {
                now - before
            };
            Some(Float(if is_rate { change / length } else { change }))
        }
        (Histogram(before), Histogram(now)) => {
            let mut change = FloatHistogram::clone(now);
            if !(is_rate && shrank(before, now)) {
                subtract(&mut change, before).ok()?;
            }
            let change = if is_rate {
                divided(change, length)
            } else {
                change
            };
            Some(gauge(change))
        }
        _ => None,
    }
}

fn gauge(mut histogram: FloatHistogram) -> SampleValue {
    histogram.reset_hint = ResetHint::Gauge;
    Histogram(Arc::new(compacted(histogram)))
}

/// rate, increase and delta: the change between first and last sample, stretched to the ends of the window.
fn extrapolated(window: &Window, is_counter: bool, is_rate: bool) -> Option<SampleValue> {
    let samples = &window.samples;
    let [(first_t, first), .., (last_t, last)] = &samples[..] else {
        return None;
    };
    let (change, starts_at, grows_by) = match (first, last) {
        (Float(first), Float(last)) => {
            let mut change = last - first;
            for pair in samples.windows(2) {
                let (Float(before), Float(now)) = (&pair[0].1, &pair[1].1) else {
                    return None;
                };
                if is_counter && now < before {
                    change += before;
                }
            }
            (Float(change), *first, change)
        }
        (Histogram(first), Histogram(last)) => {
            let histograms: Option<Vec<&FloatHistogram>> = samples
                .iter()
                .map(|(_, value)| match value {
                    Histogram(histogram) => Some(&**histogram),
                    Float(_) => None,
                })
                .collect();
            let histograms = histograms?;
            let mut change = FloatHistogram::clone(last);
            // What was before a reset at once says nothing.
            let from = usize::from(is_counter && shrank(histograms[0], histograms[1]));
            let is_other =
                |h: &&FloatHistogram| h.has_custom_buckets() != last.has_custom_buckets();
            let between = histograms[from..].iter().filter(|_| is_counter);
            if is_other(&histograms[from]) || between.clone().any(is_other) {
                return None;
            }
            if from == 0 {
                subtract(&mut change, first).ok()?;
            }
            for pair in histograms[from..].windows(2) {
                if is_counter && shrank(pair[0], pair[1]) {
                    add(&mut change, pair[0]).ok()?;
                }
            }
            let grows_by = change.count;
            (Histogram(Arc::new(change)), first.count, grows_by)
        }
        _ => return None,
    };
    let sampled = seconds(last_t - first_t);
    let between = sampled / (samples.len() - 1) as f64;
    let stretch = |gap: f64| {
        if gap >= between * 1.1 {
            between / 2.0
        } else {
            gap
        }
    };
    let mut to_start = stretch(seconds(first_t - window.start));
    if is_counter && grows_by > 0.0 && starts_at >= 0.0 {
        // A counter was not below zero.
        let to_zero = sampled * (starts_at / grows_by);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    let to_end = stretch(seconds(window.end - last_t));
    let mut factor = (sampled + to_start + to_end) / sampled;
    if is_rate {
        factor /= seconds(window.end - window.start);
    }
    Some(match change {
        Float(change) => Float(change * factor),
        Histogram(change) => gauge(scaled(FloatHistogram::clone(&change), factor)),
    })
}

/// Slope per second of the line of least squares, and where it is at `origin`.
fn line(floats: &[(i64, f64)], origin: i64) -> (f64, f64) {
    let first = floats[0].1;
    if floats.iter().all(|(_, y)| *y == first) {
        return if first.is_infinite() {
            (f64::NAN, f64::NAN)
        } else {
            (0.0, first)
        };
    }
    let count = floats.len() as f64;
    let xs = || floats.iter().map(|(t, _)| seconds(t - origin));
    let mean_x = xs().sum::<f64>() / count;
    let mean_y = floats.iter().map(|(_, y)| y).sum::<f64>() / count;
    let (mut xy, mut xx) = (0.0, 0.0);
    for (x, (_, y)) in xs().zip(floats) {
        xy += (x - mean_x) * (y - mean_y);
        xx += (x - mean_x) * (x - mean_x);
    }
    (xy / xx, mean_y - xy / xx * mean_x)
}

/// Level and trend, each a mix of the new one and the one before.
fn smoothed(values: &[f64], level_share: f64, trend_share: f64) -> f64 {
    let (mut level, mut trend) = (values[0], values[1] - values[0]);
    for (index, value) in values.iter().enumerate().skip(1) {
        let next = level_share * value + (1.0 - level_share) * (level + trend);
        // The trend of the first two is known already.
        if index + 1 < values.len() {
            trend = trend_share * (next - level) + (1.0 - trend_share) * trend;
        }
        level = next;
    }
    level
}
