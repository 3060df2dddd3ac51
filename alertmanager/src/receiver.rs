//! Ways to tell people: one file a kind.
//!
//! An integration sends one notification and says whether trying again makes sense; trying again is done here, for all
//! kinds alike.

mod discord;
pub mod email;
mod http;
mod incidentio;
mod jira;
mod mattermost;
mod msteams;
mod opsgenie;
mod pagerduty;
mod pushover;
mod rocketchat;
pub(crate) mod route_labels;
mod slack;
mod sns;
mod telegram;
mod victorops;
mod webex;
pub mod webhook;
mod wechat;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod kinds_tests;
#[cfg(test)]
pub(crate) mod testing;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::Labels;
use model::trace::{Span, SpanContext, Tracer};

use crate::config::Receiver;
use crate::dispatch::{Memory, Notification};
use crate::template::alertmanager::{NotificationData, default_templates};
use crate::template::{Environment, Mode, Template, Value};
use email::Email;
use http::Http;
use route_labels::RouteLabels;
use sns::Sns;
use webhook::Webhook;
use wechat::Wechat;

/// The first pause before trying again; each next one is half as long again.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// The kinds, as metrics call them.
pub(crate) const INTEGRATIONS: [&str; 18] = [
    "discord",
    "email",
    "incidentio",
    "jira",
    "mattermost",
    "msteams",
    "msteamsv2",
    "opsgenie",
    "pagerduty",
    "pushover",
    "rocketchat",
    "slack",
    "sns",
    "telegram",
    "victorops",
    "webex",
    "webhook",
    "wechat",
];

/// Why a notification was not sent.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SendError {
    /// What went wrong.
    pub message: String,
    /// Whether it may go well another time.
    pub is_retryable: bool,
    /// The word for the metric's label `reason`.
    pub reason: &'static str,
}

impl SendError {
    fn fatal(message: impl Into<String>, reason: &'static str) -> Self {
        SendError {
            message: message.into(),
            is_retryable: false,
            reason,
        }
    }

    fn retryable(message: impl Into<String>, reason: &'static str) -> Self {
        SendError {
            message: message.into(),
            is_retryable: true,
            reason,
        }
    }
}

/// One way to tell, ready to be used.
pub(crate) enum Integration {
    Webhook(Box<Webhook>),
    Email(Box<Email>),
    Http(Box<Http>),
}

impl Integration {
    /// Returns the integrations of a receiver by kind and position. Relative names of files with certificates or HTTP
    /// credentials are relative to `base_dir`. An integration that cannot be made (a certificate file is
    /// missing, say) is an error of the configuration.
    pub(crate) fn of(
        receiver: &Receiver,
        base_dir: &Path,
    ) -> Result<Vec<(&'static str, usize, Integration)>, String> {
        let mut integrations = Vec::new();
        for (index, config) in receiver.webhooks.iter().enumerate() {
            let webhook = Webhook::new(config.clone(), base_dir)
                .map_err(|error| crate::http::chain(&error))?;
            integrations.push(("webhook", index, Integration::Webhook(Box::new(webhook))));
        }
        for (index, config) in receiver.emails.iter().enumerate() {
            let email = Email::new(config.clone(), base_dir).map_err(|error| error.to_string())?;
            integrations.push(("email", index, Integration::Email(Box::new(email))));
        }
        let text = &receiver.text;
        // One line a kind: its name, its configurations, how long a request may take, and who speaks.
        macro_rules! http {
            ($($kind:literal $list:ident, $config:ident => $timeout:expr, $dialogue:expr;)*) => {$(
                for (index, $config) in text.$list.iter().enumerate() {
                    let timeout: Option<model::Duration> = $timeout;
                    let http = Http::new(&$config.http_config, base_dir, timeout, $dialogue($config.clone()))
                        .map_err(|error| crate::http::chain(&error))?;
                    integrations.push(($kind, index, Integration::Http(Box::new(http))));
                }
            )*};
        }
        http! {
            "discord" discord_configs, config => None, std::convert::identity;
            "incidentio" incidentio_configs, config => config.timeout.limit(), std::convert::identity;
            "pagerduty" pagerduty_configs, config => config.timeout.limit(), std::convert::identity;
            "slack" slack_configs, config => config.timeout.limit(), std::convert::identity;
            "opsgenie" opsgenie_configs, config => None, std::convert::identity;
            "wechat" wechat_configs, config => None, Wechat::new;
            "pushover" pushover_configs, config => None, std::convert::identity;
            "victorops" victorops_configs, config => None, std::convert::identity;
            "sns" sns_configs, config => None, Sns::new;
            "telegram" telegram_configs, config => None, std::convert::identity;
            "webex" webex_configs, config => None, std::convert::identity;
            "msteams" msteams_configs, config => None, std::convert::identity;
            "msteamsv2" msteamsv2_configs, config => None, std::convert::identity;
            "rocketchat" rocketchat_configs, config => None, std::convert::identity;
            "jira" jira_configs, config => None, std::convert::identity;
            "mattermost" mattermost_configs, config => None, std::convert::identity;
        }
        Ok(integrations)
    }

    async fn send(&self, message: &Message) -> Result<Memory, SendError> {
        match self {
            Integration::Webhook(webhook) => webhook.send(message).await.map(|()| Memory::new()),
            Integration::Email(email) => email.send(message).await.map(|()| Memory::new()),
            Integration::Http(http) => http.send(message).await,
        }
    }

    /// Sends `message`, again and again while that makes sense and time is left. `attempted` hears of each attempt. Returns what
    /// the integration wants to be reminded of the next time.
    pub(crate) async fn send_with_retries(
        &self,
        message: &Message,
        timeout: Duration,
        mut attempted: impl FnMut(Result<(), &SendError>),
    ) -> Result<Memory, SendError> {
        let deadline = tokio::time::Instant::now() + timeout;
        let mut pause = BACKOFF_FIRST;
        loop {
            let attempt = tokio::time::timeout_at(deadline, self.send(message)).await;
            let error = match attempt {
                Ok(Ok(memory)) => {
                    attempted(Ok(()));
                    return Ok(memory);
                }
                Ok(Err(error)) => error,
                Err(_) => SendError::fatal("no answer in time", "contextDeadlineExceeded"),
            };
            attempted(Err(&error));
            let next = tokio::time::Instant::now() + jitter(pause);
            if !error.is_retryable || deadline <= next {
                return Err(error);
            }
            tracing::debug!(%error, "a notification failed and is tried again");
            tokio::time::sleep_until(next).await;
            pause = (pause * 3 / 2).min(BACKOFF_MAX);
        }
    }
}

/// Returns `pause` give or take half of it, so that many senders do not try again together.
fn jitter(pause: Duration) -> Duration {
    use std::hash::BuildHasher as _;
    // The standard hasher's keys are random in each process; that is all the randomness that is needed here.
    let random = std::collections::hash_map::RandomState::new().hash_one(pause) % 1_000;
    pause.mul_f64(0.5 + random as f64 / 1_000.0)
}

/// A notification with all that is said about it.
pub(crate) struct Message {
    pub(crate) group_key: String,
    pub(crate) data: NotificationData,
    pub(crate) now_ms: i64,
    /// What the integration wanted to be reminded of when it told of the group last.
    pub(crate) memory: Memory,
    /// What templates of the configuration may call.
    pub(crate) templates: Arc<Template>,
    /// The span that the requests are below, and what makes theirs.
    pub(crate) trace: Option<(Tracer, SpanContext)>,
}

impl Message {
    pub(crate) fn new(notification: &Notification, external_url: &str, now_ms: i64) -> Self {
        let data = NotificationData {
            receiver: quote_regex(&notification.integration.receiver),
            reason: notification.reason.to_owned(),
            group_labels: notification.group_labels.clone(),
            common_labels: Labels::empty(),
            common_annotations: Labels::empty(),
            route_labels: Labels::empty(),
            external_url: external_url.to_owned(),
            alerts: Vec::new(),
        };
        let data = data.with_alerts(notification.alerts.clone());
        Message {
            group_key: notification.integration.group_key.clone(),
            data,
            now_ms,
            memory: notification.memory().clone(),
            templates: default_templates(),
            trace: None,
        }
    }

    /// Expands the labels of the route, for the templates of the message; its own templates are known by now.
    pub(crate) fn expand_route_labels(&mut self, texts: &RouteLabels) -> Result<(), SendError> {
        let labels = route_labels::render(texts, &self.data, &self.templates, self.now_ms);
        self.data.route_labels = labels.map_err(|error| SendError::fatal(error, "other"))?;
        Ok(())
    }

    /// Begins the span of a request that tells it.
    fn begin_request(&self, method: &'static str) -> Span {
        match &self.trace {
            // URLs of receivers are secrets.
            Some((tracer, above)) => net::trace::begin_request(tracer, method, None, Some(*above)),
            None => Span::default(),
        }
    }

    /// Returns whether any alert fires.
    fn is_firing(&self) -> bool {
        self.data.status() == "firing"
    }

    /// Expands a template to plain text.
    fn text(&self, text: &str) -> Result<String, SendError> {
        self.expand(text, Mode::Text)
    }

    /// Expands all texts within a value; what then is YAML stands there as its value, as in
    /// Alertmanager (YAML 1.1: `yes` is true).
    fn expand_json(&self, value: &serde_json::Value) -> Result<serde_json::Value, SendError> {
        use serde_json::Value as Json;
        Ok(match value {
            Json::String(text) => {
                let text = self.text(text)?;
                match text.as_str() {
                    "" => Json::Null,
                    _ => match crate::yaml::from_expanded(&text) {
                        Ok(Json::String(_)) | Err(_) => Json::String(text),
                        Ok(value) => value,
                    },
                }
            }
            Json::Array(items) => {
                let items = items.iter().map(|item| self.expand_json(item));
                Json::Array(items.collect::<Result<_, _>>()?)
            }
            Json::Object(entries) => {
                let entries = entries
                    .iter()
                    .map(|(key, value)| Ok((self.text(key)?, self.expand_json(value)?)));
                Json::Object(entries.collect::<Result<_, SendError>>()?)
            }
            other => other.clone(),
        })
    }

    /// Expands a template of the configuration.
    fn expand(&self, text: &str, mode: Mode) -> Result<String, SendError> {
        let fatal =
            |error: String| SendError::fatal(format!("expand a template: {error}"), "other");
        // A page loses its comments also where no value stands in it.
        if mode == Mode::Text && !text.contains("{{") {
            return Ok(text.to_owned());
        }
        let template = self
            .templates
            .with("", text)
            .map_err(|error| fatal(error.to_string()))?;
        let data = Value::object(self.data.clone());
        template
            .execute(&data, self, mode)
            .map_err(|error| fatal(error.to_string()))
    }
}

impl Environment for Message {
    fn now_ms(&self) -> i64 {
        self.now_ms
    }

    fn external_url(&self) -> &str {
        &self.data.external_url
    }

    fn route_label(&self, name: &str) -> Result<String, String> {
        Ok(self.data.route_labels.value(name).to_owned())
    }
}

/// Escapes what means something in a regular expression, as Go's `regexp.QuoteMeta`.
fn quote_regex(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
