//! The registry: every instrument of the process under its name.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::family::{AnyFamily, Family, Instrument};
use crate::snapshot::{MetricFamily, normalize};
use crate::{Counter, Gauge, Histogram, Summary};

/// Makes whole families at scrape time, from somewhere that instruments do not reach.
pub trait Collector: Send + Sync {
    /// Appends families to `out`. Order does not matter, and several collectors may add series to one family.
    ///
    /// Called once per [`Registry::gather`], perhaps from several threads at once.
    fn collect(&self, out: &mut Vec<MetricFamily>);
}

/// Every instrument of the process, by name. Clones share the same registry.
///
/// Registering a name again returns the same family. Registering it with another type, other label names or other
/// buckets is a bug of the caller and panics.
#[derive(Clone, Default)]
pub struct Registry(Arc<Inner>);

#[derive(Default)]
struct Inner {
    families: Mutex<BTreeMap<String, Arc<dyn AnyFamily>>>,
    collectors: Mutex<Vec<Arc<dyn Collector>>>,
}

impl Registry {
    /// Returns a registry with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a counter, which shows as 0 at once. By convention its name ends in `_total`.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.counter_vec(name, help, &[]).with(&[])
    }

    /// Registers a family of counters, which shows when it has its first series.
    pub fn counter_vec(&self, name: &str, help: &str, label_names: &[&str]) -> Family<Counter> {
        self.family(name, help, label_names, ())
    }

    /// Registers a gauge, which shows as 0 at once.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.gauge_vec(name, help, &[]).with(&[])
    }

    /// Registers a family of gauges, which shows when it has its first series.
    pub fn gauge_vec(&self, name: &str, help: &str, label_names: &[&str]) -> Family<Gauge> {
        self.family(name, help, label_names, ())
    }

    /// Registers a histogram. `buckets`: inclusive upper bounds, strictly ascending; +Inf is added.
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.histogram_vec(name, help, &[], buckets).with(&[])
    }

    /// Registers a family of histograms. `buckets`: inclusive upper bounds, strictly ascending; +Inf is added.
    pub fn histogram_vec(
        &self,
        name: &str,
        help: &str,
        label_names: &[&str],
        buckets: &[f64],
    ) -> Family<Histogram> {
        self.family(name, help, label_names, buckets.to_vec())
    }

    /// Registers a summary of the last ten minutes. `quantiles`: ranks in `0..=1`.
    pub fn summary(&self, name: &str, help: &str, quantiles: &[f64]) -> Summary {
        self.summary_vec(name, help, &[], quantiles).with(&[])
    }

    /// Registers a family of summaries of the last ten minutes. `quantiles`: ranks in `0..=1`.
    pub fn summary_vec(
        &self,
        name: &str,
        help: &str,
        label_names: &[&str],
        quantiles: &[f64],
    ) -> Family<Summary> {
        self.family(name, help, label_names, quantiles.to_vec())
    }

    /// Adds a collector, asked at each [`Registry::gather`].
    pub fn register(&self, collector: Arc<dyn Collector>) {
        self.0.collectors.lock().push(collector);
    }

    /// Returns all families that have series: sorted by name, label pairs by label name, series by label values.
    ///
    /// Where two sources have a family of the same name and kind, it is one family with the series of both; a family
    /// of the same name and another kind is left out.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        let families: Vec<_> = self.0.families.lock().values().cloned().collect();
        let collectors = self.0.collectors.lock().clone();
        let mut gathered: Vec<_> = families.iter().map(|family| family.gather()).collect();
        collectors
            .iter()
            .for_each(|collector| collector.collect(&mut gathered));
        normalize(&mut gathered);
        gathered
    }

    fn family<T: Instrument>(
        &self,
        name: &str,
        help: &str,
        label_names: &[&str],
        options: T::Options,
    ) -> Family<T> {
        match self.0.families.lock().entry(name.to_owned()) {
            Entry::Occupied(entry) => {
                let family = entry.get().as_any().downcast_ref::<Family<T>>();
                let family = family.filter(|family| family.matches(label_names, &options));
                family
                    .unwrap_or_else(|| panic!("{name} is registered already, as something else"))
                    .clone()
            }
            Entry::Vacant(entry) => {
                let family = Family::new(name, help, label_names, options);
                entry.insert(Arc::new(family.clone()));
                family
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MetricKind, MetricValue};

    fn names(registry: &Registry) -> Vec<String> {
        registry
            .gather()
            .into_iter()
            .map(|family| family.name)
            .collect()
    }

    #[test]
    fn same_name_and_type_is_the_same_instrument() {
        let registry = Registry::new();
        registry.counter("a_total", "A.").inc();
        registry.clone().counter("a_total", "A.").inc();
        assert_eq!(registry.counter("a_total", "A.").value(), 2.0);
    }

    #[test]
    #[should_panic(expected = "a_total is registered already")]
    fn another_type_panics() {
        let registry = Registry::new();
        registry.counter("a_total", "A.");
        registry.gauge("a_total", "A.");
    }

    #[test]
    #[should_panic(expected = "h is registered already")]
    fn other_buckets_panic() {
        let registry = Registry::new();
        registry.histogram("h", "H.", &[1.0]);
        registry.histogram("h", "H.", &[2.0]);
    }

    #[test]
    fn gathered_families_are_sorted_and_not_empty() {
        let registry = Registry::new();
        registry.gauge("b", "B.");
        registry.summary("a", "A.", &[0.5]);
        registry.counter_vec("c_total", "no series yet", &["x"]);
        assert_eq!(names(&registry), ["a", "b"]);
    }

    #[test]
    fn series_are_sorted_by_label_values() {
        let registry = Registry::new();
        let family = registry.gauge_vec("g", "G.", &["x"]);
        ["b", "c", "a"]
            .iter()
            .for_each(|value| family.with(&[value]).set(1.0));
        let gathered = registry.gather();
        let values: Vec<_> = gathered[0]
            .series
            .iter()
            .map(|series| series.labels[0].1.as_str())
            .collect();
        assert_eq!(values, ["a", "b", "c"]);
    }

    struct Constant(MetricKind);

    impl Collector for Constant {
        fn collect(&self, out: &mut Vec<MetricFamily>) {
            let mut family = MetricFamily::new("g", "G.", self.0);
            family.push(&[("x", "from collector")], 7.0);
            out.push(family);
        }
    }

    #[test]
    fn collectors_add_series_to_families() {
        let registry = Registry::new();
        registry
            .gauge_vec("g", "G.", &["x"])
            .with(&["own"])
            .set(1.0);
        registry.register(Arc::new(Constant(MetricKind::Gauge)));
        registry.register(Arc::new(Constant(MetricKind::Counter)));
        let gathered = registry.gather();
        assert_eq!(gathered.len(), 1);
        let values: Vec<_> = gathered[0]
            .series
            .iter()
            .map(|series| series.value.clone())
            .collect();
        assert_eq!(values, [MetricValue::Number(7.0), MetricValue::Number(1.0)]);
    }
}
