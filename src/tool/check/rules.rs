//! `check rules`, and the rule files of `check config`: whether a server would take them, and rules that are there twice.
//!
//! Source: promtool, whose output this copies line by line.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write};
use std::path::Path;

use alertmanager::rule::file::{RuleConfig, RuleFile};
use model::Labels;
use scraper::config::yaml;
use serde_json::Value;

use super::config::Verdict;
use super::lint::Lints;
use crate::cli::tool::ToolCall;
use crate::tool::{Outcome, complain, ensure_exist};

/// Checks all files, or standard input where none is named.
pub(in crate::tool) fn run(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    ensure_exist(&call.args)?;
    let lints = Lints::of(call, out)?;
    let mut verdict = Verdict::default();
    if call.args.is_empty() {
        let mut text = String::new();
        let read = io::stdin().read_to_string(&mut text).map(|_| text);
        verdict = check_text("standard input", "", read, &lints, out)?;
    }
    for path in &call.args {
        verdict.add(check(Path::new(path), &lints, out)?);
    }
    Ok(verdict.outcome(&lints))
}

/// Checks one file.
pub(super) fn check(path: &Path, lints: &Lints, out: &mut dyn Write) -> anyhow::Result<Verdict> {
    let name = path.display().to_string();
    check_text(&name, &name, std::fs::read_to_string(path), lints, out)
}

/// Checks a text that is shown as `shown` and called `name` in errors.
fn check_text(
    shown: &str,
    name: &str,
    text: io::Result<String>,
    lints: &Lints,
    out: &mut dyn Write,
) -> anyhow::Result<Verdict> {
    writeln!(out, "Checking {shown}")?;
    let refused = Verdict {
        has_failed: true,
        has_errors: true,
    };
    let text = match text {
        Ok(text) if lints.ignores_unknown_fields => known_fields(&text),
        Ok(text) => text,
        Err(error) => {
            out.flush()?;
            complain(&format!("  FAILED:\n{shown}: {error}"));
            return Ok(refused);
        }
    };
    let rules = match RuleFile::parse_with(name, &text, &lints.syntax) {
        Ok(rules) => rules,
        Err(error) => {
            out.flush()?;
            complain(&format!("  FAILED:\n{error}"));
            return Ok(refused);
        }
    };
    let duplicates = if lints.duplicate_rules {
        duplicates(&rules)
    } else {
        Vec::new()
    };
    let mut verdict = Verdict::default();
    if duplicates.is_empty() {
        let count: usize = rules.groups.iter().map(|group| group.rules.len()).sum();
        writeln!(out, "  SUCCESS: {count} rules found")?;
    } else {
        out.flush()?;
        complain(&format!("  FAILED:\n{}", describe(&duplicates)));
        verdict.has_failed = true;
    }
    writeln!(out)?;
    Ok(verdict)
}

/// What makes two rules the same: their names and labels.
type Key<'a> = (&'a str, &'a Labels);

/// Returns what is there more than once, each once, in order.
fn duplicates(rules: &RuleFile) -> Vec<Key<'_>> {
    let rules = rules.groups.iter().flat_map(|group| &group.rules);
    let mut keys: Vec<Key<'_>> = rules
        .map(|rule| match rule {
            RuleConfig::Recording(rule) => (rule.record.as_str(), &rule.labels),
            RuleConfig::Alerting(rule) => (rule.alert.as_str(), &rule.labels),
        })
        .collect();
    keys.sort();
    let same = keys.chunk_by(|a, b| a == b);
    same.filter(|same| 1 < same.len())
        .map(|same| same[0])
        .collect()
}

fn describe(duplicates: &[Key<'_>]) -> String {
    let mut text = format!("lint error {} duplicate rule(s) found.\n", duplicates.len());
    for (name, labels) in duplicates {
        // Writing to a string does not fail.
        let _ = writeln!(text, "Metric: {name}\nLabel(s):");
        for (name, value) in labels.iter() {
            let _ = writeln!(text, "\t{name}: {value}");
        }
    }
    text.push_str("Might cause inconsistency while recording expressions");
    text
}

/// Returns the file without fields that are not known, printed anew: lines are others then. What cannot be read as YAML
/// stays as it is, so that it is refused for what it is.
pub(in crate::tool) fn known_fields(text: &str) -> String {
    let Ok(mut file) = yaml::parse::<Value>(text) else {
        return text.to_owned();
    };
    keep(&mut file, &["groups"]);
    let fields = [
        "name",
        "interval",
        "query_offset",
        "limit",
        "labels",
        "rules",
    ];
    for group in items(&mut file, "groups") {
        keep(group, &fields);
        let fields = [
            "record",
            "alert",
            "expr",
            "for",
            "keep_firing_for",
            "labels",
            "annotations",
        ];
        for rule in items(group, "rules") {
            keep(rule, &fields);
        }
    }
    yaml::print(&file).unwrap_or_else(|_| text.to_owned())
}

fn keep(section: &mut Value, fields: &[&str]) {
    if let Some(section) = section.as_object_mut() {
        section.retain(|name, _| fields.contains(&name.as_str()));
    }
}

fn items<'a>(section: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    let list = section.get_mut(field).and_then(Value::as_array_mut);
    list.into_iter().flatten()
}
