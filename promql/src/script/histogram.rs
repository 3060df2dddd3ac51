//! Native histograms as scripts write them: `{{schema:0 count:3 sum:2 buckets:[1 2]}}`.

use model::FloatHistogram;
use model::histogram::{ResetHint, Span};

use super::series::number;

/// Reads what stands between the double braces; also says whether the reset hint was given.
pub(super) fn read(text: &str) -> Result<(FloatHistogram, bool), String> {
    let mut histogram = FloatHistogram::default();
    let (mut offset, mut negative_offset) = (0, 0);
    let mut has_hint = false;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once(':')
            .ok_or("expected key:value in histogram")?;
        let end = match after.starts_with('[') {
            true => after.find(']').ok_or("unclosed [ in histogram")? + 1,
            false => after.find([' ', '\t']).unwrap_or(after.len()),
        };
        let (value, after) = after.split_at(end);
        rest = after.trim_start();
        match key {
            "schema" => histogram.schema = integer(value)?,
            "count" => histogram.count = float(value)?,
            "sum" => histogram.sum = float(value)?,
            "z_bucket" => histogram.zero_count = float(value)?,
            "z_bucket_w" => histogram.zero_threshold = float(value)?,
            "buckets" => histogram.positive_buckets = list(value)?,
            "n_buckets" => histogram.negative_buckets = list(value)?,
            "offset" => offset = integer(value)?,
            "n_offset" => negative_offset = integer(value)?,
            "custom_values" => histogram.custom_bounds = list(value)?,
            "counter_reset_hint" => {
                has_hint = true;
                histogram.reset_hint = match value {
                    "reset" => ResetHint::CounterReset,
                    "not_reset" => ResetHint::NotCounterReset,
                    "gauge" => ResetHint::Gauge,
                    _ => ResetHint::Unknown,
                };
            }
            _ => return Err(format!("unknown histogram key {key}")),
        }
    }
    histogram.positive_spans = span(offset, &histogram.positive_buckets);
    histogram.negative_spans = span(negative_offset, &histogram.negative_buckets);
    Ok((histogram, has_hint))
}

fn span(offset: i32, buckets: &[f64]) -> Vec<Span> {
    match u32::try_from(buckets.len()) {
        Ok(length) if 0 < length => vec![Span { offset, length }],
        _ => Vec::new(),
    }
}

fn integer(text: &str) -> Result<i32, String> {
    text.parse()
        .map_err(|_| format!("bad number {text} in histogram"))
}

fn float(text: &str) -> Result<f64, String> {
    match number(text) {
        Some((value, "")) => Ok(value),
        _ => Err(format!("bad number {text} in histogram")),
    }
}

fn list(text: &str) -> Result<Vec<f64>, String> {
    text.trim_matches(['[', ']'])
        .split_whitespace()
        .map(float)
        .collect()
}
