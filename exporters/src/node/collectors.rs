//! Which collectors there are.

use metrics::MetricFamily;

use super::error::{CollectError, NodeError};
use super::files::Files;
use super::options::NodeOptions;
use super::*;

/// Looks at one part of the machine.
pub(super) trait Collect: Send + Sync {
    /// Appends families to `out`. What was appended before an error is kept.
    ///
    /// Called once per scrape, from several threads at once if scrapes overlap.
    fn collect(
        &self,
        files: &mut Files<'_>,
        out: &mut Vec<MetricFamily>,
    ) -> Result<(), CollectError>;
}

/// A collector without options and memory is a function.
impl<F> Collect for F
where
    F: Fn(&mut Files<'_>, &mut Vec<MetricFamily>) -> Result<(), CollectError> + Send + Sync,
{
    fn collect(
        &self,
        files: &mut Files<'_>,
        out: &mut Vec<MetricFamily>,
    ) -> Result<(), CollectError> {
        self(files, out)
    }
}

/// A collector and its name.
pub(super) type Named = (&'static str, Box<dyn Collect>);

struct Entry {
    name: &'static str,
    on_by_default: bool,
    build: Build,
}

type Build = fn(&NodeOptions) -> Result<Box<dyn Collect>, NodeError>;

const fn on(name: &'static str, build: Build) -> Entry {
    Entry {
        name,
        on_by_default: true,
        build,
    }
}

/// All collectors, ascending by name.
const ALL: &[Entry] = &[
    on("arp", |options| Ok(Box::new(arp::Arp::new(options)?))),
    on("conntrack", |_| Ok(Box::new(conntrack::collect))),
    on("cpu", |options| Ok(Box::new(cpu::Cpu::new(options)?))),
    on("cpufreq", |_| Ok(Box::new(cpufreq::collect))),
    on("diskstats", |options| {
        Ok(Box::new(diskstats::Diskstats::new(options)?))
    }),
    on("dmi", |_| Ok(Box::new(dmi::collect))),
    on("entropy", |_| Ok(Box::new(entropy::collect))),
    on("filefd", |_| Ok(Box::new(filefd::collect))),
    on("filesystem", |options| {
        Ok(Box::new(filesystem::Filesystem::new(options)?))
    }),
    on("kernel_hung", |_| Ok(Box::new(kernel_hung::collect))),
    on("loadavg", |_| Ok(Box::new(loadavg::collect))),
    on("meminfo", |_| Ok(Box::new(meminfo::collect))),
    on("netclass", |options| {
        Ok(Box::new(netclass::Netclass::new(options)?))
    }),
    on("netdev", |options| {
        Ok(Box::new(netdev::Netdev::new(options)?))
    }),
    on("netstat", |options| {
        Ok(Box::new(netstat::Netstat::new(options)?))
    }),
    on("os", |_| Ok(Box::new(os::collect))),
    on("pressure", |_| Ok(Box::new(pressure::collect))),
    on("schedstat", |_| Ok(Box::new(schedstat::collect))),
    on("selinux", |_| Ok(Box::new(selinux::collect))),
    on("sockstat", |_| Ok(Box::new(sockstat::collect))),
    on("softnet", |_| Ok(Box::new(softnet::collect))),
    on("stat", |options| Ok(Box::new(stat::Stat::new(options)))),
    on("time", |_| Ok(Box::new(time::collect))),
    on("udp_queues", |_| Ok(Box::new(udp_queues::collect))),
    on("uname", |_| Ok(Box::new(uname::collect))),
    on("vmstat", |options| {
        Ok(Box::new(vmstat::Vmstat::new(options)?))
    }),
];

/// Returns the name of each collector, ascending, and whether it is on by default.
pub fn collector_names() -> impl Iterator<Item = (&'static str, bool)> {
    ALL.iter().map(|entry| (entry.name, entry.on_by_default))
}

/// Builds the enabled collectors, ascending by name.
pub(super) fn build(options: &NodeOptions) -> Result<Vec<Named>, NodeError> {
    if let Some(name) = options
        .collectors
        .iter()
        .find(|name| !ALL.iter().any(|entry| entry.name == **name))
    {
        return Err(NodeError::UnknownCollector { name: name.clone() });
    }
    let enabled = ALL
        .iter()
        .filter(|entry| options.collectors.contains(entry.name));
    enabled
        .map(|entry| Ok((entry.name, (entry.build)(options)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ascend() {
        assert!(ALL.is_sorted_by(|a, b| a.name < b.name));
    }
}
