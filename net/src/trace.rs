//! Where spans are sent: a collector that speaks OTLP, over HTTP or gRPC.
//!
//! ```text
//! spans that end ─► queue (bounded; what is too much is dropped and counted) ─► one task: batches ─► collector
//! ```
//!
//! Whoever ends a span never waits. A batch is sent when it is full or old; one that cannot be sent is counted and let go.
//!
//! Source: [OTLP](https://opentelemetry.io/docs/specs/otlp/); queue, batch and delay are those of OpenTelemetry's SDKs, and the
//! endpoint is read as Prometheus does.

mod encode;
mod requests;
mod send;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::{Counter, Registry};
use model::trace::{SpanData, SpanSink, Tracer};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::http_config::TlsConfig;
pub use requests::{begin_answer, begin_request, note_status, pass_on};
pub use send::SendError;
use send::Sender;

/// How many spans may wait.
pub const QUEUE_SPANS_MAX: usize = 2_048;

/// How many spans are sent at a time.
pub const BATCH_SPANS_MAX: usize = 512;

/// How long a span waits for others.
pub const BATCH_DELAY: Duration = Duration::from_secs(5);

/// How long sending may take where nothing is configured.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// How long what is left is sent for when nothing more comes.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How the collector is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC, over HTTP/2.
    Grpc,
    /// Protobuf in the body of a POST, over HTTP/1.1.
    Http,
}

/// The collector, and what it gets.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceOptions {
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Host and port; 4317 (gRPC) or 4318 (HTTP) where there is no port.
    pub endpoint: String,
    /// The share of traces that begin here which is recorded, 0 to 1. Other traces are as their beginner decided.
    pub sampling_fraction: f64,
    /// Whether TLS is left out.
    pub insecure: bool,
    /// Whom to trust, and who we are.
    pub tls: TlsConfig,
    /// What relative file names are relative to.
    pub base_dir: PathBuf,
    /// Headers to send besides.
    pub headers: BTreeMap<String, String>,
    /// Whether what is sent is compressed with gzip.
    pub compresses: bool,
    /// How long sending may take.
    pub timeout: Duration,
    /// Whose spans they are: `service.name`.
    pub service: &'static str,
}

/// What is counted, over all collectors that there were.
#[derive(Clone)]
struct Counts {
    sent: Counter,
    dropped: Counter,
    failed: Counter,
}

/// A tracer whose collector can be changed.
pub struct Tracing {
    tracer: Tracer,
    counts: Counts,
    running: Mutex<Option<Running>>,
}

struct Running {
    options: TraceOptions,
    task: JoinHandle<()>,
}

impl Tracing {
    /// Returns one without a collector, which counts in `registry`.
    pub fn new(registry: &Registry) -> Self {
        Tracing {
            tracer: Tracer::default(),
            counts: Counts {
                sent: registry.counter(
                    "hearth_trace_spans_sent_total",
                    "Spans that the collector of traces took.",
                ),
                dropped: registry.counter(
                    "hearth_trace_spans_dropped_total",
                    "Spans that were dropped because too many waited for the collector of traces.",
                ),
                failed: registry.counter(
                    "hearth_trace_spans_failed_total",
                    "Spans that could not be sent to the collector of traces.",
                ),
            },
            running: Mutex::new(None),
        }
    }

    /// Returns what makes spans.
    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// Sends what ends from now on as `options` say; nothing turns spans off. What waits for another collector is still sent
    /// there. Must be called within a runtime.
    pub fn apply(&self, options: Option<TraceOptions>) {
        let mut running = self.running.lock();
        if running.as_ref().map(|running| &running.options) == options.as_ref() {
            return;
        }
        let Some(options) = options else {
            self.tracer.set(None);
            *running = None;
            return;
        };
        let (queue, waiting) = mpsc::channel(QUEUE_SPANS_MAX);
        let task = tokio::spawn(run(options.clone(), waiting, self.counts.clone()));
        self.tracer.set(Some(Arc::new(Exporter {
            sampling_fraction: options.sampling_fraction,
            queue,
            dropped: self.counts.dropped.clone(),
            secret: RandomState::new(),
            next: AtomicU64::new(0),
        })));
        *running = Some(Running { options, task });
    }

    /// Turns spans off, and waits a little until those that wait are sent.
    pub async fn stop(&self) {
        self.tracer.set(None);
        let running = self.running.lock().take();
        if let Some(running) = running
            && timeout(LAST_WORDS, running.task).await.is_err()
        {
            tracing::debug!("spans were left when tracing stopped");
        }
    }
}

/// Takes spans for the task that sends them.
struct Exporter {
    sampling_fraction: f64,
    queue: mpsc::Sender<SpanData>,
    dropped: Counter,
    secret: RandomState,
    next: AtomicU64,
}

impl SpanSink for Exporter {
    fn now_ns(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| {
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        })
    }

    fn new_id(&self) -> u64 {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.secret.hash_one(next).max(1)
    }

    fn records(&self, trace: u128) -> bool {
        /// As many values as the part of the id has that decides.
        const VALUES: f64 = (1u64 << 63) as f64;
        let low = u64::try_from(trace & u128::from(u64::MAX)).unwrap_or(u64::MAX);
        ((low >> 1) as f64) < self.sampling_fraction * VALUES
    }

    fn take(&self, span: SpanData) {
        if self.queue.try_send(span).is_err() {
            self.dropped.inc();
        }
    }
}

/// Sends what comes until nobody is there who could send more.
async fn run(options: TraceOptions, mut waiting: mpsc::Receiver<SpanData>, counts: Counts) {
    let (endpoint, service, limit) = (options.endpoint.clone(), options.service, options.timeout);
    let mut sender = Sender::new(options);
    let mut batch = Vec::with_capacity(BATCH_SPANS_MAX);
    let mut has_failed = false;
    while let Some(first) = waiting.recv().await {
        batch.push(first);
        fill(&mut batch, &mut waiting).await;
        let spans = batch.len() as f64;
        let message = encode::request(service, &batch);
        batch.clear();
        let sent = timeout(limit, sender.send(message)).await;
        let sent = sent.unwrap_or(Err(SendError::Timeout(limit)));
        match sent {
            Ok(()) => {
                counts.sent.add(spans);
                has_failed = false;
            }
            Err(error) => {
                sender.disconnect();
                counts.failed.add(spans);
                // The log is told once, and not again before something was sent.
                if !has_failed {
                    tracing::warn!(%endpoint, %error, "spans could not be sent to the collector of traces");
                }
                has_failed = true;
            }
        }
    }
}

/// Adds spans that come soon enough.
async fn fill(batch: &mut Vec<SpanData>, waiting: &mut mpsc::Receiver<SpanData>) {
    let due = Instant::now() + BATCH_DELAY;
    while batch.len() < BATCH_SPANS_MAX {
        match timeout_at(due, waiting.recv()).await {
            Ok(Some(span)) => batch.push(span),
            Ok(None) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests;
