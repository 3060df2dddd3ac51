//! `hearth tool am silence query`, `add`, `update`, `import` and `expire`.

use std::io::Write;

use anyhow::{Context as _, ensure};
use http::Method;
use jiff::{SignedDuration, Timestamp};
use model::MatchOp;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::client::{Client, filters, is_missing, matchers, shown_time, time_flag};
use super::matcher_mode;
use crate::cli::tool::ToolCall;
use crate::tool::{Outcome, complain, table};

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
    let path = format!("silences?{}", filters(&call.args, matcher_mode(call)?)?);
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
    if flags.text("output") == "json" {
        // As the Alertmanager wrote them.
        serde_json::to_writer(&mut *out, &raw)?;
        writeln!(out)?;
        return Ok(Outcome::Done);
    }
    show(&silences, flags.text("output") == "extended", out)?;
    Ok(Outcome::Done)
}

/// Shows silences as a table.
fn show(silences: &[&Value], is_extended: bool, out: &mut dyn Write) -> anyhow::Result<()> {
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
    Ok(())
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
    let matchers = matchers(&call.args, matcher_mode(call)?)?;
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

/// Changes silences and shows what they are now.
///
/// # Errors
///
/// When there is none with an id, the Alertmanager refuses a change or does not answer, or an argument makes no sense.
pub(in crate::tool) fn update(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let flags = &call.flags;
    let ids: Vec<&String> = call.args.iter().filter(|id| !id.is_empty()).collect();
    ensure!(!ids.is_empty(), "no silence IDs specified");
    let client = Client::of(call)?;
    let mut updated = Vec::new();
    for id in ids {
        let mut silence = client.get(&format!("silence/{}", net::escape::form(id)))?;
        let time = |silence: &Value, key: &str| -> anyhow::Result<Timestamp> {
            let shown = text(&silence[key]);
            shown
                .parse()
                .with_context(|| format!("{key} of silence {id}: {shown:?}"))
        };
        let starts = time_flag(call, "start", time(&silence, "startsAt")?)?;
        let ends = match flags.text("duration") {
            "" => time(&silence, "endsAt")?,
            _ => {
                let duration = SignedDuration::from_millis(flags.duration("duration").as_ms());
                ensure!(
                    !duration.is_zero(),
                    "silence duration must be greater than 0"
                );
                starts.checked_add(duration).context("--duration")?
            }
        };
        let ends = time_flag(call, "end", ends)?;
        ensure!(starts <= ends, "silence cannot start after it ends");
        silence["startsAt"] = starts.to_string().into();
        silence["endsAt"] = ends.to_string().into();
        if !flags.text("comment").is_empty() {
            silence["comment"] = flags.text("comment").into();
        }
        silence["id"] = post(&client, &silence)?.into();
        updated.push(silence);
    }
    if flags.is_on("quiet") {
        for silence in &updated {
            writeln!(out, "{}", text(&silence["id"]))?;
        }
    } else if flags.text("output") == "json" {
        serde_json::to_writer(&mut *out, &updated)?;
        writeln!(out)?;
    } else {
        let silences: Vec<&Value> = updated.iter().collect();
        show(&silences, flags.text("output") == "extended", out)?;
    }
    Ok(Outcome::Done)
}

/// Sends a silence and returns its id.
fn post(client: &Client, silence: &Value) -> anyhow::Result<String> {
    let keys = [
        "id",
        "matchers",
        "startsAt",
        "endsAt",
        "createdBy",
        "comment",
        "annotations",
    ];
    let mut body = serde_json::Map::new();
    for key in keys {
        if let Some(value) = silence.get(key) {
            body.insert(key.to_owned(), value.clone());
        }
    }
    let answer = client.call(Method::POST, "silences", Some(&body.into()))?;
    let answer: Value = serde_json::from_str(&answer).context("read the answer")?;
    Ok(text(&answer["silenceID"]).to_owned())
}

/// Makes the silences of a file, and prints their ids. One that is refused does not stop the others.
///
/// # Errors
///
/// When the file is no list of silences, or some could not be made.
pub(in crate::tool) fn import(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    const NOT_JSON: &str = "couldn't unmarshal input data, is it JSON?";
    let file = match call.args.first().map(String::as_str) {
        // Standard input, by its name.
        None | Some("") => "/dev/stdin",
        Some(file) => file,
    };
    let silences: Vec<Value> = serde_json::from_str(&super::read(file)?).context(NOT_JSON)?;
    let client = Client::of(call)?;
    let mut failed = 0;
    for mut silence in silences.iter().cloned() {
        let id = text(&silence["id"]).to_owned();
        let without_id = |silence: &mut Value| {
            if let Value::Object(silence) = silence {
                silence.remove("id");
            }
        };
        if call.flags.is_on("force") {
            without_id(&mut silence);
        }
        let mut made = post(&client, &silence);
        if made.as_ref().is_err_and(is_missing) {
            // It is not there any more, or it never was: a new one.
            without_id(&mut silence);
            made = post(&client, &silence);
        }
        match made {
            Ok(id) => writeln!(out, "{id}")?,
            Err(error) => {
                failed += 1;
                complain(&format!("Error adding silence id='{id}': {error:#}"));
            }
        }
    }
    ensure!(
        failed == 0,
        "couldn't import {failed} out of {} silences",
        silences.len()
    );
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
