//! Several `hearth alertmanager` that form a cluster: what one knows all know, and each notification is sent once.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::http::{Connection, Response, Server};
use support::monitor::{Monitor, free_address, hearth_binary};
use support::wait::{PATIENCE, eventually, now_ms};

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
    posts: Arc<Mutex<Vec<Value>>>,
    _webhook: Server,
}

impl Cluster {
    fn new(members: usize) -> Self {
        let posts = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&posts);
        let webhook = Server::start(move |request| {
            let post = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
            let mut posts = heard.lock().unwrap_or_else(PoisonError::into_inner);
            posts.push(post);
            Response::text("")
        });
        let dir = tempfile::tempdir().unwrap();
        let config = CONFIG.replace("WEBHOOK", &webhook.address().to_string());
        fs::write(dir.path().join("am.yml"), config).unwrap();
        Cluster {
            dir,
            gossip: (0..members).map(|_| free_address()).collect(),
            api: (0..members).map(|_| free_address()).collect(),
            posts,
            _webhook: webhook,
        }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Starts a member; its storage is in `storage`.
    fn start(&self, member: usize, storage: &str) -> Monitor {
        let mut flags = vec![
            "alertmanager".to_owned(),
            "--config.file=am.yml".to_owned(),
            format!("--storage.path={storage}"),
            format!("--cluster.listen-address={}", self.gossip[member]),
            format!("--cluster.peer-name=am-{member}"),
            format!("--cluster.peer-timeout={}ms", PEER_TIMEOUT.as_millis()),
            "--cluster.label=test".to_owned(),
            "--cluster.gossip-interval=50ms".to_owned(),
            "--cluster.probe-interval=300ms".to_owned(),
            "--cluster.probe-timeout=200ms".to_owned(),
            "--cluster.reconnect-interval=1s".to_owned(),
        ];
        let peers = self.gossip.iter();
        flags.extend(peers.map(|peer| format!("--cluster.peer={peer}")));
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let address = &self.api[member];
        Monitor::program("hearth", &hearth_binary(), address, self.path(), &flags)
    }

    /// Returns how often an alert was told with this status.
    fn told(&self, alertname: &str, status: &str) -> usize {
        let posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        let of_alert = posts.iter().filter(|post| {
            post["groupLabels"]["alertname"] == alertname && post["status"] == status
        });
        of_alert.count()
    }

    #[track_caller]
    fn wait_until_told(&self, alertname: &str, status: &str) {
        let what = format!("{alertname} is told as {status}");
        eventually(&what, PATIENCE, || match self.told(alertname, status) {
            0 => Err("not told".to_owned()),
            _ => Ok(()),
        });
    }
}

#[track_caller]
fn send(member: &Monitor, path: &str, body: &Value) -> Value {
    let mut connection = Connection::open(&member.address).unwrap();
    let headers = "Content-Type: application/json\r\n";
    let body = body.to_string();
    connection.post(path, headers, body.as_bytes()).unwrap();
    let reply = connection.receive().unwrap();
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
        "startsAt": time(-60), "endsAt": time(ends_in_seconds),
    }]);
    for member in members {
        send(member, "/api/v2/alerts", &body);
    }
}

fn get(member: &Monitor, path: &str) -> Value {
    serde_json::from_str(&member.page(path).unwrap()).unwrap()
}

/// Returns a moment `seconds` from now as the API has it.
fn time(seconds: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(now_ms() + seconds * 1_000).unwrap();
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn silence(alertname: &str, comment: &str) -> Value {
    json!({
        "matchers": [{"name": "alertname", "value": alertname, "isRegex": false}],
        "startsAt": time(0), "endsAt": time(3_600), "createdBy": "test", "comment": comment,
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

fn metric(member: &Monitor, name: &str) -> Option<f64> {
    let page = member.page("/metrics").unwrap();
    let line = page.lines().find_map(|line| {
        line.strip_prefix(name)?
            .strip_prefix(' ')
            .map(str::to_owned)
    });
    line?.parse().ok()
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
        let found = metric(member, "alertmanager_peer_position");
        assert_eq!(found, Some(position as f64));
        assert_eq!(metric(member, "alertmanager_cluster_members"), Some(3.0));
        assert_eq!(metric(member, "alertmanager_cluster_enabled"), Some(1.0));
        assert_eq!(
            metric(member, "alertmanager_cluster_failed_peers"),
            Some(0.0)
        );
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
        cluster.wait_until_told(&format!("alert-{alert}"), "firing");
    }
    send_to_all(&members, "alert-0", -1);
    cluster.wait_until_told("alert-0", "resolved");
    // The last one's turn has come and gone.
    thread::sleep(PEER_TIMEOUT * 2 + Duration::from_millis(500));
    for alert in 0..5 {
        assert_eq!(cluster.told(&format!("alert-{alert}"), "firing"), 1);
    }
    assert_eq!(cluster.told("alert-0", "resolved"), 1);
    assert_eq!(cluster.told("quiet", "firing"), 0);
    let sent = metric(
        &members[0],
        "alertmanager_notifications_total{integration=\"webhook\"}",
    );
    assert_eq!(sent, Some(6.0), "the first has told them all");
}

#[test]
fn the_second_tells_when_the_first_is_dead_and_who_comes_back_gets_the_state() {
    let cluster = Cluster::new(2);
    let mut first = cluster.start(0, "data-0");
    let second = cluster.start(1, "data-1");
    wait_for_members(&first, 2);
    wait_for_members(&second, 2);
    send_to_all([&first, &second], "before", 600);
    cluster.wait_until_told("before", "firing");
    // Whoever dies before it could say so has told nobody that it told.
    eventually("the second hears that it was told", PATIENCE, || {
        let name = "alertmanager_cluster_messages_received_total{msg_type=\"update\"}";
        let heard = metric(&second, name).unwrap_or_default();
        (1.0 <= heard)
            .then_some(())
            .ok_or_else(|| "nothing yet".to_owned())
    });

    // The second waits for the first in vain.
    first.process.kill();
    let started = Instant::now();
    send_to_all([&second], "after", 600);
    cluster.wait_until_told("after", "firing");
    assert!(started.elapsed() < Duration::from_secs(10));
    wait_for_members(&second, 1);
    assert_eq!(
        metric(&second, "alertmanager_cluster_failed_peers"),
        Some(1.0)
    );
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
    assert_eq!(cluster.told("before", "firing"), 1);
    assert_eq!(cluster.told("after", "firing"), 1);
    assert_eq!(cluster.told("quiet", "firing"), 0);
}
