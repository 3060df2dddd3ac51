//! What the API answers, as far as it is used.

use std::collections::BTreeMap;

use model::de::or_default;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Clusters {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) cluster_info_list: Vec<Cluster>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) next_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClusterAnswer {
    pub(super) cluster_info: Cluster,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Cluster {
    pub(super) cluster_arn: String,
    pub(super) cluster_name: String,
    pub(super) cluster_type: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) current_version: String,
    pub(super) state: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) provisioned: Provisioned,
    #[serde(deserialize_with = "or_default")]
    pub(super) tags: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Provisioned {
    #[serde(deserialize_with = "or_default")]
    pub(super) current_broker_software_info: Software,
    #[serde(deserialize_with = "or_default")]
    pub(super) open_monitoring: OpenMonitoring,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Software {
    #[serde(deserialize_with = "or_default")]
    pub(super) configuration_arn: String,
    pub(super) configuration_revision: Option<i64>,
    #[serde(deserialize_with = "or_default")]
    pub(super) kafka_version: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct OpenMonitoring {
    #[serde(deserialize_with = "or_default")]
    pub(super) prometheus: Exporters,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Exporters {
    pub(super) jmx_exporter: Option<Exporter>,
    pub(super) node_exporter: Option<Exporter>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Exporter {
    #[serde(deserialize_with = "or_default")]
    pub(super) enabled_in_broker: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Nodes {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) node_info_list: Vec<Node>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) next_token: String,
}

/// A node; it is a broker, a controller, or something that cannot be scraped.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Node {
    #[serde(deserialize_with = "or_default")]
    pub(super) added_to_cluster_time: String,
    pub(super) broker_node_info: Option<Broker>,
    pub(super) controller_node_info: Option<Controller>,
    #[serde(deserialize_with = "or_default")]
    pub(super) instance_type: String,
    #[serde(rename = "nodeARN", deserialize_with = "or_default")]
    pub(super) node_arn: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Broker {
    #[serde(rename = "attachedENIId", deserialize_with = "or_default")]
    pub(super) attached_eni_id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) broker_id: f64,
    #[serde(deserialize_with = "or_default")]
    pub(super) client_subnet: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) client_vpc_ip_address: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) endpoints: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Controller {
    #[serde(deserialize_with = "or_default")]
    pub(super) endpoints: Vec<String>,
}
