//! `hearth tool am` as a program: amtool's lines and exit codes.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::process::Command;

use support::monitor::hearth_binary;

const ROUTES: &str = r#"
route:
  receiver: a
  routes:
  - matchers: [x="1", a!="2", "b=~c|d"]
    receiver: b
    continue: true
    routes:
    - matchers: ['"a b"="1"']
      routes: [{matchers: [z="1"]}, {receiver: a}]
    - matchers: [q="1"]
      continue: true
    - matchers: [q=~".+"]
  - matchers: [y="1"]
receivers: [{name: a}, {name: b}]
"#;

/// Runs a command and compares its exit code and all that it printed, standard error last.
#[track_caller]
fn check(words: &[&str], code: i32, expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("good.yml"), ROUTES).unwrap();
    fs::write(
        dir.path().join("bad.yml"),
        "route: {receiver: b}\nreceivers: [{name: a}]\n",
    )
    .unwrap();
    let output = Command::new(hearth_binary())
        .args(["tool", "am"])
        .args(words)
        .current_dir(dir.path())
        .env("HOME", dir.path())
        .output()
        .unwrap();
    let printed = [output.stdout, output.stderr].concat();
    assert_eq!(String::from_utf8(printed).unwrap(), expected, "{words:?}");
    assert_eq!(output.status.code(), Some(code), "{words:?}");
}

#[test]
fn check_config() {
    let good = "Checking 'good.yml'  SUCCESS\nFound:\n - global config\n - route\n - 0 inhibit rules\n - 2 receivers\n - 0 templates\n\n";
    check(&["check-config", "good.yml"], 0, good);
    let bad = "Checking 'bad.yml'  FAILED: undefined receiver \"b\" used in route\n\n";
    let both = format!("{bad}{good}hearth tool: error: failed to validate 1 file(s)\n");
    check(&["check-config", "bad.yml", "good.yml"], 1, &both);
    let missing = "hearth tool: error: path 'none.yml' does not exist\n";
    check(&["check-config", "good.yml", "none.yml"], 1, missing);
}

#[test]
fn routes_show() {
    let expected = r#"Routing tree:
.
└── default-route  receiver: a
    ├── {a!="2",b=~"c|d",x="1"}  continue: true  receiver: b
    │   ├── {"a b"="1"}  receiver: b
    │   │   ├── {z="1"}  receiver: b
    │   │   └── default-route  receiver: a
    │   ├── {q="1"}  continue: true  receiver: b
    │   └── {q=~".+"}  receiver: b
    └── {y="1"}  receiver: a

"#;
    let words = ["config", "routes", "show", "--config.file=good.yml"];
    check(&words, 0, expected);
}

#[test]
fn routes_test() {
    let run = |more: &[&str], code, expected: &str| {
        let words = ["config", "routes", "test", "--config.file=good.yml"];
        check(&[&words, more].concat(), code, expected);
    };
    run(&[], 0, "a\n");
    run(&["x=2", "x=1", "b=c"], 0, "b\n");
    let tree = "Matching routes:\n.\n└── default-route\n    ├── {a!=\"2\",b=~\"c|d\",x=\"1\"}\n    │   ├── {q=\"1\"}  receiver: b\n    │   └── {q=~\".+\"}  receiver: b\n    └── {y=\"1\"}  receiver: a\n\n\nb,b,a\n";
    run(&["--tree", "x=1", "b=c", "q=1", "y=1"], 0, tree);
    run(&["--verify.receivers=a", "y=1"], 0, "a\n");
    let other = "a\nWARNING: Expected receivers did not match resolved receivers.\n";
    run(&["--verify.receivers=b", "y=1"], 1, other);
    let pairs = "hearth tool: error: Labels must be specified as key=value pairs\n";
    run(&["y!=1"], 1, pairs);
}

#[test]
fn template_render() {
    let render = |more: &[&str], code, expected: &str| {
        check(&[&["template", "render"], more].concat(), code, expected);
    };
    let firing = "--template.text={{ .Alerts.Firing | len }} {{ .CommonLabels.commonlabelkey1 }} {{ .ExternalURL }}";
    render(&[firing], 0, "1 commonlabelvalue1 https://example.com");
    let html = [
        "--template.type=html",
        "--template.text=<b>{{ \"<a>\" }}</b>",
    ];
    render(&html, 0, "<b>&lt;a&gt;</b>");
    let places = "--template.text=<a href=\"{{ \"javascript:x\" }}\" title={{ \"a b\" }}><script>f({{ .Status }})</script>";
    let safe = "<a href=\"#ZgotmplZ\" title=a&#32;b><script>f(\"firing\")</script>";
    render(&[html[0], places], 0, safe);
    let open = "hearth tool: error: html/template::1:6: {{if}} branches end in different contexts: {stateURL delimDoubleQuote urlPartNone jsCtxRegexp [] attrURL elementNone <nil>}, {stateText delimNone urlPartNone jsCtxRegexp [] attrNone elementNone <nil>}\n";
    let branch = "--template.text={{ if .Status }}<a href=\"{{ end }}";
    render(&[html[0], branch], 1, open);
    let undefined = "hearth tool: error: template: :1:12: executing \"\" at <{{template \"x\" .}}>: template \"x\" not defined\n";
    render(&["--template.text={{ template \"x\" . }}"], 1, undefined);
}
