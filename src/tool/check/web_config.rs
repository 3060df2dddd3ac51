//! `check web-config`: whether a server would listen as a web configuration says. All of it goes to standard error, as
//! promtool has it.

use std::io::Write;
use std::path::Path;

use net::web_config::WebConfig;
use scraper::config::yaml;

use crate::cli::tool::ToolCall;
use crate::tool::{Outcome, complain, ensure_exist};

/// Checks all files.
pub(in crate::tool) fn run(call: &ToolCall, _out: &mut dyn Write) -> anyhow::Result<Outcome> {
    ensure_exist(&call.args)?;
    let mut outcome = Outcome::Done;
    for path in &call.args {
        match check(Path::new(path)) {
            Ok(()) => complain(&format!("{path} SUCCESS")),
            Err(reason) => {
                complain(&format!("{path} FAILED: {reason}"));
                outcome = Outcome::FoundProblems;
            }
        }
    }
    Ok(outcome)
}

fn check(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let config = yaml::parse::<Option<WebConfig>>(&text).map_err(|error| error.to_string())?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let config = config.unwrap_or_default();
    config.check(dir).map_err(|error| error.to_string())
}
