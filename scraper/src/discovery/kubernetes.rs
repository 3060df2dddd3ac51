//! `kubernetes_sd_configs`: the objects of a cluster as targets.
//!
//! ```text
//! API server ── list, watch ──► watch::Reflector ──► Store (one per kind and namespace)
//!                                                      │ told about changes
//!                                                      ▼
//!                                      role::groups of all objects ──► Updates
//! ```
//!
//! Groups are made anew from all objects when something changed, a moment after it: a rollout changes many objects at
//! once. Those that come out the same are shared with the list before.
//!
//! Sources: Prometheus documentation, `<kubernetes_sd_config>`; Kubernetes API concepts, "Efficient detection of changes".

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::refresh::sharing;
use super::{Discovery, DiscoveryTask, Updates};
use crate::config::{KubernetesRole, KubernetesSdConfig};
use crate::metrics::DiscoveryMetrics;
use access::Access;
use object::{
    EndpointSlice, Endpoints, Ingress, Job, Namespace, Node, Pod, ReplicaSet, Resource, Service,
};
use store::Store;

pub(crate) mod access;
mod exec;
mod labels;
mod object;
mod role;
mod store;
mod watch;

/// How long after a change groups are made, so that changes in quick succession cost one round.
const SETTLE: Duration = Duration::from_millis(200);

/// Discovers the targets of one `kubernetes_sd_configs` item.
pub(crate) struct KubernetesDiscovery {
    config: KubernetesSdConfig,
    access: Arc<Access>,
    metrics: DiscoveryMetrics,
}

/// The objects that the targets of a role are made of; kinds that are not needed are empty.
#[derive(Default)]
pub(crate) struct Objects {
    pub(crate) pods: Store<Pod>,
    pub(crate) services: Store<Service>,
    pub(crate) endpoints: Store<Endpoints>,
    pub(crate) slices: Store<EndpointSlice>,
    pub(crate) nodes: Store<Node>,
    pub(crate) ingresses: Store<Ingress>,
    pub(crate) namespaces: Store<Namespace>,
    pub(crate) replica_sets: Store<ReplicaSet>,
    pub(crate) jobs: Store<Job>,
}

impl KubernetesDiscovery {
    /// Returns a discovery that reaches the cluster as `access` says.
    pub(crate) fn new(
        config: &KubernetesSdConfig,
        access: Access,
        metrics: DiscoveryMetrics,
    ) -> Self {
        KubernetesDiscovery {
            config: config.clone(),
            access: Arc::new(access),
            metrics,
        }
    }

    /// Starts to watch what the role needs.
    fn watch_all(&self, objects: &Objects, changed: &Arc<Notify>, stop: &CancellationToken) {
        let role = self.config.role.unwrap_or_default();
        let attach = &self.config.attach_metadata;
        let has_pods = matches!(
            role,
            KubernetesRole::Pod | KubernetesRole::Endpoints | KubernetesRole::EndpointSlice
        );
        let watch = Watching {
            discovery: self,
            role,
            changed,
            stop,
        };
        match role {
            KubernetesRole::Node => watch.start(&objects.nodes),
            KubernetesRole::Pod => watch.start(&objects.pods),
            KubernetesRole::Service => watch.start(&objects.services),
            KubernetesRole::Ingress => watch.start(&objects.ingresses),
            KubernetesRole::Endpoints => {
                watch.start(&objects.endpoints);
                watch.start(&objects.services);
                watch.start(&objects.pods);
            }
            KubernetesRole::EndpointSlice => {
                watch.start(&objects.slices);
                watch.start(&objects.services);
                watch.start(&objects.pods);
            }
        }
        if has_pods && attach.node {
            watch.start(&objects.nodes);
        }
        if attach.namespace && role != KubernetesRole::Node {
            watch.start(&objects.namespaces);
        }
        if has_pods && attach.deployment {
            watch.start(&objects.replica_sets);
        }
        if has_pods && (attach.job || attach.cronjob) {
            watch.start(&objects.jobs);
        }
    }
}

/// What starts one kind's watches.
struct Watching<'a> {
    discovery: &'a KubernetesDiscovery,
    role: KubernetesRole,
    changed: &'a Arc<Notify>,
    stop: &'a CancellationToken,
}

impl Watching<'_> {
    /// Watches the objects of a kind in all namespaces that are wanted.
    fn start<T: Resource>(&self, store: &Store<T>) {
        let access = &self.discovery.access;
        let namespaces: Vec<Option<String>> = match T::IS_NAMESPACED {
            true => access.namespaces(&self.discovery.config.namespaces),
            false => vec![None],
        };
        let selectors = self.discovery.config.selectors.iter();
        let selector = selectors
            .into_iter()
            .find(|selector| selector.role.map(KubernetesRole::name) == T::ROLE);
        for namespace in namespaces {
            let reflector = watch::Reflector::<T>::new(
                Arc::clone(access),
                namespace,
                selector.cloned().unwrap_or_default(),
                store.part(),
                self.discovery.metrics.clone(),
                self.role,
            );
            let (changed, stop) = (Arc::clone(self.changed), self.stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => (),
                    () = reflector.run(&changed) => (),
                }
            });
        }
    }
}

impl Discovery for KubernetesDiscovery {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    fn start(&mut self, _updates: &Updates) {
        // Nothing is known before the API server has answered.
    }

    fn run(self: Box<Self>, updates: Updates, stop: CancellationToken) -> DiscoveryTask {
        Box::pin(async move {
            // Watches end with this task, however it ends.
            let _guard = stop.clone().drop_guard();
            let (objects, changed) = (Objects::default(), Arc::new(Notify::new()));
            self.watch_all(&objects, &changed, &stop);
            let mut known = Vec::new();
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = changed.notified() => (),
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(SETTLE) => (),
                }
                if !objects.are_listed() {
                    continue;
                }
                known = sharing(&known, role::groups(&self.config, &objects));
                updates.publish(known.clone());
            }
        })
    }
}

impl Objects {
    /// Returns whether every kind that is watched has been listed once: before, targets would lack labels.
    fn are_listed(&self) -> bool {
        self.pods.is_listed()
            && self.services.is_listed()
            && self.endpoints.is_listed()
            && self.slices.is_listed()
            && self.nodes.is_listed()
            && self.ingresses.is_listed()
            && self.namespaces.is_listed()
            && self.replica_sets.is_listed()
            && self.jobs.is_listed()
    }
}

#[cfg(test)]
mod tests;
