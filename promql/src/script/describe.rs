//! What differs, for people.

use model::{Labels, SampleValue};

use crate::value::{QueryResult, Value};

/// The whole result, a line per series and per annotation.
pub(super) fn result(result: &QueryResult) -> Vec<String> {
    let mut lines: Vec<String> = match &result.value {
        Value::Scalar { value, .. } => vec![model::float::format_general(*value)],
        Value::String { value, .. } => vec![format!("{value:?}")],
        Value::Vector(samples) => samples
            .iter()
            .map(|found| format!("{} {}", labels(&found.labels), sample(&found.value)))
            .collect(),
        Value::Matrix(matrix) => matrix
            .iter()
            .map(|series| {
                let at = |(t, value)| format!("{value} @{}", model::Duration::from_ms(t));
                let floats = series.floats.iter();
                let floats = floats.map(|&(t, value)| (t, sample(&SampleValue::Float(value))));
                let histograms = series.histograms.iter();
                let histograms = histograms
                    .map(|(t, value)| (*t, sample(&SampleValue::Histogram(value.clone()))));
                let samples: Vec<String> = floats.chain(histograms).map(at).collect();
                format!("{} {}", labels(&series.labels), samples.join(" "))
            })
            .collect(),
    };
    if lines.is_empty() {
        lines.push("nothing".to_owned());
    }
    let notes = &result.annotations;
    lines.extend(notes.warnings.iter().chain(&notes.infos).cloned());
    lines
}

pub(super) fn labels(labels: &Labels) -> String {
    labels.to_string()
}

pub(super) fn sample(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(value) if model::is_stale(*value) => "stale".to_owned(),
        SampleValue::Float(value) => model::float::format_general(*value),
        SampleValue::Histogram(histogram) => {
            format!(
                "{{schema:{} hint:{:?} {histogram}}}",
                histogram.schema, histogram.reset_hint
            )
        }
    }
}

pub(super) fn times(times: &[i64]) -> String {
    let times: Vec<String> = times
        .iter()
        .map(|ms| model::Duration::from_ms(*ms).to_string())
        .collect();
    format!("[{}]", times.join(" "))
}
