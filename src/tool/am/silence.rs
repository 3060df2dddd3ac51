//! `hearth tool am silence query`, `add` and `expire`.

use std::io::Write;

use anyhow::{Context as _, ensure};
use http::Method;
use jiff::{SignedDuration, Timestamp};
use model::MatchOp;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::client::{Client, filters, matchers, shown_time, time_flag};
use crate::cli::tool::ToolCall;
use crate::tool::{Outcome, table};

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Shows silences.
///
/// # Errors
///
/// When the Alertmanager does not answer, or a matcher is none.
pub(in crate::tool) fn query(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let flags = &call.flags;
    let path = format!("silences?{}", filters(&call.args)?);
    let answer = Client::of(call)?.call(Method::GET, &path, None)?;
    let raw: Vec<&RawValue> = serde_json::from_str(&answer).context("read the answer")?;
    let parsed = raw.iter().map(|raw| serde_json::from_str(raw.get()));
    let parsed: Vec<Value> = parsed.collect::<Result<_, _>>()?;
    let ids = flags.list("id");
    let author = flags.text("created-by");
    let is_wanted = |silence: &Value| {
        let is_expired = text(&silence["status"]["state"]) == "expired";
        let is_named = ids.is_empty() || ids.iter().any(|id| *id == text(&silence["id"]));
        let is_by = author.is_empty() || author == text(&silence["createdBy"]);
        is_expired == flags.is_on("expired") && is_named && is_by
    };
    let both = raw.into_iter().zip(&parsed);
    let (raw, silences): (Vec<&RawValue>, Vec<&Value>) =
        both.filter(|(_, silence)| is_wanted(silence)).unzip();
    if flags.is_on("quiet") {
        for silence in silences {
            writeln!(out, "{}", text(&silence["id"]))?;
        }
        return Ok(Outcome::Done);
    }
    let is_extended = match flags.text("output") {
        "json" => {
            // As the Alertmanager wrote them.
            serde_json::to_writer(&mut *out, &raw)?;
            writeln!(out)?;
            return Ok(Outcome::Done);
        }
        output => output == "extended",
    };
    let header: &[&str] = match is_extended {
        true => &[
            "ID",
            "Matchers",
            "Starts At",
            "Ends At",
            "Updated At",
            "Created By",
            "Comment",
        ],
        false => &["ID", "Matchers", "Ends At", "Created By", "Comment"],
    };
    let mut rows = vec![header.iter().map(|&cell| cell.to_owned()).collect()];
    for silence in silences {
        let matchers = silence["matchers"].as_array().into_iter().flatten();
        let matchers: Vec<String> = matchers.map(shown_matcher).collect();
        let mut row = vec![text(&silence["id"]).to_owned()];
        match is_extended {
            true => {
                row.push(format!("{{{}}}", matchers.join(",")));
                row.push(shown_time(&silence["startsAt"]));
                row.push(shown_time(&silence["endsAt"]));
                row.push(shown_time(&silence["updatedAt"]));
            }
            false => {
                row.push(matchers.join(" "));
                row.push(shown_time(&silence["endsAt"]));
            }
        }
        row.push(text(&silence["createdBy"]).to_owned());
        row.push(text(&silence["comment"]).to_owned());
        rows.push(row);
    }
    table::print_padded(out, &rows)?;
    Ok(Outcome::Done)
}

fn shown_matcher(matcher: &Value) -> String {
    let is_equal = matcher["isEqual"].as_bool().unwrap_or(true);
    let sign = match (is_equal, matcher["isRegex"] == true) {
        (true, false) => "=",
        (false, false) => "!=",
        (true, true) => "=~",
        (false, true) => "!~",
    };
    let value = model::name::Quoted(text(&matcher["value"]));
    format!("{}{sign}{value}", text(&matcher["name"]))
}

/// Makes a silence and prints its id.
///
/// # Errors
///
/// When the Alertmanager refuses it or does not answer, or an argument makes no sense.
pub(in crate::tool) fn add(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let flags = &call.flags;
    let matchers = matchers(&call.args)?;
    ensure!(!matchers.is_empty(), "no matchers specified");
    let comment = flags.text("comment");
    ensure!(
        !comment.is_empty() || !flags.is_on("require-comment"),
        "a comment is required: --comment, or --no-require-comment"
    );
    let starts = time_flag(call, "start", Timestamp::now())?;
    let duration = SignedDuration::from_millis(flags.duration("duration").as_ms());
    let ends = starts.checked_add(duration).context("--duration")?;
    let ends = time_flag(call, "end", ends)?;
    ensure!(starts < ends, "silence cannot start after it ends");
    let matchers: Vec<Value> = matchers
        .iter()
        .map(|matcher| {
            json!({
                "name": matcher.name(),
                "value": matcher.value(),
                "isRegex": matches!(matcher.op(), MatchOp::Regex | MatchOp::NotRegex),
                "isEqual": !matcher.is_negative(),
            })
        })
        .collect();
    let author = match flags.text("author") {
        "" => std::env::var("USER").unwrap_or_else(|_| "root".to_owned()),
        author => author.to_owned(),
    };
    let mut body = json!({
        "matchers": matchers,
        "startsAt": starts.to_string(),
        "endsAt": ends.to_string(),
        "createdBy": author,
        "comment": comment,
    });
    let annotations = super::client::annotations(flags.list("annotation"))?;
    if !annotations.is_empty() {
        body["annotations"] = annotations.into();
    }
    let answer = Client::of(call)?.call(Method::POST, "silences", Some(&body))?;
    let answer: Value = serde_json::from_str(&answer).context("read the answer")?;
    writeln!(out, "{}", text(&answer["silenceID"]))?;
    Ok(Outcome::Done)
}

/// Ends silences.
///
/// # Errors
///
/// When there is none with an id, or the Alertmanager does not answer.
pub(in crate::tool) fn expire(call: &ToolCall, _: &mut dyn Write) -> anyhow::Result<Outcome> {
    let ids: Vec<&String> = call.args.iter().filter(|id| !id.is_empty()).collect();
    ensure!(!ids.is_empty(), "no silence IDs specified");
    let client = Client::of(call)?;
    for id in ids {
        let path = format!("silence/{}", net::escape::form(id));
        client.call(Method::DELETE, &path, None)?;
    }
    Ok(Outcome::Done)
}
