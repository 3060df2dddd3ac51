//! Hearth and the real Prometheus, with the same data, are asked the same thousands of generated expressions.
//!
//! The [`data`](data::Data) is written to both by remote write. The [`generator`](generate::Generator) makes expressions
//! from a seed, one in ten wrong; each is asked for at one time and over a range of time. Both servers must answer with the
//! same status and class of error, the same type, series, times and values, to the last digit, and with the same texts
//! of errors and annotations. What differs is [made shorter](shrink::shrink) as long as it differs.
//!
//! `HEARTH_DIFFERENTIAL_EXPRESSIONS` is how many expressions there are, `HEARTH_DIFFERENTIAL_SEED` what they are made from.
//! `HEARTH_DIFFERENTIAL_QUERY` (and `HEARTH_DIFFERENTIAL_TIME`, in seconds, or start, end and step with commas between)
//! shows both answers to one query instead.
//!
//! # Versions
//!
//! Prometheus is asked for its version and, function by function, for what it has. Of 3.x everything is compared.
//! Hearth is like 3.x; so with 2.x
//!
//! * ranges are open on the left, which they were not: no window begins at a sample, as samples have odd milliseconds
//!   and queries others, and subqueries, whose steps are at whole seconds, are not put into one another;
//! * there are no native histograms, no names beyond ASCII and no aggregation parameters that change;
//! * `atan2`, which kept the metric's name, `stddev` and `stdvar`, which took NaN for nothing, are left out;
//! * so are the functions of `DEFINED_OTHERWISE`, `topk` and `bottomk`, which take others of the samples that tie, and
//!   subqueries of what has a fixed time;
//! * so are numbers in the place of durations, texts of errors, and annotations.
//!
//! # Where digits may differ
//!
//! [`tolerance`](rules::tolerance) has the list.

#[path = "differential/call.rs"]
mod call;
#[path = "differential/compare.rs"]
mod compare;
#[path = "differential/data.rs"]
mod data;
#[path = "differential/generate.rs"]
mod generate;
#[path = "differential/pair.rs"]
mod pair;
#[path = "differential/random.rs"]
mod random;
#[path = "differential/rules.rs"]
mod rules;
#[path = "differential/shrink.rs"]
mod shrink;
mod support;
#[path = "differential/texts.rs"]
mod texts;
#[path = "differential/words.rs"]
mod words;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use data::Data;
use generate::Generator;
use pair::{Ask, Counts, Pair};
use random::Random;
use rules::nests_subqueries;
use support::peers;

/// How many expressions there are by default: half a minute's worth.
const EXPRESSIONS: u64 = 3_000;
const SEED: u64 = 1;
/// After so many different differences there is enough to do.
const FAILURES_MAX: usize = 25;

#[test]
fn generated_expressions_have_the_same_answers() {
    let Some([prometheus]) = peers::or_skip("differential", [peers::PROMETHEUS]) else {
        return;
    };
    let expressions = number("HEARTH_DIFFERENTIAL_EXPRESSIONS", EXPRESSIONS);
    let seed = number("HEARTH_DIFFERENTIAL_SEED", SEED);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut pair = Pair::start(dir.path(), &prometheus);
    let language = pair.language();
    let data = Data {
        shift: if language.is_modern { 0 } else { 7 },
        is_modern: language.is_modern,
    };
    for monitor in [&pair.hearth, &pair.real] {
        data.write(&monitor.address).expect("remote write is taken");
    }

    if let Ok(text) = std::env::var("HEARTH_DIFFERENTIAL_QUERY") {
        let times = std::env::var("HEARTH_DIFFERENTIAL_TIME");
        let ask = Ask::given(times.as_deref().unwrap_or("1600000600"));
        let [own, real] = pair.answers(&ask, &text);
        say(&format!("Hearth:     {own}\nPrometheus: {real}"));
        return;
    }
    let mut failures = BTreeMap::new();
    let mut counts = Counts::default();
    for index in 0..expressions {
        let random = Random::new(seed, index);
        let mut generator = Generator {
            language: &language,
            random,
        };
        let text = generator.expression();
        if !language.is_modern && nests_subqueries(&text) {
            continue;
        }
        for ask in [Ask::instant(&mut generator), Ask::range(&mut generator)] {
            if pair.difference(&ask, &text, &mut counts).is_some() {
                let shortest = shrink::shrink(&text, |text| {
                    pair.difference(&ask, text, &mut Counts::default())
                        .is_some()
                });
                // Nothing: Prometheus does not say the same each time.
                if let Some(difference) = pair.difference(&ask, &shortest, &mut Counts::default()) {
                    failures.insert(shortest, (index, ask.describe(), difference));
                }
            }
        }
        if FAILURES_MAX <= failures.len() {
            break;
        }
    }
    say(&format!(
        "differential: seed {seed}, {expressions} expressions, {counts:?}"
    ));
    assert!(
        failures.is_empty(),
        "seed {seed}; Hearth's answer first:\n{}",
        report(&failures)
    );
    // What has no result shows little.
    assert!(counts.answers < counts.full * 3, "{counts:?}");
    assert!(counts.answers < counts.errors * 50, "{counts:?}");
    assert!(counts.other_words * 5 <= counts.parse_errors, "{counts:?}");
}

/// The shortest text to where it came from, what was asked, and what differs.
type Failures = BTreeMap<String, (u64, String, String)>;

fn report(failures: &Failures) -> String {
    let mut report = String::new();
    for (text, (index, ask, difference)) in failures {
        let _ = writeln!(
            report,
            "{text}\n  expression {index}, {ask}\n  {difference}"
        );
    }
    report
}

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={text}: not a number")),
        Err(_) => default,
    }
}

/// Writes past the test runner's capture.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
