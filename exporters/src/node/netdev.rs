//! What went through each network device: rtnetlink, else `/proc/net/dev`.
//!
//! Both ways give the same families; netlink tells apart causes that the file has summed already, and knows one number
//! more (`receive_nohandler`).

use metrics::MetricFamily;

use super::collectors::Collect;
use super::error::{CollectError, NodeError, number};
use super::family::counters;
use super::files::Files;
use super::filter::Sieve;
use super::netlink;
use super::options::NodeOptions;

pub(super) struct Netdev {
    devices: Sieve,
    netlink: bool,
}

impl Netdev {
    pub(super) fn new(options: &NodeOptions) -> Result<Self, NodeError> {
        let devices = options.netdev_devices.compile("netdev.device")?;
        Ok(Self {
            devices,
            netlink: options.netdev_netlink,
        })
    }
}

impl Collect for Netdev {
    fn collect(
        &self,
        files: &mut Files<'_>,
        out: &mut Vec<MetricFamily>,
    ) -> Result<(), CollectError> {
        let links = if self.netlink {
            netlink::links()
        } else {
            Err(std::io::ErrorKind::Unsupported.into())
        };
        let devices = match links {
            Ok(links) => links
                .iter()
                .filter_map(|link| Some((link.name.clone(), from_netlink(&link.stats?))))
                .collect(),
            // Sandboxes may forbid netlink; the file says nearly the same.
            Err(_) => parse_proc(&files.proc("net/dev")?)?,
        };
        let mut families: Vec<MetricFamily> = Vec::new();
        for (device, statistics) in devices
            .iter()
            .filter(|(device, _)| self.devices.shows(device))
        {
            for (place, &(name, value)) in statistics.iter().enumerate() {
                if families.len() <= place {
                    let help = format!("Network device statistic {name}.");
                    families.push(counters(&format!("node_network_{name}_total"), &help));
                }
                families[place].push(&[("device", device)], value);
            }
        }
        out.append(&mut families);
        Ok(())
    }
}

type Statistics = Vec<(&'static str, f64)>;

/// The columns of `/proc/net/dev` behind the name.
const PROC_COLUMNS: [&str; 16] = [
    "receive_bytes",
    "receive_packets",
    "receive_errs",
    "receive_drop",
    "receive_fifo",
    "receive_frame",
    "receive_compressed",
    "receive_multicast",
    "transmit_bytes",
    "transmit_packets",
    "transmit_errs",
    "transmit_drop",
    "transmit_fifo",
    "transmit_colls",
    "transmit_carrier",
    "transmit_compressed",
];

/// Reads the lines behind the two of the header: `eth0: 1 2 3 …`, perhaps without a space behind the colon.
fn parse_proc(text: &str) -> Result<Vec<(String, Statistics)>, CollectError> {
    let mut devices = Vec::new();
    for line in text.lines().skip(2) {
        // A device's name may have colons, as in `eth0:1`.
        let Some((device, fields)) = line.rsplit_once(':') else {
            continue;
        };
        let fields: Vec<_> = fields.split_ascii_whitespace().collect();
        if fields.len() != PROC_COLUMNS.len() {
            return Err(CollectError::malformed("net/dev", "16 columns", line));
        }
        let statistics = PROC_COLUMNS
            .into_iter()
            .zip(fields)
            .map(|(name, field)| Ok((name, number("net/dev", field)?)));
        devices.push((
            device.trim().to_owned(),
            statistics.collect::<Result<_, CollectError>>()?,
        ));
    }
    Ok(devices)
}

/// Sums the causes as the kernel does for `/proc/net/dev`.
fn from_netlink(stats: &netlink::Stats) -> Statistics {
    let sum = |fields: &[u64]| {
        fields
            .iter()
            .fold(0_u64, |sum, field| sum.wrapping_add(*field)) as f64
    };
    let frame = [
        stats.rx_frame_errors,
        stats.rx_length_errors,
        stats.rx_over_errors,
        stats.rx_crc_errors,
    ];
    let carrier = [
        stats.tx_carrier_errors,
        stats.tx_aborted_errors,
        stats.tx_heartbeat_errors,
        stats.tx_window_errors,
    ];
    vec![
        ("receive_bytes", stats.rx_bytes as f64),
        ("receive_packets", stats.rx_packets as f64),
        ("receive_errs", stats.rx_errors as f64),
        (
            "receive_drop",
            sum(&[stats.rx_dropped, stats.rx_missed_errors]),
        ),
        ("receive_fifo", stats.rx_fifo_errors as f64),
        ("receive_frame", sum(&frame)),
        ("receive_compressed", stats.rx_compressed as f64),
        ("receive_multicast", stats.multicast as f64),
        ("transmit_bytes", stats.tx_bytes as f64),
        ("transmit_packets", stats.tx_packets as f64),
        ("transmit_errs", stats.tx_errors as f64),
        ("transmit_drop", stats.tx_dropped as f64),
        ("transmit_fifo", stats.tx_fifo_errors as f64),
        ("transmit_colls", stats.collisions as f64),
        ("transmit_carrier", sum(&carrier)),
        ("transmit_compressed", stats.tx_compressed as f64),
        ("receive_nohandler", stats.rx_nohandler as f64),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Inter-|   Receive                                                |  Transmit\n \
                        face |bytes    packets errs drop fifo frame compressed multicast|bytes packets\n\
                        eth0:64910168  520993    0    0    0     0          0         0 49721230  43038 0 7 0 0 0 0\n\
                        veth:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";

    #[test]
    fn columns_of_the_file() {
        let devices = parse_proc(TEXT).unwrap();
        assert_eq!(devices[0].0, "eth0");
        assert_eq!(devices[0].1[0], ("receive_bytes", 64_910_168.0));
        assert_eq!(devices[0].1[11], ("transmit_drop", 7.0));
        assert_eq!(
            (devices[1].0.as_str(), devices[1].1[15]),
            ("veth:1", ("transmit_compressed", 16.0))
        );
    }

    #[test]
    fn odd_lines_are_an_error() {
        assert!(parse_proc("\n\neth0: 1 2 3\n").is_err());
        assert!(parse_proc("\n\neth0: a 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n").is_err());
        assert_eq!(parse_proc("").unwrap(), []);
    }

    #[test]
    fn causes_are_summed() {
        let mut stats = netlink::Stats {
            rx_dropped: 1,
            rx_missed_errors: 2,
            ..netlink::Stats::default()
        };
        (
            stats.rx_length_errors,
            stats.rx_crc_errors,
            stats.rx_frame_errors,
        ) = (3, 4, 5);
        (stats.tx_carrier_errors, stats.tx_window_errors) = (6, 7);
        let statistics = from_netlink(&stats);
        assert!(statistics.contains(&("receive_drop", 3.0)));
        assert!(statistics.contains(&("receive_frame", 12.0)));
        assert!(statistics.contains(&("transmit_carrier", 13.0)));
    }

    /// Both ways must agree in what they call things, or a fallback would change the families.
    #[test]
    fn netlink_and_file_agree_in_names() {
        let from_netlink: Vec<_> = from_netlink(&netlink::Stats::default())
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(from_netlink[..16], PROC_COLUMNS);
    }
}
