//! An engine with five containers.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::config::sd::DockerFilter;
use crate::discovery::testing::{Answer, Api, Asked, printed};

const CONTAINERS: &str = r#"[
  {"Id": "c1", "Names": ["/web"], "Image": "nginx", "State": "running", "Labels": {"com.docker.compose.project": "shop"},
   "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
             {"PrivatePort": 443, "Type": "tcp"}, {"PrivatePort": 53, "Type": "udp"}],
   "HostConfig": {"NetworkMode": "shop_back"},
   "NetworkSettings": {"Networks": {
     "shop_front": {"NetworkID": "n2", "IPAddress": "172.21.0.2", "Gateway": "172.21.0.1"},
     "shop_back": {"NetworkID": "n1", "IPAddress": "172.20.0.2", "Aliases": null}}}},
  {"Id": "c2", "Names": ["/node"], "Labels": null, "Ports": [], "HostConfig": {"NetworkMode": "host"},
   "NetworkSettings": {"Networks": {"host": {"NetworkID": "n3", "IPAddress": ""}}}},
  {"Id": "c3", "Names": ["/sidecar"], "Labels": {}, "Ports": [], "HostConfig": {"NetworkMode": "container:c1"},
   "NetworkSettings": {"Networks": {}}},
  {"Id": "c4", "Names": ["/loop"], "Labels": {}, "Ports": [], "HostConfig": {"NetworkMode": "container:c4"},
   "NetworkSettings": {"Networks": {}}},
  {"Id": "c5", "Names": [], "Labels": {}, "Ports": [], "HostConfig": {"NetworkMode": "bridge"},
   "NetworkSettings": {"Networks": {"bridge": {"NetworkID": "n1", "IPAddress": "172.20.0.9"}}}}
]"#;

const NETWORKS: &str = r#"[
  {"Name": "shop_back", "Id": "n1", "Scope": "local", "Internal": true, "Ingress": false, "Labels": {"team-name": "a"}},
  {"Name": "host", "Id": "n3", "Scope": "local", "Driver": "host", "Internal": false, "Ingress": false, "Labels": null}
]"#;

const BACK: &str =
    "docker_network_id=\"n1\" docker_network_ingress=\"false\" docker_network_internal=\"true\"";
const BACK_NAME: &str = "docker_network_label_team_name=\"a\" docker_network_name=\"shop_back\" docker_network_scope=\"local\"";

/// Answers on any version's paths, and without one.
fn answer(asked: &Asked) -> Answer {
    match asked.path.trim_start_matches("/v1.47") {
        "/_ping" => Answer::Whole(200, "text/plain\r\nApi-Version: 1.51", "OK".to_owned()),
        "/containers/json" => Answer::json(CONTAINERS),
        "/networks" => Answer::json(NETWORKS),
        _ => Answer::status(404),
    }
}

fn source(host: &str, config: DockerSdConfig) -> DockerSource {
    let config = DockerSdConfig {
        host: host.to_owned(),
        ..config
    };
    DockerSource::new(&config, Path::new("")).unwrap()
}

#[tokio::test]
async fn ports_in_the_first_network() {
    let api = Api::start(answer).await;
    let filters = vec![DockerFilter {
        name: "label".to_owned(),
        values: vec!["b=1".to_owned(), "a".to_owned()],
    }];
    let config = DockerSdConfig {
        filters,
        host_networking_host: "gateway:9100".to_owned(),
        ..DockerSdConfig::default()
    };
    let mut source = source(&api.url("/"), config);
    let groups = source.groups().await.unwrap();
    let web = "docker_container_id=\"c1\" docker_container_label_com_docker_compose_project=\"shop\" \
               docker_container_name=\"/web\" docker_container_network_mode=\"shop_back\"";
    let address = "docker_network_ip=\"172.20.0.2\"";
    assert_eq!(
        printed(&groups),
        [
            format!(
                "172.20.0.2:80 {web} {BACK} {address} {BACK_NAME} docker_port_private=\"80\" docker_port_public=\"8080\" \
                 docker_port_public_ip=\"0.0.0.0\""
            ),
            format!("172.20.0.2:443 {web} {BACK} {address} {BACK_NAME} docker_port_private=\"443\""),
            "gateway:9100 docker_container_id=\"c2\" docker_container_name=\"/node\" docker_container_network_mode=\"host\" \
             docker_network_id=\"n3\" docker_network_ingress=\"false\" docker_network_internal=\"false\" docker_network_ip=\"\" \
             docker_network_name=\"host\" docker_network_scope=\"local\""
                .to_owned(),
            format!(
                "172.20.0.2:80 docker_container_id=\"c3\" docker_container_name=\"/sidecar\" \
                 docker_container_network_mode=\"container:c1\" {BACK} {address} {BACK_NAME}"
            ),
        ]
    );
    let asked = api.asked();
    let paths: Vec<&str> = asked.iter().map(|asked| asked.path.as_str()).collect();
    assert_eq!(
        paths,
        ["/_ping", "/v1.47/containers/json", "/v1.47/networks"]
    );
    // {"label":{"a":true,"b=1":true}}
    assert_eq!(
        asked[1].query,
        "filters=%7B%22label%22%3A%7B%22a%22%3Atrue%2C%22b%3D1%22%3Atrue%7D%7D"
    );
}

#[tokio::test]
async fn every_network_on_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("docker.sock");
    let _api = Api::start_unix(&socket, answer);
    let config = DockerSdConfig {
        match_first_network: false,
        ..DockerSdConfig::default()
    };
    let mut source = source(&format!("unix://{}", socket.display()), config);
    let groups = source.groups().await.unwrap();
    let addresses: Vec<String> = printed(&groups)
        .iter()
        .filter_map(|line| Some(line.split_once(' ')?.0.to_owned()))
        .collect();
    assert_eq!(
        addresses,
        [
            "172.20.0.2:80",
            "172.20.0.2:443",
            "172.21.0.2:80",
            "172.21.0.2:443",
            "localhost",
            "172.20.0.2:80",
            "172.21.0.2:80",
        ]
    );
}

#[tokio::test]
async fn an_engine_that_fails_keeps_the_last_targets() {
    use crate::discovery::{Discovery, Updates, refresh::Refreshing, testing::eventually};
    let fails = std::sync::Arc::new(AtomicBool::new(false));
    let failing = std::sync::Arc::clone(&fails);
    let api = Api::start(move |asked| {
        if failing.load(Ordering::SeqCst) {
            Answer::status(500)
        } else {
            answer(asked)
        }
    })
    .await;
    let registry = metrics::Registry::new();
    let metrics = crate::metrics::DiscoveryMetrics::new(&registry);
    let source = source(&api.url(""), DockerSdConfig::default());
    let interval = model::Duration::from_ms(10);
    let discovery = Box::new(Refreshing::new(source, interval, "job", metrics.clone()));
    let (updates, groups) = Updates::channel(std::sync::Arc::default());
    let stop = tokio_util::sync::CancellationToken::new();
    let task = tokio::spawn(discovery.run(updates, stop.clone()));
    eventually(|| !groups.borrow().is_empty()).await;
    fails.store(true, Ordering::SeqCst);
    eventually(|| 0.0 < metrics.refresh_failures.with(&["docker", "job"]).value()).await;
    assert_eq!(groups.borrow()[0].targets.len(), 4);
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn errors_name_the_request() {
    let api = Api::start(|asked| match asked.path.as_str() {
        "/_ping" => answer(asked),
        _ => Answer::Whole(
            400,
            "application/json",
            r#"{"message": "invalid filter"}"#.to_owned(),
        ),
    })
    .await;
    let error = source(&api.url(""), DockerSdConfig::default())
        .groups()
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "GET /containers/json: server returned HTTP status 400 Bad Request: {\"message\": \"invalid filter\"}"
    );
}

#[test]
fn hosts_that_cannot_be() {
    for host in ["/var/run/docker.sock", "npipe:////./pipe/docker_engine"] {
        let config = DockerSdConfig {
            host: host.to_owned(),
            ..DockerSdConfig::default()
        };
        let error = DockerSource::new(&config, Path::new("")).err().unwrap();
        assert!(error.contains("expected unix:///path"), "{error}");
    }
}
