//! Which series belong together: the groups of aggregations and the match groups of binary operators.

use std::hash::{Hash, Hasher};

use hashbrown::HashTable;
use model::labels::{Rest, RestBuffer};
use model::{Labels, LabelsBuilder};
use rapidhash::fast::RapidHasher;

use crate::row::{Meta, RESERVED};

const METRIC_NAME: &str = RESERVED[0];

/// Which labels make a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    /// The labels that count (`by`, `on`), or those that do not (`without`, `ignoring`).
    pub(crate) labels: &'a [String],
    /// Whether `labels` are those that count. If not, the metric name does not count either.
    pub(crate) counts: bool,
    /// Whether name removal is delayed.
    pub(crate) delayed: bool,
}

impl Key<'_> {
    fn has(&self, name: &str) -> bool {
        if self.counts {
            self.labels.iter().any(|label| label == name)
        } else {
            name != METRIC_NAME && !self.labels.iter().any(|label| label == name)
        }
    }

    /// Does `f` with the labels of `meta` that count, as one piece; `buffer` may be used for it.
    fn with_piece<R>(
        &self,
        meta: &Meta,
        buffer: &mut RestBuffer,
        f: impl FnOnce(Rest<'_>) -> R,
    ) -> R {
        let hides_reserved = meta.drop_name && !self.delayed;
        if !self.counts && self.labels.is_empty() {
            let is_hidden =
                |name: &str| name == METRIC_NAME || hides_reserved && RESERVED.contains(&name);
            return meta.with_others(is_hidden, f);
        }
        let counts = |name: &str| self.has(name) && !(hides_reserved && RESERVED.contains(&name));
        // Mostly those that count are the last.
        match meta.labels.last_ones(counts) {
            Some(piece) => f(piece),
            None => f(buffer.fill(meta.labels.iter().filter(|(name, _)| counts(name)))),
        }
    }
}

/// What was numbered, by a hash of what it is equal by.
#[derive(Debug, Default)]
pub(crate) struct ByHash(HashTable<(u64, usize)>);

impl ByHash {
    pub(crate) fn with_capacity(count: usize) -> Self {
        ByHash(HashTable::with_capacity(count))
    }

    /// Returns the number of what `is_equal` says yes to among what has the hash of `rest`; `number` becomes it if there is
    /// none.
    pub(crate) fn number_of(
        &mut self,
        rest: Rest<'_>,
        number: usize,
        is_equal: impl Fn(usize) -> bool,
    ) -> usize {
        let mut hasher = RapidHasher::default();
        rest.hash(&mut hasher);
        let hash = hasher.finish();
        let entry = self.0.entry(
            hash,
            |&(other, known)| other == hash && is_equal(known),
            |&(other, _)| other,
        );
        entry.or_insert((hash, number)).get().1
    }
}

/// Numbers groups, from 0 in order of appearance.
#[derive(Debug)]
pub(crate) struct Groups<'a> {
    key: Key<'a>,
    by_hash: ByHash,
    /// The labels of each group.
    pub(crate) labels: Vec<Labels>,
    /// The group of the series before: the next one is often in it too.
    last: usize,
    buffer: RestBuffer,
}

impl<'a> Groups<'a> {
    pub(crate) fn new(key: Key<'a>) -> Self {
        Groups {
            key,
            by_hash: ByHash::default(),
            labels: Vec::new(),
            last: 0,
            buffer: RestBuffer::default(),
        }
    }

    /// Returns the number of the group that each of `series` is in; new ones if need be.
    pub(crate) fn of(&mut self, series: &[Meta]) -> Vec<usize> {
        if self.key.counts && self.key.labels.is_empty() {
            // One group of all.
            if self.labels.is_empty() && !series.is_empty() {
                self.labels.push(Labels::empty());
            }
            return vec![0; series.len()];
        }
        let mut before: Option<&Meta> = None;
        let groups = series.iter().map(|meta| {
            // What is pruned is often the same, and then one piece of memory.
            let is_same =
                |before: &Meta| before.drop_name == meta.drop_name && before.labels == meta.labels;
            if !before.is_some_and(is_same) {
                self.last = self.find(meta);
            }
            before = Some(meta);
            self.last
        });
        groups.collect()
    }

    fn find(&mut self, meta: &Meta) -> usize {
        let (labels, by_hash, last) = (&mut self.labels, &mut self.by_hash, self.last);
        self.key.with_piece(meta, &mut self.buffer, |piece| {
            let is_in = |group: usize| labels[group].rest(0) == piece;
            if last < labels.len() && is_in(last) {
                return last;
            }
            let next = labels.len();
            let number = by_hash.number_of(piece, next, is_in);
            if number == next {
                labels.push(piece.to_labels());
            }
            number
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }
}

/// Returns `labels` with `name` set to `value`; empty removes it.
pub(crate) fn with_label(labels: &Labels, name: &str, value: &str) -> Labels {
    let mut builder: LabelsBuilder = labels.to_builder();
    builder.set(name, value).build()
}

/// Prints labels as error messages do: the name as a label like the others.
pub(crate) fn describe(labels: &Labels) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| {
            let name = crate::print::label(name);
            format!("{name}={}", model::name::Quoted(value))
        })
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The labels that count, one by one.
    fn plainly<'m>(key: &Key<'_>, meta: &'m Meta) -> Vec<(&'m str, &'m str)> {
        let visible = meta.visible(key.delayed);
        let counts = |name: &str| key.labels.iter().any(|label| label == name) == key.counts;
        let counting =
            visible.filter(|&(name, _)| counts(name) && (key.counts || name != METRIC_NAME));
        counting.collect()
    }

    proptest! {
        #[test]
        fn groups_are_as_one_by_one(
            sets in proptest::collection::vec(
                (
                    proptest::collection::btree_map("[abc]|__name__|__unit__|Z", "[xy]", 0..5),
                    any::<bool>(),
                ),
                0..12,
            ),
            names in proptest::collection::vec("[abc]|__name__|Z", 0..3),
            counts: bool, delayed: bool,
        ) {
            let metas = sets.iter().map(|(set, drop_name)| Meta {
                drop_name: *drop_name,
                ..Meta::new(Labels::from_pairs(set.iter().map(|(n, v)| (n.as_str(), v.as_str()))))
            });
            let metas: Vec<Meta> = metas.collect();
            let key = Key { labels: &names, counts, delayed };
            let mut groups = Groups::new(key);
            let ids = groups.of(&metas);
            let mut known: Vec<Vec<(&str, &str)>> = Vec::new();
            for (meta, id) in metas.iter().zip(ids) {
                let pairs = plainly(&key, meta);
                let at = known.iter().position(|other| *other == pairs);
                let expected = at.unwrap_or(known.len());
                prop_assert_eq!(id, expected);
                prop_assert!(groups.labels[id].iter().eq(pairs.iter().copied()));
                if at.is_none() {
                    known.push(pairs);
                }
            }
            prop_assert_eq!(groups.len(), known.len());
        }
    }
}
