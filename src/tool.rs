//! `hearth tool`: commands that do one thing and end, with promtool's names, flags and output.
//!
//! Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 failed or, of a command that
//! checks, something is wrong, 2 wrong usage, 3 something should be written in another way.

mod am;
mod check;
mod go;
mod http;
mod promql;
mod rules;
mod table;
mod test;
mod tsdb;

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::cli::tool::{Tool, ToolCall};

/// What a command found: done, or something is wrong with what it looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    FoundProblems,
    /// It is right, and should be written in another way.
    FoundLint,
}

/// What was typed makes no sense, beyond what the command line's parser can see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

/// Runs a command and says how it went.
pub(crate) fn run(call: &ToolCall) -> ExitCode {
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let call = match call.is_am() {
        true => am::settings::applied(call),
        false => Ok(call.clone()),
    };
    let outcome = call.and_then(|call| run_tool(&call, &mut out));
    let outcome = outcome.and_then(|outcome| {
        out.flush()?;
        Ok(outcome)
    });
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::FoundProblems) => ExitCode::from(1),
        Ok(Outcome::FoundLint) => ExitCode::from(3),
        // Whoever read has seen enough, as `head` has.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("hearth tool: error: {error:#}"));
            ExitCode::from(if error.is::<UsageError>() { 2 } else { 1 })
        }
    }
}

fn run_tool(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    match call.tool {
        Tool::AmAlertQuery => am::alert::query(call, out),
        Tool::AmAlertAdd => am::alert::add(call, out),
        Tool::AmSilenceQuery => am::silence::query(call, out),
        Tool::AmSilenceAdd => am::silence::add(call, out),
        Tool::AmSilenceUpdate => am::silence::update(call, out),
        Tool::AmSilenceImport => am::silence::import(call, out),
        Tool::AmSilenceExpire => am::silence::expire(call, out),
        Tool::AmConfigShow => am::status::config(call, out),
        Tool::AmClusterShow => am::status::cluster(call, out),
        Tool::AmTemplateRender => am::template::render(call, out),
        Tool::AmCheckConfig => am::check_config::run(call, out),
        Tool::AmRoutesShow => am::routes::show(call, out),
        Tool::AmRoutesTest => am::routes::test(call, out),
        Tool::CheckConfig => check::config::run(call, out),
        Tool::CheckRules => check::rules::run(call, out),
        Tool::CheckServiceDiscovery => check::service_discovery::run(call, out),
        Tool::CheckWebConfig => check::web_config::run(call, out),
        Tool::List => tsdb::list::run(call, out),
        Tool::Analyze => tsdb::analyze::run(call, out),
        Tool::Dump => tsdb::dump::run(call, out),
        Tool::DumpOpenMetrics => tsdb::dump::run_open_metrics(call, out),
        Tool::Verify => tsdb::verify::run(call, out),
        Tool::CreateBlocks => tsdb::create_blocks::run(call, out),
        Tool::CreateBlocksFromRules => tsdb::backfill_rules::run(call, out),
        Tool::CheckMetrics => check::metrics::run(call, out),
        Tool::RulesBacktest => rules::backtest::run(call, out),
        Tool::TestRules => test::rules::run(call, out),
        Tool::PromqlTest => promql::test::run(call, out),
        Tool::PromqlFormat => promql::edit::format(call, out),
        Tool::PromqlExplain => promql::explain::run(call, out),
        Tool::PromqlParse => promql::edit::parse(call, out),
        Tool::PromqlSet => promql::edit::set(call, out),
        Tool::PromqlDelete => promql::edit::delete(call, out),
    }
}

/// Checks that there is something at each path, before anything is done with the first.
fn ensure_exist(paths: &[String]) -> anyhow::Result<()> {
    for path in paths {
        anyhow::ensure!(
            Path::new(path).exists(),
            "path '{path}' does not exist, try --help"
        );
    }
    Ok(())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Says something to the person, beside the data.
fn complain(text: &str) {
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(io::stderr(), "{text}");
}
