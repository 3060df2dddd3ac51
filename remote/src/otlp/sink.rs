//! Where translated samples go: into batches of bounded length, and with a count of what was refused.

use std::collections::BTreeMap;

use model::exemplar::Exemplar;
use model::labels::METRIC_NAME;
use model::metadata::{Metadata, MetricType};
use model::storage::{AppendError, Appendable, Appender, FloatSample, HistogramSample, SeriesRef};

use super::delta::Totals;
use super::labels::Resource;
use super::{LABELS_BYTES_MAX, OtlpError, OtlpReport};

/// How far ahead of the clock samples are taken, in milliseconds.
const AHEAD_MAX_MS: i64 = 10 * 60 * 1000;

/// How many samples are stored as one batch.
const BATCH_SAMPLES: usize = 65_536;

/// How far the samples of `target_info` lie apart: half of how far a query looks back.
const INFO_STEP_MS: i64 = 150_000;

/// How many samples of `target_info` one request may bring.
const INFO_SAMPLES_MAX: i64 = 1_000;

/// Takes the samples of one request.
pub(super) struct Sink<'s> {
    storage: &'s dyn Appendable,
    pub(super) totals: &'s Totals,
    pub(super) now_ms: i64,
    appender: Option<Box<dyn Appender + 's>>,
    latest_ms: i64,
    in_batch: usize,
    labels_bytes: usize,
    /// The times of the points of the resource at hand.
    times: Option<(i64, i64)>,
    pub(super) report: OtlpReport,
}

impl<'s> Sink<'s> {
    pub(super) fn new(storage: &'s dyn Appendable, totals: &'s Totals, now_ms: i64) -> Self {
        Sink {
            storage,
            totals,
            now_ms,
            appender: None,
            latest_ms: now_ms.saturating_add(AHEAD_MAX_MS),
            in_batch: 0,
            labels_bytes: 0,
            times: None,
            report: OtlpReport::default(),
        }
    }

    /// Forgets the times of the resource before.
    pub(super) fn begin_resource(&mut self) {
        self.times = None;
    }

    /// Notes that the resource at hand has a point of that time.
    pub(super) fn saw(&mut self, t: i64) {
        let (first, last) = self.times.unwrap_or((t, t));
        self.times = Some((first.min(t), last.max(t)));
    }

    /// Returns the series with these labels; nothing if it was refused.
    ///
    /// * `extra`: one more label, such as a bound.
    pub(super) fn series(
        &mut self,
        name: &str,
        labels: &BTreeMap<String, String>,
        extra: Option<(&str, &str)>,
        metadata: &Metadata,
    ) -> Result<Option<SeriesRef>, OtlpError> {
        let named = [(METRIC_NAME, name)].into_iter().chain(extra);
        let is_replaced = |label: &str| extra.is_some_and(|(name, _)| name == label);
        let others = labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let mut pairs: Vec<(&str, &str)> = others
            .filter(|(name, value)| !name.is_empty() && !value.is_empty() && !is_replaced(name))
            .chain(named)
            .collect();
        pairs.sort_unstable();
        self.labels_bytes += pairs
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum::<usize>();
        if LABELS_BYTES_MAX < self.labels_bytes {
            return Err(OtlpError::Labels(LABELS_BYTES_MAX));
        }
        let appender = appender(&mut self.appender, self.storage);
        match appender.series(&pairs) {
            Ok(series) => {
                // It is only news the first time, and a refusal has been the series' own.
                let _ = appender.update_metadata(series, metadata);
                Ok(Some(series))
            }
            Err(AppendError::Storage(why)) => Err(OtlpError::Storage(AppendError::Storage(why))),
            Err(error) => {
                self.report
                    .refuse(|| format!("{error} (series of metric {name:?})"));
                Ok(None)
            }
        }
    }

    /// Adds a float sample.
    ///
    /// * `start`: since when it counts, milliseconds since the epoch, 0 if that is unknown or it does not.
    pub(super) fn float(
        &mut self,
        series: SeriesRef,
        start: i64,
        t: i64,
        value: f64,
        metric: &str,
    ) -> Result<(), OtlpError> {
        if self.is_too_early(t, metric) {
            return Ok(());
        }
        let appender = appender(&mut self.appender, self.storage);
        let mut rejected = Vec::new();
        let sample = FloatSample { series, t, value };
        appender.append_floats_since(&[sample], &[start], &mut rejected);
        let outcome = rejected
            .pop()
            .map_or(Ok(()), |rejected| Err(rejected.error));
        self.count(outcome, metric)
    }

    /// Adds a native histogram; `start` is as in [`float`](Sink::float).
    pub(super) fn histogram(
        &mut self,
        series: SeriesRef,
        start: i64,
        t: i64,
        sample: HistogramSample,
        metric: &str,
    ) -> Result<(), OtlpError> {
        if self.is_too_early(t, metric) {
            return Ok(());
        }
        let appender = appender(&mut self.appender, self.storage);
        let outcome = appender.append_histogram_since(series, start, t, sample);
        self.count(outcome, metric)
    }

    /// Adds an exemplar; one that is refused is left out.
    pub(super) fn exemplar(&mut self, series: SeriesRef, exemplar: &Exemplar) {
        if exemplar.t.is_none_or(|t| t <= self.latest_ms) {
            let appender = appender(&mut self.appender, self.storage);
            if let Err(error) = appender.append_exemplar(series, exemplar) {
                tracing::debug!(%error, "an exemplar of an OTLP request was refused");
            }
        }
    }

    /// Adds the series that says what else is known of the resource at hand.
    pub(super) fn target_info(&mut self, resource: &Resource<'_>) -> Result<(), OtlpError> {
        let (Some(labels), Some((first, last))) = (&resource.info, self.times) else {
            return Ok(());
        };
        // Whatever becomes of other names: queries look for this one.
        let name = "target_info";
        let metadata = Metadata {
            kind: MetricType::Gauge,
            help: "Target metadata".to_owned(),
            unit: String::new(),
        };
        let Some(series) = self.series(name, labels, None, &metadata)? else {
            return Ok(());
        };
        let first = first.max(last.saturating_sub(INFO_SAMPLES_MAX * INFO_STEP_MS));
        let mut t = first;
        while t < last {
            self.float(series, 0, t, 1.0, name)?;
            t = t.saturating_add(INFO_STEP_MS);
        }
        self.float(series, 0, last, 1.0, name)
    }

    /// Stores what is left; returns what became of the request.
    pub(super) fn finish(mut self) -> Result<OtlpReport, OtlpError> {
        self.commit()?;
        Ok(self.report)
    }

    fn is_too_early(&mut self, t: i64, metric: &str) -> bool {
        let is_too_early = self.latest_ms < t;
        if is_too_early {
            self.report.refuse(|| {
                format!("out of bounds: timestamp is too far in the future (metric {metric:?}, timestamp {t})")
            });
        }
        is_too_early
    }

    fn count(&mut self, outcome: Result<(), AppendError>, metric: &str) -> Result<(), OtlpError> {
        match outcome {
            Ok(()) => {
                self.report.stored += 1;
                self.in_batch += 1;
            }
            Err(error @ AppendError::Storage(_)) => return Err(OtlpError::Storage(error)),
            Err(error) => self
                .report
                .refuse(|| format!("{error} (metric {metric:?})")),
        }
        if BATCH_SAMPLES <= self.in_batch {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), OtlpError> {
        self.in_batch = 0;
        match self.appender.take() {
            Some(appender) => appender.commit().map_err(OtlpError::Storage),
            None => Ok(()),
        }
    }
}

/// Returns the batch at hand, or the next.
fn appender<'a, 's>(
    appender: &'a mut Option<Box<dyn Appender + 's>>,
    storage: &'s dyn Appendable,
) -> &'a mut (dyn Appender + 's) {
    &mut **appender.get_or_insert_with(|| storage.appender())
}
