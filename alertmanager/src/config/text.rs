//! The file as it is written.

use std::collections::{BTreeMap, BTreeSet};

use model::Duration;
use net::http_config::{HttpConfig, Secret, TlsConfig, Unbuilt};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Writes a section: its own fields, and those that are known and not built yet.
macro_rules! with_unbuilt {
    ($(#[$meta:meta])* pub(super) struct $name:ident { $($own:tt)* } unbuilt { $($field:ident),* $(,)? }) => {
        $(#[$meta])*
        pub(super) struct $name {
            $($own)*
            $($field: Option<Unbuilt>,)*
        }

        impl $name {
            /// Returns the names of the fields that are set and not built yet.
            pub(super) fn unbuilt(&self) -> Vec<&'static str> {
                let mut names = Vec::new();
                $(if self.$field.as_ref().is_some_and(is_given) {
                    names.push(stringify!($field));
                })*
                names
            }
        }
    };
}

fn is_given(section: &Unbuilt) -> bool {
    !section.0.is_null() && section.0.as_array().is_none_or(|list| !list.is_empty())
}

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
#[serde(deny_unknown_fields)]
pub(super) struct Interval {
    #[serde(default)]
    name: String,
    /// Not built yet.
    #[serde(rename = "time_intervals")]
    _time_intervals: Option<Vec<IgnoredAny>>,
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

with_unbuilt! {
    /// The `global` section.
    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Global {
        pub(super) resolve_timeout: Option<Duration>,
        pub(super) http_config: Option<HttpConfig>,
        pub(super) smtp_from: Option<String>,
        pub(super) smtp_smarthost: Option<String>,
        pub(super) smtp_hello: Option<String>,
        pub(super) smtp_auth_username: Option<String>,
        pub(super) smtp_auth_password: Option<Secret>,
        pub(super) smtp_auth_password_file: Option<String>,
        pub(super) smtp_auth_secret: Option<Secret>,
        pub(super) smtp_auth_secret_file: Option<String>,
        pub(super) smtp_auth_identity: Option<String>,
        pub(super) smtp_require_tls: Option<bool>,
        pub(super) smtp_tls_config: Option<TlsConfig>,
        pub(super) smtp_force_implicit_tls: Option<bool>,
    }
    unbuilt {
        slack_api_url, slack_api_url_file, slack_app_token, slack_app_token_file, slack_app_url, pagerduty_url,
        opsgenie_api_url, opsgenie_api_key, opsgenie_api_key_file, wechat_api_url, wechat_api_secret,
        wechat_api_secret_file, wechat_api_corp_id, victorops_api_url, victorops_api_key, victorops_api_key_file,
        telegram_api_url, telegram_bot_token, telegram_bot_token_file, webex_api_url, rocketchat_api_url,
        rocketchat_token, rocketchat_token_file, rocketchat_token_id, rocketchat_token_id_file,
        mattermost_webhook_url, mattermost_webhook_url_file, jira_api_url,
    }
}

impl Global {
    /// Returns warnings about what belongs to receivers that are not built yet.
    pub(super) fn unbuilt_fields(&self) -> Vec<String> {
        let fields = self.unbuilt().into_iter();
        fields
            .map(|field| format!("global.{field} is not built yet and has no effect"))
            .collect()
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

with_unbuilt! {
    /// A receiver.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct ReceiverText {
        #[serde(default)]
        pub(super) name: String,
        pub(super) labels: Option<BTreeMap<String, String>>,
        pub(super) webhook_configs: Option<Vec<WebhookText>>,
        pub(super) email_configs: Option<Vec<EmailText>>,
    }
    unbuilt {
        pagerduty_configs, slack_configs, opsgenie_configs, victorops_configs, pushover_configs, wechat_configs,
        sns_configs, telegram_configs, webex_configs, discord_configs, msteams_configs, msteamsv2_configs,
        jira_configs, rocketchat_configs, mattermost_configs, incidentio_configs,
    }
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
    pub(super) tls_config: Option<TlsConfig>,
    pub(super) force_implicit_tls: Option<bool>,
    pub(super) threading: Option<IgnoredAny>,
}
