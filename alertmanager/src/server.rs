//! The Alertmanager: the dispatcher, its timer, the senders, and what is kept on disk.
//!
//! One task owns the timer and the notifications on their way; the dispatcher is behind a mutex that is held for
//! microseconds, so that rules hand their alerts over without a queue. At most [`SENDING_MAX`] notifications are sent at
//! once; the others wait.

mod cluster;
mod metrics;

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use ::metrics::Registry;
use model::Labels;
use model::time::Clock;
use model::trace::{SpanKind, Tracer};
use net::trace::Tracing;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use self::metrics::ServerMetrics;
use crate::alert::Alert;
use crate::cluster::{Cluster, ClusterOptions, ClusterStatus, Update, note_enabled};
use crate::config::{AlertmanagerConfig, Route};
use crate::dispatch::{ALERTS_MAX, DispatchOptions, Dispatcher, GroupSnapshot, Notification};
use crate::notify::Notifier;
use crate::receiver::{Integration, Message, SendError, route_labels};
use crate::silence::{Silence, SilenceError, SilenceState};
use crate::store::Store;
use crate::template::Template;
use crate::template::alertmanager::NotificationData;

/// Notifications that are sent at once; further ones wait for their turn.
const SENDING_MAX: usize = 64;
/// The timer's longest sleep: a wall clock that jumps is noticed after this time.
const SLEEP_MAX: Duration = Duration::from_secs(10);
/// How often alerts and group timers are written.
const STORE_EVERY: Duration = Duration::from_secs(10);
/// How long a shutdown waits for notifications on their way.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// What is said to whoever waits at the end.
const STOPPING: &str = "the alertmanager is stopping";
/// What rules' metrics call the Alertmanager in this process.
const BUILT_IN: &str = "builtin";

/// What an Alertmanager is started with besides its configuration.
pub struct AlertmanagerOptions {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where its metrics go.
    pub registry: Registry,
    /// Where others reach it, without a slash at the end.
    pub external_url: String,
    /// What the dispatcher is started with.
    pub dispatch: DispatchOptions,
    /// The directory of what survives a restart; without one nothing does.
    pub storage: Option<PathBuf>,
    /// How it takes part in a cluster; without it, it stands alone.
    pub cluster: Option<ClusterOptions>,
}

#[cfg(test)]
impl AlertmanagerOptions {
    /// Returns options with a clock that stands still at the epoch, and without storage.
    pub(crate) fn for_test() -> Self {
        AlertmanagerOptions {
            clock: Arc::new(model::time::ManualClock::at(0)),
            registry: Registry::new(),
            external_url: "http://am".to_owned(),
            dispatch: DispatchOptions::default(),
            storage: None,
            cluster: None,
        }
    }
}

/// Why a silence was not set or ended.
#[derive(Debug, thiserror::Error)]
pub enum SilenceFailure {
    /// It makes no sense.
    #[error("{0}")]
    Refused(#[from] SilenceError),
    /// It could not be made to last; nothing changed.
    #[error("the silence could not be stored, and nothing was changed: {0}")]
    Storage(String),
}

/// The Alertmanager. Dropping it leaves its task running; [`shutdown`](Alertmanager::shutdown) ends it.
pub struct Alertmanager {
    shared: Arc<Shared>,
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    dispatcher: Mutex<Dispatcher>,
    /// Of the dispatcher's configuration; lock order: dispatcher, then this.
    integrations: Mutex<Arc<Integrations>>,
    /// Lock order: dispatcher, then this.
    store: Mutex<Option<Store>>,
    clock: Arc<dyn Clock>,
    external_url: String,
    metrics: ServerMetrics,
    changed: Notify,
    stop: CancellationToken,
    sending: Arc<Semaphore>,
    /// Set at the start, if there is a cluster.
    cluster: OnceLock<Cluster>,
    tracing: Tracing,
}

/// The ways to tell, by receiver, kind and position.
struct Integrations {
    ways: HashMap<(String, Cow<'static, str>, usize), Arc<Integration>>,
    /// What their templates may call.
    templates: Arc<Template>,
}

impl Alertmanager {
    /// Starts an Alertmanager, with what was stored before. Must be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// When a receiver cannot be made or the storage cannot be had, for a person.
    pub fn start(config: AlertmanagerConfig, options: AlertmanagerOptions) -> Result<Self, String> {
        let integrations = integrations(&config)?;
        let traces = config.traces();
        let cluster = match options.cluster {
            Some(cluster) => self::cluster::bind(cluster, &options.registry)?,
            None => None,
        };
        note_enabled(&options.registry, cluster.is_some());
        let clock = options.clock;
        let now_ms = clock.now_ms();
        let mut dispatcher = Dispatcher::with_options(Arc::new(config), options.dispatch, now_ms);
        let store = match &options.storage {
            None => None,
            Some(dir) => {
                let (store, stored) = Store::open(dir, &options.registry)
                    .map_err(|error| format!("open the store of the alertmanager: {error}"))?;
                let is_settled = stored.is_settled();
                dispatcher.restore(stored, now_ms);
                if !is_settled {
                    // What was left out, or taken over from files, is settled on disk too.
                    store.submit_quietly(dispatcher.all_as_changes(now_ms));
                }
                Some(store)
            }
        };
        let shared = Arc::new(Shared {
            dispatcher: Mutex::new(dispatcher),
            integrations: Mutex::new(Arc::new(integrations)),
            store: Mutex::new(store),
            clock,
            external_url: options.external_url,
            metrics: ServerMetrics::new(&options.registry),
            changed: Notify::new(),
            stop: CancellationToken::new(),
            sending: Arc::new(Semaphore::new(SENDING_MAX)),
            cluster: OnceLock::new(),
            tracing: Tracing::new(&options.registry),
        });
        shared.tracing.apply(traces);
        if let Some(bound) = cluster {
            let replica: Weak<Shared> = Arc::downgrade(&shared);
            shared.cluster.get_or_init(|| bound.start(replica));
        }
        let task = tokio::spawn(run(Arc::clone(&shared)));
        Ok(Alertmanager {
            shared,
            task: tokio::sync::Mutex::new(Some(task)),
        })
    }

    /// Returns where rules send their alerts.
    pub fn handle(&self) -> Arc<dyn Notifier> {
        Arc::new(Handle(Arc::clone(&self.shared)))
    }

    /// Goes over to another configuration; what was told already is not told again.
    ///
    /// # Errors
    ///
    /// When a receiver cannot be made; then nothing changes.
    pub fn apply(&self, config: AlertmanagerConfig) -> Result<(), String> {
        let integrations = integrations(&config)?;
        self.shared.tracing.apply(config.traces());
        let now_ms = self.shared.clock.now_ms();
        let mut dispatcher = self.shared.dispatcher.lock();
        dispatcher.apply(Arc::new(config), now_ms);
        *self.shared.integrations.lock() = Arc::new(integrations);
        drop(dispatcher);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Returns what makes spans.
    pub(crate) fn tracer(&self) -> &Tracer {
        self.shared.tracing.tracer()
    }

    /// Returns the time, milliseconds since the epoch.
    pub(crate) fn now_ms(&self) -> i64 {
        self.shared.clock.now_ms()
    }

    /// Returns the configuration in force.
    pub fn config(&self) -> Arc<AlertmanagerConfig> {
        Arc::clone(self.shared.dispatcher.lock().config())
    }

    /// Makes or changes a silence; returns its id when it is on disk.
    pub(crate) async fn set_silence(&self, silence: Silence) -> Result<String, SilenceFailure> {
        let (id, before, updates, answer) = {
            let mut dispatcher = self.shared.dispatcher.lock();
            let old = dispatcher.silences().get(&silence.id).cloned();
            let now_ms = self.now_ms();
            let id = dispatcher.silences_mut().set(silence, now_ms)?;
            let mut before: Vec<_> = old
                .map(|old| (old.id.clone(), Some(old)))
                .into_iter()
                .collect();
            if before.iter().all(|(old, _)| *old != id) {
                before.push((id.clone(), None));
            }
            let (updates, answer) = self.shared.submit_urgent(&mut dispatcher);
            (id, before, updates, answer)
        };
        self.settle(before, updates, answer).await?;
        tracing::info!(silence = id, "a silence was set");
        Ok(id)
    }

    /// Ends a silence now, and waits until that is on disk.
    pub(crate) async fn expire_silence(&self, id: &str) -> Result<(), SilenceFailure> {
        let (before, updates, answer) = {
            let mut dispatcher = self.shared.dispatcher.lock();
            let old = dispatcher.silences().get(id).cloned();
            let now_ms = self.now_ms();
            dispatcher.silences_mut().expire(id, now_ms)?;
            let (updates, answer) = self.shared.submit_urgent(&mut dispatcher);
            (vec![(id.to_owned(), old)], updates, answer)
        };
        self.settle(before, updates, answer).await?;
        tracing::info!(silence = id, "a silence was ended");
        Ok(())
    }

    /// Waits for the disk; then others are told. It goes on when nobody waits any longer.
    async fn settle(
        &self,
        before: Vec<(String, Option<Silence>)>,
        updates: Vec<Update>,
        answer: Option<oneshot::Receiver<Result<(), String>>>,
    ) -> Result<(), SilenceFailure> {
        let shared = Arc::clone(&self.shared);
        let settling = tokio::spawn(async move { shared.settle(before, updates, answer).await });
        let stopping = |_| Err(SilenceFailure::Storage(STOPPING.to_owned()));
        settling.await.unwrap_or_else(stopping)
    }

    /// Returns how the cluster is, if this is one of a cluster.
    pub(crate) fn cluster_status(&self) -> Option<ClusterStatus> {
        self.shared.cluster.get().map(Cluster::status)
    }

    /// Returns the labels of a group's route as they are for its alerts; none where they cannot be made.
    pub(crate) fn route_labels(&self, group: &GroupSnapshot) -> Labels {
        if group.route_labels.is_empty() {
            return Labels::empty();
        }
        let templates = Arc::clone(&self.shared.integrations.lock().templates);
        let data = NotificationData::of_group(group, &self.shared.external_url);
        route_labels::render(&group.route_labels, &data, &templates, self.now_ms()).unwrap_or_else(
            |error| {
                tracing::debug!(%error, receiver = group.receiver, "the labels of a route cannot be shown");
                Labels::empty()
            },
        )
    }

    /// Lets `look` look at the dispatcher, with the time; nothing else happens meanwhile.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Dispatcher, i64) -> R) -> R {
        look(&self.shared.dispatcher.lock(), self.shared.clock.now_ms())
    }

    /// Stops: no new notifications, and five seconds for those on their way. Then everything is on disk.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        if let Some(task) = self.task.lock().await.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the task of the alertmanager ended badly");
        }
        if let Some(cluster) = self.shared.cluster.get() {
            cluster.leave().await;
        }
        self.shared.tracing.stop().await;
        self.shared.store_lazily();
        let store = self.shared.store.lock().take();
        // Waits for the disk.
        if let Err(error) = tokio::task::spawn_blocking(move || drop(store)).await {
            tracing::error!(%error, "the store of the alertmanager was not closed");
        }
    }
}

fn integrations(config: &AlertmanagerConfig) -> Result<Integrations, String> {
    let templates = config.load_templates().map_err(|error| error.to_string())?;
    check_labels(&config.route, &templates)?;
    let mut ways = HashMap::new();
    for receiver in &config.receivers {
        let made = Integration::of(receiver, &config.base_dir)
            .map_err(|error| format!("receiver {:?}: {error}", receiver.name))?;
        for (kind, index, integration) in made {
            let key = (receiver.name.clone(), Cow::Borrowed(kind), index);
            ways.insert(key, Arc::new(integration));
        }
    }
    Ok(Integrations {
        ways,
        templates: Arc::new(templates),
    })
}

/// Checks that the labels of routes are templates.
fn check_labels(route: &Route, templates: &Template) -> Result<(), String> {
    route_labels::check(&route.labels, templates)
        .map_err(|error| format!("route {}: {error}", route.key))?;
    let children = &route.routes;
    children
        .iter()
        .try_for_each(|child| check_labels(child, templates))
}

struct Handle(Arc<Shared>);

impl Notifier for Handle {
    fn notify(&self, alerts: &[Alert]) {
        self.0.insert(alerts);
    }
}

impl Shared {
    fn insert(&self, alerts: &[Alert]) {
        let now_ms = self.clock.now_ms();
        let is_over = |alert: &&Alert| alert.ends_at_ms.is_some_and(|end| end <= now_ms);
        let resolved = alerts.iter().filter(is_over).count();
        self.metrics
            .received
            .with(&["firing", "v2"])
            .add((alerts.len() - resolved) as f64);
        self.metrics
            .received
            .with(&["resolved", "v2"])
            .add(resolved as f64);
        let refused = self
            .dispatcher
            .lock()
            .insert(alerts.iter().cloned(), now_ms);
        self.metrics
            .sender
            .sent
            .add((alerts.len() - refused) as f64);
        if 0 < refused {
            self.metrics.limited.add(refused as f64);
            self.metrics.sender.dropped.add(refused as f64);
            self.metrics.sender.errors.add(refused as f64);
            tracing::error!(
                refused,
                limit = ALERTS_MAX,
                "alerts were refused: there are too many"
            );
        }
        self.changed.notify_one();
    }

    /// Hands the changes that must be on disk soon to the store; the answer says when they are. Then others may have them.
    fn submit_urgent(
        &self,
        dispatcher: &mut Dispatcher,
    ) -> (Vec<Update>, Option<oneshot::Receiver<Result<(), String>>>) {
        let changes = dispatcher.take_urgent_changes();
        let updates = self::cluster::updates(&changes);
        let store = self.store.lock();
        (updates, store.as_ref().map(|store| store.submit(changes)))
    }

    /// Waits for the disk; what could not be written is undone, and what was written is told to others.
    async fn settle(
        &self,
        before: Vec<(String, Option<Silence>)>,
        updates: Vec<Update>,
        answer: Option<oneshot::Receiver<Result<(), String>>>,
    ) -> Result<(), SilenceFailure> {
        let outcome = match answer {
            None => Ok(()),
            Some(answer) => answer.await.unwrap_or_else(|_| Err(STOPPING.to_owned())),
        };
        if let Err(reason) = outcome {
            let mut dispatcher = self.dispatcher.lock();
            for (id, silence) in before {
                dispatcher.silences_mut().restore(&id, silence);
            }
            return Err(SilenceFailure::Storage(reason));
        }
        if let Some(cluster) = self.cluster.get() {
            cluster.publish(&updates);
        }
        Ok(())
    }

    /// The same when nobody waits.
    fn store_urgent(&self, dispatcher: &mut Dispatcher) {
        let changes = dispatcher.take_urgent_changes();
        if let Some(cluster) = self.cluster.get() {
            cluster.publish(&self::cluster::updates(&changes));
        }
        if let Some(store) = &*self.store.lock() {
            store.submit_quietly(changes);
        }
    }

    /// Hands alerts and timers to the store, or everything if it lacks something; brings gauges up to date.
    fn store_lazily(&self) {
        let now_ms = self.clock.now_ms();
        let mut dispatcher = self.dispatcher.lock();
        let (active, suppressed) = dispatcher.states(now_ms);
        for (state, count) in [("active", active), ("suppressed", suppressed)] {
            self.metrics.alerts.with(&[state]).set(count as f64);
        }
        let silences = dispatcher.silences().counts(now_ms);
        for (state, count) in SilenceState::ALL.iter().zip(silences) {
            let gauge = self.metrics.silences.with(&[state.as_str()]);
            gauge.set(count as f64);
        }
        let store = self.store.lock();
        let changes = match &*store {
            Some(store) if store.has_failed() => dispatcher.all_as_changes(now_ms),
            _ => dispatcher.take_lazy_changes(now_ms),
        };
        drop(dispatcher);
        if let Some(store) = &*store {
            store.submit_quietly(changes);
        }
    }

    /// Flushes what is due; returns the notifications, who sends them, and how long nothing more is due.
    fn flush(&self) -> (Vec<Notification>, Arc<Integrations>, Duration) {
        let now_ms = self.clock.now_ms();
        let mut dispatcher = self.dispatcher.lock();
        let suppressed = dispatcher.suppressed();
        let notifications = dispatcher.due(now_ms);
        self.metrics
            .count_suppressed(suppressed, dispatcher.suppressed());
        self.store_urgent(&mut dispatcher);
        let groups = dispatcher.group_count();
        let wait_ms = dispatcher
            .next_due()
            .map_or(i64::MAX, |due_ms| due_ms - now_ms);
        let integrations = Arc::clone(&self.integrations.lock());
        drop(dispatcher);
        self.metrics.groups.set(groups as f64);
        let wait = model::Duration::from_ms(wait_ms).to_std().min(SLEEP_MAX);
        (notifications, integrations, wait)
    }

    /// Sends one notification, with retries.
    async fn send(self: Arc<Self>, notification: Notification, integrations: Arc<Integrations>) {
        if !self.is_our_turn(&notification).await {
            return;
        }
        let key = &notification.integration;
        let kind = &*key.kind;
        let Ok(_permit) = self.sending.acquire().await else {
            return;
        };
        let mut message = Message::new(&notification, &self.external_url, self.clock.now_ms());
        message.templates = Arc::clone(&integrations.templates);
        let timeout = model::Duration::from_ms(notification.timeout_ms).to_std();
        self.metrics.notifications.with(&[kind]).inc();
        let way = (key.receiver.clone(), key.kind.clone(), key.index);
        let result = match integrations.ways.get(&way) {
            Some(integration) => {
                let attempted = |result: Result<(), &SendError>| {
                    self.metrics.requests.with(&[kind]).inc();
                    if result.is_err() {
                        self.metrics.requests_failed.with(&[kind]).inc();
                    }
                };
                let start = Instant::now();
                let tracer = self.tracing.tracer();
                let mut span = tracer.begin("notification", SpanKind::Internal, None);
                if span.is_recorded() {
                    let alerts = i64::try_from(notification.alerts.len());
                    span.set("receiver", key.receiver.as_str());
                    span.set("integration", kind);
                    span.set("alerts", alerts.unwrap_or(i64::MAX));
                }
                message.trace = span.context().map(|context| (tracer.clone(), context));
                let result = match message.expand_route_labels(&notification.route_labels) {
                    Ok(()) => {
                        let sending = integration.send_with_retries(&message, timeout, attempted);
                        sending.await
                    }
                    Err(error) => Err(error),
                };
                if let Err(error) = &result {
                    span.fail(error);
                }
                drop(span);
                self.metrics.latency.with(&[kind]).observe_since(start);
                result
            }
            // The receivers are made of the same configuration as the notification.
            None => Err(SendError {
                message: "the receiver is gone".to_owned(),
                is_retryable: false,
                reason: "contextCanceled",
            }),
        };
        if let Err(error) = &result {
            self.metrics
                .notifications_failed
                .with(&[kind, error.reason])
                .inc();
            tracing::error!(
                receiver = key.receiver,
                integration = kind,
                group = key.group_key,
                alerts = notification.alerts.len(),
                %error,
                "a notification failed"
            );
        }
        let now_ms = self.clock.now_ms();
        let mut dispatcher = self.dispatcher.lock();
        dispatcher.finish_with(&notification, result.ok(), now_ms);
        self.store_urgent(&mut dispatcher);
    }
}

/// The Alertmanager's task.
async fn run(shared: Arc<Shared>) {
    self::cluster::settle(&shared).await;
    let mut senders = JoinSet::new();
    let mut stored = Instant::now();
    while !shared.stop.is_cancelled() {
        let (notifications, integrations, wait) = shared.flush();
        if STORE_EVERY <= stored.elapsed() {
            shared.store_lazily();
            stored = Instant::now();
        }
        for notification in notifications {
            senders.spawn(Arc::clone(&shared).send(notification, Arc::clone(&integrations)));
        }
        let next_flush = tokio::time::Instant::now() + wait;
        loop {
            tokio::select! {
                () = shared.stop.cancelled() => break,
                () = shared.changed.notified() => break,
                () = tokio::time::sleep_until(next_flush) => break,
                // What has been sent makes nothing due.
                Some(ended) = senders.join_next() => note_end(ended),
            }
        }
    }
    let drain = async {
        while let Some(ended) = senders.join_next().await {
            note_end(ended);
        }
    };
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, drain).await.is_err() {
        tracing::warn!(
            unsent = senders.len(),
            "notifications were left unsent at shutdown"
        );
        senders.shutdown().await;
    }
}

fn note_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "sending a notification ended badly");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::testing::HttpSink;
    use model::time::ManualClock;

    fn alert(ends_at_ms: i64) -> Alert {
        Alert {
            labels: Labels::from_pairs([("alertname", "A")]),
            annotations: Labels::empty(),
            starts_at_ms: 1_000_000,
            ends_at_ms: Some(ends_at_ms),
            generator_url: String::new(),
        }
    }

    /// Starts an Alertmanager over `dir` at `now_ms`; returns it with its registry.
    fn start_in(dir: &std::path::Path, now_ms: i64) -> (Alertmanager, Registry) {
        let text = "route: {receiver: a, group_wait: 1h}\nreceivers: [{name: a}]";
        let registry = Registry::new();
        let options = AlertmanagerOptions {
            clock: Arc::new(ManualClock::at(now_ms)),
            registry: registry.clone(),
            storage: Some(dir.to_owned()),
            ..AlertmanagerOptions::for_test()
        };
        let config = AlertmanagerConfig::parse(text).unwrap();
        (Alertmanager::start(config, options).unwrap(), registry)
    }

    fn writes(registry: &Registry) -> f64 {
        let written = registry.counter("hearth_alertmanager_store_writes_total", "");
        written.value()
    }

    #[tokio::test]
    async fn a_start_writes_nothing_that_is_stored_already() {
        let dir = tempfile::tempdir().unwrap();
        let (alertmanager, registry) = start_in(dir.path(), 1_000_000);
        assert_eq!(writes(&registry), 0.0);
        let silence = Silence {
            matchers: crate::config::parse_matchers("a=b").unwrap(),
            starts_at_ms: 1_000_000,
            ends_at_ms: 9_000_000,
            ..Silence::default()
        };
        let id = alertmanager.set_silence(silence).await.unwrap();
        alertmanager.handle().notify(&[alert(1_060_000)]);
        alertmanager.shutdown().await;
        assert_eq!(
            writes(&registry),
            2.0,
            "the silence, and all else at the end"
        );

        // A minute later: the alert is given that minute too, which is written with what comes next.
        let (alertmanager, registry) = start_in(dir.path(), 1_060_000);
        let (silences, alerts) = alertmanager.look(|dispatcher, now_ms| {
            let silences = dispatcher.silences().get(&id).is_some();
            (silences, dispatcher.states(now_ms))
        });
        assert!(silences && alerts == (1, 0), "{alerts:?}");
        // Whatever was handed over is written before the store is closed.
        drop(alertmanager.shared.store.lock().take());
        assert_eq!(writes(&registry), 0.0);

        let (alertmanager, registry) = start_in(dir.path(), 1_060_000);
        alertmanager.shutdown().await;
        assert_eq!(writes(&registry), 1.0);
        let (_, stored) = Store::open(dir.path(), &Registry::new()).unwrap();
        assert_eq!(stored.alerts[0].ends_at_ms, 1_120_000);
        assert_eq!(stored.alive_at_ms, Some(1_060_000));
    }

    #[tokio::test]
    async fn labels_of_routes_are_told_and_must_be_templates() {
        let mut sink = HttpSink::start(200).await;
        let text = |label: &str| {
            format!(
                "route: {{receiver: a, group_wait: 0s, group_by: [alertname], labels: {{reason: '{label}'}}}}\nreceivers: [{{name: a, webhook_configs: [{{url: 'http://{}/{{{{ routeLabels \"reason\" }}}}'}}]}}]",
                sink.address
            )
        };
        let config = AlertmanagerConfig::parse(&text("{{ .GroupLabels.alertname }}!")).unwrap();
        let broken = AlertmanagerConfig::parse(&text("{{ nofunc }}")).unwrap();
        let options = AlertmanagerOptions {
            clock: Arc::new(ManualClock::at(1_000_500)),
            ..AlertmanagerOptions::for_test()
        };
        let alertmanager = Alertmanager::start(config, options).unwrap();
        alertmanager.handle().notify(&[alert(9_000_000)]);
        let request = sink.next().await;
        assert!(request.head.contains("POST /A! "), "{}", request.head);
        let expected = r#""routeLabels":{"reason":"A!"}"#;
        assert!(request.body.contains(expected), "{}", request.body);
        let error = alertmanager.apply(broken).unwrap_err();
        assert!(error.starts_with("route {}: label reason: "), "{error}");
        alertmanager.shutdown().await;
    }

    #[tokio::test]
    async fn tells_firing_and_resolved() {
        let mut sink = HttpSink::start(200).await;
        let text = format!(
            "route: {{receiver: a, group_wait: 1s, group_interval: 5s}}\nreceivers: [{{name: a, webhook_configs: [{{url: 'http://{}/'}}]}}]",
            sink.address
        );
        let clock = ManualClock::at(1_000_500);
        let config = AlertmanagerConfig::parse(&text).unwrap();
        let options = AlertmanagerOptions {
            clock: Arc::new(clock.clone()),
            ..AlertmanagerOptions::for_test()
        };
        let alertmanager = Alertmanager::start(config, options).unwrap();
        let handle = alertmanager.handle();
        handle.notify(&[alert(9_000_000)]);
        let states = alertmanager.look(|dispatcher, now_ms| dispatcher.states(now_ms));
        assert_eq!(states, (1, 0));
        clock.advance(1_000);
        handle.notify(&[]);
        assert!(sink.next().await.body.contains("\"status\":\"firing\""));
        while 0 < alertmanager.shared.dispatcher.lock().sending() {
            tokio::task::yield_now().await;
        }
        clock.advance(6_000);
        handle.notify(&[alert(1_006_000)]);
        let body = sink.next().await.body;
        assert!(
            body.contains("\"notification_reason\":\"all alerts resolved\""),
            "{body}"
        );
        assert!(
            body.contains("\"endsAt\":\"1970-01-01T00:16:46Z\""),
            "{body}"
        );
        alertmanager.shutdown().await;
    }
}
