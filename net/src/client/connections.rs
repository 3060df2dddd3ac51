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
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tower_service::Service;

use super::exchange::ExchangeError;

/// How long an unused connection is kept.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// How often those of all hosts are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How many unused connections to one host are kept.
pub const IDLE_PER_HOST_MAX: usize = 4;

/// Bytes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// An open connection.
pub(super) type Connection = Box<dyn Stream>;

type Key = (Option<Scheme>, Authority);

struct Idle {
    connection: Connection,
    since: Instant,
}

/// A way to connect, and the connections that wait for their next request.
pub(super) struct Connections<C> {
    connector: C,
    idle: Mutex<AllIdle>,
}

struct AllIdle {
    by_host: HashMap<Key, Vec<Idle>>,
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
        let key = key(url)?;
        loop {
            let newest = {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                idle.by_host.get_mut(&key)?.pop()?
            };
            let mut connection = newest.connection;
            if newest.since.elapsed() < IDLE_TIMEOUT && is_quiet(&mut connection).await {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection to the host of `url` for the next request.
    pub(super) fn keep(&self, url: &Uri, connection: Connection) {
        let Some(key) = key(url) else { return };
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
        let of_host = idle.by_host.entry(key).or_default();
        if of_host.len() < IDLE_PER_HOST_MAX {
            of_host.push(Idle { connection, since });
        }
    }
}

impl<C> Connections<C>
where
    C: Service<Uri> + Clone,
    C::Response: Read + Write + Unpin + Send + 'static,
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
            Ok(stream) => Ok(Box::new(TokioIo::new(stream))),
            Err(error) => {
                let error: Box<dyn Error + Send + Sync> = error.into();
                Err(ExchangeError::NotConnected(super::innermost(&*error)))
            }
        }
    }
}

fn key(url: &Uri) -> Option<Key> {
    Some((url.scheme().cloned(), url.authority()?.clone()))
}

/// Returns whether nothing has come on a connection that waits: neither its end nor bytes that nobody asked for.
async fn is_quiet(connection: &mut Connection) -> bool {
    let mut byte = [0];
    poll_fn(|cx| {
        let mut buffer = ReadBuf::new(&mut byte);
        let polled = Pin::new(&mut *connection).poll_read(cx, &mut buffer);
        Poll::Ready(polled.is_pending())
    })
    .await
}
