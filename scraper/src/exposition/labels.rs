//! From a series as written to its labels. Needed once per series, when it is first seen.

use std::borrow::Cow;

use model::labels::METRIC_NAME;
use model::metadata::MetricType;

/// A label as it was exposed; both parts borrow unless there was something to unescape.
pub type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Appends the labels of `series` to `out`, the metric name first or where it stood in quotes.
///
/// * `series`: as [`super::SeriesLine::series`] gives it; of anything else the result is unspecified.
/// * `kind`: the type of the family. The bounds of histograms and the quantiles of summaries are written as
///   OpenMetrics does (`1` becomes `1.0`), as since Prometheus 3.
pub fn decode<'a>(series: &'a str, kind: MetricType, out: &mut Vec<Pair<'a>>) {
    let name_end = series.find(['{', ' ', '\t']).unwrap_or(series.len());
    if 0 < name_end {
        out.push((
            Cow::Borrowed(METRIC_NAME),
            Cow::Borrowed(&series[..name_end]),
        ));
    }
    let Some(open) = series.find('{') else { return };
    let mut rest = &series[open + 1..];
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() || rest.starts_with('}') {
            return;
        }
        let (name, after) = word(rest);
        let after = after.trim_start_matches([' ', '\t']);
        let Some(after) = after.strip_prefix('=') else {
            out.push((Cow::Borrowed(METRIC_NAME), name));
            rest = after;
            continue;
        };
        let (value, after) = word(after.trim_start_matches([' ', '\t']));
        let value = if is_bound(kind, &name) {
            normalized(value)
        } else {
            value
        };
        out.push((name, value));
        rest = after;
    }
}

/// Returns the word or string at the start of `text`, unescaped, and what comes after it.
fn word(text: &str) -> (Cow<'_, str>, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(text.len());
        // A text that is not a series must not hold us up for ever.
        let end = if end == 0 {
            text.chars().next().map_or(0, char::len_utf8)
        } else {
            end
        };
        return (Cow::Borrowed(&text[..end]), &text[end..]);
    };
    let bytes = quoted.as_bytes();
    let mut end = 0;
    while end < bytes.len() && bytes[end] != b'"' {
        end += 1 + usize::from(bytes[end] == b'\\');
    }
    match (quoted.get(..end), quoted.get(end + 1..)) {
        (Some(inside), after) => (unescape(inside), after.unwrap_or_default()),
        (None, _) => (Cow::Borrowed(quoted), ""),
    }
}

/// Returns a name as written, bare or in quotes, without the quotes.
pub(super) fn unquoted(name: &str) -> Cow<'_, str> {
    let inside = name
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inside.map_or(Cow::Borrowed(name), unescape)
}

/// Returns `text` with `\\`, `\"` and `\n` unescaped; other backslashes stand for themselves.
pub fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        let mut rest = characters.clone();
        let unescaped = match (c, rest.next()) {
            ('\\', Some('n')) => '\n',
            ('\\', Some(escaped @ ('"' | '\\'))) => escaped,
            _ => {
                out.push(c);
                continue;
            }
        };
        out.push(unescaped);
        characters = rest;
    }
    Cow::Owned(out)
}

fn is_bound(kind: MetricType, name: &str) -> bool {
    matches!(
        (kind, name),
        (MetricType::Histogram, "le") | (MetricType::Summary, "quantile")
    )
}

/// Returns `value` as OpenMetrics writes that float; what is no float stays.
fn normalized(value: Cow<'_, str>) -> Cow<'_, str> {
    let Some(number) = super::number::parse(&value) else {
        return value;
    };
    let mut text = String::new();
    super::key::push_bound(&mut text, number);
    Cow::Owned(text)
}
