//! `promql test`: runs scripts in the language of Prometheus' own PromQL tests.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use promql::script;

use crate::cli::tool::ToolCall;
use crate::tool::{Outcome, complain};

/// How deep directories are looked into.
const DEPTH_MAX: usize = 16;

pub(in crate::tool) fn run(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let is_verbose = call.flags.is_on("verbose");
    let mut scripts = Vec::new();
    for path in &call.args {
        collect(Path::new(path), 0, &mut scripts)?;
    }
    let engine = script::engine();
    let (mut passed, mut failed) = (0usize, 0usize);
    for path in scripts {
        let shown = path.display();
        let bytes = std::fs::read(&path).with_context(|| format!("read {shown}"))?;
        let outcomes = match script::run(&String::from_utf8_lossy(&bytes), &engine) {
            Ok(outcomes) => outcomes,
            Err(error) => {
                // Nothing of it was run, so it is said in any case.
                complain(&format!("{shown}: {error}"));
                failed += 1;
                continue;
            }
        };
        for outcome in outcomes {
            let Err(difference) = outcome.result else {
                passed += 1;
                continue;
            };
            failed += 1;
            if is_verbose {
                writeln!(out, "{shown}:{}: {}", outcome.line, outcome.query)?;
                for line in difference.lines() {
                    writeln!(out, "    {line}")?;
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

/// Adds the script at `path`, or those in the directory there, in the order of their names.
fn collect(path: &Path, depth: usize, scripts: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if !path.is_dir() {
        scripts.push(path.to_owned());
        return Ok(());
    }
    let unreadable = || format!("read directory {}", path.display());
    let entries = std::fs::read_dir(path).with_context(unreadable)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_, _>>().with_context(unreadable)?;
    paths.sort();
    for path in paths {
        let is_script = path
            .extension()
            .is_some_and(|extension| extension == "test");
        if is_script && path.is_file() || path.is_dir() && depth < DEPTH_MAX {
            collect(&path, depth + 1, scripts)?;
        }
    }
    Ok(())
}
