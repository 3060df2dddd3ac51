//! `consul_sd_configs`: the services of a Consul catalog.
//!
//! One request lists the services, one for each service that is wanted lists its nodes with their health; each is answered when
//! there is something new (`watch`).
//!
//! Source: Consul HTTP API, catalog, health and agent endpoints; Prometheus documentation, `<consul_sd_config>`.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use net::outbound::HttpClient;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::TargetGroup;
use super::refresh::{RefreshError, fetch};
use crate::config::ConsulSdConfig;
use crate::target::ADDRESS;

mod watch;

pub(crate) use watch::ConsulDiscovery;

/// How long a request waits for something new.
const WAIT: Duration = Duration::from_secs(120);
/// How much longer the answer may take: Consul adds a sixteenth to the wait at random.
const WAIT_MARGIN: Duration = Duration::from_secs(30);
/// The header with the index of an answer.
const INDEX: &str = "X-Consul-Index";

/// Asks one Consul server.
pub(crate) struct ConsulSource {
    client: HttpClient,
    config: ConsulSdConfig,
    /// The data center of the server, once it has said so.
    datacenter: OnceLock<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Agent {
    config: AgentConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AgentConfig {
    datacenter: String,
}

/// A service on a node.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    node: Node,
    service: Service,
    #[serde(default, deserialize_with = "model::de::or_default")]
    checks: Vec<Check>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Node {
    node: String,
    address: String,
    datacenter: String,
    partition: String,
    #[serde(deserialize_with = "model::de::or_default")]
    meta: BTreeMap<String, String>,
    #[serde(deserialize_with = "model::de::or_default")]
    tagged_addresses: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    address: String,
    port: i64,
    namespace: String,
    #[serde(deserialize_with = "model::de::or_default")]
    tags: Vec<String>,
    #[serde(deserialize_with = "model::de::or_default")]
    meta: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Check {
    #[serde(rename = "CheckID")]
    check_id: String,
    status: String,
}

impl ConsulSource {
    pub(crate) fn new(config: &ConsulSdConfig, client: HttpClient) -> Self {
        ConsulSource {
            client,
            config: config.clone(),
            datacenter: match config.datacenter.as_str() {
                "" => OnceLock::new(),
                name => OnceLock::from(name.to_owned()),
            },
        }
    }

    /// Asks for the data center of the server, unless it is known.
    async fn find_datacenter(&self) -> Result<(), RefreshError> {
        if self.datacenter.get().is_none() {
            let (agent, _): (Agent, _) = self.ask("agent/self", &[], 0).await?;
            // Two that ask at the same time are told the same.
            let _ = self.datacenter.set(agent.config.datacenter);
        }
        Ok(())
    }

    /// Asks for `path` with the parameters of all requests and these; returns the answer and its index. With another index than
    /// 0 the answer comes when there is one with another index, or after a while.
    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
        index: u64,
    ) -> Result<(T, u64), RefreshError> {
        let config = &self.config;
        let server = config.server.trim_end_matches('/');
        let prefix = config.path_prefix.trim_matches('/');
        let prefix = if prefix.is_empty() {
            String::new()
        } else {
            format!("/{prefix}")
        };
        let url = format!("{}://{server}{prefix}/v1/{path}", config.scheme);
        let mut query: Vec<(&str, &str)> = parameters.to_vec();
        let (shown_index, wait) = (index.to_string(), format!("{}ms", WAIT.as_millis()));
        if 0 < index {
            query.extend([("index", shown_index.as_str()), ("wait", wait.as_str())]);
        }
        for (name, value) in [
            ("dc", &config.datacenter),
            ("ns", &config.namespace),
            ("partition", &config.partition),
        ] {
            if !value.is_empty() {
                query.push((name, value));
            }
        }
        if config.allow_stale {
            query.push(("stale", ""));
        }
        let mut request = self
            .client
            .get(&url)
            .await
            .map_err(|error| RefreshError::of(&error))?
            .query(&query);
        if 0 < index {
            request = request.timeout(WAIT + WAIT / 16 + WAIT_MARGIN);
        }
        if !config.token.is_empty() {
            request = request.header("X-Consul-Token", config.token.reveal());
        }
        if !config.username.is_empty() {
            request = request.basic_auth(&config.username, Some(config.password.reveal()));
        }
        let shown = format!("GET /v1/{path}");
        let (headers, body) = fetch(request).await.map_err(|error| error.about(&shown))?;
        let index = headers.get(INDEX).and_then(|value| value.to_str().ok());
        let index = index.and_then(|index| index.parse().ok()).unwrap_or(0);
        let answer = serde_json::from_slice(&body);
        let answer =
            answer.map_err(|error| RefreshError(format!("{shown}: unexpected answer: {error}")));
        Ok((answer?, index))
    }

    /// Returns what nodes must have, as parameters have it.
    fn node_metadata(&self) -> Vec<String> {
        let pairs = self.config.node_meta.iter();
        pairs
            .map(|(name, value)| format!("{name}:{value}"))
            .collect()
    }

    /// Returns the names of the services that are wanted, if they are known without looking for them.
    fn named(&self) -> Option<&[String]> {
        let config = &self.config;
        let are_named = !config.services.is_empty();
        (are_named && config.tags.is_empty() && config.filter.is_empty())
            .then_some(config.services.as_slice())
    }

    /// Returns the names of the services that are wanted, sorted, and the index of the list.
    async fn wanted(&self, index: u64) -> Result<(Vec<String>, u64), RefreshError> {
        let config = &self.config;
        let metadata = self.node_metadata();
        let mut parameters: Vec<(&str, &str)> = metadata
            .iter()
            .map(|pair| ("node-meta", pair.as_str()))
            .collect();
        if !config.filter.is_empty() {
            parameters.push(("filter", &config.filter));
        }
        let (all, index): (BTreeMap<String, Vec<String>>, _) =
            self.ask("catalog/services", &parameters, index).await?;
        let is_wanted = |name: &String, tags: &[String]| {
            (config.services.is_empty() || config.services.contains(name))
                && config.tags.iter().all(|tag| tags.contains(tag))
        };
        let wanted = all.into_iter().filter(|(name, tags)| is_wanted(name, tags));
        Ok((wanted.map(|(name, _)| name).collect(), index))
    }

    /// Returns the targets of a service, and the index of the answer.
    async fn group(&self, name: &str, index: u64) -> Result<(TargetGroup, u64), RefreshError> {
        let config = &self.config;
        let metadata = self.node_metadata();
        let mut parameters: Vec<(&str, &str)> = metadata
            .iter()
            .map(|pair| ("node-meta", pair.as_str()))
            .collect();
        parameters.extend(config.tags.iter().map(|tag| ("tag", tag.as_str())));
        if !config.health_filter.is_empty() {
            parameters.push(("filter", &config.health_filter));
        }
        let path = format!("health/service/{}", net::escape::component(name));
        let (entries, index): (Vec<Entry>, _) = self.ask(&path, &parameters, index).await?;
        let mut group = TargetGroup {
            source: name.to_owned(),
            ..TargetGroup::default()
        };
        set(&mut group.labels, "service", name);
        set(
            &mut group.labels,
            "dc",
            self.datacenter.get().map_or("", String::as_str),
        );
        group.targets = entries.iter().map(|entry| self.target(entry)).collect();
        Ok((group, index))
    }

    fn target(&self, entry: &Entry) -> BTreeMap<String, String> {
        let Entry {
            node,
            service,
            checks,
        } = entry;
        let separator = &self.config.tag_separator;
        let mut labels = BTreeMap::new();
        let host = if service.address.is_empty() {
            &node.address
        } else {
            &service.address
        };
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.clone()
        };
        labels.insert(ADDRESS.to_owned(), format!("{host}:{}", service.port));
        set(&mut labels, "address", &node.address);
        set(&mut labels, "node", &node.node);
        set(&mut labels, "namespace", &service.namespace);
        set(&mut labels, "partition", &node.partition);
        // Separators at both ends, so that a whole tag can be looked for in the middle.
        let tags = format!("{separator}{}{separator}", service.tags.join(separator));
        set(&mut labels, "tags", &tags);
        set(&mut labels, "service_address", &service.address);
        set(&mut labels, "service_port", &service.port.to_string());
        set(&mut labels, "service_id", &service.id);
        set(&mut labels, "health", health(checks));
        if !node.datacenter.is_empty() {
            set(&mut labels, "dc", &node.datacenter);
        }
        for (family, pairs) in [
            ("metadata", &node.meta),
            ("service_metadata", &service.meta),
            ("tagged_address", &node.tagged_addresses),
        ] {
            for (name, value) in pairs {
                let name = super::sanitized(name);
                set(&mut labels, &format!("{family}_{name}"), value);
            }
        }
        labels
    }
}

fn set(labels: &mut BTreeMap<String, String>, name: &str, value: &str) {
    labels.insert(format!("__meta_consul_{name}"), value.to_owned());
}

/// The worst of the checks; maintenance is worse than all.
fn health(checks: &[Check]) -> &'static str {
    let is_maintained = |check: &Check| {
        check.check_id == "_node_maintenance" || check.check_id.starts_with("_service_maintenance:")
    };
    if checks.iter().any(is_maintained) {
        return "maintenance";
    }
    let has = |status: &str| checks.iter().any(|check| check.status == status);
    match () {
        () if has("critical") => "critical",
        () if has("warning") => "warning",
        () => "passing",
    }
}

#[cfg(test)]
mod tests;
