//! The built-in Alertmanager: the dispatcher, its timer, and the senders.
//!
//! One task owns the timer and the notifications on their way; the dispatcher is behind a mutex that is held for
//! microseconds, so that rules hand their alerts over without a queue. At most [`SENDING_MAX`] notifications are sent at
//! once; the others wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{Counter, Family, Gauge, Histogram, Registry};
use model::time::Clock;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::alert::Alert;
use crate::config::AlertmanagerConfig;
use crate::dispatch::{ALERTS_MAX, AlertSnapshot, Dispatcher, Notification};
use crate::notify::{Notifier, SenderMetrics, TargetMetrics};
use crate::receiver::{INTEGRATIONS, Integration, Message, SendError};
use crate::template::Template;

/// Notifications that are sent at once; further ones wait for their turn.
const SENDING_MAX: usize = 64;
/// The timer's longest sleep: a wall clock that jumps is noticed after this time.
const SLEEP_MAX: Duration = Duration::from_secs(10);
/// How long a shutdown waits for notifications on their way.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// What rules' metrics call the Alertmanager in this process.
const BUILT_IN: &str = "builtin";

/// The built-in Alertmanager. Dropping it leaves its task running; [`shutdown`](Alertmanager::shutdown) ends it.
pub struct Alertmanager {
    shared: Arc<Shared>,
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    dispatcher: Mutex<Dispatcher>,
    /// Of the dispatcher's configuration; lock order: dispatcher, then this.
    integrations: Mutex<Arc<Integrations>>,
    clock: Arc<dyn Clock>,
    external_url: String,
    metrics: ServerMetrics,
    changed: Notify,
    stop: CancellationToken,
    sending: Arc<Semaphore>,
}

/// The ways to tell, by receiver, kind and position.
struct Integrations {
    ways: HashMap<(String, &'static str, usize), Arc<Integration>>,
    /// What their templates may call.
    templates: Arc<Template>,
}

struct ServerMetrics {
    received: Family<Counter>,
    limited: Counter,
    alerts: Family<Gauge>,
    groups: Gauge,
    notifications: Family<Counter>,
    notifications_failed: Family<Counter>,
    requests: Family<Counter>,
    requests_failed: Family<Counter>,
    latency: Family<Histogram>,
    sender: TargetMetrics,
}

impl ServerMetrics {
    fn new(registry: &Registry) -> Self {
        let counter =
            |name: &str, help: &str, labels: &[&str]| registry.counter_vec(name, help, labels);
        let sender = SenderMetrics::new(registry).target(BUILT_IN);
        sender.queue_capacity.set(ALERTS_MAX as f64);
        let metrics = ServerMetrics {
            received: counter(
                "alertmanager_alerts_received_total",
                "The total number of received alerts.",
                &["status", "version"],
            ),
            limited: registry.counter(
                "alertmanager_alerts_limited_total",
                "The number of alerts that were refused because there are too many.",
            ),
            alerts: registry.gauge_vec(
                "alertmanager_alerts",
                "How many alerts by state.",
                &["state"],
            ),
            groups: registry.gauge(
                "alertmanager_dispatcher_aggregation_groups",
                "Number of active aggregation groups.",
            ),
            notifications: counter(
                "alertmanager_notifications_total",
                "The total number of attempted notifications.",
                &["integration"],
            ),
            notifications_failed: counter(
                "alertmanager_notifications_failed_total",
                "The total number of failed notifications.",
                &["integration", "reason"],
            ),
            requests: counter(
                "alertmanager_notification_requests_total",
                "The total number of attempted notification requests.",
                &["integration"],
            ),
            requests_failed: counter(
                "alertmanager_notification_requests_failed_total",
                "The total number of failed notification requests.",
                &["integration"],
            ),
            latency: registry.histogram_vec(
                "alertmanager_notification_latency_seconds",
                "The latency of notifications in seconds.",
                &["integration"],
                &[1.0, 5.0, 10.0, 15.0, 20.0],
            ),
            sender,
        };
        metrics.start_at_zero();
        metrics
    }

    /// Shows every series from the start, so that rates over it see the first increase.
    fn start_at_zero(&self) {
        for integration in INTEGRATIONS {
            self.notifications.with(&[integration]);
            self.requests.with(&[integration]);
            self.requests_failed.with(&[integration]);
            self.latency.with(&[integration]);
            for reason in [
                "clientError",
                "serverError",
                "contextCanceled",
                "contextDeadlineExceeded",
                "other",
            ] {
                self.notifications_failed.with(&[integration, reason]);
            }
        }
        for status in ["firing", "resolved"] {
            self.received.with(&[status, "v2"]);
        }
        for state in ["active", "suppressed", "unprocessed"] {
            self.alerts.with(&[state]);
        }
    }
}

impl Alertmanager {
    /// Starts an Alertmanager. Must be called within a Tokio runtime. `external_url` has no slash at the end.
    ///
    /// # Errors
    ///
    /// When a receiver cannot be made, for a person.
    pub fn start(
        config: AlertmanagerConfig,
        clock: Arc<dyn Clock>,
        registry: &Registry,
        external_url: &str,
    ) -> Result<Self, String> {
        let integrations = integrations(&config)?;
        let shared = Arc::new(Shared {
            dispatcher: Mutex::new(Dispatcher::new(Arc::new(config))),
            integrations: Mutex::new(Arc::new(integrations)),
            clock,
            external_url: external_url.to_owned(),
            metrics: ServerMetrics::new(registry),
            changed: Notify::new(),
            stop: CancellationToken::new(),
            sending: Arc::new(Semaphore::new(SENDING_MAX)),
        });
        let task = tokio::spawn(run(Arc::clone(&shared)));
        Ok(Alertmanager {
            shared,
            task: tokio::sync::Mutex::new(Some(task)),
        })
    }

    /// Returns where rules send their alerts.
    pub fn handle(&self) -> Arc<dyn Notifier> {
        Arc::new(Handle(Arc::clone(&self.shared)))
    }

    /// Goes over to another configuration; what was told already is not told again.
    ///
    /// # Errors
    ///
    /// When a receiver cannot be made; then nothing changes.
    pub fn apply(&self, config: AlertmanagerConfig) -> Result<(), String> {
        let integrations = integrations(&config)?;
        let now_ms = self.shared.clock.now_ms();
        let mut dispatcher = self.shared.dispatcher.lock();
        dispatcher.apply(Arc::new(config), now_ms);
        *self.shared.integrations.lock() = Arc::new(integrations);
        drop(dispatcher);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Returns the alerts that fire, by fingerprint.
    pub fn alerts(&self) -> Vec<AlertSnapshot> {
        self.shared
            .dispatcher
            .lock()
            .alerts(self.shared.clock.now_ms())
    }

    /// Stops: no new notifications, and five seconds for those on their way.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        if let Some(task) = self.task.lock().await.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the task of the alertmanager ended badly");
        }
    }
}

fn integrations(config: &AlertmanagerConfig) -> Result<Integrations, String> {
    let templates = config.load_templates().map_err(|error| error.to_string())?;
    let mut ways = HashMap::new();
    for receiver in &config.receivers {
        let made = Integration::of(receiver, &config.base_dir)
            .map_err(|error| format!("receiver {:?}: {error}", receiver.name))?;
        for (kind, index, integration) in made {
            ways.insert((receiver.name.clone(), kind, index), Arc::new(integration));
        }
    }
    Ok(Integrations {
        ways,
        templates: Arc::new(templates),
    })
}

struct Handle(Arc<Shared>);

impl Notifier for Handle {
    fn notify(&self, alerts: &[Alert]) {
        self.0.insert(alerts);
    }
}

impl Shared {
    fn insert(&self, alerts: &[Alert]) {
        let now_ms = self.clock.now_ms();
        let is_over = |alert: &&Alert| alert.ends_at_ms.is_some_and(|end| end <= now_ms);
        let resolved = alerts.iter().filter(is_over).count();
        self.metrics
            .received
            .with(&["firing", "v2"])
            .add((alerts.len() - resolved) as f64);
        self.metrics
            .received
            .with(&["resolved", "v2"])
            .add(resolved as f64);
        let refused = self
            .dispatcher
            .lock()
            .insert(alerts.iter().cloned(), now_ms);
        self.metrics
            .sender
            .sent
            .add((alerts.len() - refused) as f64);
        if 0 < refused {
            self.metrics.limited.add(refused as f64);
            self.metrics.sender.dropped.add(refused as f64);
            self.metrics.sender.errors.add(refused as f64);
            tracing::error!(
                refused,
                limit = ALERTS_MAX,
                "alerts were refused: there are too many"
            );
        }
        self.changed.notify_one();
    }

    /// Flushes what is due; returns the notifications, who sends them, and how long nothing more is due.
    fn flush(&self) -> (Vec<Notification>, Arc<Integrations>, Duration) {
        let now_ms = self.clock.now_ms();
        let mut dispatcher = self.dispatcher.lock();
        let notifications = dispatcher.due(now_ms);
        let counts = dispatcher.counts(now_ms);
        let wait_ms = dispatcher
            .next_due()
            .map_or(i64::MAX, |due_ms| due_ms - now_ms);
        let integrations = Arc::clone(&self.integrations.lock());
        drop(dispatcher);
        self.metrics
            .alerts
            .with(&["active"])
            .set(counts.active as f64);
        self.metrics.groups.set(counts.groups as f64);
        let wait = model::Duration::from_ms(wait_ms).to_std().min(SLEEP_MAX);
        (notifications, integrations, wait)
    }

    /// Sends one notification, with retries.
    async fn send(self: Arc<Self>, notification: Notification, integrations: Arc<Integrations>) {
        let key = &notification.integration;
        let kind = key.kind;
        let Ok(_permit) = self.sending.acquire().await else {
            return;
        };
        let mut message = Message::new(&notification, &self.external_url, self.clock.now_ms());
        message.templates = Arc::clone(&integrations.templates);
        let timeout = model::Duration::from_ms(notification.timeout_ms).to_std();
        self.metrics.notifications.with(&[kind]).inc();
        let result = match integrations
            .ways
            .get(&(key.receiver.clone(), kind, key.index))
        {
            Some(integration) => {
                let attempted = |result: Result<(), &SendError>| {
                    self.metrics.requests.with(&[kind]).inc();
                    if result.is_err() {
                        self.metrics.requests_failed.with(&[kind]).inc();
                    }
                };
                let start = Instant::now();
                let result = integration
                    .send_with_retries(&message, timeout, attempted)
                    .await;
                self.metrics.latency.with(&[kind]).observe_since(start);
                result
            }
            // The receivers are made of the same configuration as the notification.
            None => Err(SendError {
                message: "the receiver is gone".to_owned(),
                is_retryable: false,
                reason: "contextCanceled",
            }),
        };
        if let Err(error) = &result {
            self.metrics
                .notifications_failed
                .with(&[kind, error.reason])
                .inc();
            tracing::error!(
                receiver = key.receiver,
                integration = kind,
                group = key.group_key,
                alerts = notification.alerts.len(),
                %error,
                "a notification failed"
            );
        }
        let now_ms = self.clock.now_ms();
        self.dispatcher
            .lock()
            .finish(&notification, result.is_ok(), now_ms);
    }
}

/// The Alertmanager's task.
async fn run(shared: Arc<Shared>) {
    let mut senders = JoinSet::new();
    while !shared.stop.is_cancelled() {
        let (notifications, integrations, wait) = shared.flush();
        for notification in notifications {
            senders.spawn(Arc::clone(&shared).send(notification, Arc::clone(&integrations)));
        }
        tokio::select! {
            () = shared.stop.cancelled() => {}
            () = shared.changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
            Some(ended) = senders.join_next() => note_end(ended),
        }
    }
    let drain = async {
        while let Some(ended) = senders.join_next().await {
            note_end(ended);
        }
    };
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, drain).await.is_err() {
        tracing::warn!(
            unsent = senders.len(),
            "notifications were left unsent at shutdown"
        );
        senders.shutdown().await;
    }
}

fn note_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "sending a notification ended badly");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::testing::HttpSink;
    use model::Labels;
    use model::time::ManualClock;

    fn alert(ends_at_ms: i64) -> Alert {
        Alert {
            labels: Labels::from_pairs([("alertname", "A")]),
            annotations: Labels::empty(),
            starts_at_ms: 1_000_000,
            ends_at_ms: Some(ends_at_ms),
            generator_url: String::new(),
        }
    }

    #[tokio::test]
    async fn tells_firing_and_resolved() {
        let mut sink = HttpSink::start(200).await;
        let text = format!(
            "route: {{receiver: a, group_wait: 1s, group_interval: 5s}}\nreceivers: [{{name: a, webhook_configs: [{{url: 'http://{}/'}}]}}]",
            sink.address
        );
        let clock = ManualClock::at(1_000_500);
        let registry = Registry::new();
        let config = AlertmanagerConfig::parse(&text).unwrap();
        let alertmanager =
            Alertmanager::start(config, Arc::new(clock.clone()), &registry, "http://am").unwrap();
        let handle = alertmanager.handle();
        handle.notify(&[alert(9_000_000)]);
        assert_eq!(alertmanager.alerts().len(), 1);
        clock.advance(1_000);
        handle.notify(&[]);
        assert!(sink.next().await.body.contains("\"status\":\"firing\""));
        while 0 < alertmanager.shared.dispatcher.lock().sending() {
            tokio::task::yield_now().await;
        }
        clock.advance(6_000);
        handle.notify(&[alert(1_006_000)]);
        let body = sink.next().await.body;
        assert!(
            body.contains("\"notification_reason\":\"all alerts resolved\""),
            "{body}"
        );
        assert!(
            body.contains("\"endsAt\":\"1970-01-01T00:16:46Z\""),
            "{body}"
        );
        alertmanager.shutdown().await;
    }
}
