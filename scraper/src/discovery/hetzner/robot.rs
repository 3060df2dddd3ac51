//! Dedicated servers.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{HetznerRole, HetznerSource, labels};
use crate::discovery::refresh::RefreshError;

#[derive(Deserialize)]
struct Item {
    server: Server,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Server {
    #[serde(deserialize_with = "model::de::or_default")]
    server_ip: String,
    server_number: u64,
    server_name: String,
    dc: String,
    status: String,
    product: String,
    cancelled: bool,
    #[serde(deserialize_with = "model::de::or_default")]
    subnet: Vec<Subnet>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Subnet {
    ip: String,
    mask: String,
}

impl HetznerSource {
    pub(super) async fn robot(&self) -> Result<Vec<BTreeMap<String, String>>, RefreshError> {
        let items: Vec<Item> = self.ask("/server", &[]).await?;
        let targets = items
            .into_iter()
            .map(|item| self.robot_target(&item.server));
        Ok(targets.collect())
    }

    fn robot_target(&self, server: &Server) -> BTreeMap<String, String> {
        let (number, name) = (server.server_number, &server.server_name);
        let mut labels = labels(HetznerRole::Robot, number, name, &server.status);
        labels.set("datacenter", server.dc.to_lowercase());
        labels.set("public_ipv4", &server.server_ip);
        let ipv6 = server.subnet.iter().find(|subnet| subnet.ip.contains(':'));
        if let Some(Subnet { ip, mask }) = ipv6 {
            labels.set("public_ipv6_network", format!("{ip}/{mask}"));
        }
        labels.set("robot_product", &server.product);
        labels.set("robot_cancelled", server.cancelled);
        labels.at(&server.server_ip, self.port)
    }
}
