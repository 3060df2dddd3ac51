//! A scrape pool: the targets of one job and their loops.
//!
//! The pool's task owns the discoveries and the loops. It syncs when a discovery publishes or the job changes: new targets
//! get a loop, known ones keep theirs and are told what changed, those that are gone end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use model::Labels;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::discovery::{Discoveries, DiscoveryHost, TargetGroup};
use crate::job::Job;
use crate::manager::Shared;
use crate::presence::Presence;
use crate::scrape::{Assignment, Loop, Order, TargetStatus};
use crate::target::{Populated, Target, TargetKey};

/// What a pool is told to do.
#[derive(Clone)]
pub(crate) enum PoolOrder {
    /// Scrape the targets of this job.
    Run(Arc<Job>),
    /// The job is gone.
    End,
}

/// What the API may know of a pool; replaced at each sync.
#[derive(Default)]
pub(crate) struct PoolState(Mutex<Arc<PoolSnapshot>>);

/// The targets of a pool at its last sync.
#[derive(Default)]
pub(crate) struct PoolSnapshot {
    pub(crate) active: Vec<(Arc<Target>, Arc<TargetStatus>)>,
    /// The discovered labels of targets that relabelling dropped, as many as are kept.
    pub(crate) dropped: Vec<Labels>,
    /// All that it dropped.
    pub(crate) dropped_count: usize,
}

impl PoolState {
    pub(crate) fn snapshot(&self) -> Arc<PoolSnapshot> {
        Arc::clone(&self.0.lock())
    }
}

/// Runs one pool.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    _presence: Presence,
    orders: watch::Receiver<PoolOrder>,
    state: Arc<PoolState>,
    discoveries: Discoveries,
    loops: HashMap<TargetKey, LoopHandle>,
}

struct LoopHandle {
    orders: watch::Sender<Order>,
    target: Arc<Target>,
    status: Arc<TargetStatus>,
}

/// What discovery and relabelling make of the groups.
#[derive(Default)]
struct Wanted {
    active: Vec<(TargetKey, Target)>,
    dropped: Vec<Labels>,
    dropped_count: usize,
}

impl Pool {
    pub(crate) fn new(
        shared: Arc<Shared>,
        presence: Presence,
        orders: watch::Receiver<PoolOrder>,
        state: Arc<PoolState>,
    ) -> Self {
        let host = DiscoveryHost::of_pools(
            &shared.options.base_dir,
            &shared.metrics.discovery,
            &shared.shutdown,
            &shared.tasks,
        );
        Pool {
            discoveries: Discoveries::new(host, presence.job()),
            shared,
            _presence: presence,
            orders,
            state,
            loops: HashMap::new(),
        }
    }

    /// Keeps the pool in step with its discoveries until the job is gone or everything shuts down.
    pub(crate) async fn run(mut self) {
        loop {
            let order = self.orders.borrow_and_update().clone();
            let PoolOrder::Run(job) = order else { break };
            self.discoveries.apply(&job.config.sources());
            if !self.sync_on_updates(&job).await {
                break;
            }
        }
        for (_, handle) in self.loops.drain() {
            handle.orders.send_replace(Order::End);
        }
    }

    /// Syncs now and after updates, until there is a new order. Returns `false` if everything shuts down.
    async fn sync_on_updates(&mut self, job: &Arc<Job>) -> bool {
        let published = self.discoveries.published();
        loop {
            self.sync(job);
            let pause = tokio::time::sleep(self.shared.options.discovery_reload_interval);
            tokio::select! {
                () = self.shared.shutdown.cancelled() => return false,
                changed = self.orders.changed() => return changed.is_ok(),
                // Updates in quick succession cost one sync.
                () = async { published.notified().await; pause.await } => (),
            }
        }
    }

    /// Brings the loops in step with what discovery says now.
    fn sync(&mut self, job: &Arc<Job>) {
        let started = Instant::now();
        let name = &job.config.job_name;
        let mut wanted = Wanted::default();
        for groups in self.discoveries.groups() {
            wanted.add(job, &groups, &self.shared);
        }
        self.discoveries
            .note_found(wanted.active.len() + wanted.dropped_count);
        let forbidden = self.over_target_limit(job, wanted.active.len());
        self.assign(job, wanted.active, forbidden.as_ref());
        self.publish(wanted.dropped, wanted.dropped_count);
        let metrics = &self.shared.metrics;
        metrics
            .pool_targets
            .with(&[name])
            .set(self.loops.len() as f64);
        metrics
            .pool_dropped
            .with(&[name])
            .set(wanted.dropped_count as f64);
        metrics
            .pool_target_limit
            .with(&[name])
            .set(job.config.target_limit.unwrap_or(0) as f64);
        metrics.pool_syncs.with(&[name]).inc();
        metrics.sync_length.with(&[name]).observe_since(started);
    }

    /// Returns why no target may be scraped, if there are too many.
    fn over_target_limit(&self, job: &Job, count: usize) -> Option<Arc<str>> {
        let limit = job.config.target_limit.filter(|&limit| limit != 0)?;
        if count as u64 <= limit {
            return None;
        }
        self.shared.metrics.exceeded_target_limit.inc();
        Some(format!("target_limit exceeded (number of targets: {count}, limit: {limit})").into())
    }

    /// Gives each target a loop, its own or a new one, and ends the other loops.
    fn assign(
        &mut self,
        job: &Arc<Job>,
        wanted: Vec<(TargetKey, Target)>,
        forbidden: Option<&Arc<str>>,
    ) {
        let mut before = std::mem::take(&mut self.loops);
        for (key, target) in wanted {
            let target = Arc::new(target);
            let assignment = Assignment {
                job: Arc::clone(job),
                target: Arc::clone(&target),
                forbidden: forbidden.cloned(),
            };
            let handle = match before.remove(&key) {
                Some(mut handle) => {
                    handle.update(assignment);
                    handle
                }
                None => self.start_loop(assignment),
            };
            self.loops.insert(key, handle);
        }
        for (_, handle) in before {
            handle.orders.send_replace(Order::End);
        }
    }

    fn start_loop(&self, assignment: Assignment) -> LoopHandle {
        let target = Arc::clone(&assignment.target);
        let status = Arc::new(TargetStatus::default());
        let (orders, receiver) = watch::channel(Order::Scrape(assignment));
        let task = Loop::new(Arc::clone(&self.shared), receiver, Arc::clone(&status));
        self.shared.lanes.spawn(task.run());
        LoopHandle {
            orders,
            target,
            status,
        }
    }

    fn publish(&self, dropped: Vec<Labels>, dropped_count: usize) {
        let handles = self.loops.values();
        let mut active: Vec<_> = handles
            .map(|handle| (Arc::clone(&handle.target), Arc::clone(&handle.status)))
            .collect();
        active.sort_by(|a, b| a.0.labels.cmp(&b.0.labels));
        *self.state.0.lock() = Arc::new(PoolSnapshot {
            active,
            dropped,
            dropped_count,
        });
    }
}

impl LoopHandle {
    /// Tells the loop what changed, if anything did.
    fn update(&mut self, assignment: Assignment) {
        let target = Arc::clone(&assignment.target);
        let is_news = match &*self.orders.borrow() {
            Order::Scrape(current) => {
                !Arc::ptr_eq(&current.job, &assignment.job)
                    || current.forbidden != assignment.forbidden
                    || current.target.interval != target.interval
                    || current.target.timeout != target.timeout
            }
            Order::End => true,
        };
        self.target = target;
        if is_news {
            self.orders.send_replace(Order::Scrape(assignment));
        }
    }
}

impl Wanted {
    /// Adds the targets of `groups`; what is there already is not added again.
    fn add(&mut self, job: &Job, groups: &[Arc<TargetGroup>], shared: &Shared) {
        let mut known: HashMap<TargetKey, ()> = self
            .active
            .iter()
            .map(|(key, _)| (key.clone(), ()))
            .collect();
        let keep_dropped = job.config.keep_dropped_targets.filter(|&keep| keep != 0);
        let keep_dropped = keep_dropped.map_or(usize::MAX, |keep| {
            usize::try_from(keep).unwrap_or(usize::MAX)
        });
        for (group, labels) in groups
            .iter()
            .flat_map(|group| group.labels_of_targets().map(move |labels| (group, labels)))
        {
            match Target::populate(&job.config, labels) {
                Ok(Populated::Active(target)) => {
                    let key = target.key();
                    if known.insert(key.clone(), ()).is_none() {
                        self.active.push((key, target));
                    }
                }
                Ok(Populated::Dropped(labels)) => {
                    self.dropped_count += 1;
                    if self.dropped.len() < keep_dropped {
                        self.dropped.push(labels);
                    }
                }
                Err(error) => {
                    shared
                        .metrics
                        .sync_failed
                        .with(&[&job.config.job_name])
                        .inc();
                    tracing::warn!(job = job.config.job_name, source = group.source, %error, "a target cannot be scraped");
                }
            }
        }
    }
}
