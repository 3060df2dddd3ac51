//! The cache against the obvious twin: maps and sets of lines.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Runs one scrape of `lines` (in order), handles being numbered by line; returns what ended.
fn scrape(cache: &mut Cache, lines: &[&str], is_stored: bool) -> (Vec<String>, BTreeSet<u64>) {
    cache.begin();
    let mut order = Vec::new();
    let mut outcomes = Vec::new();
    for line in lines {
        let is_expected = cache.expected().is(line);
        match cache.find(line, is_expected, true) {
            Found::Entry(id, target) | Found::Returned(id, target) => {
                assert!(cache.key(id).is(line));
                assert_eq!(target, Destination::Series(SeriesRef(number(line))));
                order.push(id);
                outcomes.push(format!("known {line}"));
            }
            Found::Duplicate(..) => outcomes.push(format!("duplicate {line}")),
            Found::Nothing => {
                let target = Destination::Series(SeriesRef(number(line)));
                order.push(cache.insert(line, target, MetricType::Unknown, true));
                outcomes.push(format!("new {line}"));
            }
        }
    }
    let mut ended = Vec::new();
    cache.ended(is_stored, &mut ended);
    cache.finish(is_stored, &order);
    (outcomes, ended.into_iter().map(|series| series.0).collect())
}

fn number(line: &str) -> u64 {
    line.bytes().fold(7u64, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(u64::from(byte))
    }) & (u64::MAX >> 1)
}

fn numbers(lines: &[&str]) -> BTreeSet<u64> {
    lines.iter().map(|line| number(line)).collect()
}

#[test]
fn what_goes_ends_once() {
    let mut cache = Cache::default();
    assert_eq!(scrape(&mut cache, &["a", "b", "c"], true).1, numbers(&[]));
    assert_eq!(scrape(&mut cache, &["a", "c"], true).1, numbers(&["b"]));
    assert_eq!(scrape(&mut cache, &["a", "c"], true).1, numbers(&[]));
    let (outcomes, ended) = scrape(&mut cache, &["a", "b", "c"], true);
    assert_eq!(outcomes, ["known a", "known b", "known c"]);
    assert_eq!(ended, numbers(&[]));
}

#[test]
fn what_was_away_returns() {
    let mut cache = Cache::default();
    let mut returned = |lines: &[&str], is_stored: bool| {
        cache.begin();
        let mut order = Vec::new();
        let mut returned = Vec::new();
        for line in lines {
            let found = cache.find(line, false, true);
            if let Found::Returned(..) = found {
                returned.push((*line).to_owned());
            }
            order.push(match found {
                Found::Entry(id, _) | Found::Returned(id, _) | Found::Duplicate(id, _) => id,
                Found::Nothing => {
                    let target = Destination::Series(SeriesRef(number(line)));
                    cache.insert(line, target, MetricType::Unknown, true)
                }
            });
        }
        cache.finish(is_stored, &order);
        returned
    };
    assert!(returned(&["a", "b"], true).is_empty());
    assert!(returned(&["a", "b"], true).is_empty());
    assert!(returned(&["b"], true).is_empty());
    assert_eq!(returned(&["a", "b"], true), ["a"]);
    // Scrapes without a body forget nothing.
    for _ in 0..3 {
        returned(&[], false);
        returned(&[], true);
    }
    assert!(returned(&["a", "b"], true).is_empty());
}

#[test]
fn a_failed_scrape_ends_everything_once() {
    let mut cache = Cache::default();
    scrape(&mut cache, &["a", "b", "c"], true);
    // It failed half way: what it saw of a is not stored either.
    assert_eq!(
        scrape(&mut cache, &["a", "new"], false).1,
        numbers(&["a", "b", "c"])
    );
    assert_eq!(scrape(&mut cache, &[], false).1, numbers(&[]));
    assert_eq!(scrape(&mut cache, &["a", "b", "c"], true).1, numbers(&[]));
    assert_eq!(scrape(&mut cache, &["c"], true).1, numbers(&["a", "b"]));
}

#[test]
fn failing_scrapes_leave_nothing_behind() {
    let mut cache = Cache::default();
    scrape(&mut cache, &["a", "b"], true);
    for round in 0..100 {
        let garbage = format!("garbage_{round}");
        scrape(&mut cache, &["a", &garbage], false);
        assert_eq!(cache.len(), 2);
    }
    assert_eq!(
        scrape(&mut cache, &["b", "a"], true).0,
        ["known b", "known a"]
    );
}

#[test]
fn duplicates_are_seen() {
    let mut cache = Cache::default();
    assert_eq!(
        scrape(&mut cache, &["a", "b", "a"], true).0,
        ["new a", "new b", "duplicate a"]
    );
    assert_eq!(
        scrape(&mut cache, &["a", "a", "b"], true).0,
        ["known a", "duplicate a", "known b"]
    );
}

#[test]
fn forgetting_keeps_what_is_live() {
    let mut cache = Cache::default();
    scrape(&mut cache, &["a", "b"], true);
    scrape(&mut cache, &["a"], true);
    cache.invalidate();
    assert_eq!(cache.len(), 0);
    let (outcomes, ended) = scrape(&mut cache, &["a"], true);
    assert_eq!(outcomes, ["new a"]);
    // The caller knows that a is stored again.
    assert_eq!(ended, numbers(&["a"]));
    assert_eq!(scrape(&mut cache, &["a"], true).1, numbers(&[]));
}

#[test]
fn dead_entries_are_dropped() {
    let mut cache = Cache::default();
    for round in 0..20 {
        let lines: Vec<String> = (0..100)
            .map(|i| format!("m{{round=\"{round}\",i=\"{i}\"}}"))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        scrape(&mut cache, &lines, true);
        assert!(cache.len() <= 200, "{}", cache.len());
    }
}

#[test]
fn an_order_once_changed_is_learned() {
    let mut cache = Cache::default();
    let lines: Vec<String> = (0..100).map(|i| format!("m{i}")).collect();
    let forth: Vec<&str> = lines.iter().map(String::as_str).collect();
    let back: Vec<&str> = lines.iter().rev().map(String::as_str).collect();
    scrape(&mut cache, &forth, true);
    scrape(&mut cache, &back, true);
    scrape(&mut cache, &back, true);
    assert_eq!(cache.misplaced, 0);
}

proptest! {
    /// Any sequence of scrapes gives what maps and sets give.
    #[test]
    fn agrees_with_maps(scrapes in proptest::collection::vec((proptest::collection::vec(0u8..40, 0..60), any::<bool>()), 1..12)) {
        let mut cache = Cache::default();
        let mut live = BTreeSet::new();
        let mut seen_ever = BTreeMap::new();
        for (lines, is_stored) in scrapes {
            let lines: Vec<String> = lines.iter().map(|n| format!("metric_{n}")).collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let (outcomes, ended) = scrape(&mut cache, &lines, is_stored);
            let mut seen = BTreeSet::new();
            for (outcome, line) in outcomes.iter().zip(&lines) {
                let is_new = seen.insert(number(line));
                prop_assert_eq!(outcome.starts_with("duplicate"), !is_new);
                if outcome.starts_with("known") {
                    prop_assert!(seen_ever.contains_key(*line));
                }
                seen_ever.insert((*line).to_owned(), ());
            }
            let stored = if is_stored { seen } else { BTreeSet::new() };
            prop_assert_eq!(ended, live.difference(&stored).copied().collect::<BTreeSet<u64>>());
            live = stored;
        }
    }
}
