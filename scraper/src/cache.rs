//! The positional scrape cache: from the bytes of a line to the handle of its series.
//!
//! ```text
//! entries  [ e0 | e1 | e2 | … ]   in the order of the last bodies; 24 bytes each, the hash of the line's series among them
//!             │ cursor: the entry that the next line is compared with
//! index    hash ──► entry         only while lines come out of order
//! ```
//!
//! A target's lines come in the same order each time, so that one comparison finds the entry. A line that is not the
//! expected one is looked for among the next few entries, then by hash. What the lines say is not kept, see [`Expected`].
//!
//! # Invariants
//!
//! 1. Every entry's generation is the last scrape that it was seen in, and `generation` that of the scrape in progress.
//! 2. A series that is *live* was stored by the last scrape, and nothing has told storage yet that it ended. Each live
//!    series is either stored again by the next scrape or gets a staleness marker, exactly once.
//! 3. Between [`Cache::begin`] and [`Cache::finish`] entries are added and stamped, never moved.
//!
//! Cost: 24 bytes a series, 8 more while the index exists. A scrape whose lines are all known allocates nothing.

use hashbrown::HashTable;
use model::metadata::MetricType;
use model::storage::SeriesRef;

use crate::exposition::Expected;

/// How many entries ahead of the expected one are compared before the index is asked.
const LOOK_AHEAD: usize = 8;
/// The handle of lines that relabelling dropped.
const DROPPED: u64 = u64::MAX;

/// The low bits of [`Entry::key_len`]; the rest are flags.
const LEN_MASK: u32 = (1 << 28) - 1;
/// The series gets a staleness marker when it goes.
const TRACKED: u32 = 1 << 31;
/// The entry was live when this scrape stamped it.
const WAS_LIVE: u32 = 1 << 30;
const HISTOGRAM: u32 = 1 << 29;
const SUMMARY: u32 = 1 << 28;

/// Finds the series of each line of one target, and knows which series ended.
#[derive(Default)]
pub(crate) struct Cache {
    entries: Vec<Entry>,
    index: Option<HashTable<u32>>,
    generation: u32,
    /// What was not seen since this scrape is new again: the last that was stored and had lines.
    ///
    /// Source: when Prometheus' cache forgets a series, which `scrape_series_added` shows.
    remembered_from: u32,
    /// The entry that the next line is expected to be.
    cursor: usize,
    /// Lines of this scrape that were not where they were expected.
    misplaced: usize,
    /// Entries added by this scrape.
    added: usize,
    /// Before this generation, entries are not put into another order.
    reorder_from: u32,
    /// How long to wait after the next reordering; grows for targets without any order.
    reorder_pause: u32,
    /// Live series of entries that were forgotten by [`Cache::invalidate`].
    orphans: Vec<SeriesRef>,
}

#[derive(Clone, Copy)]
struct Entry {
    hash: u64,
    /// How long the series is as written, and flags.
    key_len: u32,
    generation: u32,
    series: u64,
}

/// What is known about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Its entry, now stamped.
    Entry(EntryId, Destination),
    /// The same of a series that was away; it is new again, as far as anybody is told.
    Returned(EntryId, Destination),
    /// The same of a series that this scrape had already.
    Duplicate(EntryId, Destination),
    /// Nothing: resolve its labels and [`Cache::insert`] it.
    Nothing,
}

/// Where a line's samples go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// To this series.
    Series(SeriesRef),
    /// Nowhere: relabelling dropped it.
    Dropped,
}

/// The position of an entry, valid until [`Cache::finish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EntryId(pub(crate) u32);

impl Destination {
    fn encode(self) -> u64 {
        match self {
            Destination::Series(SeriesRef(series)) => {
                debug_assert!(series != DROPPED);
                series
            }
            Destination::Dropped => DROPPED,
        }
    }
}

impl Entry {
    fn key(&self) -> Expected {
        Expected::from_parts(self.hash, self.key_len & LEN_MASK)
    }

    fn target(&self) -> Destination {
        match self.series {
            DROPPED => Destination::Dropped,
            series => Destination::Series(SeriesRef(series)),
        }
    }

    fn has(&self, flag: u32) -> bool {
        self.key_len & flag != 0
    }
}

impl Cache {
    /// Starts a scrape.
    pub(crate) fn begin(&mut self) {
        self.generation += 1;
        self.cursor = 0;
        self.misplaced = 0;
        self.added = 0;
    }

    /// Returns the series that probably comes next.
    #[inline]
    pub(crate) fn expected(&self) -> Expected {
        let next = self.entries.get(self.cursor);
        next.map_or(Expected::NOTHING, Entry::key)
    }

    /// Finds the entry of a line and stamps it.
    ///
    /// * `is_expected`: whether `series` is known to equal [`Cache::expected`].
    /// * `tracked`: whether the series should get a staleness marker when it goes.
    pub(crate) fn find(&mut self, series: &str, is_expected: bool, tracked: bool) -> Found {
        let position = if is_expected {
            Some(self.cursor)
        } else {
            self.look_around(series)
        };
        let Some(position) = position else {
            return Found::Nothing;
        };
        let generation = self.generation;
        let entry = &mut self.entries[position];
        if entry.generation == generation {
            return Found::Duplicate(entry_id(position), entry.target());
        }
        let was_live = entry.generation + 1 == generation && entry.has(TRACKED);
        let has_returned = entry.generation < self.remembered_from;
        entry.generation = generation;
        entry.key_len &= !(TRACKED | WAS_LIVE);
        entry.key_len |= if tracked { TRACKED } else { 0 } | if was_live { WAS_LIVE } else { 0 };
        self.cursor = position + 1;
        if has_returned {
            return Found::Returned(entry_id(position), entry.target());
        }
        Found::Entry(entry_id(position), entry.target())
    }

    /// Adds the entry of a line that [`Cache::find`] knows nothing about.
    ///
    /// * `kind`: the type of the family, which [`Cache::kind`] returns later.
    pub(crate) fn insert(
        &mut self,
        series: &str,
        target: Destination,
        kind: MetricType,
        tracked: bool,
    ) -> EntryId {
        let id = entry_id(self.entries.len());
        let flags = match kind {
            MetricType::Histogram => HISTOGRAM,
            MetricType::Summary => SUMMARY,
            _ => 0,
        };
        let key_len = u32::try_from(series.len()).expect("bodies are bounded below 256 MiB");
        debug_assert!(key_len <= LEN_MASK);
        let entry = Entry {
            key_len: key_len | flags | if tracked { TRACKED } else { 0 },
            hash: Expected::of(series).hash(),
            generation: self.generation,
            series: target.encode(),
        };
        self.entries.push(entry);
        self.added += 1;
        if let Some(index) = &mut self.index {
            let entries = &self.entries;
            index.insert_unique(entry.hash, id.0, |&i| entries[i as usize].hash);
        }
        // The lines after a new one are still those that were expected in its place.
        if self.cursor + 1 == self.entries.len() {
            self.cursor += 1;
        }
        id
    }

    /// Returns what the series of an entry is known by.
    pub(crate) fn key(&self, id: EntryId) -> Expected {
        self.entries[id.0 as usize].key()
    }

    /// Returns the type of an entry's family, as far as it matters for labels.
    pub(crate) fn kind(&self, id: EntryId) -> MetricType {
        let entry = &self.entries[id.0 as usize];
        if entry.has(HISTOGRAM) {
            MetricType::Histogram
        } else if entry.has(SUMMARY) {
            MetricType::Summary
        } else {
            MetricType::Unknown
        }
    }

    /// Says where an entry's samples go from now on.
    pub(crate) fn set_target(&mut self, id: EntryId, target: Destination) {
        self.entries[id.0 as usize].series = target.encode();
    }

    /// Appends to `out` the series that are live and that this scrape does not store, or not at its own time any more: nobody
    /// knows when a series with its own timestamps ends, so it ends as one that was tracked.
    ///
    /// * `is_stored`: whether this scrape stores what it saw; otherwise everything that was live ends.
    pub(crate) fn ended(&mut self, is_stored: bool, out: &mut Vec<SeriesRef>) {
        out.append(&mut self.orphans);
        let previous = self.generation - 1;
        let ended = self.entries.iter().filter(|entry| {
            if entry.generation == self.generation {
                entry.has(WAS_LIVE) && !(is_stored && entry.has(TRACKED))
            } else {
                entry.generation == previous && entry.has(TRACKED)
            }
        });
        out.extend(ended.filter_map(|entry| match entry.target() {
            Destination::Series(series) => Some(series),
            Destination::Dropped => None,
        }));
    }

    /// Ends a scrape, and puts the house in order if that pays.
    ///
    /// * `is_stored`: whether what it saw is stored; if not, nothing is live now.
    /// * `order`: the entries in the order in which this scrape saw them; used if it was stored.
    pub(crate) fn finish(&mut self, is_stored: bool, order: &[EntryId]) {
        if !is_stored {
            // Nothing has this generation, so nothing is live. Garbage must not pile up either.
            self.generation += 1;
            self.forget_added();
            return;
        }
        if !order.is_empty() {
            self.remembered_from = self.generation;
        }
        let dead = self.entries.len() - order.len();
        let is_disordered =
            order.len() / 16 + 16 < self.misplaced && self.reorder_from <= self.generation;
        if order.len() / 4 + 64 < dead || is_disordered {
            self.rebuild(order);
            if is_disordered {
                self.reorder_pause = (self.reorder_pause * 2).clamp(1, 1024);
                self.reorder_from = self.generation + self.reorder_pause;
            }
        } else if self.misplaced == 0 && self.added == 0 {
            self.index = None;
        }
        if 0 < self.added && self.entries.len() / 8 < self.entries.capacity() - self.entries.len() {
            self.entries.shrink_to_fit();
        }
    }

    /// Forgets every line, because what became of them depends on settings that changed. What is live stays known.
    pub(crate) fn invalidate(&mut self) {
        let mut live = std::mem::take(&mut self.orphans);
        self.begin();
        self.ended(false, &mut live);
        *self = Cache {
            generation: self.generation,
            remembered_from: self.remembered_from,
            orphans: live,
            ..Cache::default()
        };
    }

    /// Returns how many lines are known.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn look_around(&mut self, series: &str) -> Option<usize> {
        if self.entries.is_empty() {
            return None;
        }
        let key = Expected::of(series);
        let end = (self.cursor + LOOK_AHEAD).min(self.entries.len());
        let ahead = (self.cursor..end).find(|&i| self.entries[i].key() == key);
        if ahead.is_some() {
            return ahead;
        }
        let entries = &self.entries;
        let index = self.index.get_or_insert_with(|| build_index(entries));
        let found = index.find(key.hash(), |&i| entries[i as usize].key() == key);
        let found = found.map(|&i| i as usize);
        self.misplaced += usize::from(found.is_some());
        found
    }

    /// Removes the entries that this scrape added.
    fn forget_added(&mut self) {
        if 0 < self.added {
            self.entries.truncate(self.entries.len() - self.added);
            self.index = None;
        }
    }

    /// Keeps only the entries in `order`, in that order.
    fn rebuild(&mut self, order: &[EntryId]) {
        let in_order = order.iter().map(|id| self.entries[id.0 as usize]);
        self.entries = in_order.collect();
        self.index = None;
    }
}

fn entry_id(position: usize) -> EntryId {
    EntryId(u32::try_from(position).expect("a body of 256 MiB has fewer lines"))
}

fn build_index(entries: &[Entry]) -> HashTable<u32> {
    let mut index = HashTable::with_capacity(entries.len());
    for (i, entry) in entries.iter().enumerate() {
        index.insert_unique(entry.hash, entry_id(i).0, |&i| entries[i as usize].hash);
    }
    index
}

#[cfg(test)]
mod tests;
