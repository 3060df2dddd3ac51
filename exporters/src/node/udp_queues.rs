//! Bytes waiting in UDP sockets: `/proc/net/udp` and `udp6`.

use metrics::MetricFamily;

use super::error::{CollectError, hexadecimal};
use super::family::gauges;
use super::files::Files;

/// About a quarter of a million sockets.
const BYTES_MAX: usize = 32 << 20;

pub(super) fn collect(
    files: &mut Files<'_>,
    out: &mut Vec<MetricFamily>,
) -> Result<(), CollectError> {
    let help = "Number of allocated memory in the kernel for UDP datagrams in bytes.";
    let mut queues = gauges("node_udp_queues", help);
    for (file, ip) in [("net/udp", "v4"), ("net/udp6", "v6")] {
        let text = match files.proc_bounded(file, BYTES_MAX) {
            Ok(text) => text,
            // A kernel without this version of the protocol.
            Err(why) if why.is_not_found() => continue,
            Err(why) => return Err(why),
        };
        let (sent, received) = parse_queues(&text)?;
        queues.push(&[("queue", "tx"), ("ip", ip)], sent as f64);
        queues.push(&[("queue", "rx"), ("ip", ip)], received as f64);
    }
    if queues.series.is_empty() {
        return Err(CollectError::NoData("the kernel has no UDP"));
    }
    out.push(queues);
    Ok(())
}

/// Sums the fifth column, `tx_queue:rx_queue` in hexadecimal. The first line is the header.
fn parse_queues(text: &str) -> Result<(u64, u64), CollectError> {
    let (mut sent, mut received) = (0_u64, 0_u64);
    for queues in text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_ascii_whitespace().nth(4))
    {
        let Some((tx, rx)) = queues.split_once(':') else {
            return Err(CollectError::malformed("net/udp", "two queues", queues));
        };
        sent = sent.wrapping_add(hexadecimal("net/udp", tx)?);
        received = received.wrapping_add(hexadecimal("net/udp", rx)?);
    }
    Ok((sent, received))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_both_queues() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n\
                    0: 00000000:0016 00000000:0000 0A 00000015:00000001 00:00000000\n\
                    1: 00000000:0017 00000000:0000 0A 00000001:00000010 00:00000000\n";
        assert_eq!(parse_queues(text).unwrap(), (22, 17));
        assert_eq!(parse_queues("").unwrap(), (0, 0));
        assert!(parse_queues("\n0: a b c d e").is_err());
    }
}
