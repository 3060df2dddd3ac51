//! Connections, made by hyper's connectors and kept for the next request to the same host.

use std::collections::HashMap;
use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use http::Uri;
use http::uri::{Authority, Scheme};
use hyper::rt::{Read, Write};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::client::legacy::connect::Connection as Connected;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower_service::Service;

use super::Response;
use super::exchange::{self, ExchangeError, Message, Wire};
use super::http2::Http2;
use super::low_water::{LowWater, OverTcp};

/// How long an unused connection is kept.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// How often those of all hosts are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How many unused connections to one host are kept.
pub const IDLE_PER_HOST_MAX: usize = 4;

impl<S: OverTcp> OverTcp for MaybeHttpsStream<S> {
    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            MaybeHttpsStream::Http(stream) => stream.tcp(),
            MaybeHttpsStream::Https(tls) => tls.inner().get_ref().0.tcp(),
        }
    }
}

impl OverTcp for TcpStream {
    fn tcp(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

impl<S: OverTcp> OverTcp for TokioIo<S> {
    fn tcp(&self) -> Option<&TcpStream> {
        self.inner().tcp()
    }
}

impl<S: OverTcp + ?Sized> OverTcp for Box<S> {
    fn tcp(&self) -> Option<&TcpStream> {
        (**self).tcp()
    }
}

/// An open connection.
pub(super) enum Connection {
    Http1 {
        stream: Box<dyn Wire + Send>,
        low_water: LowWater,
    },
    Http2(Box<Http2>),
}

impl Connection {
    /// Sends a message, as [`exchange::send`] does.
    pub(super) async fn send(
        &mut self,
        message: Message<'_>,
        body: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<(Response, bool), ExchangeError> {
        match self {
            Connection::Http1 { stream, low_water } => {
                exchange::send(stream, low_water, message, body, bytes_max).await
            }
            Connection::Http2(http2) => http2.send(message, body, bytes_max).await,
        }
    }

    /// Returns whether nothing has come on a connection that waits: neither its end nor bytes that nobody asked for.
    async fn is_quiet(&mut self) -> bool {
        let stream = match self {
            Connection::Http1 { stream, low_water } if low_water.hides(stream.tcp()) => {
                return false;
            }
            Connection::Http1 { stream, .. } => stream,
            Connection::Http2(http2) => return http2.is_open(),
        };
        let mut byte = [0];
        poll_fn(|cx| {
            let mut buffer = ReadBuf::new(&mut byte);
            let polled = Pin::new(&mut *stream).poll_read(cx, &mut buffer);
            Poll::Ready(polled.is_pending())
        })
        .await
    }
}

struct Idle {
    connection: Connection,
    /// Whether TLS is spoken on it.
    is_https: bool,
    since: Instant,
}

/// A way to connect, and the connections that wait for their next request.
pub(super) struct Connections<C> {
    connector: C,
    idle: Mutex<AllIdle>,
}

struct AllIdle {
    by_host: HashMap<Authority, Vec<Idle>>,
    /// When the old ones of all hosts were closed.
    swept: Instant,
}

impl<C> Connections<C> {
    pub(super) fn new(connector: C) -> Self {
        Connections {
            connector,
            idle: Mutex::new(AllIdle {
                by_host: HashMap::new(),
                swept: Instant::now(),
            }),
        }
    }

    /// Returns a connection to the host of `url` that was used before and that nobody has closed.
    pub(super) async fn used(&self, url: &Uri) -> Option<Connection> {
        let (authority, is_https) = (url.authority()?, is_https(url));
        loop {
            let newest = {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                let of_host = idle.by_host.get_mut(authority)?;
                let newest = of_host.iter().rposition(|idle| idle.is_https == is_https)?;
                of_host.remove(newest)
            };
            let mut connection = newest.connection;
            if newest.since.elapsed() < IDLE_TIMEOUT && connection.is_quiet().await {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection to the host of `url` for the next request.
    pub(super) fn keep(&self, url: &Uri, connection: Connection) {
        let Some(authority) = url.authority() else {
            return;
        };
        let is_https = is_https(url);
        let since = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if SWEEP_EVERY < idle.swept.elapsed() {
            // Hosts that are not asked any more.
            idle.by_host.retain(|_, of_host| {
                of_host.retain(|idle| idle.since.elapsed() < IDLE_TIMEOUT);
                !of_host.is_empty()
            });
            idle.swept = since;
        }
        if !idle.by_host.contains_key(authority) {
            idle.by_host.insert(authority.clone(), Vec::new());
        }
        if let Some(of_host) = idle.by_host.get_mut(authority)
            && of_host
                .iter()
                .filter(|idle| idle.is_https == is_https)
                .count()
                < IDLE_PER_HOST_MAX
        {
            of_host.push(Idle {
                connection,
                is_https,
                since,
            });
        }
    }
}

impl<C> Connections<C>
where
    C: Service<Uri> + Clone,
    C::Response: OverTcp + Read + Write + Connected + Unpin + Send + 'static,
    C::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Connects to the host of `url`.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub(super) async fn connect(&self, url: &Uri) -> Result<Connection, ExchangeError> {
        let mut connector = self.connector.clone();
        let connected = async {
            poll_fn(|cx| connector.poll_ready(cx)).await?;
            connector.call(url.clone()).await
        };
        match connected.await {
            Ok(stream) if stream.connected().is_negotiated_h2() => {
                Ok(Connection::Http2(Box::new(Http2::begin(stream).await?)))
            }
            Ok(stream) => Ok(Connection::Http1 {
                stream: Box::new(TokioIo::new(stream)),
                low_water: LowWater::NEW,
            }),
            Err(error) => {
                let error: Box<dyn Error + Send + Sync> = error.into();
                Err(ExchangeError::NotConnected(super::innermost(&*error)))
            }
        }
    }
}

fn is_https(url: &Uri) -> bool {
    url.scheme() == Some(&Scheme::HTTPS)
}
