//! `triton_sd_configs`: the containers or the compute nodes that a Container Monitor of Triton knows.
//!
//! Source: triton-cmon, `/v1/discover` and `/v1/gz/discover`; Prometheus documentation, `<triton_sd_config>`.

use std::collections::BTreeMap;

use net::outbound::HttpClient;
use serde::Deserialize;

use super::TargetGroup;
use super::labels::MetaLabels;
use super::refresh::{RefreshError, Source, fetch_json};
use crate::config::sd::{TritonRole, TritonSdConfig};

/// Asks one Container Monitor.
pub(crate) struct TritonSource {
    client: HttpClient,
    config: TritonSdConfig,
    /// The URL of the monitor.
    base: String,
}

/// The list of the role that was asked for; the other is not there.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer {
    #[serde(deserialize_with = "model::de::or_default")]
    containers: Vec<Container>,
    #[serde(deserialize_with = "model::de::or_default")]
    cns: Vec<ComputeNode>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Container {
    #[serde(deserialize_with = "model::de::or_default")]
    groups: Vec<String>,
    server_uuid: String,
    vm_alias: String,
    vm_brand: String,
    vm_image_uuid: String,
    vm_uuid: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ComputeNode {
    server_uuid: String,
    server_hostname: String,
}

impl TritonSource {
    pub(crate) fn new(config: &TritonSdConfig, client: HttpClient) -> Self {
        TritonSource {
            client,
            base: format!("https://{}:{}", config.endpoint, config.port),
            config: config.clone(),
        }
    }

    /// Returns the labels of a target with the id `id`.
    fn at(&self, labels: MetaLabels, id: &str) -> BTreeMap<String, String> {
        let TritonSdConfig {
            dns_suffix, port, ..
        } = &self.config;
        labels.at_address(format!("{id}.{dns_suffix}:{port}"))
    }

    fn container(&self, container: &Container) -> BTreeMap<String, String> {
        let mut labels = MetaLabels::new("triton_");
        labels.set("machine_id", &container.vm_uuid);
        labels.set("machine_alias", &container.vm_alias);
        labels.set("machine_brand", &container.vm_brand);
        labels.set("machine_image", &container.vm_image_uuid);
        labels.set("server_id", &container.server_uuid);
        labels.set_list("groups", &container.groups, ",");
        self.at(labels, &container.vm_uuid)
    }

    fn compute_node(&self, node: &ComputeNode) -> BTreeMap<String, String> {
        let mut labels = MetaLabels::new("triton_");
        labels.set("machine_id", &node.server_uuid);
        labels.set("machine_alias", &node.server_hostname);
        self.at(labels, &node.server_uuid)
    }
}

impl Source for TritonSource {
    const NAME: &'static str = "triton";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let path = match self.config.role {
            TritonRole::Container => "discover",
            TritonRole::ComputeNode => "gz/discover",
        };
        let path = format!("/v{}/{path}", self.config.version);
        let url = format!("{}{path}", self.base);
        let request = self.client.get(&url).await;
        let mut request = request.map_err(|error| RefreshError::of(&error))?;
        if !self.config.groups.is_empty() {
            request = request.query(&[("groups", self.config.groups.join(","))]);
        }
        let answer: Answer = fetch_json(request, &format!("GET {path}")).await?;
        let targets = match self.config.role {
            TritonRole::Container => answer
                .containers
                .iter()
                .map(|c| self.container(c))
                .collect(),
            TritonRole::ComputeNode => answer.cns.iter().map(|n| self.compute_node(n)).collect(),
        };
        Ok(vec![TargetGroup {
            source: url,
            targets,
            ..TargetGroup::default()
        }])
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use net::http_config::HttpConfig;

    use super::*;
    use crate::discovery::testing::{Answer as Reply, Api, printed};

    fn source(api: &Api, role: TritonRole, groups: &[&str]) -> TritonSource {
        let config = TritonSdConfig {
            role,
            account: "a".to_owned(),
            dns_suffix: "triton.example.com".to_owned(),
            endpoint: "cmon".to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..TritonSdConfig::default()
        };
        let client = HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap();
        let source = TritonSource::new(&config, client);
        assert_eq!(source.base, "https://cmon:9163");
        TritonSource {
            base: api.url(""),
            ..source
        }
    }

    #[tokio::test]
    async fn containers() {
        let api = Api::start(|asked| match (asked.path.as_str(), asked.query.as_str()) {
            ("/v1/discover", "groups=foo%2Cbar") => Reply::json(
                r#"{"containers": [
                    {"groups": ["foo", "bar"], "server_uuid": "44454c4c", "vm_alias": "server01", "vm_brand": "lx",
                     "vm_image_uuid": "7b27a514", "vm_uuid": "ad466fbf"},
                    {"server_uuid": "a5894692", "vm_alias": "server02", "vm_brand": "kvm", "vm_image_uuid": "a5894692",
                     "vm_uuid": "7b27a514"}]}"#,
            ),
            _ => Reply::status(404),
        })
        .await;
        let mut source = source(&api, TritonRole::Container, &["foo", "bar"]);
        assert_eq!(
            printed(&source.groups().await.unwrap()),
            [
                "ad466fbf.triton.example.com:9163 triton_groups=\",foo,bar,\" triton_machine_alias=\"server01\" \
                 triton_machine_brand=\"lx\" triton_machine_id=\"ad466fbf\" triton_machine_image=\"7b27a514\" \
                 triton_server_id=\"44454c4c\"",
                "7b27a514.triton.example.com:9163 triton_machine_alias=\"server02\" triton_machine_brand=\"kvm\" \
                 triton_machine_id=\"7b27a514\" triton_machine_image=\"a5894692\" triton_server_id=\"a5894692\"",
            ]
        );
    }

    #[tokio::test]
    async fn compute_nodes() {
        let api = Api::start(|asked| match (asked.path.as_str(), asked.query.as_str()) {
            ("/v1/gz/discover", "") => Reply::json(
                r#"{"cns": [{"server_uuid": "44454c4c", "server_hostname": "server01"}]}"#,
            ),
            _ => Reply::status(404),
        })
        .await;
        let mut source = source(&api, TritonRole::ComputeNode, &[]);
        assert_eq!(
            printed(&source.groups().await.unwrap()),
            [
                "44454c4c.triton.example.com:9163 triton_machine_alias=\"server01\" triton_machine_id=\"44454c4c\""
            ]
        );
    }

    #[tokio::test]
    async fn errors_name_the_request() {
        let api = Api::start(|_| Reply::status(503)).await;
        assert_eq!(
            source(&api, TritonRole::Container, &[])
                .groups()
                .await
                .unwrap_err()
                .to_string(),
            "GET /v1/discover: server returned HTTP status 503 Service Unavailable: status 503"
        );
    }
}
