//! `discord_configs`: messages to a channel of Discord.

use net::http_config::HttpConfig;

use super::ReceiverConfig;
use crate::config::section::exactly_one;
use crate::config::url::SecretUrl;

section! {
    /// A webhook of Discord.
    pub struct DiscordConfig {
        /// Whether resolved alerts are told.
        "shown" send_resolved: bool = true,
        /// How to speak HTTP; as in `global`, if not given.
        http_config: Option<HttpConfig>,
        /// Where to.
        webhook_url: SecretUrl,
        /// A file with the URL.
        webhook_url_file: String,
        /// The text above the embed; a template.
        content: String,
        /// The title; a template.
        title: String = "{{ template \"discord.default.title\" . }}".to_owned(),
        /// The text; a template.
        message: String = "{{ template \"discord.default.message\" . }}".to_owned(),
        /// Who the message is from; a template.
        username: String,
        /// The picture of who it is from.
        avatar_url: String,
    }
}

impl ReceiverConfig for DiscordConfig {
    const KIND: &'static str = "discord";

    fn check(&mut self) -> Result<(), String> {
        exactly_one(
            !self.webhook_url.is_empty(),
            !self.webhook_url_file.is_empty(),
            "webhook_url",
        )
    }

    fn http_config(&mut self) -> Option<&mut Option<HttpConfig>> {
        Some(&mut self.http_config)
    }
}
