//! Appending: a batch is collected, logged as one record, and only then given to the series.

mod check;
mod records;

use model::exemplar::Exemplar;
use model::metadata::Metadata;
use model::storage::{
    AppendError, Appender, FloatSample, HistogramSample, Rejected, SeriesRef, start_of,
};

use self::check::{Bounds, New, Place, check, check_labels, takes_zero, zero_like};
use self::records::{encode_pending, for_each_histogram_record};
use super::exemplars::{PendingExemplar, PendingMetadata};
use super::isolation::Applying;
use super::late::{LateSample, LateValue};
use super::lines::Lines;
use super::open::Times;
use super::page::Page;
use super::series::{FullChunk, PREFETCH_AHEAD, Placed, SERIES_AHEAD};
use super::{Head, HeadOptions, MemSeries, SlotId, for_each_page, place_in_page};
use crate::head_chunks::{ChunkKind, ChunkRef, HeadChunks};
use crate::wal::record::{self, MapMarker, RecordSample};
use crate::wal::segment::LogBatch;

/// A sample that passed the checks.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    slot: u32,
    id: u64,
    pub(super) t: i64,
    value: f64,
}

/// A native histogram that passed the checks.
struct PendingHistogram {
    slot: u32,
    id: u64,
    t: i64,
    start: i64,
    histogram: HistogramSample,
}

/// Room that one batch after the other uses.
#[derive(Default)]
pub(super) struct Buffers {
    pub(super) pending: Vec<Pending>,
    /// Start timestamps of `pending`: what is not here is unknown, and mostly none is.
    starts: Vec<i64>,
    /// Samples older than their series' newest.
    late: Vec<Pending>,
    /// Those of `late`.
    late_starts: Vec<i64>,
    histograms: Vec<PendingHistogram>,
    late_histograms: Vec<PendingHistogram>,
    pub(super) exemplars: Vec<PendingExemplar>,
    pub(super) metadata: Vec<PendingMetadata>,
    /// Slots of series whose labels are not in the WAL yet.
    pub(super) unlogged: Vec<u32>,
    pub(super) record: Vec<u8>,
    pub(super) log: LogBatch,
}

/// Buffers with room for more samples are not kept.
const BUFFERED_SAMPLES_MAX: usize = 256 << 10;
/// How many sets of buffers are kept for the next batches.
const BUFFERS_KEPT_MAX: usize = 8;

/// One batch for the head, see [`Appender`].
pub struct HeadAppender<'a> {
    head: &'a Head,
    buffers: Buffers,
    bounds: Bounds,
    generation: usize,
}

impl Head {
    /// Starts a batch.
    pub fn appender(&self) -> HeadAppender<'_> {
        let buffers = self.buffers.lock().pop().unwrap_or_default();
        // Counted first, so that the bounds read then hold until the end.
        let generation = self.appenders.enter();
        HeadAppender {
            generation,
            head: self,
            buffers,
            bounds: Bounds {
                oldest_valid: self.oldest_valid(),
                oldest_late: self.oldest_late(),
            },
        }
    }

    /// Gives a full chunk to the head chunk files.
    pub(super) fn hand_over(&self, chunk: FullChunk<'_>, is_out_of_order: bool) -> ChunkRef {
        store(&self.chunks, chunk, is_out_of_order)
    }
}

/// Gives a full chunk to the head chunk files.
pub(super) fn store(chunks: &HeadChunks, chunk: FullChunk<'_>, is_out_of_order: bool) -> ChunkRef {
    let FullChunk { series_id, samples } = chunk;
    let kind = ChunkKind {
        encoding: samples.encoding,
        is_out_of_order,
    };
    chunks.append(series_id, samples.mint, samples.maxt, kind, samples.bytes)
}

impl Drop for HeadAppender<'_> {
    fn drop(&mut self) {
        let mut buffers = std::mem::take(&mut self.buffers);
        buffers.pending.clear();
        buffers.starts.clear();
        buffers.late.clear();
        buffers.late_starts.clear();
        buffers.histograms.clear();
        buffers.late_histograms.clear();
        buffers.exemplars.clear();
        buffers.metadata.clear();
        buffers.unlogged.clear();
        buffers.record.clear();
        let mut kept = self.head.buffers.lock();
        // The room of an unusually large batch is given back.
        let is_large = BUFFERED_SAMPLES_MAX < buffers.pending.capacity() + buffers.late.capacity();
        if kept.len() < BUFFERS_KEPT_MAX && !is_large {
            kept.push(buffers);
        }
        drop(kept);
        self.head.appenders.leave(self.generation);
    }
}

impl Appender for HeadAppender<'_> {
    fn series(&mut self, labels: &[(&str, &str)]) -> Result<SeriesRef, AppendError> {
        check_labels(labels)?;
        let series = self
            .head
            .series_of(labels)
            .map_err(|error| AppendError::Storage(error.to_string()))?;
        Ok(series.handle())
    }

    fn append_floats(&mut self, batch: &[FloatSample], rejected: &mut Vec<Rejected>) {
        self.check_floats(batch, |_| 0, rejected);
    }

    fn append_floats_since(
        &mut self,
        batch: &[FloatSample],
        starts: &[i64],
        rejected: &mut Vec<Rejected>,
    ) {
        let HeadOptions {
            stores_starts,
            zeros_at_starts,
            ..
        } = self.head.options;
        match (stores_starts || zeros_at_starts) && !starts.is_empty() {
            true => self.check_floats(batch, |index| start_of(starts, index), rejected),
            false => self.append_floats(batch, rejected),
        }
    }

    fn append_histogram(
        &mut self,
        handle: SeriesRef,
        t: i64,
        histogram: HistogramSample,
    ) -> Result<(), AppendError> {
        self.append_histogram_since(handle, 0, t, histogram)
    }

    fn append_histogram_since(
        &mut self,
        handle: SeriesRef,
        start: i64,
        t: i64,
        histogram: HistogramSample,
    ) -> Result<(), AppendError> {
        let valid = match &histogram {
            HistogramSample::Integer(histogram) => histogram.validate(),
            HistogramSample::Float(histogram) => histogram.validate(),
        };
        valid.map_err(|error| AppendError::InvalidHistogram(error.to_string()))?;
        let slot = SlotId::slot_of(handle);
        let page = self.head.page_of(slot).ok_or(AppendError::UnknownSeries)?;
        let mut page = page.lock();
        let series = page.series.get_mut(place_in_page(slot));
        let series = series
            .filter(|series| SlotId::names(handle, series.id))
            .ok_or(AppendError::UnknownSeries)?;
        series.is_wanted = true;
        let place = check(series, t, &New::Histogram(&histogram), self.bounds);
        let place = place.inspect_err(|error| self.head.count_rejected(error))?;
        let list = match place {
            Place::InOrder => &mut self.buffers.histograms,
            Place::Late => &mut self.buffers.late_histograms,
            Place::Nowhere => return Ok(()),
        };
        let options = self.head.options;
        if options.zeros_at_starts && takes_zero(series, start, t, self.bounds) {
            list.push(PendingHistogram {
                slot,
                id: series.id,
                t: start,
                start: 0,
                histogram: zero_like(&histogram),
            });
        }
        list.push(PendingHistogram {
            slot,
            id: series.id,
            t,
            start: if options.stores_starts { start } else { 0 },
            histogram,
        });
        if !series.logged {
            self.buffers.unlogged.push(slot);
        }
        Ok(())
    }

    fn append_exemplar(
        &mut self,
        series: SeriesRef,
        exemplar: &Exemplar,
    ) -> Result<(), AppendError> {
        self.buffers.push_exemplar(self.head, series, exemplar)
    }

    fn update_metadata(
        &mut self,
        series: SeriesRef,
        metadata: &Metadata,
    ) -> Result<(), AppendError> {
        self.buffers.push_metadata(self.head, series, metadata)
    }

    fn commit(mut self: Box<Self>) -> Result<(), AppendError> {
        if self.buffers.is_empty() {
            return Ok(());
        }
        let head = self.head;
        let storage_error = |dir: &std::path::Path, error: std::io::Error| {
            head.metrics.wal_writes_failed.inc();
            AppendError::Storage(format!("append to {}: {error}", dir.display()))
        };
        // What is logged before a snapshot of the head begins is also in the series by then.
        let _committing = head.committing.read();
        // Late samples come first: when only they are logged and the rest fails, a start finds samples that nobody was told
        // of. The other way round it would find in-order samples that make others late which were acknowledged since.
        self.buffers
            .log_late(head, LateLogged::default())
            .map_err(|error| storage_error(&head.wbl_dir, error))?;
        self.log()
            .map_err(|error| storage_error(&head.wal_dir, error))?;
        let logged = self.buffers.late_logged();
        self.apply();
        self.buffers.apply_extras(head);
        self.buffers
            .log_late(head, logged)
            .and_then(|()| self.apply_late())
            .map_err(|error| storage_error(&head.wbl_dir, error))?;
        // A failure keeps the chunks in memory; it is counted, and the next commit tries again.
        if head.chunks.write_out(false).is_err() {
            head.metrics.head_chunk_writes_failed.inc();
        }
        Ok(())
    }
}

impl HeadAppender<'_> {
    /// Takes in the samples of a batch that can be stored. `start_of` says since when the counter of a sample counts.
    #[inline]
    fn check_floats(
        &mut self,
        batch: &[FloatSample],
        start_of: impl Fn(usize) -> i64,
        rejected: &mut Vec<Rejected>,
    ) {
        let pages = self.head.pages.read();
        let (bounds, options) = (self.bounds, self.head.options);
        let Buffers {
            pending,
            starts,
            late,
            late_starts,
            unlogged,
            ..
        } = &mut self.buffers;
        let slot_of = |sample: &FloatSample| SlotId::slot_of(sample.series);
        let mut visited = 0;
        let unknown = |index| Rejected {
            index,
            error: AppendError::UnknownSeries,
        };
        for_each_page(&pages, batch, slot_of, |page, from, run| {
            rejected.extend((visited..from).map(unknown));
            visited = from + run.len();
            for (at, (index, sample)) in (from..).zip(run).enumerate() {
                if let Some(next) = run.get(at + SERIES_AHEAD) {
                    let series = page.series.get(place_in_page(slot_of(next)));
                    series.inspect(|series| crate::prefetch::line(*series));
                }
                let slot = slot_of(sample);
                let series = page.series.get_mut(place_in_page(slot));
                let Some(series) = series.filter(|s| SlotId::names(sample.series, s.id)) else {
                    rejected.push(unknown(index));
                    continue;
                };
                let checked = check(series, sample.t, &New::Float(sample.value), bounds);
                let (place, place_starts) = match checked {
                    Ok(Place::InOrder) => (&mut *pending, &mut *starts),
                    Ok(Place::Late) => (&mut *late, &mut *late_starts),
                    Ok(Place::Nowhere) => continue,
                    Err(error) => {
                        rejected.push(Rejected { index, error });
                        continue;
                    }
                };
                series.is_wanted = true;
                // While the batch is logged there is time to fetch it.
                series.prefetch(&page.lines);
                let start = start_of(index);
                if start != 0
                    && options.zeros_at_starts
                    && takes_zero(series, start, sample.t, bounds)
                {
                    place.push(Pending {
                        slot,
                        id: series.id,
                        t: start,
                        value: 0.0,
                    });
                }
                if options.stores_starts {
                    set_start(place_starts, place.len(), start);
                }
                place.push(Pending {
                    slot,
                    id: series.id,
                    t: sample.t,
                    value: sample.value,
                });
                if !series.logged {
                    unlogged.push(slot);
                }
            }
        });
        rejected.extend((visited..batch.len()).map(unknown));
        drop(pages);
        self.count_rejected(rejected);
    }

    fn count_rejected(&self, rejected: &[Rejected]) {
        for rejection in rejected {
            self.head.count_rejected(&rejection.error);
        }
    }

    /// Writes the batch to the WAL: labels that it does not have yet, then in-order samples.
    fn log(&mut self) -> std::io::Result<()> {
        let Buffers {
            pending,
            starts,
            unlogged,
            histograms,
            record,
            log,
            ..
        } = &mut self.buffers;
        log.clear();
        let compression = self.head.options.segment.compression;
        if !unlogged.is_empty() {
            unlogged.sort_unstable();
            unlogged.dedup();
            record.clear();
            record::begin_series(record);
            let index = self.head.index.read();
            let pages = self.head.pages.read();
            for_each_page(
                &pages,
                unlogged,
                |&slot| slot,
                |page, _, slots| {
                    for &slot in slots {
                        if let Some(pairs) = index.pairs(slot) {
                            let id = page.series[place_in_page(slot)].id;
                            record::encode_series(record, id, pairs);
                        }
                    }
                },
            );
            drop((index, pages));
            log.add(record, compression);
        }
        record.clear();
        encode_pending(record, pending, starts);
        log.add(record, compression);
        for_each_histogram_record(histograms, record, |record| log.add(record, compression));
        self.buffers.log_extras(self.head);
        let mut wal = self.head.wal.lock();
        wal.append_batch(&self.buffers.log)?;
        self.head.metrics.wal_segment.set(f64::from(wal.index()));
        Ok(())
    }

    /// Gives the logged samples to their series; those that are late by now join the late ones.
    fn apply(&mut self) {
        let head = self.head;
        let mut done = Applied::default();
        let Buffers {
            pending,
            starts,
            late,
            late_starts,
            histograms,
            late_histograms,
            ..
        } = &mut self.buffers;
        let takes_late = self.bounds.oldest_late.is_some();
        let shape = head.options.chunks;
        let pages = head.pages();
        let applying = head.isolation.apply();
        for_each_page(
            &pages,
            pending,
            |p| p.slot,
            |page, from, run| {
                for (at, p) in run.iter().enumerate() {
                    if let Some(next) = run.get(at + PREFETCH_AHEAD as usize) {
                        let series = page.series.get(place_in_page(next.slot));
                        series.inspect(|series| series.prefetch(&page.lines));
                    }
                    let start = start_of(starts, from + at);
                    let times = Times { start, t: p.t };
                    let placed = append_to(page, p.slot, p.id, &applying, |series, lines| {
                        series.append_float(lines, times, p.value, shape, |chunk| {
                            head.hand_over(chunk, false)
                        })
                    });
                    if !done.count(p.t, placed, false) && takes_late {
                        set_start(late_starts, late.len(), start);
                        late.push(*p);
                    }
                }
            },
        );
        // In their order: those of one series ascend.
        for p in histograms.drain(..) {
            let times = Times {
                start: p.start,
                t: p.t,
            };
            let placed = match pages.get(p.slot as usize / super::PAGE_SERIES) {
                Some(page) => append_to(
                    &mut page.lock(),
                    p.slot,
                    p.id,
                    &applying,
                    |series, lines| {
                        series.append_histogram(lines, times, &p.histogram, shape, |chunk| {
                            head.hand_over(chunk, false)
                        })
                    },
                ),
                None => None,
            };
            if !done.count(p.t, placed, true) && takes_late {
                late_histograms.push(p);
            }
        }
        drop(applying);
        if !takes_late {
            head.metrics.out_of_order.add(f64::from(done.stale));
        }
        head.saw_time(done.mint, done.maxt);
        head.metrics.samples_appended.add(f64::from(done.floats));
        head.metrics
            .histograms_appended
            .add(f64::from(done.histograms));
        head.count_new_chunks(done.chunks);
    }

    /// Gives the logged late samples to their series.
    fn apply_late(&mut self) -> std::io::Result<()> {
        let head = self.head;
        let Buffers {
            late,
            late_starts,
            late_histograms,
            record,
            log,
            ..
        } = &mut self.buffers;
        let mut done = Applied::default();
        let mut markers = Vec::new();
        let mut cut_slots = Vec::new();
        let pages = head.pages();
        let floats = late.iter().enumerate().map(|(at, p)| {
            let sample = LateSample {
                t: p.t,
                start: start_of(late_starts, at),
                value: LateValue::Float(p.value),
            };
            (p.slot, p.id, sample)
        });
        let histograms = late_histograms.drain(..).map(|p| {
            let sample = LateSample {
                t: p.t,
                start: p.start,
                value: LateValue::Histogram(p.histogram),
            };
            (p.slot, p.id, sample)
        });
        let histogram_starts = head.options.chunks.encodings.histogram_starts;
        for (slot, id, sample) in floats.chain(histograms) {
            let t = sample.t;
            let Some(page) = pages.get(slot as usize / super::PAGE_SERIES) else {
                continue;
            };
            let mut page = page.lock();
            let series = page.series.get_mut(place_in_page(slot));
            let Some(series) = series.filter(|series| series.id == id) else {
                continue;
            };
            series.logged = true;
            let samples = series.late_or_new();
            if !samples.insert(sample) {
                continue;
            }
            done.floats += 1;
            (done.mint, done.maxt) = (done.mint.min(t), done.maxt.max(t));
            if !samples.is_full() {
                continue;
            }
            let before = samples.full().len();
            let chunks = samples.cut(id, histogram_starts, |chunk| head.hand_over(chunk, true));
            done.chunks += u32::try_from(chunks).unwrap_or(u32::MAX);
            markers.extend(samples.full()[before..].iter().map(|meta| MapMarker {
                id,
                chunk: meta.chunk.as_number(),
            }));
            cut_slots.push(slot);
        }
        head.saw_late(done.mint, done.maxt);
        head.metrics.late_appended.add(f64::from(done.floats));
        head.count_new_chunks(done.chunks);
        if markers.is_empty() {
            return Ok(());
        }
        // A marker says that what came before it is in the chunk; what is not has to be logged again.
        record.clear();
        record::encode_markers(record, markers);
        let compression = head.options.segment.compression;
        log.clear();
        log.add(record, compression);
        let (mut waiting, mut waiting_histograms) = (Vec::new(), Vec::new());
        cut_slots.sort_unstable();
        cut_slots.dedup();
        for_each_page(
            &pages,
            &cut_slots,
            |&slot| slot,
            |page, _, run| {
                for &slot in run {
                    let Some(series) = page.series.get(place_in_page(slot)) else {
                        continue;
                    };
                    let (id, late) = (series.id, series.late());
                    for (start, t, value) in late.iter().flat_map(|late| late.open()) {
                        match value {
                            LateValue::Float(value) => {
                                let value = *value;
                                waiting.push((start, RecordSample { id, t, value }));
                            }
                            LateValue::Histogram(histogram) => {
                                waiting_histograms.push(PendingHistogram {
                                    slot,
                                    id,
                                    t,
                                    start,
                                    histogram: histogram.clone(),
                                });
                            }
                        }
                    }
                }
            },
        );
        record.clear();
        record::encode_samples_since(record, waiting);
        log.add(record, compression);
        for_each_histogram_record(&waiting_histograms, record, |record| {
            log.add(record, compression);
        });
        head.log_late(log)
    }
}

/// What applying a batch did.
struct Applied {
    mint: i64,
    maxt: i64,
    floats: u32,
    histograms: u32,
    chunks: u32,
    stale: u32,
}

impl Default for Applied {
    fn default() -> Self {
        Applied {
            mint: i64::MAX,
            maxt: i64::MIN,
            floats: 0,
            histograms: 0,
            chunks: 0,
            stale: 0,
        }
    }
}

impl Applied {
    /// Counts a sample; returns whether it was placed.
    fn count(&mut self, t: i64, placed: Option<Appended>, is_histogram: bool) -> bool {
        let Some(appended) = placed else {
            self.stale += 1;
            return false;
        };
        match is_histogram {
            true => self.histograms += 1,
            false => self.floats += 1,
        }
        self.chunks += u32::from(appended.has_new_chunk);
        (self.mint, self.maxt) = (self.mint.min(t), self.maxt.max(t));
        true
    }
}

struct Appended {
    has_new_chunk: bool,
}

/// Appends to a series with `append`, and hides the sample from the open views. `None` when it is late, or the
/// series was dropped since it was looked at: too old for retention, as the sample is.
#[inline]
fn append_to(
    page: &mut Page,
    slot: u32,
    id: u64,
    applying: &Applying<'_>,
    append: impl FnOnce(&mut MemSeries, &mut Lines) -> Placed,
) -> Option<Appended> {
    let place = place_in_page(slot);
    let series = page.series.get_mut(place)?;
    if series.id != id {
        return None;
    }
    series.logged = true;
    let before = series.last_t();
    let was_empty = !series.has_open();
    let placed = append(series, &mut page.lines);
    if placed == Placed::Stale {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a page has 256 places")]
    page.marks
        .hide_after(place as u8, applying, before.unwrap_or(i64::MIN));
    Some(Appended {
        has_new_chunk: placed == Placed::Cut || was_empty,
    })
}

/// Says the start timestamp of the sample that comes at `index`; the unknown one is not worth a place.
#[inline]
fn set_start(starts: &mut Vec<i64>, index: usize, start: i64) {
    if start != 0 {
        starts.resize(index, 0);
        starts.push(start);
    }
}

/// How many late samples are in their log already.
#[derive(Clone, Copy, Default)]
struct LateLogged {
    floats: usize,
    histograms: usize,
}

impl Buffers {
    fn late_logged(&self) -> LateLogged {
        LateLogged {
            floats: self.late.len(),
            histograms: self.late_histograms.len(),
        }
    }

    /// Writes the late samples to their log, but for those that are there already.
    fn log_late(&mut self, head: &Head, logged: LateLogged) -> std::io::Result<()> {
        let compression = head.options.segment.compression;
        let (record, log) = (&mut self.record, &mut self.log);
        log.clear();
        record.clear();
        let starts = self.late_starts.get(logged.floats..).unwrap_or_default();
        encode_pending(record, &self.late[logged.floats..], starts);
        log.add(record, compression);
        let histograms = &self.late_histograms[logged.histograms..];
        for_each_histogram_record(histograms, record, |record| log.add(record, compression));
        match log.is_empty() {
            true => Ok(()),
            false => head.log_late(log),
        }
    }

    fn is_empty(&self) -> bool {
        self.pending.is_empty()
            && self.late.is_empty()
            && self.histograms.is_empty()
            && self.late_histograms.is_empty()
            && self.exemplars.is_empty()
            && self.metadata.is_empty()
    }
}
