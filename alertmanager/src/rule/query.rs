//! What rules ask for: instant queries.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use model::{Labels, SampleValue};
use promql::Expr;

/// The expression of a rule with its text, which is printed once: a rule is evaluated, logged and shown far more often than
/// it is loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleExpr {
    expr: Expr,
    text: Arc<str>,
}

impl RuleExpr {
    /// Returns the expression as it is printed.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }
}

impl From<Expr> for RuleExpr {
    fn from(expr: Expr) -> Self {
        let text = expr.to_string().into();
        RuleExpr { expr, text }
    }
}

impl Deref for RuleExpr {
    type Target = Expr;

    fn deref(&self) -> &Expr {
        &self.expr
    }
}

impl fmt::Display for RuleExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One sample of a query's result.
#[derive(Clone, Debug, PartialEq)]
pub struct QueriedSample {
    /// Its series.
    pub labels: Labels,
    /// Its value.
    pub value: SampleValue,
}

/// One series of a range query's result.
#[derive(Clone, Debug, PartialEq)]
pub struct QueriedSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its values at the steps where it has one, ascending in time; milliseconds since the epoch.
    pub samples: Vec<(i64, SampleValue)>,
}

/// The steps of a range query, in milliseconds; both ends are steps, and the distance is positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuerySteps {
    /// The first.
    pub start_ms: i64,
    /// The last.
    pub end_ms: i64,
    /// The distance from one to the next.
    pub step_ms: i64,
}

/// Answers instant queries. Rules need nothing else of the engine, and tests bring their own.
pub trait RuleQuery: Send + Sync {
    /// Returns what answers the queries of one group, if that is not this itself.
    ///
    /// * `file`: the path of the group's file.
    fn of_group(&self, file: &str, name: &str) -> Option<Box<dyn RuleQuery>> {
        let _ = (file, name);
        None
    }

    /// Returns the vector of `expr` at `at_ms`; a scalar is a vector of one sample without labels.
    ///
    /// # Errors
    ///
    /// With the engine's message.
    fn vector(&self, expr: &RuleExpr, at_ms: i64) -> Result<Vec<QueriedSample>, String>;

    /// Returns the same for a query as text, as templates ask.
    ///
    /// # Errors
    ///
    /// As [`vector`](RuleQuery::vector), and when the text is no PromQL.
    fn vector_of_text(&self, query: &str, at_ms: i64) -> Result<Vec<QueriedSample>, String> {
        let expr = promql::parse_with(query, &promql::ParseOptions::STABLE)
            .map_err(|error| error.to_string())?;
        self.vector(&expr.into(), at_ms)
    }

    /// Returns what [`vector`](RuleQuery::vector) returns at each of many steps, as series; `None` from an answerer that
    /// is not faster so.
    ///
    /// # Errors
    ///
    /// When the query fails as a whole. That says nothing of a single step, which may be asked for alone.
    fn range(
        &self,
        expr: &RuleExpr,
        steps: QuerySteps,
    ) -> Option<Result<Vec<QueriedSeries>, String>> {
        let _ = (expr, steps);
        None
    }
}
