//! `marathon_sd_configs`: the tasks of the apps that Marathon runs.
//!
//! Each refresh asks one of the servers, the next one the next time.
//!
//! Source: Marathon REST API, `/v2/apps`; Prometheus documentation, `<marathon_sd_config>`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::de::or_default;
use net::outbound::HttpClient;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde::Deserialize;

use super::TargetGroup;
use super::labels::MetaLabels;
use super::refresh::{RefreshError, Source, fetch_json};
use crate::config::sd::MarathonSdConfig;

/// What labels begin with.
const PREFIX: &str = "marathon_";
const PATH: &str = "/v2/apps/?embed=apps.tasks";

/// Asks the servers of one cluster in turn.
pub(crate) struct MarathonSource {
    client: HttpClient,
    config: MarathonSdConfig,
    base_dir: PathBuf,
    /// Which server is asked next.
    next: usize,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default, deserialize_with = "or_default")]
    apps: Vec<App>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct App {
    id: String,
    #[serde(deserialize_with = "or_default")]
    tasks: Vec<Task>,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    container: Container,
    #[serde(deserialize_with = "or_default")]
    port_definitions: Vec<PortDefinition>,
    #[serde(deserialize_with = "or_default")]
    networks: Vec<Network>,
    require_ports: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Task {
    id: String,
    #[serde(deserialize_with = "or_default")]
    host: String,
    #[serde(deserialize_with = "or_default")]
    ports: Vec<u32>,
    #[serde(deserialize_with = "or_default")]
    ip_addresses: Vec<IpAddress>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct IpAddress {
    ip_address: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    #[serde(deserialize_with = "or_default")]
    docker: Docker,
    #[serde(deserialize_with = "or_default")]
    port_mappings: Vec<PortMapping>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Docker {
    #[serde(deserialize_with = "or_default")]
    image: String,
    /// Where they were before Marathon 1.5.
    #[serde(deserialize_with = "or_default")]
    port_mappings: Vec<PortMapping>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PortMapping {
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    container_port: u32,
    #[serde(deserialize_with = "or_default")]
    host_port: u32,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PortDefinition {
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    port: u32,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Network {
    mode: String,
}

/// The ports of an app, 0 for those that only its tasks know, and their labels.
struct Ports<'a> {
    ports: Vec<u32>,
    labels: Vec<&'a BTreeMap<String, String>>,
    /// What the names of these labels begin with.
    prefix: &'static str,
}

impl MarathonSource {
    pub(crate) fn new(config: &MarathonSdConfig, base_dir: &Path, client: HttpClient) -> Self {
        MarathonSource {
            client,
            config: config.clone(),
            base_dir: base_dir.to_owned(),
            next: 0,
        }
    }

    /// Returns the header with the token of DC/OS, if there is one.
    fn headers(&self) -> Result<HeaderMap, RefreshError> {
        let config = &self.config;
        let token = match (config.auth_token.reveal(), config.auth_token_file.as_str()) {
            ("", "") => return Ok(HeaderMap::new()),
            ("", file) => super::secret_of_file(&self.base_dir, file)?,
            (token, _) => token.to_owned(),
        };
        let value = HeaderValue::from_str(&format!("token={token}"));
        let mut value = value.map_err(|_| {
            RefreshError("the token has characters that no header may have".to_owned())
        })?;
        value.set_sensitive(true);
        Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
    }
}

impl App {
    /// Whether it has addresses of its own.
    fn is_in_network(&self) -> bool {
        let first = self.networks.first();
        first.is_some_and(|network| network.mode == "container")
    }

    fn ports(&self) -> Ports<'_> {
        let own = &self.container.port_mappings;
        let mappings = match own.is_empty() {
            true => &self.container.docker.port_mappings,
            false => own,
        };
        if !mappings.is_empty() {
            let port = |mapping: &PortMapping| match self.is_in_network() {
                true => mapping.container_port,
                false => mapping.host_port,
            };
            return Ports {
                ports: mappings.iter().map(port).collect(),
                labels: mappings.iter().map(|mapping| &mapping.labels).collect(),
                prefix: "port_mapping_label_",
            };
        }
        // Without `requirePorts` it is not the port that the app listens on.
        let port = |definition: &PortDefinition| match self.require_ports {
            true => definition.port,
            false => 0,
        };
        Ports {
            ports: self.port_definitions.iter().map(port).collect(),
            labels: self.port_definitions.iter().map(|d| &d.labels).collect(),
            prefix: "port_definition_label_",
        }
    }

    fn targets(&self) -> Vec<BTreeMap<String, String>> {
        let Ports {
            mut ports,
            labels: port_labels,
            prefix,
        } = self.ports();
        let mut targets = Vec::new();
        for task in &self.tasks {
            if ports.is_empty() {
                ports.clone_from(&task.ports);
            }
            let own = self.is_in_network().then(|| task.ip_addresses.first());
            let host = own.flatten().map_or(&task.host, |ip| &ip.ip_address);
            for (index, &port) in ports.iter().enumerate() {
                let port = match port {
                    0 if task.ports.len() == ports.len() => task.ports[index],
                    port => port,
                };
                let mut labels = MetaLabels::new(PREFIX);
                labels.set("task", &task.id);
                labels.set("port_index", index);
                if let Some(of_port) = port_labels.get(index) {
                    labels.set_all(prefix, of_port);
                }
                targets.push(labels.at_port(host, i64::from(port)));
            }
        }
        targets
    }

    fn group(&self) -> TargetGroup {
        let mut labels = MetaLabels::new(PREFIX);
        labels.set("app", &self.id);
        labels.set("image", &self.container.docker.image);
        labels.set_all("app_label_", &self.labels);
        TargetGroup {
            source: self.id.clone(),
            targets: self.targets(),
            labels: labels.into_pairs(),
        }
    }
}

impl Source for MarathonSource {
    const NAME: &'static str = "marathon";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let servers = &self.config.servers;
        let server = servers[self.next % servers.len()].trim_end_matches('/');
        self.next += 1;
        let request = self.client.get(&format!("{server}{PATH}")).await;
        let request = request.map_err(|error| RefreshError::of(&error))?;
        let request = request.headers(self.headers()?);
        let answer: Answer = fetch_json(request, &format!("GET {PATH}")).await?;
        Ok(answer.apps.iter().map(App::group).collect())
    }
}

#[cfg(test)]
mod tests {
    use net::http_config::{HttpConfig, Secret};

    use super::*;
    use crate::discovery::testing::{Answer as Reply, Api, printed};

    fn source(servers: Vec<String>, token_file: Option<&Path>) -> MarathonSource {
        let config = MarathonSdConfig {
            servers,
            auth_token: Secret::new(if token_file.is_none() { "t0ken" } else { "" }),
            auth_token_file: token_file
                .map_or("", |file| file.to_str().unwrap())
                .to_owned(),
            ..MarathonSdConfig::default()
        };
        let client = HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap();
        MarathonSource::new(&config, Path::new(""), client)
    }

    async fn lines(apps: &str) -> Vec<String> {
        let answer = format!("{{\"apps\": [{apps}]}}");
        let api = Api::start(move |asked| {
            assert_eq!(
                (asked.path.as_str(), asked.query.as_str()),
                ("/v2/apps/", "embed=apps.tasks")
            );
            assert_eq!(asked.headers["authorization"], "token=t0ken");
            Reply::json(answer.clone())
        })
        .await;
        printed(&source(vec![api.url("/")], None).groups().await.unwrap())
    }

    #[tokio::test]
    async fn host_ports_of_mappings() {
        let app = r#"{"id": "/test", "labels": {"prom-scrape": "yes"}, "tasksRunning": 1,
          "container": {"type": "DOCKER", "docker": {"image": "repo/image:tag", "portMappings": [
             {"labels": {"prometheus": "yes"}, "hostPort": 0, "containerPort": 8080, "servicePort": 1}, {"labels": null, "hostPort": 31000}]}},
          "tasks": [{"id": "t1", "host": "mesos-slave1", "ports": [31017, 31018], "ipAddresses": null}], "networks": null}"#;
        assert_eq!(
            lines(app).await,
            [
                "mesos-slave1:31017 marathon_app=\"/test\" marathon_app_label_prom_scrape=\"yes\" \
                 marathon_image=\"repo/image:tag\" marathon_port_index=\"0\" marathon_port_mapping_label_prometheus=\"yes\" \
                 marathon_task=\"t1\"",
                "mesos-slave1:31000 marathon_app=\"/test\" marathon_app_label_prom_scrape=\"yes\" \
                 marathon_image=\"repo/image:tag\" marathon_port_index=\"1\" marathon_task=\"t1\"",
            ]
        );
    }

    #[tokio::test]
    async fn container_ports_in_a_container_network() {
        let app = r#"{"id": "/net", "networks": [{"mode": "container", "name": "n"}],
          "container": {"docker": {"image": "i"}, "portMappings": [{"containerPort": 8080, "hostPort": 31000}]},
          "tasks": [{"id": "t", "host": "h", "ports": [31000], "ipAddresses": [{"ipAddress": "fd00::1", "protocol": "IPv6"}]}]}"#;
        assert_eq!(
            lines(app).await,
            [
                "[fd00::1]:8080 marathon_app=\"/net\" marathon_image=\"i\" marathon_port_index=\"0\" marathon_task=\"t\""
            ]
        );
    }

    #[tokio::test]
    async fn ports_of_definitions_and_of_tasks() {
        let apps = r#"{"id": "a", "portDefinitions": [{"port": 1234, "labels": {"l": "1"}}, {"port": 1235}],
            "tasks": [{"id": "t", "host": "h", "ports": [31234, 31235]}]},
          {"id": "b", "requirePorts": true, "portDefinitions": [{"port": 80}], "tasks": [{"id": "t", "host": "h", "ports": [1]}]},
          {"id": "c", "tasks": [{"id": "t", "host": "h", "ports": [5]}, {"id": "u", "host": "i", "ports": [6]}]},
          {"id": "d", "tasks": []}"#;
        let targets = |lines: Vec<String>| -> Vec<String> {
            let starts = lines
                .iter()
                .map(|line| line.split(" marathon_image").next().unwrap().to_owned());
            starts.collect()
        };
        assert_eq!(
            targets(lines(apps).await),
            [
                "h:31234 marathon_app=\"a\"",
                "h:31235 marathon_app=\"a\"",
                "h:80 marathon_app=\"b\"",
                "h:5 marathon_app=\"c\"",
                "i:5 marathon_app=\"c\"",
            ]
        );
    }

    #[tokio::test]
    async fn servers_take_turns_and_the_token_may_be_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "in-file\n").unwrap();
        let good = Api::start(|asked| match asked.headers["authorization"].as_str() {
            "token=in-file" => Reply::json(r#"{"apps": []}"#),
            _ => Reply::status(401),
        })
        .await;
        let bad = Api::start(|_| Reply::status(503)).await;
        let mut source = source(vec![good.url(""), bad.url("")], Some(file.path()));
        assert!(source.groups().await.unwrap().is_empty());
        assert_eq!(
            source.groups().await.unwrap_err().to_string(),
            "GET /v2/apps/?embed=apps.tasks: server returned HTTP status 503 Service Unavailable: status 503"
        );
        assert!(source.groups().await.unwrap().is_empty());
        std::fs::remove_file(file.path()).unwrap();
        let error = source.groups().await.unwrap_err().to_string();
        assert!(error.starts_with("unable to read file "), "{error}");
    }
}
