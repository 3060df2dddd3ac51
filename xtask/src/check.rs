//! `check`: what must hold before a change is handed in.

use anyhow::Result;

use crate::deps;
use crate::run::{command, has_cargo_word, run};

/// Runs all checks, the quick ones first; stops at the first that fails.
pub(crate) fn check() -> Result<()> {
    run(command("cargo", &["fmt", "--all", "--check"]))?;
    // Among the tests of the root are those of the workspace's own rules: see tests/crates.rs.
    deps::deps()?;
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    run(command("cargo", &clippy))?;
    let mut doc = command("cargo", &["doc", "--workspace", "--no-deps", "--quiet"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    run(doc)?;
    if has_cargo_word("nextest") {
        run(command("cargo", &["nextest", "run", "--workspace"]))?;
        run(command("cargo", &["test", "--workspace", "--doc"]))
    } else {
        run(command("cargo", &["test", "--workspace"]))
    }
}
