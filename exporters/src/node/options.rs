//! What an operator can choose, with node_exporter's defaults.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::collectors::collector_names;
use super::filter::Filter;

/// How the node exporter looks at the machine. Start from [`NodeOptions::linux_defaults`].
///
/// Each field is named like the flag of node_exporter that it stands for. Patterns are unanchored regular expressions.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Where procfs is mounted.
    pub procfs: PathBuf,
    /// Where sysfs is mounted.
    pub sysfs: PathBuf,
    /// Where the machine's root file system is mounted; mount points are shown without this prefix.
    pub rootfs: PathBuf,
    /// Where udev keeps its database.
    pub udev_data: PathBuf,
    /// The names of the collectors that are on; [`collector_names`] lists what there is.
    pub collectors: BTreeSet<String>,
    /// ARP: devices.
    pub arp_devices: Filter,
    /// CPU: whether guest time is shown.
    pub cpu_guest: bool,
    /// CPU: whether `node_cpu_info` and `node_cpu_frequency_hertz` of `/proc/cpuinfo` are shown.
    pub cpu_info: bool,
    /// CPU: flags to show as `node_cpu_flag_info`; none if absent.
    pub cpu_info_flags_include: Option<String>,
    /// CPU: bugs to show as `node_cpu_bug_info`; none if absent.
    pub cpu_info_bugs_include: Option<String>,
    /// Disks: devices.
    pub diskstats_devices: Filter,
    /// File systems: mount points, below the root file system.
    pub filesystem_mount_points: Filter,
    /// File systems: types.
    pub filesystem_types: Filter,
    /// File systems: how long one scrape waits for mounts that do not answer.
    pub filesystem_mount_timeout: Duration,
    /// File systems: how many mounts are asked at once, at most.
    pub filesystem_stat_workers: usize,
    /// Network devices (statistics): devices.
    pub netdev_devices: Filter,
    /// Network devices (statistics): whether to ask the kernel by netlink (64-bit counters, one call) before
    /// `/proc/net/dev`.
    pub netdev_netlink: bool,
    /// Network devices (attributes): devices to leave out.
    pub netclass_ignored_devices: String,
    /// Network devices (attributes): whether a negative speed, which means unknown, is left out.
    pub netclass_ignore_invalid_speed: bool,
    /// Network protocol statistics: fields, as `Protocol_Field`.
    pub netstat_fields: String,
    /// Whether `node_softirqs_total` is shown.
    pub stat_softirq: bool,
    /// Virtual memory statistics: fields.
    pub vmstat_fields: String,
}

impl NodeOptions {
    /// Returns node_exporter's defaults for Linux.
    #[must_use]
    pub fn linux_defaults() -> Self {
        let on_by_default = collector_names().filter(|(_, on)| *on);
        Self {
            procfs: PathBuf::from("/proc"),
            sysfs: PathBuf::from("/sys"),
            rootfs: PathBuf::from("/"),
            udev_data: PathBuf::from("/run/udev/data"),
            collectors: on_by_default.map(|(name, _)| name.to_owned()).collect(),
            arp_devices: Filter::default(),
            cpu_guest: true,
            cpu_info: false,
            cpu_info_flags_include: None,
            cpu_info_bugs_include: None,
            diskstats_devices: Filter::exclude(DISKS_EXCLUDED),
            filesystem_mount_points: Filter::exclude(MOUNT_POINTS_EXCLUDED),
            filesystem_types: Filter::exclude(FILE_SYSTEMS_EXCLUDED),
            filesystem_mount_timeout: Duration::from_secs(5),
            filesystem_stat_workers: 4,
            netdev_devices: Filter::default(),
            netdev_netlink: true,
            netclass_ignored_devices: "^$".to_owned(),
            netclass_ignore_invalid_speed: false,
            netstat_fields: NETSTAT_FIELDS.to_owned(),
            stat_softirq: false,
            vmstat_fields: "^(oom_kill|pgpg|pswp|pg.*fault).*".to_owned(),
        }
    }
}

/// Memory disks, loop devices, floppies, and partitions.
const DISKS_EXCLUDED: &str = r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$";

const MOUNT_POINTS_EXCLUDED: &str =
    "^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)";

/// File systems without storage of their own, or of a fixed size.
const FILE_SYSTEMS_EXCLUDED: &str = "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|\
                                     hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|\
                                     selinuxfs|squashfs|erofs|sysfs|tracefs)$";

const NETSTAT_FIELDS: &str = "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|\
                              Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|\
                              TCPOFOQueue|TCPRcvQDrop)|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|\
                              RetransSegs|CurrEstab)|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|\
                              SndbufErrors))$";
