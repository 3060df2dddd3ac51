//! From a rule to people, over everything that lies between: rule manager, engine, Alertmanager, webhook and mail. Only
//! the storage and the wall clock are doubles.

use std::sync::Arc;

use metrics::Registry;
use model::time::ManualClock;
use model::{Duration, Labels};
use promql::{Engine, EngineOptions};

use crate::config::AlertmanagerConfig;
use crate::receiver::testing::{HttpSink, SmtpSink};
use crate::rule::engine::EngineQuery;
use crate::rule::file::RuleFile;
use crate::rule::group::{GroupSettings, RestoreOptions};
use crate::rule::testing::VecStorage;
use crate::{Alertmanager, AlertmanagerOptions, RuleManager, RuleManagerOptions};

const START_MS: i64 = 1_772_359_200_000;

const RULES: &str = "groups:\n- name: g\n  rules:\n  - record: job:up:count\n    expr: count by (job) (up == 0)\n  \
    - alert: Down\n    expr: job:up:count > 0\n    labels: {severity: page}\n    \
    annotations: {summary: '{{ $value }} of {{ $labels.job }} down'}\n";

fn config(webhook: &HttpSink, mail: &SmtpSink) -> AlertmanagerConfig {
    let text = format!(
        "global: {{smtp_smarthost: '{}', smtp_from: am@example.org, smtp_require_tls: false}}\n\
         route: {{receiver: none, group_by: [job], group_wait: 0s, group_interval: 5s, routes: [{{receiver: ops, matchers: ['severity=page']}}]}}\n\
         receivers:\n- name: none\n- name: ops\n  webhook_configs: [{{url: 'http://{}/'}}]\n  \
         email_configs: [{{to: ops@example.org, send_resolved: true}}]\n",
        mail.address, webhook.address
    );
    AlertmanagerConfig::parse(&text).unwrap()
}

fn set_up(storage: &VecStorage, t_ms: i64, value: f64) {
    let series = Labels::from_pairs([("__name__", "up"), ("job", "api")]);
    let mut columns = storage.0.lock().unwrap();
    columns.entry(series).or_default().push((t_ms, value));
}

fn rules(storage: &VecStorage, clock: &ManualClock, alertmanager: &Alertmanager) -> RuleManager {
    let registry = Registry::new();
    let options = EngineOptions {
        lookback_ms: 300_000,
        max_samples: 1_000_000,
        bytes_max: 0,
        bytes_total_max: 0,
        timeout: std::time::Duration::from_secs(10),
        default_subquery_step_ms: 60_000,
    };
    let engine = Arc::new(Engine::new(options, &registry));
    let storage = Arc::new(storage.clone());
    RuleManager::new(RuleManagerOptions {
        storage: Arc::clone(&storage) as _,
        queryable: Arc::clone(&storage) as _,
        query: Arc::new(EngineQuery::new(engine, storage)),
        clock: Arc::new(clock.clone()),
        registry,
        notifier: alertmanager.handle(),
        resend_delay: Duration::ZERO,
        restore: RestoreOptions::default(),
        concurrency: 1,
        tracer: model::trace::Tracer::default(),
    })
}

#[tokio::test]
async fn people_hear_of_the_trouble_and_of_its_end() {
    let (mut webhook, mut mail) = (HttpSink::start(200).await, SmtpSink::start().await);
    let clock = ManualClock::at(START_MS);
    let storage = VecStorage::default();
    let options = AlertmanagerOptions {
        clock: Arc::new(clock.clone()),
        ..AlertmanagerOptions::for_test()
    };
    let alertmanager = Alertmanager::start(config(&webhook, &mail), options).unwrap();
    let rules = rules(&storage, &clock, &alertmanager);
    set_up(&storage, START_MS, 0.0);
    let settings = GroupSettings {
        interval: Duration::from_ms(10),
        query_offset: Duration::ZERO,
        external_labels: Labels::from_pairs([("replica", "a")]),
        external_url: "http://p".to_owned(),
    };
    rules
        .apply(RuleFile::parse("f", RULES).unwrap().groups, settings)
        .await;

    let body: serde_json::Value = serde_json::from_str(&webhook.next().await.body).unwrap();
    assert_eq!(body["status"], "firing");
    assert_eq!(
        body["commonLabels"],
        serde_json::json!({"alertname": "Down", "job": "api", "replica": "a", "severity": "page"})
    );
    assert_eq!(body["alerts"][0]["annotations"]["summary"], "1 of api down");
    let (_, text) = mail.next().await;
    assert!(text.contains("Subject: [FIRING:1] api "), "{text}");

    set_up(&storage, START_MS + 10_000, 1.0);
    clock.advance(10_000);
    while !rules.alerts().is_empty() {
        tokio::task::yield_now().await;
    }
    // An evaluation is up to one interval ahead of a clock that stands still; its end must have come.
    clock.advance(10_000);
    let body: serde_json::Value = serde_json::from_str(&webhook.next().await.body).unwrap();
    assert_eq!(body["status"], "resolved");
    assert_eq!(body["notification_reason"], "all alerts resolved");
    let (_, text) = mail.next().await;
    assert!(text.contains("Subject: [RESOLVED] api "), "{text}");

    rules.shutdown().await;
    alertmanager.shutdown().await;
}
