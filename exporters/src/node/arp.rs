//! How many neighbours each device knows, from `/proc/net/arp`.

use std::collections::BTreeMap;

use metrics::MetricFamily;

use super::collectors::Collect;
use super::error::{CollectError, NodeError};
use super::family::gauges;
use super::files::Files;
use super::filter::Sieve;
use super::options::NodeOptions;

pub(super) struct Arp {
    devices: Sieve,
}

impl Arp {
    pub(super) fn new(options: &NodeOptions) -> Result<Self, NodeError> {
        Ok(Self {
            devices: options.arp_devices.compile("arp.device")?,
        })
    }
}

impl Collect for Arp {
    fn collect(
        &self,
        files: &mut Files<'_>,
        out: &mut Vec<MetricFamily>,
    ) -> Result<(), CollectError> {
        let table = files.proc("net/arp")?;
        let mut entries = gauges("node_arp_entries", "ARP entries by device");
        for (device, count) in parse_arp(&table) {
            if self.devices.shows(device) {
                entries.push(&[("device", device)], count as f64);
            }
        }
        out.push(entries);
        Ok(())
    }
}

/// Counts the lines per device, which is the last of six columns. The first line is the header.
fn parse_arp(table: &str) -> BTreeMap<&str, u32> {
    let mut counts = BTreeMap::new();
    for device in table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_ascii_whitespace().nth(5))
    {
        *counts.entry(device).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_device() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
                     192.168.1.1      0x1         0x2         cc:aa:dd:ee:aa:bb     *        eth0\n\
                     192.168.1.4      0x1         0x2         dd:ee:ff:aa:bb:cc     *        eth1\n\
                     192.168.1.2      0x1         0x0         00:00:00:00:00:00     *        eth0\n\
                     cut short\n";
        assert_eq!(parse_arp(table), BTreeMap::from([("eth0", 2), ("eth1", 1)]));
        assert_eq!(parse_arp(""), BTreeMap::new());
    }
}
