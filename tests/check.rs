//! `hearth tool check` as a program: promtool's lines and exit codes.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use support::monitor::hearth_binary;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

/// Runs a check and compares its exit code and all that it printed, standard error last.
#[track_caller]
fn check(dir: &Path, words: &str, code: i32, expected: &str) {
    let output = Command::new(hearth_binary())
        .args(["tool", "check"])
        .args(words.split(' '))
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = [output.stdout, output.stderr].concat();
    assert_eq!(String::from_utf8(printed).unwrap(), expected, "{words}");
    assert_eq!(output.status.code(), Some(code), "{words}");
}

const RULES: &str =
    "groups:\n- name: g\n  rules:\n  - {record: a, expr: b}\n  - {record: a, expr: c}\n";

#[test]
fn a_good_configuration() {
    let dir = folder(&[
        (
            "main.yml",
            "rule_files: [a.rules]\nscrape_configs:\n- job_name: j\n  file_sd_configs: [{files: [none.json, sd.yml]}]\n",
        ),
        (
            "a.rules",
            "groups: [{name: g, rules: [{record: a, expr: b}]}]",
        ),
        ("sd.yml", "- targets: [a:1]\n"),
    ]);
    let expected = "Checking main.yml\n  WARNING: file \"none.json\" for file_sd in scrape job \"j\" does not exist\n  SUCCESS: 1 rule files found\n SUCCESS: main.yml is valid prometheus config file syntax\n\nChecking a.rules\n  SUCCESS: 1 rules found\n\n";
    check(dir.path(), "config main.yml", 0, expected);
    let expected =
        "Checking main.yml\n SUCCESS: main.yml is valid prometheus config file syntax\n\n";
    check(dir.path(), "config --syntax-only main.yml", 0, expected);
    let expected = "Checking main.yml\n\n  FAILED: parsing YAML file main.yml: field rule_files is not allowed in agent mode\n";
    check(dir.path(), "config --agent main.yml", 1, expected);
}

#[test]
fn files_that_are_not_there_or_wrong() {
    #[track_caller]
    fn fails(text: &str, expected: &str) {
        let dir = folder(&[
            ("main.yml", text),
            ("sd.json", r#"[{"targets": ["http://a"]}]"#),
            ("more.yml", "scrape_configs: [{job_name: a, foo: 1}]"),
        ]);
        let expected = format!("Checking main.yml\n\n  FAILED: {expected}\n");
        check(dir.path(), "config main.yml", 1, &expected);
    }
    fails(
        "rule_files: [none]",
        "\"none\" does not point to an existing file",
    );
    fails(
        "scrape_configs: [{job_name: a, authorization: {credentials_file: none}}]",
        "error checking authorization credentials or bearer token file \"none\": stat none: no such file or directory",
    );
    fails(
        "scrape_configs: [{job_name: a, tls_config: {cert_file: c, key_file: k}}]",
        "error checking client cert file \"c\": stat c: no such file or directory",
    );
    fails(
        "scrape_configs: [{job_name: a, file_sd_configs: [{files: [sd.json]}]}]",
        "instance 0 in group : \"http://a\" is not a valid hostname",
    );
    fails(
        "alerting: {alertmanagers: [{file_sd_configs: [{files: ['s*.json']}]}]}",
        "\"http://a\" is not a valid hostname",
    );
    fails(
        "scrape_config_files: [more.yml]",
        "error loading scrape configs: parsing YAML file more.yml: line 1, column 32: field foo not found in type config.ScrapeConfig",
    );
}

#[test]
fn lints() {
    let dir = folder(&[
        (
            "main.yml",
            "rule_files: [a.rules]\nscrape_configs: [{job_name: j, scrape_interval: 10m}]\n",
        ),
        ("a.rules", RULES),
    ]);
    let head = "Checking main.yml\n  SUCCESS: 1 rule files found\n SUCCESS: main.yml is valid prometheus config file syntax\n\nChecking a.rules\n";
    let twice = "  FAILED:\nlint error 1 duplicate rule(s) found.\nMetric: a\nLabel(s):\nMight cause inconsistency while recording expressions\n";
    let long = "  FAILED: too long scrape interval found, data point will be marked as stale - job: j, interval: 10m\n";
    check(
        dir.path(),
        "config main.yml",
        0,
        &format!("{head}\n{twice}"),
    );
    check(
        dir.path(),
        "config --lint-fatal main.yml",
        3,
        &format!("{head}\n{twice}"),
    );
    check(
        dir.path(),
        "config --lint=all --lint-fatal main.yml",
        3,
        &format!("{head}\n{long}{twice}"),
    );
    let good = format!("{head}  SUCCESS: 2 rules found\n\n");
    check(
        dir.path(),
        "config --lint=none --lint-fatal main.yml",
        0,
        &good,
    );
    check(
        dir.path(),
        "config --lint=none --lint=too-long-scrape-interval --query.lookback-delta=15m main.yml",
        0,
        &good,
    );
}

#[test]
fn unknown_fields_of_rule_files() {
    let dir = folder(&[
        ("main.yml", "rule_files: [a.rules]\n"),
        (
            "a.rules",
            "groups:\n- name: g\n  team: t\n  rules: [{record: a, expr: b, owner: o}]\n",
        ),
    ]);
    let head = "Checking main.yml\n  SUCCESS: 1 rule files found\n SUCCESS: main.yml is valid prometheus config file syntax\n\nChecking a.rules\n";
    check(
        dir.path(),
        "config --ignore-unknown-fields main.yml",
        0,
        &format!("{head}  SUCCESS: 1 rules found\n\n"),
    );
    let refused = "  FAILED:\na.rules: 3:3: field team not found, expected one of name, interval, query_offset, limit, labels, rules\n";
    check(
        dir.path(),
        "config main.yml",
        1,
        &format!("{head}{refused}"),
    );
}

#[test]
fn web_configurations() {
    let dir = folder(&[
        ("good.yml", "http_server_config: {http2: true}\n"),
        ("bad.yml", "basic_auth_users: {a: b}\n"),
    ]);
    check(
        dir.path(),
        "web-config good.yml bad.yml",
        1,
        "good.yml SUCCESS\nbad.yml FAILED: crypto/bcrypt: hashedSecret too short to be a bcrypted password\n",
    );
    check(
        dir.path(),
        "web-config none.yml",
        1,
        "hearth tool: error: path 'none.yml' does not exist, try --help\n",
    );
}

#[test]
fn rule_files() {
    let dir = folder(&[
        (
            "good.yml",
            "groups: [{name: g, rules: [{record: a, expr: b}]}]",
        ),
        ("twice.yml", RULES),
        (
            "fill.yml",
            "groups: [{name: g, rules: [{record: a, expr: b + fill(0) c}]}]",
        ),
        ("bad.yml", "groups: [{name: g, rules: [{alert: a}]}]"),
    ]);
    let good = "Checking good.yml\n  SUCCESS: 1 rules found\n\n";
    check(dir.path(), "rules good.yml", 0, good);
    let twice = "Checking twice.yml\n\n  FAILED:\nlint error 1 duplicate rule(s) found.\nMetric: a\nLabel(s):\n\
                 Might cause inconsistency while recording expressions\n";
    check(dir.path(), "rules twice.yml", 0, twice);
    check(dir.path(), "rules --lint-fatal twice.yml", 3, twice);
    let fine = "Checking twice.yml\n  SUCCESS: 2 rules found\n\n";
    check(dir.path(), "rules --lint=none twice.yml", 0, fine);
    let fill = "Checking fill.yml\n  SUCCESS: 1 rules found\n\n";
    let words = "rules --enable-feature=promql-binop-fill-modifiers fill.yml";
    check(dir.path(), words, 0, fill);
    let nothing = "Checking standard input\n  SUCCESS: 0 rules found\n\n";
    check(dir.path(), "rules", 0, nothing);
    let output = Command::new(hearth_binary())
        .args(["tool", "check", "rules", "bad.yml", "good.yml"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed, format!("Checking bad.yml\n{good}"));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(
        complaint.contains("field 'expr' must be set in rule"),
        "{complaint}"
    );
}

#[test]
fn service_discovery() {
    let dir = folder(&[(
        "main.yml",
        "scrape_configs:\n- job_name: j\n  static_configs: [{targets: ['a:1', 'b:1', 'c d']}]\n  relabel_configs:\n  \
         - {source_labels: [__address__], regex: b.*, action: drop}\n  - {target_label: x, replacement: y}\n- job_name: k\n",
    )]);
    let found = |address: &str, rest: &str| {
        format!(
            r#"  {{
    "discoveredLabels": {{
      "__address__": "{address}",
      "__metrics_path__": "/metrics",
      "__scheme__": "http",
      "__scrape_interval__": "1m",
      "__scrape_timeout__": "10s",
      "job": "j"
    }},
    "labels": {rest}
  }}"#
        )
    };
    let kept = |address: &str| {
        format!(
            r#"{{
      "__address__": "{address}",
      "__metrics_path__": "/metrics",
      "__scheme__": "http",
      "__scrape_interval__": "1m",
      "__scrape_timeout__": "10s",
      "instance": "{address}",
      "job": "j",
      "x": "y"
    }}"#
        )
    };
    let expected = format!(
        "[\n{},\n{},\n{}\n]\n",
        found("a:1", &kept("a:1")),
        found("b:1", "{}"),
        found("c d", &kept("c d"))
    );
    check(dir.path(), "service-discovery main.yml j", 0, &expected);
    check(dir.path(), "service-discovery main.yml k", 0, "[]\n");
    let expected = "Job x not found. Select one of:\n\tj\n\tk\n";
    check(dir.path(), "service-discovery main.yml x", 1, expected);
}
