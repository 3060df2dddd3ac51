//! Appending and reading: what is taken, what is refused and why, and what a query sees.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use model::storage::{AppendError, Appendable, FloatSample, Queryable, SampleColumns, SelectHints};
use model::{MatchOp, Matcher};
use support::{HOUR, append, contents, everything, open};

#[test]
fn committed_samples_are_there_and_survive_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    for i in 0..500 {
        append(
            &db,
            &[
                ("a", i * 1_000, i as f64),
                ("b", i * 1_000, model::stale_nan()),
            ],
        );
    }
    let before = everything(&db);
    assert_eq!(before["a"].len(), 500);
    assert_eq!(before["b"][499], (499_000, model::STALE_NAN_BITS));
    assert_eq!(contents(&db, 100_000, 110_000)["a"].len(), 11);
    drop(db); // No close: as after a kill.
    let (db, report) = open(dir.path());
    assert!(report.damages.is_empty(), "{report:?}");
    assert_eq!(everything(&db), before);
    db.close().unwrap();
    drop(db);
    assert_eq!(everything(&open(dir.path()).0), before);
}

#[test]
fn uncommitted_samples_are_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    let mut appender = db.appender();
    let series = appender.series(&[("__name__", "a")]).unwrap();
    appender.append_floats(
        &[FloatSample {
            series,
            t: 1,
            value: 1.0,
        }],
        &mut Vec::new(),
    );
    drop(appender);
    assert!(everything(&db).is_empty());
    // A series that was made by a batch that never came is logged by the first one that does.
    let mut appender = db.appender();
    appender.append_floats(
        &[FloatSample {
            series,
            t: 2,
            value: 2.0,
        }],
        &mut Vec::new(),
    );
    appender.commit().unwrap();
    let before = everything(&db);
    assert_eq!(before.len(), 1);
    drop(db);
    assert_eq!(everything(&open(dir.path()).0), before);
}

#[test]
fn refused_samples_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    let at = 10 * HOUR;
    assert_eq!(append(&db, &[("a", at, 1.0)]), []);
    let errors = |samples: &[(&str, i64, f64)]| {
        append(&db, samples)
            .into_iter()
            .map(|r| (r.index, r.error))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        errors(&[("a", at, 1.0)]),
        [],
        "the same again changes nothing"
    );
    assert_eq!(
        errors(&[("b", at, 1.0), ("a", at, 2.0)]),
        [(1, AppendError::Duplicate)]
    );
    assert_eq!(
        errors(&[("a", at - 1, 1.0)]),
        [(0, AppendError::OutOfOrder)]
    );
    assert_eq!(
        errors(&[("c", at - 2 * HOUR, 1.0), ("c", at, 1.0)]),
        [(0, AppendError::OutOfBounds)]
    );
    let mut rejected = Vec::new();
    let unknown = |series| FloatSample {
        series: model::storage::SeriesRef(series),
        t: at + 1,
        value: 1.0,
    };
    db.appender().append_floats(
        &[unknown(77), unknown(1 << 40), unknown(5_000)],
        &mut rejected,
    );
    assert_eq!(
        rejected
            .iter()
            .map(|r| (r.index, r.error == AppendError::UnknownSeries))
            .collect::<Vec<_>>(),
        [(0, true), (1, true), (2, true)]
    );
    for labels in [
        &[][..],
        &[("b", "1"), ("a", "1")],
        &[("a", "1"), ("a", "2")],
        &[("a", "")],
    ] {
        assert!(
            matches!(
                db.appender().series(labels),
                Err(AppendError::InvalidLabels(_))
            ),
            "{labels:?}"
        );
    }
    assert_eq!(everything(&db)["a"].len(), 1);
}

#[test]
fn late_samples_are_taken_within_the_window_and_survive_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    let minute = 60_000;
    append(&db, &[("a", 100 * minute, 1.0), ("b", 100 * minute, 1.0)]);
    let rejected = append(&db, &[("a", 70 * minute, 2.0)]);
    assert_eq!(rejected[0].error, AppendError::OutOfOrder);
    db.set_late_window(model::Duration::from_secs(3_600));
    // Descending, so that each is late; enough for several chunks, and some that wait.
    for i in 0..75 {
        let t = (99 - i) * minute / 2 + 50 * minute;
        assert!(append(&db, &[("a", t, i as f64)]).is_empty(), "{i}");
    }
    append(&db, &[("a", 101 * minute, 3.0)]);
    let rejected = append(&db, &[("a", 40 * minute, 2.0)]);
    assert_eq!(rejected[0].error, AppendError::TooOld);
    let before = everything(&db);
    assert_eq!(before["a"].len(), 77);
    assert!(before["a"].is_sorted_by(|a, b| a.0 < b.0));
    assert_eq!(contents(&db, 70 * minute, 71 * minute)["a"].len(), 3);
    drop(db);
    for is_closed in [false, true, false] {
        let (db, report) = open(dir.path());
        assert!(report.damages.is_empty(), "{report:?}");
        assert_eq!(everything(&db), before);
        if is_closed {
            db.close().unwrap();
        }
    }
}

#[test]
fn a_query_never_sees_half_a_batch() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    let names: Vec<String> = (0..600).map(|i| format!("series_{i}")).collect();
    let scrape = |t: i64| {
        let batch: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), t, t as f64))
            .collect();
        assert!(append(&db, &batch).is_empty());
    };
    scrape(1_000);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (2..300).for_each(|i| scrape(i * 1_000)));
        let mut seen = 0;
        while !writer.is_finished() || seen == 0 {
            let querier = db.querier(0, i64::MAX).unwrap();
            let any = Matcher::new("job", MatchOp::Equal, "test").unwrap();
            let set = querier
                .select(&[any], &SelectHints::range(0, i64::MAX))
                .unwrap();
            let mut scratch = SampleColumns::default();
            let newest: std::collections::BTreeSet<i64> = (0..set.len())
                .map(|i| set.newest(i, 0, i64::MAX, &mut scratch).unwrap().unwrap().t)
                .collect();
            assert_eq!(newest.len(), 1, "samples of several scrapes: {newest:?}");
            let mut columns = SampleColumns::default();
            set.read(17, 0, i64::MAX, &mut columns).unwrap();
            assert_eq!(columns.timestamps.last(), newest.first());
            seen += 1;
        }
    });
}

#[test]
fn label_queries_follow_matchers_and_time() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    append(&db, &[("early", 0, 1.0)]);
    append(&db, &[("late", HOUR / 2, 1.0)]);
    let names = |mint, maxt, matchers: &[Matcher]| {
        db.querier(mint, maxt)
            .unwrap()
            .label_values("__name__", matchers)
            .unwrap()
    };
    assert_eq!(names(0, HOUR, &[]), ["early", "late"]);
    assert_eq!(names(10, HOUR, &[]), ["late"]);
    assert_eq!(
        names(0, HOUR, &[Matcher::equal("__name__", "early")]),
        ["early"]
    );
    assert_eq!(
        db.querier(0, HOUR).unwrap().label_names(&[]).unwrap(),
        ["__name__", "job"]
    );
    assert!(
        db.querier(2 * HOUR, 3 * HOUR)
            .unwrap()
            .label_names(&[])
            .unwrap()
            .is_empty()
    );
    let cardinality = db.cardinality(1);
    assert_eq!(cardinality.series_by_pair[0].name, "job=test");
    assert_eq!(cardinality.values_by_label[0].value, 2);
}

#[test]
fn series_that_never_got_a_sample_go() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    db.appender().series(&[("__name__", "empty")]).unwrap();
    append(&db, &[("full", 1, 1.0)]);
    db.head().drop_empty_series();
    assert_eq!(db.stats().series, 2, "it may get its sample yet");
    db.head().drop_empty_series();
    assert_eq!(db.stats().series, 1);
    assert_eq!(everything(&db).len(), 1);
}
