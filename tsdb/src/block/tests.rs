//! Blocks that others wrote.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::storage::{Querier, SampleColumns, SelectHints};
use model::{Labels, MatchOp, Matcher};

use super::Block;
use super::meta::BlockMeta;
use crate::files::Disk;

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
    Arc::new(Block::open(Arc::new(Disk), dir).unwrap())
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
    assert!(BlockMeta::read(&Disk, &dir).is_err());
    let index = super::index::read::IndexReader::open(&Disk, &dir.join("index")).unwrap();
    let at = index.find_postings("b", "1").unwrap();
    let mut series = Vec::new();
    index.postings(at, &mut series).unwrap();
    assert!(!series.is_empty());
    for series in series {
        assert!(index.series(series, &mut Default::default()).is_err());
    }

    let block = open(&dir);
    assert_eq!(BlockMeta::read(&Disk, &dir).unwrap().version, 1);
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
