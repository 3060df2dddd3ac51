//! `docker_sd_configs`: the running containers of a Docker engine.
//!
//! A container is a target for each TCP port that it exposes, in its first network or in all of them; without one, on the
//! port of the configuration.
//!
//! Source: Docker Engine API, `/containers/json` and `/networks`; Prometheus documentation, `<docker_sd_config>`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;

use super::TargetGroup;
use super::labels::MetaLabels;
use super::refresh::{RefreshError, Source};
use crate::config::sd::DockerSdConfig;

pub(crate) mod engine;

use engine::Engine;

/// What labels begin with.
const PREFIX: &str = "docker_";

/// How many containers are followed from one whose network is that of another.
const SHARED_NETWORK_DEPTH_MAX: usize = 64;

/// Asks one Docker engine.
pub(crate) struct DockerSource {
    engine: Engine,
    config: DockerSdConfig,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Container {
    id: String,
    #[serde(deserialize_with = "model::de::or_default")]
    names: Vec<String>,
    #[serde(deserialize_with = "model::de::or_default")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "model::de::or_default")]
    ports: Vec<Port>,
    host_config: HostConfig,
    #[serde(deserialize_with = "model::de::or_default")]
    network_settings: NetworkSettings,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    network_mode: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    #[serde(deserialize_with = "model::de::or_default")]
    networks: BTreeMap<String, Option<Endpoint>>,
}

/// Where a container is in a network.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Endpoint {
    #[serde(rename = "NetworkID")]
    network_id: String,
    #[serde(rename = "IPAddress")]
    address: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Port {
    #[serde(rename = "IP")]
    address: String,
    private_port: u16,
    public_port: u16,
    r#type: String,
}

impl DockerSource {
    /// # Errors
    ///
    /// As [`Engine::new`].
    pub(crate) fn new(config: &DockerSdConfig, base_dir: &Path) -> Result<Self, String> {
        let http = config.http_config();
        Ok(DockerSource {
            engine: Engine::new(&config.host, http, &config.filters, base_dir)?,
            config: config.clone(),
        })
    }

    /// Returns the places of a container in networks that are targets, by the network's name.
    fn endpoints<'c>(
        &self,
        container: &'c Container,
        by_id: &HashMap<&str, &'c Container>,
    ) -> Vec<&'c Endpoint> {
        let networks = networks_of(container, by_id);
        let wanted = if self.config.match_first_network {
            1
        } else {
            usize::MAX
        };
        networks.values().flatten().take(wanted).collect()
    }

    /// Appends the targets that a container is in one network.
    fn append_targets(
        &self,
        container: &Container,
        endpoint: &Endpoint,
        networks: &BTreeMap<String, MetaLabels>,
        targets: &mut Vec<BTreeMap<String, String>>,
    ) {
        let mut common = MetaLabels::new(PREFIX);
        common.set("container_id", &container.id);
        common.set(
            "container_name",
            container.names.first().map_or("", String::as_str),
        );
        common.set(
            "container_network_mode",
            &container.host_config.network_mode,
        );
        common.set_all("container_label_", &container.labels);
        common.set("network_ip", &endpoint.address);
        common.extend(networks.get(&endpoint.network_id));

        let before = targets.len();
        for port in container.ports.iter().filter(|port| port.r#type == "tcp") {
            let mut labels = common.clone();
            labels.set("port_private", port.private_port);
            if 0 < port.public_port {
                labels.set("port_public", port.public_port);
                labels.set("port_public_ip", &port.address);
            }
            targets.push(labels.at(&endpoint.address, port.private_port));
        }
        if targets.len() == before {
            // A container in the host's network has neither ports nor an address of its own.
            targets.push(if container.host_config.network_mode == "host" {
                common.at_address(self.config.host_networking_host.clone())
            } else {
                common.at(&endpoint.address, self.config.port)
            });
        }
    }
}

/// Returns the networks of a container, or those of the container whose network it shares.
fn networks_of<'c>(
    container: &'c Container,
    by_id: &HashMap<&str, &'c Container>,
) -> &'c BTreeMap<String, Option<Endpoint>> {
    let mut owner = container;
    for _ in 0..SHARED_NETWORK_DEPTH_MAX {
        if !owner.network_settings.networks.is_empty() {
            break;
        }
        let shared = owner.host_config.network_mode.strip_prefix("container:");
        match shared.and_then(|id| by_id.get(id)) {
            Some(next) => owner = next,
            None => break,
        }
    }
    &owner.network_settings.networks
}

impl Source for DockerSource {
    const NAME: &'static str = "docker";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        self.engine.connect().await?;
        let containers: Vec<Container> = self.engine.filtered("/containers/json").await?;
        let networks = self.engine.networks(PREFIX).await?;
        let by_id: HashMap<&str, &Container> = containers
            .iter()
            .map(|container| (container.id.as_str(), container))
            .collect();
        let mut targets = Vec::new();
        for container in containers.iter().filter(|c| !c.names.is_empty()) {
            for endpoint in self.endpoints(container, &by_id) {
                self.append_targets(container, endpoint, &networks, &mut targets);
            }
        }
        Ok(vec![TargetGroup {
            source: "Docker".to_owned(),
            targets,
            ..TargetGroup::default()
        }])
    }
}

#[cfg(test)]
mod tests;
