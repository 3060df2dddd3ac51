//! Which series a request means, told from the bytes of its labels.
//!
//! A sender writes the labels of a series the same way each time, so the handle is remembered under a hash of those
//! bytes: then neither are labels decoded nor symbols looked up. The hash has 128 bits under a secret of this process;
//! equal hashes are taken for equal labels (of a billion series two share one with a chance of 10⁻²¹).

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashMap;
use model::storage::SeriesRef;
use parking_lot::RwLock;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

/// A hash of the bytes of a label set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SeriesKey(u64, u64);

/// Makes keys.
pub(crate) struct KeyHasher(RapidSecrets, RapidSecrets);

impl KeyHasher {
    /// Returns one with secrets of its own.
    pub(crate) fn new() -> Self {
        let secret = || RapidSecrets::seed(RandomState::new().hash_one(0));
        KeyHasher(secret(), secret())
    }

    /// Returns the key of `bytes`.
    #[inline]
    pub(crate) fn key(&self, bytes: &[u8]) -> SeriesKey {
        SeriesKey(
            rapidhash_v3_seeded(bytes, &self.0),
            rapidhash_v3_seeded(bytes, &self.1),
        )
    }
}

impl SeriesKey {
    /// Returns a quarter of the key.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a part of a hash is wanted"
    )]
    pub(crate) fn short(self) -> u32 {
        self.0 as u32
    }

    /// Appends the key to bytes that a key is made of.
    pub(crate) fn append_to(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.0.to_ne_bytes());
        bytes.extend_from_slice(&self.1.to_ne_bytes());
    }
}

/// What is remembered of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its handle, which may be one of a series that was dropped meanwhile.
    pub(crate) series: SeriesRef,
    /// A hash of the metadata that storage was told, 0 if none.
    pub(crate) metadata: u32,
}

/// How long a generation lasts, in milliseconds.
const GENERATION_MS: i64 = 2 * 3_600_000;

/// How many series a generation has at most; a larger one becomes the old one early.
const GENERATION_SERIES_MAX: usize = 4_000_000;

/// The handles of series that were written to lately: in this generation, which lasts two hours, or the one before.
///
/// Memory: about 40 bytes for each series.
#[derive(Default)]
pub(crate) struct KnownSeries(RwLock<Generations>);

#[derive(Default)]
struct Generations {
    new: HashMap<SeriesKey, Known, KeyIsHash>,
    old: HashMap<SeriesKey, Known, KeyIsHash>,
    began_ms: i64,
}

/// A key is a hash already.
type KeyIsHash = std::hash::BuildHasherDefault<FirstHalf>;

/// Takes the first number that is written for the hash.
#[derive(Default)]
pub(crate) struct FirstHalf(Option<u64>);

impl std::hash::Hasher for FirstHalf {
    fn finish(&self) -> u64 {
        self.0.unwrap_or_default()
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, number: u64) {
        self.0.get_or_insert(number);
    }
}

impl KnownSeries {
    /// Calls `visit` with what is known under each key, and whether it is remembered long enough.
    pub(crate) fn look_up(
        &self,
        keys: impl Iterator<Item = Option<SeriesKey>>,
        mut visit: impl FnMut(Option<(Known, bool)>),
    ) {
        let generations = self.0.read();
        for key in keys {
            visit(key.and_then(|key| {
                let new = generations.new.get(&key).map(|&known| (known, true));
                new.or_else(|| generations.old.get(&key).map(|&known| (known, false)))
            }));
        }
    }

    /// Remembers `series` from `now_ms` on.
    pub(crate) fn remember(&self, series: impl Iterator<Item = (SeriesKey, Known)>, now_ms: i64) {
        let mut generations = self.0.write();
        let is_over = GENERATION_MS < now_ms.saturating_sub(generations.began_ms)
            || now_ms < generations.began_ms;
        if is_over || GENERATION_SERIES_MAX <= generations.new.len() {
            generations.old = std::mem::take(&mut generations.new);
            generations.began_ms = now_ms;
        }
        generations.new.extend(series);
    }

    /// Returns how many entries there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let generations = self.0.read();
        generations.new.len() + generations.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(series: u64) -> Known {
        Known {
            series: SeriesRef(series),
            metadata: 0,
        }
    }

    fn find(all: &KnownSeries, key: SeriesKey) -> Option<(Known, bool)> {
        let mut found = None;
        all.look_up([Some(key)].into_iter(), |known| found = known);
        found
    }

    #[test]
    fn what_is_not_written_any_more_is_forgotten() {
        let (hasher, all) = (KeyHasher::new(), KnownSeries::default());
        let (a, b) = (hasher.key(b"a"), hasher.key(b"b"));
        assert_ne!(a, b);
        all.remember([(a, known(1))].into_iter(), 1);
        assert_eq!(find(&all, a), Some((known(1), true)));
        assert_eq!(find(&all, b), None);
        all.remember([(b, known(2))].into_iter(), GENERATION_MS + 2);
        assert_eq!(find(&all, a), Some((known(1), false)));
        all.remember([].into_iter(), 2 * GENERATION_MS + 3);
        assert_eq!(find(&all, a), None);
        assert_eq!(find(&all, b), Some((known(2), false)));
        assert_eq!(all.len(), 1);
    }
}
