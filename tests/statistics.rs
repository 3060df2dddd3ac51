//! What queries took, Hearth's statistics beside the real Prometheus' over the same blocks.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::http;
use support::monitor::{Monitor, free_address, hearth_binary};
use support::peers;

/// The first second that has samples.
const START: i64 = 1_000_000_000;

const QUERIES: [&str; 26] = [
    "a",
    "a[5m]",
    "1",
    "time()",
    "vector(1)",
    "rate(a[5m])",
    "sum(rate(a[5m]))",
    "a + a",
    "a and a",
    "a > 3",
    "-a",
    "timestamp(a)",
    "scalar(a)",
    "topk(1, a)",
    "absent(b)",
    "absent_over_time(a[1m])",
    "a offset 5m",
    "a @ 1000000900",
    "sum(a @ 1000000900) + a",
    "vector(scalar(a @ 1000000900))",
    "rate(a[5m] @ 1000000900)",
    "predict_linear(a[5m] @ 1000000900, 1)",
    "max_over_time(a[10m:1m])",
    "max_over_time(a[10m:1m] @ 1000000900)",
    "max_over_time(rate(a[5m])[10m:1m]) + a",
    "max_over_time(max_over_time(a[5m:1m])[10m:1m])",
];

/// Puts an hour of three series into blocks at `dir/data`; one of the series ends early.
fn write_blocks(dir: &Path, data: &str) {
    let mut text = "# TYPE a gauge\n".to_owned();
    for (series, end) in [("x", 3600), ("y", 3600), ("z", 1000)] {
        for t in (START..START + end).step_by(15) {
            writeln!(text, "a{{j=\"{series}\"}} {t} {t}").unwrap();
        }
    }
    text += "# EOF\n";
    std::fs::write(dir.join("samples"), text).unwrap();
    let words = [
        "tool",
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        "-q",
        "samples",
        data,
    ];
    let status = Command::new(hearth_binary())
        .args(words)
        .current_dir(dir)
        .status();
    assert!(status.unwrap().success());
}

/// Returns what the answer says of samples; the peak, which depends on the engine, is left out.
fn samples(server: &Monitor, path: &str) -> Value {
    let mut data = server.data(path).unwrap_or_else(|error| panic!("{error}"));
    let mut samples = data["stats"]["samples"].take();
    let peak = samples.as_object_mut().unwrap().remove("peakSamples");
    assert!(peak.unwrap().is_u64());
    let timings = &data["stats"]["timings"];
    for slice in [
        "evalTotalTime",
        "resultSortTime",
        "queryPreparationTime",
        "innerEvalTime",
        "execQueueTime",
        "execTotalTime",
    ] {
        assert!(timings[slice].is_number(), "{slice} in {timings}");
    }
    samples
}

#[test]
fn samples_are_counted_as_prometheus_counts_them() {
    let Some([prometheus]) = peers::or_skip("statistics", [peers::PROMETHEUS]) else {
        return;
    };
    if !peers::is_3_or_skip("statistics", &prometheus) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("none.yml"), "global: {}\n").unwrap();
    let flags = |path| {
        [
            "--config.file=none.yml",
            "--storage.tsdb.retention.time=100y",
            "--enable-feature=promql-per-step-stats",
            path,
        ]
    };
    write_blocks(dir.path(), "ours");
    write_blocks(dir.path(), "real");
    let hearth = Monitor::hearth(dir.path(), &flags("--storage.tsdb.path=ours"));
    let real = Monitor::program(
        "prometheus",
        &prometheus,
        &free_address(),
        dir.path(),
        &flags("--storage.tsdb.path=real"),
    );
    let instant = format!("query?time={}", START + 1000);
    let range = format!(
        "query_range?start={}&end={}&step=300",
        START + 300,
        START + 1500
    );
    let (mut asked, mut differences) = (0, Vec::new());
    for query in QUERIES {
        for page in [&instant, &range] {
            // A range query cannot have a range vector.
            if query.ends_with(']') && *page == range {
                continue;
            }
            let query = http::escape(query);
            let path = format!("/api/v1/{page}&stats=all&query={query}");
            let (ours, theirs) = (samples(&hearth, &path), samples(&real, &path));
            asked += 1;
            if ours != theirs {
                differences.push(format!("{path}\n{theirs}\n{ours}"));
            }
        }
    }
    let agree = asked - differences.len();
    // Past the test runner's capture.
    let _ = writeln!(
        std::io::stderr(),
        "statistics: {agree} of {asked} queries agree"
    );
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}
