//! A disk that runs full under the Alertmanager and under the server: what cannot be stored is refused or counted, all else
//! goes on, and when there is room again so does the rest.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use support::http::{Response, Server};
use support::monitor::{Monitor, free_address, hearth_binary};
use support::small_disk::SmallDisk;
use support::wait::{PATIENCE, eventually, moment, now_ms};
use support::webhook::Webhook;

/// What neither program may need more of, whatever the disk does.
const MEMORY_MIB_MAX: u64 = 250;

#[track_caller]
fn alert(monitor: &Monitor, name: &str) {
    let body = json!([{
        "labels": {"alertname": name}, "startsAt": moment(-60), "endsAt": moment(600)
    }]);
    let reply = monitor.post("/api/v2/alerts", &body);
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// Makes a silence; returns its id, or why it was refused.
fn silence(monitor: &Monitor, value: &str, comment: &str) -> Result<String, String> {
    let body = json!({
        "matchers": [{"name": "alertname", "value": value, "isRegex": false}],
        "startsAt": moment(0), "endsAt": moment(3_600), "createdBy": "test", "comment": comment
    });
    let reply = monitor.post("/api/v2/silences", &body);
    match reply.status {
        200 => {
            let made: Value = serde_json::from_slice(&reply.body).unwrap();
            Ok(made["silenceID"].as_str().unwrap().to_owned())
        }
        status => Err(format!("{status}: {}", reply.text())),
    }
}

/// Returns the ids of the silences that are in force.
fn silences(monitor: &Monitor) -> BTreeSet<String> {
    let page = monitor.page("/api/v2/silences").unwrap();
    let shown: Vec<Value> = serde_json::from_str(&page).unwrap();
    let active = shown.iter().filter(|s| s["status"]["state"] == "active");
    active
        .map(|silence| silence["id"].as_str().unwrap().to_owned())
        .collect()
}

#[track_caller]
fn wait_for_metric(monitor: &Monitor, name: &str, is_met: impl Fn(f64) -> bool) {
    eventually(name, PATIENCE, || {
        let value = monitor.metric(name).unwrap();
        is_met(value).then_some(()).ok_or_else(|| value.to_string())
    });
}

fn start_alertmanager(address: &str, dir: &Path) -> Monitor {
    let flags = [
        "alertmanager",
        "--config.file=am.yml",
        "--storage.path=disk/data",
        "--cluster.listen-address=",
    ];
    Monitor::program("hearth", &hearth_binary(), address, dir, &flags)
}

/// Makes ever smaller silences until there is no room for the smallest; returns the ids of those that were taken, and why the last was not.
#[track_caller]
fn silence_until_refused(monitor: &Monitor) -> (Vec<String>, String) {
    let mut taken = Vec::new();
    let mut bytes = 100_000;
    for _ in 0..2_000 {
        match silence(monitor, "never", &"c".repeat(bytes)) {
            Ok(id) => taken.push(id),
            Err(reason) if bytes == 1 => return (taken, reason),
            Err(_) => bytes = (bytes / 4).max(1),
        }
    }
    panic!("{} silences on a full disk", taken.len());
}

#[test]
fn the_alertmanager_goes_on_and_makes_up_for_what_it_could_not_write() {
    let test = "the_alertmanager_goes_on_and_makes_up_for_what_it_could_not_write";
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount_or_skip(test, &dir.path().join("disk"), 8 << 10) else {
        return;
    };
    let webhook = Webhook::start();
    fs::write(dir.path().join("am.yml"), webhook.config()).unwrap();
    let address = free_address();
    let mut alertmanager = start_alertmanager(&address, dir.path());
    let mut kept = BTreeSet::from([silence(&alertmanager, "quiet", "c").unwrap()]);
    alert(&alertmanager, "before");
    webhook.wait_until_told("before", "firing");

    disk.fill();
    let (taken, reason) = silence_until_refused(&alertmanager);
    kept.extend(taken);
    for part in ["500", "could not be stored", "No space left on device"] {
        assert!(reason.contains(part), "{reason}");
    }
    // What was refused is not there, and what was there cannot be ended.
    assert_eq!(silences(&alertmanager), kept);
    for name in ["quiet", "during"] {
        alert(&alertmanager, name);
    }
    webhook.wait_until_told("during", "firing");
    let behind = "hearth_alertmanager_store_behind";
    wait_for_metric(&alertmanager, behind, |value| value == 1.0);
    assert!(
        0.0 < alertmanager
            .metric("hearth_alertmanager_store_writes_failed_total")
            .unwrap()
    );

    // The log of what was told while there was no room comes later, without a restart.
    disk.make_room();
    wait_for_metric(&alertmanager, behind, |value| value == 0.0);
    kept.insert(silence(&alertmanager, "later", "c").unwrap());
    assert!(alertmanager.process.peak_mib() < MEMORY_MIB_MAX);
    alertmanager.process.kill();
    let mut alertmanager = start_alertmanager(&address, dir.path());
    assert_eq!(silences(&alertmanager), kept);
    for name in ["quiet", "before", "during", "later"] {
        alert(&alertmanager, name);
    }
    thread::sleep(Duration::from_millis(1_500));
    let times =
        ["quiet", "before", "during", "later"].map(|name| webhook.times_told(name, "firing"));
    assert_eq!(times, [0, 1, 1, 0]);

    // Even a start on a full disk loses nothing.
    disk.fill();
    let (taken, _) = silence_until_refused(&alertmanager);
    kept.extend(taken);
    alertmanager.process.kill();
    let mut alertmanager = start_alertmanager(&address, dir.path());
    assert_eq!(silences(&alertmanager), kept);
    alert(&alertmanager, "at last");
    webhook.wait_until_told("at last", "firing");
    disk.make_room();
    eventually("a silence is taken", PATIENCE, || {
        silence(&alertmanager, "last", "c").map(|id| kept.insert(id))
    });
    wait_for_metric(&alertmanager, behind, |value| value == 0.0);
    alertmanager.process.kill();
    let alertmanager = start_alertmanager(&address, dir.path());
    assert_eq!(silences(&alertmanager), kept);
    alert(&alertmanager, "at last");
    thread::sleep(Duration::from_millis(1_500));
    let times =
        ["quiet", "before", "during", "at last"].map(|name| webhook.times_told(name, "firing"));
    assert_eq!(times, [0, 1, 1, 1]);
    drop(alertmanager);
}

const SERVER: &str = "
global: {scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 500ms}
rule_files: [rules.yml]
scrape_configs:
- job_name: fleet
  static_configs: [{targets: ['TARGET']}]
";

const RULES: &str = "
groups:
- name: g
  rules:
  - {alert: 'always', expr: 'vector(1)'}
  - {alert: 'high', expr: 'vector(time()) > scalar(vector(THRESHOLD))'}
";

/// Series of the target: enough to fill the disk soon.
const SERIES: usize = 2_000;

#[test]
fn the_server_goes_on_and_stores_again_when_there_is_room() {
    let test = "the_server_goes_on_and_stores_again_when_there_is_room";
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount_or_skip(test, &dir.path().join("disk"), 32 << 10) else {
        return;
    };
    let webhook = Webhook::start();
    let scrapes = Arc::new(AtomicI64::new(0));
    let counted = Arc::clone(&scrapes);
    let target = Server::start(move |_| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        let mut body = format!("scrape_number {number}\n");
        for series in 0..SERIES {
            let value = number * 7 + i64::try_from(series).unwrap();
            body.push_str(&format!("fleet_total{{number=\"{series}\"}} {value}.25\n"));
        }
        Response::text(body)
    });
    let write = |name: &str, text: String| fs::write(dir.path().join(name), text).unwrap();
    write(
        "hearth.yml",
        SERVER.replace("TARGET", &target.address().to_string()),
    );
    let soon = now_ms() / 1_000 + 12;
    write("rules.yml", RULES.replace("THRESHOLD", &soon.to_string()));
    write("am.yml", webhook.config());
    let address = free_address();
    let flags = [
        "--config.file=hearth.yml",
        "--alertmanager.config.file=am.yml",
        "--storage.tsdb.path=disk/data",
    ];
    let mut hearth = Monitor::hearth_at(&address, dir.path(), &flags);
    let seen = |hearth: &Monitor, query: &str, at: i64| hearth.query(query, at);
    eventually("a few scrapes", PATIENCE, || {
        let count = seen(&hearth, "count_over_time(scrape_number[1m])", now_ms())?;
        let count = count.only_value()?;
        (5.0 <= count)
            .then_some(())
            .ok_or_else(|| count.to_string())
    });
    webhook.wait_until_told("always", "firing");
    let kept = silence(&hearth, "quiet", "c").unwrap();
    let before = now_ms();
    let answer = hearth.ask("fleet_total[1m]", before);

    disk.fill();
    eventually("scrapes fail and say why", PATIENCE, || {
        let (health, error) = hearth.target_state("fleet")?;
        (health == "down" && error.contains("No space left on device"))
            .then_some(())
            .ok_or_else(|| format!("{health}: {error}"))
    });
    let failed = "prometheus_tsdb_wal_writes_failed_total";
    assert!(0.0 < hearth.metric(failed).unwrap());
    // Rules go on, and what they find is told.
    webhook.wait_until_told("high", "firing");
    thread::sleep(Duration::from_secs(3));
    assert!(
        hearth
            .ask("fleet_total[1m]", before)
            .missing_from(&answer)
            .is_empty()
    );
    assert!(
        answer
            .missing_from(&hearth.ask("fleet_total[1m]", before))
            .is_empty()
    );
    let peak = hearth.process.peak_mib();
    assert!(peak < MEMORY_MIB_MAX, "{peak} MiB");

    disk.make_room();
    let full_until = now_ms();
    eventually("scrapes are stored again", PATIENCE, || {
        let (health, error) = hearth.target_state("fleet")?;
        let new = seen(
            &hearth,
            &format!("timestamp(scrape_number) * 1000 > {full_until}"),
            now_ms(),
        )?;
        let new = new.only_value()?;
        (health == "up")
            .then_some(new)
            .ok_or_else(|| format!("{health}: {error}"))
    });
    wait_for_metric(&hearth, "hearth_alertmanager_store_behind", |value| {
        value == 0.0
    });
    let after = now_ms();
    let later = hearth.ask("fleet_total[2m]", after);
    hearth.process.kill();
    let hearth = Monitor::hearth_at(&address, dir.path(), &flags);
    assert!(
        answer
            .missing_from(&hearth.ask("fleet_total[1m]", before))
            .is_empty()
    );
    let missing = later.missing_from(&hearth.ask("fleet_total[2m]", after));
    assert!(missing.is_empty(), "{:?}", &missing[..missing.len().min(5)]);
    assert_eq!(silences(&hearth), BTreeSet::from([kept]));
    thread::sleep(Duration::from_secs(2));
    assert_eq!(
        ["always", "high"].map(|name| webhook.times_told(name, "firing")),
        [1, 1]
    );
}
