//! From a body to one stored batch. Plain code: no waiting but for storage.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use model::stale_nan;
use model::storage::{AppendError, Appendable, Appender, FloatSample, SeriesRef, start_of};

use super::ScrapeError;
use super::fetch::Fetched;
use super::labels;
use super::read::Reading;
use super::report::{Report, ReportSeries};
use super::scratch::{Batch, HistogramEntry, Scratch};
use super::synthesis::Synthesis;
use super::texts::Texts;
use super::walk::walk;
use crate::cache::{Cache, Destination, EntryId};
use crate::exposition::BodyFormat;
use crate::job::Job;
use crate::metadata::{Interner, MetadataSet};
use crate::metrics::ScrapeMetrics;
use crate::target::Target;

/// What a loop remembers of its target from scrape to scrape.
#[derive(Default)]
pub(crate) struct SeriesState {
    cache: Cache,
    report: ReportSeries,
    metadata_hash: u64,
    metadata: Option<MetadataSet>,
    /// Of a job that makes up start timestamps.
    synthesis: Option<Box<Synthesis>>,
    /// How long the last body was, uncompressed; nothing if there was none yet, or if it was too long.
    body_bytes: Option<usize>,
}

impl SeriesState {
    /// Forgets what became of each line, because the settings changed.
    pub(crate) fn invalidate(&mut self) {
        self.cache.invalidate();
    }

    /// Returns what the target says about its families.
    pub(crate) fn metadata(&self) -> Option<&MetadataSet> {
        self.metadata.as_ref()
    }

    /// Returns how long the last body was, uncompressed, if that is known.
    pub(crate) fn body_bytes(&self) -> Option<usize> {
        self.body_bytes
    }
}

/// The circumstances of one scrape.
#[derive(Clone, Copy)]
pub(crate) struct Scrape<'a> {
    pub(crate) job: &'a Job,
    pub(crate) target: &'a Target,
    pub(crate) storage: &'a dyn Appendable,
    pub(crate) metrics: &'a ScrapeMetrics,
    pub(crate) interner: &'a Interner,
    /// The time of samples that do not say theirs.
    pub(crate) t: i64,
    /// When the scrape began.
    pub(crate) started: Instant,
}

/// What a target answered, uncompressed.
#[derive(Clone, Copy)]
struct Body<'b> {
    bytes: &'b [u8],
    format: BodyFormat,
}

/// What was refused because storage has dropped its series.
#[derive(Default)]
struct Lost {
    /// With their start timestamps.
    floats: Vec<(EntryId, FloatSample, i64)>,
    /// By the number of the report.
    reports: Vec<(usize, FloatSample)>,
    histograms: Vec<HistogramEntry>,
}

impl Lost {
    fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.reports.is_empty() && self.histograms.is_empty()
    }
}

/// How a scrape went.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) duration_s: f64,
    pub(crate) error: Option<ScrapeError>,
}

impl Scrape<'_> {
    /// Stores what was fetched into `scratch`, or that nothing was, and the reports.
    pub(crate) fn ingest(
        &self,
        state: &mut SeriesState,
        scratch: &mut Scratch,
        fetched: Result<Fetched, ScrapeError>,
    ) -> Outcome {
        let Scratch {
            raw,
            text,
            decompressor,
            batch,
        } = scratch;
        batch.clear();
        state.cache.begin();
        let mut appender = self.storage.appender();
        let mut report = self.empty_report();
        let body = fetched.and_then(|fetched| {
            state.body_bytes = None;
            let bytes = fetched.body(raw, text, decompressor, self.job.body_bytes_max)?;
            state.body_bytes = Some(bytes.len());
            report.body_bytes = bytes.len() as f64;
            let format = fetched.format;
            Ok(Body { bytes, format })
        });
        let body_again = body.as_ref().ok().copied();
        let read = body.and_then(|body| self.read(body, state, batch, &mut *appender, &mut report));
        self.count(&read, &mut report);
        let is_read = read.is_ok();
        if !is_read {
            batch.forget_samples();
        }
        self.append_ended(state, batch, is_read);
        report.up = is_read;
        report.duration_s = self.started.elapsed().as_secs_f64();
        let reports_at = batch.samples.len();
        self.append_report(state, batch, &mut *appender, &report);
        let stored = self.store(state, batch, appender, reports_at, body_again);
        if let Err(error) = &stored {
            tracing::error!(url = %self.target.url, %error, "a scrape could not be stored");
        }
        state.cache.finish(is_read && stored.is_ok(), &batch.order);
        Outcome {
            duration_s: report.duration_s,
            error: read.err().or(stored.err().map(ScrapeError::Storage)),
        }
    }

    /// Like [`Scrape::ingest`], but a panic costs this scrape and all that `state` knows, and not the loop.
    pub(crate) fn ingest_unwinding(
        &self,
        state: &mut SeriesState,
        scratch: &mut Scratch,
        fetched: Result<Fetched, ScrapeError>,
    ) -> Outcome {
        let panicked = match catch(|| self.ingest(state, scratch, fetched)) {
            Ok(outcome) => return outcome,
            Err(panicked) => panicked,
        };
        tracing::error!(url = %self.target.url, "a scrape panicked; what was known of its target is lost");
        self.forget_metadata(state);
        *state = SeriesState::default();
        *scratch = Scratch::default();
        catch(|| self.ingest(state, scratch, Err(panicked.clone()))).unwrap_or_else(|_| {
            *state = SeriesState::default();
            Outcome {
                duration_s: self.started.elapsed().as_secs_f64(),
                error: Some(panicked),
            }
        })
    }

    fn forget_metadata(&self, state: &SeriesState) {
        if let Some(metadata) = state.metadata() {
            let entries = &self.metrics.metadata_entries;
            entries
                .with(&[&self.job.config.job_name])
                .sub(metadata.len() as f64);
        }
    }

    /// Stores the end of every series of a target that is gone, reports included.
    pub(crate) fn end(&self, state: &mut SeriesState, scratch: &mut Scratch) {
        let batch = &mut scratch.batch;
        batch.clear();
        state.cache.begin();
        self.append_ended(state, batch, false);
        batch
            .samples
            .extend(state.report.known().map(|series| self.stale(series)));
        let mut appender = self.storage.appender();
        // A target that came back has newer samples, and then these are refused, as they should be.
        appender.append_floats(&batch.samples, &mut batch.rejected);
        if let Err(error) = appender.commit() {
            tracing::error!(url = %self.target.url, %error, "the end of a target could not be stored");
        }
        state.cache.finish(false, &[]);
    }

    fn empty_report(&self) -> Report {
        Report {
            timeout_s: self.target.timeout.as_secs_f64(),
            sample_limit: self.job.config.sample_limit.unwrap_or(0),
            ..Report::default()
        }
    }

    /// Reads a body into the batch.
    fn read(
        &self,
        Body {
            bytes: body,
            format,
        }: Body<'_>,
        state: &mut SeriesState,
        batch: &mut Batch,
        appender: &mut dyn Appender,
        report: &mut Report,
    ) -> Result<(), ScrapeError> {
        // Nothing at all is no mistake in any format.
        if body.is_empty() {
            return Ok(());
        }
        let reading = Reading::new(self, &mut state.cache, batch, appender, report);
        let metadata_hash = reading.read(body, format)?;
        if self.job.starts.synthesizes {
            state.synthesis.get_or_insert_default().apply(batch);
        }
        if metadata_hash != state.metadata_hash {
            self.remember_metadata(state, metadata_hash, body, format)?;
        }
        Ok(())
    }

    /// Appends the exemplars; one that is refused costs nothing else.
    fn append_exemplars(&self, batch: &mut Batch, appender: &mut dyn Appender) {
        for (series, exemplar) in batch.exemplars.drain(..) {
            match appender.append_exemplar(series, &exemplar) {
                Ok(()) => (),
                Err(AppendError::OutOfOrder) => self.metrics.exemplar_out_of_order.inc(),
                Err(error) => tracing::debug!(url = %self.target.url, %error, "exemplar refused"),
            }
        }
    }

    /// Looks into lines about families that are not those of the scrape before.
    fn remember_metadata(
        &self,
        state: &mut SeriesState,
        hash: u64,
        body: &[u8],
        format: BodyFormat,
    ) -> Result<(), ScrapeError> {
        let set = self.interner.intern(hash, body, format)?;
        let entries = self
            .metrics
            .metadata_entries
            .with(&[&self.job.config.job_name]);
        let before = state.metadata.as_ref().map_or(0, |set| set.len());
        entries.add(set.len() as f64 - before as f64);
        state.metadata_hash = hash;
        state.metadata = Some(set);
        Ok(())
    }

    /// Counts what is worth an alert, and corrects the report.
    fn count(&self, read: &Result<(), ScrapeError>, report: &mut Report) {
        match read {
            Err(ScrapeError::BodyTooLong) => {
                self.metrics.exceeded_body_size_limit.inc();
                report.body_bytes = -1.0;
            }
            Err(ScrapeError::SampleLimit) => self.metrics.exceeded_sample_limit.inc(),
            Err(ScrapeError::BucketLimit) => self.metrics.exceeded_bucket_limit.inc(),
            Err(ScrapeError::LabelLimit(_)) => self.metrics.exceeded_label_limits.inc(),
            _ => (),
        }
        if read.is_err() {
            report.series_added = 0;
        }
    }

    fn stale(&self, series: SeriesRef) -> FloatSample {
        FloatSample {
            series,
            t: self.t,
            value: stale_nan(),
        }
    }

    /// Adds a staleness marker for each series that was there and is not any more.
    fn append_ended(&self, state: &mut SeriesState, batch: &mut Batch, is_read: bool) {
        let ended = &mut batch.ended;
        state.cache.ended(is_read, ended);
        if ended.is_empty() {
            return;
        }
        // Two ways to write one series, of which one went: the series itself did not.
        ended.sort_unstable();
        ended.dedup();
        if let Some(synthesis) = &mut state.synthesis {
            ended.iter().for_each(|&series| synthesis.forget(series));
        }
        let tracks_all = self.job.config.track_timestamps_staleness == Some(true);
        let is_tracked = |t: i64| tracks_all || t == self.t;
        let is_ended = |series: &SeriesRef| ended.binary_search(series).is_ok();
        let samples = batch.samples.iter().filter(|s| is_tracked(s.t));
        let histograms = batch.histograms.iter().filter(|h| is_tracked(h.t));
        let mut alive: Vec<SeriesRef> = samples
            .map(|s| s.series)
            .filter(is_ended)
            .chain(histograms.map(|entry| entry.series))
            .collect();
        alive.sort_unstable();
        ended.retain(|series| alive.binary_search(series).is_err());
        batch
            .samples
            .extend(ended.iter().map(|&series| self.stale(series)));
    }

    fn append_report(
        &self,
        state: &mut SeriesState,
        batch: &mut Batch,
        appender: &mut dyn Appender,
        report: &Report,
    ) {
        let with_extra = self.job.config.extra_scrape_metrics == Some(true);
        for (index, value) in report.values(with_extra).enumerate() {
            match state.report.series(index, self.target, appender) {
                Ok(series) => batch.samples.push(FloatSample {
                    series,
                    t: self.t,
                    value,
                }),
                Err(error) => {
                    tracing::error!(url = %self.target.url, %error, "a scrape cannot be reported")
                }
            }
        }
    }

    /// Appends the batch, asks again for series that storage has dropped in the meantime, and commits.
    ///
    /// * `reports_at`: where in the samples the reports begin; before them are markers, and before those what `body` says.
    fn store(
        &self,
        state: &mut SeriesState,
        batch: &mut Batch,
        mut appender: Box<dyn Appender + '_>,
        reports_at: usize,
        body: Option<Body<'_>>,
    ) -> Result<(), AppendError> {
        let mut lost = Lost::default();
        appender.append_floats_since(&batch.samples, &batch.starts, &mut batch.rejected);
        for rejected in batch.rejected.drain(..) {
            let Some(&sample) = batch.samples.get(rejected.index) else {
                continue;
            };
            let entry = batch.sample_entries.get(rejected.index);
            match (&rejected.error, entry) {
                (AppendError::UnknownSeries, Some(&id)) => {
                    let start = start_of(&batch.starts, rejected.index);
                    lost.floats.push((id, sample, start));
                }
                (AppendError::UnknownSeries, None) => {
                    let report = rejected.index.checked_sub(reports_at);
                    lost.reports.extend(report.map(|index| (index, sample)));
                }
                // Markers and reports that come too late, or twice, say nothing new.
                (_, None) => (),
                (error, Some(_)) => {
                    if let Some(synthesis) = &mut state.synthesis {
                        synthesis.forget(sample.series);
                    }
                    self.count_refused(error);
                }
            }
        }
        for entry in batch.histograms.drain(..) {
            let HistogramEntry {
                series, start, t, ..
            } = entry;
            match appender.append_histogram_since(series, start, t, entry.sample.clone()) {
                Ok(()) => (),
                Err(AppendError::UnknownSeries) => lost.histograms.push(entry),
                Err(error) => {
                    if let Some(synthesis) = &mut state.synthesis {
                        synthesis.forget(series);
                    }
                    self.count_refused(&error);
                }
            }
        }
        if !lost.is_empty() {
            self.append_lost(lost, state, batch, &mut *appender, body);
        }
        self.append_exemplars(batch, &mut *appender);
        appender.commit()
    }

    /// Appends what belongs to series that storage has dropped, under new handles.
    fn append_lost(
        &self,
        lost: Lost,
        state: &mut SeriesState,
        batch: &mut Batch,
        appender: &mut dyn Appender,
        body: Option<Body<'_>>,
    ) {
        let from_body = lost.floats.iter().map(|&(id, ..)| id);
        let from_body = from_body.chain(lost.histograms.iter().map(|entry| entry.id));
        let mut texts = Texts::of(from_body, &state.cache);
        if let Some(Body { bytes, format }) = body {
            // It was read before, so there is nothing new to go wrong.
            let histograms = self.target.histograms.over(self.job.histograms);
            let _ = walk(bytes, format, histograms, self.job.starts, &mut texts);
        }
        let (mut again, mut starts) = (Vec::new(), Vec::new());
        for (id, sample, start) in lost.floats {
            if let Some(series) = self.ask_again(id, sample.series, &texts, state, appender) {
                again.push(FloatSample { series, ..sample });
                starts.push(start);
            }
        }
        for (index, sample) in lost.reports {
            state.report.forget(index);
            let series = state.report.series(index, self.target, appender);
            again.extend(series.ok().map(|series| FloatSample { series, ..sample }));
        }
        appender.append_floats_since(&again, &starts, &mut batch.rejected);
        for entry in lost.histograms {
            let series = self.ask_again(entry.id, entry.series, &texts, state, appender);
            let Some(series) = series else {
                continue;
            };
            let HistogramEntry {
                start, t, sample, ..
            } = entry;
            if let Err(error) = appender.append_histogram_since(series, start, t, sample) {
                self.count_refused(&error);
            }
        }
    }

    fn count_refused(&self, error: &AppendError) {
        match error {
            AppendError::Duplicate => self.metrics.duplicate_timestamp.inc(),
            AppendError::OutOfOrder => self.metrics.out_of_order.inc(),
            AppendError::OutOfBounds => self.metrics.out_of_bounds.inc(),
            _ => (),
        }
    }

    /// Returns the new handle of a line's series, which was `before` until storage dropped it.
    fn ask_again(
        &self,
        id: EntryId,
        before: SeriesRef,
        texts: &Texts,
        state: &mut SeriesState,
        appender: &mut dyn Appender,
    ) -> Option<SeriesRef> {
        let (series, kind) = (texts.get(id)?, state.cache.kind(id));
        let (config, target) = (&self.job.config, self.target);
        let destination = labels::resolve(config, target, series, kind, appender).ok()?;
        state.cache.set_target(id, destination);
        match destination {
            Destination::Series(series) => {
                if let Some(synthesis) = &mut state.synthesis {
                    synthesis.rename(before, series);
                }
                Some(series)
            }
            Destination::Dropped => None,
        }
    }
}

/// Runs `work`, whose state nobody may look at after a panic.
fn catch(work: impl FnOnce() -> Outcome) -> Result<Outcome, ScrapeError> {
    // The panic hook has said already what happened.
    std::panic::catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| ScrapeError::Forced("the scrape panicked, see the log".to_owned()))
}

#[cfg(test)]
mod tests;
