//! How fast bodies are read: for the first time, and when every line is the one that is expected.
//!
//! The bodies are a real node exporter's, from `HEARTH_CONFORMANCE_DIR` (default `../../shared/conformance`, seen from this crate), and
//! a synthetic one of plain counters; beside the `prometheus-parse` crate. `cargo bench -p scraper`.

use std::path::PathBuf;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use scraper::exposition::{Event, Expected, Format, Parser};

fn main() {
    divan::main();
}

const BODIES: [&str; 2] = ["node_exporter", "counters"];

fn body(name: &str) -> String {
    if name == "counters" {
        let line = |i: u32| {
            format!(
                "http_requests_total{{code=\"200\",handler=\"/api/v1/{i}\",instance_id=\"a{i}\"}} {}\n",
                i * 37
            )
        };
        return (0..815).map(line).collect();
    }
    let dir = std::env::var_os("HEARTH_CONFORMANCE_DIR")
        .map_or_else(|| PathBuf::from("../../shared/conformance"), PathBuf::from);
    let path = dir.join("exposition").join(NODE_EXPORTER);
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

const NODE_EXPORTER: &str = "node_exporter/live-1.11.1.txt";

/// Reads a body strictly, and decodes the labels of each series as for one that was never seen.
#[divan::bench(args = BODIES)]
fn cold(bencher: Bencher<'_, '_>, name: &str) {
    let body = body(name);
    bencher.counter(BytesCount::of_str(&body)).bench(|| {
        let mut parser =
            Parser::new(black_box(body.as_bytes()), Format::Text).expect("it is UTF-8");
        let mut labels = Vec::new();
        let mut sum = 0.0;
        while let Some(event) = parser.next(Expected::NOTHING).expect("the body is right") {
            if let Event::Series(line) = event {
                labels.clear();
                scraper::exposition::labels::decode(line.series, parser.kind(), &mut labels);
                sum += line.value + labels.len() as f64;
            }
        }
        sum
    });
}

/// Reads a body of which every line is the expected one.
#[divan::bench(args = BODIES)]
fn steady(bencher: Bencher<'_, '_>, name: &str) {
    let body = body(name);
    let mut expected = Vec::new();
    let mut parser = Parser::trusting(body.as_bytes(), Format::Text).expect("it is UTF-8");
    while let Some(event) = parser.next(Expected::NOTHING).expect("the body is right") {
        if let Event::Series(line) = event {
            expected.push(Expected::of(line.series));
        }
    }
    bencher.counter(BytesCount::of_str(&body)).bench(|| {
        let mut parser =
            Parser::trusting(black_box(body.as_bytes()), Format::Text).expect("it is UTF-8");
        let (mut next, mut sum) = (0, 0.0);
        while let Some(event) = parser
            .next(expected.get(next).copied().unwrap_or_default())
            .expect("the body is right")
        {
            if let Event::Series(line) = event {
                assert!(line.is_expected);
                next += 1;
                sum += line.value;
            }
        }
        sum
    });
}

/// The same body by the `prometheus-parse` crate.
#[divan::bench(args = BODIES)]
fn prometheus_parse_crate(bencher: Bencher<'_, '_>, name: &str) {
    let body = body(name);
    bencher.counter(BytesCount::of_str(&body)).bench(|| {
        let lines = black_box(&body).lines().map(|line| Ok(line.to_owned()));
        prometheus_parse::Scrape::parse(lines).expect("the body is right")
    });
}
