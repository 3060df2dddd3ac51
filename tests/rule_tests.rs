//! `hearth tool test rules` as a program: promtool's lines and exit codes, and the unit tests of the conformance data.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::monitor::hearth_binary;

fn run(dir: &Path, words: &[&str]) -> Output {
    Command::new(hearth_binary())
        .args(["tool", "test", "rules"])
        .args(words)
        .current_dir(dir)
        .output()
        .unwrap()
}

/// Runs one file in a directory of its own beside `a.rules`, and compares the exit code and both outputs.
#[track_caller]
fn check(tests: &str, words: &[&str], code: i32, complaint: &str) {
    let dir = tempfile::tempdir().unwrap();
    let rules = "groups:\n- name: g\n  rules:\n  - {record: double, expr: 2 * m}\n  - alert: High\n    expr: double > 10\n    \
                 for: 2m\n    labels: {severity: page}\n    annotations: {text: 'at {{ $value }} in {{ $externalLabels.dc }}'}\n";
    fs::write(dir.path().join("a.rules"), rules).unwrap();
    fs::write(
        dir.path().join("t.yml"),
        format!("rule_files: [a.rules]\ntests:\n{tests}"),
    )
    .unwrap();
    let output = run(dir.path(), &[words, &["t.yml"]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, complaint);
    assert_eq!(output.status.code(), Some(code));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.contains("  SUCCESS\n"), code == 0, "{printed}");
}

const SERIES: &str = "- name: up\n  external_labels: {dc: eu}\n  input_series: [{series: 'm{a=\"b\"}', values: '1+1x10'}]\n";

#[test]
fn what_is_expected_comes() {
    let tests = format!(
        "{SERIES}  promql_expr_test:\n  - {{expr: double, eval_time: 3m, exp_samples: [{{labels: 'double{{a=\"b\"}}', value: 0b1000}}]}}\n  \
         - {{expr: 'm > 100', eval_time: 3m}}\n  alert_rule_test:\n  - {{eval_time: 6m, alertname: High}}\n  \
         - eval_time: 7m30s\n    alertname: High\n    exp_alerts:\n    \
         - exp_labels: {{a: b, severity: page}}\n      exp_annotations: {{text: at 16 in eu}}\n"
    );
    check(&tests, &[], 0, "");
    check(&tests, &["--run=^up$"], 0, "");
    // Nothing is run, and nothing fails.
    check(&tests.replace("at 16", "at 17"), &["--run=other"], 0, "");
}

#[test]
fn what_differs_is_shown() {
    let tests = format!(
        "{SERIES}  promql_expr_test: [{{expr: double, eval_time: 1m, exp_samples: []}}, {{expr: 'sum(', eval_time: 1m}}]\n  \
         alert_rule_test: [{{eval_time: 7m, alertname: High, exp_alerts: [{{exp_labels: {{severity: none}}}}]}}]\n"
    );
    let expected = "  FAILED:\n    name: up,\n    alertname: High, time: 7m, \n        exp:[\n            0:\n              \
        Labels:{alertname=\"High\", severity=\"none\"}\n              Annotations:{}\n            ], \n        got:[\n            0:\n              \
        Labels:{a=\"b\", alertname=\"High\", severity=\"page\"}\n              Annotations:{text=\"at 16 in eu\"}\n            ]\n    \
        expr: \"double\", time: 1m,\n        exp: nil\n        got: {__name__=\"double\", a=\"b\"} 4E+00\n    \
        expr: \"sum(\", time: 1m, err: 1:5: parse error: unclosed left parenthesis\n";
    check(&tests, &[], 1, expected);
}

#[test]
fn what_cannot_be_run_says_why() {
    let mistakes = [
        (
            "- {input_series: [{series: 'm{', values: 1}]}\n",
            "inside braces",
        ),
        ("- {unknown: 1}\n", "unknown"),
        (
            "- {start_timestamp: soon}\n",
            "neither seconds since the epoch nor RFC 3339",
        ),
        (
            "- {alert_rule_test: [{eval_time: 10y, alertname: x}]}\n",
            "evaluations are too many",
        ),
        (
            "- {promql_expr_test: [{expr: m, eval_time: later}]}\n",
            "not a valid duration string",
        ),
    ];
    for (tests, reason) in mistakes {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("t.yml"), format!("tests:\n{tests}")).unwrap();
        let output = run(dir.path(), &["t.yml"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{tests}: {said}");
        assert!(
            said.starts_with("  FAILED:\n") && said.contains(reason),
            "{tests}: {said}"
        );
    }
}

#[test]
fn results_are_written_for_build_servers() {
    let dir = tempfile::tempdir().unwrap();
    let tests = "tests:\n- {name: a, promql_expr_test: [{expr: '1', eval_time: 0, exp_samples: [{value: 2}]}]}\n- {}\n";
    fs::write(dir.path().join("t.yml"), tests).unwrap();
    let output = run(dir.path(), &["--junit=out.xml", "t.yml"]);
    assert_eq!(output.status.code(), Some(1));
    let xml = fs::read_to_string(dir.path().join("out.xml")).unwrap();
    assert!(
        xml.starts_with(
            "<testsuites><testsuite name=\"t.yml\" tests=\"2\" failures=\"1\" errors=\"0\""
        ),
        "{xml}"
    );
    assert!(
        xml.contains("<testcase name=\"unnamed#1\"></testcase>"),
        "{xml}"
    );
}

/// Returns the folder of the conformance data, or says that it is not there.
fn conformance() -> Option<PathBuf> {
    let root = std::env::var_os("HEARTH_CONFORMANCE_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance"),
        PathBuf::from,
    );
    let path = root.join("rules");
    if path.is_dir() {
        return Some(path);
    }
    let _ = writeln!(
        std::io::stdout(),
        "skipped: {} is not there",
        path.display()
    );
    None
}

#[test]
fn unit_tests_of_others_end_as_with_promtool() {
    let Some(root) = conformance() else { return };
    let rows = |name: &str| -> Vec<Vec<String>> {
        let table = fs::read_to_string(root.join(name)).unwrap();
        let rows = table.lines().skip(1);
        rows.map(|row| row.split('\t').map(str::to_owned).collect())
            .collect()
    };
    let mut cases: Vec<(String, String, i32)> = Vec::new();
    for row in rows("expected.tsv")
        .iter()
        .filter(|row| row[1] == "test rules")
    {
        let code = row[4].trim_start_matches("exit ").parse().unwrap();
        cases.push((row[3].clone(), row[2].clone(), code));
    }
    for row in rows("unit-tests.tsv") {
        cases.push((row[0].clone(), String::new(), row[1].parse().unwrap()));
    }
    assert!(15 < cases.len(), "{} cases", cases.len());
    for (file, args, code) in cases {
        let path = root.join(&file);
        let name = path.file_name().unwrap().to_str().unwrap();
        let words: Vec<&str> = args.split_whitespace().chain([name]).collect();
        let output = run(path.parent().unwrap(), &words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{file} {args}: {said}");
    }
}
