//! Telegram: a message of a bot to a chat.

use std::collections::BTreeMap;

use super::http::{Answer, Dialogue, Outgoing, cut, read};
use super::{Message, SendError};
use crate::config::receiver::TelegramConfig;
use crate::template::Mode;

impl Dialogue for TelegramConfig {
    fn next(&self, message: &Message, answers: &[Answer]) -> Result<Option<Outgoing>, SendError> {
        if !answers.is_empty() {
            return Ok(None);
        }
        let token = read(&self.bot_token, &self.bot_token_file)?;
        let chat = match self.chat_id {
            0 => read(&net::http_config::Secret::new(""), &self.chat_id_file)?,
            chat => chat.to_string(),
        };
        let mode = if self.parse_mode == "HTML" {
            Mode::Html
        } else {
            Mode::Text
        };
        let mut body = BTreeMap::from([
            ("chat_id", chat),
            ("disable_web_page_preview", "true".to_owned()),
            ("text", cut(message.expand(&self.message, mode)?, 4_096)),
        ]);
        if !self.parse_mode.is_empty() {
            body.insert("parse_mode", self.parse_mode.clone());
        }
        if self.disable_notifications {
            body.insert("disable_notification", "true".to_owned());
        }
        if self.message_thread_id != 0 {
            body.insert("message_thread_id", self.message_thread_id.to_string());
        }
        let url = format!("{}/bot{token}/sendMessage", self.api_url.as_str());
        Outgoing::json(url, &body).map(Some)
    }

    /// The bot's library does not tell the failures apart.
    fn is_retried(&self, _: u16) -> bool {
        true
    }
}
