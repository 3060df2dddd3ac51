//! The configuration file: sections put together, files that it names found, and errors that say where.
//!
//! Each section's type lives in the crate that obeys it. Loading is all or nothing: a configuration is either wholly
//! good, or refused with the file, the line and what is wrong, and then nothing changes.

mod alerting;
pub(crate) mod glob;
mod otlp;
mod remote_read;
mod remote_section;
mod remote_write;
mod storage;
mod tracing;

use std::path::{Path, PathBuf};

use alertmanager::config::{AlertmanagerConfig, MatcherMode};
use model::Duration;
use model::de::or_default;
use scraper::config::yaml::{self, YamlError};
use scraper::config::{GlobalConfig, ScrapeConfig};
use serde::{Deserialize, Serialize};

use crate::files::read_bounded;
pub(crate) use alerting::{AlertingConfig, AlertmanagersConfig};
use otlp::OtlpConfig;
use remote_read::RemoteReadConfig;
use remote_write::RemoteWriteConfig;
pub(crate) use storage::FloatEncoding;
use storage::{ExemplarsConfig, StorageConfig};
use tracing::TracingConfig;

/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// How long samples are kept when nobody says.
pub(crate) const DEFAULT_RETENTION: Duration = Duration::from_secs(15 * 86_400);

/// What `hearth` runs without a configuration file.
pub(crate) const BUILT_IN: &str = include_str!("config/built_in.yml");
/// The alert rules that it evaluates then.
pub(crate) const BUILT_IN_RULES: &str = include_str!("config/built_in_rules.yml");

/// A configuration as it is written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// What the other sections inherit.
    #[serde(deserialize_with = "or_default")]
    pub(crate) global: GlobalConfig,
    /// Accepted; there is no Go runtime here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runtime: Option<RuntimeConfig>,
    /// Where alerts are sent.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub(crate) alerting: AlertingConfig,
    /// Globs of rule files, relative to this file.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub(crate) rule_files: Vec<String>,
    /// Globs of files with further scrape configs.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub(crate) scrape_config_files: Vec<String>,
    /// Jobs.
    #[serde(
        deserialize_with = "scrape_configs",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(crate) scrape_configs: Vec<ScrapeConfig>,
    /// Storage settings.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub(crate) storage: StorageConfig,
    /// Where samples are sent; not built yet.
    #[serde(
        deserialize_with = "remote_section::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(crate) remote_write: Vec<RemoteWriteConfig>,
    /// Where samples are read; not built yet.
    #[serde(
        deserialize_with = "remote_section::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(crate) remote_read: Vec<RemoteReadConfig>,
    /// Where spans are sent; not built yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tracing: Option<TracingConfig>,
    /// What becomes of OTLP metrics.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub(crate) otlp: OtlpConfig,
}

/// Settings of Go's runtime.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RuntimeConfig {
    /// Accepted; has no effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gogc: Option<i64>,
}

/// A configuration that is wholly good.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// The sections, defaults filled in; scrape configs of other files included.
    pub(crate) config: Config,
    /// As YAML, secrets hidden: what `/api/v1/status/config` shows.
    pub(crate) printed: String,
    /// Rule files with their content.
    pub(crate) rules: Vec<RuleFile>,
    /// What relative paths are relative to.
    pub(crate) dir: PathBuf,
    /// One line for each thing that is configured and not built yet.
    pub(crate) warnings: Vec<String>,
}

/// A rule file.
#[derive(Clone, Debug)]
pub(crate) struct RuleFile {
    /// Where it is.
    pub(crate) path: String,
    /// What is in it.
    pub(crate) text: String,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// A file cannot be read.
    #[error("read {path}: {reason}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// It is no configuration.
    #[error("parsing YAML file {path}: {error}")]
    Yaml {
        /// Which file.
        path: String,
        /// Where and what.
        error: YamlError,
    },
    /// A rule file is wrong.
    #[error("loading groups failed: {reason}")]
    Rules {
        /// File, line and what, for each fault.
        reason: String,
    },
    /// The Alertmanager's configuration is wrong.
    #[error("parsing Alertmanager configuration {path}: {reason}")]
    Alertmanager {
        /// Which file.
        path: String,
        /// Where and what.
        reason: String,
    },
    /// Its parts make no sense together.
    #[error("parsing YAML file {path}: {}{reason}", line.map(|l| format!("line {l}: ")).unwrap_or_default())]
    Invalid {
        /// Which file.
        path: String,
        /// The line of the job that it is about, if one is.
        line: Option<usize>,
        /// What.
        reason: String,
    },
}

/// What the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All of it.
    Server,
    /// Only scrapes and sends on: no queries, rules and alerts.
    Agent,
}

/// What features of the command line change in the configuration's defaults.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Features {
    /// Protobuf is asked for first.
    pub(crate) prefers_protobuf: bool,
}

impl Config {
    /// Reads the main file, looking at no other; `name` is what errors call it. Returns it with its defaults.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub(crate) fn parse(text: &str, name: &str, mode: Mode) -> Result<Config, LoadError> {
        Self::parse_with(text, name, mode, Features::default())
    }

    fn parse_with(
        text: &str,
        name: &str,
        mode: Mode,
        features: Features,
    ) -> Result<Config, LoadError> {
        let parsed = yaml::parse::<Option<Config>>(text).map_err(|error| LoadError::Yaml {
            path: name.to_owned(),
            error,
        })?;
        let mut config = parsed.unwrap_or_default();
        config.global.prefers_protobuf = features.prefers_protobuf;
        let invalid = |reason: String, job: &str| LoadError::Invalid {
            path: name.to_owned(),
            line: job_line(text, job),
            reason,
        };
        config
            .global
            .finish(&|name| std::env::var(name).ok())
            .map_err(|error| invalid(error.to_string(), ""))?;
        for job in &mut config.scrape_configs {
            job.finish(&config.global)
                .map_err(|error| invalid(error.to_string(), &job.job_name))?;
        }
        check_job_names(&config.scrape_configs).map_err(|(reason, job)| invalid(reason, &job))?;
        config.check(mode).map_err(|reason| invalid(reason, ""))?;
        Ok(config)
    }

    /// Checks the sections that are not about scraping.
    fn check(&self, mode: Mode) -> Result<(), String> {
        if mode == Mode::Agent {
            let alerting = &self.alerting;
            let has_alerting =
                !alerting.alertmanagers.is_empty() || !alerting.alert_relabel_configs.is_empty();
            let refused = [
                ("alerting", has_alerting),
                ("rule_files", !self.rule_files.is_empty()),
                ("remote_read", !self.remote_read.is_empty()),
            ];
            if let Some((field, _)) = refused.iter().find(|(_, is_given)| *is_given) {
                return Err(format!("field {field} is not allowed in agent mode"));
            }
        }
        for (key, what, patterns) in [
            ("rule_files", "rule file", &self.rule_files),
            (
                "scrape_config_files",
                "scrape config file",
                &self.scrape_config_files,
            ),
        ] {
            for pattern in patterns {
                glob::check(pattern).map_err(|reason| {
                    format!("{key}: invalid {what} path {pattern:?}: {reason}")
                })?;
            }
        }
        let names = self.global.metric_name_validation_scheme;
        self.otlp.check(names.unwrap_or_default())?;
        self.alerting.check()
    }

    /// Returns the scrape configs of the files that `scrape_config_files` names, relative to `dir`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong; a job's name that is there twice is wrong.
    pub(crate) fn read_scrape_config_files(
        &self,
        dir: &Path,
        name: &str,
    ) -> Result<Vec<ScrapeConfig>, LoadError> {
        #[derive(Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct File {
            #[serde(deserialize_with = "scrape_configs")]
            scrape_configs: Vec<ScrapeConfig>,
        }
        let mut jobs = self.scrape_configs.clone();
        for pattern in &self.scrape_config_files {
            for path in expand(dir, pattern, "scrape_config_files", name)? {
                let shown = path.display().to_string();
                let text = read(&path)?;
                let file = yaml::parse::<Option<File>>(&text).map_err(|error| LoadError::Yaml {
                    path: shown.clone(),
                    error,
                })?;
                let invalid = |reason: String, job: &str| LoadError::Invalid {
                    path: shown.clone(),
                    line: job_line(&text, job),
                    reason,
                };
                for mut job in file.unwrap_or_default().scrape_configs {
                    job.finish(&self.global)
                        .map_err(|error| invalid(error.to_string(), &job.job_name))?;
                    jobs.push(job);
                }
                check_job_names(&jobs).map_err(|(reason, job)| invalid(reason, &job))?;
            }
        }
        Ok(jobs.split_off(self.scrape_configs.len()))
    }
}

impl Loaded {
    /// Loads the configuration file at `path` with everything that it names.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub(crate) fn from_file(path: &Path, features: Features) -> Result<Loaded, LoadError> {
        let dir = path.parent().unwrap_or(Path::new("")).to_owned();
        Self::with_features(&read(path)?, &path.display().to_string(), &dir, features)
    }

    /// Returns what runs without a configuration file.
    pub(crate) fn built_in(listen_port: u16, hostname: &str) -> Loaded {
        let text = BUILT_IN
            .replace("{port}", &listen_port.to_string())
            .replace("{hostname}", hostname);
        let mut loaded = Self::from_text(&text, "built-in configuration", Path::new(""))
            .expect("tested to be a configuration");
        loaded.rules.push(RuleFile {
            path: "built-in rules".to_owned(),
            text: BUILT_IN_RULES.to_owned(),
        });
        loaded
    }

    /// Loads a configuration from its text. `name` is what errors call it, relative paths in it start from `dir`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub(crate) fn from_text(text: &str, name: &str, dir: &Path) -> Result<Loaded, LoadError> {
        Self::with_features(text, name, dir, Features::default())
    }

    fn with_features(
        text: &str,
        name: &str,
        dir: &Path,
        features: Features,
    ) -> Result<Loaded, LoadError> {
        let config = Config::parse_with(text, name, Mode::Server, features)?;
        let printed = yaml::print(&config).map_err(|reason| LoadError::Invalid {
            path: name.to_owned(),
            line: None,
            reason,
        })?;
        let mut loaded = Loaded {
            config,
            printed,
            rules: Vec::new(),
            dir: dir.to_owned(),
            warnings: Vec::new(),
        };
        let files = loaded.config.read_scrape_config_files(dir, name)?;
        loaded.config.scrape_configs.extend(files);
        loaded.add_rule_files(name)?;
        loaded.warnings = loaded.unbuilt();
        Ok(loaded)
    }

    /// A file that two globs name is there once.
    fn add_rule_files(&mut self, name: &str) -> Result<(), LoadError> {
        for pattern in &self.config.rule_files {
            for file in expand(&self.dir, pattern, "rule_files", name)? {
                let path = file.display().to_string();
                if self.rules.iter().all(|rules| rules.path != path) {
                    self.rules.push(RuleFile {
                        path,
                        text: read(&file)?,
                    });
                }
            }
        }
        Ok(())
    }

    /// Returns what is kept: the configuration wins over the flags; without any limit the default time is one.
    pub(crate) fn retention(&self, flags: tsdb::Retention) -> tsdb::Retention {
        let section = &self.config.storage.tsdb.retention;
        let bytes = section.size.map_or(flags.bytes, |size| size.0);
        let by_flag = Some(flags.time).filter(|time| !time.is_zero());
        let disk_percentage = section.percentage.unwrap_or(0.0);
        let default = match bytes {
            0 if disk_percentage <= 0.0 => DEFAULT_RETENTION,
            _ => Duration::ZERO,
        };
        tsdb::Retention {
            time: section.time.or(by_flag).unwrap_or(default),
            bytes,
            disk_percentage,
        }
    }

    /// Returns how much older than the newest sample late ones may be.
    pub(crate) fn late_window(&self) -> Duration {
        let window = self.config.storage.tsdb.out_of_order_time_window;
        window.unwrap_or(Duration::ZERO)
    }

    /// Returns the share of series that have ended from which on they leave the head before their time; zero: never.
    pub(crate) fn stale_share_min(&self) -> f64 {
        let tsdb = &self.config.storage.tsdb;
        tsdb.stale_series_compaction_threshold.unwrap_or(0.0)
    }

    /// Returns how many exemplars are kept: those that the configuration says, or as many as are usual if
    /// `is_wanted` by flag; none otherwise.
    pub(crate) fn exemplars_max(&self, is_wanted: bool) -> usize {
        let wanted = is_wanted.then(ExemplarsConfig::default);
        let config = self.config.storage.exemplars.clone().or(wanted);
        config.map_or(0, |config| {
            usize::try_from(config.max_exemplars).unwrap_or(0)
        })
    }

    /// Returns what becomes of OTLP metrics.
    pub(crate) fn otlp(&self, deltas: remote::otlp::Deltas) -> remote::otlp::Options {
        self.config.otlp.options(deltas)
    }

    /// Returns where spans are sent, if they are.
    pub(crate) fn traces(&self) -> Option<net::trace::TraceOptions> {
        let tracing = self.config.tracing.as_ref();
        tracing.map(|tracing| tracing.options(&self.dir))
    }

    /// Returns how new chunks of floats are encoded, if the configuration says.
    pub(crate) fn float_encoding(&self) -> Option<FloatEncoding> {
        self.config.storage.tsdb.chunk_encoding?.floats
    }

    /// Returns the file that queries are logged in, if they are.
    pub(crate) fn query_log(&self) -> Option<PathBuf> {
        let file = self.config.global.query_log_file.as_ref();
        let file = file.filter(|file| !file.is_empty());
        file.map(|file| self.dir.join(file))
    }

    fn unbuilt(&self) -> Vec<String> {
        let config = &self.config;
        let sections = [
            ("remote_write", !config.remote_write.is_empty()),
            ("remote_read", !config.remote_read.is_empty()),
        ];
        let sections = sections
            .into_iter()
            .filter(|(_, given)| *given)
            .map(|(name, _)| name.to_owned());
        sections
            .map(|name| format!("{name} is not built yet and has no effect"))
            .collect()
    }
}

/// Returns what is wrong, and the name, when two jobs have the same.
fn check_job_names(jobs: &[ScrapeConfig]) -> Result<(), (String, String)> {
    let mut seen = std::collections::BTreeSet::new();
    let repeated = jobs.iter().find(|job| !seen.insert(&job.job_name));
    repeated.map_or(Ok(()), |job| {
        let name = job.job_name.clone();
        Err((
            format!("found multiple scrape configs with job name {name:?}"),
            name,
        ))
    })
}

fn read(path: &Path) -> Result<String, LoadError> {
    read_bounded(path, FILE_BYTES_MAX).map_err(|reason| LoadError::Read {
        path: path.display().to_string(),
        reason,
    })
}

fn expand(dir: &Path, pattern: &str, key: &str, name: &str) -> Result<Vec<PathBuf>, LoadError> {
    glob::expand(dir, pattern).map_err(|reason| LoadError::Invalid {
        path: name.to_owned(),
        line: None,
        reason: format!("{key}: {pattern:?}: {reason}"),
    })
}

/// Returns the line, from 1, on which the job is named.
fn job_line(text: &str, job: &str) -> Option<usize> {
    let names_job = |line: &str| {
        let value = line
            .trim_start_matches(['-', ' '])
            .strip_prefix("job_name:")
            .map(str::trim);
        value.is_some_and(|value| value.trim_matches(['"', '\'']) == job)
    };
    let found = text.lines().position(names_job).filter(|_| !job.is_empty());
    found.map(|index| index + 1)
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn scrape_configs<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Vec<ScrapeConfig>, D::Error> {
    model::de::non_null_list(from, "empty or null scrape config section")
}

/// Loads a configuration of the Alertmanager, whose matchers are in the language of `mode`.
///
/// # Errors
///
/// When it cannot be read, or the first thing that is wrong with it.
pub(crate) fn load_alertmanager(
    path: &Path,
    mode: MatcherMode,
) -> Result<AlertmanagerConfig, LoadError> {
    let text = read(path)?;
    let config = AlertmanagerConfig::parse_in(&text, mode);
    let mut config = config.map_err(|error| LoadError::Alertmanager {
        path: path.display().to_string(),
        reason: error.to_string(),
    })?;
    config.base_dir = path.parent().unwrap_or(Path::new("")).to_owned();
    for warning in &config.warnings {
        ::tracing::warn!("{warning}");
    }
    Ok(config)
}

#[cfg(test)]
mod tests;
