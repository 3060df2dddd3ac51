//! What of a dispatcher is stored, and how one comes back to life.

use std::collections::{BTreeMap, BTreeSet};

use super::{Dispatcher, Group, group_key};
use crate::alert::StoredAlert;
use crate::store::{Change, Stored};

/// A group's key and receiver; two routes may make the same key.
pub type GroupKey = (String, String);

/// What is stored of a group besides its alerts.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct GroupRecord {
    /// When it is flushed next, milliseconds since the epoch.
    pub next_flush_ms: i64,
    /// Whether it was flushed before.
    pub has_flushed: bool,
    /// The fingerprints of its alerts, resolved ones among them.
    pub members: Vec<u64>,
}

/// What has changed and is not handed over yet.
#[derive(Debug, Default)]
pub(super) struct Changed {
    pub(super) alerts: BTreeSet<u64>,
    pub(super) groups: BTreeSet<GroupKey>,
}

impl Dispatcher {
    /// Returns the changes of silences and of the log since the last call: what must be on disk soon.
    pub(crate) fn take_urgent_changes(&mut self) -> Vec<Change> {
        let silences = self.silences.take_changed().into_iter();
        let silences = silences.map(|(id, silence)| Change::Silence(id, silence.map(Box::new)));
        let entries = self.log.take_changed().into_iter();
        let entries = entries.map(|(key, entry)| Change::Entry(key, entry));
        silences.chain(entries).collect()
    }

    /// Returns the changes of alerts and groups since the last call.
    pub(crate) fn take_lazy_changes(&mut self, now_ms: i64) -> Vec<Change> {
        let changed = std::mem::take(&mut self.changed);
        let alerts = changed.alerts.into_iter().map(|fingerprint| {
            let alert = self.alerts.get(&fingerprint).cloned();
            Change::Alert(fingerprint, alert.map(Box::new))
        });
        let mut changes: Vec<_> = alerts.collect();
        changes.extend(changed.groups.into_iter().map(|key| {
            let record = self.groups.get(&key).map(Group::record);
            Change::Group(key, record)
        }));
        changes.push(Change::Alive(now_ms));
        changes
    }

    /// Returns everything, for a store that lacks something.
    pub(crate) fn all_as_changes(&mut self, now_ms: i64) -> Vec<Change> {
        drop(self.take_urgent_changes());
        drop(self.take_lazy_changes(now_ms));
        let silences = self.silences.iter();
        let silences = silences.map(|s| Change::Silence(s.id.clone(), Some(Box::new(s.clone()))));
        let entries = self.log.iter();
        let entries = entries.map(|(key, entry)| Change::Entry(key.clone(), Some(entry.clone())));
        let alerts = self.alerts.iter();
        let alerts = alerts.map(|(&print, a)| Change::Alert(print, Some(Box::new(a.clone()))));
        let groups = self.groups.iter();
        let groups = groups.map(|(key, group)| Change::Group(key.clone(), Some(group.record())));
        let all = silences.chain(entries).chain(alerts).chain(groups);
        let ends = [Change::Clear, Change::Alive(now_ms)];
        ends.into_iter().chain(all).collect()
    }

    /// Goes on with what was stored. Nothing has come in yet, and what is as it was stored has not changed.
    ///
    /// While the Alertmanager was down no sender could say that an alert goes on: that time does not count for alerts that
    /// were to end by themselves.
    pub(crate) fn restore(&mut self, stored: Stored, now_ms: i64) {
        for silence in stored.silences {
            self.silences.merge(silence);
        }
        for (key, entry) in stored.entries {
            self.log.merge(key, entry);
        }
        let alive_at_ms = stored.alive_at_ms.unwrap_or(now_ms).min(now_ms);
        let patience_ms = self.config.resolve_timeout.as_ms();
        let mut prolonged = BTreeSet::new();
        for mut alert in stored.alerts {
            let was_firing = alive_at_ms < alert.ends_at_ms;
            if was_firing && alert.ends_at_ms <= now_ms.saturating_add(patience_ms) {
                alert.ends_at_ms += now_ms - alive_at_ms;
                prolonged.insert(alert.fingerprint);
            }
            self.inhibitor
                .insert(alert.fingerprint, &alert.labels, alert.ends_at_ms);
            self.route(&alert, now_ms);
            self.alerts.insert(alert.fingerprint, alert);
        }
        let known: BTreeMap<GroupKey, GroupRecord> = stored.groups.into_iter().collect();
        for (key, record) in &known {
            self.restore_group(key.clone(), record, now_ms);
        }
        drop(self.take_urgent_changes());
        let differs = |key: &&GroupKey| {
            let record = self.groups.get(*key).map(Group::record);
            record.as_ref() != known.get(*key)
        };
        let keys = self.groups.keys().chain(known.keys());
        // The times of alerts and the one they were prolonged by are written together, a little later.
        self.changed = Changed {
            alerts: prolonged,
            groups: keys.filter(differs).cloned().collect(),
        };
    }

    fn restore_group(&mut self, key: GroupKey, record: &GroupRecord, now_ms: i64) {
        let members = record.members.iter();
        let members = members.filter_map(|fingerprint| self.alerts.get(fingerprint));
        let members: Vec<StoredAlert> = members.cloned().collect();
        if !self.groups.contains_key(&key) {
            // All of its alerts are resolved; it is still to tell of that.
            let config = std::sync::Arc::clone(&self.config);
            let Some(first) = members.first() else {
                return;
            };
            let routes = config.route.matching(&first.labels).into_iter();
            let mut groups = routes.filter_map(|route| {
                let labels = route.group_by.group_labels(&first.labels);
                let is_this = route.receiver == key.1 && group_key(route, &labels) == key.0;
                is_this.then(|| Group::new(route, labels, now_ms, self.quiet_until_ms))
            });
            // The configuration may have changed meanwhile.
            let Some(group) = groups.next() else {
                return;
            };
            self.groups.insert(key.clone(), group);
        }
        if let Some(group) = self.groups.get_mut(&key) {
            for alert in members {
                group.alerts.insert(alert.fingerprint, alert);
            }
            group.has_flushed = record.has_flushed;
            let due_ms = record.next_flush_ms.max(now_ms).max(self.quiet_until_ms);
            group.next_flush_ms = due_ms;
            group.bound_wait(now_ms);
        }
    }
}

impl Group {
    fn record(&self) -> GroupRecord {
        GroupRecord {
            next_flush_ms: self.next_flush_ms,
            has_flushed: self.has_flushed,
            members: self.alerts.keys().copied().collect(),
        }
    }

    /// Keeps a clock that was set back from holding the group up: it never waits longer than it was told to.
    pub(super) fn bound_wait(&mut self, now_ms: i64) {
        let longest_ms = self.wait_ms.max(self.interval_ms);
        let latest_ms = now_ms.saturating_add(longest_ms).max(self.quiet_until_ms);
        self.next_flush_ms = self.next_flush_ms.min(latest_ms);
    }
}
