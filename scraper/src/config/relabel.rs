//! One relabelling rule as it is written.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::relabel::Rule;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelabelAction {
    /// Sets a label to what the replacement makes of the match.
    Replace,
    /// Keeps what matches.
    Keep,
    /// Drops what matches.
    Drop,
    /// Keeps that whose joined value equals the target label.
    KeepEqual,
    /// Drops that whose joined value equals the target label.
    DropEqual,
    /// Sets a label to a hash modulo a number.
    HashMod,
    /// Copies labels whose names match.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes labels whose names do not match.
    LabelKeep,
    /// Sets a label to the value in lower case.
    Lowercase,
    /// Sets a label to the value in upper case.
    Uppercase,
}

use RelabelAction as A;

impl RelabelAction {
    const ALL: [(RelabelAction, &'static str); 11] = [
        (A::Replace, "replace"),
        (A::Keep, "keep"),
        (A::Drop, "drop"),
        (A::KeepEqual, "keepequal"),
        (A::DropEqual, "dropequal"),
        (A::HashMod, "hashmod"),
        (A::LabelMap, "labelmap"),
        (A::LabelDrop, "labeldrop"),
        (A::LabelKeep, "labelkeep"),
        (A::Lowercase, "lowercase"),
        (A::Uppercase, "uppercase"),
    ];

    /// Returns the name in configurations.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(action, _)| *action == self)
            .map_or("", |(_, name)| name)
    }
}

impl fmt::Display for RelabelAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl<'de> Deserialize<'de> for RelabelAction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = Self::ALL
            .iter()
            .find(|(_, known)| name.eq_ignore_ascii_case(known));
        known
            .map(|(action, _)| *action)
            .ok_or_else(|| D::Error::custom(format_args!("unknown relabel action {name:?}")))
    }
}

impl Serialize for RelabelAction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A rule that was read, checked and compiled.
#[derive(Clone, Debug)]
pub struct RelabelConfig {
    written: Written,
    rule: Rule,
}

/// A rule as it was written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    source_labels: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    separator: Option<String>,
    /// Null is the empty expression, absence is `(.*)`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "pattern")]
    regex: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modulus: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replacement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<RelabelAction>,
}

impl RelabelConfig {
    /// Returns the rule, ready to be applied.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Returns the same rule with every default written out, and nothing that is empty.
    #[must_use]
    pub fn filled(&self) -> RelabelConfig {
        let written = &self.written;
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let sources = written.source_labels.clone();
        RelabelConfig {
            written: Written {
                source_labels: sources.filter(|names| !names.is_empty()),
                separator: text(written.separator()),
                regex: Some(Some(written.pattern().to_owned())),
                modulus: written.modulus.filter(|&modulus| modulus != 0),
                target_label: text(written.target_label()),
                replacement: text(written.replacement()),
                action: Some(written.action()),
            },
            rule: self.rule.clone(),
        }
    }
}

impl PartialEq for RelabelConfig {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl<'de> Deserialize<'de> for RelabelConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let rule = written.compile().map_err(D::Error::custom)?;
        Ok(RelabelConfig { written, rule })
    }
}

impl Serialize for RelabelConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(serializer)
    }
}

/// Reads an expression and tries it at once, so that an error is said to be where it is.
fn pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    let pattern = Option::<String>::deserialize(deserializer)?;
    if let Some(pattern) = &pattern {
        compile(pattern).map_err(D::Error::custom)?;
    }
    Ok(Some(pattern))
}

fn compile(pattern: &str) -> Result<regex::Regex, String> {
    model::matcher::compile_anchored(pattern)
        .map_err(|error| format!("error parsing regexp: {}: `{pattern}`", error.reason))
}

const SEPARATOR: &str = ";";
const REGEX: &str = "(.*)";
const REPLACEMENT: &str = "$1";

impl Written {
    fn compile(&self) -> Result<Rule, String> {
        self.check()?;
        let mut sources = self.source_labels.iter().flatten();
        if sources.any(String::is_empty) {
            return Err("\"\" is not a valid label name".to_owned());
        }
        let pattern = self.pattern();
        let regex = compile(pattern)?;
        Ok(Rule {
            source_labels: self.source_labels.clone().unwrap_or_default(),
            separator: self.separator().to_owned(),
            is_default_regex: pattern == REGEX,
            regex,
            modulus: self.modulus.unwrap_or(0),
            target_label: self.target_label().to_owned(),
            replacement: self.replacement().to_owned(),
            action: self.action(),
        })
    }

    fn action(&self) -> RelabelAction {
        self.action.unwrap_or(A::Replace)
    }

    fn pattern(&self) -> &str {
        match &self.regex {
            None => REGEX,
            Some(pattern) => pattern.as_deref().unwrap_or_default(),
        }
    }

    fn separator(&self) -> &str {
        self.separator.as_deref().unwrap_or(SEPARATOR)
    }

    fn target_label(&self) -> &str {
        self.target_label.as_deref().unwrap_or_default()
    }

    fn replacement(&self) -> &str {
        self.replacement.as_deref().unwrap_or(REPLACEMENT)
    }

    /// Source: `Config.Validate` of Prometheus' relabel package, texts included.
    fn check(&self) -> Result<(), String> {
        let action = self.action();
        let has_modulus = self.modulus.is_some_and(|modulus| modulus != 0);
        let (separator, replacement) = (
            self.separator() != SEPARATOR,
            self.replacement() != REPLACEMENT,
        );
        let needs_target = matches!(
            action,
            A::Replace | A::HashMod | A::Lowercase | A::Uppercase | A::KeepEqual | A::DropEqual
        );
        if action == A::HashMod && !has_modulus {
            return Err("relabel configuration for hashmod requires non-zero modulus".to_owned());
        }
        if needs_target && self.target_label().is_empty() {
            return Err(format!(
                "relabel configuration for {action} action requires 'target_label' value"
            ));
        }
        if matches!(
            action,
            A::Lowercase | A::Uppercase | A::KeepEqual | A::DropEqual
        ) && replacement
        {
            return Err(format!("'replacement' can not be set for {action} action"));
        }
        if action == A::LabelMap && self.replacement().is_empty() {
            return Err(format!(
                "{:?} is invalid 'replacement' for {action} action",
                self.replacement()
            ));
        }
        if matches!(action, A::KeepEqual | A::DropEqual)
            && (self.pattern() != REGEX || has_modulus || separator)
        {
            return Err(format!(
                "{action} action requires only 'source_labels' and `target_label`, and no other fields"
            ));
        }
        let only_regex =
            self.source_labels.is_none() && self.target_label().is_empty() && !has_modulus;
        if matches!(action, A::LabelDrop | A::LabelKeep)
            && !(only_regex && !separator && !replacement)
        {
            return Err(format!(
                "{action} action requires only 'regex', and no other fields"
            ));
        }
        Ok(())
    }
}
