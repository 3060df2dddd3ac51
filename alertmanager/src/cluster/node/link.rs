//! A connection between members: TCP as it is, or TLS over it.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Node;

/// Bytes both ways.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection between members.
pub(super) type Link = Box<dyn Duplex>;

impl Node {
    /// Connects to a member.
    pub(super) async fn connect(&self, address: SocketAddr) -> io::Result<Link> {
        let stream = TcpStream::connect(address).await?;
        // What is small is waited for.
        stream.set_nodelay(true).ok();
        Ok(match &self.tls {
            None => Box::new(stream),
            Some(tls) => Box::new(tls.connect(stream, address).await?),
        })
    }

    /// Takes a connection of somebody; with TLS, of whom we believe.
    pub(super) async fn welcome(&self, stream: TcpStream) -> io::Result<Link> {
        stream.set_nodelay(true).ok();
        Ok(match &self.tls {
            None => Box::new(stream),
            Some(tls) => Box::new(tls.accept(stream).await?),
        })
    }
}
