//! Hearth's node exporter beside the real one: the same families, types, help texts and series.
//!
//! Both are told to run the collectors that both have, and to look at the same devices and file systems, as a
//! distribution may have changed the defaults. Values differ from moment to moment and are not compared; neither are
//! the families of [`NOT_COMPARED`] and the labels of [`MASK`].
//!
//! Hearth follows node_exporter 1.11. Of an older one (Debian 12 has 1.5) only the families that both have are
//! compared, without the labels that came later.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

use support::exposition::{Family, families};
use support::http;
use support::monitor::{free_address, hearth_binary};
use support::peers;
use support::process::Process;
use support::wait::{PATIENCE, eventually};

/// The version that Hearth's exporter follows.
const FOLLOWED: (u32, u32) = (1, 11);

/// Families that Hearth does not have, by how their names begin.
///
/// * `go_*` and `promhttp_*` tell of the Go program that Hearth is not.
/// * `process_network_*`, new in 1.11, counts the traffic of the process' network namespace, thus of the machine, which
///   `node_network_*` has by device.
const NOT_COMPARED: [&str; 3] = ["go_", "promhttp_", "process_network_"];

/// What both are told to look at.
const SAME_SIGHT: [&str; 4] = [
    "--collector.filesystem.mount-points-exclude=^/(dev|proc|sys|run)($|/)",
    "--collector.filesystem.fs-types-exclude=^(autofs|cgroup2?|devpts|overlay|proc|sysfs|tracefs|debugfs|securityfs)$",
    "--collector.diskstats.device-exclude=^(z?ram|loop|fd)\\d+$",
    "--collector.netdev.device-exclude=^(veth|docker).*$",
];

#[test]
fn the_families_are_those_of_the_real_one() {
    let found = peers::or_skip("node_exporter", [peers::NODE_EXPORTER]);
    let Some([program]) = found else { return };
    let dir = tempfile::tempdir().unwrap();
    let real = Exporter {
        name: "real",
        program,
        words: &[],
    };
    let own = Exporter {
        name: "own",
        program: hearth_binary(),
        words: &["exporter", "node"],
    };

    let defaults: BTreeSet<String> = collectors(&real.scrape(dir.path(), &[]));
    let built: BTreeSet<String> = collectors(&own.scrape(dir.path(), &[]));
    let unknown: Vec<&String> = built.difference(&defaults).collect();
    let shared: Vec<&String> = built.intersection(&defaults).collect();
    assert!(shared.len() >= 20, "only {shared:?} are in both");

    let mut flags = vec!["--collector.disable-defaults".to_owned()];
    flags.extend(shared.iter().map(|name| format!("--collector.{name}")));
    flags.extend(SAME_SIGHT.iter().map(|&flag| flag.to_owned()));
    let (real_body, own_body) = (
        real.scrape(dir.path(), &flags),
        own.scrape(dir.path(), &flags),
    );
    let asked: BTreeSet<String> = shared.into_iter().cloned().collect();
    assert_eq!(
        collectors(&own_body),
        asked,
        "Hearth runs what it is told to"
    );

    let (real_families, own_families) = (compared(&real_body), compared(&own_body));
    let differences = if version(&real.program) < FOLLOWED {
        differences(
            &only_in(&real_families, &own_families),
            &only_in(&own_families, &real_families),
            OLD_MASK,
        )
    } else {
        assert!(
            unknown.is_empty(),
            "{unknown:?} are no defaults of the real one"
        );
        differences(&real_families, &own_families, MASK)
    };
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// A program that is a node exporter.
struct Exporter {
    name: &'static str,
    program: PathBuf,
    /// What makes it one.
    words: &'static [&'static str],
}

impl Exporter {
    /// Starts it with these flags for one scrape.
    #[track_caller]
    fn scrape(&self, dir: &Path, flags: &[String]) -> String {
        let address = free_address();
        let mut args: Vec<String> = self.words.iter().map(|&word| word.to_owned()).collect();
        args.push(format!("--web.listen-address={address}"));
        args.extend_from_slice(flags);
        let mut process = Process::start(self.name, &self.program, &args, dir);
        eventually(
            &format!("the {} exporter serves", self.name),
            PATIENCE,
            || {
                process.assert_running();
                let reply = http::get(&format!("http://{address}/metrics"))?;
                (reply.status == 200)
                    .then(|| reply.text())
                    .ok_or_else(|| format!("it answers {}", reply.status))
            },
        )
    }
}

/// Returns the collectors that ran.
fn collectors(body: &str) -> BTreeSet<String> {
    let prefix = "node_scrape_collector_success{collector=\"";
    let names = body.lines().filter_map(|line| line.strip_prefix(prefix));
    names
        .filter_map(|rest| rest.split_once('"'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Returns the families of a body, without those of [`NOT_COMPARED`].
#[track_caller]
fn compared(body: &str) -> BTreeMap<String, Family> {
    let mut families = families(body);
    families.retain(|name, _| !NOT_COMPARED.iter().any(|prefix| name.starts_with(prefix)));
    families
}

/// Returns those families of `left` whose name `right` has too.
fn only_in(
    left: &BTreeMap<String, Family>,
    right: &BTreeMap<String, Family>,
) -> BTreeMap<String, Family> {
    let both = left.iter().filter(|(name, _)| right.contains_key(*name));
    both.map(|(name, family)| (name.clone(), family.clone()))
        .collect()
}

/// Returns a line for each difference.
fn differences(
    real: &BTreeMap<String, Family>,
    own: &BTreeMap<String, Family>,
    mask: &[(&str, &str)],
) -> Vec<String> {
    let names: BTreeSet<&String> = real.keys().chain(own.keys()).collect();
    let mut differences = Vec::new();
    for name in names {
        match (real.get(name), own.get(name)) {
            (Some(real), Some(own)) => {
                let (real, own) = (masked(real, mask), masked(own, mask));
                if real != own {
                    differences.push(difference(name, &real, &own));
                }
            }
            (Some(_), None) => differences.push(format!("{name} is missing")),
            (None, Some(_)) => differences.push(format!("{name} is no family of the real one")),
            (None, None) => (),
        }
    }
    differences
}

fn difference(name: &str, real: &Family, own: &Family) -> String {
    format!(
        "{name}: {} {:?}, the real one has {} {:?}; only Hearth has {:?}, only the real one {:?}",
        own.kind,
        own.help,
        real.kind,
        real.help,
        own.series.difference(&real.series).collect::<Vec<_>>(),
        real.series.difference(&own.series).collect::<Vec<_>>()
    )
}

/// Labels that may differ: what they are replaced by, in all series.
///
/// * `node_exporter_build_info` tells of the build.
/// * `rotational` is 0 in the real one whenever any other file of the disk's queue cannot be read, as on kernel 6.18.
const MASK: &[(&str, &str)] = &[
    (r"^(node_exporter_build_info)\{.*\}$", "$1"),
    (r#"rotational="[01]""#, r#"rotational="?""#),
];

/// [`MASK`], and the labels that 1.5 did not have.
const OLD_MASK: &[(&str, &str)] = &[
    (r"^(node_exporter_build_info)\{.*\}$", "$1"),
    (r#",?(rotational|device_error|adminstate)="[^"]*""#, ""),
];

/// Returns the family with the labels replaced that may differ.
fn masked(family: &Family, mask: &[(&str, &str)]) -> Family {
    let mut masked = family.clone();
    for (pattern, replacement) in mask {
        let pattern = Regex::new(pattern).expect("the masks are valid");
        let replace = |series: String| pattern.replace_all(&series, *replacement).into_owned();
        masked.series = masked.series.into_iter().map(replace).collect();
    }
    masked
}

/// Returns the major and minor version of a node_exporter.
fn version(program: &Path) -> (u32, u32) {
    let run = Command::new(program).arg("--version").output();
    let run = run.expect("the node exporter starts");
    let text = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
    let pattern = Regex::new(r"version (\d+)\.(\d+)\.").expect("a valid pattern");
    let found = pattern.captures(&text);
    let found = found.unwrap_or_else(|| panic!("no version in {text}"));
    let number = |group: usize| found[group].parse().expect("digits");
    (number(1), number(2))
}
