//! Alerts to Alertmanagers that are found in a file while the server runs, over TLS, with a password that changes, and
//! relabelled on the way.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use support::http;
use support::monitor::Monitor;
use support::tls;
use support::wait::{PATIENCE, eventually};

const RULES: &str = "
groups:
- name: g
  rules:
  - {alert: Kept, expr: vector(1)}
  - {alert: Dropped, expr: vector(1)}
";

const CONFIG: &str = "
global:
  evaluation_interval: 1s
  external_labels: {site: test, replica: a}
rule_files: [rules.yml]
alerting:
  alert_relabel_configs:
  - {source_labels: [alertname], regex: Dropped, action: drop}
  - {target_label: seen, replacement: by-all}
  alertmanagers:
  - scheme: https
    path_prefix: /am
    basic_auth: {username: hearth, password_file: password}
    tls_config: {ca_file: ca.crt}
    file_sd_configs: [{files: [am.json]}]
    relabel_configs: [{source_labels: [use], regex: 'no', action: drop}]
    alert_relabel_configs: [{regex: replica, action: labeldrop}]
";

/// The password `first` or `second` of the user `hearth`, as a header has it.
const FIRST: &str = "Basic aGVhcnRoOmZpcnN0";
const SECOND: &str = "Basic aGVhcnRoOnNlY29uZA==";

/// What an Alertmanager was told.
#[derive(Default)]
struct Told {
    /// The header `Authorization` that is believed, in lower case like all that is read.
    authorization: String,
    /// The labels of all alerts.
    alerts: Vec<Value>,
    refused: usize,
}

/// Starts an Alertmanager that takes alerts of who has the right header.
fn start(
    config: &Arc<rustls::ServerConfig>,
    authorization: &str,
) -> (SocketAddr, Arc<Mutex<Told>>) {
    let told = Arc::new(Mutex::new(Told {
        authorization: authorization.to_lowercase(),
        ..Told::default()
    }));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (config, shared) = (Arc::clone(config), Arc::clone(&told));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, told) = (Arc::clone(&config), Arc::clone(&shared));
            thread::spawn(move || serve(stream, config, &told));
        }
    });
    (address, told)
}

/// Answers one request.
fn serve(stream: TcpStream, config: Arc<rustls::ServerConfig>, told: &Mutex<Told>) -> Option<()> {
    let connection = rustls::ServerConnection::new(config).ok()?;
    let mut stream = BufReader::new(rustls::StreamOwned::new(connection, stream));
    let mut first = String::new();
    stream.read_line(&mut first).ok()?;
    let (mut authorization, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("authorization: ") {
            value.clone_into(&mut authorization);
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let status = {
        let mut told = told.lock().expect("nobody panicked");
        if told.authorization == authorization && first.starts_with("POST /am/api/v2/alerts ") {
            let alerts: Vec<Value> = serde_json::from_slice(&body).expect("a list of alerts");
            let labels = alerts.into_iter().map(|mut alert| alert["labels"].take());
            told.alerts.extend(labels);
            "200 OK"
        } else {
            told.refused += 1;
            "401 Unauthorized"
        }
    };
    let stream = stream.get_mut();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    stream.flush().ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}

/// Writes the list of Alertmanagers, as one step.
fn list(dir: &Path, addresses: &[SocketAddr], unused: &str) {
    let addresses: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    let list = json!([{"targets": addresses}, {"targets": [unused], "labels": {"use": "no"}}]);
    fs::write(dir.join("am.new"), list.to_string()).expect("the file is written");
    fs::rename(dir.join("am.new"), dir.join("am.json")).expect("the file is replaced");
}

/// Waits until the API shows these Alertmanagers.
fn wait_for_alertmanagers(hearth: &Monitor, active: SocketAddr, dropped: &str) {
    let url = |address: &str| json!([{"url": format!("https://{address}/am/api/v2/alerts")}]);
    let expected = json!({
        "activeAlertmanagers": url(&active.to_string()), "droppedAlertmanagers": url(dropped)
    });
    eventually("the alertmanagers are known", PATIENCE, || {
        let shown = hearth.data("/api/v1/alertmanagers")?;
        if shown == expected {
            Ok(())
        } else {
            Err(shown.to_string())
        }
    });
}

/// Waits until an Alertmanager was told something, and checks what; it forgets that.
fn wait_for_alerts(told: &Mutex<Told>) {
    let alerts = eventually("alerts come", PATIENCE, || {
        let mut told = told.lock().expect("nobody panicked");
        let alerts = std::mem::take(&mut told.alerts);
        if alerts.is_empty() {
            return Err(format!("none, {} requests refused", told.refused));
        }
        Ok(alerts)
    });
    let expected = json!({"alertname": "Kept", "site": "test", "seen": "by-all"});
    for labels in alerts {
        assert_eq!(labels, expected);
    }
}

/// Returns what `/metrics` says of one Alertmanager.
fn metric(hearth: &Monitor, name: &str, address: SocketAddr) -> Option<f64> {
    let page = hearth.page("/metrics").expect("a page");
    let start = format!("{name}{{alertmanager=\"https://{address}/am/api/v2/alerts\"}} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&start))?;
    value.parse().ok()
}

#[test]
fn alertmanagers_of_a_file_are_told() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let dir = dir.path();
    let config = tls::server_config(dir);
    let (old, old_told) = start(&config, FIRST);
    let (new, new_told) = start(&config, SECOND);
    let write = |name: &str, text: &str| fs::write(dir.join(name), text).expect("it is written");
    write("password", "first\n");
    write("rules.yml", RULES);
    write("hearth.yml", CONFIG);
    list(dir, &[old], "unused:1");
    let hearth = Monitor::hearth(
        dir,
        &[
            "--config.file=hearth.yml",
            "--web.enable-lifecycle",
            "--rules.alert.resend-delay=1s",
            "--scrape.discovery-reload-interval=100ms",
            "--alertmanager.notification-queue-capacity=77",
        ],
    );
    wait_for_alertmanagers(&hearth, old, "unused:1");
    wait_for_alerts(&old_told);
    let capacity = metric(&hearth, "prometheus_notifications_queue_capacity", old);
    assert_eq!(capacity, Some(77.0));
    // Another one takes its place, which does not know the password yet.
    list(dir, &[new], "other:1");
    wait_for_alertmanagers(&hearth, new, "other:1");
    eventually("refusals are counted", PATIENCE, || {
        match metric(&hearth, "prometheus_notifications_errors_total", new) {
            Some(errors) if 0.0 < errors => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    eventually("the old one is forgotten", PATIENCE, || {
        match metric(&hearth, "prometheus_notifications_sent_total", old) {
            None => Ok(()),
            Some(sent) => Err(format!("{sent} alerts sent")),
        }
    });
    write("password", "second\n");
    wait_for_alerts(&new_told);
    let sent = metric(&hearth, "prometheus_notifications_sent_total", new);
    // A reload changes nothing for what is the same: its Alertmanager is not started anew, and its counters go on.
    write(
        "hearth.yml",
        &CONFIG.replace("site: test", "site: test, region: r"),
    );
    let reload = || http::post(&hearth.url("/-/reload")).expect("an answer");
    assert_eq!(reload().status, 200);
    assert!(sent <= metric(&hearth, "prometheus_notifications_sent_total", new));
    assert!(Some(1.0) <= sent);
    // What makes no sense is refused, and everything goes on.
    let signed = CONFIG.replace(
        "    path_prefix: /am\n",
        "    sigv4: {region: x, access_key: a}\n",
    );
    write("hearth.yml", &signed);
    let answer = reload();
    assert_eq!(answer.status, 500);
    let text = answer.text();
    assert!(text.contains("sigv4: must provide"), "{text}");
    wait_for_alertmanagers(&hearth, new, "other:1");
}
