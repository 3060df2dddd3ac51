//! Getting a body.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use model::trace::Tracer;
use net::client::Request;
use tokio::time::Instant;

use super::ScrapeError;
use crate::decompress::{DecompressError, Decompressor};
use crate::exposition::BodyFormat;
use crate::job::Job;
use crate::target::Target;

/// A body that was fetched into a buffer, and how to read it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fetched {
    encoding: Encoding,
    pub(crate) format: BodyFormat,
    /// Where in the buffer it begins.
    body_at: usize,
}

#[derive(Clone, Copy, Debug)]
enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// Fetches the body of `target` into `raw`, giving up when its timeout is over.
///
/// * `headers`: what [`Job::headers_for`] the target returned.
pub(crate) async fn fetch(
    job: &Job,
    target: &Target,
    headers: &HeaderMap,
    raw: &mut Vec<u8>,
    tracer: &Tracer,
) -> Result<Fetched, ScrapeError> {
    raw.clear();
    let url = target.url.uri().map_err(ScrapeError::Get)?;
    let mut headers = Cow::Borrowed(headers);
    let mut span = net::trace::begin_request(tracer, "GET", Some(url), None);
    if let Some(context) = span.context() {
        net::trace::pass_on(context, headers.to_mut());
    }
    let request = Request {
        url,
        headers: &headers,
        deadline: Instant::now() + target.timeout.to_std(),
        body_bytes_max: job.body_bytes_max,
    };
    let response = job.client.get(request, raw).await;
    let response = response.inspect_err(|error| span.fail(error))?;
    net::trace::note_status(&mut span, response.status, true);
    if response.status != http::StatusCode::OK {
        return Err(ScrapeError::Status(response.status.to_string()));
    }
    let header = |name| {
        response
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let encoding = match header(CONTENT_ENCODING).unwrap_or("identity").trim() {
        "" | "identity" => Encoding::Identity,
        "gzip" | "x-gzip" => Encoding::Gzip,
        "zstd" => Encoding::Zstd,
        other => return Err(DecompressError::Unsupported(other.to_owned()).into()),
    };
    let format = BodyFormat::of(header(CONTENT_TYPE), job.config.fallback_protocol())?;
    let body_at = response.body_at;
    Ok(Fetched {
        encoding,
        format,
        body_at,
    })
}

impl Fetched {
    /// Returns what fetching an uncompressed body gives.
    #[cfg(test)]
    pub(crate) fn plain(format: BodyFormat) -> Self {
        Fetched {
            encoding: Encoding::Identity,
            format,
            body_at: 0,
        }
    }

    /// Returns what fetching a compressed body gives.
    #[cfg(test)]
    pub(crate) fn zstd(format: BodyFormat) -> Self {
        Fetched {
            encoding: Encoding::Zstd,
            format,
            body_at: 0,
        }
    }

    pub(crate) fn is_compressed(self) -> bool {
        !matches!(self.encoding, Encoding::Identity)
    }

    /// Returns the body uncompressed: the end of `raw`, or `text`.
    pub(crate) fn body<'b>(
        self,
        raw: &'b [u8],
        text: &'b mut Vec<u8>,
        decompressor: &mut Decompressor,
        bytes_max: usize,
    ) -> Result<&'b [u8], ScrapeError> {
        let raw = &raw[self.body_at..];
        match self.encoding {
            Encoding::Identity => return Ok(raw),
            Encoding::Gzip => decompressor.gzip(raw, bytes_max, text)?,
            Encoding::Zstd => decompressor.zstd(raw, bytes_max, text)?,
        }
        Ok(text)
    }
}
