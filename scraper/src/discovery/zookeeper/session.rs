//! A session with one ZooKeeper server.
//!
//! Requests are answered in their order, so that several may be under way; what changes in the meantime is told between the
//! answers. A server is pinged when nothing was asked for a third of the time that a session may be silent, and counts as lost when it
//! says nothing for two thirds.
//!
//! # Not here
//!
//! Going on with a session after its connection is lost: nothing of ours depends on it, everything is read anew.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::wire::{self, Answer, Frame, Malformed, Question};

/// How long a message may be, in bytes; servers send no longer ones than 1 MiB, unless they are told to.
const FRAME_BYTES_MAX: usize = 4 << 20;
/// How long the path of a node may be, in bytes.
pub(super) const PATH_BYTES_MAX: usize = 4 << 10;
/// How many nodes may change before somebody looks at them; then the session ends, and everything is read anew.
const CHANGED_MAX: usize = 20_000;

/// Why a session ended, or did not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    /// The connection failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server did not answer.
    #[error("the server said nothing for {0:?}")]
    Silent(Duration),
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The session is over.
    #[error("the session has ended")]
    Expired,
    /// A message that is none of ZooKeeper's.
    #[error("the server's answer is none of ZooKeeper's")]
    Malformed,
    /// More changes than can be kept in mind.
    #[error("more than {CHANGED_MAX} nodes changed at once")]
    Many,
    /// A message that is too long.
    #[error("the server's answer is longer than {} MiB", FRAME_BYTES_MAX >> 20)]
    Long,
}

impl From<Malformed> for SessionError {
    fn from(_: Malformed) -> Self {
        SessionError::Malformed
    }
}

/// An open session.
pub(super) struct Session {
    stream: TcpStream,
    /// What came and was not looked at yet.
    buffer: Vec<u8>,
    /// How long the server may say nothing.
    silence_max: Duration,
    sent_at: Instant,
    received_at: Instant,
    number: i32,
    /// The nodes to which something happened.
    changed: BTreeSet<String>,
}

impl Session {
    /// Begins a session with `server`, which may be silent for `session_timeout` if the server agrees.
    pub(super) async fn open(
        server: &str,
        session_timeout: Duration,
    ) -> Result<Self, SessionError> {
        let opening = async {
            let mut stream = TcpStream::connect(server).await?;
            stream.set_nodelay(true)?;
            let ms = i32::try_from(session_timeout.as_millis()).unwrap_or(i32::MAX);
            stream.write_all(&wire::hello(ms)).await?;
            Ok::<_, SessionError>(stream)
        };
        let opened = timeout(session_timeout, opening).await;
        let stream = opened.map_err(|_| SessionError::Silent(session_timeout))??;
        let now = Instant::now();
        let mut session = Session {
            stream,
            buffer: Vec::new(),
            // So long that nobody is pinged before the session has begun.
            silence_max: session_timeout * 2,
            sent_at: now,
            received_at: now,
            number: 1,
            changed: BTreeSet::new(),
        };
        let Some(hello) = session.frame(Some(now + session_timeout)).await? else {
            return Err(SessionError::Silent(session_timeout));
        };
        let ms = wire::decode_hello(&hello)?;
        let ms = u64::try_from(ms).map_err(|_| SessionError::Malformed)?;
        if ms == 0 {
            return Err(SessionError::Expired);
        }
        session.silence_max = Duration::from_millis(ms) * 2 / 3;
        Ok(session)
    }

    /// Asks, and returns the answers in the same order. Each node asked about is watched.
    pub(super) async fn ask(
        &mut self,
        questions: &[Question<'_>],
    ) -> Result<Vec<Answer>, SessionError> {
        let first = self.number;
        let mut requests = Vec::new();
        for question in questions {
            requests.extend(wire::request(self.number, *question));
            // The numbers below zero have a meaning.
            self.number = self.number.checked_add(1).unwrap_or(0);
        }
        self.send(&requests).await?;
        let mut answers = Vec::with_capacity(questions.len());
        let mut expected = first;
        for question in questions {
            let (number, code, body) = self.reply().await?;
            if number != expected {
                return Err(SessionError::Malformed);
            }
            answers.push(wire::decode_answer(*question, code, &body)?);
            expected = expected.checked_add(1).unwrap_or(0);
        }
        Ok(answers)
    }

    /// Waits until something happened to nodes that are watched, and returns which; none, when `until` has come before.
    pub(super) async fn changed(
        &mut self,
        until: Option<Instant>,
    ) -> Result<BTreeSet<String>, SessionError> {
        loop {
            if !self.changed.is_empty() {
                return Ok(std::mem::take(&mut self.changed));
            }
            let Some(frame) = self.frame(until).await? else {
                return Ok(BTreeSet::new());
            };
            // A reply to nothing.
            if self.take(&frame)?.is_some() {
                return Err(SessionError::Malformed);
            }
        }
    }

    async fn reply(&mut self) -> Result<(i32, i32, Vec<u8>), SessionError> {
        loop {
            let Some(frame) = self.frame(None).await? else {
                return Err(SessionError::Closed);
            };
            if let Some((number, code, body)) = self.take(&frame)? {
                return Ok((number, code, body.to_vec()));
            }
        }
    }

    /// Looks at a message: returns it if it is a reply, and keeps in mind what it says otherwise.
    fn take<'b>(&mut self, frame: &'b [u8]) -> Result<Option<(i32, i32, &'b [u8])>, SessionError> {
        match wire::decode(frame)? {
            Frame::Reply(number, code, body) => return Ok(Some((number, code, body))),
            Frame::Changed(path) if path.len() <= PATH_BYTES_MAX => {
                if CHANGED_MAX <= self.changed.len() {
                    return Err(SessionError::Many);
                }
                self.changed.insert(path);
            }
            // What has a longer path was not asked for.
            Frame::Changed(_) | Frame::Noted => (),
            Frame::Expired => return Err(SessionError::Expired),
        }
        Ok(None)
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        let sending = timeout(self.silence_max, self.stream.write_all(bytes));
        let sent = sending.await;
        sent.map_err(|_| SessionError::Silent(self.silence_max))??;
        self.sent_at = Instant::now();
        Ok(())
    }

    /// Returns the next message without its length, and pings meanwhile; `None` when `until` has come before.
    async fn frame(&mut self, until: Option<Instant>) -> Result<Option<Vec<u8>>, SessionError> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(Some(frame));
            }
            let lost_at = self.received_at + self.silence_max;
            let ping_at = self.sent_at + self.silence_max / 2;
            let next = lost_at.min(ping_at);
            let next = until.map_or(next, |until| until.min(next));
            // Nothing is lost when the time is up: the bytes are in the buffer or still in the socket.
            match timeout_at(next, self.stream.read_buf(&mut self.buffer)).await {
                Ok(read) => match read? {
                    0 => return Err(SessionError::Closed),
                    _ => self.received_at = Instant::now(),
                },
                Err(_) => {
                    let now = Instant::now();
                    if lost_at <= now {
                        return Err(SessionError::Silent(self.silence_max));
                    }
                    if until.is_some_and(|until| until <= now) {
                        return Ok(None);
                    }
                    if ping_at <= now {
                        self.send(&wire::ping()).await?;
                    }
                }
            }
        }
    }

    /// Takes the first message out of the buffer, if it is there as a whole.
    fn buffered(&mut self) -> Result<Option<Vec<u8>>, SessionError> {
        let Some((length, rest)) = self.buffer.split_first_chunk() else {
            return Ok(None);
        };
        let length = usize::try_from(i32::from_be_bytes(*length));
        let length = length.map_err(|_| SessionError::Malformed)?;
        if FRAME_BYTES_MAX < length {
            return Err(SessionError::Long);
        }
        let Some(frame) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = frame.to_vec();
        self.buffer.drain(..4 + length);
        Ok(Some(frame))
    }
}
