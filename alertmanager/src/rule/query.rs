//! What rules ask for: instant queries.

use model::{Labels, SampleValue};
use promql::Expr;

/// One sample of a query's result.
#[derive(Clone, Debug, PartialEq)]
pub struct QueriedSample {
    /// Its series.
    pub labels: Labels,
    /// Its value.
    pub value: SampleValue,
}

/// Answers instant queries. Rules need nothing else of the engine, and tests bring their own.
pub trait RuleQuery: Send + Sync {
    /// Returns the vector of `expr` at `at_ms`; a scalar is a vector of one sample without labels.
    ///
    /// # Errors
    ///
    /// With the engine's message.
    fn vector(&self, expr: &Expr, at_ms: i64) -> Result<Vec<QueriedSample>, String>;

    /// Returns the same for a query as text, as templates ask.
    ///
    /// # Errors
    ///
    /// As [`vector`](RuleQuery::vector), and when the text is no PromQL.
    fn vector_of_text(&self, query: &str, at_ms: i64) -> Result<Vec<QueriedSample>, String> {
        let expr = promql::parse_with(query, &promql::ParseOptions::STABLE)
            .map_err(|error| error.to_string())?;
        self.vector(&expr, at_ms)
    }
}
