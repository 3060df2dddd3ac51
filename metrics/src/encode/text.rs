//! The text format 0.0.4.
//!
//! Source: [exposition formats](https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format).

use super::{Dialect, comment, escape, float};
use crate::snapshot::{MetricFamily, MetricKind};

const DIALECT: Dialect = Dialect {
    number: float::write_go,
    timestamp: |out, ms| out.extend_from_slice(itoa::Buffer::new().format(ms).as_bytes()),
};

/// Appends the text exposition, version 0.0.4, of `families` as they are: order them with [`crate::normalize`].
pub fn text(families: &[MetricFamily], out: &mut Vec<u8>) {
    for family in families {
        if !family.help.is_empty() {
            comment(out, "HELP", &family.name, |out| {
                escape(out, &family.help, false)
            });
        }
        comment(out, "TYPE", &family.name, |out| {
            out.extend_from_slice(type_word(family.kind).as_bytes())
        });
        for series in &family.series {
            DIALECT.series(out, &family.name, "", series);
        }
    }
}

fn type_word(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
        MetricKind::Summary => "summary",
        MetricKind::Untyped => "untyped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MetricSeries, MetricValue};

    #[track_caller]
    fn check(family: MetricFamily, expected: &str) {
        let mut out = Vec::new();
        text(&[family], &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn escapes_help_and_label_values() {
        let mut family = MetricFamily::new("g", "a \"quoted\" \\ and\nnext", MetricKind::Gauge);
        family.push(&[("x", "a \"quoted\" \\ and\nnext"), ("b", "")], 1e6);
        let expected = concat!(
            "# HELP g a \"quoted\" \\\\ and\\nnext\n# TYPE g gauge\n",
            "g{x=\"a \\\"quoted\\\" \\\\ and\\nnext\",b=\"\"} 1e+06\n"
        );
        check(family, expected);
    }

    #[test]
    fn help_may_be_missing() {
        let mut family = MetricFamily::new("u", "", MetricKind::Untyped);
        family.push(&[], f64::NAN);
        check(family, "# TYPE u untyped\nu NaN\n");
    }

    #[test]
    fn timestamps_are_milliseconds() {
        let mut family = MetricFamily::new("c_total", "", MetricKind::Counter);
        family.push(&[], 0.5);
        family.series[0].timestamp_ms = Some(-1_395_066_363_000);
        check(
            family,
            "# TYPE c_total counter\nc_total 0.5 -1395066363000\n",
        );
    }

    #[test]
    fn histograms_have_an_infinite_bucket() {
        let value = MetricValue::Histogram {
            buckets: vec![(0.05, 1), (1e6, 3)],
            sum: 8.5,
            count: 5_000_000,
        };
        let mut family = MetricFamily::new("h", "", MetricKind::Histogram);
        let labels = vec![("x".to_owned(), "y".to_owned())];
        family.series.push(MetricSeries {
            labels,
            value,
            timestamp_ms: None,
        });
        let expected = concat!(
            "# TYPE h histogram\n",
            "h_bucket{x=\"y\",le=\"0.05\"} 1\nh_bucket{x=\"y\",le=\"1e+06\"} 3\nh_bucket{x=\"y\",le=\"+Inf\"} 5000000\n",
            "h_sum{x=\"y\"} 8.5\nh_count{x=\"y\"} 5000000\n"
        );
        check(family, expected);
    }

    #[test]
    fn summaries_list_their_quantiles() {
        let value = MetricValue::Summary {
            quantiles: vec![(0.5, f64::NAN), (0.99, 2.0)],
            sum: 3.0,
            count: 2,
        };
        let mut family = MetricFamily::new("s", "", MetricKind::Summary);
        family.series.push(MetricSeries {
            labels: Vec::new(),
            value,
            timestamp_ms: Some(1),
        });
        let expected = "# TYPE s summary\ns{quantile=\"0.5\"} NaN 1\ns{quantile=\"0.99\"} 2 1\ns_sum 3 1\ns_count 2 1\n";
        check(family, expected);
    }

    #[test]
    fn a_parser_reads_back_what_was_written() {
        let registry = crate::Registry::new();
        registry
            .counter_vec("requests_total", "Requests.", &["path"])
            .with(&["/a b"])
            .add(3.0);
        let histogram = registry.histogram("latency_seconds", "Latency.", &[0.1, 1.0]);
        [0.05, 0.5, 5.0]
            .into_iter()
            .for_each(|value| histogram.observe(value));
        let mut out = Vec::new();
        text(&registry.gather(), &mut out);

        let lines = String::from_utf8(out).unwrap();
        let scrape =
            prometheus_parse::Scrape::parse(lines.lines().map(|line| Ok(line.to_owned()))).unwrap();
        let sample = |name: &str| {
            scrape
                .samples
                .iter()
                .find(|sample| sample.metric == name)
                .unwrap()
        };
        assert_eq!(
            sample("requests_total").value,
            prometheus_parse::Value::Counter(3.0)
        );
        assert_eq!(sample("requests_total").labels.get("path"), Some("/a b"));
        let prometheus_parse::Value::Histogram(buckets) = &sample("latency_seconds").value else {
            panic!("no buckets")
        };
        let counts: Vec<_> = buckets
            .iter()
            .map(|bucket| (bucket.less_than, bucket.count))
            .collect();
        assert_eq!(counts, [(0.1, 1.0), (1.0, 2.0), (f64::INFINITY, 3.0)]);
    }
}
