use net::http_config::{HttpConfig, Secret};
use serde_json::json;

use super::*;
use crate::discovery::testing::{Answer, Api, Asked, printed};

fn source(api: &Api, role: ScalewayRole) -> ScalewaySource {
    let config = ScalewaySdConfig {
        api_url: api.url("/"),
        project_id: "p".to_owned(),
        access_key: "SCW".to_owned(),
        secret_key: Secret::new("very-secret"),
        role: Some(role),
        name_filter: "n m".to_owned(),
        tags_filter: vec!["a".to_owned(), "b".to_owned()],
        ..ScalewaySdConfig::default()
    };
    let client = HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap();
    ScalewaySource::new(&config, Path::new(""), client)
}

const INSTANCE: &str = r#"{"id": "93c18a61", "name": "scw-nervous", "arch": "x86_64", "commercial_type": "DEV1-S", "boot_type": "local",
  "organization": "org", "project": "proj", "hostname": "scw-nervous", "image": {"id": "45a86b35", "name": "Ubuntu 20.04", "arch": "x86_64"},
  "tags": ["tag1", "tag2"], "state": "running", "private_ip": "10.70.60.57",
  "public_ip": {"id": "i", "address": "51.158.183.115", "dynamic": false},
  "public_ips": [{"id": "i", "address": "51.158.183.115", "family": "inet"}, {"id": "j", "address": "2001:db8::2", "family": "inet6"}],
  "ipv6": {"address": "2001:bc8:1640:1568::1", "netmask": "64"}, "location": {"zone_id": "fr-par-1", "cluster_id": "10", "hypervisor_id": "1601", "node_id": "29"},
  "security_group": {"id": "984414da", "name": "Default security group"}, "zone": "fr-par-1"}"#;

fn answer(asked: &Asked) -> Answer {
    assert_eq!(asked.headers["x-auth-token"], "very-secret");
    let server = |id: usize| json!({ "id": id.to_string(), "zone": "x", "public_ips": [{"address": format!("fd00::{id}"), "family": "inet6"}], "private_ip": null });
    let filler = || (1..PAGE_ITEMS).map(server);
    match (asked.path.as_str(), asked.query.as_str()) {
        ("/instance/v1/zones/fr-par-1/servers", "per_page=100&page=1&name=n+m&tags=a%2Cb") => {
            let mut servers = vec![serde_json::from_str(INSTANCE).unwrap()];
            servers.extend(filler());
            Answer::json(json!({ "servers": servers }).to_string())
        }
        ("/instance/v1/zones/fr-par-1/servers", "per_page=100&page=2&name=n+m&tags=a%2Cb") => {
            Answer::json(json!({ "servers": [{"id": "no address"}] }).to_string())
        }
        (
            "/baremetal/v1/zones/fr-par-1/servers",
            "page_size=100&page=1&project_id=p&name=n+m&tags=a&tags=b",
        ) => Answer::json(
            r#"{"total_count": 1, "servers": [{"id": "s", "organization_id": "o", "project_id": "p", "name": "bare", "status": "ready",
                "offer_id": "o1", "tags": ["t"], "zone": "fr-par-1", "install": {"os_id": "os1", "hostname": "h", "status": "completed"},
                "ips": [{"id": "2", "address": "2001:db8::1", "version": "IPv6"}, {"id": "1", "address": "51.159.0.1", "version": "IPv4"},
                 {"id": "3", "address": "51.159.0.2", "version": "IPv4"}]},
                {"id": "v6", "ips": [{"address": "2001:db8::5", "version": "IPv6"}]}, {"id": "none", "ips": []}]}"#,
        ),
        ("/baremetal/v1/zones/fr-par-1/offers", "page_size=100&page=1") => {
            Answer::json(r#"{"offers": [{"id": "o1", "name": "EM-A210R"}]}"#)
        }
        ("/baremetal/v1/zones/fr-par-1/os", "page_size=100&page=1") => {
            Answer::json(r#"{"os": [{"id": "os1", "name": "Debian", "version": "12"}]}"#)
        }
        _ => Answer::status(404),
    }
}

#[tokio::test]
async fn instances_on_two_pages() {
    let api = Api::start(answer).await;
    let lines = printed(&source(&api, ScalewayRole::Instance).groups().await.unwrap());
    assert_eq!(
        lines[0],
        "10.70.60.57:80 scaleway_instance_boot_type=\"local\" scaleway_instance_hostname=\"scw-nervous\" \
         scaleway_instance_id=\"93c18a61\" scaleway_instance_image_arch=\"x86_64\" scaleway_instance_image_id=\"45a86b35\" \
         scaleway_instance_image_name=\"Ubuntu 20.04\" scaleway_instance_location_cluster_id=\"10\" \
         scaleway_instance_location_hypervisor_id=\"1601\" scaleway_instance_location_node_id=\"29\" \
         scaleway_instance_name=\"scw-nervous\" scaleway_instance_organization_id=\"org\" \
         scaleway_instance_private_ipv4=\"10.70.60.57\" scaleway_instance_project_id=\"proj\" \
         scaleway_instance_public_ipv4=\"51.158.183.115\" scaleway_instance_public_ipv4_addresses=\",51.158.183.115,\" \
         scaleway_instance_public_ipv6=\"2001:bc8:1640:1568::1\" scaleway_instance_public_ipv6_addresses=\",2001:db8::2,\" \
         scaleway_instance_region=\"fr-par\" scaleway_instance_security_group_id=\"984414da\" \
         scaleway_instance_security_group_name=\"Default security group\" scaleway_instance_status=\"running\" \
         scaleway_instance_tags=\",tag1,tag2,\" scaleway_instance_type=\"DEV1-S\" scaleway_instance_zone=\"fr-par-1\""
    );
    assert_eq!(lines.len(), PAGE_ITEMS);
    assert!(lines[1].starts_with("[fd00::1]:80 "));
}

#[tokio::test]
async fn bare_metal_with_an_address() {
    let api = Api::start(answer).await;
    let lines = printed(
        &source(&api, ScalewayRole::Baremetal)
            .groups()
            .await
            .unwrap(),
    );
    assert_eq!(
        lines,
        [
            "51.159.0.1:80 scaleway_baremetal_id=\"s\" scaleway_baremetal_name=\"bare\" scaleway_baremetal_os_name=\"Debian\" \
             scaleway_baremetal_os_version=\"12\" scaleway_baremetal_project_id=\"p\" \
             scaleway_baremetal_public_ipv4=\"51.159.0.1\" scaleway_baremetal_public_ipv6=\"2001:db8::1\" \
             scaleway_baremetal_status=\"ready\" scaleway_baremetal_tags=\",t,\" scaleway_baremetal_type=\"EM-A210R\" \
             scaleway_baremetal_zone=\"fr-par-1\"",
            "[2001:db8::5]:80 scaleway_baremetal_id=\"v6\" scaleway_baremetal_name=\"\" scaleway_baremetal_project_id=\"\" \
             scaleway_baremetal_public_ipv6=\"2001:db8::5\" scaleway_baremetal_status=\"\" scaleway_baremetal_zone=\"\"",
        ]
    );
}

#[tokio::test]
async fn a_page_that_fails_fails_all() {
    let api = Api::start(|asked| match asked.query.contains("page=2") {
        true => Answer::status(500),
        false => answer(asked),
    })
    .await;
    assert_eq!(
        source(&api, ScalewayRole::Instance)
            .groups()
            .await
            .unwrap_err()
            .to_string(),
        "GET /instance/v1/zones/fr-par-1/servers: server returned HTTP status 500 Internal Server Error: status 500"
    );
}
