//! What becomes of each record of the logs.

use std::convert::Infallible;
use std::sync::Arc;

use model::Labels;
use model::metadata::Metadata;
use model::storage::HistogramSample;

use super::{Found, Replay};
use crate::exemplars::StoredExemplar;
use crate::head::append::store;
use crate::head::late::{LateSample, LateValue};
use crate::head::open::Times;
use crate::head::series::{MemSeries, PREFETCH_AHEAD, Placed};
use crate::head_chunks::ChunkRef;
use crate::tombstones::Interval;
use crate::wal::record::{
    self, MapMarker, RecordHistogram, RecordKind, RecordSample, RecordTombstone,
};

impl Replay {
    pub(super) fn take_record(&mut self, bytes: &[u8]) -> Result<(), record::RecordError> {
        match record::kind(bytes) {
            RecordKind::Series => {
                record::decode_series(bytes, |id, labels| self.take_series(id, labels))
            }
            RecordKind::Exemplars | RecordKind::Metadata => self.take_extras(bytes),
            RecordKind::Tombstones => {
                record::decode_tombstones(bytes, |tombstone| self.take_tombstone(&tombstone))
            }
            _ => decode_values(bytes, |id, sample| self.take_value(id, sample)),
        }
    }

    fn take_series(&mut self, id: u64, labels: &[(&str, &str)]) {
        if self.full.is_some() || id == 0 || labels.windows(2).any(|pair| pair[1].0 <= pair[0].0) {
            return;
        }
        self.id_max = self.id_max.max(id);
        let slot = match self.index.find(labels) {
            Some(slot) => slot,
            None => match self.index.add(labels) {
                Ok(slot) => {
                    let Ok(()) = self
                        .series
                        .push_with(|_| Ok::<_, Infallible>(MemSeries::logged(id)));
                    slot
                }
                Err(full) => return self.full = Some(full),
            },
        };
        if self.series.at(slot).0.id != id {
            self.aliases.insert(id, slot);
        }
        self.slots.insert(id, slot);
        if let Some(found) = self.found.remove(&id) {
            self.add_found(slot, found);
        }
    }

    pub(super) fn add_found(&mut self, slot: u32, found: Found) {
        let Replay { series, chunks, .. } = self;
        let (series, lines) = series.at(slot);
        for chunk in found.late {
            series.late_or_new().add_found(chunk);
        }
        if found.in_order.is_empty() {
            return;
        }
        for chunk in &found.in_order {
            self.mint = self.mint.min(chunk.mint);
            self.maxt = self.maxt.max(chunk.maxt());
        }
        // Samples under an id of before come first; they must not stay in the open chunk behind what is found now.
        series.add_found(lines, found.in_order, |chunk| store(chunks, chunk, false));
    }

    /// Returns the slot of the series with this id, and counts a sample of it.
    fn slot_of_sample(&mut self, id: u64) -> Option<u32> {
        self.report.samples += 1;
        let slot = self.slots.find(id, &self.series);
        if slot.is_none() && !self.left.contains(&id) {
            *self.orphan_samples.entry(id).or_default() += 1;
            self.id_max = self.id_max.max(id);
        }
        slot
    }

    fn is_in_block(&self, t: i64) -> bool {
        t < self.valid_from || self.marks.covers(self.segment, t)
    }

    #[inline]
    pub(super) fn take_sample(&mut self, start: i64, sample: record::RecordSample) {
        let Some(slot) = self.slot_of_sample(sample.id) else {
            return;
        };
        if self.is_in_block(sample.t) {
            return;
        }
        // Neighbours in a batch are neighbours here.
        self.series.prefetch(slot.saturating_add(PREFETCH_AHEAD));
        let chunks = &self.chunks;
        let (series, lines) = self.series.at(slot);
        let times = Times { start, t: sample.t };
        let placed = series.append_float(lines, times, sample.value, self.shape, |chunk| {
            store(chunks, chunk, false)
        });
        self.placed(sample.t, placed);
    }

    fn take_value(&mut self, id: u64, sample: LateSample) {
        let LateSample { t, start, value } = sample;
        let histogram = match value {
            LateValue::Float(value) => {
                return self.take_sample(start, record::RecordSample { id, t, value });
            }
            LateValue::Histogram(histogram) => histogram,
        };
        let Some(slot) = self.slot_of_sample(id) else {
            return;
        };
        if self.is_in_block(t) || !is_valid(&histogram) {
            return;
        }
        let chunks = &self.chunks;
        let (series, lines) = self.series.at(slot);
        let times = Times { start, t };
        let placed = series.append_histogram(lines, times, &histogram, self.shape, |chunk| {
            store(chunks, chunk, false)
        });
        self.placed(t, placed);
    }

    fn placed(&mut self, t: i64, placed: Placed) {
        if placed != Placed::Stale {
            (self.mint, self.maxt) = (self.mint.min(t), self.maxt.max(t));
        }
        if placed == Placed::Cut {
            // Failing here is as harmless as while running: the chunks wait in memory.
            let _ = self.chunks.write_out(false);
        }
    }

    fn take_tombstone(&mut self, tombstone: &RecordTombstone) {
        let has_left = tombstone.mint == i64::MIN;
        let Some(slot) = self.slots.find(tombstone.id, &self.series) else {
            if has_left {
                let id = tombstone.id;
                self.id_max = self.id_max.max(id);
                self.left.insert(id);
                self.found.remove(&id);
                self.orphan_samples.remove(&id);
            }
            return;
        };
        if has_left {
            // Its samples are in blocks; late ones came afterwards, and so did what is newer. The housekeeping takes the
            // empty place.
            let (series, lines) = self.series.at(slot);
            series.truncate(lines, tombstone.maxt.saturating_add(1));
            return;
        }
        // Late samples may be older than what is in blocks, so all count.
        let interval = Interval {
            mint: tombstone.mint,
            maxt: tombstone.maxt,
        };
        self.tombstones.add(self.series.at(slot).0.id, interval);
    }

    /// Takes in a record of exemplars or metadata.
    pub(super) fn take_extras(&mut self, bytes: &[u8]) -> Result<(), record::RecordError> {
        match record::kind(bytes) {
            RecordKind::Exemplars if self.exemplars.capacity() != 0 => {
                record::decode_exemplars(bytes, |exemplar, labels| {
                    let Some(slot) = self.slots.find(exemplar.id, &self.series) else {
                        return;
                    };
                    let stored = StoredExemplar {
                        t: exemplar.t,
                        value: exemplar.value,
                        labels: Labels::from_pairs(labels.iter().copied()),
                    };
                    // One that is there already, or older than that, was in the snapshot.
                    let _ = self.exemplars.push(self.series.at(slot).0.id, slot, stored);
                })
            }
            RecordKind::Metadata => record::decode_metadata(bytes, |item| {
                if let Some(slot) = self.slots.find(item.id, &self.series) {
                    let metadata = Metadata {
                        kind: item.kind,
                        help: item.help.to_owned(),
                        unit: item.unit.to_owned(),
                    };
                    let id = self.series.at(slot).0.id;
                    self.metadata.set(id, &metadata);
                }
            }),
            _ => Ok(()),
        }
    }

    pub(super) fn take_late(&mut self, id: u64, sample: LateSample) {
        let Some(slot) = self.slot_of_sample(id) else {
            return;
        };
        if let LateValue::Histogram(histogram) = &sample.value
            && !is_valid(histogram)
        {
            return;
        }
        let (series, _) = self.series.at(slot);
        let series_id = series.id;
        let late = series.late_or_new();
        late.insert(sample);
        if late.is_full() {
            let chunks = &self.chunks;
            late.cut(series_id, self.shape.encodings.histogram_starts, |chunk| {
                store(chunks, chunk, true)
            });
        }
    }

    /// What was logged of the series before is in a chunk, if that chunk reached the disk.
    pub(super) fn take_marker(&mut self, marker: &MapMarker) {
        let Some(slot) = self.slots.find(marker.id, &self.series) else {
            return;
        };
        let Some(late) = self.series.at(slot).0.late_mut() else {
            return;
        };
        let chunk = ChunkRef::from_number(marker.chunk);
        let Some(meta) = late.full().iter().find(|meta| meta.chunk == chunk) else {
            return;
        };
        let Ok(bytes) = self.chunks.read(chunk) else {
            return;
        };
        let times = crate::chunk::samples(meta.encoding, &bytes);
        let times: Vec<i64> = times.map_while(|s| s.ok().map(|s| s.t())).collect();
        late.forget_open(&times);
    }
}

/// A histogram that contradicts itself would be refused from a target; from a log it is passed over.
fn is_valid(histogram: &HistogramSample) -> bool {
    match histogram {
        HistogramSample::Integer(histogram) => histogram.validate().is_ok(),
        HistogramSample::Float(histogram) => histogram.validate().is_ok(),
    }
}

/// Calls `visit` with id and content of each sample of a record; of a record of something else with none.
pub(super) fn decode_values(
    bytes: &[u8],
    mut visit: impl FnMut(u64, LateSample),
) -> Result<(), record::RecordError> {
    match record::kind(bytes) {
        RecordKind::Samples | RecordKind::SamplesV2 => {
            record::decode_samples_since(bytes, |start, RecordSample { id, t, value }| {
                let value = LateValue::Float(value);
                visit(id, LateSample { t, start, value });
            })
        }
        RecordKind::Histograms | RecordKind::CustomHistograms | RecordKind::HistogramsV2 => {
            record::decode_histograms(bytes, |item| {
                let (id, histogram, sample) = taken_apart(item);
                let histogram = HistogramSample::Integer(Arc::new(histogram));
                visit(id, sample(histogram));
            })
        }
        RecordKind::FloatHistograms
        | RecordKind::CustomFloatHistograms
        | RecordKind::FloatHistogramsV2 => record::decode_float_histograms(bytes, |item| {
            let (id, histogram, sample) = taken_apart(item);
            let histogram = HistogramSample::Float(Arc::new(histogram));
            visit(id, sample(histogram));
        }),
        // Also what a flipped compression bit makes of a record; its checksum does not cover that bit.
        RecordKind::Other(_) => Err(record::RecordError {
            kind: "unknown",
            what: "nothing that this build knows",
        }),
        _ => Ok(()),
    }
}

/// Returns id and histogram of an item, and what makes a sample of it.
fn taken_apart<H>(
    item: RecordHistogram<H>,
) -> (u64, H, impl FnOnce(HistogramSample) -> LateSample) {
    let RecordHistogram {
        id,
        t,
        start,
        histogram,
    } = item;
    let sample = move |histogram| LateSample {
        t,
        start,
        value: LateValue::Histogram(histogram),
    };
    (id, histogram, sample)
}
