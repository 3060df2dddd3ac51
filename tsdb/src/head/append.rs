//! Appending: a batch is collected, logged as one record, and only then given to the series.

use std::sync::Arc;

use model::storage::{AppendError, Appender, FloatSample, HistogramSample, Rejected, SeriesRef};

use super::late::{LateSamples, LateValue};
use super::series::{FullChunk, Placed};
use super::{Head, MemSeries, Page, SlotId, for_each_page, place_in_page};
use crate::head_chunks::{ChunkKind, ChunkRef, HeadChunks};
use crate::wal::record::{self, RecordSample};
use crate::wal::segment::Packer;

/// Most labels that one series may have.
const LABELS_MAX: usize = 10_000;

/// A sample that passed the checks.
#[derive(Clone, Copy)]
struct Pending {
    slot: u32,
    id: u64,
    t: i64,
    value: f64,
}

/// Room that one batch after the other uses.
#[derive(Default)]
pub(super) struct Buffers {
    pending: Vec<Pending>,
    /// Samples older than their series' newest.
    late: Vec<Pending>,
    /// Slots of series whose labels are not in the WAL yet.
    unlogged: Vec<u32>,
    record: Vec<u8>,
    packer: Packer,
}

/// How many sets of buffers are kept for the next batches.
const BUFFERS_KEPT_MAX: usize = 8;

/// One batch for the head, see [`Appender`].
pub struct HeadAppender<'a> {
    head: &'a Head,
    buffers: Buffers,
    bounds: Bounds,
}

/// From when on samples are taken.
#[derive(Clone, Copy)]
struct Bounds {
    /// In-order samples.
    oldest_valid: i64,
    /// Late ones; `None` when they are not taken.
    oldest_late: Option<i64>,
}

impl Head {
    /// Starts a batch.
    pub fn appender(&self) -> HeadAppender<'_> {
        let buffers = self.buffers.lock().pop().unwrap_or_default();
        HeadAppender {
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
    let kind = ChunkKind {
        encoding: chunk.encoding,
        is_out_of_order,
    };
    chunks.append(chunk.series_id, chunk.mint, chunk.maxt, kind, chunk.bytes)
}

impl Drop for HeadAppender<'_> {
    fn drop(&mut self) {
        let mut buffers = std::mem::take(&mut self.buffers);
        buffers.pending.clear();
        buffers.late.clear();
        buffers.unlogged.clear();
        buffers.record.clear();
        let mut kept = self.head.buffers.lock();
        if kept.len() < BUFFERS_KEPT_MAX {
            kept.push(buffers);
        }
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
        let pages = self.head.pages.read();
        let bounds = self.bounds;
        let Buffers {
            pending,
            late,
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
            for (index, sample) in (from..).zip(run) {
                let slot = slot_of(sample);
                let series = page.series.get(place_in_page(slot));
                let Some(series) = series.filter(|s| SlotId::names(sample.series, s.id)) else {
                    rejected.push(unknown(index));
                    continue;
                };
                let place = match check(series, sample, bounds) {
                    Ok(Place::InOrder) => &mut *pending,
                    Ok(Place::Late) => &mut *late,
                    Ok(Place::Nowhere) => continue,
                    Err(error) => {
                        rejected.push(Rejected { index, error });
                        continue;
                    }
                };
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

    fn append_histogram(
        &mut self,
        _: SeriesRef,
        _: i64,
        histogram: HistogramSample,
    ) -> Result<(), AppendError> {
        let valid = match &histogram {
            HistogramSample::Integer(histogram) => histogram.validate(),
            HistogramSample::Float(histogram) => histogram.validate(),
        };
        valid.map_err(|error| AppendError::InvalidHistogram(error.to_string()))?;
        Err(AppendError::InvalidHistogram(
            "the head of this build has no histogram chunks yet".to_owned(),
        ))
    }

    fn commit(mut self: Box<Self>) -> Result<(), AppendError> {
        if self.buffers.pending.is_empty() && self.buffers.late.is_empty() {
            return Ok(());
        }
        let head = self.head;
        let storage_error = |dir: &std::path::Path, error: std::io::Error| {
            head.metrics.wal_writes_failed.inc();
            AppendError::Storage(format!("append to {}: {error}", dir.display()))
        };
        // What is logged before a snapshot of the head begins is also in the series by then.
        let _committing = head.committing.read();
        self.log()
            .map_err(|error| storage_error(&head.wal_dir, error))?;
        let came_late_meanwhile = self.apply();
        self.buffers.late.extend(came_late_meanwhile);
        if !self.buffers.late.is_empty() {
            self.commit_late()
                .map_err(|error| storage_error(&head.wbl_dir, error))?;
        }
        // A failure keeps the chunks in memory; it is counted, and the next commit tries again.
        if head.chunks.write_out(false).is_err() {
            head.metrics.head_chunk_writes_failed.inc();
        }
        Ok(())
    }
}

impl HeadAppender<'_> {
    fn count_rejected(&self, rejected: &[Rejected]) {
        for rejection in rejected {
            self.head.count_rejected(&rejection.error);
        }
    }

    /// Writes the batch to the WAL: labels that it does not have yet, then in-order samples.
    fn log(&mut self) -> std::io::Result<()> {
        let Buffers {
            pending,
            unlogged,
            record,
            packer,
            ..
        } = &mut self.buffers;
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
            let packed = packer.pack(record, compression);
            self.head.wal.lock().append_packed(&packed)?;
        }
        record.clear();
        record::encode_samples(record, pending.iter().map(Pending::as_record));
        let packed = packer.pack(record, compression);
        let mut wal = self.head.wal.lock();
        wal.append_packed(&packed)?;
        self.head.metrics.wal_segment.set(f64::from(wal.index()));
        Ok(())
    }

    /// Gives the logged samples to their series; returns those that are late by now.
    fn apply(&mut self) -> Vec<Pending> {
        let head = self.head;
        let (mut mint, mut maxt) = (i64::MAX, i64::MIN);
        let (mut appended, mut new_chunks) = (0u32, 0u32);
        let mut stale = Vec::new();
        let pages: Vec<Arc<_>> = head.pages.read().clone();
        let applying = head.isolation.apply();
        for_each_page(
            &pages,
            &self.buffers.pending,
            |p| p.slot,
            |page, _, run| {
                let Page { series, marks } = page;
                for p in run {
                    let place = place_in_page(p.slot);
                    // It was dropped since it was looked at: too old for retention, as this sample is.
                    let Some(series) = series.get_mut(place).filter(|series| series.id == p.id)
                    else {
                        stale.push(*p);
                        continue;
                    };
                    series.logged = true;
                    let before = series.last_t();
                    let was_empty = series.open().is_none();
                    let placed = series.append_float(p.t, p.value, head.options.chunks, |chunk| {
                        head.hand_over(chunk, false)
                    });
                    if placed == Placed::Stale {
                        stale.push(*p);
                        continue;
                    }
                    #[expect(clippy::cast_possible_truncation, reason = "a page has 256 places")]
                    marks.hide_after(place as u8, applying.newest, before.unwrap_or(i64::MIN));
                    appended += 1;
                    new_chunks += u32::from(placed == Placed::Cut || was_empty);
                    (mint, maxt) = (mint.min(p.t), maxt.max(p.t));
                }
            },
        );
        drop(applying);
        head.saw_time(mint, maxt);
        head.metrics.samples_appended.add(f64::from(appended));
        head.count_new_chunks(new_chunks);
        if self.bounds.oldest_late.is_none() {
            head.metrics.out_of_order.add(stale.len() as f64);
            stale.clear();
        }
        stale
    }

    /// Logs and stores the late samples.
    fn commit_late(&mut self) -> std::io::Result<()> {
        let head = self.head;
        let Buffers { late, record, .. } = &mut self.buffers;
        record.clear();
        record::encode_samples(record, late.iter().map(Pending::as_record));
        head.log_late(record)?;
        let (mut mint, mut maxt) = (i64::MAX, i64::MIN);
        let (mut appended, mut new_chunks) = (0u32, 0usize);
        let mut markers: Vec<(u64, u64)> = Vec::new();
        let mut cut_slots = Vec::new();
        let pages: Vec<Arc<_>> = head.pages.read().clone();
        for_each_page(
            &pages,
            late,
            |p| p.slot,
            |page, _, run| {
                for p in run {
                    let series = page.series.get_mut(place_in_page(p.slot));
                    let Some(series) = series.filter(|series| series.id == p.id) else {
                        continue;
                    };
                    series.logged = true;
                    let samples = series.late.get_or_insert_default();
                    if !samples.insert(p.t, LateValue::Float(p.value)) {
                        continue;
                    }
                    appended += 1;
                    (mint, maxt) = (mint.min(p.t), maxt.max(p.t));
                    if !samples.is_full() {
                        continue;
                    }
                    let before = samples.full().len();
                    new_chunks += samples.cut(p.id, |chunk| head.hand_over(chunk, true));
                    let cut = &samples.full()[before..];
                    markers.extend(cut.iter().map(|meta| (p.id, meta.chunk.as_number())));
                    cut_slots.push(p.slot);
                }
            },
        );
        head.saw_late(mint, maxt);
        head.metrics.late_appended.add(f64::from(appended));
        head.count_new_chunks(u32::try_from(new_chunks).unwrap_or(u32::MAX));
        if markers.is_empty() {
            return Ok(());
        }
        // A marker says that what came before it is in the chunk; what is not has to be logged again.
        record.clear();
        record::encode_mmap_markers(record, markers.iter().copied());
        head.log_late(record)?;
        record.clear();
        let mut waiting = Vec::new();
        for_each_page(
            &pages,
            &cut_slots,
            |&slot| slot,
            |page, _, run| {
                for &slot in run {
                    let series = &page.series[place_in_page(slot)];
                    let open = series.late.as_deref().map_or(&[][..], LateSamples::open);
                    waiting.extend(open.iter().filter_map(|(t, value)| match value {
                        LateValue::Float(value) => Some(RecordSample {
                            id: series.id,
                            t: *t,
                            value: *value,
                        }),
                        LateValue::Histogram(_) => None,
                    }));
                }
            },
        );
        record::encode_samples(record, waiting);
        head.log_late(record)
    }
}

impl Pending {
    fn as_record(&self) -> RecordSample {
        RecordSample {
            id: self.id,
            t: self.t,
            value: self.value,
        }
    }
}

/// Where a sample goes.
#[derive(Clone, Copy)]
enum Place {
    InOrder,
    Late,
    /// It is the newest one again.
    Nowhere,
}

/// Says where `sample` goes.
///
/// Source: Prometheus `memSeries.appendable`.
fn check(series: &MemSeries, sample: &FloatSample, bounds: Bounds) -> Result<Place, AppendError> {
    let last = series.last_t();
    if bounds.oldest_valid <= sample.t {
        if last.is_none_or(|last| last < sample.t) {
            return Ok(Place::InOrder);
        }
        if last == Some(sample.t) {
            return match series.is_last_float(sample.value) {
                true => Ok(Place::Nowhere),
                false => Err(AppendError::Duplicate),
            };
        }
    }
    match bounds.oldest_late {
        Some(oldest) if oldest <= sample.t => Ok(Place::Late),
        Some(_) => Err(AppendError::TooOld),
        None if sample.t < bounds.oldest_valid => Err(AppendError::OutOfBounds),
        None => Err(AppendError::OutOfOrder),
    }
}

fn check_labels(labels: &[(&str, &str)]) -> Result<(), AppendError> {
    let invalid = |what: String| Err(AppendError::InvalidLabels(what));
    if labels.is_empty() {
        return invalid("empty labelset".to_owned());
    }
    if LABELS_MAX < labels.len() {
        return invalid(format!(
            "{} labels, at most {LABELS_MAX} are taken",
            labels.len()
        ));
    }
    if let Some(pair) = labels.windows(2).find(|pair| pair[1].0 <= pair[0].0) {
        return invalid(format!(
            "label name {:?} is not unique or not sorted",
            pair[1].0
        ));
    }
    if let Some((name, _)) = labels
        .iter()
        .find(|(name, value)| name.is_empty() || value.is_empty())
    {
        return invalid(format!("label {name:?} has an empty name or value"));
    }
    Ok(())
}
