//! Timers and tasks of the rule groups.
//!
//! Each group has one task, which sleeps until the group's next grid time, evaluates on the blocking pool (at most so many
//! groups at once) and publishes a snapshot. The task owns the group; a reload stops it, takes the group back and lets its
//! successor adopt the state.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arc_swap::ArcSwap;
use metrics::Registry;
use model::Duration;
use model::storage::{Appendable, Queryable};
use model::time::Clock;
use model::trace::Tracer;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::file::GroupConfig;
use super::group::{EvaluationContext, Group, GroupSettings, RestoreOptions, group_label};
use super::metrics::RuleMetrics;
use super::query::RuleQuery;
use super::status::{AlertStatus, GroupStatus};
use crate::notify::Notifier;

/// What the rules need of their surroundings.
pub struct RuleManagerOptions {
    /// Takes the rules' results.
    pub storage: Arc<dyn Appendable>,
    /// Remembers the `for` state over restarts.
    pub queryable: Arc<dyn Queryable>,
    /// Answers the rules' queries; [`EngineQuery`](super::engine::EngineQuery) does by the engine.
    pub query: Arc<dyn RuleQuery>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where the metrics go.
    pub registry: Registry,
    /// Takes the alerts.
    pub notifier: Arc<dyn Notifier>,
    /// How long to wait before a firing alert is sent again (`--rules.alert.resend-delay`, 1m).
    pub resend_delay: Duration,
    /// How far the state of before a restart is trusted.
    pub restore: RestoreOptions,
    /// How many groups may be evaluated at once; others wait.
    pub concurrency: usize,
    /// Makes spans of evaluations.
    pub tracer: Tracer,
}

/// Owns the tasks of all groups.
///
/// [`apply`](RuleManager::apply) starts them; without [`shutdown`](RuleManager::shutdown) they go on until the runtime
/// ends.
pub struct RuleManager {
    shared: Arc<Shared>,
    running: Mutex<Running>,
}

struct Shared {
    options: RuleManagerOptions,
    metrics: RuleMetrics,
    permits: Arc<Semaphore>,
    statuses: ArcSwap<Vec<Arc<ArcSwap<GroupStatus>>>>,
    /// What was applied last.
    settings: ArcSwap<GroupSettings>,
    /// Ends everything, the tasks that end the series of removed groups included.
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Default)]
struct Running {
    /// By file and name.
    groups: BTreeMap<(String, String), RunningGroup>,
    was_applied: bool,
}

struct RunningGroup {
    config: GroupConfig,
    settings: GroupSettings,
    status: Arc<ArcSwap<GroupStatus>>,
    stop: CancellationToken,
    task: JoinHandle<Option<Group>>,
}

impl RuleManager {
    /// Returns a manager without groups.
    pub fn new(options: RuleManagerOptions) -> Self {
        let shared = Shared {
            metrics: RuleMetrics::new(&options.registry),
            permits: Arc::new(Semaphore::new(options.concurrency.max(1))),
            statuses: ArcSwap::default(),
            settings: ArcSwap::from_pointee(GroupSettings::default()),
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
            options,
        };
        RuleManager {
            shared: Arc::new(shared),
            running: Mutex::new(Running::default()),
        }
    }

    /// Makes `groups` the ones that run. Groups that did not change go on undisturbed; of the others, rules with the same
    /// name and labels keep their alerts. The series of rules that are gone end.
    ///
    /// The groups of the first call restore their `for` state from storage.
    pub async fn apply(&self, groups: Vec<GroupConfig>, settings: GroupSettings) {
        self.shared.settings.store(Arc::new(settings.clone()));
        let mut running = self.running.lock().await;
        let waits_for_restore = !std::mem::replace(&mut running.was_applied, true);
        let mut old = std::mem::take(&mut running.groups);
        for config in groups {
            let key = (config.file.clone(), config.name.clone());
            let group = match old.remove(&key) {
                Some(same)
                    if same.config == config
                        && same.settings == settings
                        && !same.task.is_finished() =>
                {
                    same
                }
                Some(changed) => {
                    let state = changed.stop().await;
                    let mut group = Group::new(
                        config.clone(),
                        settings.clone(),
                        &self.shared.metrics,
                        waits_for_restore,
                    );
                    if let Some(state) = state {
                        group.adopt(state);
                    }
                    self.start(config, settings.clone(), group, false)
                }
                None => {
                    let group = Group::new(
                        config.clone(),
                        settings.clone(),
                        &self.shared.metrics,
                        waits_for_restore,
                    );
                    self.start(config, settings.clone(), group, waits_for_restore)
                }
            };
            running.groups.insert(key, group);
        }
        self.publish(&running);
        for group in old.into_values() {
            self.shared.metrics.remove(&group_label(&group.config));
            if let Some(group) = group.stop().await {
                self.end_later(group);
            }
        }
    }

    fn publish(&self, running: &Running) {
        let statuses = running
            .groups
            .values()
            .map(|group| Arc::clone(&group.status))
            .collect();
        self.shared.statuses.store(Arc::new(statuses));
    }

    fn start(
        &self,
        config: GroupConfig,
        settings: GroupSettings,
        group: Group,
        restores: bool,
    ) -> RunningGroup {
        debug_assert!(group.is_same(&config, &settings));
        let status = Arc::new(ArcSwap::from_pointee(group.status()));
        let stop = self.shared.shutdown.child_token();
        let task = run(
            Arc::clone(&self.shared),
            group,
            Arc::clone(&status),
            stop.clone(),
            restores,
        );
        RunningGroup {
            config,
            settings,
            status,
            stop,
            task: tokio::spawn(task),
        }
    }

    /// Ends the series of a removed group as of now, but two intervals later: if the group only moved to another name, its
    /// series have newer samples by then and the markers come too late to matter.
    fn end_later(&self, group: Group) {
        let shared = Arc::clone(&self.shared);
        let now_ms = shared.options.clock.now_ms();
        let wait = group.interval().to_std() * 2;
        self.shared.tasks.spawn(async move {
            tokio::select! {
                () = shared.shutdown.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            let storage = Arc::clone(&shared.options.storage);
            let ended = tokio::task::spawn_blocking(move || group.end_all(now_ms, &*storage)).await;
            if let Err(error) = ended {
                tracing::error!(%error, "ending the series of a removed group failed");
            }
        });
    }

    /// Returns what the API shows of all groups, by file and name.
    pub fn groups(&self) -> Vec<Arc<GroupStatus>> {
        self.shared
            .statuses
            .load()
            .iter()
            .map(|status| status.load_full())
            .collect()
    }

    /// Returns what holds where groups do not say; before the first [`apply`](RuleManager::apply), a minute and no labels.
    pub fn settings(&self) -> GroupSettings {
        GroupSettings::clone(&self.shared.settings.load())
    }

    /// Returns all pending and firing alerts.
    pub fn alerts(&self) -> Vec<AlertStatus> {
        let groups = self.groups();
        let rules = groups.iter().flat_map(|group| &group.rules);
        rules
            .filter_map(|rule| rule.alerting.as_ref())
            .flat_map(|alerting| alerting.alerts.iter().cloned())
            .collect()
    }

    /// Stops all groups and waits for evaluations that run.
    pub async fn shutdown(&self) {
        self.shared.shutdown.cancel();
        let mut running = self.running.lock().await;
        for group in std::mem::take(&mut running.groups).into_values() {
            group.stop().await;
        }
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl RunningGroup {
    /// Stops the task and returns the group, unless the task panicked.
    async fn stop(self) -> Option<Group> {
        self.stop.cancel();
        match self.task.await {
            Ok(group) => group,
            Err(error) => {
                tracing::error!(group = self.config.name, %error, "the task of a rule group ended badly");
                None
            }
        }
    }
}

/// The life of one group's task: evaluate at each grid time until `stop`; then give the group back.
async fn run(
    shared: Arc<Shared>,
    mut group: Group,
    status: Arc<ArcSwap<GroupStatus>>,
    stop: CancellationToken,
    mut restores: bool,
) -> Option<Group> {
    let clock = group.clock();
    let mut at_ms = clock.next(shared.options.clock.now_ms());
    let mut evaluations = 0u64;
    loop {
        let now_ms = shared.options.clock.now_ms();
        at_ms = clock.reachable(at_ms, now_ms);
        let wait = Duration::from_ms(at_ms - now_ms).to_std();
        tokio::select! {
            biased;
            () = stop.cancelled() => return Some(group),
            () = tokio::time::sleep(wait) => {}
        }
        let permit = tokio::select! {
            biased;
            () = stop.cancelled() => return Some(group),
            permit = Arc::clone(&shared.permits).acquire_owned() => permit.ok()?,
        };
        evaluations += 1;
        // The first evaluation may come before the first scrapes; the second one has data to restore onto.
        let restores_now = restores && evaluations == 2;
        restores &= !restores_now;
        let worker = Arc::clone(&shared);
        let evaluated = tokio::task::spawn_blocking(move || {
            evaluate(&worker.options, &mut group, at_ms, restores_now);
            drop(permit);
            group
        });
        match evaluated.await {
            Ok(returned) => group = returned,
            Err(error) => {
                tracing::error!(%error, "evaluating a rule group was aborted");
                return None;
            }
        }
        status.store(Arc::new(group.status()));
        let now_ms = shared.options.clock.now_ms();
        let missed = clock.missed(at_ms, now_ms);
        if 0 < missed {
            group.note_missed(missed);
        }
        // The newest grid time that has passed is evaluated late; those before it are lost.
        at_ms = clock.latest(now_ms).max(clock.next(at_ms));
    }
}

/// Evaluates once and sends the alerts. A panic in a rule is logged and the group lives on.
fn evaluate(options: &RuleManagerOptions, group: &mut Group, at_ms: i64, restores: bool) {
    let (file, name) = group.place();
    let own = options.query.of_group(file, name);
    let context = EvaluationContext {
        query: own.as_deref().unwrap_or(&*options.query),
        storage: &*options.storage,
        resend_delay: options.resend_delay,
        tracer: &options.tracer,
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let alerts = group.evaluate(at_ms, &context);
        if !alerts.is_empty() {
            options.notifier.notify(&alerts);
        }
        if restores {
            group.restore(options.clock.now_ms(), &*options.queryable, options.restore);
        }
    }));
    if outcome.is_err() {
        tracing::error!(
            group = group.status().name,
            "evaluating a rule group panicked"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use model::Labels;
    use model::time::SystemClock;
    use tokio::sync::mpsc;

    use super::*;
    use crate::alert::Alert;
    use crate::rule::file::RuleFile;
    use crate::rule::testing::{FakeQuery, VecStorage};

    struct Channel(mpsc::UnboundedSender<Alert>);

    impl Notifier for Channel {
        fn notify(&self, alerts: &[Alert]) {
            for alert in alerts {
                let _ = self.0.send(alert.clone());
            }
        }
    }

    struct World {
        manager: RuleManager,
        storage: VecStorage,
        alerts: mpsc::UnboundedReceiver<Alert>,
    }

    fn world(query: impl RuleQuery + 'static) -> World {
        let (sender, alerts) = mpsc::unbounded_channel();
        let storage = VecStorage::default();
        let manager = RuleManager::new(RuleManagerOptions {
            storage: Arc::new(storage.clone()),
            queryable: Arc::new(storage.clone()),
            query: Arc::new(query),
            clock: Arc::new(SystemClock),
            registry: Registry::new(),
            notifier: Arc::new(Channel(sender)),
            resend_delay: Duration::ZERO,
            restore: RestoreOptions::default(),
            concurrency: 2,
            tracer: Tracer::default(),
        });
        World {
            manager,
            storage,
            alerts,
        }
    }

    fn settings() -> GroupSettings {
        GroupSettings {
            interval: Duration::from_ms(20),
            query_offset: Duration::ZERO,
            external_labels: Labels::empty(),
            external_url: "http://p".to_owned(),
        }
    }

    fn groups(text: &str) -> Vec<GroupConfig> {
        RuleFile::parse("f", text).unwrap().groups
    }

    impl World {
        async fn next(&mut self) -> Alert {
            let wait = std::time::Duration::from_secs(20);
            tokio::time::timeout(wait, self.alerts.recv())
                .await
                .expect("an alert within 20 s")
                .unwrap()
        }
    }

    const ONE: &str = "groups: [{name: g, rules: [{alert: A, expr: up}, {record: r, expr: up}]}]";

    #[tokio::test]
    async fn evaluates_on_the_clock_and_tells() {
        let mut world = world(FakeQuery(|_: &str, _: i64| Ok(vec![("job=x", 1.0)])));
        world.manager.apply(groups(ONE), settings()).await;
        assert_eq!(world.manager.groups()[0].name, "g");
        let (first, second) = (world.next().await, world.next().await);
        assert_eq!(first.labels.to_string(), r#"{alertname="A", job="x"}"#);
        assert_eq!(first.starts_at_ms, second.starts_at_ms);
        world.manager.shutdown().await;
        assert!(
            world
                .storage
                .samples("r{job=\"x\"}")
                .windows(2)
                .all(|pair| pair[0].0 < pair[1].0)
        );
    }

    #[tokio::test]
    async fn a_reload_keeps_what_did_not_change() {
        let mut world = world(FakeQuery(|_: &str, _: i64| Ok(vec![("job=x", 1.0)])));
        world.manager.apply(groups(ONE), settings()).await;
        let before = world.next().await.starts_at_ms;
        let more = ONE
            .replace("groups: [", "groups: [{name: h, rules: []}, ")
            .replace("{record: r, expr: up}", "{record: s, expr: up}");
        world.manager.apply(groups(&more), settings()).await;
        let names: Vec<_> = world
            .manager
            .groups()
            .iter()
            .map(|group| group.name.clone())
            .collect();
        assert_eq!(names, ["g", "h"]);
        while world.storage.samples("s{job=\"x\"}").is_empty() {
            world.next().await;
        }
        assert_eq!(world.next().await.starts_at_ms, before);
        assert_eq!(world.manager.alerts().len(), 1);
        let ended = world.storage.samples("r{job=\"x\"}");
        assert_eq!(ended.last().unwrap().1, None);
        world.manager.shutdown().await;
    }

    #[tokio::test]
    async fn a_panic_in_a_rule_is_survived() {
        let calls = AtomicUsize::new(0);
        let mut world = world(FakeQuery(move |_: &str, _: i64| {
            assert!(
                calls.fetch_add(1, Ordering::SeqCst) != 0,
                "the first evaluation panics"
            );
            Ok(vec![("job=x", 1.0)])
        }));
        world.manager.apply(groups(ONE), settings()).await;
        world.next().await;
        world.manager.shutdown().await;
    }
}
