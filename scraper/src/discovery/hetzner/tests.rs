use std::path::Path;

use super::*;
use crate::discovery::testing::{Answer, Api, printed};

fn source(api: &Api, role: HetznerRole) -> HetznerSource {
    let config = HetznerSdConfig {
        role: Some(role),
        label_selector: "env=prod".to_owned(),
        port: 9100,
        ..HetznerSdConfig::default()
    };
    let client = HttpClient::new(config.http_config(), Path::new(""), None).unwrap();
    HetznerSource {
        endpoint: api.url(""),
        ..HetznerSource::new(&config, client)
    }
}

const FIRST_PAGE: &str = r#"{"servers": [{"id": 42, "name": "a", "status": "running", "created": "2016-01-30T23:55:00+00:00",
  "public_net": {"ipv4": {"ip": "1.2.3.4", "blocked": false}, "ipv6": {"ip": "2001:db8::/64", "dns_ptr": []}, "floating_ips": [478]},
  "private_net": [{"network": 7, "ip": "10.0.0.2", "alias_ips": []}, {"network": 8, "ip": "10.1.0.2"}],
  "server_type": {"id": 1, "name": "cx11", "cores": 1, "memory": 2.5, "disk": 25, "cpu_type": "shared"},
  "datacenter": {"id": 1, "name": "fsn1-dc8", "location": {"id": 1, "name": "fsn1", "network_zone": "eu-central"}},
  "image": {"id": 4711, "name": "ubuntu-20.04", "description": "Ubuntu", "os_flavor": "ubuntu", "os_version": null},
  "labels": {"my-key": "v"}}],
  "meta": {"pagination": {"page": 1, "per_page": 50, "previous_page": null, "next_page": 2, "last_page": 2, "total_entries": 2}}}"#;

const SECOND_PAGE: &str = r#"{"servers": [{"id": 44, "name": "b", "status": "off",
  "public_net": {"ipv4": null, "ipv6": null, "floating_ips": []}, "private_net": [],
  "server_type": {"name": "cpx11", "cores": 2, "memory": 2.0, "disk": 50, "cpu_type": "dedicated"},
  "datacenter": {"name": "d", "location": {"name": "l", "network_zone": "z"}}, "image": null, "labels": {}}],
  "meta": {"pagination": {"page": 2, "per_page": 50, "previous_page": 1, "next_page": null, "last_page": 2, "total_entries": 2}}}"#;

const NETWORKS: &str = r#"{"networks": [{"id": 7, "name": "my-net", "ip_range": "10.0.0.0/16"}],
  "meta": {"pagination": {"page": 1, "next_page": null}}}"#;

#[tokio::test]
async fn servers_of_the_cloud_on_two_pages() {
    let api = Api::start(|asked| match asked.path.as_str() {
        "/servers" if asked.query.starts_with("page=1&") => Answer::json(FIRST_PAGE),
        "/servers" if asked.query.starts_with("page=2&") => Answer::json(SECOND_PAGE),
        "/networks" => Answer::json(NETWORKS),
        _ => Answer::status(404),
    })
    .await;
    let groups = source(&api, HetznerRole::Hcloud).groups().await.unwrap();
    assert_eq!(
        printed(&groups),
        [
            "1.2.3.4:9100 hetzner_datacenter=\"fsn1-dc8\" hetzner_hcloud_cpu_cores=\"1\" hetzner_hcloud_cpu_type=\"shared\" \
             hetzner_hcloud_datacenter_location=\"fsn1\" hetzner_hcloud_datacenter_location_network_zone=\"eu-central\" \
             hetzner_hcloud_disk_size_gb=\"25\" hetzner_hcloud_image_description=\"Ubuntu\" \
             hetzner_hcloud_image_name=\"ubuntu-20.04\" hetzner_hcloud_image_os_flavor=\"ubuntu\" \
             hetzner_hcloud_image_os_version=\"\" hetzner_hcloud_label_my_key=\"v\" hetzner_hcloud_labelpresent_my_key=\"true\" \
             hetzner_hcloud_memory_size_gb=\"2\" hetzner_hcloud_private_ipv4_my_net=\"10.0.0.2\" \
             hetzner_hcloud_server_type=\"cx11\" hetzner_public_ipv4=\"1.2.3.4\" \
             hetzner_public_ipv6_network=\"2001:db8::/64\" hetzner_role=\"hcloud\" hetzner_server_id=\"42\" \
             hetzner_server_name=\"a\" hetzner_server_status=\"running\"",
            "<nil>:9100 hetzner_datacenter=\"d\" hetzner_hcloud_cpu_cores=\"2\" hetzner_hcloud_cpu_type=\"dedicated\" \
             hetzner_hcloud_datacenter_location=\"l\" hetzner_hcloud_datacenter_location_network_zone=\"z\" \
             hetzner_hcloud_disk_size_gb=\"50\" hetzner_hcloud_memory_size_gb=\"2\" hetzner_hcloud_server_type=\"cpx11\" \
             hetzner_public_ipv4=\"<nil>\" hetzner_public_ipv6_network=\"<nil>\" hetzner_role=\"hcloud\" \
             hetzner_server_id=\"44\" hetzner_server_name=\"b\" hetzner_server_status=\"off\"",
        ]
    );
    let queries: Vec<String> = api.asked().into_iter().map(|asked| asked.query).collect();
    assert_eq!(
        queries,
        [
            "page=1&per_page=50&label_selector=env%3Dprod",
            "page=2&per_page=50&label_selector=env%3Dprod",
            "page=1&per_page=50",
        ]
    );
}

#[tokio::test]
async fn dedicated_servers() {
    let api = Api::start(|_| {
        Answer::json(
            r#"[{"server": {"server_ip": "123.123.123.123", "server_ipv6_net": "2a01:4f8:111:4221::", "server_number": 321,
                 "server_name": "s1", "product": "DS 3000", "dc": "NBG1-DC1", "traffic": "5 TB", "status": "ready",
                 "cancelled": false, "paid_until": "2010-09-02",
                 "subnet": [{"ip": "123.123.123.0", "mask": "27"}, {"ip": "2a01:4f8:111:4221::", "mask": "64"}]}},
                {"server": {"server_ip": "123.123.123.124", "server_number": 421, "server_name": "s2", "product": "X5",
                 "dc": "FSN1-DC10", "status": "in process", "cancelled": true, "subnet": null}}]"#,
        )
    })
    .await;
    let groups = source(&api, HetznerRole::Robot).groups().await.unwrap();
    assert_eq!(
        printed(&groups),
        [
            "123.123.123.123:9100 hetzner_datacenter=\"nbg1-dc1\" hetzner_public_ipv4=\"123.123.123.123\" \
             hetzner_public_ipv6_network=\"2a01:4f8:111:4221::/64\" hetzner_robot_cancelled=\"false\" \
             hetzner_robot_product=\"DS 3000\" hetzner_role=\"robot\" hetzner_server_id=\"321\" hetzner_server_name=\"s1\" \
             hetzner_server_status=\"ready\"",
            "123.123.123.124:9100 hetzner_datacenter=\"fsn1-dc10\" hetzner_public_ipv4=\"123.123.123.124\" \
             hetzner_robot_cancelled=\"true\" hetzner_robot_product=\"X5\" hetzner_role=\"robot\" hetzner_server_id=\"421\" \
             hetzner_server_name=\"s2\" hetzner_server_status=\"in process\"",
        ]
    );
}

#[tokio::test]
async fn a_page_that_fails_fails_all() {
    let api = Api::start(|asked| match asked.query.starts_with("page=1&") {
        true => Answer::json(FIRST_PAGE),
        false => Answer::status(429),
    })
    .await;
    let error = source(&api, HetznerRole::Hcloud)
        .groups()
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("GET /servers: server returned HTTP status 429"),
        "{error}"
    );
}
