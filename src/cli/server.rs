//! Flags of `hearth server`: Prometheus' own, and a few of ours.

use clap::Command;

use super::cluster::{self, CLUSTER_LISTEN};
use super::flag::{Flag, Kind, LOG_FORMAT, LOG_LEVEL, SYSTEMD_SOCKET, add_flags, joined};

/// All flags of the server.
pub(crate) static FLAGS: &[Flag] =
    &joined::<{ OWN.len() + cluster::FLAGS.len() }>(OWN, cluster::FLAGS);

/// Those besides the cluster's.
const OWN: &[Flag] = &[
    Flag::shown(
        "config.file",
        Kind::Text,
        "",
        "Configuration file. Without it prometheus.yml is read if it is there; otherwise Hearth scrapes itself and this node.",
    ),
    Flag::shown(
        "config.auto-reload",
        Kind::Bool,
        "false",
        "Reload when the content of the configuration changes.",
    ),
    Flag::shown(
        "config.auto-reload-interval",
        Kind::Duration,
        "30s",
        "How often to look whether the configuration changed.",
    ),
    Flag::shown(
        "alertmanager.config.file",
        Kind::Text,
        "",
        "Configuration of the built-in Alertmanager. Without it alerts go to the Alertmanagers of the configuration file only.",
    ),
    Flag::shown(
        "web.listen-address",
        Kind::List,
        "0.0.0.0:9090",
        "Address to listen on for the API and the pages; may be repeated.",
    ),
    Flag::shown(
        "web.config.file",
        Kind::Text,
        "",
        "File with TLS, users and headers of the listeners; read again when it, or a file that it names, changes.",
    ),
    SYSTEMD_SOCKET,
    Flag::shown(
        "web.read-timeout",
        Kind::Duration,
        "5m",
        "How long reading a request may take, and how long a connection may be idle.",
    ),
    Flag::shown(
        "web.max-connections",
        Kind::Integer,
        "512",
        "How many connections may be open at once over all listeners; more wait.",
    ),
    Flag::shown(
        "web.max-notifications-subscribers",
        Kind::Integer,
        "16",
        "Accepted; live notifications are not built yet.",
    ),
    Flag::shown(
        "web.external-url",
        Kind::Text,
        "",
        "The URL under which others reach Hearth; its path becomes the prefix of all routes.",
    ),
    Flag::shown(
        "web.route-prefix",
        Kind::Text,
        "",
        "Prefix of the routes, if it is not the path of the external URL.",
    ),
    Flag::shown(
        "web.user-assets",
        Kind::Text,
        "",
        "Accepted; static files of the user's own are not served yet.",
    ),
    Flag::shown(
        "web.enable-lifecycle",
        Kind::Bool,
        "false",
        "Allow /-/reload and /-/quit.",
    ),
    Flag::shown(
        "web.enable-admin-api",
        Kind::Bool,
        "false",
        "Allow deleting series, cleaning tombstones and taking snapshots under /api/v1/admin.",
    ),
    Flag::shown(
        "web.enable-remote-write-receiver",
        Kind::Bool,
        "false",
        "Take samples that others send to /api/v1/write.",
    ),
    Flag::shown(
        "web.remote-write-receiver.accepted-protobuf-messages",
        Kind::List,
        "",
        "Message of remote write that is taken, prometheus.WriteRequest or io.prometheus.write.v2.Request; may be repeated, both if not given.",
    ),
    Flag::shown(
        "web.enable-otlp-receiver",
        Kind::Bool,
        "false",
        "Take OTLP metrics that others send to /api/v1/otlp/v1/metrics.",
    ),
    Flag::shown(
        "web.console.templates",
        Kind::Text,
        "consoles",
        "Accepted; console templates are not served.",
    ),
    Flag::shown(
        "web.console.libraries",
        Kind::Text,
        "console_libraries",
        "Accepted; console templates are not served.",
    ),
    Flag::shown(
        "web.page-title",
        Kind::Text,
        "Prometheus Time Series Collection and Processing Server",
        "Accepted; the page's title is fixed.",
    ),
    Flag::shown(
        "web.cors.origin",
        Kind::Text,
        ".*",
        "Anchored regular expression of origins that browsers may call the API from.",
    ),
    Flag::shown("storage.tsdb.path", Kind::Text, "data/", "Data directory."),
    Flag::shown(
        "storage.tsdb.retention.time",
        Kind::Duration,
        "",
        "How long samples are kept; 15d if nothing is said here or in the configuration file.",
    ),
    Flag::shown(
        "storage.tsdb.retention.size",
        Kind::Size,
        "0",
        "How many bytes blocks, logs and head chunks may have together; the oldest blocks go first. 0 is no limit.",
    ),
    Flag::shown(
        "storage.tsdb.no-lockfile",
        Kind::Bool,
        "false",
        "Do not keep other processes out of the data directory by a lock file.",
    ),
    Flag::shown(
        "storage.tsdb.head-chunks-write-queue-size",
        Kind::Integer,
        "0",
        "Accepted; head chunks are written in batches as it is.",
    ),
    Flag::shown(
        "storage.tsdb.delay-compact-file.path",
        Kind::Text,
        "",
        "File of Thanos' uploader; blocks that it does not name as uploaded are not compacted.",
    ),
    Flag::hidden(
        "storage.tsdb.min-block-duration",
        Kind::Duration,
        "2h",
        "Span of the blocks that are cut off the head.",
    ),
    Flag::hidden(
        "storage.tsdb.max-block-duration",
        Kind::Duration,
        "",
        "Span of the largest block that compaction makes; a tenth of the retention, at most 31 days, if nothing is said. The same as the smallest turns the compaction of blocks off, for uploaders.",
    ),
    Flag::hidden(
        "storage.tsdb.max-block-chunk-segment-size",
        Kind::Size,
        "512MB",
        "How large a chunk file of a block gets.",
    ),
    Flag::hidden(
        "storage.tsdb.wal-segment-size",
        Kind::Size,
        "128MB",
        "How large a segment of the write-ahead log gets.",
    ),
    Flag::hidden(
        "storage.tsdb.wal-compression",
        Kind::Bool,
        "true",
        "Compress the write-ahead log.",
    ),
    Flag::hidden(
        "storage.tsdb.wal-compression-type",
        Kind::Word(&["snappy", "zstd"]),
        "snappy",
        "How the write-ahead log is compressed.",
    ),
    Flag::hidden(
        "storage.tsdb.samples-per-chunk",
        Kind::Integer,
        "120",
        "Accepted; chunks aim at 120 samples.",
    ),
    Flag::hidden(
        "storage.tsdb.allow-overlapping-compaction",
        Kind::Bool,
        "true",
        "Merge blocks that overlap.",
    ),
    Flag::hidden(
        "storage.tsdb.delayed-compaction.max-percent",
        Kind::Integer,
        "10",
        "Accepted; there is no compaction yet.",
    ),
    Flag::hidden(
        "storage.tsdb.block-reload-interval",
        Kind::Duration,
        "1m",
        "How often to look for blocks that others put into the data directory; at least 1s.",
    ),
    Flag::shown(
        "storage.remote.flush-deadline",
        Kind::Duration,
        "1m",
        "Accepted; remote write is not built yet.",
    ),
    Flag::shown(
        "storage.remote.read-sample-limit",
        Kind::Float,
        "5e7",
        "Accepted; remote read is not built yet.",
    ),
    Flag::shown(
        "storage.remote.read-concurrent-limit",
        Kind::Integer,
        "10",
        "Accepted; remote read is not built yet.",
    ),
    Flag::shown(
        "storage.remote.read-max-bytes-in-frame",
        Kind::Integer,
        "1048576",
        "Accepted; remote read is not built yet.",
    ),
    Flag::shown(
        "rules.alert.for-outage-tolerance",
        Kind::Duration,
        "1h",
        "For how long an outage an alert's pending time is taken up again.",
    ),
    Flag::shown(
        "rules.alert.for-grace-period",
        Kind::Duration,
        "10m",
        "How long a restored alert waits at least before it fires.",
    ),
    Flag::shown(
        "rules.alert.resend-delay",
        Kind::Duration,
        "1m",
        "How long to wait before a firing alert is sent again.",
    ),
    Flag::shown(
        "rules.max-concurrent-evals",
        Kind::Integer,
        "4",
        "How many rule groups are evaluated at once.",
    ),
    Flag::shown(
        "alertmanager.notification-queue-capacity",
        Kind::Integer,
        "10000",
        "How many alerts may wait for each Alertmanager; beyond, the oldest are dropped.",
    ),
    Flag::shown(
        "alertmanager.notification-batch-size",
        Kind::Integer,
        "256",
        "How many alerts are sent to an Alertmanager at a time.",
    ),
    Flag::shown(
        "alertmanager.drain-notification-queue-on-shutdown",
        Kind::Bool,
        "true",
        "Send waiting alerts at shutdown, for ten seconds at most; otherwise they are dropped.",
    ),
    Flag::shown(
        "query.lookback-delta",
        Kind::Duration,
        "5m",
        "How far back an instant selector looks for a sample.",
    ),
    Flag::shown(
        "query.timeout",
        Kind::Duration,
        "2m",
        "How long a query may take.",
    ),
    Flag::shown(
        "query.max-concurrency",
        Kind::Integer,
        "20",
        "How many queries run at once; more wait.",
    ),
    Flag::shown(
        "query.max-samples",
        Kind::Integer,
        "50000000",
        "How many samples a query may hold at once.",
    ),
    Flag::shown(
        "query.max-bytes",
        Kind::Size,
        "2GB",
        "How many bytes a query may hold at once, labels and histograms included. 0 is no limit.",
    ),
    Flag::shown(
        "query.max-total-bytes",
        Kind::Size,
        "8GB",
        "How many bytes all queries together may hold at once, rules included. 0 is no limit.",
    ),
    Flag::hidden(
        "scrape.adjust-timestamps",
        Kind::Bool,
        "true",
        "Align the timestamps of scrapes to their schedule when they are nearly on it.",
    ),
    Flag::hidden(
        "scrape.timestamp-tolerance",
        Kind::Duration,
        "2ms",
        "How far a scrape's timestamp is moved at most, and never more than a hundredth of its interval.",
    ),
    Flag::hidden(
        "scrape.discovery-reload-interval",
        Kind::Duration,
        "5s",
        "How long changes of discovered targets are collected before they are acted on.",
    ),
    Flag::shown(
        "auto-gomaxprocs",
        Kind::Bool,
        "true",
        "Accepted; there is no Go runtime here.",
    ),
    Flag::shown(
        "auto-gomemlimit",
        Kind::Bool,
        "true",
        "Accepted; there is no Go runtime here.",
    ),
    Flag::shown(
        "auto-gomemlimit.ratio",
        Kind::Float,
        "0.9",
        "Accepted; there is no Go runtime here.",
    ),
    Flag::hidden(
        "auto-gomemlimit.refresh-interval",
        Kind::Duration,
        "0s",
        "Accepted; there is no Go runtime here.",
    ),
    Flag::shown(
        "enable-feature",
        Kind::List,
        "",
        "Feature names, comma-separated; may be repeated. Unknown ones and those that are not built yet are named in a warning.",
    ),
    Flag::shown(
        "agent",
        Kind::Bool,
        "false",
        "Agent mode. Not built yet: Hearth refuses to start.",
    ),
    LOG_LEVEL,
    LOG_FORMAT,
    Flag::shown(
        CLUSTER_LISTEN,
        Kind::Text,
        "",
        "Where the built-in Alertmanager listens for other members of its cluster, over UDP and TCP, such as 0.0.0.0:9094; empty for no cluster.",
    ),
];

/// Flags that do nothing yet although leaving them out silently would surprise; a warning names them when they are set.
pub(crate) const UNBUILT: &[&str] = &["web.user-assets"];

/// Returns the command `name` with these flags.
pub(crate) fn command(name: &'static str) -> Command {
    let command = Command::new(name)
        .version(env!("CARGO_PKG_VERSION"))
        .about("Scrapes, stores, queries and alerts, with Prometheus' configuration and API");
    add_flags(command, FLAGS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/flags.md` is made from the tables; set `UPDATE_GOLDENS=1` to write it anew.
    #[test]
    fn the_reference_page_is_up_to_date() {
        let mut page = format!(
            "# Flags\n\nMade from the tables in `src/cli/`; do not edit.\n\n## hearth server\n\n{}\n## hearth alertmanager\n\n{}\n## hearth exporter node\n\n{}",
            super::super::flag::reference(FLAGS),
            super::super::flag::reference(super::super::alertmanager::FLAGS),
            super::super::flag::reference(super::super::exporter::FLAGS),
        );
        for row in super::super::tool::rows() {
            page += &format!("\n## hearth tool {}\n\n", row.words.join(" "));
            page += &match row.flags {
                [] => "No flags.\n".to_owned(),
                flags => super::super::flag::reference(flags),
            };
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/flags.md");
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        assert!(
            std::fs::read_to_string(path).unwrap_or_default() == page,
            "run with UPDATE_GOLDENS=1 to write {path}"
        );
    }

    #[test]
    fn every_flag_has_a_sentence_and_a_valid_default() {
        for flag in FLAGS {
            assert!(flag.help.ends_with('.'), "{}", flag.name);
        }
        let matches = command("server").try_get_matches_from(["server"]).unwrap();
        let values = super::super::flag::Values::of(FLAGS, &matches);
        assert_eq!(values.duration("query.timeout").as_ms(), 120_000);
        assert_eq!(values.integer("query.max-samples"), 50_000_000);
        assert!(values.is_on("scrape.adjust-timestamps"));
        assert!(
            UNBUILT
                .iter()
                .all(|name| FLAGS.iter().any(|flag| flag.name == *name))
        );
    }
}
