//! What the server says about itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use metrics::MetricValue;
use serde::Serialize;
use tsdb::head::status::Count;

use super::error::{ApiError, PLAIN};
use super::json;
use super::params::Params;
use super::{ApiState, Handled, Ready, Shared, blocking};

/// Go's zero time, which stands for "never".
pub(super) const GO_ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// Returns `ms` as RFC 3339 in UTC, with as many decimals as it needs.
pub(super) fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(
        |_| GO_ZERO_TIME.to_owned(),
        |timestamp| timestamp.to_string(),
    )
}

#[derive(Serialize)]
struct ConfigJson<'a> {
    yaml: &'a str,
}

/// `/api/v1/status/config`: the configuration in force, secrets hidden.
pub(super) async fn config(Ready(api): Ready) -> Handled {
    Ok(json::success_of(&ConfigJson {
        yaml: &api.config_yaml.load(),
    }))
}

/// `/api/v1/status/flags`: every flag with its value as text.
pub(super) async fn flags(State(shared): State<Arc<Shared>>, Ready(_): Ready) -> Handled {
    Ok(json::success_of(&shared.early.flags))
}

/// `/api/v1/status/buildinfo`. It has no `features`: Grafana would take us for another server.
pub(super) async fn buildinfo(State(shared): State<Arc<Shared>>, Ready(_): Ready) -> Handled {
    Ok(json::success_of(&shared.early.build))
}

/// `/version`: the same without envelope.
pub(super) async fn version(State(shared): State<Arc<Shared>>) -> Response {
    let mut body = Vec::with_capacity(256);
    json::append_serialized(&mut body, &shared.early.build);
    body.push(b'\n');
    ([(header::CONTENT_TYPE, PLAIN)], body).into_response()
}

#[derive(Serialize)]
struct RuntimeJson<'a> {
    #[serde(rename = "startTime")]
    start_time: String,
    #[serde(rename = "CWD")]
    cwd: &'a str,
    hostname: &'a str,
    #[serde(rename = "serverTime")]
    server_time: String,
    #[serde(rename = "reloadConfigSuccess")]
    is_reloaded: bool,
    #[serde(rename = "lastConfigTime")]
    last_config_time: String,
    #[serde(rename = "corruptionCount")]
    corruption_count: f64,
    /// We have threads in their place.
    #[serde(rename = "goroutineCount")]
    thread_count: usize,
    #[serde(rename = "GOMAXPROCS")]
    parallelism: usize,
    /// Go's word for no limit.
    #[serde(rename = "GOMEMLIMIT")]
    memory_limit: i64,
    #[serde(rename = "GOGC")]
    gogc: &'static str,
    #[serde(rename = "GODEBUG")]
    godebug: &'static str,
    #[serde(rename = "storageRetention")]
    storage_retention: &'a str,
}

/// `/api/v1/status/runtimeinfo`.
pub(super) async fn runtimeinfo(State(shared): State<Arc<Shared>>, Ready(api): Ready) -> Handled {
    blocking(move || {
        let runtime = &api.runtime;
        let reloaded_at_ms = runtime.reloaded_at_ms.load(Ordering::Relaxed);
        Ok(json::success_of(&RuntimeJson {
            start_time: rfc3339(runtime.started_at_ms),
            cwd: &runtime.cwd,
            hostname: &runtime.hostname,
            server_time: rfc3339(api.clock.now_ms()),
            is_reloaded: runtime.is_reloaded.load(Ordering::Relaxed),
            last_config_time: rfc3339(reloaded_at_ms - reloaded_at_ms.rem_euclid(1000)),
            corruption_count: corruption_count(&shared.early.registry),
            thread_count: std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count),
            parallelism: std::thread::available_parallelism().map_or(1, usize::from),
            memory_limit: i64::MAX,
            gogc: "",
            godebug: "",
            storage_retention: &runtime.storage_retention,
        }))
    })
    .await
}

/// Returns how many corruptions the write-ahead log had since the start.
fn corruption_count(registry: &metrics::Registry) -> f64 {
    let families = registry.gather();
    let family = families
        .iter()
        .find(|family| family.name == "prometheus_tsdb_wal_corruptions_total");
    match family
        .and_then(|family| family.series.first())
        .map(|series| &series.value)
    {
        Some(MetricValue::Number(count)) => *count,
        _ => 0.0,
    }
}

#[derive(Serialize)]
struct ReplayJson {
    min: u32,
    max: u32,
    current: u32,
}

/// `/api/v1/status/walreplay`: how far the replay is. Answered before the rest of the API.
pub(super) async fn walreplay(State(shared): State<Arc<Shared>>) -> Response {
    let replay = &shared.early.replay;
    let [min, max, current] =
        [&replay.min, &replay.max, &replay.current].map(|segment| segment.load(Ordering::Relaxed));
    json::success_of(&ReplayJson { min, max, current })
}

#[derive(Serialize)]
struct BlocksJson {
    blocks: Vec<Arc<tsdb::block::meta::BlockMeta>>,
}

#[derive(Serialize)]
struct HeadStatsJson {
    #[serde(rename = "numSeries")]
    series: usize,
    #[serde(rename = "numLabelPairs")]
    label_pairs: usize,
    #[serde(rename = "chunkCount")]
    chunks: usize,
    #[serde(rename = "minTime")]
    mint: i64,
    #[serde(rename = "maxTime")]
    maxt: i64,
}

#[derive(Serialize)]
struct CountJson {
    name: String,
    value: u64,
}

#[derive(Serialize)]
struct TsdbJson {
    #[serde(rename = "headStats")]
    head: HeadStatsJson,
    #[serde(rename = "seriesCountByMetricName")]
    series_by_metric: Vec<CountJson>,
    #[serde(rename = "labelValueCountByLabelName")]
    values_by_label: Vec<CountJson>,
    #[serde(rename = "memoryInBytesByLabelName")]
    bytes_by_label: Vec<CountJson>,
    #[serde(rename = "seriesCountByLabelValuePair")]
    series_by_pair: Vec<CountJson>,
}

/// Entries of each list without `limit`.
const TSDB_LIMIT_DEFAULT: i64 = 10;
/// Entries of each list at most; larger limits mean this one.
const TSDB_LIMIT_MAX: usize = 10_000;

/// `/api/v1/status/tsdb`: counts of the head, and where its series come from.
pub(super) async fn tsdb(Ready(api): Ready, params: Params) -> Handled {
    let refused = |_| ApiError::BadData("limit must be a positive number".to_owned());
    let limit = params
        .number_or("limit", TSDB_LIMIT_DEFAULT)
        .map_err(refused)?;
    let limit = usize::try_from(limit)
        .ok()
        .filter(|&limit| 0 < limit)
        .ok_or(())
        .map_err(|()| ApiError::BadData("limit must be a positive number".to_owned()))?;
    blocking(move || {
        Ok(json::success_of(&tsdb_status(
            &api,
            limit.min(TSDB_LIMIT_MAX),
        )))
    })
    .await
}

/// `/api/v1/status/tsdb/blocks`: what the `meta.json` of each block says, ascending by time.
pub(super) async fn tsdb_blocks(Ready(api): Ready) -> Handled {
    blocking(move || {
        let blocks = api.db.block_metas();
        Ok(json::success_of(&BlocksJson { blocks }))
    })
    .await
}

fn tsdb_status(api: &ApiState, limit: usize) -> TsdbJson {
    let (stats, cardinality) = (api.db.stats(), api.db.cardinality(limit));
    // An empty head has Go's "no sample yet" bounds.
    let (mint, maxt) = stats.time_range.unwrap_or((i64::MAX, i64::MIN));
    TsdbJson {
        head: HeadStatsJson {
            series: stats.series,
            label_pairs: stats.label_pairs,
            chunks: stats.chunks,
            mint,
            maxt,
        },
        series_by_metric: counts(cardinality.series_by_metric),
        values_by_label: counts(cardinality.values_by_label),
        bytes_by_label: counts(cardinality.bytes_by_label),
        series_by_pair: counts(cardinality.series_by_pair),
    }
}

fn counts(list: Vec<Count>) -> Vec<CountJson> {
    list.into_iter()
        .map(|Count { name, value }| CountJson { name, value })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{Api, NOW_MS, error};

    #[test]
    fn times() {
        assert_eq!(rfc3339(1_795_186_621_250), "2026-11-20T14:57:01.25Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(i64::MAX), GO_ZERO_TIME);
    }

    #[tokio::test]
    async fn config_flags_and_build() {
        let api = Api::new();
        api.check(
            "/api/v1/status/config",
            200,
            r#"{"status":"success","data":{"yaml":"global: {}\n"}}"#,
        )
        .await;
        api.check(
            "/api/v1/status/flags",
            200,
            r#"{"status":"success","data":{"log.level":"info","query.timeout":"2m"}}"#,
        )
        .await;
        let build = r#"{"version":"3.5.0","revision":"r","branch":"b","buildUser":"u","buildDate":"d","goVersion":"g"}"#;
        api.check(
            "/api/v1/status/buildinfo",
            200,
            &format!(r#"{{"status":"success","data":{build}}}"#),
        )
        .await;
        api.check("/version", 200, &format!("{build}\n")).await;
    }

    #[tokio::test]
    async fn runtimeinfo_has_prometheus_keys() {
        let (status, body) = Api::new().get("/api/v1/status/runtimeinfo").await;
        assert_eq!(status, 200);
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        let data = &answer["data"];
        assert_eq!(data["serverTime"], rfc3339(NOW_MS));
        assert_eq!(data["startTime"], "1970-01-01T00:00:01Z");
        assert_eq!(data["lastConfigTime"], "1970-01-01T00:00:02Z");
        assert_eq!(data["reloadConfigSuccess"], true);
        assert_eq!(data["storageRetention"], "15d");
        assert_eq!(data["corruptionCount"], 0);
        assert!(data["GOMAXPROCS"].as_u64().is_some_and(|cpus| 0 < cpus));
    }

    #[tokio::test]
    async fn blocks_are_none_at_first() {
        let api = Api::new();
        let expected = r#"{"status":"success","data":{"blocks":[]}}"#;
        api.check("/api/v1/status/tsdb/blocks", 200, expected).await;
    }

    #[tokio::test]
    async fn tsdb_counts_the_head() {
        let api = Api::new();
        let expected = concat!(
            r#"{"status":"success","data":{"headStats":{"numSeries":3,"numLabelPairs":7,"chunkCount":3,"#,
            r#""minTime":1000000000,"maxTime":1000060000},"#,
            r#""seriesCountByMetricName":[{"name":"up","value":2}],"labelValueCountByLabelName":[{"name":"__name__","value":2}],"#,
            r#""memoryInBytesByLabelName":[{"name":"__name__","value":18}],"seriesCountByLabelValuePair":[{"name":"__name__=up","value":2}]}}"#,
        );
        api.check("/api/v1/status/tsdb?limit=1", 200, expected)
            .await;
        let bad = error("bad_data", "limit must be a positive number");
        for limit in ["0", "-1", "x"] {
            api.check(&format!("/api/v1/status/tsdb?limit={limit}"), 400, &bad)
                .await;
        }
    }
}
