//! Asking the kernel for all network devices by rtnetlink: one request, 64-bit counters.
//!
//! Source: `rtnetlink(7)`, `netlink(7)`, `linux/if_link.h`. Numbers are in the machine's byte order.

use std::io;
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with, sockopt,
};

/// A network device.
#[derive(Debug, PartialEq)]
pub(super) struct Link {
    pub(super) name: String,
    /// Absent on kernels from before 2.6.35.
    pub(super) stats: Option<Stats>,
}

/// `struct rtnl_link_stats64`, as far as all kernels have it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Stats {
    pub(super) rx_packets: u64,
    pub(super) tx_packets: u64,
    pub(super) rx_bytes: u64,
    pub(super) tx_bytes: u64,
    pub(super) rx_errors: u64,
    pub(super) tx_errors: u64,
    pub(super) rx_dropped: u64,
    pub(super) tx_dropped: u64,
    pub(super) multicast: u64,
    pub(super) collisions: u64,
    pub(super) rx_length_errors: u64,
    pub(super) rx_over_errors: u64,
    pub(super) rx_crc_errors: u64,
    pub(super) rx_frame_errors: u64,
    pub(super) rx_fifo_errors: u64,
    pub(super) rx_missed_errors: u64,
    pub(super) tx_aborted_errors: u64,
    pub(super) tx_carrier_errors: u64,
    pub(super) tx_fifo_errors: u64,
    pub(super) tx_heartbeat_errors: u64,
    pub(super) tx_window_errors: u64,
    pub(super) rx_compressed: u64,
    pub(super) tx_compressed: u64,
    /// Since Linux 4.6; 0 before.
    pub(super) rx_nohandler: u64,
}

const MESSAGE_HEADER_BYTES: usize = 16;
const LINK_HEADER_BYTES: usize = 16;
const REQUEST_BYTES: usize = MESSAGE_HEADER_BYTES + LINK_HEADER_BYTES;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const IFLA_IFNAME: u16 = 3;
const IFLA_STATS64: u16 = 23;
/// The upper two bits of an attribute's type are flags.
const ATTRIBUTE_TYPE_MASK: u16 = 0x3fff;

/// The kernel fills at most this much at once.
const RECEIVE_BYTES: usize = 32 << 10;
const TIMEOUT: Duration = Duration::from_secs(2);
/// More devices than any machine has, so that a kernel gone mad cannot hold the scrape.
const LINKS_MAX: usize = 100_000;

/// Returns the network devices of this process's network namespace.
///
/// # Errors
///
/// If netlink is forbidden, does not answer within two seconds, or answers with an error or nonsense.
pub(super) fn links() -> io::Result<Vec<Link>> {
    // No protocol means NETLINK_ROUTE.
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(TIMEOUT))?;
    send(&socket, &request(), SendFlags::empty())?;
    let mut links = Vec::new();
    let mut buffer = vec![0; RECEIVE_BYTES];
    loop {
        let (received, _) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        if received == 0 || LINKS_MAX < links.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if parse_messages(&buffer[..received], &mut links)? {
            return Ok(links);
        }
    }
}

/// Returns the message that asks for all links.
fn request() -> [u8; REQUEST_BYTES] {
    let length = u32::try_from(REQUEST_BYTES).expect("two headers are small");
    let mut bytes = [0; REQUEST_BYTES];
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    bytes[4..6].copy_from_slice(&RTM_GETLINK.to_ne_bytes());
    bytes[6..8].copy_from_slice(&NLM_F_REQUEST_DUMP.to_ne_bytes());
    bytes
}

/// Appends the links of one receive; returns whether it was the last.
fn parse_messages(mut bytes: &[u8], links: &mut Vec<Link>) -> io::Result<bool> {
    while !bytes.is_empty() {
        let length = u32_at(bytes, 0).and_then(|length| usize::try_from(length).ok());
        let message = length
            .filter(|length| MESSAGE_HEADER_BYTES <= *length)
            .and_then(|length| bytes.get(..length));
        let (Some(message), Some(kind)) = (message, u16_at(bytes, 4)) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        match kind {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => return Err(error_of(message)),
            RTM_NEWLINK => links.extend(parse_link(message)),
            _ => {}
        }
        bytes = bytes.get(aligned(message.len())..).unwrap_or_default();
    }
    Ok(false)
}

/// Reads a link; `None` if it has no name, which a kernel does not send.
fn parse_link(message: &[u8]) -> Option<Link> {
    let mut attributes = message.get(REQUEST_BYTES..)?;
    let (mut name, mut stats) = (None, None);
    while let (Some(length), Some(kind)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        let length = usize::from(length);
        let value = attributes.get(4..length)?;
        match kind & ATTRIBUTE_TYPE_MASK {
            IFLA_IFNAME => {
                let end = value
                    .iter()
                    .position(|&byte| byte == 0)
                    .unwrap_or(value.len());
                name = Some(String::from_utf8_lossy(&value[..end]).into_owned());
            }
            IFLA_STATS64 => stats = Some(parse_stats(value)),
            _ => {}
        }
        attributes = attributes.get(aligned(length)..).unwrap_or_default();
    }
    Some(Link { name: name?, stats })
}

/// Reads the counters in the order of the struct; those that the kernel does not send are 0.
fn parse_stats(bytes: &[u8]) -> Stats {
    let mut fields = bytes
        .chunks_exact(8)
        .map(|field| u64::from_ne_bytes(field.try_into().expect("chunks of eight")));
    let mut next = || fields.next().unwrap_or(0);
    Stats {
        rx_packets: next(),
        tx_packets: next(),
        rx_bytes: next(),
        tx_bytes: next(),
        rx_errors: next(),
        tx_errors: next(),
        rx_dropped: next(),
        tx_dropped: next(),
        multicast: next(),
        collisions: next(),
        rx_length_errors: next(),
        rx_over_errors: next(),
        rx_crc_errors: next(),
        rx_frame_errors: next(),
        rx_fifo_errors: next(),
        rx_missed_errors: next(),
        tx_aborted_errors: next(),
        tx_carrier_errors: next(),
        tx_fifo_errors: next(),
        tx_heartbeat_errors: next(),
        tx_window_errors: next(),
        rx_compressed: next(),
        tx_compressed: next(),
        rx_nohandler: next(),
    }
}

/// The error code behind the header is negative.
fn error_of(message: &[u8]) -> io::Error {
    let code =
        u32_at(message, MESSAGE_HEADER_BYTES).map_or(0, |code| code.cast_signed().wrapping_neg());
    io::Error::from_raw_os_error(code)
}

/// Messages and attributes begin at multiples of four.
fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(value);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(MESSAGE_HEADER_BYTES + body.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.resize(MESSAGE_HEADER_BYTES, 0);
        bytes.extend_from_slice(body);
        bytes
    }

    fn link(attributes: &[Vec<u8>]) -> Vec<u8> {
        message(
            RTM_NEWLINK,
            &[vec![0; LINK_HEADER_BYTES], attributes.concat()].concat(),
        )
    }

    fn parse(bytes: &[u8]) -> io::Result<(bool, Vec<Link>)> {
        let mut links = Vec::new();
        Ok((parse_messages(bytes, &mut links)?, links))
    }

    #[test]
    fn links_until_done() {
        let counters: Vec<_> = (1..=24_u64).flat_map(u64::to_ne_bytes).collect();
        let eth0 = link(&[
            attribute(IFLA_IFNAME, b"eth0\0"),
            attribute(1, b"abc"),
            attribute(IFLA_STATS64, &counters),
        ]);
        let lo = link(&[attribute(IFLA_IFNAME, b"lo\0")]);
        let (done, links) = parse(&[eth0, lo].concat()).unwrap();
        assert!(!done);
        assert_eq!(
            links[1],
            Link {
                name: "lo".to_owned(),
                stats: None
            }
        );
        let stats = links[0].stats.unwrap();
        assert_eq!(
            (stats.rx_packets, stats.tx_bytes, stats.rx_nohandler),
            (1, 4, 24)
        );
        assert!(parse(&message(NLMSG_DONE, &[0; 4])).unwrap().0);
    }

    #[test]
    fn short_statistics_end_in_zeros() {
        let stats = parse_stats(&7_u64.to_ne_bytes());
        assert_eq!(
            stats,
            Stats {
                rx_packets: 7,
                ..Stats::default()
            }
        );
    }

    #[test]
    fn errors_of_the_kernel() {
        let error = parse(&message(NLMSG_ERROR, &(-1_i32).to_ne_bytes())).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(1));
    }

    /// Cut or changed anywhere, it is an error or fewer links, never a panic.
    #[test]
    fn broken_messages_do_not_panic() {
        let whole = link(&[
            attribute(IFLA_IFNAME, b"eth0\0"),
            attribute(IFLA_STATS64, &[1; 192]),
        ]);
        for end in 0..whole.len() {
            assert!(
                parse(&whole[..end]).is_ok_and(|(_, links)| links.is_empty()) == (end == 0),
                "cut at {end}"
            );
        }
        for place in 0..whole.len() {
            for byte in [0, 1, 3, 0xff] {
                let mut changed = whole.clone();
                changed[place] = byte;
                let _ = parse(&changed);
            }
        }
    }
}
