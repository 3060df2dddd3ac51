//! The HTTP API, the web page and `/metrics`: Prometheus' paths, parameters, answers and errors.
//!
//! ```text
//! router ── cors ──┬─ /-/healthy /metrics /version …/walreplay   answer at once, from EarlyState
//!                  ├─ / /query … /assets/…                        the page
//!                  └─ /api/v1/… /-/ready                          503 until Shared::set_ready, then from ApiState
//!                        └─ measure ── gzip ── handler ── blocking(storage, engine, rules, targets)
//! ```
//!
//! # How to wire it
//!
//! 1. Before the database is opened: `let shared = Arc::new(Shared::new(early))`, and serve `router(shared.clone())`.
//! 2. When the database is open and everything runs: `shared.set_ready(state)`, once.
//! 3. Answer what comes out of [`Lifecycle::reload`]'s channel; stop when [`Lifecycle::quit`] is cancelled.
//! 4. At the start of the shutdown: `shared.set_stopping()`. It is no more than a header of 503 answers.
//!
//! # Invariants
//!
//! 1. Handlers do nothing that takes long on the threads that serve sockets: it goes through [`blocking`], or [`AtOnce`] finds it
//!    short.
//! 2. Errors become answers in one table, [`error`].
//! 3. An unknown path is a 404, never the page: clients probe paths to tell servers apart.
//!
//! # Not here
//!
//! Listening, limits on connections and header timeouts (the caller serves the router), remote read, federation, the
//! admin API, notifications.

pub(crate) mod admin;
mod alertmanager_v2;
mod asked;
mod cors;
mod encode;
pub(crate) mod error;
mod explain;
mod json;
pub(crate) mod otlp;
pub(crate) mod own_metrics;
mod params;
mod query;
mod rules;
mod series;
mod spans;
mod status;
pub(crate) mod syntax;
mod targets;
#[cfg(test)]
pub(crate) mod testing;
mod tsdb_admin;
mod web;
mod work;
pub(crate) mod write;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::FromRequestParts;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{MethodRouter, get, on, post};
use http::{HeaderValue, StatusCode, request};
use metrics::{Registry, Summary};
use model::storage::Queryable;
use model::time::Clock;
use model::trace::Tracer;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tsdb::ReplayProgress;

use crate::active_queries::ActiveQueries;
use crate::alertmanagers::Urls;
use crate::query_log::QueryLog;
pub(crate) use asked::Peer;
pub(crate) use encode::QueryTime;
use error::ApiError;
use own_metrics::HttpMetrics;
pub(crate) use params::parse_time;
pub(crate) use web::not_found;
pub(crate) use work::AtOnce;
use work::blocking;

/// What is known before the database is open.
pub(crate) struct EarlyState {
    /// What `/metrics` exposes; the API's own instruments go there too.
    pub(crate) registry: Registry,
    /// How far the replay is.
    pub(crate) replay: Arc<ReplayProgress>,
    /// What `/version` and `/api/v1/status/buildinfo` say.
    pub(crate) build: BuildInfo,
    /// Every flag without its dashes, and its value as text.
    pub(crate) flags: BTreeMap<String, String>,
    /// Reload and quit.
    pub(crate) lifecycle: Lifecycle,
    /// Which origins may read answers, as an anchored expression (see `model::matcher::compile_anchored`); `None` is none.
    pub(crate) cors_origin: Option<regex::Regex>,
    /// What all our paths begin with: empty or like `/prom`, without a slash at the end.
    pub(crate) route_prefix: String,
    /// What they begin with for the client, in redirects: the path of the external URL, without a slash at the end.
    pub(crate) external_path: String,
    /// Makes spans of requests.
    pub(crate) tracer: Tracer,
}

/// What is known when the database is open.
pub(crate) struct ApiState {
    /// What is queried.
    pub(crate) storage: Arc<dyn Queryable>,
    /// The database, for what it says about itself.
    pub(crate) db: Arc<tsdb::Db>,
    /// Evaluates queries.
    pub(crate) engine: Arc<promql::Engine>,
    /// Whether series may be deleted and snapshots taken.
    pub(crate) is_admin_enabled: bool,
    /// The targets.
    pub(crate) scraper: Arc<scraper::ScrapeManager>,
    /// The rules and alerts.
    pub(crate) rules: Arc<alertmanager::RuleManager>,
    /// Returns the URLs that alerts are posted to, and those that relabelling dropped.
    pub(crate) alertmanagers: Box<dyn Fn() -> Urls + Send + Sync>,
    /// Answers what is below `/api/v2`, if an Alertmanager is built in.
    pub(crate) alertmanager_api: Option<Router>,
    /// The configuration in force as YAML, secrets hidden.
    pub(crate) config_yaml: Arc<ArcSwap<String>>,
    /// What `/api/v1/status/runtimeinfo` says.
    pub(crate) runtime: Arc<RuntimeInfo>,
    /// As many permits as queries may run at once (`--query.max-concurrency`); more wait, their time running.
    pub(crate) query_permits: Arc<Semaphore>,
    /// The log of running queries, with a slot for each permit.
    pub(crate) active_queries: Option<Arc<ActiveQueries>>,
    /// The log of queries that ran.
    pub(crate) query_log: Arc<QueryLog>,
    /// Where short queries are evaluated.
    pub(crate) at_once: AtOnce,
    /// How long a query may take (`--query.timeout`); a request may ask for less.
    pub(crate) query_timeout: Duration,
    /// Whether `stats=all` has the samples of each step (`promql-per-step-stats`).
    pub(crate) has_per_step_stats: bool,
    /// How long queries waited for a permit; see [`query_queue_seconds`].
    pub(crate) query_queue_seconds: Summary,
    /// Takes remote write requests, if that is allowed.
    pub(crate) write: Option<Arc<write::Receiver>>,
    /// Takes OTLP metrics, if that is allowed.
    pub(crate) otlp: Option<Arc<otlp::Receiver>>,
    /// Tells the time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Makes spans of queries.
    pub(crate) tracer: Tracer,
}

/// Returns the summary of how long queries waited: the slice `queue_time` beside those that the engine observes.
pub(crate) fn query_queue_seconds(registry: &Registry) -> Summary {
    let name = "prometheus_engine_query_duration_seconds";
    registry
        .summary_vec(name, "Query timings.", &["slice"], &[0.5, 0.9, 0.99])
        .with(&["queue_time"])
}

/// Which build this is, in the fields that Prometheus has. Clients compare `version` with Prometheus' own.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BuildInfo {
    pub(crate) version: String,
    pub(crate) revision: String,
    pub(crate) branch: String,
    pub(crate) build_user: String,
    pub(crate) build_date: String,
    pub(crate) go_version: String,
}

/// What `/api/v1/status/runtimeinfo` says besides what it measures itself.
#[derive(Debug)]
pub(crate) struct RuntimeInfo {
    /// When the process started, milliseconds since the epoch.
    pub(crate) started_at_ms: i64,
    /// The working directory.
    pub(crate) cwd: String,
    /// The machine's name.
    pub(crate) hostname: String,
    /// How long samples are kept: `15d`, `15d or 1GiB`.
    pub(crate) storage_retention: String,
    /// Whether the last reload succeeded; the configuration of the start counts as one.
    pub(crate) is_reloaded: AtomicBool,
    /// When the last successful reload was, milliseconds since the epoch.
    pub(crate) reloaded_at_ms: AtomicI64,
}

/// Reload and quit over HTTP.
pub(crate) struct Lifecycle {
    /// Whether they are allowed (`--web.enable-lifecycle`).
    pub(crate) is_enabled: bool,
    /// Takes a request to reload; the receiver answers with the reason if it failed. When the channel is full, requests wait.
    pub(crate) reload: mpsc::Sender<oneshot::Sender<Result<(), String>>>,
    /// Cancelled by a request to quit.
    pub(crate) quit: CancellationToken,
}

/// What all handlers share.
pub(crate) struct Shared {
    early: EarlyState,
    ready: OnceLock<Arc<ApiState>>,
    is_stopping: AtomicBool,
    http: HttpMetrics,
    /// As many permits as backtests may run at once.
    backtests: Arc<Semaphore>,
}

impl Shared {
    /// Returns the state of a server that is not ready.
    pub(crate) fn new(early: EarlyState) -> Self {
        let http = HttpMetrics::new(&early.registry, early.tracer.clone());
        Shared {
            early,
            ready: OnceLock::new(),
            is_stopping: AtomicBool::new(false),
            http,
            backtests: Arc::new(Semaphore::new(rules::backtest::BACKTESTS_MAX)),
        }
    }

    /// Opens the API. A second call changes nothing.
    pub(crate) fn set_ready(&self, state: ApiState) {
        let _ = self.ready.set(Arc::new(state));
    }

    /// Closes the API again: it answers 503, and says that the server is stopping.
    pub(crate) fn set_stopping(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Returns the state of a server that is ready.
    fn state(&self) -> Option<Arc<ApiState>> {
        self.ready
            .get()
            .filter(|_| !self.is_stopping.load(Ordering::Relaxed))
            .cloned()
    }
}

/// What most handlers return.
type Handled = Result<Response, ApiError>;

/// Extracts the state of a server that is ready; until then requests are answered with 503.
struct Ready(Arc<ApiState>);

impl FromRequestParts<Arc<Shared>> for Ready {
    type Rejection = Response;

    async fn from_request_parts(
        _: &mut request::Parts,
        shared: &Arc<Shared>,
    ) -> Result<Self, Response> {
        shared.state().map(Ready).ok_or_else(|| {
            let mut response =
                error::plain_error(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
            let is_stopping = if shared.is_stopping.load(Ordering::Relaxed) {
                "true"
            } else {
                "false"
            };
            response.headers_mut().insert(
                "x-prometheus-stopping",
                HeaderValue::from_static(is_stopping),
            );
            response
        })
    }
}

/// Returns the service; see the module's documentation.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let mut routes = Routes {
        router: Router::new(),
        shared: Arc::clone(&shared),
    };
    routes.operations();
    routes.api();
    routes.pages();
    routes
        .router
        .fallback(web::not_found)
        .method_not_allowed_fallback(web::method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(&shared), cors::allow_origins))
        .with_state(shared)
}

struct Routes {
    router: Router<Arc<Shared>>,
    shared: Arc<Shared>,
}

impl Routes {
    fn operations(&mut self) {
        self.add("/-/healthy", get(admin::healthy));
        self.add("/-/ready", get(admin::ready));
        self.add(
            "/-/reload",
            get(admin::reload).post(admin::reload).put(admin::reload),
        );
        self.add(
            "/-/quit",
            get(admin::quit).post(admin::quit).put(admin::quit),
        );
        self.add("/metrics", get(own_metrics::exposition));
        self.add("/version", get(status::version));
    }

    fn api(&mut self) {
        self.add("/api/v1/query", get(query::instant).post(query::instant));
        self.add("/api/v1/query_range", get(query::range).post(query::range));
        self.add("/api/v1/explain", get(query::explain).post(query::explain));
        self.add(
            "/api/v1/query_exemplars",
            get(query::exemplars).post(query::exemplars),
        );
        self.add(
            "/api/v1/format_query",
            get(syntax::format).post(syntax::format),
        );
        self.add(
            "/api/v1/parse_query",
            get(syntax::tree_of).post(syntax::tree_of),
        );
        self.add("/api/v1/series", get(series::series).post(series::series));
        self.add("/api/v1/labels", get(series::labels).post(series::labels));
        self.add_as(
            "/api/v1/label/{name}/values",
            "/api/v1/label/:name/values",
            get(series::values),
        );
        self.add("/api/v1/metadata", get(targets::metadata));
        self.add("/api/v1/targets", get(targets::targets));
        self.add("/api/v1/targets/metadata", get(targets::target_metadata));
        self.add("/api/v1/targets/relabel_steps", get(targets::relabel_steps));
        self.add("/api/v1/scrape_pools", get(targets::scrape_pools));
        self.add("/api/v1/alertmanagers", get(rules::alertmanagers));
        self.add("/api/v1/alerts", get(rules::alerts));
        self.add("/api/v1/rules", get(rules::rules));
        self.add("/api/v1/rules/backtest", post(rules::backtest::backtest));
        self.add("/api/v1/status/config", get(status::config));
        self.add("/api/v1/status/flags", get(status::flags));
        self.add("/api/v1/status/runtimeinfo", get(status::runtimeinfo));
        self.add("/api/v1/status/buildinfo", get(status::buildinfo));
        self.add("/api/v1/status/tsdb", get(status::tsdb));
        self.add("/api/v1/status/tsdb/blocks", get(status::tsdb_blocks));
        self.add("/api/v1/status/walreplay", get(status::walreplay));
        self.add(
            "/api/v1/admin/tsdb/delete_series",
            post(tsdb_admin::delete_series).put(tsdb_admin::delete_series),
        );
        self.add(
            "/api/v1/admin/tsdb/clean_tombstones",
            post(tsdb_admin::clean_tombstones).put(tsdb_admin::clean_tombstones),
        );
        self.add(
            "/api/v1/admin/tsdb/snapshot",
            post(tsdb_admin::snapshot).put(tsdb_admin::snapshot),
        );
        self.add("/api/v1/write", post(write::write));
        self.add("/api/v1/otlp/v1/metrics", post(otlp::metrics));
        for path in ["/api/v2/", "/api/v2/{*path}"] {
            let call = on(alertmanager_v2::METHODS, alertmanager_v2::call);
            self.add_as(path, "/api/v2/*path", call);
        }
    }

    fn pages(&mut self) {
        self.add("/graph", get(web::graph));
        self.add_as("/assets/{name}", "/assets/*filepath", get(web::asset));
        self.add("/", get(web::page));
        for name in dashboards::PAGES
            .iter()
            .filter(|name| !["", "graph"].contains(name))
        {
            let path: &'static str = Box::leak(format!("/{name}").into_boxed_str());
            self.add(path, get(web::page));
        }
        if !self.shared.early.route_prefix.is_empty() {
            let prefix = self.shared.early.route_prefix.clone();
            let router = std::mem::take(&mut self.router);
            self.router = router
                .route("/", get(web::to_prefix))
                .route(&prefix, get(web::to_slash));
        }
    }

    fn add(&mut self, path: &'static str, handlers: MethodRouter<Arc<Shared>>) {
        self.add_as(path, path, handlers);
    }

    /// Adds a route below the prefix; `handler` is what it is called in metrics.
    fn add_as(&mut self, path: &str, handler: &'static str, handlers: MethodRouter<Arc<Shared>>) {
        let compression = CompressionLayer::new().quality(CompressionLevel::Fastest);
        let measured = from_fn_with_state(self.shared.http.handler(handler), own_metrics::measure);
        let handlers = handlers.route_layer(compression).route_layer(measured);
        let router = std::mem::take(&mut self.router);
        self.router = router.route(
            &format!("{}{path}", self.shared.early.route_prefix),
            handlers,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Api, Options, error};
    use axum::body::Body;
    use http::{Method, header};
    use std::io::Read as _;

    #[tokio::test]
    async fn until_ready_there_is_health_metrics_and_progress() {
        let api = Api::with(Options {
            starting: true,
            ..Options::default()
        });
        api.check("/-/healthy", 200, "Prometheus Server is Healthy.\n")
            .await;
        api.check(
            "/api/v1/status/walreplay",
            200,
            r#"{"status":"success","data":{"min":0,"max":0,"current":0}}"#,
        )
        .await;
        let (status, metrics) = api.get("/metrics").await;
        assert!(status == 200 && metrics.contains("prometheus_http_requests_total"));
        for path in [
            "/-/ready",
            "/api/v1/query?query=1",
            "/api/v1/labels",
            "/api/v1/status/buildinfo",
            "/api/v1/targets",
        ] {
            let response = api.send(Method::GET, path, "").await;
            assert_eq!(response.status(), 503, "{path}");
            assert_eq!(response.headers()["x-prometheus-stopping"], "false");
            assert_eq!(super::testing::body_of(response), "Service Unavailable\n");
        }
    }

    #[tokio::test]
    async fn stopping_closes_the_api() {
        let api = Api::new();
        api.shared.set_stopping();
        let response = api.send(Method::GET, "/-/ready", "").await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["x-prometheus-stopping"], "true");
        let (status, _) = api.get("/-/healthy").await;
        assert_eq!(status, 200);
    }

    #[tokio::test]
    async fn answers_are_compressed_for_those_who_accept_it() {
        let api = Api::new();
        for path in ["/api/v1/status/tsdb", "/metrics", "/assets/app.js"] {
            let (_, plain) = api.get(path).await;
            let request = api
                .request(Method::GET, path, "")
                .header(header::ACCEPT_ENCODING, "deflate, gzip");
            let response = api.respond(request.body(Body::empty()).unwrap()).await;
            assert_eq!(
                response.headers()[header::CONTENT_ENCODING],
                "gzip",
                "{path}"
            );
            let compressed = axum::body::to_bytes(response.into_body(), usize::MAX)
                .await
                .unwrap();
            let mut text = String::new();
            flate2::read::GzDecoder::new(&*compressed)
                .read_to_string(&mut text)
                .unwrap();
            // Numbers that count requests may have grown by a digit meanwhile.
            assert!(text.len().abs_diff(plain.len()) < 64, "{path}");
        }
    }

    #[tokio::test]
    async fn too_large_bodies_are_refused() {
        let api = Api::new();
        let body = "query=".to_owned() + &"1".repeat(super::params::BODY_BYTES_MAX);
        let refused = error(
            "bad_data",
            "the request body is larger than 10485760 bytes, or was cut off",
        );
        api.check_send(Method::POST, "/api/v1/query", &body, 413, &refused)
            .await;
    }
}
