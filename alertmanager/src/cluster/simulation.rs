//! Three members in a made-up network that loses, doubles and reorders packets and falls apart: no sockets, no clock, all chance
//! from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::metrics::Registry;
use model::{MatchOp, Matcher};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::gossip::{Gossip, GossipOptions, MEMBERS_MAX, Output};
use super::member::{Known, Member};
use super::metrics::ClusterMetrics;
use super::update::{Part, Parts, Update};
use super::wire::{self, Kind, PACKET_BYTES_MAX};
use crate::config::AlertmanagerConfig;
use crate::dispatch::{DispatchOptions, Dispatcher, IntegrationKey, LogEntry};
use crate::silence::Silence;
use crate::store::Change;

/// The wall clock when the network's clock is 0.
const EPOCH_MS: i64 = 1_700_000_000_000;
/// Returns how many runs each test has; the number of a run is its seed. `HEARTH_CLUSTER_RUNS` makes them more.
fn runs() -> u64 {
    let given = std::env::var("HEARTH_CLUSTER_RUNS").ok();
    given.and_then(|given| given.parse().ok()).unwrap_or(6)
}

struct Peer {
    gossip: Gossip,
    dispatcher: Dispatcher,
}

/// What is on its way.
enum Message {
    Packet(Vec<u8>),
    /// Over TCP, and whom to answer.
    Frame(Vec<u8>, Option<SocketAddr>),
    /// The answer, and where it was asked for.
    Answer(Vec<u8>, SocketAddr),
}

struct Network {
    seed: u64,
    rng: SmallRng,
    now_ms: u64,
    peers: BTreeMap<SocketAddr, Peer>,
    on_its_way: BTreeMap<(u64, u64), (SocketAddr, SocketAddr, Message)>,
    sent: u64,
    updates_sent: u64,
    /// Of 100 packets.
    lost: u64,
    doubled: u64,
    /// Who is on the other side.
    apart: BTreeSet<SocketAddr>,
    made: u64,
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 9_094))
}

fn options(has_peers: bool) -> GossipOptions {
    GossipOptions {
        label: "test".to_owned(),
        gossip_interval: Duration::from_millis(200),
        pushpull_interval: Duration::from_secs(20),
        probe_interval: Duration::from_secs(1),
        probe_timeout: Duration::from_millis(500),
        reconnect_interval: Duration::from_secs(10),
        reconnect_timeout: Duration::from_secs(3_600),
        settle_timeout: Duration::from_secs(60),
        has_peers,
    }
}

fn gossip(number: u8, generation: u64, peers: &[u8], seed: u64, now_ms: u64) -> Gossip {
    let member = Member::new(format!("am-{number}"), address(number), generation).unwrap();
    let metrics = ClusterMetrics::new(&Registry::new(), "");
    let mut gossip = Gossip::new(member, options(!peers.is_empty()), metrics, seed, now_ms);
    gossip.set_peers(peers.iter().map(|&peer| address(peer)).collect(), now_ms);
    gossip
}

impl Network {
    fn new(seed: u64) -> Self {
        Network {
            seed,
            rng: SmallRng::seed_from_u64(seed),
            now_ms: 0,
            peers: BTreeMap::new(),
            on_its_way: BTreeMap::new(),
            sent: 0,
            updates_sent: 0,
            lost: 0,
            doubled: 0,
            apart: BTreeSet::new(),
            made: 0,
        }
    }

    fn chance(&mut self, below: u64) -> u64 {
        self.rng.next_u64() % below
    }

    fn wall_ms(&self) -> i64 {
        EPOCH_MS + i64::try_from(self.now_ms).unwrap()
    }

    /// Starts a member without any state; it ends what was there before.
    fn start(&mut self, number: u8, peers: &[u8]) {
        let text = "route: {receiver: a}\nreceivers: [{name: a}]\n";
        let config = Arc::new(AlertmanagerConfig::parse(text).unwrap());
        let seed = self.rng.next_u64();
        let generation = u64::try_from(self.wall_ms()).unwrap();
        let peer = Peer {
            gossip: gossip(number, generation, peers, seed, self.now_ms),
            dispatcher: Dispatcher::with_options(config, DispatchOptions::default(), 0),
        };
        self.peers.insert(address(number), peer);
    }

    fn is_cut(&self, from: SocketAddr, to: SocketAddr) -> bool {
        self.apart.contains(&from) != self.apart.contains(&to)
    }

    fn put_on_its_way(&mut self, from: SocketAddr, to: SocketAddr, message: Message) {
        let delay_ms = 1 + self.chance(80);
        self.sent += 1;
        let key = (self.now_ms + delay_ms, self.sent);
        self.on_its_way.insert(key, (from, to, message));
    }

    /// Does what a member wants.
    fn drain(&mut self, from: SocketAddr) {
        let output = self
            .peers
            .get_mut(&from)
            .map(|peer| peer.gossip.take_output());
        for output in output.into_iter().flatten() {
            match output {
                Output::Packet(to, packet) => {
                    assert!(packet.len() <= PACKET_BYTES_MAX);
                    let kind = wire::open("test", &packet).map(|(kind, _)| kind);
                    self.updates_sent += u64::from(kind == Ok(Kind::Updates));
                    if self.chance(100) < self.doubled {
                        self.put_on_its_way(from, to, Message::Packet(packet.clone()));
                    }
                    if self.lost <= self.chance(100) {
                        self.put_on_its_way(from, to, Message::Packet(packet));
                    }
                }
                Output::Push(to, _, frame) => {
                    self.updates_sent += 1;
                    self.put_on_its_way(from, to, Message::Frame(frame, None));
                }
                Output::Exchange(to) => {
                    let frame = self.state(from);
                    self.put_on_its_way(from, to, Message::Frame(frame, Some(from)));
                }
            }
        }
    }

    fn state(&self, of: SocketAddr) -> Vec<u8> {
        let peer = &self.peers[&of];
        let mut contents = peer.gossip.membership_state();
        for update in peer.dispatcher.replicated(self.wall_ms()) {
            contents.extend(update.encode());
        }
        wire::seal("test", Kind::State, &contents)
    }

    fn merge(&mut self, at: SocketAddr, updates: Vec<Update>) {
        let (now_ms, wall_ms) = (self.now_ms, self.wall_ms());
        let Some(peer) = self.peers.get_mut(&at) else {
            return;
        };
        for update in updates {
            peer.dispatcher.merge(update, wall_ms);
        }
        let news = peer.dispatcher.take_urgent_changes().into_iter();
        let news = news.filter_map(|change| match change {
            Change::Silence(_, Some(silence)) => Some(Update::Silence(silence)),
            Change::Entry(key, Some(entry)) => Some(Update::Entry(key, entry)),
            _ => None,
        });
        let news: Vec<Update> = news.collect();
        peer.gossip.publish(&news, now_ms);
    }

    /// Takes in a frame of TCP.
    fn take(&mut self, at: SocketAddr, from: Option<SocketAddr>, frame: &[u8]) {
        let (_, contents) = wire::open("test", frame).unwrap();
        let (mut members, mut updates) = (Vec::new(), Vec::new());
        for part in Parts::of(contents) {
            match part {
                Part::Member(member) => members.push(member),
                Part::Update(update) => updates.push(update),
                Part::Unreadable => panic!("seed {}", self.seed),
            }
        }
        self.merge(at, updates);
        let now_ms = self.now_ms;
        if let Some(peer) = self.peers.get_mut(&at)
            && !members.is_empty()
        {
            peer.gossip.exchanged(from, members, now_ms);
        }
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, message: Message) {
        if self.is_cut(from, to) || !self.peers.contains_key(&to) {
            return;
        }
        match message {
            Message::Packet(packet) => {
                let now_ms = self.now_ms;
                let peer = self.peers.get_mut(&to);
                let updates = peer.map(|peer| peer.gossip.receive(&packet, now_ms));
                self.merge(to, updates.unwrap_or_default());
            }
            Message::Frame(frame, asked) => {
                self.take(to, None, &frame);
                if let Some(asked) = asked {
                    let answer = Message::Answer(self.state(to), to);
                    self.put_on_its_way(to, asked, answer);
                }
            }
            Message::Answer(frame, address) => self.take(to, Some(address), &frame),
        }
        self.drain(to);
    }

    /// Lets time pass; now and then somebody changes something, if `is_busy`.
    fn run(&mut self, seconds: u64, is_busy: bool) {
        let end_ms = self.now_ms + seconds * 1_000;
        while self.now_ms < end_ms {
            let all: Vec<SocketAddr> = self.peers.keys().copied().collect();
            for &address in &all {
                let now_ms = self.now_ms;
                if let Some(peer) = self.peers.get_mut(&address)
                    && peer.gossip.next_due_ms() <= now_ms
                {
                    peer.gossip.tick(now_ms);
                }
                self.drain(address);
            }
            while let Some(entry) = self.on_its_way.first_entry()
                && entry.key().0 <= self.now_ms
            {
                let (from, to, message) = entry.remove();
                self.deliver(from, to, message);
            }
            if is_busy && self.chance(1_000) < 25 {
                let which = usize::try_from(self.chance(all.len() as u64)).unwrap();
                self.change_something(all[which]);
            }
            self.now_ms += 5;
        }
    }

    fn change_something(&mut self, at: SocketAddr) {
        let now_ms = self.wall_ms();
        self.made += 1;
        let made = self.made;
        let what = self.chance(3);
        let size = if self.chance(10) == 0 { 2_000 } else { 10 };
        let which = self.chance(1_000);
        let silences = self.peers.get_mut(&at).unwrap().dispatcher.silences_mut();
        let mut updates = Vec::new();
        match what {
            0 => {
                let matcher = Matcher::new("a".to_owned(), MatchOp::Equal, "b".to_owned());
                let silence = Silence {
                    matchers: vec![matcher.unwrap()],
                    starts_at_ms: now_ms,
                    ends_at_ms: now_ms + 7_200_000,
                    comment: format!("{made}").repeat(size),
                    ..Silence::default()
                };
                silences.set(silence, now_ms).unwrap();
            }
            1 => {
                let ids: Vec<String> = silences.iter().map(|silence| silence.id.clone()).collect();
                if let Some(id) = ids.get(usize::try_from(which).unwrap() % ids.len().max(1)) {
                    silences.expire(id, now_ms).unwrap();
                }
            }
            _ => {
                let key = IntegrationKey {
                    group_key: format!("group {}", which % 20),
                    receiver: "a".to_owned(),
                    ..IntegrationKey::default()
                };
                let entry = LogEntry {
                    firing: BTreeSet::from([made]),
                    at_ms: now_ms,
                    expires_at_ms: now_ms + 7_200_000,
                    ..LogEntry::default()
                };
                updates.push(Update::Entry(key, entry));
            }
        }
        self.merge(at, updates);
        self.drain(at);
    }

    /// Checks that these members know each other, in the same order, and nobody else.
    #[track_caller]
    fn check_members(&self, numbers: &[u8]) {
        for (position, &number) in numbers.iter().enumerate() {
            let gossip = &self.peers[&address(number)].gossip;
            let members = gossip.members();
            let names: Vec<&str> = members.iter().map(Member::name).collect();
            let expected: Vec<String> = numbers
                .iter()
                .map(|number| format!("am-{number}"))
                .collect();
            assert_eq!(
                names, expected,
                "seed {}, as am-{number} sees it",
                self.seed
            );
            assert_eq!(gossip.position(), position, "seed {}", self.seed);
            assert!(gossip.is_settled(), "seed {}", self.seed);
        }
    }

    #[track_caller]
    fn check_states_agree(&self) {
        let wall_ms = self.wall_ms();
        let state = |peer: &Peer| {
            let updates = peer.dispatcher.replicated(wall_ms).into_iter();
            let mut updates: Vec<Vec<u8>> = updates.map(|update| update.encode()).collect();
            updates.sort_unstable();
            updates
        };
        let mut states = self.peers.values().map(state);
        let first = states.next().unwrap();
        assert!(!first.is_empty(), "seed {}", self.seed);
        for other in states {
            assert!(first == other, "seed {}: the states differ", self.seed);
        }
    }
}

#[test]
fn states_and_positions_converge_through_loss_and_partition() {
    for seed in 0..runs() {
        let mut network = Network::new(seed);
        (network.lost, network.doubled) = (15, 20);
        network.start(1, &[]);
        network.start(2, &[1]);
        network.start(3, &[1, 2]);
        network.run(15, true);
        network.check_members(&[1, 2, 3]);
        network.run(30, true);

        network.apart.insert(address(3));
        network.run(40, true);
        network.check_members(&[1, 2]);
        network.check_members(&[3]);

        network.apart.clear();
        network.run(30, true);
        network.lost = 0;
        network.run(25, false);
        network.check_members(&[1, 2, 3]);
        network.check_states_agree();

        // Nothing is passed on for ever.
        network.updates_sent = 0;
        network.run(25, false);
        assert_eq!(network.updates_sent, 0, "seed {seed}");
    }
}

#[test]
fn who_comes_back_gets_the_state_and_its_place() {
    for seed in 0..runs() {
        let mut network = Network::new(100 + seed);
        network.lost = 10;
        for number in 1..=3 {
            network.start(number, &[1, 2, 3]);
        }
        network.run(30, true);
        network.peers.remove(&address(1));
        network.run(20, true);
        network.check_members(&[2, 3]);
        assert_eq!(network.peers[&address(2)].gossip.position(), 0);

        network.start(1, &[1, 2, 3]);
        // It knows all before it tells anything.
        while !network.peers[&address(1)].gossip.is_settled() {
            network.run(1, false);
        }
        network.check_states_agree();
        network.run(15, false);
        network.check_members(&[1, 2, 3]);
    }
}

/// Packets that are lost are no reason to take somebody for lost.
#[test]
fn nobody_is_thrown_out_for_lost_packets() {
    for seed in 0..runs() {
        let mut network = Network::new(200 + seed);
        network.start(1, &[2]);
        network.start(2, &[1]);
        network.run(15, false);
        network.lost = 10;
        network.run(300, false);
        network.check_members(&[1, 2]);
        for peer in network.peers.values() {
            let left = &peer.gossip.metrics().left;
            assert!(left.value() < 1.0, "seed {seed}: {} times", left.value());
        }
    }
}

#[test]
fn who_goes_is_gone_at_once() {
    let mut network = Network::new(7);
    for number in 1..=3 {
        network.start(number, &[1, 2, 3]);
    }
    network.run(15, false);
    let now_ms = network.now_ms;
    let first = network.peers.get_mut(&address(1)).unwrap();
    first.gossip.leave(now_ms);
    network.drain(address(1));
    network.peers.remove(&address(1));
    network.run(1, false);
    network.check_members(&[2, 3]);
}

#[test]
fn a_clock_that_was_set_back_does_not_lock_out() {
    let mut network = Network::new(8);
    network.start(1, &[2]);
    network.start(2, &[1]);
    network.run(15, false);
    let now_ms = network.now_ms;
    let peer = network.peers.get_mut(&address(1)).unwrap();
    peer.gossip = gossip(1, 5, &[2], 1, now_ms);
    network.run(25, false);
    network.check_members(&[1, 2]);
}

#[test]
fn clusters_with_other_labels_do_not_mix() {
    let mut me = gossip(1, 1, &[], 1, 0);
    let before = me.members();
    let packet = wire::seal("other", Kind::Updates, b"");
    assert!(me.receive(&packet, 1).is_empty());
    let refused = &me.metrics().refused;
    assert!((refused.with(&["label"]).value() - 1.0).abs() < f64::EPSILON);
    assert_eq!(me.members(), before);
}

#[test]
fn two_members_of_one_name_are_told_apart_and_noticed() {
    let mut me = gossip(1, 1, &[], 1, 0);
    let twin = Member::new("am-1".to_owned(), address(2), 1).unwrap();
    me.exchanged(None, vec![Known::alive(twin)], 1);
    let other = Member::new("am-3".to_owned(), address(3), 1).unwrap();
    me.exchanged(None, vec![Known::alive(other)], 1);
    assert_eq!((me.members().len(), me.position()), (3, 0));
    assert!((me.metrics().name_conflicts.value() - 1.0).abs() < f64::EPSILON);
}

#[test]
fn made_up_members_are_bounded() {
    let mut me = gossip(1, 1, &[], 1, 0);
    let other = |number: u16| {
        let [high, low] = number.to_be_bytes();
        let address = SocketAddr::from(([10, 1, high, low], 1));
        Known::alive(Member::new(String::new(), address, 1).unwrap())
    };
    for number in 0..1_000 {
        me.exchanged(None, vec![other(number)], 1);
    }
    assert_eq!(me.members().len(), MEMBERS_MAX + 1);
    assert!(me.metrics().refused.with(&["members"]).value() > 700.0);
}

/// Real packets and states with bytes changed, cut and doubled: never a panic, and little is believed.
#[test]
fn hostile_bytes_do_no_harm() {
    let mut network = Network::new(9);
    for number in 1..=3 {
        network.start(number, &[1, 2, 3]);
    }
    network.run(20, true);
    let mut seeds = Vec::new();
    for &at in &[address(1), address(2)] {
        seeds.push(network.state(at));
        let now_ms = network.now_ms;
        let peer = network.peers.get_mut(&at).unwrap();
        let some = peer.dispatcher.replicated(EPOCH_MS);
        for step in 0..200 {
            let update = some[usize::try_from(step).unwrap() % some.len()].clone();
            peer.gossip.publish(&[update], now_ms);
            peer.gossip.tick(now_ms + step * 100);
            seeds.extend(
                peer.gossip
                    .take_output()
                    .into_iter()
                    .filter_map(|output| match output {
                        Output::Packet(_, packet) => Some(packet),
                        _ => None,
                    }),
            );
        }
    }
    assert!(20 < seeds.len(), "{} messages", seeds.len());
    let generation = u64::try_from(EPOCH_MS).unwrap();
    let mut victim = gossip(3, generation, &[], 3, 0);
    let (mut taken, mut most, mut now_ms) = (0, 0, 1);
    for round in 0..40_000_usize {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=network.chance(4) {
            let at = usize::try_from(network.chance(bytes.len().max(1) as u64)).unwrap();
            match network.chance(4) {
                0 => bytes.truncate(at.max(8)),
                1 => {
                    let tail = bytes[at.min(bytes.len())..].to_vec();
                    bytes.extend(tail);
                }
                _ => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = network.rng.next_u64().to_le_bytes()[0];
                    }
                }
            }
        }
        bytes.truncate(64 << 10);
        now_ms += network.chance(50);
        taken += victim.receive(&bytes, now_ms).len();
        if let Ok((_, contents)) = wire::open("test", &bytes) {
            let members: Vec<Known> = Parts::of(contents)
                .filter_map(|part| match part {
                    Part::Member(member) => Some(member),
                    _ => None,
                })
                .collect();
            victim.exchanged(None, members, now_ms);
        }
        victim.tick(now_ms);
        drop(victim.take_output());
        most = most.max(victim.members().len());
    }
    // Some of it was still whole.
    assert!((2..=MEMBERS_MAX + 1).contains(&most), "{most} members");
    assert!(100 < taken, "{taken} updates");
}
