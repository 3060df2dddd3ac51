//! `telegram_configs`: messages of a Telegram bot.

use net::http_config::{HttpConfig, Secret};

use super::ReceiverConfig;
use crate::config::global::Global;
use crate::config::section::{at_most_one, ensure};
use crate::config::url::ApiUrl;

section! {
    /// A chat of Telegram.
    pub struct TelegramConfig {
        /// Whether resolved alerts are told.
        "shown" send_resolved: bool = true,
        /// How to speak HTTP; as in `global`, if not given.
        http_config: Option<HttpConfig>,
        /// The address.
        api_url: ApiUrl,
        /// The token of the bot.
        bot_token: Secret,
        /// A file with it.
        bot_token_file: String,
        /// The chat.
        chat_id: i64,
        /// A file with it.
        chat_id_file: String,
        /// The thread.
        message_thread_id: i64,
        /// The text; a template.
        message: String = "{{ template \"telegram.default.message\" . }}".to_owned(),
        /// Whether messages are silent.
        disable_notifications: bool,
        /// `HTML`, `Markdown`, `MarkdownV2` or nothing.
        parse_mode: String = "HTML".to_owned(),
    }
}

impl ReceiverConfig for TelegramConfig {
    const KIND: &'static str = "telegram";

    fn check(&mut self) -> Result<(), String> {
        at_most_one(
            !self.bot_token.is_empty(),
            !self.bot_token_file.is_empty(),
            "bot_token",
        )?;
        ensure(
            self.chat_id != 0 || !self.chat_id_file.is_empty(),
            "missing chat_id or chat_id_file on telegram_config",
        )?;
        at_most_one(self.chat_id != 0, !self.chat_id_file.is_empty(), "chat_id")?;
        ensure(
            matches!(
                self.parse_mode.as_str(),
                "" | "Markdown" | "MarkdownV2" | "HTML"
            ),
            "unknown parse_mode on telegram_config, must be Markdown, MarkdownV2, HTML or empty string",
        )
    }

    fn fill(&mut self, global: &Global) -> Result<(), String> {
        if self.api_url.is_empty() {
            self.api_url = global.telegram_api_url.clone();
        }
        if self.bot_token.is_empty() && self.bot_token_file.is_empty() {
            self.bot_token = global.telegram_bot_token.clone();
            self.bot_token_file
                .clone_from(&global.telegram_bot_token_file);
        }
        ensure(
            !self.bot_token.is_empty() || !self.bot_token_file.is_empty(),
            "missing bot_token or bot_token_file on telegram_config",
        )
    }

    fn http_config(&mut self) -> Option<&mut Option<HttpConfig>> {
        Some(&mut self.http_config)
    }
}
