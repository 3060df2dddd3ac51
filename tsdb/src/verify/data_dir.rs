//! Verifying a data directory: its blocks, its logs with their checkpoint, its head chunk files and
//! head snapshot.
//!
//! Nothing is changed. The directory may be in use; then the newest record or chunk may be seen half written, which is
//! told apart from damage as after a crash: it is the last of the last file.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashbrown::HashMap;
use model::Labels;
use model::storage::SampleColumns;

use super::{Problem, VerifyReport, verify_block};
use crate::chunk;
use crate::files::Files;
use crate::head::CHUNK_RANGE_MS;
use crate::head::snapshot::{Needed, NoSnapshot, SNAPSHOT_FILE, Snapshot};
use crate::head_chunks::{self, ChunkRef, FoundChunk};
use crate::ulid::Ulid;
use crate::wal::checkpoint;
use crate::wal::record::{self, RecordError, RecordKind};
use crate::wal::segment::{self, SegmentError, SegmentReader, TORN};

/// What was found in a data directory.
#[derive(Debug, Default)]
pub struct DirReport {
    /// The blocks and what was found in each.
    pub blocks: Vec<(PathBuf, VerifyReport)>,
    /// What is in the logs and head chunk files, counted.
    pub counts: DirCounts,
    /// What is wrong outside of the blocks; at most [`super::PROBLEMS_MAX`] a file.
    pub problems: Vec<Problem>,
    /// What is odd but needs nobody: a start deals with it.
    pub notes: Vec<Problem>,
}

/// What is in the logs and head chunk files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirCounts {
    /// Segments of the write-ahead log and its checkpoint.
    pub wal_segments: usize,
    /// Segments of the log of late samples.
    pub wbl_segments: usize,
    /// Records in both.
    pub records: u64,
    /// Series that the log has the labels of.
    pub series: usize,
    /// Samples in both logs.
    pub samples: u64,
    /// Samples whose series the log has no labels of; a start passes them over.
    pub orphan_samples: u64,
    /// Head chunk files.
    pub head_chunk_files: usize,
    /// Chunks in them.
    pub head_chunks: u64,
}

impl DirReport {
    /// Returns all problems, those in blocks first.
    pub fn all_problems(&self) -> impl Iterator<Item = &Problem> {
        let in_blocks = self.blocks.iter().flat_map(|(_, report)| &report.problems);
        in_blocks.chain(&self.problems)
    }
}

/// Looks at everything in the data directory `dir`.
///
/// Cost: reads and decodes all of it; memory for one block's [`verify_block`], or for each series of the log some 20
/// bytes.
///
/// # Errors
///
/// When the directory cannot be listed.
pub fn verify_data_dir(files: &Arc<dyn Files>, dir: &Path) -> io::Result<DirReport> {
    let mut verifier = Verifier {
        files,
        report: DirReport::default(),
        fingerprints: HashMap::new(),
    };
    for entry in files.list(dir)? {
        let path = dir.join(&entry.name);
        if entry.is_dir && entry.name.parse::<Ulid>().is_ok() {
            let report = verify_block(files, &path);
            verifier.report.blocks.push((path, report));
        } else if entry.name.contains(".tmp") {
            verifier.note(&path, None, "left behind by an interrupted write");
        }
    }
    verifier.verify_wal(&dir.join("wal"))?;
    verifier.verify_wbl(&dir.join("wbl"))?;
    verifier.verify_head_chunks(&dir.join("chunks_head"))?;
    verifier.verify_snapshot(dir);
    verifier.report.counts.series = verifier.fingerprints.len();
    Ok(verifier.report)
}

struct Verifier<'a> {
    files: &'a Arc<dyn Files>,
    report: DirReport,
    /// Id of a series in the log → fingerprint of its labels.
    fingerprints: HashMap<u64, u64>,
}

impl Verifier<'_> {
    fn problem(&mut self, path: &Path, offset: Option<u64>, what: impl Into<String>) {
        self.report.problems.push(Problem {
            path: path.to_owned(),
            offset,
            what: what.into(),
        });
    }

    fn note(&mut self, path: &Path, offset: Option<u64>, what: impl Into<String>) {
        self.report.notes.push(Problem {
            path: path.to_owned(),
            offset,
            what: what.into(),
        });
    }

    fn verify_wal(&mut self, dir: &Path) -> io::Result<()> {
        if !self.files.exists(dir) {
            return Ok(());
        }
        let mut first = None;
        if let Some((number, path)) = checkpoint::latest(&**self.files, dir)? {
            first = Some(number + 1);
            let segments = segment::list(&**self.files, &path)?;
            self.verify_segments(&path, &segments, Segments::Checkpoint);
        }
        let segments = segment::list(&**self.files, dir)?;
        let needed = segments.iter().copied();
        let needed: Vec<u32> = needed
            .filter(|&segment| first.is_none_or(|first| first <= segment))
            .collect();
        if let (Some(first), Some(&found)) = (first, needed.first())
            && first < found
        {
            let what = format!("segments {first} to {} are missing", found - 1);
            self.problem(dir, None, what);
        }
        self.verify_segments(dir, &needed, Segments::Wal);
        Ok(())
    }

    fn verify_wbl(&mut self, dir: &Path) -> io::Result<()> {
        if self.files.exists(dir) {
            let segments = segment::list(&**self.files, dir)?;
            self.verify_segments(dir, &segments, Segments::Wbl);
        }
        Ok(())
    }

    fn verify_segments(&mut self, dir: &Path, segments: &[u32], kind: Segments) {
        match kind {
            Segments::Wbl => self.report.counts.wbl_segments += segments.len(),
            _ => self.report.counts.wal_segments += segments.len(),
        }
        for pair in segments.windows(2) {
            if pair[0] + 1 < pair[1] {
                let what = format!("segments {} to {} are missing", pair[0] + 1, pair[1] - 1);
                self.problem(dir, None, what);
            }
        }
        for &segment in segments {
            let may_be_torn = kind != Segments::Checkpoint && Some(&segment) == segments.last();
            self.verify_segment(&segment::path(dir, segment), may_be_torn);
        }
    }

    fn verify_segment(&mut self, path: &Path, may_be_torn: bool) {
        let mut reader = match SegmentReader::open(&**self.files, path.to_owned()) {
            Ok(reader) => reader,
            Err(error) => return self.segment_failed(path, error, may_be_torn),
        };
        let mut problems_left = super::PROBLEMS_MAX;
        for number in 1_u64.. {
            let record = match reader.next() {
                Ok(Some(record)) => record,
                Ok(None) => return,
                Err(error) => return self.segment_failed(path, error, may_be_torn),
            };
            self.report.counts.records += 1;
            let counts = &mut self.report.counts;
            if let Err(what) = verify_record(record, counts, &mut self.fingerprints) {
                self.problem(path, None, format!("record {number}: {what}"));
                problems_left -= 1;
            }
            if problems_left == 0 {
                return;
            }
        }
    }

    fn segment_failed(&mut self, path: &Path, error: SegmentError, may_be_torn: bool) {
        match error {
            SegmentError::Io { source, .. } => self.problem(path, None, source.to_string()),
            SegmentError::Corrupt { offset, what, .. } if what == TORN && may_be_torn => {
                let what = format!("{what}, as after a crash; the next start cuts it off");
                self.note(path, Some(offset), what);
            }
            SegmentError::Corrupt { offset, what, .. } => self.problem(path, Some(offset), what),
        }
    }

    /// A start does without a snapshot that is of no use, only slower.
    fn verify_snapshot(&mut self, dir: &Path) {
        let path = dir.join(SNAPSHOT_FILE);
        let needed = Needed {
            valid_from: i64::MIN,
            late_from: ChunkRef::default(),
        };
        match Snapshot::read(&**self.files, dir, CHUNK_RANGE_MS, needed) {
            Ok(_) | Err(NoSnapshot::Missing) => (),
            Err(NoSnapshot::Damaged) => self.problem(&path, None, "damaged head snapshot"),
            Err(NoSnapshot::Foreign(_)) => {
                let what = "of other head chunk files; the next start reads the whole log";
                self.note(&path, None, what);
            }
        }
    }

    fn verify_head_chunks(&mut self, dir: &Path) -> io::Result<()> {
        if !self.files.exists(dir) {
            return Ok(());
        }
        let listed = head_chunks::list(&**self.files, dir)?;
        self.report.counts.head_chunk_files = listed.len();
        // Series → where its newest chunk of in-order samples ends.
        let mut ends: BTreeMap<u64, i64> = BTreeMap::new();
        for (index, &(number, _)) in listed.iter().enumerate() {
            let path = head_chunks::file_path(dir, number);
            let is_last = index + 1 == listed.len();
            match self.files.map(&path) {
                Ok(bytes) => self.verify_head_chunk_file(&path, &bytes, number, is_last, &mut ends),
                Err(error) => self.problem(&path, None, error.to_string()),
            }
        }
        Ok(())
    }

    fn verify_head_chunk_file(
        &mut self,
        path: &Path,
        bytes: &[u8],
        number: u32,
        is_last: bool,
        ends: &mut BTreeMap<u64, i64>,
    ) {
        let (mut found, mut scratch) = (Vec::new(), SampleColumns::default());
        let mut count = 0;
        let prefix = head_chunks::read_chunks(
            bytes,
            number,
            head_chunks::FILE_HEADER_BYTES,
            |chunk, data| {
                count += 1;
                let outcome = verify_head_chunk(&chunk, data, ends, &mut scratch);
                if let Err(what) = outcome
                    && found.len() < super::PROBLEMS_MAX
                {
                    found.push((chunk.meta.chunk.offset(), what));
                }
            },
        );
        self.report.counts.head_chunks += count;
        for (offset, what) in found {
            self.problem(path, Some(offset), what);
        }
        let Some(prefix) = prefix else {
            // A file that was just made, or had nothing written before a crash.
            match (is_last, bytes.iter().all(|&byte| byte == 0)) {
                (true, true) => self.note(path, None, "empty; the next start sets it aside"),
                _ => self.problem(path, Some(0), "no head chunk file"),
            }
            return;
        };
        for at in prefix.passed_over {
            self.problem(path, Some(at as u64), "damaged chunk");
        }
        match (prefix.is_torn, is_last) {
            (false, _) => (),
            (true, true) => {
                let what = "the last chunk is torn, as after a crash; the log has its samples";
                self.note(path, Some(prefix.end), what);
            }
            (true, false) => self.problem(path, Some(prefix.end), "torn chunk"),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Segments {
    Checkpoint,
    Wal,
    Wbl,
}

/// Decodes a record, counts what is in it, and looks whether its series are what they were.
fn verify_record(
    record: &[u8],
    counts: &mut DirCounts,
    fingerprints: &mut HashMap<u64, u64>,
) -> Result<(), String> {
    let mut found = Ok(());
    let mut sample = |id: u64| {
        counts.samples += 1;
        counts.orphan_samples += u64::from(!fingerprints.contains_key(&id));
    };
    let decoded: Result<(), RecordError> = match record::kind(record) {
        RecordKind::Series => record::decode_series(record, |id, labels| {
            let outcome = verify_series(id, labels, fingerprints);
            found = std::mem::replace(&mut found, Ok(())).and(outcome);
        }),
        RecordKind::Samples | RecordKind::SamplesV2 => {
            record::decode_samples(record, |found| sample(found.id))
        }
        RecordKind::Histograms | RecordKind::CustomHistograms | RecordKind::HistogramsV2 => {
            record::decode_histograms(record, |histogram| {
                sample(histogram.id);
                let valid = histogram.histogram.validate();
                let valid =
                    valid.map_err(|error| format!("histogram of series {}: {error}", histogram.id));
                found = std::mem::replace(&mut found, Ok(())).and(valid);
            })
        }
        RecordKind::FloatHistograms
        | RecordKind::CustomFloatHistograms
        | RecordKind::FloatHistogramsV2 => record::decode_float_histograms(record, |histogram| {
            sample(histogram.id);
            let valid = histogram.histogram.validate();
            let valid =
                valid.map_err(|error| format!("histogram of series {}: {error}", histogram.id));
            found = std::mem::replace(&mut found, Ok(())).and(valid);
        }),
        RecordKind::Tombstones => record::decode_tombstones(record, |tombstone| {
            if tombstone.maxt < tombstone.mint {
                found = Err(format!(
                    "tombstone of series {} ends before it begins",
                    tombstone.id
                ));
            }
        }),
        RecordKind::MapMarkers => record::decode_markers(record, |_| ()),
        RecordKind::Exemplars => record::decode_exemplars(record, |_, _| ()),
        RecordKind::Metadata => record::decode_metadata(record, |_| ()),
        // Of a later format: a start passes it over.
        RecordKind::Other(_) => Ok(()),
    };
    decoded.map_err(|error| error.to_string()).and(found)
}

fn verify_series(
    id: u64,
    labels: &[(&str, &str)],
    fingerprints: &mut HashMap<u64, u64>,
) -> Result<(), String> {
    if labels.windows(2).any(|pair| pair[1].0 <= pair[0].0) {
        return Err(format!("label names of series {id} do not ascend"));
    }
    let labels = Labels::from_pairs(labels.iter().copied());
    let fingerprint = labels.fingerprint();
    match fingerprints.insert(id, fingerprint) {
        Some(before) if before != fingerprint => {
            Err(format!("series {id} had other labels before: now {labels}"))
        }
        _ => Ok(()),
    }
}

fn verify_head_chunk(
    chunk: &FoundChunk,
    data: &[u8],
    ends: &mut BTreeMap<u64, i64>,
    scratch: &mut SampleColumns,
) -> Result<(), String> {
    let (meta, id) = (&chunk.meta, chunk.series_id);
    scratch.clear();
    chunk::decode(meta.encoding, data, i64::MIN, i64::MAX, scratch)
        .map_err(|error| format!("chunk of series {id}: {error}"))?;
    let times = &scratch.timestamps;
    let span = times.first().zip(times.last());
    let Some((&first, &last)) = span else {
        return Err(format!("chunk of series {id} without samples"));
    };
    if first != meta.mint || (meta.maxt() != i64::MAX && last != meta.maxt()) {
        let (mint, maxt) = (meta.mint, meta.maxt());
        return Err(format!(
            "chunk of series {id} has {first}..={last}, its header says {mint}..={maxt}"
        ));
    }
    if !chunk.is_out_of_order {
        let end = ends.entry(id).or_insert(i64::MIN);
        let follows = *end < first;
        *end = last.max(*end);
        if !follows {
            return Err(format!(
                "chunk of series {id} from {first} on overlaps the one before"
            ));
        }
    }
    Ok(())
}
