//! One group of rules and their state.
//!
//! The rules of a group are evaluated in order at one time, so that later ones see what earlier ones recorded.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Instant;

use metrics::Registry;
use model::storage::{Appendable, Queryable};
use model::trace::{SpanKind, Tracer};
use model::{Duration, Labels};

use super::RuleError;
use super::alerting::{AlertingContext, AlertingRule};
use super::append::{append_outputs, end_series};
use super::clock::RuleClock;
use super::file::{GroupConfig, RuleConfig};
use super::metrics::{GroupMetrics, RuleMetrics};
use super::query::RuleQuery;
use super::recording::RecordingConfig;
pub use super::restore::RestoreOptions;
use super::restore::restore;
use super::status::{GroupStatus, Health, RuleStatus};
use crate::alert::Alert;

/// What a group's evaluation sees of the world.
pub struct EvaluationContext<'a> {
    /// Answers the rules' queries.
    pub query: &'a dyn RuleQuery,
    /// Takes the results.
    pub storage: &'a dyn Appendable,
    /// How long to wait before a firing alert is sent again.
    pub resend_delay: Duration,
    /// Makes spans of evaluations.
    pub tracer: &'a Tracer,
}

/// What a group needs to know besides its file.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupSettings {
    /// Time between evaluations where the group does not say.
    pub interval: Duration,
    /// How far in the past queries look where the group does not say.
    pub query_offset: Duration,
    /// What identifies this server among others; for templates, and set on alerts that lack them.
    pub external_labels: Labels,
    /// The URL under which this server is reached, without a slash at the end.
    pub external_url: String,
}

impl Default for GroupSettings {
    fn default() -> Self {
        GroupSettings {
            interval: Duration::from_secs(60),
            query_offset: Duration::ZERO,
            external_labels: Labels::empty(),
            external_url: String::new(),
        }
    }
}

/// A group with the state of its rules.
pub struct Group {
    config: GroupConfig,
    settings: GroupSettings,
    rules: Vec<Rule>,
    /// Series that rules of an earlier configuration made and no rule makes any more.
    orphans: HashSet<Labels>,
    metrics: GroupMetrics,
    shared_metrics: RuleMetrics,
    evaluation_seconds: f64,
    last_evaluation_ms: Option<i64>,
}

struct Rule {
    kind: Kind,
    /// The series of the last evaluation that succeeded.
    previous: HashSet<Labels>,
    health: Health,
    last_error: Option<String>,
    evaluation_seconds: f64,
    last_evaluation_ms: Option<i64>,
}

/// How a rule stands after an evaluation.
pub(super) struct RuleView<'a> {
    /// Why the evaluation failed.
    pub(super) error: Option<&'a str>,
    /// Series of the last evaluation that succeeded.
    pub(super) series: usize,
    /// The rule, if it is an alerting one.
    pub(super) alerting: Option<&'a AlertingRule>,
}

enum Kind {
    Recording(RecordingConfig),
    Alerting(AlertingRule),
}

impl Group {
    /// Returns the group with fresh rules.
    ///
    /// With `waits_for_restore` the rules write no `ALERTS` series before [`restore`](Group::restore).
    pub(crate) fn new(
        config: GroupConfig,
        settings: GroupSettings,
        metrics: &RuleMetrics,
        waits_for_restore: bool,
    ) -> Self {
        let rules: Vec<_> = config
            .rules
            .iter()
            .map(|rule| Rule::new(rule.clone(), waits_for_restore))
            .collect();
        let instruments = metrics.group(&group_label(&config));
        instruments.rules.set(rules.len() as f64);
        let group = Group {
            config,
            settings,
            rules,
            orphans: HashSet::new(),
            metrics: instruments,
            shared_metrics: metrics.clone(),
            evaluation_seconds: 0.0,
            last_evaluation_ms: None,
        };
        group.metrics.interval.set(group.interval().as_secs_f64());
        group
    }

    /// Returns a group that is evaluated by hand, without a manager: for unit tests of rules.
    pub fn alone(config: GroupConfig, settings: GroupSettings, registry: &Registry) -> Self {
        Self::new(config, settings, &RuleMetrics::new(registry), false)
    }

    /// Returns the rules whose last evaluation failed, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        let failed = self.rules.iter();
        failed.filter_map(|rule| Some((rule.name(), rule.last_error.as_deref()?)))
    }

    /// Returns the group's name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Returns the time between evaluations.
    pub fn interval(&self) -> Duration {
        self.config.interval.unwrap_or(self.settings.interval)
    }

    /// Returns when the group is evaluated.
    pub fn clock(&self) -> RuleClock {
        RuleClock::new(&self.config.file, &self.config.name, self.interval())
    }

    /// Returns whether a group made of these would behave as this one does.
    pub(crate) fn is_same(&self, config: &GroupConfig, settings: &GroupSettings) -> bool {
        self.config == *config && self.settings == *settings
    }

    fn query_offset_ms(&self) -> i64 {
        self.config
            .query_offset
            .unwrap_or(self.settings.query_offset)
            .as_ms()
    }

    /// Takes over the state of the group that this one replaces: rules that are still there go on with their alerts and
    /// series; the series of the others end with the next evaluation.
    pub(crate) fn adopt(&mut self, old: Group) {
        self.evaluation_seconds = old.evaluation_seconds;
        self.last_evaluation_ms = old.last_evaluation_ms;
        self.orphans.extend(old.orphans);
        let mut by_key: BTreeMap<(String, Labels), VecDeque<Rule>> = BTreeMap::new();
        for rule in old.rules {
            by_key.entry(rule.key()).or_default().push_back(rule);
        }
        for rule in &mut self.rules {
            let Some(old) = by_key.get_mut(&rule.key()).and_then(VecDeque::pop_front) else {
                continue;
            };
            rule.previous = old.previous;
            if let (Kind::Alerting(rule), Kind::Alerting(old)) = (&mut rule.kind, old.kind) {
                rule.adopt(old);
            }
        }
        for rule in by_key.into_values().flatten() {
            self.orphans.extend(rule.previous);
        }
    }

    /// Evaluates all rules at `at_ms`, stores what they make, and returns the alerts to send.
    ///
    /// A rule that fails is noted in its status and the others go on; its series do not end.
    pub fn evaluate(&mut self, at_ms: i64, context: &EvaluationContext<'_>) -> Vec<Alert> {
        let start = Instant::now();
        let mut alerts = Vec::new();
        for index in 0..self.rules.len() {
            alerts.extend(self.evaluate_rule(index, at_ms, context));
        }
        self.end_orphans(at_ms, context.storage);
        self.note_evaluation(start, at_ms);
        self.add_external_labels(&mut alerts);
        alerts
    }

    fn evaluate_rule(
        &mut self,
        index: usize,
        at_ms: i64,
        context: &EvaluationContext<'_>,
    ) -> Vec<Alert> {
        let start = Instant::now();
        let query_offset_ms = self.query_offset_ms();
        let interval_ms = self.interval().as_ms();
        let alerting = AlertingContext {
            query: context.query,
            external_labels: &self.settings.external_labels,
            external_url: &self.settings.external_url,
            query_offset_ms,
            limit: self.config.limit,
        };
        let rule = &mut self.rules[index];
        let mut span = context.tracer.begin("rule", SpanKind::Internal, None);
        if span.is_recorded() {
            span.set("name", rule.name());
            span.set("group", self.config.name.as_str());
        }
        let entered = span.enter();
        let result = rule.evaluate(at_ms, &alerting, context.storage);
        drop(entered);
        if let Err(error) = &result {
            span.fail(error);
        }
        drop(span);
        rule.evaluation_seconds = start.elapsed().as_secs_f64();
        rule.last_evaluation_ms = Some(at_ms);
        self.metrics.evaluations.inc();
        self.shared_metrics
            .evaluation_duration
            .observe(rule.evaluation_seconds);
        if let Err(error) = &result {
            self.metrics.evaluation_failures.inc();
            tracing::warn!(file = self.config.file, group = self.config.name, rule = rule.name(), %error, "evaluating a rule failed");
        }
        rule.health = if result.is_ok() {
            Health::Ok
        } else {
            Health::Err
        };
        rule.last_error = result.as_ref().err().map(ToString::to_string);
        match &mut rule.kind {
            // Alerts are told even when their series could not be stored: it is then that they matter.
            Kind::Alerting(alerting) if matches!(result, Ok(()) | Err(RuleError::Append(_))) => {
                let resend_delay_ms = context.resend_delay.as_ms();
                alerting.alerts_to_send(
                    at_ms,
                    interval_ms,
                    resend_delay_ms,
                    &self.settings.external_url,
                )
            }
            _ => Vec::new(),
        }
    }

    fn end_orphans(&mut self, at_ms: i64, storage: &dyn Appendable) {
        if self.orphans.is_empty() {
            return;
        }
        let live: HashSet<&Labels> = self.rules.iter().flat_map(|rule| &rule.previous).collect();
        let gone = self.orphans.iter().filter(|labels| !live.contains(labels));
        if let Err(error) = end_series(storage, at_ms - self.query_offset_ms(), gone) {
            tracing::warn!(group = self.config.name, %error, "series of removed rules could not be ended");
        }
        self.orphans.clear();
    }

    /// Ends all series of the group, which is no more, as of `at_ms`.
    pub(crate) fn end_all(&self, at_ms: i64, storage: &dyn Appendable) {
        let series = self
            .rules
            .iter()
            .flat_map(|rule| &rule.previous)
            .chain(&self.orphans);
        if let Err(error) = end_series(storage, at_ms, series) {
            tracing::warn!(group = self.config.name, %error, "series of a removed group could not be ended");
        }
    }

    fn note_evaluation(&mut self, start: Instant, at_ms: i64) {
        self.evaluation_seconds = start.elapsed().as_secs_f64();
        self.last_evaluation_ms = Some(at_ms);
        self.shared_metrics
            .group_duration
            .observe(self.evaluation_seconds);
        self.metrics.last_duration.set(self.evaluation_seconds);
        self.metrics.last_evaluation.set(at_ms as f64 / 1_000.0);
        self.metrics.iterations.inc();
    }

    /// Counts evaluations that were due but could not be run in time.
    pub(crate) fn note_missed(&self, missed: u64) {
        self.metrics.iterations.add(missed as f64);
        self.metrics.iterations_missed.add(missed as f64);
    }

    fn add_external_labels(&self, alerts: &mut [Alert]) {
        for alert in alerts {
            let mut builder = alert.labels.to_builder();
            for (name, value) in &self.settings.external_labels {
                if builder.get(name).is_none() {
                    builder.set(name, value);
                }
            }
            alert.labels = builder.build();
        }
    }

    /// Gives active alerts the start that storage remembers, see [`RestoreOptions`]. Called once after a start, when the
    /// rules were evaluated twice.
    pub fn restore(&mut self, now_ms: i64, storage: &dyn Queryable, options: RestoreOptions) {
        for rule in &mut self.rules {
            let Kind::Alerting(alerting) = &mut rule.kind else {
                continue;
            };
            if let Err(error) = restore(alerting, now_ms, storage, options) {
                tracing::error!(group = self.config.name, rule = rule.name(), %error, "restoring the `for` state failed");
            }
        }
    }

    /// Returns how each rule stands after the last evaluation.
    pub(super) fn views(&self) -> impl Iterator<Item = RuleView<'_>> {
        self.rules.iter().map(|rule| RuleView {
            error: rule.last_error.as_deref(),
            series: rule.previous.len(),
            alerting: match &rule.kind {
                Kind::Alerting(alerting) => Some(alerting),
                Kind::Recording(_) => None,
            },
        })
    }

    /// Returns the path of its file, and its name.
    pub(crate) fn place(&self) -> (&str, &str) {
        (&self.config.file, &self.config.name)
    }

    /// Returns what the API shows.
    pub fn status(&self) -> GroupStatus {
        GroupStatus {
            name: self.config.name.clone(),
            file: self.config.file.clone(),
            interval: self.interval(),
            query_offset: Duration::from_ms(self.query_offset_ms()),
            limit: self.config.limit,
            rules: self.rules.iter().map(Rule::status).collect(),
            evaluation_seconds: self.evaluation_seconds,
            last_evaluation_ms: self.last_evaluation_ms,
        }
    }
}

/// Returns the value of the label `rule_group` of the group's metrics.
pub(crate) fn group_label(config: &GroupConfig) -> String {
    format!("{};{}", config.file, config.name)
}

impl Rule {
    fn new(config: RuleConfig, waits_for_restore: bool) -> Self {
        let kind = match config {
            RuleConfig::Recording(recording) => Kind::Recording(recording),
            RuleConfig::Alerting(alerting) => {
                let mut rule = AlertingRule::new(alerting);
                rule.is_restored = !waits_for_restore;
                Kind::Alerting(rule)
            }
        };
        Rule {
            kind,
            previous: HashSet::new(),
            health: Health::Unknown,
            last_error: None,
            evaluation_seconds: 0.0,
            last_evaluation_ms: None,
        }
    }

    fn name(&self) -> &str {
        match &self.kind {
            Kind::Recording(rule) => &rule.record,
            Kind::Alerting(rule) => &rule.config().alert,
        }
    }

    fn labels(&self) -> &Labels {
        match &self.kind {
            Kind::Recording(rule) => &rule.labels,
            Kind::Alerting(rule) => &rule.config().labels,
        }
    }

    /// Returns what makes a rule the same one after a reload.
    fn key(&self) -> (String, Labels) {
        (self.name().to_owned(), self.labels().clone())
    }

    fn evaluate(
        &mut self,
        at_ms: i64,
        context: &AlertingContext<'_>,
        storage: &dyn Appendable,
    ) -> Result<(), RuleError> {
        let query_at_ms = at_ms - context.query_offset_ms;
        let outputs = match &mut self.kind {
            Kind::Recording(rule) => rule.evaluate(context.query, query_at_ms, context.limit)?,
            Kind::Alerting(rule) => rule.evaluate(at_ms, context)?,
        };
        let name = match &self.kind {
            Kind::Recording(rule) => &rule.record,
            Kind::Alerting(rule) => &rule.config().alert,
        };
        append_outputs(storage, name, query_at_ms, &outputs, &mut self.previous)?;
        Ok(())
    }

    fn status(&self) -> RuleStatus {
        let (query, alerting) = match &self.kind {
            Kind::Recording(rule) => (rule.expr.to_string(), None),
            Kind::Alerting(rule) => {
                let status = rule.status(self.last_evaluation_ms.is_some());
                (rule.config().expr.to_string(), Some(status))
            }
        };
        RuleStatus {
            name: self.name().to_owned(),
            query,
            labels: self.labels().clone(),
            health: self.health,
            last_error: self.last_error.clone(),
            evaluation_seconds: self.evaluation_seconds,
            last_evaluation_ms: self.last_evaluation_ms,
            alerting,
        }
    }
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
