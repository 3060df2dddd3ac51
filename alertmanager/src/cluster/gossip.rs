//! What a member says to whom and when: bytes and the time in, bytes and wishes out. No sockets, no clock.
//!
//! ```text
//! packet, state, timer ──► Gossip ──► Output: packet, update over TCP, exchange of states
//!                            │
//!                            └─ membership: foca (SWIM); updates: a queue of our own
//! ```
//!
//! Times are milliseconds of a clock that only goes forward.

mod effects;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use foca::{Codec as _, Foca, NoCustomBroadcast};
use rand::rngs::SmallRng;
use rand::seq::{IteratorRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};

use self::effects::{Change, Effects, configuration};
use super::member::{Codec, Known, Member};
use super::metrics::ClusterMetrics;
use super::settle::Settling;
use super::update::{self, Part, Parts, Update, UpdateKey, UpdateQueue};
use super::wire::{self, Kind, PACKET_BYTES_MAX};

/// Members that are known, lost ones among them; packets that tell of more are not taken.
pub(crate) const MEMBERS_MAX: usize = 256;
/// Updates that wait to be sent.
const QUEUE_MAX: usize = 4_096;
/// Bytes of an update that goes into a packet; larger ones go over TCP.
const PART_BYTES_MAX: usize = 700;
/// Members that a packet goes to.
const FANOUT: usize = 3;
/// How often an update is sent.
const TRANSMISSIONS: u8 = 4;

/// How a member behaves. All durations are positive.
#[derive(Clone, Debug)]
pub(crate) struct GossipOptions {
    pub(crate) label: String,
    pub(crate) gossip_interval: Duration,
    pub(crate) pushpull_interval: Duration,
    pub(crate) probe_interval: Duration,
    /// Shorter than `probe_interval`.
    pub(crate) probe_timeout: Duration,
    pub(crate) reconnect_interval: Duration,
    pub(crate) reconnect_timeout: Duration,
    pub(crate) settle_timeout: Duration,
    /// Whether there is somebody to wait for at the start.
    pub(crate) has_peers: bool,
}

/// What is to be done for a member.
#[derive(Debug)]
pub(crate) enum Output {
    /// Send a packet.
    Packet(SocketAddr, Vec<u8>),
    /// Send an update over TCP; what it is about, for metrics.
    Push(SocketAddr, &'static str, Vec<u8>),
    /// Exchange all that is known.
    Exchange(SocketAddr),
}

/// A member of the cluster.
pub(crate) struct Gossip {
    foca: Foca<Member, Codec, SmallRng, NoCustomBroadcast>,
    options: GossipOptions,
    rng: SmallRng,
    effects: Effects,
    queue: UpdateQueue,
    settling: Settling,
    /// The addresses of configured peers.
    peers: BTreeSet<SocketAddr>,
    /// Who was found at a configured address, when it is not the one that is advertised.
    aliases: BTreeMap<SocketAddr, SocketAddr>,
    gossip_at_ms: Option<u64>,
    exchange_at_ms: u64,
    reconnect_at_ms: u64,
    /// It has said goodbye, and takes part no longer.
    has_left: bool,
    metrics: ClusterMetrics,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Gossip {
    /// Returns a member that knows nobody yet. Chance follows from `seed`.
    pub(crate) fn new(
        me: Member,
        options: GossipOptions,
        metrics: ClusterMetrics,
        seed: u64,
        now_ms: u64,
    ) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let config = configuration(&options);
        let foca = Foca::new(me, config, SmallRng::seed_from_u64(rng.next_u64()), Codec);
        let every_ms = millis(options.gossip_interval).saturating_mul(10);
        let timeout_ms = millis(options.settle_timeout);
        let settling = match options.has_peers {
            true => Settling::new(every_ms, timeout_ms, now_ms),
            false => Settling::over(),
        };
        Gossip {
            foca,
            rng,
            effects: Effects {
                label: options.label.clone(),
                now_ms,
                ..Effects::default()
            },
            queue: UpdateQueue::new(QUEUE_MAX),
            settling,
            peers: BTreeSet::new(),
            aliases: BTreeMap::new(),
            gossip_at_ms: None,
            exchange_at_ms: now_ms.saturating_add(millis(options.pushpull_interval)),
            reconnect_at_ms: now_ms,
            has_left: false,
            options,
            metrics,
        }
    }

    /// Returns this member.
    pub(crate) fn me(&self) -> &Member {
        self.foca.identity()
    }

    /// Returns the members that are there, this one among them, in the order that decides who notifies first.
    pub(crate) fn members(&self) -> Vec<Member> {
        let others = self.foca.iter_members().map(|known| known.id().clone());
        let mut members: Vec<Member> = others.chain([self.me().clone()]).collect();
        members.sort_unstable();
        members
    }

    /// Returns how many members come before this one.
    pub(crate) fn position(&self) -> usize {
        let others = self.foca.iter_members();
        others.filter(|other| other.id() < self.me()).count()
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.settling.is_over()
    }

    pub(crate) fn metrics(&self) -> &ClusterMetrics {
        &self.metrics
    }

    /// Returns what is to be done now.
    pub(crate) fn take_output(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.effects.out)
    }

    /// Returns when [`tick`](Gossip::tick) has something to do next.
    pub(crate) fn next_due_ms(&self) -> u64 {
        let timer = self.effects.timers.first_key_value();
        [
            timer.map(|(&(due_ms, _), _)| due_ms),
            self.gossip_at_ms,
            Some(self.exchange_at_ms),
            Some(self.reconnect_at_ms),
            self.settling.next_ms(),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(u64::MAX)
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now_ms: u64) {
        if self.has_left {
            return;
        }
        self.effects.now_ms = now_ms;
        while let Some(entry) = self.effects.timers.first_entry()
            && entry.key().0 <= now_ms
        {
            let timer = entry.remove();
            self.membership(|foca, effects| foca.handle_timer(timer, effects));
        }
        if self.gossip_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            self.gossip();
        }
        if self.exchange_at_ms <= now_ms {
            self.exchange_at_ms = now_ms.saturating_add(millis(self.options.pushpull_interval));
            let someone = self.foca.iter_members().choose(&mut self.rng);
            let someone = someone.map(|known| Output::Exchange(known.id().address()));
            self.effects.out.extend(someone);
        }
        if self.reconnect_at_ms <= now_ms {
            self.reconnect_at_ms = now_ms.saturating_add(millis(self.options.reconnect_interval));
            let absent = self.absent().into_iter().map(Output::Exchange);
            self.effects.out.extend(absent);
        }
        self.settling.poll(self.foca.num_members() + 1, now_ms);
        self.note_state();
    }

    /// Lets foca do something, and takes note of what became of the membership.
    fn membership(
        &mut self,
        act: impl FnOnce(
            &mut Foca<Member, Codec, SmallRng, NoCustomBroadcast>,
            &mut Effects,
        ) -> Result<(), foca::Error>,
    ) {
        if let Err(error) = act(&mut self.foca, &mut self.effects) {
            self.metrics.refused.with(&["membership"]).inc();
            tracing::debug!(%error, "a membership message was not taken");
        }
        for change in std::mem::take(&mut self.effects.changes) {
            match change {
                Change::Joined(member) => {
                    self.metrics.joined.inc();
                    tracing::info!(peer = member.name(), address = %member.address(), "a peer has joined the cluster");
                    let all = self.members();
                    if 1 < all.iter().filter(|one| one.name() == member.name()).count() {
                        self.metrics.name_conflicts.inc();
                        tracing::warn!(
                            peer = member.name(), address = %member.address(),
                            "two members have this name; give each its own --cluster.peer-name"
                        );
                    }
                }
                Change::Left(member) => {
                    self.metrics.left.inc();
                    tracing::warn!(peer = member.name(), address = %member.address(), "a peer has left the cluster or cannot be reached");
                    // If it is there after all, it learns that it was taken for lost.
                    let exchange = Output::Exchange(member.address());
                    self.effects.out.push(exchange);
                }
                Change::Renewed => self.metrics.updated.inc(),
            }
        }
    }

    fn note_state(&self) {
        let metrics = &self.metrics;
        let count = |gauge: &metrics::Gauge, count: usize| gauge.set(count as f64);
        let members = self.foca.iter_members();
        let suspects = members.filter(|known| known.state() == foca::State::Suspect);
        count(&metrics.health_score, suspects.count());
        count(&metrics.members, self.foca.num_members() + 1);
        count(&metrics.failed_peers, self.absent().len());
        count(&metrics.position, self.position());
        count(&metrics.queued, self.queue.len());
    }

    /// Goes over to other addresses of configured peers, and tries new ones at once.
    pub(crate) fn set_peers(&mut self, peers: BTreeSet<SocketAddr>, now_ms: u64) {
        self.effects.now_ms = now_ms;
        let before = std::mem::replace(&mut self.peers, peers);
        self.aliases
            .retain(|address, _| self.peers.contains(address));
        for address in self.absent() {
            if self.peers.contains(&address) && !before.contains(&address) {
                self.effects.out.push(Output::Exchange(address));
            }
        }
        self.note_state();
    }

    /// Returns whether the peer at this address is configured.
    pub(crate) fn is_configured(&self, address: SocketAddr) -> bool {
        self.peers.contains(&address)
    }

    /// Returns whether the peer at this address is not there.
    pub(crate) fn is_absent(&self, address: SocketAddr) -> bool {
        self.absent().contains(&address)
    }

    /// Returns the addresses of peers that are configured or were members, and are not there.
    fn absent(&self) -> BTreeSet<SocketAddr> {
        let mut present: BTreeSet<SocketAddr> =
            self.members().iter().map(Member::address).collect();
        let aliases = self.aliases.iter();
        let aliases: Vec<SocketAddr> = aliases
            .filter(|(_, advertised)| present.contains(advertised))
            .map(|(&address, _)| address)
            .collect();
        present.extend(aliases);
        let known = self.foca.iter_membership_state();
        let known = known.map(|known| known.id().address());
        let wanted = known.chain(self.peers.iter().copied());
        wanted
            .filter(|address| !present.contains(address))
            .collect()
    }

    /// Tells the others of updates that are news.
    pub(crate) fn publish(&mut self, updates: &[Update], now_ms: u64) {
        self.effects.now_ms = now_ms;
        if self.foca.num_members() == 0 {
            // Whoever joins gets all there is.
            return;
        }
        for update in updates {
            let part = update.encode();
            let key = update.key();
            if PART_BYTES_MAX < part.len() {
                let kind = match key {
                    UpdateKey::Silence(_) => "sil",
                    UpdateKey::Entry(_) => "nfl",
                };
                let message = wire::seal(&self.options.label, Kind::Updates, &part);
                for known in self.foca.iter_members() {
                    let push = Output::Push(known.id().address(), kind, message.clone());
                    self.effects.out.push(push);
                }
            } else if self.queue.push(key, part, TRANSMISSIONS) {
                self.metrics.pruned.inc();
            }
        }
        if 0 < self.queue.len() {
            self.gossip_at_ms = Some(now_ms);
        }
    }

    /// Sends a packet of updates to a few members.
    fn gossip(&mut self) {
        let members = self.foca.iter_members().map(|known| known.id().address());
        let mut chosen: Vec<SocketAddr> = members.collect();
        chosen.shuffle(&mut self.rng);
        chosen.truncate(FANOUT);
        let room = PACKET_BYTES_MAX - wire::overhead(&self.options.label);
        if chosen.is_empty() {
            self.queue.clear();
        } else {
            let packet = wire::seal(&self.options.label, Kind::Updates, &self.queue.take(room));
            for address in chosen {
                self.metrics.note_sent("update", packet.len());
                let packet = Output::Packet(address, packet.clone());
                self.effects.out.push(packet);
            }
        }
        let interval_ms = millis(self.options.gossip_interval);
        let next_ms = self.effects.now_ms.saturating_add(interval_ms);
        self.gossip_at_ms = (0 < self.queue.len()).then_some(next_ms);
    }

    /// Takes a packet; returns the updates in it.
    pub(crate) fn receive(&mut self, packet: &[u8], now_ms: u64) -> Vec<Update> {
        self.effects.now_ms = now_ms;
        if self.has_left {
            return Vec::new();
        }
        if PACKET_BYTES_MAX < packet.len() {
            self.metrics.refused.with(&["size"]).inc();
            return Vec::new();
        }
        let (kind, contents) = match wire::open(&self.options.label, packet) {
            Ok(opened) => opened,
            Err(fault) => {
                self.metrics.refused.with(&[fault.as_str()]).inc();
                return Vec::new();
            }
        };
        match kind {
            Kind::Membership => {
                if self.has_room_for(contents) {
                    self.membership(|foca, effects| foca.handle_data(contents, effects));
                    self.note_state();
                } else {
                    self.metrics.refused.with(&["members"]).inc();
                }
                Vec::new()
            }
            Kind::Updates => {
                self.metrics.note_received("update", packet.len());
                Parts::of(contents)
                    .filter_map(|part| match part {
                        Part::Update(update) => Some(update),
                        Part::Member(_) => None,
                        Part::Unreadable => {
                            self.metrics.updates_refused.with(&["unreadable"]).inc();
                            None
                        }
                    })
                    .collect()
            }
            // It is for TCP.
            Kind::State => {
                self.metrics.refused.with(&["garbage"]).inc();
                Vec::new()
            }
        }
    }

    /// Returns whether the members that a packet tells of are not too many. What cannot be read is left to foca.
    fn has_room_for(&self, mut contents: &[u8]) -> bool {
        let Ok(header) = Codec.decode_header(&mut contents) else {
            return true;
        };
        let mut told = vec![Known::alive(header.src)];
        if let Some((count, mut members)) = contents.split_first_chunk() {
            for _ in 0..u16::from_be_bytes(*count) {
                match Codec.decode_member(&mut members) {
                    Ok(member) => told.push(member),
                    Err(_) => break,
                }
            }
        }
        self.is_room_for(&told)
    }

    fn is_room_for(&self, told: &[Known]) -> bool {
        let known = self.foca.iter_membership_state();
        let mut addresses: BTreeSet<SocketAddr> = known.map(|known| known.id().address()).collect();
        addresses.extend(told.iter().map(|told| told.id().address()));
        addresses.len() <= MEMBERS_MAX
    }

    /// Returns what is known of members, for an exchange: this one first.
    pub(crate) fn membership_state(&self) -> Vec<u8> {
        let me = Known::alive(self.me().clone());
        let all = [&me].into_iter().chain(self.foca.iter_membership_state());
        all.flat_map(update::encode_member).collect()
    }

    /// Takes in what another one knows of members, itself first. `address` is where it was reached, if we began.
    ///
    /// Each learns what the other believes of it: who was taken for lost begins another life, and is a member again.
    pub(crate) fn exchanged(&mut self, address: Option<SocketAddr>, told: Vec<Known>, now_ms: u64) {
        self.effects.now_ms = now_ms;
        if self.has_left {
            return;
        }
        if !self.is_room_for(&told) {
            self.metrics.refused.with(&["members"]).inc();
            return;
        }
        let mine = self.me().address();
        if let (Some(address), Some(peer)) = (address, told.first())
            && address != peer.id().address()
            && self.peers.contains(&address)
        {
            self.aliases.insert(address, peer.id().address());
        }
        let is_me = |known: &&Known| known.id().address() == mine;
        let latest = told
            .iter()
            .filter(is_me)
            .map(|me| me.id().generation())
            .max();
        if let Some(latest) = latest
            && self.me().generation() < latest
            && let Some(renewed) = self.me().after(latest)
        {
            // The clock was set back between two lives.
            self.membership(|foca, effects| foca.change_identity(renewed, effects));
        }
        self.membership(|foca, effects| foca.apply_many(told.into_iter(), true, effects));
        self.note_state();
    }

    /// Tells the others that this member goes.
    pub(crate) fn leave(&mut self, now_ms: u64) {
        self.effects.now_ms = now_ms;
        self.membership(|foca, effects| foca.leave_cluster(effects));
        self.has_left = true;
    }
}
