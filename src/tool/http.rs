//! What the commands that ask a server have in common.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use net::http_config::HttpConfig;
use net::outbound::HttpClient;

/// Returns a client that speaks HTTP as `file` says (`--http.config.file`; empty is the usual way), with a runtime for it.
///
/// # Errors
///
/// When the file cannot be read or used.
pub(super) fn client(
    file: &str,
    timeout: Duration,
) -> anyhow::Result<(HttpClient, tokio::runtime::Runtime)> {
    let (config, dir) = match file {
        "" => (HttpConfig::default(), PathBuf::from(".")),
        file => {
            let text = std::fs::read_to_string(file).with_context(|| format!("read {file}"))?;
            let config: HttpConfig =
                scraper::config::yaml::parse(&text).with_context(|| file.to_owned())?;
            config.validate().with_context(|| file.to_owned())?;
            let dir = Path::new(file).parent().map(Path::to_owned);
            (config, dir.unwrap_or_default())
        }
    };
    // An error means that another provider was installed before, which nobody here does.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let timeout = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
    let client = HttpClient::new(config, &dir, Some(model::Duration::from_ms(timeout)))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the async runtime")?;
    Ok((client, runtime))
}
