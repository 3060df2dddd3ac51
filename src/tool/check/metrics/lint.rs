//! What the instrumentation guidelines say about names, types and labels.
//!
//! Source: [metric and label naming](https://prometheus.io/docs/practices/naming/); the texts are promtool's.

use std::collections::HashSet;

use model::metadata::MetricType;

use super::family::Family;

/// Units and the base units that stand for them.
const UNITS: &[(&str, &str)] = &[
    ("amperes", "amperes"),
    ("bytes", "bytes"),
    ("celsius", "celsius"),
    ("grams", "grams"),
    ("joules", "joules"),
    ("kelvin", "kelvin"),
    ("meters", "meters"),
    ("metres", "metres"),
    ("seconds", "seconds"),
    ("volts", "volts"),
    ("minutes", "seconds"),
    ("hours", "seconds"),
    ("days", "seconds"),
    ("weeks", "seconds"),
    ("kelvins", "kelvin"),
    ("fahrenheit", "celsius"),
    ("rankine", "celsius"),
    ("inches", "meters"),
    ("yards", "meters"),
    ("miles", "meters"),
    ("bits", "bytes"),
    ("calories", "joules"),
    ("pounds", "grams"),
    ("ounces", "grams"),
];

const PREFIXES: &[&str] = &[
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega",
    "mibi", "giga", "gibi", "tera", "tebi", "peta", "pebi",
];

const ABBREVIATIONS: &[&str] = &[
    "s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d",
];

/// Returns a line for each problem, ascending.
pub(super) fn problems(families: &[Family]) -> Vec<String> {
    let mut found = Vec::new();
    for family in families.iter().filter(|family| !family.metrics.is_empty()) {
        let mut say = |problem: String| found.push(format!("{} {problem}", family.name));
        if family.help.is_empty() {
            say("no help text".to_owned());
        }
        unit(family, &mut say);
        if family.kind != MetricType::Unknown {
            kind(family, &mut say);
        }
        counter(family, &mut say);
        spelling(family, &mut say);
        uniqueness(family, &mut say);
    }
    found.sort();
    found
}

fn unit(family: &Family, say: &mut dyn FnMut(String)) {
    let base = |word: &str| UNITS.iter().find(|(unit, _)| *unit == word);
    let found = family.name.split('_').find_map(|word| {
        let bare = PREFIXES
            .iter()
            .filter_map(|prefix| word.strip_prefix(prefix));
        let known = std::iter::once(word).chain(bare).find_map(base);
        known.map(|(_, base)| (word, base))
    });
    if let Some((unit, base)) = found
        && unit != *base
    {
        say(format!("use base unit {base:?} instead of {unit:?}"));
    }
    let lower = family.name.to_lowercase();
    if ABBREVIATIONS.iter().any(|unit| has_word(&lower, unit)) {
        say("metric names should not contain abbreviated units".to_owned());
    }
}

/// Returns whether `name` has `word` behind an underscore, and another or nothing after it.
fn has_word(name: &str, word: &str) -> bool {
    name.split('_').skip(1).any(|part| part == word)
}

fn kind(family: &Family, say: &mut dyn FnMut(String)) {
    let name = &family.name;
    let (is_histogram, is_summary) = (
        family.kind == MetricType::Histogram,
        family.kind == MetricType::Summary,
    );
    if !is_histogram && name.ends_with("_bucket") {
        say("non-histogram metrics should not have \"_bucket\" suffix".to_owned());
    }
    for suffix in ["_count", "_sum"] {
        if !is_histogram && !is_summary && name.ends_with(suffix) {
            say(format!(
                "non-histogram and non-summary metrics should not have {suffix:?} suffix"
            ));
        }
    }
    for (pairs, _) in &family.metrics {
        let has = |label: &str| pairs.iter().any(|(name, _)| name == label);
        if !is_histogram && has("le") {
            say("non-histogram metrics should not have \"le\" label".to_owned());
        }
        if !is_summary && has("quantile") {
            say("non-summary metrics should not have \"quantile\" label".to_owned());
        }
    }
    let kind = family.kind.as_str();
    if has_word(&name.to_lowercase(), kind) {
        say(format!("metric name should not include type '{kind}'"));
    }
}

fn counter(family: &Family, say: &mut dyn FnMut(String)) {
    let has_total = family.name.ends_with("_total");
    match family.kind {
        MetricType::Counter if !has_total => {
            say("counter metrics should have \"_total\" suffix".to_owned());
        }
        MetricType::Counter | MetricType::Unknown => (),
        _ if has_total => {
            say("non-counter metrics should not have \"_total\" suffix".to_owned());
        }
        _ => (),
    }
}

fn spelling(family: &Family, say: &mut dyn FnMut(String)) {
    if family.name.contains(':') {
        say("metric names should not contain ':'".to_owned());
    }
    if is_camel_case(&family.name) {
        say("metric names should be written in 'snake_case' not 'camelCase'".to_owned());
    }
    for (pairs, _) in &family.metrics {
        for _ in pairs.iter().filter(|(name, _)| is_camel_case(name)) {
            say("label names should be written in 'snake_case' not 'camelCase'".to_owned());
        }
    }
}

fn is_camel_case(name: &str) -> bool {
    let pairs = name.as_bytes().windows(2);
    { pairs }.any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

fn uniqueness(family: &Family, say: &mut dyn FnMut(String)) {
    let mut seen = HashSet::new();
    if !family.metrics.iter().all(|(pairs, _)| seen.insert(pairs)) {
        say("metric not unique".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::super::family;
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: &[&str]) {
        assert_eq!(problems(&family::read(body.as_bytes()).unwrap()), expected);
    }

    fn described(name: &str, kind: &str) -> String {
        format!("# HELP {name} x\n# TYPE {name} {kind}\n{name} 1\n")
    }

    #[test]
    fn nothing_to_say() {
        for (name, kind) in [
            ("a_total", "counter"),
            ("a_seconds", "gauge"),
            ("a", "untyped"),
        ] {
            check(&described(name, kind), &[]);
        }
        check(
            "# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
            &[],
        );
        check("# HELP without_samples_ms x\n", &[]);
    }

    #[test]
    fn help_and_types() {
        check("b 1\n", &["b no help text"]);
        check(
            &described("a", "counter"),
            &["a counter metrics should have \"_total\" suffix"],
        );
        check(
            &described("a_total", "gauge"),
            &["a_total non-counter metrics should not have \"_total\" suffix"],
        );
        check(
            &described("my_counter_total", "counter"),
            &["my_counter_total metric name should not include type 'counter'"],
        );
        check(
            &described("a_bucket", "gauge"),
            &["a_bucket non-histogram metrics should not have \"_bucket\" suffix"],
        );
        check(
            &described("a_sum", "gauge"),
            &["a_sum non-histogram and non-summary metrics should not have \"_sum\" suffix"],
        );
        let labels = "# HELP a x\n# TYPE a gauge\na{le=\"1\",quantile=\"2\"} 1\n";
        check(
            labels,
            &[
                "a non-histogram metrics should not have \"le\" label",
                "a non-summary metrics should not have \"quantile\" label",
            ],
        );
    }

    #[test]
    fn units() {
        check(
            &described("a_milliseconds", "gauge"),
            &["a_milliseconds use base unit \"seconds\" instead of \"milliseconds\""],
        );
        check(
            &described("hours_left", "gauge"),
            &["hours_left use base unit \"seconds\" instead of \"hours\""],
        );
        check(
            &described("a_kilometres", "gauge"),
            &["a_kilometres use base unit \"metres\" instead of \"kilometres\""],
        );
        check(
            &described("a_MB_left", "gauge"),
            &["a_MB_left metric names should not contain abbreviated units"],
        );
    }

    #[test]
    fn spelling_and_duplicates() {
        check(
            &described("aB:c", "gauge"),
            &[
                "aB:c metric names should be written in 'snake_case' not 'camelCase'",
                "aB:c metric names should not contain ':'",
            ],
        );
        let twice = "# HELP a x\n# TYPE a gauge\na{b=\"1\",c=\"2\"} 1\na{c=\"2\",b=\"1\"} 1\n";
        check(twice, &["a metric not unique"]);
    }
}
