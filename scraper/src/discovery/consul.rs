//! `consul_sd_configs`: the services of a Consul catalog, asked for again and again.
//!
//! One request lists the services, then one for each service that is wanted lists its nodes with their health.
//!
//! Source: Consul HTTP API, catalog, health and agent endpoints; Prometheus documentation, `<consul_sd_config>`.

use std::collections::BTreeMap;

use net::outbound::HttpClient;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::TargetGroup;
use super::refresh::{RefreshError, Source, fetch};
use crate::config::ConsulSdConfig;
use crate::target::ADDRESS;

/// How many services are asked for at once.
const AT_ONCE: usize = 8;

/// Asks one Consul server.
pub(crate) struct ConsulSource {
    client: HttpClient,
    config: ConsulSdConfig,
    /// The data center of the server, once it has said so.
    datacenter: Option<String>,
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
            datacenter: Some(config.datacenter.clone()).filter(|name| !name.is_empty()),
        }
    }

    /// Asks for `path` with the parameters of all requests and these.
    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<T, RefreshError> {
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
        if !config.token.is_empty() {
            request = request.header("X-Consul-Token", config.token.reveal());
        }
        if !config.username.is_empty() {
            request = request.basic_auth(&config.username, Some(config.password.reveal()));
        }
        let (_, body) = fetch(request)
            .await
            .map_err(|error| RefreshError(format!("GET /v1/{path}: {error}")))?;
        serde_json::from_slice(&body)
            .map_err(|error| RefreshError(format!("GET /v1/{path}: unexpected answer: {error}")))
    }

    /// Returns what nodes must have, as parameters have it.
    fn node_metadata(&self) -> Vec<String> {
        let pairs = self.config.node_meta.iter();
        pairs
            .map(|(name, value)| format!("{name}:{value}"))
            .collect()
    }

    /// Returns the names of the services that are wanted, sorted.
    async fn wanted(&self) -> Result<Vec<String>, RefreshError> {
        let config = &self.config;
        if !config.services.is_empty() && config.tags.is_empty() && config.filter.is_empty() {
            return Ok(config.services.clone());
        }
        let metadata = self.node_metadata();
        let mut parameters: Vec<(&str, &str)> = metadata
            .iter()
            .map(|pair| ("node-meta", pair.as_str()))
            .collect();
        if !config.filter.is_empty() {
            parameters.push(("filter", &config.filter));
        }
        let all: BTreeMap<String, Vec<String>> = self.ask("catalog/services", &parameters).await?;
        let is_wanted = |name: &String, tags: &[String]| {
            (config.services.is_empty() || config.services.contains(name))
                && config.tags.iter().all(|tag| tags.contains(tag))
        };
        let wanted = all.into_iter().filter(|(name, tags)| is_wanted(name, tags));
        Ok(wanted.map(|(name, _)| name).collect())
    }

    async fn group(&self, name: &str) -> Result<TargetGroup, RefreshError> {
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
        let entries: Vec<Entry> = self.ask(&path, &parameters).await?;
        let mut group = TargetGroup {
            source: name.to_owned(),
            ..TargetGroup::default()
        };
        set(&mut group.labels, "service", name);
        set(
            &mut group.labels,
            "dc",
            self.datacenter.as_deref().unwrap_or_default(),
        );
        group.targets = entries.iter().map(|entry| self.target(entry)).collect();
        Ok(group)
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

impl Source for ConsulSource {
    const NAME: &'static str = "consul";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        if self.datacenter.is_none() {
            let agent: Agent = self.ask("agent/self", &[]).await?;
            self.datacenter = Some(agent.config.datacenter);
        }
        let wanted = self.wanted().await?;
        let mut groups = Vec::with_capacity(wanted.len());
        for names in wanted.chunks(AT_ONCE) {
            let asked = names.iter().map(|name| self.group(name));
            for group in futures_util::future::join_all(asked).await {
                groups.push(group?);
            }
        }
        Ok(groups)
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
