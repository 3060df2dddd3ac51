//! The connection to a collector, and what is said over it.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, TE, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Protocol, TraceOptions};
use crate::client::{TlsError, client_config};

/// How many bytes of an answer are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How many bytes of a collector's reason are shown.
const REASON_BYTES_MAX: usize = 256;

/// Why spans were not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is no connection.
    #[error("connect to {endpoint}: {reason}")]
    Connect {
        /// Where to.
        endpoint: String,
        /// Why not.
        reason: String,
    },
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The connection broke.
    #[error("send to the collector: {0}")]
    Broken(String),
    /// The collector answered, and did not take them.
    #[error("the collector answered {0}")]
    Refused(String),
    /// It took too long.
    #[error("the collector did not answer within {0:?}")]
    Timeout(Duration),
}

enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// Sends requests, one after the other, over a connection that is kept.
pub(super) struct Sender {
    options: TraceOptions,
    /// Host and port.
    authority: String,
    connection: Option<Connection>,
}

impl Sender {
    pub(super) fn new(options: TraceOptions) -> Self {
        let authority = authority(&options.endpoint, options.protocol);
        Sender {
            options,
            authority,
            connection: None,
        }
    }

    /// Closes the connection; the next request is sent over a new one.
    pub(super) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Sends a request, an `ExportTraceServiceRequest`.
    pub(super) async fn send(&mut self, message: Vec<u8>) -> Result<(), SendError> {
        let body = self.body(message);
        // The collector may have closed a connection that was not used for a while: that is worth a new one.
        if let Some(connection) = &mut self.connection
            && connection.is_ready().await
        {
            match self.exchange(body.clone()).await {
                Err(SendError::Broken(_)) => (),
                outcome => return outcome,
            }
        }
        self.connection = Some(self.connect().await?);
        self.exchange(body).await
    }

    async fn connect(&self) -> Result<Connection, SendError> {
        let failed = |error: &dyn std::fmt::Display| SendError::Connect {
            endpoint: self.authority.clone(),
            reason: error.to_string(),
        };
        let stream = TcpStream::connect(&self.authority).await;
        let stream = stream.map_err(|error| failed(&error))?;
        stream.set_nodelay(true).ok();
        if self.options.insecure {
            return self.speak(stream).await;
        }
        let mut config = client_config(&self.options.tls, &self.options.base_dir)?;
        config.alpn_protocols = vec![match self.options.protocol {
            Protocol::Grpc => b"h2".to_vec(),
            Protocol::Http => b"http/1.1".to_vec(),
        }];
        let configured = self.options.tls.server_name.as_deref().unwrap_or_default();
        let name = match configured {
            "" => host(&self.authority),
            name => name,
        };
        let name = ServerName::try_from(name.to_owned()).map_err(|error| failed(&error))?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream);
        self.speak(stream.await.map_err(|error| failed(&error))?)
            .await
    }

    async fn speak<S>(&self, stream: S) -> Result<Connection, SendError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(stream);
        Ok(match self.options.protocol {
            Protocol::Grpc => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream)
                    .await
                    .map_err(broken)?;
                // It ends when the sender is dropped; what goes wrong the sender is told.
                tokio::spawn(connection);
                Connection::Http2(sender)
            }
            Protocol::Http => {
                let (sender, connection) = http1::handshake(stream).await.map_err(broken)?;
                tokio::spawn(connection);
                Connection::Http1(sender)
            }
        })
    }

    async fn exchange(&mut self, body: Bytes) -> Result<(), SendError> {
        let request = self.request(body)?;
        let response = match &mut self.connection {
            Some(Connection::Http1(sender)) => sender.send_request(request).await,
            Some(Connection::Http2(sender)) => sender.send_request(request).await,
            None => return Err(SendError::Broken("there is no connection".to_owned())),
        };
        let response = response.map_err(broken)?;
        match self.options.protocol {
            Protocol::Grpc => grpc_outcome(response).await,
            Protocol::Http => http_outcome(response).await,
        }
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, SendError> {
        let authority = &self.authority;
        let builder = match self.options.protocol {
            Protocol::Grpc => {
                let scheme = match self.options.insecure {
                    true => "http",
                    false => "https",
                };
                let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
                let url: Uri = format!("{scheme}://{authority}{path}")
                    .parse()
                    .map_err(|error| SendError::Broken(format!("{authority}: {error}")))?;
                let builder = Request::post(url)
                    .header(CONTENT_TYPE, "application/grpc")
                    .header(TE, "trailers");
                match self.options.compresses {
                    true => builder.header("grpc-encoding", "gzip"),
                    false => builder,
                }
            }
            Protocol::Http => {
                let builder = Request::post("/v1/traces")
                    .header(HOST, authority)
                    .header(CONTENT_TYPE, "application/x-protobuf");
                match self.options.compresses {
                    true => builder.header(CONTENT_ENCODING, "gzip"),
                    false => builder,
                }
            }
        };
        let agent = concat!("Hearth/", env!("CARGO_PKG_VERSION"));
        let request = builder.header(USER_AGENT, agent).body(Full::new(body));
        let mut request = request.map_err(|error| SendError::Broken(error.to_string()))?;
        for (name, value) in &self.options.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                request.headers_mut().insert(name, value);
            }
        }
        Ok(request)
    }

    /// Returns what stands in the body of a request with `message`.
    fn body(&self, message: Vec<u8>) -> Bytes {
        let packed = match self.options.compresses {
            true => gzip(&message),
            false => message,
        };
        match self.options.protocol {
            Protocol::Http => packed.into(),
            // Whether it is compressed, and how long it is.
            Protocol::Grpc => {
                let length = u32::try_from(packed.len()).unwrap_or(u32::MAX);
                let head = [u8::from(self.options.compresses)].into_iter();
                head.chain(length.to_be_bytes()).chain(packed).collect()
            }
        }
    }
}

impl Connection {
    /// Waits until it can take a request; returns whether it ever will.
    async fn is_ready(&mut self) -> bool {
        match self {
            Connection::Http1(sender) => sender.ready().await.is_ok(),
            Connection::Http2(sender) => sender.ready().await.is_ok(),
        }
    }
}

fn broken(error: hyper::Error) -> SendError {
    let reason = std::error::Error::source(&error)
        .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
    SendError::Broken(reason)
}

/// Judges the answer of a collector that speaks gRPC: the status is behind the body, or with the headers where there is none.
async fn grpc_outcome(response: Response<Incoming>) -> Result<(), SendError> {
    if response.status() != StatusCode::OK {
        return Err(SendError::Refused(response.status().to_string()));
    }
    let (head, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| SendError::Broken(error.to_string()))?;
    let trailers = body.trailers().unwrap_or(&head.headers);
    let text = |name| {
        trailers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    match text("grpc-status") {
        Some("0") => Ok(()),
        status => Err(SendError::Refused(format!(
            "gRPC status {}: {}",
            status.unwrap_or("missing"),
            shown(text("grpc-message").unwrap_or_default())
        ))),
    }
}

async fn http_outcome(response: Response<Incoming>) -> Result<(), SendError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await;
    if status.is_success() {
        return Ok(());
    }
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let reason = String::from_utf8_lossy(&body);
    Err(SendError::Refused(format!("{status}: {}", shown(&reason))))
}

/// Returns the beginning of what a collector said, on one line.
fn shown(reason: &str) -> String {
    let start = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    start.chars().filter(|c| !c.is_control()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing to a vector cannot fail.
    encoder.write_all(bytes).ok();
    encoder.finish().unwrap_or_default()
}

/// Returns host and port of an endpoint.
fn authority(endpoint: &str, protocol: Protocol) -> String {
    let port = match protocol {
        Protocol::Grpc => 4317,
        Protocol::Http => 4318,
    };
    let has_port = match endpoint.rsplit_once(':') {
        Some((host, port)) => !port.ends_with(']') && (!host.contains(':') || host.ends_with(']')),
        None => false,
    };
    match has_port {
        true => endpoint.to_owned(),
        false => format!("{endpoint}:{port}"),
    }
}

/// Returns the host without its port, and an IPv6 address without brackets.
fn host(authority: &str) -> &str {
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_get_ports() {
        let check = |endpoint, grpc: &str, name: &str| {
            let found = authority(endpoint, Protocol::Grpc);
            assert_eq!((found.as_str(), host(&found)), (grpc, name));
        };
        check("collector", "collector:4317", "collector");
        check("collector:55", "collector:55", "collector");
        check("[::1]", "[::1]:4317", "::1");
        check("[::1]:55", "[::1]:55", "::1");
        assert_eq!(authority("c", Protocol::Http), "c:4318");
    }
}
