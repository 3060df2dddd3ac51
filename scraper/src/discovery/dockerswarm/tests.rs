//! A swarm with one service, its task, and two nodes.

use super::*;
use crate::config::sd::DockerFilter;
use crate::discovery::testing::{Answer, Api, Asked, printed};

const SERVICES: &str = r#"[
  {"ID": "s1", "Version": {"Index": 19}, "Spec": {"Name": "mon_web", "Labels": {"com.docker.stack": "mon"},
     "TaskTemplate": {"ContainerSpec": {"Image": "nginx:1@sha256:ab", "Hostname": "{{.Node.Hostname}}", "Labels": {"x": "y"}}},
     "Mode": {"Replicated": {"Replicas": 2}}},
   "Endpoint": {"Spec": {"Mode": "vip"},
     "Ports": [{"Name": "http", "Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"},
               {"Protocol": "udp", "TargetPort": 53, "PublishedPort": 53, "PublishMode": "ingress"}],
     "VirtualIPs": [{"NetworkID": "n1", "Addr": "10.0.0.3/24"}]},
   "UpdateStatus": {"State": "completed"}},
  {"ID": "s2", "Spec": {"Name": "agent", "Labels": null, "TaskTemplate": {"ContainerSpec": {"Image": "agent"}}, "Mode": {"Global": {}}},
   "Endpoint": {"Spec": {}, "VirtualIPs": [{"NetworkID": "n9", "Addr": "10.0.1.9/24"}]}}
]"#;

const TASKS: &str = r#"[
  {"ID": "t1", "ServiceID": "s1", "NodeID": "w1", "Slot": 2, "DesiredState": "running",
   "Spec": {"ContainerSpec": {"Image": "nginx", "Labels": {"com.x": "1"}}},
   "Status": {"State": "running", "ContainerStatus": {"ContainerID": "c1", "PID": 12, "ExitCode": 0},
     "PortStatus": {"Ports": [{"Protocol": "tcp", "TargetPort": 90, "PublishedPort": 9090, "PublishMode": "host"}]}},
   "NetworksAttachments": [{"Network": {"ID": "n1", "Spec": {"Name": "ingress"}}, "Addresses": ["10.0.0.7/24"]}]}
]"#;

const NODES: &str = r#"[
  {"ID": "m1", "Spec": {"Role": "manager", "Availability": "active", "Labels": {"zone-id": "a"}},
   "Description": {"Hostname": "master", "Platform": {"Architecture": "x86_64", "OS": "linux"}, "Engine": {"EngineVersion": "27.1.1"}},
   "Status": {"State": "ready", "Addr": "192.168.0.1"},
   "ManagerStatus": {"Leader": true, "Reachability": "reachable", "Addr": "192.168.0.1:2377"}},
  {"ID": "w1", "Spec": {"Role": "worker", "Availability": "active", "Labels": null},
   "Description": {"Hostname": "worker", "Platform": {"Architecture": "aarch64", "OS": "linux"}, "Engine": {"EngineVersion": "27.1.1"}},
   "Status": {"State": "ready", "Addr": "192.168.0.2"}}
]"#;

const NETWORKS: &str = r#"[{"Name": "ingress", "Id": "n1", "Scope": "swarm", "Internal": false, "Ingress": true, "Labels": {}}]"#;

fn answer(asked: &Asked) -> Answer {
    match asked.path.as_str() {
        "/_ping" => Answer::Whole(200, "text/plain\r\nApi-Version: 1.41", "OK".to_owned()),
        "/v1.41/services" => Answer::json(SERVICES),
        "/v1.41/tasks" => Answer::json(TASKS),
        "/v1.41/nodes" => Answer::json(NODES),
        "/v1.41/networks" => Answer::json(NETWORKS),
        _ => Answer::status(404),
    }
}

fn source(api: &Api, role: DockerSwarmRole) -> DockerSwarmSource {
    let config = DockerSwarmSdConfig {
        host: format!("tcp://{}", api.address),
        role: Some(role),
        filters: vec![DockerFilter {
            name: "name".to_owned(),
            values: vec!["a".to_owned()],
        }],
        ..DockerSwarmSdConfig::default()
    };
    DockerSwarmSource::new(&config, Path::new("")).unwrap()
}

const INGRESS: &str = "dockerswarm_network_id=\"n1\" dockerswarm_network_ingress=\"true\" dockerswarm_network_internal=\"false\" \
                       dockerswarm_network_name=\"ingress\" dockerswarm_network_scope=\"swarm\"";

#[tokio::test]
async fn services() {
    let api = Api::start(answer).await;
    let mut source = source(&api, DockerSwarmRole::Services);
    assert_eq!(
        printed(&source.groups().await.unwrap()),
        [
            format!(
                "10.0.0.3:8080 {INGRESS} dockerswarm_service_endpoint_port_name=\"http\" \
                 dockerswarm_service_endpoint_port_publish_mode=\"ingress\" dockerswarm_service_id=\"s1\" \
                 dockerswarm_service_label_com_docker_stack=\"mon\" dockerswarm_service_mode=\"replicated\" \
                 dockerswarm_service_name=\"mon_web\" dockerswarm_service_task_container_hostname=\"{{{{.Node.Hostname}}}}\" \
                 dockerswarm_service_task_container_image=\"nginx:1@sha256:ab\" dockerswarm_service_updating_status=\"completed\""
            ),
            "10.0.1.9:80 dockerswarm_service_id=\"s2\" dockerswarm_service_mode=\"global\" dockerswarm_service_name=\"agent\" \
             dockerswarm_service_task_container_hostname=\"\" dockerswarm_service_task_container_image=\"agent\""
                .to_owned(),
        ]
    );
}

#[tokio::test]
async fn tasks() {
    let api = Api::start(answer).await;
    let mut source = source(&api, DockerSwarmRole::Tasks);
    let node = "dockerswarm_node_address=\"192.168.0.2\" dockerswarm_node_availability=\"active\" \
                dockerswarm_node_hostname=\"worker\" dockerswarm_node_id=\"w1\" \
                dockerswarm_node_platform_architecture=\"aarch64\" dockerswarm_node_platform_os=\"linux\" \
                dockerswarm_node_role=\"worker\" dockerswarm_node_status=\"ready\"";
    let service = "dockerswarm_service_id=\"s1\" dockerswarm_service_label_com_docker_stack=\"mon\" \
                   dockerswarm_service_mode=\"replicated\" dockerswarm_service_name=\"mon_web\"";
    let task = |mode: &str| {
        format!(
            "dockerswarm_task_container_id=\"c1\" dockerswarm_task_desired_state=\"running\" dockerswarm_task_id=\"t1\" \
             dockerswarm_task_port_publish_mode=\"{mode}\" dockerswarm_task_slot=\"2\" dockerswarm_task_state=\"running\""
        )
    };
    let container = "dockerswarm_container_label_com_x=\"1\"";
    assert_eq!(
        printed(&source.groups().await.unwrap()),
        [
            format!(
                "192.168.0.2:9090 {container} {node} {service} {}",
                task("host")
            ),
            format!(
                "10.0.0.7:8080 {container} {INGRESS} {node} {service} {}",
                task("ingress")
            ),
        ]
    );
    // The filters are for tasks only.
    let filtered = api.asked().into_iter().filter(|a| !a.query.is_empty());
    let filtered: Vec<String> = filtered.map(|asked| asked.path).collect();
    assert_eq!(filtered, ["/v1.41/tasks"]);
}

#[tokio::test]
async fn nodes() {
    let api = Api::start(answer).await;
    let mut source = source(&api, DockerSwarmRole::Nodes);
    let lines = printed(&source.groups().await.unwrap());
    assert_eq!(
        lines[0],
        "192.168.0.1:80 dockerswarm_node_address=\"192.168.0.1\" dockerswarm_node_availability=\"active\" \
         dockerswarm_node_engine_version=\"27.1.1\" dockerswarm_node_hostname=\"master\" dockerswarm_node_id=\"m1\" \
         dockerswarm_node_label_zone_id=\"a\" dockerswarm_node_manager_address=\"192.168.0.1:2377\" \
         dockerswarm_node_manager_leader=\"true\" dockerswarm_node_manager_reachability=\"reachable\" \
         dockerswarm_node_platform_architecture=\"x86_64\" dockerswarm_node_platform_os=\"linux\" \
         dockerswarm_node_role=\"manager\" dockerswarm_node_status=\"ready\""
    );
    assert!(lines[1].starts_with("192.168.0.2:80 ") && !lines[1].contains("manager"));
}

#[tokio::test]
async fn an_engine_outside_of_a_swarm() {
    let api = Api::start(|asked| match asked.path.as_str() {
        "/_ping" => answer(asked),
        _ => Answer::Whole(
            503,
            "application/json",
            r#"{"message": "no swarm"}"#.to_owned(),
        ),
    })
    .await;
    let mut source = source(&api, DockerSwarmRole::Nodes);
    assert_eq!(
        source.groups().await.unwrap_err().to_string(),
        "GET /nodes: server returned HTTP status 503 Service Unavailable: {\"message\": \"no swarm\"}"
    );
}

#[test]
fn addresses_come_with_their_network() {
    assert_eq!(host_of("fd00::2/64").unwrap(), "fd00::2");
    for bad in ["10.0.0.2", "x/24", ""] {
        assert!(host_of(bad).is_err(), "{bad}");
    }
}
