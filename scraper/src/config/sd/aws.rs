//! `aws_sd_configs`: resources of Amazon's cloud.

use model::Duration;
use net::http_config::Secret;

use super::Ec2Filter;
use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// Resources of one kind in one region of Amazon's cloud.
    pub struct AwsSdConfig: "aws_sd_configs", "aws.plain";
    defaults {
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
        /// The port that targets are scraped on.
        port: u16 = 80,
    }
    fields {
        /// Which kind of resources.
        role: Option<AwsRole>,
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
        /// Which clusters, for the roles `ecs`, `msk`, `elasticache` and `rds`; all, if empty.
        clusters: Vec<String>,
        /// Which instances, for the roles `ec2` and `rds`.
        filters: Vec<Ec2Filter>,
    }
    http
}

words! {
    /// A kind of resources.
    pub enum AwsRole: "unknown AWS SD role {:?}" {
        Ec2 = "ec2",
        Lightsail = "lightsail",
        Ecs = "ecs",
        Msk = "msk",
        ElastiCache = "elasticache",
        Rds = "rds",
    }
}

impl AwsSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(
            self.role.is_some(),
            "aws SD configuration requires a role (one of: ec2, lightsail, ecs, msk, elasticache, rds)",
        )?;
        let is_empty = |filter: &Ec2Filter| filter.values.is_empty();
        ensure(
            !self.filters.iter().any(is_empty),
            "EC2 SD configuration filter values cannot be empty",
        )
    }
}
