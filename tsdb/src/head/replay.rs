//! Replay: the head as it was, from head chunk files, checkpoint and WAL.
//!
//! Full chunks come from their files; then the log is read from its checkpoint on, and gives every sample that is newer
//! than its series' full chunks. A torn last record is the normal end after a crash and is cut off. Damage in the middle
//! costs the rest of that segment only: the segment is set aside as `NNNNNNNN.corrupt` beside its readable part, and
//! reading goes on with the next.

mod slots;
mod start;
mod take;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

use hashbrown::{HashMap, HashSet};
use parking_lot::{Mutex, RwLock};
use rapidhash::fast::RandomState;

use super::index::{Index, IndexFull};
use super::isolation::Isolation;
use super::marks::HeadMarks;
use super::page::SeriesPages;
use super::series::ChunkShape;
use super::snapshot::Needed;
use super::{Head, HeadOptions, OpenAppenders};
use crate::exemplars::Exemplars;
use crate::files::{Files, OpenFile};
use crate::head_chunks::{CHUNKS_DIR, ChunkMeta, FoundChunk, HeadChunks};
use crate::metadata::MetadataStore;
use crate::metrics::TsdbMetrics;
use crate::tombstones::Tombstones;
use crate::wal::checkpoint;
use crate::wal::read_ahead::{Piece, Source, read_ahead};
use crate::wal::record::{self, RecordKind};
use crate::wal::segment::{self, Position, SegmentError, SegmentReader, SegmentWriter, TORN};
use slots::Slots;
use start::Start;
use take::decode_values;

/// How far the replay is, for whoever asks while it runs.
#[derive(Debug, Default)]
pub struct ReplayProgress {
    /// First segment.
    pub min: AtomicU32,
    /// Last segment.
    pub max: AtomicU32,
    /// The segment being read.
    pub current: AtomicU32,
}

/// What a replay found.
#[derive(Debug, Default)]
pub struct ReplayReport {
    /// Series that a head snapshot had, if there was one.
    pub snapshot_series: Option<usize>,
    /// Samples read from the log.
    pub samples: u64,
    /// Samples whose series has no labels in the log.
    pub orphan_samples: u64,
    /// Chunks whose series has no labels in the log.
    pub orphan_chunks: usize,
    /// One sentence per damage and what was done about it.
    pub damages: Vec<String>,
}

/// Why the head could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file system failed.
    #[error("{what} {}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is more than fits.
    #[error(transparent)]
    Full(#[from] IndexFull),
}

/// Chunks of one series that were found on disk.
#[derive(Default)]
struct Found {
    in_order: Vec<ChunkMeta>,
    late: Vec<ChunkMeta>,
}

/// The head being built; single-threaded, so that nothing needs a lock.
struct Replay {
    files: Arc<dyn Files>,
    shape: ChunkShape,
    /// Samples before this are in blocks.
    valid_from: i64,
    marks: HeadMarks,
    /// The segment that is being read.
    segment: u32,
    index: Index,
    series: SeriesPages,
    slots: Slots,
    aliases: HashMap<u64, u32>,
    found: HashMap<u64, Found, RandomState>,
    /// Series that had left the head, of which the log has no labels any more.
    left: HashSet<u64, RandomState>,
    /// Samples without labels by series.
    orphan_samples: HashMap<u64, u64, RandomState>,
    chunks: HeadChunks,
    tombstones: Tombstones,
    exemplars: Exemplars,
    metadata: MetadataStore,
    unsynced: Vec<Arc<dyn OpenFile>>,
    id_max: u64,
    mint: i64,
    maxt: i64,
    report: ReplayReport,
    full: Option<IndexFull>,
}

impl Head {
    /// Opens the head in the data directory `dir`, and starts a new WAL segment. Samples before `valid_from` are left
    /// out: they are in blocks.
    ///
    /// # Errors
    ///
    /// When the file system fails. Damaged data is no error: it is set aside and reported.
    pub fn open(
        files: Arc<dyn Files>,
        dir: &Path,
        options: HeadOptions,
        valid_from: i64,
        metrics: TsdbMetrics,
        progress: &ReplayProgress,
    ) -> Result<(Head, ReplayReport), ReplayError> {
        let (wal_dir, chunks_dir) = (dir.join("wal"), dir.join(CHUNKS_DIR));
        let io_error = |what, path: &Path| {
            let path = path.to_owned();
            move |source| ReplayError::Io { what, path, source }
        };
        files
            .create_dir_all(&wal_dir)
            .map_err(io_error("create", &wal_dir))?;
        let (marks, marks_damage) = HeadMarks::read(&*files, dir);
        let late_from = marks.late_end;
        let needed = Needed {
            valid_from: valid_from.max(marks.head_from),
            late_from,
        };
        let start = Start::of(&files, dir, options.chunks.range_ms, needed);
        let mut found: HashMap<u64, Found, RandomState> = HashMap::default();
        let visit = |chunk: FoundChunk| {
            let of_series = found.entry(chunk.series_id).or_default();
            if chunk.is_out_of_order {
                if late_from <= chunk.meta.chunk {
                    of_series.late.push(chunk.meta);
                }
            } else if valid_from.max(marks.head_from) <= chunk.meta.maxt() {
                of_series.in_order.push(chunk.meta);
            }
        };
        let (chunks, opened) = HeadChunks::open(
            Arc::clone(&files),
            &chunks_dir,
            start.chunks_from,
            start.missing_chunks,
            visit,
        )
        .map_err(io_error("open head chunk files in", &chunks_dir))?;
        metrics
            .head_chunk_corruptions
            .add(opened.damages.len() as f64);
        // Chunks whose labels are lost keep their ids: no other series may get them.
        let id_max = found.keys().copied().max().unwrap_or(0);
        let mut replay = Replay {
            files: Arc::clone(&files),
            shape: options.chunks,
            valid_from,
            marks,
            segment: 0,
            index: start.index,
            series: start.series,
            slots: start.slots,
            aliases: start.aliases,
            found,
            left: HashSet::default(),
            orphan_samples: HashMap::default(),
            chunks,
            tombstones: start.tombstones,
            exemplars: Exemplars::new(options.exemplars_max),
            metadata: MetadataStore::default(),
            unsynced: Vec::new(),
            id_max: id_max.max(start.id_max),
            mint: i64::MAX,
            maxt: i64::MIN,
            report: ReplayReport {
                damages: opened.damages,
                snapshot_series: start.snapshot_series,
                ..ReplayReport::default()
            },
            full: None,
        };
        replay.report.damages.extend(marks_damage);
        replay.report.damages.extend(start.damage);
        replay.take_found();
        for bytes in start.records.iter().filter(|bytes| !bytes.is_empty()) {
            // It was written by us and has a checksum; what cannot be read of it is left out.
            let _ = replay.take_extras(bytes);
        }
        let next_segment = replay.read_log(&wal_dir, start.position, &metrics, progress)?;
        let wbl_dir = dir.join("wbl");
        replay.read_late_log(&wbl_dir, &metrics)?;
        let wal = SegmentWriter::create(files, &wal_dir, next_segment, options.segment)
            .map_err(io_error("start a segment in", &wal_dir))?;
        metrics.wal_segment.set(f64::from(next_segment));
        Ok(replay.finish(options, wal, dir, metrics))
    }
}

/// A segment of the log that is to be read.
struct LogSegment {
    /// `None` of one that belongs to a checkpoint.
    number: Option<u32>,
    source: Source,
}

impl Replay {
    /// Takes in the time range of what is known, and the chunks that were found of known series.
    fn take_found(&mut self) {
        for series in self.series.iter() {
            if let (Some(first), Some(last)) = (series.first_in_order_t(), series.last_t()) {
                (self.mint, self.maxt) = (self.mint.min(first), self.maxt.max(last));
            }
        }
        let known: Vec<(u64, u32)> = self
            .found
            .keys()
            .filter_map(|&id| Some((id, *self.slots.by_id.get(&id)?)))
            .collect();
        for (id, slot) in known {
            if let Some(found) = self.found.remove(&id) {
                self.add_found(slot, found);
            }
        }
    }

    /// Reads the log from `from` on: the checkpoint, if it stands for that segment, and segments. Returns the number of
    /// the next segment.
    fn read_log(
        &mut self,
        dir: &Path,
        from: Position,
        metrics: &TsdbMetrics,
        progress: &ReplayProgress,
    ) -> Result<u32, ReplayError> {
        let files = Arc::clone(&self.files);
        let io_error = |source| ReplayError::Io {
            what: "list",
            path: dir.to_owned(),
            source,
        };
        let has_segment = files.exists(&segment::path(dir, from.segment));
        // There is one at least up to that which a snapshot was made in.
        let last_known = from.segment;
        // Without the segment that a snapshot was made in, nothing says what of the others it knows; reading all of them
        // again does no harm.
        let from = if has_segment {
            from
        } else {
            Position::default()
        };
        let (mut next, mut log) = (0, Vec::new());
        let newest = checkpoint::latest(&*files, dir).map_err(io_error)?;
        if let Some((number, path)) = newest {
            // What the snapshot was made after need not be read again.
            if from == Position::default() || from.segment <= number {
                let segments = segment::list(&*files, &path).map_err(io_error)?;
                self.report_gaps(&path, 0, &segments, Some(0));
                log.extend(segments.into_iter().map(|segment| LogSegment {
                    number: None,
                    source: Source {
                        path: segment::path(&path, segment),
                        offset: 0,
                    },
                }));
            }
            next = number + 1;
        }
        next = next.max(from.segment);
        let segments: Vec<u32> = segment::list(&*files, dir)
            .map_err(io_error)?
            .into_iter()
            .filter(|&s| next <= s)
            .collect();
        let last_known = (last_known != 0).then_some(last_known);
        self.report_gaps(dir, next, &segments, last_known);
        progress
            .min
            .store(segments.first().copied().unwrap_or(next), Ordering::Relaxed);
        progress
            .max
            .store(segments.last().copied().unwrap_or(next), Ordering::Relaxed);
        log.extend(segments.iter().map(|&segment| LogSegment {
            number: Some(segment),
            source: Source {
                path: segment::path(dir, segment),
                offset: if segment == from.segment {
                    from.offset
                } else {
                    0
                },
            },
        }));
        self.read_segments(&log, metrics, progress)?;
        next = segments.last().map_or(next, |last| last + 1);
        match self.full {
            Some(full) => Err(full.into()),
            None => Ok(next),
        }
    }

    /// Reports the segments that are missing between `first` and the last that is there, or that must be.
    ///
    /// * `found`: the segments of `dir` that are there, ascending.
    fn report_gaps(&mut self, dir: &Path, first: u32, found: &[u32], last_known: Option<u32>) {
        let mut expected = first;
        let end = last_known.map(|last| last.saturating_add(1));
        for next in found.iter().copied().chain(end) {
            if expected < next {
                let more = match next - expected {
                    1 => String::new(),
                    count => format!(" and the {} after it", count - 1),
                };
                self.report.damages.push(format!(
                    "{}{more}: missing; samples that were only there are lost",
                    segment::path(dir, expected).display()
                ));
            }
            expected = expected.max(next.saturating_add(1));
        }
    }

    /// Reads the log of late samples, if there is one.
    fn read_late_log(&mut self, dir: &Path, metrics: &TsdbMetrics) -> Result<(), ReplayError> {
        let files = Arc::clone(&self.files);
        if !files.exists(dir) {
            return Ok(());
        }
        let segments = segment::list(&*files, dir).map_err(|source| ReplayError::Io {
            what: "list",
            path: dir.to_owned(),
            source,
        })?;
        if let Some(&first) = segments.first() {
            self.report_gaps(dir, first, &segments, None);
        }
        for &segment in &segments {
            let is_last = Some(&segment) == segments.last();
            self.read_repairing(
                segment::path(dir, segment),
                is_last,
                metrics,
                |replay, bytes| match record::kind(bytes) {
                    RecordKind::MapMarkers => {
                        record::decode_markers(bytes, |marker| replay.take_marker(&marker))
                    }
                    _ => decode_values(bytes, |id, sample| replay.take_late(id, sample)),
                },
            )?;
        }
        Ok(())
    }

    /// Takes in the segments, of which the next is read while one is taken in.
    fn read_segments(
        &mut self,
        log: &[LogSegment],
        metrics: &TsdbMetrics,
        progress: &ReplayProgress,
    ) -> Result<(), ReplayError> {
        let files = Arc::clone(&self.files);
        let sources: Vec<Source> = log.iter().map(|segment| segment.source.clone()).collect();
        let (mut at, mut failed) = (0, None);
        let begin = |replay: &mut Self, at: usize| {
            if let Some(number) = log.get(at).and_then(|segment| segment.number) {
                progress.current.store(number, Ordering::Relaxed);
                replay.segment = number;
            }
        };
        begin(self, at);
        read_ahead(&*files, &sources, |piece| match piece {
            Piece::Samples(samples) => samples
                .iter()
                .for_each(|&sample| self.take_sample(0, sample)),
            Piece::Record(bytes) => {
                if let Err(error) = self.take_record(bytes) {
                    self.passed_over(&sources[at].path, &error);
                }
            }
            Piece::Bad(error) => self.passed_over(&sources[at].path, error),
            Piece::End(index, outcome) => {
                let is_last = index + 1 == sources.len();
                let ended = self.end_segment(&sources[*index].path, is_last, outcome, metrics);
                if let Err(error) = ended {
                    failed.get_or_insert(error);
                }
                at = index + 1;
                begin(self, at);
            }
        });
        failed.map_or(Ok(()), Err)
    }

    /// The checksum was right, so a writer's mistake is likelier than damage. Said once for a row of them.
    fn passed_over(&mut self, path: &Path, error: &record::RecordError) {
        let what = format!("{}: {error}, record passed over", path.display());
        if self.report.damages.last() != Some(&what) {
            self.report.damages.push(what);
        }
    }

    /// Gives each record of a segment to `take`. At the first that is torn or damaged the segment is cut.
    fn read_repairing(
        &mut self,
        path: PathBuf,
        is_last: bool,
        metrics: &TsdbMetrics,
        mut take: impl FnMut(&mut Self, &[u8]) -> Result<(), record::RecordError>,
    ) -> Result<(), ReplayError> {
        let outcome = SegmentReader::open(&*self.files, path.clone()).and_then(|mut reader| {
            while let Some(bytes) = reader.next()? {
                if let Err(error) = take(self, bytes) {
                    self.passed_over(&path, &error);
                }
            }
            Ok(())
        });
        self.end_segment(&path, is_last, &outcome, metrics)
    }

    /// Cuts a segment where it is torn or damaged.
    fn end_segment(
        &mut self,
        path: &Path,
        is_last: bool,
        outcome: &Result<(), SegmentError>,
        metrics: &TsdbMetrics,
    ) -> Result<(), ReplayError> {
        // A killed process may have left it written and not synced; the next sync takes care of that.
        if let Ok(file) = self.files.open(path) {
            self.unsynced.push(file);
        }
        let io_error = |what, source| ReplayError::Io {
            what,
            path: path.to_owned(),
            source,
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(SegmentError::Io { source, .. }) => Err(io_error(
                "read",
                io::Error::new(source.kind(), source.to_string()),
            )),
            Err(SegmentError::Corrupt { offset, what, .. }) => {
                metrics.wal_corruptions.inc();
                self.repair(path, is_last, *offset, what)
                    .map_err(|source| io_error("repair", source))
            }
        }
    }

    /// Cuts a segment at `offset`, and keeps the whole beside it when the damage is more than a torn end.
    fn repair(
        &mut self,
        path: &Path,
        is_last: bool,
        offset: u64,
        what: &'static str,
    ) -> io::Result<()> {
        let kept = if is_last && what == TORN {
            "cut there".to_owned()
        } else {
            let aside = path.with_extension("corrupt");
            crate::files::copy(&*self.files, path, &aside)?;
            format!("cut there, the whole is kept as {}", aside.display())
        };
        let file = self.files.open(path)?;
        file.set_len(offset).and_then(|()| file.sync())?;
        let what = format!("{}: {what} at byte {offset}, {kept}", path.display());
        self.report.damages.push(what);
        Ok(())
    }

    fn finish(
        mut self,
        options: HeadOptions,
        wal: SegmentWriter,
        dir: &Path,
        metrics: TsdbMetrics,
    ) -> (Head, ReplayReport) {
        self.report.orphan_samples = self.orphan_samples.values().sum();
        let orphans = self.found.values();
        self.report.orphan_chunks = orphans.map(|f| f.in_order.len() + f.late.len()).sum();
        metrics.series.set(self.index.len() as f64);
        let (mut late_mint, mut late_maxt) = (i64::MAX, i64::MIN);
        let mut chunk_count = 0;
        for series in self.series.iter() {
            chunk_count += series.chunk_count();
            if let Some(late) = series.late() {
                late_mint = late_mint.min(late.mint().unwrap_or(i64::MAX));
                late_maxt = late_maxt.max(late.maxt().unwrap_or(i64::MIN));
            }
        }
        metrics.chunks.set(chunk_count as f64);
        let pages = self.series.into_pages().into_iter();
        let pages = pages.map(|page| Arc::new(Mutex::new(page))).collect();
        let head = Head {
            files: self.files,
            dir: dir.to_owned(),
            marks: Mutex::new(self.marks),
            options,
            index: RwLock::new(self.index),
            pages: RwLock::new(Arc::new(pages)),
            chunks: self.chunks,
            committing: RwLock::new(()),
            isolation: Isolation::default(),
            wal: Mutex::new(wal),
            wal_dir: dir.join("wal"),
            wbl: Mutex::new(None),
            wbl_dir: dir.join("wbl"),
            unsynced: Mutex::new(self.unsynced),
            aliases: Mutex::new(self.aliases),
            next_id: AtomicU64::new(self.id_max.saturating_add(1)),
            mint: AtomicI64::new(self.mint),
            maxt: AtomicI64::new(self.maxt),
            mint_since: AtomicI64::new(i64::MAX),
            late_mint: AtomicI64::new(late_mint),
            late_maxt: AtomicI64::new(late_maxt),
            late_window_ms: AtomicI64::new(0),
            valid_from: AtomicI64::new(self.valid_from),
            in_blocks_until: AtomicI64::new(self.valid_from),
            checkpointed_from: AtomicI64::new(i64::MIN),
            checkpointing: Mutex::default(),
            has_tombstones: AtomicBool::new(!self.tombstones.is_empty()),
            tombstones: RwLock::new(self.tombstones),
            has_bad_chunk: AtomicBool::new(false),
            exemplars: Mutex::new(self.exemplars),
            metadata: Mutex::new(self.metadata),
            appenders: OpenAppenders::default(),
            buffers: Mutex::default(),
            metrics,
        };
        head.update_exemplar_gauges(&head.exemplars.lock());
        (head, self.report)
    }
}
