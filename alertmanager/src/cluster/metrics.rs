//! What the cluster counts, under Alertmanager's names where it has them.

use metrics::{Counter, Family, Gauge, Histogram, Registry};

/// The instruments of a cluster's member.
pub(crate) struct ClusterMetrics {
    pub(crate) members: Gauge,
    pub(crate) failed_peers: Gauge,
    pub(crate) health_score: Gauge,
    pub(crate) position: Gauge,
    pub(crate) joined: Counter,
    pub(crate) left: Counter,
    pub(crate) updated: Counter,
    pub(crate) name_conflicts: Counter,
    pub(crate) queued: Gauge,
    pub(crate) pruned: Counter,
    pub(crate) reconnected: Counter,
    pub(crate) reconnect_failed: Counter,
    pub(crate) joined_by_name: Counter,
    pub(crate) join_by_name_failed: Counter,
    pub(crate) oversized: Family<Counter>,
    pub(crate) oversized_failed: Family<Counter>,
    pub(crate) oversized_dropped: Family<Counter>,
    pub(crate) oversized_duration: Family<Histogram>,
    /// Messages and packets that were not taken, by the reason.
    pub(crate) refused: Family<Counter>,
    /// Updates that were not taken, by the reason.
    pub(crate) updates_refused: Family<Counter>,
    /// States that were cut short because they are too large.
    pub(crate) cut: Counter,
    received: Family<Counter>,
    received_bytes: Family<Counter>,
    sent: Family<Counter>,
    sent_bytes: Family<Counter>,
}

/// Sets whether there is clustering at all.
pub(crate) fn note_enabled(registry: &Registry, is_enabled: bool) {
    let enabled = registry.gauge(
        "alertmanager_cluster_enabled",
        "Indicates whether the clustering is enabled or not.",
    );
    enabled.set(f64::from(u8::from(is_enabled)));
}

/// What TLS between members counts, under Alertmanager's names.
pub(crate) struct TlsMetrics {
    pub(crate) packet_bytes_sent: Counter,
    pub(crate) packet_bytes_received: Counter,
    pub(crate) read_errors: Counter,
    write_errors: Family<Counter>,
}

impl TlsMetrics {
    /// Returns the instruments; without TLS nobody sees them.
    pub(crate) fn new(registry: &Registry, speaks_tls: bool) -> Self {
        let own = Registry::new();
        let registry = if speaks_tls { registry } else { &own };
        let metrics = TlsMetrics {
            packet_bytes_sent: registry.counter(
                "alertmanager_tls_transport_packet_bytes_sent_total",
                "Bytes of packets sent to members over TLS.",
            ),
            packet_bytes_received: registry.counter(
                "alertmanager_tls_transport_packet_bytes_received_total",
                "Bytes of packets received from members over TLS.",
            ),
            read_errors: registry.counter(
                "alertmanager_tls_transport_read_errors_total",
                "Connections of others with which no TLS could be spoken.",
            ),
            write_errors: registry.counter_vec(
                "alertmanager_tls_transport_write_errors_total",
                "Packets, and exchanges over connections of their own, that could not be sent over TLS.",
                &["connection_type"],
            ),
        };
        metrics.write_errors.with(&["packet"]);
        metrics.write_errors.with(&["stream"]);
        metrics
    }

    /// Counts a packet that could not be sent.
    pub(crate) fn packet_lost(&self) {
        self.write_errors.with(&["packet"]).inc();
    }

    /// Counts an exchange, or a large update, that could not be sent.
    pub(crate) fn stream_failed(&self) {
        self.write_errors.with(&["stream"]).inc();
    }
}

impl ClusterMetrics {
    pub(crate) fn new(registry: &Registry, name: &str) -> Self {
        let gauge = |name: &str, help: &str| registry.gauge(name, help);
        let counter = |name: &str, help: &str| registry.counter(name, help);
        let by = |label: &str, name: &str, help: &str| registry.counter_vec(name, help, &[label]);
        let info = registry.gauge_vec(
            "alertmanager_cluster_peer_info",
            "1, with the name of this member.",
            &["peer"],
        );
        info.with(&[name]).set(1.0);
        let metrics = ClusterMetrics {
            members: gauge(
                "alertmanager_cluster_members",
                "How many members the cluster has, this one among them.",
            ),
            failed_peers: gauge(
                "alertmanager_cluster_failed_peers",
                "How many peers are configured or were members, and cannot be reached.",
            ),
            health_score: gauge(
                "alertmanager_cluster_health_score",
                "How many members did not answer of late; 0 is healthy.",
            ),
            position: gauge(
                "alertmanager_peer_position",
                "The position of this member in the sorted list; it waits so many times --cluster.peer-timeout before it notifies.",
            ),
            joined: counter(
                "alertmanager_cluster_peers_joined_total",
                "How many peers have joined.",
            ),
            left: counter(
                "alertmanager_cluster_peers_left_total",
                "How many peers have left or failed.",
            ),
            updated: counter(
                "alertmanager_cluster_peers_update_total",
                "How often a peer went on in another life.",
            ),
            name_conflicts: counter(
                "alertmanager_cluster_peer_name_conflicts_total",
                "How often a peer has joined with the name of another member.",
            ),
            queued: gauge(
                "alertmanager_cluster_messages_queued",
                "How many updates are still to be sent to members.",
            ),
            pruned: counter(
                "alertmanager_cluster_messages_pruned_total",
                "How many updates were sent less often than they should, because there are too many.",
            ),
            reconnected: counter(
                "alertmanager_cluster_reconnections_total",
                "How many peers that were lost could be reached again.",
            ),
            reconnect_failed: counter(
                "alertmanager_cluster_reconnections_failed_total",
                "How many attempts to reach a peer that was lost have failed.",
            ),
            joined_by_name: counter(
                "alertmanager_cluster_refresh_join_total",
                "How many configured peers that were not members could be joined.",
            ),
            join_by_name_failed: counter(
                "alertmanager_cluster_refresh_join_failed_total",
                "How many attempts to join a configured peer, or to look its name up, have failed.",
            ),
            oversized: by(
                "key",
                "alertmanager_oversized_gossip_message_sent_total",
                "How many updates that are too large for a packet were sent over TCP.",
            ),
            oversized_failed: by(
                "key",
                "alertmanager_oversized_gossip_message_failure_total",
                "How many updates that are too large for a packet could not be sent over TCP.",
            ),
            oversized_dropped: by(
                "key",
                "alertmanager_oversized_gossip_message_dropped_total",
                "How many updates that are too large for a packet were not sent because there are too many.",
            ),
            oversized_duration: registry.histogram_vec(
                "alertmanager_oversize_gossip_message_duration_seconds",
                "How long sending an update that is too large for a packet took.",
                &["key"],
                &[
                    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
                ],
            ),
            refused: by(
                "reason",
                "hearth_alertmanager_cluster_refused_total",
                "Packets and connections of others that were not taken.",
            ),
            updates_refused: by(
                "reason",
                "hearth_alertmanager_cluster_updates_refused_total",
                "Silences and log entries of members that were not taken.",
            ),
            cut: counter(
                "hearth_alertmanager_cluster_state_cut_total",
                "How often the whole state was too large to be sent, and what matters least was left out.",
            ),
            received: by(
                "msg_type",
                "alertmanager_cluster_messages_received_total",
                "Messages received from members.",
            ),
            received_bytes: by(
                "msg_type",
                "alertmanager_cluster_messages_received_size_total",
                "Bytes of messages received from members.",
            ),
            sent: by(
                "msg_type",
                "alertmanager_cluster_messages_sent_total",
                "Messages sent to members.",
            ),
            sent_bytes: by(
                "msg_type",
                "alertmanager_cluster_messages_sent_size_total",
                "Bytes of messages sent to members.",
            ),
        };
        metrics.start_at_zero();
        metrics
    }

    fn start_at_zero(&self) {
        for kind in ["full_state", "update"] {
            for family in [
                &self.received,
                &self.received_bytes,
                &self.sent,
                &self.sent_bytes,
            ] {
                family.with(&[kind]);
            }
        }
        for reason in [
            "garbage",
            "version",
            "label",
            "membership",
            "members",
            "size",
            "connections",
            "time",
            "tls",
        ] {
            self.refused.with(&[reason]);
        }
        for reason in ["unreadable", "invalid", "limit"] {
            self.updates_refused.with(&[reason]);
        }
        for key in ["sil", "nfl"] {
            self.oversized.with(&[key]);
            self.oversized_failed.with(&[key]);
            self.oversized_dropped.with(&[key]);
            self.oversized_duration.with(&[key]);
        }
    }

    /// Counts a message that was received.
    pub(crate) fn note_received(&self, kind: &str, bytes: usize) {
        self.received.with(&[kind]).inc();
        self.received_bytes.with(&[kind]).add(bytes as f64);
    }

    /// Counts a message that was sent.
    pub(crate) fn note_sent(&self, kind: &str, bytes: usize) {
        self.sent.with(&[kind]).inc();
        self.sent_bytes.with(&[kind]).add(bytes as f64);
    }
}
