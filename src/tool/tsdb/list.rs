//! `tsdb list`: the blocks of a data directory.

use std::io::{self, Write};
use std::path::Path;

use tsdb::block::meta::BlockMeta;
use tsdb::files::{Disk, tree_bytes};

use super::all_blocks;
use crate::cli::tool::ToolCall;
use crate::tool::{Outcome, go, table};

pub(in crate::tool) fn run(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let found = all_blocks(Path::new(&call.args[0]))?;
    let style = Style {
        has_header: true,
        is_human_readable: call.flags.is_on("human-readable"),
    };
    let metas: Vec<_> = found
        .blocks
        .iter()
        .map(|block| (block.meta(), tree_bytes(&Disk, block.dir())))
        .collect();
    let rows: Vec<(&BlockMeta, u64)> = metas
        .iter()
        .map(|(meta, bytes)| (&**meta, *bytes))
        .collect();
    print_blocks(out, &rows, style)?;
    Ok(Outcome::Done)
}

/// How a list of blocks is printed.
#[derive(Clone, Copy)]
pub(super) struct Style {
    /// Whether the names of the columns come first.
    pub(super) has_header: bool,
    /// Whether times and sizes are for people.
    pub(super) is_human_readable: bool,
}

const HEADER: [&str; 8] = [
    "BLOCK ULID",
    "MIN TIME",
    "MAX TIME",
    "DURATION",
    "NUM SAMPLES",
    "NUM CHUNKS",
    "NUM SERIES",
    "SIZE",
];

/// Prints blocks with the bytes of their files.
pub(super) fn print_blocks(
    out: &mut dyn Write,
    blocks: &[(&BlockMeta, u64)],
    style: Style,
) -> io::Result<()> {
    let mut rows = Vec::new();
    if style.has_header {
        rows.push(HEADER.map(str::to_owned).to_vec());
    }
    let time = |ms: i64| match style.is_human_readable {
        true => go::time(ms),
        false => ms.to_string(),
    };
    for &(meta, bytes) in blocks {
        rows.push(vec![
            meta.ulid.to_string(),
            time(meta.min_time),
            time(meta.max_time),
            go::duration(meta.max_time.saturating_sub(meta.min_time)),
            meta.stats.num_samples.to_string(),
            meta.stats.num_chunks.to_string(),
            meta.stats.num_series.to_string(),
            match style.is_human_readable {
                true => go::bytes(bytes),
                false => bytes.to_string(),
            },
        ]);
    }
    table::print(out, &rows)
}
