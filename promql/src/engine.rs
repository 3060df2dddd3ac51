//! The engine: from a tree and a storage to a value.
//!
//! ```text
//! tree ── time range ──► querier ── selectors ──► rows ── operators ──► rows ──► value
//! ```
//!
//! A query opens storage once, for all the time it may look at. Each series is then decoded once and turned into one
//! column over all steps, also where equal selectors are there more than once ([`selection`]); operators pass columns on (see [`crate::row`]), so a range query touches a series once, not
//! once per step, and what does not depend on the step is computed once.
//!
//! Evaluation is synchronous; selectors read and compute series on all processors (see `operator::parallel`), what is above
//! them belongs to one thread. The engine itself holds nothing but options and instruments, so any number of queries may
//! run beside each other.

pub(crate) mod bounds;
pub(crate) mod context;
pub(crate) mod counts;
mod effort;
pub(crate) mod evaluate;
mod needed;
mod result;
pub(crate) mod selection;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use metrics::{Counter, Family, Gauge, Registry, Summary};
use model::storage::Queryable;

use crate::ast::{Expr, ValueType};
use crate::error::QueryError;
use crate::limits::{Budget, Limits, Pool};
use crate::parse::{ParseError, ParseOptions, parse_with};
use crate::profile::Profile;
use crate::row::Steps;
use crate::value::{QueryResult, QueryStats};
use bounds::time_range;
use context::{Clock, Context};
use needed::Needed;

/// What holds for all queries of an engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// How far back an instant selector looks, in milliseconds.
    pub lookback_ms: i64,
    /// Samples that one query may hold at once.
    pub max_samples: usize,
    /// Bytes that one query may hold at once; 0 is no limit.
    pub bytes_max: usize,
    /// Bytes that all queries together may hold at once; 0 is no limit.
    pub bytes_total_max: usize,
    /// How long one query may take.
    pub timeout: Duration,
    /// The step of subqueries that give none, in milliseconds.
    pub default_subquery_step_ms: i64,
}

/// Behaviour that Prometheus keeps behind feature flags.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// Which syntax is accepted.
    pub syntax: ParseOptions,
    /// Whether names are dropped at the end of a query instead of at each function (`promql-delayed-name-removal`).
    pub delayed_name_removal: bool,
    /// Whether start timestamps of samples are made use of (`use-start-timestamps`); else they count as unknown.
    pub use_start_timestamps: bool,
}

impl Default for Features {
    /// All syntax; names are dropped at once, start timestamps are not used.
    fn default() -> Self {
        Features {
            syntax: ParseOptions::ALL,
            delayed_name_removal: false,
            use_start_timestamps: false,
        }
    }
}

/// What holds for one query.
#[derive(Clone, Debug, Default)]
pub struct QueryOptions {
    /// Instead of the engine's lookback, in milliseconds, positive.
    pub lookback_ms: Option<i64>,
    /// Instead of the engine's timeout, if that is shorter.
    pub timeout: Option<Duration>,
    /// Set to true from another thread to end the query.
    pub cancel: Option<Arc<AtomicBool>>,
    /// Whether the statistics have the samples of each step.
    pub counts_steps: bool,
    /// Whether the result has the plan, with what each operator did.
    pub explains: bool,
}

/// Evaluates queries.
pub struct Engine {
    options: EngineOptions,
    features: Features,
    instruments: Instruments,
    pool: Arc<Pool>,
}

struct Instruments {
    queries: Gauge,
    concurrent_max: Gauge,
    durations: Family<Summary>,
    samples: Counter,
    refused: Family<Counter>,
}

/// One query in the gauge of queries, for as long as it lives; also when the query panics.
struct Running<'a>(&'a Gauge);

impl<'a> Running<'a> {
    fn new(queries: &'a Gauge) -> Self {
        queries.inc();
        Running(queries)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("options", &self.options)
            .field("features", &self.features)
            .finish_non_exhaustive()
    }
}

/// When an expression is evaluated.
#[derive(Clone, Copy, Debug)]
struct Times {
    steps: Steps,
    /// What was asked for as the end; not always a step.
    end: i64,
    is_instant: bool,
}

impl Times {
    /// The steps of a range query.
    fn range(start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        Times {
            steps: Steps::between(start_ms, end_ms, step_ms),
            end: end_ms,
            is_instant: false,
        }
    }
}

impl Engine {
    /// Returns an engine whose instruments are in `registry`.
    pub fn new(options: EngineOptions, registry: &Registry) -> Engine {
        let instruments = Instruments {
            queries: registry.gauge(
                "prometheus_engine_queries",
                "The current number of queries being executed or waiting.",
            ),
            concurrent_max: registry.gauge(
                "prometheus_engine_queries_concurrent_max",
                "The max number of concurrent queries.",
            ),
            durations: registry.summary_vec(
                "prometheus_engine_query_duration_seconds",
                "Query timings.",
                &["slice"],
                &[0.5, 0.9, 0.99],
            ),
            samples: registry.counter(
                "prometheus_engine_query_samples_total",
                "The total number of samples loaded by all queries.",
            ),
            refused: registry.counter_vec(
                "hearth_query_limits_reached_total",
                "Queries that ended at a limit.",
                &["limit"],
            ),
        };
        let pool = Pool::new(options.bytes_total_max, registry);
        Engine {
            options,
            pool,
            features: Features::default(),
            instruments,
        }
    }

    /// Returns the engine with other features.
    #[must_use]
    pub fn with_features(self, features: Features) -> Engine {
        Engine { features, ..self }
    }

    /// Returns which of the language's features are on.
    pub fn features(&self) -> Features {
        self.features
    }

    /// Says how many queries the caller lets run at once, for the metric; the engine itself limits none.
    pub fn set_concurrent_max(&self, queries: f64) {
        self.instruments.concurrent_max.set(queries);
    }

    /// Returns the tree of `query` in the syntax that this engine accepts.
    ///
    /// # Errors
    ///
    /// When the text is no PromQL.
    pub fn parse(&self, query: &str) -> Result<Expr, ParseError> {
        parse_with(query, &self.features.syntax)
    }

    /// Evaluates `query` at `at_ms`, milliseconds since the epoch.
    ///
    /// # Errors
    ///
    /// See [`QueryError`].
    pub fn instant(
        &self,
        storage: &dyn Queryable,
        query: &str,
        at_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        self.instant_expr(storage, &self.parse(query)?, at_ms, options)
    }

    /// Evaluates a parsed expression at `at_ms`, milliseconds since the epoch.
    ///
    /// # Errors
    ///
    /// See [`QueryError`].
    pub fn instant_expr(
        &self,
        storage: &dyn Queryable,
        expr: &Expr,
        at_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let times = Times {
            steps: Steps::one(at_ms),
            end: at_ms,
            is_instant: true,
        };
        self.run(storage, expr, times, options)
    }

    /// Evaluates `query` at `start_ms` and every `step_ms` from there up to `end_ms`, which is included if it is a
    /// step; milliseconds, the step positive.
    ///
    /// # Errors
    ///
    /// See [`QueryError`].
    pub fn range(
        &self,
        storage: &dyn Queryable,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        self.range_expr(
            storage,
            &self.parse(query)?,
            start_ms,
            end_ms,
            step_ms,
            options,
        )
    }

    /// Evaluates a parsed expression as [`range`](Engine::range) does.
    ///
    /// # Errors
    ///
    /// See [`QueryError`].
    pub fn range_expr(
        &self,
        storage: &dyn Queryable,
        expr: &Expr,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        if !matches!(expr.value_type(), ValueType::Scalar | ValueType::Vector) {
            let message = format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                expr.value_type().describe()
            );
            return Err(QueryError::Invalid(message));
        }
        if step_ms <= 0 {
            return Err(QueryError::execution(
                "the step of a range query must be positive",
            ));
        }
        let times = Times::range(start_ms, end_ms, step_ms);
        self.run(storage, expr, times, options)
    }

    fn run(
        &self,
        storage: &dyn Queryable,
        expr: &Expr,
        times: Times,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let _running = Running::new(&self.instruments.queries);
        let outcome = self.evaluate(storage, expr, Needed::of(expr), times, options);
        let limit = match &outcome {
            Err(QueryError::TooManySamples { .. }) => "samples",
            Err(QueryError::TooManyBytes { .. }) => "bytes",
            Err(QueryError::TooManyBytesTogether { .. }) => "total_bytes",
            Err(QueryError::Timeout) => "time",
            _ => return outcome,
        };
        self.instruments.refused.with(&[limit]).inc();
        outcome
    }

    /// Evaluates `expr` with the labels that are `needed`, or with all if others are missed.
    fn evaluate(
        &self,
        storage: &dyn Queryable,
        expr: &Expr,
        needed: Needed,
        times: Times,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let started = Instant::now();
        let clock = Clock::new(times, options, self);
        let budget = self.budget(times.steps.count, options)?;
        let (mint, maxt) = time_range(expr, &clock)?;
        let querier = storage.querier(mint, maxt)?;
        let new =
            |needed, budget| Context::new(&*querier, expr, clock, needed, budget, options, self);
        let mut context = new(needed, budget)?;
        let preparation = self.observe("prepare_time", started);
        let started = Instant::now();
        let mut sorting = Duration::ZERO;
        let mut run = |context: &Context<'_>| {
            result::evaluate(context, expr, times.steps, times.is_instant, &mut sorting)
        };
        let mut value = run(&context);
        if context.has_missed_labels() {
            context = new(Needed::all(), context.budget.cleared())?;
            value = run(&context);
        }
        let inner = self.observe("inner_eval", started).saturating_sub(sorting);
        let stats = QueryStats {
            preparation,
            inner,
            sorting,
            ..context.budget.stats()
        };
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        self.instruments.samples.add(stats.samples_total as f64);
        Ok(QueryResult {
            value: value?,
            annotations: context.notes.into_inner().into_annotations(),
            plan: context.profile.and_then(Profile::into_plan),
            stats,
        })
    }

    /// Returns what a query of so many steps may use.
    fn budget(&self, steps: usize, options: &QueryOptions) -> Result<Budget, QueryError> {
        let limits = &self.options;
        let timeout = options
            .timeout
            .map_or(limits.timeout, |t| t.min(limits.timeout));
        let budget = Budget::new(Limits {
            samples_max: limits.max_samples,
            bytes_max: limits.bytes_max,
            pool: Arc::clone(&self.pool),
            timeout,
            cancel: options.cancel.clone(),
            steps,
            counts_steps: options.counts_steps && steps <= limits.max_samples,
        });
        budget.fits(steps)?;
        Ok(budget)
    }

    /// Adds the time since `started` to the timings, and returns it.
    fn observe(&self, slice: &str, started: Instant) -> Duration {
        let took = started.elapsed();
        let slice = self.instruments.durations.with(&[slice]);
        slice.observe(took.as_secs_f64());
        took
    }
}

#[cfg(test)]
mod tests;
