//! Which series belong together: the groups of aggregations and the match groups of binary operators.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

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

/// Numbers groups, from 0 in order of appearance.
#[derive(Debug)]
pub(crate) struct Groups<'a> {
    key: Key<'a>,
    by_hash: HashMap<u64, Vec<usize>>,
    /// The labels of each group.
    pub(crate) labels: Vec<Labels>,
    /// The group of the series before: the next one is often in it too.
    last: usize,
}

impl<'a> Groups<'a> {
    pub(crate) fn new(key: Key<'a>) -> Self {
        Groups {
            key,
            by_hash: HashMap::new(),
            labels: Vec::new(),
            last: 0,
        }
    }

    /// Returns the number of the group that `meta` is in; a new one if need be.
    pub(crate) fn of(&mut self, meta: &Meta) -> usize {
        if self.is_in(meta, self.last) {
            return self.last;
        }
        self.last = self.find(meta);
        self.last
    }

    fn is_in(&self, meta: &Meta, group: usize) -> bool {
        let labels = self.labels.get(group);
        labels.is_some_and(|labels| labels.iter().eq(self.key.pairs(meta)))
    }

    fn find(&mut self, meta: &Meta) -> usize {
        let mut hasher = RapidHasher::default();
        for pair in self.key.pairs(meta) {
            pair.hash(&mut hasher);
        }
        let candidates = self.by_hash.entry(hasher.finish()).or_default();
        let known = candidates
            .iter()
            .find(|&&group| self.labels[group].iter().eq(self.key.pairs(meta)));
        if let Some(&group) = known {
            return group;
        }
        candidates.push(self.labels.len());
        self.labels.push(self.key.labels_of(meta));
        self.labels.len() - 1
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
