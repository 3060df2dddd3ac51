//! What the tests of the database share: opening, appending, and everything that is in it as a map.

#![allow(
    dead_code,
    reason = "each test has its own copy of this and uses a part of it"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::storage::{Appendable, FloatSample, Queryable, Rejected, SampleColumns, SelectHints};
use model::{MatchOp, Matcher};
use tsdb::{Db, DbOptions, ReplayProgress, ReplayReport};

pub(crate) const HOUR: i64 = 3_600_000;

pub(crate) fn options() -> DbOptions {
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

pub(crate) fn open(dir: &Path) -> (Arc<Db>, ReplayReport) {
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
pub(crate) fn append(db: &Db, samples: &[(&str, i64, f64)]) -> Vec<Rejected> {
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

pub(crate) type Contents = BTreeMap<String, Vec<(i64, u64)>>;

pub(crate) fn contents(db: &Db, mint: i64, maxt: i64) -> Contents {
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

pub(crate) fn everything(db: &Db) -> Contents {
    contents(db, i64::MIN, i64::MAX)
}

/// Says in a line what differs first; the whole would be thousands of lines.
#[track_caller]
pub(crate) fn assert_same(found: &Contents, expected: &Contents) {
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
pub(crate) fn fill(db: &Db, from_hour: i64, to_hour: i64) {
    for minute in from_hour * 60..to_hour * 60 {
        let t = minute * 60_000;
        assert!(append(db, &[("a", t, minute as f64), ("b", t, -1.0)]).is_empty());
    }
}

/// Copies a directory, so that two stops can be compared.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
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
