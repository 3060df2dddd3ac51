//! Alerts to other Alertmanagers: `POST <path_prefix>/api/v2/alerts`, a queue and a task for each.
//!
//! Source: the `alerting` section of Prometheus' configuration documentation.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use metrics::Registry;
use model::Duration;
use parking_lot::Mutex;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Notifier, SenderMetrics, TargetMetrics};
use crate::alert::Alert;
use crate::http::{Authorization, BasicAuth, ClientError, HttpConfig, TlsConfig, chain};
use crate::template::time::rfc3339;

/// Alerts that wait for one Alertmanager; when it is full, the oldest are dropped and counted.
const QUEUE_CAPACITY: usize = 10_000;
/// Alerts in one request.
const BATCH_MAX: usize = 256;
/// How long a shutdown tries to send what is queued.
const DRAIN_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// The `alerting` section of the configuration.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertingConfig {
    /// Relabelling of alerts; not built yet.
    #[serde(default)]
    pub alert_relabel_configs: Vec<IgnoredAny>,
    /// Where alerts go.
    #[serde(default)]
    pub alertmanagers: Vec<AlertmanagerTargetConfig>,
}

/// One set of Alertmanagers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct AlertmanagerTargetConfig {
    /// `http` or `https`.
    #[serde(default = "default_scheme")]
    pub scheme: String,
    /// What comes before `/api/v2/alerts`.
    #[serde(default)]
    pub path_prefix: String,
    /// How long one request may take.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
    /// The version of the API; there is only one.
    #[serde(default)]
    pub api_version: ApiVersion,
    /// The addresses.
    #[serde(default)]
    pub static_configs: Vec<StaticTargets>,
    /// User and password.
    pub basic_auth: Option<BasicAuth>,
    /// Another `Authorization` header.
    pub authorization: Option<Authorization>,
    /// How the server's certificate is checked.
    pub tls_config: Option<TlsConfig>,
    /// Whether redirects are followed.
    pub follow_redirects: Option<bool>,
    /// The keys that are not built yet: discovery, relabelling and the rest of the HTTP client's.
    #[serde(flatten)]
    pub others: BTreeMap<String, IgnoredAny>,
}

/// Addresses that are written down.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticTargets {
    /// `host:port` each.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Labels for relabelling; unused so far.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// The version of Alertmanager's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
pub enum ApiVersion {
    /// The only one.
    #[default]
    #[serde(rename = "v2")]
    V2,
}

fn default_scheme() -> String {
    "http".to_owned()
}

fn default_timeout() -> Duration {
    Duration::from_secs(10)
}

impl AlertingConfig {
    /// Checks the section; returns warnings about what is not built yet.
    ///
    /// # Errors
    ///
    /// What is wrong, for a person.
    pub fn check(&self) -> Result<Vec<String>, String> {
        let mut warnings = Vec::new();
        if !self.alert_relabel_configs.is_empty() {
            warnings.push(
                "alerting.alert_relabel_configs is not built yet: alerts are sent as they are"
                    .to_owned(),
            );
        }
        for target in &self.alertmanagers {
            if !matches!(target.scheme.as_str(), "http" | "https") {
                return Err(format!(
                    "alerting.alertmanagers: scheme {:?} is not http or https",
                    target.scheme
                ));
            }
            for key in target.others.keys() {
                let is_unbuilt = key.ends_with("_sd_configs")
                    || key.ends_with("relabel_configs")
                    || key == "sigv4";
                if is_unbuilt {
                    warnings.push(format!(
                        "alerting.alertmanagers: {key} is not built yet and ignored"
                    ));
                }
            }
            warnings.extend(target.http()?.check()?);
            for address in target.addresses() {
                let url = target.url(address);
                if reqwest::Url::parse(&url).is_err() || address.contains('/') {
                    return Err(format!(
                        "alerting.alertmanagers: {address:?} is not a valid hostname (write it like host:9093)"
                    ));
                }
            }
        }
        Ok(warnings)
    }
}

impl AlertmanagerTargetConfig {
    fn addresses(&self) -> impl Iterator<Item = &str> {
        self.static_configs
            .iter()
            .flat_map(|targets| &targets.targets)
            .map(String::as_str)
    }

    fn url(&self, address: &str) -> String {
        let prefix = self.path_prefix.trim_matches('/');
        let separator = if prefix.is_empty() { "" } else { "/" };
        format!(
            "{}://{address}{separator}{prefix}/api/v2/alerts",
            self.scheme
        )
    }

    fn http(&self) -> Result<HttpConfig, String> {
        let mut others = self.others.clone();
        others.retain(|key, _| {
            !key.ends_with("_sd_configs") && !key.ends_with("relabel_configs") && key != "sigv4"
        });
        Ok(HttpConfig {
            basic_auth: self.basic_auth.clone(),
            authorization: self.authorization.clone(),
            bearer_token: None,
            follow_redirects: self.follow_redirects,
            tls_config: self.tls_config.clone(),
            others,
        })
    }
}

/// Sends alerts to other Alertmanagers.
pub struct RemoteNotifier {
    targets: Vec<Arc<Target>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct Target {
    url: String,
    http: HttpConfig,
    client: reqwest::Client,
    queue: Mutex<VecDeque<Alert>>,
    arrived: Notify,
    metrics: TargetMetrics,
}

impl RemoteNotifier {
    /// Starts a task for each Alertmanager of `config`. Must be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// When a client cannot be made.
    pub fn start(config: &AlertingConfig, registry: &Registry) -> Result<Self, ClientError> {
        let metrics = SenderMetrics::new(registry);
        let notifier = RemoteNotifier {
            targets: targets(config, &metrics)?,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        metrics.discovered.set(notifier.targets.len() as f64);
        for target in &notifier.targets {
            notifier
                .tasks
                .spawn(Arc::clone(target).run(notifier.stop.clone()));
        }
        Ok(notifier)
    }

    /// Returns the URLs that alerts are posted to, as `/api/v1/alertmanagers` shows them.
    pub fn urls(&self) -> Vec<String> {
        self.targets
            .iter()
            .map(|target| target.url.clone())
            .collect()
    }

    /// Sends what is queued, for ten seconds at most, and stops.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("alerts were left unsent at shutdown");
        }
    }
}

fn targets(
    config: &AlertingConfig,
    metrics: &SenderMetrics,
) -> Result<Vec<Arc<Target>>, ClientError> {
    let mut targets: Vec<Arc<Target>> = Vec::new();
    for set in &config.alertmanagers {
        let http = set.http().unwrap_or_default();
        let client = http.client(Some(set.timeout))?;
        for address in set.addresses() {
            let url = set.url(address);
            if targets.iter().any(|target| target.url == url) {
                continue;
            }
            let metrics = metrics.target(&url);
            metrics.queue_capacity.set(QUEUE_CAPACITY as f64);
            targets.push(Arc::new(Target {
                url,
                http: http.clone(),
                client: client.clone(),
                queue: Mutex::default(),
                arrived: Notify::new(),
                metrics,
            }));
        }
    }
    Ok(targets)
}

impl Notifier for RemoteNotifier {
    fn notify(&self, alerts: &[Alert]) {
        for target in &self.targets {
            target.push(alerts);
        }
    }
}

impl Target {
    fn push(&self, alerts: &[Alert]) {
        let mut queue = self.queue.lock();
        queue.extend(alerts.iter().cloned());
        let over = queue.len().saturating_sub(QUEUE_CAPACITY);
        if 0 < over {
            queue.drain(..over);
            self.metrics.dropped.add(over as f64);
            tracing::warn!(
                alertmanager = self.url,
                dropped = over,
                "the alert queue is full"
            );
        }
        self.metrics.queue_length.set(queue.len() as f64);
        drop(queue);
        self.arrived.notify_one();
    }

    fn pop(&self) -> Vec<Alert> {
        let mut queue = self.queue.lock();
        let count = queue.len().min(BATCH_MAX);
        let batch = queue.drain(..count).collect();
        self.metrics.queue_length.set(queue.len() as f64);
        batch
    }

    async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let batch = self.pop();
            if !batch.is_empty() {
                self.send(&batch).await;
                continue;
            }
            if stop.is_cancelled() {
                return;
            }
            tokio::select! {
                () = self.arrived.notified() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn send(&self, batch: &[Alert]) {
        let count = batch.len() as f64;
        match self.post(batch).await {
            Ok(()) => self.metrics.sent.add(count),
            Err(error) => {
                self.metrics.errors.add(count);
                self.metrics.dropped.add(count);
                tracing::error!(
                    alertmanager = self.url,
                    count = batch.len(),
                    error,
                    "sending alerts failed"
                );
            }
        }
    }

    async fn post(&self, batch: &[Alert]) -> Result<(), String> {
        let body: Vec<_> = batch.iter().map(PostedAlert::new).collect();
        let request = self
            .http
            .authorize(self.client.post(&self.url).json(&body))
            .map_err(|error| chain(&error))?;
        let response = request.send().await.map_err(|error| chain(&error))?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(format!("bad response status {}", response.status()))
    }
}

/// An alert as Alertmanager's API takes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PostedAlert<'a> {
    labels: BTreeMap<&'a str, &'a str>,
    annotations: BTreeMap<&'a str, &'a str>,
    starts_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
}

impl<'a> PostedAlert<'a> {
    fn new(alert: &'a Alert) -> Self {
        PostedAlert {
            labels: alert.labels.iter().collect(),
            annotations: alert.annotations.iter().collect(),
            starts_at: rfc3339(alert.starts_at_ms),
            ends_at: alert.ends_at_ms.map(rfc3339),
            generator_url: &alert.generator_url,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::testing::HttpSink;
    use model::Labels;

    fn alert(name: &str) -> Alert {
        Alert {
            labels: Labels::from_pairs([("alertname", name)]),
            annotations: Labels::from_pairs([("summary", "s")]),
            starts_at_ms: 1_772_359_200_123,
            ends_at_ms: Some(1_772_359_500_000),
            generator_url: "http://p/graph".to_owned(),
        }
    }

    fn config(text: &str) -> AlertingConfig {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn the_section_is_checked() {
        let good = config(
            "alertmanagers:\n- path_prefix: /am\n  static_configs: [{targets: ['a:9093']}]\n",
        );
        assert_eq!(good.check(), Ok(vec![]));
        assert_eq!(
            good.alertmanagers[0].url("a:9093"),
            "http://a:9093/am/api/v2/alerts"
        );
        let unbuilt = config(
            "alert_relabel_configs: [{}]\nalertmanagers:\n- dns_sd_configs: []\n  relabel_configs: []\n",
        );
        assert_eq!(unbuilt.check().unwrap().len(), 3);
        assert!(
            config("alertmanagers: [{nonsense: 1}]")
                .check()
                .unwrap_err()
                .contains("field nonsense not found")
        );
        assert!(
            config("alertmanagers: [{static_configs: [{targets: ['http://bad']}]}]")
                .check()
                .unwrap_err()
                .contains("not a valid hostname")
        );
        assert!(
            serde_saphyr::from_str::<AlertingConfig>("alertmanagers: [{api_version: v1}]").is_err()
        );
    }

    #[tokio::test]
    async fn alerts_are_posted_in_batches() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut sink = HttpSink::start(200).await;
        let text = format!(
            "alertmanagers: [{{static_configs: [{{targets: ['{}']}}], basic_auth: {{username: u, password: p}}}}]",
            sink.address
        );
        let registry = Registry::new();
        let notifier = RemoteNotifier::start(&config(&text), &registry).unwrap();
        let alerts: Vec<_> = (0..300).map(|i| alert(&format!("A{i}"))).collect();
        notifier.notify(&alerts);
        let first = sink.next().await;
        assert!(
            first.head.starts_with("POST /api/v2/alerts HTTP/1.1"),
            "{}",
            first.head
        );
        assert!(
            first
                .head
                .to_lowercase()
                .contains("authorization: basic dtpw"),
            "{}",
            first.head
        );
        let posted: serde_json::Value = serde_json::from_str(&first.body).unwrap();
        assert_eq!(posted.as_array().unwrap().len(), 256);
        assert_eq!(
            posted[0],
            serde_json::json!({
                "labels": {"alertname": "A0"}, "annotations": {"summary": "s"}, "startsAt": "2026-03-01T10:00:00.123Z",
                "endsAt": "2026-03-01T10:05:00Z", "generatorURL": "http://p/graph"
            })
        );
        let second: serde_json::Value = serde_json::from_str(&sink.next().await.body).unwrap();
        assert_eq!(second.as_array().unwrap().len(), 44);
        notifier.shutdown().await;
    }
}
