//! Instances.

use std::collections::BTreeMap;

use model::de::or_default;
use serde::Deserialize;

use super::{SEPARATOR, ScalewaySource};
use crate::discovery::labels::MetaLabels;
use crate::discovery::refresh::RefreshError;

#[derive(Deserialize)]
struct Page {
    servers: Vec<Server>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Server {
    id: String,
    name: String,
    organization: String,
    project: String,
    #[serde(deserialize_with = "or_default")]
    hostname: String,
    boot_type: String,
    commercial_type: String,
    state: String,
    zone: String,
    #[serde(deserialize_with = "or_default")]
    tags: Vec<String>,
    image: Option<Image>,
    location: Option<Location>,
    security_group: Option<SecurityGroup>,
    public_ip: Option<Ip>,
    #[serde(deserialize_with = "or_default")]
    public_ips: Vec<Ip>,
    #[serde(deserialize_with = "or_default")]
    private_ip: String,
    ipv6: Option<Ip>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Image {
    id: String,
    name: String,
    arch: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Location {
    cluster_id: String,
    hypervisor_id: String,
    node_id: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SecurityGroup {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Ip {
    address: String,
    /// `inet` or `inet6`.
    #[serde(default)]
    family: String,
}

impl ScalewaySource {
    pub(super) async fn instances(&self) -> Result<Vec<BTreeMap<String, String>>, RefreshError> {
        let tags = self.config.tags_filter.join(SEPARATOR);
        let mut query = vec![("name", self.config.name_filter.as_str()), ("tags", &tags)];
        query.retain(|(_, value)| !value.is_empty());
        let servers = self
            .list("instance", "servers", &query, "per_page", |page: Page| {
                page.servers
            })
            .await?;
        Ok(servers.iter().filter_map(|s| self.instance(s)).collect())
    }

    /// Returns the labels of an instance, if it has an address: a private one, else a public one.
    fn instance(&self, server: &Server) -> Option<BTreeMap<String, String>> {
        let mut labels = MetaLabels::new("scaleway_instance_");
        labels.set("boot_type", &server.boot_type);
        labels.set("hostname", &server.hostname);
        labels.set("id", &server.id);
        labels.set("name", &server.name);
        labels.set("organization_id", &server.organization);
        labels.set("project_id", &server.project);
        labels.set("status", &server.state);
        labels.set("type", &server.commercial_type);
        labels.set("zone", &server.zone);
        if let Some((region, _)) = server.zone.rsplit_once('-') {
            labels.set("region", region);
        }
        if let Some(image) = &server.image {
            labels.set("image_arch", &image.arch);
            labels.set("image_id", &image.id);
            labels.set("image_name", &image.name);
        }
        if let Some(location) = &server.location {
            labels.set("location_cluster_id", &location.cluster_id);
            labels.set("location_hypervisor_id", &location.hypervisor_id);
            labels.set("location_node_id", &location.node_id);
        }
        if let Some(group) = &server.security_group {
            labels.set("security_group_id", &group.id);
            labels.set("security_group_name", &group.name);
        }
        labels.set_list("tags", &server.tags, SEPARATOR);
        let of = |family: &str| -> Vec<String> {
            let ips = server.public_ips.iter().filter(|ip| ip.family == family);
            ips.map(|ip| ip.address.clone()).collect()
        };
        let (ipv4, ipv6) = (of("inet"), of("inet6"));
        labels.set_list("public_ipv4_addresses", &ipv4, SEPARATOR);
        labels.set_list("public_ipv6_addresses", &ipv6, SEPARATOR);
        let mut host = ipv4.first().or(ipv6.first());
        if let Some(ip) = &server.ipv6 {
            labels.set("public_ipv6", &ip.address);
            host = Some(&ip.address);
        }
        if let Some(ip) = &server.public_ip {
            labels.set("public_ipv4", &ip.address);
            host = Some(&ip.address);
        }
        if !server.private_ip.is_empty() {
            labels.set("private_ipv4", &server.private_ip);
            host = Some(&server.private_ip);
        }
        Some(labels.at(host?, self.config.port))
    }
}
