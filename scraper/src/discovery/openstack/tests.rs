use std::path::Path;

use net::http_config::{HttpConfig, Secret};
use serde_json::{Value, json};

use super::*;
use crate::discovery::testing::{Answer, Api, Asked, printed};

fn config(api: &Api, role: OpenStackRole) -> OpenStackSdConfig {
    OpenStackSdConfig {
        identity_endpoint: api.url("/identity/v3/"),
        username: "me".to_owned(),
        password: Secret::new("very-secret"),
        domain_name: "Default".to_owned(),
        project_name: "demo".to_owned(),
        region: "RegionOne".to_owned(),
        role: Some(role),
        ..OpenStackSdConfig::default()
    }
}

fn source_of(config: &OpenStackSdConfig) -> OpenStackSource {
    let client = HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap();
    OpenStackSource::new(config, &Environment::of(&[]), client).unwrap()
}

fn source(api: &Api, role: OpenStackRole) -> OpenStackSource {
    source_of(&config(api, role))
}

/// The answer of the identity service, whose services are all at `base`.
fn session(base: &str) -> Value {
    let endpoints = |path: &str| {
        json!([
            {"id": "1", "interface": "internal", "region": "RegionOne", "region_id": "RegionOne", "url": "http://127.0.0.1:1/"},
            {"id": "2", "interface": "public", "region": "RegionTwo", "region_id": "RegionTwo", "url": "http://127.0.0.1:1/"},
            {"id": "3", "interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": format!("{base}{path}")},
        ])
    };
    json!({"token": {
        "methods": ["password"], "expires_at": "2999-01-01T00:00:00.000000Z", "issued_at": "2024-01-01T00:00:00.000000Z",
        "user": {"id": "u", "name": "me"}, "catalog": [
            {"type": "identity", "id": "i", "name": "keystone", "endpoints": []},
            {"type": "compute", "id": "c", "name": "nova", "endpoints": endpoints("/compute/v2.1")},
            {"type": "network", "id": "n", "name": "neutron", "endpoints": endpoints("/networking/")},
            {"type": "load-balancer", "id": "l", "name": "octavia", "endpoints": endpoints("/load-balancer/v2.0/")},
        ],
    }})
}

fn servers(base: &str) -> Value {
    json!({
        "servers": [{
            "id": "s1", "name": "web", "status": "ACTIVE", "tenant_id": "p1", "user_id": "u1", "hostId": "h",
            "flavor": {"id": "1", "links": []}, "image": {"id": "img", "links": []}, "metadata": {"env-name": "prod"},
            "addresses": {
                "private": [
                    {"version": 4, "addr": "10.0.0.32", "OS-EXT-IPS:type": "fixed"},
                    {"version": 4, "addr": "203.0.113.7", "OS-EXT-IPS:type": "floating"}],
                "other": [{"version": 6, "addr": "fd00::5"}]},
        }, {"id": "s2", "name": "no address", "flavor": {"id": "1"}, "addresses": {}}],
        "servers_links": [{"rel": "next", "href": format!("{base}/compute/v2.1/servers/detail?marker=s2")}],
    })
}

fn answer(asked: &Asked) -> Answer {
    let base = format!("http://{}", asked.headers["host"]);
    if asked.path != "/identity/v3/auth/tokens" {
        assert_eq!(asked.headers["x-auth-token"], "t0ken");
    }
    let answer = match (asked.path.as_str(), asked.query.as_str()) {
        ("/identity/v3/auth/tokens", "") if asked.method == "POST" => session(&base),
        ("/compute/v2.1/os-hypervisors/detail", "") => json!({"hypervisors": [
            {"id": 1, "hypervisor_hostname": "nc14.cloud.com", "host_ip": "172.16.70.14", "status": "enabled", "state": "up",
             "hypervisor_type": "QEMU", "cpu_info": "{}", "service": {"host": "x", "id": 2}},
            {"id": "b1e4", "hypervisor_hostname": "nc15", "host_ip": "172.16.70.13", "status": "disabled", "state": "down",
             "hypervisor_type": "QEMU"}]}),
        ("/networking/v2.0/ports", "") => json!({"ports": [
            {"id": "port1", "device_id": "s1", "tenant_id": "p1", "device_owner": "compute:nova"}, {"id": "free", "device_id": ""}]}),
        ("/networking/v2.0/floatingips", "") => json!({"floatingips": [
            {"id": "f1", "floating_ip_address": "203.0.113.7", "fixed_ip_address": "10.0.0.32", "port_id": "port1", "tenant_id": "p1"},
            {"id": "f2", "floating_ip_address": "203.0.113.8", "fixed_ip_address": null, "port_id": null, "tenant_id": "p1"},
            {"id": "f3", "floating_ip_address": "203.0.113.9", "fixed_ip_address": "10.0.0.9", "port_id": "vip1", "tenant_id": "p1"}]}),
        ("/compute/v2.1/servers/detail", "") => servers(&base),
        ("/compute/v2.1/servers/detail", "marker=s2") => json!({"servers": [
            {"id": "s3", "name": "db", "status": "SHUTOFF", "tenant_id": "p2", "user_id": "u2", "image": "",
             "flavor": {"original_name": "m1.tiny", "vcpus": 1}, "metadata": {}, "addresses": {"private": [{"addr": "10.0.0.33"}]}}]}),
        ("/load-balancer/v2.0/lbaas/loadbalancers", "") => json!({"loadbalancers": [
            {"id": "lb1", "name": "one", "vip_address": "10.0.0.9", "vip_port_id": "vip1", "operating_status": "ONLINE",
             "provisioning_status": "ACTIVE", "availability_zone": "az1", "provider": "amphora", "project_id": "p1",
             "tags": ["a", "b"], "listeners": [{"id": "l1"}]},
            {"id": "lb2", "name": "no listener of ours", "vip_address": "10.0.0.10", "availability_zone": null}],
            "loadbalancers_links": []}),
        ("/load-balancer/v2.0/lbaas/listeners", "") => json!({"listeners": [
            {"id": "l0", "protocol": "HTTP", "protocol_port": 80, "loadbalancers": [{"id": "lb1"}, {"id": "lb2"}]},
            {"id": "l1", "protocol": "PROMETHEUS", "protocol_port": 9273, "loadbalancers": [{"id": "lb1"}]}]}),
        _ => return Answer::status(404),
    };
    Answer::json(answer.to_string()).with_header("X-Subject-Token", "t0ken")
}

#[tokio::test]
async fn hypervisors() {
    let api = Api::start(answer).await;
    let mut source = source(&api, OpenStackRole::Hypervisor);
    let groups = source.groups().await.unwrap();
    assert_eq!(groups[0].source, "OS_RegionOne");
    assert_eq!(
        printed(&groups),
        [
            "172.16.70.14:80 openstack_hypervisor_host_ip=\"172.16.70.14\" openstack_hypervisor_hostname=\"nc14.cloud.com\" \
             openstack_hypervisor_id=\"1\" openstack_hypervisor_state=\"up\" openstack_hypervisor_status=\"enabled\" \
             openstack_hypervisor_type=\"QEMU\"",
            "172.16.70.13:80 openstack_hypervisor_host_ip=\"172.16.70.13\" openstack_hypervisor_hostname=\"nc15\" \
             openstack_hypervisor_id=\"b1e4\" openstack_hypervisor_state=\"down\" openstack_hypervisor_status=\"disabled\" \
             openstack_hypervisor_type=\"QEMU\"",
        ]
    );
    // One session serves until it ends.
    source.groups().await.unwrap();
    let asked = api.asked();
    assert_eq!(
        asked.iter().filter(|asked| asked.method == "POST").count(),
        1
    );
    let body: Value = serde_json::from_str(&asked[0].body).unwrap();
    assert_eq!(
        body,
        json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": "me", "domain": {"name": "Default"}, "password": "very-secret"}}},
            "scope": {"project": {"name": "demo", "domain": {"name": "Default"}}}}})
    );
}

#[tokio::test]
async fn every_address_of_an_instance_that_is_not_a_floating_one() {
    let api = Api::start(answer).await;
    assert_eq!(
        printed(
            &source(&api, OpenStackRole::Instance)
                .groups()
                .await
                .unwrap()
        ),
        [
            "[fd00::5]:80 openstack_address_pool=\"other\" openstack_instance_flavor=\"1\" openstack_instance_id=\"s1\" \
             openstack_instance_image=\"img\" openstack_instance_name=\"web\" openstack_instance_status=\"ACTIVE\" \
             openstack_private_ip=\"fd00::5\" openstack_project_id=\"p1\" openstack_tag_env_name=\"prod\" openstack_user_id=\"u1\"",
            "10.0.0.32:80 openstack_address_pool=\"private\" openstack_instance_flavor=\"1\" openstack_instance_id=\"s1\" \
             openstack_instance_image=\"img\" openstack_instance_name=\"web\" openstack_instance_status=\"ACTIVE\" \
             openstack_private_ip=\"10.0.0.32\" openstack_project_id=\"p1\" openstack_public_ip=\"203.0.113.7\" \
             openstack_tag_env_name=\"prod\" openstack_user_id=\"u1\"",
            "10.0.0.33:80 openstack_address_pool=\"private\" openstack_instance_flavor=\"m1.tiny\" openstack_instance_id=\"s3\" \
             openstack_instance_name=\"db\" openstack_instance_status=\"SHUTOFF\" openstack_private_ip=\"10.0.0.33\" \
             openstack_project_id=\"p2\" openstack_user_id=\"u2\"",
        ]
    );
}

#[tokio::test]
async fn load_balancers_with_a_listener_for_us() {
    let api = Api::start(answer).await;
    assert_eq!(
        printed(
            &source(&api, OpenStackRole::LoadBalancer)
                .groups()
                .await
                .unwrap()
        ),
        [
            "10.0.0.9:9273 openstack_loadbalancer_availability_zone=\"az1\" openstack_loadbalancer_floating_ip=\"203.0.113.9\" \
             openstack_loadbalancer_id=\"lb1\" openstack_loadbalancer_name=\"one\" \
             openstack_loadbalancer_operating_status=\"ONLINE\" openstack_loadbalancer_provider=\"amphora\" \
             openstack_loadbalancer_provisioning_status=\"ACTIVE\" openstack_loadbalancer_tags=\"a,b\" \
             openstack_loadbalancer_vip=\"10.0.0.9\" openstack_project_id=\"p1\"",
        ]
    );
}

#[tokio::test]
async fn application_credentials_and_all_projects() {
    let api = Api::start(|asked| match asked.query.as_str() {
        "all_tenants=true" => Answer::json(r#"{"servers": []}"#),
        _ => answer(asked),
    })
    .await;
    let mut config = config(&api, OpenStackRole::Instance);
    config.identity_endpoint = api.url("/identity");
    config.application_credential_id = "ac".to_owned();
    config.application_credential_secret = Secret::new("s");
    config.all_tenants = true;
    assert!(
        source_of(&config).groups().await.unwrap()[0]
            .targets
            .is_empty()
    );
    let body: Value = serde_json::from_str(&api.asked()[0].body).unwrap();
    assert_eq!(
        body,
        json!({"auth": {"identity": {"methods": ["application_credential"], "application_credential": {"id": "ac", "secret": "s"}}}})
    );
}

#[tokio::test]
async fn a_page_that_fails_fails_all_and_a_token_that_is_refused_is_forgotten() {
    let api = Api::start(|asked| match asked.query.as_str() {
        "marker=s2" => Answer::status(401),
        _ => answer(asked),
    })
    .await;
    let mut source = source(&api, OpenStackRole::Instance);
    for _ in 0..2 {
        assert_eq!(
            source.groups().await.unwrap_err().to_string(),
            "GET /servers/detail of compute: server returned HTTP status 401 Unauthorized: status 401"
        );
    }
    assert_eq!(
        api.asked()
            .iter()
            .filter(|asked| asked.method == "POST")
            .count(),
        2
    );
}

#[tokio::test]
async fn who_is_refused_and_what_is_not_in_the_catalog() {
    let api = Api::start(|_| Answer::status(401)).await;
    let error = source(&api, OpenStackRole::Instance)
        .groups()
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "POST /auth/tokens of the identity service: server returned HTTP status 401 Unauthorized: status 401"
    );
    let api = Api::start(answer).await;
    let mut config = config(&api, OpenStackRole::Hypervisor);
    config.region = "Nowhere".to_owned();
    assert_eq!(
        source_of(&config).groups().await.unwrap_err().to_string(),
        "the catalog has no public endpoint of compute in the region \"Nowhere\""
    );
}

#[tokio::test]
async fn the_token_goes_nowhere_else() {
    let api = Api::start(|asked| match asked.path.as_str() {
        "/compute/v2.1/os-hypervisors/detail" => Answer::json(
            r#"{"hypervisors": [], "hypervisors_links": [{"rel": "next", "href": "http://localhost:1/x"}]}"#,
        ),
        _ => answer(asked),
    })
    .await;
    assert_eq!(
        source(&api, OpenStackRole::Hypervisor)
            .groups()
            .await
            .unwrap_err()
            .to_string(),
        "GET /os-hypervisors/detail of compute: the next page is elsewhere"
    );
}

#[test]
fn the_environment_says_who_we_are_if_the_configuration_does_not() {
    let client = || HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap();
    let config = OpenStackSdConfig::default();
    let of = |variables: &[(&str, &str)]| {
        OpenStackSource::new(&config, &Environment::of(variables), client()).map(|_| ())
    };
    let all = [
        ("OS_AUTH_URL", "http://h/v3"),
        ("OS_USERID", "u"),
        ("OS_PASSWORD", "p"),
        ("OS_PROJECT_NAME", "x"),
        ("OS_USER_DOMAIN_ID", "d"),
    ];
    assert_eq!(of(&all), Ok(()));
    for (count, expected) in [
        (0, "identity_endpoint must be given, or OS_AUTH_URL"),
        (1, "password or application_credential_secret must be given"),
        (
            4,
            "domain_name or domain_id must be given with project_name",
        ),
    ] {
        assert_eq!(of(&all[..count]), Err(expected.to_owned()));
    }
}
