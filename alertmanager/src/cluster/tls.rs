//! TLS between members: the file of `--cluster.tls-config`.

use std::path::Path;

use net::mutual_tls::{MutualTls, MutualTlsConfig};

use super::ClusterError;
use crate::yaml;

/// Reads the file at `path`; an empty one is none.
///
/// # Errors
///
/// When it, or a file that it names, cannot be read or makes no sense.
pub(super) fn open(path: &str) -> Result<Option<MutualTls>, ClusterError> {
    if path.is_empty() {
        return Ok(None);
    }
    let fail = |reason: String| ClusterError::Flag {
        flag: "cluster.tls-config",
        given: path.to_owned(),
        reason,
    };
    let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    let config: MutualTlsConfig = yaml::from_str(&text).map_err(|error| {
        let (line, column) = yaml::place(&error);
        fail(format!("{line}:{column}: {}", yaml::message(&error)))
    })?;
    let dir = Path::new(path).parent().unwrap_or(Path::new(""));
    MutualTls::open(config, dir).map(Some).map_err(fail)
}
