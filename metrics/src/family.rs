//! A family: one metric name, and an instrument per combination of label values.

use std::any::Any;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::snapshot::{MetricFamily, MetricKind, MetricSeries, MetricValue};

pub(crate) mod sealed {
    /// Keeps [`super::Instrument`] to this crate's four.
    pub trait Sealed {}
}

/// What a [`Family`] holds: [`crate::Counter`], [`crate::Gauge`], [`crate::Histogram`] or [`crate::Summary`].
pub trait Instrument: Clone + Send + Sync + sealed::Sealed + 'static {
    /// What a new instrument must be told: a histogram's bucket bounds, a summary's quantiles.
    type Options: Clone + PartialEq + fmt::Debug + Send + Sync;
    /// The kind that the family is exposed as.
    const KIND: MetricKind;
    /// Makes an instrument that has seen nothing.
    fn create(options: &Self::Options) -> Self;
    /// Returns the value now.
    fn read(&self) -> MetricValue;
}

/// The instruments of one metric name, one per combination of label values.
///
/// Series are made at first use and live until [`Family::remove`]: keep the values of a label bounded, and keep the
/// handle that [`Family::with`] returns where the path is hot.
pub struct Family<T: Instrument>(Arc<Inner<T>>);

impl<T: Instrument> Clone for Family<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<T: Instrument> {
    name: String,
    help: String,
    label_names: Vec<String>,
    options: T::Options,
    hasher: RandomState,
    series: RwLock<hash_table::Table<T>>,
}

impl<T: Instrument> Family<T> {
    pub(crate) fn new(name: &str, help: &str, label_names: &[&str], options: T::Options) -> Self {
        assert!(is_metric_name(name), "not a metric name: {name:?}");
        assert!(
            label_names.iter().all(|name| is_label_name(name)),
            "not label names: {label_names:?}"
        );
        Self(Arc::new(Inner {
            name: name.to_owned(),
            help: help.to_owned(),
            label_names: label_names.iter().map(|&name| name.to_owned()).collect(),
            options,
            hasher: RandomState::new(),
            series: RwLock::default(),
        }))
    }

    /// Returns the instrument of these label values, in the order of the label names; makes it at first use.
    ///
    /// # Panics
    ///
    /// If there are not as many values as names.
    pub fn with(&self, label_values: &[&str]) -> T {
        let inner = &*self.0;
        inner.check(label_values);
        let hash = inner.hash(label_values);
        if let Some(found) = inner.series.read().get(hash, label_values) {
            return found.clone();
        }
        inner
            .series
            .write()
            .get_or_insert(hash, label_values, || T::create(&inner.options))
            .clone()
    }

    /// Forgets the series of these label values. Handles still held keep counting, unseen.
    ///
    /// # Panics
    ///
    /// If there are not as many values as names.
    pub fn remove(&self, label_values: &[&str]) {
        let inner = &*self.0;
        inner.check(label_values);
        inner
            .series
            .write()
            .remove(inner.hash(label_values), label_values);
    }

    /// Returns whether another registration under the same name means this family.
    pub(crate) fn matches(&self, label_names: &[&str], options: &T::Options) -> bool {
        self.0.label_names == label_names && self.0.options == *options
    }
}

impl<T: Instrument> Inner<T> {
    fn check(&self, label_values: &[&str]) {
        let (wanted, given) = (self.label_names.len(), label_values.len());
        assert!(
            wanted == given,
            "{} has {wanted} labels, not {given}",
            self.name
        );
    }

    fn hash(&self, label_values: &[&str]) -> u64 {
        self.hasher.hash_one(label_values)
    }
}

/// A family of any instrument, as the registry keeps it.
pub(crate) trait AnyFamily: Send + Sync {
    fn gather(&self) -> MetricFamily;
    fn as_any(&self) -> &dyn Any;
}

impl<T: Instrument> AnyFamily for Family<T> {
    fn gather(&self) -> MetricFamily {
        let inner = &*self.0;
        let mut family = MetricFamily::new(&inner.name, &inner.help, T::KIND);
        family
            .series
            .extend(inner.series.read().iter().map(|(values, instrument)| {
                MetricSeries {
                    labels: inner
                        .label_names
                        .iter()
                        .cloned()
                        .zip(values.iter().map(ToString::to_string))
                        .collect(),
                    value: instrument.read(),
                    timestamp_ms: None,
                }
            }));
        family
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Returns whether `name` matches `[a-zA-Z_:][a-zA-Z0-9_:]*`.
fn is_metric_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    name.chars().all(fits) && name.starts_with(|c: char| !c.is_ascii_digit())
}

/// Returns whether `name` matches `[a-zA-Z_][a-zA-Z0-9_]*`.
fn is_label_name(name: &str) -> bool {
    is_metric_name(name) && !name.contains(':')
}

/// A map from label values to instruments that is looked up by borrowed values, without building a key.
mod hash_table {
    use std::collections::HashMap;

    type LabelValues = Box<[Box<str>]>;

    pub(super) struct Table<T>(HashMap<u64, Vec<(LabelValues, T)>>);

    impl<T> Default for Table<T> {
        fn default() -> Self {
            Self(HashMap::new())
        }
    }

    impl<T> Table<T> {
        pub(super) fn get(&self, hash: u64, label_values: &[&str]) -> Option<&T> {
            let found = self
                .0
                .get(&hash)?
                .iter()
                .find(|(values, _)| same(values, label_values));
            found.map(|(_, instrument)| instrument)
        }

        pub(super) fn get_or_insert(
            &mut self,
            hash: u64,
            label_values: &[&str],
            create: impl FnOnce() -> T,
        ) -> &T {
            let entries = self.0.entry(hash).or_default();
            let place = entries
                .iter()
                .position(|(values, _)| same(values, label_values))
                .unwrap_or_else(|| {
                    entries.push((
                        label_values.iter().map(|&value| value.into()).collect(),
                        create(),
                    ));
                    entries.len() - 1
                });
            &entries[place].1
        }

        pub(super) fn remove(&mut self, hash: u64, label_values: &[&str]) {
            let Some(entries) = self.0.get_mut(&hash) else {
                return;
            };
            entries.retain(|(values, _)| !same(values, label_values));
            if entries.is_empty() {
                self.0.remove(&hash);
            }
        }

        pub(super) fn iter(&self) -> impl Iterator<Item = (&[Box<str>], &T)> {
            self.0
                .values()
                .flatten()
                .map(|(values, instrument)| (&**values, instrument))
        }
    }

    fn same(kept: &[Box<str>], given: &[&str]) -> bool {
        kept.iter().map(|value| &**value).eq(given.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Counter;

    #[test]
    fn the_same_values_are_the_same_series() {
        let family = Family::<Counter>::new("c_total", "", &["a", "b"], ());
        family.with(&["x", "y"]).inc();
        family.clone().with(&["x", "y"]).inc();
        family.with(&["y", "x"]).inc();
        assert_eq!(family.with(&["x", "y"]).value(), 2.0);
        assert_eq!(family.gather().series.len(), 2);
    }

    #[test]
    fn values_do_not_run_together() {
        let family = Family::<Counter>::new("c_total", "", &["a", "b"], ());
        family.with(&["xy", ""]).inc();
        assert_eq!(family.with(&["x", "y"]).value(), 0.0);
    }

    #[test]
    fn removed_series_start_again() {
        let family = Family::<Counter>::new("c_total", "", &["a"], ());
        family.with(&["x"]).inc();
        family.remove(&["x"]);
        family.remove(&["never there"]);
        assert!(family.gather().series.is_empty());
        assert_eq!(family.with(&["x"]).value(), 0.0);
    }

    #[test]
    #[should_panic(expected = "has 1 labels, not 2")]
    fn too_many_values_are_a_bug() {
        Family::<Counter>::new("c_total", "", &["a"], ()).with(&["x", "y"]);
    }

    #[test]
    fn names_follow_the_data_model() {
        assert!(is_metric_name("a:b_9"));
        assert!(
            ["", "9a", "a-b", "ä"]
                .iter()
                .all(|name| !is_metric_name(name))
        );
        assert!(is_label_name("_a9") && !is_label_name("a:b"));
    }
}
