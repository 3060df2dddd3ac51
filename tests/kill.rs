//! What a query has returned survives `kill -9`.
//!
//! Hearth scrapes a fleet at 1 s. Twenty times, at a different point of the second each time, it is asked for raw
//! samples, killed while it ingests, and started again; asked the same once more, at the same time, it must return at
//! least the same samples with the same values. At the end, every answer of every life is asked for once more.
//!
//! An optimised binary (`HEARTH_BIN`) gets 50,000 series and 20 kills; the developer's build less of both, so that
//! `cargo test` stays quick.

mod support;

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use support::answer::Answer;
use support::http::{Request, Response, Server};
use support::monitor::{Monitor, free_address, is_release};
use support::wait::{PATIENCE, eventually, now_ms};

/// The targets, each of which is scraped once a second.
const TARGETS: usize = 50;
/// How many targets the raw samples of one answer are taken from.
const ASKED: usize = 3;

/// How much is asked of the binary at hand.
struct Load {
    /// Series of each target.
    series: usize,
    kills: usize,
}

fn load() -> Load {
    if is_release() {
        Load {
            series: 1_000,
            kills: 20,
        }
    } else {
        Load {
            series: 100,
            kills: 5,
        }
    }
}

/// A question at a fixed time, and what was answered before a kill.
struct Asked {
    query: String,
    at: i64,
    answer: Answer,
}

#[test]
fn no_sample_that_was_seen_is_lost_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let load = load();
    let fleet = Server::start(move |request| Response::text(body(request, load.series)));
    let groups: Vec<Value> = (0..TARGETS).map(|shard| group(&fleet, shard)).collect();
    fs::write(dir.path().join("fleet.json"), json!(groups).to_string()).unwrap();
    fs::write(dir.path().join("hearth.yml"), CONFIG).unwrap();

    let address = free_address();
    let start = || Monitor::hearth_at(&address, dir.path(), &["--config.file=hearth.yml"]);
    let mut hearth = start();
    let mut asked: Vec<Asked> = Vec::new();
    for life in 0..load.kills {
        let born = now_ms();
        wait_for_fleet(&hearth, born, load.series);
        // The golden ratio spreads the kills evenly over the second.
        let phase = (life * 618) % 1_000;
        thread::sleep(Duration::from_millis(1_000 + phase as u64));
        let now: Vec<Asked> = questions(life)
            .into_iter()
            .map(|query| ask(&hearth, query))
            .collect();
        hearth.process.kill();

        hearth = start();
        for question in &now {
            check_still_there(&hearth, question, life);
        }
        asked.extend(now);
    }
    for question in &asked {
        check_still_there(&hearth, question, load.kills);
    }
    let samples: usize = asked
        .iter()
        .map(|question| question.answer.sample_count())
        .sum();
    assert!(
        samples > load.kills * load.series,
        "only {samples} samples were ever asked for"
    );
}

const CONFIG: &str = "
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
- job_name: fleet
  file_sd_configs: [{files: [fleet.json]}]
";

/// Returns the target group of one shard: they share an address and differ in their path.
fn group(fleet: &Server, shard: usize) -> Value {
    json!({
        "targets": [fleet.address().to_string()],
        "labels": {"__metrics_path__": format!("/{shard}"), "shard": shard.to_string()},
    })
}

/// Returns one scrape: a counter per series, at a value of its own that moves each millisecond.
fn body(request: &Request, series: usize) -> Vec<u8> {
    let shard: i64 = request.path.trim_start_matches('/').parse().unwrap_or(0);
    let base = now_ms() * 100 + shard;
    let mut body = String::with_capacity(series * 40);
    body.push_str("# TYPE fleet_total counter\n");
    for number in 0..series {
        body.push_str(&format!(
            "fleet_total{{number=\"{number}\"}} {}.5\n",
            base + number as i64
        ));
    }
    body.into_bytes()
}

/// Waits until this life has stored a scrape of every series.
#[track_caller]
fn wait_for_fleet(hearth: &Monitor, born: i64, series: usize) {
    eventually("a scrape of the whole fleet", PATIENCE, || {
        let query = format!("count(timestamp(fleet_total) * 1000 > {born})");
        let fresh = hearth.query(&query, now_ms())?.only_value()?;
        let expected = (TARGETS * series) as f64;
        (fresh >= expected)
            .then_some(())
            .ok_or_else(|| format!("{fresh} of {expected}"))
    });
}

/// Returns what to ask before a kill: raw samples of a part that differs from life to life, and of every target.
fn questions(life: usize) -> Vec<String> {
    let shards: Vec<String> = (0..ASKED)
        .map(|part| ((life * ASKED + part) % TARGETS).to_string())
        .collect();
    vec![
        r#"{__name__=~"up|scrape_samples_scraped",job="fleet"}[1m]"#.to_owned(),
        format!(r#"fleet_total{{shard=~"{}"}}[20s]"#, shards.join("|")),
        r#"fleet_total{number="7"}[5m]"#.to_owned(),
        r#"count({job="fleet"})"#.to_owned(),
    ]
}

#[track_caller]
fn ask(hearth: &Monitor, query: String) -> Asked {
    let at = now_ms();
    let answer = hearth.ask(&query, at);
    assert!(answer.sample_count() > 0, "nothing to lose: {query}");
    Asked { query, at, answer }
}

/// Asks again at the same time; all that was there must still be there.
///
/// A scrape may have been stored between the question and the kill, so there may be more; and a count may be higher.
#[track_caller]
fn check_still_there(hearth: &Monitor, asked: &Asked, life: usize) {
    let again = hearth.ask(&asked.query, asked.at);
    if asked.query.starts_with("count") {
        let before = asked.answer.only_value().expect("one count");
        let after = again.only_value().expect("one count");
        assert!(
            before <= after,
            "kill {life}: {}: {before}, then {after}",
            asked.query
        );
        return;
    }
    let missing = asked.answer.missing_from(&again);
    assert!(
        missing.is_empty(),
        "kill {life}: {} of {} samples lost of {}, the first: {:?}",
        missing.len(),
        asked.answer.sample_count(),
        asked.query,
        &missing[..missing.len().min(5)]
    );
}
