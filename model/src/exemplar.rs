//! Exemplars: a sample that points at one event, usually by a trace id.

use crate::labels::Labels;

/// One exemplar of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// The exemplar's own labels; at most [`LABELS_RUNES_MAX`] characters in all.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// When it was observed, milliseconds since the epoch; `None` takes the sample's time.
    pub t: Option<i64>,
}

/// How many characters an exemplar's label names and values may have together.
///
/// Source: OpenMetrics 1.0, exemplars.
pub const LABELS_RUNES_MAX: usize = 128;
