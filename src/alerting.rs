//! The Alertmanager as a program of its own.
//!
//! ```text
//! flags → configuration → store → Alertmanager → listeners → ready
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alertmanager::api::{ApiOptions, router as api_router};
use alertmanager::cluster::ClusterOptions;
use alertmanager::config::{AlertmanagerConfig, MatcherMode};
use alertmanager::dispatch::DispatchOptions;
use alertmanager::silence::SilenceLimits;
use alertmanager::{Alertmanager, AlertmanagerOptions};
use anyhow::Context as _;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use metrics::{Gauge, Registry};
use model::time::{Clock, SystemClock};
use tokio::sync::mpsc;

use crate::api::admin;
use crate::api::error::plain_error;
use crate::api::own_metrics;
use crate::cli::flag::Values;
use crate::cluster;
use crate::config::{LoadError, load_alertmanager};
use crate::server::http::{Http, HttpOptions, Inherited};
use crate::server::settings::{UsageError, external_url, listen_port, route_prefix};
use crate::server::{RELOADS_WAITING_MAX, ReloadRequest};

/// How long a request's head may take, and a connection be idle.
const READ_TIMEOUT: Duration = Duration::from_secs(300);
/// How many GETs are answered at once on a small machine.
const GETS_MIN: usize = 8;
/// What clients of the first version of the API are told.
const GONE: &str = "{\"status\":\"deprecated\",\"error\":\"The Alertmanager v1 API was deprecated in version 0.16.0 and is removed as of version 0.27.0 - please use the equivalent route in the v2 API\"}\n";

/// What the program is started with.
struct Settings {
    file: PathBuf,
    listen: Vec<String>,
    connections_max: usize,
    timeout: Option<Duration>,
    web_config: String,
    external_url: String,
    route_prefix: String,
    gets_max: usize,
    storage: PathBuf,
    dispatch: DispatchOptions,
    cluster: Option<ClusterOptions>,
    matcher_mode: MatcherMode,
    warnings: Vec<String>,
}

impl Settings {
    fn of(values: &Values) -> anyhow::Result<Settings> {
        let listen = match values.list("web.listen-address") {
            [] => vec!["0.0.0.0:9093".to_owned()],
            given => given.to_vec(),
        };
        let port = listen_port(&listen[0], 9093);
        let external_url = external_url(values.text("web.external-url"), port)?;
        let or = |given: usize, default: usize| if given == 0 { default } else { given };
        let limits = SilenceLimits::default();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let timeout = values.duration("web.timeout").to_std();
        Ok(Settings {
            file: PathBuf::from(values.text("config.file")),
            connections_max: values.integer("web.max-connections"),
            web_config: values.text("web.config.file").to_owned(),
            timeout: Some(timeout).filter(|timeout| !timeout.is_zero()),
            route_prefix: route_prefix(values.text("web.route-prefix"), &external_url)?,
            external_url,
            gets_max: or(
                values.integer("web.get-concurrency"),
                processors.max(GETS_MIN),
            ),
            storage: PathBuf::from(values.text("storage.path")),
            dispatch: DispatchOptions {
                retention: values.duration("data.retention"),
                collect_every: values.duration("alerts.gc-interval"),
                start_delay: values.duration("dispatch.start-delay"),
                per_alertname_max: values.integer("alerts.per-alertname-limit"),
                silences: SilenceLimits {
                    count_max: or(values.integer("silences.max-silences"), limits.count_max),
                    bytes_max: or(
                        values.integer("silences.max-silence-size-bytes"),
                        limits.bytes_max,
                    ),
                },
            },
            cluster: cluster::options(values),
            matcher_mode: matcher_mode(values)?,
            warnings: warnings(values),
            listen,
        })
    }

    fn load(&self) -> Result<AlertmanagerConfig, LoadError> {
        load_alertmanager(&self.file, self.matcher_mode)
    }
}

fn matcher_mode(values: &Values) -> anyhow::Result<MatcherMode> {
    let features = values.list("enable-feature").iter().map(String::as_str);
    MatcherMode::of_features(features)
        .map_err(|reason| anyhow::anyhow!("--enable-feature: {reason}"))
}

fn warnings(values: &Values) -> Vec<String> {
    let features = values.list("enable-feature").iter();
    let features = features.flat_map(|list| list.split(',')).filter(|name| {
        // There is nothing to limit here; and the modes are obeyed.
        !["", "auto-gomemlimit", "classic-mode", "utf8-strict-mode"].contains(name)
    });
    let unbuilt = features.map(|name| {
        format!("--enable-feature={name} is unknown or not built yet and has no effect")
    });
    let alone = cluster::warning(values).into_iter();
    alone.chain(unbuilt).collect()
}

/// What `/metrics` says of the configuration.
struct ConfigMetrics {
    successful: Gauge,
    success_time: Gauge,
}

impl ConfigMetrics {
    fn new(registry: &Registry) -> Self {
        ConfigMetrics {
            successful: registry.gauge(
                "alertmanager_config_last_reload_successful",
                "Whether the last configuration reload attempt was successful.",
            ),
            success_time: registry.gauge(
                "alertmanager_config_last_reload_success_timestamp_seconds",
                "Timestamp of the last successful configuration reload.",
            ),
        }
    }

    fn note(&self, is_loaded: bool) {
        self.successful.set(f64::from(u8::from(is_loaded)));
        if is_loaded {
            self.success_time.set(SystemClock.now_ms() as f64 / 1e3);
        }
    }
}

/// Runs the Alertmanager until it is told to stop.
///
/// # Errors
///
/// When it cannot start; each error is one clear line.
pub(crate) async fn run(values: &Values, inherited: Inherited) -> anyhow::Result<()> {
    let settings = Settings::of(values).map_err(|reason| reason.context(UsageError))?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let config = settings.load()?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), config = %settings.file.display(), "starting the Alertmanager");
    let registry = Registry::new();
    registry.register(metrics::process_collector());
    build_info(&registry);
    let config_metrics = ConfigMetrics::new(&registry);
    let options = AlertmanagerOptions {
        clock: Arc::new(SystemClock),
        registry: registry.clone(),
        external_url: settings.external_url.clone(),
        dispatch: settings.dispatch,
        storage: Some(settings.storage.clone()),
        cluster: settings.cluster.clone(),
    };
    let alertmanager = Alertmanager::start(config, options)
        .map_err(|reason| anyhow::anyhow!("start the Alertmanager: {reason}"))?;
    let alertmanager = Arc::new(alertmanager);
    config_metrics.note(true);

    let (reload_sender, mut reloads) = mpsc::channel(RELOADS_WAITING_MAX);
    let mut signals = crate::signal::reload().context("install the handler of SIGHUP")?;
    let mut stop = tokio::spawn(crate::signal::stop());
    let listen = HttpOptions {
        listen: &settings.listen,
        inherited,
        connections_max: settings.connections_max,
        read_timeout: READ_TIMEOUT,
        web_config: &settings.web_config,
    };
    let router = router(&settings, &alertmanager, &registry, reload_sender);
    let http = Http::start(listen, router, &registry).await?;
    tracing::info!("the alertmanager is ready");
    let reload = || {
        let outcome = apply(&settings, &alertmanager);
        config_metrics.note(outcome.is_ok());
        match &outcome {
            Ok(()) => tracing::info!(file = %settings.file.display(), "configuration reloaded"),
            Err(reason) => {
                tracing::error!(file = %settings.file.display(), %reason, "the configuration was not reloaded; the one before stays in force");
            }
        }
        outcome
    };
    loop {
        tokio::select! {
            stopped = &mut stop => {
                stopped.context("wait for signals")?.context("install signal handlers")?;
                break;
            }
            Some(()) = signals.recv() => drop(reload()),
            Some(answer) = reloads.recv() => {
                // Whoever asked may be gone by now; the reload counts all the same.
                let _ = ReloadRequest::send(answer, reload());
            }
        }
    }
    http.stop().await;
    alertmanager.shutdown().await;
    tracing::info!("see you next time");
    Ok(())
}

/// Loads the configuration anew and goes over to it, or says why not.
fn apply(settings: &Settings, alertmanager: &Alertmanager) -> Result<(), String> {
    let config = settings.load().map_err(|error| match error {
        // The file is the one that everybody knows.
        LoadError::Alertmanager { reason, .. } => reason,
        other => other.to_string(),
    })?;
    alertmanager.apply(config)
}

fn build_info(registry: &Registry) {
    let info = registry.gauge_vec(
        "alertmanager_build_info",
        "A metric with a constant '1' value labeled by version, revision, branch, goversion from which alertmanager was built, and the goos and goarch for the build.",
        &["version", "revision", "branch", "goversion", "goos", "goarch", "tags"],
    );
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let version = alertmanager::api::ALERTMANAGER_VERSION;
    info.with(&[version, "", "", "", os, arch, "hearth"])
        .set(1.0);
}

/// Returns all that is answered.
fn router(
    settings: &Settings,
    alertmanager: &Arc<Alertmanager>,
    registry: &Registry,
    reloads: mpsc::Sender<ReloadRequest>,
) -> Router {
    let prefix = &settings.route_prefix;
    let options = ApiOptions {
        gets_max: settings.gets_max,
        prefix: prefix.clone(),
        started_at_ms: SystemClock.now_ms(),
    };
    let own = Router::new()
        .route("/-/healthy", get(|| async { "OK" }))
        .route("/-/ready", get(|| async { "OK" }))
        .route("/-/reload", any(reload))
        .with_state(reloads);
    let metrics = Router::new()
        .route("/metrics", get(exposition))
        .with_state(registry.clone());
    let to_slash = format!("{prefix}/api/v2/");
    let gone = Router::new().route("/api/v1/{*path}", any(gone)).route(
        "/api/v2",
        get(move || async {
            let location = [(header::LOCATION, to_slash)];
            (StatusCode::MOVED_PERMANENTLY, location)
        }),
    );
    let own = own.merge(metrics).merge(gone);
    let page = Router::new()
        .route(&format!("{prefix}/"), get(page))
        .with_state((Arc::clone(alertmanager), options.started_at_ms));
    let page = match prefix.as_str() {
        "" => page,
        // Relative addresses in the page need the slash.
        prefix => {
            let location = [(header::LOCATION, format!("{prefix}/"))];
            let moved = (StatusCode::MOVED_PERMANENTLY, location);
            page.route(prefix, get(move || async { moved }))
        }
    };
    let own = match prefix.as_str() {
        "" => own,
        prefix => Router::new().nest(prefix, own),
    };
    let router = own
        .merge(page)
        .merge(api_router(Arc::clone(alertmanager), registry, options))
        .fallback(crate::api::not_found);
    let router = router.layer(tower_http::compression::CompressionLayer::new());
    match settings.timeout {
        None => router,
        Some(timeout) => router.layer(from_fn_with_state(timeout, within)),
    }
}

/// Middleware that gives up on requests that take too long.
async fn within(State(timeout): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => plain_error(
            StatusCode::SERVICE_UNAVAILABLE,
            "the request took longer than --web.timeout",
        ),
    }
}

async fn exposition(State(registry): State<Registry>, headers: HeaderMap) -> Response {
    own_metrics::render(&registry, &headers).await
}

/// `/`: what there is, for people.
async fn page(State((alertmanager, started_at_ms)): State<(Arc<Alertmanager>, i64)>) -> Response {
    // Nothing is loaded from anywhere; scripts are the page's own, and what is shown was escaped for its place.
    const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let made = tokio::task::spawn_blocking(move || {
        alertmanager::page::render(&alertmanager, started_at_ms)
    });
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    match made.await {
        Ok(Ok(page)) => (headers, page).into_response(),
        Ok(Err(why)) => plain_error(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("the page cannot be made ({why}); the API under api/v2/ shows all"),
        ),
        Err(_) => plain_error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the page cannot be made; see the log",
        ),
    }
}

async fn gone() -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::GONE, headers, GONE).into_response()
}

/// `/-/reload`: reads the configuration again and answers when it is in force, or with the reason why it is not.
async fn reload(State(reloads): State<mpsc::Sender<ReloadRequest>>, method: Method) -> Response {
    if method != Method::POST {
        let mut response = plain_error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
        let allowed = HeaderValue::from_static("OPTIONS, POST");
        response.headers_mut().insert(header::ALLOW, allowed);
        return response;
    }
    admin::ask_for_reload(&reloads, "alertmanager").await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use axum::body::{Body, to_bytes};
    use tower::ServiceExt as _;

    fn settings(file: &Path) -> Settings {
        Settings {
            file: file.to_owned(),
            listen: Vec::new(),
            connections_max: 1,
            timeout: None,
            web_config: String::new(),
            external_url: "http://am/p".to_owned(),
            route_prefix: "/p".to_owned(),
            gets_max: 1,
            storage: PathBuf::new(),
            dispatch: DispatchOptions::default(),
            cluster: None,
            matcher_mode: MatcherMode::default(),
            warnings: Vec::new(),
        }
    }

    async fn check(router: &Router, method: &str, path: &str, status: u16, text: &str) {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let found = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(found, status, "{method} {path}: {body}");
        assert!(body.contains(text), "{method} {path}: {body}");
    }

    #[tokio::test]
    async fn paths_below_a_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("am.yml");
        std::fs::write(&file, "route: {receiver: a}\nreceivers: [{name: a}]\n").unwrap();
        let settings = settings(&file);
        let registry = Registry::new();
        let options = AlertmanagerOptions {
            clock: Arc::new(SystemClock),
            registry: registry.clone(),
            external_url: settings.external_url.clone(),
            dispatch: settings.dispatch,
            storage: None,
            cluster: None,
        };
        let config = settings.load().unwrap();
        let alertmanager = Arc::new(Alertmanager::start(config, options).unwrap());
        let (sender, mut reloads) = mpsc::channel(1);
        let router = router(&settings, &alertmanager, &registry, sender);
        let answering = tokio::spawn(async move {
            let settings = self::settings(&file);
            while let Some(answer) = reloads.recv().await {
                let _ = ReloadRequest::send(answer, apply(&settings, &alertmanager));
                let broken = "route: {receiver: nope}\nreceivers: [{name: a}]\n";
                std::fs::write(&file, broken).unwrap();
            }
        });
        check(&router, "GET", "/p/-/healthy", 200, "OK").await;
        check(&router, "HEAD", "/p/-/ready", 200, "").await;
        check(&router, "GET", "/-/ready", 404, "404 page not found\n").await;
        check(&router, "GET", "/p/", 200, "No alerts.").await;
        check(&router, "GET", "/p", 301, "").await;
        check(
            &router,
            "GET",
            "/p/api/v2/receivers",
            200,
            "[{\"labels\":{\"name\":\"a\"}",
        )
        .await;
        check(&router, "GET", "/p/api/v2", 301, "").await;
        check(
            &router,
            "GET",
            "/p/api/v2/",
            404,
            "path /p/api/v2/ was not found",
        )
        .await;
        check(&router, "POST", "/p/api/v1/alerts", 410, "deprecated").await;
        check(
            &router,
            "GET",
            "/p/metrics",
            200,
            "alertmanager_silences{state=\"active\"} 0",
        )
        .await;
        check(&router, "GET", "/p/-/reload", 405, "Method Not Allowed\n").await;
        check(&router, "POST", "/p/-/reload", 200, "").await;
        let why = "failed to reload config: undefined receiver \"nope\" used in route\n";
        check(&router, "POST", "/p/-/reload", 500, why).await;
        check(&router, "GET", "/p/api/v2/status", 200, "receiver: a").await;
        drop(router);
        answering.await.unwrap();
    }
}
