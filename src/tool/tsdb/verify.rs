//! `tsdb verify`: every checksum and invariant of a data directory. promtool has no such command.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tsdb::files::{Disk, Files};
use tsdb::verify::data_dir::verify_data_dir;

use crate::cli::tool::ToolCall;
use crate::tool::{Outcome, complain};

/// Prints the problems, one a line; what is odd but no problem, and a summary, are said beside them.
pub(in crate::tool) fn run(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let dir = Path::new(&call.args[0]);
    let files: Arc<dyn Files> = Arc::new(Disk);
    let report = verify_data_dir(&files, dir)
        .with_context(|| format!("opening the db dir {}", dir.display()))?;
    let mut problems = 0;
    for problem in report.all_problems() {
        writeln!(out, "{problem}")?;
        problems += 1;
    }
    out.flush()?;
    for note in &report.notes {
        complain(&format!("note: {note}"));
    }
    let counts = report.counts;
    let (mut series, mut samples) = (0, 0);
    for (_, block) in &report.blocks {
        series += block.stats.num_series;
        samples += block.stats.num_samples;
    }
    complain(&format!(
        "{} blocks with {series} series and {samples} samples; {} WAL and {} WBL segments with {} records, {} series \
         and {} samples ({} of unknown series); {} head chunk files with {} chunks; {problems} problems",
        report.blocks.len(),
        counts.wal_segments,
        counts.wbl_segments,
        counts.records,
        counts.series,
        counts.samples,
        counts.orphan_samples,
        counts.head_chunk_files,
        counts.head_chunks,
    ));
    Ok(match problems {
        0 => Outcome::Done,
        _ => Outcome::FoundProblems,
    })
}
