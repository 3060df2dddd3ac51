//! `deps`: what we depend on, against `deny.toml`.
//!
//! A small part of what `cargo deny` does, from the same file, in a second and without installing anything: crates
//! that must not come in by any way, licences, and sources. What the file means is documented there.
//!
//! The file is read by its layout: one string or one table per line within a list.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::licence;
use crate::run::{command, root, say};

/// Where all packages come from that are not ours, as cargo prints it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks every package of the lock file, and the licences of those that are built here.
pub(crate) fn deps() -> Result<()> {
    let rules = Rules::parse(&read("deny.toml")?)?;
    let locked = locked(&read("Cargo.lock")?);
    let mut wrong: Vec<String> = locked
        .iter()
        .filter(|package| rules.bans(package))
        .map(|package| {
            format!(
                "{} {} is banned in deny.toml",
                package.name, package.version
            )
        })
        .collect();
    for (package, expression) in licences()? {
        if !licence::allows(&expression, &rules.licences) {
            wrong.push(format!(
                "{package}: licence {expression} is not allowed in deny.toml"
            ));
        }
    }
    let foreign = locked.iter().filter(|package| {
        package
            .source
            .as_deref()
            .is_some_and(|source| source != REGISTRY)
    });
    wrong
        .extend(foreign.map(|package| format!("{} comes from {:?}", package.name, package.source)));
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    say(&format!(
        "{} locked packages: none banned, all of allowed licences",
        locked.len()
    ));
    Ok(())
}

fn read(name: &str) -> Result<String> {
    fs::read_to_string(root().join(name)).with_context(|| format!("read {name}"))
}

/// What `deny.toml` rules.
struct Rules {
    /// Names, and the prefix that a version must have to be banned (empty for all).
    bans: Vec<(String, String)>,
    licences: BTreeSet<String>,
}

impl Rules {
    fn parse(text: &str) -> Result<Self> {
        let mut rules = Self {
            bans: Vec::new(),
            licences: BTreeSet::new(),
        };
        let (mut section, mut list) = ("", "");
        for line in text.lines().map(str::trim) {
            match line {
                _ if line.is_empty() || line.starts_with('#') => (),
                _ if line.starts_with('[') => section = line,
                "]" => list = "",
                _ if line.ends_with('[') => list = line,
                _ if (section, list) == ("[licenses]", "allow = [") => {
                    rules.licences.insert(first_string(line)?.to_owned());
                }
                _ if (section, list) == ("[bans]", "deny = [") => {
                    let (name, version) = first_string(line)?
                        .split_once('@')
                        .unwrap_or((first_string(line)?, ""));
                    rules.bans.push((name.to_owned(), version.to_owned()));
                }
                _ => (),
            }
        }
        ensure!(!rules.bans.is_empty(), "deny.toml bans nothing");
        ensure!(!rules.licences.is_empty(), "deny.toml allows no licence");
        Ok(rules)
    }

    fn bans(&self, package: &Locked) -> bool {
        self.bans.iter().any(|(name, version)| {
            let rest = package.version.strip_prefix(version.as_str());
            let same = rest
                .is_some_and(|rest| version.is_empty() || rest.is_empty() || rest.starts_with('.'));
            *name == package.name && same
        })
    }
}

fn first_string(line: &str) -> Result<&str> {
    match line.split('"').nth(1) {
        Some(string) => Ok(string),
        None => bail!("no string in {line:?} of deny.toml"),
    }
}

/// A package of `Cargo.lock`.
#[derive(Debug, Default)]
struct Locked {
    name: String,
    version: String,
    /// `None` for our own.
    source: Option<String>,
}

fn locked(lock: &str) -> Vec<Locked> {
    let mut packages = Vec::new();
    for line in lock.lines() {
        if line == "[[package]]" {
            packages.push(Locked::default());
        } else if let (Some(package), Some((key, value))) =
            (packages.last_mut(), line.split_once(" = "))
        {
            let value = value.trim_matches('"').to_owned();
            match key {
                "name" => package.name = value,
                "version" => package.version = value,
                "source" => package.source = Some(value),
                _ => (),
            }
        }
    }
    packages
}

/// Returns the packages that are built on this platform with the licence that each declares.
fn licences() -> Result<Vec<(String, String)>> {
    let host = host()?;
    let args = [
        "metadata",
        "--format-version=1",
        "--locked",
        "--filter-platform",
        &host,
    ];
    let output = command("cargo", &args).output().context("cargo metadata")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo metadata: {said}");
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let packages = metadata["packages"]
        .as_array()
        .context("metadata has packages")?;
    let text = |package: &Value, key: &str| package[key].as_str().unwrap_or("none").to_owned();
    let licences = packages
        .iter()
        .map(|package| (text(package, "name"), text(package, "license")));
    Ok(licences.collect())
}

/// Returns the platform that the compiler runs on.
fn host() -> Result<String> {
    let output = command("rustc", &["-vV"]).output().context("rustc -vV")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV says no host")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "[licenses]\nallow = [\n  \"MIT\",\n]\n[bans]\n# why\ndeny = [\n  { crate = \"bad\" },\n  { crate = \"split@0.7\", reason = \"too new\" },\n]\n";

    #[track_caller]
    fn check(name: &str, version: &str, banned: bool) {
        let rules = Rules::parse(RULES).unwrap();
        let lock = format!(
            "version = 4\n\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{REGISTRY}\"\ndependencies = [\n \"x\",\n]\n"
        );
        let packages = locked(&lock);
        assert_eq!(packages.len(), 1, "{packages:?}");
        assert_eq!(rules.bans(&packages[0]), banned, "{packages:?}");
    }

    #[test]
    fn bans_go_by_name_and_version() {
        check("bad", "1.2.3", true);
        check("badly", "1.2.3", false);
        check("split", "0.6.9", false);
        check("split", "0.7.0", true);
        check("split", "0.70.0", false);
    }

    #[test]
    fn our_own_rules_can_be_read() {
        let rules = Rules::parse(&read("deny.toml").unwrap()).unwrap();
        assert!(rules.bans.iter().any(|(name, _)| name == "aws-lc-sys"));
        assert!(rules.licences.contains("Apache-2.0"));
    }
}
