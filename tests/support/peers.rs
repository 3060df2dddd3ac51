//! The real programs that Hearth is compared with, if this machine has them.
//!
//! They are looked for in the directory that `HEARTH_PEERS` names, then in `PATH`, under the names that Debian's
//! packages and the projects' own releases give them. A test whose program is missing says so and passes; with
//! `HEARTH_REQUIRE_PEERS=1`, as in CI, it fails.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The names a program goes by.
pub(crate) type Names = &'static [&'static str];

/// Prometheus, from 2.42 on.
pub(crate) const PROMETHEUS: Names = &["prometheus"];
/// Its tool.
pub(crate) const PROMTOOL: Names = &["promtool"];
/// The node exporter.
pub(crate) const NODE_EXPORTER: Names = &["prometheus-node-exporter", "node_exporter"];

/// Alertmanager.
pub(crate) const ALERTMANAGER: Names = &["prometheus-alertmanager", "alertmanager"];
/// Its tool.
pub(crate) const AMTOOL: Names = &["amtool"];

/// Returns the paths of the programs in the order asked for; if one is missing, says that `test` is skipped.
#[track_caller]
pub(crate) fn or_skip<const N: usize>(test: &str, programs: [Names; N]) -> Option<[PathBuf; N]> {
    let mut paths = Vec::new();
    for names in programs {
        match find(names) {
            Some(path) => paths.push(path),
            None => {
                skip(test, names[0]);
                return None;
            }
        }
    }
    paths.try_into().ok()
}

/// Whether `program`, of Prometheus, is of version 3; if it is not, says that `test` is skipped. Version 2 prints
/// expressions in another way, and its windows have another left edge.
pub(crate) fn is_3_or_skip(test: &str, program: &Path) -> bool {
    let output = Command::new(program).arg("--version").output();
    let text = output.map_or_else(|_| Vec::new(), |output| output.stdout);
    let is_3 = String::from_utf8_lossy(&text).contains("version 3.");
    if !is_3 {
        let reason = format!("{test}: {} is not of version 3; skipped", program.display());
        let _ = writeln!(std::io::stderr(), "{reason}");
    }
    is_3
}

fn find(names: Names) -> Option<PathBuf> {
    let peers = std::env::var_os("HEARTH_PEERS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = peers.into_iter().chain(std::env::split_paths(&path));
    directories
        .flat_map(|directory| names.iter().map(move |name| directory.join(name)))
        .find(|candidate| candidate.is_file())
        .and_then(|found| found.canonicalize().ok())
}

#[track_caller]
fn skip(test: &str, program: &str) {
    let reason = format!(
        "SKIPPED: {test}: {program} not found; install Debian's prometheus and prometheus-node-exporter"
    );
    let required = std::env::var("HEARTH_REQUIRE_PEERS").is_ok_and(|value| value == "1");
    assert!(!required, "{reason}");
    // Past the test runner's capture, which would show it to nobody as the test passes.
    let _ = writeln!(std::io::stderr(), "{reason}");
}
