//! `conformance`: the tests that read the conformance data, with the data.
//!
//! Without the data these tests pass, so that a checkout stands alone; here that is an error.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::run::{command, root, run_and_read};

/// The variable that names the data.
const VARIABLE: &str = "HEARTH_CONFORMANCE_DIR";

/// Runs all tests of the crates that read the data.
pub(crate) fn conformance() -> Result<()> {
    let data = data()?;
    let crates = crates_that_read_it()?;
    let mut args = vec!["test"];
    for name in &crates {
        args.extend(["--package", name]);
    }
    args.extend(["--", "--show-output"]);
    let mut test = command("cargo", &args);
    test.env(VARIABLE, data);
    let skipped: Vec<String> = run_and_read(test)?
        .into_iter()
        .filter(|line| line.trim_start().starts_with("skipped:"))
        .collect();
    ensure!(
        skipped.is_empty(),
        "tests were skipped:\n{}",
        skipped.join("\n")
    );
    Ok(())
}

fn data() -> Result<PathBuf> {
    let named =
        std::env::var_os(VARIABLE).map_or_else(|| "../shared/conformance".into(), PathBuf::from);
    let path = root().join(named);
    path.canonicalize()
        .with_context(|| format!("{VARIABLE}: no conformance data in {}", path.display()))
}

/// Returns the names of the crates (which are those of their folders) with a source file that names the variable.
fn crates_that_read_it() -> Result<Vec<String>> {
    let mut crates = Vec::new();
    for entry in fs::read_dir(root()).context("list the root")? {
        let entry = entry.context("list the root")?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_crate = entry.path().join("Cargo.toml").is_file() && name != "xtask";
        if is_crate && reads_it(&entry.path())? {
            crates.push(name);
        }
    }
    ensure!(!crates.is_empty(), "no crate reads {VARIABLE}");
    crates.sort();
    Ok(crates)
}

fn reads_it(folder: &Path) -> Result<bool> {
    let context = || format!("list {}", folder.display());
    for entry in fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        let found = if path.is_dir() {
            reads_it(&path)?
        } else if path.extension() == Some(OsStr::new("rs")) {
            let text =
                fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            text.contains(VARIABLE)
        } else {
            false
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}
