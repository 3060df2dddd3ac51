//! A cluster of Alertmanagers: who is there, the same silences and log for all, and each notification sent once.
//!
//! ```text
//!     UDP, or kept TLS: membership (foca), updates      TCP or TLS, same port: large updates, whole states
//!                         │                                        │
//! server ◄── Replica ──► node::Cluster (sockets, tasks) ──► gossip::Gossip (pure) ──► position, settled
//! ```
//!
//! **Invariant:** [`gossip`], [`update`], [`wire`], [`member`] and [`settle`] have no sockets, no tasks and no clock; only
//! [`node`] has, and [`address`] at the start.
//!
//! **Invariant:** an update is passed on by whom it was news to, and by nobody else, so that it ends.

mod address;
mod gossip;
mod member;
mod metrics;
mod node;
mod settle;
#[cfg(test)]
mod simulation;
mod tls;
mod update;
mod wire;

use std::time::Duration;

pub use self::address::AddressError;
pub(crate) use self::metrics::note_enabled;
pub(crate) use self::node::{Bound, Cluster, Replica};
pub(crate) use self::update::Update;

/// Configured peers; the flags may name no more.
pub const PEERS_MAX: usize = 256;

/// What a member of a cluster is started with: Alertmanager's flags `--cluster.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterOptions {
    /// Where it listens, over UDP and TCP: host and port; without a host everywhere.
    pub listen: String,
    /// Whether it does without a cluster if the address is taken; it must have no peers then.
    pub may_stand_alone: bool,
    /// Where others reach it, host and port; empty to find that out.
    pub advertise: String,
    /// Whether a public address of this machine may be what others are told.
    pub is_public_allowed: bool,
    /// Its name, by which members are sorted; empty for one by chance.
    pub name: String,
    /// Members of clusters with other labels are not listened to.
    pub label: String,
    /// The file that says how members speak TLS with each other; empty for none.
    pub tls_config: String,
    /// Others to begin with, host and port each.
    pub peers: Vec<String>,
    /// How long a member waits for each one before it in the list until it notifies.
    pub peer_timeout: Duration,
    /// How long looking up the names of peers may take.
    pub resolve_timeout: Duration,
    /// How often updates are sent while there are some.
    pub gossip_interval: Duration,
    /// How often the whole state is exchanged with another member.
    pub pushpull_interval: Duration,
    /// How long a TCP connection may last.
    pub tcp_timeout: Duration,
    /// How long a member may take to answer; shorter than `probe_interval`.
    pub probe_timeout: Duration,
    /// How often a member is asked whether it is there.
    pub probe_interval: Duration,
    /// How long the first notification waits at most for the number of members to stay the same.
    pub settle_timeout: Duration,
    /// How often lost members are tried again.
    pub reconnect_interval: Duration,
    /// How long lost members are tried.
    pub reconnect_timeout: Duration,
}

impl Default for ClusterOptions {
    /// Alertmanager's defaults.
    fn default() -> Self {
        ClusterOptions {
            listen: "0.0.0.0:9094".to_owned(),
            may_stand_alone: false,
            advertise: String::new(),
            is_public_allowed: false,
            name: String::new(),
            label: String::new(),
            tls_config: String::new(),
            peers: Vec::new(),
            peer_timeout: Duration::from_secs(15),
            resolve_timeout: Duration::from_secs(15),
            gossip_interval: Duration::from_millis(200),
            pushpull_interval: Duration::from_secs(60),
            tcp_timeout: Duration::from_secs(10),
            probe_timeout: Duration::from_millis(500),
            probe_interval: Duration::from_secs(1),
            settle_timeout: Duration::from_secs(60),
            reconnect_interval: Duration::from_secs(10),
            reconnect_timeout: Duration::from_secs(6 * 3_600),
        }
    }
}

/// Why a member cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// An address is wrong or cannot be found.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A flag makes no sense.
    #[error("--{flag}={given}: {reason}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// What was given.
        given: String,
        /// What would be right.
        reason: String,
    },
    /// The address is taken, or not one of this machine.
    #[error("--cluster.listen-address={address}: {source}; an empty one switches clustering off")]
    Listen {
        /// The address.
        address: String,
        /// What the system says.
        source: std::io::Error,
    },
}

/// What a member says of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterStatus {
    /// Its own name.
    pub name: String,
    /// Whether it knows its cluster, and notifies.
    pub is_settled: bool,
    /// Name and address of all members, itself among them, sorted by name.
    pub peers: Vec<(String, String)>,
}
