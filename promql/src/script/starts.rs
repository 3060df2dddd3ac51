//! Lines of start timestamps: `metric@st`, then one offset per sample of the line that follows.

use model::Labels;

use super::command::duration;
use super::series::{SeriesLine, read_metric, split_metric};

/// What ends the metric of a line of start timestamps.
const SUFFIX: &str = "@st";

/// Longer repetitions are refused.
const STARTS_MAX: usize = 1_000_000;

/// The start timestamps of a series, as offsets from the times of its samples in milliseconds.
pub(super) struct Starts {
    labels: Labels,
    offsets: Vec<Option<i64>>,
}

/// Reads a line like `name{label="value"}@st _ -30s -1m-1mx3`; none if it is none.
pub(super) fn read(line: &str) -> Result<Option<Starts>, String> {
    let (metric, items) = split_metric(line);
    let Some(metric) = metric.strip_suffix(SUFFIX) else {
        return Ok(None);
    };
    let mut offsets = Vec::new();
    for item in items.split_whitespace() {
        read_item(item, &mut offsets).ok_or_else(|| format!("bad start timestamp {item}"))?;
    }
    Ok(Some(Starts {
        labels: read_metric(metric)?,
        offsets,
    }))
}

/// Gives the samples of `series` their start timestamps.
pub(super) fn add(starts: Starts, series: &mut SeriesLine) -> Result<(), String> {
    if starts.labels != series.labels {
        return Err(format!("expected samples of {}", starts.labels));
    }
    if starts.offsets.len() != series.values.len() {
        let (starts, samples) = (starts.offsets.len(), series.values.len());
        return Err(format!("{starts} start timestamps for {samples} samples"));
    }
    series.starts = starts.offsets;
    Ok(())
}

/// Reads `_`, `_xN`, `D`, `DxN`, `D+ExN` or `D-ExN`.
fn read_item(item: &str, out: &mut Vec<Option<i64>>) -> Option<()> {
    let (item, times) = match item.split_once('x') {
        Some((item, times)) => (item, Some(times.parse::<usize>().ok()?)),
        None => (item, None),
    };
    if times.is_some_and(|times| STARTS_MAX < times) {
        return None;
    }
    if item == "_" {
        out.extend(std::iter::repeat_n(None, times.unwrap_or(1)));
        return Some(());
    }
    // A sign that is not the first starts the step.
    let step_at = item.get(1..)?.find(['+', '-']).map(|at| at + 1);
    let (first, step) = item.split_at(step_at.unwrap_or(item.len()));
    let mut offset = offset(first)?;
    let step = if step.is_empty() {
        0
    } else {
        self::offset(step)?
    };
    for _ in 0..=times.unwrap_or(0) {
        out.push(Some(offset));
        offset += step;
    }
    Some(())
}

fn offset(text: &str) -> Option<i64> {
    duration(text.strip_prefix('+').unwrap_or(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(items: &str, expected: &[Option<i64>]) {
        let starts = read(&format!("a{{b=\"c\"}}@st {items}")).unwrap();
        assert_eq!(starts.map(|starts| starts.offsets), Some(expected.to_vec()));
    }

    #[test]
    fn offsets() {
        check("_ _x2 0 -1s", &[None, None, None, Some(0), Some(-1000)]);
        check("-30s-1mx2", &[Some(-30_000), Some(-90_000), Some(-150_000)]);
        check("1ms+1sx1 -0msx1", &[Some(1), Some(1001), Some(0), Some(0)]);
        check("+1m", &[Some(60_000)]);
        assert!(read("a@st 1q").is_err());
        assert!(read("a 1").is_ok_and(|starts| starts.is_none()));
    }
}
