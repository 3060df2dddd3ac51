//! Exposition formats: what a scrape of us reads.
//!
//! Not here: the protobuf format, and the escaping of names outside the classic alphabet (our names never leave it).

pub mod float;
mod negotiate;
mod openmetrics;
mod text;

pub use negotiate::{Format, negotiate};
pub use openmetrics::openmetrics;
pub use text::text;

use crate::snapshot::MetricFamily;

/// Appends the exposition of `families` in `format`.
pub fn encode(format: Format, families: &[MetricFamily], out: &mut Vec<u8>) {
    match format {
        Format::Text => text(families, out),
        Format::OpenMetrics => openmetrics(families, out),
    }
}

/// How a format prints what the two of them print differently.
struct Dialect {
    number: fn(&mut Vec<u8>, f64),
    timestamp: fn(&mut Vec<u8>, i64),
}

/// One line: a name in two parts, labels, perhaps one label more, and where it gets its timestamp from.
struct Line<'a> {
    name: &'a str,
    suffix: &'a str,
    labels: &'a [(String, String)],
    timestamp_ms: Option<i64>,
}

impl Dialect {
    /// Appends name, labels and `extra`, up to and with the space before the value.
    fn head(&self, out: &mut Vec<u8>, line: &Line<'_>, extra: Option<(&str, f64)>) {
        out.extend_from_slice(line.name.as_bytes());
        out.extend_from_slice(line.suffix.as_bytes());
        let mut separator = b'{';
        for (name, value) in line.labels {
            out.push(separator);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"=\"");
            escape(out, value, true);
            out.push(b'"');
            separator = b',';
        }
        if let Some((name, value)) = extra {
            out.push(separator);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"=\"");
            (self.number)(out, value);
            out.push(b'"');
            separator = b',';
        }
        if separator == b',' {
            out.push(b'}');
        }
        out.push(b' ');
    }

    fn tail(&self, out: &mut Vec<u8>, line: &Line<'_>) {
        if let Some(ms) = line.timestamp_ms {
            out.push(b' ');
            (self.timestamp)(out, ms);
        }
        out.push(b'\n');
    }

    fn float(&self, out: &mut Vec<u8>, line: &Line<'_>, extra: Option<(&str, f64)>, value: f64) {
        self.head(out, line, extra);
        (self.number)(out, value);
        self.tail(out, line);
    }

    fn integer(&self, out: &mut Vec<u8>, line: &Line<'_>, extra: Option<(&str, f64)>, value: u64) {
        self.head(out, line, extra);
        out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self.tail(out, line);
    }

    /// Appends the lines of one series of the metric `name`, whose plain samples end in `suffix`.
    fn series(&self, out: &mut Vec<u8>, name: &str, suffix: &str, series: &crate::MetricSeries) {
        use crate::MetricValue;
        let line = |suffix| Line {
            name,
            suffix,
            labels: &series.labels,
            timestamp_ms: series.timestamp_ms,
        };
        match &series.value {
            MetricValue::Number(value) => self.float(out, &line(suffix), None, *value),
            MetricValue::Histogram {
                buckets,
                sum,
                count,
            } => {
                for &(bound, cumulative) in buckets {
                    self.integer(out, &line("_bucket"), Some(("le", bound)), cumulative);
                }
                if buckets
                    .last()
                    .is_none_or(|&(bound, _)| bound != f64::INFINITY)
                {
                    self.integer(out, &line("_bucket"), Some(("le", f64::INFINITY)), *count);
                }
                self.float(out, &line("_sum"), None, *sum);
                self.integer(out, &line("_count"), None, *count);
            }
            MetricValue::Summary {
                quantiles,
                sum,
                count,
            } => {
                for &(rank, value) in quantiles {
                    self.float(out, &line(""), Some(("quantile", rank)), value);
                }
                self.float(out, &line("_sum"), None, *sum);
                self.integer(out, &line("_count"), None, *count);
            }
        }
    }
}

/// Appends a line such as `# HELP name rest`.
fn comment(out: &mut Vec<u8>, keyword: &str, name: &str, rest: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"# ");
    out.extend_from_slice(keyword.as_bytes());
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.push(b' ');
    rest(out);
    out.push(b'\n');
}

/// Appends `text` with backslash and line feed escaped, and the double quote too if `quotes`.
fn escape(out: &mut Vec<u8>, text: &str, quotes: bool) {
    for &byte in text.as_bytes() {
        match byte {
            b'\\' => out.extend_from_slice(br"\\"),
            b'\n' => out.extend_from_slice(br"\n"),
            b'"' if quotes => out.extend_from_slice(br#"\""#),
            byte => out.push(byte),
        }
    }
}
