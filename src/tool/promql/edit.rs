//! `promql format` and `promql label-matchers`: queries in, queries out.

use std::io::Write;

use model::{MatchOp, Matcher};
use promql::{Expr, ParseOptions, pretty};

use crate::cli::tool::ToolCall;
use crate::tool::Outcome;

pub(in crate::tool) fn format(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    print(&parse(&call.args[0])?, out)
}

/// Every selector gets the matcher, in place of those of the same name.
pub(in crate::tool) fn set_matcher(
    call: &ToolCall,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let [query, name, value] = &call.args[..] else {
        unreachable!("the command line has three arguments");
    };
    let op = match call.flags.text("type") {
        "!=" => MatchOp::NotEqual,
        "=~" => MatchOp::Regex,
        "!~" => MatchOp::NotRegex,
        _ => MatchOp::Equal,
    };
    let mut expr = parse(query)?;
    let matcher = Matcher::new(name, op, value)?;
    expr.for_each_selector_mut(&mut |selector| {
        let mut is_there = false;
        for other in &mut selector.matchers {
            if other.name() == matcher.name() {
                other.clone_from(&matcher);
                is_there = true;
            }
        }
        if !is_there {
            selector.matchers.push(matcher.clone());
        }
    });
    print(&expr, out)
}

pub(in crate::tool) fn delete_matcher(
    call: &ToolCall,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let mut expr = parse(&call.args[0])?;
    let name = &call.args[1];
    expr.for_each_selector_mut(&mut |selector| {
        selector.matchers.retain(|matcher| matcher.name() != name);
    });
    print(&expr, out)
}

fn parse(query: &str) -> anyhow::Result<Expr> {
    Ok(promql::parse_with(query, &ParseOptions::ALL)?)
}

fn print(expr: &Expr, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    writeln!(out, "{}", pretty(expr))?;
    Ok(Outcome::Done)
}
