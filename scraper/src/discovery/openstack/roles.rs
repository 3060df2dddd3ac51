//! What hypervisors, instances and load balancers are as targets.

use std::collections::{BTreeMap, HashMap, HashSet};

use model::de::or_default;
use serde::Deserialize;
use serde_json::Value;

use super::{COMPUTE, LOAD_BALANCER, NETWORK, OpenStackSource};
use crate::discovery::labels::MetaLabels;
use crate::discovery::refresh::RefreshError;

/// What labels begin with.
const PREFIX: &str = "openstack_";
/// The protocol of the listeners that load balancers are scraped at.
const PROTOCOL: &str = "PROMETHEUS";

#[derive(Deserialize)]
struct Hypervisor {
    /// A number, or text in newer versions.
    id: Value,
    #[serde(default)]
    hypervisor_hostname: String,
    #[serde(default, deserialize_with = "or_default")]
    host_ip: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    hypervisor_type: String,
}

#[derive(Deserialize)]
struct Server {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    tenant_id: String,
    #[serde(default)]
    user_id: String,
    /// By network.
    #[serde(default, deserialize_with = "or_default")]
    addresses: BTreeMap<String, Vec<Address>>,
    #[serde(default, deserialize_with = "or_default")]
    flavor: Flavor,
    /// Empty text, if it was started from a volume.
    #[serde(default)]
    image: Value,
    #[serde(default, deserialize_with = "or_default")]
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Address {
    addr: String,
}

#[derive(Deserialize, Default)]
struct Flavor {
    original_name: Option<String>,
    id: Option<String>,
}

#[derive(Deserialize)]
struct Port {
    id: String,
    #[serde(default, deserialize_with = "or_default")]
    device_id: String,
}

#[derive(Deserialize)]
struct FloatingIp {
    floating_ip_address: String,
    #[serde(default, deserialize_with = "or_default")]
    fixed_ip_address: String,
    #[serde(default, deserialize_with = "or_default")]
    port_id: String,
    #[serde(default, deserialize_with = "or_default")]
    tenant_id: String,
}

#[derive(Deserialize)]
struct LoadBalancer {
    id: String,
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    vip_address: String,
    #[serde(default, deserialize_with = "or_default")]
    vip_port_id: String,
    #[serde(default, deserialize_with = "or_default")]
    operating_status: String,
    #[serde(default, deserialize_with = "or_default")]
    provisioning_status: String,
    #[serde(default, deserialize_with = "or_default")]
    availability_zone: String,
    #[serde(default, deserialize_with = "or_default")]
    provider: String,
    #[serde(default, deserialize_with = "or_default")]
    project_id: String,
    #[serde(default, deserialize_with = "or_default")]
    tags: Vec<String>,
}

#[derive(Deserialize)]
struct Listener {
    protocol: String,
    protocol_port: u16,
    #[serde(default, deserialize_with = "or_default")]
    loadbalancers: Vec<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    id: String,
}

type Targets = Vec<BTreeMap<String, String>>;

/// Returns the text of a value that is text or a number.
fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

impl OpenStackSource {
    pub(super) async fn hypervisors(&self) -> Result<Targets, RefreshError> {
        let path = "/os-hypervisors/detail";
        let found: Vec<Hypervisor> = self.list(COMPUTE, path, "hypervisors").await?;
        let targets = found.iter().map(|hypervisor| {
            let mut labels = MetaLabels::new(PREFIX);
            labels.set("hypervisor_id", text(&hypervisor.id));
            labels.set("hypervisor_hostname", &hypervisor.hypervisor_hostname);
            labels.set("hypervisor_host_ip", &hypervisor.host_ip);
            labels.set("hypervisor_status", &hypervisor.status);
            labels.set("hypervisor_state", &hypervisor.state);
            labels.set("hypervisor_type", &hypervisor.hypervisor_type);
            labels.at(&hypervisor.host_ip, self.config.port)
        });
        Ok(targets.collect())
    }

    pub(super) async fn instances(&self) -> Result<Targets, RefreshError> {
        let ports: Vec<Port> = self.list(NETWORK, "/ports", "ports").await?;
        let ports = ports.into_iter().map(|port| (port.id, port.device_id));
        let devices: HashMap<String, String> = ports.collect();
        let floating: Vec<FloatingIp> = self.list(NETWORK, "/floatingips", "floatingips").await?;
        // By project, device and address inside.
        let mut public = HashMap::new();
        let mut outside = HashSet::new();
        for ip in &floating {
            if let Some(device) = devices.get(&ip.port_id)
                && !ip.fixed_ip_address.is_empty()
            {
                let key = (
                    ip.tenant_id.as_str(),
                    device.as_str(),
                    ip.fixed_ip_address.as_str(),
                );
                public.insert(key, ip.floating_ip_address.as_str());
                outside.insert(ip.floating_ip_address.as_str());
            }
        }
        let path = match self.config.all_tenants {
            true => "/servers/detail?all_tenants=true",
            false => "/servers/detail",
        };
        let mut targets = Vec::new();
        for server in &self.list::<Server>(COMPUTE, path, "servers").await? {
            let Some(labels) = instance(server) else {
                continue;
            };
            for (pool, addresses) in &server.addresses {
                let addresses = addresses.iter().map(|address| address.addr.as_str());
                for address in addresses.filter(|address| !outside.contains(address)) {
                    let mut labels = labels.clone();
                    labels.set("address_pool", pool);
                    labels.set("private_ip", address);
                    let key = (server.tenant_id.as_str(), server.id.as_str(), address);
                    if let Some(public) = public.get(&key) {
                        labels.set("public_ip", public);
                    }
                    targets.push(labels.at(address, self.config.port));
                }
            }
        }
        Ok(targets)
    }

    pub(super) async fn load_balancers(&self) -> Result<Targets, RefreshError> {
        let path = "/lbaas/loadbalancers";
        let balancers: Vec<LoadBalancer> = self.list(LOAD_BALANCER, path, "loadbalancers").await?;
        let path = "/lbaas/listeners";
        let listeners: Vec<Listener> = self.list(LOAD_BALANCER, path, "listeners").await?;
        let floating: Vec<FloatingIp> = self.list(NETWORK, "/floatingips", "floatingips").await?;
        // The first port of each that is for us.
        let mut ports = HashMap::new();
        for listener in listeners
            .iter()
            .filter(|listener| listener.protocol == PROTOCOL)
        {
            for balancer in &listener.loadbalancers {
                let port = ports.entry(balancer.id.as_str());
                port.or_insert(listener.protocol_port);
            }
        }
        let floating = floating.iter().filter(|ip| !ip.port_id.is_empty());
        let floating = floating.map(|ip| (ip.port_id.as_str(), ip.floating_ip_address.as_str()));
        let floating: HashMap<_, _> = floating.collect();
        let targets = balancers.iter().filter_map(|balancer| {
            let port = *ports.get(balancer.id.as_str())?;
            let mut labels = MetaLabels::new(PREFIX);
            labels.set("loadbalancer_id", &balancer.id);
            labels.set("loadbalancer_name", &balancer.name);
            labels.set("loadbalancer_operating_status", &balancer.operating_status);
            labels.set(
                "loadbalancer_provisioning_status",
                &balancer.provisioning_status,
            );
            labels.set(
                "loadbalancer_availability_zone",
                &balancer.availability_zone,
            );
            labels.set("loadbalancer_vip", &balancer.vip_address);
            labels.set("loadbalancer_provider", &balancer.provider);
            labels.set("project_id", &balancer.project_id);
            if !balancer.tags.is_empty() {
                labels.set("loadbalancer_tags", balancer.tags.join(","));
            }
            if let Some(ip) = floating.get(balancer.vip_port_id.as_str()) {
                labels.set("loadbalancer_floating_ip", ip);
            }
            Some(labels.at(&balancer.vip_address, port))
        });
        Ok(targets.collect())
    }
}

/// Returns the labels that all addresses of an instance share; `None` if its flavor has neither a name nor an id.
fn instance(server: &Server) -> Option<MetaLabels> {
    let flavor = &server.flavor;
    let flavor = flavor.original_name.as_ref().or(flavor.id.as_ref())?;
    let mut labels = MetaLabels::new(PREFIX);
    labels.set("instance_id", &server.id);
    labels.set("instance_status", &server.status);
    labels.set("instance_name", &server.name);
    labels.set("project_id", &server.tenant_id);
    labels.set("user_id", &server.user_id);
    labels.set("instance_flavor", flavor);
    if let Some(image) = server.image.get("id").and_then(Value::as_str) {
        labels.set("instance_image", image);
    }
    labels.set_all("tag_", &server.metadata);
    Some(labels)
}
