//! Classic histograms turned into native ones with custom buckets, as `load_with_nhcb` asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, Span};
use model::{FloatHistogram, Labels, SampleValue};

use super::series::SeriesLine;
use super::storage::MemoryStorage;

/// The parts of one classic histogram at one time.
#[derive(Default)]
struct Parts {
    /// Cumulative counts by upper bound.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: Option<f64>,
}

/// Converts the classic histograms among `series` and stores the results.
pub(super) fn store(series: &[&SeriesLine], step: i64, storage: &mut MemoryStorage) {
    let mut found: BTreeMap<(Labels, i64), Parts> = BTreeMap::new();
    for line in series {
        let name = line.labels.metric_name();
        let Some((base, part)) = ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|suffix| Some((name.strip_suffix(suffix)?, *suffix)))
        else {
            continue;
        };
        let upper = line
            .labels
            .value("le")
            .parse::<f64>()
            .ok()
            .filter(|le| !le.is_nan());
        if part == "_bucket" && upper.is_none() {
            continue;
        }
        let labels = line.labels.without(|name| name == "le");
        let labels = labels.to_builder().set("__name__", base).build();
        for (index, value) in line.values.iter().enumerate() {
            let Some(value) = value.as_ref().and_then(|value| value.value.as_float()) else {
                continue;
            };
            if model::is_stale(value) {
                continue;
            }
            let t = step * i64::try_from(index).unwrap_or(0);
            let parts = found.entry((labels.clone(), t)).or_default();
            match (part, upper) {
                ("_count", _) => parts.count = Some(value),
                ("_sum", _) => parts.sum = Some(value),
                (_, Some(upper)) => parts.buckets.push((upper, value)),
                _ => (),
            }
        }
    }
    for ((labels, t), parts) in found {
        storage.push(
            &labels,
            t,
            SampleValue::Histogram(Arc::new(parts.convert())),
        );
    }
}

impl Parts {
    fn convert(mut self) -> FloatHistogram {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let highest = self.buckets.last().copied();
        let count = self
            .count
            .or(highest.map(|(_, count)| count))
            .unwrap_or(0.0);
        if highest.is_none_or(|(upper, _)| upper != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let mut before = 0.0;
        let populations: Vec<f64> = self
            .buckets
            .iter()
            .map(|(_, cumulative)| {
                let population = cumulative - before;
                before = *cumulative;
                population
            })
            .collect();
        let bounds = self.buckets.iter().map(|(upper, _)| *upper);
        let length = u32::try_from(populations.len()).unwrap_or(0);
        let histogram = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum.unwrap_or(0.0),
            custom_bounds: bounds.filter(|bound| bound.is_finite()).collect(),
            positive_spans: vec![Span { offset: 0, length }],
            positive_buckets: populations,
            ..FloatHistogram::default()
        };
        crate::histogram::arithmetic::compacted(histogram)
    }
}
