//! The `alerting` section of the configuration: to which Alertmanagers alerts go.
//!
//! Source: the `alerting` section of Prometheus' configuration documentation.
//!
//! # Not here
//!
//! Relabelling and service discovery: their fields are read, printed back without secrets, and reported by
//! [`AlertingConfig::check`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::Duration;
use net::http_config::Unbuilt;
use serde::{Deserialize, Deserializer, Serialize};

use crate::http;
use model::de::{non_null_list, or_default};

/// The `alerting` section.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertingConfig {
    /// Relabelling of alerts; not built yet.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "alert_rules"
    )]
    pub alert_relabel_configs: Vec<Unbuilt>,
    /// Where alerts go.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "alertmanagers"
    )]
    pub alertmanagers: Vec<AlertmanagerTargetConfig>,
    /// What relative file names in the section start from. Empty after parsing, which is the directory of the process;
    /// whoever has read the file sets it to the file's.
    #[serde(skip)]
    pub base_dir: PathBuf,
}

net::with_unbuilt_and_http_config! {
    /// One set of Alertmanagers.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct AlertmanagerTargetConfig {
        /// How to connect.
        #[serde(default, deserialize_with = "or_default")]
        pub scheme: Scheme,
        /// What comes before `/api/v2/alerts`.
        #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
        pub path_prefix: String,
        /// How long one request may take.
        #[serde(default = "default_timeout")]
        pub timeout: Duration,
        /// The version of the API; there is only one.
        #[serde(default, deserialize_with = "or_default")]
        pub api_version: ApiVersion,
        /// The addresses.
        #[serde(default, deserialize_with = "static_configs", skip_serializing_if = "Vec::is_empty")]
        pub static_configs: Vec<StaticTargets>,
        /// Relabelling of the Alertmanagers' addresses; not built yet.
        #[serde(default, deserialize_with = "target_rules", skip_serializing_if = "Vec::is_empty")]
        pub relabel_configs: Vec<Unbuilt>,
        /// Relabelling of the alerts that go there; not built yet.
        #[serde(default, deserialize_with = "alert_rules", skip_serializing_if = "Vec::is_empty")]
        pub alert_relabel_configs: Vec<Unbuilt>,
    }
    unbuilt {
        sigv4, file_sd_configs,
        aws_sd_configs, azure_sd_configs, consul_sd_configs, digitalocean_sd_configs, dns_sd_configs,
        docker_sd_configs, dockerswarm_sd_configs, ec2_sd_configs, eureka_sd_configs, gce_sd_configs,
        hetzner_sd_configs, http_sd_configs, ionos_sd_configs, kubernetes_sd_configs, kuma_sd_configs,
        lightsail_sd_configs, linode_sd_configs, marathon_sd_configs, nerve_sd_configs, nomad_sd_configs,
        oci_sd_configs, openstack_sd_configs, outscale_sd_configs, ovhcloud_sd_configs, puppetdb_sd_configs,
        scaleway_sd_configs, serverset_sd_configs, stackit_sd_configs, triton_sd_configs, uyuni_sd_configs,
        vultr_sd_configs,
    }
}

/// Addresses that are written down.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StaticTargets {
    /// `host:port` each.
    #[serde(deserialize_with = "or_default")]
    pub targets: Vec<String>,
    /// Labels for relabelling; unused so far.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
}

/// How to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Without TLS.
    #[default]
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// The version of Alertmanager's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub enum ApiVersion {
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

fn alertmanagers<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<AlertmanagerTargetConfig>, D::Error> {
    non_null_list(from, "empty or null section in alertmanagers")
}

fn static_configs<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<StaticTargets>, D::Error> {
    non_null_list(from, "empty or null section in static_configs")
}

fn alert_rules<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Unbuilt>, D::Error> {
    non_null_list(from, "empty or null alert relabeling rule")
}

fn target_rules<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Unbuilt>, D::Error> {
    non_null_list(from, "empty or null Alertmanager target relabeling rule")
}

impl AlertingConfig {
    /// Checks the section; returns warnings about what is not built yet.
    ///
    /// # Errors
    ///
    /// What is wrong, for a person.
    pub fn check(&self) -> Result<Vec<String>, String> {
        let mut warnings = Vec::new();
        if !self.alert_relabel_configs.is_empty() {
            warnings.push(
                "alerting.alert_relabel_configs is not built yet: alerts are sent as they are"
                    .to_owned(),
            );
        }
        for target in &self.alertmanagers {
            warnings.extend(target.check()?);
        }
        Ok(warnings)
    }
}

impl AlertmanagerTargetConfig {
    fn check(&self) -> Result<Vec<String>, String> {
        let rules = [
            (!self.relabel_configs.is_empty(), "relabel_configs"),
            (
                !self.alert_relabel_configs.is_empty(),
                "alert_relabel_configs",
            ),
        ];
        let rules = rules.into_iter().filter(|(is_there, _)| *is_there);
        let mut warnings: Vec<String> = rules
            .map(|(_, field)| field)
            .chain(self.unbuilt())
            .map(|field| format!("alerting.alertmanagers: {field} is not built yet and ignored"))
            .collect();
        let in_section = |error: String| format!("alerting.alertmanagers: {error}");
        let http = http::check(&self.http_config(), "alerting.alertmanagers");
        warnings.extend(http.map_err(in_section)?);
        for address in self.addresses() {
            // With relabelling the address may be anything: only what comes out of it counts.
            let is_url = reqwest::Url::parse(&self.url(address)).is_ok();
            if self.relabel_configs.is_empty() && (!is_url || address.contains('/')) {
                return Err(in_section(format!(
                    "{address:?} is not a valid hostname (write it like host:9093)"
                )));
            }
        }
        Ok(warnings)
    }

    /// Returns the `host:port` of all Alertmanagers.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &str> {
        self.static_configs
            .iter()
            .flat_map(|targets| &targets.targets)
            .map(String::as_str)
    }

    /// Returns where alerts are posted.
    pub(super) fn url(&self, address: &str) -> String {
        let prefix = self.path_prefix.trim_matches('/');
        let separator = if prefix.is_empty() { "" } else { "/" };
        format!(
            "{}://{address}{separator}{prefix}/api/v2/alerts",
            self.scheme.as_str()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> AlertingConfig {
        serde_saphyr::from_str(text).unwrap()
    }

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        let parsed = crate::yaml::from_str::<AlertingConfig>(text)
            .map_err(|error| crate::yaml::message(&error));
        let error = parsed.and_then(|config| config.check()).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn urls_are_put_together() {
        let good = config(
            "alertmanagers:\n- path_prefix: /am\n  static_configs: [{targets: ['a:9093']}]\n",
        );
        assert_eq!(good.check(), Ok(vec![]));
        assert_eq!(
            good.alertmanagers[0].url("a:9093"),
            "http://a:9093/am/api/v2/alerts"
        );
    }

    #[test]
    fn what_is_not_built_is_named() {
        let unbuilt = config(
            "alert_relabel_configs: [{}]\nalertmanagers:\n- dns_sd_configs: []\n  relabel_configs: [{}]\n",
        );
        assert_eq!(
            unbuilt.check().unwrap(),
            [
                "alerting.alert_relabel_configs is not built yet: alerts are sent as they are",
                "alerting.alertmanagers: relabel_configs is not built yet and ignored",
                "alerting.alertmanagers: dns_sd_configs is not built yet and ignored",
            ]
        );
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
            "alert_relabel_configs:\n-\n",
            "empty or null alert relabeling rule",
        );
    }

    #[test]
    fn prints_back_without_secrets() {
        let text = "alert_relabel_configs: [{action: drop}]\nalertmanagers:\n- scheme: https\n  timeout: 5s\n  basic_auth: {username: u, password: pass}\n  \
                    static_configs: [{targets: ['a:1'], labels: {x: y}}]\n  consul_sd_configs: [{server: s, token: tok}]\n- {}\n";
        let printed = serde_saphyr::to_string(&config(text)).unwrap();
        assert!(
            !printed.contains("pass\n") && !printed.contains("tok\n"),
            "{printed}"
        );
        // As if the secrets had been written that way.
        let hidden = text
            .replace("password: pass", "password: <secret>")
            .replace("token: tok", "token: <secret>");
        assert_eq!(config(&printed), config(&hidden), "{printed}");
        assert_eq!(serde_saphyr::to_string(&config(&printed)).unwrap(), printed);
    }
}
