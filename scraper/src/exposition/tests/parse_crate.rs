//! Beside the `prometheus-parse` crate: bodies of which both should say the same, and what they are known to differ in.

use std::collections::BTreeMap;

use prometheus_parse::{Scrape, Value};

use super::*;

/// A sample: the name, the labels without `le` or `quantile` where those are the bucket or the quantile of a family, that
/// number, the value, and the timestamp where both have one of their own.
type Sample = (
    String,
    BTreeMap<String, String>,
    Option<u64>,
    u64,
    Option<i64>,
);

/// All values that are no number are one.
fn bits(value: f64) -> u64 {
    match value.is_nan() {
        true => f64::NAN.to_bits(),
        false => value.to_bits(),
    }
}

/// What the crate reads, sorted; `has_time` says which lines have timestamps: it gives the others the time of the call.
fn theirs(body: &str, has_times: bool) -> Vec<Sample> {
    let scrape = Scrape::parse(body.lines().map(|line| Ok(line.to_owned()))).unwrap();
    let mut found = Vec::new();
    for sample in scrape.samples {
        let labels: BTreeMap<String, String> = sample
            .labels
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let time = has_times.then(|| sample.timestamp.timestamp_millis());
        match sample.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => {
                found.push((sample.metric, labels, None, bits(value), time));
            }
            // One time for all buckets.
            Value::Histogram(buckets) => {
                let name = format!("{}_bucket", sample.metric);
                found.extend(buckets.iter().map(|bucket| {
                    let le = Some(bits(bucket.less_than));
                    (name.clone(), labels.clone(), le, bits(bucket.count), None)
                }));
            }
            Value::Summary(quantiles) => found.extend(quantiles.iter().map(|at| {
                let quantile = Some(bits(at.quantile));
                let name = sample.metric.clone();
                (name, labels.clone(), quantile, bits(at.count), None)
            })),
        }
    }
    found.sort();
    found
}

/// What we read, in the same form.
fn ours(body: &str) -> Vec<Sample> {
    let mut parser = Parser::new(body.as_bytes(), Format::Text).unwrap();
    // As the crate has it: the type said last for a name counts, and a histogram is its buckets only.
    let mut kinds: BTreeMap<String, MetricType> = BTreeMap::new();
    let mut found = Vec::new();
    while let Some(event) = parser.next(Expected::NOTHING).unwrap() {
        match event {
            Event::Metadata(line) => {
                if let MetadataKind::Type(kind) = line.what {
                    let name = line.name().into_owned();
                    match kind {
                        MetricType::Histogram => kinds.insert(format!("{name}_bucket"), kind),
                        _ => kinds.insert(name, kind),
                    };
                }
            }
            Event::Series(line) => {
                let mut pairs = Vec::new();
                labels::decode(line.series, MetricType::Unknown, &mut pairs);
                let owned = pairs.iter().map(|(n, v)| (n.to_string(), v.to_string()));
                let mut labels: BTreeMap<_, _> = owned.filter(|(_, v)| !v.is_empty()).collect();
                let name = labels.remove("__name__").unwrap();
                let key = match kinds.get(&name) {
                    Some(MetricType::Histogram) => Some("le"),
                    Some(MetricType::Summary) => Some("quantile"),
                    _ => None,
                };
                let number = key
                    .and_then(|key| labels.remove(key))
                    .map(|number| bits(number.to_lowercase().parse().unwrap()));
                let time = match number {
                    Some(_) => None,
                    None => line.timestamp_ms,
                };
                found.push((name, labels, number, bits(line.value), time));
            }
            Event::Comment(_) => (),
        }
    }
    found.sort();
    found
}

/// Whether a line is one of which both should say the same; see [`known_differences`] for the others.
fn is_common(line: &str) -> bool {
    if line.starts_with('#') {
        return true;
    }
    let (name, rest) = match line.split_once('{') {
        Some((name, rest)) if !name.contains(char::is_whitespace) => (name, rest),
        _ => return !line.contains(':'),
    };
    let Some((labels, _)) = rest.rsplit_once('}') else {
        return false;
    };
    // Between the quotes, and outside of them.
    let values = labels.split('"').skip(1).step_by(2);
    let mut between = labels.split('"').step_by(2);
    !name.contains(':')
        && !labels.is_empty()
        && !labels.contains('\\')
        && values.clone().all(|value| !value.contains([',', '=', '}']))
        && between.all(|text| !text.contains(char::is_whitespace))
}

fn check(body: &str, has_times: bool) -> usize {
    let expected = theirs(body, has_times);
    assert_eq!(ours(body), expected);
    expected.len()
}

/// All real bodies: the lines of which both should say the same.
#[test]
fn real_bodies_are_the_same_to_the_crate() {
    let bodies = [
        "node_exporter/live-1.11.1.txt",
        "node_exporter/e2e-output-1.11.1.txt",
        "node_exporter/e2e-output-1.12.1.txt",
        "node_exporter/e2e-output-1.12.1-64k-page.txt",
        "cadvisor/prometheus_metrics.txt",
        "cadvisor/prometheus_metrics_perf_aggregated.txt",
        "cadvisor/prometheus_metrics_whitelist_filtered.txt",
        "cadvisor/prometheus_machine_metrics.txt",
        "kubernetes-1.35/kube-state-metrics.txt",
        "kubernetes-1.35/kubelet/metrics-cadvisor.txt",
        "kubernetes-1.35/controlplane/etcd.txt",
        "kubernetes-1.35/controlplane/api-server.txt",
        "kubernetes-1.35/controlplane/controller-manager.txt",
        "kubernetes-1.35/controlplane/scheduler.txt",
        "alertmanager/metrics-0.33.1.txt",
        "alltypes.237mfs.prom.txt",
        "promtool/metrics-test.prom",
    ];
    let (mut lines, mut compared) = (0, 0);
    for name in bodies {
        let Some(body) = conformance_file(name) else {
            continue;
        };
        let body = String::from_utf8(body).unwrap();
        let has_time = |line: &&str| {
            let after = line.rsplit_once('}').map_or(*line, |(_, after)| after);
            let words = after.split_whitespace().count();
            words == if line.contains('}') { 2 } else { 3 }
        };
        let is_sample = |line: &&str| !line.starts_with('#') && !line.trim().is_empty();
        lines += body.lines().filter(is_sample).count();
        let common: Vec<&str> = body.lines().filter(|line| is_common(line)).collect();
        let meta = |line: &&str| !is_sample(line);
        let timed: Vec<&str> = common
            .iter()
            .filter(|l| meta(l) || has_time(l))
            .copied()
            .collect();
        let rest: Vec<&str> = common
            .iter()
            .filter(|l| meta(l) || !has_time(l))
            .copied()
            .collect();
        compared += check(&(timed.join("\n") + "\n"), true);
        compared += check(&(rest.join("\n") + "\n"), false);
    }
    assert!(
        lines == 0 || lines * 9 / 10 < compared,
        "{compared} of {lines}"
    );
}

proptest! {
    /// Bodies of which both should say the same.
    #[test]
    fn generated_bodies_are_the_same_to_the_crate(
        families in prop::collection::vec((
            "[a-z_][a-z0-9_]{0,5}",
            prop::sample::select(&["counter", "gauge", "untyped", "histogram", "summary"][..]),
            prop::collection::vec((
                prop::option::of(prop::collection::btree_map("[a-z_][a-z0-9_]{0,3}", "[ -~&&[^\"\\\\,=}]]{0,6}|é", 1..4)),
                any::<f64>(), any::<f64>(), 0i64..4_000_000_000_000,
            ), 0..4),
        ), 0..5),
        has_times: bool,
    ) {
        let mut body = String::new();
        for (number, (name, kind, samples)) in families.iter().enumerate() {
            let name = format!("{name}_{number}x");
            body += &format!("# HELP {name} of kind {kind}\n# TYPE {name} {kind}\n");
            for (labels, value, at, time) in samples {
                let mut labels = labels.clone().unwrap_or_default();
                let (suffix, key) = match *kind {
                    "histogram" => ("_bucket", Some("le")),
                    "summary" => ("", Some("quantile")),
                    _ => ("", None),
                };
                if let Some(key) = key {
                    labels.insert(key.to_owned(), if at.is_nan() { "+Inf".to_owned() } else { at.to_string() });
                }
                body += &format!("{name}{suffix}");
                if !labels.is_empty() {
                    let pairs: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
                    body += &format!("{{{}}}", pairs.join(","));
                }
                let value = if value.is_infinite() { "-Inf".to_owned() } else { value.to_string() };
                body += &format!(" {value}");
                if has_times {
                    body += &format!(" {time}");
                }
                body.push('\n');
            }
        }
        check(&body, has_times);
    }
}

/// What the crate reads otherwise, or not at all. When one of these ends, `is_common` can let more lines in.
#[test]
fn known_differences() {
    let labels_of = |body: &str| {
        let samples = theirs(body, false);
        samples
            .into_iter()
            .map(|sample| sample.1)
            .collect::<Vec<_>>()
    };
    let first = |pairs: &[(&str, &str)]| -> Vec<BTreeMap<String, String>> {
        vec![
            pairs
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
        ]
    };
    // Passed over by the crate: colons in names, braces without labels.
    for body in ["a:b 1\n", "a{} 1\n"] {
        assert_eq!(theirs(body, false), []);
        assert_eq!(ours(body).len(), 1, "{body}");
    }
    // Cut at commas, equals signs and braces within values; escapes stay; blanks are part of names.
    let cut = [
        (
            "a{b=\"c,d\"} 1\n",
            first(&[("b", "c")]),
            first(&[("b", "c,d")]),
        ),
        ("a{b=\"c=d\"} 1\n", first(&[]), first(&[("b", "c=d")])),
        ("a{b=\"c}d\"} 1\n", vec![], first(&[("b", "c}d")])),
        (
            "a{b=\"c\\\\d\"} 1\n",
            first(&[("b", "c\\\\d")]),
            first(&[("b", "c\\d")]),
        ),
        (
            "a{ b=\"c\"} 1\n",
            first(&[(" b", "c")]),
            first(&[("b", "c")]),
        ),
    ];
    for (body, of_crate, of_us) in cut {
        assert_eq!(labels_of(body), of_crate, "{body}");
        let found: Vec<_> = ours(body).into_iter().map(|sample| sample.1).collect();
        assert_eq!(found, of_us, "{body}");
    }
    // Lines that make no sense are passed over by the crate and refused by us.
    for body in [
        "a b\n",
        "a 0x1p4\n",
        "a{b=c} 1\n",
        "a 1 x\n",
        "{a=\"b\"} 1\n",
    ] {
        assert!(events(body.as_bytes(), Format::Text).is_err(), "{body}");
        theirs(body, false);
    }
}
