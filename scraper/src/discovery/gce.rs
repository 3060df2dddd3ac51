//! `gce_sd_configs`: instances of Google Compute Engine.
//!
//! # Not here
//!
//! Who we are there: [`net::google`].
//!
//! Source: Compute Engine API, `instances.list`; Prometheus documentation, `<gce_sd_config>`.

use std::collections::BTreeMap;

use net::google::GoogleTokens;
use net::outbound::HttpClient;
use serde::Deserialize;

use super::TargetGroup;
use super::labels::MetaLabels;
use super::refresh::{PAGES_MAX, RefreshError, Source, fetch_json};
use crate::config::sd::GceSdConfig;

/// What tokens are good for.
pub(crate) const SCOPE: &str = "https://www.googleapis.com/auth/compute.readonly";
const ASKED: &str = "compute instances.list";
/// The kind of addresses that are an instance's own outside.
const PUBLIC: &str = "ONE_TO_ONE_NAT";

/// Asks for the instances of one zone.
pub(crate) struct GceSource {
    client: HttpClient,
    tokens: GoogleTokens,
    config: GceSdConfig,
    /// The URL of the API.
    endpoint: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default, deserialize_with = "model::de::or_default")]
    items: Vec<Instance>,
    #[serde(default, deserialize_with = "model::de::or_default")]
    next_page_token: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Instance {
    /// A number, as text.
    id: String,
    name: String,
    status: String,
    zone: String,
    machine_type: String,
    network_interfaces: Vec<Interface>,
    tags: Tags,
    labels: BTreeMap<String, String>,
    metadata: Metadata,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Interface {
    name: String,
    network: String,
    subnetwork: String,
    #[serde(rename = "networkIP")]
    network_ip: String,
    access_configs: Vec<AccessConfig>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AccessConfig {
    r#type: String,
    #[serde(rename = "natIP")]
    nat_ip: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Tags {
    items: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    key: String,
    value: Option<String>,
}

impl GceSource {
    pub(crate) fn new(config: &GceSdConfig, tokens: GoogleTokens, client: HttpClient) -> Self {
        GceSource {
            client,
            tokens,
            config: config.clone(),
            endpoint: "https://compute.googleapis.com".to_owned(),
        }
    }

    async fn page(&self, page_token: &str) -> Result<Page, RefreshError> {
        let token = self.tokens.token(&self.client).await;
        let token = token.map_err(|error| RefreshError::of(&error))?;
        let GceSdConfig {
            project,
            zone,
            filter,
            ..
        } = &self.config;
        let (project, zone) = (
            net::escape::component(project),
            net::escape::component(zone),
        );
        let url = format!(
            "{}/compute/v1/projects/{project}/zones/{zone}/instances",
            self.endpoint
        );
        let request = self.client.get(&url).await;
        let request = request.map_err(|error| RefreshError::of(&error))?;
        let request = net::bearer::authorized(request, &token);
        let mut query = Vec::new();
        for (name, value) in [("filter", filter.as_str()), ("pageToken", page_token)] {
            if !value.is_empty() {
                query.push((name, value));
            }
        }
        let request = request.map_err(|error| RefreshError::of(&error))?;
        let page = fetch_json(request.query(&query), ASKED).await;
        if page.is_err() {
            // It may be for the token, which costs little to ask for again.
            self.tokens.forget().await;
        }
        page
    }

    /// Returns the labels of an instance, if it has a network.
    fn target(&self, instance: &Instance) -> Option<BTreeMap<String, String>> {
        let first = instance.network_interfaces.first()?;
        let mut labels = MetaLabels::new("gce_");
        labels.set("project", &self.config.project);
        labels.set("zone", &instance.zone);
        labels.set("instance_id", &instance.id);
        labels.set("instance_name", &instance.name);
        labels.set("instance_status", &instance.status);
        labels.set("machine_type", &instance.machine_type);
        labels.set("network", &first.network);
        labels.set("subnetwork", &first.subnetwork);
        labels.set("private_ip", &first.network_ip);
        let interfaces = instance.network_interfaces.iter();
        let addresses = interfaces.map(|i| (i.name.clone(), i.network_ip.clone()));
        let addresses = addresses.filter(|(_, ip)| !ip.is_empty());
        labels.set_all("interface_ipv4_", &addresses.collect());
        labels.set_list("tags", &instance.tags.items, &self.config.tag_separator);
        let metadata = instance.metadata.items.iter();
        let metadata = metadata.filter_map(|item| Some((item.key.clone(), item.value.clone()?)));
        labels.set_all("metadata_", &metadata.collect());
        labels.set_all("label_", &instance.labels);
        let access = first.access_configs.first();
        if let Some(access) = access.filter(|access| access.r#type == PUBLIC) {
            labels.set("public_ip", &access.nat_ip);
        }
        Some(labels.at(&first.network_ip, self.config.port))
    }
}

impl Source for GceSource {
    const NAME: &'static str = "gce";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let mut targets = Vec::new();
        let mut token = String::new();
        for _ in 0..PAGES_MAX {
            let page = self.page(&token).await?;
            targets.extend(page.items.iter().filter_map(|i| self.target(i)));
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(vec![TargetGroup {
                    source: format!("GCE_{}_{}", self.config.project, self.config.zone),
                    targets,
                    ..TargetGroup::default()
                }]);
            }
        }
        Err(RefreshError::too_many_pages(ASKED))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use net::environment::Environment;
    use net::http_config::HttpConfig;

    use super::*;
    use crate::discovery::testing::{Answer, Api, Asked, printed};

    /// A source whose metadata server and API are `api`.
    fn source(api: &Api, filter: &str) -> GceSource {
        let config = GceSdConfig {
            project: "my-project".to_owned(),
            zone: "europe-west1-b".to_owned(),
            filter: filter.to_owned(),
            ..GceSdConfig::default()
        };
        let host = api.address.to_string();
        let environment = Environment::of(&[("GCE_METADATA_HOST", &host)]);
        let client = HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap();
        GceSource {
            endpoint: api.url(""),
            ..GceSource::new(&config, GoogleTokens::new(SCOPE, environment), client)
        }
    }

    const FIRST_PAGE: &str = r#"{"kind": "compute#instanceList", "id": "projects/my-project/zones/europe-west1-b/instances",
     "items": [
      {"kind": "compute#instance", "id": "5154843372341234", "creationTimestamp": "2024-01-01T00:00:00.000-08:00", "name": "web-1",
       "tags": {"items": ["http", "db"], "fingerprint": "x"}, "status": "RUNNING",
       "machineType": "https://www.googleapis.com/compute/v1/projects/my-project/zones/europe-west1-b/machineTypes/e2-small",
       "zone": "https://www.googleapis.com/compute/v1/projects/my-project/zones/europe-west1-b",
       "networkInterfaces": [
        {"network": "net", "subnetwork": "sub", "networkIP": "10.132.0.2", "name": "nic0",
         "accessConfigs": [{"kind": "compute#accessConfig", "type": "ONE_TO_ONE_NAT", "name": "External NAT", "natIP": "203.0.113.1"}]},
        {"network": "net2", "networkIP": "10.0.0.2", "name": "nic1"}],
       "metadata": {"fingerprint": "y", "items": [{"key": "gke-cluster", "value": "c"}, {"key": "none"}]},
       "labels": {"env": "prod"}},
      {"id": "2", "name": "no network"}],
     "nextPageToken": "a+b"}"#;

    fn answer(asked: &Asked) -> Answer {
        if asked.path.starts_with("/computeMetadata/") {
            return Answer::json(
                r#"{"access_token": "t0ken", "expires_in": 3599, "token_type": "Bearer"}"#,
            );
        }
        let is_known = asked.headers["authorization"] == "Bearer t0ken";
        match asked.query.as_str() {
            _ if !is_known
                || asked.path
                    != "/compute/v1/projects/my-project/zones/europe-west1-b/instances" =>
            {
                Answer::status(404)
            }
            "filter=labels.env%3Dprod" => Answer::json(FIRST_PAGE),
            "filter=labels.env%3Dprod&pageToken=a%2Bb" => Answer::json(
                r#"{"items": [{"id": "3", "name": "b", "networkInterfaces": [{"networkIP": "10.132.0.3", "name": "nic0",
                    "accessConfigs": [{"type": "DIRECT_IPV6"}]}]}]}"#,
            ),
            "" => Answer::json(r#"{"kind": "compute#instanceList"}"#),
            _ => Answer::status(400),
        }
    }

    #[tokio::test]
    async fn instances_on_two_pages() {
        let api = Api::start(answer).await;
        let mut source = source(&api, "labels.env=prod");
        let groups = source.groups().await.unwrap();
        assert_eq!(groups[0].source, "GCE_my-project_europe-west1-b");
        let lines = printed(&groups);
        assert_eq!(
            lines[0],
            "10.132.0.2:80 gce_instance_id=\"5154843372341234\" gce_instance_name=\"web-1\" gce_instance_status=\"RUNNING\" \
             gce_interface_ipv4_nic0=\"10.132.0.2\" gce_interface_ipv4_nic1=\"10.0.0.2\" gce_label_env=\"prod\" \
             gce_machine_type=\"https://www.googleapis.com/compute/v1/projects/my-project/zones/europe-west1-b/machineTypes/e2-small\" \
             gce_metadata_gke_cluster=\"c\" gce_network=\"net\" gce_private_ip=\"10.132.0.2\" gce_project=\"my-project\" \
             gce_public_ip=\"203.0.113.1\" gce_subnetwork=\"sub\" gce_tags=\",http,db,\" \
             gce_zone=\"https://www.googleapis.com/compute/v1/projects/my-project/zones/europe-west1-b\""
        );
        assert_eq!(lines.len(), 2);
        assert!(lines[1].starts_with("10.132.0.3:80 ") && !lines[1].contains("public_ip"));
        source.groups().await.unwrap();
        let tokens = api
            .asked()
            .into_iter()
            .filter(|asked| asked.path.contains("token"));
        assert_eq!(tokens.count(), 1);
    }

    #[tokio::test]
    async fn an_empty_zone_has_no_targets() {
        let api = Api::start(answer).await;
        let groups = source(&api, "").groups().await.unwrap();
        assert!(groups[0].targets.is_empty());
    }

    #[tokio::test]
    async fn a_page_that_fails_fails_all_and_the_token_is_asked_for_again() {
        let api = Api::start(|asked| match asked.query.contains("pageToken") {
            true => Answer::Whole(
                401,
                "application/json",
                "{\n  \"error\": {\n    \"code\": 401,\n    \"message\": \"expired\"\n  }\n}\n"
                    .to_owned(),
            ),
            false => answer(asked),
        })
        .await;
        let mut source = source(&api, "labels.env=prod");
        for _ in 0..2 {
            assert_eq!(
                source.groups().await.unwrap_err().to_string(),
                "compute instances.list: server returned HTTP status 401 Unauthorized: \
                 { \"error\": { \"code\": 401, \"message\": \"expired\" } }"
            );
        }
        let tokens = api
            .asked()
            .into_iter()
            .filter(|asked| asked.path.contains("token"));
        assert_eq!(tokens.count(), 2);
    }
}
