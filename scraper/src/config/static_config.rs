//! Target groups: addresses with labels in common, in the configuration or in files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// One target group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StaticConfig {
    /// Addresses, `host:port`.
    #[serde(deserialize_with = "model::de::or_default")]
    pub targets: Vec<String>,
    /// Labels of all of them.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "model::de::or_default"
    )]
    pub labels: BTreeMap<String, String>,
}

/// Checks that `address` is a host with or without a port, and no URL.
///
/// # Errors
///
/// When there is a slash in it, which is what people write by mistake.
pub fn check_target_address(address: &str) -> Result<(), ConfigError> {
    if address.contains('/') {
        return Err(ConfigError(format!("{address:?} is not a valid hostname")));
    }
    Ok(())
}
