//! Tidiness of the workspace as a whole: who imports whom, which lints hold, how long a file may be.
//!
//! A new arrow between two rooms is a decision about the design: it changes the table below in a commit of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which room may import which: the whole list. The binary at the root may import all of them.
const ARROWS: [(&str, &[&str]); 10] = [
    ("model", &[]),
    ("metrics", &[]),
    ("net", &["model", "metrics"]),
    ("tsdb", &["model", "metrics"]),
    ("promql", &["model", "metrics"]),
    ("scraper", &["model", "metrics", "net"]),
    ("alertmanager", &["model", "metrics", "net", "promql"]),
    ("remote", &["model", "metrics"]),
    ("exporters", &["model", "metrics", "net"]),
    ("dashboards", &[]),
];

/// Members that are tools of the developers and not rooms of the house; they import no room.
const TOOLS: [&str; 1] = ["xtask"];

/// The longest a Rust file may be, in lines.
const LINES_MAX: usize = 800;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The lines of each section of a manifest, without comments and empty lines.
fn sections(manifest: &Path) -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(manifest)
        .unwrap_or_else(|error| panic!("read {}: {error}", manifest.display()));
    let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(header) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = header.to_owned();
        } else if !line.is_empty() && !line.starts_with('#') {
            let lines = sections.entry(section.clone()).or_default();
            lines.push(line.to_owned());
        }
    }
    sections
}

/// Returns the rooms that a manifest names in any of its dependency sections, those of tests and builds too.
fn imports(manifest: &Path) -> BTreeSet<&'static str> {
    let sections = sections(manifest);
    let dependencies = sections
        .iter()
        .filter(|(header, _)| header.contains("dependencies"));
    let named: BTreeSet<String> = dependencies
        .flat_map(|(header, lines)| {
            // `[dependencies.name]` is another way to write it.
            let in_header = header.rsplit('.').next().map(str::to_owned);
            lines.iter().filter_map(|line| key(line)).chain(in_header)
        })
        .collect();
    let rooms = ARROWS.iter().map(|(room, _)| *room);
    rooms.filter(|room| named.contains(*room)).collect()
}

/// Returns `name` of `name = …` and `name.workspace = true`.
fn key(line: &str) -> Option<String> {
    let (key, _) = line.split_once('=')?;
    let name = key.trim().split('.').next()?;
    Some(name.trim_matches('"').to_owned())
}

/// Returns the members of the workspace.
fn members() -> BTreeSet<String> {
    let sections = sections(&root().join("Cargo.toml"));
    let members = sections["workspace"]
        .iter()
        .find_map(|line| line.strip_prefix("members"))
        .expect("the workspace has members, in one line");
    let quoted = members.split('"').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

#[test]
fn every_member_is_a_room_or_a_tool() {
    let rooms = ARROWS.iter().map(|(room, _)| *room);
    let known: BTreeSet<String> = rooms.chain(TOOLS).map(str::to_owned).collect();
    assert_eq!(members(), known);
}

#[test]
fn arrows_between_rooms_run_one_way() {
    for (room, allowed) in ARROWS {
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        let imports = imports(&root().join(room).join("Cargo.toml"));
        let surplus: Vec<_> = imports.difference(&allowed).collect();
        assert!(surplus.is_empty(), "{room} must not import {surplus:?}");
    }
    for tool in TOOLS {
        let imports = imports(&root().join(tool).join("Cargo.toml"));
        assert!(imports.is_empty(), "{tool} must not import {imports:?}");
    }
}

#[test]
fn an_import_is_seen_however_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = dir.path().join("Cargo.toml");
    let text = "[package]\nname = \"scraper\"\n[dependencies]\ntsdb.workspace = true\n[dev-dependencies]\nnet = { path = \"../net\" }\n[target.'cfg(unix)'.dependencies]\n# model = \"1\"\n\"promql\" = \"1\"\n[dependencies.metrics]\nworkspace = true\n";
    fs::write(&manifest, text).unwrap();
    let seen: Vec<_> = imports(&manifest).into_iter().collect();
    assert_eq!(seen, ["metrics", "net", "promql", "tsdb"]);
}

#[test]
fn every_member_obeys_the_lints_of_the_workspace() {
    let manifests = members()
        .into_iter()
        .map(|member| root().join(member).join("Cargo.toml"))
        .chain([root().join("Cargo.toml")]);
    for manifest in manifests {
        let lints = sections(&manifest).remove("lints").unwrap_or_default();
        assert_eq!(
            lints,
            ["workspace = true"],
            "[lints] of {}",
            manifest.display()
        );
    }
}

#[test]
fn no_file_is_too_long_to_be_one_noun() {
    let mut files = Vec::new();
    rust_files(root(), &mut files);
    assert!(files.len() > 50, "the search lost its way: {files:?}");
    let lines = |file: &PathBuf| fs::read_to_string(file).map_or(0, |text| text.lines().count());
    let too_long: Vec<String> = files
        .iter()
        .map(|file| (lines(file), file))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .map(|(lines, file)| format!("{lines} lines: {}", file.display()))
        .collect();
    assert!(
        too_long.is_empty(),
        "split by verb:\n{}",
        too_long.join("\n")
    );
}

/// Collects the Rust files below `dir`, but for build output and hidden folders.
fn rust_files(dir: &Path, files: &mut Vec<PathBuf>) {
    let entries =
        fs::read_dir(dir).unwrap_or_else(|error| panic!("list {}: {error}", dir.display()));
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_dir && name != "target" && !name.starts_with('.') {
            rust_files(&path, files);
        } else if !is_dir && name.ends_with(".rs") {
            files.push(path);
        }
    }
}
