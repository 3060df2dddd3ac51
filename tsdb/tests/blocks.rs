//! Housekeeping: the head becomes blocks, blocks are merged and deleted, and queries see no difference.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use model::storage::{AppendError, Appendable, FloatSample, Queryable};
use model::{MatchOp, Matcher};
use support::{HOUR, append, assert_same, contents, everything, fill, open, options};
use tsdb::{Db, ReplayProgress};

#[test]
fn retention_drops_old_chunks_and_series() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    for i in 0..2_000 {
        append(&db, &[("a", i * 15_000, 1.0)]);
        if i < 200 {
            append(&db, &[("old", i * 15_000, 1.0)]);
        }
    }
    let stale_handle = db
        .appender()
        .series(&[("__name__", "old"), ("job", "test")])
        .unwrap();
    let cut = 1_000 * 15_000;
    db.head().truncate(cut).unwrap();
    assert_eq!(
        db.stats().series,
        2,
        "a batch may be about to bring a sample"
    );
    // Nobody asks for it any more: it goes when it is found empty twice.
    db.head().drop_empty_series();
    db.head().drop_empty_series();
    let after = everything(&db);
    assert_eq!(after.keys().collect::<Vec<_>>(), ["a"]);
    let first = after["a"][0].0;
    assert!(cut - 2 * HOUR < first && first <= cut, "{first}");
    assert_eq!(db.stats().series, 1);
    assert_eq!(
        db.querier(0, i64::MAX)
            .unwrap()
            .label_values("__name__", &[])
            .unwrap(),
        ["a"]
    );
    // An old handle is told so, and the series can come back.
    let mut rejected = Vec::new();
    let sample = FloatSample {
        series: stale_handle,
        t: 2_000 * 15_000,
        value: 1.0,
    };
    db.appender().append_floats(&[sample], &mut rejected);
    assert_eq!(rejected[0].error, AppendError::UnknownSeries);
    append(&db, &[("old", 2_000 * 15_000, 3.0)]);
    let before = everything(&db);
    assert_eq!(before["old"].len(), 1);
    drop(db);
    let (db, _) = open(dir.path());
    db.head().truncate(cut).unwrap();
    assert_eq!(everything(&db), before);
}

#[test]
fn the_head_becomes_blocks_and_nothing_changes_for_queries() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    fill(&db, 0, 11);
    let before = everything(&db);
    db.keep_house();
    let metas = db.block_metas();
    // 0-2, 2-4 and 4-6 are one block by now, 6-8 is the newest; 8-10 is still in the head.
    assert_eq!(metas.len(), 2, "{metas:?}");
    assert_eq!((metas[0].min_time, metas[0].max_time), (0, 6 * HOUR));
    assert_eq!(metas[0].stats.num_samples, 2 * 360);
    assert_same(&everything(&db), &before);
    assert_eq!(contents(&db, 5 * HOUR, 7 * HOUR)["a"].len(), 121);
    assert_eq!(contents(&db, 0, HOUR)["a"].len(), 61);
    assert_eq!(contents(&db, 8 * HOUR, 8 * HOUR)["a"].len(), 1);
    let (oldest, _) = db.head().time_range().unwrap();
    assert_eq!(oldest, 8 * HOUR);
    drop(db);
    let (db, report) = open(dir.path());
    assert!(report.damages.is_empty(), "{report:?}");
    assert_same(&everything(&db), &before);
    let rejected = append(&db, &[("new", 8 * HOUR - 1, 1.0)]);
    assert_eq!(rejected[0].error, AppendError::OutOfBounds);
    fill(&db, 11, 16);
    db.keep_house();
    assert_eq!(everything(&db)["a"].len(), 16 * 60);
}

#[test]
fn late_samples_become_blocks_that_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    db.set_late_window(model::Duration::from_secs(24 * 3_600));
    fill(&db, 0, 5);
    for minute in (0..300).rev() {
        let t = minute * 60_000 + 30_000;
        assert!(append(&db, &[("a", t, 0.5)]).is_empty());
    }
    let before = everything(&db);
    assert_eq!(before["a"].len(), 600);
    db.keep_house();
    assert!(db.head().late_range().is_none());
    assert!(!db.block_metas().is_empty());
    assert_same(&everything(&db), &before);
    drop(db);
    let (db, report) = open(dir.path());
    assert!(report.damages.is_empty(), "{report:?}");
    assert_same(&everything(&db), &before);
}

#[test]
fn what_is_deleted_is_hidden_at_once_and_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    fill(&db, 0, 6);
    db.keep_house();
    let a = Matcher::new("__name__", MatchOp::Equal, "a").unwrap();
    db.delete(HOUR, 5 * HOUR, std::slice::from_ref(&a)).unwrap();
    let mut expected = everything(&db);
    assert_eq!(expected["a"].len(), 60 + 59);
    assert_eq!(expected["b"].len(), 360);
    db.delete(i64::MIN, i64::MAX, &[a]).unwrap();
    assert!(!everything(&db).contains_key("a"));
    db.clean_tombstones().unwrap();
    expected.remove("a");
    assert_same(&everything(&db), &expected);
    drop(db);
    let (db, _) = open(dir.path());
    assert_same(&everything(&db), &expected);
    fill(&db, 6, 12);
    db.keep_house();
    expected = everything(&db);
    assert_eq!(
        expected["a"].len(),
        360,
        "new samples of a deleted series are there"
    );
    drop(db);
    assert_same(&everything(&open(dir.path()).0), &expected);
}

#[test]
fn old_blocks_go_by_time_and_by_size() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    fill(&db, 0, 30);
    db.keep_house();
    let oldest = |db: &Db| db.block_metas()[0].min_time;
    assert_eq!(oldest(&db), 0);
    let mut retention = tsdb::Retention {
        time: model::Duration::from_secs(8 * 3_600),
        ..tsdb::Retention::default()
    };
    db.set_retention(retention);
    db.keep_house();
    assert!(18 * HOUR <= oldest(&db), "{:?}", db.block_metas());
    retention.disk_percentage = 100.0;
    retention.bytes = 1;
    db.set_retention(retention);
    db.keep_house();
    assert!(!db.block_metas().is_empty(), "the disk has room for all");
    retention.disk_percentage = 1e-9;
    db.set_retention(retention);
    db.keep_house();
    assert!(db.block_metas().is_empty());
    assert!(!everything(&db).is_empty(), "the head stays");
}

#[test]
fn a_snapshot_is_a_database_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    db.set_late_window(model::Duration::from_secs(3_600));
    fill(&db, 0, 6);
    db.keep_house();
    append(&db, &[("a", 6 * HOUR - 90_000, 7.0)]);
    let name = db.snapshot(false).unwrap().0;
    let without_head = db.snapshot(true).unwrap().0;
    let before = everything(&db);
    let snapshot = |name: &str| dir.path().join("snapshots").join(name);
    assert_same(&everything(&open(&snapshot(&name)).0), &before);
    assert_eq!(
        everything(&open(&snapshot(&without_head)).0)["a"].len(),
        240
    );
}

#[test]
fn another_block_range_than_before_is_no_trouble() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    // Chunks of 120 minutes: one crosses the full hour.
    fill(&db, 0, 5);
    let before = everything(&db);
    drop(db);
    let mut options = options();
    options.head.chunks.range_ms = HOUR;
    let registry = metrics::Registry::new();
    let opened = Db::open(dir.path(), &options, &registry, &ReplayProgress::default());
    let (db, _) = opened.unwrap();
    db.keep_house();
    let metas = db.block_metas();
    assert!(!metas.is_empty() && metas.len() < 6, "{metas:?}");
    assert_same(&everything(&db), &before);
    db.keep_house();
    assert_eq!(
        db.block_metas().len(),
        metas.len(),
        "nothing is written again"
    );
}
