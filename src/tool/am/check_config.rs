//! `am check-config`: whether an Alertmanager would take configuration files.
//!
//! Source: amtool, whose output this copies line by line; faults of syntax in the YAML are said in our own words.

use std::io::Write;
use std::path::Path;

use super::{ensure_file, load, matcher_mode};
use crate::cli::tool::ToolCall;
use crate::tool::{Outcome, complain};

/// Checks all files and the files of templates that they name.
pub(in crate::tool) fn run(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    for path in &call.args {
        ensure_file(path)?;
    }
    let mode = matcher_mode(call)?;
    let mut failed = 0;
    for path in &call.args {
        write!(out, "Checking '{path}'")?;
        match load(path, mode) {
            Ok(mut config) => {
                writeln!(out, "  SUCCESS\nFound:\n - global config\n - route")?;
                writeln!(out, " - {} inhibit rules", config.inhibit_rules.len())?;
                writeln!(out, " - {} receivers", config.receivers.len())?;
                writeln!(out, " - {} templates", config.templates.len())?;
                if !config.templates.is_empty() {
                    config.base_dir = Path::new(path).parent().unwrap_or(Path::new("")).to_owned();
                    match config.load_templates() {
                        Ok(_) => writeln!(out, "  SUCCESS")?,
                        Err(error) => {
                            failed += 1;
                            writeln!(out, "  FAILED: {error}")?;
                        }
                    }
                }
            }
            Err(error) => {
                failed += 1;
                writeln!(out, "  FAILED: {error:#}")?;
            }
        }
        writeln!(out)?;
    }
    if failed == 0 {
        return Ok(Outcome::Done);
    }
    out.flush()?;
    complain(&format!(
        "hearth tool: error: failed to validate {failed} file(s)"
    ));
    Ok(Outcome::FoundProblems)
}
