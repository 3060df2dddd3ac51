//! How much of a response has to be there before its reader is woken up.
//!
//! A body of a hundred kilobytes comes in pieces, and each piece wakes up whoever waits for it: to read little, and to wait
//! again. A target's next response is about as long as its last one, so the socket is told to keep quiet until nearly as
//! much is there. Where that does not come (the response is shorter, or takes its time), the reader asks to be woken
//! for anything after a moment, and the connection is left alone for a while.
//!
//! Source: `SO_RCVLOWAT`, `socket(7)`; a connection that ends or fails, or whose window is full, wakes its reader whatever it
//! is. Kernels before 4.18 do not wake the reader when the mark is lowered below what is there, so nothing is done on those.
#![expect(unsafe_code, reason = "no crate of ours has this option")]

use std::os::fd::AsRawFd as _;
use std::sync::LazyLock;
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::net::TcpStream;

/// Responses below this come in one piece.
const WORTHWHILE_BYTES: usize = 32 * 1024;
/// What is waited for at most: it is in the kernel's memory meanwhile.
const MARK_MAX: usize = 256 * 1024;
/// How long nearly all of a response is waited for, before the part that is there is read.
pub(super) const PATIENCE: Duration = Duration::from_millis(20);
/// For how many responses a connection is left alone at most, after one that was not like the one before.
const PAUSE_MAX: u16 = 1_024;
/// The first kernel that is understood, see above.
const KERNEL: (u32, u32) = (4, 18);

static IS_KNOWN_KERNEL: LazyLock<bool> = LazyLock::new(|| {
    let release = rustix::system::uname();
    is_known(&release.release().to_string_lossy())
});

/// What goes over a TCP connection in the end.
pub(super) trait OverTcp {
    /// Returns that connection; nothing where a test has none.
    fn tcp(&self) -> Option<&TcpStream>;
}

/// The mark of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct LowWater {
    /// What the socket was told.
    mark: usize,
    /// How long the last response was, its head and all.
    last: usize,
    /// For how many responses more the mark stays down.
    paused: u16,
    /// How many there will be after the next one that is not like the one before.
    pause: u16,
}

impl LowWater {
    /// As it is on a new connection.
    pub(super) const NEW: LowWater = LowWater {
        mark: 1,
        last: 0,
        paused: 0,
        pause: 1,
    };

    /// Sets the mark for a response that is about as long as the last one.
    pub(super) fn raise(&mut self, tcp: Option<&TcpStream>) {
        let is_paused = 0 < self.paused;
        self.paused = self.paused.saturating_sub(1);
        let wanted = match self.last {
            last if is_paused || last < WORTHWHILE_BYTES => 1,
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

    /// The mark was waited for in vain. Where that happens again and again (a server whose answers differ, or is slow), it is
    /// tried ever less.
    pub(super) fn missed(&mut self, tcp: Option<&TcpStream>) {
        self.paused = self.pause;
        self.pause = (2 * self.pause).min(PAUSE_MAX);
        self.lower(tcp);
    }

    /// Returns whether the mark may hide that something has come on a connection that waits for its next request.
    pub(super) fn hides(&self, tcp: Option<&TcpStream>) -> bool {
        let Some(tcp) = tcp.filter(|_| self.is_raised()) else {
            return false;
        };
        let mut byte = [0];
        let peeked = rustix::net::recv(tcp, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        peeked.is_ok()
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
fn set_option(tcp: &TcpStream, mark: usize) -> bool {
    if !*IS_KNOWN_KERNEL {
        return false;
    }
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

/// Returns whether a kernel's release, as in `6.1.0-13-amd64`, is new enough.
fn is_known(release: &str) -> bool {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    KERNEL <= (next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    /// Both ends of a connection.
    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap());
        let (ours, theirs) = tokio::join!(ours, listener.accept());
        (ours.unwrap(), theirs.unwrap().0)
    }

    async fn is_readable(tcp: &TcpStream) -> bool {
        let waited = tokio::time::timeout(Duration::from_millis(100), tcp.readable());
        waited.await.is_ok()
    }

    #[tokio::test]
    async fn a_reader_sleeps_until_the_mark() {
        let (ours, mut theirs) = connected().await;
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
    async fn what_comes_below_the_mark_is_not_overlooked() {
        let (ours, mut theirs) = connected().await;
        let mut low_water = LowWater::NEW;
        low_water.received(64 * 1024);
        low_water.raise(Some(&ours));
        assert!(!low_water.hides(Some(&ours)));
        theirs.write_all(b"HTTP/1.1 408").await.unwrap();
        assert!(low_water.hides(Some(&ours)));
    }

    #[tokio::test]
    async fn connections_whose_responses_differ_are_left_alone() {
        let (ours, _theirs) = connected().await;
        let mut low_water = LowWater::NEW;
        low_water.received(64 * 1024);
        let mut raised = Vec::new();
        for request in 0..40 {
            low_water.raise(Some(&ours));
            if low_water.is_raised() {
                raised.push(request);
                low_water.missed(Some(&ours));
            }
        }
        assert_eq!(raised, [0, 2, 5, 10, 19, 36]);
    }

    #[test]
    fn old_kernels_are_known_by_their_release() {
        for release in ["4.18.0-553.el8.x86_64", "5.4", "6.1.0-13-amd64", "10"] {
            assert!(is_known(release), "{release}");
        }
        for release in ["3.10.0-1160.el7", "4.14.355", "4.15.0-20-generic", ""] {
            assert!(!is_known(release), "{release}");
        }
    }

    #[tokio::test]
    async fn what_has_no_socket_has_no_mark() {
        let mut low_water = LowWater::NEW;
        low_water.received(1 << 20);
        low_water.raise(None);
        assert!(!low_water.is_raised());
    }
}
