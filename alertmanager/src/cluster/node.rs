//! Sockets and tasks of a member: packets, connections, timers and names.
//!
//! ```text
//! drive: UDP and timers ─┐                         ┌─► packets, at once
//! accept: connections ───┼─► Mutex<Gossip> ─ Output ┼─► connections to others, a task each
//! resolve: names ────────┘                         └─► (updates) Replica::merge
//! ```
//!
//! With TLS there is no UDP: packets go over connections that are kept (`line`).
//!
//! Lock order: the replica's locks, then the gossip's, which is held for microseconds; no updates are merged under it.

mod exchange;
mod line;
mod link;
mod names;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics::Registry;
use net::mutual_tls::MutualTls;
use parking_lot::Mutex;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::address::{self, Advertise};
use super::gossip::{Gossip, GossipOptions, MEMBERS_MAX, Output};
use super::member::{Member, NAME_BYTES_MAX};
use super::metrics::{ClusterMetrics, TlsMetrics};
use super::tls;
use super::update::Update;
use super::wire::{LABEL_BYTES_MAX, PACKET_BYTES_MAX};
use super::{ClusterError, ClusterOptions, ClusterStatus, PEERS_MAX};

/// Connections of others at once; further ones are closed.
const INCOMING_MAX: usize = 16;
/// Connections over which packets come, with TLS: one for each member that there may be; further ones are closed.
const KEPT_MAX: usize = MEMBERS_MAX;
/// Connections to others at once, besides those for packets; a further exchange is tried later, a further update is dropped.
const OUTGOING_MAX: usize = 16;
/// The longest sleep: after it the timers are looked at again.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// How often two sockets of the same port are tried for, if the system chooses it.
const PORTS_TRIED: usize = 16;

/// What is the same for all members: silences and the notification log.
pub(crate) trait Replica: Send + Sync {
    /// Returns all there is, what matters most first.
    fn state(&self) -> Vec<Update>;

    /// Takes in what another member has, and publishes what was news; returns how many were invalid, and how many too many.
    fn merge(&self, updates: Vec<Update>) -> (usize, usize);
}

/// A member of a cluster. Its tasks run until [`leave`](Cluster::leave).
pub(crate) struct Cluster(Arc<Node>);

struct Node {
    gossip: Mutex<Gossip>,
    options: ClusterOptions,
    /// Whether only addresses of IPv4 can be reached.
    is_ipv4: bool,
    /// For packets, unless there is TLS.
    udp: Option<UdpSocket>,
    tls: Option<MutualTls>,
    tls_metrics: TlsMetrics,
    /// The packets on their way to each member, with TLS; none any more when this member leaves.
    lines: Mutex<Option<HashMap<SocketAddr, mpsc::Sender<Vec<u8>>>>>,
    /// The tasks of the lines.
    talking: TaskTracker,
    started: Instant,
    /// A timer may have become due earlier.
    wake: Notify,
    settled: watch::Sender<bool>,
    stop: CancellationToken,
    tasks: TaskTracker,
    runtime: tokio::runtime::Handle,
    /// Whom states are exchanged with at this moment.
    busy: Mutex<BTreeSet<SocketAddr>>,
    outgoing: Arc<Semaphore>,
    /// Its owner owns this too.
    replica: Weak<dyn Replica>,
}

/// A member that listens already and does nothing yet.
pub(crate) struct Bound {
    gossip: Gossip,
    options: ClusterOptions,
    udp: Option<UdpSocket>,
    tcp: TcpListener,
    tls: Option<MutualTls>,
    tls_metrics: TlsMetrics,
    is_ipv4: bool,
    started: Instant,
}

impl Bound {
    /// Opens the sockets. Must be called within a Tokio runtime; names in the flags are looked up, which blocks.
    ///
    /// # Errors
    ///
    /// When a flag makes no sense, or the address is not to be had.
    pub(crate) fn new(options: ClusterOptions, registry: &Registry) -> Result<Self, ClusterError> {
        check(&options)?;
        let tls = tls::open(&options.tls_config)?;
        let wanted = address::listen(&options.listen)?;
        let (tcp, udp) = bind(wanted, tls.is_none()).map_err(|source| ClusterError::Listen {
            address: options.listen.clone(),
            source,
        })?;
        let bound = tcp.local_addr().map_err(|source| ClusterError::Listen {
            address: options.listen.clone(),
            source,
        })?;
        let advertise = Advertise {
            given: &options.advertise,
            bound,
            is_public_allowed: options.is_public_allowed,
            has_peers: !options.peers.is_empty(),
        };
        let advertised = advertise.find(&address::of_this_machine())?;
        let chance = Uuid::new_v4();
        let alive = SystemTime::now().duration_since(UNIX_EPOCH);
        let generation = alive.map_or(0, millis);
        let name = match options.name.as_str() {
            "" => ulid(generation, chance.as_u128()),
            name => name.to_owned(),
        };
        let me = Member::new(name.clone(), advertised, generation);
        let me = me.map_err(|error| ClusterError::Flag {
            flag: "cluster.advertise-address",
            given: advertised.to_string(),
            reason: error.to_string(),
        })?;
        tracing::info!(%bound, %advertised, name, label = options.label, tls = tls.is_some(), "listening for the cluster");
        let metrics = ClusterMetrics::new(registry, &name);
        let gossip_options = GossipOptions {
            label: options.label.clone(),
            gossip_interval: options.gossip_interval,
            pushpull_interval: options.pushpull_interval,
            probe_interval: options.probe_interval,
            probe_timeout: options.probe_timeout,
            reconnect_interval: options.reconnect_interval,
            reconnect_timeout: options.reconnect_timeout,
            settle_timeout: options.settle_timeout,
            has_peers: !options.peers.is_empty(),
        };
        let seed = chance.as_u64_pair().0;
        Ok(Bound {
            gossip: Gossip::new(me, gossip_options, metrics, seed, 0),
            options,
            udp,
            tcp,
            tls_metrics: TlsMetrics::new(registry, tls.is_some()),
            tls,
            is_ipv4: bound.is_ipv4(),
            started: Instant::now(),
        })
    }

    /// Begins to take part.
    pub(crate) fn start(self, replica: Weak<dyn Replica>) -> Cluster {
        let node = Arc::new(Node {
            settled: watch::Sender::new(self.gossip.is_settled()),
            gossip: Mutex::new(self.gossip),
            options: self.options,
            is_ipv4: self.is_ipv4,
            udp: self.udp,
            tls: self.tls,
            tls_metrics: self.tls_metrics,
            lines: Mutex::new(Some(HashMap::new())),
            talking: TaskTracker::new(),
            started: self.started,
            wake: Notify::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            runtime: tokio::runtime::Handle::current(),
            busy: Mutex::default(),
            outgoing: Arc::new(Semaphore::new(OUTGOING_MAX)),
            replica,
        });
        node.spawn(Arc::clone(&node).drive());
        node.spawn(Arc::clone(&node).accept(self.tcp));
        if !node.options.peers.is_empty() {
            node.spawn(Arc::clone(&node).resolve());
        }
        Cluster(node)
    }
}

impl Cluster {
    /// Returns how long this member waits until it may notify: for each one before it in the list.
    pub(crate) fn turn(&self) -> Duration {
        let position = u32::try_from(self.0.gossip.lock().position()).unwrap_or(u32::MAX);
        self.0.options.peer_timeout.saturating_mul(position)
    }

    /// Waits until this member knows its cluster.
    pub(crate) async fn settled(&self) {
        let mut settled = self.0.settled.subscribe();
        // The sender lives as long as this.
        let _ = settled.wait_for(|settled| *settled).await;
    }

    /// Tells the others of updates that are news.
    pub(crate) fn publish(&self, updates: &[Update]) {
        if !updates.is_empty() {
            self.0.act(|gossip, now_ms| gossip.publish(updates, now_ms));
            self.0.wake.notify_one();
        }
    }

    /// Returns what this member says of its cluster.
    pub(crate) fn status(&self) -> ClusterStatus {
        let gossip = self.0.gossip.lock();
        let members = gossip.members().into_iter();
        ClusterStatus {
            name: gossip.me().name().to_owned(),
            is_settled: gossip.is_settled(),
            peers: members
                .map(|member| (member.name().to_owned(), member.address().to_string()))
                .collect(),
        }
    }

    /// Says goodbye and ends all tasks.
    pub(crate) async fn leave(&self) {
        self.0.act(Gossip::leave);
        self.0.hang_up().await;
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns a name of 26 characters, sorted by the time: whoever joins last is last in the list, and knows least.
///
/// Source: the ULID specification: 48 bits of milliseconds since the epoch, 80 of chance, in Crockford's base 32.
fn ulid(at_ms: u64, chance: u128) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let id = (u128::from(at_ms) << 80) | (chance & ((1 << 80) - 1));
    let digit = |place: u32| char::from(DIGITS[((id >> (5 * place)) & 31) as usize]);
    (0..26).rev().map(digit).collect()
}

/// Checks the flags that are no addresses, and that peers have ports.
fn check(options: &ClusterOptions) -> Result<(), ClusterError> {
    let fail = |flag, given: String, reason: String| {
        Err(ClusterError::Flag {
            flag,
            given,
            reason,
        })
    };
    for (flag, text, max) in [
        ("cluster.peer-name", &options.name, NAME_BYTES_MAX),
        ("cluster.label", &options.label, LABEL_BYTES_MAX),
    ] {
        if max < text.len() {
            return fail(flag, text.clone(), format!("has more than {max} bytes"));
        }
    }
    for (flag, duration) in [
        ("cluster.gossip-interval", options.gossip_interval),
        ("cluster.pushpull-interval", options.pushpull_interval),
        ("cluster.tcp-timeout", options.tcp_timeout),
        ("cluster.probe-timeout", options.probe_timeout),
        ("cluster.probe-interval", options.probe_interval),
        ("cluster.reconnect-interval", options.reconnect_interval),
        ("cluster.reconnect-timeout", options.reconnect_timeout),
        ("cluster.peers-resolve-timeout", options.resolve_timeout),
    ] {
        if duration.is_zero() {
            return fail(flag, "0s".to_owned(), "must be longer, like 1s".to_owned());
        }
    }
    if options.probe_interval <= options.probe_timeout {
        let given = format!("{:?}", options.probe_timeout);
        let interval = options.probe_interval;
        let reason = format!("must be shorter than --cluster.probe-interval, {interval:?}");
        return fail("cluster.probe-timeout", given, reason);
    }
    if PEERS_MAX < options.peers.len() {
        let given = options.peers.len().to_string();
        let reason = format!("at most {PEERS_MAX} peers may be given");
        return fail("cluster.peer", given, reason);
    }
    for peer in &options.peers {
        address::split("cluster.peer", peer)?;
    }
    Ok(())
}

/// Opens the socket of TCP and, if it is wanted, that of UDP on the same port.
fn bind(wanted: SocketAddr, wants_udp: bool) -> io::Result<(TcpListener, Option<UdpSocket>)> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let tcp = std::net::TcpListener::bind(wanted)?;
        tcp.set_nonblocking(true)?;
        if !wants_udp {
            return Ok((TcpListener::from_std(tcp)?, None));
        }
        let udp = match std::net::UdpSocket::bind(tcp.local_addr()?) {
            Ok(udp) => udp,
            // The system chose a port that is free for one of them only.
            Err(_) if wanted.port() == 0 && attempt < PORTS_TRIED => continue,
            Err(error) => return Err(error),
        };
        udp.set_nonblocking(true)?;
        let udp = UdpSocket::from_std(udp)?;
        return Ok((TcpListener::from_std(tcp)?, Some(udp)));
    }
}

impl Node {
    fn now_ms(&self) -> u64 {
        millis(self.started.elapsed())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        let task = async move {
            stop.run_until_cancelled_owned(task).await;
        };
        self.tasks.spawn_on(task, &self.runtime);
    }

    /// Lets the gossip do something, and does what it wants.
    fn act<R>(self: &Arc<Self>, act: impl FnOnce(&mut Gossip, u64) -> R) -> R {
        let (result, output) = {
            let mut gossip = self.gossip.lock();
            let result = act(&mut gossip, self.now_ms());
            (result, gossip.take_output())
        };
        for output in output {
            match output {
                Output::Packet(address, packet) => self.send_packet(address, packet),
                Output::Push(address, kind, message) => {
                    self.push(address, kind, message);
                }
                Output::Exchange(address) => self.exchange(address),
            }
        }
        result
    }

    /// Takes in updates; no lock may be held.
    fn merge(&self, updates: Vec<Update>) {
        if updates.is_empty() {
            return;
        }
        let Some(replica) = self.replica.upgrade() else {
            return;
        };
        let (invalid, limited) = replica.merge(updates);
        let gossip = self.gossip.lock();
        let refused = &gossip.metrics().updates_refused;
        refused.with(&["invalid"]).add(invalid as f64);
        refused.with(&["limit"]).add(limited as f64);
    }

    /// The task of packets and timers.
    async fn drive(self: Arc<Self>) {
        // One byte more shows what is too long.
        let mut buffer = vec![0; PACKET_BYTES_MAX + 1];
        loop {
            let (is_settled, due_ms) = self.act(|gossip, now_ms| {
                gossip.tick(now_ms);
                (gossip.is_settled(), gossip.next_due_ms())
            });
            if is_settled && !self.settled.send_replace(true) {
                tracing::info!("the cluster has settled");
            }
            let wait = Duration::from_millis(due_ms.saturating_sub(self.now_ms()));
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wait.min(SLEEP_MAX)) => {}
                received = self.receive(&mut buffer) => match received {
                    Ok(length) => {
                        let packet = &buffer[..length];
                        let updates = self.act(|gossip, now_ms| gossip.receive(packet, now_ms));
                        self.merge(updates);
                    }
                    // Of a packet that we sent, or for a moment.
                    Err(error) => {
                        tracing::debug!(%error, "no packet could be received");
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                },
            }
        }
    }

    /// Receives a packet over UDP; never, if there is none.
    async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.udp {
            Some(udp) => Ok(udp.recv_from(buffer).await?.0),
            None => std::future::pending().await,
        }
    }

    /// The task that takes connections.
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let incoming = Arc::new(Semaphore::new(INCOMING_MAX));
        let kept = Arc::new(Semaphore::new(KEPT_MAX));
        loop {
            let connection = match listener.accept().await {
                Ok((connection, _)) => connection,
                Err(error) => {
                    tracing::warn!(%error, "a connection of the cluster could not be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&incoming).try_acquire_owned() else {
                self.refuse("connections");
                continue;
            };
            let (node, kept) = (Arc::clone(&self), Arc::clone(&kept));
            self.spawn(async move {
                let timeout = node.options.tcp_timeout;
                let answering = Arc::clone(&node).answer(connection);
                let answered = tokio::time::timeout(timeout, answering).await;
                drop(permit);
                match answered {
                    Ok(Ok(None)) => {}
                    Ok(Ok(Some((link, packet)))) => match kept.try_acquire_owned() {
                        Ok(_permit) => node.listen_to(link, packet).await,
                        Err(_) => node.refuse("connections"),
                    },
                    Ok(Err(error)) => tracing::debug!(%error, "a connection of the cluster failed"),
                    Err(_) => node.refuse("time"),
                }
            });
        }
    }

    fn refuse(&self, reason: &str) {
        let gossip = self.gossip.lock();
        gossip.metrics().refused.with(&[reason]).inc();
    }
}
