//! What queries return.

use std::sync::Arc;
use std::time::Duration;

use model::{FloatHistogram, Labels, SampleValue};

use crate::annotations::Annotations;
use crate::ast::ValueType;
use crate::profile::PlanNode;

/// A query's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryResult {
    /// The value.
    pub value: Value,
    /// What the engine has to say about it.
    pub annotations: Annotations,
    /// What it took.
    pub stats: QueryStats,
    /// What each operator did, if [`explains`](crate::QueryOptions::explains) asked for it and there was one.
    pub plan: Option<PlanNode>,
}

/// What a query took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Samples looked at, each as often as a step looked at it. What a subquery looks at does not count, its result does.
    pub samples_total: u64,
    /// The same for each step, if [`counts_steps`](crate::QueryOptions::counts_steps) asked for it.
    pub samples_per_step: Option<Vec<u64>>,
    /// Samples held at once, at most.
    pub samples_peak: u64,
    /// Bytes held at once, at most.
    pub bytes_peak: u64,
    /// Opening storage and looking at the expression.
    pub preparation: Duration,
    /// Evaluation, without the sorting of the result.
    pub inner: Duration,
    /// Sorting the result of a range query.
    pub sorting: Duration,
}

/// The value of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// One number.
    Scalar {
        /// When; milliseconds since the epoch.
        t: i64,
        /// The number.
        value: f64,
    },
    /// A text.
    String {
        /// When; milliseconds since the epoch.
        t: i64,
        /// The text.
        value: String,
    },
    /// At most one sample per label set, in the order of evaluation.
    Vector(Vec<VectorSample>),
    /// Samples of each label set, sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

impl Value {
    /// Returns the shape.
    pub fn value_type(&self) -> ValueType {
        match self {
            Value::Scalar { .. } => ValueType::Scalar,
            Value::String { .. } => ValueType::String,
            Value::Vector(_) => ValueType::Vector,
            Value::Matrix(_) => ValueType::Matrix,
        }
    }
}

/// One element of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    /// Its labels.
    pub labels: Labels,
    /// When; milliseconds since the epoch.
    pub t: i64,
    /// The value.
    pub value: SampleValue,
}

/// One series of a range vector.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its float samples: time and value, ascending.
    pub floats: Vec<(i64, f64)>,
    /// Its histogram samples: time and value, ascending, at other times than the floats.
    pub histograms: Vec<(i64, Arc<FloatHistogram>)>,
}
