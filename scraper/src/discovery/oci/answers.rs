//! What the APIs answer, as far as it is used.

use std::collections::BTreeMap;

use model::de::or_default;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Compartment {
    pub(super) id: String,
    lifecycle_state: String,
}

impl Compartment {
    pub(super) fn is_active(&self) -> bool {
        self.lifecycle_state == "ACTIVE"
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Instance {
    pub(super) id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) display_name: String,
    pub(super) lifecycle_state: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) shape: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) availability_domain: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) fault_domain: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) region: String,
    pub(super) compartment_id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) image_id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) freeform_tags: BTreeMap<String, String>,
    /// By namespace.
    #[serde(deserialize_with = "or_default")]
    pub(super) defined_tags: BTreeMap<String, BTreeMap<String, Value>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Attachment {
    pub(super) instance_id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) vnic_id: String,
    lifecycle_state: String,
}

impl Attachment {
    pub(super) fn is_attached(&self) -> bool {
        self.lifecycle_state == "ATTACHED" && !self.vnic_id.is_empty()
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Vnic {
    pub(super) id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) is_primary: bool,
    #[serde(deserialize_with = "or_default")]
    pub(super) private_ip: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) public_ip: String,
}

/// Returns the value of a tag as a text; `None` of one that has none.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(is_so) => Some(is_so.to_string()),
        Value::Number(number) => Some(match number.as_f64() {
            Some(float) if !number.is_i64() && !number.is_u64() => float.to_string(),
            _ => number.to_string(),
        }),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
