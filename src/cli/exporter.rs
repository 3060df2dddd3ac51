//! Flags of `hearth exporter node`: node_exporter's.

use clap::{Arg, ArgAction, Command};

use super::flag::{Flag, Kind, LOG_FORMAT, LOG_LEVEL, SYSTEMD_SOCKET, add_flags};

/// All flags of the node exporter besides `--collector.NAME` and `--no-collector.NAME`.
pub(crate) static FLAGS: &[Flag] = &[
    Flag::shown(
        "web.listen-address",
        Kind::List,
        ":9100",
        "Address to listen on; may be repeated.",
    ),
    Flag::shown(
        "web.telemetry-path",
        Kind::Text,
        "/metrics",
        "Path of the metrics.",
    ),
    Flag::shown(
        "web.disable-exporter-metrics",
        Kind::Bool,
        "false",
        "Leave out the exporter's own metrics.",
    ),
    Flag::shown(
        "web.max-requests",
        Kind::Integer,
        "40",
        "How many scrapes run at once; more are refused with 503. 0 is any number.",
    ),
    Flag::shown(
        "web.config.file",
        Kind::Text,
        "",
        "File with TLS, users and headers of the listeners; read again when it, or a file that it names, changes.",
    ),
    SYSTEMD_SOCKET,
    Flag::shown(
        "path.procfs",
        Kind::Text,
        "/proc",
        "Where the proc file system is mounted.",
    ),
    Flag::shown(
        "path.sysfs",
        Kind::Text,
        "/sys",
        "Where the sys file system is mounted.",
    ),
    Flag::shown(
        "path.rootfs",
        Kind::Text,
        "/",
        "Where the root file system is mounted.",
    ),
    Flag::shown(
        "path.udev.data",
        Kind::Text,
        "/run/udev/data",
        "Where udev keeps its data.",
    ),
    Flag::shown(
        "collector.disable-defaults",
        Kind::Bool,
        "false",
        "Run only the collectors that are asked for.",
    ),
    Flag::shown(
        "collector.filesystem.mount-points-exclude",
        Kind::Text,
        "",
        "Regular expression of mount points to leave out.",
    ),
    Flag::shown(
        "collector.filesystem.mount-points-include",
        Kind::Text,
        "",
        "Regular expression of mount points to show, and no others.",
    ),
    Flag::shown(
        "collector.filesystem.fs-types-exclude",
        Kind::Text,
        "",
        "Regular expression of file system types to leave out.",
    ),
    Flag::shown(
        "collector.filesystem.fs-types-include",
        Kind::Text,
        "",
        "Regular expression of file system types to show, and no others.",
    ),
    Flag::shown(
        "collector.diskstats.device-exclude",
        Kind::Text,
        "",
        "Regular expression of disks to leave out.",
    ),
    Flag::shown(
        "collector.diskstats.device-include",
        Kind::Text,
        "",
        "Regular expression of disks to show, and no others.",
    ),
    Flag::shown(
        "collector.netdev.device-exclude",
        Kind::Text,
        "",
        "Regular expression of network devices to leave out.",
    ),
    Flag::shown(
        "collector.netdev.device-include",
        Kind::Text,
        "",
        "Regular expression of network devices to show, and no others.",
    ),
    Flag::shown(
        "collector.netclass.ignored-devices",
        Kind::Text,
        "",
        "Regular expression of network devices that the netclass collector leaves out.",
    ),
    Flag::shown(
        "collector.netstat.fields",
        Kind::Text,
        "",
        "Regular expression of netstat fields to show.",
    ),
    Flag::shown(
        "collector.vmstat.fields",
        Kind::Text,
        "",
        "Regular expression of vmstat fields to show.",
    ),
    Flag::shown(
        "runtime.gomaxprocs",
        Kind::Integer,
        "1",
        "Accepted; there is no Go runtime here.",
    ),
    LOG_LEVEL,
    LOG_FORMAT,
];

/// Collectors of node_exporter that are not built yet: switching them off is fine, switching them on gets a warning.
pub(crate) const UNBUILT_COLLECTORS: &[&str] = &[
    "bcache",
    "bcachefs",
    "bonding",
    "btrfs",
    "buddyinfo",
    "cgroups",
    "cpu_vulnerabilities",
    "dmmultipath",
    "drbd",
    "drm",
    "edac",
    "ethtool",
    "fibrechannel",
    "hwmon",
    "infiniband",
    "interrupts",
    "ipvs",
    "ksmd",
    "lnstat",
    "logind",
    "mdadm",
    "meminfo_numa",
    "mountstats",
    "netclass_rtnl",
    "network_route",
    "nfs",
    "nfsd",
    "ntp",
    "nvme",
    "nvmesubsystem",
    "pcidevice",
    "perf",
    "powersupplyclass",
    "processes",
    "qdisc",
    "rapl",
    "runit",
    "slabinfo",
    "softirqs",
    "supervisord",
    "swap",
    "sysctl",
    "systemd",
    "tapestats",
    "tcpstat",
    "textfile",
    "thermal_zone",
    "timex",
    "watchdog",
    "wifi",
    "xfrm",
    "xfs",
    "zfs",
    "zoneinfo",
];

/// What `--collector.NAME` and `--no-collector.NAME` say.
pub(crate) fn collector_switches(matches: &clap::ArgMatches) -> Vec<(String, bool)> {
    let names = exporters::node::collector_names()
        .map(|(name, _)| name)
        .chain(UNBUILT_COLLECTORS.iter().copied());
    names
        .filter_map(|name| {
            let on = matches.get_flag(&format!("collector.{name}"));
            let off = matches.get_flag(&format!("no-collector.{name}"));
            (on || off).then(|| (name.to_owned(), on))
        })
        .collect()
}

/// Returns the command `name` with these flags.
pub(crate) fn command(name: &'static str) -> Command {
    let mut command = Command::new(name)
        .version(env!("CARGO_PKG_VERSION"))
        .about("Exports metrics of this node under node_exporter's names");
    command = add_flags(command, FLAGS);
    for collector in exporters::node::collector_names()
        .map(|(name, _)| name)
        .chain(UNBUILT_COLLECTORS.iter().copied())
    {
        let (on, off) = (
            format!("collector.{collector}"),
            format!("no-collector.{collector}"),
        );
        command = command
            .arg(
                Arg::new(on.clone())
                    .long(on.clone())
                    .action(ArgAction::SetTrue)
                    .hide(true)
                    .overrides_with(off.clone()),
            )
            .arg(
                Arg::new(off.clone())
                    .long(off)
                    .action(ArgAction::SetTrue)
                    .hide(true)
                    .overrides_with(on),
            );
    }
    command
}
