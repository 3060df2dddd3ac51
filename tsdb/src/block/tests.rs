//! Blocks that others wrote, and blocks against the obvious model.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::storage::{Querier, SampleColumns, SelectHints};
use model::{Labels, MatchOp, Matcher};
use proptest::prelude::*;

use super::Block;
use super::meta::BlockMeta;
use super::write::{WriteBlockOptions, write_block};
use crate::compact::source::BlockSource;
use crate::compact::source::testing::{Model, VecSource};
use crate::files::{Disk, Entry, Files, OpenFile};
use crate::map::Map;
use crate::ulid::Ulid;

fn conformance(name: &str) -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let dir = match std::env::var_os("HEARTH_CONFORMANCE_DIR") {
        Some(dir) => root.join(dir),
        None => root.join("../shared/conformance"),
    };
    let path = dir.join("tsdb").join(name);
    if !path.exists() {
        println!("SKIPPED: no {}", path.display());
        return None;
    }
    Some(path)
}

/// Copies a block, since opening may repair it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn open(dir: &Path) -> Arc<Block> {
    Arc::new(Block::open(Arc::new(Unsynced), dir).unwrap())
}

/// Reads all samples of a selection.
pub(crate) fn read(
    block: &Arc<Block>,
    (mint, maxt): (i64, i64),
    matchers: &[Matcher],
) -> Vec<(Labels, Vec<(i64, f64)>)> {
    let querier = block.querier(mint, maxt);
    let hints = SelectHints::range(mint, maxt);
    let selected = querier.select(matchers, &hints).unwrap();
    assert!(selected.len() <= querier.series_max(matchers));
    (0..selected.len())
        .map(|i| {
            let mut out = SampleColumns::default();
            selected.read(i, mint, maxt, &mut out).unwrap();
            let samples = out.timestamps.into_iter().zip(out.floats).collect();
            (selected.labels(i), samples)
        })
        .collect()
}

#[test]
fn index_of_version_1_is_read() {
    let Some(path) = conformance("index_format_v1") else {
        return;
    };
    let block = open(&path);
    let foo = |value: &str| Labels::from_pairs([("foo", value)]);
    let equal = [Matcher::equal("foo", "bar")];
    assert_eq!(
        read(&block, (0, 1000), &equal),
        [(foo("bar"), vec![(1, 2.0)])]
    );
    let not_short = [Matcher::new("foo", MatchOp::NotRegex, "^.?$").unwrap()];
    let expected = [(foo("bar"), vec![(1, 2.0)]), (foo("baz"), vec![(3, 4.0)])];
    assert_eq!(read(&block, (0, 1000), &not_short), expected);
    let meta = block.meta();
    assert_eq!((meta.min_time, meta.max_time), (0, 7_200_000));
    assert_eq!(
        (
            meta.stats.num_series,
            meta.stats.num_chunks,
            meta.stats.num_samples
        ),
        (102, 102, 102)
    );
    let all = [Matcher::new("foo", MatchOp::Regex, ".*").unwrap()];
    assert_eq!(read(&block, (0, 7_200_000), &all).len(), 102);
}

#[test]
fn index_with_a_misplaced_version_is_repaired() {
    let Some(path) = conformance("repair_index_version/01BZJ9WJQPWHGNC2W4J9TA62KC") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("01BZJ9WJQPWHGNC2W4J9TA62KC");
    copy(&path, &dir);
    std::fs::create_dir(dir.join("chunks")).unwrap();
    assert!(BlockMeta::read(&Unsynced, &dir).is_err());
    let index = super::index::read::IndexReader::open(&Unsynced, &dir.join("index")).unwrap();
    let at = index.find_postings("b", "1").unwrap();
    let mut series = Vec::new();
    index.postings(at, &mut series).unwrap();
    assert!(!series.is_empty());
    for series in series {
        assert!(index.series(series, &mut Default::default()).is_err());
    }

    let block = open(&dir);
    assert_eq!(BlockMeta::read(&Unsynced, &dir).unwrap().version, 1);
    let selected = super::select::select(block.index(), &[Matcher::equal("b", "1")]).unwrap();
    let mut entry = Default::default();
    let labels: Vec<Labels> = selected
        .into_iter()
        .map(|series| {
            block.index().series(series, &mut entry).unwrap();
            block.index().labels(&entry).unwrap()
        })
        .collect();
    let expected = ["1", "2"].map(|a| Labels::from_pairs([("a", a), ("b", "1")]));
    assert_eq!(labels, expected);
}

pub(crate) const OPTIONS: WriteBlockOptions = WriteBlockOptions {
    segment_bytes: 1 << 20,
};

/// Writes a model as a block over `0..1000`.
pub(crate) fn write(
    dir: &Path,
    model: &Model,
    chunk_samples: usize,
    number: u64,
) -> Option<Arc<Block>> {
    let meta = BlockMeta::new(Ulid::new(number, 0), 0, 1000);
    let mut source = VecSource::new(model, chunk_samples);
    let meta = write_block(&Unsynced, dir, &mut source, meta, OPTIONS).unwrap()?;
    Some(open(&dir.join(meta.ulid.to_string())))
}

pub(crate) fn model() -> impl Strategy<Value = Model> {
    let labels = prop::collection::btree_map("[a-c]", "[x-z]{1,2}", 0..4);
    let samples = prop::collection::btree_map(0i64..1000, (0i32..9).prop_map(f64::from), 0..40);
    let series = prop::collection::btree_map(labels, samples, 0..12);
    series.prop_map(|series| {
        let labels = |pairs: &std::collections::BTreeMap<String, String>| {
            Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())))
        };
        series
            .iter()
            .map(|(pairs, samples)| (labels(pairs), samples.clone()))
            .collect()
    })
}

fn matchers() -> impl Strategy<Value = Vec<Matcher>> {
    let op = prop::sample::select(vec![
        MatchOp::Equal,
        MatchOp::NotEqual,
        MatchOp::Regex,
        MatchOp::NotRegex,
    ]);
    let value = prop::sample::select(vec![
        "", "x", "xy", "x|y", "x.*", ".+", ".*", "x?", "y.|", "(x|z)y?", "[xy].*",
    ]);
    let one =
        ("[a-d]", op, value).prop_map(|(name, op, value)| Matcher::new(name, op, value).unwrap());
    prop::collection::vec(one, 0..4)
}

/// What is left of a model.
pub(crate) fn among(
    model: &Model,
    mint: i64,
    maxt: i64,
    passes: impl Fn(&Labels, i64) -> bool,
) -> Vec<(Labels, Vec<(i64, f64)>)> {
    model
        .iter()
        .map(|(labels, samples)| {
            let range = samples.range(mint..=maxt.max(mint));
            let kept = range
                .filter(|(t, _)| **t <= maxt && passes(labels, **t))
                .map(|(&t, &v)| (t, v));
            (labels.clone(), kept.collect::<Vec<_>>())
        })
        .filter(|(_, samples)| !samples.is_empty())
        .collect()
}

fn without_empty(mut found: Vec<(Labels, Vec<(i64, f64)>)>) -> Vec<(Labels, Vec<(i64, f64)>)> {
    found.retain(|(_, samples)| !samples.is_empty());
    found
}

#[test]
fn nothing_gives_no_block() {
    let dir = tempfile::tempdir().unwrap();
    assert!(write(dir.path(), &Model::new(), 10, 1).is_none());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn queries_agree_with_the_model(
        model in model(), chunk_samples in 1usize..20, matchers in matchers(), mint in -10i64..1010, len in -5i64..1000,
        deleted in matchers(), (from, until) in (0i64..1000, 0i64..1000),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let Some(block) = write(dir.path(), &model, chunk_samples, 1) else {
            prop_assert!(model.values().all(|samples| samples.is_empty()));
            return Ok(());
        };
        let samples: usize = model.values().map(|samples| samples.len()).sum();
        prop_assert_eq!(block.meta().stats.num_samples, samples as u64);
        let maxt = mint + len;
        let pass = |matchers: &[Matcher], labels: &Labels| matchers.iter().all(|m| m.matches_labels(labels));
        let expected = among(&model, mint, maxt, |labels, _| pass(&matchers, labels));
        prop_assert_eq!(without_empty(read(&block, (mint, maxt), &matchers)), expected);

        // Names and values are those of the whole block.
        let querier = block.querier(0, 2000);
        let passing: Vec<&Labels> = model.iter().filter(|(l, s)| !s.is_empty() && pass(&matchers, l)).map(|(l, _)| l).collect();
        let names: std::collections::BTreeSet<&str> = passing.iter().flat_map(|l| l.iter().map(|(n, _)| n)).collect();
        prop_assert_eq!(querier.label_names(&matchers).unwrap(), Vec::from_iter(names));
        let values: std::collections::BTreeSet<&str> = passing.iter().filter_map(|l| l.get("a")).collect();
        prop_assert_eq!(querier.label_values("a", &matchers).unwrap(), Vec::from_iter(values));

        // What is deleted is gone, after opening again and after rewriting too.
        block.delete(from, until, &deleted).unwrap();
        let gone = |labels: &Labels, t: i64| pass(&deleted, labels) && from <= t && t <= until;
        let expected = among(&model, 0, 1000, |labels, t| !gone(labels, t));
        prop_assert_eq!(without_empty(read(&block, (0, 1000), &[])), expected.clone());
        let block = open(block.dir());
        prop_assert_eq!(without_empty(read(&block, (0, 1000), &[])), expected.clone());
        let meta = BlockMeta::new(Ulid::new(2, 0), 0, 1000);
        let rewritten = write_block(&Unsynced, dir.path(), &mut BlockSource::new(&block).unwrap(), meta, OPTIONS).unwrap();
        match rewritten {
            None => prop_assert!(expected.is_empty()),
            Some(meta) => {
                let block = open(&dir.path().join(meta.ulid.to_string()));
                prop_assert_eq!(read(&block, (0, 1000), &[]), expected);
            }
        }
    }

    #[test]
    fn newest_is_the_last_that_is_read(model in model(), chunk_samples in 1usize..20, mint in -10i64..1010, len in 0i64..300) {
        let dir = tempfile::tempdir().unwrap();
        let Some(block) = write(dir.path(), &model, chunk_samples, 1) else { return Ok(()) };
        let querier = block.querier(0, 900);
        let selected = querier.select(&[], &SelectHints::range(0, 900)).unwrap();
        for i in 0..selected.len() {
            let mut out = SampleColumns::default();
            selected.read(i, mint, mint + len, &mut out).unwrap();
            let last = out.timestamps.last().copied();
            let newest = selected.newest(i, mint, mint + len, &mut SampleColumns::default()).unwrap();
            prop_assert_eq!(newest.map(|sample| sample.t), last);
        }
    }
}

/// Replaces a file. Truncating it instead makes some file systems wait for the disk.
pub(crate) fn overwrite(path: &Path, bytes: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// The disk without its syncs, so that many small blocks are written in little time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unsynced;

#[derive(Debug)]
struct UnsyncedFile(Arc<dyn OpenFile>);

impl OpenFile for UnsyncedFile {
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

/// Files that are the disk's, but for what comes before each operation.
macro_rules! files_with {
    ($name:ty, $before:expr) => {
        impl Files for $name {
            fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
                $before(self).and_then(|()| Disk.create_dir_all(dir))
            }
            fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
                $before(self).and_then(|()| Disk.list(dir))
            }
            fn create(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
                $before(self)?;
                Ok(Arc::new(UnsyncedFile(Disk.create(path)?)))
            }
            fn open(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
                $before(self)?;
                Ok(Arc::new(UnsyncedFile(Disk.open(path)?)))
            }
            fn map(&self, path: &Path) -> io::Result<Map> {
                $before(self).and_then(|()| Disk.map(path))
            }
            fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
                $before(self).and_then(|()| Disk.rename(from, to))
            }
            fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
                $before(self).and_then(|()| Disk.hard_link(from, to))
            }
            fn remove_file(&self, path: &Path) -> io::Result<()> {
                $before(self).and_then(|()| Disk.remove_file(path))
            }
            fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
                $before(self).and_then(|()| Disk.remove_dir_all(path))
            }
            fn sync_dir(&self, _: &Path) -> io::Result<()> {
                $before(self)
            }
            fn exists(&self, path: &Path) -> bool {
                Disk.exists(path)
            }
            fn disk_bytes(&self, dir: &Path) -> io::Result<u64> {
                Disk.disk_bytes(dir)
            }
        }
    };
}

files_with!(Unsynced, |_: &Unsynced| Ok::<(), io::Error>(()));

/// The disk, until it fails for good.
#[derive(Debug)]
struct Failing {
    left: AtomicUsize,
}

impl Failing {
    fn step(&self) -> io::Result<()> {
        let step = |left: usize| left.checked_sub(1);
        let left = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        left.map(drop)
            .map_err(|_| io::Error::other("the disk is gone"))
    }
}

files_with!(Failing, Failing::step);

#[test]
fn a_disk_that_fails_leaves_a_whole_block_or_none() {
    let samples = (0..50).map(|t| (t, 1.0)).collect();
    let model = Model::from([(Labels::from_pairs([("a", "b")]), samples)]);
    let meta = BlockMeta::new(Ulid::new(7, 0), 0, 1000);
    for steps in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let left = AtomicUsize::new(steps);
        let mut source = VecSource::new(&model, 20);
        let written = write_block(
            &Failing { left },
            dir.path(),
            &mut source,
            meta.clone(),
            OPTIONS,
        );
        let path = dir.path().join(meta.ulid.to_string());
        if path.exists() {
            let files: Arc<dyn Files> = Arc::new(Unsynced);
            assert_eq!(crate::verify::verify_block(&files, &path).problems, []);
        }
        if written.is_ok() {
            assert!(path.exists() && 10 < steps);
            return;
        }
        // What is left of the attempt is in nobody's way.
        if !path.exists() {
            write(dir.path(), &model, 20, 7).unwrap();
        }
    }
}
