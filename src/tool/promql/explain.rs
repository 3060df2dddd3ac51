//! `promql explain`: runs a query on a server and shows the plan. promtool has no such command.

use net::escape::component;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use http::{HeaderMap, Uri};
use net::client::{Client, Request};
use net::http_config::HttpConfig;
use serde::Deserialize;

use crate::cli::tool::ToolCall;
use crate::tool::{Outcome, UsageError};

/// More than a server gives a query.
const TIMEOUT: Duration = Duration::from_secs(300);

/// A plan is smaller than its query many times over, and a query is not long.
const ANSWER_BYTES_MAX: usize = 64 << 20;

#[derive(Deserialize)]
struct Answer {
    data: Option<Explained>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    result_type: String,
    series: u64,
    peak_bytes: u64,
    stats: Stats,
    plan: Option<Node>,
}

#[derive(Deserialize)]
struct Stats {
    timings: Timings,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Timings {
    exec_total_time: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    operator: String,
    steps: u64,
    series: u64,
    samples_decoded: u64,
    rows: u64,
    samples: u64,
    bytes: u64,
    time: f64,
    self_time: f64,
    children: Vec<Node>,
}

/// Prints the plan as a tree with a line per operator.
pub(in crate::tool) fn run(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let url = url(call)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the async runtime")?;
    // An error means that another provider was installed before, which nobody here does.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let body = runtime.block_on(get(&url))?;
    let answer: Answer = serde_json::from_slice(&body)
        .with_context(|| format!("read the answer of {url}; is it a Hearth server?"))?;
    if let Some(error) = answer.error {
        anyhow::bail!("query: {error}");
    }
    let explained = answer.data.context("the answer has no data")?;
    writeln!(
        out,
        "{} of {} series in {}, at most {} held",
        explained.result_type,
        explained.series,
        time(explained.stats.timings.exec_total_time),
        bytes(explained.peak_bytes),
    )?;
    if let Some(plan) = &explained.plan {
        show(plan, "", "", out)?;
    }
    Ok(Outcome::Done)
}

async fn get(url: &Uri) -> anyhow::Result<Vec<u8>> {
    let client = Client::new(&HttpConfig::default(), Path::new("."))?;
    let request = Request {
        url,
        headers: &HeaderMap::new(),
        deadline: tokio::time::Instant::now() + TIMEOUT,
        body_bytes_max: ANSWER_BYTES_MAX,
    };
    let mut body = Vec::new();
    let response = client.get(request, &mut body).await?;
    Ok(body.split_off(response.body_at))
}

fn url(call: &ToolCall) -> Result<Uri, UsageError> {
    let server = call.args[0].trim_end_matches('/');
    let mut url = format!("{server}/api/v1/explain?query={}", component(&call.args[1]));
    for name in ["time", "start", "end", "step"] {
        let value = call.flags.text(name);
        if !value.is_empty() {
            url += &format!("&{name}={}", component(value));
        }
    }
    let uri: Result<Uri, _> = url.parse();
    let is_absolute = |uri: &Uri| uri.authority().is_some() && uri.scheme().is_some();
    uri.ok()
        .filter(is_absolute)
        .ok_or_else(|| UsageError(format!("{server} is not a URL like http://localhost:9090")))
}

/// Prints `node` behind `first`, what belongs to it behind `rest`.
fn show(node: &Node, first: &str, rest: &str, out: &mut dyn Write) -> std::io::Result<()> {
    let decoded = match node.samples_decoded {
        0 => String::new(),
        decoded => format!(", {decoded} samples decoded"),
    };
    writeln!(out, "{first}{}", node.operator)?;
    let stem = if node.children.is_empty() { " " } else { "│" };
    writeln!(
        out,
        "{rest}{stem} {} steps, {} series{decoded}; out: {} rows, {} samples; {} ({} itself), {}",
        node.steps,
        node.series,
        node.rows,
        node.samples,
        time(node.time),
        time(node.self_time),
        bytes(node.bytes),
    )?;
    for (index, child) in (1..).zip(&node.children) {
        let (branch, below) = match index == node.children.len() {
            true => ("└─ ", "   "),
            false => ("├─ ", "│  "),
        };
        show(
            child,
            &format!("{rest}{branch}"),
            &format!("{rest}{below}"),
            out,
        )?;
    }
    Ok(())
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.0}µs", s * 1e6),
        s if s < 1.0 => format!("{:.1}ms", s * 1e3),
        s => format!("{s:.2}s"),
    }
}

fn bytes(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let count = count as f64;
    match count {
        b if b < 1024.0 => format!("{b} B"),
        b if b < 1_048_576.0 => format!("{:.1} KiB", b / 1024.0),
        b => format!("{:.1} MiB", b / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_for_people() {
        let leaf = |operator: &str| Node {
            operator: operator.to_owned(),
            steps: 3,
            series: 2,
            samples_decoded: 18,
            rows: 2,
            samples: 6,
            bytes: 2048,
            time: 0.0005,
            self_time: 0.0005,
            children: Vec::new(),
        };
        let root = Node {
            samples_decoded: 0,
            time: 1.5,
            self_time: 0.0015,
            children: vec![leaf("up"), leaf("down")],
            ..leaf("/ on (job)")
        };
        let mut out = Vec::new();
        show(&root, "", "", &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
/ on (job)
│ 3 steps, 2 series; out: 2 rows, 6 samples; 1.50s (1.5ms itself), 2.0 KiB
├─ up
│    3 steps, 2 series, 18 samples decoded; out: 2 rows, 6 samples; 500µs (500µs itself), 2.0 KiB
└─ down
     3 steps, 2 series, 18 samples decoded; out: 2 rows, 6 samples; 500µs (500µs itself), 2.0 KiB
"
        );
    }
}
