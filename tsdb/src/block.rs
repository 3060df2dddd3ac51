//! Blocks: immutable directories of samples over one time range, in Prometheus' format.
//!
//! ```text
//! <ULID>/meta.json      what it is              meta
//!        index          labels to series        index
//!        chunks/000001  samples                 chunks
//!        tombstones     what of it is deleted   crate::tombstones
//! ```
//!
//! # Invariants
//!
//! 1. A directory without suffix is whole: it got its name after everything in it was durable.
//! 2. Index and chunks never change; `meta.json` and `tombstones` are replaced as a whole.
//! 3. The series ascend by labels, the chunks of a series ascend in time and do not overlap.
//!
//! # Locks
//!
//! A block is shared as `Arc<Block>`. Readers take none; `changing` serializes the writes of meta file and tombstones.

pub mod chunks;
pub mod index;
pub mod meta;
mod read;
pub mod repair;
pub mod select;
pub mod write;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use model::Matcher;
use model::storage::ReadError;
use parking_lot::Mutex;

use crate::files::Files;
use crate::tombstones::{Interval, ReadTombstonesError, TOMBSTONES_FILE, Tombstones};
use chunks::{CHUNKS_DIR, ChunkReader};
use index::INDEX_FILE;
use index::read::{IndexReader, SeriesEntry};
use meta::BlockMeta;

pub use read::{BlockQuerier, BlockSeriesSet};

/// An open block.
pub struct Block {
    files: Arc<dyn Files>,
    dir: PathBuf,
    meta: ArcSwap<BlockMeta>,
    index: IndexReader,
    chunks: ChunkReader,
    tombstones: ArcSwap<Tombstones>,
    changing: Mutex<()>,
}

/// Why a block could not be changed; it is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum ChangeBlockError {
    /// What is to be changed could not be found.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file system failed.
    #[error("write to block {}", .dir.display())]
    Io {
        /// The block's directory.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Block {
    /// Opens the block in `dir`; repairs first what early writers got wrong.
    ///
    /// # Errors
    ///
    /// When the file system fails, bytes are wrong, or a newer build wrote it. Checksums of chunks, series and postings
    /// are verified when they are read.
    pub fn open(files: Arc<dyn Files>, dir: &Path) -> Result<Self, OpenBlockError> {
        if repair::repair_index_version(&*files, dir)? {
            tracing::warn!(block = %dir.display(), "moved a misplaced index version");
        }
        let meta = BlockMeta::read(&*files, dir)?;
        let chunks = ChunkReader::open(&files, &dir.join(CHUNKS_DIR))?;
        let index = IndexReader::open(&*files, &dir.join(INDEX_FILE))?;
        let tombstones = read_tombstones(&*files, dir)?;
        Ok(Block {
            files,
            dir: dir.to_owned(),
            meta: ArcSwap::from_pointee(meta),
            index,
            chunks,
            tombstones: ArcSwap::from_pointee(tombstones),
            changing: Mutex::new(()),
        })
    }

    /// Returns the block's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns what the block is.
    pub fn meta(&self) -> Arc<BlockMeta> {
        self.meta.load_full()
    }

    /// Returns the index.
    pub fn index(&self) -> &IndexReader {
        &self.index
    }

    /// Returns the chunks.
    pub fn chunks(&self) -> &ChunkReader {
        &self.chunks
    }

    /// Returns what is deleted, as it is now.
    pub fn tombstones(&self) -> Arc<Tombstones> {
        self.tombstones.load_full()
    }

    /// Says so when tombstones are gone that the meta file counts: what was deleted is served again then. They do not keep
    /// the block from being served, because uploaders leave the file out.
    pub fn lost_tombstones(&self) -> Option<String> {
        let (there, counted) = (
            self.tombstones().len() as u64,
            self.meta().stats.num_tombstones,
        );
        (there < counted).then(|| {
            let path = self.dir.join(TOMBSTONES_FILE);
            let what = "has fewer deleted intervals than meta.json counts; what they deleted is served again";
            format!("{}: {what} ({there} of {counted})", path.display())
        })
    }

    /// Returns the bytes of index and chunk files.
    pub fn file_bytes(&self) -> u64 {
        let chunks = self.chunks.segments().map(|(_, bytes)| bytes.len() as u64);
        self.index.file_bytes() + chunks.sum::<u64>()
    }

    /// Deletes the samples in `mint..=maxt` of the series that pass every matcher: writes tombstones.
    ///
    /// # Errors
    ///
    /// When the series cannot be read or the tombstones not be written.
    pub fn delete(
        &self,
        mint: i64,
        maxt: i64,
        matchers: &[Matcher],
    ) -> Result<(), ChangeBlockError> {
        let selected = select::select(&self.index, matchers)?;
        let _changing = self.changing.lock();
        let mut tombstones = Tombstones::clone(&self.tombstones());
        let mut entry = SeriesEntry::default();
        for series in selected {
            self.index.series(series, &mut entry)?;
            let (Some(first), Some(last)) = (entry.chunks.first(), entry.chunks.last()) else {
                continue;
            };
            let interval = Interval {
                mint: mint.max(first.mint),
                maxt: maxt.min(last.maxt),
            };
            tombstones.add(u64::from(series), interval);
        }
        let mut meta = BlockMeta::clone(&self.meta());
        meta.stats.num_tombstones = tombstones.len() as u64;
        let io_error = |source| self.change_failed(source);
        tombstones
            .write(&*self.files, &self.dir)
            .map_err(io_error)?;
        self.tombstones.store(Arc::new(tombstones));
        self.write_meta(meta)
    }

    /// Changes what the meta file says of how the block came to be and what may be done with it.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn change_compaction(
        &self,
        change: impl FnOnce(&mut meta::Compaction),
    ) -> Result<(), ChangeBlockError> {
        let _changing = self.changing.lock();
        let mut meta = BlockMeta::clone(&self.meta());
        change(&mut meta.compaction);
        self.write_meta(meta)
    }

    fn write_meta(&self, meta: BlockMeta) -> Result<(), ChangeBlockError> {
        meta.write(&*self.files, &self.dir)
            .map_err(|source| self.change_failed(source))?;
        self.meta.store(Arc::new(meta));
        Ok(())
    }

    fn change_failed(&self, source: io::Error) -> ChangeBlockError {
        let dir = self.dir.clone();
        ChangeBlockError::Io { dir, source }
    }
}

fn read_tombstones(files: &dyn Files, dir: &Path) -> Result<Tombstones, OpenBlockError> {
    Tombstones::read(files, dir).map_err(|error| {
        let path = dir.join(TOMBSTONES_FILE);
        match error {
            ReadTombstonesError::Io(source) => OpenBlockError::Io { path, source },
            ReadTombstonesError::Corrupt(what) => OpenBlockError::Corrupt {
                path,
                offset: 0,
                what,
            },
        }
    })
}

/// Why a block could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenBlockError {
    /// The file system failed; trying again may help.
    #[error("read {}", .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The meta file is not what it should be; the block is set aside and the rest stays usable.
    #[error("parse {}", .path.display())]
    Meta {
        /// Which file.
        path: PathBuf,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// The bytes are wrong; the block is set aside and the rest stays usable.
    #[error("corrupt {}: {what} at byte {offset}", .path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What was found.
        what: &'static str,
    },
    /// Another build wrote it; the operator must upgrade or remove it.
    #[error("{} has version {found}, which this build does not read", .path.display())]
    Version {
        /// Which file.
        path: PathBuf,
        /// The version in it.
        found: u32,
    },
}

/// Where a file is wrong, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Damage {
    offset: u64,
    what: &'static str,
}

impl Damage {
    fn new(offset: usize, what: &'static str) -> Self {
        let offset = offset as u64;
        Damage { offset, what }
    }

    fn at_open(self, path: &Path) -> OpenBlockError {
        OpenBlockError::Corrupt {
            path: path.to_owned(),
            offset: self.offset,
            what: self.what,
        }
    }

    fn at_read(self, path: &Path) -> ReadError {
        ReadError::Corrupt {
            path: path.to_owned(),
            what: format!("{} at byte {}", self.what, self.offset),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
