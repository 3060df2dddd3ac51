//! Series that have ended, which leave the head before their time: many of them cost memory that churn makes.
//!
//! In three steps, driven by [`crate::db`]: [`Head::ended_series`] says which, [`Head::ended_source`] gives their samples
//! to a block, and [`Head::forget_ended`] takes them out of the head when that block is in force. As in Prometheus 3.10, a
//! deletion in the log that begins at the beginning of time says that a series has left.

use std::io;

use super::page::Page;
use super::snapshot::SLOTS_PER_PAGE;
use super::{Head, place_in_page};
use crate::wal::record::{self, RecordTombstone};

/// A series that has ended, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ended {
    slot: u32,
    id: u64,
    /// The time of its last sample, the staleness marker.
    last_t: i64,
}

/// The series that had ended at one moment.
#[derive(Debug)]
pub struct EndedSeries {
    /// Ascending by slot.
    series: Vec<Ended>,
    /// Their oldest sample …
    pub mint: i64,
    /// … and their newest.
    pub maxt: i64,
}

impl EndedSeries {
    /// Returns the slots, ascending.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        self.series.iter().map(|ended| ended.slot)
    }
}

impl Head {
    /// Returns the series whose last sample is a staleness marker and that have no late samples, when at least this
    /// share of all series (0 to 1) has ended.
    pub fn ended_series(&self, share_min: f64) -> Option<EndedSeries> {
        let mut ended = EndedSeries {
            series: Vec::new(),
            mint: i64::MAX,
            maxt: i64::MIN,
        };
        let (mut live, mut stale) = (0u32, 0u32);
        let pages = self.pages();
        for (page_number, page) in (0u32..).zip(pages.iter()) {
            for (place, series) in (0u32..).zip(&page.lock().series) {
                live += u32::from(series.id != 0);
                if series.id == 0 || !series.is_stale() {
                    continue;
                }
                stale += 1;
                let span = series.first_in_order_t().zip(series.last_t());
                if let (Some((first_t, last_t)), None) = (span, series.late()) {
                    let slot = page_number * SLOTS_PER_PAGE + place;
                    let id = series.id;
                    ended.series.push(Ended { slot, id, last_t });
                    ended.mint = ended.mint.min(first_t);
                    ended.maxt = ended.maxt.max(last_t);
                }
            }
        }
        let is_enough = share_min * f64::from(live) <= f64::from(stale);
        (is_enough && !ended.series.is_empty()).then_some(ended)
    }

    /// Forgets those of `ended` that got no sample since. Their samples must be in blocks that queries see. Returns how
    /// many series that were; one that a batch has asked for keeps its place for the while.
    ///
    /// # Errors
    ///
    /// When it cannot be logged; nothing is forgotten then.
    pub fn forget_ended(&self, ended: &EndedSeries) -> io::Result<usize> {
        let pages = self.pages();
        // No batch is between the log and its series: what is not seen here comes after the deletion in the log.
        let nothing_commits = self.committing.write();
        let is_unchanged = |ended: &&Ended| {
            let Some(page) = pages.get((ended.slot / SLOTS_PER_PAGE) as usize) else {
                return false;
            };
            let page = page.lock();
            page.series.get(place_in_page(ended.slot)).is_some_and(|s| {
                s.id == ended.id && s.last_t() == Some(ended.last_t) && s.late().is_none()
            })
        };
        let leaving: Vec<Ended> = ended.series.iter().filter(is_unchanged).copied().collect();
        if leaving.is_empty() {
            return Ok(0);
        }
        let mut bytes = Vec::new();
        let entries = leaving.iter().map(|ended| RecordTombstone {
            id: ended.id,
            mint: i64::MIN,
            maxt: ended.last_t,
        });
        record::encode_tombstones(&mut bytes, entries);
        self.wal.lock().append(&bytes)?;
        let mut chunks = 0;
        for ended in &leaving {
            let mut page = pages[(ended.slot / SLOTS_PER_PAGE) as usize].lock();
            let Page { series, lines, .. } = &mut *page;
            chunks += series[place_in_page(ended.slot)].truncate(lines, i64::MAX);
        }
        drop(nothing_commits);
        self.metrics.chunks_removed.add(chunks as f64);
        self.metrics.chunks.sub(chunks as f64);
        let mut slots = leaving.iter().map(|ended| ended.slot).peekable();
        self.retain_series(|slot, _, _| slots.next_if_eq(&slot).is_none());
        Ok(leaving.len())
    }
}
