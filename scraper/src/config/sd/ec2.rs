//! `ec2_sd_configs`: instances of Amazon EC2.

use model::Duration;
use net::http_config::Secret;
use serde::{Deserialize, Serialize};

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// Instances of one region of Amazon EC2.
    pub struct Ec2SdConfig: "ec2_sd_configs", "aws.EC2SDConfig";
    defaults {
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
        /// The port that targets are scraped on.
        port: u16 = 80,
    }
    fields {
        /// The endpoint, where it is not the region's.
        endpoint: String,
        /// The region; the machine's own, if empty.
        region: String,
        /// The access key; the environment's, if empty.
        access_key: String,
        /// The secret key.
        secret_key: Secret,
        /// The profile of the credentials file.
        profile: String,
        /// The role to take on.
        role_arn: String,
        /// The external id that the role asks for.
        external_id: String,
        /// Which instances.
        filters: Vec<Ec2Filter>,
    }
    http
}

/// A filter of the EC2 API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ec2Filter {
    /// What is looked at.
    pub name: String,
    /// What it may be; not empty.
    #[serde(deserialize_with = "model::de::or_default")]
    pub values: Vec<String>,
}

impl Ec2SdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        let is_empty = |filter: &Ec2Filter| filter.values.is_empty();
        ensure(
            !self.filters.iter().any(is_empty),
            "EC2 SD configuration filter values cannot be empty",
        )
    }
}
