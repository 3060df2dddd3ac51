//! Deletion: what is deleted is hidden at once and left out of the next block.

use std::io;
use std::sync::atomic::Ordering;

use model::Matcher;

use super::{Head, for_each_page, place_in_page};
use crate::tombstones::{Interval, Intervals};
use crate::wal::record::{self, RecordTombstone};

impl Head {
    /// Deletes the samples in `mint..=maxt` of the series that pass every matcher. Returns how many series had some.
    ///
    /// # Errors
    ///
    /// When it cannot be logged; nothing is deleted then.
    pub fn delete(&self, mint: i64, maxt: i64, matchers: &[Matcher]) -> io::Result<usize> {
        let slots = self.index.read().select(matchers);
        let pages = self.pages();
        let mut deleted: Vec<(u64, Interval)> = Vec::new();
        for_each_page(
            &pages,
            &slots,
            |&slot| slot,
            |page, _, run| {
                for &slot in run {
                    let Some(series) = page.series.get(place_in_page(slot)) else {
                        continue;
                    };
                    if series.id == 0 || !series.overlaps(mint, maxt) {
                        continue;
                    }
                    let late_maxt = series.late().and_then(|late| late.maxt());
                    let last = series.last_t().max(late_maxt).unwrap_or(maxt);
                    let interval = Interval {
                        mint: mint.max(series.first_t().unwrap_or(mint)),
                        maxt: maxt.min(last),
                    };
                    deleted.push((series.id, interval));
                }
            },
        );
        if deleted.is_empty() {
            return Ok(0);
        }
        let _committing = self.committing.read();
        let mut bytes = Vec::new();
        let entries = deleted.iter().map(|&(id, interval)| RecordTombstone {
            id,
            mint: interval.mint,
            maxt: interval.maxt,
        });
        record::encode_tombstones(&mut bytes, entries);
        self.wal.lock().append(&bytes)?;
        let mut tombstones = self.tombstones.write();
        for &(id, interval) in &deleted {
            tombstones.add(id, interval);
        }
        self.has_tombstones.store(true, Ordering::Release);
        Ok(deleted.len())
    }

    /// Returns what is deleted of the series with this id.
    pub(super) fn deleted(&self, id: u64) -> Option<Intervals> {
        if !self.has_tombstones.load(Ordering::Acquire) {
            return None;
        }
        self.tombstones.read().of(id).cloned()
    }

    /// Forgets what was deleted before `mint`: the samples are gone.
    pub(super) fn truncate_tombstones(&self, mint: i64) {
        if !self.has_tombstones.load(Ordering::Acquire) {
            return;
        }
        let mut tombstones = self.tombstones.write();
        tombstones.retain(|interval| mint <= interval.maxt);
        self.has_tombstones
            .store(!tombstones.is_empty(), Ordering::Release);
    }
}
