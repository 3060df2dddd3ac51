//! Storage for tests: a vector of samples per series, and a small server to scrape.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::exemplar::Exemplar;
use model::storage::{
    AppendError, Appendable, Appender, FloatSample, HistogramSample, Rejected, SeriesRef,
};
use model::{Labels, is_stale};
use parking_lot::Mutex;

/// Storage in memory; clones share it.
#[derive(Clone, Default)]
pub(crate) struct MemoryStorage(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    refs: BTreeMap<Labels, u64>,
    series: BTreeMap<u64, (Labels, Vec<(i64, f64)>)>,
    /// Native histograms and exemplars of each series, printed, with the time behind an `@`.
    histograms: Vec<(Labels, String)>,
    exemplars: Vec<(Labels, String)>,
    /// Start timestamps of samples that have one, with the samples' times.
    starts: Vec<(Labels, String)>,
    next: u64,
    commits: usize,
}

impl MemoryStorage {
    /// Returns the samples of the series that prints as `series`; `stale` stands for the staleness marker.
    pub(crate) fn samples(&self, series: &str) -> Vec<String> {
        let inner = self.0.lock();
        let found = inner
            .series
            .values()
            .find(|(labels, _)| labels.to_string() == series);
        let print = |&(t, value): &(i64, f64)| {
            if is_stale(value) {
                format!("stale@{t}")
            } else {
                format!("{value}@{t}")
            }
        };
        found
            .map(|(_, samples)| samples.iter().map(print).collect())
            .unwrap_or_default()
    }

    /// Returns the values of the series whose name is `name`, without times.
    pub(crate) fn values(&self, name: &str) -> Vec<f64> {
        let inner = self.0.lock();
        let found = inner
            .series
            .values()
            .filter(|(labels, _)| labels.metric_name() == name);
        found
            .flat_map(|(_, samples)| samples.iter().map(|&(_, value)| value))
            .collect()
    }

    /// Returns the times of the series whose name is `name`.
    pub(crate) fn times(&self, name: &str) -> Vec<i64> {
        let inner = self.0.lock();
        let found = inner
            .series
            .values()
            .filter(|(labels, _)| labels.metric_name() == name);
        found
            .flat_map(|(_, samples)| samples.iter().map(|&(t, _)| t))
            .collect()
    }

    /// Returns every series with samples that is no report, printed.
    pub(crate) fn series(&self) -> Vec<String> {
        let inner = self.0.lock();
        let is_report = |name: &str| name == "up" || name.starts_with("scrape_");
        let with_samples = inner
            .series
            .values()
            .filter(|(_, samples)| !samples.is_empty());
        let shown = with_samples.filter(|(labels, _)| !is_report(labels.metric_name()));
        let mut shown: Vec<_> = shown.map(|(labels, _)| labels.to_string()).collect();
        shown.sort();
        shown
    }

    /// Returns the native histograms of the series that prints as `series`.
    pub(crate) fn histograms(&self, series: &str) -> Vec<String> {
        of_series(&self.0.lock().histograms, series)
    }

    /// Returns the exemplars of the series that prints as `series`.
    pub(crate) fn exemplars(&self, series: &str) -> Vec<String> {
        of_series(&self.0.lock().exemplars, series)
    }

    /// Returns the start timestamps of the series that prints as `series`, each with its sample's time behind an `@`.
    pub(crate) fn starts(&self, series: &str) -> Vec<String> {
        of_series(&self.0.lock().starts, series)
    }

    pub(crate) fn commits(&self) -> usize {
        self.0.lock().commits
    }

    /// Drops every series, so that all handles are unknown; samples are kept under new ones.
    pub(crate) fn collect_garbage(&self) {
        let mut inner = self.0.lock();
        let old = std::mem::take(&mut inner.series);
        inner.refs.clear();
        for (_, series) in old {
            inner.next += 1;
            let id = inner.next;
            inner.refs.insert(series.0.clone(), id);
            inner.series.insert(id, series);
        }
    }
}

fn of_series(printed: &[(Labels, String)], series: &str) -> Vec<String> {
    let found = printed
        .iter()
        .filter(|(labels, _)| labels.to_string() == series);
    found.map(|(_, text)| text.clone()).collect()
}

impl Appendable for MemoryStorage {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(MemoryAppender {
            storage: self,
            batch: Vec::new(),
            histograms: Vec::new(),
            exemplars: Vec::new(),
            starts: Vec::new(),
        })
    }
}

struct MemoryAppender<'s> {
    storage: &'s MemoryStorage,
    batch: Vec<FloatSample>,
    histograms: Vec<(Labels, String)>,
    exemplars: Vec<(Labels, String)>,
    starts: Vec<(Labels, String)>,
}

impl MemoryAppender<'_> {
    fn push_start(&mut self, series: SeriesRef, start: i64, t: i64) {
        if start != 0
            && let Ok(labels) = self.labels(series)
        {
            self.starts.push((labels, format!("{start}@{t}")));
        }
    }

    fn labels(&self, series: SeriesRef) -> Result<Labels, AppendError> {
        let inner = self.storage.0.lock();
        let found = inner.series.get(&series.0);
        found
            .map(|(labels, _)| labels.clone())
            .ok_or(AppendError::UnknownSeries)
    }
}

impl Appender for MemoryAppender<'_> {
    fn series(&mut self, labels: &[(&str, &str)]) -> Result<SeriesRef, AppendError> {
        assert!(
            labels.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "{labels:?}"
        );
        assert!(
            labels.iter().all(|(_, value)| !value.is_empty()),
            "{labels:?}"
        );
        let labels = Labels::from_sorted(labels.iter().copied());
        let mut inner = self.storage.0.lock();
        if let Some(&id) = inner.refs.get(&labels) {
            return Ok(SeriesRef(id));
        }
        inner.next += 1;
        let id = inner.next;
        inner.refs.insert(labels.clone(), id);
        inner.series.insert(id, (labels, Vec::new()));
        Ok(SeriesRef(id))
    }

    fn append_floats(&mut self, batch: &[FloatSample], rejected: &mut Vec<Rejected>) {
        let inner = self.storage.0.lock();
        for (index, sample) in batch.iter().enumerate() {
            let error = match inner.series.get(&sample.series.0) {
                None => AppendError::UnknownSeries,
                Some((_, samples)) => match samples.last() {
                    Some(&(t, _)) if sample.t < t => AppendError::OutOfOrder,
                    Some(&(t, value))
                        if sample.t == t && value.to_bits() != sample.value.to_bits() =>
                    {
                        AppendError::Duplicate
                    }
                    _ => {
                        self.batch.push(*sample);
                        continue;
                    }
                },
            };
            rejected.push(Rejected { index, error });
        }
    }

    fn append_floats_since(
        &mut self,
        batch: &[FloatSample],
        starts: &[i64],
        rejected: &mut Vec<Rejected>,
    ) {
        assert!(starts.len() <= batch.len());
        let before = rejected.len();
        self.append_floats(batch, rejected);
        for (index, (sample, &start)) in batch.iter().zip(starts).enumerate() {
            if rejected[before..].iter().all(|r| r.index != index) {
                self.push_start(sample.series, start, sample.t);
            }
        }
    }

    fn append_histogram_since(
        &mut self,
        series: SeriesRef,
        start: i64,
        t: i64,
        histogram: HistogramSample,
    ) -> Result<(), AppendError> {
        self.append_histogram(series, t, histogram)?;
        self.push_start(series, start, t);
        Ok(())
    }

    fn append_histogram(
        &mut self,
        series: SeriesRef,
        t: i64,
        histogram: HistogramSample,
    ) -> Result<(), AppendError> {
        let printed = match histogram {
            HistogramSample::Integer(histogram) => {
                histogram.validate().expect("checked by the scrape");
                histogram.to_float().to_string()
            }
            HistogramSample::Float(histogram) => format!("float {histogram}"),
        };
        let labels = self.labels(series)?;
        self.histograms.push((labels, format!("{printed}@{t}")));
        Ok(())
    }

    fn append_exemplar(
        &mut self,
        series: SeriesRef,
        exemplar: &Exemplar,
    ) -> Result<(), AppendError> {
        let (labels, value) = (&exemplar.labels, exemplar.value);
        let at = exemplar.t.map_or("now".to_owned(), |t| t.to_string());
        let printed = format!("{labels} {value}@{at}");
        self.exemplars.push((self.labels(series)?, printed));
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), AppendError> {
        let mut inner = self.storage.0.lock();
        inner.commits += 1;
        inner.histograms.extend(self.histograms);
        inner.exemplars.extend(self.exemplars);
        inner.starts.extend(self.starts);
        for sample in self.batch {
            let (_, samples) = inner
                .series
                .get_mut(&sample.series.0)
                .expect("checked when it was appended");
            samples.push((sample.t, sample.value));
        }
        Ok(())
    }
}
