//! `hearth tool am config show` and `cluster show`.

use std::io::Write;

use serde_json::Value;

use super::client::Client;
use crate::cli::tool::ToolCall;
use crate::tool::Outcome;

/// Shows the configuration in force.
///
/// # Errors
///
/// When the Alertmanager does not answer.
pub(in crate::tool) fn config(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let status = Client::of(call)?.get("status")?;
    if call.flags.text("output") == "json" {
        writeln!(out, "{status}")?;
        return Ok(Outcome::Done);
    }
    let text = status["config"]["original"].as_str().unwrap_or_default();
    writeln!(out, "{text}")?;
    Ok(Outcome::Done)
}

/// Shows the cluster's members.
///
/// # Errors
///
/// When the Alertmanager does not answer.
pub(in crate::tool) fn cluster(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let status = Client::of(call)?.get("status")?;
    let cluster = &status["cluster"];
    if call.flags.text("output") == "json" {
        writeln!(out, "{cluster}")?;
        return Ok(Outcome::Done);
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    writeln!(out, "Cluster Status:  {}", text(&cluster["status"]))?;
    writeln!(out, "Node Name:       {}", text(&cluster["name"]))?;
    for peer in cluster["peers"].as_array().into_iter().flatten() {
        writeln!(out, "{}  {}", text(&peer["address"]), text(&peer["name"]))?;
    }
    Ok(Outcome::Done)
}
