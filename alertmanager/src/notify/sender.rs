//! Alerts to other Alertmanagers: sets of them, as the configuration has them, each with its targets of the moment.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use metrics::Registry;
use model::Duration;
use model::trace::Tracer;
use net::aws::Identity;
use net::http_config::HttpConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::metrics::SenderMetrics;
use super::target::Target;
use super::{Notifier, Relabel, relabelled};
use crate::alert::Alert;
use crate::http::{ClientError, HttpClient};

/// What is fixed at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderOptions {
    /// Alerts that may wait for one Alertmanager; beyond, the oldest are dropped and counted.
    pub queue_capacity: usize,
    /// Alerts in one request; at least one.
    pub batch_max: usize,
    /// Whether what waits is still sent, for ten seconds at most, when an Alertmanager goes or everything stops; dropped and
    /// counted otherwise.
    pub drains_at_end: bool,
}

/// How a set of Alertmanagers is talked to, and what it is told.
pub struct Link {
    pub(super) client: HttpClient,
    pub(super) signer: Option<Signer>,
    pub(super) tracer: Tracer,
    relabel: Option<Relabel>,
}

/// Who signs what is posted, for Amazon's cloud.
pub struct Signer {
    /// Who we are there.
    pub identity: Identity,
    /// The service that signatures are for.
    pub service: String,
}

impl Link {
    /// Returns a link over `http`. Relative file names in it are relative to `base_dir`, `timeout` is for one request, and
    /// `relabel` is for the alerts.
    ///
    /// # Errors
    ///
    /// When the client cannot be made, as for want of a certificate.
    pub fn new(
        http: HttpConfig,
        base_dir: &Path,
        timeout: Duration,
        relabel: Option<Relabel>,
    ) -> Result<Self, ClientError> {
        Ok(Link {
            client: HttpClient::new(http, base_dir, Some(timeout))?,
            signer: None,
            tracer: Tracer::default(),
            relabel,
        })
    }

    /// Returns the link with a span for everything that is posted.
    #[must_use]
    pub fn traced(self, tracer: Tracer) -> Self {
        Link { tracer, ..self }
    }

    /// Returns the link with everything that is posted signed.
    #[must_use]
    pub fn signed(self, signer: Signer) -> Self {
        Link {
            signer: Some(signer),
            ..self
        }
    }
}

/// Sends alerts to sets of Alertmanagers. Each Alertmanager has a queue and a task of its own, so that one that is slow
/// or gone delays no other.
pub struct Sender {
    sets: ArcSwap<Vec<Arc<Set>>>,
    shared: Arc<Shared>,
}

/// What all sets share.
struct Shared {
    options: SenderOptions,
    metrics: SenderMetrics,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The Alertmanagers of one item of the configuration.
pub struct Set {
    link: Arc<ArcSwap<Link>>,
    targets: ArcSwap<Vec<Arc<Target>>>,
    shared: Arc<Shared>,
}

impl Sender {
    /// Returns a sender without sets. Instruments are registered in `registry`.
    pub fn new(options: SenderOptions, registry: &Registry) -> Self {
        Sender {
            sets: ArcSwap::default(),
            shared: Arc::new(Shared {
                options,
                metrics: SenderMetrics::new(registry),
                stop: CancellationToken::new(),
                tasks: TaskTracker::new(),
            }),
        }
    }

    /// Returns a set without targets; it is told nothing before [`Sender::replace`] has it.
    pub fn set(&self, link: Link) -> Arc<Set> {
        Arc::new(Set {
            link: Arc::new(ArcSwap::from_pointee(link)),
            targets: ArcSwap::default(),
            shared: Arc::clone(&self.shared),
        })
    }

    /// Sends to `sets` from now on. Those of before that are among them go on as they are, the targets of the others end.
    pub fn replace(&self, sets: Vec<Arc<Set>>) {
        let before = self.sets.swap(Arc::new(sets.clone()));
        let is_kept = |set: &Arc<Set>| sets.iter().any(|kept| Arc::ptr_eq(kept, set));
        for set in before.iter().filter(|set| !is_kept(set)) {
            set.set_urls(&[]);
        }
    }

    /// Ends every target and waits until what waits is sent, ten seconds at most, or dropped.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Notifier for Sender {
    fn notify(&self, alerts: &[Alert]) {
        let sets = self.sets.load();
        if sets.is_empty() {
            return;
        }
        let alerts: Vec<Arc<Alert>> = alerts.iter().cloned().map(Arc::new).collect();
        for set in sets.iter() {
            set.push(&alerts);
        }
    }
}

impl Set {
    /// Changes how its Alertmanagers are talked to; their queues stay.
    pub fn set_link(&self, link: Link) {
        self.link.store(Arc::new(link));
    }

    /// Says which Alertmanagers there are now, by the URL that alerts are posted to. Those that stay keep their queues, those
    /// that are gone end. To be called by one caller at a time, in a Tokio runtime.
    pub fn set_urls(&self, urls: &[String]) {
        let before = self.targets.load_full();
        let mut targets: Vec<Arc<Target>> = Vec::new();
        for url in urls {
            if targets.iter().any(|target| target.url == *url) {
                continue;
            }
            let same = before.iter().find(|target| target.url == *url);
            targets.push(same.cloned().unwrap_or_else(|| self.start(url)));
        }
        let grown = targets.len() as f64 - before.len() as f64;
        self.shared.metrics.discovered.add(grown);
        for target in before.iter() {
            if !targets.iter().any(|kept| Arc::ptr_eq(kept, target)) {
                target.end();
            }
        }
        self.targets.store(Arc::new(targets));
    }

    fn start(&self, url: &str) -> Arc<Target> {
        let shared = &self.shared;
        let stop = shared.stop.child_token();
        let metrics = shared.metrics.target(url);
        let target = Arc::new(Target::new(url.to_owned(), stop, shared.options, metrics));
        let link = Arc::clone(&self.link);
        shared.tasks.spawn(Arc::clone(&target).run(link));
        target
    }

    fn push(&self, alerts: &[Arc<Alert>]) {
        let targets = self.targets.load();
        if targets.is_empty() {
            return;
        }
        let relabelled = self.link.load().relabel.as_ref().map(|relabel| {
            let kept = relabelled(alerts, relabel).into_iter();
            kept.map(Arc::new).collect::<Vec<_>>()
        });
        let alerts = relabelled.as_deref().unwrap_or(alerts);
        if alerts.is_empty() {
            return;
        }
        for target in targets.iter() {
            target.push(alerts);
        }
    }

    /// Returns the targets of the moment, as a caller may hold them.
    #[cfg(test)]
    pub(super) fn targets(&self) -> Arc<Vec<Arc<Target>>> {
        self.targets.load_full()
    }
}
