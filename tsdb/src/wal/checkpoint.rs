//! Checkpoints: what is still needed of old segments, in a directory of segments of its own.
//!
//! A checkpoint is written beside the log as `checkpoint.NNNNNNNN.tmp`, fsynced and renamed; only then are the segments
//! that it stands for deleted. A crash at any point leaves either the old log or the new one, whole.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::metadata::Metadata;

use super::record::{
    self, RecordBuckets, RecordError, RecordExemplar, RecordHistogram, RecordKind, RecordMetadata,
    RecordSample, RecordTombstone,
};
use super::segment::{self, SegmentError, SegmentOptions, SegmentReader, SegmentWriter, TORN};
use crate::files::Files;

const PREFIX: &str = "checkpoint.";

/// Returns the newest checkpoint in `dir`: the number of the last segment that it stands for, and its path.
///
/// # Errors
///
/// When the directory cannot be listed.
pub fn latest(files: &dyn Files, dir: &Path) -> io::Result<Option<(u32, PathBuf)>> {
    Ok(list(files, dir)?.into_iter().max())
}

fn list(files: &dyn Files, dir: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let number = |name: &str| name.strip_prefix(PREFIX).and_then(|n| n.parse().ok());
    let entries = files.list(dir)?.into_iter();
    Ok(entries
        .filter(|entry| entry.is_dir)
        .filter_map(|entry| Some((number(&entry.name)?, dir.join(&entry.name))))
        .collect())
}

/// Returns a record of series.
pub fn series_record<'a, L>(series: impl Iterator<Item = (u64, L)>) -> Vec<u8>
where
    L: ExactSizeIterator<Item = (&'a str, &'a str)>,
{
    let mut out = Vec::new();
    record::begin_series(&mut out);
    for (id, labels) in series {
        record::encode_series(&mut out, id, labels);
    }
    out
}

/// A checkpoint being written. Dropped before [`finish`](CheckpointWriter::finish), it leaves only a `.tmp` directory,
/// which the next one removes.
pub struct CheckpointWriter {
    files: Arc<dyn Files>,
    dir: PathBuf,
    tmp: PathBuf,
    last: u32,
    writer: SegmentWriter,
}

impl CheckpointWriter {
    /// Begins a checkpoint of the log in `dir` up to segment `last`.
    ///
    /// # Errors
    ///
    /// When the file system fails.
    pub fn create(
        files: Arc<dyn Files>,
        dir: &Path,
        last: u32,
        options: SegmentOptions,
    ) -> io::Result<Self> {
        for entry in files.list(dir)? {
            if entry.name.starts_with(PREFIX) && entry.name.ends_with(".tmp") {
                files.remove_dir_all(&dir.join(entry.name))?;
            }
        }
        let tmp = dir.join(format!("{PREFIX}{last:08}.tmp"));
        files.create_dir_all(&tmp)?;
        let writer = SegmentWriter::create(Arc::clone(&files), &tmp, 0, options)?;
        Ok(CheckpointWriter {
            files,
            dir: dir.to_owned(),
            tmp,
            last,
            writer,
        })
    }

    /// Adds a record.
    ///
    /// # Errors
    ///
    /// When the file system fails.
    pub fn append(&mut self, record: &[u8]) -> io::Result<()> {
        self.writer.append(record)
    }

    /// Adds what `keep` says yes to of the checkpoint before and of the segments up to the last; labels are left to the
    /// caller.
    ///
    /// # Errors
    ///
    /// When the file system fails, or a segment is damaged: then nothing is deleted, and the next start sets it aside.
    pub fn copy(&mut self, keep: &Keep<'_>) -> io::Result<()> {
        let files = Arc::clone(&self.files);
        let mut copier = Copier {
            keep,
            metadata: BTreeMap::new(),
            out: Vec::new(),
        };
        for source in self.sources()? {
            let mut reader = SegmentReader::open(&*files, source).map_err(into_io)?;
            loop {
                let bytes = match reader.next() {
                    Ok(Some(bytes)) => bytes,
                    Ok(None) => break,
                    // A write that failed and could not be undone: what it was for was never acknowledged.
                    Err(SegmentError::Corrupt { what, .. }) if what == TORN => break,
                    Err(error) => return Err(into_io(error)),
                };
                copier.out.clear();
                copier.copy(bytes);
                self.append(&copier.out)?;
            }
        }
        for (id, metadata) in &copier.metadata {
            copier.out.clear();
            let item = RecordMetadata {
                id: *id,
                kind: metadata.kind,
                unit: &metadata.unit,
                help: &metadata.help,
            };
            record::encode_metadata(&mut copier.out, [item]);
            self.append(&copier.out)?;
        }
        Ok(())
    }

    /// Returns the segments that the checkpoint stands for, those of the checkpoint before included.
    fn sources(&self) -> io::Result<Vec<PathBuf>> {
        let before = latest(&*self.files, &self.dir)?;
        let first = before.as_ref().map_or(0, |(number, _)| number + 1);
        let mut sources = Vec::new();
        if let Some((_, path)) = before {
            let segments = segment::list(&*self.files, &path)?.into_iter();
            sources.extend(segments.map(|s| segment::path(&path, s)));
        }
        let segments = segment::list(&*self.files, &self.dir)?.into_iter();
        let segments = segments.filter(|&s| first <= s && s <= self.last);
        sources.extend(segments.map(|s| segment::path(&self.dir, s)));
        Ok(sources)
    }

    /// Puts the checkpoint in place, then deletes the segments that it stands for and older checkpoints.
    ///
    /// # Errors
    ///
    /// When the file system fails.
    pub fn finish(mut self) -> io::Result<()> {
        for file in self.writer.take_full() {
            file.sync()?;
        }
        self.writer.current().sync()?;
        self.files.sync_dir(&self.tmp)?;
        let place = self.dir.join(format!("{PREFIX}{:08}", self.last));
        self.files.rename(&self.tmp, &place)?;
        self.files.sync_dir(&self.dir)?;
        clean(&*self.files, &self.dir)
    }
}

/// Deletes the segments that the newest checkpoint stands for, and older checkpoints: what a stop between writing a
/// checkpoint and this leaves behind.
///
/// # Errors
///
/// When the file system fails.
pub fn clean(files: &dyn Files, dir: &Path) -> io::Result<()> {
    let Some((last, _)) = latest(files, dir)? else {
        return Ok(());
    };
    for segment in segment::list(files, dir)?
        .into_iter()
        .filter(|&s| s <= last)
    {
        files.remove_file(&segment::path(dir, segment))?;
    }
    let all = list(files, dir)?.into_iter();
    for (_, older) in all.filter(|(number, _)| *number < last) {
        files.remove_dir_all(&older)?;
    }
    Ok(())
}

/// What a checkpoint keeps, by id.
pub struct Keep<'a> {
    /// Whether the sample of a series at a time is still needed.
    pub sample: &'a dyn Fn(u64, i64) -> bool,
    /// Whether the series is still there.
    pub series: &'a dyn Fn(u64) -> bool,
    /// What ends before this is in blocks: deleted intervals and exemplars.
    pub from: i64,
}

/// Copies records into a checkpoint.
struct Copier<'a> {
    keep: &'a Keep<'a>,
    /// The newest of each series.
    metadata: BTreeMap<u64, Metadata>,
    out: Vec<u8>,
}

impl Copier<'_> {
    /// Writes what is kept of a record to `out`. The record's checksum was right: one that does not decode is a writer's
    /// mistake, of which the items before it are kept.
    fn copy(&mut self, bytes: &[u8]) {
        let _ = match record::kind(bytes) {
            RecordKind::Samples | RecordKind::SamplesV2 => self.copy_samples(bytes),
            RecordKind::Histograms | RecordKind::CustomHistograms | RecordKind::HistogramsV2 => {
                self.copy_histograms(bytes)
            }
            RecordKind::FloatHistograms
            | RecordKind::CustomFloatHistograms
            | RecordKind::FloatHistogramsV2 => self.copy_float_histograms(bytes),
            RecordKind::Tombstones => self.copy_tombstones(bytes),
            RecordKind::Exemplars => self.copy_exemplars(bytes),
            RecordKind::Metadata => self.collect_metadata(bytes),
            // Labels are written by the caller; markers belong to the other log; what no build of today knows is left
            // out, as Prometheus does.
            RecordKind::Series | RecordKind::MapMarkers | RecordKind::Other(_) => Ok(()),
        };
    }

    fn copy_samples(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        let mut kept: Vec<(i64, RecordSample)> = Vec::new();
        let read = record::decode_samples_since(bytes, |start, s| {
            kept.extend((self.keep.sample)(s.id, s.t).then_some((start, s)));
        });
        record::encode_samples_since(&mut self.out, kept);
        read
    }

    fn copy_histograms(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        let mut kept = Vec::new();
        let read = record::decode_histograms(bytes, |s| {
            kept.extend((self.keep.sample)(s.id, s.t).then_some(s));
        });
        let items = kept.iter().map(RecordHistogram::by_ref);
        if record::kind(bytes) == RecordKind::HistogramsV2 {
            record::encode_histograms_since(&mut self.out, items);
        } else if let Some(first) = kept.first() {
            // One record of the first version has one kind of buckets.
            let buckets = RecordBuckets::of(first.histogram.schema);
            record::encode_histograms(&mut self.out, buckets, items);
        }
        read
    }

    fn copy_float_histograms(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        let mut kept = Vec::new();
        let read = record::decode_float_histograms(bytes, |s| {
            kept.extend((self.keep.sample)(s.id, s.t).then_some(s));
        });
        let items = kept.iter().map(RecordHistogram::by_ref);
        if record::kind(bytes) == RecordKind::FloatHistogramsV2 {
            record::encode_float_histograms_since(&mut self.out, items);
        } else if let Some(first) = kept.first() {
            let buckets = RecordBuckets::of(first.histogram.schema);
            record::encode_float_histograms(&mut self.out, buckets, items);
        }
        read
    }

    fn copy_tombstones(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        let mut kept: Vec<RecordTombstone> = Vec::new();
        let read = record::decode_tombstones(bytes, |t| {
            // That a series has left is of use as long as its samples are in the log.
            let is_of_use = t.mint == i64::MIN || (self.keep.series)(t.id);
            kept.extend((is_of_use && self.keep.from <= t.maxt).then_some(t));
        });
        if !kept.is_empty() {
            record::encode_tombstones(&mut self.out, kept);
        }
        read
    }

    fn copy_exemplars(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        let mut kept: Vec<(RecordExemplar, Vec<(&str, &str)>)> = Vec::new();
        let read = record::decode_exemplars(bytes, |exemplar, labels| {
            if (self.keep.series)(exemplar.id) && self.keep.from <= exemplar.t {
                kept.push((exemplar, labels.to_vec()));
            }
        });
        let items = kept.into_iter().map(|(e, labels)| (e, labels.into_iter()));
        record::encode_exemplars(&mut self.out, items);
        read
    }

    fn collect_metadata(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        record::decode_metadata(bytes, |item| {
            if (self.keep.series)(item.id) {
                let newest = Metadata {
                    kind: item.kind,
                    unit: item.unit.to_owned(),
                    help: item.help.to_owned(),
                };
                self.metadata.insert(item.id, newest);
            }
        })
    }
}

fn into_io(error: SegmentError) -> io::Error {
    match error {
        SegmentError::Io { source, .. } => source,
        corrupt @ SegmentError::Corrupt { .. } => io::Error::other(corrupt),
    }
}
