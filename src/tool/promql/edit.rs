//! `promql format`, `promql label-matchers set` and `delete`: a query in, a query out; `promql parse`: its tree.

use std::io::Write;

use anyhow::Context as _;
use model::{MatchOp, Matcher};

use crate::api::syntax;
use crate::cli::tool::ToolCall;
use crate::tool::Outcome;

/// Prints the query laid out.
pub(in crate::tool) fn format(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    print(&promql::parse(&call.args[0])?, out)
}

/// Prints the tree of the query as JSON. promtool has no such command.
pub(in crate::tool) fn parse(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    out.write_all(&syntax::tree_json(&promql::parse(&call.args[0])?))?;
    writeln!(out)?;
    Ok(Outcome::Done)
}

/// Prints the query with a matcher set in each of its selectors.
pub(in crate::tool) fn set(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let mut expr = promql::parse(&call.args[0])?;
    let op = match call.flags.text("type") {
        "!=" => MatchOp::NotEqual,
        "=~" => MatchOp::Regex,
        "!~" => MatchOp::NotRegex,
        _ => MatchOp::Equal,
    };
    let (name, value) = (&call.args[1], &call.args[2]);
    let matcher = Matcher::new(name, op, value).with_context(|| format!("matcher of {name}"))?;
    promql::edit::set_matcher(&mut expr, &matcher);
    print(&expr, out)
}

/// Prints the query without the matchers of a label.
pub(in crate::tool) fn delete(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let mut expr = promql::parse(&call.args[0])?;
    promql::edit::delete_matchers(&mut expr, &call.args[1]);
    print(&expr, out)
}

fn print(expr: &promql::Expr, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    writeln!(out, "{}", promql::pretty(expr))?;
    Ok(Outcome::Done)
}
