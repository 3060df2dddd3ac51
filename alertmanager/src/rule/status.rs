//! Snapshots for the API: all that `/api/v1/rules` and `/api/v1/alerts` print.

use model::{Duration, Labels};

/// How a rule's last evaluation went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Health {
    /// It was not evaluated yet.
    #[default]
    Unknown,
    /// Well.
    Ok,
    /// Badly; see [`RuleStatus::last_error`].
    Err,
}

impl Health {
    /// Returns the word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Ok => "ok",
            Health::Err => "err",
        }
    }
}

/// The state of an alert, and of an alerting rule: its worst alert's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertState {
    /// The rule was not evaluated yet.
    Unknown,
    /// Not active, or resolved.
    Inactive,
    /// Active, but not yet for as long as the rule's `for`.
    Pending,
    /// Firing.
    Firing,
}

impl AlertState {
    /// Returns the word of the API, which is also the `alertstate` label of `ALERTS`.
    pub const fn as_str(self) -> &'static str {
        match self {
            AlertState::Unknown => "unknown",
            AlertState::Inactive => "inactive",
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
        }
    }
}

/// One group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupStatus {
    /// Its name, unique in its file.
    pub name: String,
    /// The file's path as it was given.
    pub file: String,
    /// Time between evaluations.
    pub interval: Duration,
    /// How far in the past its queries look.
    pub query_offset: Duration,
    /// How many series or alerts a rule may have; 0 is no limit.
    pub limit: usize,
    /// Its rules, in order.
    pub rules: Vec<RuleStatus>,
    /// How long the last evaluation took.
    pub evaluation_seconds: f64,
    /// When the last evaluation began, milliseconds since the epoch; `None` before the first.
    pub last_evaluation_ms: Option<i64>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleStatus {
    /// The name of the series that it records, or of its alert.
    pub name: String,
    /// Its expression, as the parser prints it.
    pub query: String,
    /// The labels that it sets, with those of its group; templates unexpanded.
    pub labels: Labels,
    /// How the last evaluation went.
    pub health: Health,
    /// Why it went badly.
    pub last_error: Option<String>,
    /// How long it took.
    pub evaluation_seconds: f64,
    /// When it began, milliseconds since the epoch; `None` before the first.
    pub last_evaluation_ms: Option<i64>,
    /// What only alerting rules have.
    pub alerting: Option<AlertingStatus>,
}

/// What only alerting rules have.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertingStatus {
    /// The state of its worst alert.
    pub state: AlertState,
    /// Its `for`.
    pub duration: Duration,
    /// Its `keep_firing_for`.
    pub keep_firing_for: Duration,
    /// Its annotations, templates unexpanded.
    pub annotations: Labels,
    /// Its pending and firing alerts, by labels.
    pub alerts: Vec<AlertStatus>,
}

/// One pending or firing alert.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertStatus {
    /// Its labels, `alertname` among them.
    pub labels: Labels,
    /// Its annotations, expanded.
    pub annotations: Labels,
    /// Pending or firing.
    pub state: AlertState,
    /// Since when its expression is true, milliseconds since the epoch.
    pub active_at_ms: i64,
    /// Since when it fires only because of `keep_firing_for`.
    pub keep_firing_since_ms: Option<i64>,
    /// The expression's value. The API prints it with `model::float::format_exponent`.
    pub value: f64,
}
