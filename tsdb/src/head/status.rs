//! What the head can say about itself: counts and where the series come from.

use super::Head;
use model::labels::METRIC_NAME;

/// Counts of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadStats {
    /// Series.
    pub series: usize,
    /// Distinct label pairs.
    pub label_pairs: usize,
    /// Chunks, open ones included.
    pub chunks: usize,
    /// Time range of the samples, if there is one.
    pub time_range: Option<(i64, i64)>,
}

/// A name with a count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// What is counted.
    pub name: String,
    /// How often, or how many bytes.
    pub value: u64,
}

/// The largest contributors to the head, largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// Series per metric name.
    pub series_by_metric: Vec<Count>,
    /// Distinct values per label name.
    pub values_by_label: Vec<Count>,
    /// Bytes of the values per label name, each counted as often as it is used.
    pub bytes_by_label: Vec<Count>,
    /// Series per `name=value`.
    pub series_by_pair: Vec<Count>,
}

impl Head {
    /// Returns the counts.
    pub fn stats(&self) -> HeadStats {
        let index = self.index.read();
        let label_pairs = index.all_values().map(|(_, values)| values.count()).sum();
        let series = index.len();
        drop(index);
        let pages = self.pages.read().clone();
        let chunks = pages
            .iter()
            .map(|page| {
                page.lock()
                    .series
                    .iter()
                    .map(|s| s.chunk_count())
                    .sum::<usize>()
            })
            .sum();
        HeadStats {
            series,
            label_pairs,
            chunks,
            time_range: self.time_range(),
        }
    }

    /// Returns the `limit` largest of each kind.
    pub fn cardinality(&self, limit: usize) -> Cardinality {
        let index = self.index.read();
        let mut all = Cardinality::default();
        for (name, values) in index.all_values() {
            let (mut distinct, mut bytes) = (0, 0);
            for (value, slots) in values {
                let used = slots.len() as u64;
                (distinct, bytes) = (distinct + 1, bytes + used * value.len() as u64);
                if name == METRIC_NAME {
                    all.series_by_metric.push(Count {
                        name: value.to_owned(),
                        value: used,
                    });
                }
                all.series_by_pair.push(Count {
                    name: format!("{name}={value}"),
                    value: used,
                });
            }
            all.values_by_label.push(Count {
                name: name.to_owned(),
                value: distinct,
            });
            all.bytes_by_label.push(Count {
                name: name.to_owned(),
                value: bytes,
            });
        }
        drop(index);
        for list in [
            &mut all.series_by_metric,
            &mut all.values_by_label,
            &mut all.bytes_by_label,
            &mut all.series_by_pair,
        ] {
            list.sort_unstable_by(|a, b| b.value.cmp(&a.value).then_with(|| a.name.cmp(&b.name)));
            list.truncate(limit);
        }
        all
    }
}
