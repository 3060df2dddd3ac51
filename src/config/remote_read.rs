//! One item of `remote_read`: another server that samples are read from. It is read and checked; nothing is asked yet.

use std::collections::BTreeMap;

use model::Duration;
use model::de::or_default;
use net::http_config::UrlText;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::remote_write::{Unique, check_headers};

net::with_http_config! {
    /// Another server that samples are read from.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    pub(crate) struct RemoteReadConfig {
        /// Where.
        #[serde(deserialize_with = "or_default")]
        pub(crate) url: UrlText,
        /// How long an answer may take.
        pub(crate) remote_timeout: Duration,
        /// How long one frame of an answer may be, in bytes.
        pub(crate) chunked_read_limit: u64,
        /// Headers to send.
        #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
        pub(crate) headers: BTreeMap<String, String>,
        /// What it is called, once among all.
        #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
        pub(crate) name: String,
        /// Whether it is asked for times that we have samples of too.
        #[serde(deserialize_with = "or_default")]
        pub(crate) read_recent: bool,
        /// Matchers that a query must have for it to be asked.
        #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
        pub(crate) required_matchers: BTreeMap<String, String>,
        /// Whether external labels are among the matchers.
        pub(crate) filter_external_labels: bool,
    }
}

impl Default for RemoteReadConfig {
    fn default() -> Self {
        RemoteReadConfig {
            url: UrlText::default(),
            remote_timeout: Duration::from_secs(60),
            chunked_read_limit: 50_000_000,
            headers: BTreeMap::new(),
            name: String::new(),
            read_recent: false,
            required_matchers: BTreeMap::new(),
            filter_external_labels: true,
            basic_auth: None,
            authorization: None,
            oauth2: None,
            bearer_token: None,
            bearer_token_file: None,
            tls_config: None,
            follow_redirects: None,
            enable_http2: None,
            proxy_url: None,
            no_proxy: None,
            proxy_from_environment: None,
            proxy_connect_header: None,
            http_headers: None,
        }
    }
}

impl RemoteReadConfig {
    fn check(&self) -> Result<(), String> {
        if self.url.is_empty() {
            return Err("url for remote_read is empty".to_owned());
        }
        check_headers(&self.headers)?;
        let outcome = self.http_config().validate();
        outcome.map_err(|error| error.to_string())
    }
}

/// One item, checked as soon as it is read.
struct Checked(RemoteReadConfig);

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let config = RemoteReadConfig::deserialize(deserializer)?;
        config.check().map_err(D::Error::custom)?;
        Ok(Checked(config))
    }
}

/// Reads the section.
pub(super) fn list<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<RemoteReadConfig>, D::Error> {
    let message = "empty or null remote read config section";
    let items: Vec<Checked> = model::de::non_null_list(deserializer, message)?;
    let mut names = Unique::new("remote read");
    for item in &items {
        names.take(&item.0.name).map_err(D::Error::custom)?;
    }
    Ok(items.into_iter().map(|item| item.0).collect())
}
