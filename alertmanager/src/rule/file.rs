//! Rule files: YAML to groups of rules, with every fault at its line.
//!
//! Source: Prometheus' recording and alerting rules documentation. Keys are strict; only the first YAML document counts.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use model::name::Quoted;
use model::{Duration, Labels};
use promql::{Expr, ParseOptions};
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::alerting::{AlertingConfig, parse_template};
use super::query::RuleExpr;
use super::recording::RecordingConfig;
use crate::yaml;

/// A rule file that was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleFile {
    /// Its groups, in order.
    pub groups: Vec<GroupConfig>,
    /// What is odd about it but no fault.
    pub warnings: Vec<String>,
}

/// A group as its file says.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupConfig {
    /// The file's path as it was given.
    pub file: String,
    /// Its name, unique in the file.
    pub name: String,
    /// Time between evaluations, if it is not the global one.
    pub interval: Option<Duration>,
    /// How far in the past queries look, if it is not the global one.
    pub query_offset: Option<Duration>,
    /// How many series or alerts a rule may have; 0 is no limit.
    pub limit: usize,
    /// Its rules, in order.
    pub rules: Vec<RuleConfig>,
}

/// A rule as its file says.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleConfig {
    /// It records a series.
    Recording(RecordingConfig),
    /// It alerts.
    Alerting(AlertingConfig),
}

/// One fault of a rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFault {
    /// The line, from 1; 0 when it is not known.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
    /// What is wrong there.
    pub message: String,
}

/// All faults of a rule file. Prints one line for each, with the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRuleFile {
    /// The file's path as it was given.
    pub file: String,
    /// The faults, in order; at least one.
    pub faults: Vec<RuleFault>,
}

impl std::error::Error for InvalidRuleFile {}

impl fmt::Display for InvalidRuleFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "\n" })?;
            write!(f, "{}: ", self.file)?;
            if fault.line != 0 {
                write!(f, "{}:{}: ", fault.line, fault.column)?;
            }
            f.write_str(&fault.message)?;
        }
        Ok(())
    }
}

/// Labels or annotations; a value that is left out is empty.
type Texts = BTreeMap<String, Option<String>>;

fn texts(pairs: Option<Texts>) -> BTreeMap<String, String> {
    let pairs = pairs.into_iter().flatten();
    pairs
        .map(|(name, text)| (name, text.unwrap_or_default()))
        .collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    groups: Option<Vec<Spanned<GroupText>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupText {
    #[serde(default)]
    name: String,
    interval: Option<Duration>,
    query_offset: Option<Duration>,
    limit: Option<i64>,
    labels: Option<Texts>,
    rules: Option<Vec<Spanned<RuleText>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    record: Option<Spanned<String>>,
    alert: Option<Spanned<String>>,
    expr: Option<Spanned<String>>,
    #[serde(rename = "for")]
    hold: Option<Duration>,
    keep_firing_for: Option<Duration>,
    labels: Option<Texts>,
    annotations: Option<Texts>,
}

impl RuleFile {
    /// Parses the text of the rule file `file`, which is only a name here.
    ///
    /// # Errors
    ///
    /// All faults that were found; one only where the YAML itself is wrong.
    pub fn parse(file: &str, text: &str) -> Result<RuleFile, InvalidRuleFile> {
        Self::parse_with(file, text, &ParseOptions::STABLE)
    }

    /// Parses as [`parse`](RuleFile::parse) does, with expressions in the language that `syntax` describes.
    ///
    /// # Errors
    ///
    /// As [`parse`](RuleFile::parse).
    pub fn parse_with(
        file: &str,
        text: &str,
        syntax: &ParseOptions,
    ) -> Result<RuleFile, InvalidRuleFile> {
        let (document, is_cut) = first_document(text);
        let warnings = if is_cut {
            vec![format!(
                "{file}: only the first YAML document is read, the others are ignored"
            )]
        } else {
            Vec::new()
        };
        if is_blank(document) {
            return Ok(RuleFile {
                groups: Vec::new(),
                warnings,
            });
        }
        let parsed: FileText = yaml::from_str(document).map_err(|error| InvalidRuleFile {
            file: file.to_owned(),
            faults: vec![yaml_fault(&error)],
        })?;
        let mut checker = Checker {
            file,
            syntax,
            faults: Vec::new(),
        };
        let groups = checker.groups(parsed.groups.unwrap_or_default());
        if checker.faults.is_empty() {
            Ok(RuleFile { groups, warnings })
        } else {
            Err(InvalidRuleFile {
                file: file.to_owned(),
                faults: checker.faults,
            })
        }
    }
}

/// Returns the first YAML document of `text`, and whether another follows.
fn first_document(text: &str) -> (&str, bool) {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let is_marker = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.trim().is_empty() || rest.starts_with([' ', '\t']));
        if is_marker && !is_blank(&text[..at]) {
            return (&text[..at], !is_blank(&text[at..]));
        }
        at += line.len();
    }
    (text, false)
}

/// Returns whether a text holds only white space, comments and document markers.
fn is_blank(text: &str) -> bool {
    text.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---" || line.starts_with('%')
    })
}

fn yaml_fault(error: &serde_saphyr::Error) -> RuleFault {
    let (line, column) = yaml::place(error);
    RuleFault {
        line,
        column,
        message: yaml::message(error),
    }
}

struct Checker<'a> {
    file: &'a str,
    syntax: &'a ParseOptions,
    faults: Vec<RuleFault>,
}

impl Checker<'_> {
    fn fault(&mut self, at: Location, message: String) {
        self.faults.push(RuleFault {
            line: at.line(),
            column: at.column(),
            message,
        });
    }

    fn groups(&mut self, groups: Vec<Spanned<GroupText>>) -> Vec<GroupConfig> {
        let mut names = HashSet::new();
        let mut configs = Vec::with_capacity(groups.len());
        for group in groups {
            let (at, group) = (group.referenced, group.value);
            if group.name.is_empty() {
                self.fault(at, "Groupname must not be empty".to_owned());
            }
            if !names.insert(group.name.clone()) {
                self.fault(
                    at,
                    format!(
                        "groupname: {} is repeated in the same file",
                        Quoted(&group.name)
                    ),
                );
            }
            configs.push(self.group(at, group));
        }
        configs
    }

    fn group(&mut self, at: Location, group: GroupText) -> GroupConfig {
        let labels = texts(group.labels);
        if let Some(name) = labels.keys().find(|name| !is_label_name(name)) {
            self.fault(
                at,
                format!("group {}: invalid label name: {name}", Quoted(&group.name)),
            );
        }
        let mut rules = Vec::new();
        for (i, rule) in group.rules.unwrap_or_default().into_iter().enumerate() {
            let place = RulePlace {
                at: rule.referenced,
                group: &group.name,
                number: i + 1,
            };
            rules.extend(self.rule(&place, rule.value, &labels));
        }
        GroupConfig {
            file: self.file.to_owned(),
            name: group.name,
            // No time at all is how a file may say: as everywhere else.
            interval: group.interval.filter(|interval| !interval.is_zero()),
            query_offset: group.query_offset,
            limit: usize::try_from(group.limit.unwrap_or(0)).unwrap_or(0),
            rules,
        }
    }

    /// Checks one rule; without a fault it is returned.
    fn rule(
        &mut self,
        place: &RulePlace<'_>,
        rule: RuleText,
        group_labels: &BTreeMap<String, String>,
    ) -> Option<RuleConfig> {
        let is_set = |name: &Spanned<String>| !name.value.is_empty();
        let record = rule.record.clone().filter(is_set);
        let alert = rule.alert.clone().filter(is_set);
        let name = record.as_ref().or(alert.as_ref());
        let mut faults = RuleFaults {
            place,
            name: name.map_or(String::new(), |name| name.value.clone()),
            name_at: name.map_or(place.at, |name| name.referenced),
            faults: &mut self.faults,
        };
        let before = faults.faults.len();
        match (&record, &alert) {
            (Some(_), Some(_)) => faults.at_name("only one of 'record' and 'alert' must be set"),
            (None, None) => faults.at_name("one of 'record' or 'alert' must be set"),
            _ => {}
        }
        let expr = faults.expr(rule.expr.as_ref().filter(|expr| is_set(expr)), self.syntax);
        let mut labels = group_labels.clone();
        labels.extend(texts(rule.labels.clone()));
        let annotations = texts(rule.annotations.clone());
        for name in labels.keys().filter(|name| !is_label_name(name)) {
            faults.add(place.at, format!("invalid label name: {name}"));
        }
        for name in annotations.keys().filter(|name| name.is_empty()) {
            faults.add(place.at, format!("invalid annotation name: {name}"));
        }
        if let Some(record) = &record {
            faults.recording(&record.value, &rule);
        }
        if let Some(alert) = &alert {
            faults.templates(&alert.value, "label", &labels);
            faults.templates(&alert.value, "annotation", &annotations);
        }
        if before < faults.faults.len() {
            return None;
        }
        let (expr, labels) = (RuleExpr::from(expr?), to_labels(&labels));
        Some(match alert {
            Some(alert) => RuleConfig::Alerting(AlertingConfig {
                alert: alert.value,
                expr,
                hold: rule.hold.unwrap_or_default(),
                keep_firing_for: rule.keep_firing_for.unwrap_or_default(),
                labels,
                annotations: to_labels(&annotations),
            }),
            None => RuleConfig::Recording(RecordingConfig {
                record: record?.value,
                expr,
                labels,
            }),
        })
    }
}

/// Where a rule stands, for error messages.
struct RulePlace<'a> {
    at: Location,
    group: &'a str,
    number: usize,
}

/// Collects the faults of one rule.
struct RuleFaults<'a> {
    place: &'a RulePlace<'a>,
    name: String,
    name_at: Location,
    faults: &'a mut Vec<RuleFault>,
}

impl RuleFaults<'_> {
    fn add(&mut self, at: Location, what: impl fmt::Display) {
        let RulePlace { group, number, .. } = self.place;
        let message = format!(
            "group {}, rule {number}, {}: {what}",
            Quoted(group),
            Quoted(&self.name)
        );
        self.faults.push(RuleFault {
            line: at.line(),
            column: at.column(),
            message,
        });
    }

    fn at_name(&mut self, what: impl fmt::Display) {
        self.add(self.name_at, what);
    }

    fn expr(&mut self, text: Option<&Spanned<String>>, syntax: &ParseOptions) -> Option<Expr> {
        let Some(text) = text else {
            self.add(self.place.at, "field 'expr' must be set in rule");
            return None;
        };
        match promql::parse_with(&text.value, syntax) {
            Ok(expr) => Some(expr),
            Err(error) => {
                self.add(
                    text.referenced,
                    format_args!("could not parse expression: {error}"),
                );
                None
            }
        }
    }

    fn recording(&mut self, record: &str, rule: &RuleText) {
        let is_given =
            |duration: Option<Duration>| duration.is_some_and(|duration| !duration.is_zero());
        let has_annotations = rule
            .annotations
            .as_ref()
            .is_some_and(|annotations| !annotations.is_empty());
        let alerting_only = [
            (has_annotations, "annotations"),
            (is_given(rule.hold), "for"),
            (is_given(rule.keep_firing_for), "keep_firing_for"),
        ];
        for (_, field) in alerting_only.iter().filter(|(is_there, _)| *is_there) {
            self.at_name(format_args!("invalid field '{field}' in recording rule"));
        }
        if record.contains(['{', '}']) {
            self.at_name(format_args!(
                "braces present in the recording rule name; should it be in expr?: {record}"
            ));
        }
    }

    fn templates(&mut self, alert: &str, what: &str, texts: &BTreeMap<String, String>) {
        for (name, text) in texts {
            if let Err(error) = parse_template(alert, text) {
                self.add(
                    self.place.at,
                    format_args!("{what} {}: {error}", Quoted(name)),
                );
            }
        }
    }
}

/// Returns whether `name` may be set by a rule: any text but nothing, and not the metric name.
fn is_label_name(name: &str) -> bool {
    !name.is_empty() && name != model::labels::METRIC_NAME
}

fn to_labels(pairs: &BTreeMap<String, String>) -> Labels {
    Labels::from_pairs(
        pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_fault(text: &str, expected: &str) {
        let error = RuleFile::parse("r.yml", text)
            .expect_err("the file has a fault")
            .to_string();
        assert!(error.contains(expected), "{error}");
    }

    fn one_rule(rule: &str) -> String {
        format!(
            "groups:\n- name: g\n  rules:\n  - {}\n",
            rule.replace('\n', "\n    ")
        )
    }

    #[test]
    fn reads_all_keys() {
        let text = "groups:\n- name: g\n  interval: 30s\n  query_offset: 5s\n  limit: 7\n  labels: {team: x, severity: low}\n  rules:\n  \
            - {record: 'job:up:sum', expr: 'sum by (job) (up)', labels: {a: b}}\n  \
            - alert: Down\n    expr: up == 0\n    for: 5m\n    keep_firing_for: 1m\n    labels: {severity: page}\n    annotations: {summary: '{{ $labels.job }}'}\n";
        let file = RuleFile::parse("r.yml", text).unwrap();
        let group = &file.groups[0];
        assert_eq!(
            (group.interval, group.query_offset, group.limit),
            (
                Some(Duration::from_secs(30)),
                Some(Duration::from_secs(5)),
                7
            )
        );
        let RuleConfig::Recording(recording) = &group.rules[0] else {
            panic!("a recording rule")
        };
        assert_eq!(
            recording.labels.to_string(),
            r#"{a="b", severity="low", team="x"}"#
        );
        let RuleConfig::Alerting(alerting) = &group.rules[1] else {
            panic!("an alerting rule")
        };
        assert_eq!(
            alerting.labels.to_string(),
            r#"{severity="page", team="x"}"#
        );
        assert_eq!(
            (alerting.hold, alerting.keep_firing_for),
            (Duration::from_secs(300), Duration::from_secs(60))
        );
    }

    #[test]
    fn faults_name_file_line_group_and_rule() {
        check_fault(
            &one_rule("alert: A\nexpr: up ==\n"),
            "r.yml: 5:11: group \"g\", rule 1, \"A\": could not parse expression: ",
        );
        check_fault(
            &one_rule("record: a\nalert: b\nexpr: 1"),
            "only one of 'record' and 'alert' must be set",
        );
        check_fault(
            &one_rule("expr: 1"),
            "r.yml: 4:5: group \"g\", rule 1, \"\": one of 'record' or 'alert' must be set",
        );
        check_fault(
            &one_rule("record: a\nexpr: 1\nfor: 5m"),
            "invalid field 'for' in recording rule",
        );
        check_fault(
            &one_rule("record: a\nexpr: 1\nlabels: {__name__: x}"),
            "invalid label name: __name__",
        );
        check_fault(
            &one_rule("record: 'a{b=\"c\"}'\nexpr: 1"),
            "braces present in the recording rule name",
        );
        check_fault(
            &one_rule("alert: A\nexpr: 1\nannotation: {a: b}"),
            "r.yml: 6:5: field annotation not found",
        );
        check_fault(
            "groups:\n- name: g\n- name: g\n",
            "r.yml: 3:3: groupname: \"g\" is repeated in the same file",
        );
        check_fault("groups:\n- name: g\n  interval: 5\n", "write it like 15s");
        check_fault(
            &one_rule("alert: A\nexpr: 1\nannotations: {a: '{{ nofunc }}'}"),
            "group \"g\", rule 1, \"A\": annotation \"a\": template: __alert_A:1: function \"nofunc\" not defined",
        );
    }

    #[test]
    fn scalars_are_texts() {
        let rule = "alert: A\nexpr: 1\nfor:\nlabels: {a: 1, b: true, c: null, d: 1.50, e: yes}\nannotations:";
        let file = RuleFile::parse("r.yml", &one_rule(rule)).unwrap();
        let RuleConfig::Alerting(alerting) = &file.groups[0].rules[0] else {
            panic!("an alerting rule")
        };
        let labels = r#"{a="1", b="true", d="1.50", e="yes"}"#;
        assert_eq!(alerting.labels.to_string(), labels);
        check_fault(
            &one_rule("alert: A\nalert: B\nexpr: 1"),
            "r.yml: 5:5: duplicate mapping key: alert",
        );
    }

    #[test]
    fn all_faults_are_reported() {
        let text = "groups:\n- name: g\n  rules:\n  - {record: a}\n  - {alert: b, expr: 'x{'}\n";
        assert_eq!(RuleFile::parse("r.yml", text).unwrap_err().faults.len(), 2);
    }

    #[test]
    fn only_the_first_document_counts() {
        let file =
            RuleFile::parse("r.yml", "---\ngroups:\n- name: a\n---\ngroups: nonsense\n").unwrap();
        assert_eq!((file.groups.len(), file.warnings.len()), (1, 1));
        assert_eq!(
            RuleFile::parse("r.yml", "# nothing\n")
                .unwrap()
                .groups
                .len(),
            0
        );
    }

    /// Every rule file of the conformance data loads, or fails with the words that it should.
    #[test]
    fn conformance_rule_files() {
        let Some(directory) = crate::rule::testing::conformance("rules") else {
            return;
        };
        let mut surprises = Vec::new();
        let expected = std::fs::read_to_string(directory.join("expected.tsv")).unwrap();
        let mut cases = 0;
        for line in expected.lines().skip(1) {
            let columns: Vec<_> = line.split('\t').collect();
            let [id, "parse", _, file, expect, note, ..] = columns[..] else {
                continue;
            };
            cases += 1;
            let text = std::fs::read_to_string(directory.join(file)).unwrap();
            match (RuleFile::parse(file, &text), expect) {
                (Ok(_), "ok") => {}
                (Err(error), "error") if error.to_string().contains(note) => {}
                (Ok(_), _) => surprises.push(format!("{id}: loads, but should say {note:?}")),
                (Err(error), _) => surprises.push(format!("{id}: {error}")),
            }
        }
        let real = std::fs::read_to_string(directory.join("real-files.tsv")).unwrap();
        for line in real.lines().skip(1) {
            let columns: Vec<_> = line.split('\t').collect();
            let text = std::fs::read_to_string(directory.join(columns[0])).unwrap();
            cases += 1;
            match (RuleFile::parse(columns[0], &text), columns[1]) {
                (Ok(file), "ok") => {
                    let rules: usize = file.groups.iter().map(|group| group.rules.len()).sum();
                    let expected: usize =
                        columns[3].parse::<usize>().unwrap() + columns[4].parse::<usize>().unwrap();
                    assert_eq!(rules, expected, "{}", columns[0]);
                }
                (Err(_), "error") => {}
                (Ok(_), _) => surprises.push(format!("{}: loads", columns[0])),
                (Err(error), _) => surprises.push(error.to_string()),
            }
        }
        assert!(40 < cases, "only {cases} cases were found");
        assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    }
}
