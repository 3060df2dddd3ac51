//! CPU time by mode, and what goes with it: `/proc/stat`, `/sys/devices/system/cpu`, `/proc/cpuinfo`.

mod info;
mod throttle;
mod times;

use std::collections::BTreeMap;

use metrics::MetricFamily;
use parking_lot::Mutex;

use super::collectors::Collect;
use super::error::{CollectError, NodeError, number};
use super::family::{counters, gauges};
use super::files::Files;
use super::options::NodeOptions;
use info::Info;
use times::Times;

pub(super) struct Cpu {
    guest: bool,
    info: Option<Info>,
    /// By CPU: the highest times seen. The kernel lets some of them go back a little.
    settled: Mutex<BTreeMap<u32, Times>>,
}

impl Cpu {
    pub(super) fn new(options: &NodeOptions) -> Result<Self, NodeError> {
        Ok(Self {
            guest: options.cpu_guest,
            info: Info::new(options)?,
            settled: Mutex::default(),
        })
    }

    fn collect_times(&self, stat: &str, out: &mut Vec<MetricFamily>) -> Result<(), CollectError> {
        let mut seconds = counters(
            "node_cpu_seconds_total",
            "Seconds the CPUs spent in each mode.",
        );
        let help = "Seconds the CPUs spent in guests (VMs) for each mode.";
        let mut guest_seconds = counters("node_cpu_guest_seconds_total", help);
        let mut settled = self.settled.lock();
        times::settle(&mut settled, times::parse_stat(stat)?);
        for (cpu, times) in &*settled {
            let cpu = cpu.to_string();
            for (mode, value) in times.modes() {
                seconds.push(&[("cpu", &cpu), ("mode", mode)], value);
            }
            for (mode, value) in times.guest_modes() {
                guest_seconds.push(&[("cpu", &cpu), ("mode", mode)], value);
            }
        }
        out.push(seconds);
        if self.guest {
            out.push(guest_seconds);
        }
        Ok(())
    }
}

impl Collect for Cpu {
    fn collect(
        &self,
        files: &mut Files<'_>,
        out: &mut Vec<MetricFamily>,
    ) -> Result<(), CollectError> {
        if let Some(info) = &self.info {
            info.collect(&files.proc("cpuinfo")?, out);
        }
        self.collect_times(&files.proc("stat")?, out)?;
        if let Ok(list) = files.sys("devices/system/cpu/isolated") {
            out.push(isolated(list.trim())?);
        }
        throttle::collect(files, out);
        Ok(())
    }
}

fn isolated(list: &str) -> Result<MetricFamily, CollectError> {
    let help = "Whether each core is isolated, information from /sys/devices/system/cpu/isolated.";
    let mut family = gauges("node_cpu_isolated", help);
    for cpu in parse_cpu_list(list)? {
        family.push(&[("cpu", &cpu.to_string())], 1.0);
    }
    Ok(family)
}

/// The kernel supports up to 8192 CPUs.
const CPUS_MAX: u32 = 8_192;

/// Reads a list of CPUs such as `1,3-5,9`; empty is none.
fn parse_cpu_list(list: &str) -> Result<Vec<u32>, CollectError> {
    let mut cpus = Vec::new();
    for range in list.split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (
            number::<u32>("cpu/isolated", first)?,
            number::<u32>("cpu/isolated", last)?,
        );
        cpus.extend((first..=last).take_while(|&cpu| cpu < CPUS_MAX));
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::super::family::samples;
    use super::*;

    #[test]
    fn lists_of_cpus() {
        assert_eq!(parse_cpu_list("1,3-5,9").unwrap(), [1, 3, 4, 5, 9]);
        assert_eq!(parse_cpu_list("").unwrap(), []);
        assert_eq!(parse_cpu_list("0-4294967295").unwrap().len(), 8_192);
        assert!(parse_cpu_list("1,x").is_err());
    }

    #[test]
    fn times_are_in_seconds() {
        let cpu = Cpu::new(&NodeOptions::linux_defaults()).unwrap();
        let mut out = Vec::new();
        cpu.collect_times(
            "cpu  1 2\ncpu0 44490 19 21045 1087069 220 1 3410 5 2 1\nintr 7\n",
            &mut out,
        )
        .unwrap();
        let expected = "node_cpu_guest_seconds_total{cpu=\"0\",mode=\"nice\"} 0.01\n\
                        node_cpu_guest_seconds_total{cpu=\"0\",mode=\"user\"} 0.02\n\
                        node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 10870.69\n\
                        node_cpu_seconds_total{cpu=\"0\",mode=\"iowait\"} 2.2\n\
                        node_cpu_seconds_total{cpu=\"0\",mode=\"irq\"} 0.01\n\
                        node_cpu_seconds_total{cpu=\"0\",mode=\"nice\"} 0.19\n\
                        node_cpu_seconds_total{cpu=\"0\",mode=\"softirq\"} 34.1\n\
                        node_cpu_seconds_total{cpu=\"0\",mode=\"steal\"} 0.05\n\
                        node_cpu_seconds_total{cpu=\"0\",mode=\"system\"} 210.45\n\
                        node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 444.9\n";
        assert_eq!(samples(out), expected);
    }
}
