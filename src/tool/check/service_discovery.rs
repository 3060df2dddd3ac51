//! `check service-discovery`: what the discoveries of a job find now, and what relabelling leaves of it.
//!
//! Source: promtool, whose JSON this prints. It waits for its whole timeout; this ends when everything has been found.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use model::Labels;
use scraper::discovery::once::{FoundTarget, once};
use serde::Serialize;

use crate::cli::tool::ToolCall;
use crate::config::{Config, Mode};
use crate::tool::{Outcome, complain, ensure_exist};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FoundJson<'a> {
    discovered_labels: BTreeMap<&'a str, &'a str>,
    labels: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// Finds the targets of one job and prints them.
pub(in crate::tool) fn run(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let (path, name) = (&call.args[0], &call.args[1]);
    ensure_exist(&call.args[..1])?;
    let dir = Path::new(path).parent().unwrap_or(Path::new(""));
    let text = std::fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    let mut config = Config::parse(&text, path, Mode::Server)?;
    let files = config.read_scrape_config_files(dir, path);
    config
        .scrape_configs
        .extend(files.context("load scrape_config_files")?);
    let jobs = &config.scrape_configs;
    let Some(job) = jobs.iter().find(|job| job.job_name == *name) else {
        let mut text = format!("Job {name} not found. Select one of:");
        for job in jobs {
            text += &format!("\n\t{}", job.job_name);
        }
        complain(&text);
        return Ok(Outcome::FoundProblems);
    };
    // An error means that another provider was installed before, which nobody here does.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the async runtime")?;
    let timeout = call.flags.duration("timeout").to_std();
    let found = runtime
        .block_on(once(job, dir, timeout))
        .map_err(|error| anyhow::anyhow!("job {name}: {error}"))?;
    // Lookups of names run on threads that would be waited for.
    runtime.shutdown_background();
    let found: Vec<FoundJson<'_>> = found.iter().map(json).collect();
    out.write_all(&serde_json::to_vec_pretty(&found)?)?;
    writeln!(out)?;
    Ok(Outcome::Done)
}

fn json(target: &FoundTarget) -> FoundJson<'_> {
    FoundJson {
        discovered_labels: pairs(&target.discovered_labels),
        labels: pairs(&target.labels),
        error: target.error.as_deref(),
    }
}

fn pairs(labels: &Labels) -> BTreeMap<&str, &str> {
    labels.iter().collect()
}
