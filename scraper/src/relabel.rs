//! Relabelling: rules that rewrite, keep or drop label sets.
//!
//! The same rules serve targets, scraped series, alerts and remote write. Expressions are anchored, replacements
//! expand as Go's do, and only `hashmod` promises its hash to the outside (MD5, last 8 bytes).
//!
//! Source: Prometheus configuration documentation, `<relabel_config>`.

use md5::{Digest, Md5};
use model::{Labels, LabelsBuilder};
use regex::{Captures, Regex};

use crate::config::{RelabelAction, RelabelConfig};

mod expand;

/// One rule, checked and compiled, see [`RelabelConfig::rule`].
#[derive(Clone, Debug)]
pub struct Rule {
    pub(crate) source_labels: Vec<String>,
    pub(crate) separator: String,
    pub(crate) regex: Regex,
    /// Whether the expression matches everything into `$1`.
    pub(crate) is_default_regex: bool,
    pub(crate) modulus: u64,
    pub(crate) target_label: String,
    pub(crate) replacement: String,
    pub(crate) action: RelabelAction,
}

/// Applies `rules` in order to `labels`. Returns whether they are kept; after `false` they are in some state between.
pub fn apply(rules: &[RelabelConfig], labels: &mut LabelsBuilder) -> bool {
    rules.iter().all(|config| config.rule().apply(labels))
}

/// What a rule left of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The labels; none once they were dropped.
    pub output: Labels,
    /// Whether they are kept up to here.
    pub is_kept: bool,
}

/// Returns what each of `rules`, applied in order, leaves of `labels`; nothing from the one on that drops them.
pub fn steps(rules: &[RelabelConfig], mut labels: LabelsBuilder) -> Vec<Step> {
    let mut is_kept = true;
    let step = |config: &RelabelConfig| {
        is_kept = is_kept && config.rule().apply(&mut labels);
        let output = if is_kept {
            labels.clone().build()
        } else {
            Labels::default()
        };
        Step { output, is_kept }
    };
    rules.iter().map(step).collect()
}

impl Rule {
    /// Applies this rule to `labels` and returns whether they are kept.
    pub fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        let value = self.joined(labels);
        match self.action {
            RelabelAction::Drop => return !self.regex.is_match(&value),
            RelabelAction::Keep => return self.regex.is_match(&value),
            RelabelAction::DropEqual => {
                return labels.get(&self.target_label).unwrap_or_default() != value;
            }
            RelabelAction::KeepEqual => {
                return labels.get(&self.target_label).unwrap_or_default() == value;
            }
            RelabelAction::Replace => self.replace(&value, labels),
            RelabelAction::Lowercase => {
                labels.set(&self.target_label, &model::case::lower(&value));
            }
            RelabelAction::Uppercase => {
                labels.set(&self.target_label, &model::case::upper(&value));
            }
            RelabelAction::HashMod => {
                labels.set(
                    &self.target_label,
                    &hash_mod(&value, self.modulus).to_string(),
                );
            }
            RelabelAction::LabelMap => self.map_labels(labels),
            RelabelAction::LabelDrop => {
                labels.retain(|name, _| !self.regex.is_match(name));
            }
            RelabelAction::LabelKeep => {
                labels.retain(|name, _| self.regex.is_match(name));
            }
        }
        true
    }

    /// Returns the values of the source labels, joined.
    fn joined(&self, labels: &LabelsBuilder) -> String {
        let mut joined = String::new();
        for (i, name) in self.source_labels.iter().enumerate() {
            if 0 < i {
                joined.push_str(&self.separator);
            }
            joined.push_str(labels.get(name).unwrap_or_default());
        }
        joined
    }

    fn replace(&self, value: &str, labels: &mut LabelsBuilder) {
        if value.is_empty()
            && self.is_default_regex
            && !self.target_label.contains('$')
            && !self.replacement.contains('$')
        {
            labels.set(&self.target_label, &self.replacement);
            return;
        }
        let Some(captures) = self.regex.captures(value) else {
            return;
        };
        let target = self.expand(&self.target_label, &captures);
        if !target.is_empty() {
            labels.set(&target, &self.expand(&self.replacement, &captures));
        }
    }

    fn map_labels(&self, labels: &mut LabelsBuilder) {
        let mapped: Vec<(String, String)> = labels
            .iter()
            .filter_map(|(name, value)| {
                let captures = self.regex.captures(name)?;
                Some((self.expand(&self.replacement, &captures), value.to_owned()))
            })
            .collect();
        for (name, value) in mapped {
            if !name.is_empty() {
                labels.set(&name, &value);
            }
        }
    }

    fn expand(&self, template: &str, captures: &Captures<'_>) -> String {
        let mut out = String::new();
        expand::append(&mut out, template, captures);
        out
    }
}

/// Returns the last 8 bytes of the MD5 of `value`, as a big-endian number, modulo `modulus`, which is not 0.
fn hash_mod(value: &str, modulus: u64) -> u64 {
    let digest = Md5::digest(value.as_bytes());
    let mut tail = [0; 8];
    tail.copy_from_slice(&digest[8..]);
    u64::from_be_bytes(tail) % modulus
}

#[cfg(test)]
mod tests;
