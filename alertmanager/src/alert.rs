//! An alert on its way: what rules send and receivers tell.

use model::Labels;

/// Go's zero time, 0001-01-01T00:00:00Z, which stands for "no time" in the notification formats.
pub(crate) const ZERO_TIME_SECONDS: i64 = -62_135_596_800;
/// The same in milliseconds.
pub(crate) const ZERO_TIME_MS: i64 = ZERO_TIME_SECONDS * 1_000;

/// One alert as its sender states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What identifies it; `alertname` among them, external labels included.
    pub labels: Labels,
    /// What describes it.
    pub annotations: Labels,
    /// Since when it fires, milliseconds since the epoch.
    pub starts_at_ms: i64,
    /// When it ended, or until when it counts as firing without further word; milliseconds since the epoch. Without it the
    /// Alertmanager sets its `resolve_timeout`.
    pub ends_at_ms: Option<i64>,
    /// Where its cause can be looked at.
    pub generator_url: String,
}

/// Returns the fingerprint that Alertmanager's API and webhooks show: FNV-1a 64 over names and values, each followed by
/// the byte 0xff.
pub fn fingerprint(labels: &Labels) -> u64 {
    let mut hash = fnv1a(FNV_OFFSET, &[]);
    for (name, value) in labels {
        for part in [name, value] {
            hash = fnv1a(hash, part.as_bytes());
            hash = fnv1a(hash, &[0xff]);
        }
    }
    hash
}

/// Returns what the notification log knows an alert by: xxHash64 over names and values, each followed by the byte 0xff, so
/// that entries that Alertmanager wrote mean the same here.
pub(crate) fn log_hash(labels: &Labels) -> u64 {
    let mut hash = xxhash_rust::xxh64::Xxh64::new(0);
    for (name, value) in labels {
        for part in [name, value] {
            hash.update(part.as_bytes());
            hash.update(&[0xff]);
        }
    }
    hash.digest()
}

/// Where FNV-1a 64 starts.
pub(crate) const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// Goes on with FNV-1a 64; equal on every machine and in every build.
pub(crate) fn fnv1a(mut hash: u64, bytes: &[u8]) -> u64 {
    for &byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

/// An alert as the dispatcher keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredAlert {
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
    pub(crate) starts_at_ms: i64,
    pub(crate) ends_at_ms: i64,
    /// Whether the end was set by the `resolve_timeout` and not by the sender.
    pub(crate) is_timeout: bool,
    pub(crate) updated_at_ms: i64,
    pub(crate) generator_url: String,
    pub(crate) fingerprint: u64,
}

impl StoredAlert {
    /// Returns `alert` with the times that its sender left out.
    pub(crate) fn new(alert: Alert, now_ms: i64, resolve_timeout_ms: i64) -> Self {
        let fingerprint = fingerprint(&alert.labels);
        StoredAlert {
            starts_at_ms: alert.starts_at_ms,
            ends_at_ms: alert.ends_at_ms.unwrap_or(now_ms + resolve_timeout_ms),
            is_timeout: alert.ends_at_ms.is_none(),
            updated_at_ms: now_ms,
            labels: alert.labels,
            annotations: alert.annotations,
            generator_url: alert.generator_url,
            fingerprint,
        }
    }

    /// Returns whether the alert is over.
    pub(crate) fn is_resolved_at(&self, now_ms: i64) -> bool {
        self.ends_at_ms <= now_ms
    }

    /// Returns what is known after `newer` came in: both as one if their times overlap, else the newer alone.
    pub(crate) fn merge(&self, mut newer: StoredAlert, now_ms: i64) -> StoredAlert {
        let inside = |t: i64| self.starts_at_ms < t && t < self.ends_at_ms;
        let same_start = self.starts_at_ms == newer.starts_at_ms;
        if !inside(newer.ends_at_ms) && !inside(newer.starts_at_ms) && !same_start {
            return newer;
        }
        newer.starts_at_ms = newer.starts_at_ms.min(self.starts_at_ms);
        let keeps_end = if newer.is_resolved_at(now_ms) {
            self.is_resolved_at(now_ms)
        } else {
            !self.is_timeout
        };
        if keeps_end && newer.ends_at_ms < self.ends_at_ms {
            newer.ends_at_ms = self.ends_at_ms;
            newer.is_timeout = self.is_timeout;
        }
        newer
    }
}

/// An alert of one notification, its state decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifiedAlert {
    /// What identifies it.
    pub labels: Labels,
    /// What describes it.
    pub annotations: Labels,
    /// Since when it fires.
    pub starts_at_ms: i64,
    /// When it ended; `None` while it fires.
    pub ended_at_ms: Option<i64>,
    /// Where its cause can be looked at.
    pub generator_url: String,
    /// See [`fingerprint`].
    pub fingerprint: u64,
}

impl NotifiedAlert {
    /// Returns `firing` or `resolved`.
    pub fn status(&self) -> &'static str {
        if self.ended_at_ms.is_some() {
            "resolved"
        } else {
            "firing"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_alertmanagers() {
        let labels = Labels::from_pairs([
            ("alertname", "HighLatency"),
            ("instance", "a:9090"),
            ("job", "api"),
            ("severity", "critical"),
        ]);
        assert_eq!(format!("{:016x}", fingerprint(&labels)), "c3f7a19c4c72363b");
    }

    #[test]
    fn fingerprints_of_the_conformance_data() {
        let Some(directory) = crate::rule::testing::conformance("alertmanager") else {
            return;
        };
        let cases = std::fs::read_to_string(directory.join("fingerprints.jsonl")).unwrap();
        for line in cases.lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let pairs = case["labels"].as_object().unwrap().iter();
            let labels = Labels::from_pairs(pairs.map(|(k, v)| (k.as_str(), v.as_str().unwrap())));
            let found = format!("{:016x}", fingerprint(&labels));
            assert_eq!(found, case["fingerprint"].as_str().unwrap(), "{line}");
        }
    }

    fn stored(starts_at_ms: i64, ends_at_ms: Option<i64>, now_ms: i64) -> StoredAlert {
        let alert = Alert {
            labels: Labels::from_pairs([("alertname", "A")]),
            annotations: Labels::empty(),
            starts_at_ms,
            ends_at_ms,
            generator_url: String::new(),
        };
        StoredAlert::new(alert, now_ms, 300)
    }

    #[track_caller]
    fn check_merge(old: StoredAlert, new: StoredAlert, now_ms: i64, expected: (i64, i64)) {
        let merged = old.merge(new, now_ms);
        assert_eq!((merged.starts_at_ms, merged.ends_at_ms), expected);
    }

    #[test]
    fn overlapping_times_merge() {
        check_merge(
            stored(100, Some(1_000), 200),
            stored(150, Some(1_200), 300),
            300,
            (100, 1_200),
        );
        // An explicit end beats a timeout, and a resolution beats both.
        check_merge(
            stored(100, None, 200),
            stored(150, Some(450), 300),
            300,
            (100, 450),
        );
        check_merge(
            stored(100, Some(1_000), 200),
            stored(100, Some(290), 300),
            300,
            (100, 290),
        );
    }

    #[test]
    fn a_new_episode_stands_alone() {
        check_merge(
            stored(100, Some(200), 150),
            stored(500, Some(900), 500),
            500,
            (500, 900),
        );
    }
}
