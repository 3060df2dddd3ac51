//! `nomad_sd_configs`: the services that Nomad has registered.
//!
//! One request lists the services, then one for each lists its instances.
//!
//! Source: Nomad HTTP API, `/v1/services` and `/v1/service/<name>`; Prometheus documentation, `<nomad_sd_config>`.

use std::collections::BTreeMap;

use net::outbound::HttpClient;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::TargetGroup;
use super::labels::MetaLabels;
use super::refresh::{RefreshError, Source, fetch_json};
use crate::config::sd::NomadSdConfig;

/// How many services are asked for at once.
const AT_ONCE: usize = 8;

/// Asks one Nomad server.
pub(crate) struct NomadSource {
    client: HttpClient,
    config: NomadSdConfig,
}

/// The services of one namespace.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Namespace {
    #[serde(default, deserialize_with = "model::de::or_default")]
    services: Vec<Service>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    service_name: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Instance {
    #[serde(rename = "ID")]
    id: String,
    service_name: String,
    namespace: String,
    #[serde(rename = "NodeID")]
    node_id: String,
    datacenter: String,
    address: String,
    port: u16,
    #[serde(deserialize_with = "model::de::or_default")]
    tags: Vec<String>,
}

impl NomadSource {
    pub(crate) fn new(config: &NomadSdConfig, client: HttpClient) -> Self {
        NomadSource {
            client,
            config: config.clone(),
        }
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, RefreshError> {
        let config = &self.config;
        let server = config.server.trim_end_matches('/');
        let request = self.client.get(&format!("{server}{path}")).await;
        let mut query = Vec::new();
        for (name, value) in [("region", &config.region), ("namespace", &config.namespace)] {
            if !value.is_empty() {
                query.push((name, value.as_str()));
            }
        }
        if config.allow_stale {
            query.push(("stale", ""));
        }
        let request = request.map_err(|error| RefreshError::of(&error))?;
        fetch_json(request.query(&query), &format!("GET {path}")).await
    }

    async fn instances(&self, name: &str) -> Result<Vec<Instance>, RefreshError> {
        let name = net::escape::component(name);
        self.ask(&format!("/v1/service/{name}")).await
    }

    fn target(&self, instance: &Instance) -> BTreeMap<String, String> {
        let mut labels = MetaLabels::new("nomad_");
        labels.set("address", &instance.address);
        labels.set("dc", &instance.datacenter);
        labels.set("node_id", &instance.node_id);
        labels.set("namespace", &instance.namespace);
        labels.set("service", &instance.service_name);
        labels.set("service_address", &instance.address);
        labels.set("service_id", &instance.id);
        labels.set("service_port", instance.port);
        labels.set_list("tags", &instance.tags, &self.config.tag_separator);
        labels.at(&instance.address, instance.port)
    }
}

impl Source for NomadSource {
    const NAME: &'static str = "nomad";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let namespaces: Vec<Namespace> = self.ask("/v1/services").await?;
        let services: Vec<Service> = namespaces.into_iter().flat_map(|n| n.services).collect();
        let mut targets = Vec::new();
        for services in services.chunks(AT_ONCE) {
            let asked = services.iter().map(|s| self.instances(&s.service_name));
            for instances in futures_util::future::join_all(asked).await {
                targets.extend(instances?.iter().map(|instance| self.target(instance)));
            }
        }
        Ok(vec![TargetGroup {
            source: "Nomad".to_owned(),
            targets,
            ..TargetGroup::default()
        }])
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::discovery::testing::{Answer, Api, printed};

    fn source(api: &Api) -> NomadSource {
        let config = NomadSdConfig {
            server: api.url("/"),
            ..NomadSdConfig::default()
        };
        let client = HttpClient::new(config.http_config(), Path::new(""), None).unwrap();
        NomadSource::new(&config, client)
    }

    #[tokio::test]
    async fn instances_of_every_service() {
        let api = Api::start(|asked| match asked.path.as_str() {
            "/v1/services" => Answer::json(
                r#"[{"Namespace": "default", "Services": [{"ServiceName": "a b", "Tags": ["x", "y"]},
                    {"ServiceName": "gone", "Tags": null}]}]"#,
            ),
            "/v1/service/a%20b" => Answer::json(
                r#"[{"Address": "10.0.0.1", "AllocID": "al", "CreateIndex": 6, "Datacenter": "dc1", "ID": "_nomad-task-1",
                     "JobID": "example", "Namespace": "default", "NodeID": "n1", "Port": 29702, "ServiceName": "a b",
                     "Tags": ["x", "y"]},
                    {"Address": "fd00::1", "Datacenter": "dc2", "ID": "i2", "Namespace": "default", "NodeID": "n2",
                     "Port": 81, "ServiceName": "a b", "Tags": null}]"#,
            ),
            "/v1/service/gone" => Answer::json("[]"),
            _ => Answer::status(404),
        })
        .await;
        let groups = source(&api).groups().await.unwrap();
        assert_eq!(
            printed(&groups),
            [
                "10.0.0.1:29702 nomad_address=\"10.0.0.1\" nomad_dc=\"dc1\" nomad_namespace=\"default\" nomad_node_id=\"n1\" \
                 nomad_service=\"a b\" nomad_service_address=\"10.0.0.1\" nomad_service_id=\"_nomad-task-1\" \
                 nomad_service_port=\"29702\" nomad_tags=\",x,y,\"",
                "[fd00::1]:81 nomad_address=\"fd00::1\" nomad_dc=\"dc2\" nomad_namespace=\"default\" nomad_node_id=\"n2\" \
                 nomad_service=\"a b\" nomad_service_address=\"fd00::1\" nomad_service_id=\"i2\" nomad_service_port=\"81\"",
            ]
        );
        let asked = api.asked();
        assert!(
            asked
                .iter()
                .all(|a| a.query == "region=global&namespace=default&stale=")
        );
    }

    #[tokio::test]
    async fn one_service_that_fails_fails_all() {
        let api = Api::start(|asked| match asked.path.as_str() {
            "/v1/services" => Answer::json(
                r#"[{"Namespace": "default", "Services": [{"ServiceName": "a", "Tags": []}]}]"#,
            ),
            _ => Answer::status(500),
        })
        .await;
        let error = source(&api).groups().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "GET /v1/service/a: server returned HTTP status 500 Internal Server Error: status 500"
        );
    }
}
