//! Commands on Alertmanager's configuration files and on a running Alertmanager, in amtool's words.

pub(super) mod alert;
pub(super) mod check_config;
mod client;
pub(super) mod routes;
pub(super) mod settings;
pub(super) mod silence;
pub(super) mod status;
pub(super) mod template;

use std::path::Path;

use alertmanager::config::{AlertmanagerConfig, MatcherMode};
use anyhow::Context as _;

use crate::cli::tool::ToolCall;
use crate::files::read_bounded;

/// Bytes of a configuration file, at most.
const CONFIG_BYTES_MAX: u64 = 64 << 20;

/// Reads a file.
fn read(path: &str) -> anyhow::Result<String> {
    let text = read_bounded(Path::new(path), CONFIG_BYTES_MAX).map_err(anyhow::Error::msg);
    text.with_context(|| format!("read {path}"))
}

/// Reads and parses a configuration file.
fn load(path: &str, mode: MatcherMode) -> anyhow::Result<AlertmanagerConfig> {
    Ok(AlertmanagerConfig::parse_in(&read(path)?, mode)?)
}

/// Returns the language of matchers that the features of a command ask for.
fn matcher_mode(call: &ToolCall) -> anyhow::Result<MatcherMode> {
    let features = call.features.iter().map(String::as_str);
    MatcherMode::of_features(features)
        .map_err(|reason| anyhow::anyhow!("--enable-feature: {reason}"))
}

/// Checks that there is a file at `path`.
fn ensure_file(path: &str) -> anyhow::Result<()> {
    let path = std::path::Path::new(path);
    anyhow::ensure!(path.exists(), "path '{}' does not exist", path.display());
    anyhow::ensure!(!path.is_dir(), "'{}' is a directory", path.display());
    Ok(())
}
