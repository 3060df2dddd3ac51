//! `vultr_sd_configs`: the instances of a Vultr account.
//!
//! Source: Vultr API, `/v2/instances`; Prometheus documentation, `<vultr_sd_config>`.

use std::collections::BTreeMap;

use net::outbound::HttpClient;
use serde::Deserialize;

use super::TargetGroup;
use super::labels::MetaLabels;
use super::refresh::{RefreshError, Source, fetch_json};
use crate::config::sd::VultrSdConfig;

/// How many pages of the list are asked for; 100 items are on each.
const PAGES_MAX: u32 = 10_000;

/// Asks Vultr.
pub(crate) struct VultrSource {
    client: HttpClient,
    port: u16,
    /// The URL of the API.
    endpoint: String,
}

#[derive(Deserialize)]
struct Page {
    instances: Vec<Instance>,
    #[serde(default)]
    meta: Meta,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Meta {
    links: Links,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Links {
    /// What the next page is asked for with.
    #[serde(deserialize_with = "model::de::or_default")]
    next: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Instance {
    id: String,
    label: String,
    os: String,
    os_id: i64,
    region: String,
    plan: String,
    vcpu_count: i64,
    ram: i64,
    allowed_bandwidth: i64,
    disk: i64,
    main_ip: String,
    v6_main_ip: String,
    internal_ip: String,
    hostname: String,
    server_status: String,
    #[serde(deserialize_with = "model::de::or_default")]
    features: Vec<String>,
    #[serde(deserialize_with = "model::de::or_default")]
    tags: Vec<String>,
}

impl VultrSource {
    pub(crate) fn new(config: &VultrSdConfig, client: HttpClient) -> Self {
        VultrSource {
            client,
            port: config.port,
            endpoint: "https://api.vultr.com".to_owned(),
        }
    }

    async fn page(&self, cursor: &str) -> Result<Page, RefreshError> {
        let request = self
            .client
            .get(&format!("{}/v2/instances", self.endpoint))
            .await;
        let mut query = vec![("per_page", "100")];
        if !cursor.is_empty() {
            query.push(("cursor", cursor));
        }
        let request = request.map_err(|error| RefreshError::of(&error))?;
        fetch_json(request.query(&query), "GET /v2/instances").await
    }

    fn target(&self, instance: &Instance) -> BTreeMap<String, String> {
        let mut labels = MetaLabels::new("vultr_instance_");
        labels.set("id", &instance.id);
        labels.set("label", &instance.label);
        labels.set("os", &instance.os);
        labels.set("os_id", instance.os_id);
        labels.set("region", &instance.region);
        labels.set("plan", &instance.plan);
        labels.set("vcpu_count", instance.vcpu_count);
        labels.set("ram_mb", instance.ram);
        labels.set("allowed_bandwidth_gb", instance.allowed_bandwidth);
        labels.set("disk_gb", instance.disk);
        labels.set("main_ip", &instance.main_ip);
        labels.set("main_ipv6", &instance.v6_main_ip);
        labels.set("internal_ip", &instance.internal_ip);
        labels.set("hostname", &instance.hostname);
        labels.set("server_status", &instance.server_status);
        labels.set_list("features", &instance.features, ",");
        labels.set_list("tags", &instance.tags, ",");
        labels.at(&instance.main_ip, self.port)
    }
}

impl Source for VultrSource {
    const NAME: &'static str = "vultr";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let mut targets = Vec::new();
        let mut cursor = String::new();
        for _ in 0..PAGES_MAX {
            let page = self.page(&cursor).await?;
            targets.extend(page.instances.iter().map(|instance| self.target(instance)));
            cursor = page.meta.links.next;
            if cursor.is_empty() {
                return Ok(vec![TargetGroup {
                    source: "Vultr".to_owned(),
                    targets,
                    ..TargetGroup::default()
                }]);
            }
        }
        Err(RefreshError(format!(
            "GET /v2/instances: the list has more than {PAGES_MAX} pages"
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::discovery::testing::{Answer, Api, printed};

    fn source(api: &Api) -> VultrSource {
        let config = VultrSdConfig::default();
        let client = HttpClient::new(config.http_config(), Path::new(""), None).unwrap();
        VultrSource {
            endpoint: api.url(""),
            ..VultrSource::new(&config, client)
        }
    }

    const FIRST_PAGE: &str = r#"{"instances": [
      {"id": "dbdbd38c", "os": "Debian 12", "ram": 4096, "disk": 25, "main_ip": "198.51.100.1", "vcpu_count": 2,
       "region": "fra", "plan": "vhf-1c-1gb", "date_created": "2021-01-05T20:11:36+00:00", "status": "active",
       "allowed_bandwidth": 1000, "power_status": "running", "server_status": "ok", "v6_main_ip": "2001:db8::1",
       "label": "web 1", "internal_ip": "10.1.0.3", "hostname": "web1", "os_id": 2136, "app_id": 0,
       "features": ["ipv6"], "tags": ["a", "b"]}],
     "meta": {"total": 2, "links": {"next": "bmV4dA==", "prev": ""}}}"#;

    #[tokio::test]
    async fn instances_on_two_pages() {
        let api = Api::start(|asked| match asked.query.as_str() {
            "per_page=100" => Answer::json(FIRST_PAGE),
            "per_page=100&cursor=bmV4dA%3D%3D" => Answer::json(
                r#"{"instances": [{"id": "2", "main_ip": "198.51.100.2", "features": [], "tags": []}],
                    "meta": {"total": 2, "links": {"next": "", "prev": "x"}}}"#,
            ),
            _ => Answer::status(400),
        })
        .await;
        let lines = printed(&source(&api).groups().await.unwrap());
        assert_eq!(
            lines[0],
            "198.51.100.1:80 vultr_instance_allowed_bandwidth_gb=\"1000\" vultr_instance_disk_gb=\"25\" \
             vultr_instance_features=\",ipv6,\" vultr_instance_hostname=\"web1\" vultr_instance_id=\"dbdbd38c\" \
             vultr_instance_internal_ip=\"10.1.0.3\" vultr_instance_label=\"web 1\" vultr_instance_main_ip=\"198.51.100.1\" \
             vultr_instance_main_ipv6=\"2001:db8::1\" vultr_instance_os=\"Debian 12\" vultr_instance_os_id=\"2136\" \
             vultr_instance_plan=\"vhf-1c-1gb\" vultr_instance_ram_mb=\"4096\" vultr_instance_region=\"fra\" \
             vultr_instance_server_status=\"ok\" vultr_instance_tags=\",a,b,\" vultr_instance_vcpu_count=\"2\""
        );
        assert_eq!(lines.len(), 2);
        assert!(lines[1].starts_with("198.51.100.2:80 ") && !lines[1].contains("tags"));
        assert!(
            api.asked()
                .iter()
                .all(|asked| asked.path == "/v2/instances")
        );
    }

    #[tokio::test]
    async fn errors_name_the_request() {
        let api = Api::start(|_| Answer::status(401)).await;
        assert_eq!(
            source(&api).groups().await.unwrap_err().to_string(),
            "GET /v2/instances: server returned HTTP status 401 Unauthorized: status 401"
        );
    }
}
