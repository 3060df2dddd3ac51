//! What a request asks to store, in columns: the common form of both versions of the protocol.

use model::metadata::{Metadata, MetricType};
use model::storage::{FloatSample, HistogramSample, SeriesRef};

use super::key::SeriesKey;
use crate::proto::WireError;

/// A part of a request, borrowed from its bytes.
///
/// Memory: bounded by [`Batch::is_full`], which decoders ask before each series, plus the largest series.
pub(crate) struct Batch<'a> {
    /// The latest time that is taken, milliseconds since the epoch.
    pub(crate) t_max: i64,
    /// The series, in order of the request; one may be there more than once.
    pub(crate) series: Vec<Series<'a>>,
    /// The float samples. Until the batch is stored, the handle is the index of the series.
    pub(crate) floats: Vec<FloatSample>,
    /// Since when the counters count that have the float samples, by index; what is not here is unknown.
    pub(crate) starts: Vec<i64>,
    /// The histograms.
    pub(crate) histograms: Vec<RawHistogram>,
    /// The exemplars.
    pub(crate) exemplars: Vec<RawExemplar<'a>>,
    /// The series of samples and histograms that are too far in the future, one entry for each.
    pub(crate) too_far: Vec<usize>,
}

/// A series of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Series<'a> {
    /// The bytes in which the labels are.
    pub(crate) labels: &'a [u8],
    /// Which series it is, if that can be told without looking at the labels.
    pub(crate) key: Option<SeriesKey>,
    /// What is known about its metric; only the second version says so.
    pub(crate) metadata: Option<RawMetadata<'a>>,
    /// Whether there is something to store.
    pub(crate) has_items: bool,
}

/// Metadata of a series, not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct RawMetadata<'a> {
    /// The number that stands for the type.
    pub(crate) kind: u64,
    /// The help text.
    pub(crate) help: &'a [u8],
    /// The unit.
    pub(crate) unit: &'a [u8],
    /// A hash of the three, not 0.
    pub(crate) hash: u32,
}

/// A native histogram of a request.
#[derive(Clone, Debug)]
pub(crate) struct RawHistogram {
    /// The index of the series.
    pub(crate) series: usize,
    /// Milliseconds since the epoch.
    pub(crate) t: i64,
    /// Since when it counts: milliseconds since the epoch, 0 if that is unknown.
    pub(crate) start: i64,
    /// The value.
    pub(crate) value: HistogramSample,
}

/// An exemplar, its labels not looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawExemplar<'a> {
    /// The index of the series.
    pub(crate) series: usize,
    /// The bytes in which the labels are.
    pub(crate) labels: &'a [u8],
    /// Milliseconds since the epoch.
    pub(crate) t: i64,
    /// The value.
    pub(crate) value: f64,
}

/// How many items a batch takes before it is stored; a larger request is stored in parts.
const ITEMS_MAX: usize = 65_536;

/// How many items one series may have in a request; histograms and exemplars count for [`HISTOGRAM_ITEMS`].
const SERIES_ITEMS_MAX: usize = 2 << 20;

/// How many items a histogram counts for.
const HISTOGRAM_ITEMS: usize = 16;

impl<'a> Batch<'a> {
    /// Returns a batch that takes samples up to `t_max`. `floats` is room for its samples.
    pub(crate) fn new(t_max: i64, mut floats: Vec<FloatSample>) -> Self {
        floats.clear();
        Batch {
            t_max,
            series: Vec::new(),
            floats,
            starts: Vec::new(),
            histograms: Vec::new(),
            exemplars: Vec::new(),
            too_far: Vec::new(),
        }
    }

    /// Returns whether it should be stored before more is added.
    pub(crate) fn is_full(&self) -> bool {
        let small = self.series.len() + self.floats.len() + self.exemplars.len();
        ITEMS_MAX <= small + HISTOGRAM_ITEMS * self.histograms.len() + self.too_far.len()
    }

    /// Fails when the series that is being read has more items than one may have: a batch is cut between series only.
    #[inline]
    pub(crate) fn check_size(&self) -> Result<(), WireError> {
        let heavy = self.histograms.len() + self.exemplars.len() + self.too_far.len();
        let limit = SERIES_ITEMS_MAX + ITEMS_MAX;
        if limit < self.floats.len() || limit / HISTOGRAM_ITEMS < heavy {
            return Err(WireError::TooMany(SERIES_ITEMS_MAX / HISTOGRAM_ITEMS));
        }
        Ok(())
    }

    /// Adds a float sample of the series that is to be added next.
    #[inline]
    pub(crate) fn push_float(&mut self, t: i64, value: f64) {
        if self.t_max < t {
            return self.too_far.push(self.series.len());
        }
        let series = SeriesRef(self.series.len() as u64);
        self.floats.push(FloatSample { series, t, value });
    }

    /// Adds a float sample of which it is known since when it counts, unless `start` is 0.
    #[inline]
    pub(crate) fn push_float_since(&mut self, start: i64, t: i64, value: f64) {
        let index = self.floats.len();
        self.push_float(t, value);
        if start != 0 && index < self.floats.len() {
            self.starts.resize(index, 0);
            self.starts.push(start);
        }
    }

    /// Adds a histogram of the series that is to be added next.
    ///
    /// * `start`: since when it counts, 0 if that is unknown.
    pub(crate) fn push_histogram(&mut self, start: i64, t: i64, value: HistogramSample) {
        let series = self.series.len();
        if self.t_max < t {
            return self.too_far.push(series);
        }
        self.histograms.push(RawHistogram {
            series,
            t,
            start,
            value,
        });
    }

    /// Adds an exemplar of the series that is to be added next; one that is too far in the future is left out.
    pub(crate) fn push_exemplar(&mut self, labels: &'a [u8], t: i64, value: f64) {
        if t <= self.t_max {
            self.exemplars.push(RawExemplar {
                series: self.series.len(),
                labels,
                t,
                value,
            });
        }
    }

    /// Adds the series of the items that were added since the last one.
    pub(crate) fn push_series(&mut self, mut series: Series<'a>) {
        let index = self.series.len();
        series.has_items = self
            .floats
            .last()
            .is_some_and(|s| s.series.0 == index as u64)
            || self.histograms.last().is_some_and(|h| h.series == index)
            || self.exemplars.last().is_some_and(|e| e.series == index);
        self.series.push(series);
    }

    /// Forgets everything and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.series.clear();
        self.floats.clear();
        self.starts.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.too_far.clear();
    }
}

impl RawMetadata<'_> {
    /// Returns the metadata; what is no UTF-8 in it is replaced.
    pub(crate) fn to_metadata(self) -> Metadata {
        let kind = match self.kind {
            1 => MetricType::Counter,
            2 => MetricType::Gauge,
            3 => MetricType::Histogram,
            4 => MetricType::GaugeHistogram,
            5 => MetricType::Summary,
            6 => MetricType::Info,
            7 => MetricType::StateSet,
            _ => MetricType::Unknown,
        };
        Metadata {
            kind,
            help: String::from_utf8_lossy(self.help).into_owned(),
            unit: String::from_utf8_lossy(self.unit).into_owned(),
        }
    }
}
