//! Flags of `hearth alertmanager`: Alertmanager's own.

use clap::Command;

use super::cluster::{self, CLUSTER_LISTEN};
use super::flag::{Flag, Kind, LOG_FORMAT, LOG_LEVEL, SYSTEMD_SOCKET, add_flags, joined};

/// All flags of the Alertmanager.
pub(crate) static FLAGS: &[Flag] =
    &joined::<{ OWN.len() + cluster::FLAGS.len() }>(OWN, cluster::FLAGS);

/// Those besides the cluster's.
const OWN: &[Flag] = &[
    Flag::shown(
        "config.file",
        Kind::Text,
        "alertmanager.yml",
        "Alertmanager configuration file name.",
    ),
    Flag::shown(
        "storage.path",
        Kind::Text,
        "data/",
        "Base path for data storage; silences and the notification log of an Alertmanager there are taken over.",
    ),
    Flag::shown(
        "data.retention",
        Kind::Duration,
        "120h",
        "How long to keep expired silences, and entries of the notification log at most.",
    ),
    Flag::hidden(
        "data.maintenance-interval",
        Kind::Duration,
        "15m",
        "Accepted; changes are written when they happen.",
    ),
    Flag::shown(
        "silences.max-silences",
        Kind::Integer,
        "0",
        "Maximum number of silences, including expired ones; 0 is 100000.",
    ),
    Flag::shown(
        "silences.max-silence-size-bytes",
        Kind::Integer,
        "0",
        "Maximum size of one silence in bytes; 0 is 1048576.",
    ),
    Flag::hidden(
        "log.silences",
        Kind::Bool,
        "false",
        "Accepted; changes of silences are always logged.",
    ),
    Flag::shown(
        "alerts.gc-interval",
        Kind::Duration,
        "30m",
        "How often resolved alerts are forgotten.",
    ),
    Flag::shown(
        "alerts.per-alertname-limit",
        Kind::Integer,
        "0",
        "Maximum number of alerts per alertname; further new ones are refused and counted. 0 is no limit.",
    ),
    Flag::hidden(
        "dispatch.maintenance-interval",
        Kind::Duration,
        "30s",
        "Accepted; empty groups go at once.",
    ),
    Flag::shown(
        "dispatch.start-delay",
        Kind::Duration,
        "0s",
        "How long to wait after the start before anybody is told, so that alerts have come in.",
    ),
    Flag::shown(
        "web.listen-address",
        Kind::List,
        "0.0.0.0:9093",
        "Address to listen on for the API; may be repeated.",
    ),
    Flag::shown(
        "web.config.file",
        Kind::Text,
        "",
        "File with TLS, users and headers of the listeners; read again when it, or a file that it names, changes.",
    ),
    SYSTEMD_SOCKET,
    Flag::shown(
        "web.external-url",
        Kind::Text,
        "",
        "The URL under which others reach the Alertmanager; notifications link to it, and its path becomes the prefix of all routes.",
    ),
    Flag::shown(
        "web.route-prefix",
        Kind::Text,
        "",
        "Prefix of the routes, if it is not the path of the external URL.",
    ),
    Flag::shown(
        "web.get-concurrency",
        Kind::Integer,
        "0",
        "How many GET requests are answered at once; more get 503. 0 is the number of processors, at least 8.",
    ),
    Flag::shown(
        "web.timeout",
        Kind::Duration,
        "0s",
        "How long a request may take; 0 is no limit but that of reading it.",
    ),
    Flag::shown(
        "web.max-connections",
        Kind::Integer,
        "512",
        "How many connections may be open at once over all listeners; more wait.",
    ),
    Flag::hidden(
        "auto-gomemlimit.ratio",
        Kind::Float,
        "0.9",
        "Accepted; there is no Go here.",
    ),
    Flag::shown(
        CLUSTER_LISTEN,
        Kind::Text,
        "0.0.0.0:9094",
        "Where to listen for other members of the cluster, over UDP and TCP; empty switches clustering off.",
    ),
    Flag::shown(
        "enable-feature",
        Kind::List,
        "",
        "Features to enable, separated by commas; unknown ones are warned of.",
    ),
    LOG_LEVEL,
    LOG_FORMAT,
];

/// Returns the command `name` with these flags.
pub(crate) fn command(name: &'static str) -> Command {
    let command = Command::new(name).version(env!("CARGO_PKG_VERSION")).about(
        "Groups, inhibits, silences and routes alerts, with Alertmanager's configuration and API",
    );
    add_flags(command, FLAGS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_of_an_operator_is_taken() {
        let words = [
            "alertmanager",
            "--config.file=/etc/alertmanager/config_out/alertmanager.env.yaml",
            "--storage.path=/alertmanager",
            "--data.retention=120h",
            "--cluster.listen-address=",
            "--web.listen-address=:9093",
            "--web.route-prefix=/",
            "--cluster.label=monitoring/main",
            "--cluster.peer=alertmanager-main-0.alertmanager-operated:9094",
            "--cluster.reconnect-timeout=5m",
        ];
        let matches = command("alertmanager").try_get_matches_from(words).unwrap();
        let values = super::super::flag::Values::of(FLAGS, &matches);
        assert_eq!(values.text("storage.path"), "/alertmanager");
        assert_eq!(values.duration("data.retention").as_ms(), 432_000_000);
        assert_eq!(values.list(cluster::CLUSTER_PEER).len(), 1);
        for flag in FLAGS {
            assert!(flag.help.ends_with('.'), "{}", flag.name);
        }
    }
}
