//! From the ids of the log to slots.

use hashbrown::HashMap;
use rapidhash::fast::RandomState;

use crate::head::page::SeriesPages;

/// Id in the log → slot.
#[derive(Default)]
pub(super) struct Slots {
    pub(super) by_id: HashMap<u64, u32, RandomState>,
    /// The last that was asked for: neighbours in the log are neighbours here.
    last: (u64, u32),
}

impl Slots {
    pub(super) fn reserve(&mut self, more: usize) {
        self.by_id.reserve(more);
    }

    pub(super) fn insert(&mut self, id: u64, slot: u32) {
        self.by_id.insert(id, slot);
    }

    pub(super) fn find(&mut self, id: u64, series: &SeriesPages) -> Option<u32> {
        let (last_id, last_slot) = self.last;
        let next = last_slot.wrapping_add(1);
        let guessed =
            id == last_id.wrapping_add(1) && series.get(next).is_some_and(|series| series.id == id);
        let slot = if guessed { next } else { *self.by_id.get(&id)? };
        self.last = (id, slot);
        Some(slot)
    }
}
