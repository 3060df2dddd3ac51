//! What an operator may ask for: deletion by matchers, rewriting what was deleted in, and snapshots.

use std::io;
use std::path::Path;

use model::Matcher;

use super::compact::{CompactError, new_ulid, randomness};
use super::{Db, Inner};
use crate::block::ChangeBlockError;
use crate::block::meta::BlockMeta;
use crate::block::write::write_block;
use crate::files::Files;

/// Snapshots are directories in this one.
const SNAPSHOTS_DIR: &str = "snapshots";

/// The name of a snapshot: its directory below `snapshots/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotName(pub String);

/// Why an operator's request failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The head's log or a file could not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A block could not be changed.
    #[error(transparent)]
    Block(#[from] ChangeBlockError),
    /// A block could not be rewritten.
    #[error("{0}")]
    Rewrite(String),
}

impl From<CompactError> for AdminError {
    fn from(error: CompactError) -> Self {
        AdminError::Rewrite(error.to_string())
    }
}

impl Db {
    /// Deletes the samples in `mint..=maxt` of the series that pass every matcher. They are hidden at once, and leave the
    /// disk with the next compaction or [`clean_tombstones`](Db::clean_tombstones).
    ///
    /// # Errors
    ///
    /// When that cannot be written; part of it may be deleted then.
    pub fn delete(&self, mint: i64, maxt: i64, matchers: &[Matcher]) -> Result<(), AdminError> {
        let _changing = self.inner.changing_blocks.lock();
        for block in &self.inner.blocks.set().blocks {
            if block.meta().overlaps(mint, maxt) {
                block.delete(mint, maxt, matchers)?;
            }
        }
        self.inner.head.delete(mint, maxt, matchers)?;
        Ok(())
    }

    /// Rewrites the blocks that something is deleted of.
    ///
    /// # Errors
    ///
    /// When a block cannot be rewritten; it stays as it is.
    pub fn clean_tombstones(&self) -> Result<(), AdminError> {
        let inner = &self.inner;
        let _changing = inner.changing_blocks.lock();
        for block in &inner.blocks.set().blocks {
            if !block.tombstones().is_empty() {
                inner.merge(&[block.dir().to_owned()])?;
            }
        }
        Ok(())
    }

    /// Makes a copy of the database in a new directory below `snapshots/`: blocks as hard links, and, unless told not to,
    /// the head as a block.
    ///
    /// # Errors
    ///
    /// When the file system fails; what was made of it is removed.
    pub fn snapshot(&self, skip_head: bool) -> Result<SnapshotName, AdminError> {
        let inner = &self.inner;
        let _changing = inner.changing_blocks.lock();
        let ulid = new_ulid();
        let name = format!(
            "{}-{:016x}",
            timestamp(ulid.ms()),
            u64::try_from(randomness() >> 64).unwrap_or_default()
        );
        let dir = inner.dir.join(SNAPSHOTS_DIR).join(&name);
        let made = inner.snapshot_to(&dir, skip_head);
        if made.is_err() && inner.files.exists(&dir) {
            // The error that matters is the first.
            let _ = inner.files.remove_dir_all(&dir);
        }
        made.map(|()| SnapshotName(name))
    }
}

impl Inner {
    fn snapshot_to(&self, dir: &Path, skip_head: bool) -> Result<(), AdminError> {
        let files = &*self.files;
        files.create_dir_all(dir)?;
        for block in &self.blocks.set().blocks {
            let name = block.meta().ulid.to_string();
            link_tree(files, block.dir(), &dir.join(name))?;
        }
        if skip_head {
            return Ok(files.sync_dir(dir)?);
        }
        if let Some((mint, maxt)) = self.head.time_range() {
            let from = mint.max(self.blocks.set().head_from);
            let mut source = self.head.in_order_source(from, maxt);
            let meta = BlockMeta::new(new_ulid(), from, maxt.saturating_add(1));
            write_block(files, dir, &mut source, meta, self.write_options())
                .map_err(CompactError::from)?;
        }
        if self.head.late_range().is_some() {
            let mark = self.head.begin_late_compaction()?;
            if let Some((mint, maxt)) = self.head.late_chunk_range(mark.end) {
                let mut source = self.head.late_source(mark.end, mint, maxt);
                let meta = BlockMeta::new(new_ulid(), mint, maxt.saturating_add(1));
                write_block(files, dir, &mut source, meta, self.write_options())
                    .map_err(CompactError::from)?;
            }
        }
        Ok(files.sync_dir(dir)?)
    }
}

/// Makes a directory with the same content as `from`, whose files are the same files.
fn link_tree(files: &dyn Files, from: &Path, to: &Path) -> io::Result<()> {
    files.create_dir_all(to)?;
    for entry in files.list(from)? {
        let (from, to) = (from.join(&entry.name), to.join(&entry.name));
        match entry.is_dir {
            true => link_tree(files, &from, &to)?,
            // Meta and tombstones are replaced, never changed in place, so a link is a copy.
            false => files.hard_link(&from, &to)?,
        }
    }
    files.sync_dir(to)
}

/// Returns a time as Prometheus names snapshots: `20060102T150405Z`, in UTC; the milliseconds after the year 9999.
fn timestamp(ms: u64) -> String {
    let time = i64::try_from(ms).map(jiff::Timestamp::from_millisecond);
    match time {
        Ok(Ok(time)) => time.strftime("%Y%m%dT%H%M%SZ").to_string(),
        _ => ms.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_named_after_their_time() {
        assert_eq!(timestamp(0), "19700101T000000Z");
        assert_eq!(timestamp(951_782_399_000), "20000228T235959Z");
        assert_eq!(timestamp(951_782_400_000), "20000229T000000Z");
        assert_eq!(timestamp(1_512_940_944_000), "20171210T212224Z");
    }
}
