//! Rules: PromQL that is evaluated on a clock, for new series (recording) or for alerts (alerting).
//!
//! ```text
//! file ──► GroupConfig ──► Group ── evaluate(at) ──► samples to storage, alerts to the notifier
//!                            ▲
//!                 manager ───┘ timers, tasks, reload
//! ```
//!
//! [`backtest`] does the same over the past, and writes nothing. Everything but [`manager`] is synchronous and takes the time as an argument.

pub mod alerting;
mod append;
pub mod backtest;
pub mod clock;
pub mod engine;
pub mod file;
pub mod group;
pub mod manager;
mod metrics;
pub mod query;
pub mod recording;
mod restore;
pub mod status;

#[cfg(test)]
mod conformance;
#[cfg(test)]
pub(crate) mod testing;

use model::storage::AppendError;

/// Why one evaluation of a rule failed. The texts are Prometheus', users alert on them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The query failed.
    #[error("{0}")]
    Query(String),
    /// After the rule's labels were set, two results were the same series.
    #[error("vector contains metrics with the same labelset after applying {what} labels")]
    DuplicateLabels {
        /// `rule` or `alert`.
        what: &'static str,
    },
    /// The group's limit was exceeded; all results of the rule are dropped.
    #[error("exceeded limit of {limit} with {found} {what}")]
    Limit {
        /// The group's limit.
        limit: usize,
        /// How many there were.
        found: usize,
        /// `series` or `alerts`.
        what: &'static str,
    },
    /// Storage refused the results.
    #[error("{0}")]
    Append(#[from] AppendError),
}
