//! `openstack_sd_configs`: hypervisors, instances and load balancers of OpenStack.

use model::Duration;
use net::http_config::{Secret, TlsConfig};

use super::ensure;
use crate::config::ConfigError;

sd_config! {
    /// What one OpenStack region runs.
    pub struct OpenStackSdConfig: "openstack_sd_configs", "openstack.plain";
    defaults {
        /// How often targets are asked for.
        refresh_interval: Duration = Duration::from_secs(60),
        /// The port that targets are scraped on.
        port: u16 = 80,
        /// Which endpoints of the services are used.
        availability: OpenStackAvailability = OpenStackAvailability::Public,
    }
    fields {
        /// The URL of the identity service.
        identity_endpoint: String,
        /// The user's name.
        username: String,
        /// The user's id.
        userid: String,
        /// The password.
        password: Secret,
        /// The project's name.
        project_name: String,
        /// The project's id.
        project_id: String,
        /// The domain's name.
        domain_name: String,
        /// The domain's id.
        domain_id: String,
        /// The name of an application credential.
        application_credential_name: String,
        /// Its id.
        application_credential_id: String,
        /// Its secret.
        application_credential_secret: Secret,
        /// What are targets.
        role: Option<OpenStackRole>,
        /// The region.
        region: String,
        /// Whether instances of all projects are targets.
        all_tenants: bool,
        /// Whom to trust, and who we are.
        tls_config: TlsConfig,
    }
}

words! {
    /// What are targets.
    pub enum OpenStackRole: "unknown OpenStack SD role {:?}" {
        Hypervisor = "hypervisor",
        Instance = "instance",
        LoadBalancer = "loadbalancer",
    }
}

words! {
    /// Which endpoints of the services are used.
    pub enum OpenStackAvailability: "unknown availability {}, must be one of admin, internal or public" {
        Public = "public",
        Admin = "admin",
        Internal = "internal",
    }
}

impl OpenStackSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(
            self.role.is_some(),
            "role missing (one of: instance, hypervisor, loadbalancer)",
        )?;
        ensure(
            !self.region.is_empty(),
            "openstack SD configuration requires a region",
        )?;
        let outcome = self.tls_config.validate();
        outcome.map_err(|error| ConfigError(error.to_string()))
    }
}
