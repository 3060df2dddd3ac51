//! Repairs of what early writers got wrong.

use std::path::Path;

use super::OpenBlockError;
use super::index::INDEX_FILE;
use super::meta::{BlockMeta, META_VERSION};
use crate::files::{self, Files};

/// The version that a broken writer wrote into `meta.json` where it belonged into the index.
const MISPLACED_VERSION: u32 = 2;
/// Where the index has its version.
const INDEX_VERSION_AT: usize = 4;

/// Moves a format version to where it belongs; returns whether there was anything to repair.
///
/// Prometheus 2.1 wrote indexes of version 2 that say 1, and said 2 in `meta.json`. The index is mended first, so that
/// a repair that stops half-way is taken up again.
///
/// # Errors
///
/// When the file system fails or the meta file is no such JSON.
///
/// Source: Prometheus' repair of the same.
pub fn repair_index_version(files: &dyn Files, dir: &Path) -> Result<bool, OpenBlockError> {
    let mut meta = BlockMeta::read_any_version(files, dir)?;
    if meta.version != MISPLACED_VERSION {
        return Ok(false);
    }
    let path = dir.join(INDEX_FILE);
    let io_error = |source| OpenBlockError::Io {
        path: path.clone(),
        source,
    };
    let mut index = files.map(&path).map_err(io_error)?.to_vec();
    if let Some(version) = index.get_mut(INDEX_VERSION_AT) {
        *version = 2;
    }
    files::replace(files, &path, &index).map_err(io_error)?;
    meta.version = META_VERSION;
    meta.write(files, dir).map_err(io_error)?;
    Ok(true)
}
