//! `ovhcloud_sd_configs`: virtual private servers or dedicated servers of an OVHcloud account.
//!
//! Names are listed, then each server is asked about; one that cannot be asked about is left out. Requests are signed with the time of
//! OVHcloud's clock.
//!
//! Source: OVHcloud API, "First steps" (signatures), `/vps` and `/dedicated/server`; Prometheus documentation,
//! `<ovhcloud_sd_config>`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::de::or_default;
use net::outbound::HttpClient;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::TargetGroup;
use super::labels::MetaLabels;
use super::refresh::{RefreshError, Source, fetch_json};
use crate::config::sd::{OvhCloudSdConfig, OvhCloudService};

/// How many servers are asked about at once.
const AT_ONCE: usize = 4;
/// The label that a server's name is in, besides the one of this discovery.
const INSTANCE: &str = "instance";

/// The APIs that have names.
const ENDPOINTS: &[(&str, &str)] = &[
    ("ovh-eu", "https://eu.api.ovh.com/1.0"),
    ("ovh-ca", "https://ca.api.ovh.com/1.0"),
    ("ovh-us", "https://api.us.ovhcloud.com/1.0"),
    ("kimsufi-eu", "https://eu.api.kimsufi.com/1.0"),
    ("kimsufi-ca", "https://ca.api.kimsufi.com/1.0"),
    ("soyoustart-eu", "https://eu.api.soyoustart.com/1.0"),
    ("soyoustart-ca", "https://ca.api.soyoustart.com/1.0"),
];

/// Asks OVHcloud.
pub(crate) struct OvhCloudSource {
    client: HttpClient,
    config: OvhCloudSdConfig,
    /// The URL of the API.
    endpoint: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Vps {
    zone: String,
    model: Model,
    #[serde(deserialize_with = "or_default")]
    display_name: String,
    #[serde(deserialize_with = "or_default")]
    cluster: String,
    state: String,
    name: String,
    netboot_mode: String,
    memory_limit: i64,
    offer_type: String,
    vcore: i64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Model {
    /// As the API spells it.
    #[serde(rename = "maximumAdditionnalIp")]
    maximum_additional_ip: i64,
    offer: String,
    #[serde(deserialize_with = "or_default")]
    datacenter: Vec<String>,
    vcore: i64,
    version: String,
    name: String,
    disk: i64,
    memory: i64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Dedicated {
    state: String,
    #[serde(deserialize_with = "or_default")]
    commercial_range: String,
    #[serde(deserialize_with = "or_default")]
    link_speed: i64,
    #[serde(deserialize_with = "or_default")]
    rack: String,
    no_intervention: bool,
    #[serde(deserialize_with = "or_default")]
    os: String,
    #[serde(deserialize_with = "or_default")]
    support_level: String,
    server_id: i64,
    #[serde(deserialize_with = "or_default")]
    reverse: String,
    #[serde(deserialize_with = "or_default")]
    datacenter: String,
    name: String,
}

/// A server of either kind.
trait Server: DeserializeOwned {
    /// What is listed.
    const PATH: &'static str;
    /// What labels begin with.
    const PREFIX: &'static str;

    fn name(&self) -> &str;

    fn set(&self, labels: &mut MetaLabels);
}

impl Server for Vps {
    const PATH: &'static str = "/vps";
    const PREFIX: &'static str = "ovhcloud_vps_";

    fn name(&self) -> &str {
        &self.name
    }

    fn set(&self, labels: &mut MetaLabels) {
        let model = &self.model;
        labels.set("offer", &model.offer);
        labels.set("datacenter", format!("[{}]", model.datacenter.join(" ")));
        labels.set("model_vcore", model.vcore);
        labels.set("maximum_additional_ip", model.maximum_additional_ip);
        labels.set("version", &model.version);
        labels.set("model_name", &model.name);
        labels.set("disk", model.disk);
        labels.set("memory", model.memory);
        labels.set("zone", &self.zone);
        labels.set("display_name", &self.display_name);
        labels.set("cluster", &self.cluster);
        labels.set("state", &self.state);
        labels.set("name", &self.name);
        labels.set("netboot_mode", &self.netboot_mode);
        labels.set("memory_limit", self.memory_limit);
        labels.set("offer_type", &self.offer_type);
        labels.set("vcore", self.vcore);
    }
}

impl Server for Dedicated {
    const PATH: &'static str = "/dedicated/server";
    const PREFIX: &'static str = "ovhcloud_dedicated_server_";

    fn name(&self) -> &str {
        &self.name
    }

    fn set(&self, labels: &mut MetaLabels) {
        labels.set("state", &self.state);
        labels.set("commercial_range", &self.commercial_range);
        labels.set("link_speed", self.link_speed);
        labels.set("rack", &self.rack);
        labels.set("no_intervention", self.no_intervention);
        labels.set("os", &self.os);
        labels.set("support_level", &self.support_level);
        labels.set("server_id", self.server_id);
        labels.set("reverse", &self.reverse);
        labels.set("datacenter", &self.datacenter);
        labels.set("name", &self.name);
    }
}

impl OvhCloudSource {
    pub(crate) fn new(config: &OvhCloudSdConfig, client: HttpClient) -> Self {
        let named = ENDPOINTS.iter().find(|(name, _)| *name == config.endpoint);
        let endpoint = named.map_or(config.endpoint.as_str(), |(_, url)| url);
        OvhCloudSource {
            client,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            config: config.clone(),
        }
    }

    /// Returns how many seconds OVHcloud's clock is ahead of ours.
    async fn clock_offset(&self) -> Result<i64, RefreshError> {
        let request = self
            .client
            .get(&format!("{}/auth/time", self.endpoint))
            .await;
        let request = request.map_err(|error| RefreshError::of(&error))?;
        let time: i64 = fetch_json(request, "GET /auth/time").await?;
        Ok(time.saturating_sub(jiff::Timestamp::now().as_second()))
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str, offset: i64) -> Result<T, RefreshError> {
        let url = format!("{}{path}", self.endpoint);
        let time = jiff::Timestamp::now()
            .as_second()
            .saturating_add(offset)
            .to_string();
        let config = &self.config;
        let (secret, consumer) = (
            config.application_secret.reveal(),
            config.consumer_key.reveal(),
        );
        let signature =
            net::digest::sha1_hex(format!("{secret}+{consumer}+GET+{url}++{time}").as_bytes());
        let request = self.client.get(&url).await;
        let request = request
            .map_err(|error| RefreshError::of(&error))?
            .header("X-Ovh-Application", &config.application_key)
            .header("X-Ovh-Consumer", consumer)
            .header("X-Ovh-Timestamp", time)
            .header("X-Ovh-Signature", format!("$1${signature}"))
            .header("Accept", "application/json");
        fetch_json(request, &format!("GET {path}")).await
    }

    /// Returns the labels of one server.
    async fn server<S: Server>(
        &self,
        name: &str,
        offset: i64,
    ) -> Result<BTreeMap<String, String>, RefreshError> {
        let path = format!("{}/{}", S::PATH, net::escape::component(name));
        let server: S = self.ask(&path, offset).await?;
        let ips: Vec<String> = self.ask(&format!("{path}/ips"), offset).await?;
        let (mut ipv4, mut ipv6) = (String::new(), String::new());
        for ip in ips.iter().filter_map(|ip| address(ip)) {
            match ip {
                IpAddr::V4(ip) => ipv4 = ip.to_string(),
                IpAddr::V6(ip) => ipv6 = ip.to_string(),
            }
        }
        if ipv4.is_empty() && ipv6.is_empty() {
            return Err(RefreshError(format!(
                "GET {path}/ips: none of them is an address"
            )));
        }
        let mut labels = MetaLabels::new(S::PREFIX);
        server.set(&mut labels);
        labels.set("ipv4", &ipv4);
        labels.set("ipv6", &ipv6);
        let address = if ipv4.is_empty() { ipv6 } else { ipv4 };
        let mut labels = labels.at_address(address);
        labels.insert(INSTANCE.to_owned(), server.name().to_owned());
        Ok(labels)
    }

    async fn servers<S: Server>(&self) -> Result<Vec<BTreeMap<String, String>>, RefreshError> {
        let offset = self.clock_offset().await?;
        let names: Vec<String> = self.ask(S::PATH, offset).await?;
        let mut targets = Vec::new();
        for names in names.chunks(AT_ONCE) {
            let asked = names.iter().map(|name| self.server::<S>(name, offset));
            let found = futures_util::future::join_all(asked).await;
            for (name, found) in names.iter().zip(found) {
                match found {
                    Ok(target) => targets.push(target),
                    Err(error) => {
                        tracing::warn!(%error, server = %name, "a server is left out, as nothing is known about it");
                    }
                }
            }
        }
        Ok(targets)
    }
}

/// Returns the address that `text` is; networks are listed beside them.
fn address(text: &str) -> Option<IpAddr> {
    let ip = match text.split_once('/') {
        None => text,
        Some((ip, "32")) => ip,
        Some(_) => return None,
    };
    ip.parse().ok().filter(|ip: &IpAddr| !ip.is_unspecified())
}

impl Source for OvhCloudSource {
    const NAME: &'static str = "ovhcloud";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let service = self.config.service.unwrap_or_default();
        let targets = match service {
            OvhCloudService::DedicatedServer => self.servers::<Dedicated>().await?,
            OvhCloudService::Vps => self.servers::<Vps>().await?,
        };
        Ok(vec![TargetGroup {
            source: format!("ovhcloud_{}", service.name()),
            targets,
            ..TargetGroup::default()
        }])
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use net::http_config::{HttpConfig, Secret};

    use super::*;
    use crate::discovery::testing::{Answer, Api, Asked, printed};

    fn source(api: &Api, service: OvhCloudService) -> OvhCloudSource {
        let config = OvhCloudSdConfig {
            endpoint: api.url("/1.0"),
            application_key: "ak".to_owned(),
            application_secret: Secret::new("as"),
            consumer_key: Secret::new("ck"),
            service: Some(service),
            ..OvhCloudSdConfig::default()
        };
        let client = HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap();
        OvhCloudSource::new(&config, client)
    }

    fn answer(asked: &Asked) -> Answer {
        let path = asked.path.as_str();
        if path == "/1.0/auth/time" {
            // A clock that is a day ahead.
            return Answer::json((jiff::Timestamp::now().as_second() + 86_400).to_string());
        }
        let header = |name: &str| asked.headers[name].as_str();
        let url = format!("http://{}{path}", header("host"));
        let time = header("x-ovh-timestamp");
        let ahead = time.parse::<i64>().unwrap() - jiff::Timestamp::now().as_second();
        assert!((86_300..=86_500).contains(&ahead));
        let signed = net::digest::sha1_hex(format!("as+ck+GET+{url}++{time}").as_bytes());
        assert_eq!(header("x-ovh-signature"), format!("$1${signed}"));
        assert_eq!(
            (header("x-ovh-application"), header("x-ovh-consumer")),
            ("ak", "ck")
        );
        match path {
            "/1.0/vps" => Answer::json(r#"["abc", "no answer"]"#),
            "/1.0/vps/abc" => Answer::json(
                r#"{"keymap": null, "zone": "zone", "displayName": "abc", "cluster": "cluster_test", "state": "running", "name": "abc",
                    "netbootMode": "local", "memoryLimit": 2048, "offerType": "ssd", "vcore": 1, "monitoringIpBlocks": [],
                    "model": {"name": "vps-value-1-2-40", "offer": "VPS abc", "memory": 2048, "vcore": 1, "version": "2019v1", "disk": 40,
                     "maximumAdditionnalIp": 16, "datacenter": ["a", "b"], "availableOptions": null}}"#,
            ),
            "/1.0/vps/abc/ips" => Answer::json(r#"["192.0.2.1", "2001:db8:1::1"]"#),
            "/1.0/dedicated/server" => Answer::json(r#"["ns1.ip-1.eu", "only-a-network"]"#),
            "/1.0/dedicated/server/only-a-network" => Answer::json(r#"{"name": "only-a-network"}"#),
            "/1.0/dedicated/server/only-a-network/ips" => Answer::json(r#"["9.9.9.0/29"]"#),
            "/1.0/dedicated/server/ns1.ip-1.eu" => Answer::json(
                r#"{"name": "ns1.ip-1.eu", "ip": "1.2.3.4", "os": "debian11_64", "state": "ok", "commercialRange": "Advance-1 Gen 2",
                    "linkSpeed": 123, "rack": "TESTRACK", "noIntervention": false, "supportLevel": "pro", "serverId": 1234,
                    "reverse": "reverse.example.com", "datacenter": "gra3", "bootId": 1, "rootDevice": null}"#,
            ),
            "/1.0/dedicated/server/ns1.ip-1.eu/ips" => Answer::json(
                r#"["1.2.3.4/32", "9.9.9.0/29", "2001:db8::1", "2001:db8::/64", "0.0.0.0"]"#,
            ),
            _ => Answer::Whole(
                404,
                "application/json",
                r#"{"message": "This service does not exist"}"#.to_owned(),
            ),
        }
    }

    #[tokio::test]
    async fn virtual_private_servers() {
        let api = Api::start(answer).await;
        let groups = source(&api, OvhCloudService::Vps).groups().await.unwrap();
        assert_eq!(groups[0].source, "ovhcloud_vps");
        assert_eq!(
            printed(&groups),
            [
                "192.0.2.1 ovhcloud_vps_cluster=\"cluster_test\" ovhcloud_vps_datacenter=\"[a b]\" ovhcloud_vps_disk=\"40\" \
                 ovhcloud_vps_display_name=\"abc\" ovhcloud_vps_ipv4=\"192.0.2.1\" ovhcloud_vps_ipv6=\"2001:db8:1::1\" \
                 ovhcloud_vps_maximum_additional_ip=\"16\" ovhcloud_vps_memory=\"2048\" ovhcloud_vps_memory_limit=\"2048\" \
                 ovhcloud_vps_model_name=\"vps-value-1-2-40\" ovhcloud_vps_model_vcore=\"1\" ovhcloud_vps_name=\"abc\" \
                 ovhcloud_vps_netboot_mode=\"local\" ovhcloud_vps_offer=\"VPS abc\" ovhcloud_vps_offer_type=\"ssd\" \
                 ovhcloud_vps_state=\"running\" ovhcloud_vps_vcore=\"1\" ovhcloud_vps_version=\"2019v1\" ovhcloud_vps_zone=\"zone\" \
                 instance=\"abc\""
            ]
        );
    }

    #[tokio::test]
    async fn dedicated_servers() {
        let api = Api::start(answer).await;
        let groups = source(&api, OvhCloudService::DedicatedServer)
            .groups()
            .await
            .unwrap();
        assert_eq!(
            printed(&groups),
            [
                "1.2.3.4 ovhcloud_dedicated_server_commercial_range=\"Advance-1 Gen 2\" \
                 ovhcloud_dedicated_server_datacenter=\"gra3\" ovhcloud_dedicated_server_ipv4=\"1.2.3.4\" \
                 ovhcloud_dedicated_server_ipv6=\"2001:db8::1\" ovhcloud_dedicated_server_link_speed=\"123\" \
                 ovhcloud_dedicated_server_name=\"ns1.ip-1.eu\" ovhcloud_dedicated_server_no_intervention=\"false\" \
                 ovhcloud_dedicated_server_os=\"debian11_64\" ovhcloud_dedicated_server_rack=\"TESTRACK\" \
                 ovhcloud_dedicated_server_reverse=\"reverse.example.com\" ovhcloud_dedicated_server_server_id=\"1234\" \
                 ovhcloud_dedicated_server_state=\"ok\" ovhcloud_dedicated_server_support_level=\"pro\" instance=\"ns1.ip-1.eu\""
            ]
        );
    }

    #[tokio::test]
    async fn a_list_that_fails_fails_all() {
        let api = Api::start(|asked| match asked.path.as_str() {
            "/1.0/vps" => Answer::status(403),
            _ => answer(asked),
        })
        .await;
        assert_eq!(
            source(&api, OvhCloudService::Vps)
                .groups()
                .await
                .unwrap_err()
                .to_string(),
            "GET /vps: server returned HTTP status 403 Forbidden: status 403"
        );
    }

    #[test]
    fn apis_have_names() {
        let client = HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap();
        let source = OvhCloudSource::new(&OvhCloudSdConfig::default(), client);
        assert_eq!(source.endpoint, "https://eu.api.ovh.com/1.0");
    }
}
