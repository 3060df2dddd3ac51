//! Appending: a batch is collected, logged as one record, and only then given to the series.

use std::sync::Arc;

use model::storage::{AppendError, Appender, FloatSample, HistogramSample, Rejected, SeriesRef};

use super::series::Placed;
use super::{CHUNK_RANGE_MS, Head, for_each_page, place_in_page};
use crate::chunk::Encoding;
use crate::wal::record::{self, RecordSample};

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
    /// Slots of series whose labels are not in the WAL yet.
    unlogged: Vec<u32>,
    record: Vec<u8>,
}

/// How many sets of buffers are kept for the next batches.
const BUFFERS_KEPT_MAX: usize = 8;

/// One batch for the head, see [`Appender`].
pub struct HeadAppender<'a> {
    head: &'a Head,
    buffers: Buffers,
}

impl Head {
    /// Starts a batch.
    pub fn appender(&self) -> HeadAppender<'_> {
        let buffers = self.buffers.lock().pop().unwrap_or_default();
        HeadAppender {
            head: self,
            buffers,
        }
    }
}

impl Drop for HeadAppender<'_> {
    fn drop(&mut self) {
        let mut buffers = std::mem::take(&mut self.buffers);
        buffers.pending.clear();
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
        let slot = self
            .head
            .slot_of(labels)
            .map_err(|error| AppendError::Storage(error.to_string()))?;
        Ok(SeriesRef(u64::from(slot)))
    }

    fn append_floats(&mut self, batch: &[FloatSample], rejected: &mut Vec<Rejected>) {
        let head = self.head;
        let oldest_valid = head.oldest_valid();
        let pages = head.pages.read();
        let Buffers {
            pending, unlogged, ..
        } = &mut self.buffers;
        // A handle that names no slot is given one that no page has.
        let slot_of = |sample: &FloatSample| u32::try_from(sample.series.0).unwrap_or(u32::MAX);
        let mut visited = 0;
        for_each_page(&pages, batch, slot_of, |page, from, run| {
            rejected.extend((visited..from).map(|index| Rejected {
                index,
                error: AppendError::UnknownSeries,
            }));
            visited = from + run.len();
            for (index, sample) in (from..).zip(run) {
                let slot = slot_of(sample);
                let checked = match page.get(place_in_page(slot)) {
                    // A dropped series keeps its place with id 0.
                    Some(series) if series.id != 0 => {
                        check(series, sample, oldest_valid).map(|takes| (series, takes))
                    }
                    _ => Err(AppendError::UnknownSeries),
                };
                match checked {
                    Ok((series, true)) => {
                        pending.push(Pending {
                            slot,
                            id: series.id,
                            t: sample.t,
                            value: sample.value,
                        });
                        if !series.logged {
                            unlogged.push(slot);
                        }
                    }
                    Ok((_, false)) => {}
                    Err(error) => rejected.push(Rejected { index, error }),
                }
            }
        });
        rejected.extend((visited..batch.len()).map(|index| Rejected {
            index,
            error: AppendError::UnknownSeries,
        }));
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
        if self.buffers.pending.is_empty() {
            return Ok(());
        }
        self.log().map_err(|error| {
            self.head.metrics.wal_writes_failed.inc();
            AppendError::Storage(format!(
                "append to {}: {error}",
                self.head.wal_dir.display()
            ))
        })?;
        self.apply();
        // A failure keeps the chunks in memory; it is counted, and the next commit tries again.
        if self.head.chunks.write_out(false).is_err() {
            self.head.metrics.head_chunk_writes_failed.inc();
        }
        Ok(())
    }
}

impl HeadAppender<'_> {
    fn count_rejected(&self, rejected: &[Rejected]) {
        for rejection in rejected {
            match rejection.error {
                AppendError::OutOfOrder => self.head.metrics.out_of_order.inc(),
                AppendError::OutOfBounds => self.head.metrics.out_of_bounds.inc(),
                _ => {}
            }
        }
    }

    /// Writes the batch to the WAL: labels that it does not have yet, then samples.
    fn log(&mut self) -> std::io::Result<()> {
        let Buffers {
            pending,
            unlogged,
            record,
        } = &mut self.buffers;
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
                            record::encode_series(record, page[place_in_page(slot)].id, pairs);
                        }
                    }
                },
            );
            drop((index, pages));
            self.head.wal.lock().append(record)?;
        }
        record.clear();
        let samples = pending.iter().map(|p| RecordSample {
            id: p.id,
            t: p.t,
            value: p.value,
        });
        record::encode_samples(record, samples);
        let mut wal = self.head.wal.lock();
        wal.append(record)?;
        self.head.metrics.wal_segment.set(f64::from(wal.index()));
        Ok(())
    }

    /// Gives the logged samples to their series.
    fn apply(&self) {
        let head = self.head;
        let (mut mint, mut maxt) = (i64::MAX, i64::MIN);
        let (mut appended, mut new_chunks, mut stale) = (0u32, 0u32, 0u32);
        let pages: Vec<Arc<_>> = head.pages.read().clone();
        for_each_page(
            &pages,
            &self.buffers.pending,
            |p| p.slot,
            |page, _, run| {
                for p in run {
                    // It was dropped since it was looked at: too old for retention, as this sample is.
                    let Some(series) = page
                        .get_mut(place_in_page(p.slot))
                        .filter(|series| series.id == p.id)
                    else {
                        stale += 1;
                        continue;
                    };
                    series.logged = true;
                    let was_empty = series.open().is_none();
                    let placed =
                        series.append(p.t, p.value, CHUNK_RANGE_MS, |id, from, to, bytes| {
                            let taken = head.chunks.append(id, from, to, Encoding::Xor, bytes);
                            if taken.is_err() {
                                head.metrics.head_chunk_writes_failed.inc();
                            }
                            taken.ok()
                        });
                    match placed {
                        Placed::Stale => stale += 1,
                        Placed::Appended if !was_empty => appended += 1,
                        _ => (appended, new_chunks) = (appended + 1, new_chunks + 1),
                    }
                    (mint, maxt) = (mint.min(p.t), maxt.max(p.t));
                }
            },
        );
        head.saw_time(mint, maxt);
        head.metrics.samples_appended.add(f64::from(appended));
        if 0 < stale {
            head.metrics.out_of_order.add(f64::from(stale));
        }
        if 0 < new_chunks {
            head.metrics.chunks_created.add(f64::from(new_chunks));
            head.metrics.chunks.add(f64::from(new_chunks));
        }
    }
}

/// Whether `sample` can be stored; `Ok(false)` when it is the newest one again.
fn check(
    series: &super::MemSeries,
    sample: &FloatSample,
    oldest_valid: i64,
) -> Result<bool, AppendError> {
    let Some(last) = series.last_t() else {
        return if sample.t < oldest_valid {
            Err(AppendError::OutOfBounds)
        } else {
            Ok(true)
        };
    };
    if last < sample.t {
        return if sample.t < oldest_valid {
            Err(AppendError::OutOfBounds)
        } else {
            Ok(true)
        };
    }
    if sample.t < oldest_valid {
        return Err(AppendError::OutOfBounds);
    }
    if sample.t < last {
        return Err(AppendError::OutOfOrder);
    }
    match series.last_sample() {
        Some((_, value)) if value.to_bits() == sample.value.to_bits() => Ok(false),
        _ => Err(AppendError::Duplicate),
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
