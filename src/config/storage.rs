//! The `storage` section: what the database keeps and how.

use model::Duration;
use model::de::or_default;
use model::size::ByteSize;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::is_default;

/// The `storage` section.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StorageConfig {
    /// Settings of the database.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub(crate) tsdb: TsdbConfig,
    /// Which exemplars are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exemplars: Option<ExemplarsConfig>,
}

/// The `storage.exemplars` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ExemplarsConfig {
    /// How many are kept; none with 0 or less.
    pub(crate) max_exemplars: i64,
}

impl Default for ExemplarsConfig {
    fn default() -> Self {
        ExemplarsConfig {
            max_exemplars: 100_000,
        }
    }
}

/// The `storage.tsdb` section.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TsdbConfig {
    /// How much older than the newest sample late ones may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) out_of_order_time_window: Option<Duration>,
    /// The share of series that have ended, 0 to 1, from which on they leave the head before their time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stale_series_compaction_threshold: Option<f64>,
    /// How new chunks are encoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) chunk_encoding: Option<ChunkEncodingConfig>,
    /// How long and how much to keep.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub(crate) retention: RetentionConfig,
}

/// The `storage.tsdb.chunk_encoding` section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ChunkEncodingConfig {
    /// Of floats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) floats: Option<FloatEncoding>,
}

/// An encoding of float chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FloatEncoding {
    /// What every Prometheus reads.
    Xor,
    /// Smaller; Prometheus reads it from 3.11 on.
    Xor2,
}

/// The `storage.tsdb.retention` section.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RetentionConfig {
    /// How long samples are kept; 0 turns the limit off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time: Option<Duration>,
    /// How many bytes are kept; 0 turns the limit off.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "retained_bytes"
    )]
    pub(crate) size: Option<ByteSize>,
    /// How much of the disk may be filled, 0 to 100, in place of `size`; 0 turns the limit off.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "percentage"
    )]
    pub(crate) percentage: Option<f64>,
}

impl<'de> Deserialize<'de> for FloatEncoding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "xor" => Ok(FloatEncoding::Xor),
            "xor2" => Ok(FloatEncoding::Xor2),
            other => Err(D::Error::custom(format_args!(
                "'storage.tsdb.chunk_encoding.floats' must be 'xor' or 'xor2', or the field must be omitted entirely, got {other:?}"
            ))),
        }
    }
}

fn retained_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ByteSize>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else {
        return Ok(None);
    };
    if text.starts_with('-') {
        return Err(D::Error::custom(
            "'storage.tsdb.retention.size' must be greater than or equal to 0",
        ));
    }
    text.parse().map(Some).map_err(D::Error::custom)
}

fn percentage<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let percentage = Option::<f64>::deserialize(from)?;
    if percentage.is_some_and(|percentage| !(0.0..=100.0).contains(&percentage)) {
        return Err(D::Error::custom(
            "'storage.tsdb.retention.percentage' must be in the range [0, 100]",
        ));
    }
    Ok(percentage)
}
