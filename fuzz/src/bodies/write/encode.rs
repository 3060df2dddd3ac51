//! What was stored, as requests: a series for all items that have its labels.

use model::histogram::{ResetHint, Span};
use model::metadata::{Metadata, MetricType};
use model::storage::HistogramSample;

use super::message::{Message, message, sample, series, zigzag};
use super::recorder::{Item, Stored, Value};

/// Returns a request of version 1.0.
pub fn v1(stored: &Stored) -> Vec<u8> {
    let labels = |pairs: &[(String, String)]| {
        let pairs = pairs.iter().map(|(name, value)| (&**name, &**value));
        series(&pairs.collect::<Vec<_>>())
    };
    let mut request = message();
    for items in by_series(stored) {
        let series =
            items
                .iter()
                .fold(labels(&items[0].labels), |series, item| match &item.value {
                    Value::Float(bits) => series.message(2, sample(item.t, f64::from_bits(*bits))),
                    Value::Exemplar(pairs, bits) => {
                        series.message(3, exemplar(labels(pairs), item.t, *bits))
                    }
                    Value::Histogram(message) => series.bytes(4, message),
                });
        request = request.message(1, series);
    }
    request.0
}

/// Returns a request of version 2.0.
pub fn v2(stored: &Stored) -> Vec<u8> {
    let mut symbols = Symbols(vec![""]);
    let mut request = message();
    for items in by_series(stored) {
        let mut series = symbols.labels(&items[0].labels);
        for item in items {
            series = match &item.value {
                Value::Float(bits) => series.message(2, sample(item.t, f64::from_bits(*bits))),
                Value::Histogram(message) => series.bytes(3, message),
                Value::Exemplar(pairs, bits) => {
                    series.message(4, exemplar(symbols.labels(pairs), item.t, *bits))
                }
            };
        }
        if let Some(Metadata { kind, help, unit }) = stored.metadata.get(&items[0].labels) {
            let metadata = message().number(1, type_number(*kind));
            series = series.message(
                5,
                metadata
                    .number(3, symbols.add(help))
                    .number(4, symbols.add(unit)),
            );
        }
        request = request.message(5, series);
    }
    let request = symbols
        .0
        .iter()
        .fold(request, |request, text| request.bytes(4, text.as_bytes()));
    request.0
}

/// The strings of a request.
struct Symbols<'a>(Vec<&'a str>);

impl<'a> Symbols<'a> {
    fn add(&mut self, text: &'a str) -> u64 {
        self.0.push(text);
        self.0.len() as u64 - 1
    }

    fn labels(&mut self, pairs: &'a [(String, String)]) -> Message {
        let refs = pairs
            .iter()
            .flat_map(|(name, value)| [self.add(name), self.add(value)]);
        message().packed(1, refs)
    }
}

fn by_series(stored: &Stored) -> impl Iterator<Item = &[Item]> {
    stored.items.chunk_by(|a, b| a.labels == b.labels)
}

fn exemplar(labels: Message, t: i64, bits: u64) -> Message {
    labels.double(2, f64::from_bits(bits)).signed(3, t)
}

/// Returns the number of a type; that of none is one that says nothing, so that the message is not taken for an empty one.
fn type_number(kind: MetricType) -> u64 {
    match kind {
        MetricType::Counter => 1,
        MetricType::Gauge => 2,
        MetricType::Histogram => 3,
        MetricType::GaugeHistogram => 4,
        MetricType::Summary => 5,
        MetricType::Info => 6,
        MetricType::StateSet => 7,
        MetricType::Unknown => 99,
    }
}

/// Returns the message of a histogram, which is the same in both versions.
pub fn histogram(t: i64, sample: &HistogramSample) -> Message {
    let deltas = |deltas: &[i64]| {
        deltas
            .iter()
            .map(|&delta| zigzag(delta))
            .collect::<Vec<_>>()
    };
    match sample {
        HistogramSample::Integer(h) => {
            let head = message().number(1, h.count).number(6, h.zero_count);
            let head = layout(head, t, h.schema, h.zero_threshold, h.sum, h.reset_hint);
            let head = spans(head, &h.negative_spans, &h.positive_spans);
            head.packed(9, deltas(&h.negative_deltas))
                .packed(12, deltas(&h.positive_deltas))
                .packed_doubles(16, &h.custom_bounds)
        }
        HistogramSample::Float(h) => {
            let head = message().double(2, h.count).double(7, h.zero_count);
            let head = layout(head, t, h.schema, h.zero_threshold, h.sum, h.reset_hint);
            let head = spans(head, &h.negative_spans, &h.positive_spans);
            head.packed_doubles(10, &h.negative_buckets)
                .packed_doubles(13, &h.positive_buckets)
                .packed_doubles(16, &h.custom_bounds)
        }
    }
}

fn layout(
    head: Message,
    t: i64,
    schema: i32,
    zero_threshold: f64,
    sum: f64,
    hint: ResetHint,
) -> Message {
    let hint = match hint {
        ResetHint::Unknown => 0,
        ResetHint::CounterReset => 1,
        ResetHint::NotCounterReset => 2,
        ResetHint::Gauge => 3,
    };
    head.double(3, sum)
        .zigzag(4, schema.into())
        .double(5, zero_threshold)
        .number(14, hint)
        .signed(15, t)
}

fn spans(head: Message, negative: &[Span], positive: &[Span]) -> Message {
    let fields = negative.iter().map(|span| (8, span));
    let fields = fields.chain(positive.iter().map(|span| (11, span)));
    fields.fold(head, |head, (field, span)| {
        let span = message()
            .zigzag(1, span.offset.into())
            .number(2, span.length.into());
        head.message(field, span)
    })
}
