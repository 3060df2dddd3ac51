//! Servers of the cloud.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{HetznerRole, HetznerSource, labels};
use crate::discovery::refresh::RefreshError;

/// How many pages of one list are asked for; 50 items are on each.
const PAGES_MAX: u32 = 10_000;

/// What Go prints for an address that is not there, which rules for relabelling may know.
const NO_ADDRESS: &str = "<nil>";

/// A page of a list.
#[derive(Deserialize)]
struct Page<T> {
    #[serde(alias = "servers", alias = "networks")]
    items: Vec<T>,
    #[serde(default)]
    meta: Meta,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Meta {
    pagination: Pagination,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pagination {
    next_page: Option<u32>,
}

#[derive(Deserialize)]
struct Network {
    id: u64,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Server {
    id: u64,
    name: String,
    status: String,
    public_net: PublicNet,
    #[serde(deserialize_with = "model::de::or_default")]
    private_net: Vec<PrivateNet>,
    server_type: ServerType,
    #[serde(deserialize_with = "model::de::or_default")]
    datacenter: Datacenter,
    image: Option<Image>,
    #[serde(deserialize_with = "model::de::or_default")]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PublicNet {
    ipv4: Option<Address>,
    ipv6: Option<Address>,
}

#[derive(Deserialize)]
struct Address {
    ip: String,
}

#[derive(Deserialize)]
struct PrivateNet {
    network: u64,
    ip: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ServerType {
    name: String,
    cores: u64,
    cpu_type: String,
    memory: f64,
    disk: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Datacenter {
    name: String,
    location: Location,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Location {
    name: String,
    network_zone: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Image {
    #[serde(deserialize_with = "model::de::or_default")]
    name: String,
    #[serde(deserialize_with = "model::de::or_default")]
    description: String,
    #[serde(deserialize_with = "model::de::or_default")]
    os_flavor: String,
    #[serde(deserialize_with = "model::de::or_default")]
    os_version: String,
}

impl HetznerSource {
    pub(super) async fn hcloud(&self) -> Result<Vec<BTreeMap<String, String>>, RefreshError> {
        let servers: Vec<Server> = self.pages("/servers", &self.label_selector).await?;
        let networks: Vec<Network> = self.pages("/networks", "").await?;
        let networks: BTreeMap<u64, String> =
            networks.into_iter().map(|n| (n.id, n.name)).collect();
        let targets = servers
            .iter()
            .map(|server| self.hcloud_target(server, &networks));
        Ok(targets.collect())
    }

    /// Returns what is on all pages of the list at `path`.
    async fn pages<T: DeserializeOwned>(
        &self,
        path: &str,
        label_selector: &str,
    ) -> Result<Vec<T>, RefreshError> {
        let mut all = Vec::new();
        let mut number = 1;
        for _ in 0..PAGES_MAX {
            let text = number.to_string();
            let mut query = vec![("page", text.as_str()), ("per_page", "50")];
            if !label_selector.is_empty() {
                query.push(("label_selector", label_selector));
            }
            let page: Page<T> = self.ask(path, &query).await?;
            all.extend(page.items);
            match page.meta.pagination.next_page {
                Some(next) => number = next,
                None => return Ok(all),
            }
        }
        Err(RefreshError(format!(
            "GET {path}: the list has more than {PAGES_MAX} pages"
        )))
    }

    fn hcloud_target(
        &self,
        server: &Server,
        networks: &BTreeMap<u64, String>,
    ) -> BTreeMap<String, String> {
        let mut labels = labels(HetznerRole::Hcloud, server.id, &server.name, &server.status);
        let public = |address: &Option<Address>| {
            let ip = address.as_ref().map(|address| address.ip.clone());
            ip.unwrap_or_else(|| NO_ADDRESS.to_owned())
        };
        let ipv4 = public(&server.public_net.ipv4);
        labels.set("public_ipv4", &ipv4);
        labels.set("public_ipv6_network", public(&server.public_net.ipv6));
        labels.set("datacenter", &server.datacenter.name);
        let location = &server.datacenter.location;
        labels.set("hcloud_datacenter_location", &location.name);
        labels.set(
            "hcloud_datacenter_location_network_zone",
            &location.network_zone,
        );
        let kind = &server.server_type;
        labels.set("hcloud_server_type", &kind.name);
        labels.set("hcloud_cpu_cores", kind.cores);
        labels.set("hcloud_cpu_type", &kind.cpu_type);
        labels.set("hcloud_memory_size_gb", kind.memory.trunc());
        labels.set("hcloud_disk_size_gb", kind.disk);
        if let Some(image) = &server.image {
            labels.set("hcloud_image_name", &image.name);
            labels.set("hcloud_image_description", &image.description);
            labels.set("hcloud_image_os_version", &image.os_version);
            labels.set("hcloud_image_os_flavor", &image.os_flavor);
        }
        for place in &server.private_net {
            if let Some(name) = networks.get(&place.network) {
                let name = crate::discovery::sanitized(name);
                labels.set(&format!("hcloud_private_ipv4_{name}"), &place.ip);
            }
        }
        labels.set_all("hcloud_label_", &server.labels);
        let present = server
            .labels
            .keys()
            .map(|name| (name.clone(), "true".to_owned()));
        labels.set_all("hcloud_labelpresent_", &present.collect());
        labels.at(&ipv4, self.port)
    }
}
