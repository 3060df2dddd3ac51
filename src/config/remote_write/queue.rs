//! How samples and metadata wait and are sent.

use model::Duration;
use model::de::or_default;
use serde::{Deserialize, Serialize};

/// The `queue_config` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct QueueConfig {
    /// How many samples may wait in each shard.
    pub(crate) capacity: i64,
    /// How many shards there may be.
    pub(crate) max_shards: i64,
    /// How many there are at least.
    pub(crate) min_shards: i64,
    /// How many samples a request has at most.
    pub(crate) max_samples_per_send: i64,
    /// How long a sample waits for others.
    pub(crate) batch_send_deadline: Duration,
    /// How long to wait after the first failure.
    pub(crate) min_backoff: Duration,
    /// How long to wait at most.
    pub(crate) max_backoff: Duration,
    /// Whether 429 is tried again.
    #[serde(deserialize_with = "or_default")]
    pub(crate) retry_on_http_429: bool,
    /// How old a sample may be; 0 is any age.
    #[serde(deserialize_with = "or_default")]
    pub(crate) sample_age_limit: Duration,
}

impl Default for QueueConfig {
    fn default() -> Self {
        QueueConfig {
            capacity: 10_000,
            max_shards: 50,
            min_shards: 1,
            max_samples_per_send: 2_000,
            batch_send_deadline: Duration::from_secs(5),
            min_backoff: Duration::from_ms(30),
            max_backoff: Duration::from_secs(5),
            retry_on_http_429: false,
            sample_age_limit: Duration::ZERO,
        }
    }
}

impl QueueConfig {
    /// Checks that the numbers make sense.
    pub(super) fn check(&self) -> Result<(), String> {
        let numbers = [
            ("max_shards", self.max_shards),
            ("min_shards", self.min_shards),
            ("capacity", self.capacity),
            ("max_samples_per_send", self.max_samples_per_send),
        ];
        if let Some((key, _)) = numbers.iter().find(|(_, number)| *number <= 0) {
            return Err(format!("remote write queue {key} must be positive"));
        }
        let times = [
            ("batch_send_deadline", self.batch_send_deadline),
            ("min_backoff", self.min_backoff),
            ("max_backoff", self.max_backoff),
        ];
        if let Some((key, _)) = times.iter().find(|(_, time)| time.is_zero()) {
            return Err(format!("remote write queue {key} must be positive"));
        }
        if self.max_shards < self.min_shards {
            return Err(
                "remote write queue max_shards must not be less than min_shards".to_owned(),
            );
        }
        if self.max_backoff < self.min_backoff {
            return Err(
                "remote write queue max_backoff must not be less than min_backoff".to_owned(),
            );
        }
        Ok(())
    }
}

/// The `metadata_config` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MetadataConfig {
    /// Whether metadata is sent.
    pub(crate) send: bool,
    /// How often.
    pub(crate) send_interval: Duration,
    /// How many a request has at most.
    pub(crate) max_samples_per_send: i64,
}

impl Default for MetadataConfig {
    fn default() -> Self {
        MetadataConfig {
            send: true,
            send_interval: Duration::from_secs(60),
            max_samples_per_send: 2_000,
        }
    }
}
