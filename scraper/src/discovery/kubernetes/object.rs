//! Objects of the Kubernetes API, as much of them as targets are made of.
//!
//! Source: Kubernetes API reference, core/v1, discovery.k8s.io/v1, networking.k8s.io/v1, apps/v1 and batch/v1.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::store::Key;

/// A kind of objects.
pub(crate) trait Resource: DeserializeOwned + Send + Sync + 'static {
    /// Where the API has them: `api/v1`.
    const API: &'static str;
    /// The last segment of the URL: `pods`.
    const PLURAL: &'static str;
    const IS_NAMESPACED: bool = true;
    /// The role whose selector is for this kind.
    const ROLE: Option<&'static str>;

    fn metadata(&self) -> &Metadata;
}

macro_rules! objects {
    ($($name:ident: $api:literal, $plural:literal, $role:expr, $is_namespaced:literal;)*) => {
        $(impl Resource for $name {
            const API: &'static str = $api;
            const PLURAL: &'static str = $plural;
            const IS_NAMESPACED: bool = $is_namespaced;
            const ROLE: Option<&'static str> = $role;

            fn metadata(&self) -> &Metadata {
                &self.metadata
            }
        })*
    };
}

objects! {
    Pod: "api/v1", "pods", Some("pod"), true;
    Service: "api/v1", "services", Some("service"), true;
    Endpoints: "api/v1", "endpoints", Some("endpoints"), true;
    EndpointSlice: "apis/discovery.k8s.io/v1", "endpointslices", Some("endpointslice"), true;
    Node: "api/v1", "nodes", Some("node"), false;
    Ingress: "apis/networking.k8s.io/v1", "ingresses", Some("ingress"), true;
    Namespace: "api/v1", "namespaces", None, false;
    ReplicaSet: "apis/apps/v1", "replicasets", None, true;
    Job: "apis/batch/v1", "jobs", None, true;
}

/// What every object has. Null is as good as absent everywhere.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Metadata {
    #[serde(deserialize_with = "model::de::or_default")]
    pub(crate) name: String,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(crate) namespace: String,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(crate) uid: String,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(crate) resource_version: String,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(deserialize_with = "model::de::or_default")]
    pub(crate) owner_references: Vec<OwnerReference>,
}

impl Metadata {
    pub(crate) fn key(&self) -> Key {
        (self.namespace.clone(), self.name.clone())
    }

    /// Returns who manages the object.
    pub(crate) fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references
            .iter()
            .find(|owner| owner.controller == Some(true))
    }
}

macro_rules! parts {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $ty:ty,)* })*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
            #[serde(default, rename_all = "camelCase")]
            pub(crate) struct $name {
                $($(#[$field_meta])* #[serde(deserialize_with = "model::de::or_default")]
                pub(crate) $field: $ty,)*
            }
        )*
    };
}

parts! {
    OwnerReference {
        kind: String,
        name: String,
        controller: Option<bool>,
    }
    Pod {
        metadata: Metadata,
        spec: PodSpec,
        status: PodStatus,
    }
    PodSpec {
        node_name: String,
        containers: Vec<Container>,
        init_containers: Vec<Container>,
    }
    Container {
        name: String,
        image: String,
        ports: Vec<ContainerPort>,
    }
    ContainerPort {
        name: String,
        container_port: u32,
        protocol: String,
    }
    PodStatus {
        #[serde(rename = "podIP")]
        pod_ip: String,
        #[serde(rename = "hostIP")]
        host_ip: String,
        phase: String,
        conditions: Vec<Condition>,
        container_statuses: Vec<ContainerStatus>,
        init_container_statuses: Vec<ContainerStatus>,
    }
    Condition {
        #[serde(rename = "type")]
        kind: String,
        status: String,
    }
    ContainerStatus {
        name: String,
        #[serde(rename = "containerID")]
        container_id: String,
    }
    Service {
        metadata: Metadata,
        spec: ServiceSpec,
        status: ServiceStatus,
    }
    ServiceSpec {
        #[serde(rename = "type")]
        kind: String,
        #[serde(rename = "clusterIP")]
        cluster_ip: String,
        external_name: String,
        #[serde(rename = "loadBalancerIP")]
        load_balancer_ip: String,
        ports: Vec<ServicePort>,
    }
    ServicePort {
        name: String,
        port: u32,
        protocol: String,
    }
    ServiceStatus {
        load_balancer: LoadBalancer,
    }
    LoadBalancer {
        ingress: Vec<LoadBalancerIngress>,
    }
    LoadBalancerIngress {
        ip: String,
    }
    Endpoints {
        metadata: Metadata,
        subsets: Vec<EndpointSubset>,
    }
    EndpointSubset {
        addresses: Vec<EndpointAddress>,
        not_ready_addresses: Vec<EndpointAddress>,
        ports: Vec<EndpointPort>,
    }
    EndpointAddress {
        ip: String,
        hostname: String,
        node_name: Option<String>,
        target_ref: Option<ObjectReference>,
    }
    ObjectReference {
        kind: String,
        namespace: String,
        name: String,
    }
    EndpointPort {
        name: String,
        port: u32,
        protocol: String,
    }
    EndpointSlice {
        metadata: Metadata,
        address_type: String,
        endpoints: Vec<Endpoint>,
        ports: Vec<SlicePort>,
    }
    Endpoint {
        addresses: Vec<String>,
        conditions: EndpointConditions,
        hostname: Option<String>,
        node_name: Option<String>,
        zone: Option<String>,
        target_ref: Option<ObjectReference>,
        deprecated_topology: BTreeMap<String, String>,
    }
    EndpointConditions {
        ready: Option<bool>,
        serving: Option<bool>,
        terminating: Option<bool>,
    }
    SlicePort {
        name: Option<String>,
        port: Option<u32>,
        protocol: Option<String>,
        app_protocol: Option<String>,
    }
    Node {
        metadata: Metadata,
        spec: NodeSpec,
        status: NodeStatus,
    }
    NodeSpec {
        #[serde(rename = "providerID")]
        provider_id: String,
    }
    NodeStatus {
        addresses: Vec<NodeAddress>,
        conditions: Vec<Condition>,
        daemon_endpoints: DaemonEndpoints,
    }
    NodeAddress {
        #[serde(rename = "type")]
        kind: String,
        address: String,
    }
    DaemonEndpoints {
        kubelet_endpoint: DaemonEndpoint,
    }
    DaemonEndpoint {
        #[serde(rename = "Port")]
        port: u32,
    }
    Ingress {
        metadata: Metadata,
        spec: IngressSpec,
    }
    IngressSpec {
        ingress_class_name: Option<String>,
        tls: Vec<IngressTls>,
        rules: Vec<IngressRule>,
    }
    IngressTls {
        hosts: Vec<String>,
    }
    IngressRule {
        host: String,
        http: Option<IngressPaths>,
    }
    IngressPaths {
        paths: Vec<IngressPath>,
    }
    IngressPath {
        path: String,
    }
    Namespace {
        metadata: Metadata,
    }
    ReplicaSet {
        metadata: Metadata,
    }
    Job {
        metadata: Metadata,
    }
}

/// A page of objects.
#[derive(Deserialize)]
#[serde(bound = "T: Resource")]
pub(crate) struct List<T> {
    #[serde(default)]
    pub(crate) metadata: ListMetadata,
    #[serde(default, deserialize_with = "model::de::or_default")]
    pub(crate) items: Vec<T>,
}

parts! {
    ListMetadata {
        resource_version: String,
        #[serde(rename = "continue")]
        next: String,
    }
    /// What the API says instead of an object.
    Status {
        code: u16,
        reason: String,
        message: String,
    }
}

/// One line of a watch.
#[derive(Deserialize)]
pub(crate) struct Event<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    #[serde(borrow)]
    pub(crate) object: &'a serde_json::value::RawValue,
}
