//! Series that have ended leave the head early, and queries see no difference.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;

use model::stale_nan;
use support::{HOUR, append, assert_same, contents, everything, options};
use tsdb::{Db, DbOptions, ReplayProgress, ReplayReport};

const MINUTE: i64 = 60_000;

fn open(dir: &std::path::Path, stale_share_min: f64) -> (Arc<Db>, ReplayReport) {
    let options = DbOptions {
        stale_share_min,
        ..options()
    };
    let registry = metrics::Registry::new();
    let (db, report) = Db::open(dir, &options, &registry, &ReplayProgress::default()).unwrap();
    (db, report.replay)
}

/// Two and a half hours, in which `b` ends after one and `c` after two.
fn fill(db: &Db) {
    for minute in 0..150 {
        let t = minute * MINUTE;
        let mut batch = vec![("a", t, minute as f64)];
        for (name, end) in [("b", 60), ("c", 120)] {
            if minute <= end {
                let value = if minute == end { stale_nan() } else { 1.0 };
                batch.push((name, t, value));
            }
        }
        assert!(append(db, &batch).is_empty());
    }
}

/// Housekeeping twice: what was asked for since the last round keeps its place for one.
fn keep_house(db: &Db) {
    for _ in 0..3 {
        db.keep_house();
    }
}

#[test]
fn ended_series_leave_the_head_and_nothing_changes_for_queries() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path(), 0.7);
    fill(&db);
    let before = everything(&db);
    keep_house(&db);
    assert_eq!(db.stats().series, 3, "two of three are less than 0.7");
    assert!(db.block_metas().is_empty());
    db.set_stale_share_min(0.6);
    keep_house(&db);
    assert_eq!(db.stats().series, 1);
    let metas = db.block_metas();
    let times: Vec<_> = metas.iter().map(|m| (m.min_time, m.max_time)).collect();
    assert_eq!(times, [(0, 2 * HOUR), (2 * HOUR, 4 * HOUR)]);
    let series: Vec<_> = metas.iter().map(|m| m.stats.num_series).collect();
    assert_eq!(series, [2, 1]);
    for meta in &metas {
        let hints = &meta.compaction.hints;
        assert_eq!(hints, &["from-out-of-order", "from-stale-series"]);
    }
    assert_same(&everything(&db), &before);
    // With none that has ended there is nothing to do.
    keep_house(&db);
    assert_eq!(db.block_metas().len(), 2);

    // One comes back.
    assert!(append(&db, &[("b", 151 * MINUTE, 5.0)]).is_empty());
    let before = everything(&db);
    assert_eq!(before["b"].len(), 62);
    for share in [0.6, 0.0] {
        // As after a kill.
        let copy = tempfile::tempdir().unwrap();
        support::copy_tree(dir.path(), copy.path());
        let (db, report) = open(copy.path(), share);
        assert_same(&everything(&db), &before);
        assert_eq!((report.orphan_samples, report.orphan_chunks), (0, 0));
        keep_house(&db);
        assert_same(&everything(&db), &before);
        assert_eq!(db.stats().series, 2, "the one that has left stays away");
        db.close().unwrap();
        drop(db);
        let (db, report) = open(copy.path(), share);
        assert_same(&everything(&db), &before);
        assert_eq!((report.orphan_samples, report.orphan_chunks), (0, 0));
    }
}

#[test]
fn ended_series_stay_away_through_blocks_and_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path(), 0.1);
    fill(&db);
    keep_house(&db);
    assert_eq!(db.stats().series, 1);
    for minute in 150..600 {
        let value = f64::from(minute).sqrt();
        assert!(append(&db, &[("a", i64::from(minute) * MINUTE, value)]).is_empty());
    }
    let before = everything(&db);
    keep_house(&db);
    assert_same(&everything(&db), &before);
    let early = contents(&db, 0, HOUR);
    assert_eq!(early["b"].len(), 61);
    db.head().checkpoint(0).unwrap();
    db.sync().unwrap();
    let copy = tempfile::tempdir().unwrap();
    support::copy_tree(dir.path(), copy.path());
    let (again, report) = open(copy.path(), 0.1);
    assert_same(&everything(&again), &before);
    assert_eq!(report.orphan_samples, 0);
}

#[test]
fn a_series_with_late_samples_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path(), 0.1);
    db.set_late_window(model::Duration::from_secs(3 * 3600));
    fill(&db);
    assert!(append(&db, &[("b", 30 * MINUTE + 1, 7.0)]).is_empty());
    let before = everything(&db);
    keep_house(&db);
    assert_eq!(db.stats().series, 2, "c has left, b has a late sample");
    assert_same(&everything(&db), &before);
}

#[test]
fn blocks_of_ended_series_alone_do_not_hide_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path(), 0.1);
    fill(&db);
    let before = everything(&db);
    keep_house(&db);
    for meta in db.block_metas() {
        // As Prometheus writes it.
        let path = dir.path().join(meta.ulid.to_string()).join("meta.json");
        let text = std::fs::read_to_string(&path).unwrap();
        let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json["compaction"]["hints"] = serde_json::json!(["from-stale-series"]);
        json.as_object_mut()
            .unwrap()
            .retain(|key, _| key != "hearth");
        let changed = json.to_string();
        std::fs::write(&path, changed).unwrap();
    }
    let copy = tempfile::tempdir().unwrap();
    support::copy_tree(dir.path(), copy.path());
    let (db, _) = open(copy.path(), 0.0);
    assert_same(&everything(&db), &before);
}
