//! Groups on a clock made of numbers, over storage in memory and queries as closures.

use super::super::file::RuleFile;
use super::super::status::AlertState;
use super::super::testing::{FakeQuery, VecStorage};
use super::*;
use metrics::Registry;
use model::trace::{AttributeValue, KeptSpans, SpanData};

type Answer = Result<Vec<(&'static str, f64)>, String>;

struct World {
    group: Group,
    storage: VecStorage,
    metrics: RuleMetrics,
    registry: Registry,
}

fn settings() -> GroupSettings {
    GroupSettings {
        interval: Duration::from_secs(60),
        query_offset: Duration::ZERO,
        external_labels: Labels::from_pairs([("cluster", "c1")]),
        external_url: "http://prom.example/prom".to_owned(),
    }
}

fn config(rules: &str) -> GroupConfig {
    let text = format!("groups:\n- name: g\n  {}\n", rules.replace('\n', "\n  "));
    RuleFile::parse("f.yml", &text).unwrap().groups.remove(0)
}

impl World {
    fn new(rules: &str) -> Self {
        let registry = Registry::new();
        let metrics = RuleMetrics::new(&registry);
        let group = Group::new(config(rules), settings(), &metrics, false);
        World {
            group,
            storage: VecStorage::default(),
            metrics,
            registry,
        }
    }

    fn reload(&mut self, rules: &str) {
        let new = Group::new(config(rules), settings(), &self.metrics, false);
        let old = std::mem::replace(&mut self.group, new);
        self.group.adopt(old);
    }

    /// Evaluates at `minute`; every query answers `answer`.
    fn at(&mut self, minute: i64, answer: Answer) -> Vec<Alert> {
        let query = FakeQuery(move |_: &str, _: i64| answer.clone());
        let context = EvaluationContext {
            tracer: &model::trace::Tracer::default(),
            query: &query,
            storage: &self.storage,
            resend_delay: Duration::from_secs(60),
        };
        self.group.evaluate(minute * 60_000, &context)
    }

    /// Evaluates at the first minute; returns the spans of that, and of queries that begin below it.
    fn spans_of(&mut self, answer: Answer) -> Vec<SpanData> {
        let (tracer, kept) = KeptSpans::traced();
        let of_query = tracer.clone();
        let query = FakeQuery(move |_: &str, _: i64| {
            drop(of_query.begin("query", SpanKind::Internal, None));
            answer.clone()
        });
        let context = EvaluationContext {
            tracer: &tracer,
            query: &query,
            storage: &self.storage,
            resend_delay: Duration::from_secs(60),
        };
        self.group.evaluate(60_000, &context);
        kept.taken()
    }

    fn states(&self) -> Vec<(AlertState, i64, f64)> {
        let status = self.group.status();
        let alerts = &status.rules[0].alerting.as_ref().unwrap().alerts;
        alerts
            .iter()
            .map(|alert| (alert.state, alert.active_at_ms / 60_000, alert.value))
            .collect()
    }

    #[track_caller]
    fn check_series(&self, series: &str, expected: &[(i64, Option<f64>)]) {
        let found: Vec<_> = self
            .storage
            .samples(series)
            .into_iter()
            .map(|(t, v)| (t / 60_000, v))
            .collect();
        assert_eq!(found, expected, "{series}");
    }

    fn error(&self) -> String {
        self.group.status().rules[0]
            .last_error
            .clone()
            .unwrap_or_default()
    }
}

const ALERT: &str = "rules: [{alert: A, expr: up == 0, for: 2m, labels: {severity: page}, \
    annotations: {summary: '{{ $labels.job }} is {{ $value }} in {{ $externalLabels.cluster }}'}}]";
const ALERTS_FIRING: &str =
    r#"ALERTS{alertname="A", alertstate="firing", job="x", severity="page"}"#;
const ALERTS_PENDING: &str =
    r#"ALERTS{alertname="A", alertstate="pending", job="x", severity="page"}"#;
const FOR_STATE: &str = r#"ALERTS_FOR_STATE{alertname="A", job="x", severity="page"}"#;

#[test]
fn a_rule_has_a_span_with_its_query_below() {
    let mut fixture = World::new(ALERT);
    let spans = fixture.spans_of(down());
    let [query, rule] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!((&*query.name, &*rule.name), ("query", "rule"));
    assert_eq!((query.parent, rule.parent), (rule.context.span, 0));
    let name = AttributeValue::Text("A".to_owned());
    assert_eq!(rule.attributes[0], ("name", name));
    assert_eq!(rule.error, None);
    let spans = fixture.spans_of(Err("no".to_owned()));
    assert_eq!(spans[1].error.as_deref(), Some("no"));
}

fn down() -> Answer {
    Ok(vec![("__name__=up,job=x", 0.0)])
}

#[test]
fn pending_then_firing_then_resolved() {
    let mut world = World::new(ALERT);
    assert_eq!(world.at(10, down()), []);
    assert_eq!(world.states(), [(AlertState::Pending, 10, 0.0)]);
    assert_eq!(world.at(11, down()), []);
    let sent = world.at(12, down());
    assert_eq!(world.states(), [(AlertState::Firing, 10, 0.0)]);
    assert_eq!(
        sent[0].labels.to_string(),
        r#"{alertname="A", cluster="c1", job="x", severity="page"}"#
    );
    assert_eq!(
        sent[0].annotations.to_string(),
        r#"{summary="x is 0 in c1"}"#
    );
    assert_eq!(
        (sent[0].starts_at_ms, sent[0].ends_at_ms),
        (12 * 60_000, Some(16 * 60_000))
    );
    assert_eq!(
        sent[0].generator_url,
        "http://prom.example/prom/graph?g0.expr=up+%3D%3D+0&g0.tab=1"
    );
    let sent = world.at(13, Ok(vec![]));
    assert_eq!(sent[0].ends_at_ms, Some(13 * 60_000));
    assert_eq!(world.states(), []);
    world.check_series(
        ALERTS_PENDING,
        &[(10, Some(1.0)), (11, Some(1.0)), (12, None)],
    );
    world.check_series(ALERTS_FIRING, &[(12, Some(1.0)), (13, None)]);
    world.check_series(
        FOR_STATE,
        &[
            (10, Some(600.0)),
            (11, Some(600.0)),
            (12, Some(600.0)),
            (13, None),
        ],
    );
}

#[test]
fn resolved_alerts_are_sent_for_a_quarter_of_an_hour() {
    let mut world = World::new(ALERT);
    for minute in 10..13 {
        world.at(minute, down());
    }
    let sent: Vec<_> = (13..40)
        .filter(|&minute| !world.at(minute, Ok(vec![])).is_empty())
        .collect();
    assert_eq!((sent.first(), sent.last()), (Some(&13), Some(&27)));
    assert!(sent.iter().all(|minute| *minute <= 28));
}

#[test]
fn firing_alerts_are_sent_again_after_the_resend_delay() {
    let mut world = World::new("interval: 30s\nrules: [{alert: A, expr: up == 0}]");
    let mut sent = Vec::new();
    for half_minute in 0..8 {
        let query = FakeQuery(|_: &str, _: i64| down());
        let context = EvaluationContext {
            tracer: &model::trace::Tracer::default(),
            query: &query,
            storage: &world.storage,
            resend_delay: Duration::from_secs(60),
        };
        if !world
            .group
            .evaluate(half_minute * 30_000, &context)
            .is_empty()
        {
            sent.push(half_minute);
        }
    }
    assert_eq!(sent, [0, 3, 6]);
}

#[test]
fn a_pending_alert_that_ends_is_forgotten() {
    let mut world = World::new(ALERT);
    world.at(10, down());
    assert_eq!(world.at(11, Ok(vec![])), []);
    world.at(12, down());
    assert_eq!(world.states(), [(AlertState::Pending, 12, 0.0)]);
}

#[test]
fn keep_firing_for_holds_the_alert() {
    let mut world = World::new("rules: [{alert: A, expr: up == 0, keep_firing_for: 2m}]");
    world.at(10, down());
    world.at(11, Ok(vec![]));
    assert_eq!(world.states(), [(AlertState::Firing, 10, 0.0)]);
    let status = world.group.status();
    assert_eq!(
        status.rules[0].alerting.as_ref().unwrap().alerts[0].keep_firing_since_ms,
        Some(11 * 60_000)
    );
    world.at(12, down());
    world.at(13, Ok(vec![]));
    world.at(14, Ok(vec![]));
    assert_eq!(world.states().len(), 1);
    let sent = world.at(15, Ok(vec![]));
    assert_eq!(world.states(), []);
    assert_eq!(sent[0].ends_at_ms, Some(15 * 60_000));
}

#[test]
fn annotations_and_values_follow() {
    let mut world = World::new(ALERT);
    world.at(10, down());
    world.at(11, Ok(vec![("job=x", 7.5)]));
    let status = world.group.status();
    let alert = &status.rules[0].alerting.as_ref().unwrap().alerts[0];
    assert_eq!(
        (alert.value, alert.annotations.value("summary")),
        (7.5, "x is 7.5 in c1")
    );
}

#[test]
fn a_template_error_does_not_stop_the_alert() {
    let mut world = World::new("rules: [{alert: A, expr: up, annotations: {a: '{{ .Nope }}'}}]");
    let sent = world.at(10, down());
    let expected = "<error expanding template: error executing template __alert_A: template: __alert_A:1:115: executing \"__alert_A\" at \
        <.Nope>: can't evaluate field Nope in type struct { Labels map[string]string; ExternalLabels map[string]string; \
        ExternalURL string; Value interface {} }>";
    assert_eq!(sent[0].annotations.value("a"), expected);
}

#[test]
fn recording_rules_write_and_end_series() {
    let mut world = World::new(
        "labels: {team: t}\nquery_offset: 1m\nrules: [{record: 'r:x', expr: up, labels: {a: b, job: ''}}]",
    );
    world.at(
        10,
        Ok(vec![
            ("__name__=up,job=x,z=1", 1.0),
            ("__name__=up,job=x,z=2", 2.0),
        ]),
    );
    world.at(11, Ok(vec![("__name__=up,job=x,z=2", 3.0)]));
    world.check_series(
        r#"r:x{a="b", job="x", team="t", z="1"}"#,
        &[(9, Some(1.0)), (10, None)],
    );
    world.check_series(
        r#"r:x{a="b", job="x", team="t", z="2"}"#,
        &[(9, Some(2.0)), (10, Some(3.0))],
    );
}

#[test]
fn failures_are_noted_and_end_nothing() {
    let mut world = World::new("rules: [{record: r, expr: up}]");
    world.at(10, down());
    world.at(11, Err("boom".to_owned()));
    assert_eq!(world.error(), "boom");
    assert_eq!(world.group.status().rules[0].health, Health::Err);
    world.check_series(r#"r{job="x"}"#, &[(10, Some(0.0))]);
    world.at(12, Ok(vec![("z=1", 1.0), ("__name__=other,z=1", 2.0)]));
    assert_eq!(
        world.error(),
        "vector contains metrics with the same labelset after applying rule labels"
    );
    world.at(13, down());
    assert_eq!(
        (world.error().as_str(), world.group.status().rules[0].health),
        ("", Health::Ok)
    );
}

#[test]
fn limits() {
    let mut world = World::new("limit: 1\nrules: [{record: r, expr: up}]");
    world.at(10, Ok(vec![("z=1", 1.0), ("z=2", 1.0)]));
    assert_eq!(world.error(), "exceeded limit of 1 with 2 series");
    let mut world = World::new("limit: 1\nrules: [{alert: A, expr: up}]");
    assert_eq!(world.at(10, Ok(vec![("z=1", 1.0), ("z=2", 1.0)])), []);
    assert_eq!(world.error(), "exceeded limit of 1 with 2 alerts");
    assert_eq!(world.states(), []);
}

#[test]
fn alerts_with_the_same_labels_are_refused() {
    let mut world = World::new("rules: [{alert: A, expr: up}]");
    world.at(
        10,
        Ok(vec![("__name__=a,z=1", 1.0), ("__name__=b,z=1", 1.0)]),
    );
    assert_eq!(
        world.error(),
        "vector contains metrics with the same labelset after applying alert labels"
    );
}

#[test]
fn a_reload_keeps_alerts_and_ends_series_of_removed_rules() {
    let mut world = World::new(&ALERT.replace("rules: [", "rules: [{record: r, expr: up}, "));
    world.at(10, down());
    world.at(11, down());
    world.reload(ALERT);
    world.at(12, down());
    assert_eq!(world.states(), [(AlertState::Firing, 10, 0.0)]);
    world.check_series(
        r#"r{job="x"}"#,
        &[(10, Some(0.0)), (11, Some(0.0)), (12, None)],
    );
    world.check_series(
        ALERTS_PENDING,
        &[(10, Some(1.0)), (11, Some(1.0)), (12, None)],
    );
}

/// Evaluates a fresh group at `minute`, restores, and returns since when the alert counts as active, in minutes.
fn restored(hold: &str, remembered: (i64, i64), minute: i64) -> i64 {
    let rules =
        format!("rules: [{{alert: A, expr: up == 0, for: {hold}, labels: {{severity: page}}}}]");
    let mut world = World::new(&rules);
    world.group = Group::new(config(&rules), settings(), &world.metrics, true);
    let labels = Labels::from_pairs([
        ("__name__", "ALERTS_FOR_STATE"),
        ("alertname", "A"),
        ("job", "x"),
        ("severity", "page"),
    ]);
    let (seen, since) = remembered;
    world
        .storage
        .0
        .lock()
        .unwrap()
        .insert(labels, vec![(seen * 60_000, since as f64 * 60.0)]);
    world.at(minute, down());
    world.check_series(FOR_STATE, &[(seen, Some(since as f64 * 60.0))]);
    let storage = world.storage.clone();
    world
        .group
        .restore(minute * 60_000, &storage, RestoreOptions::default());
    let since = world.states()[0].1;
    world.at(minute + 1, down());
    assert_eq!(storage.samples(FOR_STATE).len(), 2);
    since
}

#[test]
fn the_for_state_is_restored() {
    // Pending for 5 of 60 minutes, then 10 minutes of outage: they do not count.
    assert_eq!(restored("60m", (105, 100), 115), 110);
    // It was firing.
    assert_eq!(restored("30m", (140, 100), 150), 100);
    // Two minutes were left: it gets the grace period.
    assert_eq!(restored("30m", (128, 100), 150), 130);
    // The rule is too quick to be restored, or the outage was too long.
    assert_eq!(restored("5m", (104, 100), 110), 110);
    assert_eq!(restored("60m", (105, 100), 300), 300);
}

#[test]
fn metrics_tell_of_evaluations() {
    let mut world = World::new("rules: [{record: r, expr: up}]");
    world.at(10, down());
    world.at(11, Err("boom".to_owned()));
    world.group.note_missed(3);
    let mut text = Vec::new();
    metrics::encode::text(&world.registry.gather(), &mut text);
    let text = String::from_utf8(text).unwrap();
    for line in [
        "prometheus_rule_evaluations_total{rule_group=\"f.yml;g\"} 2",
        "prometheus_rule_evaluation_failures_total{rule_group=\"f.yml;g\"} 1",
        "prometheus_rule_group_iterations_total{rule_group=\"f.yml;g\"} 5",
        "prometheus_rule_group_iterations_missed_total{rule_group=\"f.yml;g\"} 3",
        "prometheus_rule_group_interval_seconds{rule_group=\"f.yml;g\"} 60",
        "prometheus_rule_group_rules{rule_group=\"f.yml;g\"} 1",
        "prometheus_rule_group_last_evaluation_timestamp_seconds{rule_group=\"f.yml;g\"} 660",
        "prometheus_rule_group_duration_seconds_count 2",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}
