//! A file of unit tests as it is written.
//!
//! Source: Prometheus documentation, "Unit testing for rules".

use std::collections::BTreeMap;

use model::Duration;
use model::de::or_default;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer};

/// A file of unit tests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct UnitTestFile {
    /// Rule files, relative to this one; globs.
    #[serde(deserialize_with = "or_default")]
    pub(super) rule_files: Vec<String>,
    /// How often rules are evaluated; a minute if nothing is said.
    pub(super) evaluation_interval: Option<Duration>,
    /// The order of groups; those that are not named are first.
    #[serde(deserialize_with = "or_default")]
    pub(super) group_eval_order: Vec<String>,
    /// The tests.
    #[serde(deserialize_with = "or_default")]
    pub(super) tests: Vec<TestGroup>,
    /// Whether floats may differ in the last bit of their mantissa.
    #[serde(deserialize_with = "or_default")]
    pub(super) fuzzy_compare: bool,
}

/// Series, and what must come of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TestGroup {
    /// The time between samples, and between evaluations of groups that do not say; that of the file if nothing is said.
    pub(super) interval: Option<Duration>,
    #[serde(deserialize_with = "or_default")]
    pub(super) input_series: Vec<InputSeries>,
    #[serde(deserialize_with = "or_default")]
    pub(super) alert_rule_test: Vec<AlertTest>,
    #[serde(deserialize_with = "or_default")]
    pub(super) promql_expr_test: Vec<ExprTest>,
    #[serde(deserialize_with = "or_default")]
    pub(super) external_labels: BTreeMap<String, Text>,
    #[serde(deserialize_with = "or_default")]
    pub(super) external_url: Text,
    #[serde(deserialize_with = "or_default")]
    pub(super) name: Text,
    /// When the test begins; the epoch if nothing is said.
    pub(super) start_timestamp: Option<Text>,
}

/// A series in the notation of PromQL's tests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct InputSeries {
    #[serde(deserialize_with = "or_default")]
    pub(super) series: Text,
    #[serde(deserialize_with = "or_default")]
    pub(super) values: Text,
}

/// Which alerts fire at a time.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AlertTest {
    pub(super) eval_time: EvalTime,
    #[serde(deserialize_with = "or_default")]
    pub(super) alertname: Text,
    #[serde(deserialize_with = "or_default")]
    pub(super) exp_alerts: Vec<ExpectedAlert>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExpectedAlert {
    #[serde(deserialize_with = "or_default")]
    pub(super) exp_labels: BTreeMap<String, Text>,
    #[serde(deserialize_with = "or_default")]
    pub(super) exp_annotations: BTreeMap<String, Text>,
}

/// What an expression gives at a time.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExprTest {
    #[serde(deserialize_with = "or_default")]
    pub(super) expr: Text,
    pub(super) eval_time: EvalTime,
    #[serde(deserialize_with = "or_default")]
    pub(super) exp_samples: Vec<ExpectedSample>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExpectedSample {
    #[serde(deserialize_with = "or_default")]
    pub(super) labels: Text,
    #[serde(deserialize_with = "or_default")]
    pub(super) value: Number,
    /// In the notation of PromQL's tests; then it is a histogram that is expected.
    #[serde(deserialize_with = "or_default")]
    pub(super) histogram: Text,
}

/// A text, which YAML may take for a number or a truth value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_string(TextVisitor).map(Text)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = String;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<String, E> {
        Ok(value.to_string())
    }
}

/// A number in any notation of YAML 1.1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Number(pub(super) f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        let error = || D::Error::custom(format_args!("{text:?} is not a number"));
        number(&text).map(Number).ok_or_else(error)
    }
}

/// Returns the value of a number such as `1_000.5e3`, `-0x1f`, `0b110`, `017`, `.inf` or `.NaN`.
fn number(text: &str) -> Option<f64> {
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix(['-', '+']) {
        Some(digits) if plain.starts_with('-') => (-1.0, digits),
        Some(digits) => (1.0, digits),
        None => (1.0, &*plain),
    };
    let lower = digits.to_ascii_lowercase();
    let whole = |digits: &str, radix| u64::from_str_radix(digits, radix).ok().map(|n| n as f64);
    let value = if let Some(digits) = lower.strip_prefix("0x") {
        whole(digits, 16)?
    } else if let Some(digits) = lower.strip_prefix("0b") {
        whole(digits, 2)?
    } else if let Some(digits) = lower.strip_prefix("0o") {
        whole(digits, 8)?
    } else if lower.len() > 1
        && lower.starts_with('0')
        && lower.bytes().all(|byte| byte.is_ascii_digit())
    {
        whole(&lower, 8)?
    } else {
        match lower.strip_prefix('.').unwrap_or(&lower) {
            "inf" => f64::INFINITY,
            "nan" => f64::NAN,
            _ => lower.parse().ok()?,
        }
    };
    Some(sign * value)
}

/// A time after the start of a test, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EvalTime(pub(super) Duration);

impl<'de> Deserialize<'de> for EvalTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        text.parse().map(EvalTime).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_all_notations_of_yaml() {
        for (text, value) in [
            ("1", 1.0),
            ("-1.5e3", -1_500.0),
            ("0b110", 6.0),
            ("-0x1F", -31.0),
            ("017", 15.0),
            ("0o17", 15.0),
            ("0.5", 0.5),
            ("1_000", 1_000.0),
            ("-.Inf", f64::NEG_INFINITY),
            ("+Inf", f64::INFINITY),
        ] {
            assert_eq!(number(text), Some(value), "{text}");
        }
        assert!(number(".nan").is_some_and(f64::is_nan));
        for text in ["", "one", "0b2", "0x", "1,5"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
