//! How much of a response has to be there before its reader is woken up.
//!
//! A body of a hundred kilobytes comes in pieces, and each piece wakes up whoever waits for it: to read little, and to wait
//! again. A target's next response is about as long as its last one, so the socket is told to keep quiet until nearly as
//! much is there. Where that does not come (the response is shorter, or takes its time), the reader asks to be woken
//! for anything after a moment.
//!
//! Source: `SO_RCVLOWAT`, `socket(7)`; a connection that ends or fails, or whose window is full, wakes its reader whatever it is.
#![cfg_attr(
    target_os = "linux",
    expect(unsafe_code, reason = "no crate of ours has this option")
)]

use std::time::Duration;

use tokio::net::TcpStream;

/// Responses below this come in one piece.
const WORTHWHILE_BYTES: usize = 32 * 1024;
/// What is waited for at most: it is in the kernel's memory meanwhile.
const MARK_MAX: usize = 256 * 1024;
/// How long nearly all of a response is waited for, before the part that is there is read.
pub(super) const PATIENCE: Duration = Duration::from_millis(20);

/// The mark of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct LowWater {
    /// What the socket was told.
    mark: usize,
    /// How long the last response was, its head and all.
    last: usize,
}

impl LowWater {
    /// As it is on a new connection.
    pub(super) const NEW: LowWater = LowWater { mark: 1, last: 0 };

    /// Sets the mark for a response that is about as long as the last one.
    pub(super) fn raise(&mut self, tcp: Option<&TcpStream>) {
        let wanted = match self.last {
            last if last < WORTHWHILE_BYTES => 1,
            last => (last - last / 16).min(MARK_MAX),
        };
        // Responses vary by some bytes.
        if wanted.abs_diff(self.mark) > wanted / 32 {
            self.set(tcp, wanted);
        }
    }

    /// Wants to be woken for anything.
    pub(super) fn lower(&mut self, tcp: Option<&TcpStream>) {
        if self.is_raised() {
            self.set(tcp, 1);
        }
    }

    pub(super) fn is_raised(&self) -> bool {
        self.mark != 1
    }

    /// Takes note of a response that was read whole.
    pub(super) fn received(&mut self, bytes: usize) {
        self.last = bytes;
    }

    fn set(&mut self, tcp: Option<&TcpStream>, mark: usize) {
        if let Some(tcp) = tcp
            && set_option(tcp, mark)
        {
            self.mark = mark;
        }
    }
}

/// Returns whether that went well.
#[cfg(target_os = "linux")]
fn set_option(tcp: &TcpStream, mark: usize) -> bool {
    use std::os::fd::AsRawFd as _;
    let mark = libc::c_int::try_from(mark).unwrap_or(libc::c_int::MAX);
    let length = libc::socklen_t::try_from(size_of_val(&mark)).unwrap_or(0);
    // SAFETY: the descriptor is open as long as `tcp` lives, and the option is read from `mark`, of which `length` bytes are.
    let result = unsafe {
        libc::setsockopt(
            tcp.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            std::ptr::from_ref(&mark).cast(),
            length,
        )
    };
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn set_option(_tcp: &TcpStream, _mark: usize) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    async fn is_readable(tcp: &TcpStream) -> bool {
        let waited = tokio::time::timeout(Duration::from_millis(100), tcp.readable());
        waited.await.is_ok()
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_reader_sleeps_until_the_mark() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        let mut low_water = LowWater::NEW;
        low_water.raise(Some(&ours));
        assert!(!low_water.is_raised());
        low_water.received(64 * 1024);
        low_water.raise(Some(&ours));
        assert!(low_water.is_raised());
        theirs.write_all(&[0; 50 * 1024]).await.unwrap();
        assert!(!is_readable(&ours).await);
        // What is there wakes it as soon as the mark is lowered.
        low_water.lower(Some(&ours));
        assert!(is_readable(&ours).await);
        assert!(!low_water.is_raised());
    }

    #[tokio::test]
    async fn what_has_no_socket_has_no_mark() {
        let mut low_water = LowWater::NEW;
        low_water.received(1 << 20);
        low_water.raise(None);
        assert!(!low_water.is_raised());
    }
}
