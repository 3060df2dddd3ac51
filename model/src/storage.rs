//! The traits through which the rooms read and write samples.
//!
//! `tsdb` implements them; `promql`, the HTTP API and remote read use the reading half, `scraper`, rules and remote
//! write the writing half. A `Vec` implements them in tests.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::exemplar::Exemplar;
use crate::histogram::{FloatHistogram, Histogram};
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::metadata::Metadata;
use crate::sample::{Sample, SampleValue};

/// A handle of one series, issued by [`Appender::series`].
///
/// It is valid as long as the storage is open; appending to a series that was dropped in the meantime says
/// [`AppendError::UnknownSeries`], and the caller asks for a new handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesRef(pub u64);

/// One float sample on its way into storage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FloatSample {
    /// The series that it belongs to.
    pub series: SeriesRef,
    /// Milliseconds since the epoch.
    pub t: i64,
    /// The value, all NaN payloads kept.
    pub value: f64,
}

/// Why a sample was not stored. The texts are Prometheus'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// It is older than the series' newest sample.
    #[error("out of order sample")]
    OutOfOrder,
    /// There is a sample of the same time and another value.
    #[error("duplicate sample for timestamp")]
    Duplicate,
    /// It is older than what storage still takes.
    #[error("out of bounds")]
    OutOfBounds,
    /// It is older than the window in which late samples are taken.
    #[error("too old sample")]
    TooOld,
    /// The handle names no series (any more); ask for a new one.
    #[error("unknown series reference")]
    UnknownSeries,
    /// The labels are no labels of a series.
    #[error("invalid labels: {0}")]
    InvalidLabels(String),
    /// The histogram contradicts itself.
    #[error("invalid histogram: {0}")]
    InvalidHistogram(String),
    /// Writing to disk failed; nothing of the batch is stored.
    #[error("write the batch to storage: {0}")]
    Storage(String),
}

/// A sample of a batch that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its index in the batch.
    pub index: usize,
    /// Why.
    pub error: AppendError,
}

/// Where samples can be appended.
pub trait Appendable: Send + Sync {
    /// Starts a batch.
    fn appender(&self) -> Box<dyn Appender + '_>;
}

/// One batch of samples: collected, then stored as a whole or not at all.
///
/// Nothing is visible to queries before [`commit`](Appender::commit); dropping the appender forgets the batch (series
/// that were created stay). A batch belongs to one thread and should live for milliseconds.
pub trait Appender: Send {
    /// Returns the handle of the series with these labels, which must be ascending by name, unique, and without empty
    /// values; creates the series if need be.
    ///
    /// # Errors
    ///
    /// [`AppendError::InvalidLabels`].
    fn series(&mut self, labels: &[(&str, &str)]) -> Result<SeriesRef, AppendError>;

    /// Adds float samples to the batch; appends to `rejected` those that cannot be stored, as far as that is known
    /// before the commit, and takes the rest. A sample equal to the newest one in time and value bits is taken and
    /// changes nothing.
    fn append_floats(&mut self, batch: &[FloatSample], rejected: &mut Vec<Rejected>);

    /// Adds one native histogram sample to the batch.
    ///
    /// # Errors
    ///
    /// When it cannot be stored; the batch goes on without it.
    fn append_histogram(
        &mut self,
        series: SeriesRef,
        t: i64,
        histogram: HistogramSample,
    ) -> Result<(), AppendError>;

    /// As [`append_floats`](Appender::append_floats), and says since when the counters count. A storage that keeps no start
    /// timestamps forgets them.
    ///
    /// * `starts`: by index of `batch`, milliseconds since the epoch, 0 where that is unknown; may be shorter.
    fn append_floats_since(
        &mut self,
        batch: &[FloatSample],
        starts: &[i64],
        rejected: &mut Vec<Rejected>,
    ) {
        let _ = starts;
        self.append_floats(batch, rejected);
    }

    /// As [`append_histogram`](Appender::append_histogram), and says since when it counts. A storage that keeps no start
    /// timestamps forgets it.
    ///
    /// * `start`: milliseconds since the epoch, 0 if that is unknown.
    ///
    /// # Errors
    ///
    /// When it cannot be stored; the batch goes on without it.
    fn append_histogram_since(
        &mut self,
        series: SeriesRef,
        start: i64,
        t: i64,
        histogram: HistogramSample,
    ) -> Result<(), AppendError> {
        let _ = start;
        self.append_histogram(series, t, histogram)
    }

    /// Adds an exemplar of a series to the batch. A storage that keeps none takes it and forgets it.
    ///
    /// # Errors
    ///
    /// When it cannot be stored; the batch goes on without it.
    fn append_exemplar(
        &mut self,
        series: SeriesRef,
        exemplar: &Exemplar,
    ) -> Result<(), AppendError> {
        let _ = (series, exemplar);
        Ok(())
    }

    /// Says what is known about the metric of a series. A storage that keeps no metadata takes it and forgets it.
    ///
    /// # Errors
    ///
    /// [`AppendError::UnknownSeries`].
    fn update_metadata(
        &mut self,
        series: SeriesRef,
        metadata: &Metadata,
    ) -> Result<(), AppendError> {
        let _ = (series, metadata);
        Ok(())
    }

    /// Stores the batch: when this returns `Ok`, it survives a kill of the process, and queries see it.
    ///
    /// # Errors
    ///
    /// [`AppendError::Storage`]; then nothing of the batch is visible.
    fn commit(self: Box<Self>) -> Result<(), AppendError>;
}

/// A native histogram as it was ingested.
#[derive(Clone, Debug, PartialEq)]
pub enum HistogramSample {
    /// With integer counts, as scraped.
    Integer(Arc<Histogram>),
    /// With float counts, as computed by rules.
    Float(Arc<FloatHistogram>),
}

/// Why reading failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system failed.
    #[error("read {}: {source}", .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The bytes are wrong.
    #[error("corrupt data in {}: {what}", .path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What was expected.
        what: String,
    },
}

/// What is known about a selection besides its matchers; storage may use it or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectHints {
    /// The earliest time that will be read.
    pub mint: i64,
    /// The latest time that will be read.
    pub maxt: i64,
    /// At most this many series are wanted; 0 means all.
    pub limit: usize,
}

impl SelectHints {
    /// Returns hints for the time range `mint..=maxt` and nothing else.
    pub fn range(mint: i64, maxt: i64) -> Self {
        SelectHints {
            mint,
            maxt,
            limit: 0,
        }
    }
}

/// Which labels of selected series are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Kept {
    /// All.
    #[default]
    All,
    /// Those with these names.
    Only(Vec<String>),
    /// All but those with these names.
    AllBut(Vec<String>),
}

impl Kept {
    /// Returns whether labels of this name are wanted.
    pub fn has(&self, name: &str) -> bool {
        let is_in = |names: &[String]| names.iter().any(|other| other == name);
        match self {
            Kept::All => true,
            Kept::Only(names) => is_in(names),
            Kept::AllBut(names) => !is_in(names),
        }
    }
}

/// Storage that can be queried.
pub trait Queryable: Send + Sync {
    /// Returns a view of the samples in `mint..=maxt`. It may be used from several threads and kept for the length of
    /// a query.
    ///
    /// # Errors
    ///
    /// When the data cannot be opened.
    fn querier(&self, mint: i64, maxt: i64) -> Result<Box<dyn Querier + '_>, ReadError>;
}

/// A view of storage over one time range.
pub trait Querier: Send + Sync {
    /// Returns the series that pass every matcher, in storage order. Series that have no sample in the range may be
    /// among them; a series is there once.
    ///
    /// # Errors
    ///
    /// When the index cannot be read.
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, ReadError>;

    /// Returns a number of series that [`select`](Querier::select) surely does not exceed, found without looking at them;
    /// `usize::MAX` when that is not known.
    fn series_max(&self, matchers: &[Matcher]) -> usize {
        let _ = matchers;
        usize::MAX
    }

    /// Returns the names of the labels of the series that pass every matcher, sorted; all names without matchers.
    ///
    /// # Errors
    ///
    /// When the index cannot be read.
    fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, ReadError>;

    /// Returns the values of the label `name` among the series that pass every matcher, sorted.
    ///
    /// # Errors
    ///
    /// When the index cannot be read.
    fn label_values(&self, name: &str, matchers: &[Matcher]) -> Result<Vec<String>, ReadError>;
}

/// Selected series, addressed by position.
pub trait SeriesSet: Send + Sync {
    /// Returns how many series there are.
    fn len(&self) -> usize;

    /// Returns whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the labels of series `index`.
    ///
    /// # Panics
    ///
    /// When `index` is not below [`len`](SeriesSet::len).
    fn labels(&self, index: usize) -> Labels;

    /// Appends the labels of the series at `positions` to `out`, of each those that `kept` has. Equal sets may be one.
    ///
    /// # Panics
    ///
    /// When a position is not below [`len`](SeriesSet::len).
    fn label_sets(&self, positions: Range<usize>, kept: &Kept, out: &mut Vec<Labels>) {
        out.extend(positions.map(|index| self.labels(index).without(|name| !kept.has(name))));
    }

    /// Appends the samples of series `index` in `mint..=maxt` to `out`, ascending in time, staleness markers included.
    ///
    /// # Errors
    ///
    /// When chunks cannot be read; `out` may then hold a part.
    fn read(
        &self,
        index: usize,
        mint: i64,
        maxt: i64,
        out: &mut SampleColumns,
    ) -> Result<(), ReadError>;

    /// Returns the newest sample of series `index` in `mint..=maxt`, a staleness marker included. `scratch` is cleared
    /// and may be used.
    ///
    /// # Errors
    ///
    /// As [`read`](SeriesSet::read).
    fn newest(
        &self,
        index: usize,
        mint: i64,
        maxt: i64,
        scratch: &mut SampleColumns,
    ) -> Result<Option<Sample>, ReadError> {
        scratch.clear();
        self.read(index, mint, maxt, scratch)?;
        Ok(scratch.last())
    }
}

/// Returns the start timestamp of the sample at `index`, of which `starts` may lack those that are unknown; 0 if it is.
#[inline]
pub fn start_of(starts: &[i64], index: usize) -> i64 {
    starts.get(index).copied().unwrap_or(0)
}

/// The samples of one series as columns.
///
/// # Invariants
///
/// `timestamps` and `floats` are equally long; timestamps ascend strictly. A sample that is a histogram has an entry in
/// `histograms` with its index (ascending) and NaN in `floats`. `starts` may be shorter: what it lacks is unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleColumns {
    /// Milliseconds since the epoch.
    pub timestamps: Vec<i64>,
    /// The float values; NaN where the sample is a histogram.
    pub floats: Vec<f64>,
    /// The samples that are native histograms: index and value.
    pub histograms: Vec<(usize, Arc<FloatHistogram>)>,
    /// Since when the counter counts that has the sample: milliseconds since the epoch, 0 where that is unknown. Storage
    /// that keeps no start timestamps leaves it empty.
    pub starts: Vec<i64>,
}

impl SampleColumns {
    /// Returns how many samples there are.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Removes all samples and keeps the room.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.floats.clear();
        self.histograms.clear();
        self.starts.clear();
    }

    /// Adds a float sample, which must be newer than the last.
    pub fn push_float(&mut self, t: i64, value: f64) {
        debug_assert!(self.timestamps.last().is_none_or(|&last| last < t));
        self.timestamps.push(t);
        self.floats.push(value);
    }

    /// Adds a histogram sample, which must be newer than the last.
    pub fn push_histogram(&mut self, t: i64, histogram: Arc<FloatHistogram>) {
        self.histograms.push((self.timestamps.len(), histogram));
        self.push_float(t, f64::NAN);
    }

    /// Says since when the counter counts that has the last sample; milliseconds since the epoch.
    pub fn set_last_start(&mut self, start: i64) {
        if let Some(last) = self.len().checked_sub(1) {
            self.starts.resize(last, 0);
            self.starts.push(start);
        }
    }

    /// Returns the start timestamp of the sample at `index`, 0 if it is unknown.
    pub fn start(&self, index: usize) -> i64 {
        start_of(&self.starts, index)
    }

    /// Returns the histogram at `index`, if the sample is one.
    pub fn histogram(&self, index: usize) -> Option<&Arc<FloatHistogram>> {
        let at = self
            .histograms
            .binary_search_by_key(&index, |&(i, _)| i)
            .ok()?;
        Some(&self.histograms[at].1)
    }

    /// Returns the last sample.
    pub fn last(&self) -> Option<Sample> {
        Some(self.sample(self.len().checked_sub(1)?))
    }

    /// Returns the sample at `index`.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn sample(&self, index: usize) -> Sample {
        let value = match self.histogram(index) {
            Some(histogram) => SampleValue::Histogram(Arc::clone(histogram)),
            None => SampleValue::Float(self.floats[index]),
        };
        Sample {
            t: self.timestamps[index],
            value,
        }
    }
}
