//! `fuzz`: every fuzz target for a while.

use anyhow::{Result, ensure};

use crate::run::{command, has_cargo_word, root, run, say};

/// How long each target runs unless `HEARTH_FUZZ_SECONDS` says otherwise.
const SECONDS: u64 = 60;

/// Runs each target with `cargo fuzz` on the nightly toolchain if that is installed, and otherwise says so and lets the
/// plain loop of mutations look at all of them, which any toolchain can.
pub(crate) fn fuzz() -> Result<()> {
    let seconds = match std::env::var("HEARTH_FUZZ_SECONDS") {
        Ok(text) => text.parse()?,
        Err(_) => SECONDS,
    };
    let manifest = root().join("fuzz/Cargo.toml");
    let manifest = manifest.to_string_lossy();
    let mutate = |word: &str| {
        let words = [
            "run",
            "--release",
            "--manifest-path",
            &manifest,
            "--bin",
            "mutate",
            "--",
            word,
        ];
        run(command("cargo", &words))
    };
    if !has_cargo_word("fuzz") {
        say(
            "cargo-fuzz is not installed (cargo install cargo-fuzz): mutations without coverage instead",
        );
        return mutate(&seconds.to_string());
    }
    mutate("seeds")?;
    let targets = targets()?;
    ensure!(
        !targets.is_empty(),
        "there is no target in fuzz/fuzz_targets"
    );
    for target in targets {
        let time = format!("-max_total_time={seconds}");
        let words = [
            "+nightly",
            "fuzz",
            "run",
            "--features",
            "libfuzzer",
            &target,
            "--",
            &time,
            "-malloc_limit_mb=256",
        ];
        // Through rustup, as the toolchain of this chore is another.
        let mut command = std::process::Command::new("cargo");
        command.args(words).current_dir(root()).env_remove("CARGO");
        command.env_remove("RUSTUP_TOOLCHAIN");
        run(command)?;
    }
    Ok(())
}

/// Returns the names of the targets.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        names.extend(
            path.file_stem()
                .map(|stem| stem.to_string_lossy().into_owned()),
        );
    }
    names.sort_unstable();
    Ok(names)
}
