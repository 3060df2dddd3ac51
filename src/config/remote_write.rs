//! One item of `remote_write`: another server that samples are sent to. It is read and checked; nothing is sent yet.

mod cloud;
mod queue;

use std::collections::BTreeMap;

use model::Duration;
use model::de::{non_null_list, or_default};
use net::http_config::UrlText;
use scraper::config::RelabelConfig;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

pub(crate) use cloud::{AzureAdConfig, GoogleIamConfig, Sigv4Config};
pub(crate) use queue::{MetadataConfig, QueueConfig};

use super::remote_section::{Remote, check_headers};

net::with_http_config! {
    /// Another server that samples are sent to.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    pub(crate) struct RemoteWriteConfig {
        /// Where.
        #[serde(deserialize_with = "or_default")]
        pub(crate) url: UrlText,
        /// How long an answer may take.
        pub(crate) remote_timeout: Duration,
        /// Headers to send.
        #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
        pub(crate) headers: BTreeMap<String, String>,
        /// Rules that rewrite or drop what is sent.
        #[serde(deserialize_with = "rules", skip_serializing_if = "Vec::is_empty")]
        pub(crate) write_relabel_configs: Vec<RelabelConfig>,
        /// What it is called, once among all.
        #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
        pub(crate) name: String,
        /// Whether exemplars are sent too.
        #[serde(deserialize_with = "or_default")]
        pub(crate) send_exemplars: bool,
        /// Whether native histograms are sent too; the second protocol always does.
        #[serde(deserialize_with = "or_default")]
        pub(crate) send_native_histograms: bool,
        /// Whether each connection goes to another address of the host.
        #[serde(deserialize_with = "or_default")]
        pub(crate) round_robin_dns: bool,
        /// Whether requests that failed are logged.
        #[serde(deserialize_with = "or_default", skip_serializing_if = "super::is_default")]
        pub(crate) failed_request_logging: bool,
        /// The protocol.
        pub(crate) protobuf_message: ProtobufMessage,
        /// How samples wait and are sent.
        #[serde(deserialize_with = "or_default")]
        pub(crate) queue_config: QueueConfig,
        /// How metadata is sent, by the first protocol.
        #[serde(deserialize_with = "or_default")]
        pub(crate) metadata_config: MetadataConfig,
        /// Signatures of Amazon's cloud.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) sigv4: Option<Sigv4Config>,
        /// Tokens of Azure.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) azuread: Option<AzureAdConfig>,
        /// Tokens of Google's cloud.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) google_iam: Option<GoogleIamConfig>,
    }
}

net::default_with_http_config! {
    RemoteWriteConfig {
        url: UrlText::default(),
        remote_timeout: Duration::from_secs(30),
        headers: BTreeMap::new(),
        write_relabel_configs: Vec::new(),
        name: String::new(),
        send_exemplars: false,
        send_native_histograms: false,
        round_robin_dns: false,
        failed_request_logging: false,
        protobuf_message: ProtobufMessage::V1,
        queue_config: QueueConfig::default(),
        metadata_config: MetadataConfig::default(),
        sigv4: None,
        azuread: None,
        google_iam: None,
    }
}

/// A version of the protocol, by the name of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum ProtobufMessage {
    /// 1.0
    #[serde(rename = "prometheus.WriteRequest")]
    V1,
    /// 2.0
    #[serde(rename = "io.prometheus.write.v2.Request")]
    V2,
}

impl<'de> Deserialize<'de> for ProtobufMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "prometheus.WriteRequest" => Ok(ProtobufMessage::V1),
            "io.prometheus.write.v2.Request" => Ok(ProtobufMessage::V2),
            other => Err(D::Error::custom(format_args!(
                "invalid protobuf_message value: unknown type for remote write protobuf message {other}, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request"
            ))),
        }
    }
}

impl Remote for RemoteWriteConfig {
    const WHAT: &'static str = "remote write";

    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self) -> Result<(), String> {
        if self.url.is_empty() {
            return Err("url for remote_write is empty".to_owned());
        }
        check_headers(&self.headers)?;
        let outcome = self.http_config().validate();
        outcome.map_err(|error| error.to_string())?;
        self.queue_config.check()?;
        let credentials = [
            self.basic_auth.is_some(),
            self.authorization.is_some()
                || self.bearer_token.is_some()
                || self.bearer_token_file.is_some(),
            self.oauth2.is_some(),
            self.sigv4.is_some(),
            self.azuread.is_some(),
            self.google_iam.is_some(),
        ];
        if 1 < credentials.iter().filter(|given| **given).count() {
            return Err("at most one of basic_auth, authorization, oauth2, sigv4, azuread or google_iam must be configured".to_owned());
        }
        self.azuread.as_ref().map_or(Ok(()), AzureAdConfig::check)?;
        self.sigv4.as_ref().map_or(Ok(()), Sigv4Config::check)
    }
}

fn rules<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<RelabelConfig>, D::Error> {
    non_null_list(from, "empty or null relabeling rule in remote write config")
}
