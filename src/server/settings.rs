//! Flags turned into what the rooms are started with: parsing what was typed is over, this decides what it means.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration as StdDuration;

use alertmanager::cluster::ClusterOptions;
use alertmanager::config::{AlertmanagerConfig, MatcherMode};
use alertmanager::notify::SenderOptions;
use anyhow::Context as _;
use model::Duration;
use model::trace::Tracer;
use remote::otlp::Deltas;
use remote::write::Version;
use scraper::{GlobalUrl, ScrapeOptions, StartOptions};

use crate::alertmanagers;
use crate::cli::cluster::CLUSTER_LISTEN;
use crate::cli::flag::Values;
use crate::cli::server::UNBUILT;
use crate::cluster;
use crate::config::{self, LoadError, Loaded, load_alertmanager};

mod storage;

pub(crate) use storage::StorageSettings;

/// More at once than this would be no limit at all.
const CONCURRENCY_MAX: usize = 10_000;

/// What is read when nobody says which configuration.
const DEFAULT_FILE: &str = "prometheus.yml";

/// Alerts in one request where the flag says none, as in Prometheus.
const BATCH_DEFAULT: usize = 256;

/// What the server is started with.
pub(crate) struct Settings {
    /// The configuration files.
    pub(crate) files: Files,
    /// Addresses to listen on, at least one.
    pub(crate) listen: Vec<String>,
    /// All flags as text.
    pub(crate) flags: std::collections::BTreeMap<String, String>,
    /// Connections that may be open at once.
    pub(crate) connections_max: usize,
    /// The file of TLS and authentication; none, if empty.
    pub(crate) web_config: String,
    /// How long a request's head may take, and a connection be idle.
    pub(crate) read_timeout: StdDuration,
    /// Where others reach this server, without a slash at the end.
    pub(crate) external_url: String,
    /// Path prefix of all routes: empty, or beginning with a slash and not ending with one.
    pub(crate) route_prefix: String,
    /// Whether `/-/reload` and `/-/quit` may be used.
    pub(crate) lifecycle: bool,
    /// Origins that browsers may call from.
    pub(crate) cors_origin: regex::Regex,
    /// The data directory.
    pub(crate) data_dir: PathBuf,
    /// Whether series may be deleted and snapshots taken.
    pub(crate) admin: bool,
    /// The messages of remote write that are taken; `None` when the receiver is off.
    pub(crate) remote_write: Option<Vec<Version>>,
    /// Whether OTLP metrics are taken.
    pub(crate) has_otlp: bool,
    /// What becomes of OTLP metrics of delta temporality.
    pub(crate) deltas: Deltas,
    /// The database.
    pub(crate) storage: StorageSettings,
    /// The engine.
    pub(crate) engine: promql::EngineOptions,
    /// PromQL behind feature flags.
    pub(crate) features: promql::Features,
    /// What scrapes do with start timestamps.
    starts: StartOptions,
    /// Whether answers may have the samples of each step.
    pub(crate) has_per_step_stats: bool,
    /// Queries that may run at once.
    pub(crate) query_concurrency: usize,
    /// How late a scrape may be and still get the time that it was due.
    pub(crate) timestamp_tolerance: Duration,
    /// How long changes of discovered targets are collected.
    pub(crate) discovery_reload_interval: Duration,
    /// Rules.
    pub(crate) resend_delay: Duration,
    /// Rules.
    pub(crate) for_outage_tolerance: Duration,
    /// Rules.
    pub(crate) for_grace_period: Duration,
    /// Rule groups that may be evaluated at once.
    pub(crate) rule_concurrency: usize,
    /// How the built-in Alertmanager takes part in a cluster; without it, it stands alone.
    pub(crate) cluster: Option<ClusterOptions>,
    /// How alerts wait for Alertmanagers.
    pub(crate) sender: SenderOptions,
    /// How often to look for changes of the configuration.
    pub(crate) auto_reload_interval: Option<Duration>,
    /// What was asked for and is not built yet.
    pub(crate) warnings: Vec<String>,
}

/// The command line is wrong.
#[derive(Debug, thiserror::Error)]
#[error("wrong command line")]
pub(crate) struct UsageError;

impl Settings {
    /// Decides what the flags mean.
    ///
    /// # Errors
    ///
    /// [`UsageError`] with the reason: they ask for what would be dangerous to leave out, or make no sense.
    pub(crate) fn of(values: &Values) -> anyhow::Result<Settings> {
        Self::decide(values).map_err(|reason| reason.context(UsageError))
    }

    fn decide(values: &Values) -> anyhow::Result<Settings> {
        anyhow::ensure!(!values.is_on("agent"), "--agent is not built yet");
        let listen = match values.list("web.listen-address") {
            [] => vec!["0.0.0.0:9090".to_owned()],
            given => given.to_vec(),
        };
        let port = listen_port(&listen[0], 9090);
        let external_url = external_url(values.text("web.external-url"), port)?;
        let cors = values.text("web.cors.origin");
        let cors_origin = model::matcher::compile_anchored(cors)
            .with_context(|| format!("--web.cors.origin={cors}"))?;
        let features: Vec<&str> = values
            .list("enable-feature")
            .iter()
            .flat_map(|list| list.split(','))
            .collect();
        let bytes = |flag| usize::try_from(values.size(flag).0).unwrap_or(usize::MAX);
        Ok(Settings {
            files: Files::of(values, port, &features),
            flags: values.printed(),
            connections_max: values.integer("web.max-connections"),
            web_config: values.text("web.config.file").to_owned(),
            read_timeout: values.duration("web.read-timeout").to_std(),
            route_prefix: route_prefix(values.text("web.route-prefix"), &external_url)?,
            external_url,
            lifecycle: values.is_on("web.enable-lifecycle"),
            cors_origin,
            data_dir: PathBuf::from(values.text("storage.tsdb.path")),
            admin: values.is_on("web.enable-admin-api"),
            remote_write: remote_write(values)?,
            has_otlp: values.is_on("web.enable-otlp-receiver"),
            deltas: deltas(&features)?,
            storage: StorageSettings::of(values, &features)?,
            engine: promql::EngineOptions {
                lookback_ms: values.duration("query.lookback-delta").as_ms(),
                max_samples: values.integer("query.max-samples"),
                bytes_max: bytes("query.max-bytes"),
                bytes_total_max: bytes("query.max-total-bytes"),
                timeout: values.duration("query.timeout").to_std(),
                default_subquery_step_ms: 60_000,
            },
            features: promql_features(&features),
            starts: StartOptions {
                reads: prefers_protobuf(&features) || features.contains(&"st-synthesis"),
                synthesizes: features.contains(&"st-synthesis"),
            },
            has_per_step_stats: features.contains(&"promql-per-step-stats"),
            query_concurrency: values
                .integer("query.max-concurrency")
                .clamp(1, CONCURRENCY_MAX),
            timestamp_tolerance: match values.is_on("scrape.adjust-timestamps") {
                true => values.duration("scrape.timestamp-tolerance"),
                false => Duration::ZERO,
            },
            discovery_reload_interval: values.duration("scrape.discovery-reload-interval"),
            resend_delay: values.duration("rules.alert.resend-delay"),
            cluster: cluster::options(values),
            sender: sender_options(values),
            for_outage_tolerance: values.duration("rules.alert.for-outage-tolerance"),
            for_grace_period: values.duration("rules.alert.for-grace-period"),
            rule_concurrency: values
                .integer("rules.max-concurrent-evals")
                .clamp(1, CONCURRENCY_MAX),
            auto_reload_interval: (values.is_on("config.auto-reload")
                || features.contains(&"auto-reload-config"))
            .then(|| {
                values
                    .duration("config.auto-reload-interval")
                    .max(Duration::from_secs(1))
            }),
            warnings: warnings(values, &features),
            listen,
        })
    }
}

/// Returns which messages of remote write are taken.
fn remote_write(values: &Values) -> anyhow::Result<Option<Vec<Version>>> {
    const MESSAGES: &str = "web.remote-write-receiver.accepted-protobuf-messages";
    let named = values
        .list(MESSAGES)
        .iter()
        .map(|name| Version::parse(name));
    let named: Result<Vec<Version>, String> = named.collect();
    let named = named.map_err(|why| anyhow::anyhow!("--{MESSAGES}: {why}"))?;
    if !values.is_on("web.enable-remote-write-receiver") {
        return Ok(None);
    }
    Ok(Some(match named.is_empty() {
        true => Version::ALL.to_vec(),
        false => named,
    }))
}

/// Returns what becomes of OTLP metrics of delta temporality.
fn deltas(features: &[&str]) -> anyhow::Result<Deltas> {
    let adds_up = features.contains(&"otlp-deltatocumulative");
    let keeps = features.contains(&"otlp-native-delta-ingestion");
    match (adds_up, keeps) {
        (true, true) => anyhow::bail!(
            "cannot enable otlp-deltatocumulative and otlp-native-delta-ingestion features at the same time"
        ),
        (true, false) => Ok(Deltas::AddedUp),
        (false, true) => Ok(Deltas::Kept),
        (false, false) => Ok(Deltas::LeftOut),
    }
}

/// Returns this machine's name.
pub(crate) fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

fn warnings(values: &Values, features: &[&str]) -> Vec<String> {
    /// Features that are on or without meaning here.
    const KNOWN: &[&str] = &[
        "promql-experimental-functions",
        "promql-extended-range-selectors",
        "promql-binop-fill-modifiers",
        "promql-delayed-name-removal",
        "promql-duration-expr",
        "promql-per-step-stats",
        "native-histograms",
        "auto-reload-config",
        "xor2-encoding",
        "exemplar-storage",
        "metadata-wal-records",
        "use-start-timestamps",
        "created-timestamp-zero-ingestion",
        "st-storage",
        "histograms-st-encoding",
        "st-synthesis",
        "otlp-deltatocumulative",
        "otlp-native-delta-ingestion",
        "",
    ];
    let unbuilt = UNBUILT
        .iter()
        .filter(|name| values.is_given(name))
        .map(|name| format!("--{name} is not built yet and has no effect"));
    let unknown = features
        .iter()
        .filter(|name| !KNOWN.contains(name))
        .map(|name| {
            format!("--enable-feature={name} is unknown or not built yet and has no effect")
        });
    let has_alertmanager = !values.text("alertmanager.config.file").is_empty();
    let has_cluster = !values.text(CLUSTER_LISTEN).is_empty();
    let no_member = (has_cluster && !has_alertmanager).then(|| {
        format!("--{CLUSTER_LISTEN} has no effect: there is no built-in Alertmanager without --alertmanager.config.file")
    });
    let alone = cluster::warning(values);
    unbuilt
        .chain(unknown)
        .chain(no_member)
        .chain(alone)
        .collect()
}

/// Returns whether somebody is interested in start timestamps of targets: protobuf says them without further lines, and is
/// asked for first then.
fn prefers_protobuf(features: &[&str]) -> bool {
    ["st-storage", "created-timestamp-zero-ingestion"]
        .iter()
        .any(|feature| features.contains(feature))
}

pub(crate) fn promql_features(names: &[&str]) -> promql::Features {
    promql::Features {
        syntax: promql::ParseOptions {
            experimental_functions: names.contains(&"promql-experimental-functions"),
            extended_range_selectors: names.contains(&"promql-extended-range-selectors"),
            fill_modifiers: names.contains(&"promql-binop-fill-modifiers"),
        },
        delayed_name_removal: names.contains(&"promql-delayed-name-removal"),
        use_start_timestamps: names.contains(&"use-start-timestamps"),
    }
}

impl Settings {
    fn global_url(&self) -> GlobalUrl {
        let (scheme, rest) = self.external_url.split_once("://").unwrap_or(("http", ""));
        GlobalUrl {
            scheme: scheme.to_owned(),
            host: rest.split('/').next().unwrap_or_default().to_owned(),
            listen_port: listen_port(&self.listen[0], 9090),
        }
    }

    /// Returns what the scraper is started with; relative file names start from `base_dir`.
    pub(crate) fn scrape_options(&self, base_dir: &Path, tracer: Tracer) -> ScrapeOptions {
        ScrapeOptions {
            base_dir: base_dir.to_owned(),
            hostname: hostname(),
            user_agent: concat!("Prometheus/3.5.0 (Hearth/", env!("CARGO_PKG_VERSION"), ")")
                .to_owned(),
            timestamp_tolerance: self.timestamp_tolerance.to_std(),
            discovery_reload_interval: self.discovery_reload_interval.to_std(),
            global_url: self.global_url(),
            starts: self.starts,
            tracer,
        }
    }

    /// Returns what the Alertmanagers' discovery and queues are started with; relative file names start from `base_dir`.
    pub(crate) fn alertmanagers(&self, base_dir: &Path, tracer: Tracer) -> alertmanagers::Options {
        alertmanagers::Options {
            base_dir: base_dir.to_owned(),
            sender: self.sender,
            pause: self.discovery_reload_interval.to_std(),
            tracer,
        }
    }
}

fn sender_options(values: &Values) -> SenderOptions {
    SenderOptions {
        queue_capacity: values.integer("alertmanager.notification-queue-capacity"),
        batch_max: match values.integer("alertmanager.notification-batch-size") {
            0 => BATCH_DEFAULT,
            given => given,
        },
        drains_at_end: values.is_on("alertmanager.drain-notification-queue-on-shutdown"),
    }
}

/// Returns the port of an address to listen on, or `default` if it has none.
pub(crate) fn listen_port(address: &str, default: u16) -> u16 {
    address
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .unwrap_or(default)
}

/// Returns where others reach the server, without a slash at the end.
///
/// # Errors
///
/// When it is no URL.
pub(crate) fn external_url(given: &str, port: u16) -> anyhow::Result<String> {
    if given.is_empty() {
        return Ok(format!("http://{}:{port}", hostname()));
    }
    anyhow::ensure!(
        given.starts_with("http://") || given.starts_with("https://") || given.starts_with('/'),
        "--web.external-url={given}: must be a URL like http://example.com:9090/prefix"
    );
    Ok(given.trim_end_matches('/').to_owned())
}

/// Returns the path of a URL, without a slash at the end.
pub(crate) fn url_path(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    after_scheme
        .find('/')
        .map_or("", |at| after_scheme[at..].trim_end_matches('/'))
}

/// Returns what all paths begin with: empty, or beginning with a slash and not ending with one.
///
/// # Errors
///
/// When no route can have it.
pub(crate) fn route_prefix(given: &str, external_url: &str) -> anyhow::Result<String> {
    let path = if given.is_empty() {
        url_path(external_url)
    } else {
        given
    };
    let is_plain =
        |segment: &str| !segment.contains(['{', '}', '?', '#']) && !segment.starts_with([':', '*']);
    anyhow::ensure!(
        path.split('/').all(is_plain),
        "the path {path:?} of --web.route-prefix or --web.external-url has a character that no route can have"
    );
    Ok(match path.trim_matches('/') {
        "" => String::new(),
        path => format!("/{path}"),
    })
}

/// The configuration files of this run.
pub(crate) struct Files {
    /// The main file; `None` is the built-in configuration.
    main: Option<PathBuf>,
    alertmanager: Option<PathBuf>,
    listen_port: u16,
    features: config::Features,
}

impl Files {
    fn of(values: &Values, listen_port: u16, features: &[&str]) -> Files {
        let given = |name: &str| {
            Some(values.text(name))
                .filter(|text| !text.is_empty())
                .map(PathBuf::from)
        };
        let default = || {
            Path::new(DEFAULT_FILE)
                .exists()
                .then(|| PathBuf::from(DEFAULT_FILE))
        };
        Files {
            main: given("config.file").or_else(default),
            alertmanager: given("alertmanager.config.file"),
            listen_port,
            features: config::Features {
                prefers_protobuf: prefers_protobuf(features),
            },
        }
    }

    /// Loads the main configuration with all that it names.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub(crate) fn load(&self) -> Result<Loaded, LoadError> {
        match &self.main {
            Some(path) => Loaded::from_file(path, self.features),
            None => Ok(Loaded::built_in(self.listen_port, &hostname())),
        }
    }

    /// Loads the configuration of the built-in Alertmanager, if there is one.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub(crate) fn load_alertmanager(&self) -> Result<Option<AlertmanagerConfig>, LoadError> {
        let path = self.alertmanager.as_deref();
        let load = |path: &Path| load_alertmanager(path, MatcherMode::default());
        path.map(load).transpose()
    }

    /// Returns a number that changes when the content of the files changes: they, and the rule files they name.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for path in [&self.main, &self.alertmanager].into_iter().flatten() {
            std::fs::read(path).ok().hash(&mut hasher);
        }
        if let Ok(loaded) = self.load() {
            for file in &loaded.rules {
                (&file.path, &file.text).hash(&mut hasher);
            }
            format!("{:?}", loaded.config).hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.main {
            Some(path) => write!(f, "{}", path.display()),
            None => f.write_str("built-in"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_come_from_the_flag_or_the_external_url() {
        assert_eq!(route_prefix("", "http://h:1").unwrap(), "");
        assert_eq!(route_prefix("", "http://h:1/prom").unwrap(), "/prom");
        assert_eq!(route_prefix("/", "http://h:1/prom").unwrap(), "");
        assert_eq!(route_prefix("x/y/", "http://h").unwrap(), "/x/y");
        assert!(route_prefix("/{x}", "http://h").is_err());
    }

    #[test]
    fn deltas_are_left_out_kept_or_added_up() {
        assert_eq!(deltas(&["native-histograms"]).unwrap(), Deltas::LeftOut);
        let adds_up = deltas(&["otlp-deltatocumulative"]).unwrap();
        assert_eq!(adds_up, Deltas::AddedUp);
        let keeps = deltas(&["otlp-native-delta-ingestion"]).unwrap();
        assert_eq!(keeps, Deltas::Kept);
        let both = ["otlp-native-delta-ingestion", "otlp-deltatocumulative"];
        assert!(deltas(&both).is_err());
    }
}
