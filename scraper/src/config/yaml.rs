//! The only place that knows the YAML reader: text to types, and errors that say where.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::de::erased::{self, AnySeed};
use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed as _};
use serde_saphyr::with_deserializer_from_str_with_options;

/// How many nodes a document may have; a list of 100,000 targets has a million.
const NODES_MAX: usize = 20_000_000;

/// Why a YAML text could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct YamlError {
    /// The line, from 1; 0 when it is not known.
    pub line: u64,
    /// The column, from 1; 0 when it is not known.
    pub column: u64,
    /// What is wrong, with the key and the value.
    pub message: String,
}

/// Reads `text`; an empty document gives what `null` gives.
///
/// # Errors
///
/// The first thing that is wrong, with its line and column.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    erased::read(|seed| read(text, seed)).map_err(|error| describe(&error, text))
}

fn read<'de>(text: &'de str, seed: AnySeed<'_, 'de>) -> Result<(), serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: NODES_MAX, max_events: 2 * NODES_MAX },
        with_snippet: false,
    };
    with_deserializer_from_str_with_options(text, options, |reader| seed.deserialize(reader))
}

/// Returns `value` as YAML.
///
/// # Errors
///
/// When a map key is not a scalar, which configuration types never have.
pub fn print<T: Serialize>(value: &T) -> Result<String, String> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(value, options).map_err(|error| error.to_string())
}

fn describe(error: &serde_saphyr::Error, text: &str) -> YamlError {
    let error = error.without_snippet();
    let location = error.location();
    let (line, column) = location.map_or((0, 0), |location| (location.line(), location.column()));
    YamlError {
        line,
        column,
        message: message(error, text, (line, column)),
    }
}

fn message(error: &serde_saphyr::Error, text: &str, (line, column): (u64, u64)) -> String {
    match error {
        serde_saphyr::Error::SerdeUnknownField {
            field, expected, ..
        } => {
            let hint = closest(field, expected).map(|name| format!(" (did you mean {name}?)"));
            format!(
                "field {field} not found in type {}{}",
                go_type(expected),
                hint.unwrap_or_default()
            )
        }
        serde_saphyr::Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("key");
            let kind = if indentation(text, line) == 0 {
                "config.plain"
            } else {
                "mapping"
            };
            format!("field {key} already set in type {kind}")
        }
        other if other.to_string().contains("!!binary") => binary(text, (line, column)),
        other => {
            // The position is said apart; without it the text reads the same for every error.
            let (key, value) = key_and_value(text, (line, column));
            let text = other.to_string();
            let end = text
                .rfind(" at line ")
                .or_else(|| text.rfind(" (line "))
                .unwrap_or(text.len());
            let what = text[..end].trim_start_matches("error: ");
            with_key_and_value(what, key, value)
        }
    }
}

/// Says what is wrong with a `!!binary` scalar, which is text only if its bytes are UTF-8. Where one is a key, it is the
/// name of a label.
fn binary(text: &str, place: (u64, u64)) -> String {
    let quoted = rest_of_line(text, place)
        .trim_start_matches("!!binary")
        .trim_start();
    let quote = quoted.chars().next().filter(|c| matches!(c, '"' | '\''));
    let (scalar, after) = match quote {
        Some(quote) => quoted[1..].split_once(quote).unwrap_or((&quoted[1..], "")),
        None => quoted.split_at(quoted.find(':').unwrap_or(quoted.len())),
    };
    let Ok(bytes) = STANDARD.decode(scalar.trim()) else {
        return "!!binary value contains invalid base64 data".to_owned();
    };
    let what = if after.trim_start().starts_with(':') {
        "label name"
    } else {
        "text"
    };
    format!("\"{}\" is not a valid {what}", bytes.escape_ascii())
}

/// Says of which key and about which value `what` is, unless it says so itself.
fn with_key_and_value(what: &str, key: Option<&str>, value: &str) -> String {
    let value = if value.is_empty() || what.contains(value) {
        String::new()
    } else {
        format!(": {value:?}")
    };
    let says_key = |key: &&str| what.split(|c| !is_key_char(c)).any(|word| word == *key);
    match key.filter(|key| !says_key(key)) {
        Some(key) => format!("{key}: {what}{value}"),
        None => format!("{what}{value}"),
    }
}

/// Returns the key before a place, if a value begins there, and that value as written, as far as it is on the line.
fn key_and_value(text: &str, (line, column): (u64, u64)) -> (Option<&str>, &str) {
    let (before, value) = split_line(text, (line, column));
    let Some(key) = before.trim_end().strip_suffix(':') else {
        return (None, "");
    };
    let start = key.rfind(|c| !is_key_char(c)).map_or(0, |at| at + 1);
    let end = value.find([',', '}', ']', '#']).unwrap_or(value.len());
    (
        Some(&key[start..]).filter(|key| !key.is_empty()),
        value[..end].trim().trim_matches(['"', '\'']),
    )
}

fn rest_of_line(text: &str, place: (u64, u64)) -> &str {
    split_line(text, place).1
}

/// Returns what is before and after a place on its line; lines and columns count from 1.
fn split_line(text: &str, (line, column): (u64, u64)) -> (&str, &str) {
    let line = text
        .lines()
        .nth(usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX))
        .unwrap_or_default();
    let column = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
    let at = line
        .char_indices()
        .nth(column)
        .map_or(line.len(), |(at, _)| at);
    line.split_at(at)
}

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn indentation(text: &str, line: u64) -> usize {
    let line = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
    let line = text.lines().nth(line).unwrap_or_default();
    line.len() - line.trim_start().len()
}

/// Returns the name that Prometheus' users know the section by.
fn go_type(fields: &[&'static str]) -> &'static str {
    if fields.contains(&"job_name") {
        "config.ScrapeConfig"
    } else if fields.contains(&"target_label") {
        "relabel.plain"
    } else if let Some(name) = super::sd::go_type(fields) {
        name
    } else if fields.contains(&"basic_auth_users") {
        "web.Config"
    } else if fields.contains(&"own_namespace") {
        "kubernetes.plain"
    } else {
        "config.plain"
    }
}

/// Returns the known name that is at most two edits away from `field`.
fn closest(field: &str, known: &[&'static str]) -> Option<&'static str> {
    let (distance, name) = known.iter().map(|name| (edits(field, name), *name)).min()?;
    (distance <= 2).then_some(name)
}

/// Levenshtein's distance in bytes.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn distance() {
        assert_eq!(edits("consult", "consul"), 1);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(
            closest("scrape_intervall", &["scrape_interval", "job_name"]),
            Some("scrape_interval")
        );
        assert_eq!(closest("zzz", &["scrape_interval"]), None);
    }

    #[test]
    fn binary_scalars() {
        let error = |text: &str| {
            let parsed = parse::<BTreeMap<String, String>>(text);
            parsed.unwrap_err().message
        };
        assert_eq!(
            error("!!binary \"/w==\": a\n"),
            "\"\\xff\" is not a valid label name"
        );
        assert_eq!(error("a: !!binary /w==\n"), "\"\\xff\" is not a valid text");
        assert_eq!(
            error("a: !!binary '?'\n"),
            "!!binary value contains invalid base64 data"
        );
    }

    #[test]
    fn positions() {
        let error = parse::<BTreeMap<String, i64>>("a: 1\nb: x\n").unwrap_err();
        assert_eq!(error.line, 2, "{error}");
        let error = parse::<BTreeMap<String, i64>>("a: 1\na: 2\n").unwrap_err();
        assert_eq!(
            (error.line, error.message.as_str()),
            (2, "field a already set in type config.plain")
        );
    }
}
