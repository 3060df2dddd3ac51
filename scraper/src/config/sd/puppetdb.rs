//! `puppetdb_sd_configs`: resources of PuppetDB.

use model::Duration;
use net::http_config::UrlText;

use super::{check_url, ensure};
use crate::config::ConfigError;

sd_config! {
    /// Resources that a PuppetDB query finds.
    pub struct PuppetDbSdConfig: "puppetdb_sd_configs", "puppetdb.plain";
    defaults {
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
        /// The port that targets are scraped on.
        port: u16 = 80,
    }
    fields {
        /// The URL of PuppetDB.
        url: UrlText,
        /// The query, in PQL.
        query: String,
        /// Whether parameters become labels.
        include_parameters: bool,
    }
    http
}

impl PuppetDbSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        check_url(&self.url)?;
        ensure(!self.query.is_empty(), "query missing")
    }
}
