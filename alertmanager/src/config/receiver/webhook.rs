//! `webhook_configs`: alerts as JSON for a URL.

use net::http_config::HttpConfig;
use serde_json::Value;

use super::ReceiverConfig;
use crate::config::duration::GoDuration;
use crate::config::section::{at_most_one, ensure};
use crate::config::url::SecretUrl;

section! {
    /// A URL that is told.
    pub struct WebhookText {
        /// Whether resolved alerts are told.
        "shown" send_resolved: bool = true,
        /// How to speak HTTP; as in `global`, if not given.
        http_config: Option<HttpConfig>,
        /// Where to; a template.
        "shown" url: SecretUrl,
        /// A file with the URL.
        "shown" url_file: String,
        /// How many alerts go into one request; 0 is all.
        "shown" max_alerts: u64,
        /// How long one request may take.
        "shown" timeout: GoDuration,
        /// A body of one's own.
        payload: Option<Value>,
    }
}

impl ReceiverConfig for WebhookText {
    const KIND: &'static str = "webhook";

    fn check(&mut self) -> Result<(), String> {
        ensure(
            !self.url.is_empty() || !self.url_file.is_empty(),
            "one of url or url_file must be configured",
        )?;
        at_most_one(!self.url.is_empty(), !self.url_file.is_empty(), "url")
    }

    fn http_config(&mut self) -> Option<&mut Option<HttpConfig>> {
        Some(&mut self.http_config)
    }
}
