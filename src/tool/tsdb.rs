//! Commands on data directories.

pub(super) mod analyze;
pub(super) mod backfill_rules;
pub(super) mod create_blocks;
pub(super) mod dump;
pub(super) mod list;
pub(super) mod verify;

use std::path::Path;

use anyhow::Context as _;
use model::Matcher;
use tsdb::read_only::{FoundBlocks, open_blocks};

use super::UsageError;

/// Opens all blocks of a data directory.
///
/// # Errors
///
/// When the directory cannot be read, or one of its blocks.
fn all_blocks(dir: &Path) -> anyhow::Result<FoundBlocks> {
    let mut found =
        open_blocks(dir).with_context(|| format!("opening the db dir {}", dir.display()))?;
    match found.failed.pop() {
        Some((path, error)) => Err(anyhow::Error::new(error)
            .context(format!("unexpected corrupted block {}", path.display()))),
        None => Ok(found),
    }
}

/// Reads series selectors.
fn selectors(texts: &[String]) -> Result<Vec<Vec<Matcher>>, UsageError> {
    let parse = |text: &String| {
        let error = |error| UsageError(format!("selector {text}: {error}"));
        // The one that takes everything, which may not be written elsewhere.
        if text == "{__name__=~'(?s:.*)'}" {
            return Ok(Vec::new());
        }
        promql::parse_selector(text).map_err(error)
    };
    texts.iter().map(parse).collect()
}
