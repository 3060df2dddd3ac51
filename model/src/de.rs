//! How configuration types are read, and what YAML leaves empty: sections, fields and items that are null.

pub mod erased;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Reads a list, or nothing, and refuses null items (`-` and nothing else) with `message`.
///
/// # Errors
///
/// What the items say, or `message`.
pub fn non_null_list<'de, D, T>(deserializer: D, message: &str) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let items = Option::<Vec<Option<T>>>::deserialize(deserializer)?.unwrap_or_default();
    items
        .into_iter()
        .map(|item| item.ok_or_else(|| D::Error::custom(message)))
        .collect()
}

/// Reads a section or field that may be null, which means the same as absence.
///
/// # Errors
///
/// What the value says.
pub fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
