//! `/api/v1/write`: the remote-write receiver, versions 1.0 and 2.0 of the protocol.
//!
//! ```text
//! headers ─► body (bounded) ─► worker thread: snappy ─► remote::write ─► appender
//! ```
//!
//! # Bounds
//!
//! * [`BODY_BYTES_MAX`] and [`DECODED_BYTES_MAX`] a request; larger ones are refused.
//! * [`BODIES_BYTES_MAX`] over all requests at once, as far as they have arrived; more are refused with a 503.
//! * As many requests are decoded at once as there are processors; more wait.
//!
//! # Departures from Prometheus
//!
//! With version 1.0, too, what can be stored is stored when a part is refused, and invalid labels are a 400: the sender
//! hears of them, and does not try again.
//!
//! Source: [1.0](https://prometheus.io/docs/specs/prw/remote_write_spec/),
//! [2.0](https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/), and what Prometheus 3.5 answers.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use metrics::Registry;
use model::storage::Appendable;
use parking_lot::Mutex;
use remote::write::{Ingest, Report, Version, WriteError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Ready;
use super::error::plain_error;

/// Largest request after decompression, in bytes.
pub(super) const DECODED_BYTES_MAX: usize = 32 << 20;

/// Largest request as it is sent, in bytes: the former as snappy writes what it cannot compress.
pub(super) const BODY_BYTES_MAX: usize = 32 + DECODED_BYTES_MAX + DECODED_BYTES_MAX / 6;

/// Most bytes of requests as they are sent that are held at once, as far as they have arrived.
pub(super) const BODIES_BYTES_MAX: usize = 128 << 20;

/// How long a request may take to arrive.
const BODY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

/// The largest decompression buffer that is kept for the next request.
const BUFFER_KEPT_BYTES_MAX: usize = 8 << 20;

/// The receiver.
pub(crate) struct Receiver {
    accepted: Vec<Version>,
    ingest: Ingest,
    body_bytes: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl Receiver {
    /// Returns one that takes `accepted` and stores to `storage`.
    pub(crate) fn new(
        accepted: Vec<Version>,
        storage: Arc<dyn Appendable>,
        registry: &Registry,
    ) -> Self {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        Receiver {
            accepted,
            ingest: Ingest::new(storage, registry),
            body_bytes: Arc::new(Semaphore::new(BODIES_BYTES_MAX)),
            workers: Arc::new(Semaphore::new(workers)),
            buffers: Mutex::default(),
        }
    }

    /// Stores a compressed request.
    fn receive(&self, version: Version, body: &[u8], now_ms: i64) -> Response {
        let mut buffer = self.buffers.lock().pop().unwrap_or_default();
        let answer = match decompress(body, &mut buffer) {
            Ok(length) => {
                let outcome = self.ingest.write(version, &buffer[..length], now_ms);
                answer(version, outcome)
            }
            Err(text) => plain_error(StatusCode::BAD_REQUEST, &text),
        };
        if buffer.len() <= BUFFER_KEPT_BYTES_MAX {
            self.buffers.lock().push(buffer);
        }
        answer
    }
}

/// `/api/v1/write`.
pub(super) async fn write(Ready(state): Ready, request: Request) -> Response {
    let Some(receiver) = state.write.clone() else {
        return plain_error(
            StatusCode::NOT_FOUND,
            "remote write receiver needs to be enabled with --web.enable-remote-write-receiver",
        );
    };
    let (parts, body) = request.into_parts();
    let version = match negotiate(&parts.headers, &receiver.accepted) {
        Ok(version) => version,
        Err(text) => return plain_error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &text),
    };
    let announced = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok())
        .unwrap_or(BODY_BYTES_MAX);
    if BODY_BYTES_MAX < announced {
        return too_large();
    }
    let (body, body_permit) = match read_body(body, &receiver.body_bytes).await {
        Ok(read) => read,
        Err(refusal) => return *refusal,
    };
    let Ok(worker_permit) = Arc::clone(&receiver.workers).acquire_owned().await else {
        return unavailable();
    };
    let work = move || {
        let _permits = (body_permit, worker_permit);
        Ok(receiver.receive(version, &body, state.clock.now_ms()))
    };
    super::blocking(work)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

/// Returns what is said of a body that is longer than [`BODY_BYTES_MAX`].
pub(super) fn too_large() -> Response {
    let text = format!("the request body is larger than {BODY_BYTES_MAX} bytes");
    plain_error(StatusCode::PAYLOAD_TOO_LARGE, &text)
}

/// Returns what is said when the bounds are closed, which nobody does while requests are served.
pub(super) fn unavailable() -> Response {
    plain_error(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
}

/// A body, and the right to have it in memory.
pub(super) type HeldBody = (Vec<u8>, Option<OwnedSemaphorePermit>);

/// Reads a body of a request that stores something, within the bounds of this module.
pub(super) async fn read_body(
    body: Body,
    room: &Arc<Semaphore>,
) -> Result<HeldBody, Box<Response>> {
    let read = tokio::time::timeout(BODY_TIMEOUT, collect(body, room)).await;
    read.unwrap_or_else(|_| {
        Err(Box::new(plain_error(
            StatusCode::REQUEST_TIMEOUT,
            "the request body took too long to arrive",
        )))
    })
}

/// Collects a body, taking `room` for what has arrived and not for what was announced, so that slow senders keep nobody
/// out. Without room the sender is told to try again.
async fn collect(mut body: Body, room: &Arc<Semaphore>) -> Result<HeldBody, Box<Response>> {
    let (mut bytes, mut held): HeldBody = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(Box::new(plain_error(
                StatusCode::BAD_REQUEST,
                "the request body was cut off",
            )));
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if BODY_BYTES_MAX < bytes.len() + data.len() {
            return Err(Box::new(too_large()));
        }
        let weight = u32::try_from(data.len()).expect("checked against a limit below 4 GiB");
        let Ok(permit) = Arc::clone(room).try_acquire_many_owned(weight) else {
            return Err(Box::new(plain_error(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many request bodies are in memory; try again",
            )));
        };
        match &mut held {
            Some(held) => held.merge(permit),
            None => held = Some(permit),
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, held))
}

/// Returns which message the body is, from the headers; without headers it is taken for version 1.0 in snappy.
///
/// # Errors
///
/// Why it is not taken.
fn negotiate(headers: &HeaderMap, accepted: &[Version]) -> Result<Version, String> {
    let text = |name| {
        let value: Option<&HeaderValue> = headers.get(name);
        value.map_or(String::new(), |value| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        })
    };
    let version = parse_content_type(&text(header::CONTENT_TYPE))?;
    if !accepted.contains(&version) {
        let accepted: Vec<&str> = accepted.iter().map(|version| version.name()).collect();
        return Err(format!(
            "{} protobuf message is not accepted by this server; accepted [{}]",
            version.name(),
            accepted.join(" ")
        ));
    }
    let encoding = text(header::CONTENT_ENCODING);
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("snappy") {
        return Err(format!(
            "{encoding} encoding (compression) is not accepted by this server; only snappy is acceptable"
        ));
    }
    Ok(version)
}

fn parse_content_type(text: &str) -> Result<Version, String> {
    const PROTOBUF: &str = "application/x-protobuf";
    let text = text.trim();
    if text.is_empty() {
        return Ok(Version::V1);
    }
    let mut parts = text.split(';');
    if parts.next() != Some(PROTOBUF) {
        return Err(format!(
            "expected {PROTOBUF} as the first (media) part, got {text} content-type"
        ));
    }
    for part in parts {
        let pair = part
            .split_once('=')
            .filter(|(_, value)| !value.contains('='));
        let Some((name, value)) = pair else {
            return Err(format!(
                "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got {part} in {text} content-type"
            ));
        };
        // Prometheus takes a parameter with a space before it for another; that would be version 1.0 then.
        if name.trim() == "proto" {
            return Version::parse(value.trim())
                .map_err(|why| format!("got {text} content type; {why}"));
        }
    }
    Ok(Version::V1)
}

/// Decompresses a snappy block into `buffer`, which grows as need be; returns how long it is.
///
/// # Errors
///
/// When it is none, or says that it is larger than [`DECODED_BYTES_MAX`]: nothing is allocated then.
fn decompress(body: &[u8], buffer: &mut Vec<u8>) -> Result<usize, String> {
    let corrupt = |_| "snappy: corrupt input".to_owned();
    if body.is_empty() {
        return Err("snappy: corrupt input".to_owned());
    }
    let length = snap::raw::decompress_len(body).map_err(corrupt)?;
    if DECODED_BYTES_MAX < length {
        return Err(format!(
            "snappy: decoded length {length} exceeds limit {DECODED_BYTES_MAX}"
        ));
    }
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
    snap::raw::Decoder::new()
        .decompress(body, &mut buffer[..length])
        .map_err(corrupt)
}

/// The table from outcome to answer.
fn answer(version: Version, outcome: Result<Report, WriteError>) -> Response {
    let report = match outcome {
        Ok(report) => report,
        Err(WriteError::Wire(error)) => {
            return plain_error(StatusCode::BAD_REQUEST, &error.to_string());
        }
        Err(WriteError::Storage(error)) => {
            tracing::error!(%error, "a remote write request was not stored");
            let text = error.to_string();
            let mut response = plain_error(StatusCode::INTERNAL_SERVER_ERROR, &text);
            if version == Version::V2 {
                add_counts(&mut response, &Report::default());
            }
            return response;
        }
    };
    let mut response = if report.problem_count == 0 {
        StatusCode::NO_CONTENT.into_response()
    } else {
        plain_error(StatusCode::BAD_REQUEST, &refusals(version, &report))
    };
    if version == Version::V2 {
        add_counts(&mut response, &report);
    }
    response
}

/// Returns what is said of what was refused.
fn refusals(version: Version, report: &Report) -> String {
    let told = match version {
        Version::V1 => report.problems.first().cloned().unwrap_or_default(),
        Version::V2 => report.problems.join("\n"),
    };
    let untold = report.problem_count - report.problems.len() as u64;
    match version {
        Version::V2 if 0 < untold => format!("{told}\nand {untold} more"),
        _ => told,
    }
}

fn add_counts(response: &mut Response, report: &Report) {
    let counts = [
        ("x-prometheus-remote-write-samples-written", report.samples),
        (
            "x-prometheus-remote-write-histograms-written",
            report.histograms,
        ),
        (
            "x-prometheus-remote-write-exemplars-written",
            report.exemplars,
        ),
    ];
    for (name, count) in counts {
        response.headers_mut().insert(name, count.into());
    }
}
