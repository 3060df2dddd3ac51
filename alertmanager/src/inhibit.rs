//! Inhibition: alerts that are not told because another one fires.
//!
//! Source: Alertmanager configuration documentation, `<inhibit_rule>`.

use std::collections::{BTreeMap, HashMap};

use model::{Labels, Matcher};

/// Which alerts keep which others from being told.
#[derive(Clone, Debug)]
pub struct InhibitRule {
    /// What the alert must match that inhibits; nothing matches all.
    pub source: Vec<Matcher>,
    /// What the alerts must match that are inhibited; nothing matches all.
    pub target: Vec<Matcher>,
    /// Labels that both must have alike; one that is absent is empty.
    pub equal: Vec<String>,
}

impl InhibitRule {
    fn equal_values(&self, labels: &Labels) -> Vec<String> {
        let names = self.equal.iter();
        names.map(|name| labels.value(name).to_owned()).collect()
    }
}

fn all_match(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers
        .iter()
        .all(|matcher| matcher.matches_labels(labels))
}

/// The alerts that may inhibit others, found by the rule and what must be equal.
#[derive(Debug, Default)]
pub struct Inhibitor {
    rules: Vec<Sources>,
}

#[derive(Debug)]
struct Sources {
    rule: InhibitRule,
    /// By the values of `equal`, then by fingerprint.
    alerts: HashMap<Vec<String>, BTreeMap<u64, Source>>,
}

#[derive(Debug)]
struct Source {
    ends_at_ms: i64,
    /// Whether it matches the rule's target side too.
    is_target: bool,
}

impl Inhibitor {
    /// Returns the rules with no alerts yet.
    pub fn new(rules: impl IntoIterator<Item = InhibitRule>) -> Self {
        let rules = rules.into_iter().map(|rule| Sources {
            rule,
            alerts: HashMap::new(),
        });
        Inhibitor {
            rules: rules.collect(),
        }
    }

    /// Takes note of an alert, or of its new end (milliseconds since the epoch).
    ///
    /// Cost: the matchers of all rules. What is kept is bounded by the number of alerts times that of rules.
    pub fn insert(&mut self, fingerprint: u64, labels: &Labels, ends_at_ms: i64) {
        for sources in &mut self.rules {
            if !all_match(&sources.rule.source, labels) {
                continue;
            }
            let source = Source {
                ends_at_ms,
                is_target: all_match(&sources.rule.target, labels),
            };
            let equal = sources.rule.equal_values(labels);
            let alike = sources.alerts.entry(equal).or_default();
            alike.insert(fingerprint, source);
        }
    }

    /// Forgets the alerts that are over.
    pub fn collect(&mut self, now_ms: i64) {
        for sources in &mut self.rules {
            sources.alerts.retain(|_, alike| {
                alike.retain(|_, source| now_ms < source.ends_at_ms);
                !alike.is_empty()
            });
        }
    }

    /// Returns the fingerprint of an alert that fires and inhibits the one with `labels`, if there is one.
    ///
    /// An alert that matches both sides of a rule is not inhibited by another that does, itself among them. Whether the
    /// source is inhibited itself does not matter.
    pub fn inhibited_by(&self, labels: &Labels, now_ms: i64) -> Option<u64> {
        self.rules.iter().find_map(|sources| {
            if !all_match(&sources.rule.target, labels) {
                return None;
            }
            let alike = sources.alerts.get(&sources.rule.equal_values(labels))?;
            let is_source = all_match(&sources.rule.source, labels);
            let mut alike = alike.iter();
            let found = alike
                .find(|(_, source)| now_ms < source.ends_at_ms && !(is_source && source.is_target));
            found.map(|(fingerprint, _)| *fingerprint)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_matchers;

    fn inhibitor(source: &str, target: &str, equal: &[&str]) -> Inhibitor {
        Inhibitor::new([InhibitRule {
            source: parse_matchers(source).unwrap(),
            target: parse_matchers(target).unwrap(),
            equal: equal.iter().map(|&name| name.to_owned()).collect(),
        }])
    }

    #[test]
    fn a_source_inhibits_what_is_alike_while_it_fires() {
        let mut inhibitor = inhibitor("s=1", "t=1", &["dc"]);
        inhibitor.insert(7, &Labels::from_pairs([("s", "1"), ("dc", "eu")]), 100);
        let target = Labels::from_pairs([("t", "1"), ("dc", "eu")]);
        assert_eq!(inhibitor.inhibited_by(&target, 99), Some(7));
        assert_eq!(inhibitor.inhibited_by(&target, 100), None);
        for other in [[("t", "1"), ("dc", "us")], [("t", "2"), ("dc", "eu")]] {
            assert_eq!(inhibitor.inhibited_by(&Labels::from_pairs(other), 99), None);
        }
        // A resolution is a new end.
        inhibitor.insert(7, &Labels::from_pairs([("s", "1"), ("dc", "eu")]), 50);
        assert_eq!(inhibitor.inhibited_by(&target, 60), None);
        inhibitor.collect(60);
        assert!(inhibitor.rules[0].alerts.is_empty());
    }

    #[test]
    fn absent_labels_are_equal_to_each_other() {
        let mut inhibitor = inhibitor("s=1", "t=1", &["dc"]);
        inhibitor.insert(7, &Labels::from_pairs([("s", "1")]), 100);
        let target = Labels::from_pairs([("t", "1")]);
        assert_eq!(inhibitor.inhibited_by(&target, 0), Some(7));
    }

    #[test]
    fn an_alert_of_both_sides_is_inhibited_only_by_one_of_one_side() {
        let mut inhibitor = inhibitor("s=1", "t=1", &[]);
        let both = Labels::from_pairs([("s", "1"), ("t", "1")]);
        inhibitor.insert(1, &both, 100);
        inhibitor.insert(
            2,
            &Labels::from_pairs([("s", "1"), ("t", "1"), ("x", "y")]),
            100,
        );
        assert_eq!(inhibitor.inhibited_by(&both, 0), None);
        let target = Labels::from_pairs([("t", "1")]);
        assert_eq!(inhibitor.inhibited_by(&target, 0), Some(1));
        inhibitor.insert(3, &Labels::from_pairs([("s", "1")]), 100);
        assert_eq!(inhibitor.inhibited_by(&both, 0), Some(3));
    }
}
