//! What a Docker Swarm answers, as far as labels are made of it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// A service.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Service {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) spec: ServiceSpec,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(super) endpoint: Endpoint,
    pub(super) update_status: Option<UpdateStatus>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ServiceSpec {
    pub(super) name: String,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(super) task_template: TaskSpec,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(super) mode: Mode,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct TaskSpec {
    #[serde(deserialize_with = "model::de::or_default")]
    pub(super) container_spec: ContainerSpec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ContainerSpec {
    pub(super) image: String,
    pub(super) hostname: String,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(super) labels: BTreeMap<String, String>,
}

/// How many tasks a service has; one of the two is there.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Mode {
    pub(super) replicated: Option<IgnoredAny>,
    pub(super) global: Option<IgnoredAny>,
}

impl Mode {
    pub(super) fn name(&self) -> &'static str {
        match () {
            () if self.global.is_some() => "global",
            () if self.replicated.is_some() => "replicated",
            () => "",
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct UpdateStatus {
    pub(super) state: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Endpoint {
    #[serde(deserialize_with = "model::de::or_default")]
    pub(super) ports: Vec<Port>,
    #[serde(rename = "VirtualIPs", deserialize_with = "model::de::or_default")]
    pub(super) virtual_ips: Vec<VirtualIp>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) protocol: String,
    pub(super) published_port: u16,
    pub(super) publish_mode: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct VirtualIp {
    #[serde(rename = "NetworkID")]
    pub(super) network_id: String,
    pub(super) addr: String,
}

/// A task of a service.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Task {
    #[serde(rename = "ID")]
    pub(super) id: String,
    #[serde(rename = "ServiceID")]
    pub(super) service_id: String,
    #[serde(rename = "NodeID")]
    pub(super) node_id: String,
    pub(super) slot: i64,
    pub(super) desired_state: String,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(super) status: TaskStatus,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(super) spec: TaskSpec,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(super) networks_attachments: Vec<Attachment>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct TaskStatus {
    pub(super) state: String,
    pub(super) container_status: Option<ContainerStatus>,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(super) port_status: PortStatus,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ContainerStatus {
    #[serde(rename = "ContainerID")]
    pub(super) container_id: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct PortStatus {
    #[serde(deserialize_with = "model::de::or_default")]
    pub(super) ports: Vec<Port>,
}

/// The place of a task in a network.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Attachment {
    #[serde(deserialize_with = "model::de::or_default")]
    pub(super) network: Network,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(super) addresses: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Network {
    #[serde(rename = "ID")]
    pub(super) id: String,
}

/// A machine of the swarm.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Node {
    #[serde(rename = "ID")]
    pub(super) id: String,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(super) spec: NodeSpec,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(super) description: Description,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(super) status: NodeStatus,
    pub(super) manager_status: Option<ManagerStatus>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NodeSpec {
    pub(super) role: String,
    pub(super) availability: String,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Description {
    pub(super) hostname: String,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(super) platform: Platform,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(super) engine: EngineVersion,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Platform {
    pub(super) architecture: String,
    #[serde(rename = "OS")]
    pub(super) os: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct EngineVersion {
    pub(super) engine_version: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NodeStatus {
    pub(super) state: String,
    pub(super) addr: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ManagerStatus {
    pub(super) leader: bool,
    pub(super) reachability: String,
    pub(super) addr: String,
}
