//! `rules backtest`: when the alerts of a rule file would have fired. promtool has no such command.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alertmanager::rule::backtest::{self, BacktestOptions};
use alertmanager::rule::engine::EngineQuery;
use alertmanager::rule::file::RuleFile;
use alertmanager::rule::group::GroupSettings;
use alertmanager::rule::query::RuleQuery;
use anyhow::{Context as _, bail, ensure};
use metrics::Registry;
use model::storage::Queryable;
use promql::{Engine, EngineOptions};
use serde::Deserialize;
use serde_json::json;
use tsdb::files::Disk;
use tsdb::files::overlay::Overlay;
use tsdb::{Db, DbOptions, ReplayProgress};

use crate::backtest::{AlertJson, BacktestJson, RuleJson};
use crate::cli::tool::ToolCall;
use crate::files::read_bounded;
use crate::tool::{Outcome, UsageError, complain, http, table};

/// More than a server gives a backtest.
const TIMEOUT: Duration = Duration::from_secs(900);
/// An answer may be this long, in bytes: some hundred for each interval.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// How long a rule file may be, in bytes; a server takes no more.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// Samples that a query may hold at once.
const SAMPLES_MAX: usize = 50_000_000;
/// How long a query may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(120);

#[derive(Deserialize)]
struct Answer {
    data: Option<BacktestJson>,
    error: Option<String>,
}

pub(in crate::tool) fn run(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let flags = &call.flags;
    for name in ["start", "end"] {
        if flags.text(name).is_empty() {
            return Err(UsageError(format!(
                "--{name} is missing; it is a time such as 2026-01-31T00:00:00Z or 1769817600"
            ))
            .into());
        }
    }
    let path = Path::new(&call.args[0]);
    let report = match (flags.text("url"), flags.text("data")) {
        (url, "") if !url.is_empty() => ask(url, &read(path)?, call)?,
        ("", data) if !data.is_empty() => run_here(Path::new(data), &read(path)?, call)?,
        _ => {
            let what = "either --url of a server or --data of a directory is needed, and not both";
            return Err(UsageError(what.to_owned()).into());
        }
    };
    if flags.text("output") == "json" {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        print(&report, out)?;
    }
    Ok(Outcome::Done)
}

fn read(path: &Path) -> anyhow::Result<String> {
    let text = read_bounded(path, FILE_BYTES_MAX).map_err(anyhow::Error::msg);
    text.with_context(|| format!("read {}", path.display()))
}

/// Has a server do it.
fn ask(server: &str, text: &str, call: &ToolCall) -> anyhow::Result<BacktestJson> {
    let url = format!("{}/api/v1/rules/backtest", server.trim_end_matches('/'));
    let flags = &call.flags;
    let mut body = json!({
        "rules": text,
        "start": flags.text("start"),
        "end": flags.text("end"),
        "group": flags.list("group"),
    });
    if !flags.duration("interval").is_zero() {
        body["interval"] = flags.text("interval").into();
    }
    let (client, runtime) = http::client("", TIMEOUT)?;
    let answer = runtime.block_on(async {
        let request = client.post(&url).await?.json(&body);
        let answer = net::outbound::body(request.send().await?, ANSWER_BYTES_MAX).await?;
        anyhow::Ok(answer)
    });
    let answer = answer.with_context(|| format!("POST {url}"))?;
    let answer: Answer = serde_json::from_slice(&answer)
        .with_context(|| format!("read the answer of {url}; is it a Hearth server?"))?;
    if let Some(error) = answer.error {
        bail!("{url}: {error}");
    }
    answer.data.context("the answer has no data")
}

/// Does it over a data directory, which is only read.
fn run_here(dir: &Path, text: &str, call: &ToolCall) -> anyhow::Result<BacktestJson> {
    let flags = &call.flags;
    let features = call.promql_features();
    let time = |name: &str| {
        let text = flags.text(name);
        crate::api::parse_time(text).map_err(|what| UsageError(format!("--{name}: {what}")))
    };
    let (start_ms, end_ms) = (time("start")?, time("end")?);
    let mut settings = GroupSettings::default();
    if !flags.duration("interval").is_zero() {
        settings.interval = flags.duration("interval");
    }
    let mut groups = RuleFile::parse_with(&call.args[0], text, &features.syntax)?.groups;
    let names = flags.list("group");
    for name in names {
        ensure!(
            groups.iter().any(|group| group.name == *name),
            "no group {name:?} is in {}",
            call.args[0]
        );
    }
    groups.retain(|group| names.is_empty() || names.contains(&group.name));
    let registry = Registry::new();
    let db = open(dir, &registry)?;
    let options = EngineOptions {
        lookback_ms: 300_000,
        max_samples: SAMPLES_MAX,
        bytes_max: 0,
        bytes_total_max: 0,
        timeout: QUERY_TIMEOUT,
        default_subquery_step_ms: settings.interval.as_ms(),
    };
    let engine = Arc::new(Engine::new(options, &registry).with_features(features));
    let query_of = |storage: Arc<dyn Queryable>| -> Box<dyn RuleQuery> {
        Box::new(EngineQuery::new(Arc::clone(&engine), storage))
    };
    let range = BacktestOptions {
        start_ms,
        end_ms,
        settings,
        intervals_max: backtest::INTERVALS_MAX,
    };
    let report = backtest::run(groups, &range, Arc::new(db), &query_of, &|| true)?;
    Ok(report.into())
}

/// Opens a data directory so that whatever is written stays in memory; says what of it is damaged.
fn open(dir: &Path, registry: &Registry) -> anyhow::Result<Db> {
    ensure!(dir.is_dir(), "{} is no data directory", dir.display());
    let (db, report) = Db::open_in(
        Arc::new(Overlay::new(Arc::new(Disk))),
        dir,
        &DbOptions::default(),
        registry,
        &ReplayProgress::default(),
    )?;
    for damage in report.replay.damages.iter().chain(&report.block_damages) {
        complain(&format!("damaged, what can be read is used: {damage}"));
    }
    for (path, error) in &report.failed_blocks {
        complain(&format!("block {} left out: {error}", path.display()));
    }
    Ok(db)
}

/// Prints the report for people: each group, each rule, and below it a table of its alerts' states.
fn print(report: &BacktestJson, out: &mut dyn Write) -> std::io::Result<()> {
    for (index, group) in report.groups.iter().enumerate() {
        if 0 < index {
            writeln!(out)?;
        }
        writeln!(
            out,
            "group {}: {} evaluations, {}s apart",
            group.name, group.evaluations, group.interval
        )?;
        for rule in &group.rules {
            print_rule(rule, out)?;
        }
    }
    Ok(())
}

fn print_rule(rule: &RuleJson, out: &mut dyn Write) -> std::io::Result<()> {
    write!(out, "\n{} {}: ", rule.kind, rule.name)?;
    match &rule.alerting {
        None => writeln!(out, "{} samples", rule.samples)?,
        Some(alerting) => writeln!(
            out,
            "{} alerts, {} notifications of firing and {} of resolved ones",
            alerting.alerts.len(),
            alerting.notifications.firing,
            alerting.notifications.resolved
        )?,
    }
    if let (Some(error), Some(time)) = (&rule.last_error, &rule.last_failure) {
        let failures = rule.failures;
        writeln!(
            out,
            "{failures} evaluations failed, the last at {time}: {error}"
        )?;
    }
    let alerts = rule.alerting.iter().flat_map(|alerting| &alerting.alerts);
    let mut rows: Vec<Vec<String>> = alerts.flat_map(rows_of).collect();
    if !rows.is_empty() {
        let header = ["STATE", "FROM", "TO", "VALUE", "MIN", "MAX", "LABELS"];
        rows.insert(0, header.map(str::to_owned).to_vec());
        table::print(out, &rows)?;
    }
    Ok(())
}

fn rows_of(alert: &AlertJson) -> impl Iterator<Item = Vec<String>> {
    let others = alert.labels.iter().filter(|(name, _)| *name != "alertname");
    let labels: Vec<String> = others
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    let labels = format!("{{{}}}", labels.join(", "));
    alert.intervals.iter().map(move |interval| {
        vec![
            interval.state.clone(),
            interval.from.clone(),
            interval.to.clone().unwrap_or_else(|| "-".to_owned()),
            interval.value.clone(),
            interval.min.clone(),
            interval.max.clone(),
            labels.clone(),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_for_people() {
        let alert = json!({
            "labels": {"alertname": "A", "job": "x"}, "annotations": {}, "notifications": {"firing": 1, "resolved": 0},
            "intervals": [
                {"state": "pending", "from": "F", "to": "T", "value": "1", "min": "1", "max": "2.5"},
                {"state": "firing", "from": "T", "value": "3", "min": "3", "max": "3"},
            ],
        });
        let rules = json!([
            {"type": "recording", "name": "r", "query": "up", "labels": {}, "failures": 1, "lastError": "bad", "lastFailure": "F", "samples": 7},
            {"type": "alerting", "name": "A", "query": "r", "labels": {}, "failures": 0, "samples": 9, "duration": 60, "keepFiringFor": 0,
             "notifications": {"firing": 1, "resolved": 0}, "alerts": [alert]},
        ]);
        let report = json!({"groups": [{"name": "g", "interval": 30, "queryOffset": 0, "evaluations": 3, "rules": rules}]});
        let mut out = Vec::new();
        print(&serde_json::from_value(report).unwrap(), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "group g: 3 evaluations, 30s apart

recording r: 7 samples
1 evaluations failed, the last at F: bad

alerting A: 1 alerts, 1 notifications of firing and 0 of resolved ones
STATE        FROM         TO           VALUE        MIN          MAX          LABELS
pending      F            T            1            1            2.5          {job=\"x\"}
firing       T            -            3            3            3            {job=\"x\"}
"
        );
    }
}
