//! One request over one HTTP/2 connection, which TLS has agreed on.
//!
//! A connection carries one request at a time and is kept and closed like one of HTTP/1.1: a target that answers no more then
//! costs a connection and not each request after it. `hyper` speaks the protocol, in a task that ends with the connection.
//!
//! # Bounds
//!
//! At most [`WINDOW_BYTES`] come that were not asked for, and a head is at most as long as one of HTTP/1.1.
//!
//! Source: [RFC 9113](https://www.rfc-editor.org/rfc/rfc9113).

use std::io;
use std::time::Duration;

use http::header::{CONNECTION, HOST};
use http::uri::Authority;
use http::{Method, Request, Uri, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Bytes};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::task::JoinHandle;

use super::Response;
use super::exchange::{ExchangeError, Message};

/// How long the head of a response may be, in bytes; as in HTTP/1.1.
const HEAD_BYTES: u32 = 16 * 1024;
/// How much of a body a server may send before it is read, in bytes.
const WINDOW_BYTES: u32 = 1 << 18;
/// The most room that is made for a body on a server's word alone.
const ROOM_BYTES_MAX: u64 = 1 << 20;
/// How often a server that owes an answer is asked whether it is there, as in Go, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// An open connection.
pub(super) struct Http2 {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Http2 {
    /// Begins to speak HTTP/2 on `stream`.
    pub(super) async fn begin<S>(stream: S) -> Result<Self, ExchangeError>
    where
        S: Read + Write + Unpin + Send + 'static,
    {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_header_list_size(HEAD_BYTES)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT);
        let (sender, connection) = builder.handshake(stream).await.map_err(broken)?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP/2 connection broke");
            }
        });
        Ok(Http2 { sender, task })
    }

    /// Returns whether nobody has closed the connection.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Does what [`exchange::send`](super::exchange::send) does.
    pub(super) async fn send(
        &mut self,
        message: Message<'_>,
        body: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<(Response, bool), ExchangeError> {
        let request = request(message)?;
        let unanswered = |error| ExchangeError::Unanswered(Some(io::Error::other(error)));
        self.sender.ready().await.map_err(unanswered)?;
        let sent = self.sender.send_request(request).await;
        let (head, mut coming) = sent.map_err(unanswered)?.into_parts();
        let announced = coming.size_hint().lower();
        if u64::try_from(bytes_max).is_ok_and(|most| most < announced) {
            return Err(ExchangeError::TooLong);
        }
        body.reserve(usize::try_from(announced.min(ROOM_BYTES_MAX)).unwrap_or_default());
        let start = body.len();
        while let Some(frame) = coming.frame().await {
            // What is no data are trailers, which nobody needs.
            let Ok(data) = frame.map_err(broken)?.into_data() else {
                continue;
            };
            if bytes_max - (body.len() - start) < data.len() {
                return Err(ExchangeError::TooLong);
            }
            body.extend_from_slice(&data);
        }
        let response = Response {
            status: head.status,
            headers: head.headers,
            body_at: start,
        };
        Ok((response, self.is_open()))
    }
}

fn broken(error: hyper::Error) -> ExchangeError {
    ExchangeError::Broken(io::Error::other(error))
}

/// Returns a message as `hyper` takes it: the host is in the URL, and nothing is said about the connection.
fn request(message: Message<'_>) -> Result<Request<Full<Bytes>>, ExchangeError> {
    let Message { url, post, .. } = message;
    let mut headers = message.headers.clone();
    let host = headers.remove(HOST);
    headers.remove(CONNECTION);
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(post.unwrap_or_default())));
    if post.is_some() {
        *request.method_mut() = Method::POST;
    }
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = addressed(url, host.as_ref().map(http::HeaderValue::as_bytes))
        .ok_or(ExchangeError::Malformed("the URL has no host"))?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Returns `url` with `host` in it, and without credentials.
fn addressed(url: &Uri, host: Option<&[u8]>) -> Option<Uri> {
    let mut parts = url.clone().into_parts();
    let own = parts.authority.as_ref()?.as_str();
    let bare = own.rsplit('@').next().unwrap_or_default();
    let host = host.unwrap_or(bare.as_bytes());
    parts.authority = Some(Authority::try_from(host).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests;
