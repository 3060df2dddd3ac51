//! Receivers in every kind of trouble: each costs its own notifications, and nobody else's.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use support::http::{Response, Server};
use support::monitor::{Monitor, free_address, hearth_binary};
use support::wait::{PATIENCE, eventually};

/// The receivers' paths on the one server, besides those that never get there.
const PATHS: &[&str] = &["good", "late", "busy", "moved", "slow", "huge"];

const CONFIG: &str = r#"
route:
  receiver: good
  group_by: [alertname]
  group_wait: 100ms
  group_interval: 1s
  repeat_interval: 1h
  routes:
  - {receiver: late, continue: true}
  - {receiver: busy, continue: true}
  - {receiver: moved, continue: true}
  - {receiver: slow, continue: true}
  - {receiver: refused, continue: true}
  - {receiver: untrusted, continue: true}
  - {receiver: endless, continue: true}
  - {receiver: wrong, continue: true}
  - {receiver: huge, continue: true, matchers: [size=huge]}
  - {receiver: good, continue: true}
receivers:
- name: good
  webhook_configs: [{url: 'http://SERVER/good'}]
- name: late
  webhook_configs: [{url: 'http://SERVER/late'}]
- name: busy
  webhook_configs: [{url: 'http://SERVER/busy'}]
- name: moved
  webhook_configs: [{url: 'http://SERVER/moved', http_config: {follow_redirects: false}}]
- name: slow
  webhook_configs: [{url: 'http://SERVER/slow'}]
- name: refused
  webhook_configs: [{url: 'http://127.0.0.1:1/'}]
- name: untrusted
  webhook_configs: [{url: 'https://SERVER/'}]
- name: endless
  webhook_configs: [{url: 'http://SERVER/endless{{ template "endless" . }}'}]
- name: wrong
  webhook_configs: [{url: 'http://SERVER/wrong{{ .Nothing.Of.The.Kind }}'}]
- name: huge
  webhook_configs: [{url: 'http://SERVER/huge'}]
templates: ['*.tmpl']
"#;

/// What came to each path: the group, and how many times there was an answer of 200.
type Told = Arc<Mutex<BTreeMap<(String, String), Vec<Value>>>>;

fn server(told: &Told) -> Server {
    let told = Arc::clone(told);
    let asked: Mutex<BTreeMap<(String, String), usize>> = Mutex::default();
    Server::start(move |request| {
        let post: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        let group = post["groupLabels"]["alertname"].as_str().unwrap_or("?");
        let key = (request.path.trim_matches('/').to_owned(), group.to_owned());
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        let times = asked.entry(key.clone()).or_default();
        *times += 1;
        let answer = |status| Response::Body(status, "text/plain", Arc::from(*b"no"));
        let answer = match (key.0.as_str(), *times) {
            // Two failures, one that makes no sense to repeat at once, one redirect that is not followed.
            ("late", 1 | 2) => return answer(500),
            ("busy", 1) => return answer(429),
            ("moved", 1) => return Response::Redirect("/good".to_owned()),
            ("slow", _) => return Response::Silence(Duration::from_secs(600)),
            _ => Response::text(""),
        };
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        told.entry(key).or_default().push(post);
        answer
    })
}

fn count(told: &Told, path: &str, alert: &str) -> usize {
    let told = told.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (path.to_owned(), alert.to_owned());
    told.get(&key).map_or(0, Vec::len)
}

#[track_caller]
fn post(alertmanager: &Monitor, alerts: &Value) {
    let reply = alertmanager.post("/api/v2/alerts", alerts);
    assert_eq!(reply.status, 200);
}

#[test]
fn a_receiver_in_trouble_costs_its_own_notifications() {
    let dir = tempfile::tempdir().unwrap();
    let told = Told::default();
    let server = server(&told);
    let config = CONFIG.replace("SERVER", &server.address().to_string());
    fs::write(dir.path().join("am.yml"), config).unwrap();
    fs::write(
        dir.path().join("endless.tmpl"),
        r#"{{ define "endless" }}x{{ template "endless" . }}{{ end }}"#,
    )
    .unwrap();
    let flags = [
        "alertmanager",
        "--config.file=am.yml",
        "--storage.path=data",
    ];
    let address = free_address();
    let mut alertmanager =
        Monitor::program("hearth", &hearth_binary(), &address, dir.path(), &flags);

    let long = "x".repeat(1 << 20);
    post(
        &alertmanager,
        &json!([
            {"labels": {"alertname": "A"}},
            {"labels": {"alertname": "B", "size": "huge"}, "annotations": {"text": long}},
        ]),
    );
    for alert in ["A", "B"] {
        eventually("the healthy receiver hears of it", PATIENCE, || {
            let count = count(&told, "good", alert);
            (count == 1)
                .then_some(())
                .ok_or_else(|| format!("{count} times"))
        });
    }
    // Else the healthy one would have waited for the slow one, whose notification has ten seconds.
    let failed = |reason: &str| {
        let series = format!(
            r#"alertmanager_notifications_failed_total{{integration="webhook",reason="{reason}"}}"#
        );
        alertmanager.metric(&series).unwrap()
    };
    let given_up = failed("contextDeadlineExceeded");
    assert_eq!(given_up, 0.0, "the others held it up");
    for path in ["late", "busy", "moved"] {
        eventually(&format!("{path} hears of it in the end"), PATIENCE, || {
            let count = count(&told, path, "A");
            (count == 1)
                .then_some(())
                .ok_or_else(|| format!("{count} times"))
        });
    }
    eventually("the long text is told", PATIENCE, || {
        let told = told.lock().unwrap();
        let posts = told.get(&("huge".to_owned(), "B".to_owned()));
        let post = posts.and_then(|posts| posts.first());
        let text = post.and_then(|post| post["alerts"][0]["annotations"]["text"].as_str());
        let length = text.map(str::len);
        (length == Some(1 << 20))
            .then_some(())
            .ok_or_else(|| format!("{length:?}"))
    });

    // Longer than the ten seconds that a notification has.
    eventually("the slow one is given up", PATIENCE, || {
        let given_up = failed("contextDeadlineExceeded");
        (2.0 <= given_up)
            .then_some(())
            .ok_or_else(|| format!("{given_up}"))
    });
    assert!(1.0 <= failed("clientError"));
    assert!(2.0 <= failed("other"));
    for path in PATHS {
        for alert in ["A", "B"] {
            let expected = match (*path, alert) {
                ("slow", _) | ("huge", "A") => 0,
                _ => 1,
            };
            assert_eq!(count(&told, path, alert), expected, "{path} {alert}");
        }
    }
    let known: Vec<String> = told
        .lock()
        .unwrap()
        .keys()
        .map(|key| key.0.clone())
        .collect();
    assert!(
        known.iter().all(|path| PATHS.contains(&path.as_str())),
        "{known:?}"
    );
    alertmanager.process.assert_running();
    let log = alertmanager.process.log();
    for text in [
        "expand a template",
        "maximum template depth",
        "Connection refused",
        "receiver=slow",
    ] {
        assert!(log.contains(text), "{text} is not in the log");
    }
    assert!(alertmanager.process.peak_mib() < 200);
}
