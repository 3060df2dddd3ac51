//! Damage on disk: whatever is flipped, cut or gone, the database opens, says what is wrong, and serves the rest.
//!
//! One database with every kind of file is built once. Each case damages one file of a copy, opens it, and compares what
//! it serves, series by series and hour by hour, with what was in it: samples may be missing only where a message or the
//! error of the query names the file, and none may be there that was not.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::exemplar::Exemplar;
use model::histogram::{Histogram, Span};
use model::storage::{
    Appendable, FloatSample, HistogramSample, Queryable, SampleColumns, SelectHints,
};
use model::{Labels, MatchOp, Matcher};
use tsdb::{Db, DbOptions, HeadOptions, ReplayProgress, SegmentOptions};

use support::{HOUR, copy_tree};

const MINUTE: i64 = 60_000;
/// Series of floats; one of histograms comes on top.
const SERIES: i64 = 12;
/// What is before is in blocks.
const HEAD_FROM_HOUR: i64 = 8;
const HOURS: i64 = 12;

/// Small files, so that there are several of each kind.
fn options() -> DbOptions {
    DbOptions {
        head: HeadOptions {
            segment: SegmentOptions {
                bytes_max: 32 << 10,
                ..SegmentOptions::default()
            },
            exemplars_max: 1_000,
            ..HeadOptions::default()
        },
        chunk_segment_bytes: 16 << 10,
        late_window: model::Duration::from_secs(6 * 3_600),
        ..DbOptions::default()
    }
}

/// Returns a temporary directory in memory where there is one: hundreds of databases wait for their fsyncs otherwise.
fn memory_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

/// Opens a database; returns with it one line for each thing that is wrong.
fn open(dir: &Path) -> (Arc<Db>, Vec<String>) {
    let registry = metrics::Registry::new();
    let (db, report) = Db::open(dir, &options(), &registry, &ReplayProgress::default()).unwrap();
    let mut messages = report.replay.damages;
    messages.extend(report.block_damages);
    for (path, error) in &report.failed_blocks {
        messages.push(format!("{}: {error}", path.display()));
    }
    (db, messages)
}

fn name(series: i64) -> String {
    format!("series_{series}")
}

/// Appends a float to each of the series in `series`, and refuses refusals.
fn append(db: &Db, series: std::ops::Range<i64>, t: i64) {
    let mut appender = db.appender();
    let mut batch = Vec::new();
    for number in series {
        let labels = [("__name__", name(number)), ("job", "damage".to_owned())];
        let labels = labels.each_ref().map(|(name, value)| (*name, &**value));
        batch.push(FloatSample {
            series: appender.series(&labels).unwrap(),
            t,
            // Hardly compressible, so that files get long.
            value: ((number * 7_919 + t) as f64).sqrt(),
        });
    }
    let mut rejected = Vec::new();
    appender.append_floats(&batch, &mut rejected);
    assert_eq!(rejected, []);
    appender.commit().unwrap();
}

fn append_histogram(db: &Db, t: i64) {
    let mut appender = db.appender();
    let series = appender.series(&[("__name__", "histogram")]).unwrap();
    let count = u64::try_from(t / MINUTE).unwrap();
    let histogram = Histogram {
        count: 3 * count,
        sum: t as f64,
        positive_spans: vec![Span {
            offset: 0,
            length: 2,
        }],
        positive_deltas: vec![count.cast_signed(), 0],
        zero_count: count,
        ..Histogram::default()
    };
    let histogram = HistogramSample::Integer(Arc::new(histogram));
    appender.append_histogram(series, t, histogram).unwrap();
    let exemplar = Exemplar {
        labels: Labels::from_pairs([("trace_id", &*t.to_string())]),
        value: 1.0,
        t: Some(t),
    };
    appender.append_exemplar(series, &exemplar).unwrap();
    appender.commit().unwrap();
}

fn fill(db: &Db, from_minute: i64, to_minute: i64, steps_per_minute: i64) {
    for minute in from_minute..to_minute {
        for step in 0..steps_per_minute {
            append(
                db,
                0..SERIES,
                minute * MINUTE + step * MINUTE / steps_per_minute,
            );
        }
        append_histogram(db, minute * MINUTE);
    }
}

/// Samples between those that are there, newest first.
fn fill_late(db: &Db, from_minute: i64, to_minute: i64) {
    for minute in (from_minute..to_minute).rev() {
        append(db, 0..3, minute * MINUTE + 1);
    }
}

/// Makes a database with every kind of file: two blocks, one of them compacted, with tombstones; a checkpoint and segments
/// after it; late samples in chunks and in their log; a snapshot, and what was logged since. Then the process is killed.
fn build(dir: &Path) {
    let (db, _) = open(dir);
    fill(&db, 0, HEAD_FROM_HOUR * 60, 1);
    fill(&db, HEAD_FROM_HOUR * 60, 10 * 60 + 30, 4);
    db.keep_house();
    let levels: Vec<_> = db
        .block_metas()
        .iter()
        .map(|m| m.compaction.level)
        .collect();
    assert_eq!(levels, [2, 1]);
    let one = Matcher::new("__name__", MatchOp::Equal, "series_1").unwrap();
    db.delete(HOUR, 7 * HOUR, &[one]).unwrap();
    fill_late(&db, 9 * 60, 9 * 60 + 50);
    db.close().unwrap();
    drop(db);
    let (db, _) = open(dir);
    fill(&db, 10 * 60 + 30, 11 * 60 + 10, 4);
    fill_late(&db, 10 * 60, 10 * 60 + 50);
    db.close().unwrap();
    drop(db);
    let (db, _) = open(dir);
    fill(&db, 11 * 60 + 10, 11 * 60 + 30, 4);
    fill_late(&db, 11 * 60, 11 * 60 + 5);
    drop(db);
    fs::remove_file(dir.join("lock")).unwrap();
}

/// The samples of one series in one hour: time, and the value's bits or hash; or why they cannot be read.
type Cell = Result<Vec<(i64, u64)>, String>;

/// What a database serves.
struct View {
    /// By series and hour.
    cells: BTreeMap<(String, i64), Cell>,
    /// Those of samples that are not in blocks; a checkpoint does not keep the others.
    exemplars: Vec<String>,
}

fn view(db: &Db) -> View {
    let names = (0..SERIES).map(name).chain(["histogram".to_owned()]);
    let mut cells = BTreeMap::new();
    for name in names {
        for hour in 0..HOURS {
            cells.insert((name.clone(), hour), cell(db, &name, hour));
        }
    }
    let any = Matcher::new("__name__", MatchOp::Regex, ".+").unwrap();
    let found = db.exemplars(&[vec![any]], HEAD_FROM_HOUR * HOUR, i64::MAX);
    let lists = found.iter().flat_map(|(labels, exemplars)| {
        let line =
            move |e: &tsdb::exemplars::StoredExemplar| format!("{labels} {}@{}", e.labels, e.t);
        exemplars.iter().map(line)
    });
    View {
        exemplars: lists.collect(),
        cells,
    }
}

fn cell(db: &Db, name: &str, hour: i64) -> Cell {
    let (mint, maxt) = (hour * HOUR, (hour + 1) * HOUR - 1);
    let says = |error: model::storage::ReadError| error.to_string();
    let querier = db.querier(mint, maxt).map_err(says)?;
    let matcher = Matcher::new("__name__", MatchOp::Equal, name).unwrap();
    let set = querier
        .select(&[matcher], &SelectHints::range(mint, maxt))
        .map_err(says)?;
    let mut samples = Vec::new();
    for index in 0..set.len() {
        let mut columns = SampleColumns::default();
        set.read(index, mint, maxt, &mut columns).map_err(says)?;
        for (i, &t) in columns.timestamps.iter().enumerate() {
            let value = match columns.histogram(i) {
                None => columns.floats[i].to_bits(),
                Some(histogram) => {
                    let mut hasher = DefaultHasher::new();
                    format!("{histogram:?}").hash(&mut hasher);
                    hasher.finish()
                }
            };
            samples.push((t, value));
        }
    }
    Ok(samples)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Damage {
    /// One bit, at so many thousandths of the file.
    Flip(usize),
    /// All from so many thousandths of the file on.
    Cut(usize),
    Delete,
}

impl Damage {
    const ALL: [Damage; 6] = [
        Damage::Flip(0),
        Damage::Flip(50),
        Damage::Flip(500),
        Damage::Flip(999),
        Damage::Cut(700),
        Damage::Delete,
    ];

    fn apply(self, path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        match self {
            Damage::Delete => return fs::remove_file(path).unwrap(),
            Damage::Flip(place) => {
                let at = bytes.len() * place / 1_000;
                bytes[at] ^= 1 << (place % 8);
            }
            Damage::Cut(place) => bytes.truncate(bytes.len() * place / 1_000),
        }
        fs::write(path, bytes).unwrap();
    }
}

/// Returns the files below `dir` whose path in it begins with `begin`, ascending.
fn files(dir: &Path, begin: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let relative = path.strip_prefix(dir).unwrap();
                if relative.to_str().unwrap().starts_with(begin)
                    && fs::metadata(&path).unwrap().len() != 0
                {
                    found.push(relative.to_owned());
                }
            }
        }
    }
    found.sort();
    found
}

/// What a damage may cost.
struct Cost {
    /// Samples of these hours; elsewhere everything must be there.
    hours: std::ops::Range<i64>,
    /// Whether deleting the file cannot be told from its never having been there.
    deletes_silently: bool,
}

impl Cost {
    const NOTHING: Cost = Cost {
        hours: 0..0,
        deletes_silently: true,
    };
}

/// Compares what is served after a damage with what was there, and returns how many samples are missing.
fn compare(
    what: &str,
    expected: &View,
    found: &View,
    messages: &[String],
    file: &Path,
    cost: &Cost,
    is_silent: bool,
) -> usize {
    let file = file.to_str().unwrap();
    let is_named = messages.iter().any(|message| message.contains(file));
    let is_tombstones = file.ends_with("tombstones");
    let mut lost = 0;
    for (place, expected) in &expected.cells {
        let expected = expected.as_ref().unwrap();
        let context = format!("{what}: {place:?}, messages {messages:#?}");
        let samples = match &found.cells[place] {
            Ok(samples) if samples == expected => continue,
            Ok(samples) => samples,
            Err(error) => {
                assert!(
                    error.contains(file),
                    "{context}: {error} does not name the file"
                );
                assert!(cost.hours.contains(&place.1), "{context}: {error}");
                lost += expected.len();
                continue;
            }
        };
        assert!(cost.hours.contains(&place.1), "{context}: lost samples");
        assert!(is_named || is_silent, "{context}: silently lost samples");
        let made_up = samples
            .iter()
            .filter(|sample| expected.binary_search(sample).is_err());
        assert!(
            made_up.count() == 0 || is_tombstones,
            "{context}: made up samples"
        );
        lost += expected.len().saturating_sub(samples.len());
    }
    let is_same = found.exemplars == expected.exemplars;
    assert!(
        is_same || is_named || is_silent,
        "{what}: silently lost exemplars"
    );
    assert!(is_same || !cost.hours.is_empty(), "{what}: lost exemplars");
    assert!(
        found
            .exemplars
            .iter()
            .all(|e| expected.exemplars.contains(e)),
        "{what}: made up exemplars"
    );
    lost
}

/// Damages one file of a copy of `base` in one way after the other.
fn check(base: &Path, expected: &View, file: &Path, cost: &Cost) {
    let all: usize = expected
        .cells
        .values()
        .map(|cell| cell.as_ref().unwrap().len())
        .sum();
    for damage in Damage::ALL {
        let what = format!("{damage:?} of {}", file.display());
        let copy = memory_dir();
        copy_tree(base, copy.path());
        damage.apply(&copy.path().join(file));
        let (db, messages) = open(copy.path());
        let found = view(&db);
        let is_silent = damage == Damage::Delete && cost.deletes_silently;
        let lost = compare(&what, expected, &found, &messages, file, cost, is_silent);
        assert!(
            lost < all * 3 / 4,
            "{what}: {lost} of {all} samples are lost"
        );
        // It goes on: appends, housekeeping and another start change nothing of what is served.
        append(&db, 0..SERIES, HOURS * HOUR);
        db.keep_house();
        let kept = view(&db);
        drop(db);
        let (db, later) = open(copy.path());
        let again = view(&db);
        for (place, found) in &found.cells {
            for (when, now) in [("housekeeping", &kept), ("another start", &again)] {
                let now = &now.cells[place];
                // What could not be read may be set aside by then.
                assert!(
                    found.is_err() || now == found,
                    "{what}: {place:?} after {when}: {:?} for {:?}\n{messages:#?}\n{later:#?}",
                    now.as_ref().map(Vec::len),
                    found.as_ref().map(Vec::len)
                );
            }
        }
        let new = cell(&db, &name(0), HOURS).unwrap();
        assert_eq!(new.len(), 1, "{what}: the new sample");
    }
}

/// Builds the database, without its head snapshot if `with_snapshot` says so, and calls `visit` with it and its contents.
fn with_database(with_snapshot: bool, visit: impl Fn(&Path, &View)) {
    let base = memory_dir();
    build(base.path());
    if !with_snapshot {
        fs::remove_file(base.path().join("head_snapshot")).unwrap();
    }
    let copy = memory_dir();
    copy_tree(base.path(), copy.path());
    let (db, messages) = open(copy.path());
    assert_eq!(messages, [""; 0]);
    let expected = view(&db);
    assert!(expected.cells.values().all(|cell| cell.is_ok()));
    visit(base.path(), &expected);
}

/// Checks each file below `begin`, at least `count_min` of them, with and without a head snapshot.
fn check_all(begin: &str, count_min: usize, cost: impl Fn(bool, usize, usize) -> Cost) {
    for with_snapshot in [false, true] {
        with_database(with_snapshot, |base, expected| {
            let files = files(base, begin);
            assert!(count_min <= files.len(), "{files:?}");
            for (index, file) in files.iter().enumerate() {
                check(
                    base,
                    expected,
                    file,
                    &cost(with_snapshot, index, files.len()),
                );
            }
        });
    }
}

#[test]
fn a_damaged_block_costs_its_own_hours() {
    with_database(true, |base, expected| {
        let blocks = files(base, "01").into_iter();
        let blocks: Vec<_> = blocks.filter(|f| f.components().count() > 1).collect();
        for kind in [
            "meta.json",
            "index",
            "chunks/000001",
            "chunks/000002",
            "tombstones",
        ] {
            let count = blocks.iter().filter(|file| file.ends_with(kind)).count();
            assert!((1..=2).contains(&count), "{kind}: {blocks:?}");
        }
        for file in &blocks {
            let dir = base.join(file.components().next().unwrap());
            let meta: serde_json::Value =
                serde_json::from_slice(&fs::read(dir.join("meta.json")).unwrap()).unwrap();
            let hour = |key: &str| meta[key].as_i64().unwrap() / HOUR;
            check(
                base,
                expected,
                file,
                &Cost {
                    hours: hour("minTime")..hour("maxTime"),
                    deletes_silently: false,
                },
            );
        }
    });
}

#[test]
fn a_damaged_log_costs_samples_of_the_head() {
    check_all("wal/0", 3, |_, index, count| Cost {
        hours: HEAD_FROM_HOUR..HOURS,
        // What came last may as well never have been.
        deletes_silently: index + 1 == count,
    });
}

#[test]
fn a_damaged_checkpoint_costs_samples_of_the_head() {
    check_all("wal/checkpoint", 1, |_, _, _| Cost {
        hours: HEAD_FROM_HOUR..HOURS,
        deletes_silently: false,
    });
}

#[test]
fn a_damaged_log_of_late_samples_costs_late_samples() {
    check_all("wbl/", 3, |_, index, count| Cost {
        hours: HEAD_FROM_HOUR..HOURS,
        deletes_silently: index == 0 || index + 1 == count,
    });
}

#[test]
fn a_damaged_head_chunk_file_costs_samples_of_the_head() {
    check_all("chunks_head/", 2, |with_snapshot, index, count| Cost {
        hours: HEAD_FROM_HOUR..HOURS,
        deletes_silently: !with_snapshot && (index == 0 || index + 1 == count),
    });
}

/// The checksum of a record does not cover how it is compressed.
#[test]
fn a_flipped_compression_bit_is_noticed() {
    let base = memory_dir();
    let (db, _) = open(base.path());
    fill(&db, 0, 60, 1);
    let expected = view(&db);
    drop(db);
    let segment = Path::new("wal/00000000");
    let whole = fs::read(base.path().join(segment)).unwrap();
    let mut at = 0;
    for _ in 0..20 {
        let copy = memory_dir();
        copy_tree(base.path(), copy.path());
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << 3;
        fs::write(copy.path().join(segment), bytes).unwrap();
        let (db, messages) = open(copy.path());
        let cost = Cost {
            hours: 0..1,
            deletes_silently: false,
        };
        let what = format!("flip at byte {at}");
        compare(
            &what,
            &expected,
            &view(&db),
            &messages,
            segment,
            &cost,
            false,
        );
        assert_eq!(messages.len(), 1, "{what}: {messages:?}");
        at += 7 + usize::from(u16::from_be_bytes([whole[at + 1], whole[at + 2]]));
    }
}

#[test]
fn a_damaged_snapshot_or_mark_costs_nothing() {
    check_all("head_marks", 1, |_, _, _| Cost::NOTHING);
    with_database(true, |base, expected| {
        check(base, expected, Path::new("head_snapshot"), &Cost::NOTHING);
    });
}
