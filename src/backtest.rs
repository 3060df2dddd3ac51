//! A backtest as JSON: what the API answers and what the tool prints.

use std::collections::BTreeMap;

use alertmanager::rule::backtest::{
    AlertInterval, AlertReport, BacktestReport, GroupReport, RuleReport,
};
use model::{Labels, float};
use serde::{Deserialize, Serialize};

/// A backtest.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct BacktestJson {
    pub(crate) groups: Vec<GroupJson>,
}

/// A group of a backtest.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GroupJson {
    pub(crate) name: String,
    /// Seconds.
    pub(crate) interval: f64,
    /// Seconds.
    pub(crate) query_offset: f64,
    pub(crate) evaluations: u64,
    pub(crate) rules: Vec<RuleJson>,
}

/// A rule of a backtest.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RuleJson {
    /// `alerting` or `recording`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) query: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) failures: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_failure: Option<String>,
    pub(crate) samples: u64,
    #[serde(flatten)]
    pub(crate) alerting: Option<AlertingJson>,
}

/// What only alerting rules have.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AlertingJson {
    /// Seconds.
    pub(crate) duration: f64,
    /// Seconds.
    pub(crate) keep_firing_for: f64,
    pub(crate) notifications: NotificationsJson,
    pub(crate) alerts: Vec<AlertJson>,
}

/// How often Alertmanager would have been told something new.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct NotificationsJson {
    pub(crate) firing: usize,
    pub(crate) resolved: usize,
}

/// An alert of a backtest.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct AlertJson {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) notifications: NotificationsJson,
    pub(crate) intervals: Vec<IntervalJson>,
}

/// A time in which an alert had one state.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct IntervalJson {
    /// `pending` or `firing`.
    pub(crate) state: String,
    /// RFC 3339, as `to`.
    pub(crate) from: String,
    /// Absent where it lasts to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<String>,
    /// Values are texts: JSON has no NaN.
    pub(crate) value: String,
    pub(crate) min: String,
    pub(crate) max: String,
}

impl From<BacktestReport> for BacktestJson {
    fn from(report: BacktestReport) -> Self {
        BacktestJson {
            groups: report.groups.into_iter().map(GroupJson::from).collect(),
        }
    }
}

impl From<GroupReport> for GroupJson {
    fn from(group: GroupReport) -> Self {
        GroupJson {
            name: group.name,
            interval: group.interval.as_secs_f64(),
            query_offset: group.query_offset.as_secs_f64(),
            evaluations: group.evaluations,
            rules: group.rules.into_iter().map(RuleJson::from).collect(),
        }
    }
}

impl From<RuleReport> for RuleJson {
    fn from(rule: RuleReport) -> Self {
        let (last_failure, last_error) = rule.last_error.unzip();
        let alerting = rule.alerting.map(|alerting| {
            let alerts: Vec<AlertJson> = alerting.alerts.iter().map(AlertJson::of).collect();
            let mut notifications = NotificationsJson::default();
            for alert in &alerts {
                notifications.firing += alert.notifications.firing;
                notifications.resolved += alert.notifications.resolved;
            }
            AlertingJson {
                duration: alerting.hold.as_secs_f64(),
                keep_firing_for: alerting.keep_firing_for.as_secs_f64(),
                notifications,
                alerts,
            }
        });
        let kind = match alerting {
            Some(_) => "alerting",
            None => "recording",
        };
        RuleJson {
            kind: kind.to_owned(),
            name: rule.name,
            query: rule.query,
            labels: map(&rule.labels),
            failures: rule.failures,
            last_error,
            last_failure: last_failure.map(rfc3339),
            samples: rule.samples,
            alerting,
        }
    }
}

impl AlertJson {
    fn of(alert: &AlertReport) -> Self {
        let (firing, resolved) = alert.notifications();
        AlertJson {
            labels: map(&alert.labels),
            annotations: map(&alert.annotations),
            notifications: NotificationsJson { firing, resolved },
            intervals: alert.intervals.iter().map(IntervalJson::of).collect(),
        }
    }
}

impl IntervalJson {
    fn of(interval: &AlertInterval) -> Self {
        IntervalJson {
            state: interval.state.as_str().to_owned(),
            from: rfc3339(interval.from_ms),
            to: interval.to_ms.map(rfc3339),
            value: float::format_general(interval.value),
            min: float::format_general(interval.min),
            max: float::format_general(interval.max),
        }
    }
}

fn map(labels: &Labels) -> BTreeMap<String, String> {
    let pairs = labels.iter();
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn rfc3339(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms);
    time.map_or_else(|_| ms.to_string(), |time| time.to_string())
}
