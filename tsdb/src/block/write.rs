//! Writing a block: a source goes in, a whole directory comes out or nothing.

use std::io;
use std::path::{Path, PathBuf};

use model::storage::ReadError;

use super::chunks::{CHUNKS_DIR, ChunkWriter};
use super::index::INDEX_FILE;
use super::index::write::{ChunkMeta, SymbolWriter, WriteIndexError};
use super::meta::{BlockMeta, BlockStats, block_dir};
use crate::compact::encode;
use crate::compact::source::{SeriesSource, SourceChunk};
use crate::files::Files;
use crate::tombstones::Tombstones;

/// What the directory's name ends in while it is written. A directory of such a name is deleted at start.
pub const TMP_SUFFIX: &str = ".tmp-for-creation";

/// How a block is written.
#[derive(Clone, Copy, Debug)]
pub struct WriteBlockOptions {
    /// How long a chunk file gets at most, see [`super::chunks::SEGMENT_BYTES`].
    pub segment_bytes: u64,
}

/// Why a block could not be written. Nothing is left of it, unless the file system fails at that too.
#[derive(Debug, thiserror::Error)]
pub enum WriteBlockError {
    /// The source could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The index could not be written.
    #[error(transparent)]
    Index(#[from] WriteIndexError),
    /// The file system failed.
    #[error("write {}", .path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Writes all that is in `source` as the block `meta` into `data_dir` and returns the meta with its statistics; `None`
/// when there is no sample, and then no block.
///
/// The block is built under a temporary name, and gets its own after all of it is durable; that is durable on return.
///
/// * `meta`: its statistics do not matter. All samples must be in its time range.
///
/// # Errors
///
/// When the source cannot be read or the block not be written.
pub fn write_block(
    files: &dyn Files,
    data_dir: &Path,
    source: &mut dyn SeriesSource,
    meta: BlockMeta,
    options: WriteBlockOptions,
) -> Result<Option<BlockMeta>, WriteBlockError> {
    let dir = block_dir(data_dir, meta.ulid);
    let tmp = data_dir.join(format!("{}{TMP_SUFFIX}", meta.ulid));
    let written = write_in(files, &tmp, source, meta, options).and_then(|meta| {
        if meta.stats.num_samples == 0 {
            return Ok(None);
        }
        files.rename(&tmp, &dir).map_err(at(&dir))?;
        files.sync_dir(data_dir).map_err(at(data_dir))?;
        Ok(Some(meta))
    });
    if !matches!(written, Ok(Some(_))) && files.exists(&tmp) {
        // The error that matters is the first.
        let _ = files.remove_dir_all(&tmp);
    }
    written
}

fn write_in(
    files: &dyn Files,
    tmp: &Path,
    source: &mut dyn SeriesSource,
    mut meta: BlockMeta,
    options: WriteBlockOptions,
) -> Result<BlockMeta, WriteBlockError> {
    if files.exists(tmp) {
        files.remove_dir_all(tmp).map_err(at(tmp))?;
    }
    let chunks_dir = tmp.join(CHUNKS_DIR);
    files.create_dir_all(&chunks_dir).map_err(at(&chunks_dir))?;
    let mut chunks = ChunkWriter::new(files, &chunks_dir, options.segment_bytes);
    let mut symbols = SymbolWriter::create(files, &tmp.join(INDEX_FILE))?;
    for symbol in source.symbols() {
        symbols.add(symbol?)?;
    }
    let mut index = symbols.finish()?;
    let mut stats = BlockStats::default();
    let mut metas = Vec::new();
    while source.advance()? {
        metas.clear();
        for i in 0..source.chunk_count() {
            let chunk = source.chunk(i);
            count_chunk(&mut stats, chunk, tmp)?;
            let stored = chunks.write(chunk.encoding, chunk.bytes);
            metas.push(ChunkMeta {
                mint: chunk.mint,
                maxt: chunk.maxt,
                chunk: stored.map_err(at(&chunks_dir))?,
            });
        }
        index.add_series(source.labels().iter(), &metas)?;
        stats.num_series += 1;
    }
    meta.stats = stats;
    if stats.num_samples == 0 {
        return Ok(meta);
    }
    chunks.finish().map_err(at(&chunks_dir))?;
    index.finish()?;
    Tombstones::default().write(files, tmp).map_err(at(tmp))?;
    // The last file: it syncs the directory, and with it the names of the others.
    meta.write(files, tmp).map_err(at(tmp))?;
    Ok(meta)
}

fn count_chunk(
    stats: &mut BlockStats,
    chunk: SourceChunk<'_>,
    block: &Path,
) -> Result<(), ReadError> {
    let samples = encode::count(chunk).map_err(|error| ReadError::Corrupt {
        path: block.to_owned(),
        what: error.to_string(),
    })?;
    stats.add_chunk(chunk.encoding, u64::from(samples));
    Ok(())
}

fn at(path: &Path) -> impl Fn(io::Error) -> WriteBlockError + use<> {
    let path = path.to_owned();
    move |source| WriteBlockError::Io {
        path: path.clone(),
        source,
    }
}
