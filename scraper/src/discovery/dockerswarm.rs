//! `dockerswarm_sd_configs`: the services, tasks or nodes of a Docker Swarm.
//!
//! Source: Docker Engine API, `/services`, `/tasks`, `/nodes` and `/networks`; Prometheus documentation,
//! `<dockerswarm_sd_config>`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use super::TargetGroup;
use super::docker::engine::Engine;
use super::labels::MetaLabels;
use super::refresh::{RefreshError, Source};
use crate::config::sd::{DockerSwarmRole, DockerSwarmSdConfig};

mod answers;

use answers::{Node, Port, Service, Task};

/// What labels begin with.
const PREFIX: &str = "dockerswarm_";

type Targets = Vec<BTreeMap<String, String>>;

/// Asks one manager of a swarm.
pub(crate) struct DockerSwarmSource {
    engine: Engine,
    role: DockerSwarmRole,
    port: u16,
}

impl DockerSwarmSource {
    /// # Errors
    ///
    /// As [`Engine::new`].
    pub(crate) fn new(config: &DockerSwarmSdConfig, base_dir: &Path) -> Result<Self, String> {
        let http = config.http_config();
        Ok(DockerSwarmSource {
            engine: Engine::new(&config.host, http, &config.filters, base_dir)?,
            role: config.role.unwrap_or_default(),
            port: config.port,
        })
    }

    /// Each service, in each network, on each TCP port that it publishes.
    async fn services(&self) -> Result<Targets, RefreshError> {
        let services: Vec<Service> = self.engine.filtered("/services").await?;
        let networks = self.engine.networks(PREFIX).await?;
        let mut targets = Vec::new();
        for service in &services {
            let mut common = service_labels(service);
            let container = &service.spec.task_template.container_spec;
            common.set("service_task_container_hostname", &container.hostname);
            common.set("service_task_container_image", &container.image);
            if let Some(update) = &service.update_status {
                common.set("service_updating_status", &update.state);
            }
            for place in &service.endpoint.virtual_ips {
                let mut labels = common.clone();
                labels.extend(networks.get(&place.network_id));
                let ports = &service.endpoint.ports;
                self.append(&labels, &place.addr, ports, &mut targets, |labels, port| {
                    labels.set("service_endpoint_port_name", &port.name);
                    labels.set("service_endpoint_port_publish_mode", &port.publish_mode);
                })?;
            }
        }
        Ok(targets)
    }

    /// Each task: on its node's published ports, and in each of its networks on those of its service.
    async fn tasks(&self) -> Result<Targets, RefreshError> {
        let tasks: Vec<Task> = self.engine.filtered("/tasks").await?;
        let services: Vec<Service> = self.engine.all("/services").await?;
        let services: BTreeMap<&str, &Service> =
            services.iter().map(|s| (s.id.as_str(), s)).collect();
        let nodes: Vec<Node> = self.engine.all("/nodes").await?;
        let nodes: BTreeMap<&str, &Node> = nodes.iter().map(|n| (n.id.as_str(), n)).collect();
        let networks = self.engine.networks(PREFIX).await?;
        let mut targets = Vec::new();
        for task in &tasks {
            let service = services.get(task.service_id.as_str());
            let node = nodes.get(task.node_id.as_str());
            let mut common = task_labels(task);
            common.extend(service.map(|service| service_labels(service)).as_ref());
            common.extend(node.map(|node| node_labels(node)).as_ref());
            let host = node.map_or("", |node| node.status.addr.as_str());
            let published = &task.status.port_status.ports;
            for port in published.iter().filter(|port| port.protocol == "tcp") {
                let mut labels = common.clone();
                labels.set("task_port_publish_mode", &port.publish_mode);
                targets.push(labels.at(host, port.published_port));
            }
            let ports = service.map_or(&[][..], |service| &service.endpoint.ports);
            for attachment in &task.networks_attachments {
                let mut labels = common.clone();
                labels.extend(networks.get(&attachment.network.id));
                for address in &attachment.addresses {
                    self.append(&labels, address, ports, &mut targets, |labels, port| {
                        labels.set("task_port_publish_mode", &port.publish_mode);
                    })?;
                }
            }
        }
        Ok(targets)
    }

    async fn nodes(&self) -> Result<Targets, RefreshError> {
        let nodes: Vec<Node> = self.engine.filtered("/nodes").await?;
        let targets = nodes.iter().map(|node| {
            let mut labels = node_labels(node);
            labels.set(
                "node_engine_version",
                &node.description.engine.engine_version,
            );
            if let Some(manager) = &node.manager_status {
                labels.set("node_manager_leader", manager.leader);
                labels.set("node_manager_reachability", &manager.reachability);
                labels.set("node_manager_address", &manager.addr);
            }
            labels.at(&node.status.addr, self.port)
        });
        Ok(targets.collect())
    }

    /// Appends a target for each TCP port at `address`, an address with the length of its network; without one, on the port
    /// of the configuration.
    fn append(
        &self,
        common: &MetaLabels,
        address: &str,
        ports: &[Port],
        targets: &mut Targets,
        label: impl Fn(&mut MetaLabels, &Port),
    ) -> Result<(), RefreshError> {
        let host = host_of(address)?;
        let before = targets.len();
        for port in ports.iter().filter(|port| port.protocol == "tcp") {
            let mut labels = common.clone();
            label(&mut labels, port);
            targets.push(labels.at(&host, port.published_port));
        }
        if targets.len() == before {
            targets.push(common.clone().at(&host, self.port));
        }
        Ok(())
    }
}

/// Returns the address in `10.0.0.2/24`.
fn host_of(address: &str) -> Result<String, RefreshError> {
    let ip: Option<IpAddr> = address.split_once('/').and_then(|(ip, _)| ip.parse().ok());
    ip.map(|ip| ip.to_string()).ok_or_else(|| {
        RefreshError(format!(
            "unexpected address {address:?}: expected one with the length of its network, as 10.0.0.2/24"
        ))
    })
}

/// The labels of a service that its tasks have too.
fn service_labels(service: &Service) -> MetaLabels {
    let mut labels = MetaLabels::new(PREFIX);
    labels.set("service_id", &service.id);
    labels.set("service_name", &service.spec.name);
    labels.set("service_mode", service.spec.mode.name());
    labels.set_all("service_label_", &service.spec.labels);
    labels
}

/// The labels of a node that its tasks have too.
fn node_labels(node: &Node) -> MetaLabels {
    let mut labels = MetaLabels::new(PREFIX);
    labels.set("node_id", &node.id);
    labels.set("node_role", &node.spec.role);
    labels.set("node_availability", &node.spec.availability);
    labels.set("node_hostname", &node.description.hostname);
    labels.set(
        "node_platform_architecture",
        &node.description.platform.architecture,
    );
    labels.set("node_platform_os", &node.description.platform.os);
    labels.set("node_status", &node.status.state);
    labels.set("node_address", &node.status.addr);
    labels.set_all("node_label_", &node.spec.labels);
    labels
}

fn task_labels(task: &Task) -> MetaLabels {
    let mut labels = MetaLabels::new(PREFIX);
    labels.set("task_id", &task.id);
    labels.set("task_desired_state", &task.desired_state);
    labels.set("task_state", &task.status.state);
    labels.set("task_slot", task.slot);
    if let Some(container) = &task.status.container_status {
        labels.set("task_container_id", &container.container_id);
    }
    labels.set_all("container_label_", &task.spec.container_spec.labels);
    labels
}

impl Source for DockerSwarmSource {
    const NAME: &'static str = "dockerswarm";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        self.engine.connect().await?;
        let targets = match self.role {
            DockerSwarmRole::Services => self.services().await?,
            DockerSwarmRole::Tasks => self.tasks().await?,
            DockerSwarmRole::Nodes => self.nodes().await?,
        };
        Ok(vec![TargetGroup {
            source: "DockerSwarm".to_owned(),
            targets,
            ..TargetGroup::default()
        }])
    }
}

#[cfg(test)]
mod tests;
