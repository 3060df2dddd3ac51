//! What the flags `--cluster.*` mean, for the Alertmanager alone and for the one in the server.

use alertmanager::cluster::ClusterOptions;

use crate::cli::cluster::{CLUSTER_LISTEN, CLUSTER_PEER};
use crate::cli::flag::Values;

/// Returns how this one takes part in a cluster, unless that is switched off.
pub(crate) fn options(values: &Values) -> Option<ClusterOptions> {
    let peers = values.list(CLUSTER_PEER).to_vec();
    let listen = values.text(CLUSTER_LISTEN).to_owned();
    if listen.is_empty() {
        return None;
    }
    let duration = |name: &str| values.duration(name).to_std();
    Some(ClusterOptions {
        may_stand_alone: peers.is_empty() && !values.is_given(CLUSTER_LISTEN),
        listen,
        advertise: values.text("cluster.advertise-address").to_owned(),
        is_public_allowed: values
            .is_on("cluster.allow-insecure-public-advertise-address-discovery"),
        name: values.text("cluster.peer-name").to_owned(),
        label: values.text("cluster.label").to_owned(),
        tls_config: values.text("cluster.tls-config").to_owned(),
        peers,
        peer_timeout: duration("cluster.peer-timeout"),
        resolve_timeout: duration("cluster.peers-resolve-timeout"),
        gossip_interval: duration("cluster.gossip-interval"),
        pushpull_interval: duration("cluster.pushpull-interval"),
        tcp_timeout: duration("cluster.tcp-timeout"),
        probe_timeout: duration("cluster.probe-timeout"),
        probe_interval: duration("cluster.probe-interval"),
        settle_timeout: duration("cluster.settle-timeout"),
        reconnect_interval: duration("cluster.reconnect-interval"),
        reconnect_timeout: duration("cluster.reconnect-timeout"),
    })
}

/// Returns what is to be said of peers without a cluster.
pub(crate) fn warning(values: &Values) -> Option<String> {
    let is_off = values.text(CLUSTER_LISTEN).is_empty();
    let peers = values.list(CLUSTER_PEER);
    (is_off && !peers.is_empty()).then(|| {
        format!(
            "--{CLUSTER_PEER}={} has no effect: --{CLUSTER_LISTEN} is empty, which switches clustering off",
            peers.join(",")
        )
    })
}
