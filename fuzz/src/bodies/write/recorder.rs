//! A storage that holds on to what it is given, and to what its contract promises.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use model::exemplar::Exemplar;
use model::metadata::Metadata;
use model::storage::{
    AppendError, Appendable, Appender, FloatSample, HistogramSample, Rejected, SeriesRef,
};

use super::encode;

/// Names and values.
pub type Pairs = Arc<[(String, String)]>;

/// A sample or exemplar.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// The labels of its series.
    pub labels: Pairs,
    /// Milliseconds since the epoch.
    pub t: i64,
    /// What it is.
    pub value: Value,
}

/// What an item has, to the bit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// A float.
    Float(u64),
    /// A histogram as a message, time included.
    Histogram(Vec<u8>),
    /// Labels and value of an exemplar.
    Exemplar(Pairs, u64),
}

/// What was committed.
#[derive(Debug, Default)]
pub struct Stored {
    /// The items, sorted.
    pub items: Vec<Item>,
    /// The newest that was said of each series.
    pub metadata: BTreeMap<Pairs, Metadata>,
}

impl Stored {
    /// Returns the samples. An exemplar is not tried again when its series was dropped.
    pub fn without_exemplars(&self) -> impl Iterator<Item = &Item> {
        let items = self.items.iter();
        items.filter(|item| !matches!(item.value, Value::Exemplar(..)))
    }

    /// Returns the metadata of the series that have an item.
    pub fn metadata_of_items(&self) -> BTreeMap<Pairs, Metadata> {
        let found = self.items.iter().filter_map(|item| {
            let metadata = self.metadata.get(&item.labels)?;
            Some((Arc::clone(&item.labels), metadata.clone()))
        });
        found.collect()
    }
}

/// The storage. It refuses what is before the epoch.
#[derive(Default)]
pub struct Recorder(Mutex<State>);

#[derive(Default)]
struct State {
    /// By handle.
    series: Vec<Pairs>,
    handles: BTreeMap<Pairs, SeriesRef>,
    /// Handles below name nobody any more.
    dropped: usize,
    stored: Stored,
}

impl Recorder {
    /// Returns what was stored since the last time.
    pub fn take(&self) -> Stored {
        let mut stored = std::mem::take(&mut self.lock().stored);
        stored.items.sort_unstable();
        stored
    }

    /// Forgets all series.
    pub fn drop_series(&self) {
        let mut state = self.lock();
        state.dropped = state.series.len();
        state.handles.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panicked with it")
    }
}

impl Appendable for Recorder {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(Batch {
            recorder: self,
            items: Vec::new(),
            metadata: Vec::new(),
        })
    }
}

struct Batch<'a> {
    recorder: &'a Recorder,
    items: Vec<Item>,
    metadata: Vec<(Pairs, Metadata)>,
}

impl Batch<'_> {
    fn labels(&self, series: SeriesRef) -> Result<Pairs, AppendError> {
        let state = self.recorder.lock();
        let index = usize::try_from(series.0).expect("it was issued here");
        assert!(index < state.series.len(), "{series:?} was never issued");
        if index < state.dropped {
            return Err(AppendError::UnknownSeries);
        }
        Ok(Arc::clone(&state.series[index]))
    }

    fn add(&mut self, series: SeriesRef, t: i64, value: Value) -> Result<(), AppendError> {
        let labels = self.labels(series)?;
        if t < 0 {
            return Err(AppendError::OutOfOrder);
        }
        self.items.push(Item { labels, t, value });
        Ok(())
    }
}

impl Appender for Batch<'_> {
    fn series(&mut self, labels: &[(&str, &str)]) -> Result<SeriesRef, AppendError> {
        assert!(labels.is_sorted_by(|a, b| a.0 < b.0), "{labels:?}");
        assert!(
            labels.iter().all(|(_, value)| !value.is_empty()),
            "{labels:?}"
        );
        let labels = owned(labels.iter().copied());
        let mut state = self.recorder.lock();
        if let Some(&handle) = state.handles.get(&labels) {
            return Ok(handle);
        }
        let handle = SeriesRef(state.series.len() as u64);
        state.series.push(Arc::clone(&labels));
        state.handles.insert(labels, handle);
        Ok(handle)
    }

    fn append_floats(&mut self, batch: &[FloatSample], rejected: &mut Vec<Rejected>) {
        for (index, sample) in batch.iter().enumerate() {
            let value = Value::Float(sample.value.to_bits());
            if let Err(error) = self.add(sample.series, sample.t, value) {
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
        let valid = match &histogram {
            HistogramSample::Integer(histogram) => histogram.validate(),
            HistogramSample::Float(histogram) => histogram.validate(),
        };
        valid.map_err(|error| AppendError::InvalidHistogram(error.to_string()))?;
        self.add(
            series,
            t,
            Value::Histogram(encode::histogram(t, &histogram).0),
        )
    }

    fn append_exemplar(
        &mut self,
        series: SeriesRef,
        exemplar: &Exemplar,
    ) -> Result<(), AppendError> {
        let t = exemplar.t.expect("a request has a time for each");
        let value = Value::Exemplar(owned(exemplar.labels.iter()), exemplar.value.to_bits());
        self.add(series, t, value)
    }

    fn update_metadata(
        &mut self,
        series: SeriesRef,
        metadata: &Metadata,
    ) -> Result<(), AppendError> {
        let labels = self.labels(series)?;
        self.metadata.push((labels, metadata.clone()));
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), AppendError> {
        let Stored { items, metadata } = &mut self.recorder.lock().stored;
        items.extend(self.items);
        metadata.extend(self.metadata);
        Ok(())
    }
}

fn owned<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Pairs {
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
