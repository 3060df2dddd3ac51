//! The older language: values may stand without quotes up to the next comma, names are of the legacy kind.

use model::name::is_legacy_metric_name;
use model::{MatchOp, Matcher};

use crate::template::go_regex_error;

/// Parses a list of matchers. A brace at either end may be missing.
///
/// # Errors
///
/// The part that is no matcher.
pub(super) fn parse(text: &str) -> Result<Vec<Matcher>, String> {
    let text = text.strip_prefix('{').unwrap_or(text);
    let text = text.strip_suffix('}').unwrap_or(text);
    parts(text).into_iter().map(matcher).collect()
}

/// Splits at the commas outside of quotes. What is empty after the last comma is left out.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut is_quoted, mut is_escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            ',' if !is_quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
                is_escaped = false;
            }
            '"' if !is_escaped => is_quoted = !is_quoted,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
        if c == '"' {
            is_escaped = false;
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() {
        parts.push(last);
    }
    parts
}

/// Parses one matcher.
///
/// # Errors
///
/// When it is none.
pub(super) fn matcher(part: &str) -> Result<Matcher, String> {
    let bad = || format!("bad matcher format: {part}");
    let trimmed = part.trim();
    let name_end = trimmed
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .ok_or_else(bad)?;
    let (name, rest) = trimmed.split_at(name_end);
    if !is_legacy_metric_name(name) {
        return Err(bad());
    }
    let (op, value) = operator(rest.trim_start()).ok_or_else(bad)?;
    let value = value.trim();
    let unescaped = unescape(value)
        .ok_or_else(|| format!("matcher value contains unescaped double quote: {value}"))?;
    Matcher::new(name, op, unescaped)
        .map_err(|error| go_regex_error(&format!("^(?:{})$", error.pattern)))
}

/// Reads an operator and returns it with what follows.
pub(super) fn operator(text: &str) -> Option<(MatchOp, &str)> {
    [
        (MatchOp::Regex, "=~"),
        (MatchOp::NotRegex, "!~"),
        (MatchOp::NotEqual, "!="),
        (MatchOp::Equal, "="),
    ]
    .into_iter()
    .find_map(|(op, sign)| text.strip_prefix(sign).map(|rest| (op, rest)))
}

/// Returns what a value, quoted or not, stands for; nothing if a double quote in it is neither escaped nor at an end.
/// Only `\n`, `\"` and `\\` are escapes; another backslash stands for itself.
fn unescape(raw: &str) -> Option<String> {
    let body = match raw.strip_prefix('"') {
        Some(body) => body.strip_suffix('"')?,
        None => raw,
    };
    let mut value = String::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return None,
            '\\' => match chars.next() {
                Some('n') => value.push('\n'),
                Some(c @ ('"' | '\\')) => value.push(c),
                Some(c) => value.extend(['\\', c]),
                // The backslash was before the closing quote, which then does not close.
                None if raw.starts_with('"') => return None,
                None => value.push('\\'),
            },
            c => value.push(c),
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backslashes() {
        assert_eq!(unescape("a\\"), Some("a\\".to_owned()));
        assert_eq!(unescape("\"a\\\""), None);
        assert_eq!(unescape("\"a\\\\\""), Some("a\\".to_owned()));
        assert_eq!(unescape("\"a\\d\""), Some("a\\d".to_owned()));
        assert_eq!(unescape("\""), None);
    }

    #[test]
    fn commas_in_quotes_are_part_of_the_value() {
        assert_eq!(parts(r#"a="x,\"y,",b=c,"#), [r#"a="x,\"y,""#, "b=c"]);
        assert_eq!(parts(r"a=\\,b"), [r"a=\\", "b"]);
    }
}
