//! The HTTP API of a Docker engine, over TCP or a Unix socket.
//!
//! Source: Docker Engine API, versions 1.24 to 1.47.

use std::collections::BTreeMap;
use std::path::Path;

use net::http_config::HttpConfig;
use net::outbound::HttpClient;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::config::sd::DockerFilter;
use crate::discovery::labels::MetaLabels;
use crate::discovery::provider::TIMEOUT;
use crate::discovery::refresh::{RefreshError, fetch, fetch_json};

/// The newest version whose answers are known.
const VERSION_MAX: (u32, u32) = (1, 47);

/// A Docker engine.
pub(crate) struct Engine {
    client: HttpClient,
    /// What comes before paths; no slash at its end.
    base: String,
    /// The version that both sides know, as `/v1.47`, once the engine was asked.
    version: Option<String>,
    /// The filters of lists, as JSON.
    filters: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Network {
    id: String,
    name: String,
    scope: String,
    internal: bool,
    ingress: bool,
    #[serde(deserialize_with = "model::de::or_default")]
    labels: BTreeMap<String, String>,
}

impl Engine {
    /// Returns the engine at `host`: `unix://` and a path, or a URL with `tcp`, `http` or `https`. `http` is for the latter
    /// three.
    ///
    /// # Errors
    ///
    /// When `host` is none of these, or certificates cannot be read, on one line.
    pub(crate) fn new(
        host: &str,
        http: HttpConfig,
        filters: &[DockerFilter],
        base_dir: &Path,
    ) -> Result<Self, String> {
        let Some((scheme, rest)) = host.split_once("://") else {
            return Err(unusable(host));
        };
        let over_tcp = || HttpClient::new(http.clone(), base_dir, Some(TIMEOUT));
        let (client, base) = match scheme {
            "unix" => {
                let client = HttpClient::of_unix_socket(Path::new(rest), Some(TIMEOUT));
                (client, "http://localhost".to_owned())
            }
            "tcp" if http.tls_config.is_some() => (over_tcp(), format!("https://{rest}")),
            "tcp" => (over_tcp(), format!("http://{rest}")),
            "http" | "https" => (over_tcp(), host.to_owned()),
            _ => return Err(unusable(host)),
        };
        Ok(Engine {
            client: client.map_err(|error| net::outbound::chain(&error))?,
            base: base.trim_end_matches('/').to_owned(),
            version: None,
            filters: filters_as_json(filters),
        })
    }

    /// Asks for the version that both sides know, unless that is known.
    ///
    /// # Errors
    ///
    /// When the engine does not answer.
    pub(crate) async fn connect(&mut self) -> Result<(), RefreshError> {
        if self.version.is_some() {
            return Ok(());
        }
        let request = self.client.get(&format!("{}/_ping", self.base)).await;
        let request = request.map_err(|error| RefreshError::of(&error))?;
        let (headers, _) = fetch(request)
            .await
            .map_err(|error| RefreshError(format!("GET /_ping: {error}")))?;
        let theirs = headers
            .get("api-version")
            .and_then(|value| value.to_str().ok()?.split_once('.'))
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        // An engine that does not say speaks the one version that it has.
        self.version = Some(theirs.map_or_else(String::new, |theirs: (u32, u32)| {
            let (major, minor) = theirs.min(VERSION_MAX);
            format!("/v{major}.{minor}")
        }));
        Ok(())
    }

    /// Returns the list at `path`, those that the filters let through.
    pub(crate) async fn filtered<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<T, RefreshError> {
        self.ask(path, self.filters.as_deref()).await
    }

    /// Returns everything at `path`.
    pub(crate) async fn all<T: DeserializeOwned>(&self, path: &str) -> Result<T, RefreshError> {
        self.ask(path, None).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        filters: Option<&str>,
    ) -> Result<T, RefreshError> {
        let version = self.version.as_deref().unwrap_or_default();
        let url = format!("{}{version}{path}", self.base);
        let mut request = self
            .client
            .get(&url)
            .await
            .map_err(|error| RefreshError::of(&error))?;
        if let Some(filters) = filters {
            request = request.query(&[("filters", filters)]);
        }
        fetch_json(request, &format!("GET {path}")).await
    }

    /// Returns the labels of each network, by its id.
    pub(crate) async fn networks(
        &self,
        prefix: &'static str,
    ) -> Result<BTreeMap<String, MetaLabels>, RefreshError> {
        let networks: Vec<Network> = self.all("/networks").await?;
        let labelled = networks.into_iter().map(|network| {
            let mut labels = MetaLabels::new(prefix);
            labels.set("network_id", &network.id);
            labels.set("network_name", &network.name);
            labels.set("network_scope", &network.scope);
            labels.set("network_internal", network.internal);
            labels.set("network_ingress", network.ingress);
            labels.set_all("network_label_", &network.labels);
            (network.id, labels)
        });
        Ok(labelled.collect())
    }
}

fn unusable(host: &str) -> String {
    format!(
        "cannot use Docker host {host:?}: expected unix:///path, tcp://host:port, http://host:port or https://host:port"
    )
}

/// Returns `{"name":{"value":true}}`.
fn filters_as_json(filters: &[DockerFilter]) -> Option<String> {
    let mut all = BTreeMap::<&str, BTreeMap<&str, bool>>::new();
    for filter in filters {
        for value in &filter.values {
            all.entry(&filter.name).or_default().insert(value, true);
        }
    }
    if all.is_empty() {
        return None;
    }
    serde_json::to_string(&all).ok()
}
