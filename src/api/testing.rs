//! The router over a real database with a few samples, without sockets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::time::Duration;

use alertmanager::notify::FanOut;
use alertmanager::rule::group::RestoreOptions;
use alertmanager::rule::query::{QueriedSample, RuleExpr, RuleQuery};
use alertmanager::{RuleManager, RuleManagerOptions};
use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::{Method, Request, header, request};
use http_body_util::BodyExt as _;
use metrics::Registry;
use model::storage::{Appendable as _, FloatSample};
use model::time::ManualClock;
use model::trace::Tracer;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tsdb::{Db, DbOptions, ReplayProgress};

use super::params::Params;
use super::{ApiState, BuildInfo, EarlyState, Lifecycle, RuntimeInfo, Shared, router};
use crate::alertmanagers::Urls;

/// The time of the API's clock.
pub(super) const NOW_MS: i64 = 1_000_090_000;

/// How an [`Api`] differs from the usual one.
#[derive(Clone, Default)]
pub(super) struct Options {
    /// The route prefix.
    pub(super) prefix: &'static str,
    /// The origins that are allowed, instead of all.
    pub(super) cors: &'static str,
    /// Whether reload and quit are allowed.
    pub(super) lifecycle: bool,
    /// Whether series may be deleted.
    pub(super) admin: bool,
    /// Whether the database is still being opened.
    pub(super) starting: bool,
    /// Whether neither remote write nor OTLP is received.
    pub(super) write_off: bool,
    /// Makes spans.
    pub(super) tracer: Tracer,
}

type Reloads = mpsc::Receiver<oneshot::Sender<Result<(), String>>>;

/// The router and what is behind it.
pub(super) struct Api {
    pub(super) shared: Arc<Shared>,
    /// What `/-/reload` asks for.
    pub(super) reloads: Option<Reloads>,
    router: Router,
    _dir: tempfile::TempDir,
}

impl Api {
    /// Returns the usual one.
    pub(super) fn new() -> Self {
        Api::with(Options::default())
    }

    pub(super) fn with(options: Options) -> Self {
        let registry = Registry::new();
        let (reload, reloads) = mpsc::channel(1);
        let dir = tempfile::tempdir().unwrap();
        let cors = if options.cors.is_empty() {
            ".*"
        } else {
            options.cors
        };
        let early = EarlyState {
            registry: registry.clone(),
            replay: Arc::new(ReplayProgress::default()),
            build: build_info(),
            flags: BTreeMap::from(
                [("query.timeout", "2m"), ("log.level", "info")]
                    .map(|(k, v)| (k.to_owned(), v.to_owned())),
            ),
            lifecycle: Lifecycle {
                is_enabled: options.lifecycle,
                reload,
                quit: CancellationToken::new(),
            },
            cors_origin: Some(model::matcher::compile_anchored(cors).unwrap()),
            route_prefix: options.prefix.to_owned(),
            external_path: options.prefix.to_owned(),
            tracer: options.tracer.clone(),
        };
        let shared = Arc::new(Shared::new(early));
        if !options.starting {
            let mut state = state(dir.path(), &registry);
            state.tracer = options.tracer.clone();
            if options.write_off {
                state.write = None;
                state.otlp = None;
            }
            state.is_admin_enabled = options.admin;
            shared.set_ready(state);
        }
        Api {
            router: router(Arc::clone(&shared)),
            shared,
            reloads: Some(reloads),
            _dir: dir,
        }
    }

    /// Returns a request to `path`, whose query string may hold characters that a client would have to encode.
    pub(super) fn request(&self, method: Method, path: &str, body: &str) -> request::Builder {
        let mut uri = String::new();
        for c in path.chars() {
            match c {
                '"' | '{' | '}' | '[' | ']' | '(' | '<' | '>' | '~' | ' ' => {
                    uri.push_str(&format!("%{:02X}", u32::from(c)))
                }
                c => uri.push(c),
            }
        }
        let builder = Request::builder().method(method).uri(uri);
        if body.is_empty() {
            builder
        } else {
            builder.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        }
    }

    pub(super) async fn respond(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(super) async fn send(&self, method: Method, path: &str, body: &str) -> Response {
        let request = self
            .request(method, path, body)
            .body(Body::from(body.to_owned()))
            .unwrap();
        self.respond(request).await
    }

    /// Returns status and body of a GET.
    pub(super) async fn get(&self, path: &str) -> (u16, String) {
        let response = self.send(Method::GET, path, "").await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Checks status and body of a GET.
    pub(super) async fn check(&self, path: &str, status: u16, body: &str) {
        self.check_send(Method::GET, path, "", status, body).await;
    }

    /// Checks status and body of the answer to a request with the form `form`.
    pub(super) async fn check_send(
        &self,
        method: Method,
        path: &str,
        form: &str,
        status: u16,
        body: &str,
    ) {
        let response = self.send(method, path, form).await;
        let found = response.status().as_u16();
        let text = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(String::from_utf8_lossy(&text), body, "{path}");
        assert_eq!(found, status, "{path}");
    }
}

fn build_info() -> BuildInfo {
    let text = str::to_owned;
    BuildInfo {
        version: text("3.5.0"),
        revision: text("r"),
        branch: text("b"),
        build_user: text("u"),
        build_date: text("d"),
        go_version: text("g"),
    }
}

/// Returns an engine with the usual limits.
pub(crate) fn engine(registry: &Registry) -> promql::Engine {
    let options = promql::EngineOptions {
        lookback_ms: 300_000,
        max_samples: 1_000_000,
        bytes_max: 0,
        bytes_total_max: 0,
        timeout: Duration::from_secs(60),
        default_subquery_step_ms: 60_000,
    };
    promql::Engine::new(options, registry)
}

fn state(dir: &std::path::Path, registry: &Registry) -> ApiState {
    let db = open(dir, registry);
    let clock = Arc::new(ManualClock::at(NOW_MS));
    let write = super::write::Receiver::new(
        remote::write::Version::ALL.to_vec(),
        Arc::clone(&db) as _,
        registry,
    );
    let otlp = super::otlp::Receiver::new(Arc::default(), Arc::clone(&db) as _, registry);
    ApiState {
        write: Some(Arc::new(write)),
        otlp: Some(Arc::new(otlp)),
        storage: Arc::clone(&db) as _,
        is_admin_enabled: false,
        engine: Arc::new(engine(registry)),
        scraper: Arc::new(scrape_manager(&db, registry)),
        rules: Arc::new(rule_manager(&db, registry)),
        alertmanagers: Box::new(|| Urls {
            active: vec!["http://am:9093/api/v2/alerts".to_owned()],
            dropped: vec!["http://old:9093/api/v2/alerts".to_owned()],
        }),
        alertmanager_api: None,
        config_yaml: Arc::new(ArcSwap::from_pointee("global: {}\n".to_owned())),
        runtime: Arc::new(RuntimeInfo {
            started_at_ms: 1_000,
            cwd: "/".to_owned(),
            hostname: "host".to_owned(),
            storage_retention: "15d".to_owned(),
            is_reloaded: AtomicBool::new(true),
            reloaded_at_ms: AtomicI64::new(2_345),
        }),
        query_permits: Arc::new(Semaphore::new(4)),
        at_once: crate::api::AtOnce::new(2),
        active_queries: None,
        query_log: Arc::new(crate::query_log::QueryLog::new(registry)),
        query_timeout: Duration::from_secs(60),
        has_per_step_stats: true,
        query_queue_seconds: super::query_queue_seconds(registry),
        clock,
        tracer: Tracer::default(),
        db,
    }
}

fn scrape_manager(db: &Arc<Db>, registry: &Registry) -> scraper::ScrapeManager {
    let options = scraper::ScrapeOptions {
        base_dir: ".".into(),
        hostname: "host".to_owned(),
        user_agent: "test".to_owned(),
        timestamp_tolerance: Duration::from_millis(2),
        discovery_reload_interval: Duration::from_secs(5),
        global_url: scraper::GlobalUrl {
            scheme: "http".to_owned(),
            host: "host:9090".to_owned(),
            listen_port: 9090,
        },
        starts: scraper::StartOptions::default(),
        tracer: Tracer::default(),
    };
    scraper::ScrapeManager::new(
        Arc::clone(db) as _,
        Arc::new(ManualClock::at(NOW_MS)),
        registry,
        options,
    )
    .unwrap()
}

/// Rules are never evaluated here.
struct NoQuery;

impl RuleQuery for NoQuery {
    fn vector(&self, _: &RuleExpr, _: i64) -> Result<Vec<QueriedSample>, String> {
        Err("no rule is evaluated in these tests".to_owned())
    }
}

fn rule_manager(db: &Arc<Db>, registry: &Registry) -> RuleManager {
    RuleManager::new(RuleManagerOptions {
        storage: Arc::clone(db) as _,
        queryable: Arc::clone(db) as _,
        query: Arc::new(NoQuery),
        clock: Arc::new(ManualClock::at(NOW_MS)),
        registry: registry.clone(),
        notifier: Arc::new(FanOut::new(Vec::new())),
        resend_delay: model::Duration::from_secs(60),
        restore: RestoreOptions::default(),
        concurrency: 1,
        tracer: Tracer::default(),
    })
}

/// Opens a database with three series, two samples each.
fn open(dir: &std::path::Path, registry: &Registry) -> Arc<Db> {
    let options = DbOptions {
        lock: false,
        ..DbOptions::default()
    };
    let (db, _) = Db::open(dir, &options, registry, &ReplayProgress::default()).unwrap();
    let mut appender = db.appender();
    let mut append = |labels: &[(&str, &str)], values: [f64; 2]| {
        let series = appender.series(labels).unwrap();
        for (t, value) in [1_000_000_000, 1_000_060_000].into_iter().zip(values) {
            let mut rejected = Vec::new();
            appender.append_floats(&[FloatSample { series, t, value }], &mut rejected);
            assert_eq!(rejected, []);
        }
    };
    let up = ("__name__", "up");
    append(&[up, ("instance", "a"), ("job", "x")], [1.0, 0.5]);
    append(&[up, ("instance", "b"), ("job", "y")], [1.0, 1.0]);
    let requests = ("__name__", "requests_total");
    append(&[requests, ("code", "200"), ("job", "x")], [10.0, 20.0]);
    appender.commit().unwrap();
    db
}

/// Returns the parameters of a query string, encoded as [`Api::request`] does.
pub(super) fn params(query: &str) -> Params {
    Params::from_query(query)
}

/// Returns the body of an answer that has it in memory.
pub(super) fn body_of(response: Response) -> String {
    let body = futures_util::FutureExt::now_or_never(response.into_body().collect());
    let bytes = body.expect("the body is in memory").unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Returns the body of an error; `text` is escaped already.
pub(super) fn error(kind: &str, text: &str) -> String {
    format!(r#"{{"status":"error","errorType":"{kind}","error":"{text}"}}"#)
}
