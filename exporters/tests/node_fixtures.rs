//! The node exporter over node_exporter's own fixture tree, against the exposition that node_exporter gives for it.
//!
//! The tree is conformance data, not part of the repository: without it the test says so and passes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use exporters::node::{Filter, NodeExporter, NodeOptions};

/// Families that node_exporter's own comparison leaves out: they say what is running, and when.
const NOT_COMPARED: [&str; 3] = [
    "node_exporter_build_info",
    "node_time_seconds",
    "node_time_zone_offset_seconds",
];

fn conformance_folder() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
    std::env::var_os("HEARTH_CONFORMANCE_DIR")
        .map_or(default, PathBuf::from)
        .join("exposition/node_exporter")
}

/// The collectors of the expected exposition that we have; the tree has nothing for `netdev`, `filesystem`, `selinux`
/// and `uname`, which were off or asked the real machine.
fn options(tree: &Path) -> NodeOptions {
    let mut options = NodeOptions::linux_defaults();
    for absent in ["netdev", "filesystem", "selinux", "uname"] {
        options.collectors.remove(absent);
    }
    options.procfs = tree.join("proc");
    options.sysfs = tree.join("sys");
    options.rootfs = tree.into();
    options.udev_data = tree.join("udev/data");
    options.arp_devices = Filter::exclude("nope");
    options.cpu_info = true;
    options.cpu_info_bugs_include = Some("^(cpu_meltdown|spectre_.*|mds)$".to_owned());
    options.cpu_info_flags_include = Some("^(aes|avx.?|constant_tsc)$".to_owned());
    options.netclass_ignore_invalid_speed = true;
    options.netclass_ignored_devices = "(dmz|int)".to_owned();
    options.stat_softirq = true;
    options
}

/// Returns the family that a line of an exposition without histograms and summaries belongs to.
fn family_of(line: &str) -> &str {
    let line = line
        .strip_prefix("# HELP ")
        .or_else(|| line.strip_prefix("# TYPE "))
        .unwrap_or(line);
    line.split(['{', ' ']).next().unwrap_or_default()
}

#[test]
fn fixture_tree_gives_the_expected_exposition() {
    let folder = conformance_folder();
    let Ok(expected) = std::fs::read_to_string(folder.join("e2e-output-1.11.1.txt")) else {
        println!("skipped: no conformance data in {}", folder.display());
        return;
    };
    let metrics_list = std::fs::read_to_string(folder.join("metrics.tsv")).unwrap();
    let unpacked = tempfile::tempdir().unwrap();
    let archive = folder.join("fixtures-1.11.1.tar.gz");
    let status = Command::new("tar")
        .arg("-xzf")
        .arg(archive)
        .arg("-C")
        .arg(unpacked.path())
        .status();
    if !status.is_ok_and(|status| status.success()) {
        println!("skipped: cannot unpack the fixture tree");
        return;
    }

    let options = options(&unpacked.path().join("fixtures"));
    let families = families_of(&options.collectors, &metrics_list);
    let gathered = NodeExporter::new(options).unwrap().gather();
    let mut text = Vec::new();
    metrics::encode::text(&gathered, &mut text);
    let text = String::from_utf8(text).unwrap();

    let compared = |line: &&str| {
        families.contains(family_of(line)) && !NOT_COMPARED.contains(&family_of(line))
    };
    let expected: BTreeSet<_> = expected.lines().filter(compared).collect();
    let found: BTreeSet<_> = text
        .lines()
        .filter(|line| !family_of(line).starts_with("node_scrape"))
        .collect();
    let found: BTreeSet<_> = found
        .into_iter()
        .filter(|line| !NOT_COMPARED.contains(&family_of(line)))
        .collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    let surplus: Vec<_> = found.difference(&expected).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "missing: {missing:#?}\nsurplus: {surplus:#?}"
    );
    assert!(500 < expected.len(), "only {} lines", expected.len());

    let success = gathered
        .iter()
        .find(|family| family.name == "node_scrape_collector_success")
        .unwrap();
    let failed: Vec<_> = success
        .series
        .iter()
        .filter(|series| series.value != metrics::MetricValue::Number(1.0))
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

/// Returns the families of these collectors: the first and third column of the list.
fn families_of<'a>(collectors: &BTreeSet<String>, list: &'a str) -> BTreeSet<&'a str> {
    let columns = list
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>());
    columns
        .filter(|columns| collectors.contains(columns[0]))
        .map(|columns| columns[2])
        .collect()
}
