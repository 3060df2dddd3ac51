//! The `global` section: what every scrape config inherits, and what the whole server goes by.

use std::collections::BTreeMap;

use model::Duration;
use model::size::ByteSize;
use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::scrape::check_protocols;

/// The `global` section. Fields that are `None` were not given; accessors of the same name say what counts then.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GlobalConfig {
    /// How often targets are scraped; 1 m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_interval: Option<Duration>,
    /// How long a scrape may take; 10 s, or the interval where that is shorter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_timeout: Option<Duration>,
    /// Formats to ask for, most wanted first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_protocols: Option<Vec<String>>,
    /// Whether protobuf is asked for first where nothing is configured. No key: features of the command line say so, before
    /// the section is finished.
    #[serde(skip)]
    pub prefers_protobuf: bool,
    /// How often rules are evaluated; 1 m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluation_interval: Option<Duration>,
    /// How far in the past rules are evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_query_offset: Option<Duration>,
    /// Where queries are logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_log_file: Option<String>,
    /// Where failed scrapes are logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_failure_log_file: Option<String>,
    /// Labels that tell this server from others wherever its data goes. An empty value stays.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "model::de::or_default"
    )]
    pub external_labels: BTreeMap<String, String>,
    /// How long a body may be, uncompressed; 0 is the built-in bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_size_limit: Option<ByteSize>,
    /// How many samples a scrape may bring after relabelling; 0 is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_limit: Option<u64>,
    /// How many labels a series may have; 0 is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_limit: Option<u64>,
    /// How many bytes a label name may have; 0 is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_name_length_limit: Option<u64>,
    /// How many bytes a label value may have; 0 is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_value_length_limit: Option<u64>,
    /// How many targets a scrape config may have; 0 is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_limit: Option<u64>,
    /// How many targets that relabelling dropped are remembered per scrape config; 0 is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_dropped_targets: Option<u64>,
    /// Which names are valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_name_validation_scheme: Option<ValidationScheme>,
    /// How names outside the old character set are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_name_escaping_scheme: Option<EscapingScheme>,
    /// Whether native histograms are taken; protobuf is asked for first then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_native_histograms: Option<bool>,
    /// Whether classic histograms are stored as native ones with custom buckets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub convert_classic_histograms_to_nhcb: Option<bool>,
    /// Whether classic histograms are taken also where a native one stands for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub always_scrape_classic_histograms: Option<bool>,
    /// Whether each scrape reports its limits and its size too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_scrape_metrics: Option<bool>,
}

/// Which metric and label names are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ValidationScheme {
    /// Any text.
    #[default]
    Utf8,
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`
    Legacy,
}

/// How a target is asked to write names outside the old character set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EscapingScheme {
    /// As they are, in quotes.
    #[default]
    #[serde(rename = "allow-utf-8")]
    AllowUtf8,
    /// `_` for every other character.
    Underscores,
    /// `_dot_` for dots, `__` for underscores, and `_` for the rest.
    Dots,
    /// `_HEX_` for every other character, reversibly.
    Values,
}

impl EscapingScheme {
    /// Returns the name in configurations and in `Accept` headers.
    pub const fn name(self) -> &'static str {
        match self {
            EscapingScheme::AllowUtf8 => "allow-utf-8",
            EscapingScheme::Underscores => "underscores",
            EscapingScheme::Dots => "dots",
            EscapingScheme::Values => "values",
        }
    }
}

impl<'de> Deserialize<'de> for ValidationScheme {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "utf8" | "" => Ok(ValidationScheme::Utf8),
            "legacy" => Ok(ValidationScheme::Legacy),
            other => Err(serde::de::Error::custom(format_args!(
                "unrecognized ValidationScheme: {other:?}"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for EscapingScheme {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "allow-utf-8" | "" => Ok(EscapingScheme::AllowUtf8),
            "underscores" => Ok(EscapingScheme::Underscores),
            "dots" => Ok(EscapingScheme::Dots),
            "values" => Ok(EscapingScheme::Values),
            other => Err(serde::de::Error::custom(format_args!(
                "unknown format scheme {other:?}"
            ))),
        }
    }
}

impl GlobalConfig {
    /// How often targets are scraped when nothing is said.
    pub const SCRAPE_INTERVAL: Duration = Duration::from_secs(60);
    /// How long a scrape may take when nothing is said.
    pub const SCRAPE_TIMEOUT: Duration = Duration::from_secs(10);
    /// How often rules are evaluated when nothing is said.
    pub const EVALUATION_INTERVAL: Duration = Duration::from_secs(60);

    /// Fills in defaults and checks the section. `env` returns the value of an environment variable, which
    /// `external_labels` may name.
    ///
    /// # Errors
    ///
    /// The first thing that makes no sense.
    pub fn finish(&mut self, env: &dyn Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
        for (name, value) in &mut self.external_labels {
            if name.is_empty() {
                return Err(ConfigError(format!("{name:?} is not a valid label name")));
            }
            *value = expand(value, env);
        }
        // As in Prometheus, an interval of zero is the same as none.
        let interval = non_zero(self.scrape_interval).unwrap_or(Self::SCRAPE_INTERVAL);
        let timeout = match non_zero(self.scrape_timeout) {
            Some(timeout) if interval < timeout => {
                return Err(ConfigError(
                    "global scrape timeout greater than scrape interval".to_owned(),
                ));
            }
            Some(timeout) => timeout,
            None => Self::SCRAPE_TIMEOUT.min(interval),
        };
        if let Some(protocols) = &self.scrape_protocols {
            let section = |error: ConfigError| ConfigError(format!("{error} for global config"));
            check_protocols(protocols).map_err(section)?;
        }
        let escaping = self.escaping(self.metric_name_validation_scheme);
        super::scrape::check_names(
            self.metric_name_validation_scheme.unwrap_or_default(),
            escaping,
        )
        .map_err(|error| ConfigError(format!("{error} in global config")))?;
        self.scrape_interval = Some(interval);
        self.scrape_timeout = Some(timeout);
        self.evaluation_interval =
            Some(non_zero(self.evaluation_interval).unwrap_or(Self::EVALUATION_INTERVAL));
        Ok(())
    }

    /// Returns how often targets are scraped.
    pub fn scrape_interval(&self) -> Duration {
        self.scrape_interval.unwrap_or(Self::SCRAPE_INTERVAL)
    }

    /// Returns how long a scrape may take.
    pub fn scrape_timeout(&self) -> Duration {
        self.scrape_timeout.unwrap_or(Self::SCRAPE_TIMEOUT)
    }

    /// Returns how often rules are evaluated.
    pub fn evaluation_interval(&self) -> Duration {
        self.evaluation_interval
            .unwrap_or(Self::EVALUATION_INTERVAL)
    }

    /// Returns how far in the past rules are evaluated.
    pub fn rule_query_offset(&self) -> Duration {
        self.rule_query_offset.unwrap_or_default()
    }

    /// Returns the escaping scheme that goes with the names `validation` allows, if none is given.
    pub(super) fn escaping(&self, validation: Option<ValidationScheme>) -> EscapingScheme {
        self.metric_name_escaping_scheme
            .unwrap_or(match validation {
                Some(ValidationScheme::Legacy) => EscapingScheme::Underscores,
                _ => EscapingScheme::AllowUtf8,
            })
    }
}

/// Returns `duration` unless it is nothing.
pub(super) fn non_zero(duration: Option<Duration>) -> Option<Duration> {
    duration.filter(|duration| !duration.is_zero())
}

/// Replaces `$NAME` and `${NAME}` by what `env` returns, or nothing, and `$$` by `$`.
///
/// Source: Go's `os.Expand`, which Prometheus uses for external labels.
fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (name, length) = variable(rest);
        match name {
            "$" => out.push('$'),
            "" if length == 0 => out.push('$'),
            name => out.push_str(&env(name).unwrap_or_default()),
        }
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

/// Returns the variable's name at the start of `text` and how many bytes it takes, braces included.
fn variable(text: &str) -> (&str, usize) {
    if let Some(braced) = text.strip_prefix('{') {
        return match braced.find('}') {
            Some(end) => (&braced[..end], end + 2),
            // An open brace eats itself, as in Go.
            None => ("", 1),
        };
    }
    if text.starts_with('$') {
        return ("$", 1);
    }
    let end = text
        .bytes()
        .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_')
        .count();
    (&text[..end], end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_expand(text: &str, expected: &str) {
        let env = |name: &str| (name == "TEST").then(|| "value".to_owned());
        assert_eq!(expand(text, &env), expected);
    }

    #[test]
    fn expands_like_go() {
        check_expand("foo${TEST}bar", "foovaluebar");
        check_expand("$TEST", "value");
        check_expand("$TESTS", "");
        check_expand("foo$${TEST}", "foo${TEST}");
        check_expand("foo$$bar", "foo$bar");
        check_expand("100$", "100$");
        check_expand("a${open", "aopen");
    }

    #[test]
    fn timeout_is_capped_by_the_interval() {
        let mut global = GlobalConfig {
            scrape_interval: Some(Duration::from_secs(5)),
            ..Default::default()
        };
        global.finish(&|_| None).unwrap();
        assert_eq!(global.scrape_timeout(), Duration::from_secs(5));

        let timeout = Some(Duration::from_secs(61));
        let error = GlobalConfig {
            scrape_timeout: timeout,
            ..Default::default()
        }
        .finish(&|_| None)
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "global scrape timeout greater than scrape interval"
        );
    }
}
