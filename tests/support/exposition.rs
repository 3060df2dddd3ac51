//! The text format, read just well enough to compare two exporters' bodies and to stamp one.

use std::collections::{BTreeMap, BTreeSet};

/// One family of a scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    /// The series, as `name{labels}` in the order that they were printed in.
    pub(crate) series: BTreeSet<String>,
}

/// Returns the families of a body in which each starts with its `# HELP` and `# TYPE`.
#[track_caller]
pub(crate) fn families(body: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in body.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            families.entry(name.to_owned()).or_default().help = help.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a TYPE has a name and a kind");
            current = name.to_owned();
            families.entry(current.clone()).or_default().kind = kind.to_owned();
        } else if !line.starts_with('#') {
            let (series, _) = line.rsplit_once(' ').expect("a sample has a value");
            assert!(
                series.starts_with(&current),
                "sample of {current}, or of no family: {line}"
            );
            let family = families.entry(current.clone()).or_default();
            family.series.insert(series.to_owned());
        }
    }
    families
}

/// Returns the body with `at`, milliseconds since the epoch, as the explicit timestamp of every sample.
pub(crate) fn stamped(body: &str, at: i64) -> String {
    let mut stamped = String::with_capacity(body.len() * 5 / 4);
    for line in body.lines() {
        stamped.push_str(line);
        if !line.starts_with('#') && !line.is_empty() {
            stamped.push_str(&format!(" {at}"));
        }
        stamped.push('\n');
    }
    stamped
}
