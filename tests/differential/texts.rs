//! Errors and annotations, but for what Prometheus versions after 3.5, and so Hearth, say otherwise.

use std::collections::BTreeSet;

use serde_json::Value;

/// Errors that name series which are by chance the first ones, where a function or operator made them; and which of the
/// two errors comes first.
const MATCHING: [&str; 2] = [
    "found duplicate series for the match group",
    "multiple matches for labels",
];

/// What those errors are compared as.
pub(crate) const NO_MATCH: &str = "series do not match";

/// What is said of numbers and durations that are none depends on how far the lexer of a version gets.
const NO_NUMBER: [&str; 5] = [
    "bad number or duration syntax",
    "error parsing number",
    "not a valid duration string",
    "unknown unit",
    "missing unit character in duration",
];

/// Annotations whose place Prometheus takes from another argument.
const MISPLACED: [&str; 2] = [
    "metric might not be a counter",
    "ignored histograms in a range",
];

/// Annotations that 3.5 does not know, or makes in fewer cases.
const LATER: [&str; 5] = [
    // The last one of each step is kept.
    "incompatible sample types encountered for binary operator",
    "incompatible bucket layout encountered for binary operator",
    "metric might not be a counter",
    "sort is ineffective for range queries",
    "conflicting counter resets during histogram",
];

/// Returns whether a difference in these errors is one of versions: since 3.6
///
/// * the factors of `double_exponential_smoothing` may be 0 and 1;
/// * parameters of `topk` and its like are looked at before there is a series;
/// * samples of a comparison between vectors match also where nothing is left of them; `filters` says whether there is
///   one in the expression.
pub(crate) fn is_of_later(own: &str, real: &str, filters: bool) -> bool {
    real.contains("factor. Expected: 0 <")
        || own == "Parameter value is NaN"
        || own.contains("flows int64")
        || filters && own.starts_with("multiple matches for labels: ")
}

/// Returns, if neither server could parse the text, whether they say so in the same words and of the same place.
///
/// They mostly do: what a grammar for a table-driven parser is in the middle of is not always what it seems to be.
pub(crate) fn both_do_not_parse(own: &Value, real: &Value) -> Option<bool> {
    let [own, real] = [own, real].map(|answer| answer["error"].as_str().unwrap_or_default());
    let both = own.contains("parse error: ") && real.contains("parse error: ");
    both.then(|| error(own) == error(real))
}

/// Returns an error's text as it compares.
///
/// Of a token that is unexpected, what surrounds it and what was expected instead is left out, which versions tell in
/// their own words; 3.5 calls some tokens by a number.
pub(crate) fn error(text: &str) -> String {
    if MATCHING.iter().any(|start| text.starts_with(start)) {
        return NO_MATCH.to_owned();
    }
    let Some((place, message)) = text.split_once("parse error: ") else {
        return text.to_owned();
    };
    if message.starts_with("error parsing regexp") {
        return format!("{place}error parsing regexp");
    }
    if NO_NUMBER.iter().any(|start| message.starts_with(start)) {
        return format!("{place}no number");
    }
    let message = match message.split_once(">\" ") {
        Some((start, rest)) if start.contains("\"<Item ") => format!("unexpected {rest}"),
        _ => message.to_owned(),
    };
    match message.rfind(", expected ") {
        Some(at) => {
            let found = &message[..at];
            format!("{place}{}", &found[..found.rfind(" in ").unwrap_or(at)])
        }
        None => format!("{place}{message}"),
    }
}

/// Returns the annotations of Hearth and of Prometheus as they compare.
///
/// In an expression with subqueries, without `places`: Prometheus takes 1:1 for theirs.
pub(crate) fn annotations(own: &Value, real: &Value, places: bool) -> [BTreeSet<String>; 2] {
    let [mut own, mut real] = [own, real].map(|list| {
        let all = list.as_array().into_iter().flatten();
        let all = all.filter_map(Value::as_str);
        all.map(|text| annotation(text, places))
            .collect::<BTreeSet<_>>()
    });
    own.retain(|text| real.contains(text) || !LATER.iter().any(|later| text.contains(later)));
    // Whether a group sees two schemas before it sees a float depends on the order of series, which may be by chance.
    let mixed = "encountered a mix of histograms and floats for aggregation";
    let schemas = "exponential and custom buckets schemas";
    let has = |texts: &BTreeSet<String>, part| texts.iter().any(|text| text.contains(part));
    if has(&own, mixed) || has(&own, schemas) && has(&real, mixed) {
        let is_of_order = has(&real, schemas);
        for texts in [&mut own, &mut real] {
            texts.retain(|text| !(text.contains(schemas) || is_of_order && text.contains(mixed)));
        }
    }
    [own, real]
}

fn annotation(text: &str, places: bool) -> String {
    // No name was shown as an empty one.
    let mut text = text.replace(" for metric name \"\"", "");
    if !places || MISPLACED.iter().any(|misplaced| text.contains(misplaced)) {
        text.truncate(text.rfind(" (").unwrap_or(text.len()));
    }
    // Later versions name buckets and times instead of, or beside, the metric; and the number may be a rounded one.
    for cut in [
        "needed to be fixed for monotonicity",
        "between 0 and 1, got ",
    ] {
        if let Some(at) = text.find(cut) {
            text.truncate(at);
        }
    }
    text
}
