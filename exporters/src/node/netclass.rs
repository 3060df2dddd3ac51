//! What each network device is like: the attributes in `/sys/class/net`.

use metrics::{MetricFamily, MetricKind};
use regex::Regex;

use super::collectors::Collect;
use super::error::{CollectError, NodeError};
use super::family::gauges;
use super::files::{Files, Folder};
use super::filter::compile;
use super::options::NodeOptions;

pub(super) struct Netclass {
    ignored: Regex,
    ignores_invalid_speed: bool,
}

/// One family per attribute that is a number: the file, kind and the name behind `node_network_`.
const NUMBERS: [(&str, MetricKind, &str); 16] = [
    ("addr_assign_type", G, "address_assign_type"),
    ("carrier", G, "carrier"),
    ("carrier_changes", C, "carrier_changes_total"),
    ("carrier_up_count", C, "carrier_up_changes_total"),
    ("carrier_down_count", C, "carrier_down_changes_total"),
    ("dev_id", G, "device_id"),
    ("dormant", G, "dormant"),
    ("flags", G, "flags"),
    ("ifindex", G, "iface_id"),
    ("iflink", G, "iface_link"),
    ("link_mode", G, "iface_link_mode"),
    ("mtu", G, "mtu_bytes"),
    ("name_assign_type", G, "name_assign_type"),
    ("netdev_group", G, "net_dev_group"),
    ("tx_queue_len", G, "transmit_queue_length"),
    ("type", G, "protocol_type"),
];

const G: MetricKind = MetricKind::Gauge;
const C: MetricKind = MetricKind::Counter;

impl Netclass {
    pub(super) fn new(options: &NodeOptions) -> Result<Self, NodeError> {
        Ok(Self {
            ignored: compile(
                &options.netclass_ignored_devices,
                "netclass.ignored-devices",
            )?,
            ignores_invalid_speed: options.netclass_ignore_invalid_speed,
        })
    }
}

impl Collect for Netclass {
    fn collect(
        &self,
        files: &mut Files<'_>,
        out: &mut Vec<MetricFamily>,
    ) -> Result<(), CollectError> {
        let devices = files
            .sys_names("class/net")
            .map_err(|why| why.or_no_data("there are no network devices"))?;
        let mut families = Families::new();
        for device in devices
            .iter()
            .filter(|device| !self.ignored.is_match(device))
        {
            // Beside the devices there are plain files, such as `bonding_masters`.
            if let Ok(folder) = files.sys_folder(&format!("class/net/{device}")) {
                families.push(files, &folder, device, self.ignores_invalid_speed);
            }
        }
        families.finish(out);
        Ok(())
    }
}

struct Families {
    up: MetricFamily,
    info: MetricFamily,
    speed: MetricFamily,
    numbers: [MetricFamily; NUMBERS.len()],
}

impl Families {
    fn new() -> Self {
        let property = |name: &str, kind| {
            MetricFamily::new(
                format!("node_network_{name}"),
                format!("Network device property: {name}"),
                kind,
            )
        };
        Self {
            up: gauges(
                "node_network_up",
                "Value is 1 if operstate is 'up', 0 otherwise.",
            ),
            info: gauges(
                "node_network_info",
                "Non-numeric data from /sys/class/net/<iface>, value is always 1.",
            ),
            speed: property("speed_bytes", G),
            numbers: NUMBERS.map(|(_, kind, name)| property(name, kind)),
        }
    }

    fn push(
        &mut self,
        files: &mut Files<'_>,
        folder: &Folder,
        device: &str,
        ignores_invalid_speed: bool,
    ) {
        let labels = [("device", device)];
        let mut flags = None;
        for ((attribute, ..), family) in NUMBERS.iter().zip(&mut self.numbers) {
            let Some(value) = files
                .attribute(folder, attribute)
                .and_then(|text| parse_number(&text))
            else {
                continue;
            };
            family.push(&labels, value as f64);
            if *attribute == "flags" {
                flags = Some(value);
            }
        }
        if let Some(megabits) = files.attribute_number::<i64>(folder, "speed")
            && (0 <= megabits || !ignores_invalid_speed)
        {
            self.speed
                .push(&labels, (megabits.saturating_mul(1_000_000) / 8) as f64);
        }
        let mut text = |attribute| {
            files
                .attribute(folder, attribute)
                .unwrap_or_default()
                .into_owned()
        };
        let operstate = text("operstate");
        self.up
            .push(&labels, if operstate == "up" { 1.0 } else { 0.0 });
        let labels = [
            ("device", device),
            ("address", &text("address")),
            ("broadcast", &text("broadcast")),
            ("duplex", &text("duplex")),
            ("operstate", &operstate),
            ("adminstate", admin_state(flags)),
            ("ifalias", &text("ifalias")),
        ];
        self.info.push(&labels, 1.0);
    }

    fn finish(self, out: &mut Vec<MetricFamily>) {
        out.extend([self.up, self.info, self.speed]);
        out.extend(self.numbers);
    }
}

/// Reads decimal numbers and those that begin with `0x`.
fn parse_number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Whether someone switched the device on (`IFF_UP`); it may be down for want of a cable all the same.
fn admin_state(flags: Option<i64>) -> &'static str {
    match flags {
        None => "unknown",
        Some(flags) if flags & 1 == 1 => "up",
        Some(_) => "down",
    }
}

#[cfg(test)]
mod tests {
    use super::super::family::samples;
    use super::super::files::Paths;
    use super::*;
    use std::fs;

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        assert_eq!(parse_number("0x1303"), Some(4_867));
        assert_eq!(parse_number("-1"), Some(-1));
        assert_eq!(parse_number(""), None);
    }

    fn collect(ignores_invalid_speed: bool) -> String {
        let root = tempfile::tempdir().unwrap();
        let device = root.path().join("class/net/eth0");
        fs::create_dir_all(&device).unwrap();
        fs::write(root.path().join("class/net/bonding_masters"), "").unwrap();
        for (name, value) in [
            ("flags", "0x1002\n"),
            ("speed", "-1\n"),
            ("operstate", "down\n"),
            ("mtu", "1500\n"),
        ] {
            fs::write(device.join(name), value).unwrap();
        }
        let mut options = NodeOptions::linux_defaults();
        options.sysfs = root.path().into();
        options.netclass_ignore_invalid_speed = ignores_invalid_speed;
        let paths = Paths::new(&options);
        let mut out = Vec::new();
        Netclass::new(&options)
            .unwrap()
            .collect(&mut Files::new(&paths), &mut out)
            .unwrap();
        samples(out)
    }

    #[test]
    fn attributes_that_are_there() {
        let expected = "node_network_flags{device=\"eth0\"} 4098\n\
                        node_network_info{address=\"\",adminstate=\"down\",broadcast=\"\",device=\"eth0\",\
                        duplex=\"\",ifalias=\"\",operstate=\"down\"} 1\n\
                        node_network_mtu_bytes{device=\"eth0\"} 1500\n\
                        node_network_up{device=\"eth0\"} 0\n";
        assert_eq!(collect(true), expected);
        assert!(collect(false).contains("node_network_speed_bytes{device=\"eth0\"} -125000\n"));
    }
}
