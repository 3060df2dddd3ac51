//! Where rules send their alerts: the built-in Alertmanager, others by HTTP, or several of them.

mod config;
mod remote;

use std::sync::Arc;

use arc_swap::ArcSwap;
use metrics::{Counter, Family, Gauge, Registry};

pub use config::{AlertingConfig, AlertmanagerTargetConfig, ApiVersion, Scheme, StaticTargets};
pub use remote::RemoteNotifier;

use crate::alert::Alert;
pub use net::outbound::ClientError;

/// Takes the alerts that rules send.
///
/// Called from worker threads, often; it must not block on I/O. What it cannot take it drops and counts: rules send firing
/// alerts again.
pub trait Notifier: Send + Sync {
    /// Takes alerts over.
    fn notify(&self, alerts: &[Alert]);
}

/// A notifier that hands everything to a changeable list of others.
pub struct FanOut {
    targets: ArcSwap<Vec<Arc<dyn Notifier>>>,
}

impl FanOut {
    /// Returns a notifier that hands on to `targets`.
    pub fn new(targets: Vec<Arc<dyn Notifier>>) -> Self {
        FanOut {
            targets: ArcSwap::from_pointee(targets),
        }
    }

    /// Replaces the targets, as at a reload.
    pub fn set(&self, targets: Vec<Arc<dyn Notifier>>) {
        self.targets.store(Arc::new(targets));
    }
}

impl Notifier for FanOut {
    fn notify(&self, alerts: &[Alert]) {
        for target in self.targets.load().iter() {
            target.notify(alerts);
        }
    }
}

/// The sender's metrics, by Alertmanager.
#[derive(Clone)]
pub(crate) struct SenderMetrics {
    queue_length: Family<Gauge>,
    queue_capacity: Family<Gauge>,
    dropped: Family<Counter>,
    errors: Family<Counter>,
    sent: Family<Counter>,
    pub(crate) discovered: Gauge,
}

/// The sender's metrics for one Alertmanager.
pub(crate) struct TargetMetrics {
    pub(crate) queue_length: Gauge,
    pub(crate) queue_capacity: Gauge,
    pub(crate) dropped: Counter,
    pub(crate) errors: Counter,
    pub(crate) sent: Counter,
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
            discovered: registry.gauge(
                "prometheus_notifications_alertmanagers_discovered",
                "The number of alertmanagers discovered and active.",
            ),
        }
    }

    pub(crate) fn target(&self, alertmanager: &str) -> TargetMetrics {
        let label = &[alertmanager];
        TargetMetrics {
            queue_length: self.queue_length.with(label),
            queue_capacity: self.queue_capacity.with(label),
            dropped: self.dropped.with(label),
            errors: self.errors.with(label),
            sent: self.sent.with(label),
        }
    }
}
