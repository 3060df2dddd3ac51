//! Storage with what a backtest records laid over it: rules see their file's results, and nothing is written.
//!
//! From the start of the backtest on, series that bear the name of one that the file records are those of the backtest only:
//! what the storage has under that name, perhaps from an older version of the same rule, ends there.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::histogram::ResetHint;
use model::labels::METRIC_NAME;
use model::storage::{
    AppendError, Appendable, Appender, FloatSample, HistogramSample, Querier, Queryable, ReadError,
    Rejected, SampleColumns, SelectHints, SeriesRef, SeriesSet,
};
use model::{Labels, Matcher, SampleValue, stale_nan};
use parking_lot::RwLock;

/// Recorded samples of one series.
type Column = Arc<RwLock<SampleColumns>>;

/// What a backtest records, over storage that is only read.
pub(super) struct Overlay {
    below: Arc<dyn Queryable>,
    outputs: Outputs,
    /// The selections that the file's rules make; what passes none of them is not kept. `None` keeps everything.
    readers: Option<Vec<Vec<Matcher>>>,
    recorded: RwLock<Recorded>,
}

#[derive(Default)]
struct Recorded {
    by_labels: BTreeMap<Labels, usize>,
    columns: Vec<Column>,
    /// Samples, where a bucket of a histogram counts as one.
    samples: usize,
}

/// The names of the series that a file's rules make, and since when they do, in milliseconds since the epoch.
#[derive(Debug, Default)]
pub(super) struct Outputs(pub(super) BTreeMap<(String, Option<String>), i64>);

impl Outputs {
    /// Adds the series `name`, with the label `alertname` if it is one of an alert.
    pub(super) fn add(&mut self, name: &str, alertname: Option<&str>, from_ms: i64) {
        let key = (name.to_owned(), alertname.map(str::to_owned));
        let from = self.0.entry(key).or_insert(from_ms);
        *from = from_ms.min(*from);
    }

    /// Returns whether a selection by `matchers` may have one of the series.
    pub(super) fn feed(&self, matchers: &[Matcher]) -> bool {
        self.0.keys().any(|(name, alertname)| {
            matchers.iter().all(|matcher| match matcher.name() {
                METRIC_NAME => matcher.matches(name),
                "alertname" => alertname
                    .as_ref()
                    .is_none_or(|alert| matcher.matches(alert)),
                _ => true,
            })
        })
    }

    /// Returns since when the series with these labels is a backtest's.
    fn since_ms(&self, labels: &Labels) -> Option<i64> {
        let name = labels.metric_name().to_owned();
        let own = self.0.get(&(name.clone(), None)).copied();
        own.or_else(|| {
            let alert = labels.value("alertname").to_owned();
            self.0.get(&(name, Some(alert))).copied()
        })
    }
}

impl Overlay {
    /// Returns an empty overlay of `below`.
    pub(super) fn new(
        below: Arc<dyn Queryable>,
        outputs: Outputs,
        readers: Option<Vec<Vec<Matcher>>>,
    ) -> Self {
        Overlay {
            below,
            outputs,
            readers,
            recorded: RwLock::default(),
        }
    }

    /// Returns how many samples are recorded; a bucket of a histogram counts as one.
    pub(super) fn samples(&self) -> usize {
        self.recorded.read().samples
    }

    fn is_read(&self, labels: &Labels) -> bool {
        self.readers.as_ref().is_none_or(|readers| {
            let passes = |all: &Vec<Matcher>| all.iter().all(|m| m.matches_labels(labels));
            readers.iter().any(passes)
        })
    }
}

impl Appendable for Overlay {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(Batch {
            overlay: self,
            series: Vec::new(),
            samples: Vec::new(),
        })
    }
}

struct Batch<'a> {
    overlay: &'a Overlay,
    /// `None`: nobody reads it.
    series: Vec<Option<Labels>>,
    samples: Vec<(usize, i64, SampleValue)>,
}

impl Batch<'_> {
    /// Takes a sample, unless it is older than what the series has, or another of the same time.
    fn push(&mut self, series: SeriesRef, t: i64, value: SampleValue) -> Result<(), AppendError> {
        let index = usize::try_from(series.0).map_err(|_| AppendError::UnknownSeries)?;
        let Some(labels) = self.series.get(index).ok_or(AppendError::UnknownSeries)? else {
            return Ok(());
        };
        let recorded = self.overlay.recorded.read();
        let column = recorded.by_labels.get(labels);
        let column = column.map(|&at| Arc::clone(&recorded.columns[at]));
        drop(recorded);
        if let Some(column) = column {
            let column = column.read();
            match column.last() {
                Some(last) if t < last.t => return Err(AppendError::OutOfOrder),
                Some(last) if t == last.t && last.value == value => return Ok(()),
                Some(last) if t == last.t => return Err(AppendError::Duplicate),
                _ => (),
            }
        }
        self.samples.push((index, t, value));
        Ok(())
    }
}

impl Appender for Batch<'_> {
    fn series(&mut self, labels: &[(&str, &str)]) -> Result<SeriesRef, AppendError> {
        let labels = Labels::from_sorted(labels.iter().copied());
        self.series
            .push(self.overlay.is_read(&labels).then_some(labels));
        Ok(SeriesRef(self.series.len() as u64 - 1))
    }

    fn append_floats(&mut self, batch: &[FloatSample], rejected: &mut Vec<Rejected>) {
        for (index, sample) in batch.iter().enumerate() {
            let value = SampleValue::Float(sample.value);
            if let Err(error) = self.push(sample.series, sample.t, value) {
                rejected.push(Rejected { index, error });
            }
        }
    }

    fn append_histogram(
        &mut self,
        series: SeriesRef,
        t: i64,
        histogram: HistogramSample,
    ) -> Result<(), AppendError> {
        let HistogramSample::Float(mut histogram) = histogram else {
            return Err(AppendError::InvalidHistogram(
                "rules make histograms of floats only".to_owned(),
            ));
        };
        // What the hint said of the sample before it in its source holds no more.
        if histogram.reset_hint != ResetHint::Gauge {
            Arc::make_mut(&mut histogram).reset_hint = ResetHint::Unknown;
        }
        self.push(series, t, SampleValue::Histogram(histogram))
    }

    fn commit(self: Box<Self>) -> Result<(), AppendError> {
        let mut recorded = self.overlay.recorded.write();
        for (index, t, value) in self.samples {
            let Some(labels) = &self.series[index] else {
                continue;
            };
            let at = match recorded.by_labels.get(labels) {
                Some(&at) => at,
                None => {
                    let at = recorded.columns.len();
                    recorded.columns.push(Column::default());
                    recorded.by_labels.insert(labels.clone(), at);
                    at
                }
            };
            let column = Arc::clone(&recorded.columns[at]);
            let mut column = column.write();
            // Twice in one batch: the first counts.
            if column.timestamps.last().is_some_and(|&last| t <= last) {
                continue;
            }
            recorded.samples += match value {
                SampleValue::Float(value) => {
                    column.push_float(t, value);
                    1
                }
                SampleValue::Histogram(histogram) => {
                    let buckets =
                        histogram.positive_buckets.len() + histogram.negative_buckets.len();
                    column.push_histogram(t, histogram);
                    1 + buckets
                }
            };
        }
        Ok(())
    }
}

impl Queryable for Overlay {
    fn querier(&self, mint: i64, maxt: i64) -> Result<Box<dyn Querier + '_>, ReadError> {
        Ok(Box::new(View {
            overlay: self,
            below: self.below.querier(mint, maxt)?,
        }))
    }
}

struct View<'a> {
    overlay: &'a Overlay,
    below: Box<dyn Querier + 'a>,
}

impl Querier for View<'_> {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, ReadError> {
        let below = self.below.select(matchers, hints)?;
        if !self.overlay.outputs.feed(matchers) {
            return Ok(below);
        }
        let mut by_labels: BTreeMap<Labels, Parts> = BTreeMap::new();
        for index in 0..below.len() {
            let parts = Parts {
                below: Some(index),
                recorded: None,
            };
            by_labels.insert(below.labels(index), parts);
        }
        let recorded = self.overlay.recorded.read();
        for (labels, &at) in &recorded.by_labels {
            if matchers.iter().all(|m| m.matches_labels(labels)) {
                let parts = by_labels.entry(labels.clone()).or_default();
                parts.recorded = Some(Arc::clone(&recorded.columns[at]));
            }
        }
        let outputs = &self.overlay.outputs;
        let mut series: Vec<_> = by_labels
            .into_iter()
            .map(|(labels, parts)| (outputs.since_ms(&labels), labels, parts))
            .collect();
        if 0 < hints.limit {
            series.truncate(hints.limit);
        }
        Ok(Box::new(Merged { below, series }))
    }

    fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        self.below.label_names(matchers)
    }

    fn label_values(&self, name: &str, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        self.below.label_values(name, matchers)
    }
}

/// Where the samples of a series are.
#[derive(Default)]
struct Parts {
    below: Option<usize>,
    recorded: Option<Column>,
}

struct Merged<'a> {
    below: Box<dyn SeriesSet + 'a>,
    /// With the time from which on the recorded samples are all there is.
    series: Vec<(Option<i64>, Labels, Parts)>,
}

impl SeriesSet for Merged<'_> {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.series[index].1.clone()
    }

    fn read(
        &self,
        index: usize,
        mint: i64,
        maxt: i64,
        out: &mut SampleColumns,
    ) -> Result<(), ReadError> {
        let (from_ms, _, parts) = &self.series[index];
        let from_ms = from_ms.unwrap_or(i64::MAX);
        let recorded = parts.recorded.as_ref();
        let recorded = recorded.map(|column| column.read());
        if let Some(below) = parts.below {
            self.below
                .read(below, mint, maxt.min(from_ms.saturating_sub(1)), out)?;
            let first = recorded
                .as_ref()
                .and_then(|column| column.timestamps.first());
            if mint <= from_ms && from_ms <= maxt && first != Some(&from_ms) {
                out.push_float(from_ms, stale_nan());
            }
        }
        if let Some(column) = recorded {
            let from = column.timestamps.partition_point(|&t| t < mint);
            let end = column.timestamps.partition_point(|&t| t <= maxt);
            for index in from..end.max(from) {
                let sample = column.sample(index);
                match sample.value {
                    SampleValue::Float(value) => out.push_float(sample.t, value),
                    SampleValue::Histogram(histogram) => out.push_histogram(sample.t, histogram),
                }
            }
        }
        Ok(())
    }
}
