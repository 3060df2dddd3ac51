//! `kuma_sd_configs`: the targets that a control plane of Kuma assigns.
//!
//! A request tells what we have, and is answered when there is something newer, or after a while with 304.
//!
//! Source: Kuma, "Monitoring Assignment Discovery Service"; Envoy, "xDS REST and gRPC protocol"; Prometheus documentation,
//! `<kuma_sd_config>`.

use std::collections::BTreeMap;
use std::time::Duration;

use model::de::or_default;
use net::outbound::HttpClient;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::TargetGroup;
use super::labels::MetaLabels;
use super::refresh::{RefreshError, Source, exchange, status_error};
use crate::config::sd::KumaSdConfig;
use crate::metrics::DiscoveryMetrics;

const ASKED: &str = "POST /v3/discovery:monitoringassignments";
const KIND: &str = "type.googleapis.com/kuma.observability.v1.MonitoringAssignment";
/// How long an answer may take beyond what we ask the server to wait.
pub(crate) const MARGIN: Duration = Duration::from_secs(15);
/// Who we are, if neither the configuration nor the system says so.
const CLIENT_ID: &str = "prometheus";

/// Asks one control plane.
pub(crate) struct KumaSource {
    client: HttpClient,
    config: KumaSdConfig,
    client_id: String,
    metrics: DiscoveryMetrics,
    /// What the newest answer called itself.
    version: String,
    nonce: String,
    newest: Vec<TargetGroup>,
}

/// Names may come as in protobuf, or in camel case.
#[derive(Deserialize)]
struct Answer {
    #[serde(alias = "versionInfo", default)]
    version_info: String,
    #[serde(default, deserialize_with = "or_default")]
    resources: Vec<Assignment>,
    #[serde(alias = "typeUrl", default)]
    type_url: String,
    #[serde(default)]
    nonce: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Assignment {
    mesh: String,
    service: String,
    #[serde(deserialize_with = "or_default")]
    targets: Vec<Target>,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Target {
    name: String,
    scheme: String,
    address: String,
    #[serde(alias = "metricsPath")]
    metrics_path: String,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
}

impl KumaSource {
    pub(crate) fn new(
        config: &KumaSdConfig,
        client: HttpClient,
        metrics: DiscoveryMetrics,
    ) -> Self {
        let client_id = match config.client_id.as_str() {
            "" => host_name().unwrap_or_else(|| CLIENT_ID.to_owned()),
            id => id.to_owned(),
        };
        KumaSource {
            client,
            config: config.clone(),
            client_id,
            metrics,
            version: String::new(),
            nonce: String::new(),
            newest: Vec::new(),
        }
    }

    async fn ask(&self) -> Result<Option<Answer>, RefreshError> {
        let server = self.config.server.as_str().trim_end_matches('/');
        let url = format!("{server}/v3/discovery:monitoringassignments");
        let request = self.client.post(&url).await;
        let request = request.map_err(|error| RefreshError::of(&error))?;
        let timeout = self.config.fetch_timeout.to_string();
        let request = request
            .query(&[("fetch-timeout", timeout)])
            .header("Accept", "application/json")
            .json(&json!({
                "version_info": self.version,
                "node": { "id": self.client_id },
                "type_url": KIND,
                "response_nonce": self.nonce,
            }));
        let answer = exchange(request).await;
        let (status, _, body) = answer.map_err(|error| error.about(ASKED))?;
        match status {
            StatusCode::OK => serde_json::from_slice(&body)
                .map(Some)
                .map_err(|error| RefreshError(format!("{ASKED}: unexpected answer: {error}"))),
            StatusCode::NOT_MODIFIED => Ok(None),
            status => Err(status_error(status, &body).about(ASKED)),
        }
    }
}

/// Returns the name of this machine.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

fn targets(assignment: &Assignment) -> impl Iterator<Item = BTreeMap<String, String>> {
    assignment.targets.iter().map(|target| {
        let mut labels = MetaLabels::new("kuma_");
        labels.set_all("label_", &target.labels);
        labels.set_all("label_", &assignment.labels);
        labels.set("mesh", &assignment.mesh);
        labels.set("service", &assignment.service);
        labels.set("dataplane", &target.name);
        let mut labels = labels.at_address(target.address.clone());
        for (name, value) in [
            ("instance", &target.name),
            (crate::target::SCHEME, &target.scheme),
            (crate::target::METRICS_PATH, &target.metrics_path),
        ] {
            labels.insert(name.to_owned(), value.clone());
        }
        labels
    })
}

impl Source for KumaSource {
    const NAME: &'static str = "kuma";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let found = self.find().await;
        if found.is_err() {
            self.metrics.kuma_failures.inc();
        }
        found
    }
}

impl KumaSource {
    async fn find(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let Some(answer) = self.ask().await? else {
            self.metrics.kuma_skipped.inc();
            return Ok(self.newest.clone());
        };
        if answer.type_url != KIND {
            return Err(RefreshError(format!(
                "{ASKED}: the answer is of the type {:?}, not {KIND:?}",
                answer.type_url
            )));
        }
        self.newest = vec![TargetGroup {
            source: "kuma".to_owned(),
            targets: answer.resources.iter().flat_map(targets).collect(),
            ..TargetGroup::default()
        }];
        self.version = answer.version_info;
        self.nonce = answer.nonce;
        Ok(self.newest.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use net::http_config::HttpConfig;

    use super::*;
    use crate::discovery::testing::{Answer as Reply, Api, printed};

    fn source(api: &Api) -> KumaSource {
        let config = KumaSdConfig {
            server: serde_json::from_value(api.url("/").into()).unwrap(),
            client_id: "me".to_owned(),
            ..KumaSdConfig::default()
        };
        let client = HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap();
        KumaSource::new(
            &config,
            client,
            DiscoveryMetrics::new(&::metrics::Registry::new()),
        )
    }

    const FIRST: &str = r#"{"version_info": "v1", "type_url": "type.googleapis.com/kuma.observability.v1.MonitoringAssignment",
      "nonce": "n1", "resources": [{"@type": "type.googleapis.com/kuma.observability.v1.MonitoringAssignment",
        "mesh": "default", "service": "backend", "labels": {"kuma.io/zone": "z", "team": "infra"},
        "targets": [{"name": "prometheus-01", "scheme": "http", "address": "10.1.4.32:9090", "metricsPath": "/custom",
          "labels": {"team": "other", "extra": "1"}},
         {"name": "prometheus-02", "address": "10.1.4.33:9090"}]}]}"#;

    #[tokio::test]
    async fn assignments_until_there_are_newer_ones() {
        let api = Api::start(|asked| {
            assert_eq!(asked.path, "/v3/discovery:monitoringassignments");
            assert_eq!(asked.query, "fetch-timeout=2m");
            let body: serde_json::Value = serde_json::from_str(&asked.body).unwrap();
            assert_eq!(
                (&body["node"]["id"], &body["type_url"]),
                (&"me".into(), &KIND.into())
            );
            match (
                body["version_info"].as_str(),
                body["response_nonce"].as_str(),
            ) {
                (Some(""), Some("")) => Reply::json(FIRST),
                (Some("v1"), Some("n1")) => Reply::Whole(304, "text/plain", String::new()),
                _ => Reply::status(400),
            }
        })
        .await;
        let mut source = source(&api);
        let groups = source.groups().await.unwrap();
        assert_eq!(
            printed(&groups),
            [
                "10.1.4.32:9090 __metrics_path__=\"/custom\" __scheme__=\"http\" instance=\"prometheus-01\" \
                 kuma_dataplane=\"prometheus-01\" kuma_label_extra=\"1\" kuma_label_kuma_io_zone=\"z\" \
                 kuma_label_team=\"infra\" kuma_mesh=\"default\" kuma_service=\"backend\"",
                "10.1.4.33:9090 __metrics_path__=\"\" __scheme__=\"\" instance=\"prometheus-02\" \
                 kuma_dataplane=\"prometheus-02\" kuma_label_kuma_io_zone=\"z\" kuma_label_team=\"infra\" \
                 kuma_mesh=\"default\" kuma_service=\"backend\"",
            ]
            .map(sorted)
        );
        assert_eq!(source.groups().await.unwrap(), groups);
        assert!((source.metrics.kuma_skipped.value() - 1.0).abs() < 0.5);
        assert_eq!(api.asked().len(), 2);
    }

    /// Names are sorted with the `__meta_` that is not printed.
    fn sorted(line: &str) -> String {
        let (address, pairs) = line.split_once(' ').unwrap();
        let mut pairs: Vec<&str> = pairs.split(' ').collect();
        pairs.sort_by_key(|pair| match pair.starts_with("kuma_") {
            true => format!("__meta_{pair}"),
            false => (*pair).to_owned(),
        });
        format!("{address} {}", pairs.join(" "))
    }

    #[tokio::test]
    async fn errors_keep_the_version() {
        let api = Api::start(|asked| match asked.body.contains("\"v1\"") {
            true => Reply::status(503),
            false => Reply::json(FIRST),
        })
        .await;
        let mut source = source(&api);
        source.groups().await.unwrap();
        for _ in 0..2 {
            assert_eq!(
                source.groups().await.unwrap_err().to_string(),
                "POST /v3/discovery:monitoringassignments: server returned HTTP status 503 Service Unavailable: status 503"
            );
        }
    }

    #[tokio::test]
    async fn answers_of_another_type() {
        let api = Api::start(|_| Reply::json(r#"{"typeUrl": "x", "resources": []}"#)).await;
        assert!(
            source(&api)
                .groups()
                .await
                .unwrap_err()
                .to_string()
                .contains("of the type \"x\"")
        );
    }
}
