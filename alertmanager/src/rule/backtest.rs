//! Rules over the past: when each alert would have been pending and firing, had a rule file been there.
//!
//! ```text
//! times of all groups, in order ──► Group::evaluate ──► alerts ──► intervals
//!                                     │        ▲
//!                          results ───┘        └── queries, many steps at once where no rule feeds them
//!                                └──► overlay ──┘
//! ```
//!
//! It is the ordinary evaluation of groups with the time as an argument: there is no second meaning of `for`. What rules record
//! is kept beside the storage (`overlay`), seen by later rules and steps, and forgotten at the end.
//!
//! A group is evaluated at the start and every interval from there, not at the place on the clock that a server gives it.
//! Groups of the same time come in the order of the file. Nothing is known of alerts before the start.

mod ahead;
mod overlay;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use metrics::Registry;
use model::storage::Queryable;
use model::{Duration, Labels, Matcher};
use tracing::subscriber::NoSubscriber;

use self::ahead::{Ahead, can_be_ahead};
use self::overlay::{Outputs, Overlay};
use super::alerting::{ALERTS, ALERTS_FOR_STATE, AlertingRule};
use super::file::{GroupConfig, RuleConfig};
use super::group::{EvaluationContext, Group, GroupSettings, RuleView};
use super::query::{QuerySteps, RuleExpr, RuleQuery};
use super::status::AlertState;

/// Evaluations of a group at most: a year of minutes.
pub const EVALUATIONS_MAX: i64 = 366 * 24 * 60;
/// Intervals of all alerts together at most.
pub const INTERVALS_MAX: usize = 100_000;
/// Recorded samples that are held for later rules at most; a bucket of a histogram counts as one.
pub const RECORDED_SAMPLES_MAX: usize = 10_000_000;
/// Samples of queries that were asked for many steps at once, held at most.
const AHEAD_SAMPLES_MAX: usize = 4_000_000;
/// No alert is told twice: what counts is how often its state changes.
const NEVER: Duration = Duration::from_secs(100 * 366 * 86_400);

/// The time that is looked at, and what the rules see besides the storage.
pub struct BacktestOptions {
    /// The first evaluation of each group, milliseconds since the epoch.
    pub start_ms: i64,
    /// No evaluation is after it; milliseconds since the epoch.
    pub end_ms: i64,
    /// What holds where a group does not say.
    pub settings: GroupSettings,
    /// Intervals of all alerts together at most; [`INTERVALS_MAX`] outside of tests.
    pub intervals_max: usize,
}

/// Why a backtest has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BacktestError {
    /// The end is before the start.
    #[error("the end {end_ms} is before the start {start_ms}, in milliseconds since the epoch")]
    EndBeforeStart {
        /// The start.
        start_ms: i64,
        /// The end.
        end_ms: i64,
    },
    /// The range is too long for the group's interval.
    #[error(
        "group {group:?} would be evaluated {evaluations} times, at most {EVALUATIONS_MAX} are made: choose a later start, an \
         earlier end, or a longer interval"
    )]
    TooManyEvaluations {
        /// The group's name.
        group: String,
        /// How many it would be.
        evaluations: i64,
    },
    /// The alerts change too often.
    #[error(
        "alerts changed their state more than {limit} times until {at_ms} milliseconds since the epoch: choose an earlier end, \
         or fewer rules"
    )]
    TooManyIntervals {
        /// How many intervals there may be.
        limit: usize,
        /// The evaluation that went over the bound.
        at_ms: i64,
    },
    /// The rules record too much.
    #[error(
        "rules recorded more than {RECORDED_SAMPLES_MAX} samples that other rules may read until {at_ms} milliseconds since \
         the epoch: choose an earlier end, or fewer rules"
    )]
    TooManySamples {
        /// The evaluation that went over the bound.
        at_ms: i64,
    },
    /// Whoever asked wants no more.
    #[error("stopped before the evaluation at {at_ms} milliseconds since the epoch")]
    Stopped {
        /// The next evaluation.
        at_ms: i64,
    },
}

/// What a backtest found.
#[derive(Clone, Debug, PartialEq)]
pub struct BacktestReport {
    /// The groups, in the file's order.
    pub groups: Vec<GroupReport>,
}

/// What one group did.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupReport {
    /// Its name.
    pub name: String,
    /// The time between its evaluations.
    pub interval: Duration,
    /// How far in the past its queries looked.
    pub query_offset: Duration,
    /// How often it was evaluated.
    pub evaluations: u64,
    /// Its rules, in order.
    pub rules: Vec<RuleReport>,
}

/// What one rule did.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleReport {
    /// The name of its series or alert.
    pub name: String,
    /// Its expression.
    pub query: String,
    /// The labels that it sets; templates unexpanded.
    pub labels: Labels,
    /// How many evaluations failed.
    pub failures: u64,
    /// When the last of them was, in milliseconds since the epoch, and why it failed.
    pub last_error: Option<(i64, String)>,
    /// Samples that it made, its `ALERTS` series included.
    pub samples: u64,
    /// What only alerting rules have.
    pub alerting: Option<AlertingReport>,
}

/// What one alerting rule did.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertingReport {
    /// Its `for`.
    pub hold: Duration,
    /// Its `keep_firing_for`.
    pub keep_firing_for: Duration,
    /// Its alerts, in the order in which they became active.
    pub alerts: Vec<AlertReport>,
}

/// What became of one alert.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertReport {
    /// Its labels, `alertname` among them.
    pub labels: Labels,
    /// Its annotations, as they were at last.
    pub annotations: Labels,
    /// When it was pending or firing, in order; they do not overlap.
    pub intervals: Vec<AlertInterval>,
}

/// A time in which an alert had one state.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertInterval {
    /// Pending or firing.
    pub state: AlertState,
    /// The first evaluation that found it so, milliseconds since the epoch.
    pub from_ms: i64,
    /// The first evaluation that found it otherwise; `None` if the last one found it so.
    pub to_ms: Option<i64>,
    /// The expression's value at the first evaluation.
    pub value: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

impl AlertReport {
    /// Returns how often Alertmanager would have been told that the alert fires, and that it is resolved; the same told again
    /// does not count.
    pub fn notifications(&self) -> (usize, usize) {
        let firing = self.intervals.iter();
        let firing = firing.filter(|interval| interval.state == AlertState::Firing);
        let resolved = firing.clone().filter(|interval| interval.to_ms.is_some());
        (firing.count(), resolved.count())
    }
}

/// Evaluates `groups` over `storage` from start to end.
///
/// * `query_of` returns what answers the queries over a storage: `storage` with what the rules record.
/// * `is_wanted` is asked before each evaluation; the backtest ends when it says no.
///
/// The rules' faults are in the report and not logged.
///
/// # Errors
///
/// See [`BacktestError`].
pub fn run(
    groups: Vec<GroupConfig>,
    options: &BacktestOptions,
    storage: Arc<dyn Queryable>,
    query_of: &dyn Fn(Arc<dyn Queryable>) -> Box<dyn RuleQuery>,
    is_wanted: &dyn Fn() -> bool,
) -> Result<BacktestReport, BacktestError> {
    tracing::subscriber::with_default(NoSubscriber::new(), || {
        run_quietly(groups, options, storage, query_of, is_wanted)
    })
}

fn run_quietly(
    groups: Vec<GroupConfig>,
    options: &BacktestOptions,
    storage: Arc<dyn Queryable>,
    query_of: &dyn Fn(Arc<dyn Queryable>) -> Box<dyn RuleQuery>,
    is_wanted: &dyn Fn() -> bool,
) -> Result<BacktestReport, BacktestError> {
    let (start_ms, end_ms) = (options.start_ms, options.end_ms);
    if end_ms < start_ms {
        return Err(BacktestError::EndBeforeStart { start_ms, end_ms });
    }
    let outputs = outputs_of(&groups, options);
    let ahead_max = AHEAD_SAMPLES_MAX / groups.len().max(1);
    let registry = Registry::new();
    let mut running = Vec::with_capacity(groups.len());
    for config in groups {
        running.push(Running::new(config, options, &registry)?);
    }
    let mut ahead_rules: Vec<Vec<RuleExpr>> = Vec::new();
    for group in &running {
        let exprs = group.config.rules.iter().map(expr_of);
        let ahead = exprs.filter(|expr| can_be_ahead(expr, &outputs));
        ahead_rules.push(ahead.cloned().collect());
    }
    let readers = readers_of(running.iter().map(|group| &group.config));
    let overlay = Arc::new(Overlay::new(storage, outputs, readers));
    let query = query_of(Arc::clone(&overlay) as Arc<dyn Queryable>);
    let mut queries = Vec::with_capacity(running.len());
    for (group, exprs) in running.iter().zip(&ahead_rules) {
        let ahead = Ahead::new(&*query, group.query_steps(end_ms), ahead_max);
        exprs.iter().for_each(|expr| ahead.add(expr));
        queries.push(ahead);
    }
    let mut intervals = 0;
    loop {
        let next = running.iter().enumerate();
        let next = next.min_by_key(|(index, group)| (group.next_ms, *index));
        let Some((index, at_ms)) = next.map(|(index, group)| (index, group.next_ms)) else {
            break;
        };
        if end_ms < at_ms {
            break;
        }
        if !is_wanted() {
            return Err(BacktestError::Stopped { at_ms });
        }
        intervals += running[index].evaluate(&queries[index], &overlay);
        let limit = options.intervals_max;
        if limit < intervals {
            return Err(BacktestError::TooManyIntervals { limit, at_ms });
        }
        if RECORDED_SAMPLES_MAX < overlay.samples() {
            return Err(BacktestError::TooManySamples { at_ms });
        }
    }
    Ok(BacktestReport {
        groups: running.into_iter().map(Running::report).collect(),
    })
}

fn expr_of(rule: &RuleConfig) -> &RuleExpr {
    match rule {
        RuleConfig::Recording(rule) => &rule.expr,
        RuleConfig::Alerting(rule) => &rule.expr,
    }
}

/// Returns what the rules make, and since when.
fn outputs_of(groups: &[GroupConfig], options: &BacktestOptions) -> Outputs {
    let mut outputs = Outputs::default();
    for group in groups {
        let offset = group.query_offset.unwrap_or(options.settings.query_offset);
        let from_ms = options.start_ms - offset.as_ms();
        for rule in &group.rules {
            match rule {
                RuleConfig::Recording(rule) => outputs.add(&rule.record, None, from_ms),
                RuleConfig::Alerting(rule) => {
                    outputs.add(ALERTS, Some(&rule.alert), from_ms);
                    outputs.add(ALERTS_FOR_STATE, Some(&rule.alert), from_ms);
                }
            }
        }
    }
    outputs
}

/// Returns what the rules select; `None` if that is not known, because a template may ask for anything.
fn readers_of<'a>(groups: impl Iterator<Item = &'a GroupConfig>) -> Option<Vec<Vec<Matcher>>> {
    let mut readers: Vec<Vec<Matcher>> = Vec::new();
    for rule in groups.flat_map(|group| &group.rules) {
        if let RuleConfig::Alerting(rule) = rule {
            let mut texts = rule.labels.iter().chain(&rule.annotations);
            if texts.any(|(_, text)| text.contains("query")) {
                return None;
            }
        }
        let selectors = expr_of(rule).selectors().into_iter();
        readers.extend(selectors.map(|selector| selector.matchers.clone()));
    }
    Some(readers)
}

/// A group on its way.
struct Running {
    config: GroupConfig,
    group: Group,
    interval_ms: i64,
    query_offset_ms: i64,
    next_ms: i64,
    evaluations: u64,
    rules: Vec<Watched>,
}

/// What was seen of a rule.
#[derive(Default)]
struct Watched {
    failures: u64,
    last_error: Option<(i64, String)>,
    samples: u64,
    alerts: Vec<AlertReport>,
    by_labels: HashMap<Labels, usize>,
    /// Indices of those that are pending or firing, ascending.
    open: Vec<usize>,
}

impl Running {
    fn new(
        config: GroupConfig,
        options: &BacktestOptions,
        registry: &Registry,
    ) -> Result<Self, BacktestError> {
        let group = Group::alone(config.clone(), options.settings.clone(), registry);
        let interval_ms = group.interval().as_ms().max(1);
        let evaluations = (options.end_ms - options.start_ms) / interval_ms + 1;
        if EVALUATIONS_MAX < evaluations {
            return Err(BacktestError::TooManyEvaluations {
                group: config.name,
                evaluations,
            });
        }
        let offset = config.query_offset.unwrap_or(options.settings.query_offset);
        Ok(Running {
            group,
            interval_ms,
            query_offset_ms: offset.as_ms(),
            next_ms: options.start_ms,
            evaluations: 0,
            rules: config.rules.iter().map(|_| Watched::default()).collect(),
            config,
        })
    }

    /// Returns when its queries will look, up to an evaluation at `end_ms`.
    fn query_steps(&self, end_ms: i64) -> QuerySteps {
        let start_ms = self.next_ms;
        QuerySteps {
            start_ms: start_ms - self.query_offset_ms,
            end_ms: end_ms - (end_ms - start_ms) % self.interval_ms - self.query_offset_ms,
            step_ms: self.interval_ms,
        }
    }

    /// Evaluates the group at its next time; returns how many intervals began.
    fn evaluate(&mut self, query: &dyn RuleQuery, overlay: &Overlay) -> usize {
        let at_ms = self.next_ms;
        let context = EvaluationContext {
            tracer: &model::trace::Tracer::default(),
            query,
            storage: overlay,
            resend_delay: NEVER,
        };
        self.group.evaluate(at_ms, &context);
        self.evaluations += 1;
        self.next_ms = at_ms.saturating_add(self.interval_ms);
        let seen = self.group.views().zip(&mut self.rules);
        seen.map(|(view, rule)| rule.watch(&view, at_ms)).sum()
    }

    fn report(self) -> GroupReport {
        let rules = self.config.rules.into_iter().zip(self.rules);
        GroupReport {
            name: self.config.name,
            interval: Duration::from_ms(self.interval_ms),
            query_offset: Duration::from_ms(self.query_offset_ms),
            evaluations: self.evaluations,
            rules: rules.map(|(config, rule)| rule.report(config)).collect(),
        }
    }
}

impl Watched {
    /// Takes note of how the rule stands at `at_ms`; returns how many intervals began.
    fn watch(&mut self, view: &RuleView<'_>, at_ms: i64) -> usize {
        match view.error {
            Some(error) => {
                self.failures += 1;
                self.last_error = Some((at_ms, error.to_owned()));
            }
            None => self.samples += view.series as u64,
        }
        view.alerting
            .map_or(0, |rule| self.watch_alerts(rule, at_ms))
    }

    fn watch_alerts(&mut self, rule: &AlertingRule, at_ms: i64) -> usize {
        let mut began = 0;
        let mut open = Vec::with_capacity(self.open.len());
        for (labels, alert) in rule.live() {
            let index = match self.by_labels.get(labels) {
                Some(&index) => index,
                None => {
                    self.by_labels.insert(labels.clone(), self.alerts.len());
                    self.alerts.push(AlertReport {
                        labels: labels.clone(),
                        annotations: Labels::empty(),
                        intervals: Vec::new(),
                    });
                    self.alerts.len() - 1
                }
            };
            open.push(index);
            let report = &mut self.alerts[index];
            report.annotations.clone_from(&alert.annotations);
            match report.intervals.last_mut() {
                Some(last) if last.to_ms.is_none() && last.state == alert.state => {
                    last.min = last.min.min(alert.value);
                    last.max = last.max.max(alert.value);
                    continue;
                }
                Some(last) if last.to_ms.is_none() => last.to_ms = Some(at_ms),
                _ => (),
            }
            began += 1;
            report.intervals.push(AlertInterval {
                state: alert.state,
                from_ms: at_ms,
                to_ms: None,
                value: alert.value,
                min: alert.value,
                max: alert.value,
            });
        }
        open.sort_unstable();
        for index in std::mem::take(&mut self.open) {
            if open.binary_search(&index).is_err()
                && let Some(last) = self.alerts[index].intervals.last_mut()
            {
                last.to_ms = Some(at_ms);
            }
        }
        self.open = open;
        began
    }

    fn report(self, config: RuleConfig) -> RuleReport {
        let (name, expr, labels, alerting) = match config {
            RuleConfig::Recording(rule) => (rule.record, rule.expr, rule.labels, None),
            RuleConfig::Alerting(rule) => {
                let alerting = AlertingReport {
                    hold: rule.hold,
                    keep_firing_for: rule.keep_firing_for,
                    alerts: self.alerts,
                };
                (rule.alert, rule.expr, rule.labels, Some(alerting))
            }
        };
        RuleReport {
            name,
            query: expr.to_string(),
            labels,
            failures: self.failures,
            last_error: self.last_error,
            samples: self.samples,
            alerting,
        }
    }
}
