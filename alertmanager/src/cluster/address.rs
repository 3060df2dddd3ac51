//! Addresses: where to listen, what others are told, and what the names of peers stand for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};

/// Why an address is not to be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--{flag}={given}: {reason}")]
pub struct AddressError {
    flag: &'static str,
    given: String,
    reason: String,
}

impl AddressError {
    pub(crate) fn new(flag: &'static str, given: &str, reason: impl Into<String>) -> Self {
        AddressError {
            flag,
            given: given.to_owned(),
            reason: reason.into(),
        }
    }
}

/// Returns host and port of `given`; the host may be empty or a name, an address of IPv6 stands in brackets.
///
/// # Errors
///
/// When it has no port, or one that is none.
pub(crate) fn split(flag: &'static str, given: &str) -> Result<(String, u16), AddressError> {
    let fail = |reason: &str| Err(AddressError::new(flag, given, reason));
    let Some((host, port)) = given.rsplit_once(':') else {
        return fail("must be host:port, like am-1.example.com:9094");
    };
    let Ok(port) = port.parse() else {
        return fail("the port must be a number from 0 to 65535, as in 10.0.0.1:9094");
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match bare {
        Some(host) => Ok((host.to_owned(), port)),
        None if host.contains(':') => fail("an IPv6 address must be in brackets, like [::1]:9094"),
        None => Ok((host.to_owned(), port)),
    }
}

/// Returns where to listen. A name is looked up, and this blocks meanwhile.
///
/// # Errors
///
/// When it is no address and no name of one.
pub(crate) fn listen(given: &str) -> Result<SocketAddr, AddressError> {
    resolve("cluster.listen-address", given)
}

fn resolve(flag: &'static str, given: &str) -> Result<SocketAddr, AddressError> {
    let (host, port) = split(flag, given)?;
    let host = if host.is_empty() { "0.0.0.0" } else { &host };
    let found = (host, port).to_socket_addrs();
    let mut found = found.map_err(|error| AddressError::new(flag, given, error.to_string()))?;
    let none = || AddressError::new(flag, given, "the name has no address");
    found.next().ok_or_else(none)
}

/// What is known for finding the address that others are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Advertise<'a> {
    /// `--cluster.advertise-address`, or empty.
    pub(crate) given: &'a str,
    /// Where we listen.
    pub(crate) bound: SocketAddr,
    /// Whether a public address may be found too.
    pub(crate) is_public_allowed: bool,
    /// Whether others are to be reached.
    pub(crate) has_peers: bool,
}

impl Advertise<'_> {
    /// Returns what is told: what is given; else where we listen, if that is one address; else the first private one of this
    /// machine. Alone, without a private one, the loopback does.
    ///
    /// # Errors
    ///
    /// When the given one is none, or none is found and there are peers.
    pub(crate) fn find(&self, local: &[IpAddr]) -> Result<SocketAddr, AddressError> {
        const FLAG: &str = "cluster.advertise-address";
        if !self.given.is_empty() {
            let mut address = resolve(FLAG, self.given)?;
            if address.port() == 0 {
                address.set_port(self.bound.port());
            }
            if address.ip().is_unspecified() {
                let reason = "must be an address at which the other members reach this one";
                return Err(AddressError::new(FLAG, self.given, reason));
            }
            return Ok(address);
        }
        let ip = self.bound.ip();
        if !ip.is_unspecified() {
            return Ok(self.bound);
        }
        let with_port = |ip: IpAddr| SocketAddr::new(ip, self.bound.port());
        let mut candidates = local.iter().copied();
        let private = candidates.clone().find(|&ip| is_private(ip));
        let public = candidates.find(|ip| self.is_public_allowed && !ip.is_loopback());
        match private.or(public) {
            Some(ip) => Ok(with_port(ip)),
            None if !self.has_peers => Ok(with_port(Ipv4Addr::LOCALHOST.into())),
            None => Err(AddressError::new(
                FLAG,
                "",
                "no private address was found on this machine; say at which address the other members reach it, like --cluster.advertise-address=203.0.113.7:9094",
            )),
        }
    }
}

/// Returns whether an address is one of a private network.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            ip.is_private() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// Returns the addresses of this machine: that of the route to others first, then the others of IPv4.
pub(crate) fn of_this_machine() -> Vec<IpAddr> {
    // To connect a UDP socket sends nothing; it only chooses the source address.
    let routed = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect((Ipv4Addr::new(10, 255, 255, 255), 9))?;
        Ok(socket.local_addr()?.ip())
    });
    let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let mut found: Vec<IpAddr> = routed.into_iter().collect();
    found.extend(local_of(&table).into_iter().map(IpAddr::V4));
    found
}

/// Returns the machine's own addresses in the kernel's table of routes: those followed by `/32 host LOCAL`.
fn local_of(table: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in table.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = last
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_split(given: &str, expected: Result<(&str, u16), &str>) {
        let found = split("cluster.peer", given);
        match expected {
            Ok((host, port)) => assert_eq!(found, Ok((host.to_owned(), port))),
            Err(reason) => assert!(found.unwrap_err().reason.contains(reason), "{given}"),
        }
    }

    #[test]
    fn hosts_and_ports() {
        check_split(":9094", Ok(("", 9094)));
        check_split("am-0.am:9094", Ok(("am-0.am", 9094)));
        check_split("[::1]:1", Ok(("::1", 1)));
        check_split("am", Err("host:port"));
        check_split("am:x", Err("number"));
        check_split("::1:9094", Err("brackets"));
        assert_eq!(listen(":0").unwrap().to_string(), "0.0.0.0:0");
    }

    #[track_caller]
    fn check(advertise: Advertise<'_>, local: &[&str], expected: Option<&str>) {
        let local: Vec<IpAddr> = local.iter().map(|ip| ip.parse().unwrap()).collect();
        let found = advertise.find(&local).ok().map(|found| found.to_string());
        assert_eq!(found.as_deref(), expected, "{advertise:?}");
    }

    #[test]
    fn what_others_are_told() {
        let all = Advertise {
            given: "",
            bound: "0.0.0.0:9094".parse().unwrap(),
            is_public_allowed: false,
            has_peers: true,
        };
        let local = ["127.0.0.1", "203.0.113.7", "100.64.0.1", "10.0.0.1"];
        check(all, &local, Some("100.64.0.1:9094"));
        check(all, &local[..2], None);
        let public = Advertise {
            is_public_allowed: true,
            ..all
        };
        check(public, &local[..2], Some("203.0.113.7:9094"));
        let alone = Advertise {
            has_peers: false,
            ..all
        };
        check(alone, &local[..2], Some("127.0.0.1:9094"));
        let one = Advertise {
            bound: "127.0.0.1:5".parse().unwrap(),
            ..all
        };
        check(one, &local, Some("127.0.0.1:5"));
        let given = Advertise {
            given: "203.0.113.9:0",
            ..all
        };
        check(given, &local, Some("203.0.113.9:9094"));
        let nowhere = Advertise {
            given: "0.0.0.0:1",
            ..all
        };
        check(nowhere, &local, None);
    }

    #[test]
    fn the_kernels_table() {
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.1.0.0\n        /16 link UNICAST\n     |-- 10.1.0.9\n        /32 host LOCAL\n     |-- 10.1.255.255\n        /32 link BROADCAST\nLocal:\n     |-- 10.1.0.9\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        let expected = [Ipv4Addr::new(10, 1, 0, 9), Ipv4Addr::LOCALHOST];
        assert_eq!(local_of(table), expected);
    }
}
