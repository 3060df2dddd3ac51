use proptest::prelude::*;

use super::*;
use crate::config::parse_matchers;

fn silence(matchers: &str, starts_at_ms: i64, ends_at_ms: i64) -> Silence {
    Silence {
        matchers: parse_matchers(matchers).unwrap(),
        starts_at_ms,
        ends_at_ms,
        created_by: "me".to_owned(),
        ..Silence::default()
    }
}

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("alertname", name), ("job", "x")])
}

#[test]
fn a_silence_begins_and_ends() {
    let mut silences = Silences::default();
    let id = silences.set(silence("alertname=A", 100, 200), 50).unwrap();
    for (now_ms, is_silenced) in [(99, false), (100, true), (199, true), (200, false)] {
        assert_eq!(silences.is_silenced(&labels("A"), now_ms), is_silenced);
        assert!(!silences.is_silenced(&labels("B"), now_ms));
    }
    assert_eq!(silences.silenced_by(&labels("A"), 150), [id.as_str()]);
    assert_eq!(silences.counts(150), [1, 0, 0]);
    silences.expire(&id, 150).unwrap();
    silences.expire(&id, 160).unwrap();
    assert_eq!(silences.get(&id).unwrap().ends_at_ms, 150);
    assert!(!silences.is_silenced(&labels("A"), 150));
    assert_eq!(silences.take_changed().len(), 1);
    silences.collect(300, 149);
    assert_eq!(silences.counts(300), [0, 0, 0]);
    assert_eq!(silences.take_changed(), [(id, None)]);
    assert!(silences.by_label.is_empty());
}

#[test]
fn a_start_in_the_past_becomes_now() {
    let mut silences = Silences::default();
    let id = silences.set(silence("a=b", 10, 200), 50).unwrap();
    assert_eq!(silences.get(&id).unwrap().starts_at_ms, 50);
}

/// Sets a silence of 10 s to 20 s, changes it at `now_ms`, and says whether the id stayed.
#[track_caller]
fn check_update(now_ms: i64, change: impl Fn(&mut Silence), keeps_id: bool) {
    let mut silences = Silences::default();
    let first = silences.set(silence("a=b", 10_000, 20_000), 0).unwrap();
    let mut new = silences.get(&first).unwrap().clone();
    change(&mut new);
    let second = silences.set(new, now_ms).unwrap();
    assert_eq!(first == second, keeps_id);
    if !keeps_id {
        let old = silences.get(&first).unwrap();
        assert_eq!(old.state(now_ms), SilenceState::Expired);
        assert!(silences.get(&second).unwrap().starts_at_ms >= now_ms);
    }
}

#[test]
fn what_keeps_the_id() {
    // Active.
    check_update(15_000, |s| s.ends_at_ms = 30_000, true);
    check_update(15_000, |s| s.comment = "other".to_owned(), true);
    check_update(15_000, |s| s.starts_at_ms = 10_999, true);
    check_update(15_000, |s| s.starts_at_ms = 11_000, false);
    check_update(
        15_000,
        |s| s.matchers = parse_matchers("a=c").unwrap(),
        false,
    );
    // Pending.
    check_update(5_000, |s| s.starts_at_ms = 6_000, true);
    check_update(5_000, |s| s.starts_at_ms = 4_000, false);
    // Expired.
    check_update(25_000, |s| s.ends_at_ms = 30_000, false);
}

#[track_caller]
fn check_refused(silence: Silence, expected: &str) {
    let mut silences = Silences::new(SilenceLimits {
        count_max: 1,
        bytes_max: 200,
    });
    silences.set(self::silence("a=b", 0, 1_000), 1).unwrap();
    let before: Vec<_> = silences.iter().cloned().collect();
    let error = silences.set(silence, 1).unwrap_err();
    assert_eq!(error.to_string(), expected);
    assert_eq!(silences.iter().cloned().collect::<Vec<_>>(), before);
}

#[test]
fn what_is_refused() {
    check_refused(
        silence("a=~.*,b=", 0, 9),
        "invalid silence: matcher set 0: at least one matcher must not match the empty string",
    );
    check_refused(
        silence("a=b", 9, 8),
        "invalid silence: end time must not be before start time",
    );
    let mut unknown = silence("a=b", 0, 9);
    unknown.id = "x".to_owned();
    check_refused(unknown, "silence not found");
    check_refused(
        silence("a=b", 0, 9),
        "exceeded maximum number of silences: 1 (limit: 1)",
    );
    let mut silences = Silences::new(SilenceLimits {
        bytes_max: 100,
        ..SilenceLimits::default()
    });
    let mut large = silence("a=b", 0, 9);
    large.comment = "x".repeat(100);
    let error = silences.set(large, 1).unwrap_err().to_string();
    assert!(error.contains("(limit: 100 bytes)"), "{error}");
}

#[test]
fn of_two_with_one_id_the_newer_stays() {
    let mut silences = Silences::default();
    let id = silences.set(silence("a=b", 0, 100), 10).unwrap();
    let mut other = silences.get(&id).unwrap().clone();
    assert!(!silences.merge(other.clone()));
    other.updated_at_ms = 11;
    other.ends_at_ms = 50;
    assert!(silences.merge(other));
    assert_eq!(silences.get(&id).unwrap().ends_at_ms, 50);
    assert_eq!(silences.take_changed().len(), 1);
    assert!(silences.take_changed().is_empty());
}

proptest! {
    /// What the maps find is what a look at all silences finds.
    #[test]
    fn lookup_is_a_scan(
        texts in proptest::collection::vec(
            proptest::sample::subsequence(
                vec!["a=1", "a=2", "b=1", "b!=1", "a=~1|2", "c=", "b=~.+"], 1..4),
            0..12),
        a in "[0-2]?", b in "[0-2]?", now_ms in 0i64..30,
    ) {
        let mut silences = Silences::default();
        let mut all = Vec::new();
        for (index, text) in (0i64..).zip(texts) {
            let new = silence(&text.join(","), index, 2 * index + 5);
            if let Ok(id) = silences.set(new, 0) {
                all.push(silences.get(&id).unwrap().clone());
            }
        }
        let pairs = [("a", a.as_str()), ("b", b.as_str())];
        let labels = Labels::from_pairs(pairs.into_iter().filter(|(_, v)| !v.is_empty()));
        let mut expected: Vec<_> = all
            .iter()
            .filter(|s| s.starts_at_ms <= now_ms && now_ms < s.ends_at_ms)
            .filter(|s| s.matchers.iter().all(|m| m.matches(labels.value(m.name()))))
            .map(|s| s.id.clone())
            .collect();
        expected.sort();
        prop_assert_eq!(silences.is_silenced(&labels, now_ms), !expected.is_empty());
        prop_assert_eq!(silences.silenced_by(&labels, now_ms), expected);
    }

    /// Silences and log entries come back as they were, and bytes from elsewhere are an error at most.
    #[test]
    fn messages_come_back(
        id in "[a-f0-9-]{0,36}", comment in ".*", start in -1i64..1 << 42, noise in any::<Vec<u8>>(),
        hashes in proptest::collection::btree_set(any::<u64>(), 0..5),
    ) {
        use crate::dispatch::{IntegrationKey, LogEntry};
        let mut silence = silence("a=b,c!=d,e=~f,g!~h|i", start, start + 7);
        silence.id = id.clone();
        silence.comment = comment.clone();
        silence.annotations.insert("k".to_owned(), comment.clone());
        let bytes = crate::mesh::encode_silence(&silence);
        prop_assert_eq!(crate::mesh::decode_silences(&bytes), Ok(vec![silence]));
        let key = IntegrationKey { group_key: comment, receiver: id, kind: "email".into(), index: 3 };
        let entry = LogEntry { firing: hashes.clone(), resolved: hashes, at_ms: start, expires_at_ms: 5, memory: [("k".to_owned(), format!("v{}", key.group_key))].into() };
        let bytes = crate::mesh::encode_entry(&key, &entry);
        prop_assert_eq!(crate::mesh::decode_entry(&bytes), Ok((key, entry)));
        let _ = crate::mesh::decode_mesh_silences(&noise);
        let _ = crate::mesh::decode_entry(&noise);
        prop_assert!(crate::mesh::messages(&noise).count() <= noise.len());
    }
}
