//! Postings: ascending lists of series slots, and what can be done with them.

use std::borrow::Cow;

/// Returns the slots that are in both lists. Both are ascending.
///
/// Cost: linear when the lengths are alike, a search per element of the shorter list otherwise.
pub fn intersect(a: &[u32], b: &[u32]) -> Vec<u32> {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut out = Vec::with_capacity(short.len());
    let mut rest = long;
    for &slot in short {
        let skip = gallop(rest, slot);
        rest = &rest[skip..];
        match rest.first() {
            Some(&found) if found == slot => out.push(slot),
            Some(_) => {}
            None => break,
        }
    }
    out
}

/// Returns the slots of `a` that are not in `b`. Both are ascending.
pub fn subtract(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut rest = b;
    let mut out = Vec::with_capacity(a.len());
    for &slot in a {
        let skip = gallop(rest, slot);
        rest = &rest[skip..];
        if rest.first() != Some(&slot) {
            out.push(slot);
        }
    }
    out
}

/// Returns the slots that are in any of the lists, each once, ascending. One list is not copied.
pub fn union<'a>(lists: &[&'a [u32]]) -> Cow<'a, [u32]> {
    match lists {
        [] => Cow::default(),
        [one] => Cow::Borrowed(one),
        _ => {
            let mut all = lists.concat();
            all.sort_unstable();
            all.dedup();
            all.into()
        }
    }
}

/// Returns how many elements at the start of `list` are below `slot`, looking near the start first.
fn gallop(list: &[u32], slot: u32) -> usize {
    let mut bound = 1;
    while bound < list.len() && list[bound] < slot {
        bound *= 2;
    }
    let from = bound / 2;
    let to = (bound + 1).min(list.len());
    from.min(to) + list[from.min(to)..to].partition_point(|&s| s < slot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set() -> impl Strategy<Value = BTreeSet<u32>> {
        prop_oneof![
            prop::collection::btree_set(0u32..60, 0..40),
            prop::collection::btree_set(0u32..2000, 0..5)
        ]
    }

    proptest! {
        #[test]
        fn agree_with_sets(a in set(), b in set(), c in set()) {
            let lists = [&a, &b, &c].map(|s| s.iter().copied().collect::<Vec<_>>());
            let [x, y, z] = [&lists[0][..], &lists[1], &lists[2]];
            prop_assert_eq!(intersect(x, y), a.intersection(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(subtract(x, y), a.difference(&b).copied().collect::<Vec<_>>());
            let all: Vec<u32> = a.iter().chain(&b).chain(&c).copied().collect::<BTreeSet<_>>().into_iter().collect();
            prop_assert_eq!(union(&[x, y, z]).into_owned(), all);
        }
    }
}
