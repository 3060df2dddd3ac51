//! Spans of HTTP requests, of both sides.
//!
//! Names and attributes are OpenTelemetry's for HTTP. Of a URL the host and the path are told, never what follows: there may be
//! secrets.

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use model::trace::{Span, SpanContext, SpanKind, TRACEPARENT, Tracer};

/// Begins the span of a request that is to be answered, in the trace that its sender says.
pub fn begin_answer(tracer: &Tracer, method: &Method, uri: &Uri, headers: &HeaderMap) -> Span {
    if !tracer.is_on() {
        return Span::default();
    }
    let parent = headers.get(TRACEPARENT);
    let parent = parent.and_then(|value| SpanContext::parse(value.to_str().ok()?));
    let name = format!("{method} {}", uri.path());
    let mut span = tracer.begin(name, SpanKind::Server, parent);
    span.set("http.request.method", method.as_str());
    span.set("url.path", uri.path());
    span
}

/// Begins the span of a request that is to be sent.
///
/// * `parent`: on whose behalf; nothing if that is whoever was entered on this thread.
pub fn begin_request(
    tracer: &Tracer,
    method: &'static str,
    uri: Option<&Uri>,
    parent: Option<SpanContext>,
) -> Span {
    if !tracer.is_on() {
        return Span::default();
    }
    let name = match method {
        "GET" => "HTTP GET".into(),
        "POST" => "HTTP POST".into(),
        other => format!("HTTP {other}").into(),
    };
    let name: std::borrow::Cow<'static, str> = name;
    let mut span = tracer.begin(name, SpanKind::Client, parent);
    span.set("http.request.method", method);
    if let Some(uri) = uri {
        span.set("server.address", uri.host().unwrap_or_default());
        if let Some(port) = uri.port_u16() {
            span.set("server.port", i64::from(port));
        }
        span.set("url.path", uri.path());
    }
    span
}

/// Notes how a request was answered. Whoever asks for what is wrong (4xx) makes only the sender's span fail.
pub fn note_status(span: &mut Span, status: StatusCode, is_sender: bool) {
    if !span.is_recorded() {
        return;
    }
    span.set("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() || is_sender && status.is_client_error() {
        span.fail(status);
    }
}

/// Adds the header that puts the receiver's spans below `context`.
pub fn pass_on(context: SpanContext, headers: &mut HeaderMap) {
    if let Ok(value) = HeaderValue::from_str(&context.to_string()) {
        headers.insert(TRACEPARENT, value);
    }
}
