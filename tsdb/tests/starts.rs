//! Start timestamps: what was appended with a sample is read with it, from wherever it is by then.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::histogram::Histogram;
use model::storage::{
    Appendable, FloatSample, HistogramSample, Queryable, SampleColumns, SelectHints,
};
use model::{MatchOp, Matcher};
use proptest::prelude::*;
use support::{HOUR, options};
use tsdb::chunk::Encoding;
use tsdb::{Db, DbOptions, ReplayProgress};

/// Time to start timestamp, by series.
type Starts = BTreeMap<String, BTreeMap<i64, i64>>;

fn with_starts() -> DbOptions {
    let mut options = options();
    options.head.stores_starts = true;
    options.head.chunks.encodings.floats = Encoding::Xor2;
    options.head.chunks.encodings.histogram_starts = true;
    options.late_window = model::Duration::from_secs(1_800);
    options
}

fn open(dir: &Path, options: &DbOptions) -> Arc<Db> {
    let registry = metrics::Registry::new();
    let (db, report) = Db::open(dir, options, &registry, &ReplayProgress::default()).unwrap();
    assert_eq!(report.replay.damages, Vec::<String>::new());
    db
}

fn histogram(t: i64) -> HistogramSample {
    HistogramSample::Integer(Arc::new(Histogram {
        count: t.unsigned_abs(),
        zero_count: t.unsigned_abs(),
        sum: 1.0,
        ..Histogram::default()
    }))
}

/// Appends a float and a histogram at `t` in one batch.
fn append(db: &Db, start: i64, t: i64) {
    let mut appender = db.appender();
    let float = appender.series(&[("__name__", "f")]).unwrap();
    let integer = appender.series(&[("__name__", "h")]).unwrap();
    let sample = FloatSample {
        series: float,
        t,
        value: t as f64,
    };
    let mut rejected = Vec::new();
    appender.append_floats_since(&[sample], &[start], &mut rejected);
    assert_eq!(rejected, []);
    let appended = appender.append_histogram_since(integer, start, t, histogram(t));
    assert_eq!(appended, Ok(()));
    appender.commit().unwrap();
}

fn read(db: &Db) -> Starts {
    let starts_of = |(name, columns): (String, SampleColumns)| {
        let times = columns.timestamps.iter().enumerate();
        (name, times.map(|(i, &t)| (t, columns.start(i))).collect())
    };
    read_columns(db).into_iter().map(starts_of).collect()
}

fn read_columns(db: &Db) -> Vec<(String, SampleColumns)> {
    let querier = db.querier(i64::MIN, i64::MAX).unwrap();
    let any = Matcher::new("__name__", MatchOp::Regex, ".+").unwrap();
    let hints = SelectHints::range(i64::MIN, i64::MAX);
    let set = querier.select(&[any], &hints).unwrap();
    let read = |index| {
        let mut columns = SampleColumns::default();
        set.read(index, i64::MIN, i64::MAX, &mut columns).unwrap();
        (set.labels(index).metric_name().to_owned(), columns)
    };
    (0..set.len()).map(read).collect()
}

fn expected(samples: &[(i64, i64)], of_histograms: bool) -> Starts {
    let starts = |keeps: bool| -> BTreeMap<i64, i64> {
        let kept = samples.iter();
        kept.map(|&(start, t)| (t, if keeps { start } else { 0 }))
            .collect()
    };
    BTreeMap::from([
        ("f".to_owned(), starts(true)),
        ("h".to_owned(), starts(of_histograms)),
    ])
}

/// Samples every ten seconds for five hours; the counter starts again now and then, and for a while nobody knows when.
fn samples() -> Vec<(i64, i64)> {
    let of = |i: i64| {
        let start = match i {
            0..200 => 0,
            600..700 => 0,
            _ => i / 90 * 90 * 10_000 - 777,
        };
        (start, i * 10_000)
    };
    (0..1_800).map(of).collect()
}

#[test]
fn start_timestamps_survive_whatever_happens_to_their_samples() {
    let dir = tempfile::tempdir().unwrap();
    let samples = samples();
    let db = open(dir.path(), &with_starts());
    samples.iter().for_each(|&(start, t)| append(&db, start, t));
    assert_eq!(read(&db), expected(&samples, true));
    drop(db);
    // The log and its full chunks.
    let db = open(dir.path(), &with_starts());
    assert_eq!(read(&db), expected(&samples, true));
    db.close().unwrap();
    // The snapshot with its open chunks.
    let db = open(dir.path(), &with_starts());
    assert_eq!(read(&db), expected(&samples, true));
    // Blocks, a checkpoint, and the rest in the head.
    db.keep_house();
    assert!(!db.block_metas().is_empty());
    assert_eq!(read(&db), expected(&samples, true));
    drop(db);
    let db = open(dir.path(), &with_starts());
    assert_eq!(read(&db), expected(&samples, true));
}

/// A log that is torn out of its directory has all that is in no block: nothing of the head's other files is needed.
#[test]
fn the_log_alone_has_the_start_timestamps() {
    let dir = tempfile::tempdir().unwrap();
    let samples = &samples()[..700];
    let db = open(dir.path(), &with_starts());
    samples.iter().for_each(|&(start, t)| append(&db, start, t));
    drop(db);
    std::fs::remove_dir_all(dir.path().join("chunks_head")).unwrap();
    let db = open(dir.path(), &with_starts());
    assert_eq!(read(&db), expected(samples, true));
}

#[test]
fn late_samples_keep_their_start_timestamps() {
    let dir = tempfile::tempdir().unwrap();
    let mut samples: Vec<(i64, i64)> = samples()[..400].to_vec();
    let db = open(dir.path(), &with_starts());
    samples.iter().for_each(|&(start, t)| append(&db, start, t));
    // Enough for chunks of their own, and some that wait.
    for i in 300..380 {
        let late = ((i % 7) * 3, i * 10_000 + 5_000);
        append(&db, late.0, late.1);
        samples.push(late);
    }
    samples.sort_by_key(|&(_, t)| t);
    assert_eq!(read(&db), expected(&samples, true));
    drop(db);
    let db = open(dir.path(), &with_starts());
    assert_eq!(read(&db), expected(&samples, true));
    // So far ahead that all of the others are in blocks.
    let ahead = (3, 12 * HOUR);
    append(&db, ahead.0, ahead.1);
    samples.push(ahead);
    db.keep_house();
    assert!(!db.block_metas().is_empty());
    assert_eq!(read(&db), expected(&samples, true));
}

#[test]
fn without_the_encoding_histograms_forget_them_at_the_chunk() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = with_starts();
    options.head.chunks.encodings.histogram_starts = false;
    let samples = &samples()[150..300];
    let db = open(dir.path(), &options);
    samples.iter().for_each(|&(start, t)| append(&db, start, t));
    assert_eq!(read(&db), expected(samples, false));
    drop(db);
    // The log has them nevertheless.
    std::fs::remove_dir_all(dir.path().join("chunks_head")).unwrap();
    let db = open(dir.path(), &with_starts());
    assert_eq!(read(&db), expected(samples, true));
}

#[test]
fn a_storage_that_keeps_none_forgets_them() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path(), &options());
    append(&db, 5, 10);
    let forgotten = expected(&[(0, 10)], true);
    assert_eq!(read(&db), forgotten);
    drop(db);
    assert_eq!(read(&open(dir.path(), &with_starts())), forgotten);
}

/// A counter that says since when it counts has a sample of zero there, once, unless that is not in order any more.
#[test]
fn zeros_stand_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.head.zeros_at_starts = true;
    options.late_window = model::Duration::from_secs(1_800);
    let db = open(dir.path(), &options);
    // A restart at 45, one between two samples that nobody sees again, one before the newest sample, one in the future.
    for (start, t) in [
        (5, 10),
        (5, 20),
        (0, 30),
        (45, 50),
        (45, 60),
        (40, 70),
        (90, 80),
    ] {
        append(&db, start, t);
    }
    let zeros = [5, 10, 20, 30, 45, 50, 60, 70, 80];
    let found = read(&db);
    for series in ["f", "h"] {
        let times: Vec<i64> = found[series].keys().copied().collect();
        assert_eq!(times, zeros, "{series}");
        assert!(found[series].values().all(|&start| start == 0));
    }
    for columns in read_columns(&db) {
        let columns = columns.1;
        let zeros =
            columns
                .timestamps
                .iter()
                .enumerate()
                .filter(|&(i, _)| match columns.histogram(i) {
                    Some(histogram) => histogram.count == 0.0,
                    None => columns.floats[i] == 0.0,
                });
        let zeros: Vec<i64> = zeros.map(|(_, &t)| t).collect();
        assert_eq!(zeros, [5, 45]);
    }
    drop(db);
    assert_eq!(read(&open(dir.path(), &options)), found);
}

/// A data directory of before goes on: the open chunk, which has no place for start timestamps, ends.
#[test]
fn they_can_be_switched_on_and_off() {
    let dir = tempfile::tempdir().unwrap();
    for (i, keeps) in (0..).zip([false, true, false, true]) {
        let options = if keeps { with_starts() } else { options() };
        let db = open(dir.path(), &options);
        for j in 0..5 {
            append(&db, 7, i * 1_000 + j);
        }
        db.close().unwrap();
    }
    let found = read(&open(dir.path(), &with_starts()));
    for series in ["f", "h"] {
        let with: Vec<i64> = found[series]
            .iter()
            .filter(|&(_, &start)| start == 7)
            .map(|(&t, _)| t / 1_000)
            .collect();
        assert_eq!(with, [1, 1, 1, 1, 1, 3, 3, 3, 3, 3], "{series}");
        assert_eq!(found[series].len(), 20);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any start timestamps in any order, with stops and compactions between.
    #[test]
    fn any_start_timestamps_read_back(
        steps in prop::collection::vec((1i64..400_000, prop_oneof![Just(0i64), Just(-1), any::<i64>(), 1i64..90_000]), 1..300),
        stops in prop::collection::vec(0usize..300, 0..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut db = open(dir.path(), &with_starts());
        let (mut t, mut start, mut samples) = (0, 0, Vec::new());
        for (i, (delta, change)) in steps.into_iter().enumerate() {
            t += delta;
            start = if change == -1 { start } else { change };
            append(&db, start, t);
            samples.push((start, t));
            if stops.contains(&i) {
                match i % 3 {
                    0 => drop(db),
                    1 => db.close().unwrap(),
                    _ => {
                        db.keep_house();
                        drop(db);
                    }
                }
                db = open(dir.path(), &with_starts());
            }
        }
        prop_assert_eq!(read(&db), expected(&samples, true));
    }
}
