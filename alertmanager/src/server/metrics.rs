//! What the Alertmanager counts.

use ::metrics::{Counter, Family, Gauge, Histogram, Registry};

use super::BUILT_IN;
use crate::dispatch::{ALERTS_MAX, Suppressed};
use crate::notify::{SenderMetrics, TargetMetrics};
use crate::receiver::INTEGRATIONS;
use crate::silence::SilenceState;

/// The instruments of one Alertmanager.
pub(super) struct ServerMetrics {
    pub(super) received: Family<Counter>,
    pub(super) limited: Counter,
    pub(super) alerts: Family<Gauge>,
    pub(super) groups: Gauge,
    pub(super) notifications: Family<Counter>,
    pub(super) notifications_failed: Family<Counter>,
    pub(super) requests: Family<Counter>,
    pub(super) requests_failed: Family<Counter>,
    pub(super) latency: Family<Histogram>,
    pub(super) suppressed: Family<Counter>,
    pub(super) silences: Family<Gauge>,
    pub(super) sender: TargetMetrics,
}

impl ServerMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
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
            suppressed: counter(
                "alertmanager_notifications_suppressed_total",
                "The total number of notifications suppressed for being silenced, inhibited, outside of active time intervals or within muted time intervals.",
                &["reason"],
            ),
            silences: registry.gauge_vec(
                "alertmanager_silences",
                "How many silences by state.",
                &["state"],
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
        for state in SilenceState::ALL {
            self.silences.with(&[state.as_str()]);
        }
        self.count_suppressed(Suppressed::default(), Suppressed::default());
    }

    /// Counts what was suppressed between two moments.
    pub(super) fn count_suppressed(&self, before: Suppressed, now: Suppressed) {
        for (reason, before, now) in [
            ("silence", before.silence, now.silence),
            ("inhibition", before.inhibition, now.inhibition),
            (
                "mute_time_interval",
                before.mute_time_interval,
                now.mute_time_interval,
            ),
            (
                "active_time_interval",
                before.active_time_interval,
                now.active_time_interval,
            ),
        ] {
            self.suppressed.with(&[reason]).add((now - before) as f64);
        }
    }
}
