//! Instances of Amazon Lightsail.
//!
//! Source: Amazon Lightsail API, `GetInstances`; Prometheus documentation, `<lightsail_sd_config>`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Region;
use crate::discovery::TargetGroup;
use crate::discovery::labels::MetaLabels;
use crate::discovery::refresh::{PAGES_MAX, RefreshError, Source};

pub(crate) const SERVICE: &str = "lightsail";
const TARGET: &str = "Lightsail_20161128.GetInstances";
/// What stands between the items of a list.
const SEPARATOR: &str = ",";

/// Asks for the instances of one region.
pub(crate) struct LightsailSource {
    region: Region,
    port: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default, deserialize_with = "model::de::or_default")]
    instances: Vec<Instance>,
    #[serde(default, deserialize_with = "model::de::or_default")]
    next_page_token: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Instance {
    name: String,
    support_code: String,
    location: Location,
    blueprint_id: String,
    bundle_id: String,
    #[serde(deserialize_with = "model::de::or_default")]
    private_ip_address: String,
    #[serde(deserialize_with = "model::de::or_default")]
    public_ip_address: String,
    #[serde(deserialize_with = "model::de::or_default")]
    ipv6_addresses: Vec<String>,
    state: State,
    #[serde(deserialize_with = "model::de::or_default")]
    tags: Vec<Tag>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Location {
    availability_zone: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct State {
    name: String,
}

#[derive(Deserialize)]
struct Tag {
    key: String,
    /// A tag that is only a key has none.
    value: Option<String>,
}

impl LightsailSource {
    pub(crate) fn new(region: Region, port: u16) -> Self {
        LightsailSource { region, port }
    }

    /// Returns the labels of an instance, if it has an address.
    fn target(&self, region: &str, instance: &Instance) -> Option<BTreeMap<String, String>> {
        let host = &instance.private_ip_address;
        if host.is_empty() {
            return None;
        }
        let mut labels = MetaLabels::new("lightsail_");
        labels.set("availability_zone", &instance.location.availability_zone);
        labels.set("blueprint_id", &instance.blueprint_id);
        labels.set("bundle_id", &instance.bundle_id);
        labels.set("instance_name", &instance.name);
        labels.set("instance_state", &instance.state.name);
        labels.set("instance_support_code", &instance.support_code);
        labels.set("private_ip", host);
        labels.set("region", region);
        if !instance.public_ip_address.is_empty() {
            labels.set("public_ip", &instance.public_ip_address);
        }
        labels.set_list("ipv6_addresses", &instance.ipv6_addresses, SEPARATOR);
        let tags = instance.tags.iter();
        let tags = tags.filter_map(|tag| Some((tag.key.clone(), tag.value.clone()?)));
        labels.set_all("tag_", &tags.collect());
        Some(labels.at(host, self.port))
    }
}

impl Source for LightsailSource {
    const NAME: &'static str = "lightsail";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let region = self.region.name().await?;
        let mut targets = Vec::new();
        let mut body = serde_json::json!({});
        for _ in 0..PAGES_MAX {
            let page: Page = self.region.json(SERVICE, TARGET, &body).await?;
            let instances = page.instances.iter();
            targets.extend(instances.filter_map(|instance| self.target(&region, instance)));
            if page.next_page_token.is_empty() {
                return Ok(vec![TargetGroup {
                    source: region,
                    targets,
                    ..TargetGroup::default()
                }]);
            }
            body = serde_json::json!({ "pageToken": page.next_page_token });
        }
        Err(RefreshError::too_many_pages("lightsail GetInstances"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::aws::ec2::tests::region_of;
    use crate::discovery::testing::{Answer, Api, printed};

    const FIRST_PAGE: &str = r#"{"instances": [
      {"name": "web-1", "arn": "arn:aws:lightsail:eu-west-1:1:Instance/x", "supportCode": "1/i-0", "createdAt": 1569442400.965,
       "location": {"availabilityZone": "eu-west-1a", "regionName": "eu-west-1"}, "resourceType": "Instance",
       "tags": [{"key": "team-a", "value": "x"}, {"key": "only-a-key"}], "blueprintId": "debian_12", "blueprintName": "Debian",
       "bundleId": "nano_3_0", "isStaticIp": false, "privateIpAddress": "172.26.0.1", "publicIpAddress": "203.0.113.1",
       "ipv6Addresses": ["2001:db8::1"], "ipAddressType": "dualstack", "state": {"code": 16, "name": "running"}},
      {"name": "no address", "location": {}, "state": {"name": "pending"}}], "nextPageToken": "more"}"#;

    #[tokio::test]
    async fn instances_on_two_pages() {
        let api = Api::start(|asked| match asked.body.as_str() {
            "{}" => Answer::json(FIRST_PAGE),
            r#"{"pageToken":"more"}"# => Answer::json(
                r#"{"instances": [{"name": "b", "privateIpAddress": "172.26.0.2", "publicIpAddress": null}]}"#,
            ),
            _ => Answer::status(400),
        })
        .await;
        let mut source = LightsailSource::new(region_of(SERVICE, &api, &[]), 80);
        let lines = printed(&source.groups().await.unwrap());
        assert_eq!(
            lines[0],
            "172.26.0.1:80 lightsail_availability_zone=\"eu-west-1a\" lightsail_blueprint_id=\"debian_12\" \
             lightsail_bundle_id=\"nano_3_0\" lightsail_instance_name=\"web-1\" lightsail_instance_state=\"running\" \
             lightsail_instance_support_code=\"1/i-0\" lightsail_ipv6_addresses=\",2001:db8::1,\" \
             lightsail_private_ip=\"172.26.0.1\" lightsail_public_ip=\"203.0.113.1\" lightsail_region=\"eu-west-1\" \
             lightsail_tag_team_a=\"x\""
        );
        assert_eq!(lines.len(), 2);
        assert!(lines[1].starts_with("172.26.0.2:80 ") && !lines[1].contains("public_ip"));
        for asked in api.asked() {
            assert_eq!(asked.method, "POST");
            assert_eq!(asked.headers["x-amz-target"], TARGET);
            assert!(asked.headers["authorization"].contains(
                "/eu-west-1/lightsail/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature="
            ));
        }
    }

    #[tokio::test]
    async fn errors_say_what_amazon_says() {
        let api = Api::start(|_| {
            let body = r#"{"__type": "AccessDeniedException", "message": "not you"}"#;
            Answer::Whole(400, "application/x-amz-json-1.1", body.to_owned())
        })
        .await;
        let mut source = LightsailSource::new(region_of(SERVICE, &api, &[]), 80);
        assert_eq!(
            source.groups().await.unwrap_err().to_string(),
            "lightsail GetInstances: HTTP status 400: AccessDeniedException: not you"
        );
    }
}
