//! Exemplars and metadata through a database: refused, kept, logged, replayed, and dropped with their series.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
use std::path::Path;
use std::sync::Arc;

use model::exemplar::Exemplar;
use model::metadata::{Metadata, MetricType};
use model::storage::{AppendError, Appendable as _, FloatSample};
use model::{Labels, MatchOp, Matcher};
use tsdb::{Db, DbOptions, HeadOptions, ReplayProgress};

fn open(dir: &Path, exemplars_max: usize) -> Arc<Db> {
    let options = DbOptions {
        head: HeadOptions {
            exemplars_max,
            logs_metadata: true,
            ..HeadOptions::default()
        },
        ..DbOptions::default()
    };
    let registry = metrics::Registry::new();
    let (db, report) = Db::open(dir, &options, &registry, &ReplayProgress::default()).unwrap();
    assert!(
        report.replay.damages.is_empty(),
        "{:?}",
        report.replay.damages
    );
    db
}

/// Appends one exemplar of the series `name`, with a sample if `with_sample`.
fn append(
    db: &Db,
    name: &str,
    exemplar: (Option<i64>, &str),
    with_sample: bool,
) -> Result<(), AppendError> {
    let mut appender = db.appender();
    let series = appender.series(&[("__name__", name)]).unwrap();
    if with_sample {
        let sample = FloatSample {
            series,
            t: exemplar.0.unwrap_or(5_000),
            value: 1.0,
        };
        appender.append_floats(&[sample], &mut Vec::new());
    }
    let exemplar = Exemplar {
        labels: Labels::from_pairs([("trace_id", exemplar.1)]),
        value: 1.0,
        t: exemplar.0,
    };
    let outcome = appender.append_exemplar(series, &exemplar);
    appender.commit().unwrap();
    outcome
}

fn shown(db: &Db, pattern: &str) -> String {
    let matcher = Matcher::new("__name__", MatchOp::Regex, pattern).unwrap();
    let found = db.exemplars(&[vec![matcher]], i64::MIN, i64::MAX);
    let series = found.iter().map(|(labels, exemplars)| {
        let times = exemplars.iter().map(|e| format!(" {}@{}", e.labels, e.t));
        format!("{labels}:{}", times.collect::<String>())
    });
    series.collect::<Vec<_>>().join("; ")
}

#[test]
fn kept_in_order_and_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path(), 3);
    append(&db, "b", (Some(1_000), "x"), true).unwrap();
    append(&db, "b", (Some(1_000), "x"), false).unwrap();
    append(&db, "b", (Some(2_000), "y"), true).unwrap();
    let old = append(&db, "b", (Some(1_500), "z"), false);
    assert_eq!(old, Err(AppendError::OutOfOrder));
    let long = "é".repeat(121);
    let refused = append(&db, "b", (Some(3_000), &long), false);
    assert!(matches!(refused, Err(AppendError::InvalidLabels(_))));
    // A series that has nothing but an exemplar; without a time it takes its sample's, and is taken once.
    append(&db, "a", (Some(500), "q"), false).unwrap();
    let expected = r#"a: {trace_id="q"}@500; b: {trace_id="x"}@1000 {trace_id="y"}@2000"#;
    assert_eq!(shown(&db, "a|b"), expected);
    append(&db, "c", (None, "r"), true).unwrap();
    append(&db, "c", (None, "r"), true).unwrap();
    let expected = r#"a: {trace_id="q"}@500; b: {trace_id="y"}@2000; c: {trace_id="r"}@5000"#;
    assert_eq!(shown(&db, ".+"), expected);
    // As after a kill: from the log.
    drop(db);
    let db = open(dir.path(), 3);
    assert_eq!(shown(&db, ".+"), expected);
    // As after a stop: from the snapshot.
    db.close().unwrap();
    drop(db);
    let db = open(dir.path(), 3);
    assert_eq!(shown(&db, ".+"), expected);
    db.set_exemplars_max(1);
    assert_eq!(shown(&db, ".+"), r#"c: {trace_id="r"}@5000"#);
    db.set_exemplars_max(0);
    assert_eq!(shown(&db, ".+"), "");
    append(&db, "c", (Some(9_000), "r"), true).unwrap();
    assert_eq!(shown(&db, ".+"), "");
}

#[test]
fn dropped_with_their_series() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path(), 3);
    append(&db, "a", (Some(1_000), "x"), true).unwrap();
    append(&db, "b", (Some(9_000), "y"), true).unwrap();
    db.head().truncate(5_000).unwrap();
    // The series goes when it is found empty twice.
    db.head().drop_empty_series();
    db.head().drop_empty_series();
    assert_eq!(shown(&db, ".+"), r#"b: {trace_id="y"}@9000"#);
}

#[test]
fn metadata_is_kept_and_logged() {
    let dir = tempfile::tempdir().unwrap();
    let say = |db: &Db, help: &str| {
        let mut appender = db.appender();
        let series = appender.series(&[("__name__", "m")]).unwrap();
        let metadata = Metadata {
            kind: MetricType::Counter,
            help: help.to_owned(),
            unit: "seconds".to_owned(),
        };
        appender.update_metadata(series, &metadata).unwrap();
        appender.commit().unwrap();
    };
    let known = |db: &Db| {
        let series = db.appender().series(&[("__name__", "m")]).unwrap();
        db.head().metadata(series).map(|known| known.help.clone())
    };
    let db = open(dir.path(), 0);
    assert_eq!(known(&db), None);
    say(&db, "first");
    say(&db, "second");
    assert_eq!(known(&db).as_deref(), Some("second"));
    drop(db);
    let db = open(dir.path(), 0);
    assert_eq!(known(&db).as_deref(), Some("second"));
    db.close().unwrap();
    drop(db);
    assert_eq!(known(&open(dir.path(), 0)).as_deref(), Some("second"));
}
