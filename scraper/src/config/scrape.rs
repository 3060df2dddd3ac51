//! One item of `scrape_configs`.

use std::collections::BTreeMap;

use model::Duration;
use model::de::non_null_list;
use model::size::ByteSize;
use serde::{Deserialize, Deserializer, Serialize};

use super::global::non_zero;
use super::{
    ConfigError, EscapingScheme, GlobalConfig, RelabelConfig, ScrapeProtocol, StaticConfig,
    ValidationScheme, check_target_address, protocol, sd,
};

for_each_mechanism! { with_discoveries {
    /// A job: which targets, how to scrape them, and what to make of what they say.
    ///
    /// Fields that are `None` were not given. After [`ScrapeConfig::finish`] the ones that have a default or inherit
    /// from `global` are there, and the accessors of the same name return them.
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    pub struct ScrapeConfig {
        /// The job's name, unique in the configuration; the default value of the label `job`.
        #[serde(deserialize_with = "model::de::or_default")]
        pub job_name: String,
        /// Whether labels of the target's own win over ours; otherwise theirs become `exported_…`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub honor_labels: Option<bool>,
        /// Whether timestamps of the target's own are used; yes, if not given.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub honor_timestamps: Option<bool>,
        /// Whether series with timestamps of their own get staleness markers too.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub track_timestamps_staleness: Option<bool>,
        /// Parameters of the URL.
        #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "model::de::or_default")]
        pub params: BTreeMap<String, Vec<String>>,
        /// How often to scrape.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub scrape_interval: Option<Duration>,
        /// How long a scrape may take.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub scrape_timeout: Option<Duration>,
        /// Formats to ask for, most wanted first.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub scrape_protocols: Option<Vec<String>>,
        /// The format of targets that do not say theirs.
        #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fallback")]
        pub fallback_scrape_protocol: Option<String>,
        /// Whether native histograms are taken; protobuf is asked for first then.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub scrape_native_histograms: Option<bool>,
        /// Whether classic histograms are taken also where a native one stands for them.
        #[serde(skip_serializing_if = "Option::is_none", alias = "scrape_classic_histograms")]
        pub always_scrape_classic_histograms: Option<bool>,
        /// Whether classic histograms are stored as native ones with custom buckets.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub convert_classic_histograms_to_nhcb: Option<bool>,
        /// Whether each scrape reports its limits and its size too.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub extra_scrape_metrics: Option<bool>,
        /// The path of the URL; `/metrics`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub metrics_path: Option<String>,
        /// `http` or `https`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub scheme: Option<String>,
        /// Whether compressed bodies are asked for; yes, if not given.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub enable_compression: Option<bool>,
        /// Where failed scrapes are logged; the file is opened anew at each reload.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub scrape_failure_log_file: Option<String>,
        /// How long a body may be, uncompressed; 0 is the built-in bound.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub body_size_limit: Option<ByteSize>,
        /// How many samples a scrape may bring after relabelling; 0 is any.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub sample_limit: Option<u64>,
        /// How many targets the job may have; 0 is any.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub target_limit: Option<u64>,
        /// How many labels a series may have; 0 is any.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub label_limit: Option<u64>,
        /// How many bytes a label name may have; 0 is any.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub label_name_length_limit: Option<u64>,
        /// How many bytes a label value may have; 0 is any.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub label_value_length_limit: Option<u64>,
        /// How many buckets a native histogram may have, at the coarsest resolution; 0 is any.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub native_histogram_bucket_limit: Option<u64>,
        /// By what factor the bounds of a native histogram grow at least from bucket to bucket.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub native_histogram_min_bucket_factor: Option<f64>,
        /// How many targets that relabelling dropped are remembered; 0 is all.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub keep_dropped_targets: Option<u64>,
        /// Which names are valid.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub metric_name_validation_scheme: Option<ValidationScheme>,
        /// How names outside the old character set are asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub metric_name_escaping_scheme: Option<EscapingScheme>,
        /// Targets listed right here.
        #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "static_configs")]
        pub static_configs: Vec<StaticConfig>,
        /// Rules that rewrite or drop targets.
        #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "target_rules")]
        pub relabel_configs: Vec<RelabelConfig>,
        /// Rules that rewrite or drop scraped series.
        #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "metric_rules")]
        pub metric_relabel_configs: Vec<RelabelConfig>,
    }
} }

impl ScrapeConfig {
    /// Fills in what is inherited from `global`, which must be finished, and checks the section.
    ///
    /// # Errors
    ///
    /// The first thing that makes no sense.
    pub fn finish(&mut self, global: &GlobalConfig) -> Result<(), ConfigError> {
        if self.job_name.is_empty() {
            return Err(ConfigError("job_name is empty".to_owned()));
        }
        self.finish_times(global)
            .map_err(|error| error.of_job(&self.job_name))?;
        self.finish_protocols(global)
            .map_err(|error| error.of_job(&self.job_name))?;
        self.finish_names(global)
            .map_err(|error| error.of_job(&self.job_name))?;
        self.inherit_limits(global);
        self.finish_http()?;
        self.check_static_targets()
    }

    fn finish_times(&mut self, global: &GlobalConfig) -> Result<(), ConfigError> {
        let interval = non_zero(self.scrape_interval).unwrap_or(global.scrape_interval());
        let timeout = match non_zero(self.scrape_timeout) {
            Some(timeout) if interval < timeout => {
                return Err(ConfigError(
                    "scrape timeout greater than scrape interval".to_owned(),
                ));
            }
            Some(timeout) => timeout,
            None => global.scrape_timeout().min(interval),
        };
        self.scrape_interval = Some(interval);
        self.scrape_timeout = Some(timeout);
        Ok(())
    }

    fn finish_protocols(&mut self, global: &GlobalConfig) -> Result<(), ConfigError> {
        if let Some(protocols) = &self.scrape_protocols {
            check_protocols(protocols)?;
        }
        if let Some(fallback) = &self.fallback_scrape_protocol
            && ScrapeProtocol::from_name(fallback).is_none()
        {
            let reason = protocol::unknown(fallback);
            return Err(ConfigError(format!(
                "invalid fallback_scrape_protocol: {reason}"
            )));
        }
        self.scrape_native_histograms = Some(
            self.scrape_native_histograms
                .or(global.scrape_native_histograms)
                .unwrap_or(false),
        );
        let native = self.scrape_native_histograms == Some(true);
        let chosen = self
            .scrape_protocols
            .take()
            .or_else(|| global.scrape_protocols.clone());
        let protobuf_first = native || global.prefers_protobuf;
        self.scrape_protocols = Some(chosen.unwrap_or_else(|| default_protocols(protobuf_first)));
        let inherit = |own: &mut Option<bool>, global: Option<bool>| {
            *own = Some(own.or(global).unwrap_or(false));
        };
        inherit(
            &mut self.always_scrape_classic_histograms,
            global.always_scrape_classic_histograms,
        );
        inherit(
            &mut self.convert_classic_histograms_to_nhcb,
            global.convert_classic_histograms_to_nhcb,
        );
        inherit(&mut self.extra_scrape_metrics, global.extra_scrape_metrics);
        Ok(())
    }

    fn finish_names(&mut self, global: &GlobalConfig) -> Result<(), ConfigError> {
        let own = self.metric_name_validation_scheme;
        let validation = own
            .or(global.metric_name_validation_scheme)
            .unwrap_or_default();
        let inherited = match own {
            // A scheme of our own without an escaping of our own takes the escaping that goes with it.
            Some(ValidationScheme::Legacy) if global.metric_name_escaping_scheme.is_none() => {
                EscapingScheme::Underscores
            }
            _ => global.escaping(Some(validation)),
        };
        let escaping = self.metric_name_escaping_scheme.unwrap_or(inherited);
        check_names(validation, escaping)?;
        self.metric_name_validation_scheme = Some(validation);
        self.metric_name_escaping_scheme = Some(escaping);
        Ok(())
    }

    fn inherit_limits(&mut self, global: &GlobalConfig) {
        let inherit = |own: &mut Option<u64>, global: Option<u64>| {
            *own = own
                .filter(|&limit| limit != 0)
                .or(global.filter(|&limit| limit != 0));
        };
        inherit(&mut self.sample_limit, global.sample_limit);
        inherit(&mut self.target_limit, global.target_limit);
        inherit(&mut self.label_limit, global.label_limit);
        inherit(
            &mut self.label_name_length_limit,
            global.label_name_length_limit,
        );
        inherit(
            &mut self.label_value_length_limit,
            global.label_value_length_limit,
        );
        inherit(&mut self.keep_dropped_targets, global.keep_dropped_targets);
        let given = |limit: &ByteSize| limit.0 != 0;
        self.body_size_limit = self
            .body_size_limit
            .filter(given)
            .or(global.body_size_limit.filter(given));
        if self.scrape_failure_log_file.is_none() {
            self.scrape_failure_log_file
                .clone_from(&global.scrape_failure_log_file);
        }
    }

    fn finish_http(&mut self) -> Result<(), ConfigError> {
        self.http_config()
            .validate()
            .map_err(|error| ConfigError(error.to_string()))?;
        if self.metrics_path().is_empty() {
            self.metrics_path = None;
        }
        self.metrics_path = Some(self.metrics_path().to_owned());
        self.scheme = Some(self.scheme().to_owned());
        for flag in [
            &mut self.honor_timestamps,
            &mut self.enable_compression,
            &mut self.follow_redirects,
        ] {
            flag.get_or_insert(true);
        }
        for flag in [&mut self.honor_labels, &mut self.track_timestamps_staleness] {
            flag.get_or_insert(false);
        }
        Ok(())
    }

    /// With relabelling the address may be anything: only what comes out of it counts.
    fn check_static_targets(&self) -> Result<(), ConfigError> {
        if !self.relabel_configs.is_empty() {
            return Ok(());
        }
        let mut targets = self.static_configs.iter().flat_map(|group| &group.targets);
        targets.try_for_each(|target| check_target_address(target))
    }

    /// Returns how often to scrape.
    pub fn scrape_interval(&self) -> Duration {
        self.scrape_interval
            .unwrap_or(GlobalConfig::SCRAPE_INTERVAL)
    }

    /// Returns how long a scrape may take.
    pub fn scrape_timeout(&self) -> Duration {
        self.scrape_timeout.unwrap_or(GlobalConfig::SCRAPE_TIMEOUT)
    }

    /// Returns the formats to ask for, most wanted first.
    pub fn protocols(&self) -> Vec<ScrapeProtocol> {
        let names = self.scrape_protocols.as_deref().unwrap_or_default();
        names
            .iter()
            .filter_map(|name| ScrapeProtocol::from_name(name))
            .collect()
    }

    /// Returns the format of targets that do not say theirs.
    pub fn fallback_protocol(&self) -> Option<ScrapeProtocol> {
        ScrapeProtocol::from_name(self.fallback_scrape_protocol.as_deref()?)
    }

    /// Returns the path of the URL.
    pub fn metrics_path(&self) -> &str {
        self.metrics_path.as_deref().unwrap_or("/metrics")
    }

    /// Returns the scheme of the URL.
    pub fn scheme(&self) -> &str {
        self.scheme
            .as_deref()
            .filter(|scheme| !scheme.is_empty())
            .unwrap_or("http")
    }
}

fn default_protocols(protobuf_first: bool) -> Vec<String> {
    let proto = protobuf_first.then_some(ScrapeProtocol::PrometheusProto);
    proto
        .into_iter()
        .chain(ScrapeProtocol::DEFAULT)
        .map(|protocol| protocol.name().to_owned())
        .collect()
}

/// Checks that `names` are protocols, each named once.
pub(super) fn check_protocols(names: &[String]) -> Result<(), ConfigError> {
    if names.is_empty() {
        return Err(ConfigError("scrape_protocols cannot be empty".to_owned()));
    }
    for (i, name) in names.iter().enumerate() {
        if ScrapeProtocol::from_name(name).is_none() {
            return Err(ConfigError(format!(
                "scrape_protocols: {}",
                protocol::unknown(name)
            )));
        }
        if names[..i].contains(name) {
            return Err(ConfigError(format!(
                "duplicated protocol in scrape_protocols, got [{}]",
                names.join(" ")
            )));
        }
    }
    Ok(())
}

/// Checks that names that may be anything are not asked for where only old names are valid.
pub(super) fn check_names(
    validation: ValidationScheme,
    escaping: EscapingScheme,
) -> Result<(), ConfigError> {
    if validation == ValidationScheme::Legacy && escaping == EscapingScheme::AllowUtf8 {
        let message = "utf8 metric names requested but validation scheme is not set to UTF8";
        return Err(ConfigError(message.to_owned()));
    }
    Ok(())
}

/// A list here is a common mistake; the text is the one that Prometheus' users find when they search for it.
fn fallback<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::<String>::deserialize(deserializer).map_err(|_| {
        serde::de::Error::custom(
            "unmarshal errors: fallback_scrape_protocol must be one protocol name",
        )
    })
}

fn static_configs<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<StaticConfig>, D::Error> {
    non_null_list(deserializer, "empty or null section in static_configs")
}

fn target_rules<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<RelabelConfig>, D::Error> {
    non_null_list(
        deserializer,
        "empty or null target relabeling rule in scrape config",
    )
}

fn metric_rules<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<RelabelConfig>, D::Error> {
    non_null_list(
        deserializer,
        "empty or null metric relabeling rule in scrape config",
    )
}
