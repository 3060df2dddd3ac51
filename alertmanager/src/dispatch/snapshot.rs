//! What the API shows of alerts and groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Labels;

use super::{Dispatcher, before, notified, order};
use crate::alert::{NotifiedAlert, StoredAlert};

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
    /// The fingerprint of an alert that inhibits it.
    pub inhibited_by: Option<u64>,
    /// The ids of silences that silence it.
    pub silenced_by: Vec<String>,
}

impl AlertSnapshot {
    /// Returns whether it is inhibited or silenced.
    pub fn is_suppressed(&self) -> bool {
        self.inhibited_by.is_some() || !self.silenced_by.is_empty()
    }
}

/// A group of alerts as the API shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupSnapshot {
    /// What its alerts have in common by definition.
    pub labels: Labels,
    /// Who is told.
    pub receiver: String,
    /// The labels of its route; the values are templates.
    pub(crate) route_labels: Arc<BTreeMap<String, String>>,
    /// Its alerts.
    pub alerts: Vec<AlertSnapshot>,
    /// The names of time intervals that mute it.
    pub muted_by: Vec<String>,
}

/// Which alerts are wanted.
pub struct AlertFilter<'a> {
    /// By labels.
    pub labels: &'a dyn Fn(&Labels) -> bool,
    /// By a receiver's name; one that passes is enough.
    pub receiver: &'a dyn Fn(&str) -> bool,
    /// Whether those that are told.
    pub active: bool,
    /// Whether silenced ones.
    pub silenced: bool,
    /// Whether inhibited ones.
    pub inhibited: bool,
    /// Whether those of groups that time intervals mute.
    pub muted: bool,
}

impl AlertFilter<'_> {
    fn passes(&self, snapshot: &AlertSnapshot) -> bool {
        (self.active || snapshot.is_suppressed())
            && (self.silenced || snapshot.silenced_by.is_empty())
            && (self.inhibited || snapshot.inhibited_by.is_none())
    }
}

impl Dispatcher {
    /// Returns how many of the alerts that fire are told, and how many inhibited or silenced.
    pub fn states(&self, now_ms: i64) -> (usize, usize) {
        let (mut active, mut suppressed) = (0, 0);
        for alert in self.alerts.values() {
            if alert.is_resolved_at(now_ms) {
                continue;
            }
            let inhibited = self.inhibitor.inhibited_by(&alert.labels, now_ms);
            let is_suppressed =
                inhibited.is_some() || self.silences.is_silenced(&alert.labels, now_ms);
            match is_suppressed {
                true => suppressed += 1,
                false => active += 1,
            }
        }
        (active, suppressed)
    }

    /// Returns the alerts that fire and pass `filter`, by fingerprint.
    pub fn alerts(&self, now_ms: i64, filter: &AlertFilter<'_>) -> Vec<AlertSnapshot> {
        let mut snapshots: Vec<_> = self
            .alerts
            .values()
            .filter(|alert| !alert.is_resolved_at(now_ms) && (filter.labels)(&alert.labels))
            .filter_map(|alert| {
                let routes = self.config.route.matching(&alert.labels);
                let receivers: Vec<_> = routes.iter().map(|r| r.receiver.clone()).collect();
                let is_wanted = receivers.iter().any(|name| (filter.receiver)(name));
                is_wanted.then(|| self.snapshot(alert, receivers, now_ms))
            })
            .filter(|snapshot| filter.passes(snapshot))
            .collect();
        snapshots.sort_by_key(|snapshot| snapshot.alert.fingerprint);
        snapshots
    }

    /// Returns the groups with alerts that fire and pass `filter`, by labels and receiver.
    pub fn groups(&self, now_ms: i64, filter: &AlertFilter<'_>) -> Vec<GroupSnapshot> {
        let mut groups = Vec::new();
        for group in self.groups.values() {
            if !(filter.receiver)(&group.receiver) {
                continue;
            }
            let muted_by = self.muted_by(group, now_ms);
            if !filter.muted && !muted_by.is_empty() {
                continue;
            }
            let firing = group.alerts.values();
            let firing = firing.filter(|a| !a.is_resolved_at(now_ms) && (filter.labels)(&a.labels));
            let alerts = firing.map(|alert| {
                let routes = self.config.route.matching(&alert.labels).into_iter();
                let receivers = routes.map(|route| route.receiver.clone());
                let receivers = receivers.filter(|name| (filter.receiver)(name));
                self.snapshot(alert, receivers.collect(), now_ms)
            });
            let mut alerts: Vec<_> = alerts.filter(|alert| filter.passes(alert)).collect();
            alerts.sort_by(|a, b| order(&a.alert.labels, &b.alert.labels));
            if !alerts.is_empty() {
                groups.push(GroupSnapshot {
                    labels: group.labels.clone(),
                    receiver: group.receiver.clone(),
                    route_labels: Arc::clone(&group.route_labels),
                    alerts,
                    muted_by,
                });
            }
        }
        groups.sort_by(|a, b| {
            let by_labels = before(&a.labels, &b.labels);
            by_labels.then_with(|| a.receiver.cmp(&b.receiver))
        });
        groups
    }

    fn muted_by(&self, group: &super::Group, now_ms: i64) -> Vec<String> {
        if !self.config.is_active(&group.active_time_intervals, now_ms) {
            return group.active_time_intervals.clone();
        }
        let muting = self.config.muting(&group.mute_time_intervals, now_ms);
        muting.into_iter().map(str::to_owned).collect()
    }

    fn snapshot(&self, alert: &StoredAlert, receivers: Vec<String>, now_ms: i64) -> AlertSnapshot {
        AlertSnapshot {
            alert: notified(alert, now_ms),
            ends_at_ms: alert.ends_at_ms,
            updated_at_ms: alert.updated_at_ms,
            receivers,
            inhibited_by: self.inhibitor.inhibited_by(&alert.labels, now_ms),
            silenced_by: self.silences.silenced_by(&alert.labels, now_ms),
        }
    }
}
