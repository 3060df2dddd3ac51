//! What differs, for people.

use model::{Labels, SampleValue};

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
