//! Series that tests are made of: generated, and as the engine's storage has them.

use std::sync::Arc;

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, ResetHint, Span};
use model::{FloatHistogram, Labels, SampleValue};
use proptest::prelude::*;

use super::range::shrank;
use super::{Names, Series};
use crate::script::MemoryStorage;

/// Metrics: floats, floats with histograms among them, histograms of two resolutions, one with fewer series, and histograms
/// of all kinds of buckets.
const METRICS: [&str; 5] = ["a_total", "b", "h", "one", "n"];

/// One sample to be: how far after the one before (10 s each), of which kind, and how large.
type Draw = (i64, u8, u8, i64);

/// Series of few metrics and labels, some of them empty or of one sample.
pub(super) fn series() -> impl Strategy<Value = Vec<Series>> {
    let samples = proptest::collection::vec((1i64..4, 0u8..24, 0u8..60, -2500i64..2500), 0..45);
    let names = (0usize..5, 0u8..2, 0u8..3);
    proptest::collection::btree_map(names, samples, 0..18).prop_map(|drawn| {
        let mut all: Vec<Series> = Vec::new();
        for ((metric, l, m), samples) in drawn {
            let mut labels = Names::new();
            labels.insert("__name__".to_owned(), METRICS[metric].to_owned());
            labels.insert("l".to_owned(), ["x", "y"][usize::from(l)].to_owned());
            if metric != 3 && m != 0 {
                labels.insert("m".to_owned(), m.to_string());
            }
            if all.iter().all(|series| series.labels != labels) {
                let is_custom = l == 1;
                let samples = series_samples(METRICS[metric], is_custom, &samples);
                all.push(Series { labels, samples });
            }
        }
        all.extend(classic(&all));
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        all
    })
}

fn series_samples(metric: &str, is_custom: bool, draws: &[Draw]) -> Vec<(i64, SampleValue)> {
    let mut samples = Vec::new();
    let (mut t, mut counter) = (0, 0.0);
    for &(gap, kind, size, jitter) in draws {
        t += gap * 10_000;
        counter += f64::from(size) / 4.0;
        let value = match (metric, kind) {
            (_, 0) => SampleValue::Float(model::stale_nan()),
            ("h" | "n", 1) => SampleValue::Float(f64::from(size)),
            ("h" | "n", 2) => {
                counter = 1.0;
                histogram(counter)
            }
            ("h" | "n", 3) => finer(counter),
            ("n", 4) => custom(counter, vec![1.0, 2.0]),
            ("n", 5..=7) if is_custom => custom(counter, vec![1.0, 3.0]),
            ("n", _) if is_custom => custom(counter, vec![1.0, 2.0, 3.0]),
            ("h" | "n", _) => histogram(counter),
            ("b", 1..=4) => histogram(f64::from(size)),
            (_, 5) => SampleValue::Float(f64::NAN),
            (_, 6) => SampleValue::Float(f64::INFINITY),
            (_, 7) => SampleValue::Float(f64::NEG_INFINITY),
            (_, 8) => SampleValue::Float(-0.0),
            (_, 9) => SampleValue::Float(0.0),
            (_, 10) => {
                counter = 0.25;
                SampleValue::Float(counter)
            }
            ("a_total", _) => SampleValue::Float(counter),
            _ => SampleValue::Float(f64::from(size) / 4.0 - 5.0),
        };
        let hint = match (kind, samples.last()) {
            (11..=14, Some((_, before))) if !value.is_stale() => known_hint(before, &value),
            (15, _) => ResetHint::Gauge,
            _ => ResetHint::Unknown,
        };
        samples.push((t + jitter, hinted(value, hint)));
    }
    samples
}

/// What who stores both knows of the second.
fn known_hint(before: &SampleValue, now: &SampleValue) -> ResetHint {
    match (before, now) {
        (SampleValue::Histogram(before), SampleValue::Histogram(now)) => {
            match shrank(before, now) {
                true => ResetHint::CounterReset,
                false => ResetHint::NotCounterReset,
            }
        }
        _ => ResetHint::Unknown,
    }
}

fn hinted(mut value: SampleValue, hint: ResetHint) -> SampleValue {
    if let SampleValue::Histogram(histogram) = &mut value {
        Arc::make_mut(histogram).reset_hint = hint;
    }
    value
}

/// A histogram that grows with `size`, in all of its parts.
fn histogram(size: f64) -> SampleValue {
    let whole = size.floor();
    let span = |offset, length| vec![Span { offset, length }];
    SampleValue::Histogram(Arc::new(FloatHistogram {
        zero_threshold: 0.5,
        zero_count: whole,
        count: 7.0 * whole,
        sum: size * 8.0,
        positive_spans: span(1, 3),
        positive_buckets: vec![whole, 2.0 * whole, whole],
        negative_spans: span(1, 1),
        negative_buckets: vec![2.0 * whole],
        ..FloatHistogram::default()
    }))
}

/// A histogram of twice the resolution and a narrower zero bucket, that grows with `size`.
fn finer(size: f64) -> SampleValue {
    let whole = size.floor();
    let spans = vec![Span {
        offset: 1,
        length: 4,
    }];
    SampleValue::Histogram(Arc::new(FloatHistogram {
        schema: 1,
        zero_threshold: 0.25,
        zero_count: whole,
        count: 9.0 * whole,
        sum: size * 6.0,
        positive_spans: spans.clone(),
        positive_buckets: vec![whole; 4],
        negative_spans: spans,
        negative_buckets: vec![whole; 4],
        ..FloatHistogram::default()
    }))
}

/// A histogram with these bounds, that grows with `size`; what is above the last bound is empty.
fn custom(size: f64, custom_bounds: Vec<f64>) -> SampleValue {
    let whole = size.floor();
    let buckets = custom_bounds.len();
    SampleValue::Histogram(Arc::new(FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: whole * buckets as f64,
        sum: size,
        positive_spans: vec![Span {
            offset: 0,
            length: u32::try_from(buckets).unwrap(),
        }],
        positive_buckets: vec![whole; buckets],
        custom_bounds,
        ..FloatHistogram::default()
    }))
}

/// A classic histogram for each series of `a_total`: growing counts up to 1, 5 and infinity.
fn classic(all: &[Series]) -> Vec<Series> {
    let mut buckets = Vec::new();
    for series in all
        .iter()
        .filter(|series| series.labels["__name__"] == "a_total")
    {
        for (le, share) in [("1", 0.25), ("5", 0.75), ("+Inf", 1.0)] {
            let mut labels = series.labels.clone();
            labels.insert("__name__".to_owned(), "c_bucket".to_owned());
            labels.insert("le".to_owned(), le.to_owned());
            let samples = series.samples.iter().filter_map(|(t, value)| match value {
                SampleValue::Float(value) if value.is_finite() => {
                    Some((*t, SampleValue::Float((value * 4.0 * share).floor())))
                }
                other => other.is_stale().then(|| (*t, other.clone())),
            });
            buckets.push(Series {
                labels,
                samples: samples.collect(),
            });
        }
    }
    buckets
}

/// The series as the engine reads them.
pub(super) fn storage(all: &[Series]) -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    for series in all {
        let labels = series
            .labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let labels = Labels::from_pairs(labels);
        for (t, value) in &series.samples {
            storage.push(&labels, *t, value.clone());
        }
    }
    storage
}
