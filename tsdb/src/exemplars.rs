//! Exemplars: the newest ones of all series together, in memory and in the WAL.
//!
//! ```text
//! ring    oldest ─► … ─► newest              at most so many, of all series
//! series  oldest ─next─► … ─next─► newest    ascending in time
//! ```
//!
//! # Invariants
//!
//! 1. The ring holds at most as many as it was told; a new one pushes out the oldest.
//! 2. The exemplars of a series ascend by time, then value, then labels.
//! 3. What belongs to a series that is gone takes its place in the ring without labels until it is pushed out.
//!
//! Memory: about 40 bytes and the labels for each exemplar, taken as they come.
//!
//! Source: what Prometheus takes and refuses.

use std::cmp::Ordering;
use std::collections::VecDeque;

use hashbrown::HashMap;
use model::exemplar::LABELS_RUNES_MAX;
use model::labels::Labels;
use rapidhash::fast::RandomState;

/// An exemplar as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredExemplar {
    /// Milliseconds since the epoch.
    pub t: i64,
    /// The observed value.
    pub value: f64,
    /// Its own labels.
    pub labels: Labels,
}

/// Why an exemplar is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is the series' newest one again, which is no fault.
    Known,
    /// It is older than the series' newest one.
    OutOfOrder,
    /// Its labels are longer than [`LABELS_RUNES_MAX`].
    TooLong,
}

/// Ids of series and their exemplars.
#[derive(Debug, Default)]
pub struct Exemplars {
    capacity: usize,
    ring: VecDeque<Entry>,
    /// The number of the oldest in the ring; numbers ascend and are not used again.
    first: u64,
    series: HashMap<u64, Ends, RandomState>,
    /// Entries whose series is gone.
    dead: usize,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    exemplar: StoredExemplar,
    /// The number of the next of its series.
    next: Option<u64>,
}

/// The first and last exemplar of a series, by number.
#[derive(Clone, Copy, Debug)]
struct Ends {
    slot: u32,
    oldest: u64,
    newest: u64,
}

impl Exemplars {
    /// Returns a ring for `capacity` exemplars; none are kept with 0.
    pub fn new(capacity: usize) -> Self {
        Exemplars {
            capacity,
            ..Exemplars::default()
        }
    }

    /// Returns how many are kept at most.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Keeps up to `capacity` from now on; if there are more, the oldest go.
    pub fn resize(&mut self, capacity: usize) {
        self.capacity = capacity;
        while capacity < self.ring.len() {
            self.push_out();
        }
        self.ring.shrink_to(capacity);
    }

    /// Says whether the series `id` can take `exemplar`.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub fn check(&self, id: u64, exemplar: &StoredExemplar) -> Result<(), Refusal> {
        let runes: usize = exemplar
            .labels
            .iter()
            .map(|(name, value)| name.chars().count() + value.chars().count())
            .sum();
        if LABELS_RUNES_MAX < runes {
            return Err(Refusal::TooLong);
        }
        let Some(newest) = self.series.get(&id).map(|ends| self.at(ends.newest)) else {
            return Ok(());
        };
        match order(exemplar, &newest.exemplar) {
            Ordering::Less => Err(Refusal::OutOfOrder),
            Ordering::Equal => Err(Refusal::Known),
            Ordering::Greater => Ok(()),
        }
    }

    /// Returns whether the newest exemplar of the series `id` has these labels and this value, at whatever time.
    pub fn is_newest(&self, id: u64, labels: &Labels, value: f64) -> bool {
        let newest = self.series.get(&id).map(|ends| self.at(ends.newest));
        newest.is_some_and(|entry| {
            let newest = &entry.exemplar;
            newest.labels == *labels && newest.value.to_bits() == value.to_bits()
        })
    }

    /// Adds an exemplar of the series `id`, which is in `slot`; the oldest of all makes room.
    ///
    /// # Errors
    ///
    /// As [`check`](Exemplars::check).
    pub fn push(&mut self, id: u64, slot: u32, exemplar: StoredExemplar) -> Result<(), Refusal> {
        self.check(id, &exemplar)?;
        if self.capacity == 0 {
            return Ok(());
        }
        if self.capacity <= self.ring.len() {
            self.push_out();
        }
        let number = self.first + self.ring.len() as u64;
        let ends = self.series.entry(id).or_insert(Ends {
            slot,
            oldest: number,
            newest: number,
        });
        let before = std::mem::replace(&mut ends.newest, number);
        if before != number {
            let at = place(self.first, before);
            self.ring[at].next = Some(number);
        }
        self.ring.push_back(Entry {
            id,
            exemplar,
            next: None,
        });
        Ok(())
    }

    /// Forgets the exemplars of a series that is gone.
    pub fn drop_series(&mut self, id: u64) {
        let Some(ends) = self.series.remove(&id) else {
            return;
        };
        let mut number = Some(ends.oldest);
        while let Some(at) = number.map(|number| place(self.first, number)) {
            let entry = &mut self.ring[at];
            entry.id = 0;
            entry.exemplar.labels = Labels::empty();
            number = entry.next.take();
            self.dead += 1;
        }
    }

    /// Returns all of them with the ids of their series, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &StoredExemplar)> {
        let living = self.ring.iter().filter(|entry| entry.id != 0);
        living.map(|entry| (entry.id, &entry.exemplar))
    }

    /// Returns the ids and slots of the series that have exemplars, in no order.
    pub fn series(&self) -> impl Iterator<Item = (u64, u32)> {
        self.series.iter().map(|(&id, ends)| (id, ends.slot))
    }

    /// Returns the exemplars of a series in `mint..=maxt`, ascending.
    pub fn of_series(&self, id: u64, mint: i64, maxt: i64) -> Vec<StoredExemplar> {
        let first = self.series.get(&id).map(|ends| ends.oldest);
        std::iter::successors(first, |&number| self.at(number).next)
            .map(|number| &self.at(number).exemplar)
            .filter(|exemplar| mint <= exemplar.t && exemplar.t <= maxt)
            .cloned()
            .collect()
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.ring.len() - self.dead
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many series have exemplars.
    pub fn series_count(&self) -> usize {
        self.series.len()
    }

    /// Returns the time of the one that came first.
    pub fn oldest_t(&self) -> Option<i64> {
        let mut living = self.ring.iter().filter(|entry| entry.id != 0);
        living.next().map(|entry| entry.exemplar.t)
    }

    fn at(&self, number: u64) -> &Entry {
        &self.ring[place(self.first, number)]
    }

    /// Forgets the oldest of all.
    fn push_out(&mut self) {
        let Some(entry) = self.ring.pop_front() else {
            return;
        };
        self.first += 1;
        if entry.id == 0 {
            self.dead -= 1;
        } else if let Some(next) = entry.next {
            let ends = self.series.get_mut(&entry.id);
            ends.expect("a living entry's series is known").oldest = next;
        } else {
            self.series.remove(&entry.id);
        }
    }
}

/// Returns where the entry with this number is in a ring that begins with the number `first`.
fn place(first: u64, number: u64) -> usize {
    usize::try_from(number - first).expect("an index of the ring")
}

/// Compares by time, then value, then labels.
fn order(a: &StoredExemplar, b: &StoredExemplar) -> Ordering {
    let by_value = || a.value.total_cmp(&b.value);
    let by_labels = || a.labels.cmp(&b.labels);
    a.t.cmp(&b.t).then_with(by_value).then_with(by_labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exemplar(t: i64, value: f64) -> StoredExemplar {
        StoredExemplar {
            t,
            value,
            labels: Labels::from_pairs([("trace_id", "x")]),
        }
    }

    fn times(exemplars: &Exemplars, id: u64) -> Vec<i64> {
        let found = exemplars.of_series(id, i64::MIN, i64::MAX);
        found.iter().map(|exemplar| exemplar.t).collect()
    }

    #[test]
    fn the_oldest_of_all_makes_room() {
        let mut exemplars = Exemplars::new(3);
        for (id, t) in [(1, 10), (2, 5), (1, 11), (1, 12)] {
            assert_eq!(exemplars.push(id, 0, exemplar(t, 1.0)), Ok(()));
        }
        assert_eq!(times(&exemplars, 1), [11, 12]);
        assert_eq!(times(&exemplars, 2), [5]);
        assert_eq!((exemplars.len(), exemplars.oldest_t()), (3, Some(5)));
        exemplars.resize(1);
        assert_eq!(
            (times(&exemplars, 1), exemplars.series_count()),
            (vec![12], 1)
        );
        exemplars.resize(2);
        exemplars.push(2, 0, exemplar(6, 1.0)).unwrap();
        assert_eq!((exemplars.len(), times(&exemplars, 2)), (2, vec![6]));
    }

    #[test]
    fn order_within_a_series() {
        let mut exemplars = Exemplars::new(9);
        exemplars.push(1, 0, exemplar(10, 1.0)).unwrap();
        let mut push = |t, value| exemplars.push(1, 0, exemplar(t, value));
        assert_eq!(push(10, 1.0), Err(Refusal::Known));
        assert_eq!(push(9, 1.0), Err(Refusal::OutOfOrder));
        assert_eq!(push(10, 0.5), Err(Refusal::OutOfOrder));
        assert_eq!(push(10, 2.0), Ok(()));
        let long = StoredExemplar {
            labels: Labels::from_pairs([("é", "é".repeat(128).as_str())]),
            ..exemplar(11, 1.0)
        };
        assert_eq!(exemplars.push(1, 0, long.clone()), Err(Refusal::TooLong));
        let labels = Labels::from_pairs([("é", "é".repeat(127).as_str())]);
        assert_eq!(
            exemplars.push(1, 0, StoredExemplar { labels, ..long }),
            Ok(())
        );
    }

    #[test]
    fn none_are_kept_when_there_is_no_room() {
        let mut exemplars = Exemplars::new(0);
        assert_eq!(exemplars.push(1, 0, exemplar(10, 1.0)), Ok(()));
        assert!(exemplars.is_empty());
    }

    proptest! {
        /// The lists agree with a plain list of everything.
        #[test]
        fn agrees_with_a_list(steps in prop::collection::vec((0u8..20, 1u64..4), 0..60)) {
            let mut exemplars = Exemplars::new(7);
            let mut plain: Vec<(u64, i64)> = Vec::new();
            for (t, (what, id)) in (0..).zip(steps) {
                if what == 0 {
                    exemplars.drop_series(id);
                    plain.iter_mut().filter(|(of, _)| *of == id).for_each(|entry| entry.0 = 0);
                } else {
                    exemplars.push(id, 0, exemplar(t, 1.0)).unwrap();
                    plain.push((id, t));
                    let old = plain.len().saturating_sub(7);
                    plain.drain(..old);
                }
                for id in 1..4 {
                    let expected: Vec<i64> = plain.iter().filter(|(of, _)| *of == id).map(|&(_, t)| t).collect();
                    prop_assert_eq!(times(&exemplars, id), expected);
                }
                prop_assert_eq!(exemplars.len(), plain.iter().filter(|(id, _)| *id != 0).count());
            }
        }
    }
}
