//! Request lines as people type them: quotes and angle brackets in the query of a URL, as in
//! `curl -g 'http://…/api/v1/query?query=up{job="node"}'`, are escaped before the HTTP library, which refuses them, sees
//! them. Go's server takes them.
//!
//! Only the first request of a connection is looked at: where others begin is known to the library alone, and programs
//! that keep connections escape what they send.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// How much of a connection's beginning is looked at, in bytes; request lines that are longer are passed on as they are.
const LINE_BYTES_MAX: usize = 64 << 10;

/// The beginning of a connection.
#[derive(Debug, Default)]
pub(crate) struct RequestLine {
    /// Bytes seen of the line.
    seen: usize,
    is_over: bool,
    /// What was read and not yet handed on.
    pending: Vec<u8>,
    handed_on: usize,
}

impl RequestLine {
    /// Reads from `stream` into `buf`; the bytes of the request line are escaped.
    pub(crate) fn poll_read(
        &mut self,
        stream: Pin<&mut impl AsyncRead>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.handed_on == self.pending.len() {
            if self.is_over {
                self.pending = Vec::new();
                self.handed_on = 0;
                return stream.poll_read(cx, buf);
            }
            let mut bytes = [0; 4096];
            let mut fresh = ReadBuf::new(&mut bytes);
            ready!(stream.poll_read(cx, &mut fresh))?;
            self.pending.clear();
            self.handed_on = 0;
            self.take(fresh.filled());
        }
        let rest = &self.pending[self.handed_on..];
        let fits = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..fits]);
        self.handed_on += fits;
        Poll::Ready(Ok(()))
    }

    /// Adds `bytes` to what is pending.
    fn take(&mut self, bytes: &[u8]) {
        if self.seen == 0 && !bytes.first().is_some_and(u8::is_ascii_uppercase) {
            // No method: TLS, or nothing that could be answered.
            self.is_over = true;
        }
        for (at, &byte) in bytes.iter().enumerate() {
            if self.is_over {
                self.pending.extend_from_slice(&bytes[at..]);
                return;
            }
            match byte {
                b'"' => self.pending.extend_from_slice(b"%22"),
                b'<' => self.pending.extend_from_slice(b"%3C"),
                b'>' => self.pending.extend_from_slice(b"%3E"),
                other => self.pending.push(other),
            }
            self.seen += 1;
            self.is_over = byte == b'\n' || LINE_BYTES_MAX <= self.seen;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    struct Escaped<S>(S, RequestLine);

    impl<S: AsyncRead + Unpin> AsyncRead for Escaped<S> {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let Escaped(stream, line) = self.get_mut();
            line.poll_read(Pin::new(stream), cx, buf)
        }
    }

    /// Sends `pieces` one by one; returns what is read.
    async fn read(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut client, server) = tokio::io::duplex(64);
        let mut escaped = Escaped(server, RequestLine::default());
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let sending = tokio::spawn(async move {
            for piece in pieces {
                client.write_all(&piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let mut found = Vec::new();
        let mut small = [0; 5];
        loop {
            let count = escaped.read(&mut small).await.unwrap();
            if count == 0 {
                break;
            }
            found.extend_from_slice(&small[..count]);
        }
        sending.await.unwrap();
        found
    }

    #[tokio::test]
    async fn the_first_line_is_escaped_and_nothing_else() {
        let request = b"GET /q?query=up{job=\"a\"}>1 HTTP/1.1\r\nHost: \"<>\"\r\n\r\nGET /q?\"";
        let expected =
            b"GET /q?query=up{job=%22a%22}%3E1 HTTP/1.1\r\nHost: \"<>\"\r\n\r\nGET /q?\"";
        assert_eq!(read(&[request]).await, expected);
        let bytes: Vec<&[u8]> = request.chunks(1).collect();
        assert_eq!(read(&bytes).await, expected);
    }

    #[tokio::test]
    async fn what_is_no_request_stays() {
        for bytes in [b"\x16\x03\x01\"<>".as_slice(), b"", b"\"GET", b"get \""] {
            assert_eq!(read(&[bytes]).await, bytes);
        }
        let mut long = vec![b'A'; LINE_BYTES_MAX];
        long.extend_from_slice(b"\"<\n");
        assert_eq!(read(&[&long]).await, long);
    }
}
