//! Groups of alerts and when they are told: the Alertmanager's clockwork, without sockets and tasks.
//!
//! ```text
//! insert ──► route ──► group ── due (timer) ──► mute ──► dedup against the log, per integration ──► Notification
//!                        ▲                                                                     │
//!                        └── resolved alerts leave ◄── finish (sent or failed) ◄───────────────┘
//! ```
//!
//! What is inhibited, silenced, or muted by the time intervals of its route, counts as told: it is not told later that it was
//! resolved.
//!
//! A group's timer starts with `group_wait` and goes on with `group_interval`. At each flush every integration of the
//! receiver decides for itself, by the log of what it told last, whether there is something to tell. A failed notification
//! is not logged, so the next flush tries again. An integration that is still sending sits out a flush and holds nobody
//! else back.
//!
//! Source: Alertmanager's documentation; the table of reasons is that of its notification log.

mod changes;
mod log;
mod replica;
mod snapshot;
#[cfg(test)]
#[path = "dispatch/tests.rs"]
mod tests;
#[cfg(test)]
mod year;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::{Duration, Labels};

use self::changes::Changed;
pub use self::changes::{GroupKey, GroupRecord};
use self::log::Log;
pub use self::log::LogEntry;
pub(crate) use self::log::Memory;
pub(crate) use self::replica::Merged;
pub use self::snapshot::{AlertFilter, AlertSnapshot, GroupSnapshot};
use crate::alert::{Alert, NotifiedAlert, StoredAlert};
use crate::config::{AlertmanagerConfig, Route};
use crate::inhibit::Inhibitor;
use crate::silence::{SilenceLimits, Silences};

/// Alerts that are kept; further new ones are refused.
pub(crate) const ALERTS_MAX: usize = 200_000;

/// What is the same for all configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DispatchOptions {
    /// How long expired silences are kept, and entries of the log at most.
    pub retention: Duration,
    /// How often resolved alerts are forgotten.
    pub collect_every: Duration,
    /// How long after the start nothing is told, so that everybody's alerts have come in.
    pub start_delay: Duration,
    /// Alerts of one name that are kept; further new ones are refused. 0 is no limit but that of all alerts.
    pub per_alertname_max: usize,
    /// How many silences there may be.
    pub silences: SilenceLimits,
}

impl Default for DispatchOptions {
    fn default() -> Self {
        DispatchOptions {
            retention: Duration::from_secs(120 * 3_600),
            collect_every: Duration::from_secs(30 * 60),
            start_delay: Duration::ZERO,
            per_alertname_max: 0,
            silences: SilenceLimits::default(),
        }
    }
}

/// Which way of telling, of which receiver and group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct IntegrationKey {
    /// The group, as notifications show it.
    pub group_key: String,
    /// The receiver.
    pub receiver: String,
    /// `webhook`, `email` and so on.
    pub kind: Cow<'static, str>,
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
    /// The labels of the group's route; the values are templates.
    pub(crate) route_labels: Arc<BTreeMap<String, String>>,
    /// The alerts, by job, instance and labels.
    pub alerts: Vec<NotifiedAlert>,
    /// How long sending may take, retries included, milliseconds.
    pub timeout_ms: i64,
    /// What goes to the log when it was sent.
    entry: LogEntry,
    send_resolved: bool,
    repeat_ms: i64,
    /// Which flush of the group it belongs to.
    flush: u64,
}

impl Notification {
    /// Returns what its integration wanted to be reminded of.
    pub(crate) fn memory(&self) -> &Memory {
        &self.entry.memory
    }
}

/// How many alerts flushes have left out, by the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Suppressed {
    /// Silenced ones.
    pub silence: u64,
    /// Inhibited ones.
    pub inhibition: u64,
    /// Those of routes in a mute time interval.
    pub mute_time_interval: u64,
    /// Those of routes outside of their active time intervals.
    pub active_time_interval: u64,
}

/// The groups with their alerts and timers.
pub struct Dispatcher {
    config: Arc<AlertmanagerConfig>,
    alerts: HashMap<u64, StoredAlert>,
    groups: BTreeMap<GroupKey, Group>,
    inhibitor: Inhibitor,
    silences: Silences,
    log: Log,
    options: DispatchOptions,
    /// How many alerts there are of each name, if that is limited.
    names: HashMap<String, usize>,
    suppressed: Suppressed,
    changed: Changed,
    collect_at_ms: i64,
    /// No group is flushed before this moment.
    quiet_until_ms: i64,
    flushes: u64,
}

struct Group {
    labels: Labels,
    receiver: String,
    route_labels: Arc<BTreeMap<String, String>>,
    wait_ms: i64,
    interval_ms: i64,
    repeat_ms: i64,
    mute_time_intervals: Vec<String>,
    active_time_intervals: Vec<String>,
    /// Fingerprints of the group's alerts.
    alerts: BTreeMap<u64, StoredAlert>,
    next_flush_ms: i64,
    quiet_until_ms: i64,
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
    silences: &'a Silences,
    retention_ms: i64,
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
        Self::with_options(config, DispatchOptions::default(), 0)
    }

    /// Returns a dispatcher without alerts, started at `now_ms` (milliseconds since the epoch).
    pub fn with_options(
        config: Arc<AlertmanagerConfig>,
        options: DispatchOptions,
        now_ms: i64,
    ) -> Self {
        Dispatcher {
            silences: Silences::new(options.silences),
            options,
            names: HashMap::new(),
            suppressed: Suppressed::default(),
            changed: Changed::default(),
            quiet_until_ms: now_ms.saturating_add(options.start_delay.as_ms()),
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
        self.changed.groups.extend(old.keys().cloned());
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
                None => {
                    if !self.has_room(&new.labels) {
                        refused += 1;
                        continue;
                    }
                    new
                }
            };
            self.inhibitor
                .insert(merged.fingerprint, &merged.labels, merged.ends_at_ms);
            self.route(&merged, now_ms);
            self.changed.alerts.insert(merged.fingerprint);
            self.alerts.insert(merged.fingerprint, merged);
        }
        refused
    }

    /// Returns whether one more alert may be kept, and counts it.
    fn has_room(&mut self, labels: &Labels) -> bool {
        if ALERTS_MAX <= self.alerts.len() {
            return false;
        }
        let limit = self.options.per_alertname_max;
        if limit == 0 {
            return true;
        }
        let name = labels.value("alertname");
        let count = self.names.entry(name.to_owned()).or_default();
        let has_room = *count < limit;
        *count += usize::from(has_room);
        has_room
    }

    /// Puts an alert into all groups that it belongs to. A resolved one makes its group anew too: it may be still to tell, if it
    /// was muted when the group went.
    fn route(&mut self, alert: &StoredAlert, now_ms: i64) {
        let config = Arc::clone(&self.config);
        for route in config.route.matching(&alert.labels) {
            let labels = route.group_by.group_labels(&alert.labels);
            let key = (group_key(route, &labels), route.receiver.clone());
            let group = self
                .groups
                .entry(key.clone())
                .or_insert_with(|| Group::new(route, labels, now_ms, self.quiet_until_ms));
            if group.insert(alert, now_ms) {
                self.changed.groups.insert(key);
            }
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
            silences: &self.silences,
            retention_ms: self.options.retention.as_ms(),
        };
        for (key, group) in &mut self.groups {
            group.bound_wait(now_ms);
            if now_ms < group.next_flush_ms {
                continue;
            }
            self.flushes += 1;
            self.changed.groups.insert(key.clone());
            group.flush(
                &key.0,
                self.flushes,
                &moment,
                &mut self.log,
                &mut self.suppressed,
                &mut notifications,
            );
        }
        self.groups.retain(|key, group| {
            let is_over = group.is_over();
            if is_over {
                self.changed.groups.insert(key.clone());
            }
            !is_over
        });
        notifications
    }

    /// Takes note of what became of a notification.
    pub fn finish(&mut self, notification: &Notification, is_sent: bool, now_ms: i64) {
        let memory = is_sent.then(Memory::new);
        self.finish_with(notification, memory, now_ms);
    }

    /// Takes note of what became of a notification: that it was not sent, or what its integration wants to be reminded of.
    pub(crate) fn finish_with(
        &mut self,
        notification: &Notification,
        memory: Option<Memory>,
        now_ms: i64,
    ) {
        self.settle(notification, memory.is_some(), now_ms);
        if let Some(memory) = memory {
            let entry = LogEntry {
                memory,
                ..notification.entry.clone()
            };
            self.log.record(notification.integration.clone(), entry);
        }
    }

    /// Returns whether a notification that has waited is still to be sent; if another instance has told the same meanwhile,
    /// it is over. If another one has told what it saw later, the next flush decides: this one may be no longer true.
    pub(crate) fn is_still_due(&mut self, notification: &Notification, now_ms: i64) -> bool {
        let entry = &notification.entry;
        let is_told = self
            .log
            .reason_to_send(
                &notification.integration,
                entry,
                notification.send_resolved,
                notification.repeat_ms,
            )
            .is_none();
        let last_ms = self.log.at_ms(&notification.integration);
        let is_overtaken = last_ms.is_some_and(|last_ms| entry.at_ms < last_ms);
        if is_told || is_overtaken {
            self.settle(notification, is_told, now_ms);
            return false;
        }
        true
    }

    /// Takes note in the group that a notification is no longer on its way.
    fn settle(&mut self, notification: &Notification, is_told: bool, now_ms: i64) {
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
                group.last.has_failed |= !is_told;
                group.forget_resolved(now_ms);
            }
            if group.is_over() {
                self.groups.remove(&key);
            }
            self.changed.groups.insert(key);
        }
    }

    /// Forgets what is over.
    fn collect(&mut self, now_ms: i64) {
        if now_ms < self.collect_at_ms {
            return;
        }
        self.collect_at_ms = now_ms + self.options.collect_every.as_ms();
        let is_over = |_: &u64, alert: &mut StoredAlert| alert.is_resolved_at(now_ms);
        let over = self.alerts.extract_if(is_over);
        self.changed.alerts.extend(over.map(|(print, _)| print));
        if 0 < self.options.per_alertname_max {
            self.names.clear();
            for alert in self.alerts.values() {
                let name = alert.labels.value("alertname").to_owned();
                *self.names.entry(name).or_default() += 1;
            }
        }
        self.silences
            .collect(now_ms, self.options.retention.as_ms());
        self.log.expire(now_ms);
        self.inhibitor.collect(now_ms);
    }

    /// Returns the configuration in force.
    pub fn config(&self) -> &Arc<AlertmanagerConfig> {
        &self.config
    }

    /// Returns the silences.
    pub fn silences(&self) -> &Silences {
        &self.silences
    }

    /// Returns the silences, to be changed.
    pub fn silences_mut(&mut self) -> &mut Silences {
        &mut self.silences
    }

    /// Returns how many alerts flushes have left out since the start.
    pub fn suppressed(&self) -> Suppressed {
        self.suppressed
    }

    /// Returns how many groups there are.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// Returns how many notifications are on their way.
    #[cfg(test)]
    pub(crate) fn sending(&self) -> usize {
        self.groups.values().map(|group| group.sending.len()).sum()
    }
}

impl Group {
    fn new(route: &Route, labels: Labels, now_ms: i64, quiet_until_ms: i64) -> Self {
        Group {
            quiet_until_ms,
            labels,
            receiver: route.receiver.clone(),
            route_labels: Arc::clone(&route.labels),
            wait_ms: route.group_wait.as_ms(),
            interval_ms: route.group_interval.as_ms(),
            repeat_ms: route.repeat_interval.as_ms(),
            mute_time_intervals: route.mute_time_intervals.clone(),
            active_time_intervals: route.active_time_intervals.clone(),
            alerts: BTreeMap::new(),
            next_flush_ms: (now_ms + route.group_wait.as_ms()).max(quiet_until_ms),
            has_flushed: false,
            sending: Vec::new(),
            last: Flush::default(),
        }
    }

    /// Returns whether it has nothing to tell any more.
    fn is_over(&self) -> bool {
        self.alerts.is_empty() && self.sending.is_empty()
    }

    /// Takes an alert in; returns whether it is a new member.
    fn insert(&mut self, alert: &StoredAlert, now_ms: i64) -> bool {
        let known = self.alerts.insert(alert.fingerprint, alert.clone());
        // An alert that is old already, as after a restart, has waited enough.
        if !self.has_flushed && alert.starts_at_ms + self.wait_ms < now_ms {
            self.next_flush_ms = now_ms.max(self.quiet_until_ms);
        }
        known.is_none()
    }

    fn flush(
        &mut self,
        key: &str,
        id: u64,
        moment: &Moment<'_>,
        log: &mut Log,
        suppressed: &mut Suppressed,
        out: &mut Vec<Notification>,
    ) {
        let now_ms = moment.now_ms;
        self.next_flush_ms = now_ms + self.interval_ms;
        self.has_flushed = true;
        let alerts = self.told(moment, suppressed);
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
        let keep_ms = moment.retention_ms.min(2 * self.repeat_ms);
        for (kind, index, send_resolved) in receiver.integrations() {
            let integration = IntegrationKey {
                group_key: key.to_owned(),
                receiver: self.receiver.clone(),
                kind: Cow::Borrowed(kind),
                index,
            };
            if self.sending.contains(&integration) {
                continue;
            }
            let mut entry = LogEntry::of(&alerts, now_ms, keep_ms);
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
            entry.memory = log.memory(&integration);
            self.sending.push(integration.clone());
            self.last.outstanding += 1;
            out.push(Notification {
                integration,
                reason,
                group_labels: self.labels.clone(),
                route_labels: Arc::clone(&self.route_labels),
                alerts: told,
                timeout_ms: self.interval_ms.max(10_000),
                entry,
                send_resolved,
                repeat_ms: self.repeat_ms,
                flush: id,
            });
        }
        self.forget_resolved(now_ms);
    }

    /// Returns the alerts that are not muted, by inhibition, silence or the time, in the order of notifications.
    fn told(&self, moment: &Moment<'_>, suppressed: &mut Suppressed) -> Vec<NotifiedAlert> {
        let now_ms = moment.now_ms;
        let mut left: Vec<_> = self.alerts.values().collect();
        let all = left.len();
        left.retain(|alert| {
            let inhibitor = moment.inhibitor;
            inhibitor.inhibited_by(&alert.labels, now_ms).is_none()
        });
        suppressed.inhibition += (all - left.len()) as u64;
        let config = moment.config;
        if !config.is_active(&self.active_time_intervals, now_ms) {
            suppressed.active_time_interval += left.len() as u64;
            return Vec::new();
        }
        if !config.muting(&self.mute_time_intervals, now_ms).is_empty() {
            suppressed.mute_time_interval += left.len() as u64;
            return Vec::new();
        }
        let unmuted = left.len();
        left.retain(|alert| !moment.silences.is_silenced(&alert.labels, now_ms));
        suppressed.silence += (unmuted - left.len()) as u64;
        let mut alerts: Vec<_> = left
            .into_iter()
            .map(|alert| notified(alert, now_ms))
            .collect();
        alerts.sort_by(|a, b| order(&a.labels, &b.labels));
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

/// The order of the alerts of a notification: by job, then by instance, those without it last; then as [`before`] has it.
fn order(a: &Labels, b: &Labels) -> Ordering {
    for name in ["job", "instance"] {
        let (left, right) = (a.get(name), b.get(name));
        let by_absence = left.is_none().cmp(&right.is_none());
        let by_name = by_absence.then_with(|| left.cmp(&right));
        if by_name != Ordering::Equal {
            return by_name;
        }
    }
    before(a, b)
}

/// The order of label sets: fewer labels first, then by the first name that is not in both or has other values. The set that
/// lacks the name comes first.
pub(crate) fn before(a: &Labels, b: &Labels) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| {
        for (left, right) in a.iter().zip(b.iter()) {
            // Where the names differ, the smaller one is missing in the other set.
            let by_pair = right.0.cmp(left.0).then_with(|| left.1.cmp(right.1));
            if by_pair != Ordering::Equal {
                return by_pair;
            }
        }
        Ordering::Equal
    })
}

/// Returns the key of the route's group with these labels, as notifications show it.
fn group_key(route: &Route, labels: &Labels) -> String {
    format!("{}:{}", route.key, print_group_labels(labels))
}

/// Prints a group's labels as its key shows them: `{a="1", b="2"}`.
fn print_group_labels(labels: &Labels) -> String {
    let pairs: Vec<_> = labels
        .iter()
        .map(|(name, value)| format!("{name}={}", model::name::Quoted(value)))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}
