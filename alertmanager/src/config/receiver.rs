//! Receivers as they are written: who is told, and in which of Alertmanager's ways.
//!
//! Every kind is read strictly, with Alertmanager's defaults and messages, whether it is built or not. To add a kind: a file
//! with `section!` and [`ReceiverConfig`], and a line in `receivers!`.
//!
//! Source: Alertmanager configuration documentation, receiver integration settings.

pub(crate) mod chat;
mod discord;
mod email;
mod incidentio;
mod jira;
mod mattermost;
mod msteams;
mod opsgenie;
mod pagerduty;
mod pushover;
mod rocketchat;
mod slack;
mod sns;
mod telegram;
mod victorops;
mod webex;
mod webhook;
mod wechat;

use std::collections::BTreeMap;

use net::http_config::{HttpConfig, TlsConfig};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};

use super::global::Global;
pub use discord::DiscordConfig;
pub use email::EmailText;
pub use incidentio::IncidentIoConfig;
pub use jira::JiraConfig;
pub use mattermost::MattermostConfig;
pub use msteams::{MsTeamsConfig, MsTeamsV2Config};
pub use opsgenie::OpsGenieConfig;
pub use pagerduty::PagerDutyConfig;
pub use pushover::PushoverConfig;
pub use rocketchat::RocketChatConfig;
pub use slack::SlackConfig;
pub use sns::SnsConfig;
pub use telegram::TelegramConfig;
pub use victorops::VictorOpsConfig;
pub use webex::WebexConfig;
pub use webhook::WebhookText;
pub use wechat::WechatConfig;

/// One way to tell of one receiver.
pub(super) trait ReceiverConfig: DeserializeOwned + Serialize {
    /// What it is called in messages.
    const KIND: &'static str;

    /// Checks what can be checked without the global settings, and fills in what follows from other fields.
    fn check(&mut self) -> Result<(), String>;

    /// Takes what is missing from the global settings; many kinds have nothing there.
    fn fill(&mut self, global: &Global) -> Result<(), String> {
        let _ = global;
        Ok(())
    }

    /// Returns how to speak HTTP, for the kinds that do.
    fn http_config(&mut self) -> Option<&mut Option<HttpConfig>>;
}

/// Reads the items of one kind, each checked where it is.
fn checked<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: ReceiverConfig,
{
    struct Checked<T>(T);

    impl<'de, T: ReceiverConfig> Deserialize<'de> for Checked<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let config = Option::<T>::deserialize(deserializer)?;
            let mut config =
                config.ok_or_else(|| D::Error::custom(format!("missing {} config", T::KIND)))?;
            config.check().map_err(D::Error::custom)?;
            if let Some(Some(http)) = config.http_config() {
                http.validate().map_err(D::Error::custom)?;
            }
            Ok(Checked(config))
        }
    }

    let items = Option::<Vec<Checked<T>>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(items.into_iter().map(|item| item.0).collect())
}

fn fill<T: ReceiverConfig>(items: &mut [T], global: &Global) -> Result<(), String> {
    for item in items {
        if let Some(http) = item.http_config() {
            show_http_defaults(http.get_or_insert_with(|| global.http_config.clone()));
        }
        item.fill(global)?;
    }
    Ok(())
}

/// Fills in what Alertmanager prints where nothing is written.
pub(super) fn show_http_defaults(http: &mut HttpConfig) {
    http.follow_redirects.get_or_insert(true);
    http.enable_http2.get_or_insert(true);
    if let Some(authorization) = &mut http.authorization {
        authorization
            .kind
            .get_or_insert_with(|| "Bearer".to_owned());
    }
    if let Some(tls) = &mut http.tls_config {
        show_tls_defaults(tls);
    }
}

/// The same for TLS.
pub(super) fn show_tls_defaults(tls: &mut TlsConfig) {
    tls.insecure_skip_verify.get_or_insert(false);
}

/// Declares [`ReceiverText`] with a list of each kind, in the order in which they are printed.
macro_rules! receivers {
    ($($key:ident: $config:ty;)*) => {
        /// A receiver as it is written.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct ReceiverText {
            /// Its name.
            #[serde(deserialize_with = "model::de::or_default")]
            pub name: String,
            /// Free labels; `name` is one of them.
            #[serde(deserialize_with = "model::de::or_default")]
            pub labels: BTreeMap<String, String>,
            $(
                #[doc = concat!("See [`", stringify!($config), "`].")]
                #[serde(deserialize_with = "checked", skip_serializing_if = "Vec::is_empty")]
                pub $key: Vec<$config>,
            )*
        }

        impl ReceiverText {
            /// Takes what is missing from the global settings.
            pub(super) fn fill(&mut self, global: &Global) -> Result<(), String> {
                $(fill(&mut self.$key, global)?;)*
                Ok(())
            }

            /// Returns the ways to tell: kind, position among the kind's, and whether resolved alerts are told.
            pub(crate) fn integrations(&self) -> Vec<(&'static str, usize, bool)> {
                let mut all = Vec::new();
                $(
                    let kind = stringify!($key).trim_end_matches("_configs");
                    all.extend(self.$key.iter().enumerate().map(|(i, config)| (kind, i, config.send_resolved)));
                )*
                all
            }

            /// Returns how each integration speaks HTTP, with its kind.
            pub(super) fn http_configs(&mut self) -> Vec<(&'static str, HttpConfig)> {
                let mut all = Vec::new();
                $(for config in &mut self.$key {
                    if let Some(Some(http)) = config.http_config() {
                        all.push((stringify!($key).trim_end_matches("_configs"), http.clone()));
                    }
                })*
                all
            }
        }
    };
}

receivers! {
    discord_configs: DiscordConfig;
    email_configs: EmailText;
    incidentio_configs: IncidentIoConfig;
    pagerduty_configs: PagerDutyConfig;
    slack_configs: SlackConfig;
    webhook_configs: WebhookText;
    opsgenie_configs: OpsGenieConfig;
    wechat_configs: WechatConfig;
    pushover_configs: PushoverConfig;
    victorops_configs: VictorOpsConfig;
    sns_configs: SnsConfig;
    telegram_configs: TelegramConfig;
    webex_configs: WebexConfig;
    msteams_configs: MsTeamsConfig;
    msteamsv2_configs: MsTeamsV2Config;
    jira_configs: JiraConfig;
    rocketchat_configs: RocketChatConfig;
    mattermost_configs: MattermostConfig;
}

impl ReceiverText {
    /// Checks the name and the labels.
    pub(super) fn check(&mut self) -> Result<(), String> {
        if self.name.is_empty() {
            return Err("missing name in receiver".to_owned());
        }
        let label = self.labels.entry("name".to_owned());
        let label = label.or_insert_with(|| self.name.clone());
        if *label != self.name {
            return Err(format!(
                "receiver label \"name\" must match receiver name {:?}, got {label:?}",
                self.name
            ));
        }
        Ok(())
    }
}
