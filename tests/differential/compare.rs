//! Two answers to one query, and the first thing in which they differ.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::texts;

/// How exactly an answer must agree.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    /// The greatest relative difference of two floats.
    pub(crate) tolerance: f64,
    /// The greatest difference of two floats, whatever they are.
    pub(crate) near_zero: f64,
    /// Whether errors and annotations must have the same text; if not, errors must be of the same class.
    pub(crate) texts: bool,
    /// Whether annotations' places count.
    pub(crate) places: bool,
    /// Whether the expression has a comparison between vectors that leaves out samples.
    pub(crate) filters: bool,
    /// Whether the series must come in the same order.
    pub(crate) order: bool,
}

/// Returns the first difference of two answers, Hearth's first.
pub(crate) fn difference(rules: Rules, own: &Value, real: &Value) -> Option<String> {
    let [own_error, real_error] =
        [own, real].map(|answer| answer["error"].as_str().unwrap_or_default());
    if texts::is_of_later(own_error, real_error, rules.filters) {
        return None;
    }
    for field in ["status", "errorType"] {
        if own[field] != real[field] {
            let [own, real] = [own, real].map(|answer| match &answer["error"] {
                Value::Null => answer[field].to_string(),
                error => format!("{} ({error})", answer[field]),
            });
            return Some(format!("{field}: {own} and {real}"));
        }
    }
    if rules.texts {
        let [a, b] =
            [own, real].map(|answer| texts::error(answer["error"].as_str().unwrap_or_default()));
        // Of two errors in one query either may be found first.
        if a != b && ![&a, &b].contains(&&texts::NO_MATCH.to_owned()) {
            return Some(format!("error:\n    {a}\n    {b}"));
        }
        for field in ["warnings", "infos"] {
            let [a, b] = texts::annotations(&own[field], &real[field], rules.places);
            if a != b {
                return Some(format!("{field}:\n    {a:?}\n    {b:?}"));
            }
        }
    }
    let (own, real) = (&own["data"], &real["data"]);
    if own["resultType"] != real["resultType"] {
        return Some(format!(
            "result type: {} and {}",
            own["resultType"], real["resultType"]
        ));
    }
    match own["resultType"].as_str() {
        Some("vector" | "matrix") => series_differ(rules, &own["result"], &real["result"]),
        _ => values_differ(rules, &own["result"], &real["result"]),
    }
}

fn series_differ(rules: Rules, own: &Value, real: &Value) -> Option<String> {
    let (Value::Array(own), Value::Array(real)) = (own, real) else {
        return Some(format!("not two lists: {own} and {real}"));
    };
    let [a, b] = [own, real].map(|list| {
        let keyed = list
            .iter()
            .map(|series| (series["metric"].to_string(), series));
        keyed.collect::<BTreeMap<_, _>>()
    });
    if a.len() != own.len() {
        return Some("Hearth has labels twice".to_owned());
    }
    let [surplus, missing] = [(&a, &b), (&b, &a)].map(|(some, others)| {
        let alone = some.keys().filter(|labels| !others.contains_key(*labels));
        alone.cloned().collect::<Vec<_>>().join(" ")
    });
    if !surplus.is_empty() || !missing.is_empty() {
        return Some(format!(
            "only Hearth has [{surplus}], only Prometheus has [{missing}]"
        ));
    }
    for (labels, own) in &a {
        for field in ["value", "values", "histogram", "histograms"] {
            if let Some(difference) = values_differ(rules, &own[field], &b[labels][field]) {
                return Some(format!("{labels}: {difference}"));
            }
        }
    }
    let order = |list: &[Value]| -> Vec<String> {
        list.iter()
            .map(|series| series["value"].to_string())
            .collect()
    };
    (rules.order && order(own) != order(real)).then(|| "the order".to_owned())
}

/// Compares samples: lists go element by element, texts are numbers.
fn values_differ(rules: Rules, own: &Value, real: &Value) -> Option<String> {
    match (own, real) {
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .find_map(|(own, real)| values_differ(rules, own, real)),
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => a
            .values()
            .zip(b.values())
            .find_map(|(own, real)| values_differ(rules, own, real)),
        (Value::String(a), Value::String(b)) if same(rules, a, b) => None,
        _ if own == real => None,
        _ => Some(format!("{own} and {real}")),
    }
}

fn same(rules: Rules, own: &str, real: &str) -> bool {
    match (own.parse::<f64>(), real.parse::<f64>()) {
        (Ok(a), Ok(b)) if a.is_finite() && b.is_finite() => {
            own == real
                || (a - b).abs() <= rules.near_zero.max(rules.tolerance * a.abs().max(b.abs()))
        }
        _ => own == real,
    }
}

/// Returns the vector that a matrix is at one time, in milliseconds.
pub(crate) fn at(matrix: &Value, time: i64) -> Vec<Value> {
    let series = matrix.as_array().into_iter().flatten();
    let samples = series.filter_map(|series| {
        let mut sample = json!({"metric": series["metric"]});
        for (many, one) in [("values", "value"), ("histograms", "histogram")] {
            let all = series[many].as_array().into_iter().flatten();
            let found = all.into_iter().find(|pair| {
                let seconds = pair[0].as_f64().unwrap_or_default();
                (seconds * 1e3 - time as f64).abs() < 0.5
            });
            if let Some(pair) = found {
                sample[one] = pair.clone();
                return Some(sample);
            }
        }
        None
    });
    samples.collect()
}
