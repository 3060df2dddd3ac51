//! Groups of alerts and when they are told: the Alertmanager's clockwork, without sockets and tasks.
//!
//! ```text
//! insert ──► route ──► group ── due (timer) ──► mute ──► dedup against the log, per integration ──► Notification
//!                        ▲                                                                     │
//!                        └── resolved alerts leave ◄── finish (sent or failed) ◄───────────────┘
//! ```
//!
//! What is inhibited, or muted by the time intervals of its route, counts as told: it is not told later that it was resolved.
//!
//! A group's timer starts with `group_wait` and goes on with `group_interval`. At each flush every integration of the
//! receiver decides for itself, by the log of what it told last, whether there is something to tell. A failed notification
//! is not logged, so the next flush tries again. An integration that is still sending sits out a flush and holds nobody
//! else back.
//!
//! Source: Alertmanager's documentation; the table of reasons is that of its notification log.

mod log;
#[cfg(test)]
#[path = "dispatch/tests.rs"]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::Labels;

use self::log::{Log, LogEntry};
use crate::alert::{Alert, NotifiedAlert, StoredAlert};
use crate::config::{AlertmanagerConfig, Route};
use crate::inhibit::Inhibitor;

/// How often resolved alerts are forgotten.
const COLLECT_EVERY_MS: i64 = 30 * 60 * 1_000;
/// Alerts that are kept; further new ones are refused.
pub(crate) const ALERTS_MAX: usize = 200_000;

/// Which way of telling, of which receiver and group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IntegrationKey {
    /// The group, as notifications show it.
    pub group_key: String,
    /// The receiver.
    pub receiver: String,
    /// `webhook` or `email`.
    pub kind: &'static str,
    /// The position among the receiver's of this kind.
    pub index: usize,
}

/// Something to be sent now.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// Who is to send it.
    pub integration: IntegrationKey,
    /// Why it is sent, in Alertmanager's words.
    pub reason: &'static str,
    /// What the group's alerts have in common by definition.
    pub group_labels: Labels,
    /// The alerts, by job, instance and labels.
    pub alerts: Vec<NotifiedAlert>,
    /// How long sending may take, retries included, milliseconds.
    pub timeout_ms: i64,
    /// What goes to the log when it was sent.
    entry: LogEntry,
    /// Which flush of the group it belongs to.
    flush: u64,
}

/// How many alerts there are of each state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AlertCounts {
    /// Firing ones.
    pub active: usize,
    /// Groups of alerts.
    pub groups: usize,
}

/// An alert as the API shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertSnapshot {
    /// The alert.
    pub alert: NotifiedAlert,
    /// When it ends if it is not heard of again, milliseconds since the epoch.
    pub ends_at_ms: i64,
    /// When it was last heard of, milliseconds since the epoch.
    pub updated_at_ms: i64,
    /// Who is told of it.
    pub receivers: Vec<String>,
}

/// The groups with their alerts and timers.
pub struct Dispatcher {
    config: Arc<AlertmanagerConfig>,
    alerts: HashMap<u64, StoredAlert>,
    /// By group key and receiver; two routes may make the same key.
    groups: BTreeMap<(String, String), Group>,
    inhibitor: Inhibitor,
    log: Log,
    collect_at_ms: i64,
    flushes: u64,
}

struct Group {
    labels: Labels,
    receiver: String,
    wait_ms: i64,
    interval_ms: i64,
    repeat_ms: i64,
    mute_time_intervals: Vec<String>,
    active_time_intervals: Vec<String>,
    /// Fingerprints of the group's alerts.
    alerts: BTreeMap<u64, StoredAlert>,
    next_flush_ms: i64,
    has_flushed: bool,
    /// The integrations that are sending now.
    sending: Vec<IntegrationKey>,
    last: Flush,
}

/// What a flush is decided by, apart from the group itself.
struct Moment<'a> {
    now_ms: i64,
    config: &'a AlertmanagerConfig,
    inhibitor: &'a Inhibitor,
}

/// What became of a group's last flush.
#[derive(Default)]
struct Flush {
    id: u64,
    /// The alerts that were resolved then, and when they had been updated.
    resolved: Vec<(u64, i64)>,
    /// How many integrations have yet to finish.
    outstanding: usize,
    has_failed: bool,
}

impl Dispatcher {
    /// Returns a dispatcher without alerts.
    pub fn new(config: Arc<AlertmanagerConfig>) -> Self {
        Dispatcher {
            inhibitor: Inhibitor::new(config.inhibit_rules.iter().cloned()),
            config,
            alerts: HashMap::new(),
            groups: BTreeMap::new(),
            log: Log::default(),
            collect_at_ms: i64::MIN,
            flushes: 0,
        }
    }

    /// Goes over to another configuration: all groups begin anew, and the log keeps them from telling twice.
    pub fn apply(&mut self, config: Arc<AlertmanagerConfig>, now_ms: i64) {
        self.config = config;
        self.inhibitor = Inhibitor::new(self.config.inhibit_rules.iter().cloned());
        let old = std::mem::take(&mut self.groups);
        let alerts: Vec<_> = self
            .alerts
            .values()
            .filter(|alert| !alert.is_resolved_at(now_ms))
            .cloned()
            .collect();
        for alert in alerts {
            self.inhibitor
                .insert(alert.fingerprint, &alert.labels, alert.ends_at_ms);
            self.route(&alert, now_ms);
        }
        // What is on its way is not in the log yet: it must not be told again meanwhile.
        for (key, old) in old {
            if let Some(group) = self.groups.get_mut(&key) {
                group.sending = old.sending;
            }
        }
    }

    /// Takes alerts in; returns how many were refused because there are too many.
    pub fn insert(&mut self, alerts: impl IntoIterator<Item = Alert>, now_ms: i64) -> usize {
        let resolve_timeout_ms = self.config.resolve_timeout.as_ms();
        let mut refused = 0;
        for alert in alerts {
            let new = StoredAlert::new(alert, now_ms, resolve_timeout_ms);
            let merged = match self.alerts.get(&new.fingerprint) {
                Some(old) => old.merge(new, now_ms),
                None if self.alerts.len() == ALERTS_MAX => {
                    refused += 1;
                    continue;
                }
                None => new,
            };
            self.inhibitor
                .insert(merged.fingerprint, &merged.labels, merged.ends_at_ms);
            self.route(&merged, now_ms);
            self.alerts.insert(merged.fingerprint, merged);
        }
        refused
    }

    /// Puts an alert into all groups that it belongs to.
    fn route(&mut self, alert: &StoredAlert, now_ms: i64) {
        let config = Arc::clone(&self.config);
        for route in config.route.matching(&alert.labels) {
            let labels = route.group_by.group_labels(&alert.labels);
            let key = (
                format!("{}:{}", route.key, print_group_labels(&labels)),
                route.receiver.clone(),
            );
            let is_known = self.groups.contains_key(&key);
            // A resolution of what was never told needs no group.
            if !is_known && alert.is_resolved_at(now_ms) {
                continue;
            }
            let group = self
                .groups
                .entry(key)
                .or_insert_with(|| Group::new(route, labels, now_ms));
            group.insert(alert, now_ms);
        }
    }

    /// Returns when [`due`](Dispatcher::due) has something to do next, milliseconds since the epoch.
    pub fn next_due(&self) -> Option<i64> {
        self.groups.values().map(|group| group.next_flush_ms).min()
    }

    /// Flushes the groups whose time has come. Each notification must be answered by [`finish`](Dispatcher::finish).
    pub fn due(&mut self, now_ms: i64) -> Vec<Notification> {
        self.collect(now_ms);
        let mut notifications = Vec::new();
        let moment = Moment {
            now_ms,
            config: &self.config,
            inhibitor: &self.inhibitor,
        };
        for ((key, _), group) in &mut self.groups {
            if now_ms < group.next_flush_ms {
                continue;
            }
            self.flushes += 1;
            group.flush(
                key,
                self.flushes,
                &moment,
                &mut self.log,
                &mut notifications,
            );
        }
        self.drop_empty_groups();
        notifications
    }

    /// Takes note of what became of a notification.
    pub fn finish(&mut self, notification: &Notification, is_sent: bool, now_ms: i64) {
        let key = (
            notification.integration.group_key.clone(),
            notification.integration.receiver.clone(),
        );
        if let Some(group) = self.groups.get_mut(&key) {
            group
                .sending
                .retain(|integration| *integration != notification.integration);
            if group.last.id == notification.flush {
                group.last.outstanding = group.last.outstanding.saturating_sub(1);
                group.last.has_failed |= !is_sent;
                group.forget_resolved(now_ms);
            }
        }
        if is_sent {
            self.log
                .record(notification.integration.clone(), notification.entry.clone());
        }
        self.drop_empty_groups();
    }

    fn drop_empty_groups(&mut self) {
        self.groups
            .retain(|_, group| !group.alerts.is_empty() || !group.sending.is_empty());
    }

    /// Forgets what is over.
    fn collect(&mut self, now_ms: i64) {
        if now_ms < self.collect_at_ms {
            return;
        }
        self.collect_at_ms = now_ms + COLLECT_EVERY_MS;
        self.alerts.retain(|_, alert| !alert.is_resolved_at(now_ms));
        self.log.expire(now_ms);
        self.inhibitor.collect(now_ms);
    }

    /// Returns how much there is.
    pub fn counts(&self, now_ms: i64) -> AlertCounts {
        let active = self
            .alerts
            .values()
            .filter(|alert| !alert.is_resolved_at(now_ms))
            .count();
        AlertCounts {
            active,
            groups: self.groups.len(),
        }
    }

    /// Returns how many notifications are on their way.
    #[cfg(test)]
    pub(crate) fn sending(&self) -> usize {
        self.groups.values().map(|group| group.sending.len()).sum()
    }

    /// Returns the alerts that fire, by fingerprint.
    pub fn alerts(&self, now_ms: i64) -> Vec<AlertSnapshot> {
        let mut snapshots: Vec<_> = self
            .alerts
            .values()
            .filter(|alert| !alert.is_resolved_at(now_ms))
            .map(|alert| AlertSnapshot {
                alert: notified(alert, now_ms),
                ends_at_ms: alert.ends_at_ms,
                updated_at_ms: alert.updated_at_ms,
                receivers: {
                    let routes = self.config.route.matching(&alert.labels);
                    routes
                        .into_iter()
                        .map(|route| route.receiver.clone())
                        .collect()
                },
            })
            .collect();
        snapshots.sort_by_key(|snapshot| snapshot.alert.fingerprint);
        snapshots
    }
}

impl Group {
    fn new(route: &Route, labels: Labels, now_ms: i64) -> Self {
        Group {
            labels,
            receiver: route.receiver.clone(),
            wait_ms: route.group_wait.as_ms(),
            interval_ms: route.group_interval.as_ms(),
            repeat_ms: route.repeat_interval.as_ms(),
            mute_time_intervals: route.mute_time_intervals.clone(),
            active_time_intervals: route.active_time_intervals.clone(),
            alerts: BTreeMap::new(),
            next_flush_ms: now_ms + route.group_wait.as_ms(),
            has_flushed: false,
            sending: Vec::new(),
            last: Flush::default(),
        }
    }

    fn insert(&mut self, alert: &StoredAlert, now_ms: i64) {
        self.alerts.insert(alert.fingerprint, alert.clone());
        // An alert that is old already, as after a restart, has waited enough.
        if !self.has_flushed && alert.starts_at_ms + self.wait_ms < now_ms {
            self.next_flush_ms = now_ms;
        }
    }

    fn flush(
        &mut self,
        key: &str,
        id: u64,
        moment: &Moment<'_>,
        log: &mut Log,
        out: &mut Vec<Notification>,
    ) {
        let now_ms = moment.now_ms;
        self.next_flush_ms = now_ms + self.interval_ms;
        self.has_flushed = true;
        let alerts = self.told(moment);
        self.last = Flush {
            id,
            resolved: self.resolved(now_ms),
            outstanding: 0,
            // A notification on its way belongs to an earlier state: its outcome cannot settle this flush.
            has_failed: !self.sending.is_empty(),
        };
        if alerts.is_empty() {
            // All are muted: nobody is told, and what is resolved is over.
            self.forget_resolved(now_ms);
            return;
        }
        let Some(receiver) = moment.config.receiver(&self.receiver) else {
            return;
        };
        for (kind, index, send_resolved) in receiver.integrations() {
            let integration = IntegrationKey {
                group_key: key.to_owned(),
                receiver: self.receiver.clone(),
                kind,
                index,
            };
            if self.sending.contains(&integration) {
                continue;
            }
            let entry = LogEntry::of(&alerts, now_ms, 2 * self.repeat_ms);
            let Some(reason) =
                log.reason_to_send(&integration, &entry, send_resolved, self.repeat_ms)
            else {
                continue;
            };
            let told: Vec<_> = alerts
                .iter()
                .filter(|alert| send_resolved || alert.ended_at_ms.is_none())
                .cloned()
                .collect();
            if told.is_empty() {
                // Nobody is told, but the firing alerts must leave the log.
                log.record(integration, entry);
                continue;
            }
            self.sending.push(integration.clone());
            self.last.outstanding += 1;
            out.push(Notification {
                integration,
                reason,
                group_labels: self.labels.clone(),
                alerts: told,
                timeout_ms: self.interval_ms.max(10_000),
                entry,
                flush: id,
            });
        }
        self.forget_resolved(now_ms);
    }

    /// Returns the alerts that are not muted, by inhibition or by the time, in the order of notifications.
    fn told(&self, moment: &Moment<'_>) -> Vec<NotifiedAlert> {
        let Moment {
            now_ms,
            config,
            inhibitor,
        } = *moment;
        let (mute, active) = (&self.mute_time_intervals, &self.active_time_intervals);
        if config.is_muted(mute, active, now_ms) {
            return Vec::new();
        }
        let mut alerts: Vec<_> = self
            .alerts
            .values()
            .filter(|alert| inhibitor.inhibited_by(&alert.labels, now_ms).is_none())
            .map(|alert| notified(alert, now_ms))
            .collect();
        alerts.sort_by(|a, b| order(a).cmp(&order(b)));
        alerts
    }

    fn resolved(&self, now_ms: i64) -> Vec<(u64, i64)> {
        let resolved = self
            .alerts
            .values()
            .filter(|alert| alert.is_resolved_at(now_ms));
        resolved
            .map(|alert| (alert.fingerprint, alert.updated_at_ms))
            .collect()
    }

    /// Once all integrations were told, removes the alerts that were resolved at the flush and did not change since.
    fn forget_resolved(&mut self, now_ms: i64) {
        if 0 < self.last.outstanding || self.last.has_failed {
            return;
        }
        for (fingerprint, updated_at_ms) in std::mem::take(&mut self.last.resolved) {
            let is_unchanged = self.alerts.get(&fingerprint).is_some_and(|alert| {
                alert.updated_at_ms == updated_at_ms && alert.is_resolved_at(now_ms)
            });
            if is_unchanged {
                self.alerts.remove(&fingerprint);
            }
        }
    }
}

/// Returns the alert with its state decided.
fn notified(alert: &StoredAlert, now_ms: i64) -> NotifiedAlert {
    NotifiedAlert {
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        starts_at_ms: alert.starts_at_ms,
        ended_at_ms: alert.is_resolved_at(now_ms).then_some(alert.ends_at_ms),
        generator_url: alert.generator_url.clone(),
        fingerprint: alert.fingerprint,
    }
}

/// What the alerts of a notification are sorted by.
fn order(alert: &NotifiedAlert) -> (&str, &str, &Labels) {
    (
        alert.labels.value("job"),
        alert.labels.value("instance"),
        &alert.labels,
    )
}

/// Prints a group's labels as its key shows them: `{a="1", b="2"}`.
fn print_group_labels(labels: &Labels) -> String {
    let pairs: Vec<_> = labels
        .iter()
        .map(|(name, value)| format!("{name}={}", model::name::Quoted(value)))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}
