//! Prometheus' protobuf format. The first byte says what becomes of histograms.

#[path = "../../../remote/tests/support/message.rs"]
#[allow(missing_docs, reason = "the tests of requests have it too")]
pub mod message;

use model::metadata::MetricType;
use model::storage::HistogramSample;
use scraper::exposition::protobuf::{HistogramOptions, Item, Reader};
use scraper::exposition::{Event, Expected, Format, Parser, labels};

use message::{Message, zigzag};

/// What is taken is taken by who expects the right series; every series can be written as a line, and reads the same there.
pub fn check(data: &[u8]) {
    let Some((&which, body)) = data.split_first() else {
        return;
    };
    let options = HistogramOptions {
        native: which & 1 != 0,
        always_classic: which & 2 != 0,
        convert: which & 4 != 0,
    };
    let Some(series) = read(body, options, &[]) else {
        return;
    };
    let again = read(body, options, &series).expect("it was taken before");
    assert_eq!(again, series);
    for text in &series {
        let line = format!("{text} 1\n");
        let mut parser = Parser::new(line.as_bytes(), Format::Text).expect("it is UTF-8");
        match parser.next(Expected::NOTHING) {
            Ok(Some(Event::Series(line))) => assert_eq!(line.series, text),
            other => panic!("{text:?} reads as {other:?}"),
        }
    }
}

/// Returns the series of a body, of which `known` are expected; `None` when it is malformed.
fn read(body: &[u8], options: HistogramOptions, known: &[String]) -> Option<Vec<String>> {
    let mut reader = Reader::new(body, options);
    let mut series = Vec::new();
    loop {
        let known = known.get(series.len());
        let expected = known.map_or(Expected::NOTHING, |known| Expected::of(known));
        let (text, is_expected) = match reader.next(expected).ok()? {
            None => return Some(series),
            Some(Item::Series(line, _)) => {
                if let Some(exemplar) = &line.exemplar {
                    labels::decode(exemplar.labels, MetricType::Unknown, &mut Vec::new());
                }
                (line.series.to_owned(), line.is_expected)
            }
            Some(Item::Histogram(line)) => {
                // Whether it contradicts itself is looked at before it is used.
                let _ = match &line.sample {
                    HistogramSample::Integer(histogram) => histogram.validate(),
                    HistogramSample::Float(histogram) => histogram.validate(),
                };
                assert!(line.exemplars.is_sorted_by_key(|exemplar| exemplar.t));
                (line.series.to_owned(), line.is_expected)
            }
            Some(Item::Family(_) | Item::Unconvertible) => continue,
        };
        assert_eq!(is_expected, Some(&text) == known);
        series.push(text);
    }
}

/// Bodies with every type.
pub fn seeds() -> Vec<Vec<u8>> {
    let value = || message::message().double(1, 1.5);
    let label = message::message().bytes(1, b"a.b").bytes(2, b"c\"\n");
    let time = message::message().number(1, 5).number(2, 6_000_000);
    let exemplar = || {
        let label = message::message().bytes(1, b"t").bytes(2, b"x");
        message::message().message(1, label).double(2, 0.5)
    };
    let bucket = |count: u64, bound: f64| message::message().number(1, count).double(2, bound);
    let classic = message::message()
        .number(1, 4)
        .double(2, 2.5)
        .message(3, bucket(1, 1.0).message(3, exemplar()))
        .message(3, bucket(4, f64::INFINITY));
    let span = |offset: i64, length: u64| message::message().zigzag(1, offset).number(2, length);
    let native = Message(classic.0.clone())
        .zigzag(5, 3)
        .double(6, 0.001)
        .number(7, 1)
        .message(9, span(2, 1))
        .packed(10, [zigzag(1)])
        .message(12, span(-1, 2))
        .packed(13, [zigzag(1), zigzag(0)])
        .message(16, exemplar().message(3, time));
    let float = message::message()
        .double(4, 4.5)
        .double(8, 0.5)
        .message(12, span(0, 1))
        .packed_doubles(14, &[4.0]);
    let quantile = message::message().double(1, 0.5).double(2, 1.0);
    let summary = message::message()
        .number(1, 3)
        .double(2, 4.0)
        .message(3, quantile);
    let metric = |field: u64, value: Message| message::message().message(field, value);
    let families = [
        family(
            "c_total",
            0,
            metric(3, value().message(2, exemplar())).message(1, label),
        ),
        family("g.h", 1, metric(2, value()).signed(6, -5)),
        family("s", 2, metric(4, summary)),
        family("u", 3, metric(5, value())),
        family("classic", 4, metric(7, classic)),
        family("native", 4, metric(7, native)),
        family("float", 5, metric(7, float)),
    ];
    let body: Vec<u8> = families.concat();
    (0..8).map(|which| [&[which][..], &body].concat()).collect()
}

/// Returns a family of one metric after its length.
fn family(name: &str, kind: u64, metric: Message) -> Vec<u8> {
    let family = message::message()
        .bytes(1, name.as_bytes())
        .bytes(2, b"Help.")
        .number(3, kind)
        .message(4, metric)
        .bytes(5, b"seconds");
    message::message().bytes(1, &family.0).0.split_off(1)
}
