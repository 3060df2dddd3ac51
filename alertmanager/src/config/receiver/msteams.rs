//! `msteams_configs` and `msteamsv2_configs`: cards for Microsoft Teams.

use net::http_config::HttpConfig;

use super::ReceiverConfig;
use crate::config::section::exactly_one;
use crate::config::url::SecretUrl;

section! {
    /// An incoming webhook of Microsoft Teams.
    pub struct MsTeamsConfig {
        /// Whether resolved alerts are told.
        "shown" send_resolved: bool = true,
        /// How to speak HTTP; as in `global`, if not given.
        http_config: Option<HttpConfig>,
        /// Where to.
        webhook_url: SecretUrl,
        /// A file with the URL.
        webhook_url_file: String,
        /// The title; a template.
        title: String = "{{ template \"msteams.default.title\" . }}".to_owned(),
        /// The summary; a template.
        summary: String = "{{ template \"msteams.default.summary\" . }}".to_owned(),
        /// The text; a template.
        text: String = "{{ template \"msteams.default.text\" . }}".to_owned(),
    }
}

impl ReceiverConfig for MsTeamsConfig {
    const KIND: &'static str = "msteams";

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

section! {
    /// A workflow of Microsoft Teams.
    pub struct MsTeamsV2Config {
        /// Whether resolved alerts are told.
        "shown" send_resolved: bool = true,
        /// How to speak HTTP; as in `global`, if not given.
        http_config: Option<HttpConfig>,
        /// Where to.
        webhook_url: SecretUrl,
        /// A file with the URL.
        webhook_url_file: String,
        /// The title; a template.
        title: String = "{{ template \"msteamsv2.default.title\" . }}".to_owned(),
        /// The text; a template.
        text: String = "{{ template \"msteamsv2.default.text\" . }}".to_owned(),
    }
}

impl ReceiverConfig for MsTeamsV2Config {
    const KIND: &'static str = "msteamsv2";

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
