//! Silences and log entries that other instances of a cluster have.

use super::Dispatcher;
use crate::cluster::Update;
use crate::silence::SilenceError;

/// Log entries beyond which no new ones of others are taken: twice as many as alerts, as each may be a group of its own.
const ENTRIES_MAX: usize = 2 * super::ALERTS_MAX;

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merged {
    /// It is in force now.
    News,
    /// It was known already, or counts no longer.
    Old,
    /// It makes no sense.
    Invalid,
    /// There are too many.
    Limit,
}

impl Dispatcher {
    /// Takes in what another instance has.
    pub(crate) fn merge(&mut self, update: Update, now_ms: i64) -> Merged {
        let retention_ms = self.options.retention.as_ms();
        let is_news = match update {
            Update::Silence(silence) => {
                if silence.ends_at_ms < now_ms.saturating_sub(retention_ms) {
                    return Merged::Old;
                }
                match self.silences.merge_foreign(*silence) {
                    Ok(is_news) => is_news,
                    Err(SilenceError::Limit(_)) => return Merged::Limit,
                    Err(_) => return Merged::Invalid,
                }
            }
            Update::Entry(key, mut entry) => {
                let latest_ms = now_ms.saturating_add(retention_ms);
                entry.expires_at_ms = entry.expires_at_ms.min(latest_ms);
                if entry.expires_at_ms <= now_ms {
                    return Merged::Old;
                }
                if ENTRIES_MAX <= self.log.len() && !self.log.contains(&key) {
                    return Merged::Limit;
                }
                self.log.merge(key, entry)
            }
        };
        if is_news { Merged::News } else { Merged::Old }
    }

    /// Returns all that others should have, what matters most first: silences that are not over, the log, the other silences.
    pub(crate) fn replicated(&self, now_ms: i64) -> Vec<Update> {
        let silences = self.silences.iter();
        let (over, current): (Vec<_>, Vec<_>) =
            silences.partition(|silence| silence.ends_at_ms <= now_ms);
        let silence =
            |silence: &crate::silence::Silence| Update::Silence(Box::new(silence.clone()));
        let entries = self.log.iter();
        let entries = entries.map(|(key, entry)| Update::Entry(key.clone(), entry.clone()));
        let current = current.into_iter().map(silence);
        let over = over.into_iter().map(silence);
        current.chain(entries).chain(over).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use model::{Labels, MatchOp, Matcher};

    use super::*;
    use crate::alert::Alert;
    use crate::config::AlertmanagerConfig;
    use crate::dispatch::{DispatchOptions, IntegrationKey, LogEntry, Notification};
    use crate::silence::{Silence, SilenceLimits};

    const HOUR: i64 = 3_600_000;
    const NOW: i64 = 1_000 * HOUR;

    fn dispatcher() -> Dispatcher {
        let text = "route: {receiver: a}\nreceivers: [{name: a}]\n";
        let config = Arc::new(AlertmanagerConfig::parse(text).unwrap());
        let options = DispatchOptions {
            silences: SilenceLimits {
                count_max: 1,
                bytes_max: 200,
            },
            ..DispatchOptions::default()
        };
        Dispatcher::with_options(config, options, NOW)
    }

    fn silence(id: u128, updated_at_ms: i64) -> Silence {
        Silence {
            id: uuid::Uuid::from_u128(id).to_string(),
            matchers: vec![Matcher::new("a".to_owned(), MatchOp::Equal, "b".to_owned()).unwrap()],
            starts_at_ms: NOW - HOUR,
            ends_at_ms: NOW + HOUR,
            updated_at_ms,
            ..Silence::default()
        }
    }

    #[test]
    fn newer_silences_win_within_the_limits() {
        let mut dispatcher = dispatcher();
        let mut merge = |silence| dispatcher.merge(Update::Silence(Box::new(silence)), NOW);
        assert_eq!(merge(silence(1, 10)), Merged::News);
        assert_eq!(merge(silence(1, 10)), Merged::Old);
        assert_eq!(merge(silence(1, 9)), Merged::Old);
        assert_eq!(merge(silence(1, 11)), Merged::News);
        assert_eq!(merge(silence(2, 11)), Merged::Limit);
        let mut other = silence(1, 12);
        other.comment = "c".repeat(200);
        assert_eq!(merge(other), Merged::Limit);
        let mut other = silence(1, 12);
        other.matchers.clear();
        assert_eq!(merge(other), Merged::Invalid);
        let mut other = silence(1, 12);
        other.id = "../x".to_owned();
        assert_eq!(merge(other), Merged::Invalid);
        let mut other = silence(3, 12);
        other.ends_at_ms = NOW - 121 * HOUR;
        assert_eq!(merge(other), Merged::Old, "it would be forgotten at once");
        assert_eq!(dispatcher.take_urgent_changes().len(), 1, "its last state");
    }

    #[test]
    fn two_changes_of_one_millisecond_end_alike_everywhere() {
        let (mut a, mut b) = (silence(1, 10), silence(1, 10));
        (a.comment, b.comment) = ("x".to_owned(), "y".to_owned());
        for order in [[&a, &b], [&b, &a]] {
            let mut dispatcher = dispatcher();
            for silence in order {
                dispatcher.merge(Update::Silence(Box::new(silence.clone())), NOW);
            }
            assert_eq!(dispatcher.silences().get(&a.id), Some(&b));
        }
        let key = IntegrationKey::default;
        let entry = |hash| LogEntry {
            firing: BTreeSet::from([hash]),
            at_ms: 5,
            expires_at_ms: NOW + HOUR,
            ..LogEntry::default()
        };
        for order in [[1, 2], [2, 1]] {
            let mut dispatcher = dispatcher();
            for hash in order {
                dispatcher.merge(Update::Entry(key(), entry(hash)), NOW);
            }
            let expected = vec![Update::Entry(key(), entry(2))];
            assert_eq!(dispatcher.replicated(NOW), expected);
        }
    }

    #[test]
    fn log_entries_live_no_longer_than_retention() {
        let mut dispatcher = dispatcher();
        let mut merge = |at_ms, expires_at_ms| {
            let entry = LogEntry {
                at_ms,
                expires_at_ms,
                ..LogEntry::default()
            };
            dispatcher.merge(Update::Entry(IntegrationKey::default(), entry), NOW)
        };
        assert_eq!(merge(1, NOW), Merged::Old);
        assert_eq!(merge(1, i64::MAX), Merged::News);
        let Update::Entry(_, entry) = &dispatcher.replicated(NOW)[0] else {
            panic!("no entry");
        };
        assert_eq!(entry.expires_at_ms, NOW + 120 * HOUR);
    }

    /// Returns the notification of an alert that has waited, and who is to send it.
    fn waiting(dispatcher: &mut Dispatcher) -> Notification {
        let alert = Alert {
            labels: Labels::from_pairs([("alertname", "A")]),
            annotations: Labels::empty(),
            starts_at_ms: NOW - HOUR,
            ends_at_ms: Some(NOW + HOUR),
            generator_url: String::new(),
        };
        dispatcher.insert([alert], NOW);
        let mut due = dispatcher.due(NOW);
        assert_eq!(due.len(), 1);
        due.remove(0)
    }

    #[test]
    fn what_another_has_told_meanwhile_is_not_told_again() {
        let text =
            "route: {receiver: a}\nreceivers: [{name: a, webhook_configs: [{url: 'http://a/'}]}]\n";
        // Nothing told; the same told a moment before; something else told before; what was seen later told.
        for (told, at_ms, is_due) in [
            (None, NOW, true),
            (Some(true), NOW - 5, false),
            (Some(false), NOW - 5, true),
            (Some(false), NOW + 5, false),
        ] {
            let config = Arc::new(AlertmanagerConfig::parse(text).unwrap());
            let mut dispatcher = Dispatcher::new(config);
            let notification = waiting(&mut dispatcher);
            if let Some(is_same) = told {
                let firing = match is_same {
                    true => notification.entry.firing.clone(),
                    false => BTreeSet::new(),
                };
                let entry = LogEntry {
                    firing,
                    at_ms,
                    ..notification.entry.clone()
                };
                let update = Update::Entry(notification.integration.clone(), entry);
                assert_eq!(dispatcher.merge(update, NOW), Merged::News);
            }
            assert_eq!(
                dispatcher.is_still_due(&notification, NOW),
                is_due,
                "{told:?} {at_ms}"
            );
            assert_eq!(dispatcher.sending(), usize::from(is_due));
        }
    }
}
