//! Labels that nothing looks at are left out, and nobody can tell.

use proptest::prelude::*;

use super::*;
use crate::profile::PlanNode;

/// Series of two steps, 60 s apart; `_` is no sample.
fn series(lines: &[&str]) -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    for line in lines {
        let series = read_series(line).unwrap();
        for (index, value) in series.values.iter().enumerate() {
            if let Some(value) = value {
                storage.push(&series.labels, 60_000 * index as i64, value.value.clone());
            }
        }
    }
    storage
}

/// Evaluates once, with the labels that are `needed`; says whether others were missed.
fn attempt(
    storage: &MemoryStorage,
    query: &str,
    needed: impl FnOnce(&Expr) -> Needed,
    delayed_name_removal: bool,
) -> (Result<Value, QueryError>, bool) {
    let engine = engine().with_features(Features {
        delayed_name_removal,
        ..Features::default()
    });
    let expr = engine.parse(query).unwrap();
    let (times, options) = (Times::range(0, 120_000, 30_000), QueryOptions::default());
    let clock = Clock::new(times, &options, &engine);
    let budget = engine.budget(times.steps.count, &options).unwrap();
    let querier = storage.querier(-300_000, 120_000).unwrap();
    let needed = needed(&expr);
    let context = Context::new(&*querier, &expr, clock, needed, budget, &options, &engine).unwrap();
    let mut sorting = Duration::ZERO;
    let value = result::evaluate(&context, &expr, times.steps, false, &mut sorting);
    (value, context.has_missed_labels())
}

fn text(value: Result<Value, QueryError>) -> String {
    match value {
        Ok(Value::Matrix(series)) => {
            let lines = series.iter().map(|series| {
                let bits = series.floats.iter().map(|(t, v)| (t / 1000, v.to_bits()));
                format!("{} {:?}\n", series.labels, bits.collect::<Vec<_>>())
            });
            lines.collect()
        }
        Ok(other) => panic!("no matrix: {other:?}"),
        Err(error) => error.to_string(),
    }
}

/// Checks that all labels give the same, and whether they were needed after all.
#[track_caller]
fn check_once(storage: &MemoryStorage, query: &str, expected_once: bool) {
    for delayed in [false, true] {
        let (all, missed) = attempt(storage, query, |_| Needed::all(), delayed);
        assert!(!missed, "{query}");
        let (found, missed) = attempt(storage, query, Needed::of, delayed);
        assert_eq!(missed, !expected_once, "{query}, delayed: {delayed}");
        if expected_once {
            assert_eq!(text(found), text(all), "{query}, delayed: {delayed}");
        }
    }
}

#[test]
fn joins_below_an_aggregation() {
    let storage = series(&[
        "bytes{ns=\"n\",pod=\"a\",box=\"1\"} 1 2 3",
        "bytes{ns=\"n\",pod=\"a\",box=\"2\"} 10 20 30",
        "bytes{ns=\"n\",pod=\"b\",box=\"1\"} 100 200 300",
        // Without a counterpart, and alike but for the box.
        "bytes{ns=\"n\",pod=\"c\",box=\"1\"} 1000 2000 3000",
        "bytes{ns=\"n\",pod=\"c\",box=\"2\"} 1000 2000 3000",
        "info{ns=\"n\",pod=\"a\",node=\"x\",ip=\"1\"} 1 1 stale",
        "info{ns=\"n\",pod=\"a\",node=\"y\",ip=\"1\"} _ _ 1",
        "info{ns=\"n\",pod=\"b\",node=\"x\",ip=\"2\"} 1 1 1",
        "placed{ns=\"n\",pod=\"a\",node=\"x\",box=\"1\"} 1 2 3",
        "placed{ns=\"n\",pod=\"a\",node=\"x\",box=\"2\"} 10 20 30",
        "placed{ns=\"n\",pod=\"b\",node=\"z\",box=\"1\"} 100 200 300",
        "placed{ns=\"n\",pod=\"c\",node=\"y\",box=\"1\"} 1000 2000 3000",
        "zone{node=\"x\",zone=\"p\",rack=\"1\"} 1 1 1",
        "zone{node=\"y\",zone=\"q\",rack=\"1\"} 1 1 1",
    ]);
    for query in [
        "sum by (node) (bytes * on (ns, pod) group_left (node) info)",
        "sum by (node) (rate(bytes[2m]) * on (ns, pod) group_left (node) info)",
        "sum without (pod, box) (bytes * on (ns, pod) group_left (node) info)",
        "sum by (node) (info * on (ns, pod) group_right (node) bytes)",
        "count(bytes > on (ns, pod) group_left info)",
        "max by (pod) (-(bytes - on (ns, pod) group_left info) * 2)",
        "sum by (zone) (bytes * on (ns, pod) group_left (node) info * on (node) group_left (zone) zone)",
        "sum by (zone) (bytes * on (ns, pod) group_left (zone) (info * on (node) group_left (zone) zone))",
        "sum(info / on (ns, pod) sum by (ns, pod) (bytes))",
        // The node is known already, or another one.
        "sum by (node) (placed * on (ns, pod) group_left (node) info)",
        "sum by (node) (-(placed * on (ns, pod) group_left (node) info))",
        "bytes * on (ns, pod) group_left (node) info",
        "info * on (node) zone",
        "bytes{box=\"1\"} == on (ns, pod) bytes{box=\"1\"}",
    ] {
        check_once(&storage, query, true);
    }
    for query in [
        // The pod's two boxes are in each other's way, or are alike.
        "sum(bytes * on (node) group_left info)",
        "sum(info * on (ns, pod) bytes)",
        "sum(bytes * on (ns) info)",
        "sum(round(bytes * on (ns, pod, ip) info))",
    ] {
        let (all, _) = attempt(&storage, query, |_| Needed::all(), false);
        let result = engine().range(
            &storage,
            query,
            0,
            120_000,
            30_000,
            &QueryOptions::default(),
        );
        assert_eq!(
            text(result.map(|result| result.value)),
            text(all),
            "{query}"
        );
    }
}

#[test]
fn labels_that_tell_are_asked_for() {
    let both = ["a{k=\"1\",l=\"x\"} 1 2 3", "b{k=\"1\",l=\"x\"} 4 5 6"];
    let one = "one{k=\"1\",m=\"z\"} 1 1 1";
    let other = "one{k=\"1\",m=\"y\"} 1 1 1";
    #[track_caller]
    fn check(lines: &[&str], query: &str, expected: &str) {
        let found = engine().range(&series(lines), query, 0, 0, 1000, &QueryOptions::default());
        assert_eq!(print(found), expected, "{query}");
    }
    check(
        &[both[0], one, other],
        "sum(a * on (k) group_left one)",
        "execution: found duplicate series for the match group {k=\"1\"} on the right hand-side of the operation: [{__name__=\"one\", k=\"1\", m=\"y\"}, {__name__=\"one\", k=\"1\", m=\"z\"}];many-to-many matching not allowed: matching labels must be unique on one side",
    );
    check(
        &[both[0], one, other],
        "one * on (k) group_right a",
        "execution: found duplicate series for the match group {k=\"1\"} on the left hand-side of the operation: [{__name__=\"one\", k=\"1\", m=\"y\"}, {__name__=\"one\", k=\"1\", m=\"z\"}];many-to-many matching not allowed: matching labels must be unique on one side",
    );
    // The names differ.
    let names = "sum({__name__=~\"a|b\"} * on (k) group_left one)";
    let same = "execution: multiple matches for labels: grouping labels must ensure unique matches";
    check(&[both[0], both[1], one], names, same);
    check(&[both[0], "b{k=\"1\",l=\"y\"} 4", one], names, "{} 5@0");
    // Both have the label that is included: with it the same, or still not.
    let included = "sum by (m) (a * on (k) group_left (m) one)";
    let with = |l: &str, m: &str| format!("a{{k=\"1\",l=\"{l}\",m=\"{m}\"}} 2 3 4");
    check(&[&with("x", "p"), &with("x", "q"), one], included, same);
    check(
        &[&with("x", "p"), &with("y", "q"), one],
        included,
        "{m=\"z\"} 4@0",
    );
    check(
        &[both[0], "a{k=\"1\",l=\"y\"} 7", one],
        included,
        "{m=\"z\"} 8@0",
    );
    // Names that are matched on are gone afterwards.
    check(
        &[both[0], both[1]],
        "{k=\"1\"} + on (__name__, k) {k=\"1\"}",
        "execution: vector cannot contain metrics with the same labelset",
    );
}

/// What is counted and said of a query is that of the attempt that counts.
#[test]
fn nothing_is_counted_twice() {
    let storage = series(&[
        "a{k=\"1\",l=\"x\",m=\"p\"} 1 2 3",
        "a{k=\"1\",l=\"y\",m=\"q\"} 1 2 3",
        "one{k=\"1\",m=\"z\"} 1 1 1",
    ]);
    let join = "rate(a[2m]) * on (k) group_left (m) quantile_over_time(2, one[2m])";
    let options = QueryOptions {
        counts_steps: true,
        explains: true,
        ..QueryOptions::default()
    };
    let run = |query: &str, needed: Option<Needed>| {
        let engine = engine();
        let expr = engine.parse(query).unwrap();
        let needed = needed.unwrap_or_else(|| Needed::of(&expr));
        let times = Times::range(0, 120_000, 60_000);
        engine
            .evaluate(&storage, &expr, needed, times, &options)
            .unwrap()
    };
    let query = format!("sum({join})");
    assert!(attempt(&storage, &query, Needed::of, false).1);
    let (found, all) = (run(&query, None), run(&query, Some(Needed::all())));
    assert_eq!(found.stats.samples_per_step, all.stats.samples_per_step);
    assert_eq!(found.stats.samples_total, all.stats.samples_total);
    assert_eq!(found.stats.samples_peak, all.stats.samples_peak);
    assert_eq!(found.stats.bytes_peak, all.stats.bytes_peak);
    assert_eq!(found.annotations, all.annotations);
    assert_eq!(found.annotations.warnings.len(), 1);
    fn shape(node: &PlanNode) -> Vec<(String, usize, u64, u64)> {
        let own = (
            node.operator.clone(),
            node.series,
            node.samples,
            node.samples_decoded,
        );
        let below = node.children.iter().flat_map(shape);
        std::iter::once(own).chain(below).collect()
    }
    let (found, all) = (found.plan.unwrap(), all.plan.unwrap());
    assert_eq!(shape(&found), shape(&all));
}

const QUERIES: &[&str] = &[
    "sum by (a) (x * on (a) group_left y)",
    "sum by (b) (x * on (a) group_left (b) y)",
    "sum without (c) (x * on (a) group_left (b) y)",
    "sum by (b) (y * on (a) group_right (b) x)",
    "sum without (a) (x - on (a, b) group_left y)",
    "count by (c) (x > on () group_left (c) y)",
    "count by (c) (x >= bool on (b) group_left (c) y)",
    "sum by (a, c) (rate(x[2m]) * on (a, b) group_left (c) y)",
    "sum(x * on (a) y)",
    "sum by (a) (-(x / on (a, b) y))",
    "sum({__name__=~\"x|z\"} * on (a) group_left y)",
    "sum by (c) ({__name__=~\"x|z\"} * on (a, b) group_left (c) {__name__=~\"y|z\"})",
    "sum by (__name__) ({__name__=~\"x|z\"} < on (a) group_left (__name__) y)",
    "sum by (c) (round(x * on (a) group_left (b) y) * on (b) group_left (c) z)",
    "sum by (c) (x * on (a) group_left (b, c) (y * on (b) group_left (c) z))",
    "sum((x - on (a) y) / on (a) group_left z)",
    "avg by (b) (x + on (a) group_left (b) fill(0) y)",
    "sum by (a) (x * ignoring (c) group_left y)",
    "x * ignoring (c) group_left (a) y",
    "-(x - ignoring (c) group_left (a, c) y)",
    "stddev by (a) ((x * on (b) group_left z) and on (a) y)",
    "x * on (a) group_left (b) y",
    "x * on (a, b) y",
    "x > on (a, b) y",
    "topk(1, x * on (a) group_left y)",
    "count_over_time((x * on (a) group_left (b) y)[2m:30s])",
    "{__name__=~\"x|z\"} + on (__name__, a, b) {__name__=~\"x|z\"}",
];

proptest! {
    #[test]
    fn all_labels_give_the_same(
        samples in proptest::collection::btree_map(
            (0usize..3, "[pq]?", "[pq]?", "[pq]?", 0i64..2), -3i8..4, 0..14,
        ),
        delayed: bool,
    ) {
        let mut storage = MemoryStorage::default();
        for ((name, a, b, c, step), value) in &samples {
            let pairs = [("__name__", ["x", "y", "z"][*name]), ("a", a), ("b", b), ("c", c)];
            let value = SampleValue::Float(f64::from(*value));
            storage.push(&model::Labels::from_pairs(pairs), step * 60_000, value);
        }
        let features = Features { delayed_name_removal: delayed, ..Features::default() };
        let engine = engine().with_features(features);
        for query in QUERIES {
            let (all, missed) = attempt(&storage, query, |_| Needed::all(), delayed);
            prop_assert!(!missed);
            let (all, (found, missed)) = (text(all), attempt(&storage, query, Needed::of, delayed));
            if !missed {
                prop_assert_eq!(text(found), all.as_str(), "{}", query);
            }
            let options = QueryOptions::default();
            let found = engine.range(&storage, query, 0, 120_000, 30_000, &options);
            prop_assert_eq!(text(found.map(|found| found.value)), all, "{}", query);
        }
    }
}
