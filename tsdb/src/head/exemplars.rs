//! Exemplars and metadata on their way through the head: checked, logged with the batch, kept, and queried.

use std::sync::Arc;

use model::exemplar::Exemplar;
use model::metadata::Metadata;
use model::storage::{AppendError, SeriesRef};
use model::{Labels, Matcher};

use super::append::Buffers;
use super::{Head, SlotId, place_in_page};
use crate::exemplars::{Refusal, StoredExemplar};
use crate::wal::record::{self, RecordExemplar, RecordMetadata};

/// An exemplar that passed the checks.
pub(super) struct PendingExemplar {
    slot: u32,
    id: u64,
    exemplar: StoredExemplar,
}

/// Metadata that is news.
pub(super) struct PendingMetadata {
    slot: u32,
    id: u64,
    metadata: Metadata,
}

/// What is looked at of the series that a handle names.
struct Named {
    slot: u32,
    id: u64,
    is_logged: bool,
    last_t: Option<i64>,
}

impl Buffers {
    /// Adds an exemplar; one that is there already is taken and changes nothing.
    pub(super) fn push_exemplar(
        &mut self,
        head: &Head,
        handle: SeriesRef,
        exemplar: &Exemplar,
    ) -> Result<(), AppendError> {
        if head.exemplars.lock().capacity() == 0 {
            return Ok(());
        }
        let series = head.named(handle)?;
        // One without a time is shown again and again until the next comes.
        let is_shown_again = exemplar.t.is_none() && {
            let exemplars = head.exemplars.lock();
            exemplars.is_newest(series.id, &exemplar.labels, exemplar.value)
        };
        if is_shown_again {
            return Ok(());
        }
        // A batch is of one time as a rule, so its last sample has the time of this one's.
        let batch_t = self.pending.last().map(|pending| pending.t);
        let exemplar = StoredExemplar {
            t: exemplar.t.or(batch_t).or(series.last_t).unwrap_or(0),
            value: exemplar.value,
            labels: exemplar.labels.clone(),
        };
        // The guard is gone before the refusal is counted.
        let checked = head.exemplars.lock().check(series.id, &exemplar);
        match checked {
            Ok(()) => (),
            Err(Refusal::Known) => return Ok(()),
            Err(Refusal::OutOfOrder) => {
                head.metrics.exemplars_out_of_order.inc();
                return Err(AppendError::OutOfOrder);
            }
            Err(Refusal::TooLong) => {
                return Err(AppendError::InvalidLabels(format!(
                    "label length for exemplar exceeds maximum of {} UTF-8 characters",
                    model::exemplar::LABELS_RUNES_MAX
                )));
            }
        }
        self.exemplars.push(PendingExemplar {
            slot: series.slot,
            id: series.id,
            exemplar,
        });
        if !series.is_logged {
            self.unlogged.push(series.slot);
        }
        Ok(())
    }

    /// Adds metadata if it is news.
    pub(super) fn push_metadata(
        &mut self,
        head: &Head,
        handle: SeriesRef,
        metadata: &Metadata,
    ) -> Result<(), AppendError> {
        let series = head.named(handle)?;
        let known = head.metadata.lock();
        if known
            .get(series.id)
            .is_some_and(|known| **known == *metadata)
        {
            return Ok(());
        }
        drop(known);
        self.metadata.push(PendingMetadata {
            slot: series.slot,
            id: series.id,
            metadata: metadata.clone(),
        });
        if head.options.logs_metadata && !series.is_logged {
            self.unlogged.push(series.slot);
        }
        Ok(())
    }

    /// Adds the batch's exemplars and metadata to what is logged, a record for each kind that there is.
    pub(super) fn log_extras(&mut self, head: &Head) {
        let Buffers {
            exemplars,
            metadata,
            record,
            log,
            ..
        } = self;
        let compression = head.options.segment.compression;
        if !exemplars.is_empty() {
            record.clear();
            let items = exemplars.iter().map(|p| {
                let item = RecordExemplar {
                    id: p.id,
                    t: p.exemplar.t,
                    value: p.exemplar.value,
                };
                (item, p.exemplar.labels.iter())
            });
            record::encode_exemplars(record, items);
            log.add(record, compression);
        }
        if head.options.logs_metadata && !metadata.is_empty() {
            record.clear();
            let items = metadata.iter().map(|p| RecordMetadata {
                id: p.id,
                kind: p.metadata.kind,
                unit: &p.metadata.unit,
                help: &p.metadata.help,
            });
            record::encode_metadata(record, items);
            log.add(record, compression);
        }
    }

    /// Gives the logged exemplars and metadata to the head.
    pub(super) fn apply_extras(&mut self, head: &Head) {
        if !self.exemplars.is_empty() {
            for pending in &self.exemplars {
                head.mark_logged(pending.slot, pending.id);
            }
            let mut exemplars = head.exemplars.lock();
            for PendingExemplar { slot, id, exemplar } in self.exemplars.drain(..) {
                match exemplars.push(id, slot, exemplar) {
                    Ok(()) => head.metrics.exemplars_appended.inc(),
                    Err(Refusal::OutOfOrder) => head.metrics.exemplars_out_of_order.inc(),
                    Err(_) => (),
                }
            }
            head.update_exemplar_gauges(&exemplars);
        }
        if !self.metadata.is_empty() {
            if head.options.logs_metadata {
                for pending in &self.metadata {
                    head.mark_logged(pending.slot, pending.id);
                }
            }
            let mut known = head.metadata.lock();
            for pending in self.metadata.drain(..) {
                known.set(pending.id, &pending.metadata);
            }
        }
    }
}

impl Head {
    /// Appends all exemplars as one record of the log, in the order in which they came.
    pub(super) fn encode_exemplars(&self, out: &mut Vec<u8>) {
        let exemplars = self.exemplars.lock();
        let items = exemplars.iter().map(|(id, exemplar)| {
            let item = RecordExemplar {
                id,
                t: exemplar.t,
                value: exemplar.value,
            };
            (item, exemplar.labels.iter())
        });
        record::encode_exemplars(out, items);
    }

    /// Appends what is known of all series' metrics as one record of the log, if it is logged at all.
    pub(super) fn encode_metadata(&self, out: &mut Vec<u8>) {
        if !self.options.logs_metadata {
            return;
        }
        let metadata = self.metadata.lock();
        let items = metadata.iter().map(|(id, metadata)| RecordMetadata {
            id,
            kind: metadata.kind,
            unit: &metadata.unit,
            help: &metadata.help,
        });
        record::encode_metadata(out, items);
    }

    fn named(&self, handle: SeriesRef) -> Result<Named, AppendError> {
        let slot = SlotId::slot_of(handle);
        let page = self.page_of(slot).ok_or(AppendError::UnknownSeries)?;
        let page = page.lock();
        let series = page.series.get(place_in_page(slot));
        let series = series.filter(|series| SlotId::names(handle, series.id));
        let series = series.ok_or(AppendError::UnknownSeries)?;
        Ok(Named {
            slot,
            id: series.id,
            is_logged: series.logged,
            last_t: series.last_t(),
        })
    }

    /// Notes that the labels of a series are in the WAL.
    fn mark_logged(&self, slot: u32, id: u64) {
        let Some(page) = self.page_of(slot) else {
            return;
        };
        if let Some(series) = page.lock().series.get_mut(place_in_page(slot))
            && series.id == id
        {
            series.logged = true;
        }
    }

    /// Keeps up to `capacity` exemplars from now on; 0 keeps none.
    pub fn set_exemplars_max(&self, capacity: usize) {
        let mut exemplars = self.exemplars.lock();
        if exemplars.capacity() != capacity {
            exemplars.resize(capacity);
        }
        self.update_exemplar_gauges(&exemplars);
    }

    /// Returns the exemplars in `mint..=maxt` of the series that pass all matchers of one of `selectors`: a list for each
    /// series that has some, ascending by labels.
    pub fn exemplars(
        &self,
        selectors: &[Vec<Matcher>],
        mint: i64,
        maxt: i64,
    ) -> Vec<(Labels, Vec<StoredExemplar>)> {
        let with_exemplars: Vec<(u64, u32)> = self.exemplars.lock().series().collect();
        if with_exemplars.is_empty() {
            return Vec::new();
        }
        let index = self.index.read();
        let mut slots: Vec<u32> = selectors
            .iter()
            .flat_map(|matchers| index.select(matchers))
            .collect();
        slots.sort_unstable();
        let selected: Vec<(u64, Labels)> = with_exemplars
            .into_iter()
            .filter(|(_, slot)| slots.binary_search(slot).is_ok())
            .map(|(id, slot)| (id, index.labels(slot)))
            .collect();
        drop(index);
        let exemplars = self.exemplars.lock();
        let mut found: Vec<(Labels, Vec<StoredExemplar>)> = selected
            .into_iter()
            .map(|(id, labels)| (labels, exemplars.of_series(id, mint, maxt)))
            .filter(|(labels, found)| !labels.is_empty() && !found.is_empty())
            .collect();
        drop(exemplars);
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    /// Returns what is known of the metric of a series.
    pub fn metadata(&self, handle: SeriesRef) -> Option<Arc<Metadata>> {
        let series = self.named(handle).ok()?;
        self.metadata.lock().get(series.id).cloned()
    }

    /// Forgets exemplars and metadata of series that are gone.
    pub(super) fn drop_extras(&self, ids: &[u64]) {
        let mut exemplars = self.exemplars.lock();
        ids.iter().for_each(|&id| exemplars.drop_series(id));
        self.update_exemplar_gauges(&exemplars);
        drop(exemplars);
        let mut metadata = self.metadata.lock();
        ids.iter().for_each(|&id| metadata.drop_series(id));
    }

    pub(super) fn update_exemplar_gauges(&self, exemplars: &crate::exemplars::Exemplars) {
        let metrics = &self.metrics;
        metrics.exemplars_max.set(exemplars.capacity() as f64);
        metrics.exemplars.set(exemplars.len() as f64);
        metrics.exemplar_series.set(exemplars.series_count() as f64);
        let oldest = exemplars.oldest_t().unwrap_or(0);
        metrics.exemplars_oldest_seconds.set(oldest as f64 / 1e3);
    }
}
