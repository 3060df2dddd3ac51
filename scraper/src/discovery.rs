//! Service discovery: who the targets are, as it changes.
//!
//! A mechanism is one file with one [`Discovery`]. It publishes the whole list each time that something changed;
//! groups that did not change should be shared with the list before, so that publishing is cheap.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use model::LabelsBuilder;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::config::StaticConfig;

mod aws;
mod azure;
mod consul;
mod digitalocean;
mod dns;
mod docker;
mod dockerswarm;
mod eureka;
pub mod file;
mod gce;
mod hetzner;
mod http;
mod ionos;
mod kubernetes;
mod kuma;
mod labels;
mod linode;
mod marathon;
mod nomad;
mod oci;
pub mod once;
mod openstack;
mod outscale;
mod ovhcloud;
pub(crate) mod provider;
mod puppetdb;
mod refresh;
mod running;
mod scaleway;
mod stackit;
#[cfg(test)]
mod testing;
mod triton;
mod uyuni;
mod vultr;
mod zookeeper;

pub use running::{Discoveries, DiscoveryHost};

/// Targets that were found in one place and share labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetGroup {
    /// Where they were found, unique in its discovery.
    pub source: String,
    /// The labels of each; `__address__` at least.
    pub targets: Vec<BTreeMap<String, String>>,
    /// Labels of all of them; a target's own win.
    pub labels: BTreeMap<String, String>,
}

impl TargetGroup {
    /// Returns the labels of each target, those of the group included.
    pub fn labels_of_targets(&self) -> impl Iterator<Item = LabelsBuilder> {
        self.targets.iter().map(|target| {
            let mut labels = LabelsBuilder::new();
            for (name, value) in self.labels.iter().chain(target) {
                labels.set(name, value);
            }
            labels
        })
    }

    /// Returns the group that a `static_configs` item lists.
    pub fn of_static(source: String, config: &StaticConfig) -> Self {
        let address =
            |target: &String| BTreeMap::from([(crate::target::ADDRESS.to_owned(), target.clone())]);
        TargetGroup {
            source,
            targets: config.targets.iter().map(address).collect(),
            labels: config.labels.clone(),
        }
    }
}

/// Every group that a discovery knows of, in order.
pub type TargetGroups = Arc<Vec<Arc<TargetGroup>>>;

/// Where a discovery publishes what it knows.
#[derive(Debug)]
pub struct Updates {
    groups: watch::Sender<TargetGroups>,
    /// Told about each publication; one for all discoveries of a pool.
    published: Arc<Notify>,
}

impl Updates {
    /// Returns both ends of a new channel, nothing published yet.
    pub(crate) fn channel(published: Arc<Notify>) -> (Updates, watch::Receiver<TargetGroups>) {
        let (groups, receiver) = watch::channel(TargetGroups::default());
        (Updates { groups, published }, receiver)
    }

    /// Publishes `groups` as all that there are now. Who is slow to look sees the latest only.
    pub fn publish(&self, groups: Vec<Arc<TargetGroup>>) {
        self.groups.send_replace(Arc::new(groups));
        self.published.notify_one();
    }
}

/// A future that owns what it needs.
pub type DiscoveryTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A way to find targets.
pub trait Discovery: Send {
    /// Returns the mechanism's name, as in `<name>_sd_configs` and in metrics.
    fn name(&self) -> &'static str;

    /// Publishes a first list without waiting for the network, if that can be done.
    fn start(&mut self, updates: &Updates);

    /// Publishes a list whenever something changed, until `stop` is cancelled.
    ///
    /// Failures keep what was published; they are logged once and counted.
    fn run(self: Box<Self>, updates: Updates, stop: CancellationToken) -> DiscoveryTask;
}

/// `static_configs`: a list that never changes.
pub(crate) struct Static(pub(crate) Vec<StaticConfig>);

impl Discovery for Static {
    fn name(&self) -> &'static str {
        "static"
    }

    fn start(&mut self, updates: &Updates) {
        let groups = self.0.iter().enumerate();
        let groups =
            groups.map(|(i, config)| Arc::new(TargetGroup::of_static(i.to_string(), config)));
        updates.publish(groups.collect());
    }

    fn run(self: Box<Self>, _updates: Updates, _stop: CancellationToken) -> DiscoveryTask {
        Box::pin(std::future::ready(()))
    }
}

/// Returns the secret that a file holds now; a relative name is relative to `base_dir`.
fn secret_of_file(base_dir: &Path, file: &str) -> Result<String, refresh::RefreshError> {
    let path = base_dir.join(file);
    let secret = net::outbound::secret(None, path.to_str());
    let secret = secret.map_err(|error| refresh::RefreshError::of(&error))?;
    secret.ok_or_else(|| refresh::RefreshError(format!("{}: not UTF-8", path.display())))
}

/// Returns `name` with everything that a label name may not have replaced.
fn sanitized(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}
