//! Starting: the lock, the log, its checkpoint and the head snapshot give what was committed, after a stop of any kind.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs::OpenOptions;
use std::path::Path;

use model::{MatchOp, Matcher};
use proptest::prelude::*;
use support::{Contents, HOUR, append, assert_same, copy_tree, everything, fill, open, options};
use tsdb::{Db, OpenDbError, ReplayProgress};

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
fn a_clean_stop_leaves_no_lock_file() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open(dir.path());
    assert!(dir.path().join("lock").exists());
    db.close().unwrap();
    assert!(!dir.path().join("lock").exists());
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
