//! Which series belong together: the groups of aggregations and the match groups of binary operators.

use std::hash::{Hash, Hasher};

use hashbrown::HashTable;
use model::labels::Rest;
use model::{Labels, LabelsBuilder};
use rapidhash::fast::RapidHasher;

use crate::row::Meta;

const METRIC_NAME: &str = "__name__";

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

    /// Whether all labels but the name count.
    fn is_all(&self) -> bool {
        !self.counts && self.labels.is_empty()
    }

    /// The labels of `meta` that count.
    fn pairs<'m>(&'m self, meta: &'m Meta) -> impl Iterator<Item = (&'m str, &'m str)> + Clone {
        meta.visible(self.delayed)
            .filter(|(name, _)| self.has(name))
    }

    /// The labels of the group that `meta` is in.
    pub(crate) fn labels_of(&self, meta: &Meta) -> Labels {
        Labels::from_sorted(self.pairs(meta))
    }
}

/// What was numbered, by a hash of what it is equal by.
#[derive(Debug, Default)]
pub(crate) struct ByHash(HashTable<(u64, usize)>);

impl ByHash {
    pub(crate) fn with_capacity(count: usize) -> Self {
        ByHash(HashTable::with_capacity(count))
    }

    /// Returns the number of what `is_equal` says yes to among those of the same hash; `number` becomes it if there is none.
    pub(crate) fn number_of<'a>(
        &mut self,
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
        number: usize,
        is_equal: impl Fn(usize) -> bool,
    ) -> usize {
        let mut hasher = RapidHasher::default();
        for pair in pairs {
            pair.hash(&mut hasher);
        }
        self.number_at(hasher.finish(), number, is_equal)
    }

    /// The same of what is one piece. A table numbers by either, not by both.
    pub(crate) fn number_of_rest(
        &mut self,
        rest: Rest<'_>,
        number: usize,
        is_equal: impl Fn(usize) -> bool,
    ) -> usize {
        let mut hasher = RapidHasher::default();
        rest.hash(&mut hasher);
        self.number_at(hasher.finish(), number, is_equal)
    }

    fn number_at(&mut self, hash: u64, number: usize, is_equal: impl Fn(usize) -> bool) -> usize {
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
}

impl<'a> Groups<'a> {
    pub(crate) fn new(key: Key<'a>) -> Self {
        Groups {
            key,
            by_hash: ByHash::default(),
            labels: Vec::new(),
            last: 0,
        }
    }

    /// Returns the number of the group that `meta` is in; a new one if need be.
    pub(crate) fn of(&mut self, meta: &Meta) -> usize {
        if self.key.is_all() {
            return self.of_all(meta);
        }
        if self.is_in(meta, self.last) {
            return self.last;
        }
        self.last = self.find(meta);
        self.last
    }

    fn of_all(&mut self, meta: &Meta) -> usize {
        let (labels, by_hash) = (&mut self.labels, &mut self.by_hash);
        meta.with_rest(self.key.delayed, &[METRIC_NAME], |rest| {
            let next = labels.len();
            let number = by_hash.number_of_rest(rest, next, |group| labels[group].rest(0) == rest);
            if number == next {
                labels.push(rest.to_labels());
            }
            number
        })
    }

    fn is_in(&self, meta: &Meta, group: usize) -> bool {
        let labels = self.labels.get(group);
        labels.is_some_and(|labels| labels.iter().eq(self.key.pairs(meta)))
    }

    fn find(&mut self, meta: &Meta) -> usize {
        let next = self.labels.len();
        let number = self.by_hash.number_of(self.key.pairs(meta), next, |group| {
            self.labels[group].iter().eq(self.key.pairs(meta))
        });
        if number == next {
            self.labels.push(self.key.labels_of(meta));
        }
        number
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
