//! The listeners: connections accepted, bounded, and ended in order.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use metrics::Registry;
use net::listen::LimitedListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tsdb::ReplayProgress;

use super::ReloadRequest;
use super::settings::{self, Settings};
use crate::api;
use crate::exporter::{self, NodeMetrics};

/// How long stopping waits for requests that are being answered.
const DRAIN: Duration = Duration::from_secs(10);

/// Scrapes of the built-in node exporter that may run at once.
const NODE_SCRAPES_MAX: usize = 8;

/// What is listened on, and how much is let in.
pub(crate) struct HttpOptions<'a> {
    /// Addresses, at least one.
    pub(crate) listen: &'a [String],
    /// Connections that may be open at once, over all addresses.
    pub(crate) connections_max: usize,
    /// How long a request's head may take, and a connection be idle.
    pub(crate) read_timeout: Duration,
}

/// The running listeners.
pub(crate) struct Http {
    stop: CancellationToken,
    listeners: tokio::sync::Mutex<JoinSet<()>>,
}

impl Http {
    /// Listens on all addresses and answers from now on.
    ///
    /// # Errors
    ///
    /// When an address cannot be had.
    pub(crate) async fn start(
        options: &HttpOptions<'_>,
        router: Router,
        registry: &Registry,
    ) -> anyhow::Result<Http> {
        let waits = registry.counter(
            "hearth_http_connections_waited_total",
            "How often a connection had to wait because as many as allowed were open.",
        );
        let permits = options.connections_max.min(Semaphore::MAX_PERMITS);
        let permits = Arc::new(Semaphore::new(permits));
        let stop = CancellationToken::new();
        let mut listeners = JoinSet::new();
        for address in options.listen {
            let listener = net::listen::bind(address).await?;
            tracing::info!(address = %listener.local_addr()?, "listening");
            let listener = LimitedListener::new(listener, Arc::clone(&permits), waits.clone());
            listeners.spawn(serve(
                listener,
                router.clone(),
                options.read_timeout,
                stop.clone(),
            ));
        }
        Ok(Http {
            stop,
            listeners: tokio::sync::Mutex::new(listeners),
        })
    }

    /// Takes no more connections, and waits for requests that are being answered.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        let mut listeners = self.listeners.lock().await;
        while let Some(ended) = listeners.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a listener ended badly");
            }
        }
    }
}

async fn serve(
    mut listener: LimitedListener,
    router: Router,
    read_timeout: Duration,
    stop: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(read_timeout);
    loop {
        let (connection, _) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let service = TowerToHyperService::new(router.clone());
        let serving = graceful.watch(builder.serve_connection(TokioIo::new(connection), service));
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests were cut off at shutdown");
    }
}

/// Returns all that the server answers.
///
/// # Errors
///
/// When the node exporter cannot be made.
pub(crate) fn router(settings: &Settings, shared: &Arc<api::Shared>) -> anyhow::Result<Router> {
    let router = api::router(Arc::clone(shared));
    Ok(router.merge(node_exporter(&settings.route_prefix)?))
}

/// The node exporter's metrics on a path of ours, for the built-in configuration.
fn node_exporter(prefix: &str) -> anyhow::Result<Router> {
    let options = exporters::node::NodeOptions::linux_defaults();
    let node =
        NodeMetrics::new(options, None, NODE_SCRAPES_MAX).context("start the node exporter")?;
    let path = format!("{prefix}/exporter/node/metrics");
    Ok(Router::new()
        .route(&path, get(exporter::scrape))
        .with_state(node))
}

/// The version of Prometheus whose API this is: clients such as Grafana choose what they ask for by it.
pub(crate) const PROMETHEUS_VERSION: &str = "3.5.0";

fn build_info() -> api::BuildInfo {
    api::BuildInfo {
        version: PROMETHEUS_VERSION.to_owned(),
        revision: format!("hearth-{}", env!("CARGO_PKG_VERSION")),
        branch: String::new(),
        build_user: String::new(),
        build_date: String::new(),
        go_version: String::new(),
    }
}

/// What the API knows before the database is open.
///
/// # Errors
///
/// When the working directory cannot be told.
pub(crate) fn early_state(
    settings: &Settings,
    registry: &Registry,
    replay: &Arc<ReplayProgress>,
    reload: mpsc::Sender<ReloadRequest>,
    quit: CancellationToken,
) -> anyhow::Result<api::EarlyState> {
    Ok(api::EarlyState {
        registry: registry.clone(),
        replay: Arc::clone(replay),
        build: build_info(),
        flags: settings.flags.clone(),
        external_path: settings::url_path(&settings.external_url).to_owned(),
        route_prefix: settings.route_prefix.clone(),
        cors_origin: Some(settings.cors_origin.clone()),
        lifecycle: api::Lifecycle {
            is_enabled: settings.lifecycle,
            reload,
            quit,
        },
    })
}
