//! `tsdb create-blocks-from rules`: what recording rules would have recorded becomes blocks.
//!
//! A server is asked for each rule's expression over the time of one block after the other. The steps are those at which a
//! Prometheus with the same rule files evaluates the group. A rule does not see what another one of the files records, as with
//! promtool; unlike that, all rules of one time are in one block.

use std::io::Write;
use std::path::PathBuf;

use alertmanager::rule::file::{GroupConfig, RuleConfig, RuleFile};
use alertmanager::rule::recording::RecordingConfig;
use anyhow::{Context as _, bail};
use model::labels::METRIC_NAME;
use model::{Duration, Labels};
use net::outbound::{HttpClient, body};
use serde::Deserialize;
use tsdb::backfill::BlockBuilder;
use tsdb::block::chunks::SEGMENT_BYTES;
use tsdb::block::write::WriteBlockOptions;
use tsdb::files::Disk;
use tsdb::ulid::Ulid;
use xxhash_rust::xxh64::xxh64;

use crate::api::parse_time;
use crate::cli::tool::ToolCall;
use crate::tool::{Outcome, UsageError, complain, ensure_exist, http};

/// The span of a block.
const BLOCK_MS: i64 = 2 * 3_600_000;
/// The end, before now, where none is given: what a head would have is not made blocks of.
const END_AGE_MS: i64 = 3 * 3_600_000;
/// How long a query may take.
const TIMEOUT: Duration = Duration::from_secs(300);
/// An answer may be this long, in bytes: about 25 for a sample.
const ANSWER_BYTES_MAX: usize = 1 << 30;

#[derive(Deserialize)]
struct Answer {
    data: Option<AnswerData>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct AnswerData {
    result: Vec<AnsweredSeries>,
}

#[derive(Deserialize)]
struct AnsweredSeries {
    metric: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
    #[serde(default)]
    histograms: Vec<serde::de::IgnoredAny>,
}

/// Where to ask, and for what time.
struct Backfill {
    client: HttpClient,
    runtime: tokio::runtime::Runtime,
    url: String,
    start_ms: i64,
    end_ms: i64,
    interval_ms: i64,
}

pub(in crate::tool) fn run(call: &ToolCall, _: &mut dyn Write) -> anyhow::Result<Outcome> {
    ensure_exist(&call.args)?;
    let backfill = Backfill::of(call)?;
    let syntax = call.promql_features().syntax;
    let mut groups = Vec::new();
    for path in &call.args {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {path}"))?;
        groups.extend(RuleFile::parse_with(path, &text, &syntax)?.groups);
    }
    let dir = PathBuf::from(call.flags.text("output-dir"));
    std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let (mut blocks, mut left_out) = (0, 0);
    let mut from_ms = backfill.start_ms.div_euclid(BLOCK_MS) * BLOCK_MS;
    while from_ms <= backfill.end_ms {
        let mut builder = BlockBuilder::default();
        for group in &groups {
            let Some(steps) = backfill.steps(group, from_ms) else {
                continue;
            };
            for rule in &group.rules {
                if let RuleConfig::Recording(rule) = rule {
                    let place = || format!("group {:?}, rule {:?}", group.name, rule.record);
                    left_out += backfill
                        .record(rule, steps, &mut builder)
                        .with_context(place)?;
                }
            }
        }
        let options = WriteBlockOptions {
            segment_bytes: SEGMENT_BYTES,
        };
        let written = builder.write(&Disk, &dir, Ulid::now(), options)?;
        blocks += usize::from(written.is_some());
        from_ms += BLOCK_MS;
    }
    complain(&format!("{blocks} blocks written to {}", dir.display()));
    if 0 < left_out {
        complain(&format!(
            "{left_out} samples left out: native histograms, or made by two rules"
        ));
    }
    Ok(Outcome::Done)
}

/// The steps of a query, milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Steps {
    start_ms: i64,
    end_ms: i64,
    step_ms: i64,
}

impl Backfill {
    fn of(call: &ToolCall) -> anyhow::Result<Self> {
        let flags = &call.flags;
        let time = |name: &str| {
            let text = flags.text(name);
            parse_time(text).map_err(|what| UsageError(format!("--{name}: {what}")))
        };
        let start_ms = time("start")?;
        let end_ms = match flags.text("end") {
            "" => jiff::Timestamp::now().as_millisecond() - END_AGE_MS,
            _ => time("end")?,
        };
        if end_ms < start_ms {
            return Err(UsageError("--end is before --start".to_owned()).into());
        }
        let interval_ms = flags.duration("eval-interval").as_ms();
        if interval_ms <= 0 {
            return Err(UsageError("--eval-interval must be 1ms or longer".to_owned()).into());
        }
        let (client, runtime) = http::client(flags.text("http.config.file"), TIMEOUT.to_std())?;
        Ok(Backfill {
            client,
            runtime,
            url: format!(
                "{}/api/v1/query_range",
                flags.text("url").trim_end_matches('/')
            ),
            start_ms,
            end_ms,
            interval_ms,
        })
    }

    /// Returns when the group is evaluated in the block that begins at `from_ms`; `None` if never.
    fn steps(&self, group: &GroupConfig, from_ms: i64) -> Option<Steps> {
        let own_ms = group.interval.map(|own| own.as_ms());
        let interval_ms = own_ms.filter(|&ms| 0 < ms).unwrap_or(self.interval_ms);
        // promtool counts whole seconds.
        let first_s = from_ms
            .div_euclid(1_000)
            .max(self.start_ms.div_euclid(1_000));
        let last_s = (from_ms + BLOCK_MS - 1)
            .div_euclid(1_000)
            .min(self.end_ms.div_euclid(1_000));
        let start_ms = first_evaluation_ms(&group.file, &group.name, interval_ms, first_s)?;
        let end_ms = last_s * 1_000;
        (start_ms <= end_ms).then_some(Steps {
            start_ms,
            end_ms,
            step_ms: interval_ms,
        })
    }

    /// Adds what the rule records at `steps`; returns how many samples had to be left out.
    fn record(
        &self,
        rule: &RecordingConfig,
        steps: Steps,
        builder: &mut BlockBuilder,
    ) -> anyhow::Result<usize> {
        let body = self
            .runtime
            .block_on(self.ask(&rule.expr.to_string(), steps));
        let body = body.with_context(|| format!("POST {}", self.url))?;
        let answer: Answer = serde_json::from_slice(&body)
            .with_context(|| format!("read the answer of {}", self.url))?;
        if let Some(error) = answer.error {
            bail!("query: {error}");
        }
        let data = answer.data.context("the answer has no data")?;
        let mut left_out = 0;
        for series in data.result {
            let pairs = series.metric.iter();
            let labels = Labels::from_pairs(pairs.map(|(name, value)| (&**name, &**value)));
            let mut labels = labels.to_builder();
            labels.set(METRIC_NAME, &rule.record);
            for (name, value) in &rule.labels {
                labels.set(name, value);
            }
            left_out += series.histograms.len();
            let number = builder.series(labels.build());
            for (t, value) in series.values {
                let value: f64 = value
                    .parse()
                    .with_context(|| format!("{value:?} is no value of a sample"))?;
                #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
                let t_ms = (t * 1e3).round() as i64;
                let taken = builder.append(number, t_ms, value, 2 * BLOCK_MS);
                left_out += usize::from(!taken);
            }
        }
        Ok(left_out)
    }

    async fn ask(&self, query: &str, steps: Steps) -> anyhow::Result<Vec<u8>> {
        let seconds = |ms: i64| format!("{}.{:03}", ms.div_euclid(1_000), ms.rem_euclid(1_000));
        let form = [
            ("query", query.to_owned()),
            ("start", seconds(steps.start_ms)),
            ("end", seconds(steps.end_ms)),
            ("step", seconds(steps.step_ms)),
        ];
        let request = self.client.post(&self.url).await?.form(&form);
        let response = request.send().await?;
        let body = body(response, ANSWER_BYTES_MAX).await?;
        Ok(body)
    }
}

/// Returns the first time from `first_s` (seconds) on at which Prometheus evaluates a group, in milliseconds since the epoch;
/// `None` outside of what its nanoseconds can hold.
///
/// Source: the behaviour of promtool 3.5, checked against it: evaluations are an interval apart, shifted by the XXH64 of the
/// group's labels `file` and `name`, each text after its length.
fn first_evaluation_ms(file: &str, name: &str, interval_ms: i64, first_s: i64) -> Option<i64> {
    let mut bytes = Vec::new();
    for text in ["file", file, "name", name] {
        match u8::try_from(text.len()) {
            Ok(length) if length < u8::MAX => bytes.push(length),
            _ => {
                bytes.push(u8::MAX);
                bytes.extend_from_slice(&text.len().to_le_bytes()[..3]);
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    let interval_ns = interval_ms.checked_mul(1_000_000)?;
    let offset_ns = xxh64(&bytes, 0) % u64::try_from(interval_ns).ok()?;
    let offset_ns = i64::try_from(offset_ns).ok()?;
    let first_ns = first_s.checked_mul(1_000_000_000)?;
    let shifted = first_ns.checked_sub(offset_ns)?;
    let mut at_ns = shifted - shifted % interval_ns + offset_ns;
    while at_ns.div_euclid(1_000_000_000) < first_s {
        at_ns = at_ns.checked_add(interval_ns)?;
    }
    // The API takes the nearest millisecond.
    Some((at_ns + 500_000).div_euclid(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluations_lie_on_the_groups_grid() {
        let at = |name: &str, first_s| first_evaluation_ms("r.yml", name, 60_000, first_s);
        let first = at("g", 1_000_000).unwrap();
        assert!((1_000_000_000..1_000_060_000).contains(&first), "{first}");
        assert_eq!(at("g", 1_000_060), Some(first + 60_000));
        assert_ne!(at("h", 1_000_000), Some(first));
        assert_eq!(at("g", i64::MAX), None);
    }
}
