//! The Grafana dashboards that ship with Hearth.

/// One dashboard, as Grafana imports it.
#[derive(Debug)]
pub struct GrafanaDashboard {
    /// The file's name, such as `node-exporter.json`.
    pub file: &'static str,
    /// The dashboard's JSON model, a valid object.
    pub json: &'static str,
}

macro_rules! table {
    ($($file:literal,)*) => {
        &[$(GrafanaDashboard { file: $file, json: include_str!(concat!("../grafana/", $file)) }),*]
    };
}

static DASHBOARDS: &[GrafanaDashboard] = table! {
    "node-exporter.json",
};

/// Returns the shipped dashboards, by file name, ascending.
pub fn grafana_dashboards() -> &'static [GrafanaDashboard] {
    DASHBOARDS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use serde_json::Value;

    use super::*;

    fn parsed() -> Vec<(&'static str, Value)> {
        DASHBOARDS
            .iter()
            .map(|one| (one.file, serde_json::from_str(one.json).expect(one.file)))
            .collect()
    }

    fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
        value[key].as_array().map_or(&[], Vec::as_slice)
    }

    /// All panels, those inside collapsed rows too.
    fn panels(dashboard: &Value) -> Vec<&Value> {
        list(dashboard, "panels")
            .iter()
            .flat_map(|panel| [panel].into_iter().chain(list(panel, "panels")))
            .collect()
    }

    fn expressions(dashboard: &Value) -> Vec<&str> {
        panels(dashboard)
            .into_iter()
            .flat_map(|panel| list(panel, "targets"))
            .map(|target| target["expr"].as_str().unwrap_or_default())
            .collect()
    }

    #[test]
    fn table_lists_every_file() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana");
        let mut files = Vec::from_iter(
            std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap()),
        );
        files.sort_unstable();
        assert_eq!(files, Vec::from_iter(DASHBOARDS.iter().map(|one| one.file)));
    }

    #[test]
    fn each_has_an_identity_of_its_own() {
        let dashboards = parsed();
        let uids = BTreeSet::from_iter(
            dashboards
                .iter()
                .map(|(_, one)| one["uid"].as_str().expect("a uid")),
        );
        assert_eq!(uids.len(), dashboards.len());
        for (file, dashboard) in &dashboards {
            assert!(!dashboard["title"].as_str().unwrap().is_empty(), "{file}");
            assert!(
                dashboard["id"].is_null(),
                "{file}: an exported dashboard has no database id"
            );
            assert!(39 <= dashboard["schemaVersion"].as_i64().unwrap(), "{file}");
        }
    }

    #[test]
    fn panel_ids_are_unique() {
        for (file, dashboard) in parsed() {
            let panels = panels(&dashboard);
            let ids = BTreeSet::from_iter(
                panels
                    .iter()
                    .map(|panel| panel["id"].as_u64().expect("a panel id")),
            );
            assert_eq!(ids.len(), panels.len(), "{file}");
        }
    }

    #[test]
    fn panels_say_what_they_show() {
        for (file, dashboard) in parsed() {
            for panel in panels(&dashboard)
                .into_iter()
                .filter(|panel| panel["type"] != "row")
            {
                let title = panel["title"].as_str().unwrap();
                assert!(!title.is_empty(), "{file}: panel {}", panel["id"]);
                assert!(
                    !panel["description"].as_str().unwrap().is_empty(),
                    "{file}: {title}: description"
                );
                assert!(
                    !list(panel, "targets").is_empty(),
                    "{file}: {title}: targets"
                );
                let refs = BTreeSet::from_iter(
                    list(panel, "targets")
                        .iter()
                        .map(|target| target["refId"].as_str()),
                );
                assert_eq!(
                    refs.len(),
                    list(panel, "targets").len(),
                    "{file}: {title}: refIds"
                );
                assert_eq!(
                    panel["datasource"]["uid"], "${datasource}",
                    "{file}: {title}"
                );
                for target in list(panel, "targets") {
                    assert!(
                        !target["expr"].as_str().unwrap().trim().is_empty(),
                        "{file}: {title}: expression"
                    );
                    assert_eq!(
                        target["datasource"]["uid"], "${datasource}",
                        "{file}: {title}"
                    );
                }
            }
        }
    }

    #[test]
    fn panels_do_not_overlap() {
        for (file, dashboard) in parsed() {
            let mut taken = BTreeSet::new();
            for panel in list(&dashboard, "panels") {
                let at = |key: &str| panel["gridPos"][key].as_u64().expect("a grid position");
                assert!(at("x") + at("w") <= 24, "{file}: {}", panel["title"]);
                for y in at("y")..at("y") + at("h") {
                    for x in at("x")..at("x") + at("w") {
                        assert!(
                            taken.insert((x, y)),
                            "{file}: {} overlaps at {x},{y}",
                            panel["title"]
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn rates_follow_the_resolution() {
        for (file, dashboard) in parsed() {
            for expr in expressions(&dashboard) {
                for range in expr.split("}[").skip(1) {
                    assert!(range.starts_with("$__rate_interval]"), "{file}: {expr}");
                }
            }
        }
    }

    #[test]
    fn variables_are_declared() {
        for (file, dashboard) in parsed() {
            let declared = BTreeSet::from_iter(
                list(&dashboard["templating"], "list")
                    .iter()
                    .map(|variable| variable["name"].as_str().unwrap()),
            );
            assert!(
                ["datasource", "job", "instance"]
                    .iter()
                    .all(|name| declared.contains(name)),
                "{file}"
            );
            for expr in expressions(&dashboard) {
                for rest in expr
                    .split('$')
                    .skip(1)
                    .filter(|rest| !rest.starts_with("__"))
                {
                    let name = rest
                        .split(|c: char| !c.is_alphanumeric() && c != '_')
                        .next()
                        .unwrap();
                    assert!(declared.contains(name), "{file}: ${name} in {expr}");
                }
            }
        }
    }

    /// The metric names in an expression: the words that begin with `node_`.
    fn node_metrics(expr: &str) -> impl Iterator<Item = &str> {
        expr.split(|c: char| !c.is_alphanumeric() && c != '_')
            .filter(|word| word.starts_with("node_"))
    }

    #[test]
    fn node_metrics_are_those_of_the_exporter() {
        let root = std::env::var_os("HEARTH_CONFORMANCE_DIR").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance"),
            PathBuf::from,
        );
        let path = root.join("exposition/node_exporter/metrics.tsv");
        let Ok(table) = std::fs::read_to_string(&path) else {
            println!("skipped: {} is not there", path.display());
            return;
        };
        let known = BTreeSet::from_iter(table.lines().filter_map(|line| line.split('\t').nth(2)));
        let dashboards = parsed();
        let (_, dashboard) = dashboards
            .iter()
            .find(|(file, _)| *file == "node-exporter.json")
            .unwrap();
        for name in expressions(dashboard).into_iter().flat_map(node_metrics) {
            // The exporter's account of its own collectors is not in the table of what they collect.
            assert!(
                known.contains(name) || name.starts_with("node_scrape_collector_"),
                "{name}"
            );
        }
    }
}
