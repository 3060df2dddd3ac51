//! What every Prometheus program says of its own process, read from `/proc/self` at scrape time.
//!
//! Names, types and help are those of Prometheus' client libraries. A family whose file is missing or odd (another
//! operating system, a hidden `/proc`) is left out.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::registry::Collector;
use crate::snapshot::{MetricFamily, MetricKind};

/// Returns a collector of the `process_*` families of this process.
#[must_use]
pub fn process_collector() -> Arc<dyn Collector> {
    Arc::new(Process {
        procfs: PathBuf::from("/proc"),
    })
}

struct Process {
    procfs: PathBuf,
}

/// What Linux calls `USER_HZ`: the unit of CPU times in `/proc`, the same on every architecture we build for.
const TICKS_PER_SECOND: f64 = 100.0;

impl Collector for Process {
    fn collect(&self, out: &mut Vec<MetricFamily>) {
        let own = self.procfs.join("self");
        if let Ok(stat) = fs::read_to_string(own.join("stat")) {
            let boot_time = fs::read_to_string(self.procfs.join("stat"))
                .ok()
                .and_then(|stat| parse_boot_time(&stat));
            collect_stat(&stat, boot_time, out);
        }
        if let Ok(status) = fs::read_to_string(own.join("status")) {
            let name = "process_resident_memory_bytes";
            gauge(
                out,
                name,
                "Resident memory size in bytes.",
                parse_resident_bytes(&status),
            );
        }
        if let Ok(limits) = fs::read_to_string(own.join("limits")) {
            let max_fds = parse_soft_limit(&limits, "Max open files");
            gauge(
                out,
                "process_max_fds",
                "Maximum number of open file descriptors.",
                max_fds,
            );
            let name = "process_virtual_memory_max_bytes";
            let max_bytes = parse_soft_limit(&limits, "Max address space");
            gauge(
                out,
                name,
                "Maximum amount of virtual memory available in bytes.",
                max_bytes,
            );
        }
        gauge(
            out,
            "process_open_fds",
            "Number of open file descriptors.",
            count_files(&own.join("fd")),
        );
    }
}

fn collect_stat(stat: &str, boot_time: Option<f64>, out: &mut Vec<MetricFamily>) {
    let Some(stat) = parse_stat(stat) else { return };
    let name = "process_cpu_seconds_total";
    let help = "Total user and system CPU time spent in seconds.";
    push(out, MetricKind::Counter, name, help, Some(stat.cpu_seconds));
    gauge(
        out,
        "process_virtual_memory_bytes",
        "Virtual memory size in bytes.",
        Some(stat.virtual_bytes),
    );
    let name = "process_start_time_seconds";
    let help = "Start time of the process since unix epoch in seconds.";
    gauge(
        out,
        name,
        help,
        boot_time.map(|boot_time| boot_time + stat.started_after_boot),
    );
}

fn gauge(out: &mut Vec<MetricFamily>, name: &str, help: &str, value: Option<f64>) {
    push(out, MetricKind::Gauge, name, help, value);
}

fn push(out: &mut Vec<MetricFamily>, kind: MetricKind, name: &str, help: &str, value: Option<f64>) {
    if let Some(value) = value {
        let mut family = MetricFamily::new(name, help, kind);
        family.push(&[], value);
        out.push(family);
    }
}

#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    started_after_boot: f64,
    virtual_bytes: f64,
}

/// Reads a line of `/proc/<pid>/stat`. The second field is the command in parentheses and may hold anything.
fn parse_stat(stat: &str) -> Option<Stat> {
    let (_, behind_command) = stat.rsplit_once(") ")?;
    let fields: Vec<_> = behind_command.split_ascii_whitespace().collect();
    // proc(5) counts from one, and the first field here is its third.
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    Some(Stat {
        cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
        started_after_boot: field(22)? / TICKS_PER_SECOND,
        virtual_bytes: field(23)?,
    })
}

/// Reads `btime` of `/proc/stat`: seconds since the epoch.
fn parse_boot_time(stat: &str) -> Option<f64> {
    stat.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

/// Reads `VmRSS` of `/proc/<pid>/status`. (The page count in `stat` would need the page size.)
fn parse_resident_bytes(status: &str) -> Option<f64> {
    let rest = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = rest.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// Reads a soft limit of `/proc/<pid>/limits`; `unlimited` is the largest there is.
fn parse_soft_limit(limits: &str, name: &str) -> Option<f64> {
    let rest = limits.lines().find_map(|line| line.strip_prefix(name))?;
    match rest.split_ascii_whitespace().next()? {
        "unlimited" => Some(u64::MAX as f64),
        number => number.parse().ok(),
    }
}

fn count_files(folder: &Path) -> Option<f64> {
    Some(fs::read_dir(folder).ok()?.count() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_an_odd_command() {
        let stat = "26231 (a) b c) R 5392 7446 5392 34835 7446 4218880 32533 309516 26 82 1677 44 158 99 20 0 1 0 \
                    82375 56274944 1981 18446744073709551615 4194304 6294284\n";
        let expected = Stat {
            cpu_seconds: 17.21,
            started_after_boot: 823.75,
            virtual_bytes: 56_274_944.0,
        };
        assert_eq!(parse_stat(stat), Some(expected));
    }

    #[test]
    fn odd_files_are_left_out() {
        assert_eq!(parse_stat(""), None);
        assert_eq!(parse_stat("1 (x) R 1 2 3"), None);
        assert_eq!(parse_resident_bytes("VmRSS: much"), None);
        assert_eq!(parse_soft_limit("", "Max open files"), None);
        assert_eq!(parse_boot_time("cpu 1 2 3\n"), None);
        let mut out = Vec::new();
        Process {
            procfs: PathBuf::from("/nonexistent"),
        }
        .collect(&mut out);
        assert_eq!(out, []);
    }

    #[test]
    fn files_are_read() {
        assert_eq!(
            parse_boot_time("cpu 1\nbtime 1418183276\n"),
            Some(1_418_183_276.0)
        );
        assert_eq!(
            parse_resident_bytes("Name:\tx\nVmRSS:\t    7924 kB\n"),
            Some(8_114_176.0)
        );
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            2048                 4096                 files\n\
                      Max address space         unlimited            unlimited            bytes\n";
        assert_eq!(parse_soft_limit(limits, "Max open files"), Some(2_048.0));
        assert_eq!(
            parse_soft_limit(limits, "Max address space"),
            Some(18_446_744_073_709_551_615.0)
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_all_families() {
        let registry = crate::Registry::new();
        registry.register(process_collector());
        let names: Vec<_> = registry
            .gather()
            .into_iter()
            .map(|family| family.name)
            .collect();
        let expected = [
            "process_cpu_seconds_total",
            "process_max_fds",
            "process_open_fds",
            "process_resident_memory_bytes",
            "process_start_time_seconds",
            "process_virtual_memory_bytes",
            "process_virtual_memory_max_bytes",
        ];
        assert_eq!(names, expected);
    }
}
