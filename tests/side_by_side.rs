//! Hearth beside the real Prometheus, both scraping the real node_exporter and Hearth's own, at 1 s for 30 s.
//!
//! Two scrapers of a live exporter never see the same numbers, so two things are compared, each for what it can show:
//!
//! * **Live.** Both scrape both exporters as they are. Which series there are, and under which labels, must be the same
//!   exactly; what does not change (a kernel's version, the size of the memory) must have the same values; the rates of
//!   what does change must be plausible in both.
//! * **Taped.** Both scrape a [`Tape`], which passes on what a live exporter says with explicit timestamps, and goes on
//!   to the next second's body only when both servers have had the one before. So both store the same samples at the
//!   same timestamps, and every query at the same fixed time must have the same series, the same timestamps and the same
//!   values, as they are printed. Only where the order of floating-point additions decides over the last digit (`sum`
//!   and `avg` over series, the regression of `deriv`), a relative difference of 1e-9 passes ([`Digits::Rounded`]).
//!
//! Prometheus 2.42, as in Debian 12, will do: its range selectors include a sample exactly at their left edge, which
//! 3.x and Hearth do not, so the times of the queries are chosen such that no edge hits a sample ([`off_the_edges`]); its
//! sums are not compensated, which the tolerance above covers; and it knows no UTF-8 names, which no exporter here has.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use support::answer::{Answer, Samples};
use support::exposition;
use support::http::{self, Request, Response, Server};
use support::monitor::{Monitor, free_address, hearth_binary};
use support::peers;
use support::process::Process;
use support::wait::{PATIENCE, as_seconds, eventually, now_ms};

/// For how long both scrape.
const DURATION_MS: i64 = 30_000;
/// The fewest bodies that a tape must have passed on in that time, one a second being the aim.
const FRAMES_MIN: usize = 20;

#[test]
fn hearth_and_prometheus_tell_the_same_of_the_same_exporters() {
    let found = peers::or_skip(
        "side_by_side",
        [peers::PROMETHEUS, peers::PROMTOOL, peers::NODE_EXPORTER],
    );
    let Some([prometheus, promtool, node_exporter]) = found else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let exporters = Exporters::start(dir.path(), &node_exporter);
    let tapes = [Tape::start(&exporters.real), Tape::start(&exporters.own)];
    for server in SCRAPERS {
        let config = config(&exporters, &tapes, server);
        fs::write(dir.path().join(format!("{server}.yml")), config).unwrap();
    }
    let flags = |server: &str| {
        [
            format!("--config.file={server}.yml"),
            format!("--storage.tsdb.path={server}-data"),
        ]
    };
    let [file, data] = flags("hearth");
    let hearth = Monitor::hearth(dir.path(), &[&file, &data]);
    let [file, data] = flags("prometheus");
    let flags = [file.as_str(), data.as_str()];
    let address = free_address();
    let real = Monitor::program("prometheus", &prometheus, &address, dir.path(), &flags);
    let both = Both { hearth, real };

    let started = now_ms();
    eventually("the time of the test passes", PATIENCE * 2, || {
        let passed = now_ms() - started;
        (passed >= DURATION_MS)
            .then_some(())
            .ok_or_else(|| format!("{passed} ms"))
    });
    let frames: Vec<Vec<i64>> = tapes.iter().map(Tape::stop).collect();

    compare_live(&both);
    compare_taped(&both, &frames);
    promtool_works(&promtool, &both.hearth, dir.path());
}

/// The servers that are compared, by the name under which each asks a tape.
const SCRAPERS: [&str; 2] = ["hearth", "prometheus"];

/// The two servers.
struct Both {
    hearth: Monitor,
    real: Monitor,
}

/// The two exporters, and their addresses.
struct Exporters {
    _processes: [Process; 2],
    real: String,
    own: String,
}

impl Exporters {
    fn start(dir: &Path, node_exporter: &Path) -> Self {
        let (real, own) = (free_address(), free_address());
        let flag = |address: &str| format!("--web.listen-address={address}");
        let words = ["exporter".to_owned(), "node".to_owned(), flag(&own)];
        let mut processes = [
            Process::start("node_exporter", node_exporter, &[flag(&real)], dir),
            Process::start("hearth_node", &hearth_binary(), &words, dir),
        ];
        for (process, address) in processes.iter_mut().zip([&real, &own]) {
            eventually("an exporter serves", PATIENCE, || {
                process.assert_running();
                scrape(address)
            });
        }
        Self {
            _processes: processes,
            real,
            own,
        }
    }
}

/// Returns the configuration of one server; they differ in the name that it shows to the tapes.
fn config(exporters: &Exporters, tapes: &[Tape; 2], server: &str) -> String {
    let mut config =
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n".to_owned();
    let jobs = [
        ("live_real", exporters.real.clone()),
        ("live_own", exporters.own.clone()),
        ("taped_real", tapes[0].server.address().to_string()),
        ("taped_own", tapes[1].server.address().to_string()),
    ];
    for (job, address) in jobs {
        config += &format!("- job_name: {job}\n  static_configs: [{{targets: ['{address}']}}]\n");
        config += WHOLE_QUANTILES;
        if job.starts_with("taped") {
            config += &format!("  params: {{scraper: [{server}]}}\n");
        }
    }
    config
}

/// Prometheus 3.x, and Hearth, store a quantile of `1` as `1.0`, 2.x as it came: here all store it as it came.
const WHOLE_QUANTILES: &str = "  metric_relabel_configs: [{source_labels: [quantile], regex: '(.*)\\.0', target_label: quantile, replacement: '$1'}]\n";

/// Returns one body of an exporter.
fn scrape(address: &str) -> Result<String, String> {
    let reply = http::get(&format!("http://{address}/metrics"))?;
    match reply.status {
        200 => Ok(reply.text()),
        status => Err(format!("{address} answers {status}")),
    }
}

/// Passes an exporter's bodies on to both servers, each body to both, stamped with the time at which it was taken.
struct Tape {
    server: Server,
    reel: Arc<Mutex<Reel>>,
}

/// Where a tape stands.
#[derive(Default)]
struct Reel {
    body: String,
    /// Who has had the present body.
    taken: BTreeSet<String>,
    /// The times of all bodies, ascending, milliseconds since the epoch.
    times: Vec<i64>,
    stopped: bool,
}

impl Tape {
    fn start(exporter: &str) -> Self {
        let reel = Arc::new(Mutex::new(Reel::default()));
        let (exporter, shared) = (exporter.to_owned(), Arc::clone(&reel));
        let server = Server::start(move |request| {
            let mut reel = shared.lock().unwrap_or_else(PoisonError::into_inner);
            reel.play(&exporter, request)
        });
        Self { server, reel }
    }

    /// Stays at the present body; returns the times of the bodies that both servers have asked for.
    fn stop(&self) -> Vec<i64> {
        let mut reel = self.reel.lock().unwrap_or_else(PoisonError::into_inner);
        reel.stopped = true;
        let mut times = reel.times.clone();
        if reel.taken.len() < SCRAPERS.len() {
            times.pop();
        }
        times
    }
}

impl Reel {
    fn play(&mut self, exporter: &str, request: &Request) -> Response {
        let done = self.taken.len() == SCRAPERS.len();
        if !self.stopped && (done || self.times.is_empty()) {
            let at = now_ms();
            match scrape(exporter) {
                Ok(body) => self.body = exposition::stamped(&body, at),
                Err(error) => return Response::Body(502, "text/plain", error.into_bytes().into()),
            }
            self.times.push(at);
            self.taken.clear();
        }
        if let Some(scraper) = request.query.strip_prefix("scraper=") {
            self.taken.insert(scraper.to_owned());
        }
        Response::text(self.body.as_bytes())
    }
}

/// How exactly two values must agree.
#[derive(Clone, Copy, Debug)]
enum Digits {
    /// As they are printed.
    All,
    /// But for rounding, as the order of the additions is free.
    Rounded,
}

fn compare_live(both: &Both) {
    let at = now_ms();
    let names_and_labels = [
        r#"count by (__name__, job, instance) ({job=~"live_.*"})"#,
        r#"group by (__name__, job, collector) ({job=~"live_.*",__name__=~"node_scrape_.*"})"#,
        r#"group ({job=~"live_.*",__name__=~"node_(cpu|disk|network|filesystem|memory).*"}) by (__name__, cpu, mode, device, mountpoint, fstype)"#,
    ];
    for query in names_and_labels {
        let (own, real) = both.ask(query, at);
        assert_eq!(series_only(&own), series_only(&real), "{query}");
    }
    let every_series = r#"{job=~"live_.*"}"#;
    let (own, real) = both.ask(every_series, at);
    check_same_series(every_series, &own, &real);
    assert!(own.series.len() > 500, "only {} series", own.series.len());

    let constant = r#"{job=~"live_.*",__name__=~"node_uname_info|node_boot_time_seconds|node_memory_(MemTotal|SwapTotal)_bytes|node_filesystem_size_bytes|up"}"#;
    let (own, real) = both.ask(constant, at);
    check_answers(constant, Digits::All, &own, &real);

    // Whatever a CPU does, in a second it does it for a second.
    let query = r#"sum by (job, cpu) (rate(node_cpu_seconds_total{job=~"live_.*"}[20s]))"#;
    let (own, real) = both.ask(query, at);
    check_same_series(query, &own, &real);
    for (labels, samples) in own.series.iter().chain(&real.series) {
        for value in samples.values() {
            let seconds: f64 = value.parse().expect("a value is a number");
            assert!(
                (0.7..1.3).contains(&seconds),
                "{labels}: {seconds} CPU seconds a second"
            );
        }
    }
}

fn compare_taped(both: &Both, frames: &[Vec<i64>]) {
    for times in frames {
        assert!(
            times.len() >= FRAMES_MIN,
            "only {} bodies passed on",
            times.len()
        );
    }
    let times: BTreeSet<i64> = frames.iter().flatten().copied().collect();
    // Where the first tape ended: of what came after it, one server may have asked for a body and the other not.
    let last = frames.iter().filter_map(|times| times.last()).min();
    let last = *last.expect("there are frames");
    let at = off_the_edges(&times, last + 1);
    wait_for_last_frame(both, frames);

    let (own, real) = both.ask(r#"{job=~"taped_.*",__name__=~"node_.*"}[25s]"#, at);
    check_answers("raw samples", Digits::All, &own, &real);
    assert!(
        own.sample_count() > 500 * FRAMES_MIN,
        "only {} samples",
        own.sample_count()
    );

    for (digits, query) in INSTANT {
        let (own, real) = both.ask(query, at);
        assert!(!real.series.is_empty(), "nothing to compare: {query}");
        check_answers(query, digits, &own, &real);
    }
    for (digits, query) in RANGE {
        let start = at - STEPS * STEP_MS;
        let own = both.hearth.ask_range(query, start, at, STEP_MS);
        let real = both.real.ask_range(query, start, at, STEP_MS);
        assert!(!real.series.is_empty(), "nothing to compare: {query}");
        check_answers(query, digits, &own, &real);
    }
}

/// The step of the range queries; [`off_the_edges`] goes by it.
const STEP_MS: i64 = 1_000;
/// How many steps the range queries take after their first.
const STEPS: i64 = 10;

/// The queries at one time. Ranges are whole multiples of [`STEP_MS`].
const INSTANT: [(Digits, &str); 16] = [
    (
        Digits::All,
        r#"{job=~"taped_.*",__name__=~"(node|go|process)_.*"}"#,
    ),
    (
        Digits::All,
        r#"rate(node_cpu_seconds_total{job=~"taped_.*"}[20s])"#,
    ),
    (
        Digits::All,
        r#"irate(node_interrupts_total{job=~"taped_.*"}[15s]) or irate(node_intr_total{job=~"taped_.*"}[15s])"#,
    ),
    (
        Digits::All,
        r#"increase(node_context_switches_total{job=~"taped_.*"}[15s])"#,
    ),
    (
        Digits::All,
        r#"count by (__name__, job) ({job=~"taped_.*",__name__=~"node_.*"})"#,
    ),
    (
        Digits::All,
        r#"max by (job, device) (node_filesystem_avail_bytes{job=~"taped_.*"})"#,
    ),
    (
        Digits::All,
        r#"100 * (1 - node_memory_MemAvailable_bytes{job=~"taped_.*"} / node_memory_MemTotal_bytes{job=~"taped_.*"})"#,
    ),
    (
        Digits::All,
        r#"quantile by (job) (0.9, node_cpu_seconds_total{job=~"taped_.*"})"#,
    ),
    (
        Digits::All,
        r#"quantile_over_time(0.5, node_memory_MemFree_bytes{job=~"taped_.*"}[20s])"#,
    ),
    (
        Digits::All,
        r#"changes(node_time_seconds{job=~"taped_.*"}[20s]) + resets(node_time_seconds{job=~"taped_.*"}[20s])"#,
    ),
    (Digits::All, r#"timestamp(node_load1{job=~"taped_.*"})"#),
    (
        Digits::All,
        r#"label_replace(node_uname_info{job=~"taped_.*"}, "major", "$1", "release", "([0-9]+).*")"#,
    ),
    (
        Digits::Rounded,
        r#"sum by (job, mode) (rate(node_cpu_seconds_total{job=~"taped_.*"}[20s]))"#,
    ),
    (
        Digits::Rounded,
        r#"avg by (job) (node_filesystem_size_bytes{job=~"taped_.*"})"#,
    ),
    (
        Digits::Rounded,
        r#"avg_over_time(node_memory_MemFree_bytes{job=~"taped_.*"}[20s])"#,
    ),
    (
        Digits::Rounded,
        r#"deriv(node_time_seconds{job=~"taped_.*"}[20s])"#,
    ),
];

/// The queries over a range of time.
const RANGE: [(Digits, &str); 6] = [
    (
        Digits::All,
        r#"{job=~"taped_.*",__name__=~"node_(load|memory|network).*"}"#,
    ),
    (
        Digits::All,
        r#"rate(node_cpu_seconds_total{job=~"taped_.*"}[10s])"#,
    ),
    (
        Digits::All,
        r#"max without (cpu, mode) (irate(node_cpu_seconds_total{job=~"taped_.*"}[5s]))"#,
    ),
    (
        Digits::All,
        r#"node_load1{job=~"taped_.*"} > bool 0.5 and on (job) node_boot_time_seconds{job=~"taped_.*"}"#,
    ),
    (
        Digits::All,
        r#"max_over_time(node_memory_MemFree_bytes{job=~"taped_.*"}[10s]) - min_over_time(node_memory_MemFree_bytes{job=~"taped_.*"}[10s])"#,
    ),
    (
        Digits::Rounded,
        r#"sum by (job) (rate(node_network_receive_bytes_total{job=~"taped_.*"}[10s]))"#,
    ),
];

/// Returns a time from `at` on that lies no whole number of steps behind any sample, nor does it hit one.
///
/// So no left edge of a window of the queries hits a sample, where Prometheus 2.x and 3.x differ.
fn off_the_edges(times: &BTreeSet<i64>, at: i64) -> i64 {
    let taken: BTreeSet<i64> = times.iter().map(|time| time.rem_euclid(STEP_MS)).collect();
    (at..at + STEP_MS)
        .find(|candidate| !taken.contains(&candidate.rem_euclid(STEP_MS)))
        .expect("fewer bodies than milliseconds in a step")
}

/// Waits until both servers have stored the last body that both have asked for.
#[track_caller]
fn wait_for_last_frame(both: &Both, frames: &[Vec<i64>]) {
    for (job, times) in ["taped_real", "taped_own"].into_iter().zip(frames) {
        let query = format!("node_time_seconds{{job=\"{job}\"}}[30s]");
        let last = times.last().expect("there are frames");
        for monitor in [&both.hearth, &both.real] {
            eventually(&format!("{job}'s last body is stored"), PATIENCE, || {
                let answer = monitor.query(&query, last + 1)?;
                let stored = answer
                    .series
                    .values()
                    .any(|samples| samples.contains_key(last));
                stored
                    .then_some(())
                    .ok_or_else(|| format!("no sample at {last}"))
            });
        }
    }
}

impl Both {
    /// Returns the answers of Hearth and of Prometheus.
    #[track_caller]
    fn ask(&self, query: &str, at: i64) -> (Answer, Answer) {
        let own = self.hearth.ask(query, at);
        let real = self.real.ask(query, at);
        (own, real)
    }
}

fn series_only(answer: &Answer) -> BTreeSet<&String> {
    answer.series.keys().collect()
}

#[track_caller]
fn check_same_series(query: &str, own: &Answer, real: &Answer) {
    let (own, real) = (series_only(own), series_only(real));
    let surplus: Vec<_> = own.difference(&real).collect();
    let missing: Vec<_> = real.difference(&own).collect();
    assert!(
        surplus.is_empty() && missing.is_empty(),
        "{query}\nonly Hearth has {surplus:#?}\nonly Prometheus has {missing:#?}"
    );
}

/// Checks that two answers have the same series, with the same values at the same times.
#[track_caller]
fn check_answers(query: &str, digits: Digits, own: &Answer, real: &Answer) {
    check_same_series(query, own, real);
    let mut differences = Vec::new();
    for (labels, samples) in &own.series {
        let difference = difference(digits, samples, &real.series[labels]);
        differences.extend(difference.map(|difference| format!("{labels}: {difference}")));
    }
    assert!(
        differences.is_empty(),
        "{query}\n{} of {} series differ ({digits:?}); Hearth's value first:\n{}",
        differences.len(),
        own.series.len(),
        differences[..differences.len().min(10)].join("\n")
    );
}

/// Returns the first difference of two series' samples.
fn difference(digits: Digits, own: &Samples, real: &Samples) -> Option<String> {
    let at = |samples: &Samples| -> Vec<i64> { samples.keys().copied().collect() };
    if at(own) != at(real) {
        return Some(format!(
            "the times differ: {:?} and {:?}",
            at(own),
            at(real)
        ));
    }
    own.iter()
        .zip(real.values())
        .find(|((_, own), real)| !same_value(digits, own, real))
        .map(|((at, own), real)| format!("at {at}: {own} and {real}"))
}

fn same_value(digits: Digits, own: &str, real: &str) -> bool {
    match (digits, own.parse::<f64>(), real.parse::<f64>()) {
        (Digits::Rounded, Ok(own), Ok(real)) if own.is_finite() => {
            (own - real).abs() <= 1e-9 * own.abs().max(real.abs())
        }
        _ => own == real,
    }
}

/// Checks that Prometheus' own tool reads from Hearth, and finds nothing wrong with what Hearth runs on.
fn promtool_works(promtool: &Path, hearth: &Monitor, dir: &Path) {
    let url = format!("http://{}", hearth.address);
    let now = now_ms();
    let (start, end) = (
        format!("--start={}", as_seconds(now - 10_000)),
        format!("--end={}", as_seconds(now)),
    );
    let check = |args: &[&str], expected: &str| {
        let run = Command::new(promtool).args(args).current_dir(dir).output();
        let run = run.expect("promtool starts");
        let output = format!(
            "{}{}",
            String::from_utf8_lossy(&run.stdout),
            String::from_utf8_lossy(&run.stderr)
        );
        assert!(run.status.success(), "promtool {args:?}: {output}");
        assert!(
            output.contains(expected),
            "promtool {args:?}: no {expected} in {output}"
        );
    };
    check(&["check", "config", "hearth.yml"], "SUCCESS");
    check(
        &["query", "instant", &url, r#"up{job="live_own"}"#],
        "=> 1 @",
    );
    check(
        &[
            "query",
            "range",
            &start,
            &end,
            "--step=1s",
            &url,
            r#"count(up)"#,
        ],
        "4 @",
    );
    check(
        &["query", "series", r#"--match=up{job="taped_own"}"#, &url],
        r#"job="taped_own""#,
    );
    check(&["query", "labels", &url, "job"], "taped_real");
}
