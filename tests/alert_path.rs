//! The way of an alert: a target stops, the rule is pending, then firing, people hear of it, and of its end.
//!
//! Everything at 1 s, so that the whole story takes less than a minute: pending for 5 s, grouped for 1 s, told to a
//! webhook and to a mail server of the test by the Alertmanager inside the same process.

mod support;

use std::fs;

use serde_json::Value;

use support::http::{Response, Server};
use support::monitor::Monitor;
use support::smtp::SmtpSink;
use support::wait::{PATIENCE, eventually};
use support::webhook::Webhook;

const CONFIG: &str = "
global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
  external_labels: {site: test}
rule_files: [rules.yml]
scrape_configs:
- job_name: victim
  static_configs: [{targets: ['VICTIM']}]
";

const RULES: &str = "
groups:
- name: targets
  rules:
  - alert: TargetDown
    expr: up == 0
    for: 5s
    labels: {severity: page}
    annotations:
      summary: '{{ $labels.job }} does not answer, up is {{ $value }}'
";

const ALERTMANAGER: &str = "
global:
  smtp_smarthost: 'SMTP'
  smtp_from: 'hearth@hearth.test'
  smtp_hello: localhost
  smtp_require_tls: false
route:
  receiver: people
  group_by: [alertname]
  group_wait: 1s
  group_interval: 1s
  repeat_interval: 1h
receivers:
- name: people
  webhook_configs:
  - url: 'http://WEBHOOK/hook'
  email_configs:
  - to: 'oncall@hearth.test'
    send_resolved: true
";

fn victim() -> Response {
    Response::text("answer 42\n")
}

#[test]
fn a_stopped_target_is_told_and_so_is_its_return() {
    let dir = tempfile::tempdir().unwrap();
    let target = Server::start(|_| victim());
    let address = target.address();
    let webhook = Webhook::start();
    let mail = SmtpSink::start();
    let alertmanager = ALERTMANAGER
        .replace("SMTP", &mail.address().to_string())
        .replace("WEBHOOK", &webhook.address().to_string());
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write(
        "hearth.yml",
        &CONFIG.replace("VICTIM", &address.to_string()),
    );
    write("rules.yml", RULES);
    write("alertmanager.yml", &alertmanager);
    let flags = [
        "--config.file=hearth.yml",
        "--alertmanager.config.file=alertmanager.yml",
    ];
    let hearth = Monitor::hearth(dir.path(), &flags);
    eventually("the target is up", PATIENCE, || {
        rule_state(&hearth, "inactive")
    });
    wait_for_health(&hearth, "up");
    assert_eq!(
        alert_states(&hearth),
        Ok(vec![]),
        "no alert before there is a reason"
    );

    drop(target);
    eventually("the alert is pending", PATIENCE, || {
        has_alert(&hearth, "pending")
    });
    assert_eq!(rule_state(&hearth, "pending"), Ok(()));
    assert!(webhook.posts().is_empty(), "told while pending");
    eventually("the alert fires", PATIENCE, || has_alert(&hearth, "firing"));

    let post = eventually("the webhook hears of it", PATIENCE, || {
        post_with(&webhook, "firing")
    });
    assert_eq!(post["receiver"], "people");
    assert_eq!(post["groupLabels"]["alertname"], "TargetDown");
    let alert = &post["alerts"][0];
    assert_eq!(alert["status"], "firing");
    let labels = [
        ("alertname", "TargetDown"),
        ("job", "victim"),
        ("severity", "page"),
        ("site", "test"),
    ];
    for (name, value) in labels {
        assert_eq!(alert["labels"][name], value, "{alert}");
    }
    assert_eq!(alert["labels"]["instance"], address.to_string());
    assert_eq!(
        alert["annotations"]["summary"],
        "victim does not answer, up is 0"
    );
    eventually("the mail server hears of it", PATIENCE, || {
        mail_with(&mail, "[FIRING:1]")
    });

    let _returned = Server::start_at(address, |_| victim());
    wait_for_health(&hearth, "up");
    let post = eventually("the webhook hears of the end", PATIENCE, || {
        post_with(&webhook, "resolved")
    });
    assert_eq!(post["alerts"][0]["status"], "resolved");
    assert_eq!(post["alerts"][0]["labels"]["alertname"], "TargetDown");
    eventually("the mail server hears of the end", PATIENCE, || {
        mail_with(&mail, "[RESOLVED]")
    });
    assert_eq!(alert_states(&hearth), Ok(vec![]));

    // Both said each once: no repetition within the hour.
    let statuses: Vec<Value> = webhook
        .posts()
        .iter()
        .map(|post| post["status"].clone())
        .collect();
    assert_eq!(statuses, ["firing", "resolved"]);
    assert_eq!(mail.mails().len(), 2);
}

fn post_with(webhook: &Webhook, status: &str) -> Result<Value, String> {
    let posts = webhook.posts();
    let found = posts.iter().find(|post| post["status"] == status);
    found.cloned().ok_or_else(|| format!("told {posts:?}"))
}

/// Finds the mail about the target whose subject begins like this.
fn mail_with(sink: &SmtpSink, subject: &str) -> Result<(), String> {
    let mails = sink.mails();
    let subject = format!("Subject: {subject} TargetDown");
    let found = mails.iter().any(|mail| {
        mail.lines().any(|line| line.starts_with(&subject)) && mail.contains("oncall@hearth.test")
    });
    found.then_some(()).ok_or_else(|| format!("{mails:?}"))
}

/// Returns the states of the active alerts.
fn alert_states(hearth: &Monitor) -> Result<Vec<String>, String> {
    let data = hearth.data("/api/v1/alerts")?;
    let alerts = data["alerts"].as_array().ok_or("no alerts")?;
    Ok(alerts
        .iter()
        .map(|alert| alert["state"].as_str().unwrap_or_default().to_owned())
        .collect())
}

fn has_alert(hearth: &Monitor, state: &str) -> Result<(), String> {
    let states = alert_states(hearth)?;
    (states == [state])
        .then_some(())
        .ok_or_else(|| format!("{states:?}"))
}

fn rule_state(hearth: &Monitor, state: &str) -> Result<(), String> {
    let data = hearth.data("/api/v1/rules")?;
    let rule = &data["groups"][0]["rules"][0];
    let met = rule["state"] == state && rule["health"] == "ok";
    met.then_some(()).ok_or_else(|| format!("{rule}"))
}

#[track_caller]
fn wait_for_health(hearth: &Monitor, health: &str) {
    eventually(&format!("the target is {health}"), PATIENCE, || {
        let targets = hearth.active_targets()?;
        let met = targets.iter().all(|target| target["health"] == health);
        (met && !targets.is_empty())
            .then_some(())
            .ok_or_else(|| format!("{targets:?}"))
    });
}
