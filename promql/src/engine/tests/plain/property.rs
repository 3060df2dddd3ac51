//! Engine and twin agree.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use model::{FloatHistogram, SampleValue};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::cases::{self, Close};
use super::series::{series, storage};
use super::{Failure, Names, Plain, Series, Twin};
use crate::annotations::Annotations;
use crate::ast::Expr;
use crate::engine::tests::{engine, options};
use crate::engine::{Engine, EngineOptions, QueryOptions};
use crate::script::MemoryStorage;
use crate::value::Value;
use metrics::Registry;

const LOOKBACK: i64 = 45_000;
const SUBQUERY_STEP: i64 = 20_000;

/// Samples by labels and time.
type Found = BTreeMap<Names, BTreeMap<i64, SampleValue>>;

fn of_engine(
    engine: &Engine,
    storage: &MemoryStorage,
    text: &str,
    (start, end, step): (i64, i64, i64),
) -> Result<(Found, Annotations), String> {
    let result = engine.range(storage, text, start, end, step, &QueryOptions::default());
    let result = result.map_err(|error| error.to_string())?;
    let Value::Matrix(series) = result.value else {
        panic!("{text}: not a matrix")
    };
    let mut found = Found::new();
    for series in series {
        let labels = series
            .labels
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let floats = series
            .floats
            .into_iter()
            .map(|(t, value)| (t, SampleValue::Float(value)));
        let histograms = series
            .histograms
            .into_iter()
            .map(|(t, value)| (t, SampleValue::Histogram(value)));
        let samples: BTreeMap<i64, SampleValue> = floats.chain(histograms).collect();
        assert!(
            found.insert(labels.collect(), samples).is_none(),
            "{text}: a series twice"
        );
    }
    Ok((found, result.annotations))
}

fn of_twin(twin: &Twin<'_>, expr: &Expr) -> Result<(Found, Annotations), Failure> {
    drop(twin.notes.take());
    let mut found = Found::new();
    let mut t = twin.start;
    while t <= twin.end {
        match twin.at(expr, t)? {
            Plain::Scalar(value) => {
                found
                    .entry(Names::new())
                    .or_default()
                    .insert(t, SampleValue::Float(value));
            }
            Plain::Vector(elements) => {
                for element in elements {
                    found
                        .entry(element.labels)
                        .or_default()
                        .insert(t, element.value);
                }
            }
            Plain::Text(_) => panic!("no range query"),
        }
        t += twin.step;
    }
    Ok((found, twin.notes.take().into_annotations()))
}

/// What differs between what is said, if anything does.
fn said_differently(engine: &Annotations, twin: &Annotations) -> Option<String> {
    // Numbers may differ by rounding.
    let without_numbers = |text: &String| match text.split_once(", from buckets ") {
        Some((text, rest)) => format!("{text}{}", &rest[rest.rfind(" (").unwrap()..]),
        None => text.clone(),
    };
    let texts = |texts: &[String]| texts.iter().map(without_numbers).collect::<BTreeSet<_>>();
    let all = |said: &Annotations| (texts(&said.warnings), texts(&said.infos));
    let (engine, twin) = (all(engine), all(twin));
    (engine != twin).then(|| format!("said otherwise\nengine: {engine:#?}\ntwin: {twin:#?}"))
}

fn agree(a: &SampleValue, b: &SampleValue, close: Close) -> bool {
    match (a, b) {
        (SampleValue::Float(a), SampleValue::Float(b)) => numbers_agree(*a, *b, close),
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => histograms_agree(a, b, close),
        _ => false,
    }
}

fn numbers_agree(a: f64, b: f64, close: Close) -> bool {
    let same = a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
    same || close == Close::Rounding && near(a, b)
}

/// Up to 1e-12 of the greater one; of what is next to nothing (a variance of equal values), up to 1e-12.
fn near(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= 1e-12 * a.abs().max(b.abs()).max(1.0)
}

/// By bounds and populations; empty buckets do not count.
fn histograms_agree(a: &FloatHistogram, b: &FloatHistogram, close: Close) -> bool {
    let populated = |histogram: &FloatHistogram| {
        let mut buckets = histogram.buckets();
        buckets.retain(|bucket| bucket.count != 0.0);
        buckets
    };
    let (buckets, others) = (populated(a), populated(b));
    let agree = buckets.iter().zip(&others).all(|(a, b)| {
        let same = a.lower.to_bits() == b.lower.to_bits() && a.upper.to_bits() == b.upper.to_bits();
        same && numbers_agree(a.count, b.count, close)
    });
    buckets.len() == others.len()
        && a.schema == b.schema
        && numbers_agree(a.count, b.count, close)
        && numbers_agree(a.sum, b.sum, close)
        && agree
}

/// The values of each step in order, without labels.
fn values(found: &Found) -> BTreeMap<i64, Vec<String>> {
    let mut by_step: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for (t, value) in found.values().flatten() {
        by_step.entry(*t).or_default().push(match value {
            // Equal ones may differ in the sign of zero.
            SampleValue::Float(value) => (value + 0.0).to_string(),
            SampleValue::Histogram(value) => value.to_string(),
        });
    }
    by_step.values_mut().for_each(|values| values.sort());
    by_step
}

fn difference(engine: &Found, twin: &Found, close: Close) -> Option<String> {
    if close == Close::Ties {
        let (engine, twin) = (values(engine), values(twin));
        return (engine != twin).then(|| format!("engine: {engine:?}\ntwin: {twin:?}"));
    }
    for labels in engine.keys().chain(twin.keys()) {
        let none = BTreeMap::new();
        let (ours, plain) = (
            engine.get(labels).unwrap_or(&none),
            twin.get(labels).unwrap_or(&none),
        );
        for t in ours.keys().chain(plain.keys()) {
            let (a, b) = (ours.get(t), plain.get(t));
            if !a.zip(b).is_some_and(|(a, b)| agree(a, b, close)) {
                return Some(format!("{labels:?} at {t}\nengine: {a:?}\ntwin: {b:?}"));
            }
        }
    }
    None
}

fn plain_engine() -> Engine {
    Engine::new(
        EngineOptions {
            lookback_ms: LOOKBACK,
            default_subquery_step_ms: SUBQUERY_STEP,
            ..options()
        },
        &Registry::new(),
    )
}

fn check(all: &[Series], (start, step): (i64, i64)) -> Result<(), TestCaseError> {
    let engine = plain_engine();
    let end = start + 10 * step;
    let twin = Twin {
        series: all,
        lookback: LOOKBACK,
        start,
        end,
        step,
        subquery_step: SUBQUERY_STEP,
        notes: RefCell::default(),
    };
    let (storage, mut failures) = (storage(all), Vec::new());
    for (text, close) in cases::all() {
        let expr = crate::parse(text).unwrap();
        let found = of_engine(&engine, &storage, text, (start, end, step));
        let wrong = match (found, of_twin(&twin, &expr)) {
            (Ok((found, said)), Ok((plain, plainly_said))) => {
                difference(&found, &plain, close).or_else(|| said_differently(&said, &plainly_said))
            }
            (Err(_), Err(_)) => None,
            (Err(error), Ok(_)) => Some(format!("only the engine fails: {error}")),
            (Ok(_), Err(error)) => Some(format!("only the twin fails: {error}")),
        };
        failures.extend(wrong.map(|wrong| format!("{text}: {wrong}")));
    }
    prop_assert!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases_wanted(), ..ProptestConfig::default() })]

    #[test]
    fn engine_and_twin_agree(all in series(), start in 0i64..400_000, step in 1_000i64..45_000) {
        check(&all, (start, step))?;
    }
}

/// `PROPTEST_CASES`, or few enough for every day.
fn cases_wanted() -> u32 {
    let wanted = std::env::var("PROPTEST_CASES");
    wanted.ok().and_then(|text| text.parse().ok()).unwrap_or(32)
}

/// What yields no sample from the series below, because there is nothing to yield or because it must not.
const EMPTY: &[&str] = &[
    "h == 1",
    "h < h",
    "3 </ h",
    "group(missing)",
    "limitk(0, b)",
    "topk(0, b)",
    "clamp(b, 3, -1)",
];

/// An expression that yields nothing, or only errors, would agree with anything.
#[test]
fn expressions_yield_samples() {
    let mut runner = TestRunner::deterministic();
    let engine = plain_engine();
    let mut silent: BTreeSet<&str> = cases::all().into_iter().map(|(text, _)| text).collect();
    for _ in 0..30 {
        let all = series().new_tree(&mut runner).unwrap().current();
        let storage = storage(&all);
        silent.retain(|text| {
            let found = of_engine(&engine, &storage, text, (100_000, 300_000, 20_000));
            found.map_or(true, |(found, _)| found.is_empty())
        });
    }
    assert_eq!(silent, EMPTY.iter().copied().collect());
}

/// What must have been said, lest the comparison of what is said be one of nothing.
const SAID: &[&str] = &[
    "metric might not be a counter, name does not end in",
    "ignored histogram in min aggregation",
    "ignored histogram in quantile aggregation",
    "ignored histogram in topk aggregation",
    "ignored histograms in a range containing both floats and histograms for metric name \"b\"",
    "encountered a mix of histograms and floats for metric name \"h\"",
    "encountered a mix of histograms and floats for aggregation",
    "this native histogram metric is not a counter: \"h\"",
    "this native histogram metric is not a gauge: \"n\"",
    "exponential and custom buckets schemas for metric name \"n\"",
    "incompatible bucket layout encountered for binary operator +",
    "incompatible sample types encountered for binary operator \"/\": float / histogram",
    "incompatible sample types encountered for binary operator \"</\": float </ float",
    "mismatched custom buckets were reconciled during addition",
    "mismatched custom buckets were reconciled during subtraction",
    "mismatched custom buckets were reconciled during aggregation",
    "conflicting counter resets during histogram addition",
    "conflicting counter resets during histogram subtraction",
    "conflicting counter resets during histogram aggregation",
    "quantile value should be between 0 and 1, got NaN",
    "quantile value should be between 0 and 1, got -0.1",
    "bucket label \"le\" is missing or has a malformed value of \"\" for metric name \"h\"",
    "needed to be fixed for monotonicity",
    "sort is ineffective for range queries",
];

#[test]
fn all_that_can_be_said_is_said() {
    let mut runner = TestRunner::deterministic();
    let engine = plain_engine();
    let mut unsaid: BTreeSet<&str> = SAID.iter().copied().collect();
    for _ in 0..60 {
        let all = series().new_tree(&mut runner).unwrap().current();
        let storage = storage(&all);
        for (text, _) in cases::all() {
            let Ok((_, said)) = of_engine(&engine, &storage, text, (100_000, 300_000, 20_000))
            else {
                continue;
            };
            let said = said.warnings.iter().chain(&said.infos);
            let said: Vec<&String> = said.collect();
            unsaid.retain(|part| !said.iter().any(|text| text.contains(part)));
        }
    }
    assert_eq!(unsaid, BTreeSet::new());
}

/// limit_ratio takes by a hash that the twin does not know: a ratio and its complement are all, and nothing twice.
#[test]
fn ratios_and_their_complements_are_all() {
    let mut all = Vec::new();
    for number in 0..40 {
        let mut labels = Names::new();
        labels.insert("__name__".to_owned(), "a".to_owned());
        labels.insert("n".to_owned(), number.to_string());
        let samples = vec![(0, SampleValue::Float(f64::from(number)))];
        all.push(Series { labels, samples });
    }
    let storage = storage(&all);
    let query = |text: &str| {
        of_engine(&engine(), &storage, text, (0, 0, 1))
            .unwrap()
            .0
            .len()
    };
    assert_eq!(query("limit_ratio(1, a)"), 40);
    assert_eq!(query("limit_ratio(0, a)"), 0);
    for ratio in ["0.2", "0.5", "0.9"] {
        let (some, rest) = (
            format!("limit_ratio({ratio}, a)"),
            format!("limit_ratio(-(1 - {ratio}), a)"),
        );
        assert!((1..40).contains(&query(&some)), "{ratio}");
        assert_eq!(query(&format!("{some} or {rest}")), 40, "{ratio}");
        assert_eq!(query(&format!("{some} and {rest}")), 0, "{ratio}");
    }
}
