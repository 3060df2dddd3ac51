//! Messages as they come, and as they must not.

use proptest::prelude::*;

use super::testing::{Message, classic, delimited, family, label, message, native};
use super::*;
use crate::exposition::{Event, Format, Parser, labels};

const NATIVE: HistogramOptions = HistogramOptions {
    native: true,
    always_classic: true,
    convert: false,
};

/// Returns everything that a body says, printed.
fn read(body: &[u8], options: HistogramOptions) -> Result<Vec<String>, ParseError> {
    let mut reader = Reader::new(body, options);
    let mut out = Vec::new();
    while let Some(item) = reader.next(Expected::NOTHING)? {
        out.push(match item {
            Item::Family(family) => format!("{} {}", family.name, family.kind),
            Item::Series(line, _) => match line.timestamp_ms {
                Some(t) => format!("{} {} {t}", line.series, line.value),
                None => format!("{} {}", line.series, line.value),
            },
            Item::Histogram(line) => match line.sample {
                HistogramSample::Integer(h) => format!("{} {}", line.series, h.to_float()),
                HistogramSample::Float(h) => format!("{} float {h}", line.series),
            },
            Item::Unconvertible => "unconvertible".to_owned(),
        });
    }
    Ok(out)
}

#[track_caller]
fn check(family: Message, expected: &[&str]) {
    assert_eq!(read(&delimited(&family), NATIVE).unwrap(), expected);
}

#[track_caller]
fn check_error(body: &[u8], expected: &str) {
    assert_eq!(read(body, NATIVE).unwrap_err().to_string(), expected);
}

#[test]
fn simple_types() {
    let value = || message().double(1, 1.5);
    let counter = message().message(1, label("a", "b\"")).message(3, value());
    check(
        family("c", 0, [counter]),
        &["c counter", r#"c{a="b\""} 1.5"#],
    );
    let gauge = message().signed(6, -5).message(2, value());
    check(family("g", 1, [gauge]), &["g gauge", "g 1.5 -5"]);
    check(
        family("u.v", 3, [message().message(5, value())]),
        &["u.v unknown", r#"{"u.v"} 1.5"#],
    );
    let nothing = family("g", 1, [message().message(2, message())]);
    check(nothing, &["g gauge", "g 0"]);
}

#[test]
fn summaries() {
    let quantile = |at: f64, value: f64| message().double(1, at).double(2, value);
    let summary = message()
        .number(1, 7)
        .double(2, 3.5)
        .message(3, quantile(0.5, 1.0))
        .message(3, quantile(1.0, 2.0));
    let metric = message().message(1, label("a", "b")).message(4, summary);
    let expected = [
        "s summary",
        r#"s_count{a="b"} 7"#,
        r#"s_sum{a="b"} 3.5"#,
        r#"s{a="b",quantile="0.5"} 1"#,
        r#"s{a="b",quantile="1.0"} 2"#,
    ];
    check(family("s", 2, [metric]), &expected);
}

#[test]
fn classic_histograms_have_an_infinite_bucket() {
    let open = message()
        .number(1, 7)
        .double(2, 3.5)
        .message(3, classic(4, 1.0));
    let closed = open.clone().message(3, classic(7, f64::INFINITY));
    let expected = [
        "h histogram",
        "h_count 7",
        "h_sum 3.5",
        r#"h_bucket{le="1.0"} 4"#,
        r#"h_bucket{le="+Inf"} 7"#,
    ];
    for histogram in [open, closed] {
        check(family("h", 4, [message().message(7, histogram)]), &expected);
    }
    let float = message()
        .double(4, 2.5)
        .message(3, message().double(4, 1.5).double(2, 1.0));
    let expected = [
        "h histogram",
        "h_count 2.5",
        "h_sum 0",
        r#"h_bucket{le="1.0"} 1.5"#,
        r#"h_bucket{le="+Inf"} 2.5"#,
    ];
    check(family("h", 4, [message().message(7, float)]), &expected);
}

#[test]
fn native_histograms() {
    let metric = message().message(7, native());
    let expected =
        "h {count:4, sum:7.5, [-0.001,0.001]:1, (1,1.414213562373095]:1, (1.414213562373095,2]:2}";
    check(family("h", 4, [metric]), &["h histogram", expected]);

    let float = message()
        .double(4, 4.5)
        .double(2, -1.0)
        .double(8, 0.5)
        .double(6, 0.25)
        .message(9, message().number(2, 1))
        .packed_doubles(11, &[4.0]);
    let metric = message().message(7, float);
    let expected = "h float {count:4.5, sum:-1, [-1,-0.5):4, [-0.25,0.25]:0.5}";
    check(family("h", 5, [metric]), &["h gaugehistogram", expected]);

    // Only the empty span says that it is native.
    let empty = message().message(7, message().message(12, message()));
    check(
        family("h", 4, [empty]),
        &["h histogram", "h {count:0, sum:0}"],
    );
}

#[test]
fn gauge_histograms_say_so() {
    let body = delimited(&family("h", 5, [message().message(7, native())]));
    let mut reader = Reader::new(&body, NATIVE);
    reader.next(Expected::NOTHING).unwrap();
    let Some(Item::Histogram(line)) = reader.next(Expected::NOTHING).unwrap() else {
        panic!()
    };
    let HistogramSample::Integer(histogram) = line.sample else {
        panic!()
    };
    assert_eq!(histogram.reset_hint, model::histogram::ResetHint::Gauge);
}

#[test]
fn finer_schemas_are_made_coarser() {
    let fine = message()
        .number(1, 2)
        .zigzag(5, 9)
        .message(12, message().zigzag(1, 1).number(2, 2))
        .packed(13, [super::testing::zigzag(1), 0]);
    let body = delimited(&family("h", 4, [message().message(7, fine)]));
    let mut reader = Reader::new(&body, NATIVE);
    reader.next(Expected::NOTHING).unwrap();
    let Some(Item::Histogram(line)) = reader.next(Expected::NOTHING).unwrap() else {
        panic!()
    };
    let HistogramSample::Integer(histogram) = line.sample else {
        panic!()
    };
    assert_eq!(
        (histogram.schema, &*histogram.positive_deltas),
        (8, &[2][..])
    );
}

#[test]
fn expectations_are_told() {
    let body = delimited(&family(
        "g",
        1,
        [message().message(2, message().double(1, 1.0))],
    ));
    for (expected, is_expected) in [("g", true), ("", false), ("gg", false)] {
        let mut reader = Reader::new(&body, NATIVE);
        reader.next(Expected::NOTHING).unwrap();
        let Some(Item::Series(line, _)) = reader.next(Expected::of(expected)).unwrap() else {
            panic!()
        };
        assert_eq!(line.is_expected, is_expected);
    }
}

#[test]
fn a_nan_is_no_staleness_marker() {
    let stale = message().message(2, message().double(1, model::stale_nan()));
    let body = delimited(&family("g", 1, [stale]));
    let mut reader = Reader::new(&body, NATIVE);
    reader.next(Expected::NOTHING).unwrap();
    let Some(Item::Series(line, _)) = reader.next(Expected::NOTHING).unwrap() else {
        panic!()
    };
    assert_eq!(line.value.to_bits(), NORMAL_NAN_BITS);
}

#[test]
fn malformed_messages() {
    let gauge = delimited(&family(
        "g",
        1,
        [message().message(2, message().double(1, 1.0))],
    ));
    for end in 1..gauge.len() {
        assert!(read(&gauge[..end], NATIVE).is_err(), "{end}");
    }
    check_error(&[0x80], "byte 0: metric family \"\": unexpected EOF");
    // A length that no body has.
    check_error(
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0],
        "byte 0: metric family \"\": unexpected EOF",
    );
    let second = [gauge, delimited(&family("h", 4, [message()]))].concat();
    check_error(
        &second,
        "byte 19: metric family \"h\": a metric has no histogram, which its family's type promises",
    );
    let wrong = family("g", 1, [message().message(2, message().number(1, 1))]);
    check_error(
        &delimited(&wrong),
        "byte 0: metric family \"g\": proto: wrong wireType = 0 for field Value",
    );
    let no_text = family("g", 1, [message().message(1, message().bytes(1, b"\xff"))]);
    check_error(
        &delimited(&no_text),
        "byte 0: metric family \"g\": a label name is not valid UTF-8",
    );
}

#[test]
fn names_are_bounded() {
    // Two bytes a metric, and each would be a line with a name of a megabyte.
    let name = "n".repeat(1 << 20);
    let metrics = (0..300).map(|_| message().message(2, message()));
    let body = delimited(&family(&name, 1, metrics));
    let error = read_to_end(&body).unwrap_err().to_string();
    assert!(
        error.ends_with("names and labels are longer than 268435455 bytes together"),
        "{error}"
    );
}

fn read_to_end(body: &[u8]) -> Result<usize, ParseError> {
    let mut reader = Reader::new(body, NATIVE);
    let mut count = 0;
    while reader.next(Expected::NOTHING)?.is_some() {
        count += 1;
    }
    Ok(count)
}

#[test]
fn huge_spans_take_no_memory() {
    let spans = |histogram: Message| {
        histogram.message(
            12,
            message()
                .zigzag(1, i64::from(i32::MAX))
                .number(2, u64::from(u32::MAX)),
        )
    };
    let histogram = (0..3).fold(native(), |histogram, _| spans(histogram));
    let body = delimited(&family("h", 4, [message().message(7, histogram)]));
    let mut reader = Reader::new(&body, NATIVE);
    reader.next(Expected::NOTHING).unwrap();
    let Some(Item::Histogram(line)) = reader.next(Expected::NOTHING).unwrap() else {
        panic!()
    };
    let HistogramSample::Integer(histogram) = line.sample else {
        panic!()
    };
    assert!(histogram.validate().is_err());
}

type Pairs = Vec<(String, String)>;

/// A family that both formats can say: type, metrics of labels and value, and a time.
#[derive(Clone, Debug)]
struct Plain {
    name: String,
    kind: u64,
    metrics: Vec<(Pairs, f64, Option<i64>)>,
}

fn families() -> impl Strategy<Value = Vec<Plain>> {
    let labels = prop::collection::btree_map("[a-z]{1,3}|[a-z]\\.[é]", "[\\PC\n]{0,6}", 0..3);
    let labels = labels.prop_map(|labels| labels.into_iter().collect());
    let time = prop_oneof![Just(None), (1i64..1_000_000).prop_map(Some)];
    let metrics = prop::collection::vec((labels, -1e9f64..1e9, time), 0..4);
    let plain = (
        "[a-z_]{1,5}|[a-z]\\.[a-z\"]",
        prop_oneof![Just(0u64), Just(1), Just(3), Just(2), Just(4)],
        metrics,
    );
    let plain = plain.prop_map(|(name, kind, metrics)| Plain {
        name,
        kind,
        metrics,
    });
    prop::collection::vec(plain, 0..4)
}

impl Plain {
    fn message(&self) -> Message {
        let metrics = self.metrics.iter().map(|(labels, value, t)| {
            let labels = labels.iter();
            let metric = labels.fold(message(), |metric, (n, v)| metric.message(1, label(n, v)));
            let metric = t.iter().fold(metric, |metric, &t| metric.signed(6, t));
            match self.kind {
                0 => metric.message(3, message().double(1, *value)),
                1 => metric.message(2, message().double(1, *value)),
                3 => metric.message(5, message().double(1, *value)),
                2 => {
                    let quantile = message().double(1, 1.0).double(2, *value);
                    metric.message(
                        4,
                        message()
                            .number(1, 9)
                            .double(2, *value)
                            .message(3, quantile),
                    )
                }
                _ => metric.message(
                    7,
                    message()
                        .number(1, 9)
                        .double(2, *value)
                        .message(3, classic(3, 2.0)),
                ),
            }
        });
        family(&self.name, self.kind, metrics)
    }

    /// Writes the same as lines, without any of the code under test.
    fn lines(&self) -> String {
        let kind = ["counter", "gauge", "summary", "untyped", "histogram"]
            [usize::try_from(self.kind).unwrap()];
        let quoted = |text: &str| {
            format!(
                "\"{}\"",
                text.replace('\\', "\\\\")
                    .replace('"', "\\\"")
                    .replace('\n', "\\n")
            )
        };
        let mut out = format!("# TYPE {} {kind}\n", quoted(&self.name));
        for (labels, value, t) in &self.metrics {
            let t = t.map(|t| t.to_string()).unwrap_or_default();
            let mut line = |suffix: &str, extra: &str, value: f64| {
                let labels: String = labels
                    .iter()
                    .map(|(n, v)| format!(",{}={}", quoted(n), quoted(v)))
                    .collect();
                let name = quoted(&format!("{}{suffix}", self.name));
                out += &format!("{{{name}{labels}{extra}}} {value} {t}\n");
            };
            match self.kind {
                2 => {
                    line("_count", "", 9.0);
                    line("_sum", "", *value);
                    line("", ",quantile=\"1\"", *value);
                }
                4 => {
                    line("_count", "", 9.0);
                    line("_sum", "", *value);
                    line("_bucket", ",le=\"2\"", 3.0);
                    line("_bucket", ",le=\"+Inf\"", 9.0);
                }
                _ => line("", "", *value),
            }
        }
        out
    }
}

type Sample = (Pairs, u64, Option<i64>);

fn sample(line: &SeriesLine<'_>, kind: MetricType) -> Sample {
    let mut pairs = Vec::new();
    labels::decode(line.series, kind, &mut pairs);
    let mut pairs: Vec<_> = pairs
        .iter()
        .map(|(n, v)| (n.to_string(), v.to_string()))
        .collect();
    pairs.sort();
    (pairs, line.value.to_bits(), line.timestamp_ms)
}

proptest! {
    /// The same families as lines say the same samples.
    #[test]
    fn agrees_with_the_text_format(families in families()) {
        let body: Vec<u8> = families.iter().flat_map(|family| delimited(&family.message())).collect();
        let mut reader = Reader::new(&body, HistogramOptions::default());
        let mut found = Vec::new();
        while let Some(item) = reader.next(Expected::NOTHING).unwrap() {
            if let Item::Series(line, _) = item {
                found.push(sample(&line, MetricType::Unknown));
            }
        }
        let text: String = families.iter().map(Plain::lines).collect();
        let mut parser = Parser::new(text.as_bytes(), Format::Text).unwrap();
        let mut expected = Vec::new();
        while let Some(event) = parser.next(Expected::NOTHING).unwrap() {
            if let Event::Series(line) = event {
                let kind = parser.kind();
                expected.push(sample(&line, kind));
            }
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&body, NATIVE);
        let _ = read(&body, HistogramOptions { convert: true, ..NATIVE });
    }
}
