//! What is known of the metrics of series: type, help and unit, the newest that was said.
//!
//! Series of one metric say the same, so each distinct value is held once; a series holds a pointer.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use model::metadata::Metadata;
use rapidhash::fast::RandomState;

/// How many distinct values there are at least before those are thrown out that nobody holds any more.
const SWEEP_MIN: usize = 1_024;

/// Metadata by the id of a series.
#[derive(Debug, Default)]
pub struct MetadataStore {
    by_series: HashMap<u64, Arc<Metadata>, RandomState>,
    distinct: HashSet<Arc<Metadata>, RandomState>,
    /// The size at which `distinct` is swept.
    sweep_at: usize,
}

impl MetadataStore {
    /// Remembers `metadata` for the series `id`; returns whether that is news.
    pub fn set(&mut self, id: u64, metadata: &Metadata) -> bool {
        let known = self.by_series.get(&id);
        if known.is_some_and(|known| **known == *metadata) {
            return false;
        }
        let shared = match self.distinct.get(metadata) {
            Some(shared) => Arc::clone(shared),
            None => self.add(metadata),
        };
        self.by_series.insert(id, shared);
        true
    }

    /// Returns what is known of the series `id`.
    pub fn get(&self, id: u64) -> Option<&Arc<Metadata>> {
        self.by_series.get(&id)
    }

    /// Returns what is known, by the ids of series, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Metadata)> {
        self.by_series
            .iter()
            .map(|(&id, metadata)| (id, &**metadata))
    }

    /// Forgets a series that is gone.
    pub fn drop_series(&mut self, id: u64) {
        self.by_series.remove(&id);
    }

    /// Returns how many series something is known of, and how many distinct values there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.by_series.len(), self.distinct.len())
    }

    fn add(&mut self, metadata: &Metadata) -> Arc<Metadata> {
        if self.sweep_at.max(SWEEP_MIN) <= self.distinct.len() {
            self.distinct.retain(|shared| 1 < Arc::strong_count(shared));
            self.sweep_at = 2 * self.distinct.len();
        }
        let shared = Arc::new(metadata.clone());
        self.distinct.insert(Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::metadata::MetricType;

    fn metadata(help: &str) -> Metadata {
        Metadata {
            kind: MetricType::Counter,
            help: help.to_owned(),
            unit: String::new(),
        }
    }

    #[test]
    fn equal_values_are_held_once() {
        let mut store = MetadataStore::default();
        assert!(store.set(1, &metadata("a")) && store.set(2, &metadata("a")));
        assert!(!store.set(1, &metadata("a")), "no news");
        assert_eq!(store.counts(), (2, 1));
        assert!(store.set(1, &metadata("b")));
        assert_eq!(store.get(1).unwrap().help, "b");
        store.drop_series(1);
        assert_eq!(store.get(1), None);
    }

    #[test]
    fn what_nobody_holds_is_thrown_out() {
        let mut store = MetadataStore::default();
        for version in 0..10_000 {
            store.set(1, &metadata(&version.to_string()));
        }
        assert!(store.counts().1 <= SWEEP_MIN + 1, "{:?}", store.counts());
    }
}
