//! Flags of a cluster of Alertmanagers: of the Alertmanager alone, and of the one in the server. They differ in whether there is a
//! cluster unless somebody says so, which is in the tables themselves ([`CLUSTER_LISTEN`]).

use super::flag::{Flag, Kind};

/// Where to listen for other members.
pub(crate) const CLUSTER_LISTEN: &str = "cluster.listen-address";
/// The members of the cluster to join.
pub(crate) const CLUSTER_PEER: &str = "cluster.peer";

/// All but [`CLUSTER_LISTEN`].
pub(crate) const FLAGS: &[Flag] = &[
    Flag::shown(
        "cluster.advertise-address",
        Kind::Text,
        "",
        "At which host:port the other members reach this one; by default the first private address of this machine.",
    ),
    Flag::shown(
        "cluster.peer-name",
        Kind::Text,
        "",
        "The name of this member; members are sorted by it. By default a ULID, so that who started first is first.",
    ),
    Flag::shown(
        "cluster.label",
        Kind::Text,
        "",
        "Members with another label are not listened to, so that clusters do not mix.",
    ),
    Flag::shown(
        "cluster.tls-config",
        Kind::Text,
        "",
        "File that says how members speak TLS with each other, as server and as client; then there is no UDP.",
    ),
    Flag::shown(
        CLUSTER_PEER,
        Kind::List,
        "",
        "Another member of the cluster, host:port; may be repeated. A name stands for all of its addresses and is looked up every 15 s.",
    ),
    Flag::shown(
        "cluster.peer-timeout",
        Kind::Duration,
        "15s",
        "How long a member waits, for each one before it in the sorted list, until it notifies itself.",
    ),
    Flag::shown(
        "cluster.peers-resolve-timeout",
        Kind::Duration,
        "15s",
        "How long looking up the names of peers may take.",
    ),
    Flag::shown(
        "cluster.gossip-interval",
        Kind::Duration,
        "200ms",
        "How often updates are sent to other members while there are some.",
    ),
    Flag::shown(
        "cluster.pushpull-interval",
        Kind::Duration,
        "1m",
        "How often the whole state is exchanged with another member.",
    ),
    Flag::shown(
        "cluster.tcp-timeout",
        Kind::Duration,
        "10s",
        "How long a TCP connection between members may last.",
    ),
    Flag::shown(
        "cluster.probe-timeout",
        Kind::Duration,
        "500ms",
        "How long a member may take to say that it is there; shorter than the probe interval.",
    ),
    Flag::shown(
        "cluster.probe-interval",
        Kind::Duration,
        "1s",
        "How often a member is asked whether it is there.",
    ),
    Flag::shown(
        "cluster.settle-timeout",
        Kind::Duration,
        "1m",
        "How long the first notification waits at most for the number of members to stay the same.",
    ),
    Flag::shown(
        "cluster.reconnect-interval",
        Kind::Duration,
        "10s",
        "How often members that were lost are tried again.",
    ),
    Flag::shown(
        "cluster.reconnect-timeout",
        Kind::Duration,
        "6h",
        "How long members that were lost are tried.",
    ),
    Flag::shown(
        "cluster.allow-insecure-public-advertise-address-discovery",
        Kind::Bool,
        "false",
        "Lets other members be told a public address of this machine when it has no private one.",
    ),
];
