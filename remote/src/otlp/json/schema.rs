//! Which names of JSON stand for which fields of a request.

use super::number::Number;
use Kind::{Bool, Bytes, Id, Messages, Numbers, Text};

/// The fields of a message.
pub(super) struct Message(pub(super) &'static [Field]);

/// A field: its name in JSON, its number, and what it has.
pub(super) type Field = (&'static str, u32, Kind);

/// What a field has.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    /// Bytes, in base 64.
    Bytes,
    /// The id of a trace or span, hexadecimal.
    Id,
    Bool,
    Number(Number),
    /// Numbers, which are packed.
    Numbers(Number),
    Message(&'static Message),
    Messages(&'static Message),
}

pub(super) static REQUEST: Message =
    Message(&[("resourceMetrics", 1, Messages(&RESOURCE_METRICS))]);

static RESOURCE_METRICS: Message = Message(&[
    ("resource", 1, Kind::Message(&RESOURCE)),
    ("scopeMetrics", 2, Messages(&SCOPE_METRICS)),
    ("schemaUrl", 3, Text),
]);

static RESOURCE: Message = Message(&[("attributes", 1, Messages(&KEY_VALUE))]);

static SCOPE_METRICS: Message = Message(&[
    ("scope", 1, Kind::Message(&SCOPE)),
    ("metrics", 2, Messages(&METRIC)),
    ("schemaUrl", 3, Text),
]);

static SCOPE: Message = Message(&[
    ("name", 1, Text),
    ("version", 2, Text),
    ("attributes", 3, Messages(&KEY_VALUE)),
]);

static KEY_VALUE: Message = Message(&[("key", 1, Text), ("value", 2, Kind::Message(&ANY_VALUE))]);

static ANY_VALUE: Message = Message(&[
    ("stringValue", 1, Text),
    ("boolValue", 2, Bool),
    ("intValue", 3, Kind::Number(Number::Signed)),
    ("doubleValue", 4, Kind::Number(Number::Double)),
    ("arrayValue", 5, Kind::Message(&ARRAY_VALUE)),
    ("kvlistValue", 6, Kind::Message(&KEY_VALUE_LIST)),
    ("bytesValue", 7, Bytes),
]);

static ARRAY_VALUE: Message = Message(&[("values", 1, Messages(&ANY_VALUE))]);

static KEY_VALUE_LIST: Message = Message(&[("values", 1, Messages(&KEY_VALUE))]);

static METRIC: Message = Message(&[
    ("name", 1, Text),
    ("description", 2, Text),
    ("unit", 3, Text),
    ("gauge", 5, Kind::Message(&GAUGE)),
    ("sum", 7, Kind::Message(&SUM)),
    ("histogram", 9, Kind::Message(&HISTOGRAM)),
    ("exponentialHistogram", 10, Kind::Message(&EXPONENTIAL)),
    ("summary", 11, Kind::Message(&SUMMARY)),
]);

static GAUGE: Message = Message(&[("dataPoints", 1, Messages(&NUMBER_POINT))]);

static SUM: Message = Message(&[
    ("dataPoints", 1, Messages(&NUMBER_POINT)),
    (
        "aggregationTemporality",
        2,
        Kind::Number(Number::Temporality),
    ),
    ("isMonotonic", 3, Bool),
]);

static HISTOGRAM: Message = Message(&[
    ("dataPoints", 1, Messages(&HISTOGRAM_POINT)),
    (
        "aggregationTemporality",
        2,
        Kind::Number(Number::Temporality),
    ),
]);

static EXPONENTIAL: Message = Message(&[
    ("dataPoints", 1, Messages(&EXPONENTIAL_POINT)),
    (
        "aggregationTemporality",
        2,
        Kind::Number(Number::Temporality),
    ),
]);

static SUMMARY: Message = Message(&[("dataPoints", 1, Messages(&SUMMARY_POINT))]);

static NUMBER_POINT: Message = Message(&[
    ("startTimeUnixNano", 2, Kind::Number(Number::Fixed)),
    ("timeUnixNano", 3, Kind::Number(Number::Fixed)),
    ("asDouble", 4, Kind::Number(Number::Double)),
    ("exemplars", 5, Messages(&EXEMPLAR)),
    ("asInt", 6, Kind::Number(Number::SignedFixed)),
    ("attributes", 7, Messages(&KEY_VALUE)),
    ("flags", 8, Kind::Number(Number::Varint)),
]);

static HISTOGRAM_POINT: Message = Message(&[
    ("startTimeUnixNano", 2, Kind::Number(Number::Fixed)),
    ("timeUnixNano", 3, Kind::Number(Number::Fixed)),
    ("count", 4, Kind::Number(Number::Fixed)),
    ("sum", 5, Kind::Number(Number::Double)),
    ("bucketCounts", 6, Numbers(Number::Fixed)),
    ("explicitBounds", 7, Numbers(Number::Double)),
    ("exemplars", 8, Messages(&EXEMPLAR)),
    ("attributes", 9, Messages(&KEY_VALUE)),
    ("flags", 10, Kind::Number(Number::Varint)),
    ("min", 11, Kind::Number(Number::Double)),
    ("max", 12, Kind::Number(Number::Double)),
]);

static EXPONENTIAL_POINT: Message = Message(&[
    ("attributes", 1, Messages(&KEY_VALUE)),
    ("startTimeUnixNano", 2, Kind::Number(Number::Fixed)),
    ("timeUnixNano", 3, Kind::Number(Number::Fixed)),
    ("count", 4, Kind::Number(Number::Fixed)),
    ("sum", 5, Kind::Number(Number::Double)),
    ("scale", 6, Kind::Number(Number::Zigzag)),
    ("zeroCount", 7, Kind::Number(Number::Fixed)),
    ("positive", 8, Kind::Message(&BUCKETS)),
    ("negative", 9, Kind::Message(&BUCKETS)),
    ("flags", 10, Kind::Number(Number::Varint)),
    ("exemplars", 11, Messages(&EXEMPLAR)),
    ("min", 12, Kind::Number(Number::Double)),
    ("max", 13, Kind::Number(Number::Double)),
    ("zeroThreshold", 14, Kind::Number(Number::Double)),
]);

static BUCKETS: Message = Message(&[
    ("offset", 1, Kind::Number(Number::Zigzag)),
    ("bucketCounts", 2, Numbers(Number::Varint)),
]);

static SUMMARY_POINT: Message = Message(&[
    ("startTimeUnixNano", 2, Kind::Number(Number::Fixed)),
    ("timeUnixNano", 3, Kind::Number(Number::Fixed)),
    ("count", 4, Kind::Number(Number::Fixed)),
    ("sum", 5, Kind::Number(Number::Double)),
    ("quantileValues", 6, Messages(&QUANTILE)),
    ("attributes", 7, Messages(&KEY_VALUE)),
    ("flags", 8, Kind::Number(Number::Varint)),
]);

static QUANTILE: Message = Message(&[
    ("quantile", 1, Kind::Number(Number::Double)),
    ("value", 2, Kind::Number(Number::Double)),
]);

static EXEMPLAR: Message = Message(&[
    ("timeUnixNano", 2, Kind::Number(Number::Fixed)),
    ("asDouble", 3, Kind::Number(Number::Double)),
    ("spanId", 4, Id),
    ("traceId", 5, Id),
    ("asInt", 6, Kind::Number(Number::SignedFixed)),
    ("filteredAttributes", 7, Messages(&KEY_VALUE)),
]);

impl Message {
    /// Returns the field of that name, in JSON or as protobuf has it.
    pub(super) fn field(&self, name: &str) -> Option<&'static Field> {
        let is_same = |camel: &str| name == camel || is_snake_of(name, camel);
        self.0.iter().find(|(camel, ..)| is_same(camel))
    }
}

/// Returns whether `name` is what protobuf calls the field that is `camel` in JSON.
fn is_snake_of(name: &str, camel: &str) -> bool {
    let mut rest = name.bytes();
    let mut is_next = |byte: u8| rest.next() == Some(byte);
    let is_whole = camel.bytes().all(|byte| match byte {
        b'A'..=b'Z' => is_next(b'_') && is_next(byte.to_ascii_lowercase()),
        _ => is_next(byte),
    });
    is_whole && rest.next().is_none()
}

impl Kind {
    pub(super) fn text(self) -> String {
        match self {
            Text => "text".to_owned(),
            Bytes => "bytes in base 64".to_owned(),
            Id => "an id in hexadecimal digits".to_owned(),
            Bool => "true or false".to_owned(),
            Kind::Number(number) => number.text().to_owned(),
            Numbers(number) => format!("a list, each {}", number.text()),
            Kind::Message(_) => "an object".to_owned(),
            Messages(_) => "a list of objects".to_owned(),
        }
    }
}
