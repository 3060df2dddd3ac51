//! `outscale_sd_configs`: virtual machines of one Outscale region.
//!
//! Requests are signed as Amazon's are.
//!
//! Source: OUTSCALE API, `ReadVms`; Prometheus documentation, `<outscale_sd_config>`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::de::or_default;
use net::aws::{Access, Identity, Post};
use net::environment::Environment;
use net::http_config::Secret;
use net::outbound::HttpClient;
use serde::Deserialize;
use serde_json::json;

use super::TargetGroup;
use super::labels::MetaLabels;
use super::refresh::{ANSWER_BYTES_MAX, PAGES_MAX, RefreshError, Source};
use crate::config::sd::OutscaleSdConfig;

const ASKED: &str = "outscale ReadVms";
/// What requests are signed for.
const SERVICE: &str = "oapi";

/// Asks for the machines of one region.
pub(crate) struct OutscaleSource {
    client: HttpClient,
    config: OutscaleSdConfig,
    base_dir: PathBuf,
    /// The URL of the API.
    endpoint: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Page {
    #[serde(deserialize_with = "or_default")]
    vms: Vec<Vm>,
    #[serde(deserialize_with = "or_default")]
    next_page_token: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Vm {
    vm_id: String,
    #[serde(deserialize_with = "or_default")]
    state: String,
    #[serde(deserialize_with = "or_default")]
    private_ip: String,
    #[serde(deserialize_with = "or_default")]
    public_ip: String,
    #[serde(deserialize_with = "or_default")]
    placement: Placement,
    #[serde(deserialize_with = "or_default")]
    tags: Vec<Tag>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Placement {
    #[serde(deserialize_with = "or_default")]
    subregion_name: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Tag {
    key: String,
    value: String,
}

impl OutscaleSource {
    pub(crate) fn new(config: &OutscaleSdConfig, base_dir: &Path, client: HttpClient) -> Self {
        let endpoint = match config.endpoint.as_str() {
            "" => format!("https://api.{}.outscale.com/api/v1", config.region),
            endpoint => endpoint.trim_end_matches('/').to_owned(),
        };
        OutscaleSource {
            client,
            config: config.clone(),
            base_dir: base_dir.to_owned(),
            endpoint,
        }
    }

    async fn page(&self, token: &str) -> Result<Page, RefreshError> {
        let config = &self.config;
        let secret_key = match config.secret_key_file.as_str() {
            "" => config.secret_key.clone(),
            file => Secret::new(super::secret_of_file(&self.base_dir, file)?),
        };
        let access = Access {
            region: config.region.clone(),
            access_key: config.access_key.clone(),
            secret_key,
            ..Access::default()
        };
        let identity = Identity::new(access, Environment::of(&[]));
        let url = format!("{}/ReadVms", self.endpoint);
        let body = match token {
            "" => json!({}),
            token => json!({ "NextPageToken": token }),
        };
        let body = body.to_string();
        let post = Post {
            url: &url,
            service: SERVICE,
            content_type: "application/json",
            target: None,
            body: &body,
        };
        let answer = identity.ask(&self.client, post, ASKED, ANSWER_BYTES_MAX);
        serde_json::from_slice(&answer.await?)
            .map_err(|error| RefreshError(format!("{ASKED}: unexpected answer: {error}")))
    }

    /// Returns the labels of a machine, if it has an address: a private one, else a public one.
    fn target(&self, vm: &Vm) -> Option<BTreeMap<String, String>> {
        let mut hosts = [&vm.private_ip, &vm.public_ip].into_iter();
        let host = hosts.find(|ip| !ip.is_empty())?;
        let mut labels = MetaLabels::new("outscale_vm_");
        labels.set("instance_id", &vm.vm_id);
        labels.set("region", &self.config.region);
        labels.set("state", &vm.state);
        for (name, value) in [
            ("subregion", &vm.placement.subregion_name),
            ("private_ip", &vm.private_ip),
            ("public_ip", &vm.public_ip),
        ] {
            if !value.is_empty() {
                labels.set(name, value);
            }
        }
        let tags = vm.tags.iter();
        let tags = tags.filter(|tag| !tag.key.is_empty() && !tag.value.is_empty());
        let tags = tags.map(|tag| (tag.key.clone(), tag.value.clone()));
        labels.set_all("tag_", &tags.collect());
        Some(labels.at(host, self.config.port))
    }
}

impl Source for OutscaleSource {
    const NAME: &'static str = "outscale";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let mut targets = Vec::new();
        let mut token = String::new();
        for _ in 0..PAGES_MAX {
            let page = self.page(&token).await?;
            targets.extend(page.vms.iter().filter_map(|vm| self.target(vm)));
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(vec![TargetGroup {
                    source: self.config.region.clone(),
                    targets,
                    ..TargetGroup::default()
                }]);
            }
        }
        Err(RefreshError::too_many_pages(ASKED))
    }
}

#[cfg(test)]
mod tests {
    use net::http_config::HttpConfig;

    use super::*;
    use crate::discovery::testing::{Answer, Api, Asked, printed};

    fn source(api: &Api, secret_key_file: &str) -> OutscaleSource {
        let config = OutscaleSdConfig {
            region: "eu-west-2".to_owned(),
            access_key: "AK".to_owned(),
            secret_key_file: secret_key_file.to_owned(),
            endpoint: api.url("/api/v1/"),
            ..OutscaleSdConfig::default()
        };
        let client = HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap();
        OutscaleSource::new(&config, Path::new(""), client)
    }

    fn key_file() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "very-secret\n").unwrap();
        file
    }

    fn answer(asked: &Asked) -> Answer {
        assert_eq!(
            (asked.method.as_str(), asked.path.as_str()),
            ("POST", "/api/v1/ReadVms")
        );
        let authorization = &asked.headers["authorization"];
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AK/"));
        assert!(authorization.contains(
            "/eu-west-2/oapi/aws4_request, SignedHeaders=content-type;host;x-amz-date, "
        ));
        Answer::json(match asked.body.as_str() {
            "{}" => {
                r#"{"ResponseContext": {"RequestId": "r"}, "NextPageToken": "more", "Vms": [
                    {"VmId": "i-1", "State": "running", "PrivateIp": "10.0.0.1", "PublicIp": "198.51.100.1", "VmType": "tinav5.c1r1p2",
                     "Placement": {"SubregionName": "eu-west-2a", "Tenancy": "default"}, "Nics": [],
                     "Tags": [{"Key": "Name", "Value": "web"}, {"Key": "empty", "Value": ""}]},
                    {"VmId": "no address", "State": "terminated"}]}"#
            }
            r#"{"NextPageToken":"more"}"# => {
                r#"{"Vms": [{"VmId": "i-2", "State": "running", "PublicIp": "198.51.100.2"}]}"#
            }
            _ => return Answer::status(400),
        })
    }

    #[tokio::test]
    async fn machines_on_two_pages() {
        let api = Api::start(answer).await;
        let key = key_file();
        let mut source = source(&api, key.path().to_str().unwrap());
        assert_eq!(
            printed(&source.groups().await.unwrap()),
            [
                "10.0.0.1:80 outscale_vm_instance_id=\"i-1\" outscale_vm_private_ip=\"10.0.0.1\" \
                 outscale_vm_public_ip=\"198.51.100.1\" outscale_vm_region=\"eu-west-2\" outscale_vm_state=\"running\" \
                 outscale_vm_subregion=\"eu-west-2a\" outscale_vm_tag_Name=\"web\"",
                "198.51.100.2:80 outscale_vm_instance_id=\"i-2\" outscale_vm_public_ip=\"198.51.100.2\" \
                 outscale_vm_region=\"eu-west-2\" outscale_vm_state=\"running\"",
            ]
        );
    }

    #[tokio::test]
    async fn a_page_that_fails_fails_all() {
        let api = Api::start(|asked| match asked.body.contains("more") {
            true => Answer::Whole(
                401,
                "application/json",
                r#"{"Errors": [{"Type": "AccessDenied", "Details": "", "Code": "1"}]}"#.to_owned(),
            ),
            false => answer(asked),
        })
        .await;
        let key = key_file();
        assert_eq!(
            source(&api, key.path().to_str().unwrap())
                .groups()
                .await
                .unwrap_err()
                .to_string(),
            "outscale ReadVms: HTTP status 401: {\"Errors\": [{\"Type\": \"AccessDenied\", \"Details\": \"\", \"Code\": \"1\"}]}"
        );
        let error = source(&api, "/nonexistent")
            .groups()
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("unable to read file /nonexistent: "),
            "{error}"
        );
    }
}
