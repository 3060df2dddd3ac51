//! Values as Go prints them, because that is what promtool's users compare.

use std::fmt::Write as _;

use model::Labels;
use model::float::format_general;
use model::histogram::{FloatHistogram, Histogram};
use model::name::Quoted;

/// Returns a span of milliseconds as Go prints a `time.Duration`: `5h33m40.001s`, `19ms`, `0s`.
pub(super) fn duration(ms: i64) -> String {
    let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
    if ms == 0 {
        return "0s".to_owned();
    }
    if ms < 1_000 {
        return format!("{sign}{ms}ms");
    }
    let (minutes, rest) = (ms / 60_000, ms % 60_000);
    let mut text = sign.to_owned();
    if 60 <= minutes {
        text += &format!("{}h", minutes / 60);
    }
    if 0 < minutes {
        text += &format!("{}m", minutes % 60);
    }
    let fraction = format!("{:03}", rest % 1_000);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    text + &format!("{}{point}{fraction}s", rest / 1_000)
}

/// Returns a time, cut to seconds, as Go prints a `time.Time` in UTC: `2021-01-06 17:37:16 +0000 UTC`.
pub(super) fn time(ms: i64) -> String {
    match jiff::Timestamp::from_second(ms / 1_000) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        Err(_) => ms.to_string(),
    }
}

/// Returns a size in units of 1024, each that is there: `1KiB83B`.
pub(super) fn bytes(bytes: u64) -> String {
    let mut parts = Vec::new();
    let mut rest = bytes;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if !rest.is_multiple_of(1024) || bytes == 0 {
            parts.push(format!("{}{unit}", rest % 1024));
        }
        rest /= 1024;
        if rest == 0 {
            break;
        }
    }
    parts.reverse();
    parts.concat()
}

/// Returns labels in braces, the metric name among them, with `separator` between.
pub(super) fn labels<'a>(
    labels: impl Iterator<Item = (&'a str, &'a str)>,
    separator: &str,
) -> String {
    let mut text = "{".to_owned();
    for (index, (name, value)) in labels.enumerate() {
        if 0 < index {
            text += separator;
        }
        let outcome = if model::name::is_legacy_label_name(name) {
            write!(text, "{name}={}", Quoted(value))
        } else {
            write!(text, "{}={}", Quoted(name), Quoted(value))
        };
        outcome.expect("a String takes it all");
    }
    text + "}"
}

/// Returns labels as Prometheus prints a label set: `{__name__="up", job="a"}`.
pub(super) fn label_set(all: &Labels) -> String {
    labels(all.iter(), ", ")
}

/// Returns a histogram of integers as Prometheus prints it; unlike one of floats, its counts have no exponent.
pub(super) fn histogram(histogram: &Histogram) -> String {
    print_histogram(&histogram.to_float(), |count| format!("{count}"))
}

/// Returns a histogram of floats as Prometheus prints it.
pub(super) fn float_histogram(histogram: &FloatHistogram) -> String {
    print_histogram(histogram, format_general)
}

fn print_histogram(histogram: &FloatHistogram, count: impl Fn(f64) -> String) -> String {
    let (all, sum) = (count(histogram.count), format_general(histogram.sum));
    let mut text = format!("{{count:{all}, sum:{sum}");
    for bucket in histogram.buckets() {
        let open = if bucket.lower_inclusive { '[' } else { '(' };
        let close = if bucket.upper_inclusive { ']' } else { ')' };
        let (lower, upper) = (format_general(bucket.lower), format_general(bucket.upper));
        let count = count(bucket.count);
        write!(text, ", {open}{lower},{upper}{close}:{count}").expect("a String takes it all");
    }
    text + "}"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let cases = [
            (0, "0s"),
            (1, "1ms"),
            (999, "999ms"),
            (30_001, "30.001s"),
            (19_880, "19.88s"),
            (60_000, "1m0s"),
            (7_200_000, "2h0m0s"),
            (20_020_001, "5h33m40.001s"),
            (-1_500, "-1.5s"),
        ];
        for (ms, expected) in cases {
            assert_eq!(duration(ms), expected);
        }
    }

    #[test]
    fn times_and_sizes() {
        assert_eq!(time(1_609_954_636_999), "2021-01-06 17:37:16 +0000 UTC");
        assert_eq!(time(i64::MAX), i64::MAX.to_string());
        let cases = [
            (0, "0B"),
            (843, "843B"),
            (1_107, "1KiB83B"),
            (1 << 20, "1MiB"),
            ((3 << 30) + 5, "3GiB5B"),
        ];
        for (size, expected) in cases {
            assert_eq!(bytes(size), expected);
        }
    }

    #[test]
    fn label_sets_and_histograms() {
        let set = Labels::from_pairs([("__name__", "up"), ("a.b", "x\"y\n"), ("c", "é")]);
        assert_eq!(label_set(&set), r#"{__name__="up", "a.b"="x\"y\n", c="é"}"#);
        assert_eq!(labels(set.iter().skip(2), ","), r#"{c="é"}"#);
        let million = Histogram {
            count: 2_000_000,
            zero_count: 2_000_000,
            zero_threshold: 0.5,
            ..Histogram::default()
        };
        assert_eq!(
            histogram(&million),
            "{count:2000000, sum:0, [-0.5,0.5]:2000000}"
        );
        assert_eq!(
            float_histogram(&million.to_float()),
            "{count:2e+06, sum:0, [-0.5,0.5]:2e+06}"
        );
    }
}
