//! Labels: the sorted name/value pairs that identify a series.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The label that holds a series' metric name.
pub const METRIC_NAME: &str = "__name__";

/// An immutable, sorted set of label pairs; cloning shares it.
///
/// # Invariants
///
/// Names are unique and ascending by bytes, and no value is empty: an empty value is the same as no label.
/// Both hold by construction, see [`LabelsBuilder`].
///
/// Ordering compares pair by pair (name, then value, as bytes); of two sets that agree so far the shorter is smaller.
#[derive(Clone, PartialEq, Eq)]
pub struct Labels(Arc<Flat>);

/// All strings of one label set, one after another: name, value, name, value, …
#[derive(PartialEq, Eq, Default)]
struct Flat {
    text: Box<str>,
    /// Where each string ends in `text`; two entries a pair.
    ends: Box<[u32]>,
}

impl Labels {
    /// Returns the label set without labels.
    pub fn empty() -> Self {
        Labels(Arc::default())
    }

    /// Returns the labels of `pairs`, which may come in any order; of a repeated name the last one counts.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut builder = LabelsBuilder::new();
        for (name, value) in pairs {
            builder.set(name, value);
        }
        builder.build()
    }

    /// Returns the labels of pairs that are already ascending by name, unique, and without empty values.
    ///
    /// # Panics
    ///
    /// In debug builds, when they are not.
    pub fn from_sorted<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Self {
        let bytes = pairs
            .clone()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        let mut text = String::with_capacity(bytes);
        let mut ends = Vec::with_capacity(2 * pairs.size_hint().0);
        for (name, value) in pairs {
            for part in [name, value] {
                text.push_str(part);
                ends.push(
                    u32::try_from(text.len()).expect("label sets are bounded far below 4 GiB"),
                );
            }
        }
        let labels = Labels(Arc::new(Flat {
            text: text.into(),
            ends: ends.into(),
        }));
        debug_assert!(
            labels
                .iter()
                .zip(labels.iter().skip(1))
                .all(|(a, b)| a.0 < b.0)
        );
        debug_assert!(labels.iter().all(|(_, value)| !value.is_empty()));
        labels
    }

    /// Returns how many labels there are.
    pub fn len(&self) -> usize {
        self.0.ends.len() / 2
    }

    /// Returns whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.ends.is_empty()
    }

    /// Iterates over the pairs, ascending by name.
    pub fn iter(&self) -> Iter<'_> {
        Iter {
            flat: &self.0,
            next: 0,
        }
    }

    /// Returns the value of `name`, if the label is there. Cost: a linear scan, label sets are short.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|&(n, _)| n == name)
            .map(|(_, value)| value)
    }

    /// Returns the value of `name`, or the empty string, which means the same as absence.
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// Returns the metric name, or the empty string.
    pub fn metric_name(&self) -> &str {
        self.value(METRIC_NAME)
    }

    /// Returns these labels without the ones that `drop` says yes to.
    pub fn without(&self, mut drop: impl FnMut(&str) -> bool) -> Labels {
        let kept: Vec<_> = self.iter().filter(|&(name, _)| !drop(name)).collect();
        if kept.len() == self.len() {
            self.clone()
        } else {
            Labels::from_sorted(kept.into_iter())
        }
    }

    /// Returns a hash of the pairs: equal sets have equal hashes, in this process and build only.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = rapidhash::fast::RapidHasher::default();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// Returns a builder that starts with these labels.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder {
            pairs: self
                .iter()
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
        }
    }

    /// Returns the bytes held on the heap, shared between clones.
    pub fn heap_bytes(&self) -> usize {
        self.0.text.len() + 4 * self.0.ends.len() + size_of::<Flat>() + 2 * size_of::<usize>()
    }
}

/// Iterator over the pairs of a label set, see [`Labels::iter`].
#[derive(Clone)]
pub struct Iter<'a> {
    flat: &'a Flat,
    next: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let ends = self.flat.ends.get(self.next..self.next + 2)?;
        let start = if self.next == 0 {
            0
        } else {
            self.flat.ends[self.next - 1] as usize
        };
        let (name_end, value_end) = (ends[0] as usize, ends[1] as usize);
        self.next += 2;
        Some((
            &self.flat.text[start..name_end],
            &self.flat.text[name_end..value_end],
        ))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.flat.ends.len() - self.next) / 2;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl Default for Labels {
    fn default() -> Self {
        Labels::empty()
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
        self.0.ends.hash(state);
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Prints as PromQL would read it: `name{label="value"}`, with names quoted where they must be.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric_name();
        let bare = crate::name::is_legacy_metric_name(name);
        if bare {
            f.write_str(name)?;
        }
        let rest = self.len() - usize::from(bare);
        if rest == 0 && bare {
            return Ok(());
        }
        f.write_str("{")?;
        let mut separator = "";
        if !name.is_empty() && !bare {
            write!(f, "{}", crate::name::Quoted(name))?;
            separator = ", ";
        }
        for (name, value) in self.iter().filter(|&(name, _)| name != METRIC_NAME) {
            let quoted = crate::name::Quoted(value);
            if crate::name::is_legacy_label_name(name) {
                write!(f, "{separator}{name}={quoted}")?;
            } else {
                write!(f, "{separator}{}={quoted}", crate::name::Quoted(name))?;
            }
            separator = ", ";
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Collects label pairs in any order and turns them into [`Labels`].
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    /// Unique by name, in no order; empty values are dropped by `set`.
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// Returns a builder without labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `name` to `value`; an empty value removes the label.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        if value.is_empty() {
            return self.remove(name);
        }
        match self.pairs.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.pairs.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Removes the label `name`, if it is there.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|(n, _)| n != name);
        self
    }

    /// Keeps only the labels whose name and value `keep` says yes to.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) -> &mut Self {
        self.pairs.retain(|(name, value)| keep(name, value));
        self
    }

    /// Returns the value of `name`, if the label is there.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// Iterates over the pairs in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// Returns how many labels are set.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Returns whether no label is set.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Returns the labels, sorted.
    pub fn build(&mut self) -> Labels {
        self.pairs.sort_unstable();
        Labels::from_sorted(self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_display(pairs: &[(&str, &str)], expected: &str) {
        assert_eq!(
            Labels::from_pairs(pairs.iter().copied()).to_string(),
            expected
        );
    }

    #[test]
    fn prints_as_promql() {
        check_display(&[], "{}");
        check_display(&[("__name__", "up")], "up");
        check_display(&[("job", "a\"b"), ("__name__", "up")], r#"up{job="a\"b"}"#);
        check_display(
            &[("__name__", "my.metric"), ("l.x", "y")],
            r#"{"my.metric", "l.x"="y"}"#,
        );
    }

    #[test]
    fn sorts_and_drops_empty_values() {
        let labels = Labels::from_pairs([("b", "2"), ("a", "1"), ("c", ""), ("b", "3")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "3")]);
        assert_eq!(labels.get("b"), Some("3"));
        assert_eq!(labels.get("c"), None);
        assert_eq!(labels.len(), 2);
    }

    #[test]
    fn order_is_pairwise_and_shorter_first() {
        let l = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
        let ascending = [
            l(&[]),
            l(&[("a", "1")]),
            l(&[("a", "1"), ("b", "1")]),
            l(&[("a", "2")]),
            l(&[("b", "0")]),
        ];
        assert!(ascending.is_sorted());
    }

    #[test]
    fn boundaries_count_in_equality_and_hash() {
        let one = Labels::from_pairs([("ab", "c")]);
        let two = Labels::from_pairs([("a", "bc")]);
        assert_ne!(one, two);
        assert_ne!(one.fingerprint(), two.fingerprint());
    }

    #[test]
    fn without_shares_when_nothing_goes() {
        let labels = Labels::from_pairs([("a", "1"), ("b", "2")]);
        assert_eq!(labels.without(|name| name == "a").to_string(), r#"{b="2"}"#);
        assert!(Arc::ptr_eq(&labels.without(|_| false).0, &labels.0));
    }
}
