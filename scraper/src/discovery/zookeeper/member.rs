//! What nodes say of those who registered there: Twitter's server sets and AirBnB's Nerve.
//!
//! Source: Prometheus documentation, `<serverset_sd_config>` and `<nerve_sd_config>`.

use std::collections::BTreeMap;

use model::de::or_default;
use serde::Deserialize;

use crate::discovery::labels::MetaLabels;
use crate::discovery::sanitized;

/// Whose layout it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Serverset,
    Nerve,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ServersetMember {
    #[serde(alias = "ServiceEndpoint", deserialize_with = "or_default")]
    service_endpoint: Endpoint,
    #[serde(alias = "AdditionalEndpoints", deserialize_with = "or_default")]
    additional_endpoints: BTreeMap<String, Endpoint>,
    #[serde(deserialize_with = "or_default")]
    status: String,
    #[serde(deserialize_with = "or_default")]
    shard: i64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Endpoint {
    #[serde(alias = "Host", deserialize_with = "or_default")]
    host: String,
    #[serde(alias = "Port", deserialize_with = "or_default")]
    port: i64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NerveMember {
    #[serde(deserialize_with = "or_default")]
    host: String,
    #[serde(deserialize_with = "or_default")]
    port: i64,
    #[serde(deserialize_with = "or_default")]
    name: String,
}

impl Layout {
    /// Returns the mechanism's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Layout::Serverset => "serverset",
            Layout::Nerve => "nerve",
        }
    }

    /// Returns the labels of the member that the node at `path` is, if it is one.
    pub(super) fn target(self, path: &str, data: &[u8]) -> Option<BTreeMap<String, String>> {
        match self {
            Layout::Serverset => serverset(path, data),
            Layout::Nerve => nerve(path, data),
        }
    }
}

fn serverset(path: &str, data: &[u8]) -> Option<BTreeMap<String, String>> {
    let member: ServersetMember = serde_json::from_slice(data).ok()?;
    let Endpoint { host, port } = &member.service_endpoint;
    if host.is_empty() {
        return None;
    }
    let mut labels = MetaLabels::new("serverset_");
    labels.set("path", path);
    labels.set("endpoint_host", host);
    labels.set("endpoint_port", port);
    for (name, endpoint) in &member.additional_endpoints {
        let name = sanitized(name);
        labels.set(&format!("endpoint_host_{name}"), &endpoint.host);
        labels.set(&format!("endpoint_port_{name}"), endpoint.port);
    }
    labels.set("status", &member.status);
    labels.set("shard", member.shard);
    Some(labels.at_port(host, *port))
}

fn nerve(path: &str, data: &[u8]) -> Option<BTreeMap<String, String>> {
    let member: NerveMember = serde_json::from_slice(data).ok()?;
    if member.host.is_empty() {
        return None;
    }
    let mut labels = MetaLabels::new("nerve_");
    labels.set("path", path);
    labels.set("endpoint_host", &member.host);
    labels.set("endpoint_port", member.port);
    labels.set("endpoint_name", &member.name);
    Some(labels.at_port(&member.host, member.port))
}
