//! From what discovery says to the URLs of Alertmanagers.
//!
//! Source: Prometheus configuration documentation, `<alertmanager_config>`, and its `AlertmanagerFromGroup`.

use std::collections::HashSet;

use model::LabelsBuilder;
use scraper::config::check_target_address;
use scraper::relabel;

use crate::config::AlertmanagersConfig;

/// How many Alertmanagers a set may have; more are left out. As many that were dropped are shown.
pub(super) const ALERTMANAGERS_MAX: usize = 1_000;

const SCHEME: &str = "__scheme__";
const ADDRESS: &str = "__address__";
const ALERTS_PATH: &str = "__alerts_path__";

/// The Alertmanagers of one set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Where alerts are posted, each URL once.
    pub(super) active: Vec<String>,
    /// The URLs of those that relabelling dropped.
    pub(super) dropped: Vec<String>,
    /// How many were left out because there are too many.
    pub(super) over_limit: usize,
    /// All that were discovered.
    pub(super) count: usize,
}

impl Found {
    /// Returns what `config` makes of the labels that were discovered.
    pub(super) fn of(
        config: &AlertmanagersConfig,
        discovered: impl Iterator<Item = LabelsBuilder>,
    ) -> Self {
        let mut found = Found::default();
        let mut seen = HashSet::new();
        let path = config.alerts_path();
        for mut labels in discovered {
            found.count += 1;
            for (name, value) in [(SCHEME, config.scheme.as_str()), (ALERTS_PATH, &path)] {
                if labels.get(name).is_none() {
                    labels.set(name, value);
                }
            }
            let before = labels.clone();
            if relabel::apply(&config.relabel_configs, &mut labels) {
                found.take(&labels, &mut seen);
            } else if found.dropped.len() < ALERTMANAGERS_MAX {
                found.dropped.push(url_of(&before));
            }
        }
        if 0 < found.over_limit {
            tracing::warn!(
                limit = ALERTMANAGERS_MAX,
                left_out = found.over_limit,
                "a set has too many alertmanagers; the last ones get no alerts"
            );
        }
        found
    }

    fn take(&mut self, labels: &LabelsBuilder, seen: &mut HashSet<String>) {
        let address = labels.get(ADDRESS).unwrap_or_default();
        let outcome = match address {
            "" => Err("no address".to_owned()),
            address => check_target_address(address).map_err(|error| error.to_string()),
        };
        if let Err(error) = outcome {
            tracing::warn!(
                address,
                error,
                "an alertmanager that was discovered cannot be used; it must be host:port"
            );
            return;
        }
        let url = url_of(labels);
        if !seen.insert(url.clone()) {
            return;
        }
        if self.active.len() < ALERTMANAGERS_MAX {
            self.active.push(url);
        } else {
            self.over_limit += 1;
        }
    }
}

fn url_of(labels: &LabelsBuilder) -> String {
    let value = |name: &str| labels.get(name).unwrap_or_default();
    scraper::plain_url(value(SCHEME), value(ADDRESS), value(ALERTS_PATH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(config: &str, discovered: &[&[(&str, &str)]], active: &[&str], dropped: &[&str]) {
        let config = scraper::config::yaml::parse(config).unwrap();
        let labels = discovered.iter().map(|pairs| {
            let mut labels = LabelsBuilder::new();
            for (name, value) in *pairs {
                labels.set(name, value);
            }
            labels
        });
        let found = Found::of(&config, labels);
        assert_eq!(found.active, active);
        assert_eq!(found.dropped, dropped);
        assert_eq!(found.count, discovered.len());
    }

    #[test]
    fn urls_come_from_labels() {
        check(
            "{path_prefix: am, scheme: https}",
            &[
                &[("__address__", "a:1")],
                &[("__address__", "a:1"), ("x", "y")],
            ],
            &["https://a:1/am/api/v2/alerts"],
            &[],
        );
        let own = [
            ("__address__", "a:1"),
            ("__scheme__", "https"),
            ("__alerts_path__", "/p q"),
        ];
        check("{}", &[&own], &["https://a:1/p%20q"], &[]);
        check(
            "{}",
            &[&[("__address__", "http://a")], &[("x", "y")]],
            &[],
            &[],
        );
    }

    #[test]
    fn relabelling_keeps_and_rewrites() {
        let rules = "relabel_configs: [{source_labels: [dc], regex: a, action: keep}, \
            {source_labels: [dc], target_label: __alerts_path__, replacement: '/$1/alerts'}, \
            {source_labels: [__address__], regex: '(.*):.*', target_label: __address__, replacement: '$1:2'}]";
        check(
            rules,
            &[
                &[("__address__", "x:1"), ("dc", "a")],
                &[("__address__", "y:1"), ("dc", "b")],
            ],
            &["http://x:2/a/alerts"],
            &["http://y:1/api/v2/alerts"],
        );
    }

    #[test]
    fn too_many_are_left_out() {
        let config = scraper::config::yaml::parse("{}").unwrap();
        let labels = (0..ALERTMANAGERS_MAX + 2).map(|index| {
            let mut labels = LabelsBuilder::new();
            labels.set(ADDRESS, &format!("a:{index}"));
            labels
        });
        let found = Found::of(&config, labels);
        assert_eq!(
            (found.active.len(), found.over_limit),
            (ALERTMANAGERS_MAX, 2)
        );
    }
}
