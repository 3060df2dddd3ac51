//! The labels that objects give to targets.

use std::collections::BTreeMap;

use super::object::{Container, ContainerPort, Metadata, Node, Pod, Service};
use crate::config::KubernetesAttachMetadata;
use crate::discovery::sanitized;

/// A target's or a group's labels.
pub(crate) type LabelMap = BTreeMap<String, String>;

/// Sets `__meta_kubernetes_<name>`.
pub(crate) fn set(labels: &mut LabelMap, name: &str, value: impl Into<String>) {
    labels.insert(format!("__meta_kubernetes_{name}"), value.into());
}

/// The same, if the value is not empty.
pub(crate) fn set_if_any(labels: &mut LabelMap, name: &str, value: &str) {
    if !value.is_empty() {
        set(labels, name, value);
    }
}

/// Adds labels and annotations of an object of kind `kind`.
pub(crate) fn add_families(labels: &mut LabelMap, kind: &str, metadata: &Metadata) {
    for (family, pairs) in [
        ("label", &metadata.labels),
        ("annotation", &metadata.annotations),
    ] {
        for (name, value) in pairs {
            let name = sanitized(name);
            set(labels, &format!("{kind}_{family}_{name}"), value.as_str());
            set(labels, &format!("{kind}_{family}present_{name}"), "true");
        }
    }
}

pub(crate) fn add_node(labels: &mut LabelMap, node: &Node) {
    set(labels, "node_name", node.metadata.name.as_str());
    add_families(labels, "node", &node.metadata);
}

pub(crate) fn add_namespace(labels: &mut LabelMap, metadata: &Metadata) {
    add_families(labels, "namespace", metadata);
}

pub(crate) fn add_service(labels: &mut LabelMap, service: &Service) {
    set(labels, "service_name", service.metadata.name.as_str());
    add_families(labels, "service", &service.metadata);
}

/// Adds what is known of a pod, `attach` apart.
pub(crate) fn add_pod(labels: &mut LabelMap, pod: &Pod) {
    set(labels, "pod_name", pod.metadata.name.as_str());
    set(labels, "pod_ip", pod.status.pod_ip.as_str());
    set(labels, "pod_ready", readiness(pod));
    set(labels, "pod_phase", pod.status.phase.as_str());
    set(labels, "pod_node_name", pod.spec.node_name.as_str());
    set(labels, "pod_host_ip", pod.status.host_ip.as_str());
    set(labels, "pod_uid", pod.metadata.uid.as_str());
    add_families(labels, "pod", &pod.metadata);
    if let Some(owner) = pod.metadata.controller() {
        set_if_any(labels, "pod_controller_kind", &owner.kind);
        set_if_any(labels, "pod_controller_name", &owner.name);
    }
}

/// Adds the names of what a pod belongs to above its controller, as `attach` wants them.
pub(crate) fn add_owners(
    labels: &mut LabelMap,
    pod: &Pod,
    attach: &KubernetesAttachMetadata,
    objects: &super::Objects,
) {
    let Some(owner) = pod.metadata.controller() else {
        return;
    };
    let namespace = &pod.metadata.namespace;
    if attach.deployment && owner.kind == "ReplicaSet" {
        let set_of = objects.replica_sets.get(namespace, &owner.name);
        let above = set_of
            .as_deref()
            .and_then(|found| found.metadata.controller());
        if let Some(above) = above.filter(|above| above.kind == "Deployment") {
            set(labels, "pod_deployment_name", above.name.as_str());
        }
    }
    if owner.kind == "Job" {
        if attach.job {
            set(labels, "pod_job_name", owner.name.as_str());
        }
        let job = objects.jobs.get(namespace, &owner.name);
        let above = job.as_deref().and_then(|found| found.metadata.controller());
        if let Some(above) = above.filter(|above| attach.cronjob && above.kind == "CronJob") {
            set(labels, "pod_cronjob_name", above.name.as_str());
        }
    }
}

/// `true`, `false`, or `unknown` where nothing is said.
fn readiness(pod: &Pod) -> String {
    let conditions = &pod.status.conditions;
    conditions
        .iter()
        .find(|condition| condition.kind == "Ready")
        .map_or_else(
            || "unknown".to_owned(),
            |condition| condition.status.to_lowercase(),
        )
}

/// Containers of a pod, and whether they are init containers.
pub(crate) fn containers(pod: &Pod) -> impl Iterator<Item = (&Container, bool)> {
    let plain = pod
        .spec
        .containers
        .iter()
        .map(|container| (container, false));
    plain.chain(
        pod.spec
            .init_containers
            .iter()
            .map(|container| (container, true)),
    )
}

pub(crate) fn add_container(labels: &mut LabelMap, container: &Container, is_init: bool) {
    set(labels, "pod_container_name", container.name.as_str());
    set(labels, "pod_container_image", container.image.as_str());
    set(labels, "pod_container_init", is_init.to_string());
}

pub(crate) fn add_container_port(labels: &mut LabelMap, port: &ContainerPort) {
    set(labels, "pod_container_port_name", port.name.as_str());
    set(
        labels,
        "pod_container_port_number",
        port.container_port.to_string(),
    );
    set(
        labels,
        "pod_container_port_protocol",
        protocol(&port.protocol),
    );
}

/// Adds the ID of a container, which its status has.
pub(crate) fn add_container_id(
    labels: &mut LabelMap,
    pod: &Pod,
    container: &Container,
    is_init: bool,
) {
    let statuses = match is_init {
        true => &pod.status.init_container_statuses,
        false => &pod.status.container_statuses,
    };
    let status = statuses.iter().find(|status| status.name == container.name);
    let id = status.map_or("", |status| status.container_id.as_str());
    set(labels, "pod_container_id", id);
}

/// TCP is the default, which the API server writes out.
pub(crate) fn protocol(protocol: &str) -> &str {
    if protocol.is_empty() { "TCP" } else { protocol }
}

/// Returns `host:port`, with brackets around IPv6 addresses.
pub(crate) fn host_port(host: &str, port: u32) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}
