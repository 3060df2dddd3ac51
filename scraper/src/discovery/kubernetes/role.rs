//! From objects to target groups, role by role.

mod endpoints;

use super::Objects;
use super::labels::{
    LabelMap, add_container, add_container_id, add_container_port, add_families, add_namespace,
    add_node, add_owners, add_pod, containers, host_port, protocol, set,
};
use super::object::{Ingress, Metadata, Node, Pod, Service};
use crate::config::{KubernetesRole, KubernetesSdConfig};
use crate::discovery::{TargetGroup, sanitized};
use crate::target::ADDRESS;

/// Returns the groups of all objects, one for each.
pub(crate) fn groups(config: &KubernetesSdConfig, objects: &Objects) -> Vec<TargetGroup> {
    let making = Making { config, objects };
    match config.role.unwrap_or_default() {
        KubernetesRole::Node => each(objects.nodes.all(), |node| making.node(node)),
        KubernetesRole::Pod => each(objects.pods.all(), |pod| making.pod(pod)),
        KubernetesRole::Service => each(objects.services.all(), |service| making.service(service)),
        KubernetesRole::Ingress => each(objects.ingresses.all(), |ingress| making.ingress(ingress)),
        KubernetesRole::Endpoints => each(objects.endpoints.all(), |endpoints| {
            making.endpoints(endpoints)
        }),
        KubernetesRole::EndpointSlice => {
            each(objects.slices.all(), |slice| making.endpoint_slice(slice))
        }
    }
}

fn each<T>(objects: Vec<std::sync::Arc<T>>, group: impl Fn(&T) -> TargetGroup) -> Vec<TargetGroup> {
    objects.iter().map(|object| group(object)).collect()
}

/// What groups are made with.
struct Making<'a> {
    config: &'a KubernetesSdConfig,
    objects: &'a Objects,
}

impl Making<'_> {
    /// Returns an empty group of an object in a namespace.
    fn group(&self, kind: &str, metadata: &Metadata) -> TargetGroup {
        let mut group = TargetGroup {
            source: format!("{kind}/{}/{}", metadata.namespace, metadata.name),
            ..TargetGroup::default()
        };
        set(&mut group.labels, "namespace", metadata.namespace.as_str());
        if self.config.attach_metadata.namespace
            && let Some(namespace) = self.objects.namespaces.get("", &metadata.namespace)
        {
            add_namespace(&mut group.labels, &namespace.metadata);
        }
        group
    }

    /// Adds the labels of a node, if they are wanted and it is known.
    fn attach_node(&self, labels: &mut LabelMap, name: &str) {
        if self.config.attach_metadata.node
            && let Some(node) = self.objects.nodes.get("", name)
        {
            add_node(labels, &node);
        }
    }

    fn add_pod(&self, labels: &mut LabelMap, pod: &Pod) {
        add_pod(labels, pod);
        add_owners(labels, pod, &self.config.attach_metadata, self.objects);
    }

    fn node(&self, node: &Node) -> TargetGroup {
        const PREFERRED: [&str; 6] = [
            "InternalIP",
            "InternalDNS",
            "ExternalIP",
            "ExternalDNS",
            "LegacyHostIP",
            "Hostname",
        ];
        let mut group = TargetGroup {
            source: format!("node/{}", node.metadata.name),
            ..TargetGroup::default()
        };
        add_node(&mut group.labels, node);
        set(
            &mut group.labels,
            "node_provider_id",
            node.spec.provider_id.as_str(),
        );
        for condition in &node.status.conditions {
            let name = format!(
                "node_condition_{}",
                sanitized(&condition.kind.to_lowercase())
            );
            set(&mut group.labels, &name, condition.status.to_lowercase());
        }
        let addresses = &node.status.addresses;
        let preferred = PREFERRED.iter().find_map(|kind| {
            addresses
                .iter()
                .find(|address| address.kind == *kind && !address.address.is_empty())
        });
        let Some(preferred) = preferred else {
            return group;
        };
        let mut target = LabelMap::new();
        let port = node.status.daemon_endpoints.kubelet_endpoint.port;
        target.insert(ADDRESS.to_owned(), host_port(&preferred.address, port));
        target.insert("instance".to_owned(), node.metadata.name.clone());
        // Of several addresses of a kind the first counts.
        for address in addresses.iter().rev() {
            let name = format!("node_address_{}", sanitized(&address.kind));
            set(&mut target, &name, address.address.as_str());
        }
        group.targets.push(target);
        group
    }

    fn pod(&self, pod: &Pod) -> TargetGroup {
        let mut group = self.group("pod", &pod.metadata);
        // Without an address it is about to start, or gone.
        if pod.status.pod_ip.is_empty() {
            return group;
        }
        self.add_pod(&mut group.labels, pod);
        self.attach_node(&mut group.labels, &pod.spec.node_name);
        for (container, is_init) in containers(pod) {
            let mut target = LabelMap::new();
            add_container(&mut target, container, is_init);
            add_container_id(&mut target, pod, container, is_init);
            if container.ports.is_empty() {
                target.insert(ADDRESS.to_owned(), pod.status.pod_ip.clone());
                group.targets.push(target);
                continue;
            }
            for port in &container.ports {
                let mut target = target.clone();
                let address = host_port(&pod.status.pod_ip, port.container_port);
                target.insert(ADDRESS.to_owned(), address);
                add_container_port(&mut target, port);
                group.targets.push(target);
            }
        }
        group
    }

    fn service(&self, service: &Service) -> TargetGroup {
        let mut group = self.group("svc", &service.metadata);
        super::labels::add_service(&mut group.labels, service);
        let spec = &service.spec;
        let host = format!(
            "{}.{}.svc",
            service.metadata.name, service.metadata.namespace
        );
        for port in &spec.ports {
            let mut target = LabelMap::new();
            target.insert(ADDRESS.to_owned(), host_port(&host, port.port));
            set(&mut target, "service_port_name", port.name.as_str());
            set(&mut target, "service_port_number", port.port.to_string());
            set(
                &mut target,
                "service_port_protocol",
                protocol(&port.protocol),
            );
            let kind = if spec.kind.is_empty() {
                "ClusterIP"
            } else {
                &spec.kind
            };
            set(&mut target, "service_type", kind);
            match kind {
                "ExternalName" => {
                    set(
                        &mut target,
                        "service_external_name",
                        spec.external_name.as_str(),
                    );
                }
                _ => set(&mut target, "service_cluster_ip", spec.cluster_ip.as_str()),
            }
            if kind == "LoadBalancer" {
                set(
                    &mut target,
                    "service_loadbalancer_ip",
                    load_balancer_ip(service),
                );
            }
            group.targets.push(target);
        }
        group
    }

    fn ingress(&self, ingress: &Ingress) -> TargetGroup {
        let mut group = self.group("ingress", &ingress.metadata);
        set(
            &mut group.labels,
            "ingress_name",
            ingress.metadata.name.as_str(),
        );
        add_families(&mut group.labels, "ingress", &ingress.metadata);
        if let Some(class) = &ingress.spec.ingress_class_name {
            set(&mut group.labels, "ingress_class_name", class.as_str());
        }
        let tls_hosts: Vec<&String> = ingress.spec.tls.iter().flat_map(|tls| &tls.hosts).collect();
        for rule in &ingress.spec.rules {
            let is_tls = tls_hosts.iter().any(|pattern| covers(pattern, &rule.host));
            let paths = rule.http.iter().flat_map(|http| &http.paths);
            let mut paths: Vec<&str> = paths
                .map(|path| {
                    if path.path.is_empty() {
                        "/"
                    } else {
                        &path.path
                    }
                })
                .collect();
            if paths.is_empty() {
                paths.push("/");
            }
            for path in paths {
                let mut target = LabelMap::new();
                target.insert(ADDRESS.to_owned(), rule.host.clone());
                let scheme = if is_tls { "https" } else { "http" };
                set(&mut target, "ingress_scheme", scheme);
                set(&mut target, "ingress_host", rule.host.as_str());
                set(&mut target, "ingress_path", path);
                group.targets.push(target);
            }
        }
        group
    }
}

/// Returns the addresses that a load balancer has, or else the one that it was asked to have.
fn load_balancer_ip(service: &Service) -> String {
    let given = service.status.load_balancer.ingress.iter();
    let given: Vec<&str> = given
        .map(|ingress| ingress.ip.as_str())
        .filter(|ip| !ip.is_empty())
        .collect();
    if given.is_empty() {
        service.spec.load_balancer_ip.clone()
    } else {
        given.join(",")
    }
}

/// Whether a host of a certificate, perhaps with a star for its first label, is `host`.
fn covers(pattern: &str, host: &str) -> bool {
    if pattern == host {
        return true;
    }
    let (Some(domain), Some((first, rest))) = (pattern.strip_prefix("*."), host.split_once('.'))
    else {
        return false;
    };
    !first.is_empty() && domain == rest
}
