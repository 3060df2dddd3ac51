//! `/api/v1/rules/backtest`: when the alerts of a rule file would have fired, had it been there.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use alertmanager::rule::backtest::{self, BacktestError, BacktestOptions};
use alertmanager::rule::engine::EngineQuery;
use alertmanager::rule::file::RuleFile;
use alertmanager::rule::query::RuleQuery;
use axum::extract::State;
use model::storage::Queryable;
use promql::QueryOptions;

use super::super::error::ApiError;
use super::super::json;
use super::super::params::{BodyParams, Params};
use super::super::query::CancelOnDrop;
use super::super::{Handled, Ready, Shared, blocking};
use crate::backtest::BacktestJson;

/// Backtests that run at once; further ones are refused. Each takes the place of a query as well.
pub(in crate::api) const BACKTESTS_MAX: usize = 2;
/// How long a backtest may take. A request may ask for less.
const TIMEOUT: Duration = Duration::from_secs(600);

/// What the rule file is called in messages.
const FILE: &str = "rules";

pub(in crate::api) async fn backtest(
    State(shared): State<Arc<Shared>>,
    Ready(api): Ready,
    BodyParams(params): BodyParams,
) -> Handled {
    let (start_ms, end_ms) = (params.time("start")?, params.time("end")?);
    let mut settings = api.rules.settings();
    if params.given("interval").is_some() {
        let interval = params.duration("interval")?.as_ms();
        if interval <= 0 {
            let what = "must be 1ms or longer, such as 30s";
            return Err(ApiError::parameter("interval", what));
        }
        settings.interval = model::Duration::from_ms(interval);
    }
    let timeout = match params.given("timeout") {
        None => TIMEOUT,
        Some(_) => params.duration("timeout")?.to_std().min(TIMEOUT),
    };
    let text = params.first("rules");
    let file = RuleFile::parse_with(FILE, text, &api.engine.features().syntax)
        .map_err(|error| ApiError::parameter("rules", error))?;
    let groups = wanted_groups(file, &params)?;
    let permit = Arc::clone(&shared.backtests).try_acquire_owned();
    let permit = permit.map_err(|_| {
        ApiError::Busy(format!(
            "{BACKTESTS_MAX} backtests run already, no more at once; try again later"
        ))
    })?;
    let queries = Arc::clone(&api.query_permits);
    let query_permit = tokio::time::timeout(timeout, queries.acquire_owned()).await;
    let query_permit = query_permit
        .map_err(|_| ApiError::Timeout("backtest timed out in query queue".to_owned()))?;
    let cancel = CancelOnDrop::default();
    let is_canceled = Arc::clone(&cancel.0);
    let started = Instant::now();
    blocking(move || {
        let options = QueryOptions {
            timeout: Some(api.query_timeout),
            cancel: Some(Arc::clone(&is_canceled)),
            ..QueryOptions::default()
        };
        let query_of = |storage: Arc<dyn Queryable>| -> Box<dyn RuleQuery> {
            let query = EngineQuery::new(Arc::clone(&api.engine), storage);
            Box::new(query.with_options(options.clone()))
        };
        let is_wanted = || !is_canceled.load(Ordering::Relaxed) && started.elapsed() < timeout;
        let range = BacktestOptions {
            start_ms,
            end_ms,
            settings,
            intervals_max: backtest::INTERVALS_MAX,
        };
        let report = backtest::run(
            groups,
            &range,
            Arc::clone(&api.storage),
            &query_of,
            &is_wanted,
        );
        drop((permit, query_permit));
        Ok(json::success_of(&BacktestJson::from(
            report.map_err(api_error)?,
        )))
    })
    .await
}

/// Returns the groups that are asked for, all if none is named.
fn wanted_groups(
    file: RuleFile,
    params: &Params,
) -> Result<Vec<alertmanager::rule::file::GroupConfig>, ApiError> {
    let names: Vec<&str> = params
        .all("group")
        .filter(|name| !name.is_empty())
        .collect();
    if let Some(missing) = names
        .iter()
        .find(|name| file.groups.iter().all(|group| group.name != **name))
    {
        let missing = model::name::Quoted(missing);
        return Err(ApiError::parameter(
            "group",
            format_args!("no group {missing} is among the rules"),
        ));
    }
    let mut groups = file.groups;
    groups.retain(|group| names.is_empty() || names.contains(&group.name.as_str()));
    Ok(groups)
}

fn api_error(error: BacktestError) -> ApiError {
    match error {
        BacktestError::EndBeforeStart { .. } => ApiError::parameter("end", error),
        BacktestError::TooManyEvaluations { .. } => ApiError::BadData(error.to_string()),
        BacktestError::TooManyIntervals { .. } | BacktestError::TooManySamples { .. } => {
            ApiError::Execution(error.to_string())
        }
        BacktestError::Stopped { .. } => ApiError::Timeout(format!("backtest timed out: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, header};
    use serde_json::json;

    use crate::api::testing::{Api, body_of};

    const RULES: &str = "groups:\n- name: g\n  interval: 15s\n  rules:\n  - {record: up:count, expr: count(up)}\n  \
        - {alert: Up, expr: 'up:count == 2', for: 15s, annotations: {n: '{{ $value }}'}}\n- name: other\n";

    async fn post(api: &Api, kind: &str, body: String) -> (u16, serde_json::Value) {
        let request = api
            .request(Method::POST, "/api/v1/rules/backtest", "")
            .header(header::CONTENT_TYPE, kind)
            .body(body.into())
            .unwrap();
        let response = api.respond(request).await;
        let status = response.status().as_u16();
        (status, serde_json::from_str(&body_of(response)).unwrap())
    }

    #[tokio::test]
    async fn a_json_body_and_a_form_get_the_same_answer() {
        let api = Api::new();
        let body = json!({"rules": RULES, "start": 1_000_060, "end": "1000105", "group": ["g"]});
        let (status, answer) = post(&api, "application/json", body.to_string()).await;
        assert_eq!(status, 200, "{answer}");
        let groups = answer["data"]["groups"].as_array().unwrap();
        assert_eq!(groups.len(), 1);
        assert_eq!(
            (&groups[0]["evaluations"], &groups[0]["interval"]),
            (&4.into(), &15.into())
        );
        let alerting = &groups[0]["rules"][1];
        assert_eq!(
            alerting["notifications"],
            json!({"firing": 1, "resolved": 0})
        );
        assert_eq!(
            alerting["alerts"][0]["intervals"],
            json!([
                {"state": "pending", "from": "1970-01-12T13:47:40Z", "to": "1970-01-12T13:47:55Z", "value": "2", "min": "2", "max": "2"},
                {"state": "firing", "from": "1970-01-12T13:47:55Z", "value": "2", "min": "2", "max": "2"},
            ])
        );
        assert_eq!(alerting["alerts"][0]["annotations"], json!({"n": "2"}));
        let form = format!(
            "start=1000060&end=1000105&group=g&rules={}",
            net::escape::component(RULES)
        );
        let (_, same) = post(&api, "application/x-www-form-urlencoded", form).await;
        assert_eq!(same, answer);
        // Nothing was recorded.
        let (_, stored) = api.get("/api/v1/series?match[]=up:count").await;
        assert_eq!(stored, r#"{"status":"success","data":[]}"#);
    }

    #[tokio::test]
    async fn what_is_wrong_is_said() {
        let api = Api::new();
        for (body, status, what) in [
            (json!({"rules": RULES}), 400, "\"start\""),
            (
                json!({"rules": "groups: 1", "start": 1, "end": 2}),
                400,
                "\"rules\"",
            ),
            (
                json!({"rules": RULES, "start": 2, "end": 1}),
                400,
                "before the start",
            ),
            (
                json!({"rules": RULES, "start": 1, "end": 2, "group": "x"}),
                400,
                "no group \"x\"",
            ),
            (
                json!({"rules": RULES, "start": 1, "end": 2, "interval": -1}),
                400,
                "\"interval\"",
            ),
            (
                json!({"rules": RULES, "start": 0, "end": 1e9}),
                400,
                "would be evaluated",
            ),
            (
                json!({"rules": RULES, "start": 1, "end": 2, "timeout": 1e-9}),
                503,
                "timed out",
            ),
            (json!({"rules": {}}), 400, "must be a text"),
            (json!(7), 400, "JSON object"),
        ] {
            let (found, answer) = post(&api, "application/json", body.to_string()).await;
            let error = answer["error"].as_str().unwrap_or_default();
            assert!(
                found == status && error.contains(what),
                "{body}: {found} {error}"
            );
        }
    }

    #[tokio::test]
    async fn no_more_than_a_few_run_at_once() {
        let api = Api::new();
        let _all = api.shared.backtests.try_acquire_many(2).unwrap();
        let body = json!({"rules": RULES, "start": 1, "end": 2}).to_string();
        let (status, answer) = post(&api, "application/json", body).await;
        assert_eq!((status, &answer["errorType"]), (503, &"unavailable".into()));
    }
}
