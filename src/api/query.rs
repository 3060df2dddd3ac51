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
use model::trace::{SpanContext, SpanKind};
use promql::{Expr, ParseError, QueryError, QueryOptions, QueryResult, Value};

use super::asked::Asked;
use super::encode::{self, QueryTime};
use super::error::ApiError;
use super::explain;
use super::json::{self, Notes, TRUNCATED};
use super::params::{Params, TIME_MAX_MS, TIME_MIN_MS, parse_duration};
use super::{ApiState, Handled, Ready, blocking, spans};
use crate::active_queries::EXECUTION;
use crate::query_log::{Evaluated, Origin};

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
    /// Who asks, if that is logged.
    origin: Option<Origin>,
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
            origin: None,
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
            let context = span.context();
            drop(span);
            drop(slot);
            drop(permit);
            let stats = result.as_ref().map(|result| result.stats.clone());
            let time = QueryTime {
                queued,
                evaluation: started.elapsed().saturating_sub(queued),
                query: stats.unwrap_or_default(),
                steps: (self.start_ms, self.step_ms),
            };
            if let Some(origin) = &self.origin {
                self.log(&api, origin, result.as_ref().err(), &time, context);
            }
            Ok(self.answer(result.map_err(query_error)?, &time))
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

    /// Logs the query, if it was one.
    fn log(
        &self,
        api: &ApiState,
        origin: &Origin,
        error: Option<&QueryError>,
        time: &QueryTime,
        span: Option<SpanContext>,
    ) {
        if matches!(error, Some(QueryError::Parse(_) | QueryError::Invalid(_))) {
            return;
        }
        let step_ms = if self.is_instant { 0 } else { self.step_ms };
        let evaluated = Evaluated {
            query: &self.query,
            steps: (self.start_ms, self.end_ms, step_ms),
            error: error.map(ToString::to_string),
            time,
            span,
            origin: Some(origin),
        };
        api.query_log.write(evaluated, api.clock.now_ms());
    }

    fn answer(&self, result: QueryResult, time: &QueryTime) -> Response {
        if self.explains {
            return explain::answer(&result, time);
        }
        let stats = self.wants_stats.then_some(time);
        let mut notes = Notes {
            warnings: result.annotations.warnings,
            infos: result.annotations.infos,
        };
        let mut value = result.value;
        if truncate(&mut value, self.limit) {
            notes.warnings.push(TRUNCATED.to_owned());
        }
        json::respond(encode::body(value, stats, &notes))
    }
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
pub(super) async fn instant(Ready(api): Ready, Asked(origin): Asked, params: Params) -> Handled {
    run_instant(api, origin, params, false).await
}

/// `/api/v1/query_range`.
pub(super) async fn range(Ready(api): Ready, Asked(origin): Asked, params: Params) -> Handled {
    run_range(api, origin, params, false).await
}

/// `/api/v1/explain`: runs the query as the others do, and answers with the plan and what each operator did.
pub(super) async fn explain(Ready(api): Ready, Asked(origin): Asked, params: Params) -> Handled {
    let is_range = ["start", "end", "step"]
        .iter()
        .any(|name| params.given(name).is_some());
    if is_range {
        run_range(api, origin, params, true).await
    } else {
        run_instant(api, origin, params, true).await
    }
}

async fn run_instant(
    api: Arc<ApiState>,
    origin: Option<Origin>,
    params: Params,
    explains: bool,
) -> Handled {
    let limit = params.limit()?;
    let at_ms = params.time_or("time", api.clock.now_ms())?;
    let request = Request {
        explains,
        origin,
        ..Request::of(&params, limit, at_ms, &api)?
    };
    request.run(api).await
}

async fn run_range(
    api: Arc<ApiState>,
    origin: Option<Origin>,
    params: Params,
    explains: bool,
) -> Handled {
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
        origin,
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
mod tests;
