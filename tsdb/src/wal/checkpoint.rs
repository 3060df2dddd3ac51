//! Checkpoints: what is still needed of old segments, in a directory of segments of its own.
//!
//! A checkpoint is written beside the log as `checkpoint.NNNNNNNN.tmp`, fsynced and renamed; only then are the segments
//! that it stands for deleted. A crash at any point leaves either the old log or the new one, whole.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::record::{self, RecordKind, RecordSample};
use super::segment::{self, SEGMENT_BYTES, SegmentError, SegmentReader, SegmentWriter};

const PREFIX: &str = "checkpoint.";

/// Returns the newest checkpoint in `dir`: the number of the last segment that it stands for, and its path.
///
/// # Errors
///
/// When the directory cannot be listed.
pub fn latest(dir: &Path) -> io::Result<Option<(u32, PathBuf)>> {
    Ok(list(dir)?.into_iter().max())
}

fn list(dir: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .and_then(|n| n.parse().ok());
        found.extend(number.map(|number| (number, entry.path())));
    }
    Ok(found)
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
    pub fn create(dir: &Path, last: u32) -> io::Result<Self> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if name
                .to_str()
                .is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(".tmp"))
            {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let tmp = dir.join(format!("{PREFIX}{last:08}.tmp"));
        fs::create_dir(&tmp)?;
        let writer = SegmentWriter::create(&tmp, 0, SEGMENT_BYTES)?;
        Ok(CheckpointWriter {
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

    /// Adds the samples of the checkpoint before and of the segments up to the last that `keep` says yes to by id and
    /// time. What cannot be read is left out, as a replay would.
    ///
    /// # Errors
    ///
    /// When the file system fails.
    pub fn copy_samples(&mut self, dir: &Path, keep: impl Fn(u64, i64) -> bool) -> io::Result<()> {
        let before = latest(dir)?;
        let first = before.as_ref().map_or(0, |(number, _)| number + 1);
        let mut sources = Vec::new();
        if let Some((_, path)) = before {
            sources.extend(
                segment::list(&path)?
                    .into_iter()
                    .map(|s| segment::path(&path, s)),
            );
        }
        let segments = segment::list(dir)?
            .into_iter()
            .filter(|&s| first <= s && s <= self.last);
        sources.extend(segments.map(|s| segment::path(dir, s)));
        let (mut kept, mut out) = (Vec::<RecordSample>::new(), Vec::new());
        for source in sources {
            let mut reader = SegmentReader::open(source).map_err(into_io)?;
            loop {
                let bytes = match reader.next() {
                    Ok(Some(bytes)) => bytes,
                    Ok(None) | Err(SegmentError::Corrupt { .. }) => break,
                    Err(error) => return Err(into_io(error)),
                };
                match record::kind(bytes) {
                    RecordKind::Samples => {}
                    RecordKind::Series => continue,
                    // What this build does not read is kept for the one that does.
                    _ => {
                        self.append(bytes)?;
                        continue;
                    }
                }
                kept.clear();
                let _ =
                    record::decode_samples(bytes, |s| kept.extend(keep(s.id, s.t).then_some(s)));
                out.clear();
                record::encode_samples(&mut out, kept.iter().copied());
                self.append(&out)?;
            }
        }
        Ok(())
    }

    /// Puts the checkpoint in place, then deletes the segments that it stands for and older checkpoints.
    ///
    /// # Errors
    ///
    /// When the file system fails.
    pub fn finish(mut self) -> io::Result<()> {
        for file in self
            .writer
            .take_full()
            .into_iter()
            .chain([self.writer.current()?])
        {
            file.sync_all()?;
        }
        File::open(&self.tmp)?.sync_all()?;
        let place = self.dir.join(format!("{PREFIX}{:08}", self.last));
        fs::rename(&self.tmp, &place)?;
        File::open(&self.dir)?.sync_all()?;
        clean(&self.dir)
    }
}

/// Deletes the segments that the newest checkpoint stands for, and older checkpoints: what a stop between writing a
/// checkpoint and this leaves behind.
///
/// # Errors
///
/// When the file system fails.
pub fn clean(dir: &Path) -> io::Result<()> {
    let Some((last, _)) = latest(dir)? else {
        return Ok(());
    };
    for segment in segment::list(dir)?.into_iter().filter(|&s| s <= last) {
        fs::remove_file(segment::path(dir, segment))?;
    }
    for (_, older) in list(dir)?.into_iter().filter(|(number, _)| *number < last) {
        fs::remove_dir_all(older)?;
    }
    Ok(())
}

fn into_io(error: SegmentError) -> io::Error {
    match error {
        SegmentError::Io { source, .. } => source,
        corrupt @ SegmentError::Corrupt { .. } => io::Error::other(corrupt),
    }
}
