//! `serverset_sd_configs` and `nerve_sd_configs`: who registered below some paths of ZooKeeper.
//!
//! ```text
//! session ── answers, what changed ──► tree ── members ──► the list that is published
//! ```
//!
//! Everything below the paths is read once and watched from then on. When the server is lost, the targets known before stay, and ten
//! seconds later everything is read anew, from the next server. A path that is not there counts as a failure, and is looked for again
//! as often.
//!
//! Source: Apache ZooKeeper, "ZooKeeper Programmer's Guide"; Prometheus documentation, `<serverset_sd_config>` and
//! `<nerve_sd_config>`.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub(crate) use self::member::Layout;
use self::session::Session;
use self::tree::{Tree, TreeError};
use super::{Discovery, DiscoveryTask, TargetGroup, Updates};
use crate::metrics::DiscoveryMetrics;

mod member;
mod session;
mod tree;
mod wire;

/// How long after a failure is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// How long a session may be silent at least, whatever is configured.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
/// The port of servers that say none.
const PORT: u16 = 2181;

/// Follows the members below some paths.
pub(crate) struct ZooKeeperDiscovery {
    layout: Layout,
    /// Each with its port.
    servers: Vec<String>,
    paths: Vec<String>,
    timeout: Duration,
    retry: Duration,
    job: String,
    metrics: DiscoveryMetrics,
    /// What was published last.
    known: Vec<Arc<TargetGroup>>,
}

impl ZooKeeperDiscovery {
    /// Returns a discovery of the members that are laid out like `layout` below `paths`.
    ///
    /// * `servers`: `host:port`, not empty. `timeout`: how long a session may be silent.
    pub(crate) fn new(
        layout: Layout,
        servers: &[String],
        paths: &[String],
        timeout: model::Duration,
        job: &str,
        metrics: DiscoveryMetrics,
    ) -> Self {
        ZooKeeperDiscovery {
            layout,
            servers: servers.iter().map(|server| with_port(server)).collect(),
            paths: paths.to_vec(),
            timeout: timeout.to_std().max(TIMEOUT_MIN),
            retry: RETRY,
            job: job.to_owned(),
            metrics,
            known: Vec::new(),
        }
    }

    /// Follows one server after the other, for ever.
    async fn follow(mut self, updates: &Updates) {
        // Not everybody begins with the first.
        #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
        let mut at = RandomState::new().hash_one(&self.job) as usize;
        loop {
            let server = self.servers[at % self.servers.len()].clone();
            let Err(error) = self.follow_one(&server, updates).await;
            self.failed(&error, &server);
            at = at.wrapping_add(1);
            sleep(self.retry).await;
        }
    }

    /// Follows what one server says until it fails.
    async fn follow_one(
        &mut self,
        server: &str,
        updates: &Updates,
    ) -> Result<std::convert::Infallible, TreeError> {
        let mut session = Session::open(server, self.timeout).await?;
        let mut tree = Tree::new(self.layout);
        tree.read(&mut session, self.paths.clone()).await?;
        self.publish(&tree, updates);
        let mut retry_at = self.note_missing(&tree, server);
        loop {
            let changed = session.changed(retry_at).await?;
            // Nothing else is watched.
            let mut paths: Vec<String> = changed.into_iter().filter(|p| tree.has(p)).collect();
            let is_due = retry_at.is_some_and(|at| at <= Instant::now());
            if is_due {
                paths.extend(self.missing(&tree));
            }
            tree.read(&mut session, paths).await?;
            self.publish(&tree, updates);
            if is_due || retry_at.is_none() {
                retry_at = self.note_missing(&tree, server);
            }
        }
    }

    fn missing(&self, tree: &Tree) -> impl Iterator<Item = String> {
        let missing = self.paths.iter().filter(|path| !tree.has(path));
        missing.cloned()
    }

    /// Says which of the paths are not there; returns when they are to be looked for again.
    fn note_missing(&self, tree: &Tree, server: &str) -> Option<Instant> {
        let mut retry_at = None;
        for path in self.missing(tree) {
            let reason = "no such node".to_owned();
            self.failed(&TreeError::Refused { path, reason }, server);
            retry_at = Some(Instant::now() + self.retry);
        }
        retry_at
    }

    /// Publishes the members, if they are others than before.
    fn publish(&mut self, tree: &Tree, updates: &Updates) {
        let known: HashMap<&str, &Arc<TargetGroup>> = self
            .known
            .iter()
            .map(|group| (group.source.as_str(), group))
            .collect();
        let groups = tree.groups().into_iter();
        let groups = groups.map(|group| match known.get(group.source.as_str()) {
            Some(before) if **before == group => Arc::clone(before),
            _ => group,
        });
        self.known = groups.collect();
        updates.publish(self.known.clone());
    }

    fn failed(&self, error: &TreeError, server: &str) {
        self.metrics.zookeeper_failures.inc();
        let (mechanism, job) = (self.layout.name(), &self.job);
        tracing::warn!(%error, server, mechanism, job, "service discovery keeps the last good list of targets");
    }
}

impl Discovery for ZooKeeperDiscovery {
    fn name(&self) -> &'static str {
        self.layout.name()
    }

    fn start(&mut self, _updates: &Updates) {
        // Nothing is known before the network has answered.
    }

    fn run(self: Box<Self>, updates: Updates, stop: CancellationToken) -> DiscoveryTask {
        Box::pin(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => (),
                () = self.follow(&updates) => (),
            }
        })
    }
}

/// Returns `host:port`.
fn with_port(server: &str) -> String {
    match server.contains(':') {
        true => server.to_owned(),
        false => format!("{server}:{PORT}"),
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
