//! Whether a counter started again between two histograms.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::{ResetHint, indexed};
use model::storage::SampleColumns;

/// Returns whether a counter that was `before` and is `now` has been reset in between.
///
/// It was when the hint says so, when anything that only grows has shrunk, or when the resolution became finer.
pub(crate) fn is_reset(now: &FloatHistogram, before: &FloatHistogram) -> bool {
    match now.reset_hint {
        ResetHint::CounterReset => return true,
        ResetHint::NotCounterReset => return false,
        // A gauge too, for who asks for its resets.
        ResetHint::Unknown | ResetHint::Gauge => (),
    }
    if now.count < before.count {
        return true;
    }
    if now.has_custom_buckets() != before.has_custom_buckets() {
        return true;
    }
    if now.has_custom_buckets() {
        return now.custom_bounds != before.custom_bounds && !bounds_shrank_well(now, before)
            || now.custom_bounds == before.custom_bounds
                && shrank(&positive(now), &positive(before));
    }
    if before.schema < now.schema || now.zero_threshold < before.zero_threshold {
        return true;
    }
    // The older one, in the layout of the newer.
    let mut older = before.clone();
    let mut empty = now.clone();
    for buckets in [&mut empty.positive_buckets, &mut empty.negative_buckets] {
        buckets.fill(0.0);
    }
    (empty.count, empty.sum, empty.zero_count) = (0.0, 0.0, 0.0);
    if super::add(&mut older, &empty).is_err() {
        return true;
    }
    if older.zero_threshold != now.zero_threshold {
        return true;
    }
    now.zero_count < older.zero_count
        || shrank(&positive(now), &positive(&older))
        || shrank(&negative(now), &negative(&older))
}

/// Decides for each histogram of which nothing is known whether the counter was reset before it. The first one has none
/// before it.
pub(crate) fn decide_hints(columns: &mut SampleColumns) {
    let mut before: Option<Arc<FloatHistogram>> = None;
    for (_, histogram) in &mut columns.histograms {
        if model::is_stale(histogram.sum) {
            continue;
        }
        let unknown = histogram.reset_hint == ResetHint::Unknown;
        let read = Arc::clone(histogram);
        if let (true, Some(before)) = (unknown, &before) {
            let reset_hint = match is_reset(histogram, before) {
                true => ResetHint::CounterReset,
                false => ResetHint::NotCounterReset,
            };
            *histogram = Arc::new(FloatHistogram {
                reset_hint,
                ..FloatHistogram::clone(histogram)
            });
        }
        before = Some(read);
    }
}

/// Whether the populations, brought to the bounds that both have, only grew.
fn bounds_shrank_well(now: &FloatHistogram, before: &FloatHistogram) -> bool {
    let mut difference = now.clone();
    match super::subtract(&mut difference, before) {
        Ok(_) => difference
            .positive_buckets
            .iter()
            .all(|&count| 0.0 <= count),
        Err(_) => false,
    }
}

fn positive(histogram: &FloatHistogram) -> BTreeMap<i32, f64> {
    indexed(&histogram.positive_spans, &histogram.positive_buckets).collect()
}

fn negative(histogram: &FloatHistogram) -> BTreeMap<i32, f64> {
    indexed(&histogram.negative_spans, &histogram.negative_buckets).collect()
}

/// Whether a bucket has less in it, or is gone with what was in it, though that be less than nothing.
fn shrank(now: &BTreeMap<i32, f64>, before: &BTreeMap<i32, f64>) -> bool {
    before.iter().any(|(index, &count)| match now.get(index) {
        Some(&now) => now < count,
        None => count != 0.0,
    })
}
