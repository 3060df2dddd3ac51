//! The notification log: what each integration was told last, so that it is told once.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::IntegrationKey;
use crate::alert::{NotifiedAlert, log_hash};

/// What was told: the alerts by [`log_hash`](crate::alert::log_hash), and when.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LogEntry {
    pub(crate) firing: BTreeSet<u64>,
    pub(crate) resolved: BTreeSet<u64>,
    /// Milliseconds since the epoch.
    pub(crate) at_ms: i64,
    /// Milliseconds since the epoch; then it counts no longer.
    pub(crate) expires_at_ms: i64,
    /// What the integration wants to be reminded of the next time, such as the message that it is to change.
    pub(crate) memory: Memory,
}

/// What an integration keeps of what it was answered, by names that Alertmanager uses.
pub(crate) type Memory = BTreeMap<String, String>;

impl LogEntry {
    pub(super) fn of(alerts: &[NotifiedAlert], now_ms: i64, keep_ms: i64) -> Self {
        let (resolved, firing): (Vec<_>, Vec<_>) =
            alerts.iter().partition(|alert| alert.ended_at_ms.is_some());
        let set = |alerts: Vec<&NotifiedAlert>| {
            let alerts = alerts.into_iter();
            alerts.map(|alert| log_hash(&alert.labels)).collect()
        };
        LogEntry {
            firing: set(firing),
            resolved: set(resolved),
            at_ms: now_ms,
            expires_at_ms: now_ms.saturating_add(keep_ms),
            memory: Memory::new(),
        }
    }
}

/// The last entry of each integration. It grows with the groups of the last two `repeat_interval`s.
#[derive(Debug, Default)]
pub(super) struct Log {
    entries: HashMap<IntegrationKey, LogEntry>,
    /// What was recorded or forgotten since [`take_changed`](Log::take_changed).
    changed: BTreeSet<IntegrationKey>,
}

impl Log {
    pub(super) fn record(&mut self, integration: IntegrationKey, entry: LogEntry) {
        self.changed.insert(integration.clone());
        self.entries.insert(integration, entry);
    }

    /// Takes in an entry as another instance, or the disk, has it; the newer one stays, and of two of the same millisecond the
    /// greater one, so that all agree. Returns whether it changed anything.
    pub(super) fn merge(&mut self, integration: IntegrationKey, entry: LogEntry) -> bool {
        let known = self.entries.get(&integration);
        let rank = |entry: &LogEntry| {
            let alerts = (entry.firing.clone(), entry.resolved.clone());
            (alerts, entry.expires_at_ms, entry.memory.clone())
        };
        let is_known = known.is_some_and(|known| match entry.at_ms.cmp(&known.at_ms) {
            Ordering::Less => true,
            Ordering::Equal => rank(&entry) <= rank(known),
            Ordering::Greater => false,
        });
        if is_known {
            return false;
        }
        self.record(integration, entry);
        true
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns when an integration was told last, milliseconds since the epoch.
    pub(super) fn at_ms(&self, integration: &IntegrationKey) -> Option<i64> {
        self.entries.get(integration).map(|entry| entry.at_ms)
    }

    /// Returns what an integration wanted to be reminded of, while it has alerts that fire.
    pub(super) fn memory(&self, integration: &IntegrationKey) -> Memory {
        let last = self.entries.get(integration);
        let last = last.filter(|entry| !entry.firing.is_empty());
        last.map(|entry| entry.memory.clone()).unwrap_or_default()
    }

    pub(super) fn contains(&self, integration: &IntegrationKey) -> bool {
        self.entries.contains_key(integration)
    }

    /// Forgets what counts no longer.
    pub(super) fn expire(&mut self, now_ms: i64) {
        let is_over = |_: &IntegrationKey, entry: &mut LogEntry| entry.expires_at_ms <= now_ms;
        let over = self.entries.extract_if(is_over);
        self.changed
            .extend(over.map(|(integration, _)| integration));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&IntegrationKey, &LogEntry)> {
        self.entries.iter()
    }

    /// Returns what was recorded or forgotten since the last call.
    pub(super) fn take_changed(&mut self) -> Vec<(IntegrationKey, Option<LogEntry>)> {
        let keys = std::mem::take(&mut self.changed).into_iter();
        let changed = keys.map(|key| {
            let entry = self.entries.get(&key).cloned();
            (key, entry)
        });
        changed.collect()
    }

    /// Returns why `integration` should be told what `current` says, if it should.
    pub(super) fn reason_to_send(
        &self,
        integration: &IntegrationKey,
        current: &LogEntry,
        send_resolved: bool,
        repeat_ms: i64,
    ) -> Option<&'static str> {
        let Some(last) = self
            .entries
            .get(integration)
            .filter(|last| current.at_ms < last.expires_at_ms)
        else {
            return (!current.firing.is_empty()).then_some("first notification");
        };
        if !current.firing.is_subset(&last.firing) {
            let is_first = last.firing.is_empty();
            return Some(if is_first {
                "first notification"
            } else {
                "new alerts added"
            });
        }
        if current.firing.is_empty() {
            return (!last.firing.is_empty()).then_some("all alerts resolved");
        }
        if send_resolved && !current.resolved.is_subset(&last.resolved) {
            return Some("some alerts resolved");
        }
        (last.at_ms < current.at_ms - repeat_ms).then_some("repeat interval elapsed")
    }
}
