//! `promql test`: runs the scripts with which Prometheus tests PromQL. promtool has no such command.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use promql::script::{self, Outcome as EvalOutcome};

use crate::cli::tool::ToolCall;
use crate::tool::Outcome;

/// The ending of the files of a directory that are scripts.
const EXTENSION: &str = "test";

/// Runs all scripts; the last line that is printed is `N passed, N failed`. A script that cannot be read as one is a
/// failure whose line is always printed.
pub(in crate::tool) fn run(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let mut scripts = Vec::new();
    for path in &call.args {
        find(Path::new(path), &mut scripts).with_context(|| format!("read {path}"))?;
    }
    let is_verbose = call.flags.is_on("verbose");
    let engine = script::engine();
    let (mut passed, mut failed) = (0, 0);
    for path in scripts {
        let name = path.display();
        let bytes = fs::read(&path).with_context(|| format!("read {name}"))?;
        let text = String::from_utf8_lossy(&bytes);
        let outcomes = match script::run(&text, &engine) {
            Ok(outcomes) => outcomes,
            Err(error) => {
                writeln!(out, "{name}:{}: {}", error.line, error.message)?;
                failed += 1;
                continue;
            }
        };
        for outcome in outcomes {
            match &outcome.result {
                Ok(()) => passed += 1,
                Err(_) if !is_verbose => failed += 1,
                Err(mismatch) => {
                    failed += 1;
                    show(&name.to_string(), &outcome, mismatch, out)?;
                }
            }
        }
    }
    writeln!(out, "{passed} passed, {failed} failed")?;
    Ok(match failed {
        0 => Outcome::Done,
        _ => Outcome::FoundProblems,
    })
}

/// Adds the scripts of `path`: itself, or the scripts anywhere below it in order of their paths.
fn find(path: &Path, scripts: &mut Vec<PathBuf>) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        scripts.push(path.to_owned());
        return Ok(());
    }
    let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
    let mut entries: Vec<PathBuf> = entries.collect::<io::Result<_>>()?;
    entries.sort();
    for entry in entries {
        // A link to a directory is not followed: it may lead back here.
        let is_dir = fs::symlink_metadata(&entry)?.is_dir();
        if is_dir || entry.extension().is_some_and(|found| found == EXTENSION) {
            find(&entry, scripts)?;
        }
    }
    Ok(())
}

fn show(
    name: &str,
    outcome: &EvalOutcome,
    mismatch: &script::Mismatch,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "{name}:{}: {}", outcome.line, outcome.query)?;
    writeln!(out, "  {}", mismatch.why)?;
    let nothing = ["nothing".to_owned()];
    let expected = match outcome.expected.as_slice() {
        [] => &nothing,
        lines => lines,
    };
    for (title, lines) in [("expected:", expected), ("got:", &mismatch.got)] {
        writeln!(out, "  {title}")?;
        for line in lines {
            writeln!(out, "    {line}")?;
        }
    }
    Ok(())
}
