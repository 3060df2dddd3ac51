//! One item of `remote_read`: another server that samples are read from. It is read and checked; nothing is asked yet.

use std::collections::BTreeMap;

use model::Duration;
use model::de::or_default;
use net::http_config::UrlText;
use serde::{Deserialize, Serialize};

use super::remote_section::{Remote, check_headers};

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

net::default_with_http_config! {
    RemoteReadConfig {
        url: UrlText::default(),
        remote_timeout: Duration::from_secs(60),
        chunked_read_limit: 50_000_000,
        headers: BTreeMap::new(),
        name: String::new(),
        read_recent: false,
        required_matchers: BTreeMap::new(),
        filter_external_labels: true,
    }
}

impl Remote for RemoteReadConfig {
    const WHAT: &'static str = "remote read";

    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self) -> Result<(), String> {
        if self.url.is_empty() {
            return Err("url for remote_read is empty".to_owned());
        }
        check_headers(&self.headers)?;
        let outcome = self.http_config().validate();
        outcome.map_err(|error| error.to_string())
    }
}
