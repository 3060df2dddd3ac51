//! TCP between members: whole states both ways, and updates that are too large for a packet.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Node;
use super::link::Link;
use crate::cluster::gossip::MEMBERS_MAX;
use crate::cluster::member::Known;
use crate::cluster::update::{Part, Parts};
use crate::cluster::wire::{self, FRAME_BYTES_MAX, Kind};

/// Updates that are merged together, before others have their turn.
const MERGED_AT_ONCE: usize = 256;

impl Node {
    /// Answers one connection, or returns it with the packet that it began with: then more may come.
    pub(super) async fn answer(
        self: Arc<Self>,
        connection: TcpStream,
    ) -> io::Result<Option<(Link, Vec<u8>)>> {
        let mut link = match self.welcome(connection).await {
            Ok(link) => link,
            Err(error) => {
                self.refuse("tls");
                self.tls_metrics.read_errors.inc();
                return Err(error);
            }
        };
        let frame = self.read_frame(&mut link).await?;
        if self.is_packet(&frame) {
            return Ok(Some((link, frame)));
        }
        let node = Arc::clone(&self);
        let kind = tokio::task::spawn_blocking(move || node.take(None, &frame)).await??;
        if kind == Kind::State {
            self.send_state(&mut link).await?;
        }
        Ok(None)
    }

    async fn read_frame(&self, connection: &mut Link) -> io::Result<Vec<u8>> {
        let length = usize::try_from(connection.read_u32().await?).unwrap_or(usize::MAX);
        if FRAME_BYTES_MAX < length {
            self.refuse("size");
            let reason = format!("a message of {length} bytes; at most {FRAME_BYTES_MAX} are read");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        // Memory grows with what really comes.
        let mut frame = Vec::new();
        connection
            .take(length as u64)
            .read_to_end(&mut frame)
            .await?;
        match frame.len() == length {
            true => Ok(frame),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Takes in a message that came over TCP; returns what it was. `address` is where we connected to, if we did.
    fn take(self: &Arc<Self>, address: Option<SocketAddr>, frame: &[u8]) -> io::Result<Kind> {
        let opened = wire::open(&self.options.label, frame);
        let (kind, contents) = match opened {
            Ok((kind @ (Kind::State | Kind::Updates), contents)) => (kind, contents),
            Ok((Kind::Membership, _)) => {
                self.refuse("garbage");
                return Err(io::Error::other("membership is told over UDP"));
            }
            Err(fault) => {
                self.refuse(fault.as_str());
                return Err(io::Error::new(io::ErrorKind::InvalidData, fault));
            }
        };
        let (mut members, mut updates, mut unreadable) = (Vec::new(), Vec::new(), 0);
        for part in Parts::of(contents) {
            match part {
                Part::Member(member) if members.len() <= MEMBERS_MAX => members.push(member),
                Part::Member(_) => {}
                Part::Update(update) => updates.push(update),
                Part::Unreadable => unreadable += 1,
            }
            if MERGED_AT_ONCE <= updates.len() {
                self.merge(std::mem::take(&mut updates));
            }
        }
        self.merge(updates);
        self.note_taken(kind, frame.len(), unreadable);
        if kind == Kind::State {
            self.meet(address, members);
        }
        Ok(kind)
    }

    fn note_taken(&self, kind: Kind, bytes: usize, unreadable: usize) {
        let gossip = self.gossip.lock();
        let metrics = gossip.metrics();
        let name = match kind {
            Kind::State => "full_state",
            _ => "update",
        };
        metrics.note_received(name, bytes);
        let refused = metrics.updates_refused.with(&["unreadable"]);
        refused.add(unreadable as f64);
    }

    fn meet(self: &Arc<Self>, address: Option<SocketAddr>, members: Vec<Known>) {
        self.act(|gossip, now_ms| gossip.exchanged(address, members, now_ms));
        self.wake.notify_one();
    }

    /// Returns all that this member knows, as a message.
    fn state(&self) -> Vec<u8> {
        let replica = self.replica.upgrade();
        let updates = replica.map(|replica| replica.state()).unwrap_or_default();
        let room = FRAME_BYTES_MAX - wire::overhead(&self.options.label);
        let (mut contents, metrics_cut) = {
            let gossip = self.gossip.lock();
            (gossip.membership_state(), gossip.metrics().cut.clone())
        };
        for (index, update) in updates.iter().enumerate() {
            let part = update.encode();
            if room < contents.len() + part.len() {
                metrics_cut.inc();
                tracing::warn!(
                    left_out = updates.len() - index,
                    limit = FRAME_BYTES_MAX,
                    "silences and log are too large to be exchanged as a whole"
                );
                break;
            }
            contents.extend_from_slice(&part);
        }
        let message = wire::seal(&self.options.label, Kind::State, &contents);
        self.gossip
            .lock()
            .metrics()
            .note_sent("full_state", message.len());
        message
    }

    async fn send_state(self: &Arc<Self>, connection: &mut Link) -> io::Result<()> {
        let node = Arc::clone(self);
        let message = tokio::task::spawn_blocking(move || node.state()).await?;
        send_frame(connection, &message).await
    }

    /// Exchanges states with the member at `address`, unless that is going on.
    pub(super) fn exchange(self: &Arc<Self>, address: SocketAddr) {
        let Ok(permit) = Arc::clone(&self.outgoing).try_acquire_owned() else {
            return;
        };
        if !self.busy.lock().insert(address) {
            return;
        }
        let was_absent = self.gossip.lock().is_absent(address);
        let node = Arc::clone(self);
        self.spawn(async move {
            let outcome = node.within(node.exchange_now(address)).await;
            if outcome.is_err() {
                node.tls_metrics.stream_failed();
            }
            node.busy.lock().remove(&address);
            if was_absent {
                node.note_meeting(address, &outcome);
            }
            drop(permit);
        });
    }

    pub(super) async fn within<T>(
        &self,
        work: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        match tokio::time::timeout(self.options.tcp_timeout, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn exchange_now(self: &Arc<Self>, address: SocketAddr) -> io::Result<()> {
        let mut connection = self.connect(address).await?;
        self.send_state(&mut connection).await?;
        let frame = self.read_frame(&mut connection).await?;
        let node = Arc::clone(self);
        tokio::task::spawn_blocking(move || node.take(Some(address), &frame)).await??;
        Ok(())
    }

    fn note_meeting(&self, address: SocketAddr, outcome: &io::Result<()>) {
        let gossip = self.gossip.lock();
        let metrics = gossip.metrics();
        let (fine, failed) = match gossip.is_configured(address) {
            true => (&metrics.joined_by_name, &metrics.join_by_name_failed),
            false => (&metrics.reconnected, &metrics.reconnect_failed),
        };
        match outcome {
            Ok(()) => fine.inc(),
            Err(error) => {
                failed.inc();
                tracing::debug!(%address, %error, "a peer could not be reached");
            }
        }
    }

    /// Sends an update that is too large for a packet.
    pub(super) fn push(
        self: &Arc<Self>,
        address: SocketAddr,
        kind: &'static str,
        message: Vec<u8>,
    ) {
        let Ok(permit) = Arc::clone(&self.outgoing).try_acquire_owned() else {
            let gossip = self.gossip.lock();
            gossip.metrics().oversized_dropped.with(&[kind]).inc();
            return;
        };
        let node = Arc::clone(self);
        self.spawn(async move {
            let sending = async {
                let mut connection = node.connect(address).await?;
                send_frame(&mut connection, &message).await?;
                connection.shutdown().await
            };
            let start = Instant::now();
            let outcome = node.within(sending).await;
            let gossip = node.gossip.lock();
            let metrics = gossip.metrics();
            metrics
                .oversized_duration
                .with(&[kind])
                .observe_since(start);
            match outcome {
                Ok(()) => {
                    metrics.note_sent("update", message.len());
                    metrics.oversized.with(&[kind]).inc();
                }
                Err(error) => {
                    node.tls_metrics.stream_failed();
                    metrics.oversized_failed.with(&[kind]).inc();
                    tracing::debug!(%address, %error, "a large update could not be sent to a peer");
                }
            }
            drop(permit);
        });
    }
}

pub(super) async fn send_frame(connection: &mut Link, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    connection.write_u32(length).await?;
    connection.write_all(message).await?;
    connection.flush().await
}
