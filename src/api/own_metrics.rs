//! Our own metrics: `/metrics`, and what is counted of every request.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use hyper::body::{Frame, SizeHint};
use metrics::{Counter, Family, Gauge, Histogram, Registry, encode};
use model::trace::Tracer;

use super::{Shared, spans};

/// Upper bounds of request durations, in seconds.
const DURATION_BUCKETS: &[f64] = &[0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0];
/// Upper bounds of response sizes, in bytes.
const SIZE_BUCKETS: &[f64] = &[1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// What is counted of HTTP requests.
#[derive(Clone)]
pub(super) struct HttpMetrics {
    requests: Family<Counter>,
    durations: Family<Histogram>,
    sizes: Family<Histogram>,
    scrapes: Family<Counter>,
    scrapes_in_flight: Gauge,
    tracer: Tracer,
}

impl HttpMetrics {
    /// Returns the instruments in `registry`, and `tracer` for the spans.
    pub(super) fn new(registry: &Registry, tracer: Tracer) -> Self {
        let metrics = HttpMetrics {
            requests: registry.counter_vec(
                "prometheus_http_requests_total",
                "Counter of HTTP requests.",
                &["code", "handler"],
            ),
            durations: registry.histogram_vec(
                "prometheus_http_request_duration_seconds",
                "Histogram of latencies for HTTP requests.",
                &["handler"],
                DURATION_BUCKETS,
            ),
            sizes: registry.histogram_vec(
                "prometheus_http_response_size_bytes",
                "Histogram of response size for HTTP requests.",
                &["handler"],
                SIZE_BUCKETS,
            ),
            scrapes: registry.counter_vec(
                "promhttp_metric_handler_requests_total",
                "Total number of scrapes by HTTP status code.",
                &["code"],
            ),
            scrapes_in_flight: registry.gauge(
                "promhttp_metric_handler_requests_in_flight",
                "Current number of scrapes being served.",
            ),
            tracer,
        };
        for code in ["200", "500", "503"] {
            metrics.scrapes.with(&[code]);
        }
        metrics
    }

    /// Returns the instruments of the route `handler`, whose count starts at 0.
    pub(super) fn handler(&self, handler: &'static str) -> HandlerMetrics {
        self.requests.with(&["200", handler]);
        HandlerMetrics {
            handler,
            requests: self.requests.clone(),
            duration: self.durations.with(&[handler]),
            size: self.sizes.with(&[handler]),
            tracer: self.tracer.clone(),
        }
    }
}

/// What is counted of the requests to one route.
#[derive(Clone)]
pub(super) struct HandlerMetrics {
    handler: &'static str,
    requests: Family<Counter>,
    duration: Histogram,
    size: Histogram,
    tracer: Tracer,
}

/// Middleware that counts a request, measures it when its answer is sent, and makes its span.
pub(super) async fn measure(
    State(metrics): State<HandlerMetrics>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let mut span = net::trace::begin_answer(&metrics.tracer, method, uri, headers);
    let response = spans::within(&span, next.run(request)).await;
    net::trace::note_status(&mut span, response.status(), false);
    drop(span);
    metrics
        .requests
        .with(&[response.status().as_str(), metrics.handler])
        .inc();
    response.map(|body| {
        Body::new(Measured {
            body,
            bytes: 0,
            started,
            metrics,
        })
    })
}

/// A body that says what it was when it is dropped.
struct Measured {
    body: Body,
    bytes: usize,
    started: Instant,
    metrics: HandlerMetrics,
}

impl HttpBody for Measured {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.bytes += data.len();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.metrics.duration.observe_since(self.started);
        #[expect(
            clippy::cast_precision_loss,
            reason = "bodies are far below 2^53 bytes"
        )]
        self.metrics.size.observe(self.bytes as f64);
    }
}

/// Counts a scrape as being served while it lives.
struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// `/metrics`: everything in the registry, in the format that the scraper likes best.
pub(super) async fn exposition(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    shared.http.scrapes_in_flight.inc();
    let in_flight = InFlight(shared.http.scrapes_in_flight.clone());
    let response = render(&shared.early.registry, &headers).await;
    drop(in_flight);
    shared
        .http
        .scrapes
        .with(&[response.status().as_str()])
        .inc();
    response
}

/// Returns everything in `registry`, in the format that the scraper likes best.
pub(crate) async fn render(registry: &Registry, headers: &HeaderMap) -> Response {
    let accepted: Vec<_> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let format = encode::negotiate(&accepted.join(","));
    let registry = registry.clone();
    // Collectors read files of the system: not on the threads that serve sockets.
    let encoded = tokio::task::spawn_blocking(move || {
        let mut body = Vec::with_capacity(64 << 10);
        encode::encode(format, &registry.gather(), &mut body);
        body
    });
    match encoded.await {
        Ok(body) => ([(header::CONTENT_TYPE, format.content_type())], body).into_response(),
        Err(_) => super::error::plain_error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "a metrics collector failed",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{Api, body_of};
    use http::Method;

    #[tokio::test]
    async fn requests_are_counted() {
        let api = Api::new();
        api.get("/api/v1/query?query=1").await;
        api.get("/api/v1/query?query=((").await;
        api.get("/api/v1/label/job/values").await;
        api.get("/metrics").await;
        let (_, text) = api.get("/metrics").await;
        for line in [
            r#"prometheus_http_requests_total{code="200",handler="/api/v1/query"} 1"#,
            r#"prometheus_http_requests_total{code="400",handler="/api/v1/query"} 1"#,
            r#"prometheus_http_requests_total{code="200",handler="/api/v1/label/:name/values"} 1"#,
            r#"prometheus_http_requests_total{code="200",handler="/api/v1/series"} 0"#,
            r#"prometheus_http_request_duration_seconds_count{handler="/api/v1/query"} 2"#,
            r#"prometheus_http_request_duration_seconds_bucket{handler="/api/v1/query",le="120"} 2"#,
            r#"prometheus_http_response_size_bytes_bucket{handler="/api/v1/query",le="100"} 1"#,
            r#"prometheus_http_response_size_bytes_count{handler="/api/v1/query"} 2"#,
            r#"promhttp_metric_handler_requests_total{code="200"} 1"#,
            r#"promhttp_metric_handler_requests_total{code="500"} 0"#,
            "promhttp_metric_handler_requests_in_flight 1",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is missing in\n{text}"
            );
        }
    }

    #[tokio::test]
    async fn format_is_negotiated() {
        let api = Api::new();
        let scrape = async |accept: &str| {
            let request = api.request(Method::GET, "/metrics", "");
            let response = api
                .respond(
                    request
                        .header(header::ACCEPT, accept)
                        .body(Body::empty())
                        .unwrap(),
                )
                .await;
            let content_type = response.headers()[header::CONTENT_TYPE]
                .to_str()
                .unwrap()
                .to_owned();
            (content_type, body_of(response))
        };
        let (content_type, text) =
            scrape("application/openmetrics-text;version=1.0.0;q=0.9,text/plain;q=0.5").await;
        assert!(content_type.starts_with("application/openmetrics-text; version=1.0.0"));
        assert!(text.ends_with("# EOF\n"));
        let (content_type, _) = scrape("*/*").await;
        assert!(content_type.starts_with("text/plain; version=0.0.4"));
    }
}
