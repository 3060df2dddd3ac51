//! The `*_sd_configs`: one file and one struct for each mechanism, all checked in the same way.
//!
//! A struct holds every field that Prometheus knows, with Prometheus' defaults filled in. It is checked as a whole as
//! soon as it is read, so that an error is said to be where the item is.
//!
//! To add a mechanism: a file with `sd_config!` and `check_own`, a line in `for_each_mechanism!`.
//!
//! Source: Prometheus configuration documentation, `<…_sd_config>`.

use net::http_config::{HttpConfig, UrlText};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use super::{ConfigError, StaticConfig};

#[macro_use]
mod macros;

mod aws;
mod azure;
mod consul;
mod digitalocean;
mod dns;
mod docker;
mod dockerswarm;
mod ec2;
mod eureka;
mod file;
mod gce;
mod hetzner;
mod http;
mod ionos;
mod kubernetes;
mod kuma;
mod lightsail;
mod linode;
mod marathon;
mod nerve;
mod nomad;
mod oci;
mod openstack;
mod outscale;
mod ovhcloud;
mod puppetdb;
mod scaleway;
mod selector;
mod serverset;
mod stackit;
mod triton;
mod uyuni;
mod vultr;

pub use aws::{AwsRole, AwsSdConfig};
pub use azure::{AzureAuthentication, AzureSdConfig};
pub use consul::ConsulSdConfig;
pub use digitalocean::{DigitalOceanRole, DigitalOceanSdConfig};
pub use dns::{DnsRecordType, DnsSdConfig};
pub use docker::{DockerFilter, DockerSdConfig};
pub use dockerswarm::{DockerSwarmRole, DockerSwarmSdConfig};
pub use ec2::{Ec2Filter, Ec2SdConfig};
pub use eureka::EurekaSdConfig;
pub use file::{FILE_SD_REFRESH_INTERVAL, FileSdConfig};
pub use gce::GceSdConfig;
pub use hetzner::{HetznerRole, HetznerSdConfig};
pub use http::HttpSdConfig;
pub use ionos::IonosSdConfig;
pub use kubernetes::{
    KubernetesAttachMetadata, KubernetesNamespaces, KubernetesRole, KubernetesSdConfig,
    KubernetesSelector,
};
pub use kuma::KumaSdConfig;
pub use lightsail::LightsailSdConfig;
pub use linode::LinodeSdConfig;
pub use marathon::MarathonSdConfig;
pub use nerve::NerveSdConfig;
pub use nomad::NomadSdConfig;
pub use oci::{OciAuthentication, OciSdConfig};
pub use openstack::{OpenStackAvailability, OpenStackRole, OpenStackSdConfig};
pub use outscale::OutscaleSdConfig;
pub use ovhcloud::{OvhCloudSdConfig, OvhCloudService};
pub use puppetdb::PuppetDbSdConfig;
pub use scaleway::{ScalewayRole, ScalewaySdConfig};
pub use serverset::ServersetSdConfig;
pub use stackit::StackitSdConfig;
pub use triton::{TritonRole, TritonSdConfig};
pub use uyuni::UyuniSdConfig;
pub use vultr::VultrSdConfig;

/// The configuration of one mechanism. [`SdConfig::check`] holds for every value that was read from a file.
pub trait SdConfig: DeserializeOwned {
    /// The key in configurations, `consul_sd_configs`.
    const KEY: &'static str;
    /// The name of the struct in Prometheus, which its users know from error messages.
    const GO_TYPE: &'static str;
    /// Its fields, those of `http_config` apart.
    const FIELDS: &'static [&'static str];

    /// Returns the fields that say how to speak HTTP, where the mechanism has them.
    fn http(&self) -> Option<HttpConfig>;

    /// Checks that the fields go together.
    ///
    /// # Errors
    ///
    /// The first thing that makes no sense, in Prometheus' words.
    fn check(&self) -> Result<(), ConfigError>;
}

/// One item of a list, checked as soon as it is read.
struct Checked<T>(T);

impl<'de, T: SdConfig> Deserialize<'de> for Checked<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let config = T::deserialize(deserializer)?;
        config.check().map_err(D::Error::custom)?;
        Ok(Checked(config))
    }
}

/// Reads a list of configurations of one mechanism, none of them null.
///
/// # Errors
///
/// What an item says.
pub fn list<'de, D: Deserializer<'de>, T: SdConfig>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let message = format!("empty or null section in {}", T::KEY);
    let items = model::de::non_null_list::<D, Checked<T>>(deserializer, &message)?;
    Ok(items.into_iter().map(|item| item.0).collect())
}

macro_rules! sources {
    ($($key:ident: $name:ident,)*) => {
        /// Everything that says where the targets of one section come from.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Sources {
            /// Targets that are listed.
            pub static_configs: Vec<StaticConfig>,
            $(
                #[doc = concat!("See [`", stringify!($name), "`].")]
                pub $key: Vec<$name>,
            )*
        }

        /// Returns the name in Prometheus of the struct that has the fields `expected`, if it is one of ours.
        pub(super) fn go_type(expected: &[&'static str]) -> Option<&'static str> {
            let known: &[(&[&str], &'static str)] = &[$(($name::FIELDS, $name::GO_TYPE),)*];
            let ours = known.iter().filter(|(fields, _)| expected.starts_with(fields));
            ours.max_by_key(|(fields, _)| fields.len()).map(|(_, name)| *name)
        }

        #[cfg(test)]
        const KEYS: &[&str] = &[$($name::KEY,)*];
        #[cfg(test)]
        const LISTED: &[&str] = &[$(stringify!($key),)*];
    };
}

for_each_mechanism!(sources {});

/// Returns an error that says `text` unless `is_good`.
fn ensure(is_good: bool, text: &str) -> Result<(), ConfigError> {
    if is_good {
        Ok(())
    } else {
        Err(ConfigError(text.to_owned()))
    }
}

/// Checks a URL that requests are sent to.
fn check_url(url: &UrlText) -> Result<(), ConfigError> {
    ensure(!url.is_empty(), "URL is missing")?;
    ensure(
        matches!(url.scheme(), Some("http" | "https")),
        "URL scheme must be 'http' or 'https'",
    )?;
    ensure(url.absolute().is_some(), "host is missing in URL")
}

/// Returns whether `value` is what its type is when nothing was written, and so need not be printed.
fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
