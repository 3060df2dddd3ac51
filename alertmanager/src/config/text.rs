//! The file as it is written, and as it is printed back.

use std::cell::Cell;
use std::collections::BTreeMap;

use model::name::Quoted;
use model::{Duration, MatchOp, Matcher};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::global::Global;
use super::matchers::{self, MatcherMode, parse_matchers_in, print_matcher, sort_matchers};
use super::receiver::ReceiverText;
use super::tracing::Tracing;
use crate::inhibit::InhibitRule;
use crate::timeinterval::TimeInterval;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) global: Option<Global>,
    pub(super) route: Option<RouteText>,
    #[serde(default, skip_serializing_if = "has_none")]
    pub(super) inhibit_rules: Option<Vec<InhibitText>>,
    pub(super) receivers: Option<Vec<ReceiverItem>>,
    #[serde(default, deserialize_with = "model::de::or_default")]
    pub(super) templates: Vec<String>,
    #[serde(default, skip_serializing_if = "has_none")]
    pub(super) mute_time_intervals: Option<Vec<NamedInterval>>,
    #[serde(default, skip_serializing_if = "has_none")]
    pub(super) time_intervals: Option<Vec<NamedInterval>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tracing: Option<Tracing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_recorder: Option<Value>,
}

fn has_none<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_none_or(Vec::is_empty)
}

impl File {
    /// Returns warnings about sections that are not obeyed yet.
    pub(super) fn unbuilt(&self) -> Vec<String> {
        let sections = [(
            self.event_recorder.is_some(),
            "event_recorder is not built yet",
        )];
        let sections = sections.into_iter().filter(|(is_there, _)| *is_there);
        sections.map(|(_, text)| text.to_owned()).collect()
    }
}

/// Declares that a section is checked where it is read.
macro_rules! checked_item {
    ($item:ident: $text:ident) => {
        #[derive(Serialize)]
        #[serde(transparent)]
        pub(super) struct $item(pub(super) $text);

        impl<'de> Deserialize<'de> for $item {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let mut text = $text::deserialize(deserializer)?;
                text.check().map_err(serde::de::Error::custom)?;
                Ok($item(text))
            }
        }
    };
}

checked_item! { ReceiverItem: ReceiverText }
checked_item! { NamedInterval: IntervalText }

/// A named time interval.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IntervalText {
    #[serde(default, deserialize_with = "model::de::or_default")]
    pub(super) name: String,
    #[serde(default, deserialize_with = "model::de::or_default")]
    pub(super) time_intervals: Vec<TimeInterval>,
}

impl IntervalText {
    #[expect(clippy::needless_pass_by_ref_mut, reason = "as the other sections")]
    fn check(&mut self) -> Result<(), String> {
        if self.name.is_empty() {
            return Err("missing name in time interval".to_owned());
        }
        Ok(())
    }
}

thread_local! {
    /// The language of the matchers in the file that this thread is reading: what reads one key of a file gets no arguments.
    static MODE: Cell<MatcherMode> = const { Cell::new(MatcherMode::Fallback) };
}

/// Returns the language of the matchers in the file that is being read.
pub(super) fn matcher_mode() -> MatcherMode {
    MODE.get()
}

/// Reads a file whose matchers are in the language of `mode`.
pub(super) fn with_matchers_in<T>(mode: MatcherMode, read: impl FnOnce() -> T) -> T {
    let before = MODE.replace(mode);
    let result = read();
    MODE.set(before);
    result
}

/// Matchers, sorted.
#[derive(Clone, Debug, Default)]
pub(super) struct Matchers {
    pub(super) list: Vec<Matcher>,
    /// What should be written otherwise.
    pub(super) warnings: Vec<String>,
}

impl<'de> Deserialize<'de> for Matchers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default();
        let mut matchers = Matchers::default();
        let mode = matcher_mode();
        for text in &texts {
            let list = parse_matchers_in(text, mode).map_err(serde::de::Error::custom)?;
            matchers.list.extend(list);
            if mode == MatcherMode::Fallback {
                matchers.warnings.extend(matchers::warning(text));
            }
        }
        sort_matchers(&mut matchers.list);
        Ok(matchers)
    }
}

impl Serialize for Matchers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.list.iter().map(print_matcher))
    }
}

impl Matchers {
    fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// Labels and the values or expressions that they must have, the older way to write matchers.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Pairs<const REGEX: bool>(BTreeMap<String, String>);

impl<'de, const REGEX: bool> Deserialize<'de> for Pairs<REGEX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let pairs = Option::<BTreeMap<String, Option<String>>>::deserialize(deserializer)?;
        let mut checked = BTreeMap::new();
        for (name, value) in pairs.unwrap_or_default() {
            if name.is_empty() {
                return Err(D::Error::custom("invalid label name \"\""));
            }
            let value = match (value, REGEX) {
                (Some(value), _) => value,
                (None, false) => String::new(),
                (None, true) => {
                    let text = format!("invalid regexp value for {}", Quoted(&name));
                    return Err(D::Error::custom(text));
                }
            };
            Matcher::new(&name, Self::OP, &value).map_err(D::Error::custom)?;
            checked.insert(name, value);
        }
        Ok(Pairs(checked))
    }
}

impl<const REGEX: bool> Pairs<REGEX> {
    const OP: MatchOp = if REGEX {
        MatchOp::Regex
    } else {
        MatchOp::Equal
    };

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn matchers(&self) -> Result<Vec<Matcher>, String> {
        let pairs = self.0.iter();
        pairs
            .map(|(name, value)| {
                Matcher::new(name, Self::OP, value).map_err(|error| error.to_string())
            })
            .collect()
    }
}

/// Returns all matchers of a route or of a side of an inhibition rule, sorted.
pub(super) fn all_matchers(
    equal: &Pairs<false>,
    regex: &Pairs<true>,
    matchers: &Matchers,
) -> Result<Vec<Matcher>, String> {
    let mut all = equal.matchers()?;
    all.extend(regex.matchers()?);
    all.extend(matchers.list.iter().cloned());
    sort_matchers(&mut all);
    Ok(all)
}

/// An inhibition rule.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InhibitText {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(default, skip_serializing_if = "Pairs::is_empty")]
    pub(super) source_match: Pairs<false>,
    #[serde(default, skip_serializing_if = "Pairs::is_empty")]
    pub(super) source_match_re: Pairs<true>,
    #[serde(default, skip_serializing_if = "Matchers::is_empty")]
    pub(super) source_matchers: Matchers,
    #[serde(default, skip_serializing_if = "Pairs::is_empty")]
    pub(super) target_match: Pairs<false>,
    #[serde(default, skip_serializing_if = "Pairs::is_empty")]
    pub(super) target_match_re: Pairs<true>,
    #[serde(default, skip_serializing_if = "Matchers::is_empty")]
    pub(super) target_matchers: Matchers,
    #[serde(
        default,
        deserialize_with = "model::de::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(super) equal: Vec<String>,
}

impl InhibitText {
    pub(super) fn rule(&self) -> Result<InhibitRule, String> {
        Ok(InhibitRule {
            source: all_matchers(
                &self.source_match,
                &self.source_match_re,
                &self.source_matchers,
            )?,
            target: all_matchers(
                &self.target_match,
                &self.target_match_re,
                &self.target_matchers,
            )?,
            equal: self.equal.clone(),
        })
    }
}

/// A route, checked where it is read.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct RouteText(pub(super) RouteFields);

impl<'de> Deserialize<'de> for RouteText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let route = RouteFields::deserialize(deserializer)?;
        super::route::check(&route).map_err(serde::de::Error::custom)?;
        Ok(RouteText(route))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteFields {
    #[serde(
        default,
        deserialize_with = "model::de::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(super) receiver: String,
    #[serde(skip_serializing_if = "has_none")]
    pub(super) group_by: Option<Vec<String>>,
    #[serde(rename = "match", default, skip_serializing_if = "Pairs::is_empty")]
    pub(super) equal: Pairs<false>,
    #[serde(rename = "match_re", default, skip_serializing_if = "Pairs::is_empty")]
    pub(super) regex: Pairs<true>,
    #[serde(default, skip_serializing_if = "Matchers::is_empty")]
    pub(super) matchers: Matchers,
    #[serde(
        default,
        deserialize_with = "model::de::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(super) mute_time_intervals: Vec<String>,
    #[serde(
        default,
        deserialize_with = "model::de::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(super) active_time_intervals: Vec<String>,
    #[serde(
        rename = "continue",
        default,
        deserialize_with = "model::de::or_default"
    )]
    pub(super) continues: bool,
    #[serde(
        default,
        deserialize_with = "model::de::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(super) routes: Vec<RouteText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) group_wait: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) group_interval: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) repeat_interval: Option<Duration>,
    #[serde(
        default,
        deserialize_with = "model::de::or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub(super) labels: BTreeMap<String, String>,
}
