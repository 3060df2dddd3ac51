//! Queries over a storage in memory.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use model::SampleValue;

use super::*;
use crate::error::ErrorKind;
use crate::script::{MemoryStorage, read_series};
use crate::value::Value;

mod explain;
mod limits;
mod parallel;
mod plain;
mod pruned;
mod times;

fn storage() -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    for line in [
        "requests_total{job=\"a\",code=\"200\"} 0+15x40",
        "requests_total{job=\"a\",code=\"500\"} 0+1.5x40",
        "requests_total{job=\"b\",code=\"200\"} 0+30x19 0+30x20",
        "up{job=\"a\"} 1x20 stale _x10 1x8",
        "up{job=\"b\"} 1x40",
        "limits{job=\"a\"} 10x40",
    ] {
        let series = read_series(line).unwrap();
        for (index, value) in series.values.iter().enumerate() {
            if let Some(value) = value {
                storage.push(&series.labels, 15_000 * index as i64, value.value.clone());
            }
        }
    }
    storage
}

fn options() -> EngineOptions {
    EngineOptions {
        lookback_ms: 300_000,
        max_samples: 1_000_000,
        bytes_max: 0,
        bytes_total_max: 0,
        timeout: Duration::from_secs(60),
        default_subquery_step_ms: 60_000,
    }
}

pub(super) fn engine() -> Engine {
    Engine::new(options(), &Registry::new())
}

fn print(result: Result<QueryResult, QueryError>) -> String {
    let result = match result {
        Ok(result) => result,
        Err(error) => return format!("{}: {error}", error.kind().as_str()),
    };
    let mut lines = match result.value {
        Value::Scalar { value, .. } => vec![value.to_string()],
        Value::String { value, .. } => vec![value],
        Value::Vector(samples) => samples
            .iter()
            .map(|sample| match &sample.value {
                SampleValue::Float(value) => format!("{} {value}", sample.labels),
                SampleValue::Histogram(value) => format!("{} {value}", sample.labels),
            })
            .collect(),
        Value::Matrix(series) => series
            .iter()
            .map(|series| {
                let points = series
                    .floats
                    .iter()
                    .map(|(t, value)| format!(" {value}@{}", t / 1000));
                format!("{}{}", series.labels, points.collect::<String>())
            })
            .collect(),
    };
    lines.extend(result.annotations.warnings);
    lines.extend(result.annotations.infos);
    lines.join("\n")
}

#[track_caller]
fn check(query: &str, at: i64, expected: &str) {
    let found = engine().instant(&storage(), query, at * 1000, &QueryOptions::default());
    assert_eq!(print(found), expected, "{query}");
}

#[track_caller]
fn check_range(query: &str, (start, end, step): (i64, i64, i64), expected: &str) {
    let (start, end, step) = (start * 1000, end * 1000, step * 1000);
    let found = engine().range(
        &storage(),
        query,
        start,
        end,
        step,
        &QueryOptions::default(),
    );
    assert_eq!(print(found), expected, "{query}");
}

#[test]
fn selectors_see_the_newest_sample_in_the_lookback() {
    check("limits", 0, "limits{job=\"a\"} 10");
    check("limits", 899, "limits{job=\"a\"} 10");
    check("limits", 900, "");
    check("limits offset 5m", 1199, "limits{job=\"a\"} 10");
    check("limits @ 10 offset -1m", 99_999, "limits{job=\"a\"} 10");
}

#[test]
fn absent_series_have_the_labels_that_were_asked_for() {
    check("absent(x{job=\"a\",code=~\".+\"})", 0, "{job=\"a\"} 1");
    // The first `=` of a name sets it; what comes after takes it away.
    check("absent(x{job!=\"\",job=\"a\"})", 0, "{job=\"a\"} 1");
    check("absent(x{job=\"a\",job!=\"b\"})", 0, "{} 1");
    check("absent(x{job=\"a\",job=\"b\",job=\"a\"})", 0, "{} 1");
}

#[test]
fn staleness_ends_a_series() {
    check_range("up{job=\"a\"}", (270, 500, 45), "up{job=\"a\"} 1@270 1@495");
    check("count_over_time(up{job=\"a\"}[3m])", 330, "{job=\"a\"} 10");
}

#[test]
fn durations_that_cannot_be_are_the_querys_fault() {
    let positive = "duration must be greater than 0";
    check("up[1m%1s]", 0, &format!("bad_data: 3:8: {positive}"));
    check("up[1m - 2m:7s]", 0, &format!("bad_data: 3:10: {positive}"));
    check("up[1m:1m%1s]", 0, &format!("bad_data: 6:11: {positive}"));
    check(
        "up offset (1 / step())",
        0,
        "bad_data: 11:21: division by zero",
    );
    check("up[3 % step()]", 0, "bad_data: 3:13: modulo by zero");
    check(
        "up[10 ^ 300]",
        0,
        "bad_data: 3:11: duration is out of range",
    );
}

#[test]
fn rates() {
    check(
        "rate(requests_total{job=\"a\"}[1m])",
        300,
        "{code=\"200\", job=\"a\"} 0.9999999999999999\n{code=\"500\", job=\"a\"} 0.09999999999999999",
    );
    check(
        "increase(requests_total{job=\"b\"}[2m])",
        345,
        "{code=\"200\", job=\"b\"} 205.7142857142857",
    );
    check_range(
        "sum(rate(requests_total[1m]))",
        (60, 120, 30),
        "{} 3.0999999999999996@60 3.0999999999999996@90 3.0999999999999996@120",
    );
    check(
        "rate(limits[1m])",
        60,
        "{job=\"a\"} 0\nPromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"limits\" (1:6)",
    );
}

#[test]
fn operators() {
    check(
        "up == on(job) up",
        60,
        "up{job=\"a\"} 1\nup{job=\"b\"} 1"
            .replace("up", "")
            .as_str(),
    );
    check("up * on(job) group_left limits", 60, "{job=\"a\"} 10");
    check(
        "sum by (job) (requests_total) / ignoring() limits",
        60,
        "{job=\"a\"} 6.6",
    );
    check("up unless on(job) limits", 60, "up{job=\"b\"} 1");
    check("limits or up", 60, "limits{job=\"a\"} 10\nup{job=\"b\"} 1");
    check("limits > bool 10", 60, "{job=\"a\"} 0");
    check("-limits ^ 2", 60, "{job=\"a\"} -100");
    check(
        "up * on(job) requests_total",
        60,
        "execution: found duplicate series for the match group {job=\"a\"} on the right hand-side of the operation: [{__name__=\"requests_total\", code=\"200\", job=\"a\"}, {__name__=\"requests_total\", code=\"500\", job=\"a\"}];many-to-many matching not allowed: matching labels must be unique on one side",
    );
    check(
        "requests_total * on(job) up",
        60,
        "execution: multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
    );
}

#[test]
fn aggregations() {
    check(
        "topk(1, requests_total)",
        600,
        "requests_total{code=\"200\", job=\"a\"} 600",
    );
    check(
        "bottomk by (job) (1, requests_total)",
        60,
        "requests_total{code=\"500\", job=\"a\"} 6\nrequests_total{code=\"200\", job=\"b\"} 120",
    );
    check(
        "count without (code) (requests_total)",
        60,
        "{job=\"a\"} 2\n{job=\"b\"} 1",
    );
    check("quantile(0.5, requests_total)", 60, "{} 60");
    check("count_values(\"v\", up)", 60, "{v=\"1\"} 2");
    check("topk(NaN, up)", 60, "execution: Parameter value is NaN");
}

#[test]
fn step_invariant_parts_are_repeated() {
    check_range(
        "up{job=\"b\"} + on(job) group_left() sum by (job) (up @ 0)",
        (0, 30, 15),
        "{job=\"b\"} 2@0 2@15 2@30",
    );
    check_range("1 + 1", (0, 30, 15), "{} 2@0 2@15 2@30");
    check_range(
        "timestamp(limits @ 20)",
        (0, 30, 15),
        "{job=\"a\"} 15@0 15@15 15@30",
    );
}

#[test]
fn end_is_where_the_query_ends() {
    check_range("vector(end())", (0, 40, 30), "{} 40@0 40@30");
    check_range(
        "sum(requests_total @ end())",
        (0, 50, 30),
        "{} 139.5@0 139.5@30",
    );
}

#[test]
fn subqueries_are_aligned() {
    check(
        "count_over_time(up{job=\"b\"}[1m:15s])",
        100,
        "{job=\"b\"} 4",
    );
    check("max_over_time(sum(up)[10m:])", 600, "{} 2");
    check(
        "up[1m:7s] @ 100 offset 3s",
        0,
        "up{job=\"a\"} 1@42 1@49 1@56 1@63 1@70 1@77 1@84 1@91\nup{job=\"b\"} 1@42 1@49 1@56 1@63 1@70 1@77 1@84 1@91",
    );
}

#[test]
fn names_that_are_dropped_must_not_collide() {
    check(
        "-{__name__=~\"up|limits\", job=\"a\"}",
        60,
        "execution: vector cannot contain metrics with the same labelset",
    );
    // Also where the labels by which they differ are not asked for.
    check(
        "sum(rate({__name__=~\"up|limits\"}[5m]))",
        300,
        "execution: vector cannot contain metrics with the same labelset",
    );
    check(
        "{job=\"a\",code=\"\"} + on(__name__, job) {job=\"a\",code=\"\"}",
        60,
        "execution: vector cannot contain metrics with the same labelset",
    );
    // One ends before the other begins: they are one series afterwards.
    check_range(
        "-(up{job=\"a\"} or limits)",
        (240, 345, 105),
        "{job=\"a\"} -1@240 -10@345",
    );
}

#[test]
fn infinity_is_the_least_and_the_greatest_whatever_the_other_is() {
    check("vector(min_of(-Inf, NaN))", 0, "{} -inf");
    check("vector(max_of(NaN, Inf))", 0, "{} inf");
    check("vector(min_of(Inf, NaN))", 0, "{} NaN");
    check("vector(max_of(-Inf, NaN))", 0, "{} NaN");
}

#[test]
fn zeros_are_clamped_by_their_signs() {
    check("1 / clamp_min(vector(-0), 0)", 0, "{} inf");
    check("1 / clamp_min(vector(0), -0)", 0, "{} inf");
    check("1 / clamp_max(vector(0), -0)", 0, "{} -inf");
    check("1 / vector(max_of(-0, 0))", 0, "{} inf");
}

#[test]
fn errors_have_the_right_class() {
    check(
        "up +",
        0,
        "bad_data: 1:5: parse error: unexpected end of input",
    );
    check_range(
        "up[1m]",
        (0, 1, 1),
        "bad_data: invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
    );
}

#[test]
fn lookback_can_be_set_per_query() {
    let short = QueryOptions {
        lookback_ms: Some(10_000),
        ..QueryOptions::default()
    };
    let found = engine().instant(&storage(), "limits", 610_000, &short);
    assert_eq!(print(found), "");
}

#[test]
fn deep_expressions_fit_the_stack() {
    for query in [
        format!("{}up{}", "(".repeat(240), ")".repeat(240)),
        format!("{}up", "up+on(job)".repeat(240)),
        format!("{}up{}", "abs(".repeat(120), ")".repeat(120)),
        format!("{}up{}", "sum(".repeat(120), ")".repeat(120)),
        format!("{}1", "1+".repeat(240)),
        format!("{}up", "-".repeat(120)),
        format!(
            "{}up{}",
            "max_over_time(".repeat(60),
            "[1m:30s])".repeat(60)
        ),
    ] {
        let found = engine().range(
            &storage(),
            &query,
            0,
            60_000,
            30_000,
            &QueryOptions::default(),
        );
        assert!(found.is_ok(), "{query}: {found:?}");
    }
}

/// A range query agrees with an instant query at each of its steps.
#[test]
fn range_queries_are_many_instant_queries() {
    let (engine, storage) = (engine(), storage());
    for query in [
        "up",
        "rate(requests_total[2m])",
        "sum by (job) (requests_total offset 20s)",
        "requests_total > 100",
        "max_over_time(requests_total[1m:10s])",
        "requests_total / on(job) group_left limits",
        "topk(1, requests_total)",
        "up and on(job) requests_total > 100",
        "absent(up{job=\"a\"})",
        "avg_over_time(up[45s])",
    ] {
        let options = QueryOptions::default();
        let range = engine
            .range(&storage, query, 0, 900_000, 35_000, &options)
            .unwrap();
        let Value::Matrix(series) = range.value else {
            panic!("{query}")
        };
        for step in 0..=25 {
            let t = step * 35_000;
            let mut at_step: Vec<(String, u64)> = Vec::new();
            for series in &series {
                let found = series.floats.iter().find(|(time, _)| *time == t);
                at_step
                    .extend(found.map(|(_, value)| (series.labels.to_string(), value.to_bits())));
            }
            let Value::Vector(samples) =
                engine.instant(&storage, query, t, &options).unwrap().value
            else {
                panic!("{query}")
            };
            let mut instant: Vec<(String, u64)> = samples
                .iter()
                .map(|sample| {
                    (
                        sample.labels.to_string(),
                        sample.value.as_float().unwrap().to_bits(),
                    )
                })
                .collect();
            instant.sort();
            at_step.sort();
            assert_eq!(at_step, instant, "{query} at {t}");
        }
    }
}
