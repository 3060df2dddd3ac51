//! Rule templates against what Prometheus made of them (`templates/prometheus.jsonl` of the conformance data), and rule files and
//! their expressions against what promtool and Prometheus say (`rules`).

use metrics::Registry;
use model::{Duration, Labels};
use serde_json::{Value, json};

use super::file::{RuleConfig, RuleFile};
use super::group::{EvaluationContext, Group, GroupSettings};
use super::metrics::RuleMetrics;
use super::testing::{FakeQuery, VecStorage, conformance};

/// Cases known to differ, with the reason. A case that starts to agree must leave this list.
const KNOWN_GAPS: &[(&str, &str)] = &[
    (
        "T0160",
        "toDuration is newer than the Prometheus that was asked; newer ones have it",
    ),
    (
        "T0162",
        "urlQueryEscape is newer than the Prometheus that was asked; newer ones have it",
    ),
];

#[test]
fn rule_templates_expand_as_in_prometheus() {
    let Some(directory) = conformance("templates") else {
        return;
    };
    let cases = std::fs::read_to_string(directory.join("prometheus.jsonl")).unwrap();
    let mut surprises = Vec::new();
    for line in cases.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let name = case["alert"].as_str().unwrap();
        let is_gap = KNOWN_GAPS.iter().any(|(gap, _)| *gap == name);
        match (run(&case), is_gap) {
            (Ok(()), false) | (Err(_), true) => {}
            (Ok(()), true) => {
                surprises.push(format!("{name}: agrees now, drop it from KNOWN_GAPS"))
            }
            (Err(found), false) => surprises.push(format!(
                "{name}: {}\n  found    {found}\n  expected {line}",
                case["text"]
            )),
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

/// Returns what was found where it is not what was expected.
fn run(case: &Value) -> Result<(), String> {
    let rule = json!({"alert": case["alert"], "expr": "up", "labels": {"lab": "x"}, "annotations": {"a": case["text"]}});
    let file = json!({"groups": [{"name": "g", "rules": [rule]}]}).to_string();
    let mut config = match (RuleFile::parse("FILE", &file), case["load_error"].as_str()) {
        (Ok(file), None) => file,
        // Prometheus' message has no line; ours has.
        (Err(error), Some(expected))
            if error
                .to_string()
                .ends_with(expected.trim_start_matches("FILE: ")) =>
        {
            return Ok(());
        }
        (Ok(_), Some(_)) => return Err("it loads".to_owned()),
        (Err(error), _) => return Err(error.to_string()),
    };
    let settings = GroupSettings {
        interval: Duration::from_secs(60),
        query_offset: Duration::ZERO,
        external_labels: Labels::from_pairs([("cluster", "c1"), ("region", "eu")]),
        external_url: "http://prom.example/prom".to_owned(),
    };
    let metrics = RuleMetrics::new(&Registry::new());
    let mut group = Group::new(config.groups.remove(0), settings, &metrics, false);
    let value: f64 = case["value"].as_str().unwrap().parse().unwrap();
    let query = FakeQuery(move |query: &str, _: i64| {
        Ok(match query {
            "up" => vec![("instance=host-1.example.com:9100,job=node & <x>", value)],
            "nope_metric" => vec![],
            query if query.contains(" or ") => vec![("x=b", 1.0), ("x=a", 2.0)],
            query => vec![("", query["vector(".len()..query.len() - 1].parse().unwrap())],
        })
    });
    let storage = VecStorage::default();
    let context = EvaluationContext {
        tracer: &model::trace::Tracer::default(),
        query: &query,
        storage: &storage,
        resend_delay: Duration::from_secs(60),
    };
    let sent = group.evaluate(0, &context);
    let found = sent[0].annotations.value("a");
    if found == case["expect"].as_str().unwrap() {
        Ok(())
    } else {
        Err(found.to_owned())
    }
}

/// Returns the rows of a table, the heading left out.
fn rows(table: &str) -> impl Iterator<Item = Vec<&str>> {
    table.lines().skip(1).map(|row| row.split('\t').collect())
}

#[test]
fn rule_files_are_taken_or_refused_as_by_promtool() {
    let Some(directory) = conformance("rules") else {
        return;
    };
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    let (cases, real) = (read("expected.tsv"), read("real-files.tsv"));
    let mut surprises = Vec::new();
    let mut checked = 0;
    for row in rows(&cases).filter(|row| row[1] == "parse") {
        let (file, expect, reason) = (row[3], row[4], row[5]);
        let parsed = RuleFile::parse(file, &read(file));
        match (&parsed, expect) {
            (Ok(_), "ok") => (),
            (Err(error), "error") if error.to_string().contains(reason) => (),
            _ => surprises.push(format!("{file}: {expect} {reason}, found {parsed:?}")),
        }
        checked += 1;
    }
    for row in rows(&real) {
        let (file, expect) = (row[0], row[1]);
        match (RuleFile::parse(file, &read(file)), expect) {
            (Ok(parsed), "ok") => {
                let rules = || parsed.groups.iter().flat_map(|group| &group.rules);
                let alerting = rules().filter(|rule| matches!(rule, RuleConfig::Alerting(_)));
                let alerting = alerting.count();
                let recording = rules().count() - alerting;
                let found = [parsed.groups.len(), alerting, recording].map(|n| n.to_string());
                if found != row[2..5] {
                    surprises.push(format!("{file}: {found:?} instead of {:?}", &row[2..5]));
                }
            }
            (Err(_), "error") => (),
            (found, _) => surprises.push(format!("{file}: {expect}, found {found:?}")),
        }
        checked += 1;
    }
    assert!(50 < checked, "{checked} files");
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

#[test]
fn expressions_of_real_rules_are_printed_as_by_prometheus() {
    let Some(directory) = conformance("rules") else {
        return;
    };
    let table = std::fs::read_to_string(directory.join("exprs.tsv")).unwrap();
    let plain = |text: &str| {
        let text = text.replace("\\\\", "\0").replace("\\n", "\n");
        text.replace("\\t", "\t").replace('\0', "\\")
    };
    let mut surprises = Vec::new();
    let mut checked = 0;
    for row in rows(&table) {
        let [expr, string, pretty] = [row[3], row[4], row[5]].map(plain);
        match promql::parse(&expr) {
            Ok(parsed) => {
                let printed = parsed.to_string();
                if printed != string {
                    surprises.push(format!("{expr}\n  found    {printed}\n  expected {string}"));
                }
                let printed = promql::pretty(&parsed);
                if printed != pretty {
                    surprises.push(format!("{expr}\n  found\n{printed}\n  expected\n{pretty}"));
                }
            }
            Err(error) => surprises.push(format!("{expr}: {error}")),
        }
        checked += 1;
    }
    assert!(500 < checked, "{checked} expressions");
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}
