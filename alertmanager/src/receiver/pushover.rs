//! Pushover: a message with all parameters in the URL.

use net::escape::form;

use super::http::{Answer, Dialogue, Outgoing, cut, read};
use super::{Message, SendError};
use crate::config::duration::GoDuration;
use crate::config::receiver::PushoverConfig;
use crate::template::Mode;

/// Alertmanager has no setting for it.
const URL: &str = "https://api.pushover.net/1/messages.json";

impl Dialogue for PushoverConfig {
    fn next(&self, message: &Message, answers: &[Answer]) -> Result<Option<Outgoing>, SendError> {
        if !answers.is_empty() {
            return Ok(None);
        }
        let mode = if self.html { Mode::Html } else { Mode::Text };
        let mut text = message.expand(&self.message, mode)?.trim().to_owned();
        if text.is_empty() {
            // Pushover refuses empty messages.
            "(no details)".clone_into(&mut text);
        }
        let seconds = |duration: GoDuration| {
            duration
                .limit()
                .map_or(0, |duration| duration.to_std().as_secs())
        };
        let mut parameters = vec![
            (
                "token",
                message.text(&read(&self.token, &self.token_file)?)?,
            ),
            (
                "user",
                message.text(&read(&self.user_key, &self.user_key_file)?)?,
            ),
            ("title", cut(message.text(&self.title)?, 250)),
            ("message", cut(text, 1_024)),
            ("url", cut(message.text(&self.url)?, 512)),
            ("url_title", message.text(&self.url_title)?),
            ("priority", message.text(&self.priority)?),
            ("retry", seconds(self.retry).to_string()),
            ("expire", seconds(self.expire).to_string()),
            ("device", message.text(&self.device)?),
            ("sound", message.text(&self.sound)?),
        ];
        for (name, is_set) in [("html", self.html), ("monospace", self.monospace)] {
            if is_set {
                parameters.push((name, "1".to_owned()));
            }
        }
        if self.ttl.limit().is_some() {
            parameters.push(("ttl", seconds(self.ttl).to_string()));
        }
        let is_needed = |name| matches!(name, "url" | "title" | "message");
        parameters.retain(|(name, value)| is_needed(*name) || !value.is_empty());
        parameters.sort();
        let pairs = parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", form(value)));
        Ok(Some(Outgoing {
            method: reqwest::Method::POST,
            url: format!("{URL}?{}", pairs.collect::<Vec<_>>().join("&")),
            headers: vec![("Content-Type", "text/plain".to_owned())],
            body: String::new(),
        }))
    }
}
