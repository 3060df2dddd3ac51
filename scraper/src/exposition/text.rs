//! Prometheus' text format 0.0.4, which reads 1.0.0 (quoted names) too.
//!
//! Source: [exposition formats](https://prometheus.io/docs/instrumenting/exposition_formats/), and where that is
//! silent, Prometheus' own lexer: blanks between any tokens, no carriage returns, `# ` without HELP or TYPE is a comment.

use model::metadata::MetricType;

use super::cursor::{Cursor, Spacing, is_name_byte};
use super::{Event, Expected, MetadataKind, MetadataLine, ParseError, SeriesLine};

pub(super) fn next<'a>(
    cursor: &mut Cursor<'a>,
    expected: Expected,
    is_trusting: bool,
) -> Result<Option<Event<'a>>, ParseError> {
    loop {
        match cursor.peek() {
            None => return Ok(None),
            Some(b'\n' | b' ' | b'\t') => cursor.skip(1),
            Some(b'#') if is_trusting => {
                let line = cursor.take_line();
                if !is_plain(line) {
                    return Ok(Some(Event::Comment(line)));
                }
            }
            Some(b'#') => {
                if let Some(line) = comment(cursor)? {
                    return Ok(Some(Event::Metadata(line)));
                }
            }
            Some(_) => return series(cursor, expected).map(|line| Some(Event::Series(line))),
        }
    }
}

/// Returns whether a comment says nothing about a family, for sure: those may change from scrape to scrape.
fn is_plain(line: &str) -> bool {
    !matches!(
        line.as_bytes(),
        [b'#', b' ', b'H' | b'T' | b' ' | b'\t', ..] | [b'#', b'\t', ..]
    )
}

/// Returns whether a comment is a `# TYPE` line.
pub(super) fn is_type(line: &str) -> bool {
    line.starts_with("# TYPE")
        || line
            .strip_prefix('#')
            .is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with("TYPE"))
}

fn series<'a>(cursor: &mut Cursor<'a>, expected: Expected) -> Result<SeriesLine<'a>, ParseError> {
    let start = cursor.at();
    let is_expected = cursor.eat_series(expected);
    if !is_expected {
        cursor.series(Spacing::Free)?;
    }
    let series = cursor.since(start);
    cursor.skip_blanks();
    let value = cursor.value()?;
    let timestamp_ms = timestamp(cursor)?;
    Ok(SeriesLine {
        series,
        is_expected,
        value,
        timestamp_ms,
        exemplar: None,
    })
}

/// Moves behind the end of the line and returns the timestamp before it, if there is one.
fn timestamp(cursor: &mut Cursor<'_>) -> Result<Option<i64>, ParseError> {
    if cursor.eat(b'\n') {
        return Ok(None);
    }
    cursor.skip_blanks();
    let token = cursor.take_until(|b| !(b.is_ascii_digit() || b == b'-'));
    let timestamp_ms = if token.is_empty() {
        None
    } else {
        Some(
            token
                .parse()
                .map_err(|_| cursor.error("expected timestamp or new record"))?,
        )
    };
    cursor.skip_blanks();
    if cursor.eat(b'\n') || cursor.peek().is_none() {
        return Ok(timestamp_ms);
    }
    Err(cursor.error(match timestamp_ms {
        Some(_) => "expected next entry after timestamp",
        None => "expected timestamp or new record",
    }))
}

/// Moves behind a line that starts with `#` and returns what it says, if it is more than a comment.
fn comment<'a>(cursor: &mut Cursor<'a>) -> Result<Option<MetadataLine<'a>>, ParseError> {
    cursor.skip(1);
    let keyword_at = cursor.at();
    cursor.skip_blanks();
    let has_blank = keyword_at < cursor.at();
    let is_help = cursor.bytes().starts_with(b"HELP");
    let is_type = cursor.bytes().starts_with(b"TYPE");
    let has_text = matches!(cursor.bytes().get(4), Some(b' ' | b'\t'));
    if !(has_blank && has_text && (is_help || is_type)) {
        cursor.take_line();
        return Ok(None);
    }
    cursor.skip(4);
    cursor.skip_blanks();
    let family = family(cursor)?;
    // One character between the name and the text, whatever it is, belongs to neither.
    let text_at = cursor.at();
    let text = cursor.take_line();
    let text = text.get(1..).unwrap_or_default();
    if is_help {
        return Ok(Some(MetadataLine {
            family,
            what: MetadataKind::Help(text),
        }));
    }
    let kind = match text {
        "counter" => MetricType::Counter,
        "gauge" => MetricType::Gauge,
        "histogram" => MetricType::Histogram,
        "summary" => MetricType::Summary,
        "untyped" => MetricType::Unknown,
        _ => {
            cursor.move_to(text_at);
            return Err(cursor.error("invalid metric type"));
        }
    };
    Ok(Some(MetadataLine {
        family,
        what: MetadataKind::Type(kind),
    }))
}

/// Returns the family name here, bare or in quotes, and moves behind it.
pub(super) fn family<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, ParseError> {
    let start = cursor.at();
    if cursor.peek() == Some(b'"') {
        // Comments end with their line, so that they can be told apart without being looked into.
        cursor.string(Spacing::Strict)?;
        return Ok(cursor.since(start));
    }
    let name = cursor.take_until(|b| !is_name_byte(b));
    if name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
        cursor.move_to(start);
        return Err(cursor.error("expected metric name after HELP or TYPE"));
    }
    Ok(name)
}
