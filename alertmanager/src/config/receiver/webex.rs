//! `webex_configs`: messages to rooms of Webex.

use net::http_config::HttpConfig;

use super::ReceiverConfig;
use crate::config::global::Global;
use crate::config::section::ensure;
use crate::config::url::ApiUrl;

section! {
    /// A room of Webex.
    pub struct WebexConfig {
        /// Whether resolved alerts are told.
        "shown" send_resolved: bool = true,
        /// How to speak HTTP; as in `global`, if not given.
        http_config: Option<HttpConfig>,
        /// The address.
        api_url: ApiUrl,
        /// The text; a template.
        message: String = "{{ template \"webex.default.message\" . }}".to_owned(),
        /// The room; a template.
        room_id: String,
    }
}

impl ReceiverConfig for WebexConfig {
    const KIND: &'static str = "webex";

    fn check(&mut self) -> Result<(), String> {
        ensure(!self.room_id.is_empty(), "missing room_id on webex_config")?;
        let http = self.http_config.as_ref();
        ensure(
            http.is_some_and(|http| http.authorization.is_some()),
            "missing webex_configs.http_config.authorization",
        )
    }

    fn fill(&mut self, global: &Global) -> Result<(), String> {
        if self.api_url.is_empty() {
            ensure(!global.webex_api_url.is_empty(), "no global Webex URL set")?;
            self.api_url = global.webex_api_url.clone();
        }
        Ok(())
    }

    fn http_config(&mut self) -> Option<&mut Option<HttpConfig>> {
        Some(&mut self.http_config)
    }
}
