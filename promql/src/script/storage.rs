//! Samples in memory, as scripts and tests need them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::histogram::ResetHint;
use model::storage::{Querier, Queryable, ReadError, SampleColumns, SelectHints, SeriesSet};
use model::{FloatHistogram, Labels, Matcher, SampleValue};

use crate::histogram::reset::is_reset;

/// Series in memory, ordered by labels; for scripts, unit tests of rules, and tests of the engine.
///
/// Histograms read back as they would from blocks: what is known about counter resets follows from the samples, not
/// from what was written.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    series: BTreeMap<Labels, SampleColumns>,
}

impl MemoryStorage {
    /// Adds a sample; of two at the same time the later one counts.
    pub fn push(&mut self, labels: &Labels, t: i64, value: SampleValue) {
        self.push_since(labels, t, value, 0);
    }

    /// Adds a sample of a counter that counts since `start`; both times in milliseconds, 0 if the start is unknown.
    pub fn push_since(&mut self, labels: &Labels, t: i64, value: SampleValue, start: i64) {
        let columns = self.series.entry(labels.clone()).or_default();
        if columns.timestamps.last().is_some_and(|&last| t <= last) {
            let mut kept = SampleColumns::default();
            for index in 0..columns.len() {
                if columns.timestamps[index] < t {
                    copy(columns, index, &mut kept);
                }
            }
            *columns = kept;
        }
        push(columns, t, value);
        if start != 0 {
            columns.set_last_start(start);
        }
    }

    /// Sets reset hints to what a block would give back; to be called after all samples were added.
    pub fn settle(&mut self) {
        for columns in self.series.values_mut() {
            settle(columns);
        }
    }
}

fn push(columns: &mut SampleColumns, t: i64, value: SampleValue) {
    match value {
        SampleValue::Float(value) => columns.push_float(t, value),
        SampleValue::Histogram(histogram) => columns.push_histogram(t, histogram),
    }
}

/// Adds the sample `index` of `from` to `to`.
fn copy(from: &SampleColumns, index: usize, to: &mut SampleColumns) {
    let sample = from.sample(index);
    push(to, sample.t, sample.value);
    if from.start(index) != 0 {
        to.set_last_start(from.start(index));
    }
}

/// The first histogram of a run without resets is "unknown", the others are "no reset"; gauges are gauges.
fn settle(columns: &mut SampleColumns) {
    let mut before: Option<(usize, FloatHistogram)> = None;
    for (index, histogram) in &mut columns.histograms {
        if model::is_stale(histogram.sum) {
            continue;
        }
        let mut settled = FloatHistogram::clone(histogram);
        let written = settled.reset_hint;
        if written != ResetHint::Gauge {
            settled.reset_hint = ResetHint::Unknown;
            let continues = written != ResetHint::CounterReset
                && before.as_ref().is_some_and(|(at, before)| {
                    at + 1 == *index
                        && before.reset_hint != ResetHint::Gauge
                        && before.schema == settled.schema
                        && before.zero_threshold == settled.zero_threshold
                        && before.custom_bounds == settled.custom_bounds
                        && !is_reset(&settled, before)
                });
            if continues {
                settled.reset_hint = ResetHint::NotCounterReset;
            }
        }
        before = Some((*index, settled.clone()));
        *histogram = Arc::new(settled);
    }
}

impl Queryable for MemoryStorage {
    fn querier(&self, _mint: i64, _maxt: i64) -> Result<Box<dyn Querier + '_>, ReadError> {
        Ok(Box::new(View { storage: self }))
    }
}

struct View<'a> {
    storage: &'a MemoryStorage,
}

impl View<'_> {
    fn matching<'a>(
        &'a self,
        matchers: &'a [Matcher],
    ) -> impl Iterator<Item = (&'a Labels, &'a SampleColumns)> {
        let all = self.storage.series.iter();
        all.filter(|(labels, _)| {
            matchers
                .iter()
                .all(|matcher| matcher.matches_labels(labels))
        })
    }
}

impl Querier for View<'_> {
    fn select(
        &self,
        matchers: &[Matcher],
        _hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, ReadError> {
        let found = self.storage.series.iter();
        let found = found.filter(|(labels, _)| matchers.iter().all(|m| m.matches_labels(labels)));
        Ok(Box::new(Selected(found.collect())))
    }

    fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        let names = self
            .matching(matchers)
            .flat_map(|(labels, _)| labels.iter().map(|(name, _)| name));
        let names: BTreeSet<&str> = names.collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn label_values(&self, name: &str, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        let values = self
            .matching(matchers)
            .filter_map(|(labels, _)| labels.get(name));
        let values: BTreeSet<&str> = values.collect();
        Ok(values.into_iter().map(str::to_owned).collect())
    }
}

struct Selected<'a>(Vec<(&'a Labels, &'a SampleColumns)>);

impl SeriesSet for Selected<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.0[index].0.clone()
    }

    fn read(
        &self,
        index: usize,
        mint: i64,
        maxt: i64,
        out: &mut SampleColumns,
    ) -> Result<(), ReadError> {
        let columns = self.0[index].1;
        let from = columns.timestamps.partition_point(|&t| t < mint);
        let to = columns.timestamps.partition_point(|&t| t <= maxt);
        if columns.histograms.is_empty() && columns.starts.is_empty() {
            out.timestamps
                .extend_from_slice(&columns.timestamps[from..to]);
            out.floats.extend_from_slice(&columns.floats[from..to]);
            return Ok(());
        }
        for at in from..to {
            copy(columns, at, out);
        }
        Ok(())
    }
}
