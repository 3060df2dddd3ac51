//! Expressions of real rules as text and as tree, Hearth's beside the real programs'.
//!
//! The expressions are those of `rules/exprs.tsv` in the conformance data; without the data, or without the real
//! programs, a test says so and passes.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::http;
use support::monitor::{Monitor, free_address, hearth_binary};
use support::peers;

/// Label matchers are edited in one expression of so many: a real program takes a while to start.
const EDITED_EVERY: usize = 5;

/// Returns the distinct expressions, in order; none without the data.
fn expressions(test: &str) -> Option<Vec<String>> {
    let dir = std::env::var("HEARTH_CONFORMANCE_DIR")
        .unwrap_or_else(|_| "../shared/conformance".to_owned());
    let Ok(table) = std::fs::read_to_string(format!("{dir}/rules/exprs.tsv")) else {
        say(&format!("{test}: skipped, no conformance data at hand"));
        return None;
    };
    let column = |line: &str| line.split('\t').nth(3).map(unescape);
    let mut found: Vec<String> = table.lines().skip(1).filter_map(column).collect();
    let mut seen = std::collections::HashSet::new();
    found.retain(|text| seen.insert(text.clone()));
    Some(found)
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                other => out.extend(other),
            },
            (c, false) => out.push(c),
        }
    }
    out
}

/// Says something past the test runner's capture.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What a program prints, and whether it was content.
fn ask(program: &Path, words: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(words).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text)
}

#[test]
fn promql_commands_print_what_promtool_prints() {
    let Some(expressions) = expressions("promql_commands") else {
        return;
    };
    let Some([promtool]) = peers::or_skip("promql_commands", [peers::PROMTOOL]) else {
        return;
    };
    if !peers::is_3_or_skip("promql_commands", &promtool) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let link: PathBuf = dir.path().join("promtool");
    std::os::unix::fs::symlink(hearth_binary(), &link).unwrap();
    let (mut asked, mut differences) = (0, Vec::new());
    let mut compare = |words: &[&str]| {
        let words = [&["--experimental", "promql"], words].concat();
        asked += 1;
        let (real, ours) = (ask(&promtool, &words), ask(&link, &words));
        if real != ours {
            differences.push(format!("{words:?}\n{real:?}\n{ours:?}"));
        }
    };
    for (index, text) in expressions.iter().enumerate() {
        compare(&["format", text]);
        if index % EDITED_EVERY == 0 {
            compare(&["label-matchers", "set", text, "job", "x y"]);
            compare(&["label-matchers", "set", "--type=!~", text, "new", "a|b"]);
            compare(&["label-matchers", "delete", text, "job"]);
        }
    }
    compare(&["format", "sum(a"]);
    compare(&[
        "label-matchers",
        "set",
        "-t",
        "=~",
        "a{b='1',b='2'}",
        "b",
        "c",
    ]);
    compare(&["label-matchers", "delete", "{a='1'}", "a"]);
    let agree = asked - differences.len();
    say(&format!("promql_commands: {agree} of {asked} agree"));
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

#[test]
fn format_query_and_parse_query_answer_as_prometheus_does() {
    let Some(mut expressions) = expressions("parse_query") else {
        return;
    };
    let Some([prometheus]) = peers::or_skip("parse_query", [peers::PROMETHEUS]) else {
        return;
    };
    if !peers::is_3_or_skip("parse_query", &prometheus) {
        return;
    }
    expressions.extend(ODD.map(str::to_owned));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("none.yml"), "global: {}\n").unwrap();
    let flags = |data| {
        let feature = "--enable-feature=promql-experimental-functions";
        ["--config.file=none.yml", feature, data]
    };
    let hearth = Monitor::hearth(dir.path(), &flags("--storage.tsdb.path=hearth"));
    let real = Monitor::program(
        "prometheus",
        &prometheus,
        &free_address(),
        dir.path(),
        &flags("--storage.tsdb.path=prometheus"),
    );
    let (mut asked, mut differences) = (0, Vec::new());
    for text in &expressions {
        for page in ["format_query", "parse_query"] {
            let path = format!("/api/v1/{page}?query={}", http::escape(text));
            for ask in [http::get, http::post] {
                asked += 1;
                let [real, ours] = [&real, &hearth].map(|server| {
                    let reply = ask(&server.url(&path)).unwrap();
                    (reply.status, reply.text())
                });
                if real != ours {
                    differences.push(format!("{page} {text}\n{real:?}\n{ours:?}"));
                }
            }
        }
    }
    let agree = asked - differences.len();
    say(&format!("parse_query: {agree} of {asked} agree"));
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

/// What rules do not have.
const ODD: [&str; 23] = [
    "",
    "foo{",
    "{'a b', x='<é>&'}",
    "{__name__=~'x'}",
    "count without () (foo)",
    "sum(foo) by ()",
    "topk(3, foo)",
    "limitk(1, foo)",
    "quantile(0.5, -foo)",
    "count_values('a', foo)",
    "foo[1h:]",
    "max_over_time((foo)[1h:5m] @ start() offset 5m)",
    "foo{a='1'}[1m] @ 1e3 offset -5m",
    "foo @ end()",
    "foo and on () bar unless ignoring (a) baz",
    "foo ^ ignoring (a) group_right (b, c) bar",
    "1 == bool 2",
    "1e3 + 5m + Inf + NaN + -0 + 0x1f + 1e300 + +1",
    "+foo or -(foo)",
    "'a<b>'",
    "sort_by_label(foo, 'a')",
    "info(foo, {a='b'})",
    "round(label_join(foo, 'a', ','))",
];
