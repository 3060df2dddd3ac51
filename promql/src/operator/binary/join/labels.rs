//! The labels of what two series give together.

use model::Labels;
use smallvec::SmallVec;

use crate::ast::{Cardinality, VectorMatching};
use crate::row::{Meta, RESERVED};

/// How labels of results are made.
pub(super) struct Result<'a> {
    pub(super) matching: &'a VectorMatching,
    pub(super) drops_name: bool,
    pub(super) delayed: bool,
}

impl Result<'_> {
    /// The series that `many` and `one` give.
    pub(super) fn of(&self, many: &Meta, one: &Meta) -> Meta {
        let drop_name = many.drop_name || self.drops_name;
        let matching = self.matching;
        let one_to_one = matching.cardinality == Cardinality::OneToOne;
        let unchanged = one_to_one && !matching.on && matching.labels.is_empty();
        if unchanged || !one_to_one && matching.include.is_empty() {
            return Meta {
                drop_name,
                ..many.clone()
            };
        }
        let kept = match one_to_one {
            true => many.labels.without(|name| {
                let kept = matching.labels.iter().any(|label| label == name) == matching.on;
                // The mark "drop the name" needs the name to be there until the end.
                !(kept || self.delayed && drop_name && !matching.on && RESERVED.contains(&name))
            }),
            false => many.labels.clone(),
        };
        let mut labels = self.with_included(kept, one);
        // Labels that are matched on are all there, and here that is all that there is.
        let is_pruned = many.is_pruned && !(one_to_one && matching.on);
        let named_by_include = matching.include.iter().any(|name| name == RESERVED[0]);
        if named_by_include && drop_name && !self.delayed {
            // A name taken from the other side stays; the own one is gone before.
            let taken = one.value(RESERVED[0], self.delayed).to_owned();
            labels = labels.without(|name| RESERVED.contains(&name));
            labels = labels.to_builder().set(RESERVED[0], &taken).build();
            return Meta {
                labels,
                drop_name: false,
                is_pruned,
            };
        }
        Meta {
            labels,
            drop_name,
            is_pruned,
        }
    }

    /// The series that `many` gives without a counterpart: it has no samples, and is as different from the others as they are
    /// from each other.
    pub(super) fn alone(&self, many: &Meta) -> Meta {
        if self.matching.cardinality == Cardinality::OneToOne {
            return self.of(many, &Meta::new(Labels::empty()));
        }
        Meta {
            drop_name: many.drop_name || self.drops_name,
            ..many.clone()
        }
    }

    /// Returns `labels` with those of `one` that are included.
    fn with_included(&self, labels: Labels, one: &Meta) -> Labels {
        let include = &self.matching.include;
        if include.is_empty() {
            return labels;
        }
        let own = labels.iter();
        let own = own.filter(|(name, _)| !include.iter().any(|other| other == name));
        let mut pairs: SmallVec<[(&str, &str); 32]> = own.collect();
        let taken = include
            .iter()
            .map(|name| (name.as_str(), one.value(name, self.delayed)));
        pairs.extend(taken.filter(|(_, value)| !value.is_empty()));
        pairs.sort_unstable_by_key(|&(name, _)| name);
        // A label may be included twice.
        pairs.dedup();
        Labels::from_sorted(pairs.iter().copied())
    }
}
