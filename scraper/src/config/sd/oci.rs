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
        /// The tenancy, for an API key as the following.
        tenancy: String,
        /// The user.
        user: String,
        /// The fingerprint of the key.
        fingerprint: String,
        /// A file that holds the key.
        key_file: String,
        /// What the key is encrypted with.
        key_passphrase: Secret,
        /// A file that holds that.
        key_passphrase_file: String,
        /// Which compartments; all that may be seen, if empty.
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
        ensure(!self.region.is_empty(), "oci_sd: region is required")?;
        let of_key = [
            ("tenancy", &self.tenancy),
            ("user", &self.user),
            ("fingerprint", &self.fingerprint),
            ("key_file", &self.key_file),
        ];
        let has_passphrase = !self.key_passphrase.is_empty();
        let has_passphrase_file = !self.key_passphrase_file.is_empty();
        match self.auth {
            OciAuthentication::ApiKey => {
                for (name, value) in of_key {
                    let text = format!("oci_sd: api_key auth requires {name}");
                    ensure(!value.is_empty(), &text)?;
                }
                ensure(
                    !has_passphrase || !has_passphrase_file,
                    "oci_sd: at most one of key_passphrase and key_passphrase_file must be configured",
                )?;
            }
            OciAuthentication::InstancePrincipal => ensure(
                of_key.iter().all(|(_, value)| value.is_empty())
                    && !has_passphrase
                    && !has_passphrase_file,
                "oci_sd: instance_principal auth must not have tenancy, user, fingerprint, key_file, key_passphrase, or key_passphrase_file set",
            )?,
        }
        for (i, compartment) in self.compartments.iter().enumerate() {
            let text = format!("oci_sd: compartments[{i}] must not be empty");
            ensure(!compartment.is_empty(), &text)?;
        }
        Ok(())
    }
}
