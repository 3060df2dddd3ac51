//! Prints one scrape of this machine, or with a number as argument how long that many scrapes take each.
#![expect(clippy::print_stdout, reason = "an example's output")]

use std::time::Instant;

use exporters::node::{NodeExporter, NodeOptions};

fn main() {
    let exporter =
        NodeExporter::new(NodeOptions::linux_defaults()).expect("the defaults are valid");
    let mut body = Vec::new();
    let Some(scrapes) = std::env::args()
        .nth(1)
        .and_then(|scrapes| scrapes.parse::<u32>().ok())
    else {
        metrics::encode::text(&exporter.gather(), &mut body);
        print!("{}", String::from_utf8_lossy(&body));
        return;
    };
    let (start, cpu_start) = (Instant::now(), cpu_seconds());
    for _ in 0..scrapes {
        body.clear();
        metrics::encode::text(&exporter.gather(), &mut body);
    }
    let per_scrape = |seconds: f64| seconds * 1e3 / f64::from(scrapes);
    let (wall, cpu) = (
        per_scrape(start.elapsed().as_secs_f64()),
        per_scrape(cpu_seconds() - cpu_start),
    );
    println!(
        "{} bytes, {wall:.3} ms, of which CPU {cpu:.3} ms",
        body.len()
    );
}

/// User and system time of this process, all threads.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_command = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = behind_command
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}
