//! `linode_sd_configs`: the instances of a Linode account.
//!
//! Everything is asked for each time. Prometheus first asks whether there were events, and reads the lists anew at the
//! latest after ten times without one; what it finds is the same.
//!
//! Source: Linode API v4, `/linode/instances`, `/networking/ips` and `/networking/ipv6/ranges`; Prometheus
//! documentation, `<linode_sd_config>`.

use std::collections::{BTreeMap, HashMap};

use net::outbound::HttpClient;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::TargetGroup;
use super::labels::MetaLabels;
use super::refresh::{RefreshError, Source, fetch_json};
use crate::config::sd::LinodeSdConfig;

/// How many pages of one list are asked for; 500 items are on each.
const PAGES_MAX: u32 = 10_000;

/// Asks Linode.
pub(crate) struct LinodeSource {
    client: HttpClient,
    config: LinodeSdConfig,
    /// The URL of the API.
    endpoint: String,
}

/// A page of a list.
#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    /// How many pages there are.
    pages: u32,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Instance {
    id: i64,
    label: String,
    #[serde(deserialize_with = "model::de::or_default")]
    image: String,
    #[serde(deserialize_with = "model::de::or_default")]
    ipv4: Vec<String>,
    /// With the length of its prefix.
    #[serde(deserialize_with = "model::de::or_default")]
    ipv6: String,
    region: String,
    #[serde(rename = "type", deserialize_with = "model::de::or_default")]
    kind: String,
    status: String,
    #[serde(deserialize_with = "model::de::or_default")]
    tags: Vec<String>,
    #[serde(deserialize_with = "model::de::or_default")]
    group: String,
    hypervisor: String,
    #[serde(deserialize_with = "model::de::or_default")]
    backups: Backups,
    specs: Specs,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Backups {
    enabled: bool,
}

/// In MiB, as the labels take them.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Specs {
    disk: u32,
    memory: u32,
    transfer: u32,
    vcpus: u32,
    gpus: u32,
}

#[derive(Deserialize)]
struct Address {
    address: String,
    #[serde(default)]
    public: bool,
    #[serde(default, deserialize_with = "model::de::or_default")]
    rdns: String,
}

impl Address {
    fn rdns(&self) -> &str {
        if self.rdns == "null" { "" } else { &self.rdns }
    }
}

/// A range of IPv6 addresses that goes to an instance.
#[derive(Deserialize)]
struct Range {
    range: String,
    prefix: u8,
    #[serde(default, deserialize_with = "model::de::or_default")]
    route_target: String,
}

/// What is known of addresses, by address.
struct Addresses {
    known: HashMap<String, Address>,
    ranges: HashMap<String, Vec<String>>,
}

impl LinodeSource {
    pub(crate) fn new(config: &LinodeSdConfig, client: HttpClient) -> Self {
        LinodeSource {
            client,
            config: config.clone(),
            endpoint: "https://api.linode.com/v4".to_owned(),
        }
    }

    /// Returns what is on all pages of the list at `path`.
    async fn pages<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, RefreshError> {
        let mut all = Vec::new();
        for number in 1..=PAGES_MAX {
            let request = self.client.get(&format!("{}{path}", self.endpoint)).await;
            let mut request = request
                .map_err(|error| RefreshError::of(&error))?
                .query(&[("page", number), ("page_size", 500)]);
            if !self.config.region.is_empty() {
                let filter = serde_json::json!({ "region": self.config.region });
                request = request.header("X-Filter", filter.to_string());
            }
            let page: Page<T> = fetch_json(request, &format!("GET {path}")).await?;
            all.extend(page.data);
            if page.pages <= number {
                return Ok(all);
            }
        }
        Err(RefreshError(format!(
            "GET {path}: the list has more than {PAGES_MAX} pages"
        )))
    }

    async fn addresses(&self) -> Result<Addresses, RefreshError> {
        let known: Vec<Address> = self.pages("/networking/ips").await?;
        let known = known.into_iter().map(|a| (a.address.clone(), a)).collect();
        let mut ranges = HashMap::<String, Vec<String>>::new();
        for range in self.pages::<Range>("/networking/ipv6/ranges").await? {
            let text = format!("{}/{}", range.range, range.prefix);
            ranges.entry(range.route_target).or_default().push(text);
        }
        Ok(Addresses { known, ranges })
    }

    fn target(&self, instance: &Instance, addresses: &Addresses) -> BTreeMap<String, String> {
        let mut labels = MetaLabels::new("linode_");
        let separator = &self.config.tag_separator;
        labels.set("instance_id", instance.id);
        labels.set("instance_label", &instance.label);
        labels.set("image", &instance.image);
        labels.set("region", &instance.region);
        labels.set("type", &instance.kind);
        labels.set("status", &instance.status);
        labels.set("group", &instance.group);
        labels.set("hypervisor", &instance.hypervisor);
        let is_backed_up = instance.backups.enabled;
        labels.set("backups", if is_backed_up { "enabled" } else { "disabled" });
        let specs = &instance.specs;
        labels.set("gpus", specs.gpus);
        labels.set("specs_disk_bytes", u64::from(specs.disk) << 20);
        labels.set("specs_memory_bytes", u64::from(specs.memory) << 20);
        labels.set("specs_vcpus", specs.vcpus);
        labels.set("specs_transfer_bytes", u64::from(specs.transfer) << 20);
        labels.set_list("tags", &instance.tags, separator);
        let address = set_addresses(&mut labels, instance, addresses, separator);
        labels.at(&address, self.config.port)
    }
}

/// Sets the labels that say where an instance is, and returns its public IPv4 address.
fn set_addresses(
    labels: &mut MetaLabels,
    instance: &Instance,
    addresses: &Addresses,
    separator: &str,
) -> String {
    let (mut public, mut private): (Option<&Address>, Option<&Address>) = (None, None);
    let mut extra = Vec::new();
    for ip in &instance.ipv4 {
        match addresses.known.get(ip) {
            Some(address) if address.public && public.is_none() => public = Some(address),
            Some(address) if !address.public && private.is_none() => private = Some(address),
            Some(address) => extra.push(address.address.clone()),
            None => (),
        }
    }
    let ipv6 = instance.ipv6.split('/').next().unwrap_or_default();
    let public_ipv6 = addresses.known.get(ipv6);
    for (name, address) in [
        ("public_ipv4", public),
        ("private_ipv4", private),
        ("public_ipv6", public_ipv6),
    ] {
        labels.set(name, address.map_or("", |address| &address.address));
        let rdns = address.map_or("", Address::rdns);
        labels.set(&format!("{name}_rdns"), rdns);
    }
    labels.set_list("extra_ips", &extra, separator);
    if let Some(ranges) = addresses.ranges.get(ipv6).filter(|_| !ipv6.is_empty()) {
        labels.set_list("ipv6_ranges", ranges, separator);
    }
    public
        .map(|address| address.address.clone())
        .unwrap_or_default()
}

impl Source for LinodeSource {
    const NAME: &'static str = "linode";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let instances: Vec<Instance> = self.pages("/linode/instances").await?;
        let addresses = self.addresses().await?;
        let instances = instances.iter().filter(|i| !i.ipv4.is_empty());
        let targets = instances.map(|instance| self.target(instance, &addresses));
        Ok(vec![TargetGroup {
            source: "Linode".to_owned(),
            targets: targets.collect(),
            ..TargetGroup::default()
        }])
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::discovery::testing::{Answer, Api, printed};

    fn source(api: &Api, region: &str) -> LinodeSource {
        let config = LinodeSdConfig {
            region: region.to_owned(),
            ..LinodeSdConfig::default()
        };
        let client = HttpClient::new(config.http_config(), Path::new(""), None).unwrap();
        LinodeSource {
            endpoint: api.url("/v4"),
            ..LinodeSource::new(&config, client)
        }
    }

    const FIRST_INSTANCES: &str = r#"{"data": [
      {"id": 26838044, "label": "prometheus-linode-sd-1", "group": "", "status": "running", "created": "2021-05-12T04:23:44",
       "type": "g6-standard-2", "ipv4": ["192.0.2.20", "192.168.170.51", "192.0.2.21", "203.0.113.9"],
       "ipv6": "2001:db8::1/128", "image": "linode/arch", "region": "us-east",
       "specs": {"disk": 81920, "memory": 4096, "vcpus": 2, "gpus": 0, "transfer": 4000},
       "alerts": {"cpu": 180}, "backups": {"enabled": false, "schedule": {"day": null, "window": null}},
       "hypervisor": "kvm", "watchdog_enabled": true, "tags": ["monitoring", "web"]},
      {"id": 2, "label": "no address", "ipv4": [], "ipv6": null, "image": null, "type": null, "specs": {}}],
     "page": 1, "pages": 2, "results": 3}"#;
    const SECOND_INSTANCES: &str = r#"{"data": [
      {"id": 3, "label": "private", "ipv4": ["192.168.1.1"], "ipv6": null, "image": null, "region": "us-east",
       "specs": {"disk": 1, "memory": 1, "vcpus": 1, "gpus": 0, "transfer": 0}, "backups": {"enabled": true}, "tags": []}],
     "page": 2, "pages": 2, "results": 3}"#;
    const ADDRESSES: &str = r#"{"data": [
      {"address": "192.0.2.20", "gateway": "192.0.2.1", "type": "ipv4", "public": true, "rdns": "li.example", "linode_id": 26838044},
      {"address": "192.0.2.21", "type": "ipv4", "public": true, "rdns": "li2.example", "linode_id": 26838044},
      {"address": "192.168.170.51", "gateway": null, "type": "ipv4", "public": false, "rdns": null, "linode_id": 26838044},
      {"address": "192.168.1.1", "gateway": null, "type": "ipv4", "public": false, "rdns": null, "linode_id": 3},
      {"address": "2001:db8::1", "type": "ipv6", "public": true, "rdns": "null", "linode_id": 26838044}],
     "page": 1, "pages": 1, "results": 5}"#;
    const RANGES: &str = r#"{"data": [
      {"range": "2001:db8:1::", "region": "us-east", "prefix": 64, "route_target": "2001:db8::1"},
      {"range": "2001:db8:2::", "region": "us-east", "prefix": 56, "route_target": "2001:db8::2"}],
     "page": 1, "pages": 1, "results": 2}"#;

    #[tokio::test]
    async fn instances_on_two_pages() {
        let api = Api::start(|asked| match (asked.path.as_str(), asked.query.as_str()) {
            ("/v4/linode/instances", "page=1&page_size=500") => Answer::json(FIRST_INSTANCES),
            ("/v4/linode/instances", "page=2&page_size=500") => Answer::json(SECOND_INSTANCES),
            ("/v4/networking/ips", "page=1&page_size=500") => Answer::json(ADDRESSES),
            ("/v4/networking/ipv6/ranges", "page=1&page_size=500") => Answer::json(RANGES),
            _ => Answer::status(404),
        })
        .await;
        let groups = source(&api, "us-east").groups().await.unwrap();
        assert_eq!(
            printed(&groups),
            [
                "192.0.2.20:80 linode_backups=\"disabled\" linode_extra_ips=\",192.0.2.21,\" linode_gpus=\"0\" linode_group=\"\" \
                 linode_hypervisor=\"kvm\" linode_image=\"linode/arch\" linode_instance_id=\"26838044\" \
                 linode_instance_label=\"prometheus-linode-sd-1\" linode_ipv6_ranges=\",2001:db8:1::/64,\" \
                 linode_private_ipv4=\"192.168.170.51\" linode_private_ipv4_rdns=\"\" linode_public_ipv4=\"192.0.2.20\" \
                 linode_public_ipv4_rdns=\"li.example\" linode_public_ipv6=\"2001:db8::1\" linode_public_ipv6_rdns=\"\" \
                 linode_region=\"us-east\" linode_specs_disk_bytes=\"85899345920\" linode_specs_memory_bytes=\"4294967296\" \
                 linode_specs_transfer_bytes=\"4194304000\" linode_specs_vcpus=\"2\" linode_status=\"running\" \
                 linode_tags=\",monitoring,web,\" linode_type=\"g6-standard-2\"",
                ":80 linode_backups=\"enabled\" linode_gpus=\"0\" linode_group=\"\" linode_hypervisor=\"\" linode_image=\"\" \
                 linode_instance_id=\"3\" linode_instance_label=\"private\" linode_private_ipv4=\"192.168.1.1\" \
                 linode_private_ipv4_rdns=\"\" linode_public_ipv4=\"\" linode_public_ipv4_rdns=\"\" linode_public_ipv6=\"\" \
                 linode_public_ipv6_rdns=\"\" linode_region=\"us-east\" linode_specs_disk_bytes=\"1048576\" \
                 linode_specs_memory_bytes=\"1048576\" linode_specs_transfer_bytes=\"0\" linode_specs_vcpus=\"1\" \
                 linode_status=\"\" linode_type=\"\"",
            ]
        );
        let asked = api.asked();
        assert_eq!(asked.len(), 4);
        assert!(
            asked
                .iter()
                .all(|asked| asked.headers["x-filter"] == r#"{"region":"us-east"}"#)
        );
    }

    #[tokio::test]
    async fn a_page_that_fails_fails_all() {
        let api = Api::start(|asked| match asked.query.as_str() {
            "page=1&page_size=500" => Answer::json(FIRST_INSTANCES),
            _ => Answer::status(429),
        })
        .await;
        assert_eq!(
            source(&api, "").groups().await.unwrap_err().to_string(),
            "GET /linode/instances: server returned HTTP status 429 Too Many Requests: status 429"
        );
        assert!(
            api.asked()
                .iter()
                .all(|a| !a.headers.contains_key("x-filter"))
        );
    }
}
