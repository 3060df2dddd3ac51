//! `pushover_configs`: messages through Pushover.

use net::http_config::{HttpConfig, Secret};

use super::ReceiverConfig;
use crate::config::duration::GoDuration;
use crate::config::section::{at_most_one, ensure};

section! {
    /// A user of Pushover.
    pub struct PushoverConfig {
        /// Whether resolved alerts are told.
        "shown" send_resolved: bool = true,
        /// How to speak HTTP; as in `global`, if not given.
        http_config: Option<HttpConfig>,
        /// The user.
        user_key: Secret,
        /// A file with it.
        user_key_file: String,
        /// The token of the application.
        token: Secret,
        /// A file with it.
        token_file: String,
        /// The title; a template.
        title: String = "{{ template \"pushover.default.title\" . }}".to_owned(),
        /// The text; a template.
        message: String = "{{ template \"pushover.default.message\" . }}".to_owned(),
        /// A link; a template.
        url: String = "{{ template \"pushover.default.url\" . }}".to_owned(),
        /// Its title.
        url_title: String,
        /// The device; all, if empty.
        device: String,
        /// The sound.
        sound: String,
        /// The priority; a template.
        priority: String = "{{ if eq .Status \"firing\" }}2{{ else }}0{{ end }}".to_owned(),
        /// How often an emergency is told again.
        retry: GoDuration = GoDuration::from_secs(60),
        /// How long an emergency is told.
        expire: GoDuration = GoDuration::from_secs(3_600),
        /// How long a message is kept.
        ttl: GoDuration,
        /// Whether the text is HTML.
        html: bool,
        /// Whether the text is monospaced.
        monospace: bool,
    }
}

impl ReceiverConfig for PushoverConfig {
    const KIND: &'static str = "pushover";

    fn check(&mut self) -> Result<(), String> {
        ensure(
            !self.user_key.is_empty() || !self.user_key_file.is_empty(),
            "one of user_key or user_key_file must be configured",
        )?;
        at_most_one(
            !self.user_key.is_empty(),
            !self.user_key_file.is_empty(),
            "user_key",
        )?;
        ensure(
            !self.token.is_empty() || !self.token_file.is_empty(),
            "one of token or token_file must be configured",
        )?;
        at_most_one(!self.token.is_empty(), !self.token_file.is_empty(), "token")?;
        ensure(
            !(self.html && self.monospace),
            "at most one of monospace & html must be configured",
        )
    }

    fn http_config(&mut self) -> Option<&mut Option<HttpConfig>> {
        Some(&mut self.http_config)
    }
}
