//! Seeded runs of the whole database over a file system that stops, tears and fails: nothing that was acknowledged is
//! lost, nothing is made up, what was deleted stays away, and no state is refused at the start.
//!
//! `HEARTH_CRASH_RUNS` says how many runs there are, `HEARTH_CRASH_SEED` which one is the first: a failure names its own.
//! `HEARTH_CRASH_TRACE` shows each step.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use metrics::Registry;
use model::storage::{
    Appendable as _, FloatSample, HistogramSample, Queryable as _, SampleColumns, SelectHints,
};
use model::{Histogram, MatchOp, Matcher, stale_nan};

use super::{Db, DbOptions, Retention};
use crate::files::Files;
use crate::files::faulty::{Dice, FaultyFiles};
use crate::head::HeadOptions;
use crate::head::replay::ReplayProgress;

const DIR: &str = "data";
/// Milliseconds between samples, and the span of a block.
const STEP: i64 = 10;
const RANGE: i64 = 60 * STEP;
const LATE_WINDOW: i64 = 4 * RANGE;
const SERIES: [&str; 5] = ["a", "b", "c", "d", "e"];
/// The series with histograms.
const HISTOGRAMS: &str = "e";

/// A sample by series and time.
type Key = (&'static str, i64);

/// What a value is, so that it can be compared: bits of a float, or count of a histogram.
type Value = u64;

/// What is known of the samples.
#[derive(Default)]
struct Known {
    /// Acknowledged: there after a kill.
    acknowledged: BTreeMap<Key, Value>,
    /// Acknowledged before the last sync: there after a power cut.
    durable: BTreeMap<Key, Value>,
    /// All that was ever tried; nothing else may be found.
    tried: BTreeMap<Key, Value>,
    /// Deleted, and that was acknowledged: not there after a kill.
    deleted: BTreeSet<Key>,
    /// What deletions named: a late sample that comes into such an interval afterwards is hidden too, as in Prometheus.
    intervals: Vec<(&'static str, i64, i64)>,
    newest: i64,
}

struct Run {
    seed: u64,
    dice: Dice,
    files: FaultyFiles,
    db: Db,
    known: Known,
    retention: i64,
    is_traced: bool,
}

fn options(retention: i64) -> DbOptions {
    let mut head = HeadOptions::default();
    head.chunks.range_ms = RANGE;
    head.segment.bytes_max = 32 << 10;
    DbOptions {
        head,
        retention: Retention {
            time: model::Duration::from_ms(retention),
            ..Retention::default()
        },
        block_range_max_ms: 9 * RANGE,
        late_window: model::Duration::from_ms(LATE_WINDOW),
        stale_share_min: 0.3,
        ..DbOptions::default()
    }
}

fn open(files: &FaultyFiles, retention: i64) -> Result<Db, super::OpenDbError> {
    let files: Arc<dyn Files> = Arc::new(files.clone());
    let (registry, progress) = (Registry::new(), ReplayProgress::default());
    let opened = Db::open_in(
        files,
        Path::new(DIR),
        &options(retention),
        &registry,
        &progress,
    );
    opened.map(|(db, _)| db)
}

/// How a process ends.
#[derive(Clone, Copy, Debug)]
enum Stop {
    Kill,
    PowerCut,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let files = FaultyFiles::default();
        let retention = match dice.below(3) {
            0 => 20 * RANGE,
            _ => 0,
        };
        let db = open(&files, retention).unwrap();
        let known = Known {
            newest: 1_000 * RANGE,
            ..Known::default()
        };
        Run {
            seed,
            dice,
            files,
            db,
            known,
            retention,
            is_traced: std::env::var_os("HEARTH_CRASH_TRACE").is_some(),
        }
    }

    fn go(mut self) {
        let steps = 20 + self.dice.below(60);
        for step in 0..steps {
            let choice = self.dice.below(100);
            self.trace(|run| {
                let (late, known) = (run.db.head().late_range(), run.known.acknowledged.len());
                format!("step {step}: choice {choice}, late {late:?}, {known} acknowledged")
            });
            match choice {
                0..60 => self.append(),
                60..68 => self.sync(),
                68..78 => self.keep_house(),
                78..82 => {
                    let _ = self.db.inner.write_head_snapshot();
                }
                82..86 => {
                    let _ = self.db.inner.head.roll_log();
                }
                86..89 => self.delete(),
                89..91 => {
                    let _ = self.db.clean_tombstones();
                }
                91..94 => self.fail_once(),
                94..97 => self.stop(step, None),
                _ => {
                    let fuse = self.dice.below(60);
                    self.stop(step, Some(fuse));
                }
            }
        }
        self.stop(steps, None);
    }

    fn trace(&self, what: impl FnOnce(&Self) -> String) {
        if self.is_traced {
            eprintln!("{}", what(self));
        }
    }

    fn append(&mut self) {
        let gap = match self.dice.below(10) {
            0 => RANGE,
            1..4 => 4 * STEP,
            _ => STEP,
        };
        self.known.newest += gap;
        let newest = self.known.newest;
        let mut appender = self.db.appender();
        let mut batch: Vec<(Key, Value)> = Vec::new();
        let mut floats = Vec::new();
        for (place, name) in (0i64..).zip(SERIES) {
            let is_late = self.dice.below(6) == 0;
            let back = i64::try_from(self.dice.below(300)).unwrap() * STEP;
            // Late samples have times that no other has.
            let t = match is_late {
                true => newest - back - 1 - i64::try_from(self.dice.below(8)).unwrap(),
                false => newest,
            };
            let key = (name, t);
            if self.dice.below(4) == 0 || self.known.tried.contains_key(&key) {
                continue;
            }
            let Ok(series) = appender.series(&[("__name__", name), ("job", "test")]) else {
                continue;
            };
            let number = t.unsigned_abs() * 8 + place.unsigned_abs();
            if name == HISTOGRAMS {
                let histogram = HistogramSample::Integer(Arc::new(Histogram {
                    count: number,
                    zero_count: number,
                    sum: 1.0,
                    ..Histogram::default()
                }));
                if appender.append_histogram(series, t, histogram).is_ok() {
                    batch.push((key, number));
                }
            } else {
                let ends = self.dice.below(4) == 0;
                let value = if ends {
                    stale_nan()
                } else {
                    number as f64 / 3.0
                };
                floats.push((key, FloatSample { series, t, value }));
            }
        }
        let samples: Vec<FloatSample> = floats.iter().map(|&(_, sample)| sample).collect();
        let mut rejected = Vec::new();
        appender.append_floats(&samples, &mut rejected);
        for (index, (key, sample)) in floats.iter().enumerate() {
            if rejected.iter().all(|rejected| rejected.index != index) {
                batch.push((*key, sample.value.to_bits()));
            }
        }
        self.known.tried.extend(batch.iter().copied());
        let intervals = &self.known.intervals;
        batch.retain(|&((name, t), _)| {
            let is_in = |&(n, mint, maxt): &(&str, i64, i64)| n == name && mint <= t && t <= maxt;
            !intervals.iter().any(is_in)
        });
        if appender.commit().is_ok() {
            self.known.acknowledged.extend(batch);
        }
    }

    fn sync(&mut self) {
        if self.db.sync().is_ok() {
            self.known.durable = self.known.acknowledged.clone();
        }
    }

    fn keep_house(&mut self) {
        self.db.keep_house();
        if 0 < self.retention {
            let oldest = self.known.newest - self.retention + RANGE;
            self.known.acknowledged.retain(|&(_, t), _| oldest <= t);
            self.known.durable.retain(|&(_, t), _| oldest <= t);
        }
    }

    fn delete(&mut self) {
        let name = SERIES[usize::try_from(self.dice.below(5)).unwrap()];
        let back = i64::try_from(self.dice.below(400)).unwrap() * STEP;
        let (mint, maxt) = (self.known.newest - back, self.known.newest - back / 2);
        let matcher = Matcher::new("__name__", MatchOp::Equal, name).unwrap();
        let is_done = self.db.delete(mint, maxt, &[matcher]).is_ok();
        self.trace(|_| format!("delete {name} {mint}..={maxt}: {is_done}"));
        self.known.intervals.push((name, mint, maxt));
        let is_hit = |key: &Key| key.0 == name && mint <= key.1 && key.1 <= maxt;
        let hit: Vec<Key> = self.known.tried.keys().copied().filter(is_hit).collect();
        for key in hit {
            // What was tried in vain may still come out of the log at the next start.
            let was_there = self.known.acknowledged.remove(&key).is_some();
            self.known.durable.remove(&key);
            if is_done && was_there {
                self.known.deleted.insert(key);
            }
        }
    }

    /// One operation fails, whichever comes to it.
    fn fail_once(&mut self) {
        let after = self.dice.below(20);
        self.files.fail_once_after(after);
        match self.dice.below(4) {
            0 => self.keep_house(),
            1 => self.sync(),
            2 => {
                let _ = self.db.inner.write_head_snapshot();
            }
            _ => self.append(),
        }
    }

    /// The process ends; with `fuse` the disk fails that many operations before, in the middle of whatever goes on.
    fn stop(&mut self, step: u64, fuse: Option<u64>) {
        if let Some(fuse) = fuse {
            let tears = self.dice.below(2) == 0;
            self.files.fail_after(fuse, tears);
            for _ in 0..3 {
                match self.dice.below(5) {
                    0 | 1 => self.append(),
                    2 => self.sync(),
                    3 => {
                        let _ = self.db.close();
                    }
                    _ => self.keep_house(),
                }
            }
        } else if self.dice.below(4) == 0 && self.db.close().is_ok() {
            self.known.durable = self.known.acknowledged.clone();
        }
        let stop = match self.dice.below(2) {
            0 => Stop::Kill,
            _ => Stop::PowerCut,
        };
        let mut files = match stop {
            Stop::Kill => self.files.after_kill(),
            Stop::PowerCut => self.files.after_power_cut(&mut self.dice),
        };
        // A start may be stopped as well, and is then tried again.
        if self.dice.below(4) == 0 {
            let tears = self.dice.below(2) == 0;
            files.fail_after(self.dice.below(30), tears);
            drop(open(&files, self.retention));
            files = match stop {
                Stop::Kill => files.after_kill(),
                Stop::PowerCut => files.after_power_cut(&mut self.dice),
            };
        }
        let opened = open(&files, self.retention);
        self.db = match opened {
            Ok(db) => db,
            Err(error) => panic!("seed {}, step {step}: refused to start: {error}", self.seed),
        };
        self.files = files;
        self.check(step, stop);
    }

    fn check(&mut self, step: u64, stop: Stop) {
        let found = contents(&self.db);
        self.trace(|run| {
            let blocks = run.db.block_metas();
            let blocks = blocks
                .iter()
                .map(|b| (b.min_time, b.max_time, b.stats.num_samples));
            let (head, late) = (run.db.head().time_range(), run.db.head().late_range());
            let blocks = blocks.collect::<Vec<_>>();
            format!("after a {stop:?}: blocks {blocks:?}, head {head:?}, late {late:?}")
        });
        let context = format!("seed {}, step {step}, after a {stop:?}", self.seed);
        let expected = match stop {
            Stop::Kill => &self.known.acknowledged,
            Stop::PowerCut => &self.known.durable,
        };
        for (key, value) in expected {
            let what = found.get(key);
            assert_eq!(what, Some(value), "{context}: lost or changed {key:?}");
        }
        for (key, value) in &found {
            let tried = self.known.tried.get(key);
            assert_eq!(tried, Some(value), "{context}: made up {key:?}");
            let is_deleted = self.known.deleted.contains(key);
            let may_come_back = matches!(stop, Stop::PowerCut);
            assert!(
                !is_deleted || may_come_back,
                "{context}: {key:?} was deleted"
            );
        }
        self.known.deleted.retain(|key| !found.contains_key(key));
        if matches!(stop, Stop::PowerCut) {
            self.known.durable = found.clone();
        }
        self.known.acknowledged = found;
    }
}

fn contents(db: &Db) -> BTreeMap<Key, Value> {
    let querier = db.querier(i64::MIN, i64::MAX).unwrap();
    let matcher = Matcher::new("job", MatchOp::Equal, "test").unwrap();
    let hints = SelectHints::range(i64::MIN, i64::MAX);
    let set = querier.select(&[matcher], &hints).unwrap();
    let mut found = BTreeMap::new();
    let mut columns = SampleColumns::default();
    for index in 0..set.len() {
        let labels = set.labels(index);
        let name = SERIES
            .into_iter()
            .find(|name| *name == labels.metric_name());
        columns.clear();
        set.read(index, i64::MIN, i64::MAX, &mut columns).unwrap();
        for at in 0..columns.len() {
            let value = match columns.histogram(at) {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "it came from a u64"
                )]
                Some(histogram) => histogram.count as u64,
                None => columns.floats[at].to_bits(),
            };
            let before = found.insert((name.unwrap(), columns.timestamps[at]), value);
            assert_eq!(
                before, None,
                "twice: {name:?} at {}",
                columns.timestamps[at]
            );
        }
    }
    found
}

fn number_in_environment(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => default,
    }
}

#[test]
fn nothing_acknowledged_is_lost() {
    let first = number_in_environment("HEARTH_CRASH_SEED", 1);
    let runs = number_in_environment("HEARTH_CRASH_RUNS", 200);
    for seed in first..first + runs {
        Run::new(seed).go();
    }
}
