//! Requests as OpenTelemetry's exporters encode them, into a vector of samples.

use std::sync::{Arc, Mutex};

use metrics::Registry;
use model::exemplar::Exemplar;
use model::storage::{
    AppendError, Appendable, Appender, FloatSample, HistogramSample, Rejected, SeriesRef,
};
use model::{Labels, is_stale};
use proptest::prelude::*;

use super::*;
use crate::message::{Message, message};

const NOW_MS: i64 = 1_700_000_000_000;
/// The time of all points but where it is said, milliseconds since the epoch.
const T: i64 = 1_699_999_999_000;

/// Keeps what was committed, printed.
#[derive(Default)]
struct Recorder(Mutex<State>);

#[derive(Default)]
struct State {
    series: Vec<Labels>,
    lines: Vec<String>,
    commits: usize,
}

struct Batch<'a>(&'a Recorder, Vec<String>);

impl Appendable for Recorder {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(Batch(self, Vec::new()))
    }
}

impl Batch<'_> {
    fn push(&mut self, series: SeriesRef, t: i64, text: &str) {
        let index = usize::try_from(series.0).unwrap();
        let labels = &self.0.0.lock().unwrap().series[index];
        let at = if t == T {
            String::new()
        } else {
            format!(" @{t}")
        };
        self.1.push(format!("{labels} {text}{at}"));
    }
}

impl Batch<'_> {
    /// Says since when the last one counts, if that is known.
    fn say_start(&mut self, start: i64) {
        if start != 0
            && let Some(last) = self.1.last_mut()
        {
            last.push_str(&format!(" since {start}"));
        }
    }
}

impl Appender for Batch<'_> {
    fn series(&mut self, labels: &[(&str, &str)]) -> Result<SeriesRef, AppendError> {
        assert!(labels.is_sorted_by(|a, b| a.0 < b.0), "{labels:?}");
        assert!(labels.iter().all(|(n, v)| !n.is_empty() && !v.is_empty()));
        let mut state = self.0.0.lock().unwrap();
        state
            .series
            .push(Labels::from_sorted(labels.iter().copied()));
        Ok(SeriesRef(state.series.len() as u64 - 1))
    }

    fn append_floats(&mut self, batch: &[FloatSample], rejected: &mut Vec<Rejected>) {
        for (index, sample) in batch.iter().enumerate() {
            if sample.t < 0 || sample.t == 666 {
                let error = AppendError::OutOfOrder;
                rejected.push(Rejected { index, error });
                continue;
            }
            let value = if is_stale(sample.value) {
                "stale".to_owned()
            } else {
                sample.value.to_string()
            };
            self.push(sample.series, sample.t, &value);
        }
    }

    fn append_floats_since(
        &mut self,
        batch: &[FloatSample],
        starts: &[i64],
        rejected: &mut Vec<Rejected>,
    ) {
        assert_eq!((batch.len(), starts.len()), (1, 1));
        self.append_floats(batch, rejected);
        self.say_start(starts[0]);
    }

    fn append_histogram_since(
        &mut self,
        series: SeriesRef,
        start: i64,
        t: i64,
        histogram: HistogramSample,
    ) -> Result<(), AppendError> {
        self.append_histogram(series, t, histogram)?;
        self.say_start(start);
        Ok(())
    }

    fn append_histogram(
        &mut self,
        series: SeriesRef,
        t: i64,
        histogram: HistogramSample,
    ) -> Result<(), AppendError> {
        let HistogramSample::Integer(histogram) = histogram else {
            panic!("all are of integers")
        };
        histogram
            .validate()
            .map_err(|error| AppendError::InvalidHistogram(error.to_string()))?;
        let kind = match histogram.reset_hint {
            ResetHint::Gauge => "gauge of ",
            _ => "",
        };
        self.push(
            series,
            t,
            &format!("{kind}schema {} {}", histogram.schema, histogram.to_float()),
        );
        Ok(())
    }

    fn append_exemplar(
        &mut self,
        series: SeriesRef,
        exemplar: &Exemplar,
    ) -> Result<(), AppendError> {
        let text = format!("exemplar {} {}", exemplar.labels, exemplar.value);
        self.push(series, exemplar.t.unwrap(), &text);
        Ok(())
    }

    fn update_metadata(
        &mut self,
        series: SeriesRef,
        metadata: &Metadata,
    ) -> Result<(), AppendError> {
        if metadata.help == "Shown." {
            self.push(series, T, &format!("{} {}", metadata.kind, metadata.unit));
        }
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), AppendError> {
        let mut state = self.0.0.lock().unwrap();
        state.commits += 1;
        state.lines.extend(self.1);
        Ok(())
    }
}

fn write(request: &Message, options: &Options) -> (Result<OtlpReport, OtlpError>, Vec<String>) {
    let recorder = Arc::new(Recorder::default());
    let ingest = OtlpIngest::new(Arc::clone(&recorder) as _, &Registry::new());
    let report = ingest.write(&request.0, options, NOW_MS);
    let lines = std::mem::take(&mut recorder.0.lock().unwrap().lines);
    (report, lines)
}

#[track_caller]
fn check_with(options: &Options, request: &Message, expected: &[&str]) {
    let (report, lines) = write(request, options);
    assert_eq!(lines, expected);
    let report = report.unwrap();
    assert_eq!((report.refused, report.untranslated), (0, 0), "{report:?}");
}

#[track_caller]
fn check(metric: Message, expected: &[&str]) {
    check_with(&Options::default(), &request(message(), metric), expected);
}

fn string(name: &str, value: &str) -> Message {
    let value = message().bytes(1, value.as_bytes());
    message().bytes(1, name.as_bytes()).message(2, value)
}

/// A request of one metric with that `Resource`.
fn request(resource: Message, metric: Message) -> Message {
    let scope = message()
        .bytes(1, b"lib")
        .bytes(2, b"1.2")
        .message(3, string("a.b", "c"));
    let scope_metrics = message()
        .message(1, scope)
        .message(2, metric)
        .bytes(3, b"http://x");
    message().message(1, message().message(1, resource).message(2, scope_metrics))
}

fn service() -> Message {
    let attributes = [
        ("service.name", "shop"),
        ("service.namespace", "web"),
        ("service.instance.id", "i1"),
        ("host.name", "h"),
    ];
    { attributes }
        .iter()
        .fold(message(), |resource, (name, value)| {
            resource.message(1, string(name, value))
        })
}

trait Fixed {
    fn fixed(self, field: u64, value: u64) -> Self;
}

impl Fixed for Message {
    fn fixed(self, field: u64, value: u64) -> Self {
        self.double(field, f64::from_bits(value))
    }
}

fn nanos(ms: i64) -> u64 {
    ms.cast_unsigned() * 1_000_000
}

fn number(value: f64) -> Message {
    message().fixed(3, nanos(T)).double(4, value)
}

fn gauge(name: &str, unit: &str, point: Message) -> Message {
    message()
        .bytes(1, name.as_bytes())
        .bytes(3, unit.as_bytes())
        .message(5, message().message(1, point))
}

fn sum(name: &str, point: Message, temporality: u64) -> Message {
    let sum = message()
        .message(1, point)
        .number(2, temporality)
        .number(3, 1);
    message().bytes(1, name.as_bytes()).message(7, sum)
}

#[test]
fn numbers() {
    let point = number(1.5)
        .message(7, string("http.route", "/"))
        .message(7, string("empty", ""));
    check(
        gauge("cpu.use", "1", point),
        &[r#"cpu_use_ratio{http_route="/"} 1.5"#],
    );
    let integer = message()
        .fixed(3, nanos(T))
        .fixed(6, (-7i64).cast_unsigned());
    check(gauge("temp", "Cel", integer), &[r#"temp_celsius -7"#]);
    check(sum("req", number(3.0), 2), &[r#"req_total 3"#]);
    check(gauge("g", "", number(1.0).number(8, 1)), &[r#"g stale"#]);
    // Attributes that come to have one name.
    let point = number(1.0)
        .message(7, string("a_b", "2"))
        .message(7, string("a.b", "1"));
    check(gauge("g", "", point), &[r#"g{a_b="1;2"} 1"#]);
    // One that would be the metric's name.
    check(
        gauge("g", "", number(1.0).message(7, string("__name__", "x"))),
        &[r#"g 1"#],
    );
}

/// Counters have a start timestamp, gauges have none whatever they say.
#[test]
fn start_timestamps() {
    let since = |point: Message| point.fixed(2, nanos(1_600));
    check(
        sum("req", since(number(3.0)), 2),
        &["req_total 3 since 1600"],
    );
    check(gauge("g", "", since(number(3.0))), &["g 3"]);
    let summary = since(message().fixed(3, nanos(T)).fixed(4, 2).double(5, 7.0));
    let summary = message()
        .bytes(1, b"s")
        .message(11, message().message(1, summary));
    check(summary, &["s_sum 7 since 1600", "s_count 2 since 1600"]);
    let exponential = since(message().fixed(3, nanos(T)).fixed(4, 1).fixed(7, 1));
    let exponential = message()
        .bytes(1, b"e")
        .message(10, message().message(1, exponential).number(2, 2));
    let (_, lines) = write(&request(message(), exponential), &Options::default());
    assert!(lines[0].ends_with(" since 1600"), "{lines:?}");
}

#[test]
fn metadata_comes_with_each_series() {
    let described = gauge("speed", "m/s", number(1.0)).bytes(2, b"Shown.");
    let name = r#"speed_meters_per_second"#;
    check(
        described,
        &[
            &format!("{name} gauge meters_per_second"),
            &format!("{name} 1"),
        ],
    );
}

#[test]
fn resources_say_what_is_scraped() {
    let metric = || gauge("g", "", number(1.0).message(7, string("host.name", "mine")));
    let identity = r#"instance="i1", job="web/shop""#;
    let series = |extra: &str| format!("g{{host_name=\"mine\", {identity}{extra}}} 1");
    let info = |extra: &str| format!("target_info{{host_name=\"h\", {identity}{extra}}} 1");
    check_with(
        &Options::default(),
        &request(service(), metric()),
        &[&series(""), &info("")],
    );
    let keeping = Options {
        keeps_identifying_attributes: true,
        ..Options::default()
    };
    let kept = r#", service_instance_id="i1", service_name="shop", service_namespace="web""#;
    check_with(
        &keeping,
        &request(service(), metric()),
        &[&series(""), &info(kept)],
    );
    // Without more than the identity, or without any, there is nothing to say.
    let bare = message().message(1, string("service.name", "shop"));
    check_with(
        &Options::default(),
        &request(bare, metric()),
        &[r#"g{host_name="mine", job="shop"} 1"#],
    );
    let unknown = message().message(1, string("host.name", "h"));
    check_with(
        &Options::default(),
        &request(unknown, metric()),
        &[r#"g{host_name="mine"} 1"#],
    );
}

#[test]
fn target_info_keeps_its_name() {
    let strategy = TranslationStrategy {
        escapes: false,
        adds_suffixes: false,
    };
    let options = Options {
        strategy,
        ..Options::default()
    };
    check_with(
        &options,
        &request(service(), gauge("g.h", "s", number(1.0))),
        &[
            r#"{"g.h", instance="i1", job="web/shop"} 1"#,
            r#"target_info{"host.name"="h", instance="i1", job="web/shop"} 1"#,
        ],
    );
}

#[test]
fn attributes_are_promoted() {
    let metric = || gauge("g", "", number(1.0));
    let identity = r#"instance="i1", job="web/shop""#;
    let first = |options: &Options| {
        write(&request(service(), metric()), options)
            .1
            .swap_remove(0)
    };
    let some = Options {
        promoted: Promoted::Only(vec!["host.name".to_owned()]),
        ..Options::default()
    };
    assert_eq!(first(&some), format!("g{{host_name=\"h\", {identity}}} 1"));
    let all = Options {
        promoted: Promoted::AllBut(vec!["host.name".to_owned(), "service.namespace".to_owned()]),
        ..Options::default()
    };
    let rest = r#", service_instance_id="i1", service_name="shop""#;
    assert_eq!(first(&all), format!("g{{{identity}{rest}}} 1"));
    let scope = Options {
        promotes_scope: true,
        ..Options::default()
    };
    let rest = r#", otel_scope_a_b="c", otel_scope_name="lib", otel_scope_schema_url="http://x", otel_scope_version="1.2""#;
    assert_eq!(first(&scope), format!("g{{{identity}{rest}}} 1"));
}

#[test]
fn target_info_covers_the_time_of_the_points() {
    let early = message().fixed(3, nanos(T - 200_000)).double(4, 1.0);
    let points = message().message(1, early).message(1, number(2.0));
    let metric = message().bytes(1, b"g").message(5, points);
    let (_, lines) = write(&request(service(), metric), &Options::default());
    let info: Vec<_> = lines
        .iter()
        .filter_map(|line| {
            line.strip_prefix(r#"target_info{host_name="h", instance="i1", job="web/shop"}"#)
        })
        .collect();
    assert_eq!(
        info,
        [
            format!(" 1 @{}", T - 200_000),
            format!(" 1 @{}", T - 50_000),
            " 1".to_owned()
        ]
    );
}

fn explicit() -> Message {
    let counts = [1u64, 0, 2].map(f64::from_bits);
    let exemplar = message()
        .fixed(2, nanos(T))
        .double(3, 7.0)
        .bytes(5, &[0xab, 1])
        .message(7, string("user", "u"));
    let point = message()
        .fixed(3, nanos(T))
        .fixed(4, 3)
        .double(5, 9.5)
        .packed_doubles(6, &counts)
        .packed_doubles(7, &[0.5, 5.0])
        .message(8, exemplar);
    message()
        .bytes(1, b"h")
        .bytes(3, b"s")
        .message(9, message().message(1, point).number(2, 2))
}

#[test]
fn explicit_histograms() {
    check(
        explicit(),
        &[
            r#"h_seconds_sum 9.5"#,
            r#"h_seconds_count 3"#,
            r#"h_seconds_bucket{le="0.5"} 1"#,
            r#"h_seconds_bucket{le="5"} 1"#,
            r#"h_seconds_bucket{le="+Inf"} 3"#,
            r#"h_seconds_bucket{le="+Inf"} exemplar {trace_id="ab01", user="u"} 7"#,
        ],
    );
    let options = Options {
        converts_histograms: true,
        ..Options::default()
    };
    check_with(
        &options,
        &request(message(), explicit()),
        &[
            r#"h_seconds schema -53 {count:3, sum:9.5, [-Inf,0.5]:1, (5,+Inf]:2}"#,
            r#"h_seconds exemplar {trace_id="ab01", user="u"} 7"#,
        ],
    );
}

fn exponential(scale: i64, offset: i64) -> Message {
    let positive = message().zigzag(1, offset).packed(2, [1, 0, 0, 0, 2]);
    let negative = message().zigzag(1, -1).packed(2, [3]);
    let point = message()
        .fixed(3, nanos(T))
        .fixed(4, 7)
        .double(5, 2.0)
        .zigzag(6, scale)
        .fixed(7, 1)
        .message(8, positive)
        .message(9, negative)
        .double(14, 0.25);
    message()
        .bytes(1, b"e")
        .message(10, message().message(1, point).number(2, 2))
}

#[test]
fn exponential_histograms() {
    check(
        exponential(0, 0),
        &[r#"e schema 0 {count:7, sum:2, [-1,-0.5):3, [-0.25,0.25]:1, (1,2]:1, (16,32]:2}"#],
    );
    let (_, lines) = write(&request(message(), exponential(10, 0)), &Options::default());
    assert!(lines[0].starts_with(r#"e schema 8 {count:7"#), "{lines:?}");
    for (metric, why) in [
        (
            exponential(-5, 0),
            "metric \"e\": cannot convert exponential to native histogram, scale must be >= -4, was -5",
        ),
        (
            exponential(0, i64::from(i32::MAX)),
            "metric \"e\": bucket offset 2147483647 is out of range",
        ),
    ] {
        let (report, lines) = write(&request(message(), metric), &Options::default());
        let report = report.unwrap();
        assert_eq!(
            (report.untranslated, report.untranslated_reason.as_str()),
            (1, why)
        );
        assert!(lines.is_empty());
    }
}

#[test]
fn summaries() {
    let quantile = message().double(1, 0.99).double(2, 4.0);
    let point = message()
        .fixed(3, nanos(T))
        .fixed(4, 2)
        .double(5, 5.0)
        .message(6, quantile);
    let metric = message()
        .bytes(1, b"s")
        .message(11, message().message(1, point));
    check(
        metric,
        &[r#"s_sum 5"#, r#"s_count 2"#, r#"s{quantile="0.99"} 4"#],
    );
}

#[test]
fn deltas_are_left_out_and_told() {
    let (report, lines) = write(
        &request(message(), sum("req", number(1.0), 1)),
        &Options::default(),
    );
    let report = report.unwrap();
    assert!(lines.is_empty());
    assert_eq!(report.untranslated, 1);
    assert_eq!(
        report.untranslated_reason,
        "invalid temporality and type combination for metric \"req\""
    );
}

/// Sends the requests one after the other, each at its time; returns what is stored of each, and what is left out.
fn write_all(options: &Options, requests: &[(i64, Message)]) -> Vec<(Vec<String>, u64)> {
    let recorder = Arc::new(Recorder::default());
    let ingest = OtlpIngest::new(Arc::clone(&recorder) as _, &Registry::new());
    let send = |(now_ms, request): &(i64, Message)| {
        let report = ingest.write(&request.0, options, *now_ms).unwrap();
        let lines = std::mem::take(&mut recorder.0.lock().unwrap().lines);
        (lines, report.untranslated)
    };
    requests.iter().map(send).collect()
}

fn with_deltas(deltas: Deltas) -> Options {
    Options {
        deltas,
        ..Options::default()
    }
}

/// A metric with one point of the interval that ends `end_ms` after the time of the tests.
fn delta(field: u64, end_ms: i64, point: Message) -> Message {
    let point = point
        .fixed(2, nanos(T + end_ms - 1_000))
        .fixed(3, nanos(T + end_ms));
    let data = message().message(1, point).number(2, 1).number(3, 1);
    let metric = message().bytes(1, b"d").message(field, data);
    request(message(), metric)
}

#[test]
fn deltas_are_added_up() {
    let point = |value: f64| message().double(4, value);
    let other = |value: f64| point(value).message(7, string("path", "/"));
    let later = NOW_MS + 400_000;
    let found = write_all(
        &with_deltas(Deltas::AddedUp),
        &[
            (NOW_MS, delta(7, 0, point(1.5))),
            (NOW_MS, delta(7, 1_000, point(2.0))),
            (NOW_MS, delta(7, 1_000, other(7.0))),
            // The same once more, and one from before the series.
            (NOW_MS, delta(7, 1_000, point(2.0))),
            (NOW_MS, delta(7, -1_000, point(2.0))),
            (NOW_MS, delta(7, 2_000, point(0.0).number(8, 1))),
            (NOW_MS, delta(7, 3_000, point(4.0))),
            (later, delta(7, 4_000, other(8.0))),
        ],
    );
    let line = |line: &str, seconds: i64, since: i64| {
        let at = match seconds {
            0 => String::new(),
            _ => format!(" @{}", T + seconds * 1_000),
        };
        (vec![format!("{line}{at} since {}", T + since * 1_000)], 0)
    };
    let dropped = || (Vec::new(), 1);
    let expected = [
        line("d_total 1.5", 0, -1),
        line("d_total 3.5", 1, -1),
        line(r#"d_total{path="/"} 7"#, 1, 0),
        dropped(),
        dropped(),
        line("d_total stale", 2, 1),
        line("d_total 4", 3, 2),
        // It was forgotten.
        line(r#"d_total{path="/"} 8"#, 4, 3),
    ];
    assert_eq!(found, expected);
}

#[test]
fn histograms_of_deltas_are_added_up() {
    let explicit = || {
        message()
            .fixed(4, 3)
            .double(5, 2.0)
            .packed_doubles(6, &[1u64, 2].map(f64::from_bits))
            .packed_doubles(7, &[0.5])
    };
    let exponential = || {
        message()
            .fixed(4, 2)
            .double(5, 3.0)
            .message(8, message().zigzag(1, 0).packed(2, [2]))
    };
    let requests = |field, point: &dyn Fn() -> Message| {
        [0, 1_000].map(|end_ms| (NOW_MS, delta(field, end_ms, point())))
    };
    let found = write_all(&with_deltas(Deltas::AddedUp), &requests(9, &explicit));
    let at = format!("{} since {}", T + 1_000, T - 1_000);
    let second = [
        format!("d_sum 4 @{at}"),
        format!("d_count 6 @{at}"),
        format!(r#"d_bucket{{le="0.5"}} 2 @{at}"#),
        format!(r#"d_bucket{{le="+Inf"}} 6 @{at}"#),
    ];
    assert_eq!(found[1].0, second);
    let found = write_all(&with_deltas(Deltas::AddedUp), &requests(10, &exponential));
    let second = format!("d schema 0 {{count:4, sum:6, (1,2]:4}} @{at}");
    assert_eq!(found[1].0, [second]);
}

#[test]
fn scopes_and_resources_are_added_up_for_themselves() {
    let one = |resource: Message, end_ms| {
        let point = message().fixed(3, nanos(T + end_ms)).double(4, 1.0);
        request(resource, sum("d", point, 1))
    };
    let host = |name| message().message(1, string("host.name", name));
    let found = write_all(
        &with_deltas(Deltas::AddedUp),
        &[
            (NOW_MS, one(host("a"), 0)),
            (NOW_MS, one(host("b"), 1)),
            (NOW_MS, one(host("a"), 2)),
        ],
    );
    let values: Vec<_> = found
        .iter()
        .map(|(lines, _)| lines[0].split(' ').nth(1))
        .collect();
    assert_eq!(values, [Some("1"), Some("1"), Some("2")]);
}

#[test]
fn deltas_are_kept() {
    let point = |value: f64| message().double(4, value).fixed(3, nanos(T));
    let described = sum("d", point(2.0), 1).bytes(2, b"Shown.");
    check_with(
        &with_deltas(Deltas::Kept),
        &request(message(), described),
        &["d_total unknown ", "d_total 2"],
    );
    // A temporality that says nothing is left out whatever is configured.
    for deltas in [Deltas::Kept, Deltas::AddedUp] {
        let (report, _) = write(
            &request(message(), sum("d", point(2.0), 0)),
            &with_deltas(deltas),
        );
        assert_eq!(report.unwrap().untranslated, 1);
    }
}

#[test]
fn native_histograms_of_deltas_are_gauges() {
    let data = |temporality| {
        let buckets = message().zigzag(1, 0).packed(2, [2]);
        let point = message().fixed(3, nanos(T)).fixed(4, 2).message(8, buckets);
        let histogram = message().message(1, point).number(2, temporality);
        request(message(), message().bytes(1, b"e").message(10, histogram))
    };
    let hint = |deltas, temporality| {
        let (_, lines) = write(&data(temporality), &with_deltas(deltas));
        lines[0].contains("gauge")
    };
    assert!(hint(Deltas::Kept, 1));
    assert!(!hint(Deltas::Kept, 2));
    assert!(!hint(Deltas::AddedUp, 1));
}

#[test]
fn what_is_refused_costs_nothing_else() {
    let points = message()
        .message(1, message().fixed(3, nanos(666)).double(4, 1.0))
        .message(
            1,
            message().fixed(3, nanos(NOW_MS + 600_001)).double(4, 1.0),
        )
        .message(1, number(3.0));
    let metric = message().bytes(1, b"g").message(5, points);
    let (report, lines) = write(&request(message(), metric), &Options::default());
    let report = report.unwrap();
    assert_eq!((report.stored, report.refused), (1, 2));
    assert_eq!(report.reasons[0], "out of order sample (metric \"g\")");
    assert_eq!(lines, [r#"g 3"#]);
}

#[test]
fn long_exemplars_keep_their_trace() {
    let exemplar = message()
        .fixed(2, nanos(T))
        .fixed(6, 5)
        .bytes(4, &[1])
        .bytes(5, &[2])
        .message(7, string("long", &"x".repeat(128)));
    check(
        sum("c", number(1.0).message(5, exemplar), 2),
        &[
            r#"c_total 1"#,
            r#"c_total exemplar {span_id="01", trace_id="02"} 5"#,
        ],
    );
}

#[test]
fn labels_are_bounded() {
    // Ten bytes a point, each of which would be a series with a label of half a megabyte.
    let resource = message().message(1, string("big", &"x".repeat(1 << 19)));
    let points = (0..300).fold(message(), |points, _| {
        points.message(1, message().fixed(3, nanos(T)))
    });
    let metric = message().bytes(1, b"g").message(5, points);
    let options = Options {
        promoted: Promoted::AllBut(Vec::new()),
        ..Options::default()
    };
    let (report, _) = write(&request(resource, metric), &options);
    assert_eq!(report, Err(OtlpError::Labels(LABELS_BYTES_MAX)));
}

#[test]
fn long_requests_are_stored_in_parts() {
    let points = (0..70_000).fold(message(), |points, _| points.message(1, number(1.0)));
    let metric = message().bytes(1, b"g").message(5, points);
    let recorder = Arc::new(Recorder::default());
    let ingest = OtlpIngest::new(Arc::clone(&recorder) as _, &Registry::new());
    let report = ingest
        .write(&request(message(), metric).0, &Options::default(), NOW_MS)
        .unwrap();
    assert_eq!(
        (report.stored, recorder.0.lock().unwrap().commits),
        (70_000, 2)
    );
}

proptest! {
    /// Neither arbitrary bytes nor damaged requests make the decoder panic.
    #[test]
    fn damaged_requests(at in 0usize..400, byte in any::<u8>(), cut in 0usize..9) {
        for metric in [explicit(), exponential(3, -2), gauge("g", "s", number(1.0)), sum("c", number(2.0), 2)] {
            let mut bytes = request(service(), metric).0;
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(bytes.len() - cut);
            let _ = write(&Message(bytes), &Options::default());
        }
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = write(&Message(bytes), &Options::default());
    }
}
