//! Several `hearth alertmanager`, or `hearth server` with one built in, that form a cluster: what one knows all know, and each
//! notification is sent once.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::monitor::{Monitor, free_address, hearth_binary};
use support::tls::write_members;
use support::wait::{PATIENCE, eventually, moment};
use support::webhook::Webhook;

const CONFIG: &str = "
route:
  receiver: people
  group_by: [alertname]
  group_wait: 200ms
  group_interval: 1s
  repeat_interval: 1h
receivers:
- name: people
  webhook_configs: [{url: 'http://WEBHOOK/'}]
";

/// How long the second member waits for the first.
const PEER_TIMEOUT: Duration = Duration::from_millis(1_500);

/// The members' addresses, the webhook that all of them tell, and what it heard.
struct Cluster {
    dir: tempfile::TempDir,
    gossip: Vec<String>,
    api: Vec<String>,
    webhook: Webhook,
}

impl Cluster {
    fn new(members: usize) -> Self {
        let webhook = Webhook::start();
        let dir = tempfile::tempdir().unwrap();
        let config = CONFIG.replace("WEBHOOK", &webhook.address().to_string());
        fs::write(dir.path().join("am.yml"), config).unwrap();
        Cluster {
            dir,
            gossip: (0..members).map(|_| free_address()).collect(),
            api: (0..members).map(|_| free_address()).collect(),
            webhook,
        }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Starts a member; its storage is in `storage`.
    fn start(&self, member: usize, storage: &str) -> Monitor {
        let storage = format!("--storage.path={storage}");
        let own = ["alertmanager", "--config.file=am.yml", &storage];
        self.start_with(member, &own)
    }

    /// Starts a member that speaks TLS with the others.
    fn start_secure(&self, member: usize, storage: &str) -> Monitor {
        let storage = format!("--storage.path={storage}");
        let tls = "--cluster.tls-config=tls.yml";
        let own = ["alertmanager", "--config.file=am.yml", &storage, tls];
        self.start_with(member, &own)
    }

    /// Starts a server with a built-in member.
    fn start_server(&self, member: usize, storage: &str) -> Monitor {
        let storage = format!("--storage.tsdb.path={storage}");
        let own = [
            "server",
            "--config.file=hearth.yml",
            "--alertmanager.config.file=am.yml",
            &storage,
        ];
        self.start_with(member, &own)
    }

    fn start_with(&self, member: usize, own: &[&str]) -> Monitor {
        let mut flags: Vec<String> = own.iter().map(|&flag| flag.to_owned()).collect();
        flags.extend([
            format!("--cluster.listen-address={}", self.gossip[member]),
            format!("--cluster.peer-name=am-{member}"),
            format!("--cluster.peer-timeout={}ms", PEER_TIMEOUT.as_millis()),
            // Another test may get an address that was one of ours; it must not get our members too.
            format!("--cluster.label={}", self.path().display()),
            "--cluster.gossip-interval=50ms".to_owned(),
            "--cluster.probe-interval=300ms".to_owned(),
            "--cluster.probe-timeout=200ms".to_owned(),
            "--cluster.reconnect-interval=1s".to_owned(),
        ]);
        let peers = self.gossip.iter();
        flags.extend(peers.map(|peer| format!("--cluster.peer={peer}")));
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let address = &self.api[member];
        Monitor::program("hearth", &hearth_binary(), address, self.path(), &flags)
    }
}

#[track_caller]
fn send(member: &Monitor, path: &str, body: &Value) -> Value {
    let reply = member.post(path, body);
    assert_eq!(reply.status, 200, "{path} {body}: {}", reply.text());
    serde_json::from_slice(&reply.body).unwrap_or(Value::Null)
}

/// Sends an alert to all, as Prometheus does.
#[track_caller]
fn send_to_all<'a>(
    members: impl IntoIterator<Item = &'a Monitor>,
    alertname: &str,
    ends_in_seconds: i64,
) {
    let body = json!([{
        "labels": {"alertname": alertname},
        "startsAt": moment(-60), "endsAt": moment(ends_in_seconds),
    }]);
    for member in members {
        send(member, "/api/v2/alerts", &body);
    }
}

fn get(member: &Monitor, path: &str) -> Value {
    serde_json::from_str(&member.page(path).unwrap()).unwrap()
}

fn silence(alertname: &str, comment: &str) -> Value {
    json!({
        "matchers": [{"name": "alertname", "value": alertname, "isRegex": false}],
        "startsAt": moment(0), "endsAt": moment(3_600), "createdBy": "test", "comment": comment,
    })
}

/// Waits until a member says that it knows so many, and is ready.
#[track_caller]
fn wait_for_members(member: &Monitor, count: usize) -> Value {
    let what = format!("{} knows {count} members", member.address);
    eventually(&what, PATIENCE, || {
        let status = get(member, "/api/v2/status")["cluster"].take();
        let peers = status["peers"].as_array().map_or(0, Vec::len);
        match peers == count && status["status"] == "ready" {
            true => Ok(status),
            false => Err(status.to_string()),
        }
    })
}

/// Waits until a member has a silence in this state.
#[track_caller]
fn wait_for_silence(member: &Monitor, id: &str, state: &str, limit: Duration) {
    let what = format!("{} has silence {id}, {state}", member.address);
    eventually(&what, limit, || {
        let silences = get(member, "/api/v2/silences");
        let silences = silences.as_array().unwrap();
        let found = silences
            .iter()
            .any(|silence| silence["id"] == id && silence["status"]["state"] == state);
        found
            .then_some(())
            .ok_or_else(|| format!("{} silences", silences.len()))
    });
}

#[test]
fn three_members_share_silences_and_tell_once() {
    let cluster = Cluster::new(3);
    let members: Vec<Monitor> = (0..3)
        .map(|member| cluster.start(member, &format!("data-{member}")))
        .collect();
    for (position, member) in members.iter().enumerate() {
        let status = wait_for_members(member, 3);
        assert_eq!(status["name"], format!("am-{position}"));
        let names: Vec<&str> = status["peers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|peer| peer["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["am-0", "am-1", "am-2"]);
        assert_eq!(status["peers"][1]["address"], cluster.gossip[1]);
        let found = member.metric("alertmanager_peer_position");
        assert_eq!(found, Ok(position as f64));
        assert_eq!(member.metric("alertmanager_cluster_members"), Ok(3.0));
        assert_eq!(member.metric("alertmanager_cluster_enabled"), Ok(1.0));
        assert_eq!(member.metric("alertmanager_cluster_failed_peers"), Ok(0.0));
    }

    // A silence, its end, and one that is too large for a packet.
    let second = Duration::from_secs(1);
    let small = send(&members[1], "/api/v2/silences", &silence("quiet", "c"));
    let small = small["silenceID"].as_str().unwrap();
    let large = silence("large", &"c".repeat(5_000));
    let large = send(&members[2], "/api/v2/silences", &large);
    for member in &members {
        wait_for_silence(member, small, "active", second);
        wait_for_silence(
            member,
            large["silenceID"].as_str().unwrap(),
            "active",
            second,
        );
    }
    send_to_all(&members, "quiet", 600);

    for alert in 0..5 {
        send_to_all(&members, &format!("alert-{alert}"), 600);
    }
    for alert in 0..5 {
        cluster
            .webhook
            .wait_until_told(&format!("alert-{alert}"), "firing");
    }
    send_to_all(&members, "alert-0", -1);
    cluster.webhook.wait_until_told("alert-0", "resolved");
    // The last one's turn has come and gone.
    thread::sleep(PEER_TIMEOUT * 2 + Duration::from_millis(500));
    for alert in 0..5 {
        assert_eq!(
            cluster
                .webhook
                .times_told(&format!("alert-{alert}"), "firing"),
            1
        );
    }
    assert_eq!(cluster.webhook.times_told("alert-0", "resolved"), 1);
    assert_eq!(cluster.webhook.times_told("quiet", "firing"), 0);
    let sent = members[0].metric("alertmanager_notifications_total{integration=\"webhook\"}");
    assert_eq!(sent, Ok(6.0), "the first has told them all");
}

#[test]
fn the_second_tells_when_the_first_is_dead_and_who_comes_back_gets_the_state() {
    let cluster = Cluster::new(2);
    let mut first = cluster.start(0, "data-0");
    let second = cluster.start(1, "data-1");
    wait_for_members(&first, 2);
    wait_for_members(&second, 2);
    send_to_all([&first, &second], "before", 600);
    cluster.webhook.wait_until_told("before", "firing");
    // Whoever dies before it could say so has told nobody that it told.
    eventually("the second hears that it was told", PATIENCE, || {
        let name = "alertmanager_cluster_messages_received_total{msg_type=\"update\"}";
        let heard = second.metric(name).unwrap_or_default();
        (1.0 <= heard)
            .then_some(())
            .ok_or_else(|| "nothing yet".to_owned())
    });

    // The second waits for the first in vain.
    first.process.kill();
    let started = Instant::now();
    send_to_all([&second], "after", 600);
    cluster.webhook.wait_until_told("after", "firing");
    assert!(started.elapsed() < Duration::from_secs(10));
    wait_for_members(&second, 1);
    assert_eq!(second.metric("alertmanager_cluster_failed_peers"), Ok(1.0));
    let made = send(&second, "/api/v2/silences", &silence("quiet", "c"));

    // With nothing left on its disk.
    let first = cluster.start(0, "data-0-new");
    wait_for_members(&first, 2);
    wait_for_members(&second, 2);
    let id = made["silenceID"].as_str().unwrap();
    wait_for_silence(&first, id, "active", Duration::from_secs(1));
    // It knows what was told, and by whom does not matter.
    for alertname in ["before", "after", "quiet"] {
        send_to_all([&first, &second], alertname, 600);
    }
    thread::sleep(PEER_TIMEOUT + Duration::from_millis(500));
    assert_eq!(cluster.webhook.times_told("before", "firing"), 1);
    assert_eq!(cluster.webhook.times_told("after", "firing"), 1);
    assert_eq!(cluster.webhook.times_told("quiet", "firing"), 0);
}

#[test]
fn members_that_speak_tls_share_and_tell_once() {
    let cluster = Cluster::new(3);
    write_members(cluster.path());
    let mut members: Vec<Monitor> = (0..3)
        .map(|member| cluster.start_secure(member, &format!("data-{member}")))
        .collect();
    for member in &members {
        wait_for_members(member, 3);
    }
    let quiet = send(&members[2], "/api/v2/silences", &silence("quiet", "c"));
    let large = silence("large", &"c".repeat(5_000));
    let large = send(&members[1], "/api/v2/silences", &large);
    for member in &members {
        for made in [&quiet, &large] {
            let id = made["silenceID"].as_str().unwrap();
            wait_for_silence(member, id, "active", Duration::from_secs(2));
        }
        let received = "alertmanager_tls_transport_packet_bytes_received_total";
        assert!(0.0 < member.metric(received).unwrap());
        assert_eq!(member.metric("alertmanager_cluster_failed_peers"), Ok(0.0));
    }
    for alertname in ["quiet", "told"] {
        send_to_all(&members, alertname, 600);
    }
    cluster.webhook.wait_until_told("told", "firing");

    // One without TLS is no member, and those that are do not mind.
    let stranger = cluster.start(0, "data-stranger");
    drop(stranger);
    members[0].process.kill();
    wait_for_members(&members[1], 2);
    send_to_all(&members[1..], "after", 600);
    cluster.webhook.wait_until_told("after", "firing");
    let first = cluster.start_secure(0, "data-0-new");
    wait_for_members(&first, 3);
    thread::sleep(PEER_TIMEOUT * 2 + Duration::from_millis(500));
    for alertname in ["told", "after"] {
        assert_eq!(
            cluster.webhook.times_told(alertname, "firing"),
            1,
            "{alertname}"
        );
    }
    assert_eq!(cluster.webhook.times_told("quiet", "firing"), 0);
}

#[test]
fn servers_with_built_in_members_tell_once() {
    let cluster = Cluster::new(2);
    let rules = "groups: [{name: g, rules: [{alert: built-in, expr: vector(1)}, {alert: quiet, expr: vector(1), for: 4s}]}]";
    fs::write(cluster.path().join("rules.yml"), rules).unwrap();
    // The label that tells the servers apart must not make two alerts of one.
    let config = "
global: {evaluation_interval: 500ms, external_labels: {replica: REPLICA}}
rule_files: [rules.yml]
alerting: {alert_relabel_configs: [{regex: replica, action: labeldrop}]}
";
    let servers: Vec<Monitor> = (0..2)
        .map(|member| {
            let config = config.replace("REPLICA", &format!("r{member}"));
            fs::write(cluster.path().join("hearth.yml"), config).unwrap();
            cluster.start_server(member, &format!("data-{member}"))
        })
        .collect();
    for server in &servers {
        wait_for_members(server, 2);
    }
    let quiet = send(&servers[1], "/api/v2/silences", &silence("quiet", "c"));
    let id = quiet["silenceID"].as_str().unwrap();
    wait_for_silence(&servers[0], id, "active", Duration::from_secs(2));
    cluster.webhook.wait_until_told("built-in", "firing");
    for server in &servers {
        eventually("the second alert fires", PATIENCE, || {
            let alerts = get(server, "/api/v2/alerts?filter=alertname%3D%22quiet%22");
            let silenced = alerts[0]["status"]["state"] == "suppressed";
            silenced.then_some(()).ok_or_else(|| alerts.to_string())
        });
    }
    thread::sleep(PEER_TIMEOUT * 2);
    assert_eq!(cluster.webhook.times_told("built-in", "firing"), 1);
    assert_eq!(cluster.webhook.times_told("quiet", "firing"), 0);
}
