//! What sending says about itself, under the names that Prometheus gives the same things.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::{Counter, Family, Gauge, Registry, Summary};
use parking_lot::Mutex;

/// The sender's metrics, by Alertmanager.
#[derive(Clone)]
pub(crate) struct SenderMetrics {
    queue_length: Family<Gauge>,
    queue_capacity: Family<Gauge>,
    dropped: Family<Counter>,
    errors: Family<Counter>,
    sent: Family<Counter>,
    latency: Family<Summary>,
    pub(crate) discovered: Gauge,
    /// How many targets report under each URL: two sets may have the same Alertmanager.
    targets: Arc<Mutex<HashMap<String, usize>>>,
}

/// The metrics of one Alertmanager; they are removed with the last target of its URL.
pub(crate) struct TargetMetrics {
    pub(crate) queue_length: Gauge,
    pub(crate) queue_capacity: Gauge,
    pub(crate) dropped: Counter,
    pub(crate) errors: Counter,
    pub(crate) sent: Counter,
    pub(crate) latency: Summary,
    url: String,
    all: SenderMetrics,
}

impl SenderMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let target = &["alertmanager"];
        let counter = |name: &str, help: &str| registry.counter_vec(name, help, target);
        let gauge = |name: &str, help: &str| registry.gauge_vec(name, help, target);
        SenderMetrics {
            queue_length: gauge(
                "prometheus_notifications_queue_length",
                "The number of alert notifications in the queue.",
            ),
            queue_capacity: gauge(
                "prometheus_notifications_queue_capacity",
                "The capacity of the alert notifications queue.",
            ),
            dropped: counter(
                "prometheus_notifications_dropped_total",
                "Total number of alerts dropped due to errors when sending to Alertmanager.",
            ),
            errors: counter(
                "prometheus_notifications_errors_total",
                "Total number of sent alerts affected by errors.",
            ),
            sent: counter(
                "prometheus_notifications_sent_total",
                "Total number of alerts sent.",
            ),
            latency: registry.summary_vec(
                "prometheus_notifications_latency_seconds",
                "Latency quantiles for sending alert notifications.",
                target,
                &[0.5, 0.9, 0.99],
            ),
            discovered: registry.gauge(
                "prometheus_notifications_alertmanagers_discovered",
                "The number of alertmanagers discovered and active.",
            ),
            targets: Arc::default(),
        }
    }

    /// Returns the metrics of the Alertmanager at `url`.
    pub(crate) fn target(&self, url: &str) -> TargetMetrics {
        *self.targets.lock().entry(url.to_owned()).or_default() += 1;
        let label = &[url];
        TargetMetrics {
            queue_length: self.queue_length.with(label),
            queue_capacity: self.queue_capacity.with(label),
            dropped: self.dropped.with(label),
            errors: self.errors.with(label),
            sent: self.sent.with(label),
            latency: self.latency.with(label),
            url: url.to_owned(),
            all: self.clone(),
        }
    }
}

impl Drop for TargetMetrics {
    fn drop(&mut self) {
        let mut targets = self.all.targets.lock();
        let count = targets.get(&self.url).map_or(0, |count| count - 1);
        if 0 < count {
            targets.insert(std::mem::take(&mut self.url), count);
            return;
        }
        targets.remove(&self.url);
        let label = &[self.url.as_str()];
        self.all.queue_length.remove(label);
        self.all.queue_capacity.remove(label);
        self.all.dropped.remove(label);
        self.all.errors.remove(label);
        self.all.sent.remove(label);
        self.all.latency.remove(label);
    }
}
