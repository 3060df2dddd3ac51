//! `/api/v1/otlp/v1/metrics`: the receiver of OTLP metrics over HTTP, in protobuf and JSON.
//!
//! ```text
//! headers ─► body (bounded) ─► worker thread: gzip ─► remote::otlp ─► appender
//! ```
//!
//! JSON is answered in JSON.
//!
//! The bounds are those of the remote-write receiver, with room of their own.
//!
//! # Answers
//!
//! As Prometheus: 200 when everything was stored, 400 when the request is malformed or the storage refused samples (the rest
//! is stored), 500 when the storage failed. Beyond that, a 200 that left points out says so in its `partial_success`, as
//! OTLP has it; Prometheus only logs them.
//!
//! Source: [OTLP/HTTP](https://opentelemetry.io/docs/specs/otlp/#otlphttp).

#[cfg(test)]
mod tests;

use std::io::Read as _;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use metrics::Registry;
use model::protobuf::Writer;
use model::storage::Appendable;
use remote::otlp::{Options, OtlpError, OtlpIngest, OtlpReport};
use tokio::sync::Semaphore;

use super::Ready;
use super::error::plain_error;
use super::write::{
    BODIES_BYTES_MAX, BODY_BYTES_MAX, DECODED_BYTES_MAX, read_body, too_large, unavailable,
};

/// How a request is written down, and so its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json,
}

impl Format {
    const ALL: [Format; 2] = [Format::Json, Format::Protobuf];

    fn media_type(self) -> &'static str {
        match self {
            Format::Protobuf => "application/x-protobuf",
            Format::Json => "application/json",
        }
    }
}

/// The receiver.
pub(crate) struct Receiver {
    ingest: OtlpIngest,
    options: Arc<ArcSwap<Options>>,
    body_bytes: Arc<Semaphore>,
    workers: Arc<Semaphore>,
}

impl Receiver {
    /// Returns one that stores to `storage` as `options` say at the time.
    pub(crate) fn new(
        options: Arc<ArcSwap<Options>>,
        storage: Arc<dyn Appendable>,
        registry: &Registry,
    ) -> Self {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        Receiver {
            ingest: OtlpIngest::new(storage, registry),
            options,
            body_bytes: Arc::new(Semaphore::new(BODIES_BYTES_MAX)),
            workers: Arc::new(Semaphore::new(workers)),
        }
    }

    /// Stores a request as it was sent.
    fn receive(&self, body: &[u8], format: Format, is_gzip: bool, now_ms: i64) -> Response {
        let unpacked;
        let request = if is_gzip {
            match gunzip(body) {
                Ok(bytes) => {
                    unpacked = bytes;
                    &unpacked
                }
                Err(why) => return plain_error(StatusCode::BAD_REQUEST, &why),
            }
        } else {
            body
        };
        if DECODED_BYTES_MAX < request.len() {
            return too_large();
        }
        let options = self.options.load();
        let outcome = match format {
            Format::Protobuf => self.ingest.write(request, &options, now_ms),
            Format::Json => self.ingest.write_json(request, &options, now_ms),
        };
        answer(outcome, format)
    }
}

/// `/api/v1/otlp/v1/metrics`.
pub(super) async fn metrics(Ready(state): Ready, request: Request) -> Response {
    let Some(receiver) = state.otlp.clone() else {
        return plain_error(
            StatusCode::NOT_FOUND,
            "otlp write receiver needs to be enabled with --web.enable-otlp-receiver",
        );
    };
    let (parts, body) = request.into_parts();
    let (format, is_gzip) = match negotiate(&parts.headers) {
        Ok(negotiated) => negotiated,
        Err(text) => return plain_error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &text),
    };
    let announced = text(&parts.headers, header::CONTENT_LENGTH).parse();
    if announced.is_ok_and(|announced: usize| BODY_BYTES_MAX < announced) {
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
        Ok(receiver.receive(&body, format, is_gzip, state.clock.now_ms()))
    };
    super::blocking(work)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().trim()
}

/// Returns how the body is written down, and whether it is compressed with gzip.
///
/// # Errors
///
/// Why it is not taken.
fn negotiate(headers: &HeaderMap) -> Result<(Format, bool), String> {
    let content_type = text(headers, header::CONTENT_TYPE);
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let is_meant = |format: &Format| media_type.eq_ignore_ascii_case(format.media_type());
    let Some(format) = Format::ALL.into_iter().find(is_meant) else {
        return Err(format!(
            "unsupported content type: {content_type}, supported: [{}]",
            Format::ALL.map(Format::media_type).join(", ")
        ));
    };
    match text(headers, header::CONTENT_ENCODING) {
        "" | "identity" => Ok((format, false)),
        "gzip" => Ok((format, true)),
        other => Err(format!(
            "unsupported compression: {other}. Only \"gzip\" or no compression supported"
        )),
    }
}

/// Returns the contents of a gzip file.
///
/// # Errors
///
/// When it is none, or has more than [`DECODED_BYTES_MAX`].
fn gunzip(body: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut limited = flate2::read::MultiGzDecoder::new(body).take(DECODED_BYTES_MAX as u64 + 1);
    limited
        .read_to_end(&mut out)
        .map_err(|error| format!("decompress the request body: {error}"))?;
    if DECODED_BYTES_MAX < out.len() {
        return Err(format!(
            "the request body has more than {DECODED_BYTES_MAX} bytes when it is decompressed"
        ));
    }
    Ok(out)
}

/// The table from outcome to answer.
fn answer(outcome: Result<OtlpReport, OtlpError>, format: Format) -> Response {
    match outcome {
        Ok(report) if 0 < report.refused => {
            let untold = report.refused - report.reasons.len() as u64;
            let mut told = report.reasons.join("\n");
            if 0 < untold {
                told += &format!("\nand {untold} more");
            }
            plain_error(StatusCode::BAD_REQUEST, &told)
        }
        Ok(report) => {
            let body = match format {
                Format::Protobuf => partial_success(&report),
                Format::Json => partial_success_json(&report),
            };
            ([(header::CONTENT_TYPE, format.media_type())], body).into_response()
        }
        Err(OtlpError::Storage(error)) => {
            tracing::error!(%error, "an OTLP request was not stored");
            plain_error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
        }
        Err(error) => plain_error(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

/// Returns an `ExportMetricsServiceResponse`; without anything to say it is empty.
fn partial_success(report: &OtlpReport) -> Vec<u8> {
    if report.untranslated == 0 {
        return Vec::new();
    }
    let mut partial = Writer::default();
    partial
        .varint(1, report.untranslated)
        .bytes(2, report.untranslated_reason.as_bytes());
    let mut response = Writer::default();
    response.message(1, partial);
    response.into_bytes()
}

/// Returns an `ExportMetricsServiceResponse` in JSON.
fn partial_success_json(report: &OtlpReport) -> Vec<u8> {
    let response = match report.untranslated {
        0 => serde_json::json!({}),
        points => serde_json::json!({"partialSuccess": {
            "rejectedDataPoints": points.to_string(),
            "errorMessage": report.untranslated_reason,
        }}),
    };
    response.to_string().into_bytes()
}
