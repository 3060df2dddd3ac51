//! `oci_sd_configs`: instances of Oracle's cloud.

use model::Duration;
use net::http_config::Secret;

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// Instances in compartments of Oracle's cloud.
    pub struct OciSdConfig: "oci_sd_configs", "oci.plain";
    defaults {
        /// How to authenticate.
        auth: OciAuthentication = OciAuthentication::ApiKey,
        /// The port that targets are scraped on.
        port: u16 = 80,
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
    }
    fields {
        /// The region.
        region: String,
        /// The tenancy.
        tenancy: String,
        /// The user, for an API key.
        user: String,
        /// The fingerprint of the key.
        fingerprint: String,
        /// A file that holds the key.
        key_file: String,
        /// What the key is encrypted with.
        key_passphrase: Secret,
        /// Which compartments; the tenancy, if empty.
        compartments: Vec<String>,
    }
    http
}

words! {
    /// How to authenticate.
    pub enum OciAuthentication: "oci_sd: unknown auth method {:?}, expected \"api_key\" or \"instance_principal\"" {
        ApiKey = "api_key",
        InstancePrincipal = "instance_principal",
    }
}

impl OciSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        if self.auth == OciAuthentication::InstancePrincipal {
            return Ok(());
        }
        ensure(!self.region.is_empty(), "oci_sd: region is required")?;
        ensure(!self.tenancy.is_empty(), "oci_sd: tenancy is required")?;
        ensure(!self.user.is_empty(), "oci_sd: user is required")?;
        ensure(
            !self.fingerprint.is_empty(),
            "oci_sd: fingerprint is required",
        )?;
        ensure(!self.key_file.is_empty(), "oci_sd: key_file is required")
    }
}
