//! `hearth tool promql`: scripts are run, queries formatted and edited.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;

/// What the tool prints to standard output and to standard error, and its exit code.
fn tool(args: &[&str]) -> (String, String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearth"));
    let output = command
        .args(["tool", "promql"])
        .args(args)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code(),
    )
}

const PASSING: &str = "load 1m\n  x 0+1x10\n\neval instant at 5m x\n  x 5\n";
const FAILING: &str =
    "load 1m\n  x 0+1x10\n\neval instant at 5m x\n  x 6\n\neval instant at 5m -x\n  {} -5\n";

#[test]
fn scripts_are_run_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(at("below")).unwrap();
    std::fs::write(at("a.test"), PASSING).unwrap();
    std::fs::write(at("below/b.test"), FAILING).unwrap();
    std::fs::write(at("readme.txt"), "not a script").unwrap();
    let one = tool(&["test", &at("a.test")]);
    assert_eq!(
        one,
        ("1 passed, 0 failed\n".to_owned(), String::new(), Some(0))
    );
    let twice = tool(&["test", &at("a.test"), &at("a.test")]);
    assert_eq!(twice.0, "2 passed, 0 failed\n");
    let all = tool(&["test", dir.path().to_str().unwrap()]);
    assert_eq!((&*all.0, all.2), ("2 passed, 1 failed\n", Some(1)));
    let (told, _, code) = tool(&["test", "--verbose", dir.path().to_str().unwrap()]);
    let place = format!("{}:4: x\n", at("below/b.test"));
    assert!(told.starts_with(&place), "{told}");
    assert!(told.contains('6') && told.contains('5'), "{told}");
    assert!(told.ends_with("\n2 passed, 1 failed\n"), "{told}");
    assert_eq!(code, Some(1));
}

#[test]
fn what_is_no_script_fails() {
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("bad.test");
    std::fs::write(&bad, b"load 1m\n  x{ 1\n\xff").unwrap();
    let (out, error, code) = tool(&["test", bad.to_str().unwrap()]);
    assert_eq!((&*out, code), ("0 passed, 1 failed\n", Some(1)));
    assert!(error.contains("bad.test"), "{error}");
    let (_, error, code) = tool(&["test", "/nowhere.test"]);
    assert!(error.contains("/nowhere.test"), "{error}");
    assert_eq!(code, Some(1));
    assert_eq!(tool(&["test"]).2, Some(2));
}

#[test]
fn queries_are_formatted_and_edited_as_by_promtool() {
    let print = |args: &[&str]| {
        let (out, error, code) = tool(args);
        assert_eq!(code, Some(0), "{error}");
        out
    };
    let formatted = print(&["format", "--experimental", "sum(rate(x[5m]))by(job)"]);
    assert_eq!(formatted, "sum by (job) (rate(x[5m]))\n");
    let query = "sum(x{a=\"1\"}) / y";
    let set = print(&["label-matchers", "set", query, "b", "2"]);
    assert_eq!(set, "sum(x{a=\"1\",b=\"2\"}) / y{b=\"2\"}\n");
    let regex = print(&["label-matchers", "set", "-t", "=~", query, "a", "2.*"]);
    assert_eq!(regex, "sum(x{a=~\"2.*\"}) / y{a=~\"2.*\"}\n");
    let query = "topk(scalar(k{a=\"1\"}), -(x{a=\"1\",b=\"2\"}[5m:1m] > 1))";
    let (_, error, code) = tool(&["label-matchers", "delete", query, "a"]);
    assert_eq!(code, Some(1), "{error}");
    let query =
        "topk(scalar(k{a=\"1\"}), -max_over_time(x{a=\"1\",b=\"2\"}[5m:1m])) and z{a=\"1\"}";
    let deleted = print(&["label-matchers", "delete", query, "a"]);
    assert_eq!(
        deleted,
        "topk(scalar(k), -max_over_time(x{b=\"2\"}[5m:1m])) and z\n"
    );
    let (_, error, code) = tool(&["format", "sum("]);
    assert!(error.contains("unclosed left parenthesis"), "{error}");
    assert_eq!(code, Some(1));
    assert_eq!(
        tool(&["label-matchers", "set", "-t", "=!", "x", "a", "b"]).2,
        Some(2)
    );
}

/// The conformance scripts and expressions, where they are at hand, and promtool, where it is.
#[test]
fn conformance_scripts_pass() {
    let dir = std::env::var("HEARTH_CONFORMANCE_DIR").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/conformance").to_owned()
    });
    if !Path::new(&dir).join("promql").is_dir() {
        println!("skipped: no conformance data at hand");
        return;
    }
    let (out, error, code) = tool(&["test", &format!("{dir}/promql")]);
    assert!(out.ends_with(" passed, 0 failed\n"), "{out}{error}");
    assert_eq!(code, Some(0));
}
