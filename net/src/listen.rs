//! Listening sockets: one clear line when the address cannot be had, and a bound on open connections.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use listenfd::ListenFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::request_line::RequestLine;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another process (or another instance of us) listens there.
    #[error(
        "listen on {address}: the port is already in use; stop the other process or choose another address"
    )]
    InUse {
        /// What was asked for.
        address: String,
    },
    /// The process may not have that port.
    #[error("listen on {address}: permission denied; ports below 1024 need privileges")]
    Denied {
        /// What was asked for.
        address: String,
    },
    /// A socket that was passed is none that can be listened on.
    #[error(
        "take socket {number} of those that were passed: {source}; only TCP sockets can be listened on"
    )]
    Inherited {
        /// Which one, from 1 on.
        number: usize,
        /// What the system says.
        source: io::Error,
    },
    /// No socket was passed.
    #[error(
        "no socket was passed: LISTEN_FDS is not set for this process; let a systemd .socket unit start it"
    )]
    NotPassed,
    /// Anything else: no such host, no such interface.
    #[error("listen on {address}: {source}")]
    Other {
        /// What was asked for.
        address: String,
        /// What the system says.
        source: io::Error,
    },
}

/// Listens on `address`: `host:port`, `[v6]:port`, or `:port` for every interface. Port 0 takes a free one.
///
/// # Errors
///
/// [`ListenError`], whose text says which address and why.
pub async fn bind(address: &str) -> Result<TcpListener, ListenError> {
    let outcome = match address.strip_prefix(':') {
        // Both families where the machine has IPv6, as Go does it.
        Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind(format!("0.0.0.0:{port}")).await
            }
            outcome => outcome,
        },
        None => TcpListener::bind(address).await,
    };
    outcome.map_err(|source| {
        let address = address.to_owned();
        match source.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse { address },
            io::ErrorKind::PermissionDenied => ListenError::Denied { address },
            _ => ListenError::Other { address, source },
        }
    })
}

/// Takes the TCP listeners that whoever started us has opened: the file descriptors from 3 on, as `LISTEN_FDS` and `LISTEN_PID`
/// of the environment say. Both are taken out of the environment, so it must be called while there is only one thread.
///
/// # Errors
///
/// When there is none, or one of them is something else.
///
/// Source: systemd's documentation, `sd_listen_fds(3)`.
pub fn inherited() -> Result<Vec<std::net::TcpListener>, ListenError> {
    let mut passed = ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..passed.len() {
        let fail = |source| ListenError::Inherited {
            number: index + 1,
            source,
        };
        let listener = passed.take_tcp_listener(index).map_err(fail)?;
        if let Some(listener) = listener {
            listener.set_nonblocking(true).map_err(fail)?;
            listeners.push(listener);
        }
    }
    match listeners.is_empty() {
        true => Err(ListenError::NotPassed),
        false => Ok(listeners),
    }
}

/// How long to wait after the system refused a connection (out of file descriptors, for one).
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// A listener with at most so many connections open at once; more wait in the system's backlog.
pub struct LimitedListener {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    waits: metrics::Counter,
}

impl LimitedListener {
    /// Wraps `listener`. Listeners with the same `permits` share the bound; `waits` counts how often a connection had to
    /// wait because all were taken.
    pub fn new(listener: TcpListener, permits: Arc<Semaphore>, waits: metrics::Counter) -> Self {
        LimitedListener {
            listener,
            permits,
            waits,
        }
    }

    /// Returns the next connection. It holds its place until it is dropped.
    pub async fn accept(&mut self) -> (Connection, SocketAddr) {
        if self.permits.available_permits() == 0 {
            self.waits.inc();
        }
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    // Answers are written whole; waiting for more to send only adds latency.
                    stream.set_nodelay(true).ok();
                    return (
                        Connection {
                            stream,
                            line: RequestLine::default(),
                            _permit: permit,
                        },
                        peer,
                    );
                }
                Err(error) => {
                    tracing::debug!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    /// Returns the address that is listened on.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// An accepted connection that counts against the limit of its listener.
pub struct Connection {
    stream: TcpStream,
    line: RequestLine,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Connection { stream, line, .. } = self.get_mut();
        line.poll_read(Pin::new(stream), cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_said_in_one_line() {
        let first = bind("127.0.0.1:0").await.unwrap();
        let address = first.local_addr().unwrap().to_string();
        let error = bind(&address).await.unwrap_err().to_string();
        assert!(
            error.contains("already in use") && error.contains(&address),
            "{error}"
        );
    }

    #[tokio::test]
    async fn connections_wait_for_a_place() {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let waits = metrics::Registry::new().counter("waits_total", "");
        let mut limited =
            LimitedListener::new(listener, Arc::new(Semaphore::new(1)), waits.clone());
        let address = limited.local_addr().unwrap();
        let _one = TcpStream::connect(address).await.unwrap();
        let _two = TcpStream::connect(address).await.unwrap();
        let (held, _) = limited.accept().await;
        let refused = tokio::time::timeout(Duration::from_millis(20), limited.accept()).await;
        assert!(refused.is_err());
        assert_eq!(waits.value(), 1.0);
        drop(held);
        limited.accept().await;
    }
}
