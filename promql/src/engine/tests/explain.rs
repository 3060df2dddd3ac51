//! The plan of a query with what each operator did.

use super::*;
use crate::profile::PlanNode;

fn plan(query: &str, is_range: bool) -> Option<PlanNode> {
    let engine = Engine::new(options(), &Registry::new());
    let wanted = QueryOptions {
        explains: true,
        ..QueryOptions::default()
    };
    let result = if is_range {
        engine.range(&storage(), query, 0, 120_000, 60_000, &wanted)
    } else {
        engine.instant(&storage(), query, 60_000, &wanted)
    };
    let plain = engine.instant(&storage(), query, 60_000, &QueryOptions::default());
    assert_eq!(plain.unwrap().plan, None);
    result.unwrap().plan
}

/// A line per node: indentation, operator, steps, series, rows, samples, decoded.
fn lines(node: &PlanNode, depth: usize, out: &mut Vec<String>) {
    assert!(node.self_time <= node.time);
    let pad = "  ".repeat(depth);
    let PlanNode {
        operator,
        steps,
        series,
        rows,
        samples,
        samples_decoded: decoded,
        ..
    } = node;
    out.push(format!(
        "{pad}{operator}: {steps} {series} {rows} {samples} {decoded}"
    ));
    for child in &node.children {
        lines(child, depth + 1, out);
    }
}

#[track_caller]
fn check(query: &str, is_range: bool, expected: &[&str]) {
    let mut found = Vec::new();
    lines(&plan(query, is_range).unwrap(), 0, &mut found);
    assert_eq!(found, expected, "{query}");
}

#[test]
fn each_operator_says_what_it_did() {
    check(
        "sum by (job) (rate(requests_total[1m])) / on (job) (up)",
        true,
        &[
            "/ on (job): 3 2 2 4 0",
            "  sum by (job): 3 2 2 4 0",
            "    rate(): 3 3 3 6 0",
            "      requests_total[1m]: 3 3 3 27 27",
            "  up: 3 2 2 6 18",
        ],
    );
}

#[test]
fn what_is_fixed_is_evaluated_once() {
    check(
        "limits @ 60 + scalar(up{job=\"b\"})",
        true,
        &[
            "+: 3 1 1 3 0",
            "  scalar(): 3 1 1 3 0",
            "    up{job=\"b\"}: 3 1 1 3 9",
            "  limits @ 60.000: 1 1 1 1 1",
        ],
    );
}

#[test]
fn subqueries_have_steps_of_their_own() {
    check(
        "max_over_time(up[2m:1m])",
        false,
        &[
            "max_over_time(): 1 2 2 2 0",
            "  [2m:1m]: 1 2 2 4 0",
            "    up: 2 2 2 4 10",
        ],
    );
    check("up[1m]", false, &["up[1m]: 1 2 2 8 8"]);
    assert_eq!(plan("1", true), None);
}

#[test]
fn equal_selectors_are_decoded_once() {
    check(
        "requests_total + (requests_total offset 0s) - requests_total offset 1m",
        true,
        &[
            "-: 3 3 3 6 0",
            "  +: 3 3 3 9 0",
            "    requests_total: 3 3 3 9 0",
            "    requests_total: 3 3 3 9 27",
            "  requests_total offset 1m: 3 3 3 6 15",
        ],
    );
    check(
        "sum(rate(requests_total[1m])) / sum(increase(requests_total[1m]))",
        true,
        &[
            "/: 3 1 1 2 0",
            "  sum: 3 1 1 2 0",
            "    rate(): 3 3 3 6 0",
            "      requests_total[1m]: 3 3 3 27 27",
            "  sum: 3 1 1 2 0",
            "    increase(): 3 3 3 6 0",
            "      requests_total[1m]: 3 3 3 27 0",
        ],
    );
}

#[test]
fn what_is_kept_is_counted_in_bytes() {
    let plan = plan("sort(up)", false).unwrap();
    assert!(
        0 < plan.bytes && plan.children[0].bytes <= plan.bytes,
        "{plan:?}"
    );
}
