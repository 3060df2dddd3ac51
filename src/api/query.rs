//! Queries: `/api/v1/query`, `query_range`, `query_exemplars`, `explain`.
//!
//! ```text
//! parameters ──► permit (at most so many queries at once, others wait) ──► engine ──► encoder
//! ```
//!
//! The engine works on a thread of its own, or, when its guess is that the query is short, where the request was read.
//!
//! A query ends early when its time is up, waiting included, and when its client goes away: the request's future is
//! dropped then, and the guard in it tells the engine. The permit goes back when the engine is done, so a client that
//! reads slowly keeps no other query from running.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use model::trace::SpanKind;
use promql::{Expr, ParseError, QueryError, QueryOptions, QueryResult, Value};

use super::encode;
use super::error::ApiError;
use super::explain;
use super::json::{self, Notes, TRUNCATED};
use super::params::{Params, TIME_MAX_MS, TIME_MIN_MS, parse_duration};
use super::{ApiState, Handled, Ready, blocking, spans};
use crate::active_queries::EXECUTION;

/// What Prometheus calls the span of a query that waits for its turn.
const QUEUEING: &str = "promqlExecQueue";

/// Steps that a range query may have at most, the first not counted.
const STEPS_MAX: i128 = 11_000;

/// The longest query, in bytes, that is parsed where its request was read.
const SHORT_TEXT_MAX: usize = 4096;

/// The most effort (see `promql::Engine::effort`) of a query that is evaluated where its request was read: a few
/// milliseconds.
const SHORT_EFFORT_MAX: usize = 1 << 19;

/// A query with what was asked for.
struct Request {
    query: String,
    /// Series in the answer at most; 0 is no limit.
    limit: usize,
    timeout: Duration,
    lookback_ms: Option<i64>,
    wants_stats: bool,
    /// Whether the statistics have the samples of each step.
    counts_steps: bool,
    /// Whether the answer is the plan.
    explains: bool,
    /// The steps, in milliseconds; of an instant query start and end are the same, and the step is 1.
    start_ms: i64,
    end_ms: i64,
    step_ms: i64,
    is_instant: bool,
}

impl Request {
    /// Returns an instant query at `at_ms`.
    fn of(params: &Params, limit: usize, at_ms: i64, api: &ApiState) -> Result<Self, ApiError> {
        let timeout = match params.given("timeout") {
            None => api.query_timeout,
            Some(_) => params.duration("timeout")?.to_std().min(api.query_timeout),
        };
        let lookback = match params.given("lookback_delta") {
            None => None,
            Some(text) => Some(parse_duration(text).map_err(|what| {
                ApiError::BadData(format!("error parsing lookback delta duration: {what}"))
            })?),
        };
        Ok(Request {
            query: params.first("query").to_owned(),
            limit,
            timeout,
            lookback_ms: lookback
                .map(|lookback| lookback.as_ms())
                .filter(|&ms| 0 < ms),
            wants_stats: params.given("stats").is_some(),
            counts_steps: api.has_per_step_stats && params.first("stats") == "all",
            explains: false,
            start_ms: at_ms,
            end_ms: at_ms,
            step_ms: 1,
            is_instant: true,
        })
    }

    /// Evaluates the query and encodes its result.
    async fn run(self, api: Arc<ApiState>) -> Handled {
        if self.timeout.is_zero() {
            return Err(ApiError::Timeout(
                "query timed out in query execution".to_owned(),
            ));
        }
        let started = Instant::now();
        let parent = spans::current();
        let waiting = api.tracer.begin(QUEUEING, SpanKind::Internal, parent);
        let permits = Arc::clone(&api.query_permits);
        let permit = match tokio::time::timeout(self.timeout, permits.acquire_owned()).await {
            Ok(permit) => permit
                .map_err(|_| ApiError::Canceled("query was canceled in query queue".to_owned()))?,
            Err(_) => {
                return Err(ApiError::Timeout(
                    "query timed out in query queue".to_owned(),
                ));
            }
        };
        drop(waiting);
        let queued = started.elapsed();
        api.query_queue_seconds.observe(queued.as_secs_f64());
        let cancel = CancelOnDrop::default();
        let options = QueryOptions {
            lookback_ms: self.lookback_ms,
            timeout: Some(self.timeout.saturating_sub(queued)),
            cancel: Some(Arc::clone(&cancel.0)),
            counts_steps: self.counts_steps,
            explains: self.explains,
        };
        let parsed = match self.query.len() {
            ..=SHORT_TEXT_MAX => Some(api.engine.parse(&self.query)),
            _ => None,
        };
        let is_short = match &parsed {
            None => false,
            Some(Err(_)) => true,
            Some(Ok(expr)) => {
                let (start, end, step) = (self.start_ms, self.end_ms, self.step_ms);
                let storage = &*api.storage;
                let effort = api.engine.effort(storage, expr, start, end, step, &options);
                effort <= SHORT_EFFORT_MAX
            }
        };
        let state = Arc::clone(&api);
        let work = move || {
            let now_s = api.clock.now_ms().div_euclid(1000);
            let active = api.active_queries.as_ref();
            let slot = active.and_then(|active| active.begin(&self.query, now_s));
            let mut span = api.tracer.begin(EXECUTION, SpanKind::Internal, parent);
            span.set("query", self.query.as_str());
            let result = self.evaluate(&api, parsed, &options);
            if let Err(error) = &result {
                span.fail(error);
            }
            drop(span);
            drop(slot);
            drop(permit);
            let total = started.elapsed();
            Ok(self.answer(result.map_err(query_error)?, Timings { queued, total }))
        };
        state.at_once.run(is_short, work).await
    }

    fn evaluate(
        &self,
        api: &ApiState,
        parsed: Option<Result<Expr, ParseError>>,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let (engine, storage) = (&api.engine, &*api.storage);
        let expr = match parsed {
            Some(parsed) => parsed?,
            None => engine.parse(&self.query)?,
        };
        let (start, end, step) = (self.start_ms, self.end_ms, self.step_ms);
        if self.is_instant {
            engine.instant_expr(storage, &expr, start, options)
        } else {
            engine.range_expr(storage, &expr, start, end, step, options)
        }
    }

    fn answer(&self, result: QueryResult, timings: Timings) -> Response {
        let stats = || encode::Stats {
            queued: timings.queued,
            evaluation: timings.total.saturating_sub(timings.queued),
            query: result.stats.clone(),
            steps: (self.start_ms, self.step_ms),
        };
        if self.explains {
            return explain::answer(&result, &stats());
        }
        let stats = self.wants_stats.then(stats);
        let mut notes = Notes {
            warnings: result.annotations.warnings,
            infos: result.annotations.infos,
        };
        let mut value = result.value;
        if truncate(&mut value, self.limit) {
            notes.warnings.push(TRUNCATED.to_owned());
        }
        json::respond(encode::body(value, stats.as_ref(), &notes))
    }
}

struct Timings {
    queued: Duration,
    total: Duration,
}

/// Cuts `value` to `limit` series, unless it is 0; returns whether something was cut.
fn truncate(value: &mut Value, limit: usize) -> bool {
    fn cut<T>(series: &mut Vec<T>, limit: usize) -> bool {
        let is_longer = 0 < limit && limit < series.len();
        if is_longer {
            series.truncate(limit);
        }
        is_longer
    }
    match value {
        Value::Vector(samples) => cut(samples, limit),
        Value::Matrix(series) => cut(series, limit),
        Value::Scalar { .. } | Value::String { .. } => false,
    }
}

/// Tells the engine that nobody waits any more, unless it is done.
#[derive(Default)]
pub(super) struct CancelOnDrop(pub(super) Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn query_error(error: QueryError) -> ApiError {
    match error {
        QueryError::Parse(_) | QueryError::Invalid(_) => ApiError::parameter("query", error),
        QueryError::Timeout => ApiError::Timeout(error.to_string()),
        QueryError::Canceled => ApiError::Canceled(error.to_string()),
        QueryError::Storage(_) => ApiError::Internal(error.to_string()),
        QueryError::TooManyBytesTogether { .. } => ApiError::Busy(error.to_string()),
        QueryError::Execution(_)
        | QueryError::TooManySamples { .. }
        | QueryError::TooManyBytes { .. } => ApiError::Execution(error.to_string()),
    }
}

/// `/api/v1/query`.
pub(super) async fn instant(Ready(api): Ready, params: Params) -> Handled {
    run_instant(api, params, false).await
}

/// `/api/v1/query_range`.
pub(super) async fn range(Ready(api): Ready, params: Params) -> Handled {
    run_range(api, params, false).await
}

/// `/api/v1/explain`: runs the query as the others do, and answers with the plan and what each operator did.
pub(super) async fn explain(Ready(api): Ready, params: Params) -> Handled {
    let is_range = ["start", "end", "step"]
        .iter()
        .any(|name| params.given(name).is_some());
    if is_range {
        run_range(api, params, true).await
    } else {
        run_instant(api, params, true).await
    }
}

async fn run_instant(api: Arc<ApiState>, params: Params, explains: bool) -> Handled {
    let limit = params.limit()?;
    let at_ms = params.time_or("time", api.clock.now_ms())?;
    let request = Request {
        explains,
        ..Request::of(&params, limit, at_ms, &api)?
    };
    request.run(api).await
}

async fn run_range(api: Arc<ApiState>, params: Params, explains: bool) -> Handled {
    let limit = params.limit()?;
    let (start_ms, end_ms) = (params.time("start")?, params.time("end")?);
    if end_ms < start_ms {
        return Err(ApiError::parameter(
            "end",
            "end timestamp must not be before start time",
        ));
    }
    let step = params.duration("step")?;
    if step.0 <= 0 {
        let what = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(ApiError::parameter("step", what));
    }
    let steps = i128::from(end_ms - start_ms) * 1_000_000 / i128::from(step.0);
    if STEPS_MAX < steps {
        let what = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
        return Err(ApiError::BadData(what.to_owned()));
    }
    let step_ms = step.as_ms();
    if step_ms == 0 {
        return Err(ApiError::parameter(
            "step",
            "query resolution step widths below 1ms are not accepted",
        ));
    }
    let request = Request {
        explains,
        end_ms,
        step_ms,
        is_instant: false,
        ..Request::of(&params, limit, start_ms, &api)?
    };
    request.run(api).await
}

/// `/api/v1/query_exemplars`: the exemplars of the series that the query selects anywhere in it.
pub(super) async fn exemplars(Ready(api): Ready, params: Params) -> Handled {
    let (start_ms, end_ms) = (
        params.time_or("start", TIME_MIN_MS)?,
        params.time_or("end", TIME_MAX_MS)?,
    );
    if end_ms < start_ms {
        return Err(ApiError::BadData(
            "end timestamp must not be before start timestamp".to_owned(),
        ));
    }
    let expr = api
        .engine
        .parse(params.first("query"))
        .map_err(|error| ApiError::BadData(error.to_string()))?;
    let selectors: Vec<Vec<model::Matcher>> = expr
        .selectors()
        .iter()
        .map(|selector| selector.matchers.clone())
        .collect();
    if selectors.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    blocking(move || {
        let found = api.db.exemplars(&selectors, start_ms, end_ms);
        Ok(json::success(&Notes::default(), |out| {
            encode::append_exemplars(out, &found);
        }))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{Api, NOW_MS, error};
    use http::Method;

    #[track_caller]
    fn check_error(error: QueryError, expected: ApiError) {
        assert_eq!(query_error(error), expected);
    }

    #[test]
    fn errors_of_the_engine() {
        check_error(
            QueryError::Execution("x".into()),
            ApiError::Execution("x".into()),
        );
        check_error(
            QueryError::TooManySamples { limit: 5 },
            ApiError::Execution(
                "query processing would load too many samples into memory in query execution"
                    .into(),
            ),
        );
        check_error(
            QueryError::Timeout,
            ApiError::Timeout("query timed out in expression evaluation".into()),
        );
        check_error(
            QueryError::Canceled,
            ApiError::Canceled("query was canceled in expression evaluation".into()),
        );
        let wrong = promql::parse("1 +").unwrap_err();
        let text = "invalid parameter \"query\": 1:4: parse error: unexpected end of input";
        check_error(QueryError::Parse(wrong), ApiError::BadData(text.into()));
    }

    #[test]
    fn dropping_the_guard_cancels() {
        let guard = CancelOnDrop::default();
        let cancel = Arc::clone(&guard.0);
        assert!(!cancel.load(Ordering::Relaxed));
        drop(guard);
        assert!(cancel.load(Ordering::Relaxed));
    }

    /// The data of a successful answer.
    fn data(kind: &str, result: &str) -> String {
        format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}}}"#)
    }

    #[tokio::test]
    async fn instant_shapes() {
        let api = Api::new();
        api.check(
            "/api/v1/query?query=1&time=5.01",
            200,
            &data("scalar", r#"[5.01,"1"]"#),
        )
        .await;
        api.check(
            "/api/v1/query?query=1",
            200,
            &data("scalar", &format!(r#"[{},"1"]"#, NOW_MS / 1000)),
        )
        .await;
        api.check(
            "/api/v1/query?query=\"a<b\"&time=2",
            200,
            &data("string", r#"[2,"a\u003cb"]"#),
        )
        .await;
        api.check("/api/v1/query?query=nope", 200, &data("vector", "[]"))
            .await;
        let up =
            r#"[{"metric":{"__name__":"up","instance":"a","job":"x"},"value":[1000000.500,"1"]}]"#;
        api.check(
            "/api/v1/query?query=up{job=\"x\"}&time=1000000.5",
            200,
            &data("vector", up),
        )
        .await;
        let matrix = r#"[{"metric":{"__name__":"up","instance":"a","job":"x"},"values":[[1000000,"1"],[1000060,"0.5"]]}]"#;
        api.check(
            "/api/v1/query?query=up{job=\"x\"}[5m]&time=1000060",
            200,
            &data("matrix", matrix),
        )
        .await;
        api.check(
            "/api/v1/query?query=vector(1e21)&time=-5.5",
            200,
            &data("vector", r#"[{"metric":{},"value":[-5.500,"1e+21"]}]"#),
        )
        .await;
    }

    #[tokio::test]
    async fn body_parameters_win() {
        let api = Api::new();
        api.check_send(
            Method::POST,
            "/api/v1/query?query=3",
            "query=2&time=1",
            200,
            &data("scalar", r#"[1,"2"]"#),
        )
        .await;
        api.check_send(
            Method::POST,
            "/api/v1/query?query=3&time=1",
            "",
            200,
            &data("scalar", r#"[1,"3"]"#),
        )
        .await;
    }

    #[tokio::test]
    async fn ranges() {
        let api = Api::new();
        let values = r#"[{"metric":{},"values":[[1,"1"],[1.500,"1"],[2,"1"]]}]"#;
        for step in ["0.5", "500ms"] {
            api.check(
                &format!("/api/v1/query_range?query=1&start=1&end=2&step={step}"),
                200,
                &data("matrix", values),
            )
            .await;
        }
        api.check(
            "/api/v1/query_range?query=nope&start=1&end=2&step=1",
            200,
            &data("matrix", "[]"),
        )
        .await;
        let (status, _) = api
            .get("/api/v1/query_range?query=1&start=1&end=11001&step=1")
            .await;
        assert_eq!(status, 200);
    }

    #[tokio::test]
    async fn limits_and_stats() {
        let api = Api::new();
        let body = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","instance":"a","job":"x"},"value":[1000060,"0.5"]}]},"warnings":["results truncated due to limit"]}"#;
        api.check(
            "/api/v1/query?query=sort(up)&time=1000060&limit=1",
            200,
            body,
        )
        .await;
        let (_, body) = api
            .get("/api/v1/query?query=up&time=1000060&stats=all")
            .await;
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            answer["data"]["stats"]["samples"]["totalQueryableSamples"],
            2
        );
        assert!(answer["data"]["stats"]["timings"]["execTotalTime"].is_number());
        let path = "/api/v1/query_range?query=up&start=1000060&end=1000090&step=30&stats=";
        for (stats, expected) in [
            ("all", serde_json::json!([[1_000_060, 2], [1_000_090, 2]])),
            ("true", serde_json::Value::Null),
        ] {
            let (_, body) = api.get(&format!("{path}{stats}")).await;
            let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
            let samples = &answer["data"]["stats"]["samples"];
            assert_eq!(samples["totalQueryableSamplesPerStep"], expected);
        }
    }

    #[tokio::test]
    async fn infos_are_passed_on() {
        let (_, body) = Api::new()
            .get("/api/v1/query?query=rate(up[5m])&time=1000060")
            .await;
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        let expected = "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"up\" (1:6)";
        assert_eq!(answer["infos"], serde_json::json!([expected]));
    }

    #[tokio::test]
    async fn bad_instant_parameters() {
        let api = Api::new();
        let check = async |query: &str, text: &str| {
            api.check(
                &format!("/api/v1/query{query}"),
                400,
                &error("bad_data", text),
            )
            .await
        };
        let nothing = r#"invalid parameter \"query\": unknown position: parse error: no expression found in input"#;
        check("", nothing).await;
        check("?query=%zz", nothing).await;
        check(
            "?query=sum(up",
            r#"invalid parameter \"query\": 1:7: parse error: unclosed left parenthesis"#,
        )
        .await;
        check("?query=up&time=foo", r#"invalid parameter \"time\": invalid time value for 'time': cannot parse \"foo\" to a valid timestamp"#).await;
        check(
            "?query=up&timeout=x",
            r#"invalid parameter \"timeout\": cannot parse \"x\" to a valid duration"#,
        )
        .await;
        check("?query=up&timeout=1e30", r#"invalid parameter \"timeout\": cannot parse \"1e30\" to a valid duration. It overflows int64"#).await;
        check(
            "?query=up&limit=-1",
            r#"invalid parameter \"limit\": limit must be non-negative"#,
        )
        .await;
        check(
            "?query=up&limit=1.5",
            r#"invalid parameter \"limit\": strconv.Atoi: parsing \"1.5\": invalid syntax"#,
        )
        .await;
        check(
            "?query=up&lookback_delta=x",
            r#"error parsing lookback delta duration: cannot parse \"x\" to a valid duration"#,
        )
        .await;
    }

    #[tokio::test]
    async fn bad_range_parameters() {
        let api = Api::new();
        let check = async |query: &str, text: &str| {
            api.check(
                &format!("/api/v1/query_range?query=1{query}"),
                400,
                &error("bad_data", text),
            )
            .await
        };
        check(
            "",
            r#"invalid parameter \"start\": cannot parse \"\" to a valid timestamp"#,
        )
        .await;
        check(
            "&start=1&end=x",
            r#"invalid parameter \"end\": cannot parse \"x\" to a valid timestamp"#,
        )
        .await;
        check(
            "&start=1&end=0&step=x",
            r#"invalid parameter \"end\": end timestamp must not be before start time"#,
        )
        .await;
        check(
            "&start=1&end=2",
            r#"invalid parameter \"step\": cannot parse \"\" to a valid duration"#,
        )
        .await;
        let negative = r#"invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer"#;
        check("&start=1&end=2&step=0", negative).await;
        check("&start=1&end=2&step=-1", negative).await;
        check("&start=1&end=2&step=0.0001", r#"invalid parameter \"step\": query resolution step widths below 1ms are not accepted"#).await;
        let resolution = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
        check("&start=1&end=11002&step=1", resolution).await;
        check("&start=-1e300&end=1e300&step=1ms", resolution).await;
    }

    #[tokio::test]
    async fn range_queries_want_vectors() {
        let api = Api::new();
        for (query, kind) in [("up[5m]", "range vector"), ("\"a\"", "string")] {
            let text = format!(
                r#"invalid parameter \"query\": invalid expression type \"{kind}\" for range query, must be Scalar or instant Vector"#
            );
            let path = format!("/api/v1/query_range?query={query}&start=1&end=2&step=1");
            api.check(&path, 400, &error("bad_data", &text)).await;
        }
    }

    #[tokio::test]
    async fn execution_errors_are_422() {
        let (status, body) = Api::new()
            .get("/api/v1/query?query=up*on()group_left()up&time=1000060")
            .await;
        assert_eq!(status, 422);
        assert!(body.starts_with(r#"{"status":"error","errorType":"execution","error":"found duplicate series for the match group {}"#), "{body}");
    }

    #[tokio::test]
    async fn waiting_for_a_permit_counts() {
        let api = Api::new();
        let state = api.shared.state().unwrap();
        let all = u32::try_from(state.query_permits.available_permits()).unwrap();
        let held = Arc::clone(&state.query_permits)
            .acquire_many_owned(all)
            .await
            .unwrap();
        let late = error("timeout", "query timed out in query queue");
        api.check("/api/v1/query?query=1&timeout=1ms", 503, &late)
            .await;
        let none = error("timeout", "query timed out in query execution");
        api.check("/api/v1/query?query=1&timeout=-1", 503, &none)
            .await;
        drop(held);
        let (status, _) = api.get("/api/v1/query?query=1").await;
        assert_eq!(status, 200);
        assert_eq!(
            state.query_permits.available_permits(),
            usize::try_from(all).unwrap()
        );
    }

    #[tokio::test]
    async fn exemplars_of_the_selected_series() {
        use model::storage::Appendable as _;
        let api = Api::new();
        let db = api.shared.state().unwrap().db.clone();
        db.set_exemplars_max(10);
        let mut appender = db.appender();
        let labels = [("__name__", "up"), ("instance", "a"), ("job", "x")];
        let series = appender.series(&labels).unwrap();
        let exemplar = model::exemplar::Exemplar {
            labels: model::Labels::from_pairs([("trace_id", "EpTxMJ40fUus7aGY")]),
            value: 6.0,
            t: Some(1_000_050_479),
        };
        appender.append_exemplar(series, &exemplar).unwrap();
        appender.commit().unwrap();
        let expected = r#"{"status":"success","data":[{"seriesLabels":{"__name__":"up","instance":"a","job":"x"},"exemplars":[{"labels":{"trace_id":"EpTxMJ40fUus7aGY"},"value":"6","timestamp":1000050.479}]}]}"#;
        let path = "/api/v1/query_exemplars?query=rate(up[5m])/on(a)up{job=\"y\"}";
        api.check(path, 200, expected).await;
        api.check_send(
            Method::POST,
            "/api/v1/query_exemplars",
            "query=up",
            200,
            expected,
        )
        .await;
        let late = "/api/v1/query_exemplars?query=up&start=1000051";
        api.check(late, 200, r#"{"status":"success","data":[]}"#)
            .await;
    }

    #[tokio::test]
    async fn exemplars_are_none() {
        let api = Api::new();
        api.check(
            "/api/v1/query_exemplars?query=test&start=1000&end=2000",
            200,
            r#"{"status":"success","data":[]}"#,
        )
        .await;
        api.check("/api/v1/query_exemplars?query=1", 204, "").await;
        let bad = error(
            "bad_data",
            "end timestamp must not be before start timestamp",
        );
        api.check(
            "/api/v1/query_exemplars?query=test&start=3&end=2",
            400,
            &bad,
        )
        .await;
        let bad = error(
            "bad_data",
            "unknown position: parse error: no expression found in input",
        );
        api.check("/api/v1/query_exemplars", 400, &bad).await;
    }

    #[tokio::test]
    async fn queries_are_formatted() {
        let api = Api::new();
        api.check(
            "/api/v1/format_query?query=sum(up)by(x)>1",
            200,
            r#"{"status":"success","data":"sum by (x) (up) \u003e 1"}"#,
        )
        .await;
        let bad = error(
            "bad_data",
            r#"invalid parameter \"query\": 1:3: parse error: unclosed left parenthesis"#,
        );
        api.check("/api/v1/format_query?query=((", 400, &bad).await;
    }
}
