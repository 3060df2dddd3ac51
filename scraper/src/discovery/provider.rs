//! Which discoveries a job has, and how each is made.

use std::path::Path;

use net::environment::Environment;
use net::google::GoogleTokens;
use net::http_config::{HttpConfig, TlsConfig};
use net::outbound::HttpClient;

use super::aws::Region;
use super::aws::ec2::{self, Ec2Source};
use super::aws::ecs::{self, EcsSource};
use super::aws::elasticache::{self, ElastiCacheSource};
use super::aws::lightsail::{self, LightsailSource};
use super::aws::msk::{self, MskSource};
use super::aws::rds::{self, RdsSource};
use super::azure::AzureSource;
use super::consul::{ConsulDiscovery, ConsulSource};
use super::digitalocean::DigitalOceanSource;
use super::dns::DnsSource;
use super::docker::DockerSource;
use super::dockerswarm::DockerSwarmSource;
use super::eureka::EurekaSource;
use super::file::FileDiscovery;
use super::gce::{self, GceSource};
use super::hetzner::HetznerSource;
use super::http::HttpSource;
use super::ionos::IonosSource;
use super::kubernetes::KubernetesDiscovery;
use super::kubernetes::access::{Access, Surroundings};
use super::kuma::{self, KumaSource};
use super::linode::LinodeSource;
use super::marathon::MarathonSource;
use super::nomad::NomadSource;
use super::oci::OciSource;
use super::openstack::OpenStackSource;
use super::outscale::OutscaleSource;
use super::ovhcloud::OvhCloudSource;
use super::puppetdb::PuppetDbSource;
use super::refresh::{Refreshing, Source};
use super::scaleway::ScalewaySource;
use super::stackit::StackitSource;
use super::triton::TritonSource;
use super::uyuni::UyuniSource;
use super::vultr::VultrSource;
use super::zookeeper::{Layout, ZooKeeperDiscovery};
use super::{Discovery, Static};
use crate::config::sd::{
    AwsRole, AwsSdConfig, AzureSdConfig, DigitalOceanSdConfig, DockerSdConfig, DockerSwarmSdConfig,
    Ec2SdConfig, EurekaSdConfig, GceSdConfig, HetznerSdConfig, IonosSdConfig, KumaSdConfig,
    LightsailSdConfig, LinodeSdConfig, MarathonSdConfig, NerveSdConfig, NomadSdConfig, OciSdConfig,
    OpenStackSdConfig, OutscaleSdConfig, OvhCloudSdConfig, PuppetDbSdConfig, ScalewaySdConfig,
    ServersetSdConfig, Sources, StackitSdConfig, TritonSdConfig, UyuniSdConfig, VultrSdConfig,
};
use crate::config::{
    ConsulSdConfig, DnsSdConfig, FileSdConfig, HttpSdConfig, KubernetesSdConfig, StaticConfig,
};
use crate::metrics::DiscoveryMetrics;

/// How long an answer may take to come.
pub(crate) const TIMEOUT: model::Duration = model::Duration::from_secs(30);

/// Declares which discoveries there are: a variant, the struct of its configuration, the key in configurations, and the
/// mechanism's name.
macro_rules! providers {
    ($($variant:ident($config:ty): $key:ident, $name:literal;)*) => {
        /// One discovery of a job, as it is configured; equal ones go on through a reload.
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) enum ProviderConfig {
            Static(Vec<StaticConfig>),
            $($variant(Box<$config>),)*
        }

        impl ProviderConfig {
            /// Returns the discoveries of a section.
            pub(crate) fn of(config: &Sources) -> Vec<ProviderConfig> {
                let mut all = Vec::new();
                if !config.static_configs.is_empty() {
                    all.push(ProviderConfig::Static(config.static_configs.clone()));
                }
                $(
                    let configs = config.$key.iter().cloned().map(Box::new);
                    all.extend(configs.map(ProviderConfig::$variant));
                )*
                all
            }

            /// Returns the mechanism's name.
            pub(crate) fn name(&self) -> &'static str {
                match self {
                    ProviderConfig::Static(_) => "static",
                    $(ProviderConfig::$variant(_) => $name,)*
                }
            }
        }
    };
}

providers! {
    File(FileSdConfig): file_sd_configs, "file";
    Http(HttpSdConfig): http_sd_configs, "http";
    Dns(DnsSdConfig): dns_sd_configs, "dns";
    Consul(ConsulSdConfig): consul_sd_configs, "consul";
    Docker(DockerSdConfig): docker_sd_configs, "docker";
    DockerSwarm(DockerSwarmSdConfig): dockerswarm_sd_configs, "dockerswarm";
    Nomad(NomadSdConfig): nomad_sd_configs, "nomad";
    Hetzner(HetznerSdConfig): hetzner_sd_configs, "hetzner";
    DigitalOcean(DigitalOceanSdConfig): digitalocean_sd_configs, "digitalocean";
    Vultr(VultrSdConfig): vultr_sd_configs, "vultr";
    Linode(LinodeSdConfig): linode_sd_configs, "linode";
    Kubernetes(KubernetesSdConfig): kubernetes_sd_configs, "kubernetes";
    Aws(AwsSdConfig): aws_sd_configs, "aws";
    Ec2(Ec2SdConfig): ec2_sd_configs, "ec2";
    Lightsail(LightsailSdConfig): lightsail_sd_configs, "lightsail";
    Gce(GceSdConfig): gce_sd_configs, "gce";
    Azure(AzureSdConfig): azure_sd_configs, "azure";
    Eureka(EurekaSdConfig): eureka_sd_configs, "eureka";
    OpenStack(OpenStackSdConfig): openstack_sd_configs, "openstack";
    PuppetDb(PuppetDbSdConfig): puppetdb_sd_configs, "puppetdb";
    Triton(TritonSdConfig): triton_sd_configs, "triton";
    Ionos(IonosSdConfig): ionos_sd_configs, "ionos";
    Kuma(KumaSdConfig): kuma_sd_configs, "kuma";
    Marathon(MarathonSdConfig): marathon_sd_configs, "marathon";
    Scaleway(ScalewaySdConfig): scaleway_sd_configs, "scaleway";
    Stackit(StackitSdConfig): stackit_sd_configs, "stackit";
    OvhCloud(OvhCloudSdConfig): ovhcloud_sd_configs, "ovhcloud";
    Outscale(OutscaleSdConfig): outscale_sd_configs, "outscale";
    Uyuni(UyuniSdConfig): uyuni_sd_configs, "uyuni";
    Oci(OciSdConfig): oci_sd_configs, "oci";
    Serverset(ServersetSdConfig): serverset_sd_configs, "serverset";
    Nerve(NerveSdConfig): nerve_sd_configs, "nerve";
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
        macro_rules! aws_region {
            ($config:ident, $main:expr) => {{
                let access = net::aws::Access::from(&**$config);
                let environment = Environment::of_process();
                let client = client($config.http_config())?;
                Region::new(access, $main, &$config.endpoint, environment, client)
            }};
        }
        let metrics = place.metrics.clone();
        macro_rules! zookeeper {
            ($layout:expr, $config:expr) => {{
                let (servers, paths) = (&$config.servers, &$config.paths);
                let (timeout, job) = ($config.timeout, place.job);
                Box::new(ZooKeeperDiscovery::new(
                    $layout, servers, paths, timeout, job, metrics,
                ))
            }};
        }
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
                let interval = config.refresh_interval.to_std();
                Box::new(ConsulDiscovery::new(source, interval, place.job, metrics))
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
            ProviderConfig::Aws(config) => match config.role {
                Some(AwsRole::Lightsail) => {
                    let region = aws_region!(config, lightsail::SERVICE);
                    let source = LightsailSource::new(region, config.port);
                    refreshing(source, config.refresh_interval, place)
                }
                Some(AwsRole::Ecs) => {
                    let region = aws_region!(config, ecs::SERVICE);
                    let source = EcsSource::new(region, config.port, &config.clusters);
                    refreshing(source, config.refresh_interval, place)
                }
                Some(AwsRole::Msk) => {
                    let region = aws_region!(config, msk::SERVICE);
                    let source = MskSource::new(region, config.port, &config.clusters);
                    refreshing(source, config.refresh_interval, place)
                }
                Some(AwsRole::ElastiCache) => {
                    let region = aws_region!(config, elasticache::SERVICE);
                    let source = ElastiCacheSource::new(region, &config.clusters);
                    refreshing(source, config.refresh_interval, place)
                }
                Some(AwsRole::Rds) => {
                    let region = aws_region!(config, rds::SERVICE);
                    let (clusters, filters) = (&config.clusters, &config.filters);
                    let source = RdsSource::new(region, config.port, clusters, filters);
                    refreshing(source, config.refresh_interval, place)
                }
                // The check of a configuration wants a role.
                Some(AwsRole::Ec2) | None => {
                    let region = aws_region!(config, ec2::SERVICE);
                    let source = Ec2Source::new(region, config.port, &config.filters);
                    refreshing(source, config.refresh_interval, place)
                }
            },
            ProviderConfig::Ec2(config) => {
                let source = Ec2Source::new(
                    aws_region!(config, ec2::SERVICE),
                    config.port,
                    &config.filters,
                );
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Lightsail(config) => {
                let source =
                    LightsailSource::new(aws_region!(config, lightsail::SERVICE), config.port);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Gce(config) => {
                let tokens = GoogleTokens::new(gce::SCOPE, Environment::of_process());
                let source = GceSource::new(config, tokens, client(HttpConfig::default())?);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Azure(config) => {
                let environment = Environment::of_process();
                let client = client(config.http_config())?;
                let source = AzureSource::new(config, environment, client, metrics)?;
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Eureka(config) => {
                let source = EurekaSource::new(config, client(config.http_config())?);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::OpenStack(config) => {
                let client = client(of_tls(&config.tls_config))?;
                let environment = Environment::of_process();
                let source = OpenStackSource::new(config, &environment, client)?;
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::PuppetDb(config) => {
                let source = PuppetDbSource::new(config, client(config.http_config())?);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Triton(config) => {
                let client = client(of_tls(&config.tls_config))?;
                let source = TritonSource::new(config, client);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Ionos(config) => {
                let source = IonosSource::new(config, client(config.http_config())?);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Kuma(config) => {
                // The answer may take as long as we say; the rest is for the way.
                let timeout = config.fetch_timeout.to_std() + kuma::MARGIN;
                let timeout = model::Duration::from_ms(
                    i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX),
                );
                let client = HttpClient::new(config.http_config(), base_dir, Some(timeout));
                let client = client.map_err(|error| net::outbound::chain(&error))?;
                let source = KumaSource::new(config, client, metrics);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Marathon(config) => {
                let client = client(config.http_config())?;
                let source = MarathonSource::new(config, base_dir, client);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Scaleway(config) => {
                let client = client(config.http_config())?;
                let source = ScalewaySource::new(config, base_dir, client);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Stackit(config) => {
                let client = client(config.http_config())?;
                let source = StackitSource::new(config, base_dir, client);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::OvhCloud(config) => {
                let source = OvhCloudSource::new(config, client(HttpConfig::default())?);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Outscale(config) => {
                let client = client(config.http_config())?;
                let source = OutscaleSource::new(config, base_dir, client);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Uyuni(config) => {
                let source = UyuniSource::new(config, client(config.http_config())?);
                refreshing(source, config.refresh_interval, place)
            }
            ProviderConfig::Serverset(config) => zookeeper!(Layout::Serverset, config),
            ProviderConfig::Nerve(config) => zookeeper!(Layout::Nerve, config),
            ProviderConfig::Oci(config) => {
                let client = client(config.http_config())?;
                let source = OciSource::new(config, base_dir, client);
                refreshing(source, config.refresh_interval, place)
            }
        })
    }
}

/// Returns how to speak HTTP for a mechanism that has only TLS of it.
fn of_tls(tls: &TlsConfig) -> HttpConfig {
    HttpConfig {
        tls_config: Some(tls.clone()),
        ..HttpConfig::default()
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
