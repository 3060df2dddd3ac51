//! One Alertmanager: its queue, and the task that posts what is in it.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::Uri;
use model::trace::{Span, TRACEPARENT};
use net::aws::Post;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::metrics::TargetMetrics;
use super::posted::PostedAlert;
use super::sender::{Link, SenderOptions};
use crate::alert::Alert;
use crate::http::chain;

/// What is posted.
const JSON: &str = "application/json";
/// How long an Alertmanager that is not wanted any more gets to take what waits for it.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// An Alertmanager that alerts go to.
pub(super) struct Target {
    pub(super) url: String,
    queue: Mutex<Queue>,
    arrived: Notify,
    /// Cancelled when nothing more will come.
    stop: CancellationToken,
    options: SenderOptions,
    metrics: TargetMetrics,
}

/// What waits.
#[derive(Default)]
struct Queue {
    alerts: VecDeque<Arc<Alert>>,
    /// Whether nobody looks here any more: a caller may still hold the target when it has ended.
    is_closed: bool,
}

impl Target {
    pub(super) fn new(
        url: String,
        stop: CancellationToken,
        options: SenderOptions,
        metrics: TargetMetrics,
    ) -> Self {
        metrics.queue_capacity.set(options.queue_capacity as f64);
        Target {
            url,
            queue: Mutex::default(),
            arrived: Notify::new(),
            stop,
            options,
            metrics,
        }
    }

    /// Says that nothing more will come; what waits is sent or dropped, as the options say.
    pub(super) fn end(&self) {
        self.stop.cancel();
    }

    /// Takes alerts; the oldest that wait are dropped where there is no room.
    pub(super) fn push(&self, alerts: &[Arc<Alert>]) {
        let mut queue = self.queue.lock();
        if queue.is_closed {
            self.metrics.dropped.add(alerts.len() as f64);
            return;
        }
        let before = queue.alerts.len();
        queue.alerts.extend(alerts.iter().cloned());
        let over = queue
            .alerts
            .len()
            .saturating_sub(self.options.queue_capacity);
        queue.alerts.drain(..over);
        let grown = queue.alerts.len() as f64 - before as f64;
        self.metrics.queue_length.add(grown);
        drop(queue);
        if 0 < over {
            self.metrics.dropped.add(over as f64);
            tracing::warn!(
                alertmanager = self.url,
                dropped = over,
                "the alert queue is full"
            );
        }
        self.arrived.notify_one();
    }

    /// Takes the next batch out; an empty one closes the queue after the end.
    fn pop(&self) -> Vec<Arc<Alert>> {
        let mut queue = self.queue.lock();
        let count = queue.alerts.len().min(self.options.batch_max.max(1));
        queue.is_closed = count == 0 && self.stop.is_cancelled();
        let batch = queue.alerts.drain(..count).collect();
        self.metrics.queue_length.sub(count as f64);
        batch
    }

    /// Waits for the next batch; there is none any more after the end.
    async fn next(&self) -> Option<Vec<Arc<Alert>>> {
        loop {
            let batch = self.pop();
            if !batch.is_empty() {
                return Some(batch);
            }
            if self.queue.lock().is_closed {
                return None;
            }
            tokio::select! {
                () = self.arrived.notified() => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Posts what comes, over the link as it is at that moment, until the end.
    pub(super) async fn run(self: Arc<Self>, link: Arc<ArcSwap<Link>>) {
        let mut give_up = pin!(async {
            self.stop.cancelled().await;
            if self.options.drains_at_end {
                tokio::time::sleep(DRAIN_TIMEOUT).await;
            }
        });
        let mut dropped = 0;
        let mut has_given_up = false;
        while let Some(batch) = self.next().await {
            if has_given_up {
                dropped += batch.len();
                continue;
            }
            let link = link.load_full();
            tokio::select! {
                biased;
                () = &mut give_up => {
                    has_given_up = true;
                    dropped += batch.len();
                }
                () = self.send(&batch, &link) => {}
            }
        }
        if 0 < dropped {
            self.metrics.dropped.add(dropped as f64);
            tracing::warn!(
                alertmanager = self.url,
                dropped,
                "alerts were left unsent at the end"
            );
        }
    }

    async fn send(&self, batch: &[Arc<Alert>], link: &Link) {
        let count = batch.len() as f64;
        let started = Instant::now();
        let uri: Option<Uri> = self.url.parse().ok();
        let mut span = net::trace::begin_request(&link.tracer, "POST", uri.as_ref(), None);
        span.set("alerts", i64::try_from(batch.len()).unwrap_or(i64::MAX));
        let outcome = self.post(batch, link, &span).await;
        if let Err(error) = &outcome {
            span.fail(error);
        }
        drop(span);
        self.metrics.latency.observe_since(started);
        match outcome {
            Ok(()) => self.metrics.sent.add(count),
            Err(error) => {
                self.metrics.errors.add(count);
                self.metrics.dropped.add(count);
                tracing::error!(
                    alertmanager = self.url,
                    count = batch.len(),
                    error,
                    "sending alerts failed"
                );
            }
        }
    }

    async fn post(&self, batch: &[Arc<Alert>], link: &Link, span: &Span) -> Result<(), String> {
        let body: Vec<_> = batch.iter().map(|alert| PostedAlert::new(alert)).collect();
        let request = link.client.post(&self.url).await;
        let request = request.map_err(|error| chain(&error))?;
        let request = match &link.signer {
            Some(signer) => {
                let body = serde_json::to_string(&body).map_err(|error| error.to_string())?;
                let post = Post {
                    url: &self.url,
                    service: &signer.service,
                    content_type: JSON,
                    target: None,
                    body: &body,
                };
                let headers = signer.identity.sign(&link.client, post).await;
                let headers = headers.map_err(|error| chain(&error))?;
                request.headers(headers).body(body)
            }
            None => request.json(&body),
        };
        let request = match span.context() {
            Some(context) => request.header(TRACEPARENT, context.to_string()),
            None => request,
        };
        let response = request.send().await;
        let response = response.map_err(|error| chain(&error))?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(format!("bad response status {}", response.status()))
    }
}
