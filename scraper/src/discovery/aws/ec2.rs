//! Instances of Amazon EC2.
//!
//! The ids of availability zones are asked for once; without the permission to do so, targets are without them.
//!
//! Source: Amazon EC2 API, `DescribeInstances` and `DescribeAvailabilityZones`; Prometheus documentation, `<ec2_sd_config>`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Region, action};
use crate::config::sd::Ec2Filter;
use crate::discovery::TargetGroup;
use crate::discovery::labels::MetaLabels;
use crate::discovery::refresh::{PAGES_MAX, RefreshError, Source};

pub(crate) const SERVICE: &str = "ec2";
const VERSION: &str = "2016-11-15";
/// How many instances are on a page: the most that there can be.
const PAGE_ITEMS: &str = "1000";
/// How many places there are in the list of primary IPv6 addresses; no machine has as many interfaces.
const INTERFACES_MAX: usize = 256;
/// What stands between the items of a list.
const SEPARATOR: &str = ",";

/// Asks for the instances of one region.
pub(crate) struct Ec2Source {
    region: Region,
    port: u16,
    filters: Vec<Ec2Filter>,
    /// The ids of zones by name, once they are known.
    zones: Option<BTreeMap<String, String>>,
}

/// A list as EC2 writes it.
#[derive(Clone, Deserialize)]
struct Set<T> {
    #[serde(rename = "item", default = "Vec::new")]
    items: Vec<T>,
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Set { items: Vec::new() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Zones {
    availability_zone_info: Set<Zone>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Zone {
    zone_name: String,
    zone_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    reservation_set: Set<Reservation>,
    #[serde(default)]
    next_token: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Reservation {
    owner_id: String,
    instances_set: Set<Instance>,
}

/// An instance; what is empty is not there.
#[derive(Clone, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Instance {
    pub(super) instance_id: String,
    image_id: String,
    instance_state: State,
    private_dns_name: String,
    dns_name: String,
    pub(super) instance_type: String,
    placement: Placement,
    platform: String,
    pub(super) subnet_id: String,
    vpc_id: String,
    pub(super) private_ip_address: String,
    /// The public one.
    pub(super) ip_address: String,
    architecture: String,
    instance_lifecycle: String,
    tag_set: Set<Tag>,
    network_interface_set: Set<Interface>,
}

#[derive(Clone, Deserialize, Default)]
#[serde(default)]
struct State {
    name: String,
}

#[derive(Clone, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Placement {
    availability_zone: String,
}

#[derive(Clone, Deserialize, Default)]
#[serde(default)]
struct Tag {
    key: String,
    value: String,
}

#[derive(Clone, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Interface {
    subnet_id: String,
    attachment: Attachment,
    ipv6_addresses_set: Set<Ipv6>,
}

#[derive(Clone, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Attachment {
    device_index: Option<i64>,
}

/// The answer to `DescribeNetworkInterfaces`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Interfaces {
    network_interface_set: Set<LoneInterface>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct LoneInterface {
    network_interface_id: String,
    association: Association,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Association {
    public_ip: String,
}

#[derive(Clone, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Ipv6 {
    ipv6_address: String,
    is_primary_ipv6: bool,
}

impl Ec2Source {
    pub(crate) fn new(region: Region, port: u16, filters: &[Ec2Filter]) -> Self {
        Ec2Source {
            region,
            port,
            filters: filters.to_vec(),
            zones: None,
        }
    }

    async fn zones(&self) -> Result<BTreeMap<String, String>, RefreshError> {
        let pairs = action("DescribeAvailabilityZones", VERSION);
        let zones: Zones = self.region.query(SERVICE, &pairs).await?;
        let zones = zones.availability_zone_info.items.into_iter();
        Ok(zones.map(|zone| (zone.zone_name, zone.zone_id)).collect())
    }

    async fn page(&self, token: &str) -> Result<Page, RefreshError> {
        let mut pairs = action("DescribeInstances", VERSION);
        for (i, filter) in (1..).zip(&self.filters) {
            pairs.push((format!("Filter.{i}.Name"), filter.name.clone()));
            for (j, value) in (1..).zip(&filter.values) {
                pairs.push((format!("Filter.{i}.Value.{j}"), value.clone()));
            }
        }
        pairs.push(("MaxResults".to_owned(), PAGE_ITEMS.to_owned()));
        if !token.is_empty() {
            pairs.push(("NextToken".to_owned(), token.to_owned()));
        }
        self.region.query(SERVICE, &pairs).await
    }

    /// Returns the labels of an instance, if it has an address.
    fn target(
        &self,
        region: &str,
        owner: &str,
        instance: &Instance,
    ) -> Option<BTreeMap<String, String>> {
        let ipv6 = Ipv6Addresses::of(instance);
        let host = match instance.private_ip_address.as_str() {
            "" => ipv6.preferred()?.to_owned(),
            private => private.to_owned(),
        };
        let zone = &instance.placement.availability_zone;
        let zone_id = self.zones.as_ref().and_then(|zones| zones.get(zone));
        let public_dns_name = match instance.ip_address.as_str() {
            "" => "",
            _ => &instance.dns_name,
        };
        let mut labels = MetaLabels::new("ec2_");
        for (name, value) in [
            ("ami", instance.image_id.as_str()),
            ("architecture", &instance.architecture),
            ("availability_zone", zone),
            ("availability_zone_id", zone_id.map_or("", String::as_str)),
            ("default_ipv6_address", ipv6.preferred().unwrap_or_default()),
            ("instance_id", &instance.instance_id),
            ("instance_lifecycle", &instance.instance_lifecycle),
            ("instance_state", &instance.instance_state.name),
            ("instance_type", &instance.instance_type),
            ("owner_id", owner),
            ("platform", &instance.platform),
            ("private_dns_name", &instance.private_dns_name),
            ("private_ip", &instance.private_ip_address),
            ("public_dns_name", public_dns_name),
            ("public_ip", &instance.ip_address),
            ("region", region),
            ("vpc_id", &instance.vpc_id),
        ] {
            if !value.is_empty() {
                labels.set(name, value);
            }
        }
        labels.set_list("ipv6_addresses", &ipv6.all, SEPARATOR);
        labels.set_list("primary_ipv6_addresses", &ipv6.primary, SEPARATOR);
        if !instance.vpc_id.is_empty() {
            labels.set("primary_subnet_id", &instance.subnet_id);
            let subnets = subnets(instance).join(SEPARATOR);
            labels.set("subnet_id", format!("{SEPARATOR}{subnets}{SEPARATOR}"));
        }
        labels.set_all("tag_", &instance.tags());
        Some(labels.at(&host, self.port))
    }
}

impl Instance {
    pub(super) fn tags(&self) -> BTreeMap<String, String> {
        let tags = self.tag_set.items.iter();
        tags.map(|tag| (tag.key.clone(), tag.value.clone()))
            .collect()
    }
}

/// Returns the instances with these ids, of which there may be a hundred.
pub(super) async fn instances_of(
    region: &Region,
    ids: &[String],
) -> Result<Vec<Instance>, RefreshError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut pairs = action("DescribeInstances", VERSION);
    let ids = (1..).zip(ids);
    pairs.extend(ids.map(|(i, id)| (format!("InstanceId.{i}"), id.clone())));
    let page: Page = region.query(SERVICE, &pairs).await?;
    let reservations = page.reservation_set.items.into_iter();
    Ok(reservations.flat_map(|r| r.instances_set.items).collect())
}

/// Returns the public addresses of those of the network interfaces that have one, by id; of a hundred at most.
pub(super) async fn public_ips_of(
    region: &Region,
    ids: &[String],
) -> Result<Vec<(String, String)>, RefreshError> {
    let mut pairs = action("DescribeNetworkInterfaces", VERSION);
    let ids = (1..).zip(ids);
    pairs.extend(ids.map(|(i, id)| (format!("NetworkInterfaceId.{i}"), id.clone())));
    let found: Interfaces = region.query(SERVICE, &pairs).await?;
    let found = found.network_interface_set.items.into_iter();
    let found = found.map(|i| (i.network_interface_id, i.association.public_ip));
    Ok(found.filter(|(_, ip)| !ip.is_empty()).collect())
}

/// Returns the subnets of an instance's interfaces, each once, in their order.
fn subnets(instance: &Instance) -> Vec<&str> {
    let mut subnets = Vec::new();
    for interface in &instance.network_interface_set.items {
        let subnet = interface.subnet_id.as_str();
        if !subnet.is_empty() && !subnets.contains(&subnet) {
            subnets.push(subnet);
        }
    }
    subnets
}

/// The IPv6 addresses of an instance in a VPC.
#[derive(Default)]
struct Ipv6Addresses {
    all: Vec<String>,
    /// By the index of their device; empty where a device has none.
    primary: Vec<String>,
}

impl Ipv6Addresses {
    fn of(instance: &Instance) -> Self {
        let mut addresses = Ipv6Addresses::default();
        if instance.vpc_id.is_empty() {
            return addresses;
        }
        let interfaces = instance.network_interface_set.items.iter();
        for interface in interfaces.filter(|interface| !interface.subnet_id.is_empty()) {
            let index = interface.attachment.device_index;
            let index = index.and_then(|index| usize::try_from(index).ok());
            let index = index.filter(|index| *index < INTERFACES_MAX);
            let found = interface.ipv6_addresses_set.items.iter();
            for address in found.filter(|address| !address.ipv6_address.is_empty()) {
                addresses.all.push(address.ipv6_address.clone());
                if let Some(index) = index.filter(|_| address.is_primary_ipv6) {
                    let length = addresses.primary.len().max(index + 1);
                    addresses.primary.resize(length, String::new());
                    addresses.primary[index].clone_from(&address.ipv6_address);
                }
            }
        }
        addresses
    }

    /// Returns the first primary address, else the first one.
    fn preferred(&self) -> Option<&str> {
        let mut addresses = self.primary.iter().chain(&self.all);
        let address = addresses.find(|address| !address.is_empty());
        address.map(String::as_str)
    }
}

impl Source for Ec2Source {
    const NAME: &'static str = "ec2";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let region = self.region.name().await?;
        if self.zones.is_none() {
            match self.zones().await {
                Ok(zones) => self.zones = Some(zones),
                Err(error) => tracing::debug!(%error, "no ids of availability zones"),
            }
        }
        let mut targets = Vec::new();
        let mut token = String::new();
        for _ in 0..PAGES_MAX {
            let page = self.page(&token).await?;
            for reservation in &page.reservation_set.items {
                let instances = reservation.instances_set.items.iter();
                let found =
                    instances.filter_map(|i| self.target(&region, &reservation.owner_id, i));
                targets.extend(found);
            }
            token = page.next_token;
            if token.is_empty() {
                return Ok(vec![TargetGroup {
                    source: region,
                    targets,
                    ..TargetGroup::default()
                }]);
            }
        }
        Err(RefreshError::too_many_pages("ec2 DescribeInstances"))
    }
}

#[cfg(test)]
pub(crate) mod tests;
