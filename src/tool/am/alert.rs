//! `hearth tool am alert query` and `add`.

use std::io::Write;

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::{Client, filters, labels, shown_labels, shown_time, time_flag};
use super::matcher_mode;
use crate::cli::tool::ToolCall;
use crate::tool::{Outcome, table};

/// Shows alerts.
///
/// # Errors
///
/// When the Alertmanager does not answer, or a matcher is none.
pub(in crate::tool) fn query(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let flags = &call.flags;
    let states = ["active", "inhibited", "silenced", "unprocessed"];
    let is_on = |state: &str| flags.is_on(state);
    // Without any of these flags, active alerts are meant; those that are suppressed are asked for.
    let is_plain = !states.iter().any(|state| is_on(state));
    let mut path = "alerts?".to_owned();
    for state in states {
        let wanted = is_on(state) || is_plain && state == "active";
        path += &format!("&{state}={wanted}");
    }
    if !flags.text("receiver").is_empty() {
        path += &format!("&receiver={}", net::escape::form(flags.text("receiver")));
    }
    path += &filters(&call.args, matcher_mode(call)?)?;
    let client = Client::of(call)?;
    if flags.text("output") == "json" {
        out.write_all(client.call(Method::GET, &path, None)?.as_bytes())?;
        return Ok(Outcome::Done);
    }
    let alerts = client.get(&path)?;
    let is_extended = flags.text("output") == "extended";
    let header: &[&str] = match is_extended {
        true => &[
            "Labels",
            "Annotations",
            "Starts At",
            "Ends At",
            "Generator URL",
            "State",
        ],
        false => &["Alertname", "Starts At", "Summary", "State"],
    };
    let mut rows = vec![header.iter().map(|&cell| cell.to_owned()).collect()];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut alerts: Vec<&Value> = alerts.as_array().into_iter().flatten().collect();
    alerts.sort_by_key(|alert| text(&alert["startsAt"]));
    for alert in alerts {
        let (start, state) = (
            shown_time(&alert["startsAt"]),
            text(&alert["status"]["state"]),
        );
        rows.push(match is_extended {
            true => vec![
                shown_labels(&alert["labels"]),
                shown_labels(&alert["annotations"]),
                start,
                shown_time(&alert["endsAt"]),
                text(&alert["generatorURL"]),
                state,
            ],
            false => vec![
                text(&alert["labels"]["alertname"]),
                start,
                text(&alert["annotations"]["summary"]),
                state,
            ],
        });
    }
    table::print_padded(out, &rows)?;
    Ok(Outcome::Done)
}

/// Makes an alert.
///
/// # Errors
///
/// When the Alertmanager refuses it or does not answer, or an argument is no label.
pub(in crate::tool) fn add(call: &ToolCall, _: &mut dyn Write) -> anyhow::Result<Outcome> {
    let flags = &call.flags;
    let mut alert = json!({
        "labels": labels(&call.args, matcher_mode(call)?)?,
        "annotations": super::client::annotations(flags.list("annotation"))?,
    });
    for (flag, key) in [("start", "startsAt"), ("end", "endsAt")] {
        if !flags.text(flag).is_empty() {
            let time = time_flag(call, flag, Timestamp::UNIX_EPOCH)?;
            alert[key] = time.to_string().into();
        }
    }
    if !flags.text("generator-url").is_empty() {
        alert["generatorURL"] = flags.text("generator-url").into();
    }
    Client::of(call)?.call(Method::POST, "alerts", Some(&json!([alert])))?;
    Ok(Outcome::Done)
}
