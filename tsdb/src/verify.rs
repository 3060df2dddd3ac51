//! Verifying a block: every checksum, and whether its files agree with each other. A whole data directory is verified
//! in [`data_dir`].
//!
//! Nothing is changed, and damage in one place does not keep the rest from being looked at.

pub mod data_dir;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Labels;
use model::storage::{ReadError, SampleColumns};

use crate::block::OpenBlockError;
use crate::block::chunks::{CHUNKS_DIR, ChunkReader};
use crate::block::index::read::{IndexReader, PostingsAt, SeriesEntry};
use crate::block::index::write::ChunkMeta;
use crate::block::index::{INDEX_FILE, SeriesRef};
use crate::block::meta::{BlockMeta, BlockStats, META_FILE};
use crate::files::Files;
use crate::tombstones::{TOMBSTONES_FILE, Tombstones};

/// After so many problems a block is not looked at any further.
pub const PROBLEMS_MAX: usize = 1000;

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In which file.
    pub path: PathBuf,
    /// Where in the file, if it is in one place.
    pub offset: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)?;
        match self.offset {
            Some(offset) if !self.what.contains(" at byte ") => write!(f, " at byte {offset}"),
            _ => Ok(()),
        }
    }
}

/// What was found in a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// What is in it, counted.
    pub stats: BlockStats,
    /// What is wrong with it; at most [`PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
}

/// Looks at everything in the block in `dir`.
///
/// Cost: reads and decodes the whole block; memory for one series, and 4 bytes for each.
pub fn verify_block(files: &Arc<dyn Files>, dir: &Path) -> VerifyReport {
    let mut report = VerifyReport::default();
    let meta = report.opened(BlockMeta::read(&**files, dir));
    let index = report.opened(IndexReader::open(&**files, &dir.join(INDEX_FILE)));
    let chunks = report.opened(ChunkReader::open(files, &dir.join(CHUNKS_DIR)));
    let tombstones = Tombstones::read(&**files, dir);
    if let Err(error) = &tombstones {
        report.add(&dir.join(TOMBSTONES_FILE), None, error.to_string());
    }
    let (Some(meta), Some(index), Some(chunks)) = (meta, index, chunks) else {
        return report;
    };
    let tombstones = tombstones.unwrap_or_default();
    report.stats.num_tombstones = tombstones.len() as u64;
    let mut verifier = Verifier {
        meta,
        meta_path: dir.join(META_FILE),
        index,
        chunks,
        with_name: BTreeMap::new(),
        scratch: SampleColumns::default(),
        report,
    };
    verifier.verify_symbols();
    let series = verifier.verify_all_series();
    verifier.verify_postings(&series);
    verifier.verify_tombstones(&tombstones, &series, &dir.join(TOMBSTONES_FILE));
    verifier.verify_stats();
    verifier.report
}

impl VerifyReport {
    fn add(&mut self, path: &Path, offset: Option<u64>, what: impl Into<String>) {
        if !self.is_full() {
            self.problems.push(Problem {
                path: path.to_owned(),
                offset,
                what: what.into(),
            });
        }
    }

    fn is_full(&self) -> bool {
        PROBLEMS_MAX <= self.problems.len()
    }

    /// Notes why something could not be opened.
    fn opened<T>(&mut self, opened: Result<T, OpenBlockError>) -> Option<T> {
        let error = match opened {
            Ok(opened) => return Some(opened),
            Err(error) => error,
        };
        let text = error.to_string();
        match error {
            OpenBlockError::Corrupt { path, offset, what } => self.add(&path, Some(offset), what),
            OpenBlockError::Io { path, source } => self.add(&path, None, source.to_string()),
            OpenBlockError::Meta { path, source } => self.add(&path, None, source.to_string()),
            OpenBlockError::Version { path, .. } => self.add(&path, None, text),
        }
        None
    }

    /// Notes why something could not be read.
    fn read_failed(&mut self, error: ReadError, offset: Option<u64>) {
        match error {
            ReadError::Io { path, source } => self.add(&path, offset, source.to_string()),
            ReadError::Corrupt { path, what } => self.add(&path, offset, what),
        }
    }
}

struct Verifier {
    meta: BlockMeta,
    meta_path: PathBuf,
    index: IndexReader,
    chunks: ChunkReader,
    /// Symbol of a label name → how many series have it.
    with_name: BTreeMap<u32, u64>,
    scratch: SampleColumns,
    report: VerifyReport,
}

impl Verifier {
    fn in_index(&mut self, offset: Option<u64>, what: impl Into<String>) {
        let path = self.index.path().to_owned();
        self.report.add(&path, offset, what);
    }

    fn verify_symbols(&mut self) {
        let mut last: Option<&str> = None;
        let mut problems = Vec::new();
        for symbol in self.index.iter_symbols() {
            match symbol {
                Ok(symbol) => {
                    if last.is_some_and(|last| symbol <= last) {
                        problems.push(Ok(format!("symbol {symbol:?} out of order")));
                    }
                    last = Some(symbol);
                }
                Err(error) => problems.push(Err(error)),
            }
            if PROBLEMS_MAX <= problems.len() {
                break;
            }
        }
        for problem in problems {
            match problem {
                Ok(what) => self.in_index(None, what),
                Err(error) => self.report.read_failed(error, None),
            }
        }
    }

    /// Looks at every series and its chunks and returns the references.
    fn verify_all_series(&mut self) -> Vec<SeriesRef> {
        let all = match self.index.all_series() {
            Ok(all) => all,
            Err(error) => {
                self.report.read_failed(error, None);
                return Vec::new();
            }
        };
        if !all.is_sorted_by(|a, b| a < b) {
            self.in_index(None, "the list of all series does not ascend");
        }
        let mut entry = SeriesEntry::default();
        let mut last = None;
        for &series in &all {
            if self.report.is_full() {
                break;
            }
            let offset = Some(self.index.series_offset(series));
            if let Err(error) = self.index.series(series, &mut entry) {
                self.report.read_failed(error, offset);
                continue;
            }
            self.report.stats.num_series += 1;
            last = self.verify_labels(&entry, offset, last);
            self.verify_chunks(&entry.chunks, offset);
        }
        all
    }

    fn verify_labels(
        &mut self,
        entry: &SeriesEntry,
        offset: Option<u64>,
        last: Option<Labels>,
    ) -> Option<Labels> {
        let labels = match self.index.labels(entry) {
            Ok(labels) => labels,
            Err(error) => {
                self.report.read_failed(error, offset);
                return last;
            }
        };
        if labels.len() != entry.labels.len() {
            self.in_index(offset, format!("labels doubled or empty: {labels}"));
        }
        let symbols = entry.labels.iter().map(|&(name, _)| name);
        if !symbols.clone().is_sorted_by(|a, b| a < b) {
            self.in_index(offset, format!("label names out of order: {labels}"));
        }
        if last.is_some_and(|last| labels <= last) {
            self.in_index(offset, format!("series out of order: {labels}"));
        }
        for name in symbols {
            *self.with_name.entry(name).or_default() += 1;
        }
        Some(labels)
    }

    fn verify_chunks(&mut self, chunks: &[ChunkMeta], offset: Option<u64>) {
        let follow =
            |pair: &[ChunkMeta]| pair[0].maxt < pair[1].mint && pair[0].chunk < pair[1].chunk;
        if !chunks.windows(2).all(follow) {
            self.in_index(offset, "chunks of a series overlap or are out of order");
        }
        for chunk in chunks {
            if chunk.mint < self.meta.min_time || self.meta.max_time <= chunk.maxt {
                let what = format!(
                    "chunk of {}..={} outside of the block's time",
                    chunk.mint, chunk.maxt
                );
                self.in_index(offset, what);
            }
            if let Err(error) = self.verify_chunk(chunk) {
                self.report.read_failed(error, Some(chunk.chunk.offset()));
            }
        }
    }

    fn verify_chunk(&mut self, meta: &ChunkMeta) -> Result<(), ReadError> {
        let chunk = self.chunks.read(meta.chunk)?;
        let corrupt = |what: &str| self.chunks.corrupt(meta.chunk, what);
        self.scratch.clear();
        crate::chunk::decode(
            chunk.encoding,
            chunk.data,
            i64::MIN,
            i64::MAX,
            &mut self.scratch,
        )
        .map_err(|error| corrupt(&error.to_string()))?;
        let times = &self.scratch.timestamps;
        let (Some(&first), Some(&last)) = (times.first(), times.last()) else {
            return Err(corrupt("chunk without samples"));
        };
        if (first, last) != (meta.mint, meta.maxt) {
            let what = format!(
                "chunk of {first}..={last} that the index has as {}..={}",
                meta.mint, meta.maxt
            );
            return Err(corrupt(&what));
        }
        let stats = &mut self.report.stats;
        stats.add_chunk(chunk.encoding, times.len() as u64);
        Ok(())
    }

    /// Whether each list of postings has the series that have its label pair, no others, and all of them.
    fn verify_postings(&mut self, all: &[SeriesRef]) {
        let names: Vec<String> = self
            .index
            .label_names()
            .flatten()
            .map(str::to_owned)
            .collect();
        for name in &names {
            let owned = |(value, at): (&str, PostingsAt)| (value.to_owned(), at);
            let values = self.index.values(name, "");
            let values: Vec<_> = values.map(|value| value.map(owned)).collect();
            let mut listed = 0;
            for value in values {
                if self.report.is_full() {
                    return;
                }
                match value {
                    Ok((value, at)) => listed += self.verify_list(name, &value, at, all),
                    Err(error) => self.report.read_failed(error, None),
                }
            }
            let symbol = self.index.find_symbol(name);
            let expected = symbol.and_then(|symbol| self.with_name.remove(&symbol));
            let expected = expected.unwrap_or_default();
            if listed != expected {
                let what =
                    format!("{listed} series in postings of {name}, {expected} series with it");
                self.in_index(None, what);
            }
        }
        let missing: Vec<u32> = self.with_name.keys().copied().collect();
        for symbol in missing {
            let name = self.index.symbol(symbol).unwrap_or_default().to_owned();
            self.in_index(None, format!("no postings of {name}"));
        }
    }

    fn verify_list(&mut self, name: &str, value: &str, at: PostingsAt, all: &[SeriesRef]) -> u64 {
        let offset = Some(at.offset());
        let mut list = Vec::new();
        if let Err(error) = self.index.postings(at, &mut list) {
            self.report.read_failed(error, offset);
            return 0;
        }
        if !list.is_sorted_by(|a, b| a < b) {
            self.in_index(
                offset,
                format!("postings of {name}={value:?} do not ascend"),
            );
        }
        let pair = self
            .index
            .find_symbol(name)
            .zip(self.index.find_symbol(value));
        let mut entry = SeriesEntry::default();
        for &series in &list {
            if all.binary_search(&series).is_err() {
                let what =
                    format!("postings of {name}={value:?} name {series}, which is no series");
                self.in_index(offset, what);
                continue;
            }
            // One that cannot be read has been noted.
            let read = self.index.series(series, &mut entry);
            if read.is_ok() && !entry.labels.iter().any(|&found| Some(found) == pair) {
                let what =
                    format!("postings of {name}={value:?} have series {series}, which is another");
                self.in_index(offset, what);
            }
        }
        list.len() as u64
    }

    fn verify_tombstones(&mut self, tombstones: &Tombstones, all: &[SeriesRef], path: &Path) {
        let known: HashSet<u64> = all.iter().map(|&series| u64::from(series)).collect();
        for (series, _) in tombstones.iter() {
            if !known.contains(&series) {
                let what = format!("tombstone of {series}, which is no series");
                self.report.add(path, None, what);
            }
        }
    }

    fn verify_stats(&mut self) {
        let (said, found) = (self.meta.stats, self.report.stats);
        let mut pairs = vec![
            ("numSamples", said.num_samples, found.num_samples),
            ("numSeries", said.num_series, found.num_series),
            ("numChunks", said.num_chunks, found.num_chunks),
            ("numTombstones", said.num_tombstones, found.num_tombstones),
        ];
        // Older writers do not tell floats from histograms.
        if said.num_float_samples + said.num_histogram_samples != 0 {
            pairs.push((
                "numFloatSamples",
                said.num_float_samples,
                found.num_float_samples,
            ));
            pairs.push((
                "numHistogramSamples",
                said.num_histogram_samples,
                found.num_histogram_samples,
            ));
        }
        for (field, said, found) in pairs {
            if said != found {
                self.report.add(
                    &self.meta_path,
                    None,
                    format!("{field} is {said}, but there are {found}"),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::tests::{Unsynced, model, overwrite, write};
    use crate::compact::source::testing::Model;
    use proptest::prelude::*;

    fn verify(dir: &Path) -> VerifyReport {
        let files: Arc<dyn Files> = Arc::new(Unsynced);
        verify_block(&files, dir)
    }

    fn small_block(dir: &Path) -> PathBuf {
        let labels = |i: usize| Labels::from_pairs([("__name__", "up"), ("i", ["0", "1", "2"][i])]);
        let samples = |i: usize| (0..10).map(|t| (10 * t, i as f64)).collect();
        let model: Model = (0..3).map(|i| (labels(i), samples(i))).collect();
        write(dir, &model, 4, 1).unwrap().dir().to_owned()
    }

    #[test]
    fn every_flipped_byte_that_matters_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let dir = small_block(dir.path());
        assert_eq!(verify(&dir).problems, []);
        for (file, harmless) in [("index", 90), ("chunks/000001", 3), ("tombstones", 0)] {
            let path = dir.join(file);
            let whole = std::fs::read(&path).unwrap();
            let unnoticed = (0..whole.len()).filter(|&at| {
                let mut bytes = whole.clone();
                bytes[at] ^= 0x81;
                overwrite(&path, &bytes);
                verify(&dir).problems.is_empty()
            });
            // Padding, in the chunk file the three bytes after the version.
            let unnoticed = unnoticed.count();
            assert!(unnoticed <= harmless, "{file}: {unnoticed}");
            overwrite(&path, &whole);
        }
    }

    #[test]
    fn what_meta_says_is_compared() {
        let dir = tempfile::tempdir().unwrap();
        let dir = small_block(dir.path());
        let mut meta = BlockMeta::read(&Unsynced, &dir).unwrap();
        meta.stats.num_samples += 1;
        meta.max_time = 90;
        meta.write(&Unsynced, &dir).unwrap();
        let problems: Vec<String> = verify(&dir)
            .problems
            .into_iter()
            .map(|problem| problem.what)
            .collect();
        let outside = "chunk of 80..=90 outside of the block's time";
        assert_eq!(
            problems,
            [
                outside,
                outside,
                outside,
                "numSamples is 31, but there are 30"
            ]
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let dir = small_block(dir.path());
        std::fs::remove_file(dir.join(INDEX_FILE)).unwrap();
        std::fs::write(dir.join(TOMBSTONES_FILE), "x").unwrap();
        let paths: Vec<PathBuf> = verify(&dir)
            .problems
            .into_iter()
            .map(|problem| problem.path)
            .collect();
        assert_eq!(paths, [dir.join(INDEX_FILE), dir.join(TOMBSTONES_FILE)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_is_written_is_in_order(model in model(), chunk_samples in 1usize..20) {
            let dir = tempfile::tempdir().unwrap();
            if let Some(block) = write(dir.path(), &model, chunk_samples, 1) {
                let report = verify(block.dir());
                prop_assert_eq!(report.problems, []);
                prop_assert_eq!(report.stats, block.meta().stats);
            }
        }
    }
}
