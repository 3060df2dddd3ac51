//! Alertmanager's HTTP API, version 2.
//!
//! ```text
//! router ── CORS ── bound on GETs ── measure ── call ─┬─ alerts, alerts/groups   from the dispatcher
//!                                                     ├─ silences, silence/{id}  stored before they are answered
//!                                                     └─ status, receivers       from the configuration
//! ```
//!
//! Answers and errors are Alertmanager's, odd as they are: what makes no sense is a bare JSON string, what is not of the
//! schema an object with a code, a silence that is not there an empty 404.
//!
//! Source: Alertmanager's OpenAPI description; the texts of errors are what its server answers.

mod alerts;
#[cfg(test)]
mod conformance;
mod decode;
mod silences;
mod status;
#[cfg(test)]
mod tests;
mod time;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::{HeaderValue, Method, StatusCode, header};
use metrics::{Counter, Family, Gauge, Histogram, Registry};
use model::{Labels, Matcher};
use serde::Serialize;
use tokio::sync::Semaphore;

pub use status::ALERTMANAGER_VERSION;
pub(crate) use time::print as print_time;

use crate::config::{MatcherMode, parse_matcher};
use crate::server::Alertmanager;
use crate::template::go_regex_error;

/// Largest body, in bytes; larger ones are refused. A batch of Prometheus' is some hundred kilobytes.
pub const BODY_BYTES_MAX: usize = 32 << 20;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// Upper bounds of request durations, in seconds.
const DURATION_BUCKETS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// What the API is started with.
pub struct ApiOptions {
    /// GET requests that are answered at once; further ones get 503.
    pub gets_max: usize,
    /// What the path of the API begins with: empty or like `/am`, without a slash at the end.
    pub prefix: String,
    /// When the process started, milliseconds since the epoch.
    pub started_at_ms: i64,
}

/// What all calls share.
struct Api {
    alertmanager: Arc<Alertmanager>,
    gets: Arc<Semaphore>,
    options: ApiOptions,
    metrics: ApiMetrics,
}

struct ApiMetrics {
    durations: Family<Histogram>,
    in_flight: Gauge,
    limited: Counter,
    invalid: Family<Counter>,
}

impl ApiMetrics {
    fn new(registry: &Registry) -> Self {
        let invalid = registry.counter_vec(
            "alertmanager_alerts_invalid_total",
            "The total number of received alerts that were invalid.",
            &["version"],
        );
        invalid.with(&["v2"]);
        ApiMetrics {
            durations: registry.histogram_vec(
                "alertmanager_http_request_duration_seconds",
                "Histogram of latencies for HTTP requests.",
                &["handler", "method", "code"],
                DURATION_BUCKETS,
            ),
            in_flight: registry.gauge(
                "alertmanager_http_requests_in_flight",
                "Current number of HTTP requests being processed.",
            ),
            limited: registry.counter(
                "alertmanager_http_concurrency_limit_exceeded_total",
                "Total number of times an HTTP request failed because the concurrency limit was reached.",
            ),
            invalid,
        }
    }
}

/// Returns the service for everything below `/api/v2`.
pub fn router<S: Clone + Send + Sync + 'static>(
    alertmanager: Arc<Alertmanager>,
    registry: &Registry,
    options: ApiOptions,
) -> Router<S> {
    let prefix = format!("{}/api/v2", options.prefix);
    let api = Arc::new(Api {
        alertmanager,
        gets: Arc::new(Semaphore::new(options.gets_max.min(Semaphore::MAX_PERMITS))),
        options,
        metrics: ApiMetrics::new(registry),
    });
    Router::new()
        .route(&format!("{prefix}/"), any(serve))
        .route(&format!("{prefix}/{{*path}}"), any(serve))
        .with_state(api)
}

async fn serve(State(api): State<Arc<Api>>, request: Request) -> Response {
    let has_origin = request.headers().contains_key(header::ORIGIN);
    let asked = request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_METHOD)
        .cloned();
    if request.method() == Method::OPTIONS
        && has_origin
        && let Some(asked) = &asked
    {
        return preflight(asked);
    }
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let tracer = api.alertmanager.tracer();
    let mut span = net::trace::begin_answer(tracer, method, uri, headers);
    let mut response = api.limited(request).await;
    net::trace::note_status(&mut span, response.status(), false);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if has_origin {
        let all = HeaderValue::from_static("*");
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, all);
    }
    response
}

/// Answers a browser that asks what other pages may do: read, and post.
fn preflight(asked: &HeaderValue) -> Response {
    let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    let mut response = (StatusCode::NO_CONTENT, [(header::VARY, vary)]).into_response();
    if ["GET", "POST", "HEAD"].iter().any(|method| asked == method) {
        let headers = response.headers_mut();
        let all = HeaderValue::from_static("*");
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, all);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, asked.clone());
        let content_type = HeaderValue::from_static("content-type");
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, content_type);
    }
    response
}

/// A path of the API.
#[derive(Clone, Copy)]
enum Endpoint<'a> {
    Status,
    Receivers,
    Alerts,
    Groups,
    Silences,
    Silence(&'a str),
}

impl<'a> Endpoint<'a> {
    fn of(path: &'a str) -> Option<Self> {
        Some(match path {
            "status" => Endpoint::Status,
            "receivers" => Endpoint::Receivers,
            "alerts" => Endpoint::Alerts,
            "alerts/groups" => Endpoint::Groups,
            "silences" => Endpoint::Silences,
            _ => {
                let id = path.strip_prefix("silence/")?;
                let is_one = !id.is_empty() && !id.contains('/');
                is_one.then_some(Endpoint::Silence(id))?
            }
        })
    }

    /// Returns the methods as the header `Allow` has them, and what the path is called in metrics.
    fn row(self) -> (&'static str, &'static str) {
        match self {
            Endpoint::Status => ("GET", "/api/v2/status"),
            Endpoint::Receivers => ("GET", "/api/v2/receivers"),
            Endpoint::Alerts => ("POST,GET", "/api/v2/alerts"),
            Endpoint::Groups => ("GET", "/api/v2/alerts/groups"),
            Endpoint::Silences => ("POST,GET", "/api/v2/silences"),
            Endpoint::Silence(_) => ("DELETE,GET", "/api/v2/silence/{silenceID}"),
        }
    }
}

/// The parameters of a query string, in order.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(request: &http::request::Parts) -> Self {
        let mut pairs = Vec::new();
        let query = request.uri.query().unwrap_or_default();
        net::form::append_pairs(&mut pairs, query.as_bytes());
        Query(pairs)
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |(key, _)| key == name);
        named.map(|(_, value)| value.as_str())
    }

    /// Returns a boolean that is true when it is not given.
    fn is_on(&self, name: &str) -> bool {
        const YES: &[&str] = &[
            "true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled",
        ];
        match self.all(name).last() {
            None | Some("") => true,
            Some(value) => YES.iter().any(|yes| value.eq_ignore_ascii_case(yes)),
        }
    }

    /// Returns the matchers of a parameter that may be repeated.
    fn matchers(&self, name: &str, mode: MatcherMode) -> Result<Vec<Matcher>, String> {
        self.all(name)
            .map(|text| parse_matcher(text, mode))
            .collect()
    }

    /// Returns which receivers are wanted.
    fn receivers(&self, mode: MatcherMode) -> Result<ReceiverFilter, Failure> {
        let pattern = self.all("receiver").last().filter(|text| !text.is_empty());
        let pattern = pattern.map(|pattern| {
            Matcher::new("", model::MatchOp::Regex, pattern).map_err(|_| {
                // Alertmanager compiles the anchored pattern and shows that.
                let why = go_regex_error(&format!("^(?:{pattern})$"));
                Failure::Meaning(format!("failed to parse receiver param: {why}"))
            })
        });
        let matchers = self.matchers("receiver_matchers", mode).map_err(|why| {
            Failure::Meaning(format!("failed to parse receiver_matchers param: {why}"))
        })?;
        Ok(ReceiverFilter {
            pattern: pattern.transpose()?,
            matchers,
        })
    }
}

/// Which receivers are wanted: by name, and by labels.
struct ReceiverFilter {
    pattern: Option<Matcher>,
    matchers: Vec<Matcher>,
}

impl ReceiverFilter {
    fn passes(&self, name: &str, labels: Option<&Labels>) -> bool {
        let is_named = self.pattern.as_ref().is_none_or(|p| p.matches(name));
        let passes = |labels| {
            self.matchers
                .iter()
                .all(|m: &Matcher| m.matches_labels(labels))
        };
        is_named && (self.matchers.is_empty() || labels.is_some_and(passes))
    }
}

/// Why a call failed.
enum Failure {
    /// It makes no sense: 400 and the text.
    Meaning(String),
    /// The same with another status.
    Status(StatusCode, String),
    /// It is not of the schema: 422, the code and the text.
    Schema(u16, String),
    /// It cannot be read: the status and the text.
    Unreadable(StatusCode, String),
    /// There is no such silence.
    Missing,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Coded {
            code: u16,
            message: String,
        }
        let coded = |status: StatusCode, code: u16, message: String| {
            json(status, &Coded { code, message }, "")
        };
        match self {
            Failure::Meaning(text) => json(StatusCode::BAD_REQUEST, &text, "\n"),
            Failure::Status(status, text) => json(status, &text, "\n"),
            Failure::Schema(code, text) => coded(StatusCode::UNPROCESSABLE_ENTITY, code, text),
            Failure::Unreadable(status, text) => coded(status, status.as_u16(), text),
            Failure::Missing => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

/// From this length on, in bytes, another piece of a body begins.
const PIECE_BYTES: usize = 64 << 10;

/// A body in pieces: all alerts are many megabytes, which one growing buffer would need twice, and for as long as the
/// slowest client reads.
struct Pieces(Vec<Vec<u8>>);

impl Pieces {
    fn append(&mut self, bytes: &[u8]) {
        match self.0.last_mut() {
            Some(last) if last.len() + bytes.len() <= PIECE_BYTES => last.extend_from_slice(bytes),
            _ => {
                let mut next = Vec::with_capacity(PIECE_BYTES.max(bytes.len()));
                next.extend_from_slice(bytes);
                self.0.push(next);
            }
        }
    }

    fn into_body(mut self) -> Body {
        if self.0.len() == 1 {
            return Body::from(self.0.remove(0));
        }
        let pieces = self.0.into_iter().map(Ok::<_, std::convert::Infallible>);
        Body::from_stream(futures_util::stream::iter(pieces))
    }
}

impl std::io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.append(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Returns an answer in JSON as Go writes it.
fn json(status: StatusCode, value: &impl Serialize, end: &str) -> Response {
    let mut pieces = Pieces(vec![Vec::with_capacity(256)]);
    net::json::append(&mut pieces, value).expect("strings, numbers and lists are always JSON");
    pieces.append(end.as_bytes());
    let body = pieces.into_body();
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (status, headers, body).into_response()
}

type Handled = Result<Response, Failure>;

impl Api {
    /// Returns the language of matchers in calls.
    fn matcher_mode(&self) -> MatcherMode {
        self.alertmanager.config().matcher_mode
    }

    /// Answers, unless too many GETs are being answered already.
    async fn limited(&self, request: Request) -> Response {
        let _permit = match *request.method() {
            Method::GET => match Arc::clone(&self.gets).try_acquire_owned() {
                Ok(permit) => Some(permit),
                Err(_) => {
                    self.metrics.limited.inc();
                    let text = format!(
                        "Limit of concurrent GET requests reached ({}), try again later.\n",
                        self.options.gets_max
                    );
                    return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
                }
            },
            _ => None,
        };
        let started = Instant::now();
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let below = path
            .strip_prefix(self.options.prefix.as_str())
            .and_then(|path| path.strip_prefix("/api/v2/"))
            .unwrap_or_default();
        let Some(endpoint) = Endpoint::of(below) else {
            let text = format!("path {path} was not found");
            return Failure::Unreadable(StatusCode::NOT_FOUND, text).into_response();
        };
        self.metrics.in_flight.add(1.0);
        let handled = self.call(endpoint, request).await;
        self.metrics.in_flight.add(-1.0);
        let response = handled.unwrap_or_else(IntoResponse::into_response);
        let (methods, handler) = endpoint.row();
        if methods.split(',').any(|known| known == method.as_str()) {
            let code = response.status();
            self.metrics
                .durations
                .with(&[handler, &method.as_str().to_lowercase(), code.as_str()])
                .observe_since(started);
        }
        response
    }

    async fn call(&self, endpoint: Endpoint<'_>, request: Request) -> Handled {
        let (parts, body) = request.into_parts();
        let query = Query::of(&parts);
        match (endpoint, parts.method.as_str()) {
            (Endpoint::Status, "GET") => Ok(self.status()),
            (Endpoint::Receivers, "GET") => self.receivers(&query),
            (Endpoint::Alerts, "GET") => self.alerts(&query),
            (Endpoint::Groups, "GET") => self.groups(&query),
            (Endpoint::Silences, "GET") => self.silences(&query),
            (Endpoint::Silence(id), "GET") => self.silence(id),
            (Endpoint::Silence(id), "DELETE") => self.expire_silence(id).await,
            (Endpoint::Alerts, "POST") => {
                let body = read(&parts, body, "alerts").await?;
                self.post_alerts(&body)
            }
            (Endpoint::Silences, "POST") => {
                let body = read(&parts, body, "silence").await?;
                self.post_silence(&body).await
            }
            (_, method) => {
                let (methods, _) = endpoint.row();
                let text = format!("method {method} is not allowed, but [{methods}] are");
                let failure = Failure::Unreadable(StatusCode::METHOD_NOT_ALLOWED, text);
                let mut response = failure.into_response();
                let allowed = HeaderValue::from_static(methods);
                response.headers_mut().insert(header::ALLOW, allowed);
                Ok(response)
            }
        }
    }
}

/// Reads the body as one JSON value; `what` is what errors call it.
async fn read(
    parts: &http::request::Parts,
    body: Body,
    what: &str,
) -> Result<serde_json::Value, Failure> {
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let media = content_type.unwrap_or("application/octet-stream");
    let media = media.split(';').next().unwrap_or_default().trim();
    let is_json = media.eq_ignore_ascii_case("application/json");
    let bytes = tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, BODY_BYTES_MAX));
    let bytes = bytes.await.map_err(|_| {
        let text = format!("the {what} body took too long to arrive");
        Failure::Unreadable(StatusCode::REQUEST_TIMEOUT, text)
    })?;
    let bytes = bytes.map_err(|_| {
        let text = format!("the {what} body is larger than {BODY_BYTES_MAX} bytes, or was cut off");
        Failure::Unreadable(StatusCode::PAYLOAD_TOO_LARGE, text)
    })?;
    if !is_json && !bytes.is_empty() {
        let text =
            format!("unsupported media type \"{media}\", only [application/json] are allowed");
        return Err(Failure::Unreadable(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            text,
        ));
    }
    match decode::value(&bytes).map_err(|why| unreadable(what, &why))? {
        Some(value) => Ok(value),
        None => Err(Failure::Schema(602, format!("{what} in body is required"))),
    }
}

/// Returns the failure of a body that is no JSON, or of other types.
fn unreadable(what: &str, why: &str) -> Failure {
    let text = format!("parsing {what} body from \"\" failed, because {why}");
    Failure::Unreadable(StatusCode::BAD_REQUEST, text)
}

/// Returns the failure of a body that lacks a field.
fn required(field: &str) -> Failure {
    Failure::Schema(602, format!("{field} in body is required"))
}
