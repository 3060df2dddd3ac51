//! Rules over the past as a program: a data directory made of text, asked directly and through a server.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::monitor::{Monitor, hearth_binary};

const RULES: &str = "groups:\n- name: g\n  interval: 1m\n  rules:\n  - {record: 'job:load', expr: 'max by (job) (load)'}\n  \
    - {alert: High, expr: 'job:load > 5', for: 2m, labels: {severity: page}, annotations: {n: 'load {{ $value }}'}}\n";

/// When the samples begin, in seconds.
const START: i64 = 1_609_954_620;

fn tool(dir: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(hearth_binary());
    command
        .arg("tool")
        .args(words)
        .current_dir(dir)
        .output()
        .unwrap()
}

#[track_caller]
fn printed(dir: &Path, words: &[&str], code: i32) -> String {
    let output = tool(dir, words);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_data_directory_is_asked_and_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut text = "# TYPE load gauge\n".to_owned();
    for minute in 0..30 {
        let load = if (10..20).contains(&minute) {
            minute
        } else {
            1
        };
        text += &format!("load{{job=\"a\",i=\"1\"}} {load} {}\n", START + 60 * minute);
    }
    fs::write(dir.join("in"), text + "# EOF\n").unwrap();
    fs::write(dir.join("rules.yml"), RULES).unwrap();
    printed(
        dir,
        &[
            "tsdb",
            "create-blocks-from",
            "openmetrics",
            "-q",
            "in",
            "data",
        ],
        0,
    );
    let files = || {
        let entries = fs::read_dir(dir.join("data")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = files();
    let (start, end) = (START.to_string(), (START + 29 * 60).to_string());
    let range = [
        "--start",
        &start,
        "--end",
        &end,
        "--data",
        "data",
        "rules.yml",
    ];
    let with = |flags: &[&'static str]| [&["rules", "backtest"], flags, &range[..]].concat();
    let report: Value = serde_json::from_str(&printed(dir, &with(&["--output=json"]), 0)).unwrap();
    let group = &report["groups"][0];
    assert_eq!(group["evaluations"], 30);
    assert_eq!(group["rules"][0]["samples"], 30);
    let alerting = &group["rules"][1];
    let alert = &alerting["alerts"][0];
    assert_eq!(alert["labels"]["severity"], "page");
    assert_eq!(alert["annotations"]["n"], "load 19");
    let interval = |state: &str, from: &str, to: &str, value: &str, max: &str| {
        let day = "2021-01-06T";
        serde_json::json!({
            "state": state, "from": format!("{day}{from}Z"), "to": format!("{day}{to}Z"), "value": value, "min": value, "max": max,
        })
    };
    let expected = serde_json::json!([
        interval("pending", "17:47:00", "17:49:00", "10", "11"),
        interval("firing", "17:49:00", "17:57:00", "12", "19"),
    ]);
    assert_eq!(alert["intervals"], expected);
    let shown = printed(dir, &with(&[]), 0);
    assert!(
        shown.contains(
            "alerting High: 1 alerts, 1 notifications of firing and 1 of resolved ones\n"
        ),
        "{shown}"
    );
    assert!(
        shown.contains("firing       2021-01-06T17:49:00Z"),
        "{shown}"
    );
    assert_eq!(files(), before);
    for (words, code, what) in [
        (
            vec!["rules", "backtest", "rules.yml"],
            2,
            "--start is missing",
        ),
        (
            vec!["rules", "backtest", "--start=1", "--end=2", "rules.yml"],
            2,
            "either --url",
        ),
        (with(&["--group=x"]), 1, "no group \"x\""),
    ] {
        let output = tool(dir, &words);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(code) && complaint.contains(what),
            "{words:?}: {complaint}"
        );
    }
    let server = Monitor::hearth(
        dir,
        &[
            "--storage.tsdb.path=data",
            "--storage.tsdb.retention.time=100y",
        ],
    );
    let url = format!("http://{}", server.address);
    let words = [
        "rules",
        "backtest",
        "--output=json",
        "--url",
        &url,
        "--start",
        &start,
        "--end",
        &end,
        "rules.yml",
    ];
    let answer: Value = serde_json::from_str(&printed(dir, &words, 0)).unwrap();
    assert_eq!(answer, report);
}
