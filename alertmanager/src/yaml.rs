//! YAML of configuration and rule files.

use model::de::erased::{self, AnySeed};
use serde::de::{DeserializeOwned, DeserializeSeed as _};
use serde_saphyr::{Error, Options, budget, options, with_deserializer_from_str_with_options};

/// Parses the one document of `text`.
///
/// The limits are far above what people write (the largest rule files are generated and have tens of thousands of rules),
/// and keep a hostile file from taking all memory: what aliases unfold to is bounded too.
pub(crate) fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let options = options! {
        budget: budget! {
            max_events: 20_000_000,
            max_nodes: 10_000_000,
            // One anchor that many rules share is usual.
            enforce_alias_anchor_ratio: false,
        },
    };
    read(text, options)
}

/// Parses a text that came out of a template: smaller limits, for what is in it may come from anybody.
pub(crate) fn from_expanded(text: &str) -> Result<serde_json::Value, Error> {
    let options = options! {
        budget: budget! {
            max_events: 200_000,
            max_nodes: 100_000,
        },
    };
    read(text, options)
}

fn read<T: DeserializeOwned>(text: &str, options: Options) -> Result<T, Error> {
    erased::read(|seed| read_seed(text, options, seed))
}

fn read_seed<'de>(text: &'de str, options: Options, seed: AnySeed<'_, 'de>) -> Result<(), Error> {
    with_deserializer_from_str_with_options(text, options, |reader| seed.deserialize(reader))
}

/// Returns `value` as YAML.
///
/// # Errors
///
/// When a map key is not a scalar, which configuration types never have.
pub(crate) fn print<T: serde::Serialize>(value: &T) -> Result<String, String> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(value, options).map_err(|error| error.to_string())
}

/// Returns what is wrong on one line, without the place, in the words that users know.
pub(crate) fn message(error: &Error) -> String {
    let text = error.without_snippet().to_string();
    let text = text.lines().next().unwrap_or_default();
    // The place is told apart.
    let text = text.rsplit_once(" at line ").map_or(text, |(text, _)| text);
    let text = text
        .split_once(", set Duplicate")
        .map_or(text, |(text, _)| text);
    match text
        .split_once("unknown field `")
        .and_then(|(_, rest)| rest.split_once('`'))
    {
        Some((field, rest)) => format!("field {field} not found{rest}"),
        None => text.to_owned(),
    }
}

/// Returns tag and beginning of what `text` is if it is neither a mapping nor empty, as Go's YAML reader shows them.
pub(crate) fn not_a_mapping(text: &str) -> Option<String> {
    use serde_json::Value;
    let (tag, scalar) = match from_str(text).ok()? {
        Value::Null | Value::Object(_) => return None,
        Value::Array(_) => return Some("!!seq".to_owned()),
        Value::Bool(value) => ("!!bool", value.to_string()),
        Value::Number(value) if value.is_f64() => ("!!float", value.to_string()),
        Value::Number(value) => ("!!int", value.to_string()),
        Value::String(value) => ("!!str", value),
    };
    // It cuts bytes, we do not cut a character.
    let scalar = match scalar.len() {
        0..=10 => scalar,
        _ => format!("{}...", &scalar[..scalar.floor_char_boundary(7)]),
    };
    Some(format!("{tag} `{scalar}`"))
}

/// Returns the line and column of an error, from 1; zeros when they are not known.
pub(crate) fn place(error: &Error) -> (u64, u64) {
    error
        .location()
        .map_or((0, 0), |location| (location.line(), location.column()))
}
