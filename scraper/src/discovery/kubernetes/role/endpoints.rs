//! The roles `endpoints` and `endpointslice`: addresses behind services, and the pods that they are of.

use std::sync::Arc;

use super::Making;
use crate::discovery::kubernetes::labels::{
    LabelMap, add_container, add_container_port, add_families, add_service, containers, host_port,
    protocol, set,
};
use crate::discovery::kubernetes::object::{
    Endpoint, EndpointAddress, EndpointPort, EndpointSlice, Endpoints, ObjectReference, Pod,
    SlicePort,
};
use crate::discovery::{TargetGroup, sanitized};
use crate::target::ADDRESS;

/// The label of a slice that names its service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A pod behind a service, and the ports that there are targets for.
struct Seen {
    pod: Arc<Pod>,
    ports: Vec<u32>,
}

impl Making<'_> {
    pub(super) fn endpoints(&self, endpoints: &Endpoints) -> TargetGroup {
        let metadata = &endpoints.metadata;
        let mut group = self.group("endpoints", metadata);
        set(&mut group.labels, "endpoints_name", metadata.name.as_str());
        add_families(&mut group.labels, "endpoints", metadata);
        self.attach_service(&mut group.labels, &metadata.namespace, &metadata.name);
        let mut seen = Vec::new();
        for subset in &endpoints.subsets {
            for port in &subset.ports {
                for (addresses, is_ready) in [
                    (&subset.addresses, true),
                    (&subset.not_ready_addresses, false),
                ] {
                    for address in addresses {
                        let target = self.endpoint(address, port, is_ready, &mut seen);
                        group.targets.push(target);
                    }
                }
            }
        }
        self.add_other_ports(&mut group, &seen);
        group
    }

    fn endpoint(
        &self,
        address: &EndpointAddress,
        port: &EndpointPort,
        is_ready: bool,
        seen: &mut Vec<Seen>,
    ) -> LabelMap {
        let mut target = LabelMap::new();
        target.insert(ADDRESS.to_owned(), host_port(&address.ip, port.port));
        set(&mut target, "endpoint_port_name", port.name.as_str());
        set(
            &mut target,
            "endpoint_port_protocol",
            protocol(&port.protocol),
        );
        set(&mut target, "endpoint_ready", is_ready.to_string());
        if let Some(of) = &address.target_ref {
            set(
                &mut target,
                "endpoint_address_target_kind",
                of.kind.as_str(),
            );
            set(
                &mut target,
                "endpoint_address_target_name",
                of.name.as_str(),
            );
        }
        if let Some(node) = &address.node_name {
            set(&mut target, "endpoint_node_name", node.as_str());
            self.attach_node(&mut target, node);
        }
        if !address.hostname.is_empty() {
            set(&mut target, "endpoint_hostname", address.hostname.as_str());
        }
        self.join_pod(
            &mut target,
            address.target_ref.as_ref(),
            Some(port.port),
            seen,
        );
        target
    }

    pub(super) fn endpoint_slice(&self, slice: &EndpointSlice) -> TargetGroup {
        let metadata = &slice.metadata;
        let mut group = self.group("endpointslice", metadata);
        let labels = &mut group.labels;
        set(labels, "endpointslice_name", metadata.name.as_str());
        set(
            labels,
            "endpointslice_address_type",
            slice.address_type.as_str(),
        );
        add_families(labels, "endpointslice", metadata);
        if let Some(service) = metadata.labels.get(SERVICE_NAME) {
            self.attach_service(labels, &metadata.namespace, service);
        }
        let mut seen = Vec::new();
        for endpoint in &slice.endpoints {
            for port in &slice.ports {
                for address in &endpoint.addresses {
                    let target = self.slice_target(address, endpoint, port, &mut seen);
                    group.targets.push(target);
                }
            }
        }
        self.add_other_ports(&mut group, &seen);
        group
    }

    fn slice_target(
        &self,
        address: &str,
        endpoint: &Endpoint,
        port: &SlicePort,
        seen: &mut Vec<Seen>,
    ) -> LabelMap {
        let mut target = LabelMap::new();
        let full = match port.port {
            Some(port) => host_port(address, port),
            None => address.to_owned(),
        };
        target.insert(ADDRESS.to_owned(), full);
        let condition = |is: Option<bool>| is.map(|is| is.to_string());
        let conditions = &endpoint.conditions;
        let optional = [
            ("port", port.port.map(|port| port.to_string())),
            ("port_name", port.name.clone()),
            ("port_protocol", port.protocol.clone()),
            ("port_app_protocol", port.app_protocol.clone()),
            ("endpoint_conditions_ready", condition(conditions.ready)),
            ("endpoint_conditions_serving", condition(conditions.serving)),
            (
                "endpoint_conditions_terminating",
                condition(conditions.terminating),
            ),
            ("endpoint_hostname", endpoint.hostname.clone()),
            ("endpoint_node_name", endpoint.node_name.clone()),
            ("endpoint_zone", endpoint.zone.clone()),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                set(&mut target, &format!("endpointslice_{name}"), value);
            }
        }
        for (name, value) in &endpoint.deprecated_topology {
            let name = sanitized(name);
            let name = |family| format!("endpointslice_endpoint_topology_{family}{name}");
            set(&mut target, &name(""), value.as_str());
            set(&mut target, &name("present_"), "true");
        }
        if let Some(of) = &endpoint.target_ref {
            set(
                &mut target,
                "endpointslice_address_target_kind",
                of.kind.as_str(),
            );
            set(
                &mut target,
                "endpointslice_address_target_name",
                of.name.as_str(),
            );
        }
        let node = match &endpoint.target_ref {
            Some(of) if of.kind == "Node" => Some(&of.name),
            _ => endpoint.node_name.as_ref(),
        };
        if let Some(node) = node {
            self.attach_node(&mut target, node);
        }
        self.join_pod(&mut target, endpoint.target_ref.as_ref(), port.port, seen);
        target
    }

    fn attach_service(&self, labels: &mut LabelMap, namespace: &str, name: &str) {
        if let Some(service) = self.objects.services.get(namespace, name) {
            add_service(labels, &service);
        }
    }

    /// Adds the labels of the pod that an address is of, and of its container with that port.
    fn join_pod(
        &self,
        target: &mut LabelMap,
        of: Option<&ObjectReference>,
        port: Option<u32>,
        seen: &mut Vec<Seen>,
    ) {
        let pod = of.filter(|of| of.kind == "Pod");
        let Some(pod) = pod.and_then(|of| self.objects.pods.get(&of.namespace, &of.name)) else {
            return;
        };
        self.add_pod(target, &pod);
        for (container, is_init) in containers(&pod) {
            let same = container
                .ports
                .iter()
                .find(|own| Some(own.container_port) == port);
            if let Some(same) = same {
                add_container(target, container, is_init);
                add_container_port(target, same);
            }
        }
        let known = seen.iter_mut().find(|seen| {
            seen.pod.metadata.name == pod.metadata.name
                && seen.pod.metadata.namespace == pod.metadata.namespace
        });
        match known {
            Some(known) => known.ports.extend(port),
            None => seen.push(Seen {
                pod,
                ports: port.into_iter().collect(),
            }),
        }
    }

    /// Adds targets for the ports of the pods that the service does not have.
    fn add_other_ports(&self, group: &mut TargetGroup, seen: &[Seen]) {
        for Seen { pod, ports } in seen {
            if pod.status.pod_ip.is_empty() {
                continue;
            }
            for (container, is_init) in containers(pod) {
                for port in &container.ports {
                    if ports.contains(&port.container_port) {
                        continue;
                    }
                    let mut target = LabelMap::new();
                    let address = host_port(&pod.status.pod_ip, port.container_port);
                    target.insert(ADDRESS.to_owned(), address);
                    self.add_pod(&mut target, pod);
                    add_container(&mut target, container, is_init);
                    add_container_port(&mut target, port);
                    group.targets.push(target);
                }
            }
        }
    }
}
