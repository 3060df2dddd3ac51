//! `incidentio_configs`: alerts for incident.io.

use net::http_config::{HttpConfig, Secret};

use super::ReceiverConfig;
use crate::config::duration::GoDuration;
use crate::config::section::{at_most_one, ensure};
use crate::config::url::ApiUrl;

section! {
    /// An alert source of incident.io.
    pub struct IncidentIoConfig {
        /// Whether resolved alerts are told.
        "shown" send_resolved: bool = true,
        /// How to speak HTTP; as in `global`, if not given.
        http_config: Option<HttpConfig>,
        /// Where to.
        "shown" url: ApiUrl,
        /// A file with the URL.
        "shown" url_file: String,
        /// The token of the alert source.
        alert_source_token: Secret,
        /// A file with it.
        alert_source_token_file: String,
        /// How many alerts go into one request; 0 is all.
        "shown" max_alerts: u64,
        /// How long one request may take.
        "shown" timeout: GoDuration,
    }
}

impl ReceiverConfig for IncidentIoConfig {
    const KIND: &'static str = "incidentio";

    fn check(&mut self) -> Result<(), String> {
        ensure(
            !self.url.is_empty() || !self.url_file.is_empty(),
            "one of url or url_file must be configured",
        )?;
        at_most_one(!self.url.is_empty(), !self.url_file.is_empty(), "url")?;
        at_most_one(
            !self.alert_source_token.is_empty(),
            !self.alert_source_token_file.is_empty(),
            "alert_source_token",
        )?;
        let has_token =
            !self.alert_source_token.is_empty() || !self.alert_source_token_file.is_empty();
        let http = self.http_config.as_ref();
        let has_authorization = http.is_some_and(|http| http.authorization.is_some());
        ensure(
            !(has_token && has_authorization),
            "cannot specify alert_source_token or alert_source_token_file when using http_config.authorization",
        )
    }

    fn http_config(&mut self) -> Option<&mut Option<HttpConfig>> {
        Some(&mut self.http_config)
    }
}
