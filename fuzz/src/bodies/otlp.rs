//! OTLP metrics. The first byte says what becomes of names and attributes.

use std::sync::Arc;

use metrics::Registry;
use remote::otlp::{
    Deltas, Options, OtlpError, OtlpIngest, OtlpReport, Promoted, TranslationStrategy,
};

use super::write::message::{Message, message};
use super::write::recorder::{Recorder, Stored, Value};

/// The time at which requests arrive.
const NOW_MS: i64 = 1_700_000_000_000;

/// What is stored of a request is stored of it again; its names are old ones where they are to be escaped, and what is told of
/// it is what was stored. The storage sees to it that labels are in order and whole.
pub fn check(data: &[u8]) {
    let Some((&which, request)) = data.split_first() else {
        return;
    };
    let options = options(which);
    check_with(&options, |ingest| ingest.write(request, &options, NOW_MS));
}

/// The same of requests in JSON.
pub fn check_json(data: &[u8]) {
    let Some((&which, request)) = data.split_first() else {
        return;
    };
    let options = options(which);
    check_with(&options, |ingest| {
        ingest.write_json(request, &options, NOW_MS)
    });
}

fn check_with(options: &Options, send: impl Fn(&OtlpIngest) -> Result<OtlpReport, OtlpError>) {
    let Some(stored) = write(&send) else {
        return;
    };
    let again = write(&send).expect("it was taken before");
    assert_eq!(again.items, stored.items);
    if !options.strategy.escapes {
        return;
    }
    for item in &stored.items {
        for (name, value) in item.labels.iter() {
            assert!(model::name::is_legacy_label_name(name), "{name:?}");
            let is_metric = name == "__name__";
            assert!(
                !is_metric || model::name::is_legacy_metric_name(value),
                "{value:?}"
            );
        }
    }
}

fn options(which: u8) -> Options {
    let is_set = |bit: u8| which & (1 << bit) != 0;
    Options {
        strategy: TranslationStrategy {
            escapes: !is_set(0),
            adds_suffixes: !is_set(1),
        },
        promoted: match is_set(2) {
            true => Promoted::AllBut(vec!["host.name".to_owned()]),
            false => Promoted::Only(vec!["host.name".to_owned()]),
        },
        keeps_identifying_attributes: is_set(3),
        converts_histograms: is_set(4),
        promotes_scope: is_set(5),
        sanitizes_underscores: !is_set(6),
        preserves_underscores: !is_set(7),
        // There are no more bits; each of the two is with other settings.
        deltas: match which % 3 {
            0 => Deltas::LeftOut,
            1 => Deltas::Kept,
            _ => Deltas::AddedUp,
        },
    }
}

/// Returns what is stored of a request; `None` when it is malformed.
fn write(send: impl Fn(&OtlpIngest) -> Result<OtlpReport, OtlpError>) -> Option<Stored> {
    let storage = Arc::new(Recorder::default());
    let ingest = OtlpIngest::new(Arc::clone(&storage) as _, &Registry::new());
    let report = send(&ingest).ok()?;
    let stored = storage.take();
    let samples = stored.items.iter();
    let samples = samples.filter(|item| !matches!(item.value, Value::Exemplar(..)));
    assert_eq!(report.stored, samples.count() as u64);
    assert!(report.reasons.len() as u64 <= report.refused);
    Some(stored)
}

fn attribute(name: &str, value: Message) -> Message {
    message().bytes(1, name.as_bytes()).message(2, value)
}

fn text(name: &str, value: &str) -> Message {
    attribute(name, message().bytes(1, value.as_bytes()))
}

/// Requests with every kind of metric and of attribute.
pub fn seeds() -> Vec<Vec<u8>> {
    let fixed =
        |message: Message, field: u64, bits: u64| message.double(field, f64::from_bits(bits));
    let at = |message: Message| fixed(message, 3, 1_699_999_999_000_000_000);
    let exemplar = fixed(message(), 2, 1_699_999_999_000_000_000)
        .double(3, 0.5)
        .bytes(5, &[1, 2])
        .message(7, text("user", "u"));
    let number = at(message())
        .double(4, 1.5)
        .message(5, exemplar.clone())
        .message(7, text("http.route", "/"))
        .message(
            7,
            attribute(
                "list",
                message().message(5, message().message(1, message().number(3, 7))),
            ),
        );
    let explicit = fixed(at(message()), 4, 3)
        .double(5, 2.5)
        .packed_doubles(6, &[1, 2].map(f64::from_bits))
        .packed_doubles(7, &[0.5])
        .message(8, exemplar);
    let buckets = message().zigzag(1, -1).packed(2, [1, 0, 0, 0, 2]);
    let exponential = fixed(at(message()), 4, 7).double(5, 2.5).zigzag(6, 3);
    let exponential = fixed(exponential, 7, 1)
        .message(8, buckets.clone())
        .message(9, buckets);
    let quantile = message().double(1, 0.5).double(2, 1.0);
    let summary = fixed(at(message()), 4, 2)
        .double(5, 3.0)
        .message(6, quantile);
    let data = |field: u64, points: Message| {
        let data = message().message(1, points).number(2, 2).number(3, 1);
        message()
            .bytes(1, b"a.metric")
            .bytes(3, b"By/s")
            .message(field, data)
    };
    let metrics = [
        data(5, number.clone()),
        data(7, number),
        data(9, explicit),
        data(10, exponential),
        data(11, summary),
    ];
    let scope = message()
        .bytes(1, b"lib")
        .bytes(2, b"1")
        .message(3, text("x.y", "z"));
    let scope = metrics
        .into_iter()
        .fold(message().message(1, scope), |scope, metric| {
            scope.message(2, metric)
        });
    let resource = [
        ("service.name", "s"),
        ("service.instance.id", "i"),
        ("host.name", "h"),
    ];
    let resource = resource.iter().fold(message(), |resource, (name, value)| {
        resource.message(1, text(name, value))
    });
    let request = message().message(1, message().message(1, resource).message(2, scope));
    [0u8, 0b1111_1111, 0b0011_1100, 0b0001_0001]
        .map(|which| [&[which][..], &request.0].concat())
        .to_vec()
}

/// A request in JSON with every kind of metric and of attribute.
pub fn seeds_json() -> Vec<Vec<u8>> {
    let request = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"s"}},
{"key":"host.name","value":{"arrayValue":{"values":[{"intValue":"7"},{"doubleValue":1.5},{"boolValue":true},{"bytesValue":"AP8="}]}}}]},
"scopeMetrics":[{"scope":{"name":"lib","version":"1","attributes":[{"key":"x.y","value":{"kvlistValue":{"values":[{"key":"k"}]}}}]},"metrics":[
{"name":"a.metric","unit":"By/s","gauge":{"dataPoints":[{"timeUnixNano":"1699999999000000000","asDouble":1.5,"exemplars":[{"timeUnixNano":"1699999999000000000","asInt":"2","traceId":"0102"}]}]}},
{"name":"b","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{"timeUnixNano":1699999999000000000,"asInt":"-3","flags":1}]}},
{"name":"c","histogram":{"aggregationTemporality":2,"dataPoints":[{"timeUnixNano":"1699999999000000000","count":"3","sum":2.5,"bucketCounts":["1",2],"explicitBounds":[0.5]}]}},
{"name":"d","exponentialHistogram":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE","dataPoints":[{"timeUnixNano":"1699999999000000000","count":"7","scale":3,"zeroCount":1,"positive":{"offset":-1,"bucketCounts":["1","0","5"]}}]}},
{"name":"e","summary":{"dataPoints":[{"timeUnixNano":"1699999999000000000","count":"2","sum":"NaN","quantileValues":[{"quantile":0.5,"value":1}],"unknown":{"a":[null]}}]}}]}]}]}"#;
    [0u8, 0b1111_1111, 0b0001_0001]
        .map(|which| [&[which][..], request.as_bytes()].concat())
        .to_vec()
}
