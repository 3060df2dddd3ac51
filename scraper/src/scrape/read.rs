//! From a body to a batch: which series each line is of, and what becomes of its sample.

use model::Labels;
use model::exemplar::Exemplar;
use model::metadata::MetricType;
use model::storage::{Appender, FloatSample, SeriesRef};

use super::ScrapeError;
use super::ingest::Scrape;
use super::labels;
use super::report::Report;
use super::scratch::{Batch, HistogramEntry};
use super::walk::{Take, walk};
use crate::cache::{Cache, Destination, EntryId, Found};
use crate::exposition::protobuf::HistogramLine;
use crate::exposition::{BodyFormat, ExemplarText, Expected, Format, SeriesLine};

/// How far ahead of the scrape a sample's own timestamp may be.
///
/// Source: Prometheus' `maxAheadTime`, ten minutes.
const AHEAD_MS_MAX: i64 = 10 * 60 * 1_000;

/// One body on its way into one batch.
pub(super) struct Reading<'r> {
    scrape: &'r Scrape<'r>,
    cache: &'r mut Cache,
    batch: &'r mut Batch,
    appender: &'r mut dyn Appender,
    report: &'r mut Report,
    /// The time of samples that do not say theirs.
    t: i64,
    /// The latest time that a sample may say.
    latest: i64,
    sample_limit: u64,
    honors_timestamps: bool,
    tracks_timestamps: bool,
    /// A histogram had more buckets than allowed, at any resolution.
    is_over_bucket_limit: bool,
}

impl<'r> Reading<'r> {
    pub(super) fn new(
        scrape: &'r Scrape<'r>,
        cache: &'r mut Cache,
        batch: &'r mut Batch,
        appender: &'r mut dyn Appender,
        report: &'r mut Report,
    ) -> Self {
        let config = &scrape.job.config;
        let limit = config.sample_limit.filter(|&limit| limit != 0);
        Reading {
            scrape,
            cache,
            batch,
            appender,
            report,
            t: scrape.t,
            latest: scrape.t.saturating_add(AHEAD_MS_MAX),
            sample_limit: limit.unwrap_or(u64::MAX),
            honors_timestamps: config.honor_timestamps.unwrap_or(true),
            tracks_timestamps: config.track_timestamps_staleness.unwrap_or(false),
            is_over_bucket_limit: false,
        }
    }

    /// Reads `body`; returns the hash of all that it says about families.
    pub(super) fn read(mut self, body: &[u8], format: BodyFormat) -> Result<u64, ScrapeError> {
        let job = self.scrape.job;
        let histograms = self.scrape.target.histograms.over(job.histograms);
        let hash = walk(body, format, histograms, job.starts, &mut self)?;
        // What is right in one format may be wrong in another.
        let hash = match format {
            BodyFormat::Lines(Format::OpenMetrics) if hash != 0 => hash ^ 1,
            _ => hash,
        };
        if self.sample_limit < self.report.post_relabel {
            return Err(ScrapeError::SampleLimit);
        }
        if self.is_over_bucket_limit {
            return Err(ScrapeError::BucketLimit);
        }
        Ok(hash)
    }
}

impl Take for Reading<'_> {
    fn expected(&self) -> Expected {
        self.cache.expected()
    }

    #[inline(always)]
    fn series(
        &mut self,
        line: &SeriesLine<'_>,
        start: i64,
        kind: impl FnOnce() -> MetricType,
    ) -> Result<(), ScrapeError> {
        let timestamp_ms = line.timestamp_ms.filter(|_| self.honors_timestamps);
        let tracked = timestamp_ms.is_none() || self.tracks_timestamps;
        let found = self.cache.find(line.series, line.is_expected, tracked);
        self.report.scraped += 1;
        // Nearly every line is one that was there before.
        let place = if let Found::Entry(id, Destination::Series(series)) = found {
            self.report.post_relabel += 1;
            self.batch.order.push(id);
            Place::first(id, series)
        } else {
            match self.place_found(found, line.series, timestamp_ms, kind)? {
                Some(place) => place,
                None => return Ok(()),
            }
        };
        let t = timestamp_ms.unwrap_or(self.t);
        self.push_sample(&place, start, t, line.value);
        if let Some(text) = &line.exemplar
            && !place.is_again
        {
            self.push_exemplar_text(place.series, text);
        }
        Ok(())
    }

    /// No finer and with no more buckets than the job allows.
    fn histogram(&mut self, line: HistogramLine<'_>) -> Result<(), ScrapeError> {
        let timestamp_ms = line.timestamp_ms.filter(|_| self.honors_timestamps);
        let kind = || MetricType::Unknown;
        let Some(place) = self.place(line.series, line.is_expected, timestamp_ms, kind)? else {
            return Ok(());
        };
        let t = timestamp_ms.unwrap_or(self.t);
        if self.is_too_early(t) {
            return Ok(());
        }
        let Some(sample) = self.scrape.job.bucket_limits.apply(line.sample)? else {
            self.is_over_bucket_limit = true;
            return Ok(());
        };
        self.batch.histograms.push(HistogramEntry {
            id: place.id,
            series: place.series,
            t,
            start: line.start,
            sample,
        });
        for exemplar in line.exemplars {
            self.push_exemplar(place.series, exemplar);
        }
        Ok(())
    }

    fn unconvertible(&mut self) {
        self.scrape.metrics.unconvertible.inc();
    }

    fn samples(&self) -> usize {
        self.batch.samples.len()
    }

    fn start(&mut self, sample: usize, start: i64) {
        self.batch.set_start(sample, start);
    }

    fn has_no_start(&mut self, sample: usize) {
        self.batch.candidates.push(sample);
    }
}

impl Reading<'_> {
    /// Finds the series of a line; nothing if its sample goes nowhere.
    fn place(
        &mut self,
        series: &str,
        is_expected: bool,
        timestamp_ms: Option<i64>,
        kind: impl FnOnce() -> MetricType,
    ) -> Result<Option<Place>, ScrapeError> {
        let tracked = timestamp_ms.is_none() || self.tracks_timestamps;
        let found = self.cache.find(series, is_expected, tracked);
        self.report.scraped += 1;
        self.place_found(found, series, timestamp_ms, kind)
    }

    /// Goes on from what the cache knows of a line.
    #[inline(never)]
    fn place_found(
        &mut self,
        found: Found,
        series: &str,
        timestamp_ms: Option<i64>,
        kind: impl FnOnce() -> MetricType,
    ) -> Result<Option<Place>, ScrapeError> {
        let (id, destination) = match found {
            Found::Entry(id, destination) => (id, destination),
            Found::Returned(id, destination) => {
                self.count_added(destination);
                (id, destination)
            }
            Found::Duplicate(_, Destination::Dropped) => return Ok(None),
            Found::Duplicate(id, Destination::Series(series)) => {
                self.report.post_relabel += 1;
                if timestamp_ms.is_none() {
                    self.scrape.metrics.duplicate_timestamp.inc();
                    return Ok(None);
                }
                let is_again = true;
                return Ok(Some(Place {
                    id,
                    series,
                    is_again,
                }));
            }
            Found::Nothing if self.sample_limit < self.report.post_relabel => {
                // The scrape has failed; the rest is only counted, and makes no new series.
                self.report.post_relabel += 1;
                return Ok(None);
            }
            Found::Nothing => {
                let tracked = timestamp_ms.is_none() || self.tracks_timestamps;
                self.new_series(series, kind(), tracked)?
            }
        };
        self.batch.order.push(id);
        let Destination::Series(series) = destination else {
            return Ok(None);
        };
        self.report.post_relabel += 1;
        Ok(Some(Place::first(id, series)))
    }

    #[cold]
    fn new_series(
        &mut self,
        series: &str,
        kind: MetricType,
        tracked: bool,
    ) -> Result<(EntryId, Destination), ScrapeError> {
        let (config, target) = (&self.scrape.job.config, self.scrape.target);
        let destination = labels::resolve(config, target, series, kind, self.appender)?;
        self.count_added(destination);
        let id = self.cache.insert(series, destination, kind, tracked);
        Ok((id, destination))
    }

    /// Counts a series that was not there before; those behind a limit that the scrape fails for are none.
    fn count_added(&mut self, destination: Destination) {
        let is_within = self.report.post_relabel < self.sample_limit && !self.is_over_bucket_limit;
        let is_added = matches!(destination, Destination::Series(_)) && is_within;
        self.report.series_added += u64::from(is_added);
    }

    /// Whether a sample is too far in the future, and counts it: it would make every later one out of order.
    #[inline(always)]
    fn is_too_early(&self, t: i64) -> bool {
        let is_too_early = self.latest < t;
        if is_too_early {
            self.scrape.metrics.out_of_bounds.inc();
        }
        is_too_early
    }

    #[inline(always)]
    fn push_sample(&mut self, place: &Place, start: i64, t: i64, value: f64) {
        if self.is_too_early(t) {
            return;
        }
        if start != 0 {
            self.batch.set_start(self.batch.samples.len(), start);
        }
        let series = place.series;
        self.batch.samples.push(FloatSample { series, t, value });
        self.batch.sample_entries.push(place.id);
    }

    fn push_exemplar_text(&mut self, series: SeriesRef, text: &ExemplarText<'_>) {
        let exemplar = Exemplar {
            labels: exemplar_labels(text.labels),
            value: text.value,
            t: text.timestamp_ms,
        };
        self.push_exemplar(series, exemplar);
    }

    /// Adds an exemplar to the batch unless it is too far in the future.
    fn push_exemplar(&mut self, series: SeriesRef, exemplar: Exemplar) {
        if exemplar.t.is_none_or(|t| t <= self.latest) {
            self.batch.exemplars.push((series, exemplar));
        }
    }
}

/// The series of a line.
struct Place {
    id: EntryId,
    series: SeriesRef,
    /// The body had a sample of it before.
    is_again: bool,
}

impl Place {
    fn first(id: EntryId, series: SeriesRef) -> Self {
        let is_again = false;
        Place {
            id,
            series,
            is_again,
        }
    }
}

/// Returns the labels of an exemplar as written in braces.
pub(super) fn exemplar_labels(text: &str) -> Labels {
    let mut pairs = Vec::new();
    crate::exposition::labels::decode(text, MetricType::Unknown, &mut pairs);
    Labels::from_pairs(pairs.iter().map(|(name, value)| (&**name, &**value)))
}
