//! `check config`: whether a server would take a configuration file and what it names.
//!
//! Source: promtool, whose output this copies line by line; our errors have lines and columns besides.

use std::io::Write;
use std::path::{Path, PathBuf};

use scraper::config::ScrapeConfig;

use super::lint::Lints;
use super::{references, rules};
use crate::cli::tool::ToolCall;
use crate::config::{Config, Mode};
use crate::tool::{Outcome, complain, ensure_exist};

/// How a file is looked at.
struct Check {
    mode: Mode,
    syntax_only: bool,
    lints: Lints,
}

/// Whether something is wrong, and whether more than linting says so.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Verdict {
    /// Something is wrong.
    pub(super) has_failed: bool,
    /// A server would refuse it.
    pub(super) has_errors: bool,
}

impl Verdict {
    /// Adds what another file says.
    pub(super) fn add(&mut self, other: Verdict) {
        self.has_failed |= other.has_failed;
        self.has_errors |= other.has_errors;
    }

    /// Returns what a command that found this ends with.
    pub(super) fn outcome(self, lints: &Lints) -> Outcome {
        match (self.has_failed, self.has_errors) {
            (true, true) => Outcome::FoundProblems,
            (true, false) if lints.are_fatal => Outcome::FoundLint,
            _ => Outcome::Done,
        }
    }
}

/// Checks all files.
pub(in crate::tool) fn run(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    ensure_exist(&call.args)?;
    let flags = &call.flags;
    let lints = Lints::of(call, out)?;
    let check = Check {
        mode: if flags.is_on("agent") {
            Mode::Agent
        } else {
            Mode::Server
        },
        syntax_only: flags.is_on("syntax-only"),
        lints,
    };
    let mut verdict = Verdict::default();
    for path in &call.args {
        verdict.add(check.file(path, out)?);
    }
    Ok(verdict.outcome(&check.lints))
}

impl Check {
    /// Checks one file and the rule files that it names.
    fn file(&self, path: &str, out: &mut dyn Write) -> anyhow::Result<Verdict> {
        writeln!(out, "Checking {path}")?;
        let mut verdict = Verdict::default();
        let (rule_files, jobs) = match self.configuration(path, out) {
            Ok((rule_files, jobs)) => {
                if !rule_files.is_empty() {
                    writeln!(out, "  SUCCESS: {} rule files found", rule_files.len())?;
                }
                writeln!(
                    out,
                    " SUCCESS: {path} is valid prometheus config file syntax"
                )?;
                (rule_files, jobs)
            }
            Err(error) => {
                out.flush()?;
                complain(&format!("  FAILED: {error:#}"));
                (verdict.has_failed, verdict.has_errors) = (true, true);
                (Vec::new(), Vec::new())
            }
        };
        writeln!(out)?;
        if self.syntax_only {
            return Ok(verdict);
        }
        verdict.has_failed |= self.lint(&jobs, out)?;
        for file in &rule_files {
            verdict.add(rules::check(file, &self.lints, out)?);
        }
        Ok(verdict)
    }

    /// Returns the rule files, as often as they are named, and the jobs.
    fn configuration(
        &self,
        path: &str,
        out: &mut dyn Write,
    ) -> anyhow::Result<(Vec<PathBuf>, Vec<ScrapeConfig>)> {
        let dir = Path::new(path).parent().unwrap_or(Path::new(""));
        let text = std::fs::read_to_string(path)?;
        let mut config = Config::parse(&text, path, self.mode)?;
        if self.syntax_only {
            return Ok((Vec::new(), config.scrape_configs));
        }
        let rule_files = references::rule_files(&config.rule_files, dir)?;
        let files = config.read_scrape_config_files(dir, path);
        let files =
            files.map_err(|error| anyhow::anyhow!("error loading scrape configs: {error}"))?;
        config.scrape_configs.extend(files);
        for job in &config.scrape_configs {
            references::check_job(job, dir, out)?;
        }
        references::check_alertmanagers(&config, dir, out)?;
        Ok((rule_files, config.scrape_configs))
    }

    /// Returns whether linting the jobs found something.
    fn lint(&self, jobs: &[ScrapeConfig], out: &mut dyn Write) -> anyhow::Result<bool> {
        let lookback = self.lints.lookback;
        let too_long = jobs
            .iter()
            .filter(|job| self.lints.scrape_interval && lookback < job.scrape_interval());
        let mut has_failed = false;
        for job in too_long {
            has_failed = true;
            out.flush()?;
            complain(&format!(
                "  FAILED: too long scrape interval found, data point will be marked as stale - job: {}, interval: {}",
                job.job_name,
                job.scrape_interval()
            ));
        }
        Ok(has_failed)
    }
}
