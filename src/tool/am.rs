//! Commands on Alertmanager's configuration files and on a running Alertmanager, in amtool's words.

pub(super) mod alert;
pub(super) mod check_config;
mod client;
pub(super) mod routes;
pub(super) mod silence;
pub(super) mod status;
pub(super) mod template;

use std::fs::File;
use std::io::Read as _;

use alertmanager::config::AlertmanagerConfig;
use anyhow::Context as _;

/// Bytes of a configuration file, at most.
const CONFIG_BYTES_MAX: u64 = 64 << 20;

/// Reads and parses a configuration file.
fn load(path: &str) -> anyhow::Result<AlertmanagerConfig> {
    let file = File::open(path).with_context(|| format!("read {path}"))?;
    let mut text = String::new();
    let size = file
        .take(CONFIG_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("read {path}"))?;
    anyhow::ensure!(
        size as u64 <= CONFIG_BYTES_MAX,
        "read {path}: it is larger than {CONFIG_BYTES_MAX} bytes"
    );
    Ok(AlertmanagerConfig::parse(&text)?)
}

/// Checks that there is a file at `path`.
fn ensure_file(path: &str) -> anyhow::Result<()> {
    let path = std::path::Path::new(path);
    anyhow::ensure!(path.exists(), "path '{}' does not exist", path.display());
    anyhow::ensure!(!path.is_dir(), "'{}' is a directory", path.display());
    Ok(())
}
