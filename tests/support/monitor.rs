//! A Prometheus-shaped server under test, Hearth or the real one, and its HTTP API.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::answer::Answer;
use super::http;
use super::process::Process;
use super::wait::{PATIENCE, as_seconds, eventually, now_ms};

/// Returns the binary under test: `HEARTH_BIN`, or the one that cargo built for this test.
pub(crate) fn hearth_binary() -> PathBuf {
    let path = std::env::var_os("HEARTH_BIN").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_hearth")),
        PathBuf::from,
    );
    // Relative to the repository, while the program is started elsewhere.
    path.canonicalize()
        .unwrap_or_else(|error| panic!("HEARTH_BIN={}: {error}", path.display()))
}

/// Whether the binary under test is an optimised one, which `HEARTH_BIN` names.
pub(crate) fn is_release() -> bool {
    std::env::var_os("HEARTH_BIN").is_some()
}

/// Returns a loopback address that nothing listens on at this moment.
pub(crate) fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener
        .local_addr()
        .expect("a bound listener has an address");
    address.to_string()
}

/// A running server that answers `/-/ready` and `/api/v1`.
pub(crate) struct Monitor {
    pub(crate) process: Process,
    /// `127.0.0.1:port`.
    pub(crate) address: String,
}

impl Monitor {
    /// Starts `hearth server` in `dir` on a free port, and waits until it is ready.
    #[track_caller]
    pub(crate) fn hearth(dir: &Path, flags: &[&str]) -> Self {
        Self::hearth_at(&free_address(), dir, flags)
    }

    /// Starts `hearth server` in `dir`, and waits until it is ready.
    #[track_caller]
    pub(crate) fn hearth_at(address: &str, dir: &Path, flags: &[&str]) -> Self {
        let flags: Vec<&str> = ["server"].iter().chain(flags).copied().collect();
        Self::program("hearth", &hearth_binary(), address, dir, &flags)
    }

    /// Starts any program that takes Prometheus' flags, and waits until it is ready.
    #[track_caller]
    pub(crate) fn program(
        name: &str,
        program: &Path,
        address: &str,
        dir: &Path,
        flags: &[&str],
    ) -> Self {
        let mut args: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        args.push(format!("--web.listen-address={address}"));
        let mut monitor = Self {
            process: Process::start(name, program, &args, dir),
            address: address.to_owned(),
        };
        let url = monitor.url("/-/ready");
        eventually(&format!("{name} is ready"), PATIENCE, || {
            let reply = http::get(&url);
            monitor.process.assert_running();
            match reply?.status {
                200 => Ok(()),
                status => Err(format!("/-/ready answers {status}")),
            }
        });
        monitor
    }

    /// Returns the URL of a path on this server.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns a page; fails unless the answer is a 200.
    pub(crate) fn page(&self, path: &str) -> Result<String, String> {
        let reply = http::get(&self.url(path))?;
        match reply.status {
            200 => Ok(reply.text()),
            status => Err(format!("{path} answers {status}: {}", reply.text())),
        }
    }

    /// Posts JSON.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> http::Reply {
        let mut connection = http::Connection::open(&self.address).expect("it listens");
        let headers = "Content-Type: application/json\r\n";
        connection
            .post(path, headers, body.to_string().as_bytes())
            .expect("it reads");
        connection.receive().expect("it answers")
    }

    /// Returns the value of a series of its own metrics, all of its labels given.
    pub(crate) fn metric(&self, series: &str) -> Result<f64, String> {
        let page = self.page("/metrics")?;
        let mut lines = page.lines();
        let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let value = value.ok_or_else(|| format!("{series} is not in\n{page}"))?;
        value
            .parse()
            .map_err(|error| format!("{series} {value}: {error}"))
    }

    /// Returns the `data` of an API answer.
    pub(crate) fn data(&self, path: &str) -> Result<Value, String> {
        let reply = http::get(&self.url(path))?;
        let text = reply.text();
        let mut answer: Value =
            serde_json::from_str(&text).map_err(|error| format!("{path}: {error} in {text}"))?;
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"].take()),
            _ => Err(format!("{path}: {} {text}", reply.status)),
        }
    }

    /// Evaluates a query at `at`, milliseconds since the epoch.
    pub(crate) fn query(&self, query: &str, at: i64) -> Result<Answer, String> {
        let path = format!(
            "/api/v1/query?query={}&time={}",
            http::escape(query),
            as_seconds(at)
        );
        Answer::parse(&self.data(&path)?).map_err(|error| format!("{query}: {error}"))
    }

    /// Evaluates a query at `at`, milliseconds since the epoch; the test fails if that fails.
    #[track_caller]
    pub(crate) fn ask(&self, query: &str, at: i64) -> Answer {
        self.query(query, at)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Evaluates a query at `start`, `start + step`, … up to and including `end`, all in milliseconds; the test fails if
    /// that fails.
    #[track_caller]
    pub(crate) fn ask_range(&self, query: &str, start: i64, end: i64, step: i64) -> Answer {
        let path = format!(
            "/api/v1/query_range?query={}&start={}&end={}&step={}",
            http::escape(query),
            as_seconds(start),
            as_seconds(end),
            as_seconds(step)
        );
        let answer = self.data(&path).and_then(|data| Answer::parse(&data));
        answer.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// Waits until a query at the present time returns this one value.
    #[track_caller]
    pub(crate) fn wait_for_value(&self, query: &str, expected: f64) {
        eventually(query, PATIENCE, || {
            let value = self.query(query, now_ms())?.only_value()?;
            let met = (value - expected).abs() < 1e-9;
            met.then_some(())
                .ok_or_else(|| format!("{value} instead of {expected}"))
        });
    }

    /// Returns the health and the last error of a job's only target.
    pub(crate) fn target_state(&self, job: &str) -> Result<(String, String), String> {
        let targets = self.active_targets()?;
        let target = targets
            .iter()
            .find(|target| target["labels"]["job"] == job)
            .ok_or_else(|| format!("no target of {job}"))?;
        let text = |key: &str| target[key].as_str().unwrap_or_default().to_owned();
        Ok((text("health"), text("lastError")))
    }

    /// Returns the active targets as `/api/v1/targets` has them.
    pub(crate) fn active_targets(&self) -> Result<Vec<Value>, String> {
        let data = self.data("/api/v1/targets")?;
        data["activeTargets"]
            .as_array()
            .cloned()
            .ok_or_else(|| format!("no activeTargets in {data}"))
    }
}
