//! Labels: the sorted name/value pairs that identify a series.

use std::cell::Cell;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use smallvec::SmallVec;

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
pub struct Labels(Arc<str>);

/// How many bits of a number are in one byte; see [`push_number`].
const BITS: u32 = 6;
/// Says that another byte of the number follows.
const MORE: u8 = 1 << BITS;

/// Writes a number as bytes of [`BITS`] bits, the lowest first: text, since they are all ASCII.
///
/// A label set is one text and one allocation: how many pairs there are, and for each string how long it is before it. The
/// text of no pairs is empty.
fn push_number(text: &mut String, mut number: usize) {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the bits of one byte are taken"
    )]
    let byte_of = |number: usize| (number & usize::from(MORE - 1)) as u8;
    while usize::from(MORE) <= number {
        text.push(char::from(byte_of(number) | MORE));
        number >>= BITS;
    }
    text.push(char::from(byte_of(number)));
}

#[inline]
fn push_pair(text: &mut String, (name, value): (&str, &str)) {
    for part in [name, value] {
        push_number(text, part.len());
        text.push_str(part);
    }
}

/// Reads the number at `at` and returns it and where it ends; 0 at the end of the text.
#[inline]
fn number_at(text: &str, at: usize) -> (usize, usize) {
    match text.as_bytes().get(at) {
        Some(&byte) if byte < MORE => (usize::from(byte), at + 1),
        Some(_) => long_number_at(text, at),
        None => (0, at),
    }
}

/// The same where the number may have several bytes.
#[cold]
fn long_number_at(text: &str, mut at: usize) -> (usize, usize) {
    let (mut number, mut shift) = (0, 0);
    while let Some(&byte) = text.as_bytes().get(at) {
        at += 1;
        number |= usize::from(byte & (MORE - 1)) << shift;
        if byte < MORE {
            break;
        }
        shift += BITS;
    }
    (number, at)
}

/// How many bytes [`SCRATCH`] keeps: one huge set is not held for ever.
const SCRATCH_MAX: usize = 64 << 10;

thread_local! {
    /// Where a label set is put together.
    static SCRATCH: Cell<String> = const { Cell::new(String::new()) };
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
        let labels = Labels::put_together(pairs.clone().count(), |text| {
            pairs.for_each(|pair| push_pair(text, pair));
        });
        debug_assert!(
            labels
                .iter()
                .zip(labels.iter().skip(1))
                .all(|(a, b)| a.0 < b.0)
        );
        debug_assert!(labels.iter().all(|(_, value)| !value.is_empty()));
        labels
    }

    /// Returns the labels of `count` pairs, which `append` writes.
    fn put_together(count: usize, append: impl FnOnce(&mut String)) -> Labels {
        let mut text = SCRATCH.take();
        text.clear();
        if count != 0 {
            push_number(&mut text, count);
        }
        append(&mut text);
        let labels = Labels(Arc::from(text.as_str()));
        if text.capacity() <= SCRATCH_MAX {
            SCRATCH.set(text);
        }
        labels
    }

    /// Returns how many labels there are.
    pub fn len(&self) -> usize {
        number_at(&self.0, 0).0
    }

    /// Returns whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over the pairs, ascending by name.
    pub fn iter(&self) -> Iter<'_> {
        let (left, at) = number_at(&self.0, 0);
        Iter {
            text: &self.0,
            at,
            left,
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
        let kept = self.iter().filter(|&(name, _)| !drop(name));
        let kept: SmallVec<[(&str, &str); 32]> = kept.collect();
        if kept.len() == self.len() {
            self.clone()
        } else {
            Labels::from_sorted(kept.iter().copied())
        }
    }

    /// Returns a hash of the pairs: equal sets have equal hashes, in this process and build only.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = rapidhash::fast::RapidHasher::default();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// Returns these labels without the first `skipped`; none when there are no more.
    pub fn rest(&self, skipped: usize) -> Rest<'_> {
        let mut pairs = self.iter();
        pairs.by_ref().take(skipped).for_each(drop);
        Rest {
            text: &self.0[pairs.at..],
            len: pairs.left,
        }
    }

    /// Returns these labels from the first on of whose name `counts` says yes, if it does so of all from there on.
    pub fn last_ones(&self, counts: impl Fn(&str) -> bool) -> Option<Rest<'_>> {
        let mut pairs = self.iter();
        let (mut begin, mut len) = (pairs.at, pairs.left);
        while let Some((name, _)) = pairs.next() {
            if counts(name) {
                return pairs.all(|(name, _)| counts(name)).then(|| Rest {
                    text: &self.0[begin..],
                    len,
                });
            }
            (begin, len) = (pairs.at, pairs.left);
        }
        Some(Rest { text: "", len: 0 })
    }

    /// Returns the first `count` of these labels, or all if there are fewer.
    pub fn first(&self, count: usize) -> Rest<'_> {
        let mut pairs = self.iter();
        let (begin, all) = (pairs.at, pairs.left);
        pairs.by_ref().take(count).for_each(drop);
        Rest {
            text: &self.0[begin..pairs.at],
            len: all - pairs.left,
        }
    }

    /// Returns these labels without those of `first`, if they begin with them. Cost: one comparison, however many there are.
    pub fn after(&self, first: Rest<'_>) -> Option<Rest<'_>> {
        let (len, begin) = number_at(&self.0, 0);
        Some(Rest {
            text: self.0[begin..].strip_prefix(first.text)?,
            len: len.checked_sub(first.len)?,
        })
    }

    /// Returns a builder that starts with these labels.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder {
            base: self.clone(),
            changes: Vec::new(),
        }
    }

    /// Returns the bytes held on the heap, shared between clones.
    pub fn heap_bytes(&self) -> usize {
        self.0.len() + 2 * size_of::<usize>()
    }
}

/// Neighbouring labels of a set, see [`Labels::rest`] and [`Labels::first`]: they are compared and hashed in one piece.
#[derive(Clone, Copy, Debug)]
pub struct Rest<'a> {
    /// The pairs as a label set has them.
    text: &'a str,
    /// How many there are.
    len: usize,
}

impl<'a> Rest<'a> {
    /// Iterates over the pairs, ascending by name.
    pub fn iter(self) -> Iter<'a> {
        Iter {
            text: self.text,
            at: 0,
            left: self.len,
        }
    }

    /// Returns them as a set of their own.
    pub fn to_labels(self) -> Labels {
        Labels::put_together(self.len, |text| text.push_str(self.text))
    }
}

/// Where pairs are put together that no label set has in one piece, to be used again and again.
#[derive(Debug, Default)]
pub struct RestBuffer(String);

impl RestBuffer {
    /// Returns `pairs`, which must be as [`Labels::from_sorted`] wants them, as one piece.
    pub fn fill<'a>(&mut self, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Rest<'_> {
        self.0.clear();
        let mut len = 0;
        for pair in pairs {
            push_pair(&mut self.0, pair);
            len += 1;
        }
        Rest { text: &self.0, len }
    }
}

impl PartialEq for Rest<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Rest<'_> {}

impl Hash for Rest<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// Iterator over the pairs of a label set, see [`Labels::iter`].
#[derive(Clone)]
pub struct Iter<'a> {
    text: &'a str,
    /// Where the next pair begins.
    at: usize,
    /// How many pairs are left.
    left: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let mut part = || {
            let (len, start) = number_at(self.text, self.at);
            self.at = start + len;
            &self.text[start..self.at]
        };
        Some((part(), part()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
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
        self.0.hash(state);
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
    /// What counts unless it is changed.
    base: Labels,
    /// Unique by name, in no order. An empty value takes the label of `base` away; without one there it is not here.
    changes: Vec<(String, String)>,
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
        match self.changes.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.changes.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Removes the label `name`, if it is there.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        let in_base = self.base.get(name).is_some();
        match self.changes.iter_mut().position(|(n, _)| n == name) {
            Some(at) if in_base => self.changes[at].1.clear(),
            Some(at) => drop(self.changes.swap_remove(at)),
            None if in_base => self.changes.push((name.to_owned(), String::new())),
            None => {}
        }
        self
    }

    /// Keeps only the labels whose name and value `keep` says yes to.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) -> &mut Self {
        self.changes.retain_mut(
            |(name, value)| match value.is_empty() || keep(name, value) {
                true => true,
                false => {
                    value.clear();
                    self.base.get(name).is_some()
                }
            },
        );
        for (name, value) in &self.base {
            let is_changed = self.changes.iter().any(|(n, _)| n == name);
            if !is_changed && !keep(name, value) {
                self.changes.push((name.to_owned(), String::new()));
            }
        }
        self
    }

    /// Returns the value of `name`, if the label is there.
    pub fn get(&self, name: &str) -> Option<&str> {
        match self.changes.iter().find(|(n, _)| n == name) {
            Some((_, value)) => Some(value.as_str()).filter(|value| !value.is_empty()),
            None => self.base.get(name),
        }
    }

    /// Iterates over the pairs in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_changed = |name: &str| self.changes.iter().any(|(n, _)| n == name);
        let kept = self.base.iter().filter(move |&(name, _)| !is_changed(name));
        let changes = self.changes.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        kept.chain(changes.filter(|(_, value)| !value.is_empty()))
    }

    /// Returns how many labels are set.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Returns whether no label is set.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Returns the labels, sorted.
    pub fn build(&mut self) -> Labels {
        if self.changes.is_empty() {
            return self.base.clone();
        }
        let mut pairs: SmallVec<[(&str, &str); 32]> = self.iter().collect();
        pairs.sort_unstable_by_key(|&(name, _)| name);
        Labels::from_sorted(pairs.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
    fn the_rest_is_one_piece() {
        let labels = Labels::from_pairs([("a", "1"), ("b", "2"), ("c", "3")]);
        let other = Labels::from_pairs([("b", "2"), ("c", "3")]);
        assert_eq!(labels.rest(1), other.rest(0));
        assert_ne!(labels.rest(2), other.rest(0));
        assert_eq!(labels.rest(1).to_labels(), other);
        assert_eq!(labels.rest(0).to_labels(), labels);
        for skipped in [3, 4] {
            assert_eq!(labels.rest(skipped).to_labels(), Labels::empty());
        }
        assert_eq!(Labels::empty().rest(0), labels.rest(3));
        for count in 0..5 {
            let first = labels.first(count);
            assert!(first.iter().eq(labels.iter().take(count)));
            assert_eq!(labels.after(first), Some(labels.rest(count)));
        }
        assert!(labels.rest(1).iter().eq(other.iter()));
        let names: Vec<&str> = labels.iter().map(|(name, _)| name).collect();
        for skipped in 0..=names.len() {
            let last = labels.last_ones(|name| names[skipped..].contains(&name));
            assert_eq!(last, Some(labels.rest(skipped)));
        }
        assert_eq!(labels.last_ones(|name| name == names[0]), None);
        assert_eq!(labels.after(other.first(1)), None);
        assert_eq!(labels.first(1).to_labels().after(labels.first(2)), None);
        // What begins in the same way need not be the same label.
        let longer = Labels::from_pairs([("a", "11")]);
        assert_eq!(longer.after(labels.first(1)), None);
        assert_eq!(labels.after(longer.first(1)), None);
        let mut buffer = RestBuffer::default();
        for skipped in 0..4 {
            let filled = buffer.fill(labels.iter().skip(skipped));
            assert_eq!(filled, labels.rest(skipped));
            assert_eq!(filled.to_labels(), labels.rest(skipped).to_labels());
        }
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
    fn strings_of_any_length() {
        let name = "n".repeat(63);
        let values = ["v".repeat(64), "ü".repeat(5_000)];
        for value in &values {
            let labels = Labels::from_pairs([("a", value.as_str()), (&name, "é")]);
            let pairs = [("a", value.as_str()), (&name, "é")];
            assert_eq!(labels.iter().collect::<Vec<_>>(), pairs);
        }
        let names: Vec<String> = (0..200).map(|n| format!("l{n:03}")).collect();
        let labels = Labels::from_pairs(names.iter().map(|name| (name.as_str(), "x")));
        assert_eq!(labels.len(), 200);
        assert!(labels.iter().map(|(name, _)| name).eq(&names));
        assert_eq!(Labels::from_pairs([]), Labels::empty());
        assert!(Labels::empty().is_empty());
    }

    proptest! {
        /// A builder over labels does what a map does.
        #[test]
        fn builders_agree_with_maps(
            base in prop::collection::btree_map("[a-e]", "[xy]{1,2}", 0..5),
            steps in prop::collection::vec((0usize..4, "[a-f]", "[xy]{0,2}"), 0..12),
        ) {
            let pairs = base.iter().map(|(n, v)| (n.as_str(), v.as_str()));
            let mut builder = Labels::from_pairs(pairs).to_builder();
            let mut map = base.clone();
            for (what, name, value) in &steps {
                match what {
                    0 | 1 if !value.is_empty() => {
                        builder.set(name, value);
                        map.insert(name.clone(), value.clone());
                    }
                    2 => {
                        builder.retain(|n, v| n < name.as_str() || v == value);
                        map.retain(|n, v| n < name || v == value);
                    }
                    _ => {
                        builder.set(name, "");
                        map.remove(name);
                    }
                }
                let expected: Vec<_> = map.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                let built = builder.build();
                prop_assert_eq!(built.iter().collect::<Vec<_>>(), expected);
                prop_assert_eq!(builder.len(), map.len());
                prop_assert_eq!(builder.is_empty(), map.is_empty());
                prop_assert_eq!(builder.get(name), map.get(name).map(String::as_str));
            }
        }
    }

    #[test]
    fn without_shares_when_nothing_goes() {
        let labels = Labels::from_pairs([("a", "1"), ("b", "2")]);
        assert_eq!(labels.without(|name| name == "a").to_string(), r#"{b="2"}"#);
        assert!(Arc::ptr_eq(&labels.without(|_| false).0, &labels.0));
    }
}
