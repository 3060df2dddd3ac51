//! The listeners: connections accepted, bounded, and ended in order.

mod h2;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use metrics::Registry;
use model::trace::Tracer;
use net::listen::LimitedListener;
use net::web_config::{WebConfig, WebRules};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Layer as _;
use tsdb::ReplayProgress;

use super::ReloadRequest;
use super::settings::{self, Settings};
use crate::api::{self, Peer};
use crate::exporter::{self, NodeMetrics};

/// How long stopping waits for requests that are being answered.
const DRAIN: Duration = Duration::from_secs(10);

/// Scrapes of the built-in node exporter that may run at once.
const NODE_SCRAPES_MAX: usize = 8;

/// Sockets that were open when we were started, if they are to be listened on.
pub(crate) type Inherited = Option<Vec<std::net::TcpListener>>;

/// What is listened on, and how much is let in.
pub(crate) struct HttpOptions<'a> {
    /// Addresses, at least one.
    pub(crate) listen: &'a [String],
    /// What is listened on instead.
    pub(crate) inherited: Inherited,
    /// Connections that may be open at once, over all addresses.
    pub(crate) connections_max: usize,
    /// How long a request's head may take, and a connection be idle.
    pub(crate) read_timeout: Duration,
    /// The file that says how TLS is spoken and who is let in; none, if empty.
    pub(crate) web_config: &'a str,
}

/// Reads the web configuration at `path`; an empty one lets everybody in, without TLS.
///
/// # Errors
///
/// When it makes no sense, or a file that it names cannot be read.
pub(crate) fn web_rules(path: &str) -> anyhow::Result<WebRules> {
    let parse = |text: &str| {
        let config = scraper::config::yaml::parse::<Option<WebConfig>>(text);
        let config = config.map_err(|error| error.to_string())?;
        Ok(config.unwrap_or_default())
    };
    Ok(WebRules::open(path, parse)?)
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
    /// When an address cannot be had, or the web configuration makes no sense.
    pub(crate) async fn start(
        options: HttpOptions<'_>,
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
        let rules = Arc::new(web_rules(options.web_config)?);
        let router = match options.web_config {
            "" => router,
            _ => {
                let refused = registry.counter(
                    "hearth_http_unauthorized_total",
                    "Requests without a user of the web configuration, or with a wrong password.",
                );
                let door = Door {
                    rules: Arc::clone(&rules),
                    refused,
                };
                router.layer(from_fn_with_state(door, guarded))
            }
        };
        let mut sockets = Vec::new();
        match options.inherited {
            Some(inherited) => {
                for socket in inherited {
                    sockets.push(TcpListener::from_std(socket)?);
                }
            }
            None => {
                for address in options.listen {
                    sockets.push(net::listen::bind(address).await?);
                }
            }
        }
        let mut listeners = JoinSet::new();
        for listener in sockets {
            tracing::info!(address = %listener.local_addr()?, tls = rules.speaks_tls(), "listening");
            let listener = LimitedListener::new(listener, Arc::clone(&permits), waits.clone());
            listeners.spawn(serve(
                listener,
                router.clone(),
                Arc::clone(&rules),
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
    rules: Arc<WebRules>,
    read_timeout: Duration,
    stop: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(read_timeout);
    loop {
        let (connection, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let peer = Peer(peer.ip());
        let service = TowerToHyperService::new(Extension(peer).layer(router.clone()));
        if !rules.speaks_tls() {
            let serving = builder.serve_connection(TokioIo::new(connection), service);
            tokio::spawn(to_its_end(graceful.watch(serving)));
            continue;
        }
        let (rules, builder, watcher) = (Arc::clone(&rules), builder.clone(), graceful.watcher());
        let router = router.clone();
        tokio::spawn(async move {
            // Files are looked at for each connection, as certificates are replaced while we run.
            let Some(tls) = rules.current().tls().map(Arc::clone) else {
                return;
            };
            let shaking = TlsAcceptor::from(tls).accept(connection);
            match tokio::time::timeout(read_timeout, shaking).await {
                Ok(Ok(connection)) if connection.get_ref().1.alpn_protocol() == Some(h2::ALPN) => {
                    let connection = TokioIo::new(connection);
                    h2::serve(connection, peer, router, read_timeout, watcher).await;
                }
                Ok(Ok(connection)) => {
                    let serving = builder.serve_connection(TokioIo::new(connection), service);
                    to_its_end(watcher.watch(serving)).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, peer = %peer.0, "TLS handshake failed"),
                Err(_) => tracing::debug!(peer = %peer.0, "the TLS handshake took too long"),
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

async fn to_its_end(serving: impl Future<Output = hyper::Result<()>>) {
    if let Err(error) = serving.await {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// What requests come by first.
#[derive(Clone)]
struct Door {
    rules: Arc<WebRules>,
    refused: metrics::Counter,
}

/// Lets in whom the web configuration says, and adds its headers to what they are answered.
async fn guarded(State(door): State<Door>, request: Request, next: Next) -> Response {
    let Door { rules, refused } = door;
    let in_force = rules.current();
    let authorization = request.headers().get(header::AUTHORIZATION);
    let may_enter = rules.may_enter(&in_force, authorization.map(HeaderValue::as_bytes));
    let mut response = match may_enter.await {
        true => next.run(request).await,
        false => {
            refused.inc();
            let challenge = [(header::WWW_AUTHENTICATE, "Basic")];
            (StatusCode::UNAUTHORIZED, challenge, "Unauthorized\n").into_response()
        }
    };
    let headers = in_force.headers().clone();
    response.headers_mut().extend(headers);
    response
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
    tracer: Tracer,
) -> anyhow::Result<api::EarlyState> {
    Ok(api::EarlyState {
        registry: registry.clone(),
        tracer,
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
