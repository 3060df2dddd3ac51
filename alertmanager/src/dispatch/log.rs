//! The notification log: what each integration was told last, so that it is told once.

use std::collections::{BTreeSet, HashMap};

use super::IntegrationKey;
use crate::alert::NotifiedAlert;

/// What was told: the alerts by fingerprint, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogEntry {
    firing: BTreeSet<u64>,
    resolved: BTreeSet<u64>,
    at_ms: i64,
    expires_at_ms: i64,
}

impl LogEntry {
    pub(super) fn of(alerts: &[NotifiedAlert], now_ms: i64, keep_ms: i64) -> Self {
        let (resolved, firing): (Vec<_>, Vec<_>) =
            alerts.iter().partition(|alert| alert.ended_at_ms.is_some());
        let set = |alerts: Vec<&NotifiedAlert>| {
            alerts.into_iter().map(|alert| alert.fingerprint).collect()
        };
        LogEntry {
            firing: set(firing),
            resolved: set(resolved),
            at_ms: now_ms,
            expires_at_ms: now_ms.saturating_add(keep_ms),
        }
    }
}

/// The last entry of each integration. It grows with the groups of the last two `repeat_interval`s.
#[derive(Debug, Default)]
pub(super) struct Log(HashMap<IntegrationKey, LogEntry>);

impl Log {
    pub(super) fn record(&mut self, integration: IntegrationKey, entry: LogEntry) {
        self.0.insert(integration, entry);
    }

    pub(super) fn expire(&mut self, now_ms: i64) {
        self.0.retain(|_, entry| now_ms < entry.expires_at_ms);
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
            .0
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
