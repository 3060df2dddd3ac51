//! Recording rules: the result of a query, stored under a new name.

use std::collections::HashSet;

use model::Labels;
use model::labels::METRIC_NAME;

use super::RuleError;
use super::append::Output;
use super::query::{RuleExpr, RuleQuery};

/// A recording rule as its file says.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordingConfig {
    /// The metric name of the results.
    pub record: String,
    /// What is evaluated.
    pub expr: RuleExpr,
    /// The labels that are set on the results, those of the group included.
    pub labels: Labels,
}

impl RecordingConfig {
    /// Returns the rule's results at `at_ms`.
    pub(super) fn evaluate(
        &self,
        query: &dyn RuleQuery,
        at_ms: i64,
        limit: usize,
    ) -> Result<Vec<Output>, RuleError> {
        let samples = query.vector(&self.expr, at_ms).map_err(RuleError::Query)?;
        let mut seen = HashSet::with_capacity(samples.len());
        let mut outputs = Vec::with_capacity(samples.len());
        for sample in samples {
            let mut builder = sample.labels.to_builder();
            builder.set(METRIC_NAME, &self.record);
            for (name, value) in &self.labels {
                builder.set(name, value);
            }
            let labels = builder.build();
            if !seen.insert(labels.clone()) {
                return Err(RuleError::DuplicateLabels { what: "rule" });
            }
            outputs.push((labels, sample.value));
        }
        if 0 < limit && limit < outputs.len() {
            return Err(RuleError::Limit {
                limit,
                found: outputs.len(),
                what: "series",
            });
        }
        Ok(outputs)
    }
}
