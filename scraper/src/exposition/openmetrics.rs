//! OpenMetrics text 1.0, as strict as Prometheus reads it: single spaces, no empty lines, `# EOF` at the end and
//! nothing after it.
//!
//! Source: [OpenMetrics 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/).

use model::metadata::MetricType;

use super::cursor::{Cursor, Spacing};
use super::{
    Event, ExemplarText, Expected, MetadataKind, MetadataLine, ParseError, SeriesLine, text,
};

pub(super) fn next<'a>(
    cursor: &mut Cursor<'a>,
    expected: Expected,
    is_trusting: bool,
) -> Result<Option<Event<'a>>, ParseError> {
    match cursor.peek() {
        None => Err(cursor.error("data does not end with # EOF")),
        Some(b'#') if is_trusting && !cursor.bytes().starts_with(b"# EOF") => {
            Ok(Some(Event::Comment(cursor.take_line())))
        }
        Some(b'#') => Ok(comment(cursor)?.map(Event::Metadata)),
        Some(_) => Ok(Some(Event::Series(series(cursor, expected)?))),
    }
}

fn series<'a>(cursor: &mut Cursor<'a>, expected: Expected) -> Result<SeriesLine<'a>, ParseError> {
    let start = cursor.at();
    let is_expected = cursor.eat_series(expected);
    if !is_expected {
        cursor.series(Spacing::Strict)?;
    }
    let series = cursor.since(start);
    if !cursor.eat(b' ') {
        return Err(cursor.error("expected value after metric"));
    }
    let value = cursor.value()?;
    let (mut timestamp_ms, mut found) = (None, None);
    if !cursor.eat(b'\n') {
        if !at_exemplar(cursor) {
            timestamp_ms = Some(timestamp(cursor)?);
        }
        if at_exemplar(cursor) {
            found = Some(exemplar(cursor)?);
        }
        if !cursor.eat(b'\n') {
            return Err(end_error(cursor, "expected next entry after timestamp"));
        }
    }
    Ok(SeriesLine {
        series,
        is_expected,
        value,
        timestamp_ms,
        exemplar: found,
    })
}

/// Without a line's end the body is cut short, which is the better thing to say.
fn end_error(cursor: &Cursor<'_>, expected: &str) -> ParseError {
    match cursor.peek() {
        None => cursor.error("data does not end with # EOF"),
        Some(_) => cursor.error(expected),
    }
}

/// Returns the timestamp here, a space and seconds, in milliseconds.
fn timestamp(cursor: &mut Cursor<'_>) -> Result<i64, ParseError> {
    if !cursor.eat(b' ') {
        return Err(end_error(cursor, "expected timestamp or # symbol"));
    }
    let start = cursor.at();
    let seconds = cursor.value();
    let seconds = seconds
        .ok()
        .filter(|seconds| seconds.is_finite() && seconds.abs() < 9.2e15);
    let Some(seconds) = seconds else {
        cursor.move_to(start);
        return Err(cursor.error("invalid timestamp"));
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "bounded just above; Prometheus cuts it off too"
    )]
    Ok((seconds * 1_000.0) as i64)
}

fn at_exemplar(cursor: &Cursor<'_>) -> bool {
    cursor.bytes().starts_with(b" # {")
}

/// Returns the exemplar here, ` # {labels} value` and perhaps a timestamp, and moves behind it.
fn exemplar<'a>(cursor: &mut Cursor<'a>) -> Result<ExemplarText<'a>, ParseError> {
    cursor.skip(3);
    let start = cursor.at();
    cursor.braces(Spacing::Strict, false)?;
    let labels = cursor.since(start);
    if !cursor.eat(b' ') {
        return Err(cursor.error("expected value after exemplar labels"));
    }
    let value = cursor.value()?;
    let timestamp_ms = match cursor.peek() {
        Some(b' ') => Some(timestamp(cursor)?),
        _ => None,
    };
    Ok(ExemplarText {
        labels,
        value,
        timestamp_ms,
    })
}

/// Moves behind a line that starts with `#` and returns what it says; `None` is the end.
fn comment<'a>(cursor: &mut Cursor<'a>) -> Result<Option<MetadataLine<'a>>, ParseError> {
    let bytes = cursor.bytes();
    if bytes.starts_with(b"# EOF") {
        cursor.skip(5);
        cursor.eat(b'\n');
        return match cursor.peek() {
            None => Ok(None),
            Some(_) => Err(cursor.error("unexpected data after # EOF")),
        };
    }
    let keyword = bytes.get(..7).unwrap_or_default();
    if !matches!(keyword, b"# HELP " | b"# TYPE " | b"# UNIT ") {
        return Err(cursor.error("expected # HELP, # TYPE, # UNIT or # EOF"));
    }
    cursor.skip(7);
    let family = text::family(cursor)?;
    let text_at = cursor.at();
    if !cursor.eat(b' ') {
        return Err(cursor.error("expected text after the metric name"));
    }
    let text = cursor.take_line();
    let what = match keyword {
        b"# HELP " => Ok(MetadataKind::Help(text)),
        b"# TYPE " => MetricType::from_exposition(text)
            .filter(|_| text != "untyped")
            .map(MetadataKind::Type)
            .ok_or("invalid metric type"),
        _ if is_suffix(family, text) => Ok(MetadataKind::Unit(text)),
        _ => Err("the unit is not a suffix of the metric name"),
    };
    let what = what.map_err(|expected| {
        cursor.move_to(text_at);
        cursor.error(expected)
    })?;
    Ok(Some(MetadataLine { family, what }))
}

/// Returns whether `family` ends in `_` and `unit`; no unit is the suffix of anything.
fn is_suffix(family: &str, unit: &str) -> bool {
    let family = family.trim_matches('"');
    unit.is_empty()
        || family
            .strip_suffix(unit)
            .is_some_and(|stem| stem.ends_with('_'))
}
