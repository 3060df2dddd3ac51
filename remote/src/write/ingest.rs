//! From the bytes of a request to samples in storage.
//!
//! A request is decoded into a [`Batch`], series are looked up by the bytes of their labels ([`super::key`]), and all
//! float samples go to the appender in one call. What is refused is counted and told; the rest is stored.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::{Counter, Registry};
use model::exemplar::{Exemplar, LABELS_RUNES_MAX};
use model::labels::{Labels, METRIC_NAME};
use model::name::Quoted;
use model::storage::{
    AppendError, Appendable, Appender, FloatSample, Rejected, SeriesRef, start_of,
};
use parking_lot::Mutex;

use super::batch::{Batch, RawExemplar, RawHistogram, Series};
use super::key::{KeyHasher, Known, KnownSeries, SeriesKey};
use super::{Version, v1, v2};
use crate::proto::WireError;

/// How far ahead of the clock samples are taken, in milliseconds.
const AHEAD_MAX_MS: i64 = 10 * 60 * 1000;

/// How many refusals are told to the sender; the others are counted.
const PROBLEMS_TOLD_MAX: usize = 100;

/// How much of labels is told to the sender, in bytes.
const LABELS_TOLD_BYTES_MAX: usize = 16 << 10;

/// How many bytes of labels and metadata a batch may bring that are not known yet. The second version can say in few bytes
/// what is long, and all of it is logged together.
const NEW_TEXT_BYTES_MAX: usize = 64 << 20;

/// How many samples the room may hold that is kept for the next request.
const ROOM_KEPT_MAX: usize = 65_536;

/// What a sample is refused with when it is after [`AHEAD_MAX_MS`].
const TOO_FAR: &str = "out of bounds: timestamp is too far in the future";

/// What a series is refused with when there are more bytes than [`NEW_TEXT_BYTES_MAX`].
const NEW_TEXT: &str = "too many bytes of labels of new series in one request";

/// Label pairs, borrowed from the request, in its order.
pub(crate) type Pairs<'a> = Vec<(&'a [u8], &'a [u8])>;

/// One version of the protocol.
pub(crate) trait Decode<'a> {
    /// Adds series to `batch` until it is full; returns whether there are more.
    ///
    /// # Errors
    ///
    /// When the bytes are no request.
    fn fill(&mut self, hasher: &KeyHasher, batch: &mut Batch<'a>) -> Result<bool, WireError>;

    /// Appends the labels that are in `bytes`: those of a series or of an exemplar.
    ///
    /// # Errors
    ///
    /// When they are none.
    fn labels(&self, bytes: &'a [u8], out: &mut Pairs<'a>) -> Result<(), LabelError>;
}

/// Why bytes are no labels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LabelError {
    /// The request is malformed.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A name without value.
    #[error("parsing labels: invalid labelRefs length {0}")]
    OddRefs(usize),
    /// A symbol that there is not.
    #[error("parsing labels: labelRefs {} (name) or {} (value) outside of symbols table (size {size})", .refs[0], .refs[1])]
    RefOutOfRange {
        /// Name and value.
        refs: [u32; 2],
        /// How many there are.
        size: usize,
    },
    /// More than one set may have.
    #[error("parsing labels: more than {0} bytes of labels")]
    TooLong(usize),
    /// The name of the metric is missing, or a name or value is none.
    #[error("invalid metric name or labels, got {0}")]
    Invalid(String),
    /// A name is there twice.
    #[error("invalid labels for series, labels {labels}, duplicated label {name}")]
    Duplicate {
        /// All of them.
        labels: String,
        /// Which.
        name: String,
    },
}

impl From<model::protobuf::WireError> for LabelError {
    fn from(error: model::protobuf::WireError) -> Self {
        LabelError::Wire(error.into())
    }
}

/// Why a request was not stored, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// It is malformed: sending it again does not help.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The storage failed: sending it again may help.
    #[error(transparent)]
    Storage(AppendError),
}

/// What became of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Float samples that were stored.
    pub samples: u64,
    /// Histograms that were stored.
    pub histograms: u64,
    /// Exemplars that were stored.
    pub exemplars: u64,
    /// What was refused, the first [`PROBLEMS_TOLD_MAX`] as a sentence each.
    pub problems: Vec<String>,
    /// How many there were in all.
    pub problem_count: u64,
}

impl Report {
    fn tell(&mut self, text: impl FnOnce() -> String) {
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_TOLD_MAX {
            self.problems.push(text());
        }
    }
}

/// What is counted of remote write requests.
struct WriteMetrics {
    invalid_labels: Counter,
    without_metadata: Counter,
    samples: Counter,
    histograms: Counter,
    exemplars: Counter,
    refused: Counter,
    failed: Counter,
}

impl WriteMetrics {
    fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| registry.counter(name, help);
        WriteMetrics {
            invalid_labels: counter(
                "prometheus_api_remote_write_invalid_labels_samples_total",
                "The total number of received remote write samples and histogram samples which were rejected due to invalid labels.",
            ),
            without_metadata: counter(
                "prometheus_api_remote_write_without_metadata_appended_samples_total",
                "The total number of received remote write samples (and histogram samples) which were ingested without corresponding metadata.",
            ),
            samples: counter(
                "hearth_remote_write_samples_written_total",
                "Float samples that were stored from remote write requests.",
            ),
            histograms: counter(
                "hearth_remote_write_histograms_written_total",
                "Native histograms that were stored from remote write requests.",
            ),
            exemplars: counter(
                "hearth_remote_write_exemplars_written_total",
                "Exemplars that were stored from remote write requests.",
            ),
            refused: counter(
                "hearth_remote_write_refused_total",
                "Samples, histograms, exemplars and series of remote write requests that were refused.",
            ),
            failed: counter(
                "hearth_remote_write_requests_failed_total",
                "Remote write requests that were malformed or that the storage could not take.",
            ),
        }
    }
}

/// Room that one request after the other uses.
#[derive(Default)]
struct Room {
    floats: Vec<FloatSample>,
}

/// Stores requests.
pub struct Ingest {
    storage: Arc<dyn Appendable>,
    hasher: KeyHasher,
    known: KnownSeries,
    metrics: WriteMetrics,
    rooms: Mutex<Vec<Room>>,
}

impl Ingest {
    /// Returns one that stores to `storage`.
    pub fn new(storage: Arc<dyn Appendable>, registry: &Registry) -> Self {
        Ingest {
            storage,
            hasher: KeyHasher::new(),
            known: KnownSeries::default(),
            metrics: WriteMetrics::new(registry),
            rooms: Mutex::default(),
        }
    }

    /// Stores the request in `bytes`, which are not compressed any more. `now_ms` is the time.
    ///
    /// A batch is stored as a whole, so a small request is stored or not; one of more than some ten thousand items is
    /// stored in parts, and an error tells nothing about those before.
    ///
    /// # Errors
    ///
    /// When the bytes are no request, or the storage fails.
    pub fn write(&self, version: Version, bytes: &[u8], now_ms: i64) -> Result<Report, WriteError> {
        let outcome = match version {
            Version::V1 => self.write_with(version, v1::Decoder::new(bytes), now_ms),
            Version::V2 => v2::Decoder::new(bytes, &self.hasher)
                .map_err(WriteError::Wire)
                .and_then(|decoder| self.write_with(version, decoder, now_ms)),
        };
        match &outcome {
            Ok(report) => {
                self.metrics.samples.add(report.samples as f64);
                self.metrics.histograms.add(report.histograms as f64);
                self.metrics.exemplars.add(report.exemplars as f64);
                self.metrics.refused.add(report.problem_count as f64);
            }
            Err(_) => self.metrics.failed.inc(),
        }
        outcome
    }

    fn write_with<'a>(
        &self,
        version: Version,
        mut decoder: impl Decode<'a>,
        now_ms: i64,
    ) -> Result<Report, WriteError> {
        let room = self.rooms.lock().pop().unwrap_or_default();
        let mut batch = Batch::new(now_ms.saturating_add(AHEAD_MAX_MS), room.floats);
        let mut report = Report::default();
        loop {
            let has_more = decoder.fill(&self.hasher, &mut batch)?;
            self.store(version, &decoder, &mut batch, now_ms, &mut report)?;
            if !has_more {
                break;
            }
            batch.clear();
        }
        if batch.floats.capacity() <= ROOM_KEPT_MAX {
            self.rooms.lock().push(Room {
                floats: batch.floats,
            });
        }
        Ok(report)
    }

    /// Stores a batch.
    fn store<'a>(
        &self,
        version: Version,
        decoder: &impl Decode<'a>,
        batch: &mut Batch<'a>,
        now_ms: i64,
        report: &mut Report,
    ) -> Result<(), WriteError> {
        if batch.series.is_empty() {
            return Ok(());
        }
        let mut storing = Storing {
            ingest: self,
            version,
            decoder,
            series: &batch.series,
            handles: Vec::with_capacity(batch.series.len()),
            appender: self.storage.appender(),
            learned: Vec::new(),
            pairs: Vec::new(),
            new_text_bytes: 0,
            report,
        };
        storing.find_series()?;
        for &index in &batch.too_far {
            storing.refuse(index, TOO_FAR);
        }
        storing.floats(&mut batch.floats, &mut batch.starts)?;
        storing.histograms(batch.histograms.drain(..))?;
        storing.exemplars(&batch.exemplars);
        storing.metadata();
        let Storing {
            appender, learned, ..
        } = storing;
        appender.commit().map_err(WriteError::Storage)?;
        if !learned.is_empty() {
            self.known.remember(learned.into_iter(), now_ms);
        }
        Ok(())
    }
}

/// A batch on its way.
struct Storing<'s, 'a, D> {
    ingest: &'s Ingest,
    version: Version,
    decoder: &'s D,
    series: &'s [Series<'a>],
    /// What is known of each series; `None` when its labels were refused, or nothing of it is to be stored.
    handles: Vec<Option<Known>>,
    appender: Box<dyn Appender + 's>,
    /// What is to be remembered.
    learned: Vec<(SeriesKey, Known)>,
    pairs: Pairs<'a>,
    /// Bytes of labels and metadata that were not known.
    new_text_bytes: usize,
    report: &'s mut Report,
}

impl<'a, D: Decode<'a>> Storing<'_, 'a, D> {
    /// Finds the handle of each series: by key where that is known, by labels elsewhere.
    fn find_series(&mut self) -> Result<(), WriteError> {
        let Storing {
            ingest,
            series,
            handles,
            learned,
            ..
        } = self;
        let mut keys = series.iter();
        ingest
            .known
            .look_up(series.iter().map(|series| series.key), |found| {
                let key = keys.next().and_then(|series| series.key);
                if let (Some((known, false)), Some(key)) = (found, key) {
                    learned.push((key, known));
                }
                handles.push(found.map(|(known, _)| known));
            });
        for index in 0..self.series.len() {
            if self.handles[index].is_none() {
                self.handles[index] = self.series_by_labels(index)?;
            }
        }
        Ok(())
    }

    /// Returns the series at `index`, made if need be; `None` when its labels are refused, or it has nothing to store.
    fn series_by_labels(&mut self, index: usize) -> Result<Option<Known>, WriteError> {
        let series = self.series[index];
        self.pairs.clear();
        let read = self.decoder.labels(series.labels, &mut self.pairs);
        self.new_text_bytes += bytes_of(&self.pairs);
        if NEW_TEXT_BYTES_MAX < self.new_text_bytes {
            self.report.tell(|| NEW_TEXT.to_owned());
            return Ok(None);
        }
        let labels = match read.and_then(|()| checked(&mut self.pairs)) {
            Ok(labels) => labels,
            Err(LabelError::Wire(error)) => return Err(error.into()),
            Err(error) => {
                self.ingest.metrics.invalid_labels.inc();
                self.report.tell(|| error.to_string());
                return Ok(None);
            }
        };
        if !series.has_items {
            return Ok(None);
        }
        match self.appender.series(&labels) {
            Ok(handle) => {
                let known = Known {
                    series: handle,
                    metadata: 0,
                };
                self.learned.extend(series.key.map(|key| (key, known)));
                Ok(Some(known))
            }
            Err(AppendError::InvalidLabels(what)) => {
                self.ingest.metrics.invalid_labels.inc();
                self.report.tell(|| format!("invalid labels: {what}"));
                Ok(None)
            }
            Err(error) => Err(WriteError::Storage(error)),
        }
    }

    /// Says that something of the series at `index` was refused.
    fn refuse(&mut self, index: usize, why: impl std::fmt::Display) {
        let Storing {
            version,
            decoder,
            series,
            report,
            ..
        } = self;
        report.tell(|| match version {
            Version::V1 => why.to_string(),
            Version::V2 => {
                let mut pairs = Vec::new();
                // They were read once before.
                let _ = decoder.labels(series[index].labels, &mut pairs);
                format!("{why} for series {}", printed(&pairs))
            }
        });
    }

    fn floats(
        &mut self,
        floats: &mut Vec<FloatSample>,
        starts: &mut Vec<i64>,
    ) -> Result<(), WriteError> {
        let handles = &self.handles;
        let find = |series| index_of(series).and_then(|index| handles[index]);
        let mut samples = floats.iter();
        starts.retain(|_| samples.next().is_some_and(|s| find(s.series).is_some()));
        floats.retain_mut(|sample| {
            let known = find(sample.series);
            known.map(|known| sample.series = known.series).is_some()
        });
        let mut rejected = Vec::new();
        self.append_floats(floats, starts, &mut rejected);
        if rejected.is_empty() {
            return Ok(());
        }
        self.rejected(floats, starts, &rejected)
    }

    fn append_floats(
        &mut self,
        floats: &[FloatSample],
        starts: &[i64],
        rejected: &mut Vec<Rejected>,
    ) {
        self.appender.append_floats_since(floats, starts, rejected);
        self.report.samples += (floats.len() - rejected.len()) as u64;
    }

    /// Tells what was refused, and tries those again whose series was dropped since its handle was learned.
    fn rejected(
        &mut self,
        floats: &[FloatSample],
        starts: &[i64],
        rejected: &[Rejected],
    ) -> Result<(), WriteError> {
        // A series may be there once more without items, and then none is made of it.
        let owners: HashMap<SeriesRef, usize> = (0..)
            .zip(self.series.iter().zip(&self.handles))
            .filter(|(_, (series, _))| series.has_items)
            .filter_map(|(index, (_, known))| Some(((*known)?.series, index)))
            .collect();
        let mut again: Vec<(usize, i64, FloatSample)> = Vec::new();
        for Rejected { index, error } in rejected {
            let sample = floats[*index];
            let owner = owners[&sample.series];
            let start = start_of(starts, *index);
            match error {
                AppendError::UnknownSeries => again.push((owner, start, sample)),
                error => self.refuse(owner, error),
            }
        }
        let mut renewed: HashMap<usize, Option<SeriesRef>> = HashMap::new();
        let (mut floats, mut starts) = (Vec::new(), Vec::new());
        for (owner, start, mut sample) in again {
            let handle = match renewed.get(&owner) {
                Some(handle) => *handle,
                None => {
                    let handle = self.renew(owner)?;
                    renewed.insert(owner, handle);
                    handle
                }
            };
            if let Some(handle) = handle {
                sample.series = handle;
                floats.push(sample);
                starts.push(start);
            }
        }
        let mut rejected = Vec::new();
        self.append_floats(&floats, &starts, &mut rejected);
        for Rejected { index, error } in rejected {
            let handle = floats[index].series;
            let owner = renewed.iter().find(|(_, new)| **new == Some(handle));
            self.refuse(owner.map_or(0, |(owner, _)| *owner), error);
        }
        Ok(())
    }

    /// Asks for a new handle of the series at `index`, whose old one names nobody any more.
    fn renew(&mut self, index: usize) -> Result<Option<SeriesRef>, WriteError> {
        self.handles[index] = self.series_by_labels(index)?;
        Ok(self.handles[index].map(|known| known.series))
    }

    fn histograms(
        &mut self,
        histograms: impl Iterator<Item = RawHistogram>,
    ) -> Result<(), WriteError> {
        for raw in histograms {
            let RawHistogram {
                start, t, value, ..
            } = raw;
            let index = raw.series;
            let Some(known) = self.handles[index] else {
                continue;
            };
            let mut outcome =
                self.appender
                    .append_histogram_since(known.series, start, t, value.clone());
            if outcome == Err(AppendError::UnknownSeries)
                && let Some(series) = self.renew(index)?
            {
                outcome = self
                    .appender
                    .append_histogram_since(series, start, t, value);
            }
            match outcome {
                Ok(()) => self.report.histograms += 1,
                Err(AppendError::Storage(what)) => {
                    return Err(WriteError::Storage(AppendError::Storage(what)));
                }
                Err(error) => self.refuse(index, error),
            }
        }
        Ok(())
    }

    /// Appends the exemplars. One that is no exemplar is passed over: its series' samples count, as in Prometheus.
    fn exemplars(&mut self, exemplars: &[RawExemplar<'a>]) {
        for raw in exemplars {
            let Some(known) = self.handles[raw.series] else {
                continue;
            };
            let Some(labels) = exemplar_labels(self.decoder, raw.labels) else {
                continue;
            };
            let exemplar = Exemplar {
                labels,
                value: raw.value,
                t: Some(raw.t),
            };
            match self.appender.append_exemplar(known.series, &exemplar) {
                Ok(()) => self.report.exemplars += 1,
                Err(AppendError::OutOfOrder) if self.version == Version::V2 => {
                    self.refuse(raw.series, "out of order exemplar");
                }
                Err(error) => tracing::debug!(%error, "exemplar not stored"),
            }
        }
    }

    /// Tells the storage about the metrics of the series that it was not told about before.
    fn metadata(&mut self) {
        if self.version == Version::V1 {
            return;
        }
        for (series, known) in self.series.iter().zip(&mut self.handles) {
            let Some(known) = known else { continue };
            let Some(metadata) = series.metadata else {
                self.ingest.metrics.without_metadata.inc();
                continue;
            };
            if known.metadata == metadata.hash {
                continue;
            }
            // What is not told now is with a later request.
            self.new_text_bytes += metadata.help.len() + metadata.unit.len();
            if NEW_TEXT_BYTES_MAX < self.new_text_bytes {
                continue;
            }
            let told = self
                .appender
                .update_metadata(known.series, &metadata.to_metadata());
            if told.is_ok() {
                known.metadata = metadata.hash;
                self.learned.extend(series.key.map(|key| (key, *known)));
            }
        }
    }
}

fn index_of(placeholder: SeriesRef) -> Option<usize> {
    usize::try_from(placeholder.0).ok()
}

/// Returns the pairs as labels of a series: sorted, without empty values.
fn checked<'a>(pairs: &mut Pairs<'a>) -> Result<Vec<(&'a str, &'a str)>, LabelError> {
    if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
        pairs.sort_by_key(|pair| pair.0);
        if let Some(twice) = pairs.windows(2).find(|two| two[0].0 == two[1].0) {
            return Err(LabelError::Duplicate {
                labels: printed(pairs),
                name: clipped(String::from_utf8_lossy(twice[0].0).into_owned()),
            });
        }
    }
    let invalid = || LabelError::Invalid(printed(pairs));
    let mut labels = Vec::with_capacity(pairs.len());
    let mut has_name = false;
    for &(name, value) in &*pairs {
        let (Ok(name), Ok(value)) = (str::from_utf8(name), str::from_utf8(value)) else {
            return Err(invalid());
        };
        if name.is_empty() {
            return Err(invalid());
        }
        if name == METRIC_NAME {
            has_name = !value.is_empty();
        }
        if !value.is_empty() {
            labels.push((name, value));
        }
    }
    if !has_name {
        return Err(invalid());
    }
    Ok(labels)
}

fn exemplar_labels<'a>(decoder: &impl Decode<'a>, bytes: &'a [u8]) -> Option<Labels> {
    let mut pairs = Vec::new();
    decoder.labels(bytes, &mut pairs).ok()?;
    // No storage takes more, and a label is looked for among those before it.
    if 4 * LABELS_RUNES_MAX < bytes_of(&pairs) {
        return None;
    }
    let pairs: Option<Vec<(&str, &str)>> = pairs
        .into_iter()
        .map(|(name, value)| Some((str::from_utf8(name).ok()?, str::from_utf8(value).ok()?)))
        .collect();
    Some(Labels::from_pairs(pairs?))
}

fn bytes_of(pairs: &Pairs<'_>) -> usize {
    let lengths = pairs.iter().map(|(name, value)| name.len() + value.len());
    lengths.sum()
}

/// Returns the pairs as Prometheus prints labels: `{a="b", c="d"}`; not to the end when they are long.
fn printed(pairs: &Pairs<'_>) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("{");
    for (at, (name, value)) in pairs.iter().enumerate() {
        if LABELS_TOLD_BYTES_MAX < text.len() {
            break;
        }
        let separator = if at == 0 { "" } else { ", " };
        let (name, value) = (
            String::from_utf8_lossy(name),
            String::from_utf8_lossy(value),
        );
        let _ = write!(text, "{separator}{name}={}", Quoted(&value));
    }
    text.push('}');
    clipped(text)
}

/// Returns the text, at most [`LABELS_TOLD_BYTES_MAX`] of it.
fn clipped(mut text: String) -> String {
    if LABELS_TOLD_BYTES_MAX < text.len() {
        text.truncate(text.floor_char_boundary(LABELS_TOLD_BYTES_MAX));
        text.push('…');
    }
    text
}
