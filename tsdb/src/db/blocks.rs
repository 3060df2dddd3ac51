//! The blocks of the data directory: found, opened, replaced and dropped while queries go on.
//!
//! The set in force is one immutable value behind a pointer. Whoever reads takes it once; a block that leaves the set
//! stays readable for those that have it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use hashbrown::HashMap;

use crate::block::meta::BlockMeta;
use crate::block::{Block, OpenBlockError};
use crate::compact::plan::superseded;
use crate::files::Files;
use crate::ulid::Ulid;

/// Ends the name of a block that is being written.
pub const TMP_FOR_CREATION: &str = ".tmp-for-creation";
/// Ends the name of a block that is being deleted.
pub const TMP_FOR_DELETION: &str = ".tmp-for-deletion";

/// The blocks in force.
#[derive(Default)]
pub struct BlockSet {
    /// Ascending by their earliest time.
    pub blocks: Vec<Arc<Block>>,
    /// In-order samples of the head count from here on; what is before is in blocks. `i64::MIN` without blocks.
    pub head_from: i64,
    /// Whether no two blocks overlap.
    pub is_sequential: bool,
}

impl BlockSet {
    fn of(mut blocks: Vec<Arc<Block>>, head_from: i64) -> Self {
        blocks.sort_by_key(|block| {
            let meta = block.meta();
            (meta.min_time, meta.max_time, meta.ulid)
        });
        let is_sequential = blocks
            .windows(2)
            .all(|pair| pair[0].meta().max_time <= pair[1].meta().min_time);
        BlockSet {
            blocks,
            head_from,
            is_sequential,
        }
    }

    /// Returns what the blocks are, ascending by time.
    pub fn metas(&self) -> Vec<Arc<BlockMeta>> {
        self.blocks.iter().map(|block| block.meta()).collect()
    }

    /// Returns the bytes of all blocks.
    pub fn file_bytes(&self) -> u64 {
        self.blocks.iter().map(|block| block.file_bytes()).sum()
    }

    /// Returns the time where the last block ends, of whatever kind.
    pub fn end(&self) -> Option<i64> {
        self.blocks.iter().map(|block| block.meta().max_time).max()
    }
}

/// The blocks of one directory.
pub struct Blocks {
    files: Arc<dyn Files>,
    dir: PathBuf,
    set: ArcSwap<BlockSet>,
}

/// What a look at the directory found.
#[derive(Debug, Default)]
pub struct ReloadReport {
    /// Blocks that could not be opened, and why. They stay on disk and are tried again.
    pub failed: Vec<(PathBuf, OpenBlockError)>,
    /// One sentence for each thing that is wrong with a block that was opened all the same.
    pub damages: Vec<String>,
}

impl Blocks {
    /// Removes what an interrupted write or deletion left behind, and opens the blocks.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read. A block that cannot be opened is no error; see the report.
    pub fn open(files: Arc<dyn Files>, dir: &Path) -> io::Result<(Self, ReloadReport)> {
        for entry in files.list(dir)? {
            let is_leftover = [TMP_FOR_CREATION, TMP_FOR_DELETION, ".tmp"]
                .iter()
                .any(|end| entry.name.strip_suffix(end).is_some_and(is_block_name));
            if is_leftover && entry.is_dir {
                files.remove_dir_all(&dir.join(&entry.name))?;
            }
        }
        let blocks = Blocks {
            files,
            dir: dir.to_owned(),
            set: ArcSwap::from_pointee(BlockSet::of(Vec::new(), i64::MIN)),
        };
        let report = blocks.reload()?;
        // Blocks of late samples, or of some series only, may be ahead of those that were cut off the head.
        let metas = blocks.set().metas().into_iter();
        let in_order = metas.filter(|meta| meta.compaction.is_cut_off_head());
        if let Some(end) = in_order.map(|meta| meta.max_time).max() {
            blocks.advance_head(end);
        }
        Ok((blocks, report))
    }

    /// Returns the blocks in force.
    pub fn set(&self) -> Arc<BlockSet> {
        self.set.load_full()
    }

    /// Looks at the directory again: new blocks are opened, those that are gone are forgotten, and those whose samples
    /// are in another by now (its parents, and what is marked deletable) are deleted. Changes to the set come from one
    /// thread at a time.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn reload(&self) -> io::Result<ReloadReport> {
        let before = self.set();
        let open: HashMap<Ulid, &Arc<Block>> = before
            .blocks
            .iter()
            .map(|block| (block.meta().ulid, block))
            .collect();
        let mut report = ReloadReport::default();
        let mut blocks = Vec::new();
        for entry in self.files.list(&self.dir)? {
            if !entry.is_dir || !is_block_name(&entry.name) {
                continue;
            }
            let known = entry
                .name
                .parse()
                .ok()
                .and_then(|ulid: Ulid| open.get(&ulid).copied());
            if let Some(block) = known {
                blocks.push(Arc::clone(block));
                continue;
            }
            let path = self.dir.join(&entry.name);
            match Block::open(Arc::clone(&self.files), &path) {
                Ok(block) => {
                    report.damages.extend(block.lost_tombstones());
                    blocks.push(Arc::new(block));
                }
                Err(error) => report.failed.push((path, error)),
            }
        }
        let metas: Vec<BlockMeta> = blocks.iter().map(|b| BlockMeta::clone(&b.meta())).collect();
        let superseded = superseded(&metas);
        let (gone, kept): (Vec<_>, Vec<_>) = blocks
            .into_iter()
            .partition(|block| superseded.contains(&block.meta().ulid));
        self.set
            .store(Arc::new(BlockSet::of(kept, before.head_from)));
        for block in gone {
            self.delete(&block)?;
        }
        Ok(report)
    }

    /// Takes a new block into force; in-order samples of the head count from `head_from` on.
    pub fn add(&self, block: Block, head_from: i64) {
        let before = self.set();
        let mut blocks = before.blocks.clone();
        blocks.push(Arc::new(block));
        let head_from = before.head_from.max(head_from);
        self.set.store(Arc::new(BlockSet::of(blocks, head_from)));
    }

    /// Says that in-order samples of the head count from `head_from` on, without a new block.
    pub fn advance_head(&self, head_from: i64) {
        let before = self.set();
        let head_from = before.head_from.max(head_from);
        self.set
            .store(Arc::new(BlockSet::of(before.blocks.clone(), head_from)));
    }

    /// Takes blocks out of force and deletes them.
    ///
    /// # Errors
    ///
    /// When the file system fails; what is left of a block is deleted at the next start.
    pub fn remove(&self, drop: impl Fn(&BlockMeta) -> bool) -> io::Result<usize> {
        let before = self.set();
        let blocks = before.blocks.iter().cloned();
        let (gone, kept): (Vec<_>, Vec<_>) = blocks.partition(|block| drop(&block.meta()));
        if gone.is_empty() {
            return Ok(0);
        }
        self.set
            .store(Arc::new(BlockSet::of(kept, before.head_from)));
        for block in &gone {
            self.delete(block)?;
        }
        Ok(gone.len())
    }

    /// Deletes a block's files. It gets another name first, so that a crash leaves no half of it.
    fn delete(&self, block: &Block) -> io::Result<()> {
        let mut aside = block.dir().as_os_str().to_owned();
        aside.push(TMP_FOR_DELETION);
        let aside = PathBuf::from(aside);
        self.files.rename(block.dir(), &aside)?;
        self.files.sync_dir(&self.dir)?;
        self.files.remove_dir_all(&aside)
    }
}

fn is_block_name(name: &str) -> bool {
    name.parse::<Ulid>().is_ok()
}
