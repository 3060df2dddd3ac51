//! What the API answers, as far as it is used.

use std::collections::BTreeMap;

use model::de::or_default;
use serde::Deserialize;

/// One page of a list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page<T> {
    #[serde(default = "Vec::new")]
    pub(super) value: Vec<T>,
    /// The URL of the next page.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) next_link: String,
}

#[derive(Deserialize)]
pub(super) struct ScaleSet {
    pub(super) id: String,
    pub(super) name: String,
}

/// A machine, also one of a scale set.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Machine {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) location: String,
    /// Which one of its scale set it is.
    pub(super) instance_id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) tags: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) properties: MachineProperties,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct MachineProperties {
    #[serde(deserialize_with = "or_default")]
    pub(super) hardware_profile: HardwareProfile,
    #[serde(deserialize_with = "or_default")]
    pub(super) storage_profile: StorageProfile,
    #[serde(deserialize_with = "or_default")]
    pub(super) os_profile: OsProfile,
    #[serde(deserialize_with = "or_default")]
    pub(super) network_profile: NetworkProfile,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct HardwareProfile {
    #[serde(deserialize_with = "or_default")]
    pub(super) vm_size: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct StorageProfile {
    #[serde(deserialize_with = "or_default")]
    pub(super) os_disk: OsDisk,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct OsDisk {
    #[serde(deserialize_with = "or_default")]
    pub(super) os_type: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct OsProfile {
    #[serde(deserialize_with = "or_default")]
    pub(super) computer_name: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NetworkProfile {
    #[serde(deserialize_with = "or_default")]
    pub(super) network_interfaces: Vec<Reference>,
}

#[derive(Deserialize)]
pub(super) struct Reference {
    pub(super) id: String,
}

#[derive(Clone, Deserialize)]
pub(super) struct Interface {
    pub(super) properties: Option<InterfaceProperties>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InterfaceProperties {
    pub(super) primary: Option<bool>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) ip_configurations: Vec<IpConfiguration>,
}

#[derive(Clone, Deserialize)]
pub(super) struct IpConfiguration {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) properties: IpProperties,
}

#[derive(Clone, Deserialize, Default)]
#[serde(default)]
pub(super) struct IpProperties {
    #[serde(rename = "privateIPAddress", deserialize_with = "or_default")]
    pub(super) private_ip_address: String,
    #[serde(rename = "publicIPAddress", deserialize_with = "or_default")]
    pub(super) public_ip_address: PublicIp,
}

#[derive(Clone, Deserialize, Default)]
#[serde(default)]
pub(super) struct PublicIp {
    #[serde(deserialize_with = "or_default")]
    pub(super) properties: PublicIpProperties,
}

#[derive(Clone, Deserialize, Default)]
#[serde(default)]
pub(super) struct PublicIpProperties {
    #[serde(rename = "ipAddress", deserialize_with = "or_default")]
    pub(super) ip_address: String,
}
