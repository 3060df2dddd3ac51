//! Series descriptions: a metric, then its values.

use std::sync::Arc;

use model::{FloatHistogram, Labels, SampleValue, stale_nan};

use super::histogram;
use crate::histogram::{add, subtract};

/// A metric and its values, one per position.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesLine {
    /// The labels.
    pub labels: Labels,
    /// The values; none where one is left out.
    pub values: Vec<Option<SeriesValue>>,
    /// From the time of each sample to its start timestamp, in milliseconds; shorter where no more are known.
    pub starts: Vec<Option<i64>>,
}

/// One value of a series description.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesValue {
    /// The value.
    pub value: SampleValue,
    /// Whether it is a histogram whose reset hint was written.
    pub has_reset_hint: bool,
}

/// Longer repetitions are refused.
const VALUES_MAX: usize = 1_000_000;

/// Reads a line like `name{label="value"} 1 2+3x4 _ stale`.
///
/// # Errors
///
/// A text that says what is wrong.
pub fn read_series(line: &str) -> Result<SeriesLine, String> {
    let (metric, values) = split_metric(line);
    Ok(SeriesLine {
        labels: read_metric(metric)?,
        values: read_values(values)?,
        starts: Vec::new(),
    })
}

/// Splits a line after its metric: at the first blank outside of braces and quotes.
pub(super) fn split_metric(line: &str) -> (&str, &str) {
    let (mut in_braces, mut quote, mut escaped) = (false, None, false);
    for (at, c) in line.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some('"' | '\'') if c == '\\' => escaped = true,
            Some(open) if open == c => quote = None,
            Some(_) => (),
            None => match c {
                '"' | '\'' | '`' => quote = Some(c),
                '{' => in_braces = true,
                '}' => in_braces = false,
                ' ' | '\t' if !in_braces => return (&line[..at], line[at..].trim()),
                _ => (),
            },
        }
    }
    (line, "")
}

/// Reads a metric.
pub(super) fn read_metric(text: &str) -> Result<Labels, String> {
    let matchers = crate::parse::parse_metric(text).map_err(|error| error.to_string())?;
    Ok(Labels::from_pairs(
        matchers
            .iter()
            .map(|matcher| (matcher.name(), matcher.value())),
    ))
}

/// Reads values, separated by blanks.
pub(super) fn read_values(text: &str) -> Result<Vec<Option<SeriesValue>>, String> {
    let mut values = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        rest = read_item(rest, &mut values)?.trim_start();
        if VALUES_MAX < values.len() {
            return Err(format!("more than {VALUES_MAX} values"));
        }
    }
    Ok(values)
}

/// Reads one item; returns what follows it.
fn read_item<'t>(text: &'t str, out: &mut Vec<Option<SeriesValue>>) -> Result<&'t str, String> {
    if let Some(rest) = text.strip_prefix("{{") {
        return read_histograms(rest, out);
    }
    let end = text.find([' ', '\t']).unwrap_or(text.len());
    let (item, rest) = text.split_at(end);
    if let Some(times) = item.strip_prefix('_') {
        let times = match times.strip_prefix('x') {
            Some(times) => count(times)?,
            None if times.is_empty() => 1,
            None => return Err(format!("bad value {item}")),
        };
        out.extend(std::iter::repeat_n(None, times));
        return Ok(rest);
    }
    if item == "stale" {
        out.push(Some(float(stale_nan())));
        return Ok(rest);
    }
    let (first, after) = number(item).ok_or_else(|| format!("bad value {item}"))?;
    if after.is_empty() {
        out.push(Some(float(first)));
        return Ok(rest);
    }
    let (step, times) = match after.strip_prefix('x') {
        Some(times) => (0.0, times),
        None => {
            let (step, after) = number(after).ok_or_else(|| format!("bad value {item}"))?;
            let times = after
                .strip_prefix('x')
                .ok_or_else(|| format!("bad value {item}"))?;
            (step, times)
        }
    };
    let mut value = first;
    for _ in 0..=count(times)? {
        out.push(Some(float(value)));
        value += step;
    }
    Ok(rest)
}

fn float(value: f64) -> SeriesValue {
    SeriesValue {
        value: SampleValue::Float(value),
        has_reset_hint: false,
    }
}

fn count(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|&count| count <= VALUES_MAX)
        .ok_or_else(|| format!("bad count {text}"))
}

/// Reads `…}}`, `…}}xN`, `…}}+{{…}}xN`, `…}}-{{…}}xN`.
fn read_histograms<'t>(
    text: &'t str,
    out: &mut Vec<Option<SeriesValue>>,
) -> Result<&'t str, String> {
    let (body, rest) = text.split_once("}}").ok_or("unclosed {{")?;
    let (first, mut has_hint) = histogram::read(body)?;
    let (sign, rest) = match rest.as_bytes().first() {
        Some(b'x') => (0, rest),
        Some(b'+') => (1, &rest[1..]),
        Some(b'-') => (-1, &rest[1..]),
        _ => {
            out.push(Some(of_histogram(first, has_hint)));
            return Ok(rest);
        }
    };
    let (step, rest) = match rest.strip_prefix("{{") {
        Some(step) => {
            let (body, rest) = step.split_once("}}").ok_or("unclosed {{")?;
            let (step, step_has_hint) = histogram::read(body)?;
            has_hint = step_has_hint;
            (Some(step), rest)
        }
        None => (None, rest),
    };
    let times = rest.strip_prefix('x').ok_or("expected x after histogram")?;
    let end = times.find([' ', '\t']).unwrap_or(times.len());
    let mut value = first;
    for _ in 0..=count(&times[..end])? {
        out.push(Some(of_histogram(value.clone(), has_hint)));
        if let Some(step) = &step {
            let added = if sign < 0 {
                subtract(&mut value, step)
            } else {
                add(&mut value, step)
            };
            added.map_err(|_| "histograms of different kinds")?;
        }
    }
    Ok(&times[end..])
}

fn of_histogram(histogram: FloatHistogram, has_reset_hint: bool) -> SeriesValue {
    SeriesValue {
        value: SampleValue::Histogram(Arc::new(histogram)),
        has_reset_hint,
    }
}

/// Reads a number at the start of `text`, with an optional sign; returns what follows it. No hexadecimal.
pub(super) fn number(text: &str) -> Option<(f64, &str)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    for (word, value) in [("inf", f64::INFINITY), ("nan", f64::NAN)] {
        if unsigned
            .get(..3)
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
        {
            return Some((sign * value, &unsigned[3..]));
        }
    }
    let bytes = unsigned.as_bytes();
    let digits = |from: usize| {
        let run = bytes[from..]
            .iter()
            .take_while(|b| b.is_ascii_digit() || **b == b'_');
        from + run.count()
    };
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
            end = digits(end + 1 + sign);
        }
    }
    let value: f64 = unsigned[..end].replace('_', "").parse().ok()?;
    Some((sign * value, &unsigned[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let found = match read_series(line) {
            Err(error) => error,
            Ok(series) => {
                let values = series.values.iter().map(|value| match value {
                    None => "_".to_owned(),
                    Some(SeriesValue {
                        value: SampleValue::Float(value),
                        ..
                    }) => value.to_string(),
                    Some(SeriesValue {
                        value: SampleValue::Histogram(value),
                        ..
                    }) => value.to_string(),
                });
                let values: Vec<String> = values.collect();
                format!("{} {}", series.labels, values.join(" "))
            }
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn values() {
        check("a 1 -2.5 1e3 .5 1_000", "a 1 -2.5 1000 0.5 1000");
        check("a{b=\"c d\"} 1x2 _ _x2 0x1", "a{b=\"c d\"} 1 1 1 _ _ _ 0 0");
        check("a 1+2x2 10-5x1 -Inf NaN", "a 1 3 5 10 5 -inf NaN");
        check("a 1?", "bad value 1?");
    }

    #[test]
    fn histograms() {
        check(
            "a {{schema:0 sum:1 count:2 buckets:[1 1]}}+{{count:1}}x1",
            "a {count:2, sum:1, (0.5,1]:1, (1,2]:1} {count:3, sum:1, (0.5,1]:1, (1,2]:1}",
        );
    }
}
