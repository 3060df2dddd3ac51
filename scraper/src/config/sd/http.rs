//! `http_sd_configs`: a URL that lists target groups.

use model::Duration;
use net::http_config::UrlText;

use super::check_url;
use crate::config::ConfigError;

sd_config! {
    /// A URL that answers with target groups as JSON.
    pub struct HttpSdConfig: "http_sd_configs", "http.plain";
    defaults {
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
    }
    fields {
        /// The URL.
        url: UrlText,
    }
    http
}

impl HttpSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        check_url(&self.url)
    }
}
