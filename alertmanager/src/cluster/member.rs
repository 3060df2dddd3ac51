//! A member of the cluster, and how membership messages are written.
//!
//! An identity is family (4 or 6), address, port, generation and name; all numbers are in network byte order.

use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, BufMut};
use foca::{Header, Message, State};

/// Bytes of a member's name.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// Who a member is. The generation tells lives of the same address apart: the higher one is the later one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Member {
    name: String,
    address: SocketAddr,
    generation: u64,
}

/// What is known of a member: its identity, whether it is there, and how often it had to say so.
pub(crate) type Known = foca::Member<Member>;

/// Why bytes are no membership message, or a member makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MemberError {
    /// There are too few of them, or too little room.
    #[error("it ends too early")]
    Short,
    /// A byte has no meaning.
    #[error("unknown {0}")]
    Unknown(&'static str),
    /// The name is too long or no UTF-8.
    #[error("the name is not UTF-8 of at most {NAME_BYTES_MAX} bytes")]
    Name,
    /// Nobody can be at such an address.
    #[error("no member can be reached at {0}")]
    Address(SocketAddr),
}

impl Member {
    /// Returns a member.
    ///
    /// # Errors
    ///
    /// When the name is too long, or the address is none of one member.
    pub(crate) fn new(
        name: String,
        address: SocketAddr,
        generation: u64,
    ) -> Result<Self, MemberError> {
        if NAME_BYTES_MAX < name.len() {
            return Err(MemberError::Name);
        }
        let ip = address.ip();
        let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        if ip.is_unspecified() || ip.is_multicast() || is_broadcast || address.port() == 0 {
            return Err(MemberError::Address(address));
        }
        Ok(Member {
            name,
            address,
            generation,
        })
    }

    /// Returns the name, by which members are sorted.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns where it is reached, over UDP and TCP.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns which of its lives it is in.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the member in a later life; `None` after the last one.
    pub(crate) fn after(&self, generation: u64) -> Option<Self> {
        let generation = self.generation.max(generation).checked_add(1)?;
        Some(Member {
            generation,
            ..self.clone()
        })
    }
}

impl foca::Identity for Member {
    type Addr = SocketAddr;

    fn renew(&self) -> Option<Self> {
        self.after(0)
    }

    fn addr(&self) -> SocketAddr {
        self.address
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        adversary.generation < self.generation
    }
}

/// Writes and reads membership messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Codec;

impl foca::Codec<Member> for Codec {
    type Error = MemberError;

    fn encode_header(
        &mut self,
        header: &Header<Member>,
        mut buf: impl BufMut,
    ) -> Result<(), MemberError> {
        let mut out = Vec::new();
        put_identity(&mut out, &header.src);
        out.put_u16(header.src_incarnation);
        put_identity(&mut out, &header.dst);
        let (tag, number, other) = parts(&header.message);
        out.put_u8(tag);
        if let Some(number) = number {
            out.put_u8(number);
        }
        if let Some(other) = other {
            put_identity(&mut out, other);
        }
        put_all(&mut buf, &out)
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<Member>, MemberError> {
        Ok(Header {
            src: identity(&mut buf)?,
            src_incarnation: buf.try_get_u16().map_err(|_| MemberError::Short)?,
            dst: identity(&mut buf)?,
            message: message(&mut buf)?,
        })
    }

    fn encode_member(&mut self, member: &Known, mut buf: impl BufMut) -> Result<(), MemberError> {
        let mut out = Vec::new();
        put_identity(&mut out, member.id());
        out.put_u16(member.incarnation());
        out.put_u8(match member.state() {
            State::Alive => 0,
            State::Suspect => 1,
            State::Down => 2,
        });
        put_all(&mut buf, &out)
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<Known, MemberError> {
        let id = identity(&mut buf)?;
        let incarnation = buf.try_get_u16().map_err(|_| MemberError::Short)?;
        let state = match buf.try_get_u8().map_err(|_| MemberError::Short)? {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Down,
            _ => return Err(MemberError::Unknown("state")),
        };
        Ok(Known::new(id, incarnation, state))
    }
}

/// Returns a message's tag, its probe's number, and the third member that it is about.
fn parts(message: &Message<Member>) -> (u8, Option<u8>, Option<&Member>) {
    match message {
        Message::Ping(number) => (0, Some(*number), None),
        Message::Ack(number) => (1, Some(*number), None),
        Message::PingReq {
            target,
            probe_number,
        } => (2, Some(*probe_number), Some(target)),
        Message::IndirectPing {
            origin,
            probe_number,
        } => (3, Some(*probe_number), Some(origin)),
        Message::IndirectAck {
            target,
            probe_number,
        } => (4, Some(*probe_number), Some(target)),
        Message::ForwardedAck {
            origin,
            probe_number,
        } => (5, Some(*probe_number), Some(origin)),
        Message::Announce => (6, None, None),
        Message::Feed => (7, None, None),
        Message::Gossip => (8, None, None),
        Message::Broadcast => (9, None, None),
        Message::TurnUndead => (10, None, None),
    }
}

fn message(buf: &mut impl Buf) -> Result<Message<Member>, MemberError> {
    let tag = buf.try_get_u8().map_err(|_| MemberError::Short)?;
    let probe_number = match tag {
        0..=5 => buf.try_get_u8().map_err(|_| MemberError::Short)?,
        _ => 0,
    };
    Ok(match tag {
        0 => Message::Ping(probe_number),
        1 => Message::Ack(probe_number),
        2 => Message::PingReq {
            target: identity(buf)?,
            probe_number,
        },
        3 => Message::IndirectPing {
            origin: identity(buf)?,
            probe_number,
        },
        4 => Message::IndirectAck {
            target: identity(buf)?,
            probe_number,
        },
        5 => Message::ForwardedAck {
            origin: identity(buf)?,
            probe_number,
        },
        6 => Message::Announce,
        7 => Message::Feed,
        8 => Message::Gossip,
        9 => Message::Broadcast,
        10 => Message::TurnUndead,
        _ => return Err(MemberError::Unknown("message")),
    })
}

fn put_all(buf: &mut impl BufMut, bytes: &[u8]) -> Result<(), MemberError> {
    if buf.remaining_mut() < bytes.len() {
        return Err(MemberError::Short);
    }
    buf.put_slice(bytes);
    Ok(())
}

fn put_identity(out: &mut Vec<u8>, member: &Member) {
    match member.address.ip() {
        IpAddr::V4(ip) => {
            out.put_u8(4);
            out.put_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.put_u8(6);
            out.put_slice(&ip.octets());
        }
    }
    out.put_u16(member.address.port());
    out.put_u64(member.generation);
    // The constructor has seen to it that the length fits.
    out.put_u8(u8::try_from(member.name.len()).unwrap_or(u8::MAX));
    out.put_slice(member.name.as_bytes());
}

fn identity(buf: &mut impl Buf) -> Result<Member, MemberError> {
    let short = |_| MemberError::Short;
    let ip: IpAddr = match buf.try_get_u8().map_err(short)? {
        4 => IpAddr::from(array::<4>(buf)?),
        6 => IpAddr::from(array::<16>(buf)?),
        _ => return Err(MemberError::Unknown("address family")),
    };
    let port = buf.try_get_u16().map_err(short)?;
    let generation = buf.try_get_u64().map_err(short)?;
    let length = buf.try_get_u8().map_err(short)?;
    let mut name = vec![0; usize::from(length)];
    buf.try_copy_to_slice(&mut name).map_err(short)?;
    let name = String::from_utf8(name).map_err(|_| MemberError::Name)?;
    Member::new(name, SocketAddr::new(ip, port), generation)
}

fn array<const N: usize>(buf: &mut impl Buf) -> Result<[u8; N], MemberError> {
    let mut bytes = [0; N];
    buf.try_copy_to_slice(&mut bytes)
        .map_err(|_| MemberError::Short)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use foca::Codec as _;

    fn member(address: &str) -> Member {
        Member::new("ä".to_owned(), address.parse().unwrap(), 7).unwrap()
    }

    #[test]
    fn messages_come_back_as_they_were() {
        let (a, b) = (member("10.0.0.1:9094"), member("[2001:db8::1]:1"));
        let other = || b.clone();
        for message in [
            Message::Ping(1),
            Message::Ack(255),
            Message::PingReq {
                target: other(),
                probe_number: 2,
            },
            Message::IndirectPing {
                origin: other(),
                probe_number: 3,
            },
            Message::IndirectAck {
                target: other(),
                probe_number: 4,
            },
            Message::ForwardedAck {
                origin: other(),
                probe_number: 5,
            },
            Message::Announce,
            Message::Feed,
            Message::Gossip,
            Message::Broadcast,
            Message::TurnUndead,
        ] {
            let header = Header {
                src: a.clone(),
                src_incarnation: 300,
                dst: b.clone(),
                message,
            };
            let mut bytes = Vec::new();
            Codec.encode_header(&header, &mut bytes).unwrap();
            assert_eq!(Codec.decode_header(&*bytes).unwrap(), header);
            for length in 0..bytes.len() {
                let torn = Codec.decode_header(&bytes[..length]);
                assert_eq!(torn, Err(MemberError::Short), "{header:?} at {length}");
            }
        }
        for state in [State::Alive, State::Suspect, State::Down] {
            let known = Known::new(a.clone(), 9, state);
            let mut bytes = Vec::new();
            Codec.encode_member(&known, &mut bytes).unwrap();
            assert_eq!(Codec.decode_member(&*bytes).unwrap(), known);
        }
    }

    #[test]
    fn what_is_no_member() {
        for address in [
            "0.0.0.0:1",
            "10.0.0.1:0",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "[::]:1",
        ] {
            let address: SocketAddr = address.parse().unwrap();
            let refused = Member::new(String::new(), address, 0);
            assert_eq!(refused, Err(MemberError::Address(address)));
        }
        let long = Member::new("n".repeat(256), "10.0.0.1:1".parse().unwrap(), 0);
        assert_eq!(long, Err(MemberError::Name));
        let last = Member::new(String::new(), "10.0.0.1:1".parse().unwrap(), u64::MAX).unwrap();
        assert_eq!(last.after(0), None);
    }
}
