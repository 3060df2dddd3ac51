//! OpenMetrics 1.0 text.
//!
//! Source: [OpenMetrics 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/).

use super::{Dialect, comment, escape, float};
use crate::snapshot::{MetricFamily, MetricKind};

const DIALECT: Dialect = Dialect {
    number: float::write_openmetrics,
    timestamp: seconds,
};

/// Appends the OpenMetrics 1.0 exposition of `families`, closed by `# EOF`.
///
/// A counter's family is named without `_total`. A counter that does not end in `_total` is not one in OpenMetrics: it
/// is written as `unknown`, as Prometheus' own client library does.
pub fn openmetrics(families: &[MetricFamily], out: &mut Vec<u8>) {
    for family in families {
        let (name, suffix, type_word) = naming(family);
        if !family.help.is_empty() {
            comment(out, "HELP", name, |out| escape(out, &family.help, true));
        }
        comment(out, "TYPE", name, |out| {
            out.extend_from_slice(type_word.as_bytes())
        });
        if !family.unit.is_empty() {
            comment(out, "UNIT", name, |out| {
                out.extend_from_slice(family.unit.as_bytes())
            });
        }
        for series in &family.series {
            DIALECT.series(out, name, suffix, series);
        }
    }
    out.extend_from_slice(b"# EOF\n");
}

/// Returns the family's name, what its samples add to it, and the word for its type.
fn naming(family: &MetricFamily) -> (&str, &'static str, &'static str) {
    let name = family.name.as_str();
    match family.kind {
        MetricKind::Counter => match name.strip_suffix("_total") {
            Some(stem) => (stem, "_total", "counter"),
            None => (name, "", "unknown"),
        },
        MetricKind::Gauge => (name, "", "gauge"),
        MetricKind::Histogram => (name, "", "histogram"),
        MetricKind::Summary => (name, "", "summary"),
        MetricKind::Untyped => (name, "", "unknown"),
    }
}

/// Appends milliseconds as seconds, with the milliseconds after the point where there are any.
fn seconds(out: &mut Vec<u8>, ms: i64) {
    if ms < 0 {
        out.push(b'-');
    }
    let ms = ms.unsigned_abs();
    out.extend_from_slice(itoa::Buffer::new().format(ms / 1_000).as_bytes());
    if !ms.is_multiple_of(1_000) {
        out.push(b'.');
        out.extend_from_slice(
            format!("{:03}", ms % 1_000)
                .trim_end_matches('0')
                .as_bytes(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MetricSeries, MetricValue};

    #[track_caller]
    fn check(family: MetricFamily, expected: &str) {
        let mut out = Vec::new();
        openmetrics(&[family], &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn counters_lose_and_regain_total() {
        let mut family = MetricFamily::new("a_seconds_total", "say \"hi\"", MetricKind::Counter);
        family.unit = "seconds".to_owned();
        family.push(&[("x", "y")], 1.0);
        let expected = concat!(
            "# HELP a_seconds say \\\"hi\\\"\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n",
            "a_seconds_total{x=\"y\"} 1.0\n# EOF\n"
        );
        check(family, expected);
    }

    #[test]
    fn counters_without_total_are_unknown() {
        let mut family = MetricFamily::new("a", "", MetricKind::Counter);
        family.push(&[], 1e21);
        check(family, "# TYPE a unknown\na 1e+21\n# EOF\n");
    }

    #[test]
    fn nothing_is_still_an_exposition() {
        let mut out = Vec::new();
        openmetrics(&[], &mut out);
        assert_eq!(out, b"# EOF\n");
    }

    #[test]
    fn bounds_ranks_and_values_are_floats_and_counts_are_not() {
        let value = MetricValue::Histogram {
            buckets: vec![(1.0, 2)],
            sum: 3.0,
            count: 2,
        };
        let mut family = MetricFamily::new("h", "", MetricKind::Histogram);
        family.series.push(MetricSeries {
            labels: Vec::new(),
            value,
            timestamp_ms: None,
        });
        let expected = concat!(
            "# TYPE h histogram\nh_bucket{le=\"1.0\"} 2\nh_bucket{le=\"+Inf\"} 2\n",
            "h_sum 3.0\nh_count 2\n# EOF\n"
        );
        check(family, expected);
    }

    #[test]
    fn timestamps_are_seconds() {
        for (ms, expected) in [
            (0, "0"),
            (1_500, "1.5"),
            (-1, "-0.001"),
            (1_700_000_000_120, "1700000000.12"),
        ] {
            let mut out = Vec::new();
            seconds(&mut out, ms);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
