//! Each action by example, and chains of them beside a plain twin.

use super::*;
use crate::config::yaml;
use model::Labels;

mod twin;

/// Applies the rules in `yaml` to the labels `a=1 b=2` written in `input`; dropped is "-".
#[track_caller]
fn check(rules: &str, input: &str, expected: &str) {
    let rules: Vec<RelabelConfig> = yaml::parse(rules).unwrap();
    let mut labels = LabelsBuilder::new();
    for pair in input.split_whitespace() {
        let (name, value) = pair.split_once('=').unwrap();
        labels.set(name, value);
    }
    let printed = if apply(&rules, &mut labels) {
        print(&labels.build())
    } else {
        "-".to_owned()
    };
    assert_eq!(printed, expected);
}

fn print(labels: &Labels) -> String {
    labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn replace() {
    check(
        "[{source_labels: [a], target_label: d, regex: 'f(.*)', replacement: 'ch${1}-ch${1}'}]",
        "a=foo",
        "a=foo d=choo-choo",
    );
    check(
        "[{source_labels: [a, b], target_label: d, regex: 'f(.*);(.*)r', replacement: 'b$1$2m'}]",
        "a=foo b=bar",
        "a=foo b=bar d=boo",
    );
    check(
        "[{source_labels: [a], target_label: d, regex: x, replacement: y}]",
        "a=foo",
        "a=foo",
    );
    check(
        "[{source_labels: [a], target_label: a, replacement: ''}]",
        "a=foo b=x",
        "b=x",
    );
    check(
        "[{target_label: a, replacement: static}]",
        "b=x",
        "a=static b=x",
    );
    check(
        "[{regex: , target_label: a, replacement: static}]",
        "b=x",
        "a=static b=x",
    );
    check(
        "[{source_labels: [a], regex: '(.*)', target_label: '${1}_x', replacement: y}]",
        "a=foo",
        "a=foo foo_x=y",
    );
    check(
        "[{source_labels: [a], regex: '.*(b).*', target_label: d, replacement: '$1x'}]",
        "a=abc",
        "a=abc",
    );
    check(
        "[{source_labels: [a], target_label: d, replacement: '$$1 ${1 $'}]",
        "a=x",
        "a=x d=$1 ${1 $",
    );
    check(
        "[{source_labels: [a], regex: '(?P<n>.).*', target_label: d, replacement: '${n}'}]",
        "a=xyz",
        "a=xyz d=x",
    );
}

#[test]
fn keep_and_drop() {
    check(
        "[{source_labels: [a], regex: foo, action: drop}]",
        "a=foo",
        "-",
    );
    check(
        "[{source_labels: [a], regex: fo, action: drop}]",
        "a=foo",
        "a=foo",
    );
    check(
        "[{source_labels: [a], regex: 'f|foo', action: keep}]",
        "a=foo",
        "a=foo",
    );
    check(
        "[{source_labels: [a], regex: no, action: Keep}]",
        "a=foo",
        "-",
    );
    check(
        "[{source_labels: [missing], regex: '', action: drop}]",
        "a=foo",
        "-",
    );
    check(
        "[{source_labels: [a], target_label: b, action: keepequal}]",
        "a=x b=x",
        "a=x b=x",
    );
    check(
        "[{source_labels: [a], target_label: b, action: keepequal}]",
        "a=x b=y",
        "-",
    );
    check(
        "[{source_labels: [a], target_label: b, action: dropequal}]",
        "a=x b=x",
        "-",
    );
}

#[test]
fn hashes_and_cases() {
    check(
        "[{source_labels: [c], target_label: d, action: hashmod, modulus: 1000}]",
        "c=baz",
        "c=baz d=976",
    );
    check(
        "[{source_labels: [a], target_label: l, action: lowercase}, {source_labels: [a], target_label: u, action: uppercase}]",
        "a=FoO",
        "a=FoO l=foo u=FOO",
    );
}

#[test]
fn steps_end_with_a_drop() {
    let rules: Vec<RelabelConfig> = yaml::parse(
        "[{target_label: b, replacement: x}, {source_labels: [a], regex: no, action: keep}, {target_label: c, replacement: y}]",
    )
    .unwrap();
    let steps_of = |value| {
        let mut labels = LabelsBuilder::new();
        labels.set("a", value);
        let printed = steps(&rules, labels).into_iter();
        let printed = printed.map(|step| format!("{}{}", print(&step.output), step.is_kept));
        printed.collect::<Vec<_>>()
    };
    assert_eq!(steps_of("1"), ["a=1 b=xtrue", "false", "false"]);
    assert_eq!(
        steps_of("no"),
        ["a=no b=xtrue", "a=no b=xtrue", "a=no b=x c=ytrue"]
    );
}

#[test]
fn label_names() {
    check(
        "[{regex: '(b.*)', replacement: 'bar_${1}', action: labelmap}]",
        "a=1 b1=2",
        "a=1 b1=2 bar_b1=2",
    );
    check("[{regex: '(b.*)', action: labeldrop}]", "a=1 b1=2", "a=1");
    check("[{regex: '(b.*)', action: labelkeep}]", "a=1 b1=2", "b1=2");
    check(
        "[{regex: '__meta_(.+)', action: labelmap}]",
        "__meta_pod=p",
        "__meta_pod=p pod=p",
    );
}
