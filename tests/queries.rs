//! Queries of a running server: those that do not end as they should, as the client goes away or the process dies, and
//! one that is explained.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use support::http;
use support::monitor::{Monitor, free_address, hearth_binary};
use support::wait::{PATIENCE, eventually};

/// Sorts a day of seconds at each of 10,000 steps, which takes minutes.
const SLOW: &str = "quantile_over_time(0.5, vector(time())[1d:1s])";

/// Starts a Hearth that scrapes nothing, at `address`.
fn start(address: &str, dir: &Path) -> Monitor {
    std::fs::write(dir.join("none.yml"), "global: {}\n").unwrap();
    let flags = ["--config.file=none.yml", "--storage.tsdb.path=data"];
    Monitor::hearth_at(address, dir, &flags)
}

/// Asks for [`SLOW`] on a connection of its own, and leaves the answer unread.
fn ask_slowly(server: &Monitor) -> TcpStream {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let query = http::escape(SLOW);
    let path = format!("/api/v1/query_range?query={query}&start=0&end=100000&step=10");
    let head = format!("GET {path} HTTP/1.1\r\nHost: hearth\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

#[track_caller]
fn wait_for_queries(server: &Monitor, count: usize) {
    let line = format!("prometheus_engine_queries {count}");
    eventually(&line, PATIENCE, || {
        let page = server.page("/metrics")?;
        match page.lines().any(|found| found == line) {
            true => Ok(()),
            false => Err("not yet".to_owned()),
        }
    });
}

fn active(dir: &Path) -> String {
    let bytes = std::fs::read(dir.join("data/queries.active")).unwrap();
    String::from_utf8(bytes).unwrap().replace('\0', "")
}

#[test]
fn a_server_explains_to_the_tool() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&free_address(), dir.path());
    let url = server.url("/");
    let words = [
        &[
            "tool",
            "promql",
            "explain",
            "--start=0",
            "--end=60",
            "--step=15s",
        ],
        &[url.as_str(), "sum(vector(time()))"][..],
    ];
    let output = Command::new(hearth_binary()).args(words.concat()).output();
    let output = output.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("matrix of 1 series in ") && text.contains("\nsum\n│ 5 steps, 1 series;"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_query_ends_when_its_client_goes_away() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&free_address(), dir.path());
    let stream = ask_slowly(&server);
    wait_for_queries(&server, 1);
    // It is no query that would have ended anyway.
    std::thread::sleep(Duration::from_millis(300));
    wait_for_queries(&server, 1);
    let gone = Instant::now();
    stream.shutdown(Shutdown::Both).unwrap();
    drop(stream);
    wait_for_queries(&server, 0);
    assert!(
        gone.elapsed() < Duration::from_secs(10),
        "{:?}",
        gone.elapsed()
    );
    assert_eq!(active(dir.path()), "[");
}

#[test]
fn the_start_after_a_crash_tells_which_queries_ran() {
    let dir = tempfile::tempdir().unwrap();
    let address = free_address();
    let mut server = start(&address, dir.path());
    let stream = ask_slowly(&server);
    wait_for_queries(&server, 1);
    server.process.kill();
    drop(stream);
    let written = active(dir.path());
    assert!(
        written.starts_with("[{\"query\":\"quantile_over_time(") && written.ends_with("},"),
        "{written}"
    );
    let server = start(&address, dir.path());
    let log = server.process.log();
    let told = log.lines().filter(|line| line.contains("did not finish"));
    let told: Vec<&str> = told.collect();
    assert!(
        told.len() == 1 && told[0].contains("quantile_over_time(0.5"),
        "{log}"
    );
    assert_eq!(active(dir.path()), "[");
}
