//! The `alerting` section: to which Alertmanagers alerts go, and what becomes of alerts on the way.
//!
//! Source: the `alerting` section of Prometheus' configuration documentation.
//!
//! # Not here
//!
//! Finding the Alertmanagers and sending: [`crate::alertmanagers`] and [`alertmanager::notify`].

use model::Duration;
use model::de::{non_null_list, or_default};
use net::client::ProxyRules;
use scraper::config::{RelabelConfig, StaticConfig, check_target_address, sd};
use scraper::with_discoveries;
use serde::{Deserialize, Deserializer, Serialize};

use super::remote_write::Sigv4Config;

/// The `alerting` section.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AlertingConfig {
    /// Rules that rewrite or drop alerts, wherever they go.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "alert_rules"
    )]
    pub(crate) alert_relabel_configs: Vec<RelabelConfig>,
    /// Where alerts go.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "alertmanagers"
    )]
    pub(crate) alertmanagers: Vec<AlertmanagersConfig>,
}

scraper::for_each_mechanism! { with_discoveries {
    /// One set of Alertmanagers.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct AlertmanagersConfig {
        /// How to connect.
        #[serde(default, deserialize_with = "or_default")]
        pub(crate) scheme: Scheme,
        /// What comes before `/api/v2/alerts`.
        #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
        pub(crate) path_prefix: String,
        /// How long one request may take.
        #[serde(default = "default_timeout")]
        pub(crate) timeout: Duration,
        /// The version of the API; there is only one.
        #[serde(default, deserialize_with = "or_default")]
        pub(crate) api_version: ApiVersion,
        /// The addresses.
        #[serde(default, deserialize_with = "static_configs", skip_serializing_if = "Vec::is_empty")]
        pub(crate) static_configs: Vec<StaticConfig>,
        /// Rules that rewrite or drop Alertmanagers.
        #[serde(default, deserialize_with = "target_rules", skip_serializing_if = "Vec::is_empty")]
        pub(crate) relabel_configs: Vec<RelabelConfig>,
        /// Rules that rewrite or drop the alerts that go there.
        #[serde(default, deserialize_with = "alert_rules", skip_serializing_if = "Vec::is_empty")]
        pub(crate) alert_relabel_configs: Vec<RelabelConfig>,
        /// Signatures of Amazon's cloud.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) sigv4: Option<Sigv4Config>,
    }
} }

/// How to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scheme {
    /// Without TLS.
    #[default]
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// Returns the word in URLs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// The version of Alertmanager's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum ApiVersion {
    /// The only one.
    #[default]
    #[serde(rename = "v2")]
    V2,
}

impl TryFrom<String> for ApiVersion {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "v2" => Ok(ApiVersion::V2),
            other => Err(format!(
                "expected Alertmanager api version to be one of [v2] but got {other}"
            )),
        }
    }
}

fn default_timeout() -> Duration {
    Duration::from_secs(10)
}

fn alertmanagers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<AlertmanagersConfig>, D::Error> {
    non_null_list(from, "empty or null section in alertmanagers")
}

fn static_configs<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<StaticConfig>, D::Error> {
    non_null_list(from, "empty or null section in static_configs")
}

fn alert_rules<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<RelabelConfig>, D::Error> {
    non_null_list(from, "empty or null alert relabeling rule")
}

fn target_rules<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<RelabelConfig>, D::Error> {
    non_null_list(from, "empty or null Alertmanager target relabeling rule")
}

impl AlertingConfig {
    /// Checks the section.
    ///
    /// # Errors
    ///
    /// What is wrong, for a person.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut checked = self.alertmanagers.iter().map(AlertmanagersConfig::check);
        checked
            .try_for_each(|checked| checked)
            .map_err(|error| format!("alerting.alertmanagers: {error}"))
    }
}

impl AlertmanagersConfig {
    fn check(&self) -> Result<(), String> {
        if let Some(sigv4) = &self.sigv4 {
            sigv4.check().map_err(|error| format!("sigv4: {error}"))?;
            if self.basic_auth.is_some() || self.authorization.is_some() || self.oauth2.is_some() {
                return Err(
                    "at most one of basic_auth, authorization, oauth2, & sigv4 must be configured"
                        .to_owned(),
                );
            }
        }
        let http = self.http_config();
        http.validate().map_err(|error| error.to_string())?;
        ProxyRules::of(&http).map_err(|error| error.to_string())?;
        // With relabelling the address may be anything: only what comes out of it counts.
        if self.relabel_configs.is_empty() {
            for address in self.static_configs.iter().flat_map(|group| &group.targets) {
                check_target_address(address)
                    .map_err(|error| format!("{error} (write it like host:9093)"))?;
            }
        }
        Ok(())
    }

    /// Returns the path that alerts are posted to.
    pub(crate) fn alerts_path(&self) -> String {
        let parts = self.path_prefix.split('/').filter(|part| !part.is_empty());
        let prefix: String = parts.map(|part| format!("/{part}")).collect();
        format!("{prefix}/api/v2/alerts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    fn config(text: &str) -> AlertingConfig {
        yaml::parse(text).unwrap()
    }

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        let parsed = yaml::parse::<AlertingConfig>(text).map_err(|error| error.message);
        let error = parsed.and_then(|config| config.check()).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn paths() {
        for (prefix, path) in [
            ("", "/api/v2/alerts"),
            ("/", "/api/v2/alerts"),
            ("am/", "/am/api/v2/alerts"),
            ("/a//b", "/a/b/api/v2/alerts"),
        ] {
            let text = format!("alertmanagers: [{{path_prefix: '{prefix}'}}]");
            assert_eq!(config(&text).alertmanagers[0].alerts_path(), path);
        }
    }

    #[test]
    fn faults() {
        check_error("alertmanagers: [{nonsense: 1}]", "field nonsense not found");
        check_error(
            "alertmanagers: [{static_configs: [{targets: ['http://bad']}]}]",
            "not a valid hostname",
        );
        check_error(
            "alertmanagers: [{api_version: v1}]",
            "expected Alertmanager api version to be one of [v2] but got v1",
        );
        check_error("alertmanagers: [{scheme: ftp}]", "ftp");
        check_error(
            "alertmanagers: [{bearer_token: a, bearer_token_file: b}]",
            "alerting.alertmanagers: at most one of bearer_token",
        );
        check_error(
            "alertmanagers: [{sigv4: {region: x, access_key: a}}]",
            "alerting.alertmanagers: sigv4: must provide a AWS SigV4 Access key and Secret Key",
        );
        check_error(
            "alertmanagers: [{sigv4: {region: x}, basic_auth: {username: u}}]",
            "at most one of basic_auth, authorization, oauth2, & sigv4",
        );
        check_error(
            "alert_relabel_configs:\n-\n",
            "empty or null alert relabeling rule",
        );
        check_error(
            "alertmanagers: [{relabel_configs: [{action: hashmod}]}]",
            "requires non-zero modulus",
        );
        check_error(
            "alertmanagers: [{file_sd_configs: [{files: [a.txt]}]}]",
            "path name \"a.txt\" is not valid",
        );
    }

    #[test]
    fn prints_back_without_secrets() {
        let text = "alert_relabel_configs: [{action: drop}]\nalertmanagers:\n- scheme: https\n  timeout: 5s\n  basic_auth: {username: u, password: pass}\n  \
                    static_configs: [{targets: ['a:1'], labels: {x: y}}]\n  consul_sd_configs: [{server: s, token: tok}]\n- {}\n";
        let printed = yaml::print(&config(text)).unwrap();
        assert!(
            !printed.contains("pass\n") && !printed.contains("tok\n"),
            "{printed}"
        );
        // As if the secrets had been written that way.
        let hidden = text
            .replace("password: pass", "password: <secret>")
            .replace("token: tok", "token: <secret>");
        assert_eq!(config(&printed), config(&hidden), "{printed}");
        assert_eq!(yaml::print(&config(&printed)).unwrap(), printed);
    }
}
