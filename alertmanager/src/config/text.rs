//! The file as it is written.

use std::collections::{BTreeMap, BTreeSet};

use model::Duration;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{HttpConfig, Secret};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) global: Option<Global>,
    pub(super) route: Option<RouteText>,
    #[serde(default)]
    inhibit_rules: Option<Vec<IgnoredAny>>,
    pub(super) receivers: Option<Vec<ReceiverText>>,
    #[serde(default)]
    templates: Option<Vec<String>>,
    pub(super) mute_time_intervals: Option<Vec<Interval>>,
    pub(super) time_intervals: Option<Vec<Interval>>,
    tracing: Option<IgnoredAny>,
    event_recorder: Option<IgnoredAny>,
}

impl File {
    /// Returns warnings about sections that are not obeyed yet.
    pub(super) fn unbuilt(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |is_there: bool, text: &str| {
            if is_there {
                warnings.push(text.to_owned());
            }
        };
        let has = |list: usize| 0 < list;
        warn(
            has(self.inhibit_rules.as_ref().map_or(0, Vec::len)),
            "inhibit_rules are not built yet: nothing is inhibited",
        );
        warn(
            has(self.templates.as_ref().map_or(0, Vec::len)),
            "templates are not built yet: the default texts are used",
        );
        warn(self.tracing.is_some(), "tracing is not built yet");
        warn(
            self.event_recorder.is_some(),
            "event_recorder is not built yet",
        );
        warnings
    }
}

#[derive(Deserialize)]
pub(super) struct Interval {
    #[serde(default)]
    name: String,
    #[serde(flatten)]
    _rest: BTreeMap<String, IgnoredAny>,
}

/// Returns the names of the time intervals.
pub(super) fn interval_names(
    new: Option<Vec<Interval>>,
    old: Option<Vec<Interval>>,
) -> Result<BTreeSet<String>, String> {
    let mut names = BTreeSet::new();
    for interval in old.into_iter().chain(new).flatten() {
        if interval.name.is_empty() {
            return Err("missing name in time interval".to_owned());
        }
        if !names.insert(interval.name.clone()) {
            return Err(format!("time interval \"{}\" is not unique", interval.name));
        }
    }
    Ok(names)
}

/// The `global` section. Keys of receivers that are not built yet are known by their prefix.
#[derive(Default, Deserialize)]
pub(super) struct Global {
    pub(super) resolve_timeout: Option<Duration>,
    pub(super) http_config: Option<HttpConfig>,
    pub(super) smtp_from: Option<String>,
    pub(super) smtp_smarthost: Option<String>,
    pub(super) smtp_hello: Option<String>,
    pub(super) smtp_auth_username: Option<String>,
    pub(super) smtp_auth_password: Option<Secret>,
    pub(super) smtp_auth_password_file: Option<String>,
    pub(super) smtp_auth_identity: Option<String>,
    pub(super) smtp_require_tls: Option<bool>,
    pub(super) smtp_tls_config: Option<super::TlsConfig>,
    pub(super) smtp_force_implicit_tls: Option<bool>,
    #[serde(flatten)]
    pub(super) others: BTreeMap<String, IgnoredAny>,
}

/// What the keys of `global` begin with that belong to other receivers.
const OTHER_RECEIVERS: &[&str] = &[
    "slack_",
    "pagerduty_",
    "opsgenie_",
    "wechat_",
    "victorops_",
    "telegram_",
    "webex_",
    "rocketchat_",
    "mattermost_",
    "jira_",
    "smtp_auth_secret",
];

impl Global {
    /// Checks that every key is one that somebody knows.
    pub(super) fn check(&self) -> Result<(), String> {
        match self
            .others
            .keys()
            .find(|key| !OTHER_RECEIVERS.iter().any(|prefix| key.starts_with(prefix)))
        {
            Some(key) => Err(format!("field {key} not found in global")),
            None => Ok(()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteText {
    pub(super) receiver: Option<String>,
    pub(super) group_by: Option<Vec<String>>,
    pub(super) matchers: Option<Vec<String>>,
    #[serde(rename = "match")]
    pub(super) equal: Option<BTreeMap<String, String>>,
    #[serde(rename = "match_re")]
    pub(super) regex: Option<BTreeMap<String, String>>,
    #[serde(rename = "continue", default)]
    pub(super) continues: Option<bool>,
    pub(super) routes: Option<Vec<RouteText>>,
    pub(super) group_wait: Option<Duration>,
    pub(super) group_interval: Option<Duration>,
    pub(super) repeat_interval: Option<Duration>,
    pub(super) mute_time_intervals: Option<Vec<String>>,
    pub(super) active_time_intervals: Option<Vec<String>>,
    pub(super) labels: Option<BTreeMap<String, String>>,
}

/// A receiver. All kinds but two are known by name only.
#[derive(Deserialize)]
pub(super) struct ReceiverText {
    #[serde(default)]
    pub(super) name: String,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) webhook_configs: Option<Vec<WebhookText>>,
    pub(super) email_configs: Option<Vec<EmailText>>,
    #[serde(flatten)]
    pub(super) others: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookText {
    pub(super) send_resolved: Option<bool>,
    pub(super) http_config: Option<HttpConfig>,
    pub(super) url: Option<String>,
    pub(super) url_file: Option<String>,
    pub(super) max_alerts: Option<u64>,
    pub(super) timeout: Option<Duration>,
    pub(super) payload: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EmailText {
    pub(super) send_resolved: Option<bool>,
    pub(super) to: Option<String>,
    pub(super) from: Option<String>,
    pub(super) smarthost: Option<String>,
    pub(super) hello: Option<String>,
    pub(super) auth_username: Option<String>,
    pub(super) auth_password: Option<Secret>,
    pub(super) auth_password_file: Option<String>,
    pub(super) auth_secret: Option<Secret>,
    pub(super) auth_secret_file: Option<String>,
    pub(super) auth_identity: Option<String>,
    pub(super) headers: Option<BTreeMap<String, String>>,
    pub(super) html: Option<String>,
    pub(super) text: Option<String>,
    pub(super) require_tls: Option<bool>,
    pub(super) tls_config: Option<super::TlsConfig>,
    pub(super) force_implicit_tls: Option<bool>,
    pub(super) threading: Option<IgnoredAny>,
}
