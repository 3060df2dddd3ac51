//! Alerts to other Alertmanagers: `POST <path_prefix>/api/v2/alerts`, a queue and a task for each.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use metrics::Registry;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{AlertingConfig, Notifier, SenderMetrics, TargetMetrics};
use crate::alert::Alert;
use crate::http::{ClientError, HttpClient, chain};
use crate::template::time::rfc3339;

/// Alerts that wait for one Alertmanager; when it is full, the oldest are dropped and counted.
const QUEUE_CAPACITY: usize = 10_000;
/// Alerts in one request.
const BATCH_MAX: usize = 256;
/// How long a shutdown tries to send what is queued.
const DRAIN_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Sends alerts to other Alertmanagers.
pub struct RemoteNotifier {
    targets: Vec<Arc<Target>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct Target {
    url: String,
    client: Arc<HttpClient>,
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
        let client = HttpClient::new(set.http_config(), &config.base_dir, Some(set.timeout))?;
        let client = Arc::new(client);
        for address in set.addresses() {
            let url = set.url(address);
            if targets.iter().any(|target| target.url == url) {
                continue;
            }
            let metrics = metrics.target(&url);
            metrics.queue_capacity.set(QUEUE_CAPACITY as f64);
            targets.push(Arc::new(Target {
                url,
                client: Arc::clone(&client),
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
        let request = self.client.post(&self.url).await;
        let request = request.map_err(|error| chain(&error))?;
        let response = request.json(&body).send().await;
        let response = response.map_err(|error| chain(&error))?;
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

    #[tokio::test]
    async fn alerts_are_posted_in_batches() {
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
