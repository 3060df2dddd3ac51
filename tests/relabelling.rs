//! Hearth beside the real Prometheus 3.x, both with the same generated relabel chains: the same targets with the same labels,
//! and the same ones dropped.
//!
//! Every chain is the `relabel_configs` of a job of its own with a handful of targets, in one file that both read. Nothing is
//! scraped; what counts is `/api/v1/targets`. `HEARTH_RELABEL_SEED` and `HEARTH_RELABEL_CHAINS` ask for others, and for more.

mod support;

#[path = "differential/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use random::Random;
use support::monitor::{Monitor, free_address};
use support::peers;
use support::wait::{PATIENCE, eventually};

/// Chains in a run.
const CHAINS: u64 = 400;
/// Targets of each chain.
const TARGETS: usize = 6;
/// The name of a job without rules after those that have them.
const LAST: &str = "last";

#[test]
fn generated_chains_leave_the_same_targets() {
    let Some([prometheus]) = peers::or_skip("relabelling", [peers::PROMETHEUS]) else {
        return;
    };
    if !peers::is_3_or_skip("relabelling", &prometheus) {
        return;
    }
    let (seed, chains) = (
        number("HEARTH_RELABEL_SEED", 1),
        number("HEARTH_RELABEL_CHAINS", CHAINS),
    );
    let dir = tempfile::tempdir().unwrap();
    let rules: Vec<String> = (0..chains)
        .map(|n| chain(&mut Random::new(seed, n)))
        .collect();
    let mut config = "global: {scrape_interval: 10h}\nscrape_configs:\n".to_owned();
    for (n, rules) in rules.iter().enumerate() {
        config += &job(&mut Random::new(!seed, n as u64), n, rules);
    }
    let _ = writeln!(
        config,
        "- job_name: {LAST}\n  static_configs: [{{targets: [x]}}]"
    );
    fs::write(dir.path().join("config.yml"), config).unwrap();
    let flags = |data| ["--config.file=config.yml", data];
    let hearth = Monitor::hearth(dir.path(), &flags("--storage.tsdb.path=hearth-data"));
    let real = Monitor::program(
        "prometheus",
        &prometheus,
        &free_address(),
        dir.path(),
        &flags("--storage.tsdb.path=prometheus-data"),
    );
    let (own, theirs) = (settled(&hearth), settled(&real));
    let (mut differences, mut kept) = (Vec::new(), 0);
    for (pool, rules) in rules.iter().enumerate() {
        let of = |pools: &Pools| pools.get(&pool.to_string()).cloned().unwrap_or_default();
        let (mut own, mut theirs) = (of(&own), of(&theirs));
        // Of several that fall together, either may keep what was discovered of any.
        for lines in [&mut own, &mut theirs] {
            let is_joined = lines.len() < TARGETS;
            for line in lines.iter_mut().filter(|_| is_joined) {
                *line = line.split_once("} ").map_or("", |parts| parts.1).to_owned();
            }
            lines.sort();
        }
        kept += theirs
            .iter()
            .filter(|target| target.starts_with("active"))
            .count();
        if own != theirs {
            let only = |lines: &[String], others: &[String]| -> Vec<String> {
                let missing = lines.iter().filter(|line| !others.contains(line));
                missing.cloned().collect()
            };
            let (own, theirs) = (only(&own, &theirs), only(&theirs, &own));

            differences.push(format!(
                "{rules}Hearth: {own:#?}\nPrometheus: {theirs:#?}\n"
            ));
        }
    }
    // Else the chains say nothing.
    let all = rules.len() * TARGETS;
    assert!(
        all / 4 < kept && kept < all,
        "{kept} of {all} targets are kept"
    );
    assert!(
        differences.is_empty(),
        "seed {seed}: {} chains differ:\n{}",
        differences.len(),
        differences[..differences.len().min(5)].join("\n")
    );
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("it is a number"))
}

/// Each pool's targets, active or dropped, on a line each, sorted. A pool that has none is not there.
type Pools = BTreeMap<String, Vec<String>>;

/// Returns the pools of `monitor` once its last job is there and nothing has moved for a moment.
fn settled(monitor: &Monitor) -> Pools {
    let mut before = Pools::new();
    eventually("all targets are found", PATIENCE, || {
        let now = by_pool(monitor)?;
        let is_settled = now.contains_key(LAST) && now == before;
        before = now;
        std::thread::sleep(std::time::Duration::from_millis(300));
        is_settled
            .then_some(())
            .ok_or_else(|| "still moving".to_owned())
    });
    before
}

fn by_pool(monitor: &Monitor) -> Result<Pools, String> {
    let data = monitor.data("/api/v1/targets")?;
    let mut pools = Pools::new();
    for (kind, list) in [("active", "activeTargets"), ("dropped", "droppedTargets")] {
        for target in data[list].as_array().into_iter().flatten() {
            // `serde_json` keeps objects sorted; Prometheus' dropped targets of 3.5 name no pool but in their labels.
            let discovered = &target["discoveredLabels"];
            let pool = target["scrapePool"]
                .as_str()
                .or(discovered["job"].as_str())
                .unwrap_or_default();
            let lines = pools.entry(pool.to_owned()).or_default();
            let (labels, url) = (&target["labels"], &target["scrapeUrl"]);
            let times = (&target["scrapeInterval"], &target["scrapeTimeout"]);
            lines.push(format!(
                "{kind} {discovered} {labels} {url} {} {}",
                times.0, times.1
            ));
        }
    }
    for lines in pools.values_mut() {
        lines.sort();
    }
    Ok(pools)
}

/// Returns a job with `rules` and targets of random labels.
fn job(random: &mut Random, n: usize, rules: &str) -> String {
    let mut text = format!("- job_name: '{n}'\n  static_configs:\n");
    for target in 0..TARGETS {
        let host = random.pick(&["127.0.0.1:1", "localhost:2", "[::1]:3", "h", "10.0.0.1:80"]);
        let _ = write!(text, "  - targets: ['{host}']\n    labels: {{n: '{target}'");
        for name in NAMES {
            if random.percent(40) {
                let _ = write!(text, ", {name}: {}", quoted(random.pick(VALUES)));
            }
        }
        text += "}\n";
    }
    let _ = write!(text, "  relabel_configs:\n{rules}");
    text
}

const NAMES: &[&str] = &[
    "a",
    "b",
    "Zone",
    "__meta_pod",
    "__meta_pod_label_app",
    "__tmp",
    "__param_module",
];
const VALUES: &[&str] = &[
    "",
    "foo",
    "Foo-BAR",
    "a;b",
    "x",
    "10",
    "true",
    "ÄÖß",
    "$1",
    "line\nbreak",
    "foo.example.com:9100",
    " spaced ",
];
const SOURCES: &[&str] = &[
    "a",
    "b",
    "n",
    "Zone",
    "__meta_pod",
    "__meta_pod_label_app",
    "__tmp",
    "__address__",
    "__scheme__",
    "__metrics_path__",
    "__param_module",
    "job",
    "instance",
    "missing",
];
const TARGET_LABELS: &[&str] = &[
    "a",
    "b",
    "n",
    "new",
    "__tmp",
    "__address__",
    "__metrics_path__",
    "__scheme__",
    "__param_module",
    "__param_other",
    "__scrape_interval__",
    "instance",
    "job",
    "${1}",
    "x_$1",
    "with space",
    "täg",
];
const VALUE_PATTERNS: &[&str] = &[
    "(.*)",
    "(.+)",
    "",
    "foo",
    "foo|x",
    "f(.*)",
    "(?i)FOO.*",
    "([^:]+)(?::\\d+)?",
    "(.*);(.*)",
    "[0-3]",
    ".*o.*",
    "(?P<first>.)(?P<rest>.*)",
    "\\d+",
    ".",
    "(a)?(.*)",
    "^foo$",
    "[a-z]+",
    "(?s:.*)",
];
/// Each with a group of all that it matches: where a copy would have no name, Prometheus makes a label without a name and Hearth
/// none, and where several labels are copied to the same name, Prometheus has them in the order
/// of a hash map, which is another one each time.
const NAME_PATTERNS: &[&str] = &[
    "__meta_(.+)",
    "__meta_pod_label_(.+)",
    "(a|b)",
    "(n)",
    "(__tmp|Zone)",
    "(Zon|jo)(e|b)",
    "(__.*)",
    "([a-z]+)",
];
const REPLACEMENTS: &[&str] = &[
    "$1",
    "${1}",
    "",
    "static",
    "$1:9100",
    "${2}-${1}",
    "$$1",
    "${first}_${rest}",
    "$9",
    "a$1b",
    "https",
    "30s",
    "/probe",
    "${",
    "$",
    "$first",
];

/// Returns a chain of one to six rules, each one that a configuration may have.
fn chain(random: &mut Random) -> String {
    (0..=random.below(6)).map(|_| rule(random)).collect()
}

fn rule(random: &mut Random) -> String {
    // What drops is rarer, or nothing is left to compare.
    let action = match random.below(20) {
        0..=9 => "replace",
        10 => "keep",
        11 => "drop",
        12 => random.pick(&["keepequal", "dropequal"]),
        13 | 14 => "hashmod",
        15 | 16 => "labelmap",
        17 => random.pick(&["labeldrop", "labelkeep"]),
        18 => "lowercase",
        _ => "uppercase",
    };
    let mut fields = vec![format!("action: {action}")];
    let mut add = |key: &str, value: &str| fields.push(format!("{key}: {}", quoted(value)));
    let selects_names = matches!(action, "labelmap" | "labeldrop" | "labelkeep");
    if selects_names {
        let pattern = match action {
            // Without an address there is no target.
            "labelkeep" => "__.*|a|job",
            _ => random.pick(NAME_PATTERNS),
        };
        if action != "labeldrop" || pattern != "(__.*)" {
            add("regex", pattern);
        } else {
            add("regex", "__meta.*");
        }
    }
    if action == "labelmap" && random.percent(60) {
        add(
            "replacement",
            random.pick(&["$1", "k_$1", "${1}", "${1}_x", "k$9_$1"]),
        );
    }
    if selects_names {
        return format!("  - {{{}}}\n", fields.join(", "));
    }
    if action != "replace" || random.percent(90) {
        let sources: Vec<&str> = (0..=random.below(2))
            .map(|_| random.pick(SOURCES))
            .collect();
        fields.push(format!("source_labels: [{}]", sources.join(", ")));
    }
    let mut add = |key: &str, value: &str| fields.push(format!("{key}: {}", quoted(value)));
    if !matches!(action, "keep" | "drop") {
        let plain = !matches!(action, "replace");
        let mut target = random.pick(TARGET_LABELS);
        while plain && target.contains('$') {
            target = random.pick(TARGET_LABELS);
        }
        add("target_label", target);
    }
    if matches!(action, "keepequal" | "dropequal") {
        return format!("  - {{{}}}\n", fields.join(", "));
    }
    if random.percent(25) {
        add("separator", random.pick(&["", "-", ";;", "/", "\n"]));
    }
    match action {
        "hashmod" => {
            let modulus = random.pick(&["1", "2", "7", "1000", "18446744073709551615"]);
            fields.push(format!("modulus: {modulus}"));
        }
        "keep" | "drop" => add("regex", random.pick(VALUE_PATTERNS)),
        "replace" => {
            if random.percent(70) {
                add("regex", random.pick(VALUE_PATTERNS));
            }
            if random.percent(70) {
                add("replacement", random.pick(REPLACEMENTS));
            }
        }
        _ => (),
    }
    format!("  - {{{}}}\n", fields.join(", "))
}

/// Returns `text` as a YAML string; those of JSON are.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
