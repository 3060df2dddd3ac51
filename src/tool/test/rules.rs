//! `test rules`: unit tests of rule files.
//!
//! Source: promtool, whose output this copies line by line.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use model::Duration;
use regex::Regex;
use scraper::config::yaml;

use super::file::UnitTestFile;
use super::group::{self, Shared};
use super::junit::{Case, Suite, document};
use crate::cli::tool::ToolCall;
use crate::config::glob;
use crate::tool::check::rules::known_fields;
use crate::tool::{Outcome, complain, ensure_exist};

/// How often rules are evaluated where the file does not say.
const EVALUATION_INTERVAL: Duration = Duration::from_secs(60);
/// How long a file may be, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// How files are run.
struct Run<'a> {
    /// Only groups that one of these matches are run; all, if there are none.
    names: Vec<Regex>,
    ignores_unknown_fields: bool,
    call: &'a ToolCall,
}

/// Runs the tests of all files.
pub(in crate::tool) fn run(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let flags = &call.flags;
    let names = flags.list("run").iter();
    let names = names.map(|name| Regex::new(name).with_context(|| format!("--run={name}")));
    let run = Run {
        names: names.collect::<anyhow::Result<_>>()?,
        ignores_unknown_fields: flags.is_on("ignore-unknown-fields"),
        call,
    };
    ensure_exist(&call.args)?;
    let mut suites = Vec::new();
    let mut outcome = Outcome::Done;
    for path in &call.args {
        let suite = run.file(path);
        let failures = suite.cases.iter().flat_map(|case| &case.failures);
        let wrong: Vec<&String> = suite.errors.iter().chain(failures).collect();
        if wrong.is_empty() {
            writeln!(out, "  SUCCESS")?;
        } else {
            out.flush()?;
            complain("  FAILED:");
            for error in wrong {
                complain(error);
                writeln!(out)?;
            }
            outcome = Outcome::FoundProblems;
        }
        writeln!(out)?;
        suites.push(suite);
    }
    let junit = flags.text("junit");
    if !junit.is_empty() {
        let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S");
        let written = std::fs::write(junit, document(&suites, &time.to_string()));
        written.with_context(|| format!("write {junit}"))?;
    }
    Ok(outcome)
}

impl Run<'_> {
    /// Runs the tests of one file.
    fn file(&self, path: &str) -> Suite {
        let mut suite = Suite {
            name: path.to_owned(),
            ..Suite::default()
        };
        let (file, shared) = match self.read(Path::new(path)) {
            Ok(read) => read,
            Err(error) => {
                suite.errors.push(error);
                return suite;
            }
        };
        for (i, test) in file.tests.iter().enumerate() {
            let name = match &*test.name.0 {
                "" => format!("unnamed#{i}"),
                name => name.to_owned(),
            };
            let is_wanted =
                self.names.is_empty() || self.names.iter().any(|run| run.is_match(&name));
            if is_wanted {
                let failures = group::run(test, &shared);
                suite.cases.push(Case { name, failures });
            }
        }
        suite
    }

    /// Reads a file and the rule files that it names.
    fn read(&self, path: &Path) -> Result<(UnitTestFile, Shared), String> {
        let text = read(path)?;
        let file: UnitTestFile = yaml::parse::<Option<_>>(&text)
            .map_err(|error| error.to_string())?
            .unwrap_or_default();
        let dir = path.parent().unwrap_or(Path::new(""));
        let mut rule_files: Vec<PathBuf> = Vec::new();
        for pattern in &file.rule_files {
            let found = glob::expand(dir, pattern)?;
            if found.is_empty() {
                complain(&format!(
                    "  WARNING: no file match pattern {}",
                    dir.join(pattern).display()
                ));
            }
            rule_files.extend(found);
        }
        let mut rule_texts = Vec::new();
        for path in &rule_files {
            let text = read(path)?;
            rule_texts.push(match self.ignores_unknown_fields {
                true => known_fields(&text),
                false => text,
            });
        }
        let mut order = HashMap::new();
        for (place, name) in file.group_eval_order.iter().enumerate() {
            if order.insert(name.clone(), place).is_some() {
                return Err(format!("group name repeated in evaluation order: {name}"));
            }
        }
        let interval = file.evaluation_interval;
        let shared = Shared {
            evaluation_interval: interval
                .filter(|interval| !interval.is_zero())
                .unwrap_or(EVALUATION_INTERVAL),
            order,
            rule_files,
            rule_texts,
            is_fuzzy: file.fuzzy_compare,
            features: self.call.promql_features(),
        };
        Ok((file, shared))
    }
}

fn read(path: &Path) -> Result<String, String> {
    let read = crate::files::read_bounded(path, FILE_BYTES_MAX);
    read.map_err(|reason| format!("{}: {reason}", path.display()))
}
