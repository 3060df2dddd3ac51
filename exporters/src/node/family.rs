//! Short ways to make the families that most collectors are made of.

use metrics::{MetricFamily, MetricKind};

pub(super) fn gauges(name: &str, help: &str) -> MetricFamily {
    MetricFamily::new(name, help, MetricKind::Gauge)
}

pub(super) fn counters(name: &str, help: &str) -> MetricFamily {
    MetricFamily::new(name, help, MetricKind::Counter)
}

/// Appends a gauge without labels.
pub(super) fn gauge(out: &mut Vec<MetricFamily>, name: &str, help: &str, value: f64) {
    single(out, MetricKind::Gauge, name, help, value);
}

/// Appends a counter without labels.
pub(super) fn counter(out: &mut Vec<MetricFamily>, name: &str, help: &str, value: f64) {
    single(out, MetricKind::Counter, name, help, value);
}

/// Appends an untyped family without labels.
pub(super) fn untyped(out: &mut Vec<MetricFamily>, name: &str, help: &str, value: f64) {
    single(out, MetricKind::Untyped, name, help, value);
}

fn single(out: &mut Vec<MetricFamily>, kind: MetricKind, name: &str, help: &str, value: f64) {
    let mut family = MetricFamily::new(name, help, kind);
    family.push(&[], value);
    out.push(family);
}

/// For tests: the text exposition of `families` without HELP and TYPE, in the order of exposition.
#[cfg(test)]
pub(super) fn samples(mut families: Vec<MetricFamily>) -> String {
    metrics::normalize(&mut families);
    let mut out = Vec::new();
    metrics::encode::text(&families, &mut out);
    let text = String::from_utf8(out).expect("labels are UTF-8");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| [line, "\n"])
        .collect()
}
