//! Mechanisms that ask for all targets again and again.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::{Discovery, DiscoveryTask, TargetGroup, Updates};
use crate::metrics::DiscoveryMetrics;

/// How long one answer may be, in bytes.
pub(crate) const ANSWER_BYTES_MAX: usize = 256 << 20;
/// How many pages of one list are asked for.
pub(crate) const PAGES_MAX: u32 = 10_000;

/// Why targets could not be asked for, on one line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct RefreshError(pub(crate) String);

impl RefreshError {
    /// Returns what `error` and its sources say.
    pub(crate) fn of(error: &dyn std::error::Error) -> Self {
        RefreshError(net::outbound::chain(error))
    }

    /// Returns the error with what was asked before it.
    pub(crate) fn about(self, asked: &str) -> Self {
        RefreshError(format!("{asked}: {self}"))
    }

    /// Returns what is said of a list that does not end.
    pub(crate) fn too_many_pages(asked: &str) -> Self {
        RefreshError(format!("{asked}: the list has more than {PAGES_MAX} pages"))
    }

    /// Returns what the error of a request says, without its URL, which may hold a token.
    pub(crate) fn of_request(error: reqwest::Error) -> Self {
        Self::of(&error.without_url())
    }
}

/// Knows all targets at a time.
pub(crate) trait Source: Send + 'static {
    /// The mechanism's name, as in `<name>_sd_configs`.
    const NAME: &'static str;

    /// Returns all groups that there are now.
    fn groups(&mut self) -> impl Future<Output = Result<Vec<TargetGroup>, RefreshError>> + Send;
}

/// Asks a source now and then.
pub(crate) struct Refreshing<S> {
    source: S,
    interval: Duration,
    /// The job that it is for.
    job: String,
    metrics: DiscoveryMetrics,
    known: Vec<Arc<TargetGroup>>,
}

impl<S: Source> Refreshing<S> {
    /// Returns a discovery that asks `source` every `interval`.
    pub(crate) fn new(
        source: S,
        interval: model::Duration,
        job: &str,
        metrics: DiscoveryMetrics,
    ) -> Self {
        Refreshing {
            source,
            interval: interval.to_std().max(Duration::from_millis(1)),
            job: job.to_owned(),
            metrics,
            known: Vec::new(),
        }
    }

    async fn refresh(&mut self, updates: &Updates) {
        let started = Instant::now();
        let outcome = self.source.groups().await;
        self.metrics
            .refresh_duration
            .with(&[S::NAME, &self.job])
            .observe_since(started);
        match outcome {
            Ok(groups) => {
                self.known = sharing(&self.known, groups);
                updates.publish(self.known.clone());
            }
            Err(error) => {
                self.metrics
                    .refresh_failures
                    .with(&[S::NAME, &self.job])
                    .inc();
                let (mechanism, job) = (S::NAME, &self.job);
                tracing::warn!(%error, mechanism, job, "service discovery keeps the last good list of targets");
            }
        }
    }
}

impl<S: Source> Discovery for Refreshing<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn start(&mut self, _updates: &Updates) {
        // Nothing is known before the network has answered.
    }

    fn run(mut self: Box<Self>, updates: Updates, stop: CancellationToken) -> DiscoveryTask {
        Box::pin(async move {
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = self.refresh(&updates) => (),
                }
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(self.interval) => (),
                }
            }
        })
    }
}

/// Returns `groups`, those that are the same as before shared with `known`, so that nobody compares them again.
pub(crate) fn sharing(
    known: &[Arc<TargetGroup>],
    groups: Vec<TargetGroup>,
) -> Vec<Arc<TargetGroup>> {
    let by_source: std::collections::HashMap<&str, &Arc<TargetGroup>> = known
        .iter()
        .map(|group| (group.source.as_str(), group))
        .collect();
    let groups = groups
        .into_iter()
        .map(|group| match by_source.get(group.source.as_str()) {
            Some(before) if ***before == group => Arc::clone(before),
            _ => Arc::new(group),
        });
    groups.collect()
}

/// An answer: its status, its headers, its body.
type Exchanged = (StatusCode, HeaderMap, Vec<u8>);

/// Sends a request and returns the answer, whatever its status; at most [`ANSWER_BYTES_MAX`] bytes of its body.
///
/// # Errors
///
/// When there is none, or when it is too long.
pub(crate) async fn exchange(request: reqwest::RequestBuilder) -> Result<Exchanged, RefreshError> {
    let mut response = request.send().await.map_err(RefreshError::of_request)?;
    let body = body(&mut response).await?;
    Ok((response.status(), response.headers().clone(), body))
}

/// Returns what is said of an answer whose status is not the one that was hoped for.
pub(crate) fn status_error(status: StatusCode, body: &[u8]) -> RefreshError {
    RefreshError(format!(
        "server returned HTTP status {status}: {}",
        beginning(body)
    ))
}

/// Sends a request and returns the answer's headers and its body, at most [`ANSWER_BYTES_MAX`] bytes of it.
///
/// # Errors
///
/// When there is none, when it is too long, or when its status is not 200.
pub(crate) async fn fetch(
    request: reqwest::RequestBuilder,
) -> Result<(HeaderMap, Vec<u8>), RefreshError> {
    match exchange(request).await? {
        (StatusCode::OK, headers, body) => Ok((headers, body)),
        (status, _, body) => Err(status_error(status, &body)),
    }
}

/// Sends a request and reads its answer as JSON; `shown` says in errors what was asked.
///
/// # Errors
///
/// As [`fetch`], and when the answer has another shape.
pub(crate) async fn fetch_json<T: DeserializeOwned>(
    request: reqwest::RequestBuilder,
    shown: &str,
) -> Result<T, RefreshError> {
    let (_, body) = fetch(request).await.map_err(|error| error.about(shown))?;
    serde_json::from_slice(&body)
        .map_err(|error| RefreshError(format!("{shown}: unexpected answer: {error}")))
}

/// Reads a body of at most [`ANSWER_BYTES_MAX`] bytes.
///
/// # Errors
///
/// When it breaks off or is longer.
pub(crate) async fn body(response: &mut reqwest::Response) -> Result<Vec<u8>, RefreshError> {
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(RefreshError::of_request)? {
        if ANSWER_BYTES_MAX < body.len() + bytes.len() {
            return Err(RefreshError(format!(
                "the answer is longer than {} MiB",
                ANSWER_BYTES_MAX >> 20
            )));
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

/// Returns what an error page says, not all of it, on one line.
fn beginning(body: &[u8]) -> String {
    const BYTES_MAX: usize = 256;
    let text = String::from_utf8_lossy(&body[..body.len().min(BYTES_MAX)]);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
