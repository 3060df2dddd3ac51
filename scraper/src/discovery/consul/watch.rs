//! Following a catalog: each request waits for an answer that is newer than the last one.
//!
//! ```text
//! catalog ── names ──► one task for each service ── its group ──► the list that is published
//! ```
//!
//! Consul bounds the connections of a client, to 200 if nothing else is said. So only [`WAITING_MAX`] services are waited for;
//! those beyond are asked for every `refresh_interval`, a few at a time.
//!
//! Source: Consul HTTP API, "Blocking queries".

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::ConsulSource;
use crate::discovery::refresh::RefreshError;
use crate::discovery::{Discovery, DiscoveryTask, TargetGroup, Updates};
use crate::metrics::DiscoveryMetrics;

/// How many services are waited for.
const WAITING_MAX: usize = 100;
/// How many of those that are not waited for are asked for at once.
const AT_ONCE: usize = 8;
/// How long after a failure is asked again.
const RETRY: Duration = Duration::from_secs(15);
/// How many events may wait to be looked at.
const EVENTS_MAX: usize = 64;

/// Follows the services of one catalog.
pub(crate) struct ConsulDiscovery {
    follower: Follower,
}

/// What all tasks share.
#[derive(Clone)]
struct Follower {
    source: Arc<ConsulSource>,
    /// How long there is at least between two requests for the same.
    interval: Duration,
    retry: Duration,
    job: Arc<str>,
    metrics: DiscoveryMetrics,
    /// Turns of those that wait for an answer, and of those that do not.
    waiting: Arc<Semaphore>,
    asking: Arc<Semaphore>,
    events: mpsc::Sender<Event>,
}

/// What a task tells.
enum Event {
    /// These services are wanted, and no others.
    Services(Vec<String>),
    /// These are the targets of a service.
    Group(TargetGroup),
    /// Nothing is known of a service but what was known before.
    Failed(String),
}

/// What is known.
#[derive(Default)]
struct Known {
    groups: BTreeMap<String, Arc<TargetGroup>>,
    /// Whose first answer is still to come; nothing is published before.
    missing: Option<BTreeSet<String>>,
}

impl ConsulDiscovery {
    pub(crate) fn new(
        source: ConsulSource,
        interval: Duration,
        job: &str,
        metrics: DiscoveryMetrics,
    ) -> Self {
        // The other end is made when it runs.
        let (events, _) = mpsc::channel(1);
        ConsulDiscovery {
            follower: Follower {
                source: Arc::new(source),
                interval: interval.max(Duration::from_millis(1)),
                retry: RETRY,
                job: job.into(),
                metrics,
                waiting: Arc::new(Semaphore::new(WAITING_MAX)),
                asking: Arc::new(Semaphore::new(AT_ONCE)),
                events,
            },
        }
    }
}

impl Discovery for ConsulDiscovery {
    fn name(&self) -> &'static str {
        "consul"
    }

    fn start(&mut self, _updates: &Updates) {
        // Nothing is known before the network has answered.
    }

    fn run(self: Box<Self>, updates: Updates, stop: CancellationToken) -> DiscoveryTask {
        Box::pin(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => (),
                () = self.follower.follow(&updates) => (),
            }
        })
    }
}

impl Follower {
    /// Follows the catalog for ever.
    async fn follow(mut self, updates: &Updates) {
        let (sender, mut events) = mpsc::channel(EVENTS_MAX);
        self.events = sender;
        let _catalog = AbortOnDropHandle::new(tokio::spawn(self.clone().catalog()));
        let mut services = HashMap::new();
        let mut known = Known::default();
        // There is always a sender: our own.
        while let Some(event) = events.recv().await {
            if let Event::Services(names) = &event {
                services.retain(|name, _| names.contains(name));
                for name in names {
                    services.entry(name.clone()).or_insert_with(|| {
                        let task = self.clone().service(name.clone());
                        AbortOnDropHandle::new(tokio::spawn(task))
                    });
                }
            }
            // A task that was ended may have told something before.
            let is_late =
                matches!(&event, Event::Group(group) if !services.contains_key(&group.source));
            if !is_late && known.learn(event) {
                updates.publish(known.groups.values().cloned().collect());
            }
        }
    }

    /// Tells which services are wanted, whenever that changes.
    async fn catalog(self) {
        let mut index = 0;
        loop {
            let started = Instant::now();
            let asked = async {
                self.source.find_datacenter().await?;
                match self.source.named() {
                    Some(names) => Ok((names.to_vec(), None)),
                    None => {
                        let (names, newest) = self.source.wanted(index).await?;
                        Ok((names, Some(newest)))
                    }
                }
            };
            match asked.await {
                Ok((names, None)) => {
                    self.tell(Event::Services(names)).await;
                    return std::future::pending().await;
                }
                Ok((names, Some(newest))) => {
                    if index == 0 || newest != index {
                        self.tell(Event::Services(names)).await;
                    }
                    index = next(index, newest);
                    sleep_until(started + self.interval).await;
                }
                Err(error) => {
                    self.failed(&error);
                    sleep(self.retry).await;
                }
            }
        }
    }

    /// Tells the targets of a service, whenever they change.
    async fn service(self, name: String) {
        let mut index = 0;
        loop {
            let started = Instant::now();
            let turn = match index {
                0 => None,
                _ => self.waiting.try_acquire().ok(),
            };
            let asked = match &turn {
                Some(_) => self.source.group(&name, index).await,
                None => {
                    let _turn = self.asking.acquire().await;
                    self.source.group(&name, 0).await
                }
            };
            match asked {
                Ok((group, newest)) => {
                    if turn.is_none() || newest != index {
                        self.tell(Event::Group(group)).await;
                    }
                    index = next(index, newest);
                    drop(turn);
                    sleep_until(started + self.interval).await;
                }
                Err(error) => {
                    drop(turn);
                    self.failed(&error);
                    self.tell(Event::Failed(name.clone())).await;
                    sleep(self.retry).await;
                }
            }
        }
    }

    async fn tell(&self, event: Event) {
        // Nobody listens any more when everything ends.
        let _ = self.events.send(event).await;
    }

    fn failed(&self, error: &RefreshError) {
        self.metrics.consul_failures.inc();
        let job = &*self.job;
        tracing::warn!(%error, mechanism = "consul", job, "service discovery keeps the last good list of targets");
    }
}

impl Known {
    /// Learns from an event; returns whether there is something to publish.
    fn learn(&mut self, event: Event) -> bool {
        let is_first = self
            .missing
            .as_ref()
            .is_none_or(|missing| !missing.is_empty());
        let has_changed = match event {
            Event::Services(names) => {
                let before = self.groups.len();
                self.groups.retain(|name, _| names.contains(name));
                let has_changed = self.groups.len() < before;
                match &mut self.missing {
                    None => self.missing = Some(names.into_iter().collect()),
                    Some(missing) => missing.retain(|name| names.contains(name)),
                }
                has_changed
            }
            Event::Group(group) => {
                let name = group.source.clone();
                self.found(&name);
                let is_same = self.groups.get(&name).is_some_and(|known| **known == group);
                if !is_same {
                    self.groups.insert(name, Arc::new(group));
                }
                !is_same
            }
            Event::Failed(name) => {
                self.found(&name);
                false
            }
        };
        let is_complete = self.missing.as_ref().is_some_and(BTreeSet::is_empty);
        is_complete && (has_changed || is_first)
    }

    fn found(&mut self, name: &str) {
        if let Some(missing) = &mut self.missing {
            missing.remove(name);
        }
    }
}

/// Returns the index to ask with next: one that goes back means that Consul counts anew.
fn next(index: u64, newest: u64) -> u64 {
    if newest < index { 0 } else { newest }
}

#[cfg(test)]
mod tests;
