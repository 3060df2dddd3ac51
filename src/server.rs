//! The server: the rooms joined, and their order of starting, reloading and stopping.
//!
//! ```text
//! configuration → listeners → HTTP (early) → database → engine → Alertmanager → rules → scrapes → ready
//! ```
//!
//! Stopping goes the other way. A reload loads everything first and only then applies it, so that a bad file changes
//! nothing.

pub(crate) mod http;
pub(crate) mod settings;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use alertmanager::config::AlertmanagerConfig;
use alertmanager::dispatch::DispatchOptions;
use alertmanager::notify::{FanOut, Notifier};
use alertmanager::rule::engine::EngineQuery;
use alertmanager::rule::file::{GroupConfig, RuleFile};
use alertmanager::rule::group::{GroupSettings, RestoreOptions};
use alertmanager::{Alertmanager, AlertmanagerOptions, RuleManager, RuleManagerOptions};
use anyhow::Context as _;
use arc_swap::ArcSwap;
use metrics::{Gauge, Registry};
use model::time::{Clock, SystemClock};
use net::trace::Tracing;
use scraper::ScrapeManager;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tsdb::{Db, ReplayProgress};

use crate::active_queries::{self, ActiveQueries};
use crate::alertmanagers::{self, Alertmanagers};
use crate::api;
use crate::cli::flag::Values;
use crate::config::{LoadError, Loaded};
use crate::query_log::QueryLog;
use crate::rule_queries::RuleQueries;
use settings::Settings;
pub(crate) use settings::UsageError;

/// A request to reload, with where to say how it went.
pub(crate) type ReloadRequest = oneshot::Sender<Result<(), String>>;

/// Where the built-in Alertmanager keeps its state, in the data directory.
const ALERTMANAGER_DIR: &str = "alertmanager";

/// Requests to reload that may wait; more are made to wait by their senders.
pub(crate) const RELOADS_WAITING_MAX: usize = 4;

/// Runs the server until it is told to stop.
///
/// # Errors
///
/// When it cannot start; each error is one clear line.
pub(crate) async fn run(values: &Values, inherited: http::Inherited) -> anyhow::Result<()> {
    let settings = Settings::of(values)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    // Before the files are read, so that no change in between is missed.
    let seen = settings
        .auto_reload_interval
        .map(|_| settings.files.fingerprint());
    let loaded = settings.files.load()?;
    let checked = check(&settings, &loaded)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), config = %settings.files, "starting Hearth");
    let registry = Registry::new();
    registry.register(metrics::process_collector());
    build_info(&registry);

    let (reload_sender, reload_requests) = mpsc::channel(RELOADS_WAITING_MAX);
    let quit = CancellationToken::new();
    let tracing = Tracing::new(&registry);
    let replay = Arc::new(ReplayProgress::default());
    let early = http::early_state(
        &settings,
        &registry,
        &replay,
        reload_sender.clone(),
        quit.clone(),
        tracing.tracer().clone(),
    )?;
    let shared = Arc::new(api::Shared::new(early));
    let listen = http::HttpOptions {
        listen: &settings.listen,
        inherited,
        connections_max: settings.connections_max,
        read_timeout: settings.read_timeout,
        web_config: &settings.web_config,
    };
    let router = http::router(&settings, &shared)?;
    let http = http::Http::start(listen, router, &registry).await?;

    // Signals count from here on: one that comes while the log is replayed is served after that.
    let reload_signals = crate::signal::reload().context("install the handler of SIGHUP")?;
    let stop_signal = tokio::spawn(crate::signal::stop());

    let db = open_database(&settings, &loaded, &registry, &replay).await?;
    let server = Server::start(settings, &loaded, checked, db, registry, tracing).await?;
    shared.set_ready(server.api_state());
    tracing::info!("server is ready to receive web requests");

    let outcome = server
        .serve(reload_requests, reload_signals, stop_signal, &quit, seen)
        .await;
    shared.set_stopping();
    server.stop().await;
    http.stop().await;
    server.tracing.stop().await;
    server.db.close().context("make the data durable")?;
    tracing::info!("see you next time");
    outcome
}

/// What runs between ready and stop.
struct Server {
    settings: Settings,
    registry: Registry,
    clock: Arc<dyn Clock>,
    db: Arc<Db>,
    engine: Arc<promql::Engine>,
    active_queries: Option<Arc<ActiveQueries>>,
    query_log: Arc<QueryLog>,
    scraper: Arc<ScrapeManager>,
    rules: Arc<RuleManager>,
    notifiers: Arc<FanOut>,
    alertmanager: Option<Arc<Alertmanager>>,
    alertmanagers: Arc<Alertmanagers>,
    config_yaml: Arc<ArcSwap<String>>,
    /// What the `otlp` section says.
    otlp: Arc<ArcSwap<remote::otlp::Options>>,
    runtime: Arc<api::RuntimeInfo>,
    reload_metrics: ReloadMetrics,
    tracing: Tracing,
}

struct ReloadMetrics {
    successful: Gauge,
    success_time: Gauge,
}

/// A configuration whose every part was understood: applying it cannot fail any more.
struct Checked {
    groups: Vec<GroupConfig>,
    alertmanager: Option<AlertmanagerConfig>,
}

impl Server {
    async fn start(
        settings: Settings,
        loaded: &Loaded,
        checked: Checked,
        db: Arc<Db>,
        registry: Registry,
        tracing: Tracing,
    ) -> anyhow::Result<Server> {
        let tracer = tracing.tracer();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let engine = Arc::new(
            promql::Engine::new(settings.engine.clone(), &registry)
                .with_features(settings.features),
        );
        engine.set_concurrent_max(settings.query_concurrency as f64);
        let alertmanagers = Alertmanagers::new(
            settings.alertmanagers(&loaded.dir, tracer.clone()),
            &registry,
        );
        let alertmanager = match checked.alertmanager.clone() {
            Some(config) => {
                let options = AlertmanagerOptions {
                    clock: Arc::clone(&clock),
                    registry: registry.clone(),
                    external_url: settings.external_url.clone(),
                    dispatch: DispatchOptions::default(),
                    storage: Some(settings.data_dir.join(ALERTMANAGER_DIR)),
                    cluster: settings.cluster.clone(),
                };
                let started = Alertmanager::start(config, options);
                Some(Arc::new(started.map_err(|reason| {
                    anyhow::anyhow!("start the Alertmanager: {reason}")
                })?))
            }
            None => None,
        };
        let mut targets: Vec<Arc<dyn Notifier>> = vec![alertmanagers.sender()];
        targets.extend(alertmanager.as_ref().map(|built_in| built_in.handle()));
        let notifiers = Arc::new(FanOut::new(targets));
        let slots = settings.query_concurrency + active_queries::RULE_SLOTS;
        let active_queries = ActiveQueries::start(&settings.data_dir, slots);
        let query_log = Arc::new(QueryLog::new(&registry));
        let query = EngineQuery::new(Arc::clone(&engine), Arc::clone(&db) as _);
        let rule_query = RuleQueries {
            query: Arc::new(query),
            active: active_queries.clone(),
            log: Arc::clone(&query_log),
            clock: Arc::clone(&clock),
            tracer: tracer.clone(),
            group: None,
        };
        let rules = Arc::new(RuleManager::new(RuleManagerOptions {
            storage: Arc::clone(&db) as _,
            queryable: Arc::clone(&db) as _,
            query: Arc::new(rule_query),
            clock: Arc::clone(&clock),
            registry: registry.clone(),
            notifier: Arc::clone(&notifiers) as Arc<dyn Notifier>,
            resend_delay: settings.resend_delay,
            restore: RestoreOptions {
                outage_tolerance: settings.for_outage_tolerance,
                grace_period: settings.for_grace_period,
            },
            concurrency: settings.rule_concurrency,
            tracer: tracer.clone(),
        }));
        let scraper = ScrapeManager::new(
            Arc::clone(&db) as _,
            Arc::clone(&clock),
            &registry,
            settings.scrape_options(&loaded.dir, tracer.clone()),
        )
        .context("start the threads that scrape")?;
        let server = Server {
            active_queries,
            query_log,
            runtime: Arc::new(runtime_info(
                clock.now_ms(),
                retention_text(&settings, loaded),
            )),
            reload_metrics: ReloadMetrics::new(&registry),
            settings,
            registry,
            clock,
            db,
            engine,
            scraper: Arc::new(scraper),
            rules,
            notifiers,
            alertmanager,
            alertmanagers: Arc::new(alertmanagers),
            config_yaml: Arc::default(),
            otlp: Arc::default(),
            tracing,
        };
        // The Alertmanager was started with its configuration just now.
        let checked = Checked {
            alertmanager: None,
            ..checked
        };
        server.apply(loaded, checked).await?;
        Ok(server)
    }

    /// Waits for the end, and reloads meanwhile.
    async fn serve(
        &self,
        mut requests: mpsc::Receiver<ReloadRequest>,
        mut signals: tokio::signal::unix::Signal,
        mut stop: tokio::task::JoinHandle<std::io::Result<()>>,
        quit: &CancellationToken,
        mut seen: Option<u64>,
    ) -> anyhow::Result<()> {
        let mut watch = self
            .settings
            .auto_reload_interval
            .map(|every| tokio::time::interval(every.to_std()));
        loop {
            tokio::select! {
                stopped = &mut stop => return stopped.context("wait for signals")?.context("install signal handlers"),
                () = quit.cancelled() => return Ok(()),
                Some(()) = signals.recv() => drop(self.reload().await),
                Some(answer) = requests.recv() => {
                    // Whoever asked may be gone by now; the reload counts all the same.
                    let _ = answer.send(self.reload().await);
                }
                () = tick(&mut watch) => {
                    let now = Some(self.settings.files.fingerprint());
                    if now != seen {
                        drop(self.reload().await);
                    }
                    seen = now;
                }
            }
        }
    }

    /// Loads the configuration anew and applies it, or changes nothing and says why.
    async fn reload(&self) -> Result<(), String> {
        tracing::info!(config = %self.settings.files, "reloading");
        let outcome = self
            .try_reload()
            .await
            .map_err(|error| format!("{error:#}"));
        self.reload_metrics
            .successful
            .set(f64::from(u8::from(outcome.is_ok())));
        self.runtime
            .is_reloaded
            .store(outcome.is_ok(), Ordering::Relaxed);
        match &outcome {
            Ok(()) => tracing::info!("configuration reloaded"),
            Err(reason) => {
                tracing::error!(%reason, "the configuration was not reloaded; the one before stays in force")
            }
        }
        outcome
    }

    async fn try_reload(&self) -> anyhow::Result<()> {
        let loaded = self.settings.files.load()?;
        let checked = check(&self.settings, &loaded)?;
        self.apply(&loaded, checked).await
    }

    /// Goes over to `loaded`. What can fail comes first.
    async fn apply(&self, loaded: &Loaded, checked: Checked) -> anyhow::Result<()> {
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let global = &loaded.config.global;
        let alerting = &loaded.config.alerting;
        let alertmanagers = self.alertmanagers.prepare(alerting)?;
        let query_log = loaded.query_log().map(|path| {
            let opened = self.query_log.open(&path);
            opened.with_context(|| format!("open query_log_file {}", path.display()))
        });
        let query_log = query_log.transpose()?;
        let jobs = loaded.config.scrape_configs.clone();
        self.apply_alertmanager(checked.alertmanager)?;
        self.scraper.apply(jobs, global)?;
        self.query_log.replace(query_log);
        let relabel = alertmanagers::relabelling(&alerting.alert_relabel_configs);
        self.notifiers.set_relabel(relabel);
        self.alertmanagers.apply(alertmanagers);
        let labels = global
            .external_labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let settings = GroupSettings {
            interval: global.evaluation_interval(),
            query_offset: global.rule_query_offset(),
            external_labels: model::Labels::from_pairs(labels),
            external_url: self.settings.external_url.clone(),
        };
        self.rules.apply(checked.groups, settings).await;
        self.db
            .set_retention(loaded.retention(self.settings.storage.retention));
        self.db.set_late_window(loaded.late_window());
        self.db.set_stale_share_min(loaded.stale_share_min());
        let keeps_exemplars = self.settings.storage.keeps_exemplars;
        self.db
            .set_exemplars_max(loaded.exemplars_max(keeps_exemplars));
        self.tracing.apply(loaded.traces());
        self.otlp.store(Arc::new(loaded.otlp(self.settings.deltas)));
        self.config_yaml.store(Arc::new(loaded.printed.clone()));
        let now_ms = self.clock.now_ms();
        self.reload_metrics.successful.set(1.0);
        self.reload_metrics.success_time.set(now_ms as f64 / 1e3);
        self.runtime.is_reloaded.store(true, Ordering::Relaxed);
        self.runtime.reloaded_at_ms.store(now_ms, Ordering::Relaxed);
        Ok(())
    }

    fn apply_alertmanager(&self, config: Option<AlertmanagerConfig>) -> anyhow::Result<()> {
        let (Some(alertmanager), Some(config)) = (&self.alertmanager, config) else {
            return Ok(());
        };
        let applied = alertmanager.apply(config);
        applied.map_err(|reason| anyhow::anyhow!("alertmanager configuration: {reason}"))
    }

    fn api_state(&self) -> api::ApiState {
        let alertmanagers = Arc::clone(&self.alertmanagers);
        api::ApiState {
            storage: Arc::clone(&self.db) as _,
            db: Arc::clone(&self.db),
            is_admin_enabled: self.settings.admin,
            write: self.settings.remote_write.clone().map(|accepted| {
                let storage = Arc::clone(&self.db) as _;
                Arc::new(api::write::Receiver::new(accepted, storage, &self.registry))
            }),
            otlp: self.settings.has_otlp.then(|| {
                let (storage, options) = (Arc::clone(&self.db) as _, Arc::clone(&self.otlp));
                Arc::new(api::otlp::Receiver::new(options, storage, &self.registry))
            }),
            engine: Arc::clone(&self.engine),
            scraper: Arc::clone(&self.scraper),
            rules: Arc::clone(&self.rules),
            clock: Arc::clone(&self.clock),
            tracer: self.tracing.tracer().clone(),
            alertmanagers: Box::new(move || alertmanagers.urls()),
            alertmanager_api: self.alertmanager.as_ref().map(|alertmanager| {
                let options = alertmanager::api::ApiOptions {
                    gets_max: self.settings.query_concurrency,
                    prefix: self.settings.route_prefix.clone(),
                    started_at_ms: self.runtime.started_at_ms,
                };
                alertmanager::api::router(Arc::clone(alertmanager), &self.registry, options)
            }),
            query_permits: Arc::new(Semaphore::new(self.settings.query_concurrency)),
            at_once: api::AtOnce::new(tokio::runtime::Handle::current().metrics().num_workers()),
            active_queries: self.active_queries.clone(),
            query_log: Arc::clone(&self.query_log),
            query_timeout: self.settings.engine.timeout,
            has_per_step_stats: self.settings.has_per_step_stats,
            query_queue_seconds: api::query_queue_seconds(&self.registry),
            config_yaml: Arc::clone(&self.config_yaml),
            runtime: Arc::clone(&self.runtime),
        }
    }

    async fn stop(&self) {
        self.scraper.shutdown().await;
        self.rules.shutdown().await;
        self.alertmanagers.shutdown().await;
        if let Some(alertmanager) = &self.alertmanager {
            alertmanager.shutdown().await;
        }
    }
}

impl ReloadMetrics {
    fn new(registry: &Registry) -> Self {
        ReloadMetrics {
            successful: registry.gauge(
                "prometheus_config_last_reload_successful",
                "Whether the last configuration reload attempt was successful.",
            ),
            success_time: registry.gauge(
                "prometheus_config_last_reload_success_timestamp_seconds",
                "Timestamp of the last successful configuration reload.",
            ),
        }
    }
}

/// Understands what `loaded` and the files name that other rooms read.
fn check(settings: &Settings, loaded: &Loaded) -> Result<Checked, LoadError> {
    let mut groups = Vec::new();
    for file in &loaded.rules {
        let parsed = RuleFile::parse_with(&file.path, &file.text, &settings.features.syntax)
            .map_err(|error| LoadError::Rules {
                reason: error.to_string(),
            })?;
        for warning in &parsed.warnings {
            tracing::warn!("{warning}");
        }
        groups.extend(parsed.groups);
    }
    Ok(Checked {
        groups,
        alertmanager: settings.files.load_alertmanager()?,
    })
}

async fn tick(watch: &mut Option<tokio::time::Interval>) {
    match watch {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

async fn open_database(
    settings: &Settings,
    loaded: &Loaded,
    registry: &Registry,
    replay: &Arc<ReplayProgress>,
) -> anyhow::Result<Arc<Db>> {
    let options = settings.storage.options(loaded)?;
    let (dir, registry, replay): (PathBuf, _, _) = (
        settings.data_dir.clone(),
        registry.clone(),
        Arc::clone(replay),
    );
    let start = std::time::Instant::now();
    let opened =
        tokio::task::spawn_blocking(move || Db::open(&dir, &options, &registry, &replay)).await;
    let (db, report) = opened.context("open the database")??;
    for damage in &report.replay.damages {
        tracing::error!(%damage, "damaged data was set aside");
    }
    for damage in &report.block_damages {
        tracing::warn!(%damage, "a block is damaged");
    }
    for (path, error) in &report.failed_blocks {
        let error: &dyn std::error::Error = error;
        tracing::error!(block = %path.display(), error, "a block cannot be opened; its samples are not served");
    }
    let report = report.replay;
    if 0 < report.orphan_samples || 0 < report.orphan_chunks {
        let (samples, chunks) = (report.orphan_samples, report.orphan_chunks);
        tracing::warn!(
            samples,
            chunks,
            "data of series without labels was passed over"
        );
    }
    let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        samples = report.samples,
        series = db.stats().series,
        elapsed_ms,
        "database opened"
    );
    Ok(db)
}

/// Returns what is kept, as `/api/v1/status/runtimeinfo` says it.
fn retention_text(settings: &Settings, loaded: &Loaded) -> String {
    let retention = loaded.retention(settings.storage.retention);
    let time = (!retention.time.is_zero()).then(|| retention.time.to_string());
    let bytes = model::size::ByteSize(retention.bytes);
    let size = (0 < retention.bytes).then(|| bytes.to_string());
    let percentage = retention.disk_percentage;
    let share = (0.0 < percentage).then(|| format!("{percentage}%"));
    let limits: Vec<String> = time.into_iter().chain(share.or(size)).collect();
    limits.join(" or ")
}

fn runtime_info(now_ms: i64, storage_retention: String) -> api::RuntimeInfo {
    api::RuntimeInfo {
        started_at_ms: now_ms,
        cwd: std::env::current_dir()
            .unwrap_or_default()
            .display()
            .to_string(),
        hostname: settings::hostname(),
        storage_retention,
        is_reloaded: true.into(),
        reloaded_at_ms: now_ms.into(),
    }
}

fn build_info(registry: &Registry) {
    let info = registry.gauge_vec(
        "prometheus_build_info",
        "A metric with a constant '1' value labeled by version, revision, branch, goversion from which prometheus was built, and the goos and goarch for the build.",
        &["version", "revision", "branch", "goversion", "goos", "goarch", "tags"],
    );
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    info.with(&[http::PROMETHEUS_VERSION, "", "", "", os, arch, "hearth"])
        .set(1.0);
}
