//! `digitalocean_sd_configs`: the droplets or the databases of a DigitalOcean account.
//!
//! Source: DigitalOcean API, `/v2/droplets` and `/v2/databases`; Prometheus documentation, `<digitalocean_sd_config>`.

use std::collections::BTreeMap;

use net::outbound::HttpClient;
use serde::Deserialize;

use super::TargetGroup;
use super::labels::MetaLabels;
use super::refresh::{RefreshError, Source, fetch_json};
use crate::config::sd::{DigitalOceanRole, DigitalOceanSdConfig};

/// What labels begin with.
const PREFIX: &str = "digitalocean_";

/// How many pages of a list are asked for; 200 items are on each.
const PAGES_MAX: u32 = 10_000;

/// Asks DigitalOcean.
pub(crate) struct DigitalOceanSource {
    client: HttpClient,
    role: DigitalOceanRole,
    port: u16,
    /// The URL of the API.
    endpoint: String,
}

/// A page of a list; the other list is not there.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Page {
    #[serde(deserialize_with = "model::de::or_default")]
    droplets: Vec<Droplet>,
    #[serde(deserialize_with = "model::de::or_default")]
    databases: Vec<Database>,
    #[serde(deserialize_with = "model::de::or_default")]
    links: Links,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Links {
    #[serde(deserialize_with = "model::de::or_default")]
    pages: Pages,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pages {
    #[serde(deserialize_with = "model::de::or_default")]
    next: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Droplet {
    id: u64,
    name: String,
    status: String,
    size_slug: String,
    #[serde(deserialize_with = "model::de::or_default")]
    vpc_uuid: String,
    #[serde(deserialize_with = "model::de::or_default")]
    image: Image,
    #[serde(deserialize_with = "model::de::or_default")]
    region: Region,
    #[serde(deserialize_with = "model::de::or_default")]
    networks: Networks,
    #[serde(deserialize_with = "model::de::or_default")]
    features: Vec<String>,
    #[serde(deserialize_with = "model::de::or_default")]
    tags: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Image {
    #[serde(deserialize_with = "model::de::or_default")]
    slug: String,
    #[serde(deserialize_with = "model::de::or_default")]
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Region {
    slug: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Networks {
    #[serde(deserialize_with = "model::de::or_default")]
    v4: Vec<Network>,
    #[serde(deserialize_with = "model::de::or_default")]
    v6: Vec<Network>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Network {
    ip_address: String,
    r#type: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Database {
    id: String,
    name: String,
    engine: String,
    version: String,
    status: String,
    region: String,
    size: String,
    num_nodes: u64,
    #[serde(deserialize_with = "model::de::or_default")]
    tags: Vec<String>,
    connection: Option<Connection>,
    private_connection: Option<Connection>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Connection {
    host: String,
}

impl DigitalOceanSource {
    pub(crate) fn new(config: &DigitalOceanSdConfig, client: HttpClient) -> Self {
        DigitalOceanSource {
            client,
            role: config.role,
            port: config.port,
            endpoint: "https://api.digitalocean.com".to_owned(),
        }
    }

    /// Returns the targets on all pages of the list at `path`.
    async fn list(&self, path: &str) -> Result<Vec<BTreeMap<String, String>>, RefreshError> {
        let mut targets = Vec::new();
        for number in 1..=PAGES_MAX {
            let request = self.client.get(&format!("{}{path}", self.endpoint)).await;
            let request = request.map_err(|error| RefreshError::of(&error))?;
            let number = number.to_string();
            let request = request.query(&[("page", number.as_str()), ("per_page", "200")]);
            let page: Page = fetch_json(request, &format!("GET {path}, page {number}")).await?;
            targets.extend(
                page.droplets
                    .iter()
                    .filter_map(|droplet| self.droplet(droplet)),
            );
            targets.extend(
                page.databases
                    .iter()
                    .map(|database| self.database(database)),
            );
            if page.links.pages.next.is_empty() {
                return Ok(targets);
            }
        }
        Err(RefreshError(format!(
            "GET {path}: the list has more than {PAGES_MAX} pages"
        )))
    }

    /// Returns the target that a droplet is, unless it has no IPv4 address yet.
    fn droplet(&self, droplet: &Droplet) -> Option<BTreeMap<String, String>> {
        let networks = &droplet.networks;
        if networks.v4.is_empty() {
            return None;
        }
        let public = address(&networks.v4, "public");
        let mut labels = MetaLabels::new(PREFIX);
        labels.set("droplet_id", droplet.id);
        labels.set("droplet_name", &droplet.name);
        labels.set("image", &droplet.image.slug);
        labels.set("image_name", &droplet.image.name);
        labels.set("private_ipv4", address(&networks.v4, "private"));
        labels.set("public_ipv4", public);
        labels.set("public_ipv6", address(&networks.v6, "public"));
        labels.set("region", &droplet.region.slug);
        labels.set("size", &droplet.size_slug);
        labels.set("status", &droplet.status);
        labels.set("vpc", &droplet.vpc_uuid);
        labels.set_list("features", &droplet.features, ",");
        labels.set_list("tags", &droplet.tags, ",");
        Some(labels.at(public, self.port))
    }

    /// Returns the target that a database is, at its private address if it has one.
    fn database(&self, database: &Database) -> BTreeMap<String, String> {
        let mut labels = MetaLabels::new(PREFIX);
        labels.set("db_id", &database.id);
        labels.set("db_name", &database.name);
        labels.set("db_engine", &database.engine);
        labels.set("db_version", &database.version);
        labels.set("db_status", &database.status);
        labels.set("db_region", &database.region);
        labels.set("db_size", &database.size);
        labels.set("db_num_nodes", database.num_nodes);
        for tag in &database.tags {
            labels.set(&format!("db_tag_{}", super::sanitized(tag)), "true");
        }
        let mut host = "";
        for (name, connection) in [
            ("db_host", &database.connection),
            ("db_private_host", &database.private_connection),
        ] {
            if let Some(connection) = connection.as_ref().filter(|c| !c.host.is_empty()) {
                labels.set(name, &connection.host);
                host = &connection.host;
            }
        }
        labels.at(host, self.port)
    }
}

/// Returns the first address of the kind, or nothing.
fn address<'n>(networks: &'n [Network], kind: &str) -> &'n str {
    let found = networks.iter().find(|network| network.r#type == kind);
    found.map_or("", |network| &network.ip_address)
}

impl Source for DigitalOceanSource {
    const NAME: &'static str = "digitalocean";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let path = match self.role {
            DigitalOceanRole::Droplets => "/v2/droplets",
            DigitalOceanRole::Databases => "/v2/databases",
        };
        Ok(vec![TargetGroup {
            source: "DigitalOcean".to_owned(),
            targets: self.list(path).await?,
            ..TargetGroup::default()
        }])
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::discovery::testing::{Answer, Api, printed};

    fn source(api: &Api, role: DigitalOceanRole) -> DigitalOceanSource {
        let config = DigitalOceanSdConfig {
            role,
            port: 9100,
            ..DigitalOceanSdConfig::default()
        };
        let client = HttpClient::new(config.http_config(), Path::new(""), None).unwrap();
        DigitalOceanSource {
            endpoint: api.url(""),
            ..DigitalOceanSource::new(&config, client)
        }
    }

    const FIRST_PAGE: &str = r#"{"droplets": [
      {"id": 3164444, "name": "example.com", "memory": 1024, "status": "active", "size_slug": "s-1vcpu-1gb",
       "features": ["backups", "ipv6"], "tags": ["web"], "vpc_uuid": "v1", "region": {"name": "New York 3", "slug": "nyc3"},
       "image": {"id": 63663980, "name": "20.04 (LTS) x64", "slug": null},
       "networks": {"v4": [{"ip_address": "10.128.192.124", "netmask": "255.255.0.0", "type": "private"},
                           {"ip_address": "192.241.165.154", "type": "public"}],
                    "v6": [{"ip_address": "2604:a880::1", "netmask": 64, "type": "public"}]}},
      {"id": 2, "name": "new", "status": "new", "networks": {"v4": [], "v6": []}}],
     "links": {"pages": {"last": "u?page=2", "next": "u?page=2"}}, "meta": {"total": 3}}"#;

    const SECOND_PAGE: &str = r#"{"droplets": [
      {"id": 3, "name": "plain", "status": "off", "size_slug": "s", "features": [], "tags": null, "region": {"slug": "fra1"},
       "image": {"name": "i", "slug": "debian"}, "networks": {"v4": [{"ip_address": "1.2.3.4", "type": "public"}]}}],
     "links": {"pages": {"first": "u?page=1", "prev": "u?page=1"}}, "meta": {"total": 3}}"#;

    #[tokio::test]
    async fn droplets_on_two_pages() {
        let api = Api::start(|asked| match (asked.path.as_str(), asked.query.as_str()) {
            ("/v2/droplets", "page=1&per_page=200") => Answer::json(FIRST_PAGE),
            ("/v2/droplets", "page=2&per_page=200") => Answer::json(SECOND_PAGE),
            _ => Answer::status(404),
        })
        .await;
        let groups = source(&api, DigitalOceanRole::Droplets)
            .groups()
            .await
            .unwrap();
        assert_eq!(
            printed(&groups),
            [
                "192.241.165.154:9100 digitalocean_droplet_id=\"3164444\" digitalocean_droplet_name=\"example.com\" \
                 digitalocean_features=\",backups,ipv6,\" digitalocean_image=\"\" digitalocean_image_name=\"20.04 (LTS) x64\" \
                 digitalocean_private_ipv4=\"10.128.192.124\" digitalocean_public_ipv4=\"192.241.165.154\" \
                 digitalocean_public_ipv6=\"2604:a880::1\" digitalocean_region=\"nyc3\" digitalocean_size=\"s-1vcpu-1gb\" \
                 digitalocean_status=\"active\" digitalocean_tags=\",web,\" digitalocean_vpc=\"v1\"",
                "1.2.3.4:9100 digitalocean_droplet_id=\"3\" digitalocean_droplet_name=\"plain\" digitalocean_image=\"debian\" \
                 digitalocean_image_name=\"i\" digitalocean_private_ipv4=\"\" digitalocean_public_ipv4=\"1.2.3.4\" \
                 digitalocean_public_ipv6=\"\" digitalocean_region=\"fra1\" digitalocean_size=\"s\" digitalocean_status=\"off\" \
                 digitalocean_vpc=\"\"",
            ]
        );
    }

    #[tokio::test]
    async fn databases() {
        let api = Api::start(|_| {
            Answer::json(
                r#"{"databases": [
                  {"id": "d1", "name": "shop", "engine": "pg", "version": "16", "num_nodes": 2, "size": "db-s-1vcpu-2gb",
                   "region": "fra1", "status": "online", "tags": ["prod-eu"], "connection": {"host": "public", "port": 25060},
                   "private_connection": {"host": "private", "port": 25060}},
                  {"id": "d2", "name": "b", "engine": "mysql", "version": "8", "num_nodes": 1, "size": "s", "region": "nyc1",
                   "status": "creating", "tags": null, "connection": {"host": "public2"}, "private_connection": null}]}"#,
            )
        })
        .await;
        let groups = source(&api, DigitalOceanRole::Databases)
            .groups()
            .await
            .unwrap();
        assert_eq!(
            printed(&groups),
            [
                "private:9100 digitalocean_db_engine=\"pg\" digitalocean_db_host=\"public\" digitalocean_db_id=\"d1\" \
                 digitalocean_db_name=\"shop\" digitalocean_db_num_nodes=\"2\" digitalocean_db_private_host=\"private\" \
                 digitalocean_db_region=\"fra1\" digitalocean_db_size=\"db-s-1vcpu-2gb\" digitalocean_db_status=\"online\" \
                 digitalocean_db_tag_prod_eu=\"true\" digitalocean_db_version=\"16\"",
                "public2:9100 digitalocean_db_engine=\"mysql\" digitalocean_db_host=\"public2\" digitalocean_db_id=\"d2\" \
                 digitalocean_db_name=\"b\" digitalocean_db_num_nodes=\"1\" digitalocean_db_region=\"nyc1\" \
                 digitalocean_db_size=\"s\" digitalocean_db_status=\"creating\" digitalocean_db_version=\"8\"",
            ]
        );
        assert_eq!(api.asked()[0].path, "/v2/databases");
    }

    #[tokio::test]
    async fn a_page_that_fails_fails_all() {
        let api = Api::start(|asked| match asked.query.starts_with("page=1&") {
            true => Answer::json(FIRST_PAGE),
            false => Answer::status(401),
        })
        .await;
        let error = source(&api, DigitalOceanRole::Droplets)
            .groups()
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "GET /v2/droplets, page 2: server returned HTTP status 401 Unauthorized: status 401"
        );
    }
}
