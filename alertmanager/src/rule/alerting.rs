//! Alerting rules: the state of each alert, and the series that tell of it.
//!
//! ```text
//!             expr true            for passed              expr false
//! (no alert) ──────────► pending ─────────────► firing ─────────────────► inactive (resolved) ──► forgotten
//!                           │  expr false          │  keep_firing_for      kept for 15 minutes,
//!                           ▼                      ▼  holds it here        told to the notifier
//!                        forgotten               firing
//! ```

use std::collections::{BTreeMap, HashSet};

use model::labels::METRIC_NAME;
use model::{Duration, Labels, LabelsBuilder, SampleValue};

use super::RuleError;
use super::append::Output;
use super::query::{QueriedSample, RuleExpr, RuleQuery};
use super::status::{AlertState, AlertStatus, AlertingStatus};
use crate::alert::Alert;
use crate::template::prometheus::{RULE_FUNCTIONS, Sample, graph_path, labels_value, sample_value};
use crate::template::{Environment, Mode, Object, ParseError, Template, Value};

/// The series that shows pending and firing alerts.
pub(crate) const ALERTS: &str = "ALERTS";
/// The series that keeps since when an alert is active, over restarts.
pub(crate) const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";
/// How long a resolved alert is still told to the notifier.
const RESOLVED_RETENTION_MS: i64 = 15 * 60 * 1_000;
/// What every rule template begins with, so that `$labels` and the others are there.
const TEMPLATE_PRELUDE: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
    {{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// An alerting rule as its file says.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertingConfig {
    /// The alert's name.
    pub alert: String,
    /// What is evaluated.
    pub expr: RuleExpr,
    /// How long the expression must be true before the alert fires.
    pub hold: Duration,
    /// How long the alert goes on firing after the expression became false.
    pub keep_firing_for: Duration,
    /// The labels that are set on the alert, those of the group included; values are templates.
    pub labels: Labels,
    /// What describes the alert; values are templates.
    pub annotations: Labels,
}

/// Parses a label's or annotation's template of the alert `alert`.
pub(super) fn parse_template(alert: &str, text: &str) -> Result<Template, ParseError> {
    Template::parse(
        &format!("__alert_{alert}"),
        &format!("{TEMPLATE_PRELUDE}{text}"),
        RULE_FUNCTIONS,
    )
}

/// One alert that is pending, firing, or was resolved not long ago.
#[derive(Clone, Debug)]
pub(super) struct ActiveAlert {
    pub(super) annotations: Labels,
    pub(super) state: AlertState,
    pub(super) value: f64,
    pub(super) active_at_ms: i64,
    fired_at_ms: i64,
    resolved_at_ms: Option<i64>,
    keep_firing_since_ms: Option<i64>,
    last_sent_ms: Option<i64>,
}

/// What rules see of the world besides their own state.
pub(super) struct AlertingContext<'a> {
    pub(super) query: &'a dyn RuleQuery,
    pub(super) external_labels: &'a Labels,
    pub(super) external_url: &'a str,
    pub(super) query_offset_ms: i64,
    pub(super) limit: usize,
}

/// An alerting rule with the state of its alerts.
#[derive(Debug)]
pub struct AlertingRule {
    config: AlertingConfig,
    labels: Vec<(String, Result<Template, ParseError>)>,
    annotations: Vec<(String, Result<Template, ParseError>)>,
    pub(super) active: BTreeMap<Labels, ActiveAlert>,
    /// Whether the state of the time before a restart was looked for; the `ALERTS` series wait for it, so that what they
    /// said is not overwritten first.
    pub(super) is_restored: bool,
}

impl AlertingRule {
    /// Returns the rule with no alert active.
    pub fn new(config: AlertingConfig) -> Self {
        let templates = |pairs: &Labels| {
            pairs
                .iter()
                .map(|(name, text)| (name.to_owned(), parse_template(&config.alert, text)))
                .collect()
        };
        AlertingRule {
            labels: templates(&config.labels),
            annotations: templates(&config.annotations),
            active: BTreeMap::new(),
            is_restored: true,
            config,
        }
    }

    /// Returns what the file says.
    pub fn config(&self) -> &AlertingConfig {
        &self.config
    }

    /// Evaluates the rule at `at_ms` and moves its alerts on; returns the series that tell of them.
    ///
    /// # Errors
    ///
    /// When the query fails, or the results are no distinct alerts, or too many; then nothing changes, except that over
    /// the limit all alerts are dropped.
    pub(super) fn evaluate(
        &mut self,
        at_ms: i64,
        context: &AlertingContext<'_>,
    ) -> Result<Vec<Output>, RuleError> {
        let query_at_ms = at_ms - context.query_offset_ms;
        let samples = context
            .query
            .vector(&self.config.expr, query_at_ms)
            .map_err(RuleError::Query)?;
        let mut seen = HashSet::with_capacity(samples.len());
        let mut results = Vec::with_capacity(samples.len());
        for sample in samples {
            let (labels, annotations) = self.expand(&sample, at_ms, context);
            if !seen.insert(labels.clone()) {
                return Err(RuleError::DuplicateLabels { what: "alert" });
            }
            results.push((labels, annotations, sample.value.as_float().unwrap_or(0.0)));
        }
        for (labels, annotations, value) in results {
            self.activate(labels, annotations, value, at_ms);
        }
        let hold_ms = self.config.hold.as_ms();
        let keep_firing_ms = self.config.keep_firing_for.as_ms();
        self.active.retain(|labels, alert| {
            alert.step(seen.contains(labels), at_ms, hold_ms, keep_firing_ms)
        });
        let found = self.live().count();
        if 0 < context.limit && context.limit < found {
            self.active.clear();
            return Err(RuleError::Limit {
                limit: context.limit,
                found,
                what: "alerts",
            });
        }
        if !self.is_restored {
            return Ok(Vec::new());
        }
        Ok(self
            .live()
            .flat_map(|(labels, alert)| outputs(labels, alert))
            .collect())
    }

    /// Iterates over the alerts that are pending or firing.
    pub(super) fn live(&self) -> impl Iterator<Item = (&Labels, &ActiveAlert)> {
        self.active
            .iter()
            .filter(|(_, alert)| alert.resolved_at_ms.is_none())
    }

    fn activate(&mut self, labels: Labels, annotations: Labels, value: f64, at_ms: i64) {
        match self.active.get_mut(&labels) {
            Some(alert) if alert.state != AlertState::Inactive => {
                alert.value = value;
                alert.annotations = annotations;
            }
            _ => {
                self.active
                    .insert(labels, ActiveAlert::pending(annotations, value, at_ms));
            }
        }
    }

    /// Returns the labels and annotations of the alert for one sample.
    fn expand(
        &self,
        sample: &QueriedSample,
        at_ms: i64,
        context: &AlertingContext<'_>,
    ) -> (Labels, Labels) {
        let data = Value::object(RuleData {
            labels: labels_value(&sample.labels),
            external_labels: labels_value(context.external_labels),
            external_url: Value::string(context.external_url),
            value: sample_value(&sample.value),
        });
        let world = RuleWorld {
            query: context.query,
            at_ms,
            query_at_ms: at_ms - context.query_offset_ms,
            external_url: context.external_url,
        };
        let expand = |template: &Result<Template, ParseError>| {
            match template {
            Err(error) => format!("<error expanding template: error parsing template __alert_{}: {error}>", self.config.alert),
            Ok(template) => template.execute(&data, &world, Mode::Text).unwrap_or_else(|error| {
                tracing::warn!(alert = self.config.alert, %error, "expanding an alert's template failed");
                format!("<error expanding template: error executing template __alert_{}: {error}>", self.config.alert)
            }),
        }
        };
        let mut labels = sample.labels.to_builder();
        labels.remove(METRIC_NAME);
        for (name, template) in &self.labels {
            labels.set(name, &expand(template));
        }
        labels.set("alertname", &self.config.alert);
        let mut annotations = LabelsBuilder::new();
        for (name, template) in &self.annotations {
            annotations.set(name, &expand(template));
        }
        (labels.build(), annotations.build())
    }

    /// Returns the alerts that the notifier should hear of now, and takes note that it did.
    ///
    /// Firing ones come at once and then every `resend_delay_ms`; resolved ones too, until they are forgotten.
    pub(super) fn alerts_to_send(
        &mut self,
        at_ms: i64,
        interval_ms: i64,
        resend_delay_ms: i64,
        external_url: &str,
    ) -> Vec<Alert> {
        let generator_url = format!("{external_url}{}", graph_path(self.config.expr.text(), 1));
        let valid_until_ms = at_ms + 4 * interval_ms.max(resend_delay_ms);
        let mut alerts = Vec::new();
        for (labels, alert) in &mut self.active {
            if !alert.needs_sending(at_ms, resend_delay_ms) {
                continue;
            }
            alert.last_sent_ms = Some(at_ms);
            alerts.push(Alert {
                labels: labels.clone(),
                annotations: alert.annotations.clone(),
                starts_at_ms: alert.fired_at_ms,
                ends_at_ms: Some(alert.resolved_at_ms.unwrap_or(valid_until_ms)),
                generator_url: generator_url.clone(),
            });
        }
        alerts
    }

    /// Takes over the alerts of the rule that this one replaces after a reload.
    pub(super) fn adopt(&mut self, old: AlertingRule) {
        self.active = old.active;
        self.is_restored = old.is_restored;
    }

    /// Returns the state of the rule; `is_evaluated` says whether it ever was.
    pub(super) fn status(&self, is_evaluated: bool) -> AlertingStatus {
        let worst = self.active.values().map(|alert| alert.state).max();
        AlertingStatus {
            state: match (is_evaluated, worst) {
                (false, _) => AlertState::Unknown,
                (true, worst) => worst.unwrap_or(AlertState::Inactive),
            },
            duration: self.config.hold,
            keep_firing_for: self.config.keep_firing_for,
            annotations: self.config.annotations.clone(),
            alerts: self
                .live()
                .map(|(labels, alert)| alert.status(labels))
                .collect(),
        }
    }
}

impl ActiveAlert {
    fn pending(annotations: Labels, value: f64, at_ms: i64) -> Self {
        ActiveAlert {
            annotations,
            state: AlertState::Pending,
            value,
            active_at_ms: at_ms,
            fired_at_ms: at_ms,
            resolved_at_ms: None,
            keep_firing_since_ms: None,
            last_sent_ms: None,
        }
    }

    /// Moves the alert on at `at_ms`, given whether its expression is true; returns whether it is still worth keeping.
    fn step(&mut self, is_true: bool, at_ms: i64, hold_ms: i64, keep_firing_ms: i64) -> bool {
        if is_true {
            self.keep_firing_since_ms = None;
        } else {
            let keeps_firing = self.state == AlertState::Firing && 0 < keep_firing_ms && {
                let since_ms = *self.keep_firing_since_ms.get_or_insert(at_ms);
                at_ms - since_ms < keep_firing_ms
            };
            if !keeps_firing {
                let is_forgotten = self
                    .resolved_at_ms
                    .is_some_and(|resolved_ms| RESOLVED_RETENTION_MS < at_ms - resolved_ms);
                if self.state == AlertState::Pending || is_forgotten {
                    return false;
                }
                if self.state == AlertState::Firing {
                    self.state = AlertState::Inactive;
                    self.resolved_at_ms = Some(at_ms);
                }
                return true;
            }
        }
        if self.state == AlertState::Pending && hold_ms <= at_ms - self.active_at_ms {
            self.state = AlertState::Firing;
            self.fired_at_ms = at_ms;
        }
        true
    }

    fn needs_sending(&self, at_ms: i64, resend_delay_ms: i64) -> bool {
        if self.state == AlertState::Pending {
            return false;
        }
        let Some(last_sent_ms) = self.last_sent_ms else {
            return true;
        };
        let resolved_since = self
            .resolved_at_ms
            .is_some_and(|resolved_ms| last_sent_ms < resolved_ms);
        resolved_since || last_sent_ms + resend_delay_ms < at_ms
    }

    fn status(&self, labels: &Labels) -> AlertStatus {
        AlertStatus {
            labels: labels.clone(),
            annotations: self.annotations.clone(),
            state: self.state,
            active_at_ms: self.active_at_ms,
            keep_firing_since_ms: self.keep_firing_since_ms,
            value: self.value,
        }
    }
}

/// Returns the `ALERTS` and `ALERTS_FOR_STATE` samples of an alert.
fn outputs(labels: &Labels, alert: &ActiveAlert) -> [Output; 2] {
    let named = |name: &str, state: Option<AlertState>| {
        let mut builder = labels.to_builder();
        builder.set(METRIC_NAME, name);
        if let Some(state) = state {
            builder.set("alertstate", state.as_str());
        }
        builder.build()
    };
    let active_at_seconds = alert.active_at_ms.div_euclid(1_000) as f64;
    [
        (named(ALERTS, Some(alert.state)), SampleValue::Float(1.0)),
        (
            named(ALERTS_FOR_STATE, None),
            SampleValue::Float(active_at_seconds),
        ),
    ]
}

/// What a rule template sees as `.`.
#[derive(Clone, Debug)]
struct RuleData {
    labels: Value,
    external_labels: Value,
    external_url: Value,
    value: Value,
}

impl Object for RuleData {
    fn type_name(&self) -> &str {
        "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }"
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Labels" => Some(self.labels.clone()),
            "ExternalLabels" => Some(self.external_labels.clone()),
            "ExternalURL" => Some(self.external_url.clone()),
            "Value" => Some(self.value.clone()),
            _ => None,
        }
    }

    fn print(&self) -> String {
        format!(
            "{{{} {} {} {}}}",
            self.labels, self.external_labels, self.external_url, self.value
        )
    }
}

struct RuleWorld<'a> {
    query: &'a dyn RuleQuery,
    at_ms: i64,
    query_at_ms: i64,
    external_url: &'a str,
}

impl Environment for RuleWorld<'_> {
    fn query(&self, query: &str) -> Result<Value, String> {
        let samples = self.query.vector_of_text(query, self.query_at_ms)?;
        let samples = samples
            .into_iter()
            .map(|sample| Value::object(Sample::new(sample.labels, &sample.value)));
        Ok(Value::list("template.queryResult", samples.collect()))
    }

    fn now_ms(&self) -> i64 {
        self.at_ms
    }

    fn external_url(&self) -> &str {
        self.external_url
    }
}
