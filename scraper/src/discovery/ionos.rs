//! `ionos_sd_configs`: the servers of one IONOS data center.
//!
//! Source: IONOS Cloud API, `/datacenters/<id>/servers`; Prometheus documentation, `<ionos_sd_config>`.

use std::collections::BTreeMap;

use model::de::or_default;
use net::outbound::HttpClient;
use serde::Deserialize;

use super::TargetGroup;
use super::labels::MetaLabels;
use super::refresh::{PAGES_MAX, RefreshError, Source, fetch_json};
use crate::config::sd::IonosSdConfig;

const ASKED: &str = "GET /cloudapi/v6/datacenters/<id>/servers";
/// How many servers are on a page: the most that there can be with what is in them.
const PAGE_ITEMS: u64 = 1_000;
/// What a network interface without a name is called.
const UNNAMED: &str = "unnamed";
const SEPARATOR: &str = ",";

/// Asks for the servers of one data center.
pub(crate) struct IonosSource {
    client: HttpClient,
    port: u16,
    datacenter_id: String,
    /// The URL of the API.
    endpoint: String,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    id: String,
    #[serde(default, deserialize_with = "or_default")]
    items: Vec<Server>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Server {
    id: String,
    metadata: Metadata,
    properties: Properties,
    entities: Entities,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    #[serde(deserialize_with = "or_default")]
    state: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Properties {
    #[serde(deserialize_with = "or_default")]
    name: String,
    #[serde(deserialize_with = "or_default")]
    availability_zone: String,
    #[serde(deserialize_with = "or_default")]
    cpu_family: String,
    #[serde(deserialize_with = "or_default")]
    vm_state: String,
    #[serde(deserialize_with = "or_default")]
    r#type: String,
    boot_cdrom: Option<Reference>,
    boot_volume: Option<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    id: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entities {
    #[serde(deserialize_with = "or_default")]
    nics: Items<NicProperties>,
    #[serde(deserialize_with = "or_default")]
    volumes: Items<VolumeProperties>,
}

#[derive(Deserialize)]
struct Items<T> {
    #[serde(default = "Vec::new")]
    items: Vec<Item<T>>,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Items { items: Vec::new() }
    }
}

#[derive(Deserialize)]
struct Item<T> {
    properties: T,
}

#[derive(Deserialize)]
struct NicProperties {
    name: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    ips: Vec<String>,
}

#[derive(Deserialize)]
struct VolumeProperties {
    image: Option<String>,
}

impl IonosSource {
    pub(crate) fn new(config: &IonosSdConfig, client: HttpClient) -> Self {
        IonosSource {
            client,
            port: config.port,
            datacenter_id: config.datacenter_id.clone(),
            endpoint: "https://api.ionos.com".to_owned(),
        }
    }

    async fn page(&self, offset: u64) -> Result<Page, RefreshError> {
        let id = net::escape::component(&self.datacenter_id);
        let url = format!("{}/cloudapi/v6/datacenters/{id}/servers", self.endpoint);
        let request = self.client.get(&url).await;
        let request = request.map_err(|error| RefreshError::of(&error))?;
        let query = [("depth", 3), ("limit", PAGE_ITEMS), ("offset", offset)];
        fetch_json(request.query(&query), ASKED).await
    }

    /// Returns the labels of a server, if it has an address.
    fn target(&self, servers_id: &str, server: &Server) -> Option<BTreeMap<String, String>> {
        // Addresses of later interfaces come first.
        let mut ips = Vec::new();
        let mut by_nic = BTreeMap::<String, Vec<String>>::new();
        for Item { properties: nic } in &server.entities.nics.items {
            ips.splice(0..0, nic.ips.iter().cloned());
            let name = nic.name.clone().unwrap_or_else(|| UNNAMED.to_owned());
            let of_nic = by_nic.entry(name).or_default();
            of_nic.splice(0..0, nic.ips.iter().cloned());
        }
        let host = ips.first()?.clone();
        let properties = &server.properties;
        let mut labels = MetaLabels::new("ionos_server_");
        labels.set("availability_zone", &properties.availability_zone);
        labels.set("cpu_family", &properties.cpu_family);
        labels.set("servers_id", servers_id);
        labels.set("id", &server.id);
        labels.set_list("ip", &ips, SEPARATOR);
        labels.set("lifecycle", &server.metadata.state);
        labels.set("name", &properties.name);
        labels.set("state", &properties.vm_state);
        labels.set("type", &properties.r#type);
        for (name, ips) in by_nic {
            let name = format!("nic_ip_{}", super::sanitized(&name));
            let joined = ips.join(SEPARATOR);
            labels.set(&name, format!("{SEPARATOR}{joined}{SEPARATOR}"));
        }
        if let Some(cdrom) = &properties.boot_cdrom {
            labels.set("boot_cdrom_id", &cdrom.id);
        }
        if let Some(volume) = &properties.boot_volume {
            labels.set("boot_volume_id", &volume.id);
        }
        let first = server.entities.volumes.items.first();
        if let Some(image) = first.and_then(|volume| volume.properties.image.as_ref()) {
            labels.set("boot_image_id", image);
        }
        Some(labels.at(&host, self.port))
    }
}

impl Source for IonosSource {
    const NAME: &'static str = "ionos";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let mut targets = Vec::new();
        for page in 0..u64::from(PAGES_MAX) {
            let page = self.page(page * PAGE_ITEMS).await?;
            let servers = page.items.iter();
            targets.extend(servers.filter_map(|server| self.target(&page.id, server)));
            if (page.items.len() as u64) < PAGE_ITEMS {
                return Ok(vec![TargetGroup {
                    source: "ionos".to_owned(),
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

    use net::http_config::HttpConfig;

    use super::*;
    use crate::discovery::testing::{Answer, Api, printed};

    fn source(api: &Api) -> IonosSource {
        let config = IonosSdConfig {
            datacenter_id: "8feda53f".to_owned(),
            ..IonosSdConfig::default()
        };
        let client = HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap();
        IonosSource {
            endpoint: api.url(""),
            ..IonosSource::new(&config, client)
        }
    }

    const SERVERS: &str = r#"{"id": "8feda53f/servers", "type": "collection", "items": [
      {"id": "523415e6", "type": "server", "metadata": {"state": "AVAILABLE", "etag": "x"},
       "properties": {"name": "prometheus-2", "cores": 1, "ram": 1024, "availabilityZone": "ZONE_1", "vmState": "RUNNING",
        "bootCdrom": null, "bootVolume": {"id": "7d4dc55d", "type": "volume"}, "cpuFamily": "INTEL_SKYLAKE", "type": "ENTERPRISE"},
       "entities": {"cdroms": {"items": []},
        "volumes": {"items": [{"id": "7d4dc55d", "properties": {"name": "v", "image": "d6ad3576"}}]},
        "nics": {"items": [
          {"id": "n1", "properties": {"name": "uplink", "ips": ["85.215.238.118", "85.215.238.119"]}},
          {"id": "n2", "properties": {"name": null, "ips": ["10.7.222.3"]}}]}}},
      {"id": "no address", "properties": {"name": "x"}, "entities": {"nics": {"items": []}, "volumes": null}}]}"#;

    #[tokio::test]
    async fn servers_with_an_address() {
        let api = Api::start(|asked| {
            assert_eq!(asked.path, "/cloudapi/v6/datacenters/8feda53f/servers");
            assert_eq!(asked.query, "depth=3&limit=1000&offset=0");
            Answer::json(SERVERS)
        })
        .await;
        assert_eq!(
            printed(&source(&api).groups().await.unwrap()),
            [
                "10.7.222.3:80 ionos_server_availability_zone=\"ZONE_1\" ionos_server_boot_image_id=\"d6ad3576\" \
                 ionos_server_boot_volume_id=\"7d4dc55d\" ionos_server_cpu_family=\"INTEL_SKYLAKE\" ionos_server_id=\"523415e6\" \
                 ionos_server_ip=\",10.7.222.3,85.215.238.118,85.215.238.119,\" ionos_server_lifecycle=\"AVAILABLE\" \
                 ionos_server_name=\"prometheus-2\" ionos_server_nic_ip_unnamed=\",10.7.222.3,\" \
                 ionos_server_nic_ip_uplink=\",85.215.238.118,85.215.238.119,\" ionos_server_servers_id=\"8feda53f/servers\" \
                 ionos_server_state=\"RUNNING\" ionos_server_type=\"ENTERPRISE\""
            ]
        );
    }

    /// A page of so many servers.
    fn page(count: u64) -> Answer {
        let server = serde_json::json!({
            "id": "s", "entities": {"nics": {"items": [{"properties": {"ips": ["10.0.0.1"]}}]}},
        });
        let servers = vec![server; usize::try_from(count).unwrap()];
        Answer::json(serde_json::json!({ "id": "x", "items": servers }).to_string())
    }

    #[tokio::test]
    async fn a_full_page_has_another_after_it() {
        let api = Api::start(|asked| match asked.query.as_str() {
            "depth=3&limit=1000&offset=0" => page(PAGE_ITEMS),
            "depth=3&limit=1000&offset=1000" => page(1),
            _ => Answer::status(400),
        })
        .await;
        assert_eq!(source(&api).groups().await.unwrap()[0].targets.len(), 1_001);
    }

    #[tokio::test]
    async fn a_page_that_fails_fails_all() {
        let api = Api::start(|asked| match asked.query.ends_with("offset=0") {
            true => page(PAGE_ITEMS),
            false => Answer::status(401),
        })
        .await;
        assert_eq!(
            source(&api).groups().await.unwrap_err().to_string(),
            "GET /cloudapi/v6/datacenters/<id>/servers: server returned HTTP status 401 Unauthorized: status 401"
        );
    }
}
