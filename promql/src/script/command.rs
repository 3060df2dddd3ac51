//! Scripts to commands.

use regex::Regex;

use super::nhcb;
use super::series::{SeriesLine, read_metric, read_series, read_values, split_metric};
use super::starts;
use super::storage::MemoryStorage;

/// Why a script could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    /// Where, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// One command.
#[derive(Clone, Debug)]
pub enum Command {
    /// Forget all samples.
    Clear,
    /// Store samples.
    Load(Load),
    /// Evaluate a query.
    Eval(Box<Eval>),
}

/// Samples to be stored.
#[derive(Clone, Debug)]
pub struct Load {
    /// From value to value, in milliseconds.
    step: i64,
    series: Vec<SeriesLine>,
    with_nhcb: bool,
}

/// When a query is evaluated, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

/// A query and what is expected of it.
#[derive(Clone, Debug)]
pub struct Eval {
    /// The line in the script, from 1.
    pub line: usize,
    /// The query.
    pub query: String,
    /// The lines that say what is expected.
    pub(super) lines: Vec<String>,
    pub(super) when: When,
    pub(super) expected: Expected,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    pub(super) series: Vec<SeriesLine>,
    pub(super) scalar: Option<f64>,
    pub(super) string: Option<String>,
    /// The result is a range vector: its first time and its step.
    pub(super) range_vector: Option<(i64, i64)>,
    pub(super) is_ordered: bool,
    pub(super) failure: Option<Text>,
    pub(super) warnings: Notes,
    pub(super) infos: Notes,
}

/// A text that is expected.
#[derive(Clone, Debug)]
pub(super) enum Text {
    Any,
    Exactly(String),
    Matching(Regex),
}

impl Text {
    pub(super) fn accepts(&self, text: &str) -> bool {
        match self {
            Text::Any => true,
            Text::Exactly(expected) => expected == text,
            Text::Matching(regex) => regex.is_match(text),
        }
    }
}

/// The annotations of one kind that are expected.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    pub(super) some: Vec<Text>,
    pub(super) none: bool,
}

impl Load {
    /// Stores the samples.
    pub(super) fn store(&self, storage: &mut MemoryStorage) {
        let mut all: Vec<&SeriesLine> = Vec::new();
        for series in &self.series {
            all.retain(|other| other.labels != series.labels);
            all.push(series);
        }
        for series in &all {
            for (index, value) in series.values.iter().enumerate() {
                if let Some(value) = value {
                    let t = self.step * i64::try_from(index).unwrap_or(0);
                    let start = series.starts.get(index).copied().flatten();
                    let start = start.map_or(0, |offset| t + offset);
                    storage.push_since(&series.labels, t, value.value.clone(), start);
                }
            }
        }
        if self.with_nhcb {
            nhcb::store(&all, self.step, storage);
        }
        storage.settle();
    }
}

/// Returns the commands of the script `text`.
///
/// # Errors
///
/// At the first line that is no command.
pub fn read(text: &str) -> Result<Vec<Command>, ScriptError> {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .map(|line| if line.starts_with('#') { "" } else { line })
        .collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let head = lines[at];
        let word = head
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let start = at;
        at += 1;
        let wrong = |at: usize, message: String| ScriptError {
            line: at + 1,
            message,
        };
        match word.as_str() {
            "" => (),
            "clear" => commands.push(Command::Clear),
            word if word.starts_with("load") => {
                let mut load = read_load(head).map_err(|message| wrong(start, message))?;
                let mut pending = None;
                while at < lines.len() && !lines[at].is_empty() {
                    match starts::read(lines[at]).map_err(|message| wrong(at, message))? {
                        Some(starts) => pending = Some(starts),
                        None => {
                            let read = read_series(lines[at]);
                            let mut series = read.map_err(|message| wrong(at, message))?;
                            if let Some(starts) = pending.take() {
                                let added = starts::add(starts, &mut series);
                                added.map_err(|message| wrong(at, message))?;
                            }
                            load.series.push(series);
                        }
                    }
                    at += 1;
                }
                if pending.is_some() {
                    let message = "start timestamps without samples".to_owned();
                    return Err(wrong(at - 1, message));
                }
                commands.push(Command::Load(load));
            }
            word if word.starts_with("eval") => {
                let mut eval =
                    read_eval(head, start + 1).map_err(|message| wrong(start, message))?;
                while at < lines.len() && !lines[at].is_empty() {
                    let goes_on = eval
                        .expect(lines[at])
                        .map_err(|message| wrong(at, message))?;
                    eval.lines.push(lines[at].to_owned());
                    at += 1;
                    if !goes_on {
                        break;
                    }
                }
                commands.push(Command::Eval(Box::new(eval)));
            }
            word => return Err(wrong(start, format!("unknown command {word}"))),
        }
    }
    Ok(commands)
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| error.to_string())
}

/// Reads a duration, which may have a sign.
pub(super) fn duration(text: &str) -> Result<i64, String> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (-1, text),
        None => (1, text),
    };
    let duration: model::Duration = text.parse().map_err(|error| format!("{error}"))?;
    Ok(sign * duration.as_ms())
}

fn read_load(head: &str) -> Result<Load, String> {
    let found = pattern(r"^load(?:_(with_nhcb))?\s+(.+?)$")?;
    let parts = found.captures(head).ok_or("expected load <step>")?;
    Ok(Load {
        step: duration(&parts[2])?,
        series: Vec::new(),
        with_nhcb: parts.get(1).is_some(),
    })
}

fn read_eval(head: &str, line: usize) -> Result<Eval, String> {
    let instant =
        pattern(r"^eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)$")?;
    let range = pattern(
        r"^eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)$",
    )?;
    let (kind, when, query) = if let Some(parts) = instant.captures(head) {
        let at = parts.get(2).map_or(Ok(0), |at| duration(at.as_str()))?;
        (
            parts.get(1).map(|kind| kind.as_str().to_owned()),
            When::Instant(at),
            parts[3].to_owned(),
        )
    } else if let Some(parts) = range.captures(head) {
        let when = When::Range {
            start: duration(&parts[2])?,
            end: duration(&parts[3])?,
            step: duration(&parts[4])?,
        };
        (
            parts.get(1).map(|kind| kind.as_str().to_owned()),
            when,
            parts[5].to_owned(),
        )
    } else {
        return Err("expected eval instant at <time> <query> or eval range from <time> to <time> step <step> <query>".to_owned());
    };
    let mut expected = Expected::default();
    match kind.as_deref() {
        Some("fail") => expected.failure = Some(Text::Any),
        Some("warn") => expected.warnings.some.push(Text::Any),
        Some("info") => expected.infos.some.push(Text::Any),
        Some(_) => expected.is_ordered = true,
        None => (),
    }
    Ok(Eval {
        line,
        query,
        lines: Vec::new(),
        when,
        expected,
    })
}

impl Eval {
    /// Reads a line of what is expected; returns whether more may follow.
    fn expect(&mut self, line: &str) -> Result<bool, String> {
        let expected = &mut self.expected;
        if let Some(text) = line.strip_prefix("expected_fail_message ") {
            expected.failure = Some(Text::Exactly(text.trim().to_owned()));
            return Ok(false);
        }
        if let Some(regex) = line.strip_prefix("expected_fail_regexp ") {
            expected.failure = Some(Text::Matching(pattern(regex.trim())?));
            return Ok(false);
        }
        if line
            .strip_prefix("expect")
            .is_some_and(|rest| rest.starts_with([' ', '\t']))
        {
            self.expect_line(line)?;
            return Ok(true);
        }
        if let Some(value) = scalar(line) {
            expected.scalar = Some(value);
            return Ok(false);
        }
        let (metric, values) = split_metric(line);
        expected.series.push(SeriesLine {
            labels: read_metric(metric)?,
            values: read_values(values)?,
            starts: Vec::new(),
        });
        Ok(true)
    }

    fn expect_line(&mut self, line: &str) -> Result<(), String> {
        let expected = &mut self.expected;
        let range = pattern(r"^expect\s+range\s+vector\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+)$")?;
        if let Some(parts) = range.captures(line) {
            expected.range_vector = Some((duration(&parts[1])?, duration(&parts[3])?));
            self.when = When::Instant(duration(&parts[2])?);
            return Ok(());
        }
        let string = pattern(r"^expect\s+string\s+(.+)$")?;
        if let Some(parts) = string.captures(line) {
            let literal = crate::parse(&parts[1]).map_err(|error| error.to_string())?;
            let crate::Expr::String(literal) = literal else {
                return Err("expected a quoted string".to_owned());
            };
            expected.string = Some(literal.value);
            return Ok(());
        }
        let other = pattern(
            r"^expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?$",
        )?;
        let parts = other
            .captures(line)
            .ok_or_else(|| format!("unknown expectation: {line}"))?;
        let text = match (parts.get(2).map(|kind| kind.as_str()), parts.get(3)) {
            (Some("regex"), Some(text)) => Text::Matching(pattern(text.as_str().trim())?),
            (Some(_), Some(text)) => Text::Exactly(text.as_str().trim().to_owned()),
            _ => Text::Any,
        };
        match &parts[1] {
            "ordered" => expected.is_ordered = true,
            "fail" => expected.failure = Some(text),
            "warn" => expected.warnings.some.push(text),
            "no_warn" => expected.warnings.none = true,
            "info" => expected.infos.some.push(text),
            _ => expected.infos.none = true,
        }
        Ok(())
    }
}

/// Reads a line that is nothing but a number.
fn scalar(line: &str) -> Option<f64> {
    if let Some(hex) = line.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok().map(|value| value as f64);
    }
    match super::series::number(line) {
        Some((value, "")) => Some(value),
        _ => None,
    }
}
