//! The labels of each role.

use super::*;
use crate::discovery::kubernetes::object::Resource;

fn put<T: Resource>(store: &Store<T>, objects: Value) {
    store
        .part()
        .replace(serde_json::from_value(objects).unwrap());
}

fn attaching_all() -> KubernetesAttachMetadata {
    KubernetesAttachMetadata {
        node: true,
        namespace: true,
        deployment: true,
        job: true,
        cronjob: true,
    }
}

#[track_caller]
fn check(config: &KubernetesSdConfig, objects: &Objects, expected: &[&str]) {
    let lines = printed(&role::groups(config, objects));
    let lines: Vec<String> = lines
        .iter()
        .map(|line| line.replace("kubernetes_", ""))
        .collect();
    assert_eq!(lines, expected);
}

fn objects() -> Objects {
    let objects = Objects::default();
    put(
        &objects.nodes,
        json!([{
            "metadata": {"name": "n", "labels": {"zone/a": "z"}, "annotations": {"an.o": "1"}},
            "spec": {"providerID": "cloud://1"},
            "status": {
                "addresses": [
                    {"type": "Hostname", "address": "h"},
                    {"type": "InternalIP", "address": "10.0.0.1"},
                    {"type": "InternalIP", "address": "10.0.0.2"},
                ],
                "conditions": [{"type": "Ready", "status": "True"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            },
        }]),
    );
    put(
        &objects.pods,
        json!([{
            "metadata": {
                "name": "p", "namespace": "x", "uid": "u", "labels": {"app": "web"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "d-1", "controller": true}],
            },
            "spec": {
                "nodeName": "n",
                "containers": [
                    {"name": "c", "image": "i:1", "ports": [
                        {"name": "http", "containerPort": 80, "protocol": "TCP"},
                        {"name": "admin", "containerPort": 81, "protocol": "TCP"},
                    ]},
                ],
                "initContainers": [{"name": "init", "image": "i:2"}],
            },
            "status": {
                "phase": "Running", "podIP": "10.1.0.1", "hostIP": "10.0.0.1",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "c", "containerID": "containerd://9"}],
            },
        }, {"metadata": {"name": "pending", "namespace": "x"}, "status": {"phase": "Pending"}}]),
    );
    put(
        &objects.services,
        json!([{
            "metadata": {"name": "s", "namespace": "x", "labels": {"team": "t"}},
            "spec": {"type": "LoadBalancer", "clusterIP": "10.2.0.1", "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}, {"hostname": "h"}, {"ip": "1.2.3.5"}]}},
        }, {
            "metadata": {"name": "e", "namespace": "x"},
            "spec": {"type": "ExternalName", "externalName": "out.example", "ports": [{"port": 1}]},
        }]),
    );
    put(
        &objects.namespaces,
        json!([{"metadata": {"name": "x", "labels": {"env": "prod"}}}]),
    );
    put(
        &objects.replica_sets,
        json!([{"metadata": {"name": "d-1", "namespace": "x",
            "ownerReferences": [{"kind": "Deployment", "name": "d", "controller": true}]}}]),
    );
    objects
}

const POD: &str = "pod_controller_kind=\"ReplicaSet\" pod_controller_name=\"d-1\"";

#[test]
fn nodes() {
    check(
        &of_role(KubernetesRole::Node),
        &objects(),
        &[
            "10.0.0.1:10250 node_address_Hostname=\"h\" node_address_InternalIP=\"10.0.0.1\" node_annotation_an_o=\"1\" \
             node_annotationpresent_an_o=\"true\" node_condition_ready=\"true\" node_label_zone_a=\"z\" node_labelpresent_zone_a=\"true\" \
             node_name=\"n\" node_provider_id=\"cloud://1\" instance=\"n\"",
        ],
    );
}

#[test]
fn services() {
    let mut config = of_role(KubernetesRole::Service);
    config.attach_metadata.namespace = true;
    check(
        &config,
        &objects(),
        &[
            "e.x.svc:1 namespace=\"x\" namespace_label_env=\"prod\" namespace_labelpresent_env=\"true\" \
             service_external_name=\"out.example\" service_name=\"e\" service_port_name=\"\" service_port_number=\"1\" \
             service_port_protocol=\"TCP\" service_type=\"ExternalName\"",
            "s.x.svc:8080 namespace=\"x\" namespace_label_env=\"prod\" namespace_labelpresent_env=\"true\" \
             service_cluster_ip=\"10.2.0.1\" service_label_team=\"t\" service_labelpresent_team=\"true\" \
             service_loadbalancer_ip=\"1.2.3.4,1.2.3.5\" service_name=\"s\" service_port_name=\"http\" service_port_number=\"8080\" \
             service_port_protocol=\"TCP\" service_type=\"LoadBalancer\"",
        ],
    );
}

#[test]
fn pods_have_a_target_for_each_port() {
    let pod = |container: &str, rest: &str| {
        format!(
            "namespace=\"x\" pod_container_id=\"{container} {POD}{rest} pod_host_ip=\"10.0.0.1\" pod_ip=\"10.1.0.1\" \
             pod_label_app=\"web\" pod_labelpresent_app=\"true\" pod_name=\"p\" pod_node_name=\"n\" pod_phase=\"Running\" \
             pod_ready=\"true\" pod_uid=\"u\""
        )
    };
    let port = |name: &str, number: u16| {
        let container = format!(
            "containerd://9\" pod_container_image=\"i:1\" pod_container_init=\"false\" pod_container_name=\"c\" \
             pod_container_port_name=\"{name}\" pod_container_port_number=\"{number}\" pod_container_port_protocol=\"TCP\""
        );
        format!("10.1.0.1:{number} {}", pod(&container, ""))
    };
    let init =
        "\" pod_container_image=\"i:2\" pod_container_init=\"true\" pod_container_name=\"init\"";
    let init = format!("10.1.0.1 {}", pod(init, ""));
    check(
        &of_role(KubernetesRole::Pod),
        &objects(),
        &[&port("http", 80), &port("admin", 81), &init],
    );
}

#[test]
fn what_belongs_to_a_pod_is_attached() {
    let mut config = of_role(KubernetesRole::Pod);
    config.attach_metadata = attaching_all();
    let groups = role::groups(&config, &objects());
    let labels = &groups[0].labels;
    for (name, value) in [
        ("pod_deployment_name", "d"),
        ("node_label_zone_a", "z"),
        ("namespace_label_env", "prod"),
    ] {
        assert_eq!(labels[&format!("__meta_kubernetes_{name}")], value);
    }
    assert_eq!(groups[1].source, "pod/x/pending");
    assert!(groups[1].targets.is_empty());
}

#[test]
fn endpoints_join_service_and_pod() {
    let objects = objects();
    put(
        &objects.endpoints,
        json!([{
            "metadata": {"name": "s", "namespace": "x"},
            "subsets": [{
                "addresses": [{"ip": "10.1.0.1", "nodeName": "n", "targetRef": {"kind": "Pod", "name": "p", "namespace": "x"}}],
                "notReadyAddresses": [{"ip": "10.1.0.7", "hostname": "seven"}],
                "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
            }],
        }]),
    );
    let groups = role::groups(&of_role(KubernetesRole::Endpoints), &objects);
    let lines = printed(&groups);
    let has = |line: usize, label: &str| {
        assert!(
            lines[line].contains(&format!("kubernetes_{label}")),
            "{label}: {}",
            lines[line]
        );
    };
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for (line, address, labels) in [
        (
            0,
            "10.1.0.1:80 ",
            [
                "endpoint_ready=\"true\"",
                "pod_container_port_name=\"http\"",
                "endpoint_address_target_name=\"p\"",
            ],
        ),
        (
            1,
            "10.1.0.7:80 ",
            [
                "endpoint_ready=\"false\"",
                "endpoint_hostname=\"seven\"",
                "endpoint_port_name=\"http\"",
            ],
        ),
        // The port of the pod that the service does not have.
        (
            2,
            "10.1.0.1:81 ",
            [
                "pod_container_port_name=\"admin\"",
                "pod_name=\"p\"",
                "pod_container_image=\"i:1\"",
            ],
        ),
    ] {
        assert!(lines[line].starts_with(address), "{}", lines[line]);
        for label in labels
            .into_iter()
            .chain(["service_label_team=\"t\"", "endpoints_name=\"s\""])
        {
            has(line, label);
        }
    }
    assert!(!lines[2].contains("endpoint_ready") && !lines[1].contains("pod_name"));
}

#[test]
fn endpoint_slices_say_more() {
    let objects = objects();
    put(
        &objects.slices,
        json!([{
            "metadata": {"name": "s-abc", "namespace": "x", "labels": {"kubernetes.io/service-name": "s"}},
            "addressType": "IPv4",
            "endpoints": [{
                "addresses": ["10.1.0.1"],
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "nodeName": "n", "zone": "z1", "hostname": "h",
                "deprecatedTopology": {"topology.io/rack": "r"},
                "targetRef": {"kind": "Pod", "name": "p", "namespace": "x"},
            }],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "appProtocol": "h2c"}],
        }]),
    );
    let mut config = of_role(KubernetesRole::EndpointSlice);
    config.attach_metadata.node = true;
    let lines = printed(&role::groups(&config, &objects));
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].starts_with("10.1.0.1:80 ") && lines[1].starts_with("10.1.0.1:81 "));
    for label in [
        "endpointslice_address_type=\"IPv4\"",
        "endpointslice_name=\"s-abc\"",
        "endpointslice_endpoint_conditions_ready=\"true\"",
        "endpointslice_endpoint_conditions_serving=\"true\"",
        "endpointslice_endpoint_conditions_terminating=\"false\"",
        "endpointslice_endpoint_hostname=\"h\"",
        "endpointslice_endpoint_node_name=\"n\"",
        "endpointslice_endpoint_zone=\"z1\"",
        "endpointslice_endpoint_topology_topology_io_rack=\"r\"",
        "endpointslice_endpoint_topology_present_topology_io_rack=\"true\"",
        "endpointslice_port=\"80\"",
        "endpointslice_port_app_protocol=\"h2c\"",
        "endpointslice_address_target_kind=\"Pod\"",
        "service_name=\"s\"",
        "pod_container_name=\"c\"",
        "node_label_zone_a=\"z\"",
    ] {
        assert!(
            lines[0].contains(&format!("kubernetes_{label}")),
            "{label}: {}",
            lines[0]
        );
    }
}

#[test]
fn ingresses_have_a_target_for_each_path() {
    let objects = Objects::default();
    put(
        &objects.ingresses,
        json!([{
            "metadata": {"name": "i", "namespace": "x"},
            "spec": {
                "ingressClassName": "nginx",
                "tls": [{"hosts": ["*.example.com"]}],
                "rules": [
                    {"host": "a.example.com", "http": {"paths": [{"path": "/p"}, {}]}},
                    {"host": "a.b.example.com"},
                ],
            },
        }]),
    );
    let line = |host: &str, path: &str, scheme: &str| {
        format!(
            "{host} ingress_class_name=\"nginx\" ingress_host=\"{host}\" ingress_name=\"i\" ingress_path=\"{path}\" \
             ingress_scheme=\"{scheme}\" namespace=\"x\""
        )
    };
    check(
        &of_role(KubernetesRole::Ingress),
        &objects,
        &[
            &line("a.example.com", "/p", "https"),
            &line("a.example.com", "/", "https"),
            &line("a.b.example.com", "/", "http"),
        ],
    );
}
