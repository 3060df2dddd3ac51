//! The `otlp` section: what becomes of OTLP metrics.

use std::collections::BTreeSet;

use model::de::or_default;
use remote::otlp::{Deltas, Options, Promoted};
use scraper::config::ValidationScheme;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// The `otlp` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "so they are in the configuration"
)]
pub(crate) struct OtlpConfig {
    /// Whether all resource attributes become labels.
    #[serde(deserialize_with = "or_default")]
    pub(crate) promote_all_resource_attributes: bool,
    /// Which resource attributes become labels.
    #[serde(deserialize_with = "promoted", skip_serializing_if = "Vec::is_empty")]
    pub(crate) promote_resource_attributes: Vec<String>,
    /// Which resource attributes do not become labels when all others do.
    #[serde(deserialize_with = "ignored", skip_serializing_if = "Vec::is_empty")]
    pub(crate) ignore_resource_attributes: Vec<String>,
    /// What becomes of names.
    #[serde(deserialize_with = "or_default")]
    pub(crate) translation_strategy: TranslationStrategy,
    /// Whether `target_info` keeps `service.name` and the like.
    #[serde(deserialize_with = "or_default")]
    pub(crate) keep_identifying_resource_attributes: bool,
    /// Whether explicit buckets become native histograms with custom buckets.
    #[serde(deserialize_with = "or_default")]
    pub(crate) convert_histograms_to_nhcb: bool,
    /// Whether a scope's name, version and attributes become labels.
    #[serde(deserialize_with = "or_default")]
    pub(crate) promote_scope_metadata: bool,
    /// Whether label names that begin with `_` get `key_` before them.
    #[serde(deserialize_with = "or_default")]
    pub(crate) label_name_underscore_sanitization: bool,
    /// Whether several underscores in a row stay.
    #[serde(deserialize_with = "or_default")]
    pub(crate) label_name_preserve_multiple_underscores: bool,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        OtlpConfig {
            promote_all_resource_attributes: false,
            promote_resource_attributes: Vec::new(),
            ignore_resource_attributes: Vec::new(),
            translation_strategy: TranslationStrategy::default(),
            keep_identifying_resource_attributes: false,
            convert_histograms_to_nhcb: false,
            promote_scope_metadata: false,
            label_name_underscore_sanitization: true,
            label_name_preserve_multiple_underscores: true,
        }
    }
}

/// What becomes of the names of metrics and labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) enum TranslationStrategy {
    /// Old names with units and types at the end.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Names as they are, with units and types at the end.
    NoUTF8EscapingWithSuffixes,
    /// Old names without suffixes.
    UnderscoreEscapingWithoutSuffixes,
    /// Names as they are.
    NoTranslation,
}

use TranslationStrategy as T;

impl TranslationStrategy {
    /// Whether names may have any characters.
    fn keeps_names(self) -> bool {
        matches!(self, T::NoUTF8EscapingWithSuffixes | T::NoTranslation)
    }

    fn name(self) -> &'static str {
        match self {
            T::UnderscoreEscapingWithSuffixes => "UnderscoreEscapingWithSuffixes",
            T::NoUTF8EscapingWithSuffixes => "NoUTF8EscapingWithSuffixes",
            T::UnderscoreEscapingWithoutSuffixes => "UnderscoreEscapingWithoutSuffixes",
            T::NoTranslation => "NoTranslation",
        }
    }
}

impl<'de> Deserialize<'de> for TranslationStrategy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let all = [
            T::UnderscoreEscapingWithSuffixes,
            T::NoUTF8EscapingWithSuffixes,
            T::UnderscoreEscapingWithoutSuffixes,
            T::NoTranslation,
        ];
        if name.is_empty() {
            return Ok(T::default());
        }
        let found = all.into_iter().find(|strategy| strategy.name() == name);
        found.ok_or_else(|| {
            D::Error::custom(format_args!(
                "unsupported OTLP translation strategy {name:?}, supported: {}",
                all.map(T::name).join(", ")
            ))
        })
    }
}

fn promoted<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    attributes(or_default(from)?, "promote_resource_attributes", "promoted")
        .map_err(D::Error::custom)
}

fn ignored<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    attributes(or_default(from)?, "ignore_resource_attributes", "ignored").map_err(D::Error::custom)
}

/// Returns the names without the white space around them; none may be empty or there twice.
fn attributes(names: Vec<String>, key: &str, word: &str) -> Result<Vec<String>, String> {
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    let trimmed: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
    for name in &trimmed {
        if name.is_empty() {
            faults.push(format!("empty {word} OTel resource attribute"));
        } else if !seen.insert(name) {
            faults.push(format!(
                "duplicated {word} OTel resource attribute {name:?}"
            ));
        }
    }
    if faults.is_empty() {
        Ok(trimmed)
    } else {
        Err(format!("invalid '{key}': {}", faults.join("; ")))
    }
}

impl OtlpConfig {
    /// Checks that the fields go together, and with the names that are valid.
    ///
    /// # Errors
    ///
    /// The first contradiction, in Prometheus' words.
    pub(crate) fn check(&self, names: ValidationScheme) -> Result<(), String> {
        if self.promote_all_resource_attributes && !self.promote_resource_attributes.is_empty() {
            return Err("'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be configured simultaneously".to_owned());
        }
        if !self.promote_all_resource_attributes && !self.ignore_resource_attributes.is_empty() {
            return Err("'ignore_resource_attributes' cannot be configured unless 'promote_all_resource_attributes' is true".to_owned());
        }
        if self.translation_strategy.keeps_names() && names == ValidationScheme::Legacy {
            return Err(format!(
                "OTLP translation strategy {:?} is not allowed when UTF8 is disabled",
                self.translation_strategy.name()
            ));
        }
        Ok(())
    }

    /// Returns the settings for the receiver.
    ///
    /// * `deltas`: what becomes of delta temporality, of which the section says nothing.
    pub(super) fn options(&self, deltas: Deltas) -> Options {
        let strategy = self.translation_strategy;
        Options {
            strategy: remote::otlp::TranslationStrategy {
                escapes: !strategy.keeps_names(),
                adds_suffixes: matches!(
                    strategy,
                    T::UnderscoreEscapingWithSuffixes | T::NoUTF8EscapingWithSuffixes
                ),
            },
            promoted: if self.promote_all_resource_attributes {
                Promoted::AllBut(self.ignore_resource_attributes.clone())
            } else {
                Promoted::Only(self.promote_resource_attributes.clone())
            },
            keeps_identifying_attributes: self.keep_identifying_resource_attributes,
            converts_histograms: self.convert_histograms_to_nhcb,
            promotes_scope: self.promote_scope_metadata,
            sanitizes_underscores: self.label_name_underscore_sanitization,
            preserves_underscores: self.label_name_preserve_multiple_underscores,
            deltas,
        }
    }
}
