//! Replay: the head as it was, from head chunk files, checkpoint and WAL.
//!
//! Full chunks come from their files; then the log is read from its checkpoint on, and gives every sample that is newer
//! than its series' full chunks. A torn last record is the normal end after a crash and is cut off. Damage in the middle
//! costs the rest of that segment only: the segment is set aside as `NNNNNNNN.corrupt` beside its readable part, and
//! reading goes on with the next.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use rapidhash::fast::RandomState;

use super::index::{Index, IndexFull};
use super::series::{MemSeries, Placed};
use super::{CHUNK_RANGE_MS, Head, PAGE_SERIES};
use crate::chunk::Encoding;
use crate::head_chunks::{ChunkMeta, HeadChunks};
use crate::metrics::TsdbMetrics;
use crate::wal::checkpoint;
use crate::wal::record::{self, RecordKind};
use crate::wal::segment::{self, SegmentError, SegmentReader, SegmentWriter, TORN};

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
    #[error("{what} {}: {source}", .path.display())]
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

/// The head being built; single-threaded, so that nothing needs a lock.
struct Replay {
    index: Index,
    series: Vec<MemSeries>,
    /// Id in the log → slot.
    slots: HashMap<u64, u32, RandomState>,
    aliases: HashMap<u64, u32>,
    found: HashMap<u64, Vec<ChunkMeta>, RandomState>,
    chunks: HeadChunks,
    id_max: u64,
    mint: i64,
    maxt: i64,
    report: ReplayReport,
    full: Option<IndexFull>,
}

impl Head {
    /// Opens the head in the data directory `dir`, and starts a new WAL segment.
    ///
    /// # Errors
    ///
    /// When the file system fails. Damaged data is no error: it is set aside and reported.
    pub fn open(
        dir: &Path,
        wal_segment_bytes: u64,
        metrics: TsdbMetrics,
        progress: &ReplayProgress,
    ) -> Result<(Head, ReplayReport), ReplayError> {
        let (wal_dir, chunks_dir) = (dir.join("wal"), dir.join("chunks_head"));
        let io_error = |what, path: &Path| {
            let path = path.to_owned();
            move |source| ReplayError::Io { what, path, source }
        };
        fs::create_dir_all(&wal_dir).map_err(io_error("create", &wal_dir))?;
        let mut found: HashMap<u64, Vec<ChunkMeta>, RandomState> = HashMap::default();
        let (chunks, opened) = HeadChunks::open(&chunks_dir, |chunk| {
            found.entry(chunk.series_id).or_default().push(chunk.meta);
        })
        .map_err(io_error("open head chunk files in", &chunks_dir))?;
        metrics
            .head_chunk_corruptions
            .add(opened.damages.len() as f64);
        // Chunks whose labels are lost keep their ids: no other series may get them.
        let id_max = found.keys().copied().max().unwrap_or(0);
        let mut replay = Replay {
            index: Index::default(),
            series: Vec::new(),
            slots: HashMap::default(),
            aliases: HashMap::default(),
            found,
            chunks,
            id_max,
            mint: i64::MAX,
            maxt: i64::MIN,
            report: ReplayReport {
                damages: opened.damages,
                ..ReplayReport::default()
            },
            full: None,
        };
        let next_segment = replay.read_log(&wal_dir, &metrics, progress)?;
        let wal = SegmentWriter::create(&wal_dir, next_segment, wal_segment_bytes)
            .map_err(io_error("start a segment in", &wal_dir))?;
        metrics.wal_segment.set(f64::from(next_segment));
        Ok(replay.finish(wal, wal_dir, metrics))
    }
}

impl Replay {
    /// Reads checkpoint and segments; returns the number of the next segment.
    fn read_log(
        &mut self,
        dir: &Path,
        metrics: &TsdbMetrics,
        progress: &ReplayProgress,
    ) -> Result<u32, ReplayError> {
        let io_error = |source| ReplayError::Io {
            what: "list",
            path: dir.to_owned(),
            source,
        };
        let mut next = 0;
        if let Some((number, path)) = checkpoint::latest(dir).map_err(io_error)? {
            for segment in segment::list(&path).map_err(io_error)? {
                self.read_segment(segment::path(&path, segment), false, metrics)?;
            }
            next = number + 1;
        }
        let segments: Vec<u32> = segment::list(dir)
            .map_err(io_error)?
            .into_iter()
            .filter(|&s| next <= s)
            .collect();
        progress
            .min
            .store(segments.first().copied().unwrap_or(next), Ordering::Relaxed);
        progress
            .max
            .store(segments.last().copied().unwrap_or(next), Ordering::Relaxed);
        for &segment in &segments {
            progress.current.store(segment, Ordering::Relaxed);
            let is_last = Some(&segment) == segments.last();
            self.read_segment(segment::path(dir, segment), is_last, metrics)?;
            next = segment + 1;
        }
        match self.full {
            Some(full) => Err(full.into()),
            None => Ok(next),
        }
    }

    fn read_segment(
        &mut self,
        path: PathBuf,
        is_last: bool,
        metrics: &TsdbMetrics,
    ) -> Result<(), ReplayError> {
        match self.read_records(path.clone()) {
            Ok(()) => Ok(()),
            Err(SegmentError::Io { path, source }) => Err(ReplayError::Io {
                what: "read",
                path,
                source,
            }),
            Err(SegmentError::Corrupt { offset, what, .. }) => {
                metrics.wal_corruptions.inc();
                let io_error = |source| ReplayError::Io {
                    what: "repair",
                    path: path.clone(),
                    source,
                };
                let kept = if is_last && what == TORN {
                    "cut there".to_owned()
                } else {
                    let aside = path.with_extension("corrupt");
                    fs::copy(&path, &aside).map_err(io_error)?;
                    format!("cut there, the whole is kept as {}", aside.display())
                };
                let file = OpenOptions::new()
                    .write(true)
                    .open(&path)
                    .map_err(io_error)?;
                file.set_len(offset)
                    .and_then(|()| file.sync_all())
                    .map_err(io_error)?;
                self.report.damages.push(format!(
                    "{}: {what} at byte {offset}, {kept}",
                    path.display()
                ));
                Ok(())
            }
        }
    }

    fn read_records(&mut self, path: PathBuf) -> Result<(), SegmentError> {
        let mut reader = SegmentReader::open(path.clone())?;
        while let Some(bytes) = reader.next()? {
            let read = match record::kind(bytes) {
                RecordKind::Series => {
                    record::decode_series(bytes, |id, labels| self.take_series(id, labels))
                }
                RecordKind::Samples => {
                    record::decode_samples(bytes, |sample| self.take_sample(sample))
                }
                _ => Ok(()),
            };
            // The checksum was right, so this is a writer's mistake and no damage: the record is passed over.
            if let Err(error) = read {
                self.report
                    .damages
                    .push(format!("{}: {error}, record passed over", path.display()));
            }
        }
        Ok(())
    }

    fn take_series(&mut self, id: u64, labels: &[(&str, &str)]) {
        if self.full.is_some() || id == 0 || labels.windows(2).any(|pair| pair[1].0 <= pair[0].0) {
            return;
        }
        self.id_max = self.id_max.max(id);
        let slot = match self.index.find(labels) {
            Some(slot) => slot,
            None => match self.index.add(labels) {
                Ok(slot) => {
                    self.series.push(MemSeries::logged(id));
                    slot
                }
                Err(full) => return self.full = Some(full),
            },
        };
        if self.series[slot as usize].id != id {
            self.aliases.insert(id, slot);
        }
        self.slots.insert(id, slot);
        if let Some(found) = self.found.remove(&id) {
            for chunk in &found {
                self.saw(chunk.mint, chunk.maxt);
            }
            let Replay { series, chunks, .. } = self;
            // Samples under an id of before come first; they must not stay in the open chunk behind what is found now.
            series[slot as usize].add_found(found, |id, mint, maxt, bytes| {
                chunks.append(id, mint, maxt, Encoding::Xor, bytes).ok()
            });
        }
    }

    fn take_sample(&mut self, sample: record::RecordSample) {
        self.report.samples += 1;
        let Some(&slot) = self.slots.get(&sample.id) else {
            self.report.orphan_samples += 1;
            self.id_max = self.id_max.max(sample.id);
            return;
        };
        let chunks = &self.chunks;
        let placed = self.series[slot as usize].append(
            sample.t,
            sample.value,
            CHUNK_RANGE_MS,
            |id, mint, maxt, bytes| chunks.append(id, mint, maxt, Encoding::Xor, bytes).ok(),
        );
        if placed != Placed::Stale {
            self.saw(sample.t, sample.t);
        }
        if placed == Placed::Cut {
            // Failing here is as harmless as while running: the chunks wait in memory.
            let _ = self.chunks.write_out(false);
        }
    }

    fn saw(&mut self, mint: i64, maxt: i64) {
        (self.mint, self.maxt) = (self.mint.min(mint), self.maxt.max(maxt));
    }

    fn finish(
        mut self,
        wal: SegmentWriter,
        wal_dir: PathBuf,
        metrics: TsdbMetrics,
    ) -> (Head, ReplayReport) {
        self.report.orphan_chunks = self.found.values().map(Vec::len).sum();
        metrics.series.set(self.index.len() as f64);
        metrics.chunks.set(
            self.series
                .iter()
                .map(MemSeries::chunk_count)
                .sum::<usize>() as f64,
        );
        let mut pages = Vec::with_capacity(self.series.len().div_ceil(PAGE_SERIES));
        let mut series = self.series.into_iter();
        loop {
            let mut page = Vec::with_capacity(PAGE_SERIES);
            page.extend(series.by_ref().take(PAGE_SERIES));
            if page.is_empty() {
                break;
            }
            pages.push(Arc::new(Mutex::new(page)));
        }
        let head = Head {
            index: RwLock::new(self.index),
            pages: RwLock::new(pages),
            chunks: self.chunks,
            wal: Mutex::new(wal),
            wal_dir,
            unsynced: Mutex::default(),
            aliases: Mutex::new(self.aliases),
            next_id: AtomicU64::new(self.id_max.saturating_add(1)),
            mint: AtomicI64::new(self.mint),
            maxt: AtomicI64::new(self.maxt),
            valid_from: AtomicI64::new(i64::MIN),
            buffers: Mutex::default(),
            metrics,
        };
        (head, self.report)
    }
}
