//! Bare metal servers: the first address is the one of a target, one of IPv4 if there is one.

use std::collections::{BTreeMap, HashMap};

use model::de::or_default;
use serde::Deserialize;

use super::{SEPARATOR, ScalewaySource};
use crate::discovery::labels::MetaLabels;
use crate::discovery::refresh::RefreshError;

const API: &str = "baremetal";
const PAGE_ITEMS: &str = "page_size";

#[derive(Deserialize)]
struct Servers {
    servers: Vec<Server>,
}

#[derive(Deserialize)]
struct Offers {
    offers: Vec<Offer>,
}

#[derive(Deserialize)]
struct Systems {
    os: Vec<System>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Server {
    id: String,
    name: String,
    status: String,
    offer_id: String,
    project_id: String,
    zone: String,
    #[serde(deserialize_with = "or_default")]
    tags: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    ips: Vec<Ip>,
    install: Option<Install>,
}

#[derive(Deserialize)]
struct Ip {
    address: String,
    /// `IPv4` or `IPv6`.
    #[serde(default)]
    version: String,
}

#[derive(Deserialize)]
struct Install {
    #[serde(default)]
    os_id: String,
}

#[derive(Deserialize)]
struct Offer {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct System {
    id: String,
    name: String,
    #[serde(default)]
    version: String,
}

impl ScalewaySource {
    pub(super) async fn baremetal(&self) -> Result<Vec<BTreeMap<String, String>>, RefreshError> {
        let config = &self.config;
        let mut query = vec![
            ("project_id", config.project_id.as_str()),
            ("name", &config.name_filter),
        ];
        query.extend(config.tags_filter.iter().map(|tag| ("tags", tag.as_str())));
        query.retain(|(_, value)| !value.is_empty());
        let servers = self
            .list(API, "servers", &query, PAGE_ITEMS, |page: Servers| {
                page.servers
            })
            .await?;
        let offers = self
            .list(API, "offers", &[], PAGE_ITEMS, |page: Offers| page.offers)
            .await?;
        let offers = offers.iter().map(|offer| (offer.id.as_str(), offer));
        let offers: HashMap<_, _> = offers.collect();
        let systems = self
            .list(API, "os", &[], PAGE_ITEMS, |page: Systems| page.os)
            .await?;
        let systems = systems.iter().map(|system| (system.id.as_str(), system));
        let systems: HashMap<_, _> = systems.collect();
        let mut targets = Vec::new();
        for server in &servers {
            let mut labels = MetaLabels::new("scaleway_baremetal_");
            labels.set("id", &server.id);
            labels.set("name", &server.name);
            labels.set("zone", &server.zone);
            labels.set("project_id", &server.project_id);
            labels.set("status", &server.status);
            labels.set_list("tags", &server.tags, SEPARATOR);
            if let Some(offer) = offers.get(server.offer_id.as_str()) {
                labels.set("type", &offer.name);
            }
            let install = server.install.as_ref();
            if let Some(system) = install.and_then(|i| systems.get(i.os_id.as_str())) {
                labels.set("os_name", &system.name);
                labels.set("os_version", &system.version);
            }
            let first = |version: &str| server.ips.iter().find(|ip| ip.version == version);
            let (ipv4, ipv6) = (first("IPv4"), first("IPv6"));
            for (name, ip) in [("public_ipv4", ipv4), ("public_ipv6", ipv6)] {
                if let Some(ip) = ip {
                    labels.set(name, &ip.address);
                }
            }
            if let Some(ip) = ipv4.or(ipv6) {
                targets.push(labels.at(&ip.address, config.port));
            }
        }
        Ok(targets)
    }
}
