//! The binary by itself: it starts, serves, refuses, reloads, and keeps what it stored.
//!
//! Needs nothing but the binary. What a user sees is in focus: pages, exit codes, and one clear line for each mistake.

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use support::exposition;
use support::http::{self, Response, Server};
use support::monitor::{Monitor, free_address, hearth_binary};
use support::process::{Ended, Process};
use support::wait::{PATIENCE, eventually, now_ms};

/// The exit code of a command line or a configuration that cannot be obeyed.
const EXIT_USAGE: i32 = 2;

/// Returns what a scrape job of one target looks like in a configuration.
fn job(name: &str, target: &str, more: &str) -> String {
    format!("- job_name: {name}\n{more}  static_configs:\n  - targets: ['{target}']\n")
}

/// Returns a configuration that scrapes every second.
fn every_second(jobs: &str) -> String {
    format!("global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n{jobs}")
}

/// Runs `hearth` with these arguments in `dir` up to its end.
#[track_caller]
fn run(dir: &Path, args: &[&str]) -> Ended {
    let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
    Process::start("refused", &hearth_binary(), &args, dir).wait(PATIENCE)
}

/// Checks that a run failed, and that the last line it wrote says all of `parts`.
#[track_caller]
fn check_last_line(ended: &Ended, code: Option<i32>, parts: &[&str]) {
    let output = &ended.output;
    assert!(!ended.status.success(), "it succeeded: {output}");
    if code.is_some() {
        assert_eq!(ended.status.code(), code, "{output}");
    }
    for noise in ["panicked at", "stack backtrace", "RUST_BACKTRACE"] {
        assert!(!output.contains(noise), "a panic: {output}");
    }
    let last = output.lines().last().unwrap_or_default();
    for part in parts {
        assert!(
            last.contains(part),
            "`{part}` is not in the last line of:\n{output}"
        );
    }
}

#[test]
fn without_configuration_it_watches_itself_and_its_machine() {
    let dir = tempfile::tempdir().unwrap();
    let hearth = Monitor::hearth(dir.path(), &[]);

    let up = eventually("both built-in targets are up", PATIENCE, || {
        let up = hearth.query("up", now_ms())?;
        let all_up = up
            .series
            .values()
            .all(|samples| samples.values().all(|value| value == "1"));
        if up.series.len() == 2 && all_up {
            Ok(up)
        } else {
            Err(format!("{up:?}"))
        }
    });
    assert_eq!(up.sample_count(), 2);
    let stored = hearth.ask("count(node_uname_info)", now_ms());
    assert_eq!(
        stored.only_value(),
        Ok(1.0),
        "the node's own series are stored"
    );

    let own = exposition::families(&hearth.page("/metrics").unwrap());
    for family in ["process_cpu_seconds_total", "prometheus_tsdb_head_series"] {
        assert!(own.contains_key(family), "{family} is not in /metrics");
    }
    assert!(dir.path().join("data/wal").is_dir(), "it stores in ./data");
}

#[test]
fn the_page_comes_with_what_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let hearth = Monitor::hearth(dir.path(), &[]);

    let mut reply = http::get(&hearth.url("/")).unwrap();
    if let 300..=399 = reply.status {
        let location = reply.header("location").expect("a redirect says where to");
        reply = http::get(&hearth.url(&format!("/{}", location.trim_start_matches('/')))).unwrap();
    }
    assert_eq!(reply.status, 200);
    let content_type = reply.header("content-type").unwrap_or_default();
    assert!(content_type.starts_with("text/html"), "{content_type}");
    let page = reply.text();
    assert!(page.contains("<title>"), "{page}");

    let assets: Vec<&str> = page
        .split('"')
        .filter(|quoted| quoted.contains("assets/"))
        .collect();
    assert!(!assets.is_empty(), "the page has no assets: {page}");
    for asset in assets {
        let path = format!("/{}", asset.trim_start_matches('/'));
        let asset = http::get(&hearth.url(&path)).unwrap();
        assert_eq!(asset.status, 200, "{path}");
        assert!(!asset.body.is_empty(), "{path} is empty");
    }
}

#[test]
fn a_link_named_prometheus_is_a_server() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("prometheus.yml"), "scrape_configs: []\n").unwrap();
    let link = dir.path().join("prometheus");
    std::os::unix::fs::symlink(hearth_binary(), &link).unwrap();
    let flags = [
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=elsewhere",
        "--query.lookback-delta=1m",
        "--log.level=debug",
    ];
    let hearth = Monitor::program("linked", &link, &free_address(), dir.path(), &flags);
    assert!(dir.path().join("elsewhere/wal").is_dir());
    let flags = hearth.data("/api/v1/status/flags").unwrap();
    assert_eq!(flags["query.lookback-delta"], "1m");
}

#[test]
fn a_link_named_node_exporter_is_the_node_exporter() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("node_exporter");
    std::os::unix::fs::symlink(hearth_binary(), &link).unwrap();
    let address = free_address();
    let args = [format!("--web.listen-address={address}")];
    let _exporter = Process::start("linked", &link, &args, dir.path());
    let body = eventually("a scrape", PATIENCE, || {
        http::get(&format!("http://{address}/metrics"))
    });
    let families = exposition::families(&body.text());
    assert!(families.contains_key("node_uname_info"), "{families:?}");
}

/// Checks that a configuration is refused with the place and the words of its mistake.
#[track_caller]
fn check_refused(config: &str, line: usize, parts: &[&str]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("bad.yml"), config).expect("a file in it");
    let address = format!("--web.listen-address={}", free_address());
    let ended = run(dir.path(), &["server", "--config.file=bad.yml", &address]);
    assert_eq!(ended.status.code(), Some(EXIT_USAGE), "{}", ended.output);
    let place = format!("line {line},");
    for part in parts.iter().copied().chain(["bad.yml", &place]) {
        assert!(
            ended.output.contains(part),
            "`{part}` is not in:\n{}",
            ended.output
        );
    }
    assert!(!ended.output.contains("panicked at"), "{}", ended.output);
}

#[test]
fn a_bad_duration_is_refused_with_its_place() {
    check_refused(
        "global:\n  scrape_interval: 15 parsecs\n",
        2,
        &["scrape_interval", "15 parsecs"],
    );
}

#[test]
fn an_unknown_key_is_refused_with_its_place() {
    check_refused(
        "global:\n  scrape_interval: 15s\n  scrape_intervall: 15s\n",
        3,
        &["scrape_intervall"],
    );
}

#[test]
fn a_bad_value_deep_down_is_refused_with_its_place() {
    check_refused(
        "scrape_configs:\n- job_name: a\n  relabel_configs:\n  - action: juggle\n",
        4,
        &["action", "juggle"],
    );
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let ended = run(dir.path(), &["server", "--config.file=nowhere.yml"]);
    check_last_line(&ended, Some(EXIT_USAGE), &["nowhere.yml"]);
}

#[test]
fn an_unknown_flag_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ended = run(dir.path(), &["server", "--storage.tsdb.paht=data"]);
    assert_eq!(ended.status.code(), Some(EXIT_USAGE), "{}", ended.output);
    assert!(
        ended.output.contains("--storage.tsdb.paht"),
        "{}",
        ended.output
    );
    assert!(!dir.path().join("data").exists(), "it has begun to store");
}

#[test]
fn a_data_directory_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Monitor::hearth(dir.path(), &[]);
    let address = format!("--web.listen-address={}", free_address());
    let ended = run(dir.path(), &["server", &address]);
    check_last_line(&ended, None, &["data", "lock"]);
}

#[test]
fn a_port_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let taken = Server::start(|_| Response::text(""));
    let address = taken.address().to_string();
    let ended = run(
        dir.path(),
        &["server", &format!("--web.listen-address={address}")],
    );
    check_last_line(&ended, None, &[&address]);
}

#[test]
fn a_data_directory_that_cannot_be_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    // A directory below a file: even root cannot make it.
    fs::write(dir.path().join("file"), "").unwrap();
    let address = format!("--web.listen-address={}", free_address());
    let ended = run(
        dir.path(),
        &["server", "--storage.tsdb.path=file/data", &address],
    );
    check_last_line(&ended, None, &["file/data"]);
}

#[test]
fn a_reload_obeys_the_new_configuration_and_refuses_a_bad_one() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("hearth.yml");
    let target = Server::start(|_| Response::text("answer 42\n"));
    let target = target_address(&target);
    fs::write(&config, every_second(&job("one", &target, ""))).unwrap();
    let flags = ["--config.file=hearth.yml", "--web.enable-lifecycle"];
    let hearth = Monitor::hearth(dir.path(), &flags);
    hearth.wait_for_value(r#"count(answer{job="one"})"#, 1.0);

    fs::write(&config, every_second(&job("two", &target, ""))).unwrap();
    let reply = http::post(&hearth.url("/-/reload")).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    hearth.wait_for_value(r#"count(answer{job="two"})"#, 1.0);
    assert_eq!(
        hearth.target_state("one"),
        Err("no target of one".to_owned())
    );

    fs::write(&config, every_second(&job("three", &target, ""))).unwrap();
    hearth.process.signal(Signal::HUP);
    hearth.wait_for_value(r#"count(answer{job="three"})"#, 1.0);

    let before = hearth.data("/api/v1/status/config").unwrap();
    fs::write(&config, "global:\n  scrape_interval: soon\n").unwrap();
    let reply = http::post(&hearth.url("/-/reload")).unwrap();
    assert_eq!(reply.status, 500, "{}", reply.text());
    for part in ["hearth.yml", "scrape_interval", "soon"] {
        assert!(
            reply.text().contains(part),
            "`{part}` is not in {}",
            reply.text()
        );
    }
    hearth.process.signal(Signal::HUP);
    eventually("the log tells of the refused SIGHUP", PATIENCE, || {
        let told = hearth.process.log().matches("soon").count();
        (told >= 2)
            .then_some(())
            .ok_or_else(|| format!("told {told} times"))
    });
    assert_eq!(hearth.data("/api/v1/status/config").unwrap(), before);
    let page = hearth.page("/metrics").unwrap();
    assert!(
        page.contains("\nprometheus_config_last_reload_successful 0\n"),
        "{page}"
    );
    let since = now_ms();
    eventually("the targets are still scraped", PATIENCE, || {
        let query = r#"timestamp(answer{job="three"}) * 1000"#;
        let newest = hearth.query(query, now_ms())?.only_value()?;
        let since = Duration::from_millis(since.unsigned_abs()).as_secs_f64() * 1e3;
        (newest > since)
            .then_some(())
            .ok_or_else(|| format!("newest at {newest}"))
    });
}

fn target_address(target: &Server) -> String {
    target.address().to_string()
}

#[test]
fn urls_typed_by_hand_are_understood() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("quiet.yml"), "global: {}\n").expect("the configuration is written");
    let hearth = Monitor::hearth(dir.path(), &["--config.file=quiet.yml"]);
    let query = "/api/v1/query?query=absent(up{job=\"nope\"}<2)&time=5";
    let reply = http::get(&hearth.url(query)).expect("an answer");
    let expected = r#"[{"metric":{},"value":[5,"1"]}]"#;
    assert!(
        reply.status == 200 && reply.text().contains(expected),
        "{} {}",
        reply.status,
        reply.text()
    );
}

#[test]
fn reload_and_quit_by_http_need_their_flag() {
    let dir = tempfile::tempdir().unwrap();
    let mut hearth = Monitor::hearth(dir.path(), &[]);
    for path in ["/-/reload", "/-/quit"] {
        let reply = http::post(&hearth.url(path)).unwrap();
        assert_eq!(reply.status, 403, "{path}: {}", reply.text());
    }
    hearth.process.assert_running();
}

#[test]
fn what_was_stored_is_there_after_a_stop_and_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let target = Server::start(|_| Response::text("answer 42\nbig 1e+300\nnone NaN\n"));
    let config = every_second(&job("one", &target_address(&target), ""));
    fs::write(dir.path().join("hearth.yml"), config).unwrap();
    let flags = ["--config.file=hearth.yml", "--storage.tsdb.path=kept"];
    let query = r#"{job="one"}[1h]"#;

    let mut hearth = Monitor::hearth(dir.path(), &flags);
    hearth.wait_for_value("count_over_time(answer[1h]) > bool 2", 1.0);
    let (first_at, first) = ask_now(&hearth, query);
    hearth.process.signal(Signal::TERM);
    let ended = hearth.process.wait(PATIENCE);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.output);

    let mut hearth = Monitor::hearth(dir.path(), &flags);
    let again = hearth.ask(query, first_at);
    assert_eq!(first.missing_from(&again), [""; 0], "lost by SIGTERM");
    hearth.wait_for_value("count_over_time(answer[1h]) > bool 6", 1.0);
    let (second_at, second) = ask_now(&hearth, query);
    hearth.process.kill();

    let hearth = Monitor::hearth(dir.path(), &flags);
    let again = hearth.ask(query, second_at);
    assert_eq!(second.missing_from(&again), [""; 0], "lost by SIGKILL");
}

#[test]
fn start_timestamps_are_stored_and_used() {
    let dir = tempfile::tempdir().unwrap();
    let started_ms = now_ms() - 60_000;
    let target = Server::start(move |_| {
        let seconds = Duration::from_millis(started_ms.unsigned_abs()).as_secs_f64();
        let body = format!("# TYPE c counter\nc_total 7\nc_created {seconds}\n# EOF\n");
        let kind = "application/openmetrics-text; version=1.0.0";
        Response::Body(200, kind, body.into_bytes().into())
    });
    let config = every_second(&job("one", &target_address(&target), ""));
    fs::write(dir.path().join("xor.yml"), &config).unwrap();
    let xor2 = format!("{config}storage: {{tsdb: {{chunk_encoding: {{floats: xor2}}}}}}\n");
    fs::write(dir.path().join("xor2.yml"), xor2).unwrap();
    let features = "--enable-feature=st-storage,use-start-timestamps,promql-experimental-functions";

    let ended = run(dir.path(), &["--config.file=xor.yml", features]);
    check_last_line(&ended, None, &["st-storage", "xor2"]);

    let flags = ["--config.file=xor2.yml", features];
    for round in ["first", "after a kill"] {
        let mut hearth = Monitor::hearth(dir.path(), &flags);
        let since = format!("start_timestamp(c_total) * 1000 == {started_ms}");
        hearth.wait_for_value(&format!("count({since})"), 1.0);
        // It did not change, so that only its start says that it counted to 7 in the last hours.
        hearth.wait_for_value("round(increase(c_total[2h]))", 7.0);
        let no_series = hearth.ask("c_created", now_ms());
        assert_eq!(no_series.sample_count(), 0, "{round}");
        hearth.process.kill();
    }
}

fn ask_now(hearth: &Monitor, query: &str) -> (i64, support::answer::Answer) {
    let at = now_ms();
    let answer = hearth.ask(query, at);
    assert!(answer.sample_count() > 0);
    (at, answer)
}
