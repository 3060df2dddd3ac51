//! `am config routes`: the routing tree of a configuration file, and where an alert goes in it.
//!
//! Source: amtool, whose output this copies line by line.

use std::io::{self, Write};

use alertmanager::config::{MatcherMode, Route, parse_matchers_in, print_matchers};
use anyhow::{Context as _, ensure};
use model::{Labels, MatchOp};

use super::{ensure_file, load, matcher_mode};
use crate::cli::tool::ToolCall;
use crate::tool::{Outcome, UsageError};

/// What is printed of a route: its line and what is below it.
struct Branch {
    line: String,
    below: Vec<Branch>,
}

/// Prints the whole tree.
pub(in crate::tool) fn show(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let root = tree_of(call)?;
    writeln!(out, "Routing tree:\n.")?;
    print(&[whole(&root)], "", out)?;
    writeln!(out)?;
    Ok(Outcome::Done)
}

/// Prints the receivers that hear of an alert with the labels of the command line.
pub(in crate::tool) fn test(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let root = tree_of(call)?;
    let labels = labels(&call.args, matcher_mode(call)?)?;
    if call.flags.is_on("tree") {
        writeln!(out, "Matching routes:\n.")?;
        print(&[taking(&root, &labels)], "", out)?;
        writeln!(out, "\n")?;
    }
    let routes = root.matching(&labels).into_iter();
    let receivers: Vec<&str> = routes.map(|route| route.receiver.as_str()).collect();
    let receivers = receivers.join(",");
    writeln!(out, "{receivers}")?;
    let expected = call.flags.text("verify.receivers");
    if expected.is_empty() || expected == receivers {
        return Ok(Outcome::Done);
    }
    writeln!(
        out,
        "WARNING: Expected receivers did not match resolved receivers."
    )?;
    Ok(Outcome::FoundProblems)
}

fn tree_of(call: &ToolCall) -> anyhow::Result<Route> {
    let path = call.flags.text("config.file");
    if path.is_empty() {
        return Err(UsageError("--config.file is required".to_owned()).into());
    }
    ensure_file(path)?;
    Ok(load(path, matcher_mode(call)?)?.route)
}

/// Reads `name=value`; of two values of a name the last one counts.
fn labels(args: &[String], mode: MatcherMode) -> anyhow::Result<Labels> {
    let mut labels = std::collections::BTreeMap::new();
    for arg in args.iter().filter(|arg| !arg.is_empty()) {
        let matchers = parse_matchers_in(arg, mode)
            .map_err(anyhow::Error::msg)
            .context("Failed to parse labels")?;
        for matcher in matchers {
            ensure!(
                matcher.op() == MatchOp::Equal,
                "Labels must be specified as key=value pairs"
            );
            labels.insert(matcher.name().to_owned(), matcher.value().to_owned());
        }
    }
    let pairs = labels.iter();
    Ok(Labels::from_pairs(
        pairs.map(|(name, value)| (name.as_str(), value.as_str())),
    ))
}

fn whole(route: &Route) -> Branch {
    let continues = if route.continues {
        "  continue: true"
    } else {
        ""
    };
    Branch {
        line: format!("{}{continues}  receiver: {}", title(route), route.receiver),
        below: route.routes.iter().map(whole).collect(),
    }
}

/// Returns what takes an alert of `route`, which matches; only the last of a branch has its receiver beside it.
fn taking(route: &Route, labels: &Labels) -> Branch {
    let mut below = Vec::new();
    for child in &route.routes {
        let matches = |m: &model::Matcher| m.matches_labels(labels);
        if child.matchers.iter().all(matches) {
            below.push(taking(child, labels));
            if !child.continues {
                break;
            }
        }
    }
    let mut line = title(route);
    if below.is_empty() {
        line += &format!("  receiver: {}", route.receiver);
    }
    Branch { line, below }
}

fn title(route: &Route) -> String {
    match &route.matchers[..] {
        [] => "default-route".to_owned(),
        matchers => print_matchers(matchers),
    }
}

fn print(branches: &[Branch], indent: &str, out: &mut dyn Write) -> io::Result<()> {
    for (index, branch) in branches.iter().enumerate() {
        let (edge, more) = match index + 1 == branches.len() {
            true => ("└── ", "    "),
            false => ("├── ", "│   "),
        };
        writeln!(out, "{indent}{edge}{}", branch.line)?;
        print(&branch.below, &format!("{indent}{more}"), out)?;
    }
    Ok(())
}
