//! The rules' own metrics, under Prometheus' names.

use metrics::{Counter, Family, Gauge, Registry, Summary};

const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// The families that all groups share.
#[derive(Clone)]
pub(crate) struct RuleMetrics {
    evaluations: Family<Counter>,
    evaluation_failures: Family<Counter>,
    iterations: Family<Counter>,
    iterations_missed: Family<Counter>,
    rules: Family<Gauge>,
    last_duration: Family<Gauge>,
    last_evaluation: Family<Gauge>,
    interval: Family<Gauge>,
    pub(crate) evaluation_duration: Summary,
    pub(crate) group_duration: Summary,
}

/// One group's instruments.
pub(crate) struct GroupMetrics {
    pub(crate) evaluations: Counter,
    pub(crate) evaluation_failures: Counter,
    pub(crate) iterations: Counter,
    pub(crate) iterations_missed: Counter,
    pub(crate) rules: Gauge,
    pub(crate) last_duration: Gauge,
    pub(crate) last_evaluation: Gauge,
    pub(crate) interval: Gauge,
}

impl RuleMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let group = &["rule_group"];
        let counter = |name: &str, help: &str| registry.counter_vec(name, help, group);
        let gauge = |name: &str, help: &str| registry.gauge_vec(name, help, group);
        RuleMetrics {
            evaluations: counter(
                "prometheus_rule_evaluations_total",
                "The total number of rule evaluations.",
            ),
            evaluation_failures: counter(
                "prometheus_rule_evaluation_failures_total",
                "The total number of rule evaluation failures.",
            ),
            iterations: counter(
                "prometheus_rule_group_iterations_total",
                "The total number of scheduled rule group evaluations, whether executed or missed.",
            ),
            iterations_missed: counter(
                "prometheus_rule_group_iterations_missed_total",
                "The total number of rule group evaluations missed due to slow rule group evaluation.",
            ),
            rules: gauge("prometheus_rule_group_rules", "The number of rules."),
            last_duration: gauge(
                "prometheus_rule_group_last_duration_seconds",
                "The duration of the last rule group evaluation.",
            ),
            last_evaluation: gauge(
                "prometheus_rule_group_last_evaluation_timestamp_seconds",
                "The timestamp of the last rule group evaluation in seconds.",
            ),
            interval: gauge(
                "prometheus_rule_group_interval_seconds",
                "The interval of a rule group.",
            ),
            evaluation_duration: registry.summary(
                "prometheus_rule_evaluation_duration_seconds",
                "The duration of rule evaluations.",
                &QUANTILES,
            ),
            group_duration: registry.summary(
                "prometheus_rule_group_duration_seconds",
                "The duration of rule group evaluations.",
                &QUANTILES,
            ),
        }
    }

    /// Returns the instruments of the group whose label value is `group`: file and name joined by a semicolon.
    pub(crate) fn group(&self, group: &str) -> GroupMetrics {
        let label = &[group];
        GroupMetrics {
            evaluations: self.evaluations.with(label),
            evaluation_failures: self.evaluation_failures.with(label),
            iterations: self.iterations.with(label),
            iterations_missed: self.iterations_missed.with(label),
            rules: self.rules.with(label),
            last_duration: self.last_duration.with(label),
            last_evaluation: self.last_evaluation.with(label),
            interval: self.interval.with(label),
        }
    }

    /// Drops the series of a group that is gone.
    pub(crate) fn remove(&self, group: &str) {
        let label = &[group];
        for family in [
            &self.evaluations,
            &self.evaluation_failures,
            &self.iterations,
            &self.iterations_missed,
        ] {
            family.remove(label);
        }
        for family in [
            &self.rules,
            &self.last_duration,
            &self.last_evaluation,
            &self.interval,
        ] {
            family.remove(label);
        }
    }
}
