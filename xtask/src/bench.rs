//! `bench`: an optimised build under the benchmark scripts, which live outside of the repository.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::run::{command, root, run};

/// Builds, and lets `ingest.py` of the folder in `HEARTH_BENCH` (default `../shared/bench`) measure the build.
///
/// The script takes the path of a program with Prometheus' command line: a link of that name to our binary. It needs
/// its load generator, which the folder's `setup.sh` builds.
pub(crate) fn bench() -> Result<()> {
    let folder =
        std::env::var_os("HEARTH_BENCH").map_or_else(|| "../shared/bench".into(), PathBuf::from);
    let script = root().join(folder).join("ingest.py");
    ensure!(
        script.is_file(),
        "{} is not there; HEARTH_BENCH must name the folder of the benchmarks",
        script.display()
    );
    run(command(
        "cargo",
        &["build", "--release", "--package", "hearth"],
    ))?;
    let link = link()?;
    let script = script.to_string_lossy().into_owned();
    let link = link.to_string_lossy().into_owned();
    run(command(
        &script,
        &[
            "hearth",
            "--bin",
            &link,
            "--targets",
            "120",
            "--seconds",
            "100",
        ],
    ))
}

/// Makes `target/bench/prometheus` a link to the optimised binary.
fn link() -> Result<PathBuf> {
    let folder = root().join("target/bench");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let link = folder.join("prometheus");
    if link.is_symlink() {
        fs::remove_file(&link).with_context(|| format!("remove {}", link.display()))?;
    }
    symlink(root().join("target/release/hearth"), &link)
        .with_context(|| format!("link {}", link.display()))?;
    Ok(link)
}
