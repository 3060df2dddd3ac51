//! The node exporter over HTTP: a program of its own, and a route of the server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use exporters::node::{Filter, NodeExporter, NodeOptions};
use metrics::{MetricFamily, Registry, encode};
use tokio::sync::Semaphore;

use crate::cli::exporter::UNBUILT_COLLECTORS;
use crate::cli::flag::Values;
use crate::server::http::{Http, HttpOptions, Inherited};

/// Connections that may be open at once; more wait.
const CONNECTIONS_MAX: usize = 512;

/// How long a request's head, or a TLS handshake, may take, and a connection be idle.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// What a scrape of the node needs.
pub(crate) struct NodeMetrics {
    exporter: NodeExporter,
    /// The exporter's own metrics, unless they are shown elsewhere.
    own: Option<Registry>,
    /// Scrapes that may run at once.
    places: Arc<Semaphore>,
}

impl NodeMetrics {
    /// Returns an exporter with `options`, at most `requests_max` scrapes at once (0: any number), and with the metrics of
    /// `own` beside the node's.
    ///
    /// # Errors
    ///
    /// When a filter is no regular expression or a collector is not known.
    pub(crate) fn new(
        options: NodeOptions,
        own: Option<Registry>,
        requests_max: usize,
    ) -> anyhow::Result<Arc<Self>> {
        let places = if requests_max == 0 {
            Semaphore::MAX_PERMITS
        } else {
            requests_max.min(Semaphore::MAX_PERMITS)
        };
        let exporter = NodeExporter::new(options)?;
        Ok(Arc::new(NodeMetrics {
            exporter,
            own,
            places: Arc::new(Semaphore::new(places)),
        }))
    }
}

/// Answers a scrape. `?collect[]=NAME` shows only these collectors, `?exclude[]=NAME` all others.
pub(crate) async fn scrape(
    State(node): State<Arc<NodeMetrics>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let Ok(place) = Arc::clone(&node.places).try_acquire_owned() else {
        let text = "Limit of concurrent requests reached, try again later.\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let (collect, exclude) = selection(query.as_deref().unwrap_or_default());
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let format = encode::negotiate(accept);
    let working = Arc::clone(&node);
    let body = tokio::task::spawn_blocking(move || {
        // Held until the work is done, also when the client has gone.
        let _place = place;
        working.render(&collect, &exclude, format)
    })
    .await;
    match body {
        Ok(Ok(body)) => ([(header::CONTENT_TYPE, format.content_type())], body).into_response(),
        Ok(Err(text)) => (StatusCode::BAD_REQUEST, text).into_response(),
        Err(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "collecting the metrics failed",
        )
            .into_response(),
    }
}

impl NodeMetrics {
    fn render(
        &self,
        collect: &[String],
        exclude: &[String],
        format: encode::Format,
    ) -> Result<Vec<u8>, String> {
        let mut families: Vec<MetricFamily> = self
            .exporter
            .gather_selected(collect, exclude)
            .map_err(|error| error.to_string())?;
        if let Some(own) = &self.own {
            families.extend(own.gather());
            metrics::normalize(&mut families);
        }
        let mut body = Vec::with_capacity(64 << 10);
        encode::encode(format, &families, &mut body);
        Ok(body)
    }
}

/// Returns the `collect[]` and `exclude[]` parameters of a query string.
fn selection(query: &str) -> (Vec<String>, Vec<String>) {
    let (mut collect, mut exclude) = (Vec::new(), Vec::new());
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "collect[]" | "collect%5B%5D" | "collect%5b%5d" => collect.push(value.to_owned()),
            "exclude[]" | "exclude%5B%5D" | "exclude%5b%5d" => exclude.push(value.to_owned()),
            _ => {}
        }
    }
    (collect, exclude)
}

/// Runs the node exporter until it is told to stop.
///
/// # Errors
///
/// When it cannot start; each error is one clear line.
pub(crate) async fn run(
    values: &Values,
    switches: &[(String, bool)],
    inherited: Inherited,
) -> anyhow::Result<()> {
    let own = Registry::new();
    own.register(metrics::process_collector());
    let shown = (!values.is_on("web.disable-exporter-metrics")).then(|| own.clone());
    let node = NodeMetrics::new(
        node_options(values, switches),
        shown,
        values.integer("web.max-requests"),
    )?;
    let path = values.text("web.telemetry-path").to_owned();
    anyhow::ensure!(
        path.starts_with('/'),
        "--web.telemetry-path={path}: must begin with /"
    );
    let landing = format!(
        "<!doctype html><title>Node Exporter</title><h1>Node Exporter</h1><p>Hearth {}</p><p><a href=\"{path}\">Metrics</a></p>",
        env!("CARGO_PKG_VERSION")
    );
    let mut router = Router::new().route(&path, get(scrape)).with_state(node);
    if path != "/" {
        router = router.route("/", get(|| async { Html(landing) }));
    }
    let router = router.layer(tower_http::compression::CompressionLayer::new());
    let listen = HttpOptions {
        listen: values.list("web.listen-address"),
        inherited,
        connections_max: CONNECTIONS_MAX,
        read_timeout: READ_TIMEOUT,
        web_config: values.text("web.config.file"),
    };
    let http = Http::start(listen, router, &own).await?;
    crate::signal::stop().await?;
    http.stop().await;
    Ok(())
}

fn node_options(values: &Values, switches: &[(String, bool)]) -> NodeOptions {
    let mut options = NodeOptions::linux_defaults();
    options.procfs = PathBuf::from(values.text("path.procfs"));
    options.sysfs = PathBuf::from(values.text("path.sysfs"));
    options.rootfs = PathBuf::from(values.text("path.rootfs"));
    options.udev_data = PathBuf::from(values.text("path.udev.data"));
    let filters = [
        (
            &mut options.filesystem_mount_points,
            "collector.filesystem.mount-points",
        ),
        (
            &mut options.filesystem_types,
            "collector.filesystem.fs-types",
        ),
        (&mut options.diskstats_devices, "collector.diskstats.device"),
        (&mut options.netdev_devices, "collector.netdev.device"),
    ];
    for (filter, flag) in filters {
        let given = |kind: &str| {
            Some(values.text(&format!("{flag}-{kind}")).to_owned()).filter(|text| !text.is_empty())
        };
        match (given("include"), given("exclude")) {
            (None, None) => {}
            (include, exclude) => *filter = Filter { include, exclude },
        }
    }
    let texts = [
        (
            &mut options.netclass_ignored_devices,
            "collector.netclass.ignored-devices",
        ),
        (&mut options.netstat_fields, "collector.netstat.fields"),
        (&mut options.vmstat_fields, "collector.vmstat.fields"),
    ];
    for (text, flag) in texts {
        if values.is_given(flag) {
            values.text(flag).clone_into(text);
        }
    }
    if values.is_on("collector.disable-defaults") {
        options.collectors.clear();
    }
    for (name, on) in switches {
        if UNBUILT_COLLECTORS.contains(&name.as_str()) {
            if *on {
                tracing::warn!(collector = %name, "this collector is not built yet");
            }
        } else if *on {
            options.collectors.insert(name.clone());
        } else {
            options.collectors.remove(name);
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections() {
        let (collect, exclude) =
            selection("collect[]=cpu&collect%5B%5D=meminfo&exclude[]=x&other=1");
        assert_eq!(
            (collect, exclude),
            (
                vec!["cpu".to_owned(), "meminfo".to_owned()],
                vec!["x".to_owned()]
            )
        );
    }
}
