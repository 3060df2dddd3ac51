//! `azure_sd_configs`: virtual machines of Azure, those of scale sets among them.
//!
//! Machines are listed with the ids of their network interfaces, which are asked for one by one. An interface that has an
//! address is known for ten refreshes and more, as asking for all of them each time runs into Azure's limits.
//!
//! # Not here
//!
//! Who we are there: [`net::azure`].
//!
//! Source: Azure REST API, `Virtual Machines - List All`, `Virtual Machine Scale Sets - List All`, `Network Interfaces - Get`;
//! Prometheus documentation, `<azure_sd_config>`.

use std::collections::{BTreeMap, HashMap};

use net::azure::{Account, AzureTokens, Way};
use net::environment::Environment;
use net::outbound::HttpClient;
use serde::de::DeserializeOwned;

use self::answers::{Interface, Machine, Page, ScaleSet};
use super::TargetGroup;
use super::labels::MetaLabels;
use super::refresh::{PAGES_MAX, RefreshError, Source, exchange, status_error};
use crate::config::sd::{AzureAuthentication, AzureSdConfig};
use crate::metrics::DiscoveryMetrics;

mod answers;

const COMPUTE_VERSION: &str = "2024-03-01";
const NETWORK_VERSION: &str = "2023-09-01";
/// Interfaces of scale sets have a version of their own.
const SCALE_SET_NETWORK_VERSION: &str = "2018-10-01";
/// How many machines are asked about at once.
const AT_ONCE: usize = 8;
/// How many refreshes an interface is known for; up to [`SPREAD`] more, so that not all are asked for again at once.
const KNOWN_REFRESHES: u64 = 10;
const SPREAD: u64 = 4;

/// A cloud: names, who hands out tokens, where the API is, what tokens are for.
type Cloud = (
    &'static [&'static str],
    &'static str,
    &'static str,
    &'static str,
);

const CLOUDS: &[Cloud] = &[
    (
        &["AZURECLOUD", "AZUREPUBLICCLOUD", "AZUREGERMANCLOUD"],
        "https://login.microsoftonline.com",
        "https://management.azure.com",
        "https://management.core.windows.net",
    ),
    (
        &["AZUREUSGOVERNMENT", "AZUREUSGOVERNMENTCLOUD"],
        "https://login.microsoftonline.us",
        "https://management.usgovcloudapi.net",
        "https://management.core.usgovcloudapi.net",
    ),
    (
        &["AZURECHINACLOUD"],
        "https://login.chinacloudapi.cn",
        "https://management.chinacloudapi.cn",
        "https://management.core.chinacloudapi.cn",
    ),
];

/// Asks for the machines of one subscription.
pub(crate) struct AzureSource {
    client: HttpClient,
    tokens: AzureTokens,
    config: AzureSdConfig,
    /// The URL of the API.
    endpoint: String,
    metrics: DiscoveryMetrics,
    /// How often was asked.
    refreshes: u64,
    interfaces: HashMap<String, Known>,
}

/// An interface, and until which refresh it is known.
#[derive(Clone)]
struct Known {
    interface: Interface,
    until: u64,
}

impl AzureSource {
    /// # Errors
    ///
    /// When there is no such cloud.
    pub(crate) fn new(
        config: &AzureSdConfig,
        environment: Environment,
        client: HttpClient,
        metrics: DiscoveryMetrics,
    ) -> Result<Self, String> {
        let name = config.environment.to_uppercase();
        let cloud = CLOUDS.iter().find(|cloud| cloud.0.contains(&name.as_str()));
        let Some((_, authority, endpoint, audience)) = cloud else {
            return Err(format!(
                "there is no cloud configuration matching the name {:?} (write AzurePublicCloud, AzureUSGovernment or AzureChinaCloud)",
                config.environment
            ));
        };
        let account = Account {
            tenant_id: config.tenant_id.clone(),
            client_id: config.client_id.clone(),
            client_secret: config.client_secret.clone(),
        };
        let way = match config.authentication_method {
            AzureAuthentication::OAuth => Way::Secret,
            AzureAuthentication::ManagedIdentity => Way::ManagedIdentity,
            AzureAuthentication::WorkloadIdentity => Way::WorkloadIdentity,
            AzureAuthentication::Sdk => Way::Sdk,
        };
        Ok(AzureSource {
            client,
            tokens: AzureTokens::new(way, account, authority, audience, environment),
            config: config.clone(),
            endpoint: (*endpoint).to_owned(),
            metrics,
            refreshes: 0,
            interfaces: HashMap::new(),
        })
    }

    /// Asks for something; `None` if it is not there.
    async fn ask<T: DeserializeOwned>(
        &self,
        url: &str,
        shown: &str,
    ) -> Result<Option<T>, RefreshError> {
        let token = self.tokens.token(&self.client).await;
        let token = token.map_err(|error| RefreshError::of(&error))?;
        let request = self.client.get(url).await;
        let request = request.map_err(|error| RefreshError::of(&error))?;
        let request = net::bearer::authorized(request, &token);
        let request = request.map_err(|error| RefreshError::of(&error))?;
        let answer = exchange(request).await;
        let (status, _, body) = answer.map_err(|error| error.about(shown))?;
        match status.as_u16() {
            200 => serde_json::from_slice(&body)
                .map(Some)
                .map_err(|error| RefreshError(format!("{shown}: unexpected answer: {error}"))),
            404 => Ok(None),
            other => {
                if other == 401 {
                    self.tokens.forget().await;
                }
                Err(status_error(status, &body).about(shown))
            }
        }
    }

    /// Asks for a list below the subscription, all its pages.
    async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, RefreshError> {
        let subscription = net::escape::component(&self.config.subscription_id);
        let shown = format!("GET {path}");
        let mut url = format!(
            "{}/subscriptions/{subscription}{path}?api-version={COMPUTE_VERSION}",
            self.endpoint
        );
        let mut items = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = self.ask(&url, &shown).await?;
            let Page { value, next_link } = page.ok_or_else(|| {
                RefreshError(format!(
                    "{shown}: server returned HTTP status 404 Not Found"
                ))
            })?;
            items.extend(value);
            url = next_link;
            if url.is_empty() {
                return Ok(items);
            }
            // The token is for the API only.
            if !url.starts_with(&format!("{}/", self.endpoint)) {
                return Err(RefreshError(format!("{shown}: the next page is elsewhere")));
            }
        }
        Err(RefreshError::too_many_pages(&shown))
    }

    /// Returns all machines, each with the scale set that it is of.
    async fn machines(&self) -> Result<Vec<(Machine, String)>, RefreshError> {
        const PROVIDER: &str = "providers/Microsoft.Compute";
        let group = match self.config.resource_group.as_str() {
            "" => String::new(),
            group => format!("/resourceGroups/{}", net::escape::component(group)),
        };
        let path = format!("{group}/{PROVIDER}/virtualMachines");
        let machines = self.list::<Machine>(&path).await?;
        let mut all: Vec<_> = machines.into_iter().map(|m| (m, String::new())).collect();
        let path = format!("{group}/{PROVIDER}/virtualMachineScaleSets");
        for ScaleSet { id, name } in self.list(&path).await? {
            let group = net::escape::component(resource_group(&id)?);
            let set = net::escape::component(&name);
            let path = format!(
                "/resourceGroups/{group}/{PROVIDER}/virtualMachineScaleSets/{set}/virtualMachines"
            );
            let machines = self.list::<Machine>(&path).await?;
            all.extend(machines.into_iter().map(|machine| (machine, name.clone())));
        }
        Ok(all)
    }

    /// Returns an interface, and until which refresh it will be known; `None` if it is gone.
    async fn interface(
        &self,
        id: &str,
        machine: &Machine,
        scale_set: &str,
    ) -> Result<Option<Known>, RefreshError> {
        let known = self.interfaces.get(id);
        if let Some(known) = known.filter(|known| self.refreshes < known.until) {
            self.metrics.azure_cache_hits.inc();
            return Ok(Some(known.clone()));
        }
        let escape = net::escape::component;
        let group = escape(resource_group(id)?);
        let name = escape(id.rsplit('/').next().unwrap_or_default());
        let (provider, version) = if scale_set.is_empty() {
            ("Microsoft.Network".to_owned(), NETWORK_VERSION)
        } else {
            let (set, instance) = (escape(scale_set), escape(&machine.instance_id));
            let provider = format!(
                "microsoft.Compute/virtualMachineScaleSets/{set}/virtualMachines/{instance}"
            );
            (provider, SCALE_SET_NETWORK_VERSION)
        };
        let path = format!("/resourceGroups/{group}/providers/{provider}/networkInterfaces/{name}");
        let url = format!(
            "{}/subscriptions/{}{path}?api-version={version}&$expand=IPConfigurations%2FPublicIPAddress",
            self.endpoint,
            escape(&self.config.subscription_id)
        );
        let found = self.ask(&url, &format!("GET {path}")).await?;
        let spread = xxhash_rust::xxh64::xxh64(id.as_bytes(), 0) % SPREAD;
        Ok(found.map(|interface| Known {
            interface,
            until: self.refreshes + KNOWN_REFRESHES + spread,
        }))
    }

    /// Returns the labels of a machine, if it runs, and the interface that its address is from.
    async fn target(
        &self,
        machine: &Machine,
        scale_set: &str,
    ) -> Result<Option<(BTreeMap<String, String>, String, Known)>, RefreshError> {
        let properties = &machine.properties;
        let mut labels = MetaLabels::new("azure_");
        labels.set("subscription_id", &self.config.subscription_id);
        labels.set("tenant_id", &self.config.tenant_id);
        labels.set("machine_id", &machine.id);
        labels.set("machine_name", &machine.name);
        labels.set(
            "machine_computer_name",
            &properties.os_profile.computer_name,
        );
        labels.set(
            "machine_os_type",
            &properties.storage_profile.os_disk.os_type,
        );
        labels.set("machine_location", &machine.location);
        labels.set("machine_resource_group", resource_group(&machine.id)?);
        labels.set("machine_size", &properties.hardware_profile.vm_size);
        if !scale_set.is_empty() {
            labels.set("machine_scale_set", scale_set);
        }
        labels.set_all("machine_tag_", &machine.tags);
        for id in properties
            .network_profile
            .network_interfaces
            .iter()
            .map(|i| &i.id)
        {
            let Some(known) = self.interface(id, machine, scale_set).await? else {
                tracing::warn!(interface = %id, machine = %machine.name, "a machine's network interface does not exist");
                return Ok(None);
            };
            let Some(properties) = &known.interface.properties else {
                continue;
            };
            // That of a machine that was stopped does not say whether it is the primary one.
            let Some(is_primary) = properties.primary else {
                return Ok(None);
            };
            let first = properties.ip_configurations.first().filter(|_| is_primary);
            let Some(first) = first else {
                continue;
            };
            let private = &first.properties.private_ip_address;
            if private.is_empty() {
                return Err(RefreshError(format!(
                    "unable to find a private IP for VM {}",
                    machine.name
                )));
            }
            let public = &first.properties.public_ip_address.properties.ip_address;
            if !public.is_empty() {
                labels.set("machine_public_ip", public);
            }
            labels.set("machine_private_ip", private);
            let private = private.clone();
            return Ok(Some((
                labels.at(&private, self.config.port),
                id.clone(),
                known,
            )));
        }
        Ok(None)
    }
}

/// Returns the resource group that an id of a resource names.
fn resource_group(id: &str) -> Result<&str, RefreshError> {
    let mut parts = id.split('/');
    parts
        .find(|part| part.eq_ignore_ascii_case("resourceGroups"))
        .and_then(|_| parts.next())
        .ok_or_else(|| RefreshError(format!("invalid ID {id:?}: it has no resource group")))
}

impl Source for AzureSource {
    const NAME: &'static str = "azure";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let found = self.find().await;
        if found.is_err() {
            self.metrics.azure_failures.inc();
        }
        found
    }
}

impl AzureSource {
    async fn find(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        self.refreshes += 1;
        let machines = self.machines().await?;
        let mut targets = Vec::new();
        let mut interfaces = HashMap::new();
        for machines in machines.chunks(AT_ONCE) {
            let asked = machines
                .iter()
                .map(|(machine, set)| self.target(machine, set));
            for found in futures_util::future::join_all(asked).await {
                if let Some((target, id, known)) = found? {
                    targets.push(target);
                    interfaces.insert(id, known);
                }
            }
        }
        self.interfaces = interfaces;
        Ok(vec![TargetGroup {
            source: "azure".to_owned(),
            targets,
            ..TargetGroup::default()
        }])
    }
}

#[cfg(test)]
mod tests;
