//! `hearth alertmanager` as a program: what it was told survives `kill -9`, and amtool works against it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use support::monitor::{Monitor, free_address, hearth_binary, is_release};
use support::peers;
use support::wait::{PATIENCE, eventually, moment};
use support::webhook::Webhook;

fn start(address: &str, dir: &Path) -> Monitor {
    let flags = [
        "alertmanager",
        "--config.file=am.yml",
        "--storage.path=data",
        "--cluster.listen-address=",
    ];
    Monitor::program("hearth", &hearth_binary(), address, dir, &flags)
}

#[track_caller]
fn post(alertmanager: &Monitor, path: &str, body: &Value) -> Value {
    let reply = alertmanager.post(path, body);
    assert_eq!(reply.status, 200, "{path} {body}: {}", reply.text());
    serde_json::from_slice(&reply.body).unwrap_or(Value::Null)
}

fn get(alertmanager: &Monitor, path: &str) -> Value {
    serde_json::from_str(&alertmanager.page(path).unwrap()).unwrap()
}

fn silence(value: &str) -> Value {
    json!({
        "matchers": [{"name": "alertname", "value": value, "isRegex": false}],
        "startsAt": moment(0), "endsAt": moment(3_600), "createdBy": "test", "comment": "c"
    })
}

fn alert(name: &str) -> Value {
    // It ends soon unless it is heard of again, as Prometheus' alerts do.
    json!([{"labels": {"alertname": name}, "startsAt": moment(-60), "endsAt": moment(60)}])
}

#[test]
fn after_kill_9_no_silence_is_lost_and_nothing_is_told_twice() {
    let dir = tempfile::tempdir().unwrap();
    let webhook = Webhook::start();
    fs::write(dir.path().join("am.yml"), webhook.config()).unwrap();
    let address = free_address();
    let mut alertmanager = start(&address, dir.path());
    let lives = if is_release() { 20 } else { 6 };
    let mut silences = Vec::new();
    for life in 0..lives {
        post(
            &alertmanager,
            "/api/v2/alerts",
            &alert(&format!("told-{life}")),
        );
        let name = format!("told-{life}");
        eventually("the webhook hears of it", PATIENCE, || {
            let count = webhook.times_told(&name, "firing");
            (count == 1)
                .then_some(())
                .ok_or_else(|| format!("{count} times"))
        });
        // The log is on disk a moment after the answer of the webhook.
        thread::sleep(Duration::from_millis(150));
        let made = post(
            &alertmanager,
            "/api/v2/silences",
            &silence(&format!("quiet-{life}")),
        );
        silences.push(made["silenceID"].clone());
        // No wait: the answer means that it is on disk.
        alertmanager.process.kill();
        alertmanager = start(&address, dir.path());
        let shown = get(&alertmanager, "/api/v2/silences");
        let shown: Vec<&Value> = shown.as_array().unwrap().iter().map(|s| &s["id"]).collect();
        for id in &silences {
            assert!(shown.contains(&id), "{id} is gone from {shown:?}");
        }
        post(
            &alertmanager,
            "/api/v2/alerts",
            &alert(&format!("quiet-{life}")),
        );
        post(&alertmanager, "/api/v2/alerts", &alert(&name));
    }
    // Three times the interval of a group.
    thread::sleep(Duration::from_millis(1_500));
    for life in 0..lives {
        assert_eq!(
            webhook.times_told(&format!("told-{life}"), "firing"),
            1,
            "alert {life}"
        );
        assert_eq!(
            webhook.times_told(&format!("quiet-{life}"), "firing"),
            0,
            "silenced alert {life}"
        );
    }
    let posts = webhook.posts();
    assert_eq!(posts.len(), lives, "{posts:?}");
}

#[test]
fn alerts_and_their_groups_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let webhook = Webhook::start();
    let config = webhook
        .config()
        .replace("group_wait: 100ms", "group_wait: 4s");
    fs::write(dir.path().join("am.yml"), config).unwrap();
    let address = free_address();
    let mut alertmanager = start(&address, dir.path());
    let body = json!([{"labels": {"alertname": "A"}, "startsAt": moment(0), "endsAt": moment(60)}]);
    post(&alertmanager, "/api/v2/alerts", &body);
    alertmanager.process.signal(rustix::process::Signal::TERM);
    let ended = alertmanager.process.wait(PATIENCE);
    assert!(ended.status.success(), "{}", ended.output);
    let alertmanager = start(&address, dir.path());
    let groups = get(&alertmanager, "/api/v2/alerts/groups");
    assert_eq!(
        groups[0]["alerts"][0]["labels"]["alertname"], "A",
        "{groups}"
    );
    assert_eq!(
        webhook.times_told("A", "firing"),
        0,
        "the group still waits"
    );
    eventually("the group's wait is over", PATIENCE, || {
        let count = webhook.times_told("A", "firing");
        (count == 1)
            .then_some(())
            .ok_or_else(|| format!("{count} times"))
    });
}

#[test]
fn amtool_adds_lists_and_ends_silences() {
    let test = "amtool_adds_lists_and_ends_silences";
    let Some([amtool]) = peers::or_skip(test, [peers::AMTOOL]) else {
        return;
    };
    let alertmanager = session(&amtool, &[]);
    let url = format!("--alertmanager.url=http://{}", alertmanager.address);
    let routes = run(&amtool, &["config", "routes", &url]);
    assert!(
        routes.contains("default-route  receiver: people"),
        "{routes}"
    );
}

#[test]
fn our_own_tool_does_so_too() {
    session(&hearth_binary(), &["tool", "am"]);
}

fn run(program: &Path, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{words:?}: {text}");
    text
}

/// Lets a tool work on an Alertmanager of ours; `words` come before its commands.
fn session(tool: &Path, words: &[&str]) -> Monitor {
    let dir = tempfile::tempdir().unwrap();
    let webhook = Webhook::start();
    fs::write(dir.path().join("am.yml"), webhook.config()).unwrap();
    let alertmanager = start(&free_address(), dir.path());
    let url = format!("--alertmanager.url=http://{}", alertmanager.address);
    let run = |more: &[&str]| {
        let words: Vec<&str> = [words, more, &[url.as_str()]].concat();
        run(tool, &words)
    };
    let add = [
        "silence", "add", "-a", "me", "-c", "why", "-d", "2h", "A", "job=~a|b",
    ];
    let id = run(&add).trim().to_owned();
    let shown = run(&["silence", "query", "alertname=A"]);
    let expected = format!("{id}  alertname=\"A\" job=~\"a|b\"");
    assert!(shown.contains(&expected), "{shown}");
    let shown = run(&["silence", "query", "-o", "extended"]);
    assert!(
        shown.contains("{alertname=\"A\",job=~\"a|b\"}  "),
        "{shown}"
    );
    run(&["alert", "add", "A", "job=b", "--annotation=summary=s"]);
    run(&["alert", "add", "A", "job=c"]);
    let active = run(&["alert", "query", "-o", "json"]);
    let silenced = run(&["alert", "query", "-o", "json", "--silenced"]);
    let has = |text: &str, job: &str| text.contains(&format!("\"job\":\"{job}\""));
    assert!(has(&active, "c") && !has(&active, "b"), "{active}");
    assert!(has(&silenced, "b") && silenced.contains(&id), "{silenced}");
    let shown = run(&["alert", "query", "--silenced", "A"]);
    assert!(shown.starts_with("Alertname  Starts At "), "{shown}");
    assert!(shown.contains(" s        suppressed  \n"), "{shown}");
    let update = [
        "silence", "update", "-d", "4h", "-c", "longer", "-o", "json", &id,
    ];
    let kept = run(&update);
    assert!(kept.contains(&format!("\"id\":\"{id}\"")), "{kept}");
    let changed = run(&["silence", "query", "-o", "json"]);
    assert!(changed.contains("\"comment\":\"longer\""), "{changed}");
    let file = dir.path().join("silences.json");
    fs::write(&file, &changed).unwrap();
    let file = file.display().to_string();
    let same = run(&["silence", "import", &file]);
    assert_eq!(same.trim(), id);
    let copy = run(&["silence", "import", "--force", &file]);
    assert_ne!(copy.trim(), id);
    let both = run(&["silence", "-q"]);
    assert!(both.contains(&id) && both.contains(copy.trim()), "{both}");
    run(&["silence", "expire", copy.trim()]);
    run(&["silence", "expire", &id]);
    let expired = run(&["silence", "query", "--expired", "-q"]);
    assert!(expired.contains(&id), "{expired}");
    assert!(!run(&["silence", "query", "-q"]).contains(&id));
    assert!(run(&["config", "show"]).contains("receiver: people"));
    assert!(run(&["cluster", "show"]).contains("disabled"));
    alertmanager
}
