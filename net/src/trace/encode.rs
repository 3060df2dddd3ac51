//! Spans as OTLP has them.
//!
//! Source: `opentelemetry/proto/trace/v1/trace.proto`, whose field numbers are used here.

use model::protobuf::Writer;
use model::trace::{AttributeValue, SpanData, SpanKind};

/// Who made the spans: `telemetry.sdk.name` and the name of the scope.
const SDK: &str = "hearth";

/// `STATUS_CODE_ERROR`.
const ERROR: u64 = 2;

/// Returns an `ExportTraceServiceRequest`.
pub(super) fn request(service: &str, spans: &[SpanData]) -> Vec<u8> {
    let mut resource = Writer::default();
    for (name, value) in [
        ("service.name", service),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("telemetry.sdk.name", SDK),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ] {
        resource.message(1, attribute(name, &AttributeValue::from(value)));
    }
    let mut scope = Writer::default();
    scope.bytes(1, SDK.as_bytes());
    let mut of_scope = Writer::default();
    of_scope.message(1, scope);
    for span in spans {
        of_scope.message(2, message(span));
    }
    let mut of_resource = Writer::default();
    of_resource.message(1, resource).message(2, of_scope);
    let mut request = Writer::default();
    request.message(1, of_resource);
    request.into_bytes()
}

fn message(span: &SpanData) -> Writer {
    let mut out = Writer::default();
    out.bytes(1, &span.context.trace.to_be_bytes())
        .bytes(2, &span.context.span.to_be_bytes());
    if span.parent != 0 {
        out.bytes(4, &span.parent.to_be_bytes());
    }
    let kind = match span.kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
    };
    out.bytes(5, span.name.as_bytes())
        .varint(6, kind)
        .fixed64(7, span.begin_ns)
        .fixed64(8, span.end_ns);
    for (name, value) in &span.attributes {
        out.message(9, attribute(name, value));
    }
    if let Some(error) = &span.error {
        let mut status = Writer::default();
        status.bytes(2, error.as_bytes()).varint(3, ERROR);
        out.message(15, status);
    }
    out
}

/// Returns a `KeyValue`.
fn attribute(name: &str, value: &AttributeValue) -> Writer {
    let mut inner = Writer::default();
    match value {
        AttributeValue::Text(text) => inner.bytes(1, text.as_bytes()),
        AttributeValue::Integer(number) => inner.varint(3, number.cast_unsigned()),
    };
    let mut out = Writer::default();
    out.bytes(1, name.as_bytes()).message(2, inner);
    out
}
