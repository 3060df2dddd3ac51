//! `hearth tool` as a program: what goes in comes out, and damage is found.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::monitor::{Monitor, hearth_binary};
use support::peers;

const SAMPLES: &str = r#"# HELP http_requests The total number of HTTP requests.
# TYPE http_requests counter
http_requests_total{code="200",service="a\"b\nc"} 123 1609954636
http_requests_total{code="200",service="a\"b\nc"} 125.5 1609954666
http_requests_total{code="400",service="é"} 1e+30 1609954636
# TYPE up gauge
up 1e-05 1609964636
up NaN 1609984636.123
up 123456789 1609984656
# EOF
"#;

fn tool(dir: &Path, words: &str) -> Output {
    let group = if words.starts_with("promql ") {
        &["tool"][..]
    } else {
        &["tool", "tsdb"]
    };
    Command::new(hearth_binary())
        .args(group)
        .args(words.split(' '))
        .current_dir(dir)
        .output()
        .unwrap()
}

/// Runs a command and returns what it printed; it must exit with `code`.
#[track_caller]
fn printed(dir: &Path, words: &str, code: i32) -> String {
    let output = tool(dir, words);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

fn imported() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in"), SAMPLES).unwrap();
    printed(dir.path(), "create-blocks-from openmetrics -q in data", 0);
    dir
}

#[test]
fn what_was_imported_is_listed_dumped_and_sound() {
    let dir = imported();
    let list = printed(dir.path(), "list -r data", 0);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 4, "{list}");
    assert!(lines[0].starts_with("BLOCK ULID                  MIN TIME"));
    assert!(lines[1].contains("  2021-01-06 17:37:16 +0000 UTC  2021-01-06 17:37:46 +0000 UTC  30.001s      3            2            2            "));
    let dump = printed(dir.path(), "dump data", 0);
    assert_eq!(
        dump,
        r#"{__name__="http_requests_total", code="200", service="a\"b\nc"} 123 1609954636000
{__name__="http_requests_total", code="200", service="a\"b\nc"} 125.5 1609954666000
{__name__="http_requests_total", code="400", service="é"} 1e+30 1609954636000
{__name__="up"} 1e-05 1609964636000
{__name__="up"} NaN 1609984636123
{__name__="up"} 1.23456789e+08 1609984656000
"#
    );
    let text = printed(dir.path(), "dump-openmetrics data", 0);
    fs::write(dir.path().join("again"), text).unwrap();
    let words = "create-blocks-from openmetrics --max-block-duration=24d again data2";
    let table = printed(dir.path(), words, 0);
    assert_eq!(table.lines().count(), 2, "{table}");
    assert_eq!(printed(dir.path(), "dump data2", 0), dump);
    let json = printed(dir.path(), "dump --format=seriesjson --match=up data", 0);
    assert_eq!(json, "{\"__name__\":\"up\"}\n");
    let analysis = printed(dir.path(), "analyze --extended data2", 0);
    assert!(
        analysis.contains("Total Series: 3\nLabel names: 3\nPostings (unique label pairs): 6\n")
    );
    assert!(analysis.contains("samples per float chunk (min/avg/max): 1/2/3\n"));
    assert_eq!(printed(dir.path(), "verify data", 0), "");
}

#[test]
fn damage_is_found_and_named() {
    let dir = imported();
    let data = dir.path().join("data");
    let blocks = fs::read_dir(&data).unwrap();
    let block = blocks.map(|entry| entry.unwrap().path()).min().unwrap();
    let chunks = block.join("chunks/000001");
    let mut bytes = fs::read(&chunks).unwrap();
    bytes[12] ^= 1;
    fs::write(&chunks, bytes).unwrap();
    fs::create_dir(data.join("wal")).unwrap();
    fs::write(data.join("wal/00000000"), [1, 0, 1, 0, 0, 0, 0, 7]).unwrap();
    let found = printed(dir.path(), "verify data", 1);
    let lines: Vec<&str> = found.lines().collect();
    assert!(
        lines[0].contains("chunks/000001: ") && lines[0].ends_with(" at byte 8"),
        "{found}"
    );
    assert!(
        found.contains("wal/00000000: checksum mismatch at byte 0"),
        "{found}"
    );
}

const SCRIPT: &str = "load 1m
  up 0 1 2

eval instant at 1m up
  up 1

eval instant at 2m up
  up 3
";

#[test]
fn scripts_are_run_and_failures_shown() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("scripts")).unwrap();
    fs::write(dir.path().join("scripts/a.test"), SCRIPT).unwrap();
    fs::write(dir.path().join("scripts/other.txt"), "nonsense").unwrap();
    assert_eq!(
        printed(dir.path(), "promql test scripts", 1),
        "1 passed, 1 failed\n"
    );
    assert_eq!(
        printed(dir.path(), "promql test --verbose scripts/a.test", 1),
        "scripts/a.test:7: up
  up: expected 3, got 2
  expected:
    up 3
  got:
    up 2
1 passed, 1 failed
"
    );
    fs::write(dir.path().join("bad.test"), "evil").unwrap();
    let found = printed(dir.path(), "promql test bad.test", 1);
    assert!(
        found.starts_with("bad.test:1: ") && found.ends_with("0 passed, 1 failed\n"),
        "{found}"
    );
    let (good, _) = SCRIPT.split_at(SCRIPT.rfind("\neval").unwrap());
    fs::write(dir.path().join("scripts/a.test"), good).unwrap();
    assert_eq!(
        printed(dir.path(), "promql test scripts scripts", 0),
        "2 passed, 0 failed\n"
    );
}

#[test]
fn what_cannot_be_done_exits_with_1_and_wrong_usage_with_2() {
    let dir = imported();
    for (words, code) in [
        ("list none", 1),
        ("verify none", 1),
        ("dump none", 1),
        ("analyze data X", 1),
        ("create-blocks-from openmetrics none", 1),
        ("create-blocks-from openmetrics --label=x in", 2),
        ("dump --match=x{ data", 2),
        ("list --bad", 2),
        ("promql test none", 1),
        ("promql test", 2),
        ("nonsense", 2),
    ] {
        assert_eq!(printed(dir.path(), words, code), "", "{words}");
    }
}

/// Runs `check metrics` of a program on a body; returns the exit code, standard output and standard error.
fn check_metrics(program: &Path, words: &[&str], body: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(body.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Bodies that are read, with something to say about each of them or nothing.
fn bodies() -> Vec<String> {
    let units = "kelvin kelvins meters metres moles volts amperes grams joules minutes kilomoles millivolts microgrammes \
                 gigabytes picograms ms kb sec min counter gauge histogram summary total bucket sum count info";
    let types = ["counter", "gauge", "untyped"];
    let mut bodies: Vec<String> = types
        .iter()
        .flat_map(|kind| {
            let described = move |unit: &str| {
                format!("# HELP x_{unit} y\n# TYPE x_{unit} {kind}\nx_{unit} 1\n")
            };
            units.split(' ').map(described).collect::<Vec<_>>()
        })
        .collect();
    let more = [
        "",
        "a 1\n",
        "ns:rec 1\n",
        "camelCase{fooBar=\"x\"} 1\ncamelCase 2\n",
        "# HELP h y\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\nh_other 2\n",
        "# HELP s y\n# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_count 2\ns_bucket 2\n",
        "# HELP a x\n# TYPE a gauge\na{le=\"1\",quantile=\"2\"} 1\na{le=\"3\"} 1\n",
        "# HELP a x\n# TYPE a gauge\na 1\na 2\n",
        "# HELP a x\n# TYPE a gauge\n",
    ];
    bodies.extend(more.map(str::to_owned));
    bodies
}

#[test]
fn metrics_are_checked_as_promtool_checks_them() {
    let Some([promtool]) = peers::or_skip("check_metrics", [peers::PROMTOOL]) else {
        return;
    };
    if !peers::is_3_or_skip("check_metrics", &promtool) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("promtool");
    std::os::unix::fs::symlink(hearth_binary(), &link).unwrap();
    let words = ["check", "metrics", "--extended"];
    for body in bodies() {
        let own = check_metrics(&link, &words, &body);
        assert_eq!(own, check_metrics(&promtool, &words, &body), "{body}");
    }
}

#[test]
fn metrics_are_checked() {
    let tool = hearth_binary();
    let words = ["tool", "check", "metrics"];
    let (code, _, said) = check_metrics(&tool, &words, "a 1\n");
    assert_eq!((code, &*said), (Some(3), "a no help text\n"));
    let none = [&words[..], &["--lint=none", "--extended"]].concat();
    let (code, table, said) = check_metrics(&tool, &none, "a 1\n");
    assert_eq!((code, &*said), (Some(0), ""));
    assert!(
        table.contains("a         1              100.00%"),
        "{table}"
    );
    let (code, _, said) = check_metrics(&tool, &words, "a 1\nb{ 1\n");
    assert_eq!(code, Some(1));
    assert!(
        said.contains("error while linting: line 2: expected label name"),
        "{said}"
    );
}

#[test]
fn recording_rules_become_the_samples_that_promtool_makes() {
    let Some([promtool]) = peers::or_skip("create_blocks_from_rules", [peers::PROMTOOL]) else {
        return;
    };
    if !peers::is_3_or_skip("create_blocks_from_rules", &promtool) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut samples = "# TYPE load gauge\n".to_owned();
    for minute in 0..300 {
        for (job, factor) in [("a", 7), ("b", 3)] {
            let (load, t) = (minute * factor % 100, 1_609_954_620 + 60 * minute);
            samples += &format!("load{{job=\"{job}\"}} {load}.5 {t}\n");
        }
    }
    fs::write(dir.join("in"), samples + "# EOF\n").unwrap();
    let rules = "groups:\n- name: first\n  interval: 45s\n  rules:\n  \
        - {record: 'job:load:max', expr: 'max by (job) (max_over_time(load[5m]))', labels: {team: x}}\n\
        - name: second\n  rules:\n  - {record: 'load:sum', expr: 'sum(load)'}\n  - {alert: A, expr: absent_metric}\n";
    // promtool says that it leaves alerting rules out, and records them where they have a result; so this one has none.
    fs::write(dir.join("rules.yml"), rules).unwrap();
    printed(dir, "create-blocks-from openmetrics -q in data", 0);
    let flags = [
        "--storage.tsdb.path=data",
        "--storage.tsdb.retention.time=100y",
    ];
    let server = Monitor::hearth(dir, &flags);
    let words = |out: &str| {
        let url = format!("http://{}", server.address);
        format!(
            "create-blocks-from rules --url {url} --start 1609954700 --end 1609970000 --output-dir {out} rules.yml"
        )
    };
    printed(dir, &words("own"), 0);
    let mut theirs = Command::new(promtool);
    theirs
        .arg("tsdb")
        .args(words("theirs").split(' '))
        .current_dir(dir);
    assert!(theirs.output().unwrap().status.success());
    let dump = |words: &str| -> Vec<String> {
        let lines = printed(dir, words, 0);
        let mut lines: Vec<String> = lines.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let (own, theirs) = (dump("dump own"), dump("dump theirs"));
    assert!(600 < own.len(), "{} samples", own.len());
    let differs = own.iter().zip(&theirs).find(|(own, theirs)| own != theirs);
    assert_eq!((differs, own.len()), (None, theirs.len()));
}
