//! Which discoveries a job has, and how each is made.

use std::path::Path;

use net::outbound::HttpClient;

use super::consul::ConsulSource;
use super::digitalocean::DigitalOceanSource;
use super::dns::DnsSource;
use super::docker::DockerSource;
use super::dockerswarm::DockerSwarmSource;
use super::file::FileDiscovery;
use super::hetzner::HetznerSource;
use super::http::HttpSource;
use super::kubernetes::KubernetesDiscovery;
use super::kubernetes::access::{Access, Surroundings};
use super::linode::LinodeSource;
use super::nomad::NomadSource;
use super::refresh::{Refreshing, Source};
use super::vultr::VultrSource;
use super::{Discovery, Static};
use crate::config::sd::{
    DigitalOceanSdConfig, DockerSdConfig, DockerSwarmSdConfig, HetznerSdConfig, LinodeSdConfig,
    NomadSdConfig, Sources, VultrSdConfig,
};
use crate::config::{
    ConsulSdConfig, DnsSdConfig, FileSdConfig, HttpSdConfig, KubernetesSdConfig, StaticConfig,
};
use crate::metrics::DiscoveryMetrics;

/// How long an answer may take to come.
pub(crate) const TIMEOUT: model::Duration = model::Duration::from_secs(30);

/// One discovery of a job, as it is configured; equal ones go on through a reload.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ProviderConfig {
    Static(Vec<StaticConfig>),
    File(FileSdConfig),
    Http(Box<HttpSdConfig>),
    Dns(DnsSdConfig),
    Consul(Box<ConsulSdConfig>),
    Docker(Box<DockerSdConfig>),
    DockerSwarm(Box<DockerSwarmSdConfig>),
    Nomad(Box<NomadSdConfig>),
    Hetzner(Box<HetznerSdConfig>),
    DigitalOcean(Box<DigitalOceanSdConfig>),
    Vultr(Box<VultrSdConfig>),
    Linode(Box<LinodeSdConfig>),
    Kubernetes(Box<KubernetesSdConfig>),
}

/// What surrounds the discoveries of a job.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// What relative file names are relative to.
    pub(crate) base_dir: &'a Path,
    pub(crate) job: &'a str,
    pub(crate) metrics: &'a DiscoveryMetrics,
}

impl ProviderConfig {
    /// Returns the discoveries of a section that are built.
    pub(crate) fn of(config: &Sources) -> Vec<ProviderConfig> {
        let mut all = Vec::new();
        if !config.static_configs.is_empty() {
            all.push(ProviderConfig::Static(config.static_configs.clone()));
        }
        let files = config.file_sd_configs.iter().cloned();
        all.extend(files.map(ProviderConfig::File));
        let http = config.http_sd_configs.iter().cloned().map(Box::new);
        all.extend(http.map(ProviderConfig::Http));
        let dns = config.dns_sd_configs.iter().cloned();
        all.extend(dns.map(ProviderConfig::Dns));
        let consul = config.consul_sd_configs.iter().cloned().map(Box::new);
        all.extend(consul.map(ProviderConfig::Consul));
        let docker = config.docker_sd_configs.iter().cloned().map(Box::new);
        all.extend(docker.map(ProviderConfig::Docker));
        let swarms = config.dockerswarm_sd_configs.iter().cloned().map(Box::new);
        all.extend(swarms.map(ProviderConfig::DockerSwarm));
        let nomad = config.nomad_sd_configs.iter().cloned().map(Box::new);
        all.extend(nomad.map(ProviderConfig::Nomad));
        let hetzner = config.hetzner_sd_configs.iter().cloned().map(Box::new);
        all.extend(hetzner.map(ProviderConfig::Hetzner));
        let digitalocean = config.digitalocean_sd_configs.iter().cloned().map(Box::new);
        all.extend(digitalocean.map(ProviderConfig::DigitalOcean));
        let vultr = config.vultr_sd_configs.iter().cloned().map(Box::new);
        all.extend(vultr.map(ProviderConfig::Vultr));
        let linode = config.linode_sd_configs.iter().cloned().map(Box::new);
        all.extend(linode.map(ProviderConfig::Linode));
        let kubernetes = config.kubernetes_sd_configs.iter().cloned().map(Box::new);
        all.extend(kubernetes.map(ProviderConfig::Kubernetes));
        all
    }

    /// Makes the discovery.
    ///
    /// # Errors
    ///
    /// When files that it needs from the start are missing or wrong, on one line.
    pub(crate) fn start(&self, place: Place<'_>) -> Result<Box<dyn Discovery>, String> {
        let base_dir = place.base_dir;
        let client = |http| {
            HttpClient::new(http, base_dir, Some(TIMEOUT))
                .map_err(|error| net::outbound::chain(&error))
        };
        let metrics = place.metrics.clone();
        Ok(match self {
            ProviderConfig::Static(configs) => Box::new(Static(configs.clone())),
            ProviderConfig::File(config) => Box::new(FileDiscovery::new(config, base_dir, metrics)),
            ProviderConfig::Http(config) => {
                let client = client(config.http_config())?;
                let source = HttpSource::new(config, client, metrics);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Dns(config) => {
                let source = DnsSource::new(config, metrics);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Consul(config) => {
                let source = ConsulSource::new(config, client(config.http_config())?);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Docker(config) => {
                let source = DockerSource::new(config, base_dir)?;
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::DockerSwarm(config) => {
                let source = DockerSwarmSource::new(config, base_dir)?;
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Nomad(config) => {
                let source = NomadSource::new(config, client(config.http_config())?);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Hetzner(config) => {
                let source = HetznerSource::new(config, client(config.http_config())?);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::DigitalOcean(config) => {
                let source = DigitalOceanSource::new(config, client(config.http_config())?);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Vultr(config) => {
                let source = VultrSource::new(config, client(config.http_config())?);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Linode(config) => {
                let source = LinodeSource::new(config, client(config.http_config())?);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Kubernetes(config) => {
                let access = Access::new(config, base_dir, &Surroundings::of_process());
                let access = access.map_err(|error| net::outbound::chain(&error))?;
                Box::new(KubernetesDiscovery::new(config, access, metrics))
            }
        })
    }

    /// Returns the mechanism's name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            ProviderConfig::Static(_) => "static",
            ProviderConfig::File(_) => "file",
            ProviderConfig::Http(_) => "http",
            ProviderConfig::Dns(_) => "dns",
            ProviderConfig::Consul(_) => "consul",
            ProviderConfig::Docker(_) => "docker",
            ProviderConfig::DockerSwarm(_) => "dockerswarm",
            ProviderConfig::Nomad(_) => "nomad",
            ProviderConfig::Hetzner(_) => "hetzner",
            ProviderConfig::DigitalOcean(_) => "digitalocean",
            ProviderConfig::Vultr(_) => "vultr",
            ProviderConfig::Linode(_) => "linode",
            ProviderConfig::Kubernetes(_) => "kubernetes",
        }
    }
}

/// Returns a discovery that asks `source` every `interval`.
fn refreshing<S: Source>(
    source: S,
    interval: model::Duration,
    place: Place<'_>,
) -> Box<dyn Discovery> {
    let metrics = place.metrics.clone();
    Box::new(Refreshing::new(source, interval, place.job, metrics))
}
