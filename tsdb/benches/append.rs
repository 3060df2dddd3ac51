//! Appending as scrapes do: batches of one target's series, the whole fleet once a second.

use std::time::Instant;

use model::storage::{Appendable, FloatSample};
use tsdb::{Db, DbOptions, ReplayProgress};

const TARGETS: usize = 120;
const SERIES: usize = 815;
const ROUNDS: i64 = 150;

/// Resident memory of this process that no file stands behind.
fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let anonymous = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .unwrap_or_default();
    anonymous
        .trim()
        .trim_end_matches(" kB")
        .parse::<f64>()
        .unwrap_or_default()
        * 1024.0
}

#[expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark's output, and it may panic"
)]
fn main() {
    let dir = tempfile::tempdir().unwrap();
    let options = DbOptions {
        lock: false,
        ..DbOptions::default()
    };
    let open = || {
        Db::open(
            dir.path(),
            &options,
            &metrics::Registry::new(),
            &ReplayProgress::default(),
        )
        .unwrap()
        .0
    };
    let db = open();
    let start = Instant::now();
    let targets: Vec<Vec<_>> = (0..TARGETS)
        .map(|target| {
            let mut appender = db.appender();
            let instance = format!("node-{target}:9100");
            let names = (0..SERIES).map(|series| {
                (
                    format!("metric_{}", series / 8),
                    format!("device-{}", series % 8),
                )
            });
            let series = names.map(|(name, device)| {
                let labels = [
                    ("__name__", name.as_str()),
                    ("device", &device),
                    ("instance", &instance),
                    ("job", "fleet"),
                ];
                appender.series(&labels).unwrap()
            });
            series.collect()
        })
        .collect();
    let per = |start: Instant, count: f64| start.elapsed().as_secs_f64() / count * 1e9;
    println!(
        "series: {:.0} ns each",
        per(start, (TARGETS * SERIES) as f64)
    );
    let start = Instant::now();
    for round in 0..ROUNDS {
        for series in &targets {
            let sample = |(i, &series): (usize, _)| {
                let value = if i % 5 < 2 {
                    1.0
                } else {
                    (round * (i as i64 % 97 + 1)) as f64
                };
                FloatSample {
                    series,
                    t: 1_700_000_000_000 + round * 1_000,
                    value,
                }
            };
            let batch: Vec<_> = series.iter().enumerate().map(sample).collect();
            let mut appender = db.appender();
            appender.append_floats(&batch, &mut Vec::new());
            appender.commit().unwrap();
        }
    }
    let samples = (TARGETS * SERIES) as f64 * ROUNDS as f64;
    println!("samples: {:.0} ns each", per(start, samples));
    println!(
        "resident: {:.0} bytes a series",
        resident_bytes() / (TARGETS * SERIES) as f64
    );
    drop(db);
    let start = Instant::now();
    let db = open();
    println!(
        "replay: {:.1} million samples a second",
        1e3 / per(start, samples)
    );
    assert_eq!(db.stats().series, TARGETS * SERIES);
}
