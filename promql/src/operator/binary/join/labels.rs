//! The labels of what two series give together.

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
                labels: many.labels.clone(),
                drop_name,
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
        let mut builder = kept.to_builder();
        for name in &matching.include {
            builder.set(name, one.value(name, self.delayed));
        }
        let named_by_include = matching.include.iter().any(|name| name == RESERVED[0]);
        let mut labels = builder.build();
        if named_by_include && drop_name && !self.delayed {
            // A name taken from the other side stays; the own one is gone before.
            let taken = one.value(RESERVED[0], self.delayed).to_owned();
            labels = labels.without(|name| RESERVED.contains(&name));
            labels = labels.to_builder().set(RESERVED[0], &taken).build();
            return Meta {
                labels,
                drop_name: false,
            };
        }
        Meta { labels, drop_name }
    }
}
