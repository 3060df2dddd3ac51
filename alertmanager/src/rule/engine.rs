//! Rules' queries answered by the PromQL engine.

use std::sync::Arc;

use model::storage::Queryable;
use model::{Labels, SampleValue};
use promql::{
    Engine, Expr, MatrixSeries, ParseError, QueryError, QueryOptions, QueryResult, Value,
};

use super::query::{QueriedSample, QueriedSeries, QuerySteps, RuleExpr, RuleQuery};

/// Runs the queries of rules on the engine. Each query obeys the engine's limits.
pub struct EngineQuery {
    engine: Arc<Engine>,
    storage: Arc<dyn Queryable>,
    options: QueryOptions,
}

impl EngineQuery {
    /// Returns an answerer that reads `storage`.
    pub fn new(engine: Arc<Engine>, storage: Arc<dyn Queryable>) -> Self {
        EngineQuery {
            engine,
            storage,
            options: QueryOptions::default(),
        }
    }

    /// Returns it with `options` for every query.
    #[must_use]
    pub fn with_options(self, options: QueryOptions) -> Self {
        EngineQuery { options, ..self }
    }

    /// Returns the expression that a text is.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn parse(&self, query: &str) -> Result<Expr, ParseError> {
        self.engine.parse(query)
    }

    /// Returns the value of an expression at `at_ms`, with what it took.
    ///
    /// # Errors
    ///
    /// Those of the engine.
    pub fn evaluate(&self, expr: &Expr, at_ms: i64) -> Result<QueryResult, QueryError> {
        self.engine
            .instant_expr(&*self.storage, expr, at_ms, &self.options)
    }

    /// Returns what [`evaluate`](Self::evaluate) returned as rules take it.
    ///
    /// # Errors
    ///
    /// That of the engine, and when the value is neither a vector nor a scalar.
    pub fn samples(result: Result<QueryResult, QueryError>) -> Result<Vec<QueriedSample>, String> {
        match result.map_err(|error| error.to_string())?.value {
            Value::Vector(samples) => Ok(samples
                .into_iter()
                .map(|sample| QueriedSample {
                    labels: sample.labels,
                    value: sample.value,
                })
                .collect()),
            Value::Scalar { value, .. } => Ok(vec![QueriedSample {
                labels: Labels::empty(),
                value: SampleValue::Float(value),
            }]),
            Value::String { .. } | Value::Matrix(_) => {
                Err("rule result is not a vector or scalar".to_owned())
            }
        }
    }
}

impl RuleQuery for EngineQuery {
    fn vector(&self, expr: &RuleExpr, at_ms: i64) -> Result<Vec<QueriedSample>, String> {
        Self::samples(self.evaluate(expr, at_ms))
    }

    fn vector_of_text(&self, query: &str, at_ms: i64) -> Result<Vec<QueriedSample>, String> {
        let expr = self.parse(query).map_err(|error| error.to_string())?;
        self.vector(&expr.into(), at_ms)
    }

    fn range(
        &self,
        expr: &RuleExpr,
        steps: QuerySteps,
    ) -> Option<Result<Vec<QueriedSeries>, String>> {
        let result = self.engine.range_expr(
            &*self.storage,
            expr,
            steps.start_ms,
            steps.end_ms,
            steps.step_ms,
            &self.options,
        );
        Some(match result.map(|result| result.value) {
            Ok(Value::Matrix(series)) => Ok(series.into_iter().map(queried_series).collect()),
            Ok(_) => Err("range query result is not a matrix".to_owned()),
            Err(error) => Err(error.to_string()),
        })
    }
}

/// Returns a series with its floats and histograms in one list.
fn queried_series(series: MatrixSeries) -> QueriedSeries {
    let floats = series.floats.into_iter();
    let mut samples: Vec<_> = floats.map(|(t, v)| (t, SampleValue::Float(v))).collect();
    if !series.histograms.is_empty() {
        let histograms = series.histograms.into_iter();
        samples.extend(histograms.map(|(t, h)| (t, SampleValue::Histogram(h))));
        samples.sort_by_key(|&(t, _)| t);
    }
    QueriedSeries {
        labels: series.labels,
        samples,
    }
}

#[cfg(test)]
mod tests {
    use metrics::Registry;
    use promql::EngineOptions;

    use super::*;
    use crate::rule::testing::VecStorage;

    #[track_caller]
    fn check(query: &str, expected: Result<&[(&str, f64)], &str>) {
        let storage = VecStorage::default();
        for (job, value) in [("a", 1.0), ("b", 0.0)] {
            let labels = Labels::from_pairs([("__name__", "up"), ("job", job)]);
            storage
                .0
                .lock()
                .unwrap()
                .insert(labels, vec![(60_000, value)]);
        }
        let options = EngineOptions {
            lookback_ms: 300_000,
            max_samples: 1_000_000,
            bytes_max: 0,
            bytes_total_max: 0,
            timeout: std::time::Duration::from_secs(10),
            default_subquery_step_ms: 60_000,
        };
        let engine = Engine::new(options, &Registry::new());
        let query_engine = EngineQuery::new(Arc::new(engine), Arc::new(storage));
        let found = query_engine.vector_of_text(query, 90_000).map(|samples| {
            let mut samples: Vec<_> = samples
                .into_iter()
                .map(|sample| (sample.labels.to_string(), sample.value.as_float().unwrap()))
                .collect();
            samples.sort_by(|a, b| a.0.cmp(&b.0));
            samples
        });
        let expected =
            expected.map(|samples| samples.iter().map(|(l, v)| ((*l).to_owned(), *v)).collect());
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn vectors_and_scalars_are_answers() {
        check(
            "up",
            Ok(&[(r#"up{job="a"}"#, 1.0), (r#"up{job="b"}"#, 0.0)]),
        );
        check("up == 0", Ok(&[(r#"up{job="b"}"#, 0.0)]));
        check("1 + 1", Ok(&[("{}", 2.0)]));
    }

    #[test]
    fn other_answers_are_errors() {
        check("\"text\"", Err("rule result is not a vector or scalar"));
        check("up[5m]", Err("rule result is not a vector or scalar"));
    }
}
