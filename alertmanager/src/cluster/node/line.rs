//! Packets with TLS: not over UDP but over connections that are kept while there is something to say.
//!
//! As with UDP, a packet may get lost: when a member cannot be reached, or cannot keep up. Nobody waits for one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::exchange::send_frame;
use super::link::Link;
use super::{Node, PEERS_MAX};
use crate::cluster::gossip::MEMBERS_MAX;
use crate::cluster::wire::{self, Kind, PACKET_BYTES_MAX};

/// Members that packets are sent to at once: those that there may be, and those that are configured. Packets to others are
/// dropped and counted.
const LINES_MAX: usize = MEMBERS_MAX + PEERS_MAX;
/// Packets that wait for one member; further ones are dropped and counted.
const WAITING_MAX: usize = 64;
/// After so long without a packet, who sends them ends the connection …
const IDLE: Duration = Duration::from_secs(60);
/// … and who takes them does, in case the other one could not.
const KEPT_IDLE: Duration = Duration::from_secs(300);
/// How long a member that leaves waits for its last packets.
const GOODBYE: Duration = Duration::from_secs(1);

impl Node {
    /// Sends a packet to a member.
    pub(super) fn send_packet(self: &Arc<Self>, address: SocketAddr, packet: Vec<u8>) {
        match &self.udp {
            // Packets may get lost anyhow.
            Some(udp) => drop(udp.try_send_to(&packet, address)),
            None => self.say(address, packet),
        }
    }

    /// Puts a packet on the line to a member, which is opened if there is none.
    fn say(self: &Arc<Self>, address: SocketAddr, packet: Vec<u8>) {
        let mut lines = self.lines.lock();
        let Some(lines) = &mut *lines else {
            return;
        };
        let packet = match lines.get(&address) {
            None => packet,
            Some(line) => match line.try_send(packet) {
                Ok(()) => return,
                Err(TrySendError::Full(_)) => return self.tls_metrics.packet_lost(),
                Err(TrySendError::Closed(packet)) => packet,
            },
        };
        if !lines.contains_key(&address) && LINES_MAX <= lines.len() {
            return self.tls_metrics.packet_lost();
        }
        let (line, packets) = mpsc::channel(WAITING_MAX);
        // It is empty.
        let _ = line.try_send(packet);
        lines.insert(address, line);
        let node = Arc::clone(self);
        let talking = self.talking.track_future(node.talk(address, packets));
        self.spawn(talking);
    }

    /// The task of a line.
    async fn talk(self: Arc<Self>, address: SocketAddr, mut packets: mpsc::Receiver<Vec<u8>>) {
        let mut link: Option<Link> = None;
        while let Ok(Some(packet)) = tokio::time::timeout(IDLE, packets.recv()).await {
            let sending = async {
                let mut open = match link.take() {
                    Some(link) => link,
                    None => self.connect(address).await?,
                };
                send_frame(&mut open, &packet).await?;
                Ok(open)
            };
            match self.within(sending).await {
                Ok(open) => {
                    self.tls_metrics.packet_bytes_sent.add(packet.len() as f64);
                    link = Some(open);
                }
                Err(error) => {
                    tracing::debug!(%address, %error, "a packet could not be sent to a peer");
                    self.tls_metrics.packet_lost();
                    // They are old by the time that the member can be reached.
                    while packets.try_recv().is_ok() {
                        self.tls_metrics.packet_lost();
                    }
                }
            }
        }
        // From here on a packet opens a new line.
        drop(packets);
        self.forget(address);
        if let Some(mut link) = link {
            // The other side sees the end in any case.
            let _ = self.within(async { link.shutdown().await }).await;
        }
    }

    /// Forgets the line to a member, unless it is another one already.
    fn forget(&self, address: SocketAddr) {
        if let Some(lines) = &mut *self.lines.lock()
            && lines.get(&address).is_some_and(mpsc::Sender::is_closed)
        {
            lines.remove(&address);
        }
    }

    /// Ends all lines when what waits is sent, and opens no more.
    pub(super) async fn hang_up(&self) {
        drop(self.lines.lock().take());
        self.talking.close();
        // Who does not hear the goodbye finds out.
        let _ = tokio::time::timeout(GOODBYE, self.talking.wait()).await;
    }

    /// Returns whether a frame is a packet.
    pub(super) fn is_packet(&self, frame: &[u8]) -> bool {
        self.tls.is_some()
            && frame.len() <= PACKET_BYTES_MAX
            && matches!(
                wire::open(&self.options.label, frame),
                Ok((Kind::Membership | Kind::Updates, _))
            )
    }

    /// Takes the packet that a connection began with, and those after it.
    pub(super) async fn listen_to(self: Arc<Self>, mut link: Link, first: Vec<u8>) {
        self.take_packet(&first);
        loop {
            let Ok(Ok(length)) = tokio::time::timeout(KEPT_IDLE, link.read_u32()).await else {
                return;
            };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if PACKET_BYTES_MAX < length {
                return self.refuse("size");
            }
            let mut packet = vec![0; length];
            let reading = async { link.read_exact(&mut packet).await };
            match self.within(reading).await {
                Ok(_) => self.take_packet(&packet),
                Err(error) => {
                    if error.kind() == io::ErrorKind::TimedOut {
                        self.refuse("time");
                    }
                    return;
                }
            }
        }
    }

    fn take_packet(self: &Arc<Self>, packet: &[u8]) {
        let bytes = &self.tls_metrics.packet_bytes_received;
        bytes.add(packet.len() as f64);
        let updates = self.act(|gossip, now_ms| gossip.receive(packet, now_ms));
        self.merge(updates);
        self.wake.notify_one();
    }
}
