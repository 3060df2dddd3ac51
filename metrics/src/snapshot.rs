//! What was measured, at one moment: plain data between those who measure and those who encode.

use std::cmp::Ordering;

/// What a family's numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// A sum that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Observations counted in buckets.
    Histogram,
    /// Quantiles of observations.
    Summary,
    /// Not said.
    Untyped,
}

/// All series of one metric name.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricFamily {
    /// The metric name; a counter's with its `_total`.
    pub name: String,
    /// One line for people; empty if there is none.
    pub help: String,
    /// What the numbers mean.
    pub kind: MetricKind,
    /// The unit as OpenMetrics names it, such as `seconds`; the name must end in it. Empty if not said.
    pub unit: String,
    /// The series; [`normalize`] sorts them.
    pub series: Vec<MetricSeries>,
}

/// One series of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSeries {
    /// Name and value pairs, without the metric name.
    pub labels: Vec<(String, String)>,
    /// The value; its variant fits the family's kind.
    pub value: MetricValue,
    /// Milliseconds since the epoch, where the value is older than the scrape.
    pub timestamp_ms: Option<i64>,
}

/// The value of one series.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue {
    /// Of a counter, a gauge or an untyped series.
    Number(f64),
    /// Of a classic histogram.
    Histogram {
        /// Inclusive upper bound and cumulative count, ascending. Encoders add a missing +Inf bucket.
        buckets: Vec<(f64, u64)>,
        /// The sum of the observations.
        sum: f64,
        /// The number of observations.
        count: u64,
    },
    /// Of a summary.
    Summary {
        /// Rank in `0..=1` and the value there, ascending by rank; NaN where nothing was observed lately.
        quantiles: Vec<(f64, f64)>,
        /// The sum of the observations.
        sum: f64,
        /// The number of observations.
        count: u64,
    },
}

impl MetricFamily {
    /// Returns a family without series.
    #[must_use]
    pub fn new(name: impl Into<String>, help: impl Into<String>, kind: MetricKind) -> Self {
        Self {
            name: name.into(),
            help: help.into(),
            kind,
            unit: String::new(),
            series: Vec::new(),
        }
    }

    /// Appends a series with a number.
    pub fn push(&mut self, labels: &[(&str, &str)], value: f64) {
        let labels = labels
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        self.series.push(MetricSeries {
            labels,
            value: MetricValue::Number(value),
            timestamp_ms: None,
        });
    }
}

/// Brings families into the order in which they are exposed: families by name, the label pairs of a series by label
/// name, series by their label values (fewer labels first).
///
/// Families of the same name and kind become one; of the same name and another kind, all but the first are dropped;
/// families without series are dropped.
pub fn normalize(families: &mut Vec<MetricFamily>) {
    families.retain(|family| !family.series.is_empty());
    families.sort_by(|a, b| a.name.cmp(&b.name));
    families.dedup_by(|later, first| {
        let same = later.name == first.name;
        if same && later.kind == first.kind {
            first.series.append(&mut later.series);
        }
        same
    });
    for family in families {
        family
            .series
            .iter_mut()
            .for_each(|series| series.labels.sort());
        family.series.sort_by(by_label_values);
    }
}

fn by_label_values(a: &MetricSeries, b: &MetricSeries) -> Ordering {
    let values = |series: &MetricSeries| series.labels.len();
    values(a).cmp(&values(b)).then_with(|| {
        let (a, b) = (
            a.labels.iter().map(|(_, value)| value),
            b.labels.iter().map(|(_, value)| value),
        );
        a.cmp(b)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(name: &str, kind: MetricKind, series: &[&[(&str, &str)]]) -> MetricFamily {
        let mut family = MetricFamily::new(name, "", kind);
        series.iter().for_each(|labels| family.push(labels, 0.0));
        family
    }

    #[test]
    fn everything_is_sorted() {
        let mut families = vec![
            family(
                "b",
                MetricKind::Gauge,
                &[&[("z", "1"), ("a", "2")], &[("z", "0"), ("a", "2")], &[]],
            ),
            family("a", MetricKind::Gauge, &[&[]]),
            family("c", MetricKind::Gauge, &[]),
        ];
        normalize(&mut families);
        let expected = [
            family("a", MetricKind::Gauge, &[&[]]),
            family(
                "b",
                MetricKind::Gauge,
                &[&[], &[("a", "2"), ("z", "0")], &[("a", "2"), ("z", "1")]],
            ),
        ];
        assert_eq!(families, expected);
    }

    #[test]
    fn one_name_is_one_family() {
        let mut families = vec![
            family("a", MetricKind::Gauge, &[&[("x", "2")]]),
            family("a", MetricKind::Gauge, &[&[("x", "1")]]),
            family("a", MetricKind::Counter, &[&[("x", "3")]]),
        ];
        normalize(&mut families);
        assert_eq!(
            families,
            [family(
                "a",
                MetricKind::Gauge,
                &[&[("x", "1")], &[("x", "2")]]
            )]
        );
    }
}
