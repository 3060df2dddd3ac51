//! Since when counters count, as lines of OpenMetrics say it: `x_created` beside `x_total`.
//!
//! Such a line is of the metric whose labels it has, whichever of the family's lines it comes after, so that samples wait
//! for it until the family ends.

use std::collections::HashMap;

use model::metadata::MetricType;

use super::walk::Take;
use crate::exposition::{SeriesLine, key, labels};

/// Which metric of its family a series is of.
pub(super) struct MetricKey {
    /// What follows the family's name.
    pub(super) suffix: String,
    /// The bound of a bucket.
    pub(super) bound: Option<String>,
}

impl MetricKey {
    /// Takes a series apart and replaces `key` by what all series of its metric have in common; `None` if it is none of
    /// `family`. `scratch` is room.
    pub(super) fn of(
        series: &str,
        family: &str,
        scratch: &mut String,
        key: &mut String,
    ) -> Option<MetricKey> {
        let mut pairs = Vec::with_capacity(16);
        labels::decode(series, MetricType::Unknown, &mut pairs);
        let name = pairs.iter().find(|(name, _)| name == "__name__");
        let suffix = name.and_then(|(_, name)| name.strip_prefix(family))?;
        let suffix = suffix.to_owned();
        let part = match suffix.as_str() {
            "_bucket" => "le",
            "" => "quantile",
            _ => "",
        };
        let bound = pairs.iter().find(|(name, _)| name == part);
        let bound = bound.map(|(_, bound)| bound.to_string());
        pairs.retain(|(name, _)| name != "__name__" && name != part);
        pairs.sort_unstable();
        scratch.clear();
        for (name, value) in &pairs {
            key::push_label(scratch, name, value);
        }
        key::write(key, key::Name::of(family), "", scratch, None);
        Some(MetricKey { suffix, bound })
    }
}

/// Returns the milliseconds of what an `x_created` line says, 0 if it is no time.
pub(super) fn start_ms(seconds: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "bounded here")]
    match seconds.is_finite() && seconds.abs() < 9.2e15 {
        true => (seconds * 1_000.0) as i64,
        false => 0,
    }
}

/// The metrics of the family at hand.
///
/// Memory: the names of one family's metrics and an index for each of its samples, bounded by the body.
#[derive(Default)]
pub(super) struct StartLines {
    metrics: HashMap<String, Metric>,
    /// Of which metric the last line is, if any may say since when it counts.
    last: Option<String>,
    key: String,
    scratch: String,
}

#[derive(Default)]
struct Metric {
    start: i64,
    /// Where in the batch its samples are.
    samples: Vec<usize>,
}

impl StartLines {
    /// Looks at a line; returns whether it only says since when others count.
    ///
    /// * `family`, `kind`: what the last `# TYPE` line says.
    pub(super) fn is_start(
        &mut self,
        line: &SeriesLine<'_>,
        family: &str,
        kind: MetricType,
    ) -> bool {
        self.last = None;
        let counts = matches!(
            kind,
            MetricType::Counter | MetricType::Histogram | MetricType::Summary
        );
        if !counts {
            return false;
        }
        let key = MetricKey::of(line.series, family, &mut self.scratch, &mut self.key);
        let Some(key) = key else {
            return false;
        };
        if key.suffix == "_created" {
            let start = start_ms(line.value);
            self.metrics.entry(self.key.clone()).or_default().start = start;
            return true;
        }
        self.last = Some(self.key.clone());
        false
    }

    /// The line that was looked at last has become the sample at `index` of the batch.
    pub(super) fn wanted_by(&mut self, index: usize) {
        if let Some(key) = self.last.take() {
            self.metrics.entry(key).or_default().samples.push(index);
        }
    }

    /// Says since when the samples count, and begins another family.
    pub(super) fn give_to(&mut self, take: &mut impl Take) {
        for (_, metric) in self.metrics.drain() {
            if metric.start != 0 {
                for index in metric.samples {
                    take.start(index, metric.start);
                }
            }
        }
    }
}
