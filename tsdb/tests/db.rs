//! The database through its public surface: what was committed is there, after restarts, crashes and housekeeping.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;

use model::storage::{
    AppendError, Appendable, FloatSample, Queryable, Rejected, SampleColumns, SelectHints,
};
use model::{MatchOp, Matcher};
use proptest::prelude::*;
use tsdb::{Db, DbOptions, OpenDbError, ReplayProgress, ReplayReport};

const HOUR: i64 = 3_600_000;

fn options() -> DbOptions {
    DbOptions {
        head: tsdb::HeadOptions {
            segment: tsdb::SegmentOptions {
                bytes_max: 128 << 10,
                ..Default::default()
            },
            ..Default::default()
        },
        ..DbOptions::default()
    }
}

fn open(dir: &Path) -> (Arc<Db>, ReplayReport) {
    Db::open(
        dir,
        &options(),
        &metrics::Registry::new(),
        &ReplayProgress::default(),
    )
    .map(|(db, report)| (db, report.replay))
    .unwrap()
}

/// Appends one batch of (series name, t, value); returns what was refused.
fn append(db: &Db, samples: &[(&str, i64, f64)]) -> Vec<Rejected> {
    let mut appender = db.appender();
    let mut rejected = Vec::new();
    let batch: Vec<_> = samples
        .iter()
        .map(|&(name, t, value)| {
            let series = appender
                .series(&[("__name__", name), ("job", "test")])
                .unwrap();
            FloatSample { series, t, value }
        })
        .collect();
    appender.append_floats(&batch, &mut rejected);
    appender.commit().unwrap();
    rejected
}

type Contents = BTreeMap<String, Vec<(i64, u64)>>;

fn contents(db: &Db, mint: i64, maxt: i64) -> Contents {
    let querier = db.querier(mint, maxt).unwrap();
    let any = Matcher::new("__name__", MatchOp::Regex, ".+").unwrap();
    let set = querier
        .select(&[any], &SelectHints::range(mint, maxt))
        .unwrap();
    let mut all = Contents::new();
    for index in 0..set.len() {
        let mut columns = SampleColumns::default();
        set.read(index, mint, maxt, &mut columns).unwrap();
        let samples: Vec<_> = columns
            .timestamps
            .into_iter()
            .zip(columns.floats.iter().map(|v| v.to_bits()))
            .collect();
        if !samples.is_empty() {
            all.insert(set.labels(index).metric_name().to_owned(), samples);
        }
    }
    all
}

fn everything(db: &Db) -> Contents {
    contents(db, i64::MIN, i64::MAX)
}

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
fn a_second_process_is_kept_out() {
    let dir = tempfile::tempdir().unwrap();
    let (_db, _) = open(dir.path());
    let second = Db::open(
        dir.path(),
        &options(),
        &metrics::Registry::new(),
        &ReplayProgress::default(),
    );
    assert!(matches!(second, Err(OpenDbError::InUse(_))));
}

#[test]
fn a_directory_that_is_a_file_is_one_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, b"").unwrap();
    let error = Db::open(
        &path,
        &options(),
        &metrics::Registry::new(),
        &ReplayProgress::default(),
    )
    .err()
    .unwrap();
    assert!(error.to_string().contains("cannot be used"), "{error}");
}

#[test]
fn damage_in_one_segment_costs_the_rest_of_that_segment_only() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    // Values that do not compress, so that the segments of 128 KiB fill up; few enough samples to stay in open chunks.
    for i in 0..25i64 {
        let names: Vec<String> = (0..1_000).map(|s| format!("series_{s}")).collect();
        let batch: Vec<_> = names
            .iter()
            .zip(0i64..)
            .map(|(n, s)| (n.as_str(), i * 1_000, ((s * 7_919 + i) as f64).sqrt()))
            .collect();
        append(&db, &batch);
    }
    let before = everything(&db);
    drop(db);
    let segment = dir.path().join("wal/00000001");
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&segment, bytes).unwrap();

    let (db, report) = open(dir.path());
    assert_eq!(report.damages.len(), 1, "{report:?}");
    assert!(dir.path().join("wal/00000001.corrupt").exists());
    let after = everything(&db);
    assert_eq!(after.len(), 1_000);
    let count = |contents: &Contents| contents.values().map(Vec::len).sum::<usize>();
    assert!(count(&before) / 2 < count(&after) && count(&after) < count(&before));
    for (name, samples) in &after {
        assert!(samples.iter().all(|sample| before[name].contains(sample)));
        assert_eq!(
            samples.last(),
            before[name].last(),
            "segments after the damage are read"
        );
    }
    drop(db);
    assert!(open(dir.path()).1.damages.is_empty(), "reported once");
}

#[test]
fn any_torn_tail_of_the_log_keeps_what_came_before() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    for i in 0..20 {
        append(&db, &[("a", i, i as f64)]);
    }
    let before = everything(&db)["a"].clone();
    drop(db);
    let path = dir.path().join("wal/00000000");
    let whole = std::fs::metadata(&path).unwrap().len();
    let mut last = 20;
    for cut in (0..whole).rev().step_by(3) {
        // Each start adds a segment; the torn one stays the only one with data.
        for extra in std::fs::read_dir(dir.path().join("wal"))
            .unwrap()
            .map(|e| e.unwrap().path())
        {
            if extra != path {
                std::fs::remove_file(extra).unwrap();
            }
        }
        OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(cut)
            .unwrap();
        let (db, _) = open(dir.path());
        let samples = everything(&db).remove("a").unwrap_or_default();
        assert!(
            samples.len() <= last && last - samples.len() <= 1,
            "{cut}: {} after {last}",
            samples.len()
        );
        assert_eq!(samples, before[..samples.len()]);
        last = samples.len();
    }
    assert_eq!(last, 0);
}

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
fn a_checkpoint_stands_for_the_segments_it_replaces() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    let names: Vec<String> = (0..500).map(|s| format!("series_{s}")).collect();
    for i in 0..200i64 {
        let batch: Vec<_> = names
            .iter()
            .zip(0i64..)
            .map(|(n, s)| (n.as_str(), i * 60_000, ((s + i) as f64).sqrt()))
            .collect();
        append(&db, &batch);
    }
    let segments =
        |dir: &Path| tsdb::wal::segment::list(&tsdb::files::Disk, &dir.join("wal")).unwrap();
    let before = everything(&db);
    let all = segments(dir.path());
    assert!(6 < all.len(), "{all:?}");
    db.head().checkpoint(all[3]).unwrap();
    db.head().checkpoint(all[5]).unwrap();
    assert_eq!(segments(dir.path())[0], all[6]);
    assert!(
        dir.path()
            .join(format!("wal/checkpoint.{:08}", all[5]))
            .exists()
    );
    assert!(
        !dir.path()
            .join(format!("wal/checkpoint.{:08}", all[3]))
            .exists()
    );
    append(&db, &[("series_7", 201 * 60_000, 7.0)]);
    let before = {
        let mut b = before;
        b.get_mut("series_7")
            .unwrap()
            .push((201 * 60_000, 7f64.to_bits()));
        b
    };
    drop(db);
    let (db, report) = open(dir.path());
    assert!(
        report.damages.is_empty() && report.orphan_samples == 0,
        "{report:?}"
    );
    assert_eq!(everything(&db), before);
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

/// What may happen to a database.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(u8, u16, f64)>),
    Crash,
    Close,
    Sync,
    Checkpoint,
}

fn step() -> impl Strategy<Value = Step> {
    let sample = (
        0u8..5,
        1u16..60_000,
        prop_oneof![any::<f64>(), (0i32..10).prop_map(f64::from)],
    );
    prop_oneof![
        20 => prop::collection::vec(sample, 1..200).prop_map(Step::Append),
        1 => Just(Step::Crash),
        1 => Just(Step::Close),
        1 => Just(Step::Sync),
        1 => Just(Step::Checkpoint),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Against a plain map: whatever happens in between, exactly the committed samples are there.
    #[test]
    fn agrees_with_a_map(steps in prop::collection::vec(step(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let mut db = open(dir.path()).0;
        let mut expected = Contents::new();
        let mut now = [0i64; 5];
        for step in steps {
            match step {
                Step::Append(samples) => {
                    let names: Vec<_> = samples.iter().map(|s| format!("s{}", s.0)).collect();
                    let newest = now.iter().max().copied().unwrap_or(0);
                    let batch: Vec<_> = samples.iter().zip(&names).map(|(&(series, delta, value), name)| {
                        let t = &mut now[usize::from(series)];
                        // Stay within what the head still takes.
                        *t = (*t + i64::from(delta)).max(newest - HOUR / 4);
                        expected.entry(name.clone()).or_default().push((*t, value.to_bits()));
                        (name.as_str(), *t, value)
                    }).collect();
                    prop_assert_eq!(append(&db, &batch), []);
                }
                Step::Crash => { drop(db); db = open(dir.path()).0; }
                Step::Close => { db.close().unwrap(); drop(db); db = open(dir.path()).0; }
                Step::Sync => db.head().sync().unwrap(),
                Step::Checkpoint => db.head().checkpoint_if_due().unwrap(),
            }
        }
        prop_assert_eq!(&everything(&db), &expected);
        drop(db);
        prop_assert_eq!(&everything(&open(dir.path()).0), &expected);
    }
}

#[test]
fn a_lost_log_does_not_give_old_chunks_to_new_series() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    for i in 0..300 {
        append(&db, &[("old", i * 15_000, 1.0)]);
    }
    db.close().unwrap();
    drop(db);
    std::fs::remove_dir_all(dir.path().join("wal")).unwrap();
    std::fs::remove_file(dir.path().join("head_snapshot")).unwrap();
    let (db, report) = open(dir.path());
    assert!(0 < report.orphan_chunks, "{report:?}");
    append(&db, &[("new", 300 * 15_000, 2.0)]);
    let before = everything(&db);
    assert_eq!(before.keys().collect::<Vec<_>>(), ["new"]);
    drop(db);
    assert_eq!(everything(&open(dir.path()).0), before);
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

#[test]
fn a_clean_stop_leaves_no_lock_file() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    assert!(dir.path().join("lock").exists());
    db.close().unwrap();
    assert!(!dir.path().join("lock").exists());
}

/// What `SegmentWriter` does not write but Prometheus may: records compressed with zstd.
#[test]
fn zstd_records_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    let mut record = Vec::new();
    tsdb::wal::record::begin_series(&mut record);
    tsdb::wal::record::encode_series(&mut record, 9, [("__name__", "z")].into_iter());
    let mut samples = Vec::new();
    tsdb::wal::record::encode_samples(
        &mut samples,
        [tsdb::wal::record::RecordSample {
            id: 9,
            t: 5,
            value: 2.5,
        }],
    );
    let mut segment = Vec::new();
    for record in [record, samples] {
        let data = zstd::bulk::compress(&record, 1).unwrap();
        segment.push(1 | 1 << 4);
        segment.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
        segment.extend_from_slice(&crc32c::crc32c(&data).to_be_bytes());
        segment.extend_from_slice(&data);
    }
    drop(db);
    std::fs::write(dir.path().join("wal/00000001"), segment).unwrap();
    assert_eq!(
        everything(&open(dir.path()).0)["z"],
        [(5, 2.5f64.to_bits())]
    );
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

/// Says in a line what differs first; the whole would be thousands of lines.
#[track_caller]
fn assert_same(found: &Contents, expected: &Contents) {
    let names = |contents: &Contents| contents.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected));
    for (name, samples) in expected {
        let found = &found[name];
        let differs = (0..found.len().max(samples.len())).find(|&i| found.get(i) != samples.get(i));
        if let Some(i) = differs {
            let (have, want) = (found.get(i), samples.get(i));
            panic!(
                "{name}: {} samples for {}, number {i} is {have:?} for {want:?}",
                found.len(),
                samples.len()
            );
        }
    }
}

/// Two hours of samples at one a minute for each of two series, from `hour` on.
fn fill(db: &Db, from_hour: i64, to_hour: i64) {
    for minute in from_hour * 60..to_hour * 60 {
        let t = minute * 60_000;
        assert!(append(db, &[("a", t, minute as f64), ("b", t, -1.0)]).is_empty());
    }
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
        bytes: 0,
    };
    db.set_retention(retention);
    db.keep_house();
    assert!(18 * HOUR <= oldest(&db), "{:?}", db.block_metas());
    retention.bytes = 1;
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

/// Copies a directory, so that two stops can be compared.
fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn db_with_full_chunks(dir: &Path) {
    let (db, _) = open(dir);
    fill(&db, 3, 5);
    db.close().unwrap();
}

#[test]
fn a_head_snapshot_makes_no_difference_but_time() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    db.set_late_window(model::Duration::from_secs(3_600));
    fill(&db, 0, 2);
    for minute in 60..100 {
        append(&db, &[("a", minute * 60_000 + 1, 0.25)]);
    }
    let b = Matcher::new("__name__", MatchOp::Equal, "b").unwrap();
    db.delete(10 * 60_000, 20 * 60_000, &[b]).unwrap();
    db.close().unwrap();
    drop(db);
    let (db, report) = open(dir.path());
    assert_eq!(
        (report.snapshot_series, report.samples),
        (Some(2), 40),
        "only late samples are read"
    );
    // After the snapshot: chunks that fill up, new series, late samples; then a crash.
    fill(&db, 2, 3);
    append(&db, &[("new", 3 * HOUR, 1.0)]);
    append(&db, &[("a", 170 * 60_000 + 1, 0.25)]);
    let before = everything(&db);
    drop(db);
    let with = open(dir.path()).0;
    assert_same(&everything(&with), &before);
    drop(with);
    // Without it, and with one byte wrong, the whole log says the same.
    for at in [None, Some(3), Some(9), Some(40), Some(400)] {
        let copy = tempfile::tempdir().unwrap();
        copy_tree(dir.path(), copy.path());
        let path = copy.path().join("head_snapshot");
        let mut bytes = std::fs::read(&path).unwrap();
        match at {
            None => std::fs::remove_file(&path).unwrap(),
            Some(at) => {
                let at = at.min(bytes.len() - 1);
                bytes[at] ^= 4;
                std::fs::write(&path, bytes).unwrap();
            }
        }
        let (db, report) = open(copy.path());
        assert_eq!(report.snapshot_series, None);
        assert_eq!(
            report.damages.len(),
            usize::from(at.is_some()),
            "{report:?}"
        );
        assert_same(&everything(&db), &before);
    }
    // A chunk file that is gone, or of another's making, is noticed.
    db_with_full_chunks(dir.path());
    let before = everything(&open(dir.path()).0);
    let copy = tempfile::tempdir().unwrap();
    copy_tree(dir.path(), copy.path());
    std::fs::remove_dir_all(copy.path().join("chunks_head")).unwrap();
    let (db, report) = open(copy.path());
    assert_eq!(report.snapshot_series, None);
    assert_same(&everything(&db), &before);
}
