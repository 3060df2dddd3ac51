//! Signals: stop and reload.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits until the process is asked to stop, by SIGTERM or SIGINT.
///
/// # Errors
///
/// When the handlers cannot be installed.
pub(crate) async fn stop() -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::select! {
        _ = terminate.recv() => tracing::warn!(signal = "SIGTERM", "stopping"),
        _ = interrupt.recv() => tracing::warn!(signal = "SIGINT", "stopping"),
    }
    Ok(())
}

/// Returns the stream of requests to reload, SIGHUP.
///
/// # Errors
///
/// When the handler cannot be installed.
pub(crate) fn reload() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}
